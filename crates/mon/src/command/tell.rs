//! What a daemon is asked about itself (`ceph tell mon.a …`): another table than the cluster's
//! commands, because it answers for this process alone.
//!
//! Options set here hold until the process ends, and before those set in the cluster.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, pg_state};
use serde_json::{Map, Value, json};

use super::{Answer, Command, Refusal, Reply, View, misc, table};
use crate::options::target::Place;
use crate::options::{effective, normal, table as options};
use crate::session::Session;

/// The commands, in the form of the other table: permission, signature, help.
const TABLE: &[(&str, &str, &str)] = &[
    ("r", "get_command_descriptions", "list the commands as JSON"),
    ("r", "version", "show this monitor's version"),
    ("r", "mon_status", "show this monitor's state"),
    ("r", "sessions", "list the sessions of this monitor"),
    ("r", "perf dump", "show counters"),
    ("r", "config show", "show the options in force"),
    ("r", "config diff", "show the options that are not at their default"),
    ("r", "config get var:CephString", "show an option"),
    ("r", "config help [var:CephString]", "show what an option is for"),
    ("rw", "config set var:CephString val:CephString*", "set an option until the process ends"),
    ("rw", "config unset var:CephString", "undo config set"),
    ("rw", "injectargs injected_args:CephString*", "set options until the process ends"),
];

/// Options set in this process, by name.
pub type Injected = BTreeMap<String, String>;

/// What a command may look at, and what it may change.
pub struct Asked<'a> {
    /// What all commands look at.
    pub view: View<'a>,
    /// Who is connected.
    pub sessions: Vec<&'a Session>,
    /// Options set in this process.
    pub injected: &'a Injected,
}

/// The permission a command needs; a refusal if there is no such command.
pub fn permission(prefix: &str) -> Result<&'static str, Refusal> {
    let found = TABLE.iter().find(|(_, sig, _)| table::prefix(sig) == prefix);
    let names =
        || TABLE.iter().map(|(_, sig, _)| table::prefix(sig)).collect::<Vec<_>>().join(", ");
    let unknown = || Refusal::invalid(format!("a monitor can be told: {}", names()));
    found.map(|(perm, ..)| *perm).ok_or_else(unknown)
}

/// Answers a command; what it sets is in the second part.
pub fn run(asked: &Asked<'_>, command: &Command) -> Result<(Reply, Option<Injected>), Refusal> {
    let read = |reply: Answer| reply.map(|r| (r, None));
    match command.prefix.as_str() {
        "config set" => {
            let name = normal(&command.need("var")?);
            let mut injected = asked.injected.clone();
            inject(&mut injected, &name, &command.list("val").join(" "))?;
            Ok((Reply::json(&json!({"success": ""}), command.format), Some(injected)))
        }
        "config unset" => {
            let mut injected = asked.injected.clone();
            injected.remove(&normal(&command.need("var")?));
            Ok((Reply::json(&json!({}), command.format), Some(injected)))
        }
        "injectargs" => {
            let mut injected = asked.injected.clone();
            for (name, value) in arguments(&command.list("injected_args"))? {
                inject(&mut injected, &name, &value)?;
            }
            Ok((Reply::json(&json!({}), command.format), Some(injected)))
        }
        "mon_status" => read(misc::mon(&asked.view, command)),
        prefix => {
            let value = match prefix {
                "get_command_descriptions" => descriptions(),
                "version" => version(&asked.view.config.version),
                "sessions" => Value::Array(asked.sessions.iter().map(|s| session(s)).collect()),
                "perf dump" => counters(asked),
                "config get" => {
                    let name = normal(&command.need("var")?);
                    let unknown =
                        || Refusal::not_found(format!("error getting '{name}': no such option"));
                    let value = in_force(asked).remove(&name).ok_or_else(unknown)?;
                    json!({name: value})
                }
                "config diff" => {
                    let mut all = in_force(asked);
                    all.retain(|name, value| crate::options::default(name) != Some(value));
                    let row = |(name, value): (String, String)| {
                        let default = crate::options::default(&name).unwrap_or_default();
                        (name, json!({"default": default, "final": value}))
                    };
                    json!({"diff": all.into_iter().map(row).collect::<Map<_, _>>()})
                }
                "config help" => {
                    let known = |o: &options::Known| {
                        json!({
                            "name": o.name,
                            "type": o.type_word(),
                            "level": o.level,
                            "desc": o.help,
                            "default": o.default,
                        })
                    };
                    match command.str("var") {
                        Some(var) => {
                            let var = normal(&var);
                            let found = options::find(&var);
                            let none = || Refusal::not_found(format!("no option '{var}'"));
                            json!({"option": known(found.ok_or_else(none)?)})
                        }
                        None => {
                            json!({"options": options::TABLE.iter().map(known).collect::<Vec<_>>()})
                        }
                    }
                }
                _ => {
                    let mut out = Map::new();
                    out.insert("name".into(), json!(format!("mon.{}", asked.view.config.name)));
                    out.insert("cluster".into(), json!("ceph"));
                    out.extend(in_force(asked).into_iter().map(|(k, v)| (k, json!(v))));
                    Value::Object(out)
                }
            };
            Ok((Reply::json(&value, command.format), None))
        }
    }
}

fn inject(injected: &mut Injected, name: &str, value: &str) -> Result<(), Refusal> {
    let fail = |errno, why: &str| {
        Refusal::new(errno, format!("error setting '{name}' to '{value}': {why}"))
    };
    let option = options::find(name).ok_or_else(|| fail(Errno::ENOENT, "no such option"))?;
    let value = option.normal(value).map_err(|why| fail(Errno::EINVAL, &why))?;
    injected.insert(name.to_string(), value);
    Ok(())
}

/// `--name=value` and `--name value`, in one string or in several.
fn arguments(args: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = args.iter().flat_map(|a| a.split_whitespace());
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        let bad = || Refusal::invalid(format!("failed to parse arguments: {word}"));
        let body = word.strip_prefix("--").ok_or_else(bad)?;
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, value),
            None => (body, words.next().ok_or_else(bad)?),
        };
        let name = normal(name);
        options::find(&name).ok_or_else(bad)?;
        out.push((name, value.to_string()));
    }
    Ok(out)
}

/// Every option with the value that holds here.
fn in_force(asked: &Asked<'_>) -> BTreeMap<String, String> {
    let view = &asked.view;
    let pairs = |o: &options::Known| (o.name.to_string(), o.default.to_string());
    let mut all: BTreeMap<String, String> = options::TABLE.iter().map(pairs).collect();
    all.extend(view.config.options.clone());
    let who = format!("mon.{}", view.config.name);
    let set = effective(&view.state.settings, &who, &Place::default());
    all.extend(set.into_iter().map(|(name, (_, value))| (name, value)));
    all.extend(asked.injected.clone());
    all
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

fn counters(asked: &Asked<'_>) -> Value {
    let (view, map) = (&asked.view, asked.view.map());
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
            "num_sessions": asked.sessions.len(),
            "num_log_lines": view.log.version(),
            "map_log_version": view.state.version.0,
        },
    })
}

fn descriptions() -> Value {
    let rows = TABLE.iter().skip(1).map(|(perm, sig, help)| (*sig, *help, "mon", *perm));
    table::describe(rows)
}
