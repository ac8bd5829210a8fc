//! `pg_stat_t` and the counters in it: what a primary reports of its PG.

use std::collections::{BTreeMap, BTreeSet};

use seabed_denc::versioned;

use super::PgShard;
use crate::{EVersion, Epoch, IntervalSet, OsdId, PgId, UTime};

/// Bits of a PG's state ([`PgStat::state`]).
#[allow(missing_docs)]
pub mod pg_state {
    pub const CREATING: u64 = 1 << 0;
    pub const ACTIVE: u64 = 1 << 1;
    pub const CLEAN: u64 = 1 << 2;
    pub const DOWN: u64 = 1 << 4;
    pub const RECOVERY_UNFOUND: u64 = 1 << 5;
    pub const BACKFILL_UNFOUND: u64 = 1 << 6;
    pub const PREMERGE: u64 = 1 << 7;
    pub const SCRUBBING: u64 = 1 << 8;
    pub const DEGRADED: u64 = 1 << 10;
    pub const INCONSISTENT: u64 = 1 << 11;
    pub const PEERING: u64 = 1 << 12;
    pub const REPAIR: u64 = 1 << 13;
    pub const RECOVERING: u64 = 1 << 14;
    pub const BACKFILL_WAIT: u64 = 1 << 15;
    pub const INCOMPLETE: u64 = 1 << 16;
    pub const STALE: u64 = 1 << 17;
    pub const REMAPPED: u64 = 1 << 18;
    pub const DEEP_SCRUB: u64 = 1 << 19;
    pub const BACKFILLING: u64 = 1 << 20;
    pub const BACKFILL_TOOFULL: u64 = 1 << 21;
    pub const RECOVERY_WAIT: u64 = 1 << 22;
    pub const UNDERSIZED: u64 = 1 << 23;
    pub const ACTIVATING: u64 = 1 << 24;
    pub const PEERED: u64 = 1 << 25;
    pub const SNAPTRIM: u64 = 1 << 26;
    pub const SNAPTRIM_WAIT: u64 = 1 << 27;
    pub const RECOVERY_TOOFULL: u64 = 1 << 28;
    pub const SNAPTRIM_ERROR: u64 = 1 << 29;
    pub const FORCED_RECOVERY: u64 = 1 << 30;
    pub const FORCED_BACKFILL: u64 = 1 << 31;
    pub const FAILED_REPAIR: u64 = 1 << 32;
    pub const LAGGY: u64 = 1 << 33;
    pub const WAIT: u64 = 1 << 34;

    /// Names as Ceph prints them, in its order.
    pub const NAMES: [(u64, &str); 33] = [
        (STALE, "stale"),
        (CREATING, "creating"),
        (ACTIVE, "active"),
        (ACTIVATING, "activating"),
        (CLEAN, "clean"),
        (RECOVERY_WAIT, "recovery_wait"),
        (RECOVERY_TOOFULL, "recovery_toofull"),
        (RECOVERING, "recovering"),
        (FORCED_RECOVERY, "forced_recovery"),
        (DOWN, "down"),
        (RECOVERY_UNFOUND, "recovery_unfound"),
        (BACKFILL_UNFOUND, "backfill_unfound"),
        (UNDERSIZED, "undersized"),
        (DEGRADED, "degraded"),
        (REMAPPED, "remapped"),
        (PREMERGE, "premerge"),
        (SCRUBBING, "scrubbing"),
        (DEEP_SCRUB, "deep"),
        (INCONSISTENT, "inconsistent"),
        (PEERING, "peering"),
        (REPAIR, "repair"),
        (BACKFILL_WAIT, "backfill_wait"),
        (BACKFILLING, "backfilling"),
        (FORCED_BACKFILL, "forced_backfill"),
        (BACKFILL_TOOFULL, "backfill_toofull"),
        (INCOMPLETE, "incomplete"),
        (PEERED, "peered"),
        (SNAPTRIM, "snaptrim"),
        (SNAPTRIM_WAIT, "snaptrim_wait"),
        (SNAPTRIM_ERROR, "snaptrim_error"),
        (FAILED_REPAIR, "failed_repair"),
        (LAGGY, "laggy"),
        (WAIT, "wait"),
    ];
}

versioned! {
    /// `object_stat_sum_t` v20: counters of objects and of work done on them.
    pub struct ObjectStatSum(20, 14) {
        num_bytes: i64,
        num_objects: i64,
        num_object_clones: i64,
        num_object_copies: i64,
        num_objects_missing_on_primary: i64,
        num_objects_degraded: i64,
        num_objects_unfound: i64,
        num_rd: i64,
        num_rd_kb: i64,
        num_wr: i64,
        num_wr_kb: i64,
        num_scrub_errors: i64,
        num_objects_recovered: i64,
        num_bytes_recovered: i64,
        num_keys_recovered: i64,
        num_shallow_scrub_errors: i64,
        num_deep_scrub_errors: i64,
        num_objects_dirty: i64,
        num_whiteouts: i64,
        num_objects_omap: i64,
        num_objects_hit_set_archive: i64,
        num_objects_misplaced: i64,
        num_bytes_hit_set_archive: i64,
        num_flush: i64,
        num_flush_kb: i64,
        num_evict: i64,
        num_evict_kb: i64,
        num_promote: i64,
        num_flush_mode_high: i32,
        num_flush_mode_low: i32,
        num_evict_mode_some: i32,
        num_evict_mode_full: i32,
        num_objects_pinned: i64,
        num_objects_missing: i64 [since 16],
        num_legacy_snapsets: i64 [since 17],
        num_large_omap_objects: i64 [since 17],
        num_objects_manifest: i64 [since 18],
        num_omap_bytes: i64 [since 19],
        num_omap_keys: i64 [since 19],
        num_objects_repaired: i64 [since 20],
    }
}

/// Applies `$op` to each counter pair.
macro_rules! for_counters {
    ($a:ident $op:tt $b:ident: $($field:ident)*) => { $( $a.$field $op $b.$field; )* };
}

impl ObjectStatSum {
    /// Adds `other` to each counter. Sums of what daemons report stay far from the ends of `i64`.
    pub fn add(&mut self, other: &ObjectStatSum) {
        let a = self;
        for_counters!(a += other: num_bytes num_objects num_object_clones num_object_copies
            num_objects_missing_on_primary num_objects_degraded num_objects_unfound num_rd
            num_rd_kb num_wr num_wr_kb num_scrub_errors num_objects_recovered num_bytes_recovered
            num_keys_recovered num_shallow_scrub_errors num_deep_scrub_errors num_objects_dirty
            num_whiteouts num_objects_omap num_objects_hit_set_archive num_objects_misplaced
            num_bytes_hit_set_archive num_flush num_flush_kb num_evict num_evict_kb num_promote
            num_flush_mode_high num_flush_mode_low num_evict_mode_some num_evict_mode_full
            num_objects_pinned num_objects_missing num_legacy_snapsets num_large_omap_objects
            num_objects_manifest num_omap_bytes num_omap_keys num_objects_repaired);
    }
}

versioned! {
    /// `object_stat_collection_t` v2.
    pub struct ObjectStatCollection(2, 2) {
        sum: ObjectStatSum,
        /// Formerly a map of categories; 0.
        categories: u32,
    }
}

versioned! {
    /// `pg_stat_t` v26. The state stands in two halves, see [`PgStat::state`].
    pub struct PgStat(26, 22) {
        version: EVersion,
        /// Counts reports; the newest (epoch, seq) wins.
        reported_seq: u64,
        reported_epoch: Epoch,
        state_low: u32,
        log_start: EVersion,
        ondisk_log_start: EVersion,
        created: Epoch,
        last_epoch_clean: Epoch,
        parent: PgId,
        parent_split_bits: u32,
        last_scrub: EVersion,
        last_scrub_stamp: UTime,
        stats: ObjectStatCollection,
        log_size: i64,
        ondisk_log_size: i64,
        up: Vec<OsdId>,
        acting: Vec<OsdId>,
        last_fresh: UTime,
        last_change: UTime,
        last_active: UTime,
        last_clean: UTime,
        last_unstale: UTime,
        mapping_epoch: Epoch,
        last_deep_scrub: EVersion,
        last_deep_scrub_stamp: UTime,
        stats_invalid: bool,
        last_clean_scrub_stamp: UTime,
        last_became_active: UTime,
        dirty_stats_invalid: bool,
        up_primary: OsdId = OsdId(-1),
        acting_primary: OsdId = OsdId(-1),
        omap_stats_invalid: bool,
        hitset_stats_invalid: bool,
        blocked_by: Vec<OsdId>,
        last_undegraded: UTime,
        last_fullsized: UTime,
        hitset_bytes_stats_invalid: bool,
        last_peered: UTime,
        last_became_peered: UTime,
        pin_stats_invalid: bool,
        snaptrimq_len: u32 [since 23],
        state_high: u32 [since 24],
        purged_snaps: IntervalSet [since 24],
        manifest_stats_invalid: bool [since 25],
        avail_no_missing: Vec<PgShard> [since 26],
        object_location_counts: BTreeMap<BTreeSet<PgShard>, i32> [since 26],
    }
}

impl PgStat {
    /// Bits of [`pg_state`].
    pub fn state(&self) -> u64 {
        u64::from(self.state_high) << 32 | u64::from(self.state_low)
    }

    /// Sets the bits of [`pg_state`].
    pub fn set_state(&mut self, state: u64) {
        self.state_low = state as u32;
        self.state_high = (state >> 32) as u32;
    }

    /// The state as Ceph prints it: names joined by `+`, `unknown` for none.
    pub fn state_text(state: u64) -> String {
        let names: Vec<&str> =
            pg_state::NAMES.iter().filter(|(bit, _)| state & bit != 0).map(|(_, n)| *n).collect();
        if names.is_empty() { "unknown".into() } else { names.join("+") }
    }

    /// True if it is the name of a state.
    pub fn is_state_name(word: &str) -> bool {
        pg_state::NAMES.iter().any(|(_, name)| *name == word)
    }
}
