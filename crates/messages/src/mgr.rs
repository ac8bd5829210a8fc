//! The manager: its map, its sessions with daemons, and what it tells the monitor.
//!
//! ```text
//! mgr_open (0x700) v3: str name; str service; bool [map metadata; map status]; bl config;
//!   bl defaults
//! mgr_configure (0x701) v4: u32 period; u32 threshold; map queries; bool metric config
//! mgr_report (0x702) v9: str name; list<type> declare; bl packed; list<str> undeclare;
//!   str service;
//!   bool [map status]; list<health>; bl config; map osd_perf; bool [map tasks]; bool [metrics]
//! mgr_beacon (0x703) v11, service_map (0x707): not looked into
//! mgr_map (0x704): ENCODE(12,6), see MgrMap        mgr_digest (0x705): bl status; bl health
//! mon_mgr_report (0x706) v3: paxos; checks; bl service_map; map progress; u64 gid
//!   data: PGMapDigest
//! mgr_close (0x708): str name; str service
//! pg_stats (87) v2: paxos; fsid; osd_stat; map<pg, pg_stat>; e; utime 0; map<s64, statfs>
//! ```

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{
    EntityAddrVec, Epoch, IntervalSet, OsdId, OsdStat, PgId, PgStat, PoolId, PoolStat, StoreStatfs,
    UTime, Uuid,
};
use seabed_denc::{Bytes, plain, versioned};

use crate::Paxos;
use crate::declare::{Opaque, message};

versioned! {
    /// `MgrMap` v12. Without a manager everything is empty, `available` false, `epoch` at least 1.
    /// Standbys and modules are not looked into.
    pub struct MgrMap(12, 6) {
        epoch: Epoch,
        active_addrs: EntityAddrVec,
        active_gid: u64,
        available: bool,
        active_name: String,
        standbys: BTreeMap<u64, Opaque>,
        /// Modules that are on.
        modules: BTreeSet<String>,
        /// URIs by name.
        services: BTreeMap<String, String>,
        available_modules: Vec<Opaque>,
        active_change: UTime,
        always_on_modules: BTreeMap<u32, BTreeSet<String>>,
        active_mgr_features: u64,
        last_failure_osd_epoch: Epoch,
        clients: Vec<EntityAddrVec> [since 11],
        client_names: Vec<String> [since 12],
    }
}

message! {
    /// Who the manager is.
    pub struct MMgrMap {
        map: MgrMap,
    }
}

plain! {
    /// What a service says of itself.
    pub struct ServiceDaemon {
        metadata: BTreeMap<String, String>,
        status: BTreeMap<String, String>,
    }
}

message! {
    /// A daemon opens its session with the manager.
    pub struct MMgrOpen {
        daemon_name: String,
        service_name: String,
        service: Option<ServiceDaemon>,
        config: Bytes [since 3],
        config_defaults: Bytes [since 3],
    }
}

message! {
    /// The manager's answer: how often to report.
    pub struct MMgrConfigure {
        period_seconds: u32,
        threshold: u32,
        /// Number of queries; ours has none. Those of others stay behind the fields.
        queries: u32,
        metric_config: bool,
    }
}

message! {
    /// Either end closes the session.
    pub struct MMgrClose {
        daemon_name: String,
        service_name: String,
    }
}

versioned! {
    /// `PerfCounterType` v3.
    pub struct CounterType(3, 1) {
        path: String,
        description: String,
        nick: String,
        kind: u8,
        priority: u8,
        unit: u8,
    }
}

versioned! {
    /// `DaemonHealthMetric` v1.
    pub struct HealthMetric(1, 1) {
        /// 0 slow ops, 1 PGs waiting for creation.
        kind: u8,
        value: u64,
    }
}

plain! {
    /// Metrics that the manager asked for: a kind, and the reports in an envelope.
    pub struct MetricReport {
        kind: u32,
        report: Opaque,
    }
}

message! {
    /// A daemon's counters and troubles.
    pub struct MMgrReport {
        daemon_name: String,
        declare_types: Vec<CounterType>,
        /// Values of the declared counters in order of their paths.
        packed: Bytes = Bytes::from_static(&[1, 1, 0, 0, 0, 0]),
        undeclare_types: Vec<String>,
        service_name: String,
        daemon_status: Option<BTreeMap<String, String>>,
        health_metrics: Vec<HealthMetric>,
        config: Bytes,
        /// Number of performance queries answered; ours has none.
        osd_perf: u32,
        task_status: Option<BTreeMap<String, String>>,
        metric_report: Option<MetricReport> [since 9],
    }
}

message! {
    /// A manager lives.
    pub struct MMgrBeacon {}
}

message! {
    /// What the monitor tells the manager of itself.
    pub struct MMgrDigest {
        mon_status: Bytes,
        health: Bytes,
    }
}

message! {
    /// The services of the cluster.
    pub struct MServiceMap {}
}

versioned! {
    /// `health_check_t` v2.
    pub struct HealthCheck(2, 1) {
        /// 1 warning, 0 error.
        severity: u8,
        summary: String,
        detail: Vec<String>,
        count: i64 [since 2],
    }
}

versioned! {
    /// `health_check_map_t` v1.
    pub struct HealthChecks(1, 1) {
        checks: BTreeMap<String, HealthCheck>,
    }
}

versioned! {
    /// `ProgressEvent` v2.
    pub struct ProgressEvent(2, 1) {
        message: String,
        /// Bits of an `f32`.
        progress_bits: u32,
        add_to_ceph_s: bool [since 2],
    }
}

plain! {
    /// How many PGs lie on an OSD.
    pub struct OsdPgCounts {
        acting: i32,
        up_not_acting: i32,
        primary: i32,
    }
}

versioned! {
    /// `PGMapDigest` v4. Maps come in any order, which is kept.
    pub struct PgMapDigest(4, 1) {
        num_pg: i64,
        num_pg_active: i64,
        num_pg_unknown: i64,
        num_osd: i64,
        pg_pool_sum: Vec<(i32, PoolStat)>,
        pg_sum: PoolStat,
        osd_sum: OsdStat,
        /// By state bits.
        num_pg_by_state: Vec<(u64, i32)>,
        num_pg_by_osd: Vec<(OsdId, OsdPgCounts)>,
        num_pg_by_pool: Vec<(PoolId, i64)>,
        osd_last_seq: Vec<u64>,
        per_pool_sum_delta: Vec<(PoolId, (PoolStat, UTime))>,
        per_pool_sum_deltas_stamps: Vec<(PoolId, UTime)>,
        pg_sum_delta: PoolStat,
        stamp_delta: UTime,
        avail_space_by_rule: Vec<(i32, i64)>,
        purged_snaps: Vec<(PoolId, IntervalSet)>,
        osd_sum_by_class: Vec<(String, OsdStat)>,
    }
}

message! {
    /// The manager's summary for the monitor.
    pub struct MMonMgrReport {
        paxos: Paxos,
        health_checks: HealthChecks,
        service_map: Bytes,
        progress_events: BTreeMap<String, ProgressEvent> [since 2],
        gid: u64 [since 3],
    }
    data digest: Option<PgMapDigest>;
}

message! {
    /// An OSD's use and the state of the PGs it leads. The manager takes it, or our monitor.
    pub struct MPgStats {
        paxos: Paxos,
        fsid: Uuid,
        osd_stat: OsdStat,
        pg_stats: BTreeMap<PgId, PgStat>,
        epoch: Epoch,
        had_map_for: UTime,
        pool_stats: BTreeMap<PoolId, StoreStatfs> [since 2],
    }
}
