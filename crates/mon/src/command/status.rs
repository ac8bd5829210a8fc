//! `status` and the lines it shares with others.

use std::time::Duration;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{OsdMap, PgStat, UTime, pg_state, release_name};
use serde_json::{Map, Value, json};

use super::format::num;
use super::text::{bytes, count, span};
use super::{Answer, Command, Format, Reply, View, usage};
use crate::service::health::{self, ratio_text};
use crate::service::stats::{PgMap, Rates, all_pgs};

/// Flags that every map has and `status` does not show.
const HIDDEN_FLAGS: u32 = flag::map::FRESH
    | flag::map::REQUIRE_JEWEL
    | flag::map::REQUIRE_KRAKEN
    | flag::map::REQUIRE_LUMINOUS;

/// PGs whose acting set is not the one CRUSH wants.
pub fn remapped(stats: &PgMap) -> u64 {
    let bit = pg_state::REMAPPED;
    stats.pgs.values().filter(|s| s.state() & bit != 0).count() as u64
}

/// The counts of OSDs that `status` and `osd stat` show.
pub fn osd_counts(view: &View<'_>) -> Value {
    let map = view.map();
    json!({
        "epoch": map.epoch.0,
        "num_osds": map.num_osds(),
        "num_up_osds": map.num_up_osds(),
        "osd_up_since": map.last_up_change.sec,
        "num_in_osds": map.num_in_osds(),
        "osd_in_since": map.last_in_change.sec,
        "num_remapped_pgs": remapped(view.stats),
    })
}

fn since(view: &View<'_>, stamp: UTime) -> String {
    if stamp.is_zero() {
        return String::new();
    }
    format!(" (since {})", span(view.now.wall.saturating_sub(stamp)))
}

/// The same as text: `3 osds: 3 up (since 2m), 3 in (since 2m)`.
pub fn osd_counts_text(view: &View<'_>, with_epoch: bool) -> String {
    let map = view.map();
    let mut out = format!(
        "{} osds: {} up{}, {} in{}",
        map.num_osds(),
        map.num_up_osds(),
        since(view, map.last_up_change),
        map.num_in_osds(),
        since(view, map.last_in_change),
    );
    if with_epoch {
        out.push_str(&format!("; epoch: e{}", map.epoch));
    }
    let remapped = remapped(view.stats);
    if remapped > 0 {
        out.push_str(&format!("; {remapped} remapped pgs"));
    }
    out
}

/// Counters of objects and what goes on, as `status` and `pg stat` add them.
pub fn overall_fields(view: &View<'_>, out: &mut Map<String, Value>) {
    let sum = view.stats.total().sum;
    let triple = |out: &mut Map<String, Value>, word: &str, n: i64, whole: i64| {
        if n > 0 {
            out.insert(format!("{word}_objects"), json!(n));
            out.insert(format!("{word}_total"), json!(whole));
            out.insert(format!("{word}_ratio"), num(n as f64 / whole.max(1) as f64));
        }
    };
    triple(out, "degraded", sum.num_objects_degraded, sum.num_object_copies);
    triple(out, "misplaced", sum.num_objects_misplaced, sum.num_object_copies);
    triple(out, "unfound", sum.num_objects_unfound, sum.num_objects);
}

/// Rates as fields.
pub fn rate_fields(rates: &Rates, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: f64| {
        if value >= 1.0 {
            out.insert(name.to_string(), json!(value as u64));
        }
    };
    put("recovering_objects_per_sec", rates.recovered_objects);
    put("recovering_bytes_per_sec", rates.recovered_bytes);
    put("recovering_keys_per_sec", rates.recovered_keys);
    put("read_bytes_sec", rates.read_bytes);
    put("write_bytes_sec", rates.write_bytes);
    put("read_op_per_sec", rates.read_ops);
    put("write_op_per_sec", rates.write_ops);
}

/// What clients do, as text.
pub fn client_io(rates: &Rates) -> Option<String> {
    let mut parts = Vec::new();
    if rates.read_bytes >= 1.0 {
        parts.push(format!("{}/s rd", bytes(rates.read_bytes as u64)));
    }
    if rates.write_bytes >= 1.0 {
        parts.push(format!("{}/s wr", bytes(rates.write_bytes as u64)));
    }
    if rates.read_ops >= 1.0 || rates.write_ops >= 1.0 || !parts.is_empty() {
        parts.push(format!("{} op/s rd", count(rates.read_ops as u64)));
        parts.push(format!("{} op/s wr", count(rates.write_ops as u64)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What recovery does, as text.
pub fn recovery_io(rates: &Rates) -> Option<String> {
    let mut parts = Vec::new();
    if rates.recovered_bytes >= 1.0 {
        parts.push(format!("{}/s", bytes(rates.recovered_bytes as u64)));
    }
    if rates.recovered_keys >= 1.0 {
        parts.push(format!("{} keys/s", count(rates.recovered_keys as u64)));
    }
    if rates.recovered_objects >= 1.0 {
        parts.push(format!("{} objects/s", count(rates.recovered_objects as u64)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// PGs not active and not known, of all.
fn pg_counts(map: &OsdMap, stats: &PgMap) -> (u64, u64, u64) {
    let (mut all, mut inactive, mut unknown) = (0, 0, 0);
    for pg in all_pgs(map) {
        all += 1;
        match stats.state(pg) {
            0 => unknown += 1,
            s if s & pg_state::ACTIVE == 0 => inactive += 1,
            _ => {}
        }
    }
    (all, inactive, unknown)
}

fn pgmap_json(view: &View<'_>) -> Value {
    let map = view.map();
    let by_state: Vec<Value> = view
        .stats
        .by_state(map)
        .into_iter()
        .map(|(state, n)| json!({"state_name": PgStat::state_text(state), "count": n}))
        .collect();
    let raw = usage::cluster(map, view.stats);
    let sum = view.stats.total().sum;
    let (all, inactive, unknown) = pg_counts(map, view.stats);
    let mut out = Map::new();
    out.insert("pgs_by_state".into(), Value::Array(by_state));
    out.insert("num_pgs".into(), json!(all));
    out.insert("num_pools".into(), json!(map.pools.len()));
    out.insert("num_objects".into(), json!(sum.num_objects));
    out.insert("data_bytes".into(), json!(sum.num_bytes));
    out.insert("bytes_used".into(), json!(raw.used_raw));
    out.insert("bytes_avail".into(), json!(raw.available));
    out.insert("bytes_total".into(), json!(raw.total));
    if inactive > 0 {
        out.insert("inactive_pgs_ratio".into(), num(inactive as f64 / all.max(1) as f64));
    }
    if unknown > 0 {
        out.insert("unknown_pgs_ratio".into(), num(unknown as f64 / all.max(1) as f64));
    }
    overall_fields(view, &mut out);
    rate_fields(&view.stats.rates(None, view.now.mono), &mut out);
    Value::Object(out)
}

/// How long this monitor has been in quorum.
pub fn quorum_age(view: &View<'_>) -> Duration {
    view.now.mono.saturating_sub(view.started)
}

/// `status`.
pub fn run(view: &View<'_>, command: &Command) -> Answer {
    if command.format == Format::Plain {
        return Ok(Reply::text(text(view)));
    }
    let checks = view.health();
    let m = &view.state.monmap;
    let value = json!({
        "fsid": m.fsid.to_string(),
        "health": view.told(&checks).json(false),
        "election_epoch": super::misc::ELECTION_EPOCH,
        "quorum": [0],
        "quorum_names": [view.config.name],
        "quorum_age": quorum_age(view).as_secs(),
        "monmap": {
            "epoch": m.epoch.0,
            "min_mon_release_name": release_name(m.min_mon_release),
            "num_mons": m.mons.len(),
        },
        "osdmap": osd_counts(view),
        "pgmap": pgmap_json(view),
        "fsmap": {"epoch": 1, "by_rank": [], "up:standby": 0},
        "mgrmap": {
            "available": view.mgr.available,
            "num_standbys": 0,
            "modules": [],
            "services": {},
        },
        "servicemap": view.services.dump(),
        "progress_events": {},
    });
    Ok(Reply::json(&value, command.format))
}

fn text(view: &View<'_>) -> String {
    let map = view.map();
    let m = &view.state.monmap;
    let checks = view.health();
    let told = view.told(&checks);
    let mut out = format!("  cluster:\n    id:     {}\n", m.fsid);
    out.push_str(&format!("    health: {}\n", told.overall()));
    for line in told.heard().map(|check| check.summary.clone()).chain(told.muted_text()) {
        out.push_str(&format!("            {line}\n"));
    }
    out.push_str(" \n  services:\n");
    let age = span(quorum_age(view));
    let name = &view.config.name;
    let n = m.mons.len();
    let width = view.services.summaries().map(|(name, _)| name.len()).max().unwrap_or(0).max(3);
    let mon = format!("{n} daemons, quorum {name} (age {age})");
    service_line(&mut out, width, "mon", &mon);
    let active = format!("{name}(active, since {age})");
    let mgr = if view.mgr.available { active.as_str() } else { "no daemons active" };
    service_line(&mut out, width, "mgr", mgr);
    service_line(&mut out, width, "osd", &osd_counts_text(view, false));
    let flags = map.flags & !HIDDEN_FLAGS;
    if flags != 0 {
        let names = health::flag_names(flags);
        out.push_str(&format!("    {:width$}  flags {names}\n", ""));
    }
    for (name, summary) in view.services.summaries() {
        service_line(&mut out, width, name, &summary);
    }
    out.push_str(&data_text(view));
    let rates = view.stats.rates(None, view.now.mono);
    let (client, recovery) = (client_io(&rates), recovery_io(&rates));
    if client.is_some() || recovery.is_some() {
        out.push_str(" \n  io:\n");
        for (word, line) in [("client:  ", client), ("recovery:", recovery)] {
            if let Some(line) = line {
                out.push_str(&format!("    {word} {line}\n"));
            }
        }
    }
    out.push_str(" \n");
    out
}

fn service_line(out: &mut String, width: usize, who: &str, what: &str) {
    let space = " ".repeat(width.saturating_sub(who.len()));
    out.push_str(&format!("    {who}: {space}{what}\n"));
}

fn data_text(view: &View<'_>) -> String {
    let map = view.map();
    let sum = view.stats.total().sum;
    let raw = usage::cluster(map, view.stats);
    let (all, inactive, unknown) = pg_counts(map, view.stats);
    let positive = |n: i64| n.max(0).unsigned_abs();
    let mut out = format!(
        " \n  data:\n    pools:   {} pools, {all} pgs\n    objects: {} objects, {}\n    \
         usage:   {} used, {} / {} avail\n",
        map.pools.len(),
        count(positive(sum.num_objects)),
        bytes(positive(sum.num_bytes)),
        bytes(raw.used_raw),
        bytes(raw.available),
        bytes(raw.total),
    );
    let mut lines = Vec::new();
    let mut shares = Vec::new();
    if unknown > 0 {
        shares.push(format!("{} pgs unknown", health::share(unknown, all)));
    }
    if inactive > 0 {
        shares.push(format!("{} pgs not active", health::share(inactive, all)));
    }
    lines.extend(shares);
    let mut objects = |n: i64, whole: i64, word: &str| {
        if n > 0 {
            lines.push(format!("{n}/{whole} objects {word} ({})", ratio_text(n, whole)));
        }
    };
    objects(sum.num_objects_degraded, sum.num_object_copies, "degraded");
    objects(sum.num_objects_misplaced, sum.num_object_copies, "misplaced");
    objects(sum.num_objects_unfound, sum.num_objects, "unfound");
    let states = view.stats.by_state(map);
    let width = states.iter().map(|(_, n)| n.to_string().len()).max().unwrap_or(1);
    for (state, n) in states {
        lines.push(format!("{n:<width$} {}", PgStat::state_text(state)));
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    for (i, line) in lines.iter().enumerate() {
        let head = if i == 0 { "    pgs:     " } else { "             " };
        out.push_str(&format!("{head}{line}\n"));
    }
    out
}
