//! Maps as JSON and as text.

use std::collections::BTreeMap;

use seabed_cluster::osdmap::{OptValue, Pool, flag, pool_flag, pool_opt};
use seabed_cluster::{
    AddrKind, EntityAddrVec, IntervalSet, OsdId, OsdMap, PoolId, PoolKind, release_name,
};
use serde_json::{Map, Value, json};

use super::format::num;
use super::text::{float_g, id_list};

/// 16.16 fixed point as a number.
pub fn fixed(weight: u32) -> Value {
    num(f64::from(weight) / 65_536.0)
}

/// `{"addrvec": [{"type", "addr", "nonce"}]}`.
pub fn addrvec(addrs: &EntityAddrVec) -> Value {
    let list: Vec<Value> = addrs
        .0
        .iter()
        .map(|a| {
            let kind = match a.kind {
                AddrKind::Msgr2 => "v2",
                AddrKind::Legacy => "v1",
                AddrKind::Any => "any",
                _ => "none",
            };
            let addr =
                a.addr.map_or_else(|| "(unrecognized address family 0)".into(), |s| s.to_string());
            json!({"type": kind, "addr": addr, "nonce": a.nonce})
        })
        .collect();
    json!({"addrvec": list})
}

/// The old one-address form.
pub fn addr(addrs: &EntityAddrVec) -> String {
    addrs.legacy_or_front().legacy_text()
}

/// Ids of OSDs as JSON.
pub fn ids(osds: &[OsdId]) -> Value {
    Value::from(osds.iter().map(|o| o.0).collect::<Vec<_>>())
}

/// Ids of OSDs as `[1,0,2]`.
pub fn ids_text(osds: &[OsdId]) -> String {
    id_list(osds.iter().map(|o| i64::from(o.0)))
}

/// Names of a map's flags, as `osd dump` shows them.
pub fn map_flags(bits: u32) -> Vec<&'static str> {
    flag::map::ALL.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect()
}

fn pool_flags(bits: u64) -> String {
    let names: Vec<&str> =
        pool_flag::ALL.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect();
    names.join(",")
}

/// Names of an OSD's state bits.
pub fn state_names(bits: u32) -> Vec<&'static str> {
    flag::osd::ALL.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect()
}

fn intervals(set: &IntervalSet) -> Value {
    let list: Vec<Value> =
        set.iter().map(|(start, length)| json!({"begin": start, "length": length})).collect();
    Value::Array(list)
}

fn pool_intervals(sets: &BTreeMap<PoolId, IntervalSet>) -> Value {
    let list: Vec<Value> =
        sets.iter().map(|(pool, set)| json!({"pool": pool.0, "snaps": intervals(set)})).collect();
    Value::Array(list)
}

fn options(pool: &Pool) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in &pool.opts {
        let Some(name) = pool_opt::name(*key) else { continue };
        let value = match value {
            OptValue::Str(s) => json!(s),
            OptValue::Int(n) => json!(n),
            OptValue::Double(f) => num(*f),
        };
        out.insert(name.to_string(), value);
    }
    out
}

/// The word for an autoscale mode.
pub fn autoscale_word(mode: u8) -> &'static str {
    match mode {
        0 => "off",
        1 => "warn",
        _ => "on",
    }
}

/// A pool; `id_key` is `pool` in `osd dump` and `pool_id` in `osd pool ls detail`.
pub fn pool(id: PoolId, name: &str, p: &Pool, id_key: &str) -> Value {
    let merge = &p.last_pg_merge_meta;
    let snaps: Vec<Value> = p
        .snaps
        .values()
        .map(|s| json!({"snapid": s.snapid.0, "stamp": s.stamp.to_string(), "name": s.name}))
        .collect();
    let mut out = Map::new();
    out.insert(id_key.to_string(), json!(id.0));
    let rest = json!({
        "pool_name": name,
        "create_time": p.create_time.to_string(),
        "flags": p.flags,
        "flags_names": pool_flags(p.flags),
        "type": p.kind as u8,
        "size": p.size,
        "min_size": p.min_size,
        "crush_rule": p.crush_rule,
        "peering_crush_bucket_count": p.peering_crush_bucket_count,
        "peering_crush_bucket_target": p.peering_crush_bucket_target,
        "peering_crush_bucket_barrier": p.peering_crush_bucket_barrier,
        "peering_crush_bucket_mandatory_member": p.peering_crush_mandatory_member,
        "object_hash": p.object_hash,
        "pg_autoscale_mode": autoscale_word(p.pg_autoscale_mode),
        "pg_num": p.pg_num,
        "pg_placement_num": p.pgp_num,
        "pg_placement_num_target": p.pgp_num_target,
        "pg_num_target": p.pg_num_target,
        "pg_num_pending": p.pg_num_pending,
        "last_pg_merge_meta": {
            "source_pgid": merge.source_pgid.to_string(),
            "ready_epoch": merge.ready_epoch.0,
            "last_epoch_started": merge.last_epoch_started.0,
            "last_epoch_clean": merge.last_epoch_clean.0,
            "source_version": merge.source_version.to_string(),
            "target_version": merge.target_version.to_string(),
        },
        "last_change": p.last_change.to_string(),
        "last_force_op_resend": p.last_force_op_resend.to_string(),
        "last_force_op_resend_prenautilus": p.last_force_op_resend_prenautilus.to_string(),
        "last_force_op_resend_preluminous": p.last_force_op_resend_preluminous.to_string(),
        "auid": p.auid,
        "snap_mode": if p.is_pool_snaps_mode() { "pool" } else { "selfmanaged" },
        "snap_seq": p.snap_seq.0,
        "snap_epoch": p.snap_epoch.0,
        "pool_snaps": snaps,
        "removed_snaps": removed(&p.removed_snaps),
        "quota_max_bytes": p.quota_max_bytes,
        "quota_max_objects": p.quota_max_objects,
        "tiers": p.tiers.iter().collect::<Vec<_>>(),
        "tier_of": p.tier_of.0,
        "read_tier": p.read_tier.0,
        "write_tier": p.write_tier.0,
        "cache_mode": p.cache_mode.as_str(),
        "target_max_bytes": p.target_max_bytes,
        "target_max_objects": p.target_max_objects,
        "cache_target_dirty_ratio_micro": p.cache_target_dirty_ratio_micro,
        "cache_target_dirty_high_ratio_micro": p.cache_target_dirty_high_ratio_micro,
        "cache_target_full_ratio_micro": p.cache_target_full_ratio_micro,
        "cache_min_flush_age": p.cache_min_flush_age,
        "cache_min_evict_age": p.cache_min_evict_age,
        "erasure_code_profile": p.erasure_code_profile,
        "hit_set_params": {"type": "none"},
    });
    let more = json!({
        "hit_set_period": p.hit_set_period,
        "hit_set_count": p.hit_set_count,
        "use_gmt_hitset": p.use_gmt_hitset,
        "min_read_recency_for_promote": p.min_read_recency_for_promote,
        "min_write_recency_for_promote": p.min_write_recency_for_promote,
        "hit_set_grade_decay_rate": p.hit_set_grade_decay_rate,
        "hit_set_search_last_n": p.hit_set_search_last_n,
        "grade_table": [],
        "stripe_width": p.stripe_width,
        "expected_num_objects": p.expected_num_objects,
        "fast_read": p.fast_read,
        "options": options(p),
        "application_metadata": p.application_metadata,
    });
    for part in [rest, more] {
        if let Value::Object(fields) = part {
            out.extend(fields);
        }
    }
    Value::Object(out)
}

fn removed(set: &IntervalSet) -> String {
    let parts: Vec<String> = set.iter().map(|(s, l)| format!("{s:x}~{l:x}")).collect();
    format!("[{}]", parts.join(","))
}

/// A pool as a line of `osd dump`.
pub fn pool_line(id: PoolId, name: &str, p: &Pool) -> String {
    let kind = match p.kind {
        PoolKind::Replicated => "replicated",
        PoolKind::Erasure => "erasure",
    };
    let hash = if p.object_hash == 1 { "linux" } else { "rjenkins" };
    let mut out = format!(
        "pool {id} '{name}' {kind} size {} min_size {} crush_rule {} object_hash {hash} pg_num {} \
         pgp_num {}",
        p.size, p.min_size, p.crush_rule, p.pg_num, p.pgp_num
    );
    out.push_str(&format!(" autoscale_mode {}", autoscale_word(p.pg_autoscale_mode)));
    out.push_str(&format!(" last_change {}", p.last_change));
    if p.flags != 0 {
        out.push_str(&format!(" flags {}", pool_flags(p.flags)));
    }
    if p.quota_max_bytes != 0 {
        out.push_str(&format!(" max_bytes {}", p.quota_max_bytes));
    }
    if p.quota_max_objects != 0 {
        out.push_str(&format!(" max_objects {}", p.quota_max_objects));
    }
    out.push_str(&format!(" stripe_width {}", p.stripe_width));
    let mut options: Vec<(String, Value)> = options(p).into_iter().collect();
    // By number, the greatest first where the reference shows pg_num_max before pg_num_min.
    options.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in options {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        out.push_str(&format!(" {name} {text}"));
    }
    if !p.application_metadata.is_empty() {
        let apps: Vec<&str> = p.application_metadata.keys().map(String::as_str).collect();
        out.push_str(&format!(" application {}", apps.join(",")));
    }
    out
}

/// One OSD of `osd dump`.
pub fn osd(map: &OsdMap, id: OsdId) -> Value {
    let i = id.index().unwrap_or_default();
    let info = map.info(id);
    let addrs = map.osd_addrs.get(i).cloned().unwrap_or_default();
    json!({
        "osd": id.0,
        "uuid": map.osd_uuid.get(i).copied().unwrap_or_default().to_string(),
        "up": u8::from(map.is_up(id)),
        "in": u8::from(map.is_in(id)),
        "weight": fixed(map.weight(id)),
        "primary_affinity": fixed(map.affinity(id)),
        "last_clean_begin": info.last_clean_begin.0,
        "last_clean_end": info.last_clean_end.0,
        "up_from": info.up_from.0,
        "up_thru": info.up_thru.0,
        "down_at": info.down_at.0,
        "lost_at": info.lost_at.0,
        "public_addrs": addrvec(&addrs.client),
        "cluster_addrs": addrvec(&addrs.cluster),
        "heartbeat_back_addrs": addrvec(&addrs.heartbeat_back),
        "heartbeat_front_addrs": addrvec(&addrs.heartbeat_front),
        "public_addr": addr(&addrs.client),
        "cluster_addr": addr(&addrs.cluster),
        "heartbeat_back_addr": addr(&addrs.heartbeat_back),
        "heartbeat_front_addr": addr(&addrs.heartbeat_front),
        "state": state_names(map.state(id)),
    })
}

fn xinfo(map: &OsdMap, id: OsdId) -> Value {
    let x = map.osd_xinfo.get(id.index().unwrap_or_default()).cloned().unwrap_or_default();
    json!({
        "osd": id.0,
        "down_stamp": x.down_stamp.to_string(),
        "laggy_probability": num(f64::from(x.laggy_probability) / 4_294_967_296.0),
        "laggy_interval": x.laggy_interval,
        "features": x.features,
        "old_weight": fixed(x.old_weight),
        "last_purged_snaps_scrub": x.last_purged_snaps_scrub.to_string(),
        "dead_epoch": x.dead_epoch.0,
    })
}

/// `osd dump` as JSON.
pub fn osdmap(map: &OsdMap) -> Value {
    let name = |id: &PoolId| map.pool_names.get(id).cloned().unwrap_or_default();
    let mut flags_set = map_flags(map.flags);
    flags_set.sort_unstable();
    let pools: Vec<Value> =
        map.pools.iter().map(|(id, p)| pool(*id, &name(id), p, "pool")).collect();
    let osds: Vec<Value> = map.osds().map(|o| osd(map, o)).collect();
    let xinfos: Vec<Value> = map.osds().map(|o| xinfo(map, o)).collect();
    let blocklist: Map<String, Value> = map
        .blocklist
        .iter()
        .map(|(a, until)| (a.legacy_text(), json!(until.to_string())))
        .collect();
    let head = json!({
        "epoch": map.epoch.0,
        "fsid": map.fsid.to_string(),
        "created": map.created.to_string(),
        "modified": map.modified.to_string(),
        "last_up_change": map.last_up_change.to_string(),
        "last_in_change": map.last_in_change.to_string(),
        "flags": map_flags(map.flags).join(","),
        "flags_num": map.flags,
        "flags_set": flags_set,
        "crush_version": map.crush_version,
        "full_ratio": num(f64::from(map.full_ratio)),
        "backfillfull_ratio": num(f64::from(map.backfillfull_ratio)),
        "nearfull_ratio": num(f64::from(map.nearfull_ratio)),
        "cluster_snapshot": map.cluster_snapshot,
        "pool_max": map.pool_max.0,
        "max_osd": map.max_osd,
        "require_min_compat_client": release_name(map.require_min_compat_client),
        "min_compat_client": "jewel",
        "require_osd_release": release_name(map.require_osd_release),
        "pools": pools,
        "osds": osds,
        "osd_xinfo": xinfos,
    });
    let tail = json!({
        "pg_upmap": map.pg_upmap.iter()
            .map(|(pg, o)| json!({"pgid": pg.to_string(), "osds": ids(o)}))
            .collect::<Vec<_>>(),
        "pg_upmap_items": map.pg_upmap_items.iter()
            .map(|(pg, items)| {
                let items: Vec<Value> =
                    items.iter().map(|(f, t)| json!({"from": f.0, "to": t.0})).collect();
                json!({"pgid": pg.to_string(), "mappings": items})
            })
            .collect::<Vec<_>>(),
        "pg_temp": map.pg_temp.iter()
            .map(|(pg, o)| json!({"pgid": pg.to_string(), "osds": ids(o)}))
            .collect::<Vec<_>>(),
        "primary_temp": map.primary_temp.iter()
            .map(|(pg, o)| json!({"pgid": pg.to_string(), "osd": o.0}))
            .collect::<Vec<_>>(),
        "blocklist": blocklist,
        "range_blocklist": {},
        "erasure_code_profiles": map.erasure_code_profiles,
        "removed_snaps_queue": pool_intervals(&map.removed_snaps_queue),
        "new_removed_snaps": pool_intervals(&map.new_removed_snaps),
        "new_purged_snaps": pool_intervals(&map.new_purged_snaps),
        "crush_node_flags": {},
        "device_class_flags": {},
        "stretch_mode": {
            "stretch_mode_enabled": map.stretch.enabled,
            "stretch_bucket_count": map.stretch.bucket_count,
            "degraded_stretch_mode": map.stretch.degraded,
            "recovering_stretch_mode": map.stretch.recovering,
            "stretch_mode_bucket": map.stretch.bucket,
        },
    });
    let mut out = Map::new();
    for part in [head, tail] {
        if let Value::Object(fields) = part {
            out.extend(fields);
        }
    }
    Value::Object(out)
}

/// `osd dump` as text.
pub fn osdmap_text(map: &OsdMap) -> String {
    let ratio = |f: f32| float_g(f64::from(f), 6);
    let mut out = format!(
        "epoch {}\nfsid {}\ncreated {}\nmodified {}\nflags {}\ncrush_version {}\nfull_ratio \
         {}\nbackfillfull_ratio {}\nnearfull_ratio {}\nrequire_min_compat_client \
         {}\nmin_compat_client jewel\nrequire_osd_release {}\nstretch_mode_enabled {}\n",
        map.epoch,
        map.fsid,
        map.created,
        map.modified,
        map_flags(map.flags).join(","),
        map.crush_version,
        ratio(map.full_ratio),
        ratio(map.backfillfull_ratio),
        ratio(map.nearfull_ratio),
        release_name(map.require_min_compat_client),
        release_name(map.require_osd_release),
        map.stretch.enabled,
    );
    for (id, p) in &map.pools {
        let name = map.pool_names.get(id).map_or("", String::as_str);
        out.push_str(&pool_line(*id, name, p));
        out.push('\n');
    }
    out.push_str(&format!("max_osd {}\n", map.max_osd));
    for id in map.osds() {
        out.push_str(&osd_line(map, id));
        out.push('\n');
    }
    for (pg, osds) in &map.pg_temp {
        out.push_str(&format!("pg_temp {pg} {}\n", ids_text(osds)));
    }
    for (addr, until) in &map.blocklist {
        out.push_str(&format!("blocklist {} expires {until}\n", addr.legacy_text()));
    }
    out
}

/// An OSD as a line of `osd dump`.
pub fn osd_line(map: &OsdMap, id: OsdId) -> String {
    let i = id.index().unwrap_or_default();
    let info = map.info(id);
    let addrs = map.osd_addrs.get(i).cloned().unwrap_or_default();
    let mut out = format!(
        "osd.{id} {} {} weight {}",
        if map.is_up(id) { "up  " } else { "down" },
        if map.is_in(id) { "in " } else { "out" },
        float_g(f64::from(map.weight(id)) / 65_536.0, 6),
    );
    if map.affinity(id) != 0x1_0000 {
        let affinity = float_g(f64::from(map.affinity(id)) / 65_536.0, 6);
        out.push_str(&format!(" primary_affinity {affinity}"));
    }
    out.push_str(&format!(
        " up_from {} up_thru {} down_at {} last_clean_interval [{},{})",
        info.up_from, info.up_thru, info.down_at, info.last_clean_begin, info.last_clean_end
    ));
    if info.lost_at.0 > 0 {
        out.push_str(&format!(" lost_at {}", info.lost_at));
    }
    out.push_str(&format!(
        " {} {} {}",
        addrs.client,
        addrs.cluster,
        state_names(map.state(id)).join(",")
    ));
    let uuid = map.osd_uuid.get(i).copied().unwrap_or_default();
    if !uuid.is_zero() {
        out.push_str(&format!(" {uuid}"));
    }
    out
}
