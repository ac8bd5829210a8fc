//! Images: block devices kept in objects, in Ceph's format 2.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use seabed_rados::{Cluster, Conf};
//! use seabed_rbd::{CreateOptions, Image, Images};
//!
//! let cluster = Cluster::connect(&Conf::load("/etc/ceph/ceph.conf".as_ref())?).await?;
//! let images = Images::new(cluster.pool("rbd").await?);
//! images.create("disk", &CreateOptions::sized(10 << 30)).await?;
//! let image = Image::open(&images, "disk").await?;
//! image.write(4096, "hello").await?;
//! assert_eq!(image.read(4096, 5).await?, "hello");
//! image.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! It speaks to any cluster that speaks Ceph's protocol, and shares images with librbd: layout,
//! exclusive lock, object map and the words that clients say to each other are Ceph's.
//!
//! Rules (`layout`, `notice`, `object_map`, `header`) are pure; the others do what they say.
//!
//! Invariants: nothing is written to an image that has a feature this crate does not keep
//! ([`RbdError::Unsupported`]); an image with the exclusive lock is written only by its holder; the
//! object map says that an object may exist before the object does. Whatever a server answers,
//! nothing here panics.

#![forbid(unsafe_code)]

mod call;
mod clone;
mod copy;
mod create;
mod diff;
mod error;
mod export;
mod extents;
mod fast_diff;
mod feature;
mod group;
mod group_snapshot;
mod header;
mod image;
mod images;
mod io;
mod layout;
mod lock;
mod map_check;
mod metadata;
mod names;
mod namespace;
mod notice;
mod object_map;
mod owner;
mod parallel;
mod remove;
mod rename;
mod resize;
mod snapshot;
mod stream;
mod target;
mod trash;
mod usage;
mod watcher;

pub use clone::CloneVersion;
pub use create::CreateOptions;
pub use diff::Extent;
pub use error::RbdError;
pub use export::{ImageArchive, ImageArchiveReader};
pub use feature::{DEFAULT_FEATURES, feature_names, features_not_kept};
pub use group::{GroupImage, Groups};
pub use group_snapshot::GroupSnapshotInfo;
pub use header::{Header, Parent, Snapshot};
pub use image::{Access, Image};
pub use images::Images;
pub use layout::{Layout, Piece};
pub use map_check::MapCheck;
pub use namespace::{create_namespace, namespaces, remove_namespace};
pub use remove::Progress;
pub use seabed_classes::rbd::wire::{ParentImageSpec, SnapshotNamespace, feature as feature_bits};
pub use stream::{DiffFormat, DiffReader, DiffRecord};
pub use trash::Trashed;
pub use usage::{Child, LockOwner};
