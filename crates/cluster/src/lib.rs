//! The types of a cluster: ids, addresses, versions, objects and the maps.
//!
//! Everything that more than one daemon speaks about lives here, with Ceph's own encoding. The
//! maps ([`OsdMap`], [`Incremental`], [`MonMap`]) carry the truth of the cluster; placement turns
//! an object's name into a PG and a PG into OSDs, bit for bit as Ceph does.
//!
//! Invariants: no clock, no I/O; decoding never panics; what was decoded re-encodes to the same
//! bytes for the features it was encoded with.

#![forbid(unsafe_code)]

mod addr;
pub mod admin;
pub mod cli;
mod collection;
mod errno;
pub mod features;
mod ids;
mod monmap;
mod monmap_dump;
mod object;
mod object_info;
pub mod options;
mod osd_stat;
pub mod osdmap;
pub mod pg;
mod pgid;
mod release;
mod scrub_map;
mod snapset;
mod span;
mod strhash;
mod superblock;
mod tail;
mod text;
mod time;
mod version;

pub use addr::{AddrKind, EntityAddr, EntityAddrVec};
pub use collection::Collection;
pub use errno::Errno;
pub use features as feature;
pub use ids::{EntityName, EntityType, Epoch, GlobalId, OsdId, PoolId, ReqId, SnapId, Uuid};
pub use monmap::{MonInfo, MonMap, mon_feature};
pub use object::{GhObject, HObject, ObjectLocator};
pub use object_info::{ObjectInfo, WatchInfo, object_flag};
pub use osd_stat::{OsdStat, PingTimes, PoolStat, Pow2Hist, StorePerf, StoreStatfs};
pub use osdmap::{
    Incremental, IntervalSet, MapError, Mapping, OsdAddrs, OsdInfo, OsdMap, OsdXInfo, Pool,
    PoolKind, PoolSnapInfo,
};
pub use pg::*;
pub use pgid::{PgId, SpgId};
pub use release::release_name;
pub use scrub_map::{ScrubMap, ScrubObject};
pub use snapset::SnapSet;
pub use span::Span;
pub use strhash::{hash_linux, hash_rjenkins};
pub use superblock::{CompatSet, FeatureSet, OsdSuperblock};
pub use tail::Tail;
pub use time::{Now, Time, UTime};
pub use version::EVersion;
