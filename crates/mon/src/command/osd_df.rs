//! How full and how busy OSDs are.

use std::collections::BTreeMap;

use seabed_cluster::{OsdId, OsdMap};
use serde_json::{Map, Value, json};

use super::dump;
use super::format::num;
use super::text::{Align, Table, bytes, percent, weight};
use super::tree::{self, Filter};
use super::{Answer, Command, Format, Reply, View};

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
