//! A PG as JSON: the answer to `pg query`, in the fields that Ceph's tools read.

use seabed_cluster::{OsdId, PgInfo, PgStat};
use seabed_pg::{Env, Pg};
use serde_json::{Map, Value, json};

/// The answer of the PG's primary.
pub(crate) fn query(pg: &Pg, env: &Env<'_>) -> Value {
    let member = pg.membership();
    let writers: Vec<String> = pg.writers().iter().map(|o| o.0.to_string()).collect();
    let peers = pg.peer_infos().map(|(osd, peer)| {
        let mut out = Map::new();
        out.insert("peer".into(), json!(osd.0.to_string()));
        out.extend(info(peer));
        Value::Object(out)
    });
    let mut own = info(pg.info());
    if let Some(Value::Object(stats)) = own.get_mut("stats") {
        stats.insert("state".into(), json!(PgStat::state_text(pg.state(env))));
        stats.insert("up".into(), json!(ids(&member.up)));
        stats.insert("acting".into(), json!(ids(&member.acting)));
    }
    json!({
        "state": PgStat::state_text(pg.state(env)),
        "epoch": pg.epoch().0,
        "up": ids(&member.up),
        "acting": ids(&member.acting),
        "acting_recovery_backfill": writers,
        "info": own,
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

fn info(i: &PgInfo) -> Map<String, Value> {
    let (h, s) = (&i.history, &i.stats.stats.sum);
    let value = json!({
        "pgid": i.pgid.to_string(),
        "last_update": i.last_update.to_string(),
        "last_complete": i.last_complete.to_string(),
        "log_tail": i.log_tail.to_string(),
        "last_user_version": i.last_user_version,
        "last_backfill": if i.last_backfill.is_max() {
            "MAX".to_owned()
        } else {
            format!("{:?}", i.last_backfill)
        },
        "purged_snaps": i.purged_snaps.iter()
            .map(|(start, length)| json!({"start": format!("{start:x}"),
                "length": format!("{length:x}")}))
            .collect::<Vec<_>>(),
        "history": {
            "epoch_created": h.epoch_created.0,
            "epoch_pool_created": h.epoch_pool_created.0,
            "last_epoch_started": h.last_epoch_started.0,
            "last_interval_started": h.last_interval_started.0,
            "last_epoch_clean": h.last_epoch_clean.0,
            "last_interval_clean": h.last_interval_clean.0,
            "last_epoch_split": h.last_epoch_split.0,
            "last_epoch_marked_full": h.last_epoch_marked_full.0,
            "same_up_since": h.same_up_since.0,
            "same_interval_since": h.same_interval_since.0,
            "same_primary_since": h.same_primary_since.0,
        },
        "stats": {
            "version": i.last_update.to_string(),
            "stat_sum": {
                "num_bytes": s.num_bytes,
                "num_objects": s.num_objects,
                "num_object_clones": s.num_object_clones,
                "num_objects_dirty": s.num_objects_dirty,
                "num_whiteouts": s.num_whiteouts,
                "num_read": s.num_rd,
                "num_read_kb": s.num_rd_kb,
                "num_write": s.num_wr,
                "num_write_kb": s.num_wr_kb,
                "num_objects_omap": s.num_objects_omap,
            },
        },
        "empty": i32::from(i.is_empty()),
        "dne": i32::from(h.epoch_created.0 == 0),
        "incomplete": i32::from(!i.last_backfill.is_max()),
        "last_epoch_started": i.last_epoch_started.0,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
