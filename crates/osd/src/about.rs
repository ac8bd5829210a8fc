//! What an OSD tells of itself: version, state, counters, requests under way, who is shut out.

use seabed_cluster::{EntityAddr, Now, SpgId, UTime};
use seabed_pg::{ClientOp, Pg};
use seabed_storage::{ObjectStore, StatFs};
use serde_json::{Map, Value, json};

use crate::Osd;
use crate::fetch::OURSELVES;

/// Requests that one answer shows; it says how many there are.
const OPS_SHOWN: usize = 1000;

/// A counter: its logger and name, what it counts, whether in bytes, and its value.
struct Counter {
    logger: &'static str,
    name: &'static str,
    help: &'static str,
    bytes: bool,
    value: fn(&Osd, &StatFs) -> u64,
}

const fn counter(
    logger: &'static str,
    name: &'static str,
    help: &'static str,
    value: fn(&Osd, &StatFs) -> u64,
) -> Counter {
    Counter { logger, name, help, bytes: false, value }
}

const fn bytes(name: &'static str, help: &'static str, value: fn(&Osd, &StatFs) -> u64) -> Counter {
    Counter { logger: "osd", name, help, bytes: true, value }
}

fn pgs(osd: &Osd, which: fn(&Pg) -> bool) -> u64 {
    osd.pgs.values().filter(|pg| which(pg)).count() as u64
}

/// All are gauges: what is the case now. Those of `osd` are Ceph's, those of `seabed` ours alone.
const COUNTERS: &[Counter] = &[
    counter("osd", "op_wip", "requests of clients under way", |o, _| o.num_ops() as u64),
    counter("osd", "numpg", "placement groups", |o, _| o.pgs.len() as u64),
    counter("osd", "numpg_primary", "placement groups led", |o, _| pgs(o, Pg::is_primary)),
    counter("osd", "numpg_replica", "placement groups followed", |o, _| {
        pgs(o, |pg| pg.is_member() && !pg.is_primary())
    }),
    counter("osd", "numpg_stray", "placement groups that belong elsewhere", |o, _| {
        pgs(o, |pg| !pg.is_member())
    }),
    counter("osd", "numpg_removing", "placement groups being removed", |o, _| {
        o.removing.len() as u64
    }),
    counter("osd", "heartbeat_to_peers", "OSDs that get heartbeats", |o, _| {
        o.heartbeat.peers().count() as u64
    }),
    bytes("stat_bytes", "bytes of the disk", |_, s| s.total),
    bytes("stat_bytes_used", "bytes taken", |_, s| s.total.saturating_sub(s.available)),
    bytes("stat_bytes_avail", "bytes left", |_, s| s.available),
    counter("seabed", "map_epoch", "epoch of the newest map", |o, _| o.epoch().0.into()),
    counter("seabed", "num_sessions", "sessions of clients", |o, _| {
        o.sessions.keys().filter(|s| **s != OURSELVES).count() as u64
    }),
    counter("seabed", "waiting_for_map", "messages that wait for a map", |o, _| {
        o.waiting_map.len() as u64
    }),
];

impl Osd {
    pub(crate) fn version(&self) -> Value {
        let text = |key: &str| self.config.metadata.get(key).cloned().unwrap_or_default();
        let whole = text("ceph_version");
        let kind = whole.rsplit(' ').next().unwrap_or_default().trim_matches(['(', ')']);
        json!({
            "version": text("ceph_version_short"),
            "release": text("ceph_release"),
            "release_type": kind,
        })
    }

    pub(crate) fn status(&self) -> Value {
        let block = &self.maps.superblock;
        json!({
            "cluster_fsid": block.cluster_fsid.to_string(),
            "osd_fsid": block.osd_fsid.to_string(),
            "whoami": self.config.whoami.0,
            "state": self.phase.name(),
            "oldest_map": self.maps.oldest().0,
            "cluster_osdmap_trim_lower_bound": block.cluster_osdmap_trim_lower_bound.0,
            "newest_map": self.maps.newest().0,
            "num_pgs": self.pgs.len(),
        })
    }

    /// `perf dump`: of all loggers or one, all counters or one.
    pub(crate) fn counters(
        &self,
        store: &dyn ObjectStore,
        logger: Option<&str>,
        name: Option<&str>,
    ) -> Value {
        let space = store.statfs();
        let mut all: Map<String, Value> = Map::new();
        let wanted = |c: &&Counter| {
            logger.is_none_or(|l| l.is_empty() || l == c.logger)
                && name.is_none_or(|n| n.is_empty() || n == c.name)
        };
        for c in COUNTERS.iter().filter(wanted) {
            let of = all.entry(c.logger).or_insert_with(|| json!({}));
            of[c.name] = json!((c.value)(self, &space));
        }
        Value::Object(all)
    }

    /// `perf schema`.
    pub(crate) fn counter_schema() -> Value {
        let mut all: Map<String, Value> = Map::new();
        for c in COUNTERS {
            let of = all.entry(c.logger).or_insert_with(|| json!({}));
            of[c.name] = json!({
                // A number that goes up and down.
                "type": 2,
                "metric_type": "gauge",
                "value_type": "integer",
                "description": c.help,
                "nick": "",
                "priority": 0,
                "units": if c.bytes { "bytes" } else { "none" },
            });
        }
        Value::Object(all)
    }

    fn num_ops(&self) -> usize {
        self.pgs.values().map(|pg| pg.requests().count()).sum()
    }

    pub(crate) fn ops_in_flight(&self, now: Now) -> Value {
        let all = self.pgs.values().flat_map(|pg| pg.requests().map(|r| (pg.id(), r)));
        let show = |(pg, (op, point)): (SpgId, (&ClientOp, &str))| {
            let m = &op.message;
            let ops: Vec<&str> = m.ops.iter().map(|o| o.op.name()).collect();
            let object = String::from_utf8_lossy(&m.object);
            let ops = ops.join(",");
            let text = format!("osd_op({} {} {object} [{ops}] e{})", op.reqid, pg.pg, m.epoch.0);
            let age = now.mono.saturating_sub(op.arrived.mono).as_secs_f64();
            json!({
                "description": text,
                "initiated_at": op.arrived.wall.to_string(),
                "age": age,
                "duration": age,
                "type_data": {
                    "flag_point": point,
                    "client_info": {
                        "client": op.entity.to_string(),
                        "client_addr": op.addr.to_string(),
                        "tid": op.tid,
                    },
                },
            })
        };
        json!({"ops": all.take(OPS_SHOWN).map(show).collect::<Vec<_>>(), "num_ops": self.num_ops()})
    }

    /// Clients and ranges that the map shuts out: two lists, one behind the other.
    pub(crate) fn blocklist(&self) -> Vec<Value> {
        let one = |(addr, until): (&EntityAddr, &UTime)| {
            let until = until.to_string();
            json!({"entity_addr_t": addr.dump(), "expire_time": until})
        };
        let lists = self.map.as_ref().map(|map| {
            let ranges = map.range_blocklist.iter().map(one).collect();
            vec![map.blocklist.iter().map(one).collect(), ranges]
        });
        lists.unwrap_or_default()
    }
}
