//! A map as JSON: the fields of `ceph osd dump -f json`, in their order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::pool::OptValue;
use super::print::{autoscale_name, fixed, flag_names, state_names};
use super::{IntervalSet, OsdMap, Pool};
use crate::text::number;
use crate::{AddrKind, EntityAddr, EntityAddrVec, OsdId, PoolId, release_name};

/// `entity_addr_t` in JSON.
impl EntityAddr {
    /// `{type, addr, nonce}`.
    pub fn dump(&self) -> Value {
        json!({"type": self.kind.as_str(), "addr": self.ip_text(), "nonce": self.nonce})
    }
}

/// `entity_addrvec_t` in JSON.
impl EntityAddrVec {
    /// `{"addrvec": [{type, addr, nonce}]}`.
    pub fn dump(&self) -> Value {
        json!({"addrvec": self.0.iter().map(EntityAddr::dump).collect::<Vec<_>>()})
    }

    /// Address and nonce as old fields have it: of the legacy address, else of any.
    pub fn legacy_text(&self) -> String {
        let legacy = self.of_kind(AddrKind::Legacy).or(self.of_kind(AddrKind::Msgr2));
        legacy.copied().unwrap_or_default().legacy_text()
    }
}

fn snaps(set: &IntervalSet) -> Vec<Value> {
    set.iter().map(|(begin, length)| json!({"begin": begin, "length": length})).collect()
}

fn pool_snaps(all: &BTreeMap<PoolId, IntervalSet>) -> Vec<Value> {
    all.iter().map(|(pool, set)| json!({"pool": pool.0, "snaps": snaps(set)})).collect()
}

fn ids(osds: &[OsdId]) -> Vec<i32> {
    osds.iter().map(|o| o.0).collect()
}

/// Joins the fields of the second object behind those of the first.
pub(crate) fn join(mut first: Value, second: Value) -> Value {
    if let (Some(map), Value::Object(more)) = (first.as_object_mut(), second) {
        map.extend(more);
    }
    first
}

impl Pool {
    /// The fields of a pool in `ceph osd pool ls detail -f json`, without number and name.
    pub fn dump(&self) -> Value {
        join(join(self.dump_placement(), self.dump_snaps()), self.dump_tiering())
    }

    fn dump_placement(&self) -> Value {
        let merge = &self.last_pg_merge_meta;
        json!({
            "create_time": self.create_time.to_string(),
            "flags": self.flags,
            "flags_names": self.flags_text(),
            "type": self.kind as u8,
            "size": self.size,
            "min_size": self.min_size,
            "crush_rule": self.crush_rule,
            "peering_crush_bucket_count": self.peering_crush_bucket_count,
            "peering_crush_bucket_target": self.peering_crush_bucket_target,
            "peering_crush_bucket_barrier": self.peering_crush_bucket_barrier,
            "peering_crush_bucket_mandatory_member": self.peering_crush_mandatory_member,
            "object_hash": self.object_hash,
            "pg_autoscale_mode": autoscale_name(self.pg_autoscale_mode),
            "pg_num": self.pg_num,
            "pg_placement_num": self.pgp_num,
            "pg_placement_num_target": self.pgp_num_target,
            "pg_num_target": self.pg_num_target,
            "pg_num_pending": self.pg_num_pending,
            "last_pg_merge_meta": {
                "source_pgid": merge.source_pgid.to_string(),
                "ready_epoch": merge.ready_epoch.0,
                "last_epoch_started": merge.last_epoch_started.0,
                "last_epoch_clean": merge.last_epoch_clean.0,
                "source_version": merge.source_version.to_string(),
                "target_version": merge.target_version.to_string(),
            },
            "last_change": self.last_change.to_string(),
            "last_force_op_resend": self.last_force_op_resend.to_string(),
            "last_force_op_resend_prenautilus": self.last_force_op_resend_prenautilus.to_string(),
            "last_force_op_resend_preluminous": self.last_force_op_resend_preluminous.to_string(),
            "auid": self.auid,
        })
    }

    fn dump_snaps(&self) -> Value {
        let snaps: Vec<Value> = self
            .snaps
            .values()
            .map(|s| json!({"snapid": s.snapid.0, "stamp": s.stamp.to_string(), "name": s.name}))
            .collect();
        json!({
            "snap_mode": if self.is_pool_snaps_mode() { "pool" } else { "selfmanaged" },
            "snap_seq": self.snap_seq.0,
            "snap_epoch": self.snap_epoch.0,
            "pool_snaps": snaps,
            "removed_snaps": self.removed_snaps.to_string(),
            "quota_max_bytes": self.quota_max_bytes,
            "quota_max_objects": self.quota_max_objects,
        })
    }

    fn dump_hit_set(&self) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), self.hit_set_params.kind_name().into());
        if let Some((fpp, size, seed)) = self.hit_set_params.bloom() {
            out.insert("false_positive_probability".into(), number(fpp));
            out.insert("target_size".into(), size.into());
            out.insert("seed".into(), seed.into());
        }
        out.into()
    }

    fn dump_opts(&self) -> Value {
        let value = |v: &OptValue| match v {
            OptValue::Str(s) => Value::from(s.as_str()),
            OptValue::Int(n) => Value::from(*n),
            OptValue::Double(d) => number(*d),
        };
        let opts = self.named_opts().into_iter().map(|(name, v)| (name.to_owned(), value(v)));
        Value::Object(opts.collect())
    }

    fn dump_tiering(&self) -> Value {
        json!({
            "tiers": self.tiers,
            "tier_of": self.tier_of.0,
            "read_tier": self.read_tier.0,
            "write_tier": self.write_tier.0,
            "cache_mode": self.cache_mode.as_str(),
            "target_max_bytes": self.target_max_bytes,
            "target_max_objects": self.target_max_objects,
            "cache_target_dirty_ratio_micro": self.cache_target_dirty_ratio_micro,
            "cache_target_dirty_high_ratio_micro": self.cache_target_dirty_high_ratio_micro,
            "cache_target_full_ratio_micro": self.cache_target_full_ratio_micro,
            "cache_min_flush_age": self.cache_min_flush_age,
            "cache_min_evict_age": self.cache_min_evict_age,
            "erasure_code_profile": self.erasure_code_profile,
            "hit_set_params": self.dump_hit_set(),
            "hit_set_period": self.hit_set_period,
            "hit_set_count": self.hit_set_count,
            "use_gmt_hitset": self.use_gmt_hitset,
            "min_read_recency_for_promote": self.min_read_recency_for_promote,
            "min_write_recency_for_promote": self.min_write_recency_for_promote,
            "hit_set_grade_decay_rate": self.hit_set_grade_decay_rate,
            "hit_set_search_last_n": self.hit_set_search_last_n,
            "grade_table": [],
            "stripe_width": self.stripe_width,
            "expected_num_objects": self.expected_num_objects,
            "fast_read": self.fast_read,
            "options": self.dump_opts(),
            "application_metadata": self.application_metadata,
        })
    }
}

impl OsdMap {
    /// Everything, as `ceph osd dump -f json`.
    pub fn dump(&self) -> Value {
        let mut out = join(self.dump_head(), self.dump_pgs());
        out = join(out, self.dump_rest());
        if !self.pg_upmap_primaries.is_empty()
            && let Some(map) = out.as_object_mut()
        {
            // Not among the fields of 16.2.
            let one = |(pg, osd): (&crate::PgId, &OsdId)| {
                let pg = pg.to_string();
                json!({"pgid": pg, "primary_osd": osd.0})
            };
            let list = self.pg_upmap_primaries.iter().map(one).collect::<Vec<_>>();
            map.insert("pg_upmap_primaries".into(), list.into());
        }
        out
    }

    fn dump_head(&self) -> Value {
        let flags = flag_names(self.effective_flags());
        let mut sorted = flags.clone();
        sorted.sort_unstable();
        let pool = |(&id, pool): (&PoolId, &Pool)| {
            let name = self.pool_names.get(&id).map_or("<unknown>", String::as_str);
            join(json!({"pool": id.0, "pool_name": name}), pool.dump())
        };
        json!({
            "epoch": self.epoch.0,
            "fsid": self.fsid.to_string(),
            "created": self.created.to_string(),
            "modified": self.modified.to_string(),
            "last_up_change": self.last_up_change.to_string(),
            "last_in_change": self.last_in_change.to_string(),
            "flags": flags.join(","),
            "flags_num": self.effective_flags(),
            "flags_set": sorted,
            "crush_version": self.crush_version,
            "full_ratio": number(f64::from(self.full_ratio)),
            "backfillfull_ratio": number(f64::from(self.backfillfull_ratio)),
            "nearfull_ratio": number(f64::from(self.nearfull_ratio)),
            "cluster_snapshot": self.cluster_snapshot,
            "pool_max": self.pool_max.0,
            "max_osd": self.max_osd,
            "require_min_compat_client": release_name(self.require_min_compat_client),
            "min_compat_client": release_name(self.min_compat_client()),
            "require_osd_release": release_name(self.require_osd_release),
            "pools": self.pools.iter().map(pool).collect::<Vec<_>>(),
            "osds": self.osds().map(|o| self.dump_osd(o)).collect::<Vec<_>>(),
            "osd_xinfo": self.osds().map(|o| self.dump_xinfo(o)).collect::<Vec<_>>(),
        })
    }

    /// One element of `osds`.
    pub fn dump_osd(&self, osd: OsdId) -> Value {
        let info = self.info(osd);
        let at = |v: &[crate::Uuid]| osd.index().and_then(|i| v.get(i)).copied();
        let addrs = self.addrs(osd).cloned().unwrap_or_default();
        let epochs = json!({
            "osd": osd.0,
            "uuid": at(&self.osd_uuid).unwrap_or_default().to_string(),
            "up": u8::from(self.is_up(osd)),
            "in": u8::from(self.is_in(osd)),
            "weight": number(fixed(self.weight(osd))),
            "primary_affinity": number(fixed(self.affinity(osd))),
            "last_clean_begin": info.last_clean_begin.0,
            "last_clean_end": info.last_clean_end.0,
            "up_from": info.up_from.0,
            "up_thru": info.up_thru.0,
            "down_at": info.down_at.0,
            "lost_at": info.lost_at.0,
        });
        let places = json!({
            "public_addrs": addrs.client.dump(),
            "cluster_addrs": addrs.cluster.dump(),
            "heartbeat_back_addrs": addrs.heartbeat_back.dump(),
            "heartbeat_front_addrs": addrs.heartbeat_front.dump(),
            "public_addr": addrs.client.legacy_text(),
            "cluster_addr": addrs.cluster.legacy_text(),
            "heartbeat_back_addr": addrs.heartbeat_back.legacy_text(),
            "heartbeat_front_addr": addrs.heartbeat_front.legacy_text(),
            "state": state_names(self.state(osd)),
        });
        join(epochs, places)
    }

    fn dump_xinfo(&self, osd: OsdId) -> Value {
        let x = osd.index().and_then(|i| self.osd_xinfo.get(i)).cloned().unwrap_or_default();
        json!({
            "osd": osd.0,
            "down_stamp": x.down_stamp.to_string(),
            "laggy_probability": number(f64::from(x.laggy_probability as f32 / u32::MAX as f32)),
            "laggy_interval": x.laggy_interval,
            // Signed, as in Ceph.
            "features": x.features as i64,
            "old_weight": number(f64::from(x.old_weight)),
            "last_purged_snaps_scrub": x.last_purged_snaps_scrub.to_string(),
            "dead_epoch": x.dead_epoch.0,
        })
    }

    fn dump_pgs(&self) -> Value {
        let sets = |map: &BTreeMap<crate::PgId, Vec<OsdId>>| -> Vec<Value> {
            map.iter()
                .map(|(pg, osds)| json!({"pgid": pg.to_string(), "osds": ids(osds)}))
                .collect()
        };
        let mappings = |pairs: &[(OsdId, OsdId)]| -> Vec<Value> {
            pairs.iter().map(|(from, to)| json!({"from": from.0, "to": to.0})).collect()
        };
        let items: Vec<Value> = self
            .pg_upmap_items
            .iter()
            .map(|(pg, pairs)| json!({"pgid": pg.to_string(), "mappings": mappings(pairs)}))
            .collect();
        // A flat list of ids and numbers by turns: so it is in 16.2.
        let primaries: Vec<Value> = self
            .primary_temp
            .iter()
            .flat_map(|(pg, osd)| [Value::from(pg.to_string()), Value::from(osd.0)])
            .collect();
        json!({
            "pg_upmap": sets(&self.pg_upmap),
            "pg_upmap_items": items,
            "pg_temp": sets(&self.pg_temp),
            "primary_temp": primaries,
        })
    }

    fn dump_rest(&self) -> Value {
        let blocked = |list: &BTreeMap<EntityAddr, crate::UTime>| -> Map<String, Value> {
            let legacy = |a: &EntityAddr| format!("{}/{}", a.ip_text(), a.nonce);
            list.iter().rev().map(|(a, until)| (legacy(a), until.to_string().into())).collect()
        };
        let names = |n: Option<&String>, id: i32| n.cloned().unwrap_or_else(|| id.to_string());
        let nodes: Map<String, Value> = self
            .crush_node_flags
            .iter()
            .map(|(&id, &f)| (names(self.crush.item_names.get(&id), id), state_names(f).into()))
            .collect();
        let classes: Map<String, Value> = self
            .device_class_flags
            .iter()
            .map(|(&id, &f)| (names(self.crush.class_names.get(&id), id), state_names(f).into()))
            .collect();
        json!({
            "blocklist": blocked(&self.blocklist),
            "range_blocklist": blocked(&self.range_blocklist),
            "erasure_code_profiles": self.erasure_code_profiles,
            "removed_snaps_queue": pool_snaps(&self.removed_snaps_queue),
            "new_removed_snaps": pool_snaps(&self.new_removed_snaps),
            "new_purged_snaps": pool_snaps(&self.new_purged_snaps),
            "crush_node_flags": nodes,
            "device_class_flags": classes,
            "stretch_mode": {
                "stretch_mode_enabled": self.stretch.enabled,
                "stretch_bucket_count": self.stretch.bucket_count,
                "degraded_stretch_mode": self.stretch.degraded,
                "recovering_stretch_mode": self.stretch.recovering,
                "stretch_mode_bucket": self.stretch.bucket,
            },
        })
    }
}
