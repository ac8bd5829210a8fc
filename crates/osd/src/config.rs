//! What an OSD is told about itself when it starts, and what its options make of that.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::{OsdAddrs, OsdId, Uuid, feature};
use seabed_pg::PgConfig;

/// The OSD's identity, addresses and times; defaults are Ceph's where Ceph has the option.
#[derive(Debug, Clone, PartialEq)]
pub struct OsdConfig {
    /// The cluster.
    pub fsid: Uuid,
    /// Which OSD.
    pub whoami: OsdId,
    /// Where it listens.
    pub addrs: OsdAddrs,
    /// Told to the monitor at boot: host name, version and so on.
    pub metadata: BTreeMap<String, String>,
    /// Claimed to the monitor.
    pub features: u64,
    /// How often peers are pinged (`osd_heartbeat_interval`).
    pub heartbeat_interval: Duration,
    /// Silence after which a peer is reported (`osd_heartbeat_grace`).
    pub heartbeat_grace: Duration,
    /// How often statistics are reported.
    pub stats_interval: Duration,
    /// How often the monitor is told that we live (`osd_beacon_report_interval`).
    pub beacon_interval: Duration,
    /// How long an unanswered boot or question for maps waits.
    pub retry: Duration,
    /// Maps kept on disk at least (`osd_map_cache_size` is 50 there, the monitor keeps 500).
    pub maps_kept: u32,
    /// Maps in one message (`osd_map_message_max`).
    pub maps_sent: usize,
    /// Messages that may wait for a newer map.
    pub waiting_max: usize,
    /// Objects removed at once of a PG that is not wanted any more.
    pub removal_step: usize,
    /// `osd_max_trimming_pgs`: PGs that trim clones at the same time.
    pub trimming_pgs: usize,
    /// `osd_scrub_min_interval`: how often clones of purged snapshots are looked for.
    pub purged_look_interval: Duration,
    /// `osd_failsafe_full_ratio`: the used part of the disk above which no write is taken that
    /// needs room, even before the map says so.
    pub failsafe_full_ratio: f64,
    /// What copies of objects may take.
    pub copies: CopyLimits,
    /// What benchmarks may take.
    pub bench: BenchLimits,
    /// Options of the conf file, by name; those of others may be among them.
    pub file: BTreeMap<String, String>,
    /// Limits and times of PGs.
    pub pg: PgConfig,
}

/// Limits of objects that are gathered from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes asked for at once (`osd_copyfrom_max_chunk`).
    pub chunk: u64,
    /// Bytes of all that are gathered at a time, and of those that are not on disk yet.
    pub bytes_max: u64,
    /// How long an OSD that was lost is left alone.
    pub pause: Duration,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { chunk: 8 << 20, bytes_max: 256 << 20, pause: Duration::from_secs(1) }
    }
}

/// Limits of a benchmark (`ceph tell osd.N bench`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchLimits {
    /// Bytes of one write (`osd_bench_max_block_size`).
    pub block_max: u64,
    /// Small writes per second counted on (`osd_bench_small_size_max_iops`).
    pub small_iops: u64,
    /// Bytes per second of large writes counted on (`osd_bench_large_size_max_throughput`).
    pub large_throughput: u64,
    /// Seconds that it may take so (`osd_bench_duration`).
    pub seconds: u64,
}

impl Default for BenchLimits {
    fn default() -> Self {
        Self { block_max: 64 << 20, small_iops: 100, large_throughput: 100 << 20, seconds: 30 }
    }
}

impl OsdConfig {
    /// Defaults for an OSD of a cluster.
    pub fn new(fsid: Uuid, whoami: OsdId, addrs: OsdAddrs) -> Self {
        OsdConfig {
            fsid,
            whoami,
            addrs,
            metadata: BTreeMap::new(),
            features: feature::PACIFIC_ALL,
            heartbeat_interval: Duration::from_secs(6),
            heartbeat_grace: Duration::from_secs(20),
            stats_interval: Duration::from_secs(5),
            beacon_interval: Duration::from_secs(300),
            retry: Duration::from_secs(5),
            maps_kept: 500,
            maps_sent: 40,
            waiting_max: 100_000,
            removal_step: 128,
            trimming_pgs: 2,
            purged_look_interval: Duration::from_secs(86_400),
            failsafe_full_ratio: 0.97,
            copies: CopyLimits::default(),
            bench: BenchLimits::default(),
            file: BTreeMap::new(),
            pg: PgConfig::default(),
        }
    }
}
