//! A PG as JSON: the fields of `ceph pg dump` and `ceph pg query`, in their order.

use serde_json::{Value, json};

use super::{ObjectStatSum, PgHistory, PgInfo, PgStat};
use crate::osdmap::dump::join;
use crate::{IntervalSet, OsdId};

fn ids(osds: &[OsdId]) -> Vec<i32> {
    osds.iter().map(|o| o.0).collect()
}

fn snaps(set: &IntervalSet) -> Vec<Value> {
    // Ceph prints them as snap ids: hexadecimal texts.
    let text = |n: u64| format!("{n:x}");
    set.iter().map(|(start, len)| json!({"start": text(start), "length": text(len)})).collect()
}

impl ObjectStatSum {
    /// `object_stat_sum_t` in JSON.
    pub fn dump(&self) -> Value {
        json!({
            "num_bytes": self.num_bytes,
            "num_objects": self.num_objects,
            "num_object_clones": self.num_object_clones,
            "num_object_copies": self.num_object_copies,
            "num_objects_missing_on_primary": self.num_objects_missing_on_primary,
            "num_objects_missing": self.num_objects_missing,
            "num_objects_degraded": self.num_objects_degraded,
            "num_objects_misplaced": self.num_objects_misplaced,
            "num_objects_unfound": self.num_objects_unfound,
            "num_objects_dirty": self.num_objects_dirty,
            "num_whiteouts": self.num_whiteouts,
            "num_read": self.num_rd,
            "num_read_kb": self.num_rd_kb,
            "num_write": self.num_wr,
            "num_write_kb": self.num_wr_kb,
            "num_scrub_errors": self.num_scrub_errors,
            "num_shallow_scrub_errors": self.num_shallow_scrub_errors,
            "num_deep_scrub_errors": self.num_deep_scrub_errors,
            "num_objects_recovered": self.num_objects_recovered,
            "num_bytes_recovered": self.num_bytes_recovered,
            "num_keys_recovered": self.num_keys_recovered,
            "num_objects_omap": self.num_objects_omap,
            "num_objects_hit_set_archive": self.num_objects_hit_set_archive,
            "num_bytes_hit_set_archive": self.num_bytes_hit_set_archive,
            "num_flush": self.num_flush,
            "num_flush_kb": self.num_flush_kb,
            "num_evict": self.num_evict,
            "num_evict_kb": self.num_evict_kb,
            "num_promote": self.num_promote,
            "num_flush_mode_high": self.num_flush_mode_high,
            "num_flush_mode_low": self.num_flush_mode_low,
            "num_evict_mode_some": self.num_evict_mode_some,
            "num_evict_mode_full": self.num_evict_mode_full,
            "num_objects_pinned": self.num_objects_pinned,
            "num_legacy_snapsets": self.num_legacy_snapsets,
            "num_large_omap_objects": self.num_large_omap_objects,
            "num_objects_manifest": self.num_objects_manifest,
            "num_omap_bytes": self.num_omap_bytes,
            "num_omap_keys": self.num_omap_keys,
            "num_objects_repaired": self.num_objects_repaired,
        })
    }
}

impl PgStat {
    /// `pg_stat_t` in JSON.
    pub fn dump(&self) -> Value {
        join(self.dump_times(), self.dump_counts())
    }

    fn dump_times(&self) -> Value {
        json!({
            "version": self.version.to_string(),
            "reported_seq": self.reported_seq,
            "reported_epoch": self.reported_epoch.0,
            "state": PgStat::state_text(self.state()),
            "last_fresh": self.last_fresh.to_string(),
            "last_change": self.last_change.to_string(),
            "last_active": self.last_active.to_string(),
            "last_peered": self.last_peered.to_string(),
            "last_clean": self.last_clean.to_string(),
            "last_became_active": self.last_became_active.to_string(),
            "last_became_peered": self.last_became_peered.to_string(),
            "last_unstale": self.last_unstale.to_string(),
            "last_undegraded": self.last_undegraded.to_string(),
            "last_fullsized": self.last_fullsized.to_string(),
            "mapping_epoch": self.mapping_epoch.0,
            "log_start": self.log_start.to_string(),
            "ondisk_log_start": self.ondisk_log_start.to_string(),
            "created": self.created.0,
            "last_epoch_clean": self.last_epoch_clean.0,
            "parent": self.parent.to_string(),
            "parent_split_bits": self.parent_split_bits,
            "last_scrub": self.last_scrub.to_string(),
            "last_scrub_stamp": self.last_scrub_stamp.to_string(),
            "last_deep_scrub": self.last_deep_scrub.to_string(),
            "last_deep_scrub_stamp": self.last_deep_scrub_stamp.to_string(),
            "last_clean_scrub_stamp": self.last_clean_scrub_stamp.to_string(),
        })
    }

    fn dump_counts(&self) -> Value {
        json!({
            "log_size": self.log_size,
            "ondisk_log_size": self.ondisk_log_size,
            "stats_invalid": self.stats_invalid,
            "dirty_stats_invalid": self.dirty_stats_invalid,
            "omap_stats_invalid": self.omap_stats_invalid,
            "hitset_stats_invalid": self.hitset_stats_invalid,
            "hitset_bytes_stats_invalid": self.hitset_bytes_stats_invalid,
            "pin_stats_invalid": self.pin_stats_invalid,
            "manifest_stats_invalid": self.manifest_stats_invalid,
            "snaptrimq_len": self.snaptrimq_len,
            "stat_sum": self.stats.sum.dump(),
            "up": ids(&self.up),
            "acting": ids(&self.acting),
            "avail_no_missing": [],
            "object_location_counts": [],
            "blocked_by": ids(&self.blocked_by),
            "up_primary": self.up_primary.0,
            "acting_primary": self.acting_primary.0,
            "purged_snaps": snaps(&self.purged_snaps),
        })
    }
}

impl PgHistory {
    /// `pg_history_t` in JSON.
    pub fn dump(&self) -> Value {
        json!({
            "epoch_created": self.epoch_created.0,
            "epoch_pool_created": self.epoch_pool_created.0,
            "last_epoch_started": self.last_epoch_started.0,
            "last_interval_started": self.last_interval_started.0,
            "last_epoch_clean": self.last_epoch_clean.0,
            "last_interval_clean": self.last_interval_clean.0,
            "last_epoch_split": self.last_epoch_split.0,
            "last_epoch_marked_full": self.last_epoch_marked_full.0,
            "same_up_since": self.same_up_since.0,
            "same_interval_since": self.same_interval_since.0,
            "same_primary_since": self.same_primary_since.0,
            "last_scrub": self.last_scrub.to_string(),
            "last_scrub_stamp": self.last_scrub_stamp.to_string(),
            "last_deep_scrub": self.last_deep_scrub.to_string(),
            "last_deep_scrub_stamp": self.last_deep_scrub_stamp.to_string(),
            "last_clean_scrub_stamp": self.last_clean_scrub_stamp.to_string(),
        })
    }
}

impl PgInfo {
    /// `pg_info_t` in JSON; with `stats` where they are fresher than its own.
    pub fn dump(&self, stats: &PgStat) -> Value {
        let whole = self.last_backfill.is_max();
        json!({
            "pgid": self.pgid.to_string(),
            "last_update": self.last_update.to_string(),
            "last_complete": self.last_complete.to_string(),
            "log_tail": self.log_tail.to_string(),
            "last_user_version": self.last_user_version,
            "last_backfill": if whole { "MAX".into() } else { format!("{:?}", self.last_backfill) },
            "purged_snaps": snaps(&self.purged_snaps),
            "history": self.history.dump(),
            "stats": stats.dump(),
            "empty": i32::from(self.is_empty()),
            "dne": i32::from(self.dne()),
            "incomplete": i32::from(!whole),
            "last_epoch_started": self.last_epoch_started.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg_state;

    #[test]
    fn states_print_as_recorded() {
        use pg_state::*;
        assert_eq!(PgStat::state_text(0), "unknown");
        assert_eq!(PgStat::state_text(ACTIVE | CLEAN), "active+clean");
        assert_eq!(
            PgStat::state_text(UNDERSIZED | DEGRADED | PEERED | WAIT),
            "undersized+degraded+peered+wait"
        );
        assert_eq!(PgStat::state_text(REMAPPED | PEERING), "remapped+peering");
        assert_eq!(
            PgStat::state_text(ACTIVE | UNDERSIZED | DEGRADED | REMAPPED | BACKFILL_WAIT),
            "active+undersized+degraded+remapped+backfill_wait"
        );
        assert!(PgStat::is_state_name("peered") && !PgStat::is_state_name("unknown"));
    }
}
