//! Placement groups as JSON, and the commands that read them.

use seabed_cluster::{Errno, OsdId, OsdStat, PgId, PgStat, StoreStatfs, pg_state};
use serde_json::{Map, Value, json};

use super::dump::ids;
use super::pg_text;
use super::status::{overall_fields, rate_fields};
use super::{Answer, Command, Format, Refusal, Reply, View, usage};
use crate::service::stats::{PoolSum, all_pgs};

fn statfs(s: &StoreStatfs) -> Value {
    json!({
        "total": s.total,
        "available": s.available,
        "internally_reserved": s.internally_reserved,
        "allocated": s.allocated,
        "data_stored": s.data_stored,
        "data_compressed": s.data_compressed,
        "data_compressed_allocated": s.data_compressed_allocated,
        "data_compressed_original": s.data_compressed_original,
        "omap_allocated": s.omap_allocated,
        "internal_metadata": s.internal_metadata,
    })
}

fn extend(out: &mut Map<String, Value>, value: Value) {
    if let Value::Object(fields) = value {
        out.extend(fields);
    }
}

/// A PG in full.
pub fn pg(id: PgId, s: &PgStat) -> Value {
    let mut out = Map::new();
    out.insert("pgid".into(), json!(id.to_string()));
    extend(&mut out, s.dump());
    Value::Object(out)
}

fn pg_brief(id: PgId, s: &PgStat) -> Value {
    json!({
        "pgid": id.to_string(),
        "state": PgStat::state_text(s.state()),
        "up": ids(&s.up),
        "acting": ids(&s.acting),
        "up_primary": s.up_primary.0,
        "acting_primary": s.acting_primary.0,
    })
}

fn pool_sum(s: &PoolSum) -> Map<String, Value> {
    let mut out = Map::new();
    extend(
        &mut out,
        json!({
            "stat_sum": s.sum.dump(),
            "store_stats": statfs(&s.store),
            "log_size": s.log_size,
            "ondisk_log_size": s.ondisk_log_size,
            "up": s.up,
            "acting": s.acting,
            "num_store_stats": s.num_store_stats,
        }),
    );
    out
}

fn osd_stat(s: &OsdStat) -> Map<String, Value> {
    let mut out = Map::new();
    extend(
        &mut out,
        json!({
            "up_from": s.up_from.0,
            "seq": s.seq,
            "num_pgs": s.num_pgs,
            "num_osds": s.num_osds,
            "num_per_pool_osds": s.num_per_pool_osds,
            "num_per_pool_omap_osds": s.num_per_pool_omap_osds,
            "kb": s.kb,
            "kb_used": s.kb_used,
            "kb_used_data": s.kb_used_data,
            "kb_used_omap": s.kb_used_omap,
            "kb_used_meta": s.kb_used_meta,
            "kb_avail": s.kb_available,
            "statfs": statfs(&s.statfs),
            "hb_peers": ids(&s.heartbeat_peers),
            "snap_trim_queue_len": s.snap_trim_queue_len,
            "num_snap_trimming": s.num_snap_trimming,
            "num_shards_repaired": s.num_shards_repaired,
            "op_queue_age_hist": {"histogram": s.op_queue_age.buckets, "upper_bound": 1},
            "perf_stat": perf(s),
            "alerts": [],
            "network_ping_times": pings(s),
        }),
    );
    out
}

/// Latencies of an OSD's store.
pub fn perf(s: &OsdStat) -> Value {
    let ns = |ms: u32| u64::from(ms) * 1_000_000;
    json!({
        "commit_latency_ms": s.perf.commit_latency_ms,
        "apply_latency_ms": s.perf.apply_latency_ms,
        "commit_latency_ns": ns(s.perf.commit_latency_ms),
        "apply_latency_ns": ns(s.perf.apply_latency_ms),
    })
}

fn pings(s: &OsdStat) -> Value {
    let ms = |us: u32| super::format::num(f64::from(us) / 1000.0);
    let three = |v: (u32, u32, u32)| json!({"1min": ms(v.0), "5min": ms(v.1), "15min": ms(v.2)});
    let list: Vec<Value> = s
        .ping_times
        .iter()
        .map(|p| {
            let stamp = seabed_cluster::UTime { sec: p.last_update, nsec: 0 };
            let mut interfaces = vec![json!({
                "interface": "back",
                "average": three(p.back_average),
                "min": three(p.back_min),
                "max": three(p.back_max),
                "last": ms(p.back_last),
            })];
            if p.front_last != 0 {
                interfaces.push(json!({
                    "interface": "front",
                    "average": three(p.front_average),
                    "min": three(p.front_min),
                    "max": three(p.front_max),
                    "last": ms(p.front_last),
                }));
            }
            json!({"osd": p.osd.0, "last update": stamp.to_string(), "interfaces": interfaces})
        })
        .collect();
    Value::Array(list)
}

fn osd_rows(view: &View<'_>) -> Value {
    let rows = view.stats.osds.iter().rev().map(|(osd, s)| {
        let mut row = Map::new();
        row.insert("osd".into(), json!(osd.0));
        row.extend(osd_stat(s));
        Value::Object(row)
    });
    Value::Array(rows.collect())
}

fn pool_rows(view: &View<'_>) -> Value {
    let rows = view.map().pools.keys().rev().map(|id| {
        let sum = view.stats.pool(*id);
        let mut row = Map::new();
        row.insert("poolid".into(), json!(id.0));
        row.insert("num_pg".into(), json!(view.map().pools[id].pg_num));
        row.extend(pool_sum(&sum));
        Value::Object(row)
    });
    Value::Array(rows.collect())
}

/// Every PG of the map with its statistics; empty ones where nobody reported.
pub fn every_pg(view: &View<'_>) -> Vec<(PgId, PgStat)> {
    all_pgs(view.map())
        .map(|id| (id, view.stats.pgs.get(&id).cloned().unwrap_or_default()))
        .collect()
}

fn whole(view: &View<'_>, what: &str) -> Value {
    let mut out = Map::new();
    let s = view.stats;
    let mut delta = pool_sum(&PoolSum::default());
    delta.insert("stamp_delta".into(), json!("0.000000"));
    extend(
        &mut out,
        json!({
            "version": s.version,
            "stamp": s.stamp.to_string(),
            "last_osdmap_epoch": 0,
            "last_pg_scan": 0,
            "pg_stats_sum": pool_sum(&s.total()),
            "osd_stats_sum": osd_stat(&s.osd_sum(view.map())),
            "pg_stats_delta": delta,
        }),
    );
    if what == "all" {
        let pgs: Vec<Value> = every_pg(view).iter().map(|(id, s)| pg(*id, s)).collect();
        out.insert("pg_stats".into(), Value::Array(pgs));
        out.insert("pool_stats".into(), pool_rows(view));
        out.insert("osd_stats".into(), osd_rows(view));
        let stores: Vec<Value> = s
            .pool_stores
            .iter()
            .map(|((pool, osd), store)| {
                let mut row = Map::new();
                row.insert("poolid".into(), json!(pool.0));
                row.insert("osd".into(), json!(osd.0));
                extend(&mut row, statfs(store));
                Value::Object(row)
            })
            .collect();
        out.insert("pool_statfs".into(), Value::Array(stores));
    }
    Value::Object(out)
}

/// `pg dump` and its relatives.
pub fn dump(view: &View<'_>, command: &Command) -> Answer {
    let mut what = command.list("dumpcontents");
    if command.prefix == "pg dump_pools_json" {
        what = vec!["pools".to_string()];
    }
    if what.is_empty() {
        what.push("all".to_string());
    }
    let first = if what.iter().any(|w| w == "all") { "all" } else { what[0].as_str() };
    let known = ["all", "summary", "sum", "delta", "pools", "osds", "pgs", "pgs_brief"];
    if !known.contains(&first) {
        return Err(Refusal::invalid(format!("'{first}' is none of {}", known.join(", "))));
    }
    let status = format!("dumped {}", what.join(","));
    if command.format == Format::Plain && command.prefix == "pg dump" {
        return Ok(Reply::text(pg_text::dump(view, &what)).with_status(status));
    }
    let mut out = Map::new();
    out.insert("pg_ready".into(), json!(true));
    match first {
        "pgs" => {
            let pgs: Vec<Value> = every_pg(view).iter().map(|(id, s)| pg(*id, s)).collect();
            out.insert("pg_stats".into(), Value::Array(pgs));
        }
        "pgs_brief" => {
            let pgs: Vec<Value> = every_pg(view).iter().map(|(id, s)| pg_brief(*id, s)).collect();
            out.insert("pg_stats".into(), Value::Array(pgs));
        }
        "pools" => {
            out.insert("pool_stats".into(), pool_rows(view));
        }
        "osds" => {
            out.insert("osd_stats".into(), osd_rows(view));
        }
        what => {
            out.insert("pg_map".into(), whole(view, what));
        }
    }
    let format = if command.format == Format::Plain { Format::Json } else { command.format };
    Ok(Reply::json(&Value::Object(out), format).with_status(status))
}

/// `pg stat`.
pub fn stat(view: &View<'_>, command: &Command) -> Answer {
    if command.format == Format::Plain {
        return Ok(Reply::text(pg_text::stat(view)));
    }
    let map = view.map();
    let raw = usage::cluster(map, view.stats);
    let states: Vec<Value> = view
        .stats
        .by_state(map)
        .into_iter()
        .map(|(state, n)| json!({"name": PgStat::state_text(state), "num": n}))
        .collect();
    let mut out = Map::new();
    extend(
        &mut out,
        json!({
            "num_pg_by_state": states,
            "num_pgs": all_pgs(map).count(),
            "num_bytes": view.stats.total().sum.num_bytes,
            "total_bytes": raw.total,
            "total_avail_bytes": raw.available,
            "total_used_bytes": raw.used,
            "total_used_raw_bytes": raw.used_raw,
        }),
    );
    rate_fields(&view.stats.rates(None, view.now.mono), &mut out);
    overall_fields(view, &mut out);
    Ok(Reply::json(&json!({"pg_ready": true, "pg_summary": out}), command.format))
}

/// The PGs that an `ls` command wants.
fn chosen(view: &View<'_>, command: &Command) -> Result<Vec<(PgId, PgStat)>, Refusal> {
    let mut pool = command.int("pool")?;
    if let Some(name) = command.str("poolstr") {
        let id = view.map().pool_by_name(&name);
        pool = Some(id.ok_or_else(|| Refusal::not_found(format!("pool {name} does not exist")))?.0);
    }
    if let Some(id) = pool
        && !view.map().pools.contains_key(&seabed_cluster::PoolId(id))
    {
        return Err(Refusal::not_found(format!("pool {id} does not exist")));
    }
    let osd: Option<OsdId> = command.osd("osd")?;
    if let Some(osd) = osd
        && !view.map().is_up(osd)
    {
        return Err(Refusal::new(Errno::EAGAIN, format!("osd {osd} is not up")));
    }
    let primary = command.prefix == "pg ls-by-primary";
    let states = command.list("states");
    if let Some(word) = states.iter().find(|w| *w != "all" && !PgStat::is_state_name(w)) {
        return Err(Refusal::invalid(format!("'{word}' is not a valid pg state")));
    }
    let mut pgs = every_pg(view);
    pgs.retain(|(id, s)| {
        let text = PgStat::state_text(s.state());
        let names: Vec<&str> = text.split('+').collect();
        pool.is_none_or(|p| p == id.pool.0)
            && osd.is_none_or(
                |o| {
                    if primary { s.acting_primary == o } else { s.acting.contains(&o) }
                },
            )
            && (states.is_empty() || states.iter().any(|w| w == "all" || names.contains(&&**w)))
    });
    Ok(pgs)
}

/// `pg ls` and its relatives.
pub fn ls(view: &View<'_>, command: &Command) -> Answer {
    let pgs = chosen(view, command)?;
    if command.format == Format::Plain && pgs.is_empty() {
        return Ok(Reply::default());
    }
    if command.format == Format::Plain {
        return Ok(Reply::text(pg_text::ls(view, &pgs)));
    }
    let pgs: Vec<Value> = pgs.iter().map(|(id, s)| pg(*id, s)).collect();
    Ok(Reply::json(&json!({"pg_ready": true, "pg_stats": pgs}), command.format))
}

/// `pg dump_stuck`.
pub fn dump_stuck(view: &View<'_>, command: &Command) -> Answer {
    let mut ops = command.list("stuckops");
    if ops.is_empty() {
        ops.push("unclean".to_string());
    }
    const KNOWN: [&str; 5] = ["inactive", "unclean", "stale", "undersized", "degraded"];
    if let Some(word) = ops.iter().find(|op| !KNOWN.contains(&op.as_str())) {
        // The reference answers so, and with success.
        return Ok(Reply::text(format!("Unknown type: {word}\n")).with_status("failed"));
    }
    let threshold = command.int("threshold")?;
    let threshold = threshold.and_then(|t| u64::try_from(t).ok());
    let threshold = threshold.unwrap_or_else(|| view.options.u64("mon_pg_stuck_threshold"));
    let old =
        |stamp: seabed_cluster::UTime| view.now.wall.saturating_sub(stamp).as_secs() >= threshold;
    let mut pgs = every_pg(view);
    pgs.retain(|(_, s)| {
        let state = s.state();
        ops.iter().any(|op| match op.as_str() {
            "inactive" => state & pg_state::ACTIVE == 0 && old(s.last_active),
            "unclean" => state & pg_state::CLEAN == 0 && old(s.last_clean),
            "stale" => state & pg_state::STALE != 0 && old(s.last_unstale),
            "undersized" => state & pg_state::UNDERSIZED != 0 && old(s.last_fullsized),
            "degraded" => state & pg_state::DEGRADED != 0 && old(s.last_undegraded),
            _ => false,
        })
    });
    if command.format == Format::Plain {
        let text = if pgs.is_empty() { String::new() } else { pg_text::brief(&pgs) };
        return Ok(Reply::text(text).with_status("ok"));
    }
    let pgs: Vec<Value> = pgs.iter().map(|(id, s)| pg(*id, s)).collect();
    let value = json!({"pg_ready": true, "stuck_pg_stats": pgs});
    Ok(Reply::json(&value, command.format).with_status("ok"))
}

/// A PG named by a command, which must exist.
pub fn need_pg(view: &View<'_>, command: &Command) -> Result<PgId, Refusal> {
    let text = command.need("pgid")?;
    let pg: PgId = text.parse().map_err(|_| Refusal::invalid(format!("invalid pgid '{text}'")))?;
    let exists = view.map().pools.get(&pg.pool).is_some_and(|p| pg.seed < p.pg_num);
    if exists { Ok(pg) } else { Err(Refusal::not_found(format!("pg '{pg}' does not exist"))) }
}

/// `pg map`.
pub fn map(view: &View<'_>, command: &Command) -> Answer {
    let pg = need_pg(view, command)?;
    let map = view.map();
    let m = map.map_pg(pg);
    if command.format == Format::Plain {
        let (up, acting) = (super::dump::ids_text(&m.up), super::dump::ids_text(&m.acting));
        let text = format!("osdmap e{} pg {pg} ({pg}) -> up {up} acting {acting}\n", map.epoch);
        return Ok(Reply::text(text));
    }
    let value = json!({
        "epoch": map.epoch.0,
        "raw_pgid": pg.to_string(),
        "pgid": pg.to_string(),
        "up": ids(&m.up),
        "acting": ids(&m.acting),
    });
    Ok(Reply::json(&value, command.format))
}

/// `pg debug`.
pub fn debug(view: &View<'_>, command: &Command) -> Answer {
    let sum = view.stats.total().sum;
    let answer = match command.str("debugop").as_deref() {
        Some("degraded_pgs_exist") => sum.num_objects_degraded > 0,
        _ => sum.num_objects_unfound > 0,
    };
    Ok(Reply::text(if answer { "TRUE\n" } else { "FALSE\n" }))
}
