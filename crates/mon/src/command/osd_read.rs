//! Commands that read the OSD map and what OSDs told.

use std::collections::BTreeMap;

use seabed_cluster::{ObjectLocator, OsdId, OsdMap, pg_state, release_name};
use serde_json::{Map, Value, json};

use super::dump::{ids, ids_text};
use super::tree::{self, Filter};
use super::{Answer, Command, Format, Refusal, Reply, View};
use crate::history::MAP_FEATURES;
use crate::service::crush_edit::location;
use crate::service::stats::all_pgs;

/// The map of the epoch that a command names, else the newest.
fn map_at(view: &View<'_>, command: &Command) -> Result<OsdMap, Refusal> {
    match command.int("epoch")? {
        None => Ok(view.map().clone()),
        Some(n) => u32::try_from(n)
            .ok()
            .and_then(|e| view.state.maps.full(seabed_cluster::Epoch(e)))
            .ok_or_else(|| Refusal::not_found(format!("there is no map for epoch {n}"))),
    }
}

/// The OSD that a command names, which must exist.
pub fn need_osd(map: &OsdMap, command: &Command, arg: &str) -> Result<OsdId, Refusal> {
    let osd = command.need_osd(arg)?;
    if map.exists(osd) {
        Ok(osd)
    } else {
        Err(Refusal::not_found(format!("osd.{osd} does not exist")))
    }
}

/// `osd dump`, `osd getmap`, `osd getcrushmap`, `osd ls`, `osd tree`.
pub fn of_epoch(view: &View<'_>, command: &Command) -> Answer {
    let map = map_at(view, command)?;
    let plain = command.format == Format::Plain;
    match command.prefix.as_str() {
        "osd dump" if plain => Ok(Reply::text(map.print())),
        "osd dump" => Ok(Reply::json(&map.dump(), command.format)),
        "osd getmap" => Ok(Reply::data(map.encode_full(MAP_FEATURES))
            .with_status(format!("got osdmap epoch {}", map.epoch))),
        "osd getcrushmap" => {
            Ok(Reply::data(map.crush.encode()).with_status(map.crush_version.to_string()))
        }
        "osd ls" if plain => {
            Ok(Reply::text(map.osds().map(|o| format!("{o}\n")).collect::<String>()))
        }
        "osd ls" => {
            let ids: Vec<i32> = map.osds().map(|o| o.0).collect();
            Ok(Reply::json(&json!(ids), command.format))
        }
        "osd ls-tree" => ls_tree(&map, command),
        _ => {
            let filter = tree_filter(&map, command)?;
            if plain {
                Ok(Reply::text(tree::to_text(&map, &filter)))
            } else {
                Ok(Reply::json(&tree::to_json(&map, &filter), command.format))
            }
        }
    }
}

/// Which part of the tree `osd tree` and `osd tree-from` show.
fn tree_filter(map: &OsdMap, command: &Command) -> Result<Filter, Refusal> {
    let states = command.list("states");
    let known = ["up", "down", "in", "out", "destroyed"];
    if let Some(word) = states.iter().find(|s| !known.contains(&s.as_str())) {
        return Err(Refusal::invalid(format!("unrecognized state '{word}'")));
    }
    for (group, text) in [
        (["in", "out", ""], "can specify only one of 'in' and 'out'"),
        (["up", "down", "destroyed"], "can specify only one of 'up', 'down' and 'destroyed'"),
    ] {
        if states.iter().filter(|s| group.contains(&s.as_str())).count() > 1 {
            return Err(Refusal::invalid(text));
        }
    }
    let mut root = None;
    if command.prefix == "osd tree-from" {
        let name = command.need("bucket")?;
        let id = map.crush.item_id(&name);
        let id = id.ok_or_else(|| Refusal::not_found(format!("bucket '{name}' does not exist")))?;
        if id >= 0 {
            return Err(Refusal::invalid(format!("\"{name}\" is not a bucket")));
        }
        root = Some(id);
    }
    Ok(Filter { states, root })
}

fn ls_tree(map: &OsdMap, command: &Command) -> Answer {
    let name = command.need("name")?;
    let id = map
        .crush
        .item_id(&name)
        .ok_or_else(|| Refusal::not_found(format!("\"{name}\" does not exist")))?;
    let osds: Vec<i32> =
        map.crush.devices_below(id).into_iter().filter(|o| map.exists(OsdId(*o))).collect();
    if command.format == Format::Plain {
        return Ok(Reply::text(osds.iter().map(|o| format!("{o}\n")).collect::<String>()));
    }
    Ok(Reply::json(&json!(osds), command.format))
}

/// `osd info`.
pub fn info(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let osds = match command.osd("id")? {
        // The reference calls an unknown OSD an invalid argument here.
        Some(_) => vec![need_osd(map, command, "id").map_err(|e| Refusal::invalid(e.text))?],
        None => map.osds().collect(),
    };
    if command.format == Format::Plain {
        let text: String = osds.iter().map(|o| map.print_osd_line(*o)).collect();
        return Ok(Reply::text(text));
    }
    let list: Vec<Value> = osds.iter().map(|o| map.dump_osd(*o)).collect();
    let value = if command.str("id").is_some() {
        list.into_iter().next().unwrap_or_default()
    } else {
        Value::Array(list)
    };
    Ok(Reply::json(&value, command.format))
}

/// `osd find`.
pub fn find_osd(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let osd = need_osd(map, command, "id")?;
    let i = osd.index().unwrap_or_default();
    let meta = view.state.osd_metadata.get(&osd);
    let get = |key: &str| meta.and_then(|m| m.get(key)).cloned().unwrap_or_default();
    let place: Map<String, Value> =
        location(&map.crush, osd).into_iter().map(|(k, v)| (k, json!(v))).collect();
    let addrs = map.osd_addrs.get(i).cloned().unwrap_or_default();
    let mut out = Map::new();
    out.insert("osd".into(), json!(osd.0));
    out.insert("addrs".into(), addrs.client.dump());
    let fsid = map.osd_uuid.get(i).copied().unwrap_or_default().to_string();
    out.insert("osd_fsid".into(), json!(fsid));
    if meta.is_some() {
        out.insert("host".into(), json!(get("hostname")));
        out.insert("container_name".into(), json!(get("container_name")));
    }
    out.insert("crush_location".into(), Value::Object(place));
    Ok(Reply::json(&Value::Object(out), command.format))
}

/// `osd metadata`.
pub fn metadata(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let one = |osd: OsdId| {
        let mut out = Map::new();
        out.insert("id".into(), json!(osd.0));
        for (k, v) in view.state.osd_metadata.get(&osd).into_iter().flatten() {
            out.insert(k.clone(), json!(v));
        }
        Value::Object(out)
    };
    let value = match command.osd("id")? {
        Some(_) => one(need_osd(map, command, "id")?),
        None => Value::Array(map.osds().map(one).collect()),
    };
    Ok(Reply::json(&value, command.format))
}

/// How many OSDs have each value of a metadata key.
pub fn count_by(view: &View<'_>, key: &str) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for osd in view.map().osds() {
        let value = view.state.osd_metadata.get(&osd).and_then(|m| m.get(key));
        let value = value.map_or("unknown", String::as_str);
        *out.entry(value.to_string()).or_default() += 1;
    }
    out
}

/// `osd map`.
pub fn map_object(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let pool_name = command.need("pool")?;
    let object = command.need("object")?;
    let namespace = command.str("nspace").unwrap_or_default();
    let pool = map
        .pool_by_name(&pool_name)
        .ok_or_else(|| Refusal::not_found(format!("pool {pool_name} does not exist")))?;
    let locator = ObjectLocator {
        pool,
        key: Default::default(),
        namespace: namespace.clone().into(),
        hash: -1,
    };
    let raw = map.object_pg(&locator, object.as_bytes());
    let raw = raw.ok_or_else(|| Refusal::invalid("the pool has no placement groups"))?;
    let pg = map.raw_to_pg(raw).unwrap_or(raw);
    let m = map.map_pg(pg);
    let name = if namespace.is_empty() { object } else { format!("{namespace}/{object}") };
    let lead = |o: Option<OsdId>| o.map_or(-1, |o| o.0);
    if command.format == Format::Plain {
        let text = format!(
            "osdmap e{} pool '{pool_name}' ({pool}) object '{name}' -> pg {raw} ({pg}) -> up ({}, \
             p{}) acting ({}, p{})\n",
            map.epoch,
            ids_text(&m.up),
            lead(m.up_primary),
            ids_text(&m.acting),
            lead(m.acting_primary),
        );
        return Ok(Reply::text(text));
    }
    let value = json!({
        "epoch": map.epoch.0,
        "pool": pool_name,
        "pool_id": pool.0,
        "objname": name,
        "raw_pgid": raw.to_string(),
        "pgid": pg.to_string(),
        "up": ids(&m.up),
        "up_primary": lead(m.up_primary),
        "acting": ids(&m.acting),
        "acting_primary": lead(m.acting_primary),
    });
    Ok(Reply::json(&value, command.format))
}

/// Ids of an `ids` argument; `any` and `all` stand for every OSD.
pub fn id_args(map: &OsdMap, args: &[String]) -> Result<Vec<OsdId>, Refusal> {
    let mut out = Vec::new();
    for word in args {
        if matches!(word.as_str(), "any" | "all" | "*") {
            out.extend(map.osds());
            continue;
        }
        let osd = seabed_cluster::admin::parse_osd(word).ok_or_else(|| {
            Refusal::invalid(format!("invalid osd id '{word}': expected N or osd.N"))
        })?;
        out.push(osd);
    }
    Ok(out)
}

/// `osd ok-to-stop`: would the PGs of these OSDs stay active?
pub fn ok_to_stop(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let stop = id_args(map, &command.list("ids"))?;
    let (mut ok, mut bad) = (0u64, 0u64);
    let (mut degraded, mut inactive, mut offline) = (Vec::new(), Vec::new(), Vec::new());
    for (pg, stat) in &view.stats.pgs {
        if !stat.acting.iter().any(|o| stop.contains(o)) {
            continue;
        }
        let left = stat.acting.iter().filter(|o| !stop.contains(o)).count();
        let min = map.pools.get(&pg.pool).map_or(1, |p| p.min_size);
        if stat.state() & pg_state::ACTIVE == 0 {
            bad += 1;
            inactive.push(pg.to_string());
        } else if left < usize::try_from(min).unwrap_or(usize::MAX) {
            bad += 1;
            offline.push(pg.to_string());
        } else {
            ok += 1;
            degraded.push(pg.to_string());
        }
    }
    let mut out = Map::new();
    out.insert("ok_to_stop".into(), json!(bad == 0));
    out.insert("osds".into(), ids(&stop));
    out.insert("num_ok_pgs".into(), json!(ok));
    out.insert("num_not_ok_pgs".into(), json!(bad));
    for (key, list) in [
        ("bad_already_inactive", inactive),
        ("bad_become_inactive", offline),
        ("ok_become_degraded", degraded),
    ] {
        if !list.is_empty() {
            out.insert(key.into(), json!(list));
        }
    }
    let format = if command.format == Format::Plain { Format::Json } else { command.format };
    let mut reply = Reply::json(&Value::Object(out), format);
    if bad > 0 {
        reply.code = seabed_cluster::Errno::EBUSY.wire();
        reply.status =
            format!("unsafe to stop osd(s) at this time ({bad} PGs are or would become offline)");
    }
    Ok(reply)
}

/// `osd safe-to-destroy`: does anybody need what these OSDs hold?
pub fn safe_to_destroy(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let (mut safe, mut active, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let clean = view.stats.pgs.values().all(|s| s.state() & pg_state::CLEAN != 0);
    let known = all_pgs(map).all(|pg| view.stats.pgs.contains_key(&pg));
    let mut pgs = 0;
    for osd in id_args(map, &command.list("ids"))? {
        let mapped = view.stats.pgs_of(osd).0;
        if !map.exists(osd) {
            safe.push(osd);
        } else if mapped > 0 {
            pgs += mapped;
            active.push(osd);
        } else if !known || (!clean && map.is_down(osd)) {
            missing.push(osd);
        } else {
            safe.push(osd);
        }
    }
    let names = |l: &[OsdId]| l.iter().map(|o| o.to_string()).collect::<Vec<_>>().join(",");
    let bad = !active.is_empty() || !missing.is_empty();
    let mut reply = if command.format == Format::Plain {
        Reply::default()
    } else {
        let value = json!({
            "safe_to_destroy": ids(&safe),
            "active": ids(&active),
            "missing_stats": ids(&missing),
            "stored_pgs": [],
        });
        Reply::json(&value, command.format)
    };
    if bad && command.format == Format::Plain {
        reply.code = seabed_cluster::Errno::EBUSY.wire();
        if !active.is_empty() {
            reply.status =
                format!("OSD(s) {} have {pgs} pgs currently mapped to them. ", names(&active));
        } else {
            reply.status = format!("not all is known of OSD(s) {}. ", names(&missing));
        }
    } else if !bad {
        reply.status = format!(
            "OSD(s) {} are safe to destroy without reducing data durability.",
            names(&safe)
        );
    }
    Ok(reply)
}

/// `osd erasure-code-profile ls|get`.
pub fn profiles(view: &View<'_>, command: &Command) -> Answer {
    let profiles = &view.map().erasure_code_profiles;
    let plain = command.format == Format::Plain;
    if command.prefix.ends_with("ls") {
        let names: Vec<&String> = profiles.keys().collect();
        if plain {
            return Ok(Reply::text(names.iter().map(|n| format!("{n}\n")).collect::<String>()));
        }
        return Ok(Reply::json(&json!(names), command.format));
    }
    let name = command.need("name")?;
    let profile = profiles
        .get(&name)
        .ok_or_else(|| Refusal::not_found(format!("unknown erasure code profile '{name}'")))?;
    if plain {
        let text: String = profile.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        return Ok(Reply::text(text));
    }
    Ok(Reply::json(&json!(profile), command.format))
}

/// `osd get-require-min-compat-client`.
pub fn min_compat_client(view: &View<'_>) -> Answer {
    Ok(Reply::text(format!("{}\n", release_name(view.map().require_min_compat_client))))
}
