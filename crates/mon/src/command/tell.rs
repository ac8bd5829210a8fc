//! What a daemon is asked about itself (`ceph tell mon.a …`): another table than the cluster's
//! commands, because it answers for this process alone.
//!
//! Options set here hold until the process ends, and before those set in the cluster.

use seabed_cluster::admin::{describe_told, help_told, prefix};
use seabed_cluster::{options, pg_state};
use serde_json::{Value, json};

use super::{Answer, Command, Refusal, Reply, View, misc};
use crate::session::Session;

/// The commands beside those about options, in the same form: permission, signature, help.
const TABLE: &[(&str, &str, &str)] = &[
    ("r", "get_command_descriptions", "list the commands as JSON"),
    ("r", "help", "list the commands"),
    ("r", "version", "show this monitor's version"),
    ("r", "mon_status", "show this monitor's state"),
    ("r", "sessions", "list the sessions of this monitor"),
    ("r", "perf dump", "show counters"),
];

fn table() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    TABLE.iter().chain(options::COMMANDS)
}

/// The permission a command needs; a refusal if there is no such command.
pub fn permission(wanted: &str) -> Result<&'static str, Refusal> {
    let names = || table().map(|(_, sig, _)| prefix(sig)).collect::<Vec<_>>().join(", ");
    let unknown = || Refusal::invalid(format!("a monitor can be told: {}", names()));
    table().find(|(_, sig, _)| prefix(sig) == wanted).map(|(perm, ..)| *perm).ok_or_else(unknown)
}

/// Answers a command that is not about options.
pub fn run(view: &View<'_>, command: &Command) -> Answer {
    let value = match command.prefix.as_str() {
        "mon_status" => return misc::mon(view, command),
        "version" => version(&view.config.version),
        "sessions" => Value::Array(view.sessions.iter().map(|s| session(s)).collect()),
        "perf dump" => counters(view),
        "help" => help_told(table().map(|(_, sig, help)| (*sig, *help))),
        _ => describe_told(table().map(|(_, sig, help)| (*sig, *help))),
    };
    Ok(Reply::json(&value, command.format))
}

/// `ceph version 16.2.15 (hash) pacific (stable)` taken apart.
fn version(text: &str) -> Value {
    let words: Vec<&str> = text.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    json!({
        "version": word(2),
        "release": word(4),
        "release_type": word(5).trim_matches(['(', ')']),
    })
}

fn session(s: &Session) -> Value {
    json!({
        "name": s.peer.name.to_string(),
        "entity_name": s.peer.entity,
        "addrs": s.peer.addrs.dump(),
        "con_features": s.peer.features,
        "con_features_hex": format!("{:x}", s.peer.features),
        "global_id": s.peer.global_id.0,
        "remote_host": s.hostname,
        "osd_epoch": s.osd_epoch.0,
        "subscriptions": s.subscriptions.keys().collect::<Vec<_>>(),
    })
}

fn counters(view: &View<'_>) -> Value {
    let map = view.map();
    let total = view.stats.total().sum;
    let usage = super::usage::cluster(map, view.stats);
    let with = |bits: u64| view.stats.pgs.values().filter(|s| s.state() & bits == bits).count();
    json!({
        "cluster": {
            "num_mon": view.state.monmap.mons.len(),
            "num_mon_quorum": 1,
            "num_osd": map.num_osds(),
            "num_osd_up": map.num_up_osds(),
            "num_osd_in": map.num_in_osds(),
            "osd_epoch": map.epoch.0,
            "osd_bytes": usage.total,
            "osd_bytes_used": usage.used_raw,
            "osd_bytes_avail": usage.available,
            "num_pool": map.pools.len(),
            "num_pg": map.pools.values().map(|p| u64::from(p.pg_num)).sum::<u64>(),
            "num_pg_active_clean": with(pg_state::ACTIVE | pg_state::CLEAN),
            "num_pg_active": with(pg_state::ACTIVE),
            "num_pg_peering": with(pg_state::PEERING),
            "num_object": total.num_objects,
            "num_object_degraded": total.num_objects_degraded,
            "num_object_misplaced": total.num_objects_misplaced,
            "num_object_unfound": total.num_objects_unfound,
            "num_bytes": total.num_bytes,
        },
        "mon": {
            "num_sessions": view.sessions.len(),
            "num_log_lines": view.log.version(),
            "map_log_version": view.state.version.0,
        },
    })
}
