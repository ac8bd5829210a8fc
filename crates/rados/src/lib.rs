//! The client library: an async handle of a cluster, pools, and operations on objects.
//!
//! ```no_run
//! # async fn example() -> Result<(), seabed_rados::RadosError> {
//! use seabed_rados::{Cluster, Conf};
//!
//! let conf = Conf::load("/etc/ceph/ceph.conf".as_ref())?;
//! let cluster = Cluster::connect(&conf).await?;
//! let pool = cluster.pool("rbd").await?;
//! pool.write_full("greeting", "hello").await?;
//! assert_eq!(pool.read("greeting", 0, 100).await?, "hello");
//! cluster.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! It speaks Ceph's protocol, so it drives real Ceph as well (auth `none` today). What is in flight
//! is bounded; a dropped future cancels its operation and leaves nothing behind.

#![forbid(unsafe_code)]

mod blocklist;
mod cluster;
pub mod conf;
mod driver;
mod error;
mod mon_host;
mod operation;
mod pool;
mod watch;

pub use cluster::{Cluster, CommandReply};
pub use conf::Conf;
pub use error::RadosError;
pub use operation::Operation;
pub use pool::{Listed, Pool, Stat};
pub use seabed_objecter::{NotifyEnd, OpReply};
pub use watch::{Notification, Watch, Watcher};
