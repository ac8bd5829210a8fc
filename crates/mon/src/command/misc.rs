//! Commands about monitors, the mgr, options, keys and the cluster log.

use std::collections::BTreeMap;

use seabed_cluster::{EntityType, Errno, feature};
use seabed_denc::Encode;
use serde_json::{Map, Value, json};

use super::mon_dump;
use super::osd_read::count_by;
use super::status::quorum_age;
use super::{Answer, Command, Format, Refusal, Reply, View};
use crate::history::MAP_FEATURES;
use crate::service::cluster_log;

/// One monitor never holds an election; Ceph shows 3 for a fresh quorum of one.
pub const ELECTION_EPOCH: u64 = 3;

/// Text for people, JSON for programs.
pub fn text_or(
    command: &Command,
    text: impl FnOnce() -> String,
    value: impl FnOnce() -> Value,
) -> Answer {
    if command.format == Format::Plain {
        Ok(Reply::text(text()))
    } else {
        Ok(Reply::json(&value(), command.format))
    }
}

/// Metadata of this monitor.
fn mon_metadata(view: &View<'_>) -> Value {
    let name = &view.config.name;
    let addrs = view.state.monmap.mons.get(name).map(|m| m.addrs.clone()).unwrap_or_default();
    json!({
        "name": name,
        "addrs": addrs.to_string(),
        "ceph_release": "pacific",
        "ceph_version": view.config.version,
        "ceph_version_short": short_version(&view.config.version),
        "hostname": view.config.hostname,
    })
}

fn short_version(version: &str) -> &str {
    version.split(' ').nth(2).unwrap_or(version)
}

/// `mon …`.
pub fn mon(view: &View<'_>, command: &Command) -> Answer {
    let m = &view.state.monmap;
    let name = &view.config.name;
    if let Some(epoch) = command.int("epoch")?.filter(|n| *n != i64::from(m.epoch.0)) {
        return Err(Refusal::not_found(format!("there is no map for epoch {epoch}")));
    }
    match command.prefix.as_str() {
        "mon dump" => {
            let status = format!("dumped monmap epoch {}", m.epoch);
            let mut value = mon_dump::monmap(m);
            if let Value::Object(fields) = &mut value {
                fields.insert("quorum".into(), json!([0]));
            }
            let reply = text_or(command, || mon_dump::monmap_text(m), || value)?;
            Ok(reply.with_status(status))
        }
        "mon getmap" => Ok(Reply::data(m.to_bytes(MAP_FEATURES))
            .with_status(format!("got monmap epoch {}", m.epoch))),
        "mon stat" => text_or(
            command,
            || {
                let mons: Vec<String> =
                    m.mons.values().map(|i| format!("{}={}", i.name, i.addrs)).collect();
                format!(
                    "e{}: {} mons at {{{}}} removed_ranks: {{}}, election epoch \
                     {ELECTION_EPOCH}, leader 0 {name}, quorum 0 {name}\n",
                    m.epoch,
                    m.mons.len(),
                    mons.join(",")
                )
            },
            || {
                json!({
                    "epoch": m.epoch.0,
                    "min_mon_release_name": seabed_cluster::release_name(m.min_mon_release),
                    "num_mons": m.mons.len(),
                    "leader": name,
                    "quorum": [{"rank": 0, "name": name}],
                })
            },
        ),
        "mon metadata" => {
            let one = mon_metadata(view);
            let value = match command.str("id") {
                None => json!([one]),
                Some(id) if id == *name => one,
                Some(_) => return Err(Refusal::not_found("requested mon not found")),
            };
            Ok(Reply::json(&value, command.format))
        }
        "mon versions" => Ok(Reply::json(&json!({&view.config.version: 1}), command.format)),
        "mon count-metadata" => {
            let value = match command.str("property") {
                Some(key) => mon_metadata(view)
                    .get(&key)
                    .and_then(Value::as_str)
                    .unwrap_or("unknown")
                    .to_string(),
                None => "unknown".to_string(),
            };
            Ok(Reply::json(&json!({value: 1}), command.format))
        }
        "mon feature ls" => feature_ls(view, command),
        "mon ok-to-stop" | "mon ok-to-rm" | "mon ok-to-add-offline" => ok_to(view, command),
        _ => quorum_status(view, command),
    }
}

/// May the only monitor be without itself? No; without others it may.
fn ok_to(view: &View<'_>, command: &Command) -> Answer {
    let name = &view.config.name;
    let busy = |text: String| Err(Refusal::new(Errno::EBUSY, text));
    match command.prefix.as_str() {
        "mon ok-to-stop" => {
            let ids = command.list("ids");
            let shown = ids.join(",");
            if ids.contains(name) {
                return busy(format!("no monitor would be left after stopping mons [{shown}]"));
            }
            let text = format!("quorum should be preserved ({name}) after stopping [{shown}]");
            Ok(Reply::status(text))
        }
        "mon ok-to-rm" => match command.need("id")? {
            id if id == *name => busy(format!("removing mon.{id} would break quorum")),
            id => Ok(Reply::status(format!("mon.{id} does not exist"))),
        },
        _ => busy("adding a monitor may break quorum (until that monitor starts)".to_string()),
    }
}

fn feature_ls(view: &View<'_>, command: &Command) -> Answer {
    let m = &view.state.monmap;
    let all = mon_dump::mon_features(seabed_cluster::mon_feature::PACIFIC_ALL);
    let persistent = mon_dump::mon_features(m.persistent_features);
    let with_value = command.str("with_value").is_some();
    let bit = |name: &str| {
        let found = seabed_cluster::mon_feature::NAMES.iter().find(|(_, n)| *n == name);
        found.map_or(0, |(bit, _)| *bit)
    };
    let list = |l: &[&str]| {
        let named = l.iter().map(|n| match with_value {
            true => format!("{n}({})", bit(n)),
            false => (*n).to_string(),
        });
        format!("[{}]", named.collect::<Vec<_>>().join(","))
    };
    text_or(
        command,
        || {
            format!(
                "all features\n\tsupported: {}\n\tpersistent: {}\non current monmap (epoch \
                 {})\n\tpersistent: {}\n\trequired: {}\n",
                list(&all),
                list(&all),
                m.epoch,
                list(&persistent),
                list(&persistent)
            )
        },
        || {
            json!({
                "all": {"supported": all, "persistent": all},
                "monmap": {
                    "persistent": persistent,
                    "optional": mon_dump::mon_features(m.optional_features),
                    "required": persistent,
                },
            })
        },
    )
}

/// The state of this monitor.
pub fn mon_status(view: &View<'_>) -> Value {
    let m = &view.state.monmap;
    let features = json!({
        "quorum_con": feature::PACIFIC_ALL.to_string(),
        "quorum_mon": mon_dump::mon_features(m.persistent_features),
    });
    json!({
        "name": view.config.name,
        "rank": 0,
        "state": "leader",
        "election_epoch": ELECTION_EPOCH,
        "quorum": [0],
        "quorum_age": quorum_age(view).as_secs(),
        "features": features,
        "outside_quorum": [],
        "extra_probe_peers": [],
        "sync_provider": [],
        "monmap": mon_dump::monmap(m),
    })
}

fn quorum_status(view: &View<'_>, command: &Command) -> Answer {
    let m = &view.state.monmap;
    let name = &view.config.name;
    let features = json!({
        "quorum_con": feature::PACIFIC_ALL.to_string(),
        "quorum_mon": mon_dump::mon_features(m.persistent_features),
    });
    let value = if command.prefix == "mon_status" {
        mon_status(view)
    } else {
        json!({
            "election_epoch": ELECTION_EPOCH,
            "quorum": [0],
            "quorum_names": [name],
            "quorum_leader_name": name,
            "quorum_age": quorum_age(view).as_secs(),
            "features": features,
            "monmap": mon_dump::monmap(m),
        })
    };
    // The reference prints one line here even as plain text.
    let format = if command.format == Format::Plain { Format::Json } else { command.format };
    Ok(Reply::json(&value, format))
}

/// `versions` and `features`.
pub fn census(view: &View<'_>, command: &Command) -> Answer {
    if command.prefix == "features" {
        let mut kinds: BTreeMap<&str, BTreeMap<u64, u64>> = BTreeMap::new();
        kinds.entry("mon").or_default().insert(feature::PACIFIC_ALL, 1);
        for peer in view.sessions.iter().map(|s| &s.peer) {
            let word = match peer.name.kind {
                EntityType::Osd => "osd",
                EntityType::Mgr => "mgr",
                EntityType::Mds => "mds",
                EntityType::Mon => "mon",
                _ => "client",
            };
            *kinds.entry(word).or_default().entry(peer.features).or_default() += 1;
        }
        if view.mgr.available {
            kinds.entry("mgr").or_default().insert(feature::PACIFIC_ALL, 1);
        }
        let mut out = Map::new();
        for word in ["mon", "mds", "osd", "client", "mgr"] {
            let Some(groups) = kinds.get(word) else { continue };
            let list: Vec<Value> = groups
                .iter()
                .map(|(f, n)| {
                    json!({"features": format!("0x{f:x}"), "release": "luminous", "num": n})
                })
                .collect();
            out.insert(word.to_string(), Value::Array(list));
        }
        return Ok(Reply::json(&Value::Object(out), command.format));
    }
    let version = &view.config.version;
    let osds = count_by(view, "ceph_version");
    let mgr: BTreeMap<String, u64> =
        view.mgr.available.then(|| (version.clone(), 1)).into_iter().collect();
    let mut overall = osds.clone();
    *overall.entry(version.clone()).or_default() += 1 + mgr.len() as u64;
    let value = json!({
        "mon": {version: 1},
        "mgr": mgr,
        "osd": osds,
        "mds": {},
        "overall": overall,
    });
    Ok(Reply::json(&value, command.format))
}

/// `mgr …`, and what real mgr modules answer.
pub fn mgr(view: &View<'_>, command: &Command) -> Answer {
    let f = command.format;
    let name = &view.config.name;
    let available = view.mgr.available;
    let value = match command.prefix.as_str() {
        "mgr dump" => mon_dump::mgrmap(&view.mgr),
        "mgr stat" => json!({
            "epoch": view.mgr.epoch.0,
            "available": available,
            "active_name": view.mgr.active_name,
            "num_standby": 0,
        }),
        "mgr module ls" => json!({
            "always_on_modules": [],
            "enabled_modules": [],
            "disabled_modules": [],
        }),
        "mgr metadata" if command.str("who").is_some_and(|who| who != *name) => {
            let who = command.str("who").unwrap_or_default();
            return Err(Refusal::not_found(format!("mgr.{who} does not exist")));
        }
        "mgr metadata" => {
            let mut meta = mon_metadata(view);
            if let Value::Object(fields) = &mut meta {
                fields.insert("name".into(), json!(name));
            }
            json!([meta])
        }
        "mgr versions" => json!({&view.config.version: u8::from(available)}),
        "mgr count-metadata" => json!({"unknown": u8::from(available)}),
        "service dump" => view.services.dump(),
        "service status" => view.services.status(),
        "balancer status" => json!({
            "active": false,
            "last_optimize_duration": "",
            "last_optimize_started": "",
            "mode": "none",
            "optimize_result": "",
            "plans": [],
        }),
        "crash ls" | "crash ls-new" if f == Format::Plain => return Ok(Reply::default()),
        "device ls" if f == Format::Plain => {
            let text = "DEVICE  HOST:DEV  DAEMONS  WEAR  LIFE EXPECTANCY\n";
            return Ok(Reply::text(text));
        }
        "device ls-by-daemon" if f == Format::Plain => {
            return Ok(Reply::text("DEVICE  HOST:DEV  EXPECTED FAILURE\n"));
        }
        "device ls-by-host" if f == Format::Plain => {
            return Ok(Reply::text("DEVICE  DEV  DAEMONS  EXPECTED FAILURE\n"));
        }
        "crash ls" | "crash ls-new" | "device ls" | "device ls-by-daemon" | "device ls-by-host" => {
            json!([])
        }
        "device info" => {
            let id = command.need("devid")?;
            return Err(Refusal::not_found(format!("device {id} not found")));
        }
        "progress json" => json!({"completed": [], "events": []}),
        "crash stat" => return Ok(Reply::text("0 crashes recorded\n")),
        "progress" => return Ok(Reply::status("Nothing in progress")),
        _ => json!({}),
    };
    Ok(Reply::json(&value, f))
}

/// `fs …` and `mds …`: there are none.
pub fn fs(command: &Command) -> Answer {
    let map = || {
        json!({
            "epoch": 1,
            "default_fscid": -1,
            "compat": {"compat": {}, "ro_compat": {}, "incompat": {}},
            "feature_flags": {"enable_multiple": true, "ever_enabled_multiple": true},
            "standbys": [],
            "filesystems": [],
        })
    };
    match command.prefix.as_str() {
        "fs ls" => text_or(command, || "No filesystems enabled\n".into(), || json!([])),
        "fs dump" => {
            let text = || "e1\n \nNo filesystems configured\n".to_string();
            Ok(text_or(command, text, map)?.with_status("dumped fsmap epoch 1"))
        }
        "mds stat" => text_or(
            command,
            || "\n".into(),
            || json!({"fsmap": map(), "mdsmap_first_committed": 1, "mdsmap_last_committed": 1}),
        ),
        "mds metadata" => Ok(Reply::json(&json!([]), command.format)),
        _ => Ok(Reply::json(&json!({}), command.format)),
    }
}

/// `node ls`.
pub fn node_ls(view: &View<'_>, command: &Command) -> Answer {
    let host = &view.config.hostname;
    let mut osds: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for osd in view.map().osds() {
        let meta = view.state.osd_metadata.get(&osd);
        let host = meta.and_then(|m| m.get("hostname")).cloned().unwrap_or_default();
        osds.entry(host).or_default().push(osd.0);
    }
    let mut out = Map::new();
    out.insert("mon".into(), json!({host: [view.config.name]}));
    out.insert("osd".into(), json!(osds));
    if view.mgr.available {
        out.insert("mgr".into(), json!({host: [view.mgr.active_name]}));
    }
    match command.str("type").as_deref() {
        None | Some("all") => Ok(Reply::json(&Value::Object(out), command.format)),
        Some(kind) => match out.remove(kind) {
            Some(part) => Ok(Reply::json(&part, command.format)),
            None => Ok(Reply::default()),
        },
    }
}

/// `log last`.
pub fn log_last(view: &View<'_>, command: &Command) -> Answer {
    let num = command.int("num")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(20);
    let level = command.str("level").and_then(|l| cluster_log::priority(&l)).unwrap_or(1);
    let channel = command.str("channel").unwrap_or_else(|| "cluster".to_string());
    let lines = view.log.last(num, level, &channel);
    text_or(
        command,
        || lines.iter().map(|l| cluster_log::to_text(l) + "\n").collect(),
        || lines.iter().map(|l| cluster_log::to_json(l)).collect(),
    )
}

/// `auth …`: with method `none` there are no keys, and none can be made yet.
pub fn auth(command: &Command) -> Answer {
    let entity = command.str("entity").unwrap_or_default();
    let valid = entity.split_once('.').is_some_and(|(kind, id)| {
        !id.is_empty() && ["mon", "mgr", "osd", "mds", "client", "auth"].contains(&kind)
    });
    match command.prefix.as_str() {
        "auth get-or-create" | "auth get-or-create-key" | "auth add" if !valid => {
            Err(Refusal::invalid("bad entity name"))
        }
        "auth get-or-create" | "auth get-or-create-key" | "auth add"
            if !command.list("caps").len().is_multiple_of(2) =>
        {
            Err(Refusal::invalid("bad capabilities request; odd number of arguments"))
        }
        "auth export" if entity.is_empty() => Ok(Reply::status("exported master keyring")),
        _ if !entity.is_empty() && !valid => {
            Err(Refusal::invalid(format!("invalid entity_auth {entity}")))
        }
        "auth rm" | "auth del" => Ok(Reply::status(format!("entity {entity} does not exist"))),
        "auth caps" => Err(Refusal::not_found(format!("couldn't find entry {entity}"))),
        "auth export" => Err(Refusal::not_found(format!("no key for {entity}"))),
        "auth ls" | "auth list" => {
            if command.format == Format::Plain {
                Ok(Reply::status("no installed auth entries!\n"))
            } else {
                Ok(Reply::json(&json!({}), command.format))
            }
        }
        "auth get" => Err(Refusal::not_found(format!("failed to find {entity} in keyring"))),
        "auth get-key" | "auth print-key" => {
            Err(Refusal::not_found(format!("don't have {entity}")))
        }
        _ => Err(Refusal::new(
            Errno::EOPNOTSUPP,
            "this cluster authenticates nobody (auth none): there are no keys to make or change",
        )),
    }
}

/// `time-sync-status`.
pub fn time_sync(command: &Command) -> Answer {
    let checks = json!({"epoch": ELECTION_EPOCH, "round": 0, "round_status": "finished"});
    Ok(Reply::json(&json!({"timechecks": checks}), command.format))
}
