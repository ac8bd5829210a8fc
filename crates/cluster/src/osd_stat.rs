//! What an OSD reports of itself and its pools: `osd_stat_t`, `store_statfs_t`, `pool_stat_t`.

use std::collections::BTreeMap;

use seabed_denc::{plain, versioned};

use crate::pg::ObjectStatCollection;
use crate::{Epoch, OsdId};

versioned! {
    /// `store_statfs_t` v1: bytes of a store, or of a pool's part of it.
    pub struct StoreStatfs(1, 1) {
        total: i64,
        available: i64,
        internally_reserved: i64,
        allocated: i64,
        data_stored: i64,
        data_compressed: i64,
        data_compressed_allocated: i64,
        data_compressed_original: i64,
        omap_allocated: i64,
        internal_metadata: i64,
    }
}

versioned! {
    /// `objectstore_perf_stat_t` v1.
    pub struct StorePerf(1, 1) {
        commit_latency_ms: u32,
        apply_latency_ms: u32,
    }
}

versioned! {
    /// `pow2_hist_t` v1.
    pub struct Pow2Hist(1, 1) {
        buckets: Vec<i32>,
    }
}

plain! {
    /// Round trips to one peer in microseconds, over 1, 5 and 15 minutes.
    pub struct PingTimes {
        osd: OsdId,
        last_update: u32,
        back_average: (u32, u32, u32),
        back_min: (u32, u32, u32),
        back_max: (u32, u32, u32),
        back_last: u32,
        front_average: (u32, u32, u32),
        front_min: (u32, u32, u32),
        front_max: (u32, u32, u32),
        front_last: u32,
    }
}

versioned! {
    /// `osd_stat_t` v14.
    pub struct OsdStat(14, 2) {
        kb: i64,
        kb_used: i64,
        kb_available: i64,
        snap_trim_queue_len: i32,
        num_snap_trimming: i32,
        heartbeat_peers: Vec<OsdId>,
        /// Formerly outgoing heartbeat peers; 0.
        heartbeat_out: u32,
        op_queue_age: Pow2Hist,
        perf: StorePerf,
        up_from: Epoch,
        /// `up_from << 32 | counter`.
        seq: u64,
        num_pgs: u32,
        kb_used_data: i64,
        kb_used_omap: i64,
        kb_used_meta: i64,
        statfs: StoreStatfs,
        /// By OSD: name and text.
        alerts: BTreeMap<i32, BTreeMap<String, String>>,
        num_shards_repaired: i64,
        num_osds: i32,
        num_per_pool_osds: i32,
        num_per_pool_omap_osds: i32,
        ping_times: Vec<PingTimes> [since 14],
    }
}

versioned! {
    /// `pool_stat_t` v7.
    pub struct PoolStat(7, 5) {
        stats: ObjectStatCollection,
        log_size: i64,
        ondisk_log_size: i64,
        up: i32,
        acting: i32,
        store: StoreStatfs,
        num_store_stats: u32,
    }
}
