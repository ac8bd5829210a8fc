//! Health: what is wrong, by Ceph's codes.

use std::collections::BTreeMap;

use seabed_cluster::osdmap::{flag, pool_flag};
use seabed_cluster::{OsdMap, PgStat, Time, UTime, pg_state};

use super::crush_edit;
use super::osd::hold;
use super::stats::{PgMap, all_pgs};
use crate::command::text::float_g;

/// Lines of detail of one check at most.
const DETAIL_MAX: usize = 50;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Look at it.
    Warn,
    /// Act.
    Error,
}

impl Severity {
    /// `HEALTH_WARN`, `HEALTH_ERR`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warn => "HEALTH_WARN",
            Severity::Error => "HEALTH_ERR",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How bad.
    pub severity: Severity,
    /// In a line.
    pub summary: String,
    /// How many things it counts.
    pub count: u64,
    /// Line by line.
    pub detail: Vec<String>,
}

/// All that is wrong, by code.
pub type Checks = BTreeMap<&'static str, Check>;

/// What the checks look at.
pub struct Inputs<'a> {
    /// The newest map.
    pub map: &'a OsdMap,
    /// What was reported.
    pub stats: &'a PgMap,
    /// Since when the monitor runs.
    pub started: Time,
    /// Now.
    pub now: Time,
    /// Now.
    pub wall: UTime,
    /// Seconds a PG may be inactive before it is called stuck.
    pub stuck_after: u64,
    /// Whether pools without an application are worth a warning.
    pub warn_no_app: bool,
}

/// Looks at everything.
pub fn check(inputs: &Inputs<'_>) -> Checks {
    let mut checks = Checks::new();
    osds(inputs, &mut checks);
    flags(inputs.map, &mut checks);
    held(inputs.map, &mut checks);
    full_order(inputs.map, &mut checks);
    full(inputs.map, &mut checks);
    pools(inputs, &mut checks);
    availability(inputs, &mut checks);
    degraded(inputs, &mut checks);
    damaged(inputs, &mut checks);
    checks
}

fn warn(checks: &mut Checks, code: &'static str, count: u64, summary: String, detail: Vec<String>) {
    add(checks, code, Severity::Warn, count, summary, detail);
}

fn add(
    checks: &mut Checks,
    code: &'static str,
    severity: Severity,
    count: u64,
    summary: String,
    mut detail: Vec<String>,
) {
    if detail.len() > DETAIL_MAX {
        let more = detail.len() - DETAIL_MAX;
        detail.truncate(DETAIL_MAX);
        detail.push(format!("and {more} more"));
    }
    checks.insert(code, Check { severity, summary, count, detail });
}

fn osds(inputs: &Inputs<'_>, checks: &mut Checks) {
    let map = inputs.map;
    let all = map.num_osds();
    if all == 0 {
        return;
    }
    let down: Vec<_> = map.osds().filter(|o| map.is_down(*o) && map.is_in(*o)).collect();
    if !down.is_empty() {
        let detail = down
            .iter()
            .map(|osd| {
                let place: Vec<String> = crush_edit::location(&map.crush, *osd)
                    .iter()
                    .rev()
                    .map(|(k, n)| format!("{k}={n}"))
                    .collect();
                format!("osd.{osd} ({}) is down", place.join(","))
            })
            .collect();
        let n = down.len() as u64;
        warn(checks, "OSD_DOWN", n, format!("{n} osds down"), detail);
    }
    if map.num_in_osds() == 0 || map.num_up_osds() == 0 && all > 0 {
        // Every OSD is down: name the hosts and roots as well.
        let hosts = crush_edit::buckets_all_down(map, "host");
        if !hosts.is_empty() {
            let n = hosts.len() as u64;
            let detail = hosts.iter().map(|h| format!("host {h} is down")).collect();
            warn(checks, "OSD_HOST_DOWN", n, format!("{n} host ({all} osds) down"), detail);
        }
    }
    let orphans: Vec<i32> = crush_edit::devices(&map.crush)
        .into_iter()
        .filter(|id| !map.exists(seabed_cluster::OsdId(*id)))
        .collect();
    if !orphans.is_empty() {
        let n = orphans.len() as u64;
        let detail = orphans
            .iter()
            .map(|id| format!("osd.{id} exists in crush map but not in osdmap"))
            .collect();
        let text = format!("{n} osds exist in the crush map but not in the osdmap");
        warn(checks, "OSD_ORPHAN", n, text, detail);
    }
}

fn flags(map: &OsdMap, checks: &mut Checks) {
    let warned = flag::map::FULL
        | flag::map::PAUSERD
        | flag::map::PAUSEWR
        | flag::map::PAUSEREC
        | flag::map::NOUP
        | flag::map::NODOWN
        | flag::map::NOIN
        | flag::map::NOOUT
        | flag::map::NOBACKFILL
        | flag::map::NORECOVER
        | flag::map::NOSCRUB
        | flag::map::NODEEP_SCRUB
        | flag::map::NOTIERAGENT
        | flag::map::NOSNAPTRIM
        | flag::map::NOREBALANCE;
    let set = map.flags & warned;
    if set != 0 {
        let text = format!("{} flag(s) set", flag_names(set));
        warn(checks, "OSDMAP_FLAGS", flag_names(set).len() as u64, text, Vec::new());
    }
}

/// OSDs, buckets and classes that are held where they are.
fn held(map: &OsdMap, checks: &mut Checks) {
    let line = |what: String, bits: u32| {
        (bits & hold::MASK != 0).then(|| format!("{what} has flags {}", hold::words(bits)))
    };
    let crush = &map.crush;
    let bucket = |id: i32| {
        let kind = crush.item_type(id).and_then(|k| crush.type_name(k)).unwrap_or("bucket");
        format!("{kind} {}", crush.item_name(id).unwrap_or_default())
    };
    let class = |id: &i32| {
        format!("device class '{}'", crush.class_names.get(id).map_or("", String::as_str))
    };
    let osds = map.osds().filter_map(|o| line(format!("osd.{o}"), map.state(o)));
    let nodes = map.crush_node_flags.iter().filter_map(|(id, bits)| line(bucket(*id), *bits));
    let classes = map.device_class_flags.iter().filter_map(|(id, bits)| line(class(id), *bits));
    let detail: Vec<String> = osds.chain(nodes).chain(classes).collect();
    if !detail.is_empty() {
        let n = detail.len() as u64;
        let what = "OSDs or CRUSH {nodes, device-classes} have {NOUP,NODOWN,NOIN,NOOUT} flags set";
        warn(checks, "OSD_FLAGS", n, format!("{n} {what}"), detail);
    }
}

/// Thresholds of fullness that are not one above the other.
fn full_order(map: &OsdMap, checks: &mut Checks) {
    let ratios = [
        ("full_ratio", map.full_ratio),
        ("backfillfull_ratio", map.backfillfull_ratio),
        ("nearfull_ratio", map.nearfull_ratio),
    ];
    let show = |ratio: f32| float_g(f64::from(ratio), 6);
    let detail: Vec<String> = ratios
        .windows(2)
        .filter(|w| w[0].1 < w[1].1)
        .map(|w| {
            let (high, low) = (w[0], w[1]);
            format!("{} ({}) < {} ({}), increased", high.0, show(high.1), low.0, show(low.1))
        })
        .collect();
    if !detail.is_empty() {
        let (code, text) = ("OSD_OUT_OF_ORDER_FULL", "full ratio(s) out of order".to_string());
        add(checks, code, Severity::Error, detail.len() as u64, text, detail);
    }
}

/// Names of the bits of a map's flags, joined by commas.
pub fn flag_names(bits: u32) -> String {
    let names: Vec<&str> =
        flag::map::ALL.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect();
    names.join(",")
}

fn full(map: &OsdMap, checks: &mut Checks) {
    let kinds = [
        (flag::osd::FULL, "OSD_FULL", "full", Severity::Error),
        (flag::osd::BACKFILLFULL, "OSD_BACKFILLFULL", "backfillfull", Severity::Warn),
        (flag::osd::NEARFULL, "OSD_NEARFULL", "nearfull", Severity::Warn),
    ];
    for (bit, code, word, severity) in kinds {
        let osds: Vec<_> = map.osds().filter(|o| map.state(*o) & bit != 0).collect();
        if osds.is_empty() {
            continue;
        }
        let n = osds.len() as u64;
        let shown = if bit == flag::osd::NEARFULL { "near full" } else { word };
        let detail = osds.iter().map(|o| format!("osd.{o} is {shown}")).collect();
        add(checks, code, severity, n, format!("{n} {word} osd(s)"), detail);
    }
    let pool_kinds = [
        (pool_flag::FULL, "POOL_FULL", "full"),
        (pool_flag::BACKFILLFULL, "POOL_BACKFILLFULL", "backfillfull"),
        (pool_flag::NEARFULL, "POOL_NEARFULL", "nearfull"),
    ];
    for (bit, code, word) in pool_kinds {
        let named: Vec<String> = map
            .pools
            .iter()
            .filter(|(_, p)| p.flags & bit != 0)
            .map(|(id, _)| {
                let name = map.pool_names.get(id).cloned().unwrap_or_default();
                format!("pool '{name}' is {word}")
            })
            .collect();
        if !named.is_empty() {
            let n = named.len() as u64;
            warn(checks, code, n, format!("{n} pool(s) {word}"), named);
        }
    }
}

fn pools(inputs: &Inputs<'_>, checks: &mut Checks) {
    let map = inputs.map;
    let mut no_app = Vec::new();
    let mut no_redundancy = Vec::new();
    for (id, pool) in &map.pools {
        let name = map.pool_names.get(id).cloned().unwrap_or_default();
        if pool.size == 1 {
            no_redundancy.push(format!("pool '{name}' has no replicas configured"));
        }
        let used = inputs.stats.pool(*id).sum.num_objects > 0;
        if inputs.warn_no_app && pool.application_metadata.is_empty() && used {
            no_app.push(format!("application not enabled on pool '{name}'"));
        }
    }
    if !no_redundancy.is_empty() {
        let n = no_redundancy.len() as u64;
        let text = format!("{n} pool(s) have no replicas configured");
        warn(checks, "POOL_NO_REDUNDANCY", n, text, no_redundancy);
    }
    if !no_app.is_empty() {
        let n = no_app.len() as u64;
        no_app.push(
            "use 'ceph osd pool application enable <pool-name> <app-name>', where <app-name> is \
             'cephfs', 'rbd', 'rgw', or freeform for custom applications."
                .to_string(),
        );
        let text = format!("{n} pool(s) do not have an application enabled");
        warn(checks, "POOL_APP_NOT_ENABLED", n, text, no_app);
    }
}

/// Text of a PG for a line of detail.
fn pg_line(pg: impl std::fmt::Display, stat: Option<&PgStat>) -> String {
    match stat {
        None => format!("pg {pg} is unknown, acting []"),
        Some(s) => {
            let acting: Vec<String> = s.acting.iter().map(|o| o.to_string()).collect();
            format!("pg {pg} is {}, acting [{}]", PgStat::state_text(s.state()), acting.join(","))
        }
    }
}

fn availability(inputs: &Inputs<'_>, checks: &mut Checks) {
    // A PG may be inactive for a moment; only one that stays so is worth a warning, and so is one
    // that is down or incomplete, which does not heal by waiting.
    let grace = std::time::Duration::from_secs(inputs.stuck_after);
    let young = inputs.now.saturating_sub(inputs.started) < grace;
    let mut inactive = 0u64;
    let mut by_word: BTreeMap<&str, u64> = BTreeMap::new();
    let mut detail = Vec::new();
    for pg in all_pgs(inputs.map) {
        let stat = inputs.stats.pgs.get(&pg);
        let state = stat.map_or(0, PgStat::state);
        let bad = state & (pg_state::DOWN | pg_state::INCOMPLETE | pg_state::STALE) != 0;
        let active = state & pg_state::ACTIVE != 0;
        if active && state & pg_state::STALE == 0 {
            continue;
        }
        let since = stat.map_or(UTime::ZERO, |s| s.last_active.max(s.last_change));
        let stuck =
            if stat.is_some() { inputs.wall.saturating_sub(since) >= grace } else { !young };
        if !bad && !stuck {
            continue;
        }
        if !active {
            inactive += 1;
        }
        for (bit, word) in [
            (pg_state::STALE, "stale"),
            (pg_state::DOWN, "down"),
            (pg_state::INCOMPLETE, "incomplete"),
            (pg_state::PEERING, "peering"),
        ] {
            if state & bit != 0 {
                *by_word.entry(word).or_default() += 1;
            }
        }
        detail.push(pg_line(pg, stat));
    }
    if detail.is_empty() {
        return;
    }
    let mut parts = Vec::new();
    if inactive > 0 {
        parts.push(format!("{inactive} pg{} inactive", plural(inactive)));
    }
    for (word, n) in by_word {
        parts.push(format!("{n} pg{} {word}", plural(n)));
    }
    let text = format!("Reduced data availability: {}", parts.join(", "));
    warn(checks, "PG_AVAILABILITY", detail.len() as u64, text, detail);
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn degraded(inputs: &Inputs<'_>, checks: &mut Checks) {
    let sum = inputs.stats.total().sum;
    let (mut degraded_pgs, mut undersized_pgs) = (0u64, 0u64);
    let mut detail = Vec::new();
    let grace = std::time::Duration::from_secs(inputs.stuck_after);
    for (pg, stat) in &inputs.stats.pgs {
        let state = stat.state();
        let long = inputs.wall.saturating_sub(stat.last_fullsized) >= grace;
        let undersized = state & pg_state::UNDERSIZED != 0 && long;
        if state & pg_state::DEGRADED != 0 {
            degraded_pgs += 1;
        }
        if undersized {
            undersized_pgs += 1;
        }
        if state & pg_state::DEGRADED != 0 || undersized {
            detail.push(pg_line(pg, Some(stat)));
        }
    }
    let objects = sum.num_objects_degraded.max(0);
    if detail.is_empty() && objects == 0 {
        return;
    }
    let mut parts = Vec::new();
    if objects > 0 {
        parts.push(format!(
            "{objects}/{} objects degraded ({})",
            sum.num_object_copies,
            ratio_text(objects, sum.num_object_copies)
        ));
    }
    if degraded_pgs > 0 {
        parts.push(format!("{degraded_pgs} pg{} degraded", plural(degraded_pgs)));
    }
    if undersized_pgs > 0 {
        parts.push(format!("{undersized_pgs} pg{} undersized", plural(undersized_pgs)));
    }
    let text = format!("Degraded data redundancy: {}", parts.join(", "));
    warn(checks, "PG_DEGRADED", detail.len() as u64, text, detail);
}

/// `66.667%`.
pub fn ratio_text(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "0.000%".to_string();
    }
    format!("{:.3}%", part as f64 * 100.0 / whole as f64)
}

fn damaged(inputs: &Inputs<'_>, checks: &mut Checks) {
    let sum = inputs.stats.total().sum;
    if sum.num_objects_unfound > 0 {
        let n = sum.num_objects_unfound;
        let detail = inputs
            .stats
            .pgs
            .iter()
            .filter(|(_, s)| s.stats.sum.num_objects_unfound > 0)
            .map(|(pg, s)| {
                format!("pg {pg} has {} unfound objects", s.stats.sum.num_objects_unfound)
            })
            .collect();
        let text =
            format!("{n}/{} objects unfound ({})", sum.num_objects, ratio_text(n, sum.num_objects));
        warn(checks, "OBJECT_UNFOUND", n.unsigned_abs(), text, detail);
    }
    let bad: Vec<String> = inputs
        .stats
        .pgs
        .iter()
        .filter(|(_, s)| {
            s.state()
                & (pg_state::INCONSISTENT
                    | pg_state::RECOVERY_UNFOUND
                    | pg_state::FAILED_REPAIR
                    | pg_state::SNAPTRIM_ERROR)
                != 0
        })
        .map(|(pg, s)| pg_line(pg, Some(s)))
        .collect();
    if !bad.is_empty() {
        let n = bad.len() as u64;
        let text = format!("Possible data damage: {n} pg{} damaged", plural(n));
        add(checks, "PG_DAMAGED", Severity::Error, n, text, bad);
    }
    if sum.num_scrub_errors > 0 {
        let n = sum.num_scrub_errors.unsigned_abs();
        add(
            checks,
            "OSD_SCRUB_ERRORS",
            Severity::Error,
            n,
            format!("{n} scrub errors"),
            Vec::new(),
        );
    }
}

/// A percentage for the lines of `ceph -s`: `9.756%`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 { float_g(0.0, 6) } else { format!("{:.3}%", part as f64 * 100.0 / whole as f64) }
}
