//! Commands that read the OSD map and what OSDs told.

use std::collections::BTreeMap;

use seabed_cluster::{ObjectLocator, OsdId, OsdMap, pg_state, release_name};
use serde_json::{Map, Value, json};

use super::dump::{self, addrvec, ids, ids_text};
use super::format::num;
use super::text::{Align, Table, bytes, percent, weight};
use super::tree::{self, Filter};
use super::{Answer, Command, Format, Refusal, Reply, View, crush_dump};
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
        "osd dump" if plain => Ok(Reply::text(dump::osdmap_text(&map))),
        "osd dump" => Ok(Reply::json(&dump::osdmap(&map), command.format)),
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
            let filter = Filter { states: command.list("states") };
            if plain {
                Ok(Reply::text(tree::to_text(&map, &filter)))
            } else {
                Ok(Reply::json(&tree::to_json(&map, &filter), command.format))
            }
        }
    }
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
        Some(_) => vec![need_osd(map, command, "id")?],
        None => map.osds().collect(),
    };
    if command.format == Format::Plain {
        let text: String = osds.iter().map(|o| dump::osd_line(map, *o) + "\n").collect();
        return Ok(Reply::text(text));
    }
    let list: Vec<Value> = osds.iter().map(|o| dump::osd(map, *o)).collect();
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
    let value = json!({
        "osd": osd.0,
        "addrs": addrvec(&addrs.client),
        "osd_fsid": map.osd_uuid.get(i).copied().unwrap_or_default().to_string(),
        "host": get("hostname"),
        "container_name": get("container_name"),
        "crush_location": place,
    });
    Ok(Reply::json(&value, command.format))
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

/// Use of one OSD or of all below a bucket, in KiB.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    kb: i64,
    used: i64,
    data: i64,
    omap: i64,
    meta: i64,
    avail: i64,
    pgs: u64,
}

impl Used {
    fn utilization(&self) -> f64 {
        if self.kb > 0 { self.used as f64 * 100.0 / self.kb as f64 } else { 0.0 }
    }

    fn add(&mut self, o: &Used) {
        self.kb += o.kb;
        self.used += o.used;
        self.data += o.data;
        self.omap += o.omap;
        self.meta += o.meta;
        self.avail += o.avail;
    }
}

fn used(view: &View<'_>, osd: OsdId) -> Used {
    let pgs = view.stats.pgs_of(osd).0;
    let Some(s) = view.stats.osds.get(&osd).filter(|_| view.map().is_in(osd)) else {
        return Used { pgs, ..Used::default() };
    };
    Used {
        kb: s.kb,
        used: s.kb_used,
        data: s.kb_used_data,
        omap: s.kb_used_omap,
        meta: s.kb_used_meta,
        avail: s.kb_available,
        pgs,
    }
}

/// `osd df`.
pub fn df(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let tree = command.str("output_method").as_deref() == Some("tree");
    let (nodes, stray) = tree::rows(map, &Filter::default(), false);
    let mut sum = Used::default();
    let all: BTreeMap<OsdId, Used> = map.osds().map(|o| (o, used(view, o))).collect();
    all.values().for_each(|u| sum.add(u));
    let average = sum.utilization();
    let var = |u: &Used| if average > 0.0 { u.utilization() / average } else { 0.0 };
    let full: Vec<f64> = all.values().filter(|u| u.kb > 0).map(Used::utilization).collect();
    let deviation = if full.is_empty() {
        0.0
    } else {
        let n = full.len() as f64;
        (full.iter().map(|u| (u - average).powi(2)).sum::<f64>() / n).sqrt()
    };
    let vars: Vec<f64> = all.values().filter(|u| u.kb > 0).map(var).collect();
    let min = vars.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let max = vars.iter().copied().reduce(f64::max).unwrap_or(0.0);
    let of = |id: i32| {
        if id >= 0 {
            return all.get(&OsdId(id)).copied().unwrap_or_default();
        }
        let mut u = Used::default();
        for osd in map.crush.devices_below(id) {
            u.add(&all.get(&OsdId(osd)).copied().unwrap_or_default());
        }
        u
    };
    if command.format == Format::Plain {
        return Ok(Reply::text(df_text(map, tree, &nodes, of, sum, var, [min, max, deviation])));
    }
    let row = |mut head: Map<String, Value>, id: i32| {
        let u = of(id);
        let reweight = if id >= 0 { dump::fixed(map.weight(OsdId(id))) } else { json!(-1) };
        let fields = json!({
            "reweight": reweight,
            "kb": u.kb,
            "kb_used": u.used,
            "kb_used_data": u.data,
            "kb_used_omap": u.omap,
            "kb_used_meta": u.meta,
            "kb_avail": u.avail,
            "utilization": num(u.utilization()),
            "var": num(var(&u)),
            "pgs": u.pgs,
        });
        if let Value::Object(fields) = fields {
            head.extend(fields);
        }
        if id >= 0 {
            head.insert("status".into(), json!(tree::status(map, OsdId(id))));
        }
        head
    };
    let mut list = Vec::new();
    for node in nodes.iter().filter(|n| tree || n.id >= 0) {
        let mut out = row(tree::node_head(map, node), node.id);
        if node.id < 0 {
            out.insert("children".into(), json!(node.children));
        }
        list.push(Value::Object(out));
    }
    let stray: Vec<Value> = stray.iter().map(|o| json!({"id": o.0})).collect();
    let value = json!({
        "nodes": list,
        "stray": stray,
        "summary": {
            "total_kb": sum.kb,
            "total_kb_used": sum.used,
            "total_kb_used_data": sum.data,
            "total_kb_used_omap": sum.omap,
            "total_kb_used_meta": sum.meta,
            "total_kb_avail": sum.avail,
            "average_utilization": num(average),
            "min_var": num(min),
            "max_var": num(max),
            "dev": num(deviation),
        },
    });
    Ok(Reply::json(&value, command.format))
}

fn df_text(
    map: &OsdMap,
    tree: bool,
    nodes: &[seabed_crush::TreeNode],
    of: impl Fn(i32) -> Used,
    sum: Used,
    var: impl Fn(&Used) -> f64,
    [min, max, deviation]: [f64; 3],
) -> String {
    let mut t = Table::new();
    for name in [
        "ID", "CLASS", "WEIGHT", "REWEIGHT", "SIZE", "RAW USE", "DATA", "OMAP", "META", "AVAIL",
        "%USE", "VAR", "PGS", "STATUS",
    ] {
        t.column(name, Align::Left, Align::Right);
    }
    if tree {
        t.column("TYPE NAME", Align::Left, Align::Left);
    }
    let kib = |kb: i64| bytes(kb.max(0).unsigned_abs() * 1024);
    let sizes =
        |u: &Used| [kib(u.kb), kib(u.used), kib(u.data), kib(u.omap), kib(u.meta), kib(u.avail)];
    for node in nodes.iter().filter(|n| tree || n.id >= 0) {
        let u = of(node.id);
        let osd = OsdId(node.id);
        let is_osd = node.id >= 0;
        let class = if is_osd { map.crush.item_class(node.id).unwrap_or("") } else { "" };
        let reweight = if is_osd { weight(map.weight(osd)) } else { "-".to_string() };
        let mut row = vec![node.id.to_string(), class.to_string(), weight(node.weight), reweight];
        row.extend(sizes(&u));
        row.push(percent(u.utilization()));
        row.push(percent(var(&u)));
        row.push(if is_osd { u.pgs.to_string() } else { "-".to_string() });
        row.push(if is_osd { tree::status(map, osd).to_string() } else { String::new() });
        if tree {
            row.push(tree::indented(map, node));
        }
        t.row(row);
    }
    let mut row = vec![String::new(), String::new(), String::new(), "TOTAL".to_string()];
    row.extend(sizes(&sum));
    row.push(percent(sum.utilization()));
    t.row(row);
    format!(
        "{}MIN/MAX VAR: {}/{}  STDDEV: {}\n",
        t.render(),
        percent(min),
        percent(max),
        percent(deviation)
    )
}

/// `osd perf`.
pub fn perf(view: &View<'_>, command: &Command) -> Answer {
    let osds = view.stats.osds.iter().rev();
    if command.format == Format::Plain {
        let mut t = Table::new();
        for name in ["osd", "commit_latency(ms)", "apply_latency(ms)"] {
            t.column(name, Align::Left, Align::Right);
        }
        for (osd, s) in osds {
            let p = &s.perf;
            t.row([
                osd.to_string(),
                p.commit_latency_ms.to_string(),
                p.apply_latency_ms.to_string(),
            ]);
        }
        return Ok(Reply::text(t.render()));
    }
    let list: Vec<Value> =
        osds.map(|(osd, s)| json!({"id": osd.0, "perf_stats": super::pg_read::perf(s)})).collect();
    let value = json!({"pg_ready": true, "osdstats": {"osd_perf_infos": list}});
    Ok(Reply::json(&value, command.format))
}

/// `osd blocked-by`.
pub fn blocked_by(view: &View<'_>, command: &Command) -> Answer {
    let mut counts: BTreeMap<OsdId, u64> = BTreeMap::new();
    for osd in view.stats.pgs.values().flat_map(|s| &s.blocked_by) {
        *counts.entry(*osd).or_default() += 1;
    }
    if command.format == Format::Plain {
        let mut t = Table::new();
        t.column("osd", Align::Left, Align::Right).column("num_blocked", Align::Left, Align::Right);
        for (osd, n) in counts {
            t.row([osd.to_string(), n.to_string()]);
        }
        return Ok(Reply::text(t.render()));
    }
    let list: Vec<Value> =
        counts.iter().map(|(o, n)| json!({"id": o.0, "num_blocked": n})).collect();
    let value = json!({"pg_ready": true, "osd_blocked_by": {"osd_blocked_by_infos": list}});
    Ok(Reply::json(&value, command.format))
}

/// `osd utilization`.
pub fn utilization(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let per: Vec<(OsdId, u64)> =
        map.osds().filter(|o| map.is_in(*o)).map(|o| (o, view.stats.pgs_of(o).0)).collect();
    let n = per.len().max(1) as f64;
    let total: u64 = per.iter().map(|(_, p)| p).sum();
    let average = total as f64 / n;
    let deviation =
        (per.iter().map(|(_, p)| (*p as f64 - average).powi(2)).sum::<f64>() / n).sqrt();
    let baseline = (total as f64 * (1.0 - 1.0 / n) / n).sqrt();
    let min = per.iter().min_by_key(|(_, p)| *p).copied().unwrap_or_default();
    let max = per.iter().max_by_key(|(_, p)| *p).copied().unwrap_or_default();
    if command.format == Format::Plain {
        let share = |p: u64| super::text::float_g(p as f64 / average.max(f64::MIN_POSITIVE), 6);
        let text = format!(
            "avg {}\nstddev {} (expected baseline {})\nmin osd.{} with {} pgs ({} * mean)\nmax \
             osd.{} with {} pgs ({} * mean)\n",
            super::text::float_g(average, 6),
            super::text::float_g(deviation, 6),
            super::text::float_g(baseline, 6),
            min.0,
            min.1,
            share(min.1),
            max.0,
            max.1,
            share(max.1)
        );
        return Ok(Reply::text(text));
    }
    let value = json!({
        "avg_pgs": num(average),
        "std_dev": num(deviation),
        "expected_baseline_std_dev": num(baseline),
        "min_osd": min.0.0,
        "min_osd_pgs": min.1,
        "max_osd": max.0.0,
        "max_osd_pgs": max.1,
    });
    Ok(Reply::json(&value, command.format))
}

/// `osd status`.
pub fn osd_status(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let host = |o: OsdId| {
        let meta = view.state.osd_metadata.get(&o);
        meta.and_then(|m| m.get("hostname")).cloned().unwrap_or_default()
    };
    let state = |o: OsdId| dump::state_names(map.state(o)).join(",");
    if command.format == Format::Plain {
        let mut t = Table::new();
        t.plain("ID", Align::Right).plain("HOST", Align::Left);
        t.plain("USED", Align::Right).plain("AVAIL", Align::Right).plain("STATE", Align::Left);
        for osd in map.osds() {
            let u = used(view, osd);
            let kib = |kb: i64| bytes(kb.max(0).unsigned_abs() * 1024);
            t.row([osd.to_string(), host(osd), kib(u.used), kib(u.avail), state(osd)]);
        }
        return Ok(Reply::text(t.render()));
    }
    let list: Vec<Value> = map
        .osds()
        .map(|osd| {
            let u = used(view, osd);
            json!({
                "id": osd.0,
                "host name": host(osd),
                "kb used": u.used,
                "kb available": u.avail,
                "state": dump::state_names(map.state(osd)),
            })
        })
        .collect();
    Ok(Reply::json(&json!({"OSDs": list}), command.format))
}

/// Ids of an `ids` argument; `any` and `all` stand for every OSD.
pub fn id_args(map: &OsdMap, args: &[String]) -> Result<Vec<OsdId>, Refusal> {
    let mut out = Vec::new();
    for word in args {
        if matches!(word.as_str(), "any" | "all" | "*") {
            out.extend(map.osds());
            continue;
        }
        let osd = super::parse::parse_osd(word).ok_or_else(|| {
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

/// `osd crush …` that read.
pub fn crush(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let crush = &map.crush;
    let plain = command.format == Format::Plain;
    let lines = |list: Vec<String>| {
        if plain {
            Ok(Reply::text(list.iter().map(|l| format!("{l}\n")).collect::<String>()))
        } else {
            Ok(Reply::json(&json!(list), command.format))
        }
    };
    match command.prefix.as_str() {
        "osd crush dump" => Ok(Reply::json(&crush_dump::whole(crush), command.format)),
        "osd crush tree" => {
            let shadow = command.str("shadow").is_some();
            if plain {
                Ok(Reply::text(tree::crush_to_text(map, shadow)))
            } else {
                Ok(Reply::json(&tree::crush_to_json(map, shadow), command.format))
            }
        }
        "osd crush ls" => {
            let node = command.need("node")?;
            let id = crush
                .item_id(&node)
                .ok_or_else(|| Refusal::not_found(format!("node '{node}' does not exist")))?;
            let items = crush.bucket(id).map(|b| b.items.clone()).unwrap_or_else(|| vec![id]);
            lines(items.iter().filter_map(|i| crush.item_name(*i).map(str::to_string)).collect())
        }
        "osd crush rule ls" | "osd crush rule list" => {
            lines(crush.rule_names.values().cloned().collect())
        }
        "osd crush rule dump" => {
            let Some(name) = command.str("name") else {
                return Ok(Reply::json(&crush_dump::rules(crush), command.format));
            };
            let unknown = || Refusal::not_found(format!("unknown crush rule '{name}'"));
            let id = crush.rule_id(&name).ok_or_else(unknown)?;
            let rule = crush.rule(id).ok_or_else(unknown)?;
            Ok(Reply::json(&crush_dump::rule(crush, id, rule), command.format))
        }
        "osd crush class ls" => {
            let names: Vec<&String> = crush.class_names.values().collect();
            Ok(Reply::json(&json!(names), command.format))
        }
        "osd crush class ls-osd" => {
            let class = command.need("class")?;
            let osds = crush.class_id(&class).map(|c| crush.devices_of_class(c));
            let osds = osds.unwrap_or_default();
            if plain {
                return Ok(Reply::text(osds.iter().map(|o| format!("{o}\n")).collect::<String>()));
            }
            Ok(Reply::json(&json!(osds), command.format))
        }
        "osd crush get-device-class" => {
            let osds = id_args(map, &command.list("ids"))?;
            let class = |o: &OsdId| crush.item_class(o.0).unwrap_or("").to_string();
            if plain {
                let text: String = osds.iter().map(|o| class(o) + "\n").collect();
                return Ok(Reply::text(text));
            }
            let list: Vec<Value> =
                osds.iter().map(|o| json!({"osd": o.0, "device_class": class(o)})).collect();
            Ok(Reply::json(&Value::Array(list), command.format))
        }
        "osd crush show-tunables" => {
            Ok(Reply::json(&crush_dump::tunables(&crush.tunables), command.format))
        }
        "osd crush get-tunable" => {
            let version = crush.tunables.straw_calc_version;
            if plain {
                return Ok(Reply::text(format!("{version}\n")));
            }
            Ok(Reply::json(&json!({"straw_calc_version": version}), command.format))
        }
        "osd crush weight-set dump" => Ok(Reply::json(&json!({}), command.format)),
        _ => lines(Vec::new()),
    }
}

/// `osd blocklist ls`.
pub fn blocklist(view: &View<'_>, command: &Command) -> Answer {
    let entries = &view.map().blocklist;
    let status = format!("listed {} entries", entries.len());
    if command.format == Format::Plain {
        let text: String =
            entries.iter().map(|(a, t)| format!("{} {t}\n", a.legacy_text())).collect();
        return Ok(Reply::text(text).with_status(status));
    }
    let list: Vec<Value> = entries
        .iter()
        .map(|(a, t)| json!({"addr": a.legacy_text(), "until": t.to_string()}))
        .collect();
    Ok(Reply::json(&Value::Array(list), command.format).with_status(status))
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
