//! `pg_info_t`: what one OSD knows and has of a PG.

use seabed_denc::versioned;

use super::{PgHistory, PgStat};
use crate::{EVersion, Epoch, HObject, IntervalSet, PgId, SpgId, UTime};

versioned! {
    /// `pg_hit_set_info_t` v2.
    pub struct HitSetInfo(2, 1) {
        begin: UTime,
        end: UTime,
        version: EVersion,
        using_gmt: bool [since 2] = true,
    }
}

versioned! {
    /// `pg_hit_set_history_t` v1: cache tiers only, empty elsewhere.
    pub struct HitSetHistory(1, 1) {
        current_last_update: EVersion,
        current_last_stamp: UTime,
        current_info: HitSetInfo,
        history: Vec<HitSetInfo>,
    }
}

versioned! {
    /// `pg_info_t` v32.
    pub struct PgInfo(32, 26) {
        pgid: PgId,
        /// Version of the newest entry in the log.
        last_update: EVersion,
        /// Every object is at or after its newest entry up to here.
        last_complete: EVersion,
        /// Version before the oldest entry in the log.
        log_tail: EVersion,
        /// Formerly last_backfill in another order; always the minimum.
        legacy_last_backfill: HObject = HObject::min(),
        stats: PgStat,
        history: PgHistory,
        /// Snaps whose clones are trimmed.
        purged_snaps: IntervalSet,
        /// The last epoch in which this OSD had activated the PG.
        last_epoch_started: Epoch,
        /// The newest version that a client saw.
        last_user_version: u64,
        hit_set: HitSetHistory,
        /// -1 for replicated pools.
        shard: i8 = -1,
        /// Objects before this one are there; the maximum for a whole copy.
        last_backfill: HObject = HObject::max(),
        /// last_backfill is in bit-reversed order; always true.
        last_backfill_bitwise: bool = true,
        last_interval_started: Epoch [since 32],
    }
}

impl PgInfo {
    /// An empty and whole copy of `pg`.
    pub fn new(pg: SpgId) -> Self {
        PgInfo { pgid: pg.pg, shard: pg.shard, ..Self::default() }
    }

    /// The PG with its shard.
    pub fn spg(&self) -> SpgId {
        SpgId { pg: self.pgid, shard: self.shard }
    }

    /// True if nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.last_update == EVersion::ZERO
    }

    /// True while backfill has not come to the end.
    pub fn is_incomplete(&self) -> bool {
        !self.last_backfill.max
    }

    /// True for an OSD that does not have the PG at all.
    pub fn dne(&self) -> bool {
        self.history.epoch_created == Epoch(0)
    }
}
