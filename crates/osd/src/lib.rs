//! One OSD as a pure state machine: boot, maps, heartbeats, the table of PGs, and the doors through
//! which clients and other OSDs reach them.
//!
//! ```text
//! let tx = osd::mkfs(store, fsid, whoami, osd_uuid)?;           // once
//! let mut osd = Osd::start(config, &mut store, now, &mut out)?; // each start
//! osd.step(now, Input::…, &mut store, &mut out);                // for everything that happens
//! osd.wake_at()                                                 // when Input::Tick is due
//! ```
//!
//! After each step the caller takes [`Outbox::sent`] (each message may leave at once, in this order
//! for each peer), `lines` (the log), `closed` (sessions to end) and `stop` (the process must end;
//! the store or the OSD is broken, or the OSD was told to stop). It polls the store's `committed`
//! and hands the result in as [`Input::Committed`]. Dialling is the caller's: to [`Peer::Osd`] by
//! the cluster address of the map ([`Osd::map`]), lossless; to `HeartbeatBack`/`HeartbeatFront`
//! by the heartbeat addresses, lossy; to `OsdPublic` by the public address, lossy. That a lossy
//! session is gone, or that its dial was refused, is told as [`Input::PeerReset`].
//! Messages to an OSD that is down in the map need not be sent.
//!
//! Invariants: the same state and inputs give the same outputs; PGs see every epoch in order; a
//! message of an epoch that is not known yet waits, in order, until it is; queues are bounded.

#![forbid(unsafe_code)]

mod about;
mod bench;
mod boot;
mod config;
mod door;
mod fetch;
mod heartbeat;
mod input;
mod maps;
mod options;
mod osd;
mod peers;
mod pg_query;
mod purged;
mod stats;
mod table;
mod tell;
mod trimming;

pub use config::{BenchLimits, CopyLimits, OsdConfig};
pub use input::Input;
pub use osd::{Osd, StartError, mkfs};
pub use seabed_pg::{Level, Outbox, Peer, PgConfig, SessionId};

/// The form in which maps and the superblock are written.
pub(crate) const WIRE: seabed_denc::Features = seabed_cluster::feature::PACIFIC_ALL;
