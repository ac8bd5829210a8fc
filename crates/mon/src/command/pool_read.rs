//! Commands that read pools.

use seabed_cluster::osdmap::{OptValue, Pool, pool_flag, pool_opt};
use seabed_cluster::{Errno, PoolId};
use serde_json::{Map, Value, json};

use super::dump::autoscale_word;
use super::format::num;
use super::status::{client_io, rate_fields, recovery_io};
use super::text::{Align, Table, bytes, count, float_g};
use super::{Answer, Command, Format, Refusal, Reply, View, usage};
use crate::service::health::ratio_text;
use crate::service::osd::pool::find;
use crate::service::osd::pool_var::{self, Var};

fn name(view: &View<'_>, id: PoolId) -> String {
    view.map().pool_names.get(&id).cloned().unwrap_or_default()
}

/// `osd pool ls`.
pub fn ls(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let detail = command.str("detail").as_deref() == Some("detail");
    if command.format == Format::Plain {
        let mut out = String::new();
        for (id, pool) in &map.pools {
            if detail {
                // Writing to a string does not fail.
                let _ = map.print_pool(&mut out, *id, pool);
            } else {
                out.push_str(&name(view, *id));
                out.push('\n');
            }
        }
        if detail {
            out.push('\n');
        }
        return Ok(Reply::text(out));
    }
    let pools: Vec<Value> = map
        .pools
        .iter()
        .map(|(id, p)| {
            let name = name(view, *id);
            if detail { pool_json(*id, &name, p) } else { json!(name) }
        })
        .collect();
    Ok(Reply::json(&Value::Array(pools), command.format))
}

/// `osd lspools`.
pub fn lspools(view: &View<'_>, command: &Command) -> Answer {
    let pools = view.map().pool_names.iter();
    if command.format == Format::Plain {
        let text: String = pools.map(|(id, n)| format!("{id} {n}\n")).collect();
        return Ok(Reply::text(text));
    }
    let list: Vec<Value> = pools.map(|(id, n)| json!({"poolnum": id.0, "poolname": n})).collect();
    Ok(Reply::json(&Value::Array(list), command.format))
}

/// A variable's value; `None` where it is an option that is not set.
fn variable(view: &View<'_>, pool: &Pool, name: &str, var: Var) -> Option<Value> {
    Some(match var {
        Var::Flag(bit) => json!(pool.has_flag(bit)),
        Var::Size => json!(pool.size),
        Var::MinSize => json!(pool.min_size),
        Var::PgNum => json!(pool.pg_num),
        Var::PgpNum => json!(pool.pgp_num),
        Var::CrushRule => {
            let rule = u32::try_from(pool.crush_rule).ok();
            let rule = rule.and_then(|r| view.map().crush.rule_name(r));
            json!(rule.map_or_else(|| pool.crush_rule.to_string(), str::to_string))
        }
        Var::GmtHitset => json!(pool.use_gmt_hitset),
        Var::FastRead => json!(u8::from(pool.fast_read)),
        Var::AutoscaleMode => json!(autoscale_word(pool.pg_autoscale_mode)),
        Var::Tier | Var::Erasure => return None,
        Var::Int(..) | Var::Bytes | Var::Number(..) | Var::Word(_) => {
            option(pool.opts.get(&pool_opt::key(name)?)?)
        }
    })
}

/// A variable as plain text: switches that the reference shows as numbers stay numbers.
fn plain(var: &str, value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Bool(b) if var == "use_gmt_hitset" => u8::from(*b).to_string(),
        other => other.to_string(),
    };
    format!("{var}: {text}\n")
}

/// `osd pool get`.
pub fn get(view: &View<'_>, command: &Command) -> Answer {
    let pool_name = command.need("pool")?;
    let var = command.str("var").unwrap_or_default();
    let id = find(view.map(), &pool_name)?;
    let pool = &view.map().pools[&id];
    let mut found: Vec<(String, Value)> = Vec::new();
    if var == "all" {
        let set = |(name, var): &(&'static str, Var)| {
            variable(view, pool, name, *var).map(|value| ((*name).to_string(), value))
        };
        // Newer than the reference, whose list it joins when it says something.
        let eio = pool.has_flag(pool_flag::EIO);
        let known = pool_var::TABLE.iter().filter(|(name, _)| eio || *name != "eio");
        found.extend(known.filter_map(set));
    } else {
        let refuse = |why: &str| Refusal::new(Errno::EACCES, format!("pool '{pool_name}' {why}"));
        let kind = pool_var::find(&var).ok_or_else(|| {
            Refusal::invalid(format!("pool '{pool_name}': invalid variable: '{var}'"))
        })?;
        let value = variable(view, pool, &var, kind).ok_or_else(|| match kind {
            Var::Tier => refuse("is not a tier pool: variable not applicable"),
            Var::Erasure => refuse("is not a erasure pool: variable not applicable"),
            _ => Refusal::not_found(format!("option '{var}' is not set on pool '{pool_name}'")),
        })?;
        found.push((var, value));
    }
    if command.format == Format::Plain {
        let text: String = found.iter().map(|(k, v)| plain(k, v)).collect();
        return Ok(Reply::text(text));
    }
    let mut out = Map::new();
    out.insert("pool".into(), json!(pool_name));
    out.insert("pool_id".into(), json!(id.0));
    out.extend(found);
    Ok(Reply::json(&Value::Object(out), command.format))
}

fn option(value: &OptValue) -> Value {
    match value {
        OptValue::Str(s) => json!(s),
        OptValue::Int(n) => json!(n),
        OptValue::Double(f) => num(*f),
    }
}

/// `osd pool get-quota`.
pub fn get_quota(view: &View<'_>, command: &Command) -> Answer {
    let pool_name = command.need("pool")?;
    let id = find(view.map(), &pool_name)?;
    let pool = &view.map().pools[&id];
    let sum = view.stats.pool(id).sum;
    if command.format == Format::Plain {
        let show = |n: u64, text: String| if n == 0 { "N/A".to_string() } else { text };
        let objects = format!(
            "{} objects  (current num objects: {} objects)",
            count(pool.quota_max_objects),
            sum.num_objects
        );
        let size = format!(
            "{}  (current num bytes: {} bytes)",
            bytes(pool.quota_max_bytes),
            sum.num_bytes
        );
        let text = format!(
            "quotas for pool '{pool_name}':\n  max objects: {}\n  max bytes  : {}\n",
            show(pool.quota_max_objects, objects),
            show(pool.quota_max_bytes, size),
        );
        return Ok(Reply::text(text));
    }
    let value = json!({
        "pool_name": pool_name,
        "pool_id": id.0,
        "quota_max_objects": pool.quota_max_objects,
        "current_num_objects": sum.num_objects,
        "quota_max_bytes": pool.quota_max_bytes,
        "current_num_bytes": sum.num_bytes,
    });
    Ok(Reply::json(&value, command.format))
}

/// `osd pool application get`.
pub fn application_get(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let Some(pool_name) = command.str("pool") else {
        let all: Map<String, Value> = map
            .pools
            .iter()
            .map(|(id, p)| (name(view, *id), json!(p.application_metadata)))
            .collect();
        return Ok(Reply::json(&Value::Object(all), command.format));
    };
    let id = find(map, &pool_name)?;
    let apps = &map.pools[&id].application_metadata;
    let Some(app) = command.str("app") else {
        return Ok(Reply::json(&json!(apps), command.format));
    };
    let notes = apps.get(&app).ok_or_else(|| {
        Refusal::not_found(format!("pool '{pool_name}' has no application '{app}'"))
    })?;
    let Some(key) = command.str("key") else {
        return Ok(Reply::json(&json!(notes), command.format));
    };
    let value = notes.get(&key).ok_or_else(|| {
        let text = format!("application '{app}' on pool '{pool_name}' does not have key '{key}'");
        Refusal::not_found(text)
    })?;
    Ok(Reply::text(format!("{value}\n")))
}

/// `osd pool stats`.
pub fn stats(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let ids: Vec<PoolId> = match command.str("pool_name") {
        Some(name) => vec![find(map, &name)?],
        None => map.pools.keys().copied().collect(),
    };
    if command.format == Format::Plain {
        let text: String = ids.iter().map(|id| stats_text(view, *id)).collect();
        return Ok(Reply::text(text));
    }
    let list: Vec<Value> = ids
        .iter()
        .map(|id| {
            let rates = view.stats.rates(Some(*id), view.now.mono);
            let sum = view.stats.pool(*id).sum;
            let mut recovery = Map::new();
            for (word, n, whole) in [
                ("degraded", sum.num_objects_degraded, sum.num_object_copies),
                ("misplaced", sum.num_objects_misplaced, sum.num_object_copies),
                ("unfound", sum.num_objects_unfound, sum.num_objects),
            ] {
                if n > 0 {
                    recovery.insert(format!("{word}_objects"), json!(n));
                    recovery.insert(format!("{word}_total"), json!(whole));
                    let ratio = num(n as f64 / whole.max(1) as f64);
                    recovery.insert(format!("{word}_ratio"), ratio);
                }
            }
            let mut all = Map::new();
            rate_fields(&rates, &mut all);
            let of_recovery = |k: &String| k.starts_with("recovering");
            let recovering: Map<String, Value> = all
                .iter()
                .filter(|(k, _)| of_recovery(k))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let client: Map<String, Value> =
                all.into_iter().filter(|(k, _)| !of_recovery(k)).collect();
            json!({
                "pool_name": name(view, *id),
                "pool_id": id.0,
                "recovery": recovery,
                "recovery_rate": recovering,
                "client_io_rate": client,
            })
        })
        .collect();
    Ok(Reply::json(&Value::Array(list), command.format))
}

fn stats_text(view: &View<'_>, id: PoolId) -> String {
    let rates = view.stats.rates(Some(id), view.now.mono);
    let sum = view.stats.pool(id).sum;
    let mut out = format!("pool {} id {id}\n", name(view, id));
    let mut lines = Vec::new();
    for (word, n, whole) in [
        ("degraded", sum.num_objects_degraded, sum.num_object_copies),
        ("misplaced", sum.num_objects_misplaced, sum.num_object_copies),
        ("unfound", sum.num_objects_unfound, sum.num_objects),
    ] {
        if n > 0 {
            lines.push(format!("{n}/{whole} objects {word} ({})", ratio_text(n, whole)));
        }
    }
    lines.extend(recovery_io(&rates).map(|io| format!("recovery io {io}")));
    lines.extend(client_io(&rates).map(|io| format!("client io {io}")));
    if lines.is_empty() {
        lines.push("nothing is going on".to_string());
    }
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
    out.push('\n');
    out
}

/// `osd pool autoscale-status`: what there is; nothing scales by itself.
pub fn autoscale_status(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let raw = usage::cluster(map, view.stats);
    if command.format == Format::Plain {
        let mut t = Table::new();
        t.plain("POOL", Align::Left);
        for n in ["SIZE", "RATE", "RAW CAPACITY", "RATIO", "BIAS", "PG_NUM", "AUTOSCALE"] {
            t.plain(n, Align::Right);
        }
        for (id, p) in &map.pools {
            let u = usage::pool(map, view.stats, *id);
            let ratio = u.used as f64 / raw.total.max(1) as f64;
            t.row([
                name(view, *id),
                bytes(u.stored),
                float_g(u.rate, 6),
                bytes(raw.total),
                format!("{ratio:.4}"),
                "1.0".to_string(),
                p.pg_num.to_string(),
                autoscale_word(p.pg_autoscale_mode).to_string(),
            ]);
        }
        return Ok(Reply::text(t.render()));
    }
    let list: Vec<Value> = map
        .pools
        .iter()
        .map(|(id, p)| {
            let u = usage::pool(map, view.stats, *id);
            let ratio = num(u.used as f64 / raw.total.max(1) as f64);
            json!({
                "actual_capacity_ratio": ratio,
                "actual_raw_used": u.used,
                "bias": 1,
                "bulk": false,
                "capacity_ratio": ratio,
                "effective_target_ratio": 0,
                "logical_used": u.stored,
                "pg_autoscale_mode": autoscale_word(p.pg_autoscale_mode),
                "pg_num_final": p.pg_num,
                "pg_num_ideal": p.pg_num,
                "pg_num_target": p.pg_num_target,
                "pool_id": id.0,
                "pool_name": name(view, *id),
                "raw_used": u.used,
                "raw_used_rate": u.rate,
                "subtree_capacity": raw.total,
                "target_bytes": 0,
                "target_ratio": 0,
                "would_adjust": false,
            })
        })
        .collect();
    Ok(Reply::json(&Value::Array(list), command.format))
}

/// A pool of `osd pool ls detail`.
fn pool_json(id: PoolId, name: &str, pool: &Pool) -> Value {
    let mut out = json!({"pool_id": id.0, "pool_name": name});
    if let (Some(out), Value::Object(fields)) = (out.as_object_mut(), pool.dump()) {
        out.extend(fields);
    }
    out
}
