//! `df`.

use seabed_cluster::PoolId;
use serde_json::{Map, Value, json};

use super::format::num;
use super::text::{Align, Table, bytes, count, percent};
use super::usage::{self, PoolUsage, Raw};
use super::{Answer, Command, Format, Reply, View};

fn raw_json(raw: &Raw) -> Value {
    json!({
        "total_bytes": raw.total,
        "total_avail_bytes": raw.available,
        "total_used_bytes": raw.used,
        "total_used_raw_bytes": raw.used_raw,
        "total_used_raw_ratio": num(raw.ratio()),
    })
}

fn pool_json(view: &View<'_>, id: PoolId, u: &PoolUsage, detail: bool) -> Value {
    let sum = view.stats.pool(id).sum;
    let pool = &view.map().pools[&id];
    let mut out = Map::new();
    let mut put = |k: &str, v: Value| {
        out.insert(k.to_string(), v);
    };
    put("stored", json!(u.stored));
    if detail {
        put("stored_data", json!(u.stored - u.stored_omap));
        put("stored_omap", json!(u.stored_omap));
    }
    put("objects", json!(u.objects));
    put("kb_used", json!(u.used.div_ceil(1024)));
    put("bytes_used", json!(u.used));
    if detail {
        put("data_bytes_used", json!(u.used.saturating_sub(u.used_omap)));
        put("omap_bytes_used", json!(u.used_omap));
    }
    put("percent_used", num(u.percent));
    put("max_avail", json!(u.max_avail));
    if detail {
        put("quota_objects", json!(pool.quota_max_objects));
        put("quota_bytes", json!(pool.quota_max_bytes));
        put("dirty", json!(0));
        put("rd", json!(sum.num_rd));
        put("rd_bytes", json!(sum.num_rd_kb * 1024));
        put("wr", json!(sum.num_wr));
        put("wr_bytes", json!(sum.num_wr_kb * 1024));
        put("compress_bytes_used", json!(0));
        put("compress_under_bytes", json!(0));
        put("stored_raw", json!((u.stored as f64 * u.rate) as u64));
        put("avail_raw", json!((u.max_avail as f64 * u.rate) as u64));
    }
    Value::Object(out)
}

/// `df`.
pub fn run(view: &View<'_>, command: &Command) -> Answer {
    let detail = command.str("detail").as_deref() == Some("detail");
    if command.format == Format::Plain {
        return Ok(Reply::text(text(view, detail)));
    }
    let map = view.map();
    let raw = usage::cluster(map, view.stats);
    let mut stats = Map::new();
    if let Value::Object(fields) = raw_json(&raw) {
        stats.extend(fields);
    }
    stats.insert("num_osds".into(), json!(raw.osds));
    let per_pool = view.stats.osd_sum(map);
    stats.insert("num_per_pool_osds".into(), json!(per_pool.num_per_pool_osds));
    stats.insert("num_per_pool_omap_osds".into(), json!(per_pool.num_per_pool_omap_osds));
    let classes: Map<String, Value> = usage::by_class(map, view.stats)
        .into_iter()
        .map(|(class, raw)| (class, raw_json(&raw)))
        .collect();
    let pools: Vec<Value> = map
        .pools
        .keys()
        .map(|id| {
            let u = usage::pool(map, view.stats, *id);
            json!({
                "name": map.pool_names.get(id),
                "id": id.0,
                "stats": pool_json(view, *id, &u, detail),
            })
        })
        .collect();
    let value = json!({"stats": stats, "stats_by_class": classes, "pools": pools});
    Ok(Reply::json(&value, command.format))
}

fn text(view: &View<'_>, detail: bool) -> String {
    let map = view.map();
    let mut t = Table::new();
    t.plain("CLASS", Align::Left);
    for name in ["SIZE", "AVAIL", "USED", "RAW USED", "%RAW USED"] {
        t.plain(name, Align::Right);
    }
    let mut add = |name: String, raw: &Raw| {
        t.row([
            name,
            bytes(raw.total),
            bytes(raw.available),
            bytes(raw.used),
            bytes(raw.used_raw),
            percent(raw.ratio() * 100.0),
        ]);
    };
    for (class, raw) in usage::by_class(map, view.stats) {
        add(class, &raw);
    }
    add("TOTAL".into(), &usage::cluster(map, view.stats));
    let mut out = format!("--- RAW STORAGE ---\n{} \n--- POOLS ---\n", t.render());
    let mut t = Table::new();
    t.plain("POOL", Align::Left);
    let columns: &[&str] = if detail {
        &[
            "ID",
            "PGS",
            "STORED",
            "(DATA)",
            "(OMAP)",
            "OBJECTS",
            "USED",
            "(DATA)",
            "(OMAP)",
            "%USED",
            "MAX AVAIL",
            "QUOTA OBJECTS",
            "QUOTA BYTES",
            "DIRTY",
            "USED COMPR",
            "UNDER COMPR",
        ]
    } else {
        &["ID", "PGS", "STORED", "OBJECTS", "USED", "%USED", "MAX AVAIL"]
    };
    for name in columns {
        t.plain(name, Align::Right);
    }
    for (id, pool) in &map.pools {
        let u = usage::pool(map, view.stats, *id);
        let name = map.pool_names.get(id).cloned().unwrap_or_default();
        let mut row = vec![name, id.to_string(), pool.pg_num.to_string(), bytes(u.stored)];
        if detail {
            row.extend([bytes(u.stored - u.stored_omap), bytes(u.stored_omap)]);
        }
        row.extend([count(u.objects), bytes(u.used)]);
        if detail {
            row.extend([bytes(u.used.saturating_sub(u.used_omap)), bytes(u.used_omap)]);
        }
        row.extend([percent(u.percent * 100.0), bytes(u.max_avail)]);
        if detail {
            let none = |n: u64, text: String| if n == 0 { "N/A".to_string() } else { text };
            row.extend([
                none(pool.quota_max_objects, count(pool.quota_max_objects)),
                none(pool.quota_max_bytes, bytes(pool.quota_max_bytes)),
                "N/A".to_string(),
                bytes(0),
                bytes(0),
            ]);
        }
        t.row(row);
    }
    out.push_str(&t.render());
    out
}
