//! A PG as JSON: the answer to `pg query`, in the fields that Ceph's tools read.

use seabed_cluster::{OsdId, PgStat};
use seabed_pg::{Env, Pg};
use serde_json::{Map, Value, json};

/// The answer of the PG's primary.
pub(crate) fn query(pg: &Pg, env: &Env<'_>) -> Value {
    let member = pg.membership();
    let writers: Vec<String> = pg.writers().iter().map(|o| o.0.to_string()).collect();
    let peers = pg.peer_infos().map(|(osd, peer)| {
        let mut out = Map::new();
        out.insert("peer".into(), json!(osd.0.to_string()));
        if let Value::Object(info) = peer.dump(&peer.stats) {
            out.extend(info);
        }
        Value::Object(out)
    });
    let stats = pg.stat_now(env);
    json!({
        "state": PgStat::state_text(stats.state()),
        "epoch": pg.epoch().0,
        "up": ids(&member.up),
        "acting": ids(&member.acting),
        "acting_recovery_backfill": writers,
        "info": pg.info().dump(&stats),
        "peer_info": peers.collect::<Vec<_>>(),
        "missing": pg.missing().len(),
        "recovery_state": [{
            "name": pg.phase(),
            "blocked_by": ids(&pg.peering_blocked_by()),
            "comment": pg.trouble(),
        }],
    })
}

fn ids(osds: &[OsdId]) -> Vec<i32> {
    osds.iter().map(|o| o.0).collect()
}
