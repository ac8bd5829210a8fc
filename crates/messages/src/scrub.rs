//! Scrub: reserve, ask a replica for its objects in a range, and its answer.
//!
//! ```text
//! scrub_reserve (92) v1: spg; e; s32 type; osd from     (20.2: v3, u32 and u8 more)
//! rep_scrub (93) v9: pg; ev scrub_from; ev scrub_to; e; bool chunky; hobject start; hobject end;
//!   bool deep; s8 shard; u32 seed; e min; bool allow_preemption; s32 priority; bool high_priority
//! rep_scrubmap (117) v2: spg; e; osd from; bool preempted           data: ScrubMap
//! scrub2 (121): fsid; e; list<spg>; bool repair; bool deep          (manager to OSD)
//! ```

use seabed_cluster::{EVersion, Epoch, HObject, PgId, PgShard, ScrubMap, SpgId, Uuid};
use seabed_denc::wire_enum;

use crate::declare::message;

wire_enum! {
    /// What a [`MScrubReserve`] is.
    #[derive(Default)]
    pub enum ScrubReserveOp: i32 {
        #[default]
        Request = 0,
        Grant = 1,
        Release = 2,
        Reject = 3,
    }
}

message! {
    /// Asks a replica whether it can take part in a scrub.
    pub struct MScrubReserve {
        pg: SpgId,
        epoch: Epoch,
        op: ScrubReserveOp,
        from: PgShard,
    }
}

message! {
    /// Asks a replica for its map of a range of objects.
    pub struct MRepScrub {
        pg: PgId,
        scrub_from: EVersion,
        /// The last log entry that touches the range: wait until it is applied.
        scrub_to: EVersion,
        epoch: Epoch,
        chunky: bool = true,
        start: HObject,
        /// Exclusive.
        end: HObject,
        deep: bool,
        shard: i8 = -1,
        seed: u32 = u32::MAX,
        min_epoch: Epoch [since 7],
        allow_preemption: bool [since 8],
        priority: i32 [since 9],
        high_priority: bool [since 9],
    }
}

message! {
    /// Its answer.
    pub struct MRepScrubMap {
        pg: SpgId,
        /// The request's `min_epoch`.
        epoch: Epoch,
        from: PgShard,
        preempted: bool [since 2],
    }
    data map: Option<ScrubMap>;
}

message! {
    /// The manager asks an OSD to scrub PGs.
    pub struct MOsdScrub2 {
        fsid: Uuid,
        epoch: Epoch,
        pgs: Vec<SpgId>,
        repair: bool,
        deep: bool,
    }
}
