//! Placement groups as text.

use seabed_cluster::{ObjectStatSum, OsdId, PgId, PgStat};

use super::dump::ids_text;
use super::pg_read::every_pg;
use super::status::{client_io, recovery_io};
use super::text::{Align, Table, bytes, span};
use super::{View, usage};
use crate::service::health::ratio_text;
use crate::service::stats::all_pgs;

/// What stands below tables with omap columns.
const OMAP_NOTE: &str = "\n* NOTE: Omap sizes are counted during deep scrub and may be out of \
                         date soon afterwards.\n";

/// `pg stat`.
pub fn stat(view: &View<'_>) -> String {
    let map = view.map();
    let raw = usage::cluster(map, view.stats);
    let sum = view.stats.total().sum;
    let mut states = view.stats.by_state(map);
    states.reverse();
    let states: Vec<String> =
        states.into_iter().map(|(s, n)| format!("{n} {}", PgStat::state_text(s))).collect();
    let mut out = format!(
        "{} pgs: {}; {} data, {} used, {} / {} avail",
        all_pgs(map).count(),
        states.join(", "),
        bytes(sum.num_bytes.max(0).unsigned_abs()),
        bytes(raw.used_raw),
        bytes(raw.available),
        bytes(raw.total),
    );
    let rates = view.stats.rates(None, view.now.mono);
    if let Some(io) = client_io(&rates) {
        out.push_str(&format!("; {io}"));
    }
    let mut objects = |n: i64, whole: i64, word: &str| {
        if n > 0 {
            out.push_str(&format!("; {n}/{whole} objects {word} ({})", ratio_text(n, whole)));
        }
    };
    objects(sum.num_objects_degraded, sum.num_object_copies, "degraded");
    objects(sum.num_objects_misplaced, sum.num_object_copies, "misplaced");
    objects(sum.num_objects_unfound, sum.num_objects, "unfound");
    if let Some(io) = recovery_io(&rates) {
        out.push_str(&format!("; {io}, recovering"));
    }
    out.push('\n');
    out
}

fn primary(osd: OsdId) -> String {
    osd.to_string()
}

/// The short table.
pub fn brief(pgs: &[(PgId, PgStat)]) -> String {
    let mut t = Table::new();
    t.column("PG_STAT", Align::Left, Align::Left)
        .column("STATE", Align::Left, Align::Right)
        .column("UP", Align::Left, Align::Right)
        .column("UP_PRIMARY", Align::Left, Align::Right)
        .column("ACTING", Align::Left, Align::Right)
        .column("ACTING_PRIMARY", Align::Left, Align::Right);
    for (id, s) in pgs {
        t.row([
            id.to_string(),
            PgStat::state_text(s.state()),
            ids_text(&s.up),
            primary(s.up_primary),
            ids_text(&s.acting),
            primary(s.acting_primary),
        ]);
    }
    t.render()
}

fn counters(s: &ObjectStatSum, log: i64, ondisk: i64) -> Vec<String> {
    [
        s.num_objects,
        s.num_objects_missing_on_primary,
        s.num_objects_degraded,
        s.num_objects_misplaced,
        s.num_objects_unfound,
        s.num_bytes,
        s.num_omap_bytes,
        s.num_omap_keys,
        log,
        ondisk,
    ]
    .iter()
    .map(i64::to_string)
    .collect()
}

const COUNTERS: [&str; 10] = [
    "OBJECTS",
    "MISSING_ON_PRIMARY",
    "DEGRADED",
    "MISPLACED",
    "UNFOUND",
    "BYTES",
    "OMAP_BYTES*",
    "OMAP_KEYS*",
    "LOG",
    "DISK_LOG",
];

fn counter_table(first: &str) -> Table {
    let mut t = Table::new();
    t.column(first, Align::Left, Align::Left);
    for name in COUNTERS {
        t.column(name, Align::Left, Align::Right);
    }
    t
}

fn pgs_table(pgs: &[(PgId, PgStat)]) -> String {
    let mut t = counter_table("PG_STAT");
    for name in [
        "STATE",
        "STATE_STAMP",
        "VERSION",
        "REPORTED",
        "UP",
        "UP_PRIMARY",
        "ACTING",
        "ACTING_PRIMARY",
        "LAST_SCRUB",
        "SCRUB_STAMP",
        "LAST_DEEP_SCRUB",
        "DEEP_SCRUB_STAMP",
        "SNAPTRIMQ_LEN",
    ] {
        t.column(name, Align::Left, Align::Right);
    }
    for (id, s) in pgs {
        let mut row = vec![id.to_string()];
        row.extend(counters(&s.stats.sum, s.log_size, s.ondisk_log_size));
        row.extend([
            PgStat::state_text(s.state()),
            s.last_change.to_string(),
            s.version.to_string(),
            format!("{}:{}", s.reported_epoch, s.reported_seq),
            ids_text(&s.up),
            primary(s.up_primary),
            ids_text(&s.acting),
            primary(s.acting_primary),
            s.last_scrub.to_string(),
            s.last_scrub_stamp.to_string(),
            s.last_deep_scrub.to_string(),
            s.last_deep_scrub_stamp.to_string(),
            s.snaptrimq_len.to_string(),
        ]);
        t.row(row);
    }
    t.render()
}

fn pools_table(view: &View<'_>) -> String {
    let mut t = counter_table("POOLID");
    for id in view.map().pools.keys().rev() {
        let s = view.stats.pool(*id);
        let mut row = vec![id.to_string()];
        row.extend(counters(&s.sum, s.log_size, s.ondisk_log_size));
        t.row(row);
    }
    t.render()
}

fn sum_table(view: &View<'_>) -> String {
    let mut t = counter_table("PG_STAT");
    let s = view.stats.total();
    let mut row = vec!["sum".to_string()];
    row.extend(counters(&s.sum, s.log_size, s.ondisk_log_size));
    t.row(row);
    t.render()
}

fn osds_table(view: &View<'_>, rows: bool) -> String {
    let mut t = Table::new();
    t.column("OSD_STAT", Align::Left, Align::Left);
    for name in ["USED", "AVAIL", "USED_RAW", "TOTAL"] {
        t.column(name, Align::Left, Align::Right);
    }
    if rows {
        for name in ["HB_PEERS", "PG_SUM", "PRIMARY_PG_SUM"] {
            t.column(name, Align::Left, Align::Right);
        }
        for (osd, s) in view.stats.osds.iter().rev() {
            let f = &s.statfs;
            let positive = |n: i64| bytes(n.max(0).unsigned_abs());
            let (acting, leads) = view.stats.pgs_of(*osd);
            t.row([
                osd.to_string(),
                positive(f.total - f.available - f.internally_reserved),
                positive(f.available),
                positive(f.total - f.available),
                positive(f.total),
                ids_text(&s.heartbeat_peers),
                acting.to_string(),
                leads.to_string(),
            ]);
        }
    }
    let raw = usage::cluster(view.map(), view.stats);
    t.row([
        "sum".to_string(),
        bytes(raw.used),
        bytes(raw.available),
        bytes(raw.used_raw),
        bytes(raw.total),
    ]);
    t.render()
}

/// `pg dump`.
pub fn dump(view: &View<'_>, what: &[String]) -> String {
    let wants = |word: &str| what.iter().any(|w| w == word || w == "all");
    let summary = what.iter().any(|w| matches!(w.as_str(), "all" | "summary" | "sum" | "delta"));
    let mut out = String::new();
    if summary {
        let s = view.stats;
        out.push_str(&format!(
            "version {}\nstamp {}\nlast_osdmap_epoch 0\nlast_pg_scan 0\n",
            s.version, s.stamp
        ));
    }
    let mut note = summary;
    if wants("pgs") {
        out.push_str(&pgs_table(&every_pg(view)));
        out.push('\n');
        note = true;
    } else if what.iter().any(|w| w == "pgs_brief") {
        out.push_str(&brief(&every_pg(view)));
    }
    if wants("pools") {
        out.push_str(&pools_table(view));
        out.push('\n');
        note = true;
    }
    if summary {
        out.push_str(&sum_table(view));
    }
    if wants("osds") || summary {
        out.push_str(&osds_table(view, wants("osds")));
    }
    if note {
        out.push_str(OMAP_NOTE);
    }
    out
}

/// `pg ls`.
pub fn ls(view: &View<'_>, pgs: &[(PgId, PgStat)]) -> String {
    let mut t = Table::new();
    t.column("PG", Align::Left, Align::Left);
    for name in [
        "OBJECTS",
        "DEGRADED",
        "MISPLACED",
        "UNFOUND",
        "BYTES",
        "OMAP_BYTES*",
        "OMAP_KEYS*",
        "LOG",
        "STATE",
        "SINCE",
        "VERSION",
        "REPORTED",
        "UP",
        "ACTING",
        "SCRUB_STAMP",
        "DEEP_SCRUB_STAMP",
    ] {
        let left = matches!(name, "SCRUB_STAMP" | "DEEP_SCRUB_STAMP");
        t.column(name, Align::Left, if left { Align::Left } else { Align::Right });
    }
    for (id, s) in pgs {
        let c = &s.stats.sum;
        t.row([
            id.to_string(),
            c.num_objects.to_string(),
            c.num_objects_degraded.to_string(),
            c.num_objects_misplaced.to_string(),
            c.num_objects_unfound.to_string(),
            c.num_bytes.to_string(),
            c.num_omap_bytes.to_string(),
            c.num_omap_keys.to_string(),
            s.log_size.to_string(),
            PgStat::state_text(s.state()),
            span(view.now.wall.saturating_sub(s.last_change)),
            s.version.to_string(),
            format!("{}:{}", s.reported_epoch, s.reported_seq),
            format!("{}p{}", ids_text(&s.up), s.up_primary),
            format!("{}p{}", ids_text(&s.acting), s.acting_primary),
            s.last_scrub_stamp.to_string(),
            s.last_deep_scrub_stamp.to_string(),
        ]);
    }
    t.render() + OMAP_NOTE
}
