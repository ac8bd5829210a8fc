//! The map of OSDs and pools: its states, its changes, and placement by it.
//!
//! [`OsdMap`] is one epoch; [`Incremental`] leads from one epoch to the next. The monitor makes
//! them, everyone else applies them and must arrive at the same bytes: the checksum of the full
//! map travels with each change.

mod compat;
pub(crate) mod dump;
mod interval_set;
mod map;
mod map_codec;
mod osd;
mod placement;
mod pool;
mod pool_codec;
mod print;

mod apply;
pub mod flag;
pub mod incremental;
mod incremental_codec;

pub use apply::MAX_OSD;
pub use incremental::Incremental;
pub use interval_set::IntervalSet;
pub use map::{CodecState, MapError, Mapping, OsdMap, StretchMode};
pub use osd::{OsdAddrs, OsdInfo, OsdXInfo};
pub use placement::Scratch;
pub use pool::{
    HitSetParams, OptValue, PgMergeMeta, Pool, PoolCacheMode, PoolKind, PoolOpts, PoolSnapInfo,
    pool_flag, pool_opt,
};
