//! A map as text: what `osdmaptool --print` and `ceph osd dump` show.

use std::fmt::{self, Write};

use super::pool::{HitSetParams, OptValue, pool_flag, pool_opt};
use super::{OsdMap, Pool, PoolKind, flag};
use crate::release_name;
use crate::text::{Commas, Short};
use crate::{OsdId, PoolId};

/// The names of the bits that are set, in the order of `table`.
pub(super) fn names<T>(bits: T, table: &'static [(T, &'static str)]) -> Vec<&'static str>
where
    T: Copy + PartialEq + Default + std::ops::BitAnd<Output = T>,
{
    table.iter().filter(|(bit, _)| bits & *bit != T::default()).map(|(_, name)| *name).collect()
}

pub(super) fn state_names(state: u32) -> Vec<&'static str> {
    let mut list = names(state, flag::osd::ALL);
    list.sort_unstable();
    list
}

/// Map flags have an order of their own.
pub(super) fn flag_names(flags: u32) -> Vec<&'static str> {
    names(flags, flag::map::PRINT_ORDER)
}

pub(super) fn autoscale_name(mode: u8) -> &'static str {
    match mode {
        0 => "off",
        1 => "warn",
        2 => "on",
        _ => "???",
    }
}

fn hash_name(hash: u8) -> &'static str {
    match hash {
        1 => "linux",
        2 => "rjenkins",
        _ => "unknown",
    }
}

impl fmt::Display for OptValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptValue::Str(s) => f.write_str(s),
            OptValue::Int(n) => fmt::Display::fmt(n, f),
            OptValue::Double(d) => fmt::Display::fmt(&Short(*d), f),
        }
    }
}

impl HitSetParams {
    /// The word for the kind.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            0 => "none",
            1 => "explicit_hash",
            2 => "explicit_object",
            3 => "bloom",
            _ => "???",
        }
    }

    /// Probability of false hits, target size and seed of a bloom filter.
    pub(super) fn bloom(&self) -> Option<(f64, u64, u64)> {
        use seabed_denc::{Decode, Reader, decode_versioned};
        let body = |r: &mut Reader, _| {
            let micro = u32::decode(r)?;
            Ok((f64::from(micro) / 1e6, u64::decode(r)?, u64::decode(r)?))
        };
        let mut r = Reader::new(self.raw.clone());
        let params = decode_versioned(&mut r, "BloomHitSet::Params", 1, body).ok()?.0;
        (self.kind == 3).then_some(params)
    }
}

impl fmt::Display for HitSetParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind_name())?;
        if self.kind == 0 {
            return Ok(());
        }
        f.write_str("{")?;
        if let Some((fpp, size, seed)) = self.bloom() {
            let fpp = Short(fpp);
            write!(f, "false_positive_probability: {fpp}, target_size: {size}, seed: {seed}")?;
        }
        f.write_str("}")
    }
}

/// Writes `name value` if the condition holds.
fn field(
    f: &mut fmt::Formatter<'_>,
    shown: bool,
    name: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    if shown { write!(f, " {name} {value}") } else { Ok(()) }
}

impl Pool {
    fn fmt_placement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PoolKind::Replicated => f.write_str("replicated")?,
            PoolKind::Erasure => write!(f, "erasure profile {}", self.erasure_code_profile)?,
        }
        field(f, true, "size", self.size)?;
        field(f, true, "min_size", self.min_size)?;
        field(f, true, "crush_rule", self.crush_rule)?;
        field(f, true, "object_hash", hash_name(self.object_hash))?;
        field(f, true, "pg_num", self.pg_num)?;
        field(f, true, "pgp_num", self.pgp_num)?;
        let target = self.pg_num_target;
        field(f, target != self.pg_num, "pg_num_target", target)?;
        let target = self.pgp_num_target;
        field(f, target != self.pgp_num, "pgp_num_target", target)?;
        let pending = self.pg_num_pending;
        field(f, pending != self.pg_num, "pg_num_pending", pending)?;
        field(f, true, "autoscale_mode", autoscale_name(self.pg_autoscale_mode))?;
        field(f, true, "last_change", self.last_change)?;
        let (a, b, c) = (
            self.last_force_op_resend,
            self.last_force_op_resend_prenautilus,
            self.last_force_op_resend_preluminous,
        );
        let any = [a, b, c].iter().any(|e| e.0 != 0);
        field(f, any, "lfor", format_args!("{a}/{b}/{c}"))
    }

    fn fmt_tiering(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        field(f, !self.tiers.is_empty(), "tiers", Commas(&self.tiers))?;
        field(f, self.tier_of.0 >= 0, "tier_of", self.tier_of)?;
        field(f, self.read_tier.0 >= 0, "read_tier", self.read_tier)?;
        field(f, self.write_tier.0 >= 0, "write_tier", self.write_tier)?;
        let mode = self.cache_mode;
        field(f, mode as u8 != 0, "cache_mode", mode.as_str())?;
        field(f, self.target_max_bytes != 0, "target_bytes", self.target_max_bytes)?;
        field(f, self.target_max_objects != 0, "target_objects", self.target_max_objects)?;
        if self.hit_set_params.kind != 0 {
            write!(f, " hit_set {}", self.hit_set_params)?;
            write!(f, " {}s x{}", self.hit_set_period, self.hit_set_count)?;
            field(f, true, "decay_rate", self.hit_set_grade_decay_rate)?;
            field(f, true, "search_last_n", self.hit_set_search_last_n)?;
        }
        let n = self.min_read_recency_for_promote;
        field(f, n != 0, "min_read_recency_for_promote", n)?;
        let n = self.min_write_recency_for_promote;
        field(f, n != 0, "min_write_recency_for_promote", n)
    }

    /// Options that are set, in the order of their names.
    pub(super) fn named_opts(&self) -> Vec<(&'static str, &OptValue)> {
        let named =
            self.opts.iter().filter_map(|(&key, value)| Some((pool_opt::name(key)?, value)));
        let mut list: Vec<_> = named.collect();
        list.sort_by_key(|(name, _)| *name);
        list
    }

    /// Names of the flags, with commas.
    pub fn flags_text(&self) -> String {
        Commas(names(self.flags, pool_flag::ALL)).to_string()
    }
}

/// The line of `ceph osd dump`, without number and name.
impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_placement(f)?;
        field(f, self.auid != 0, "owner", self.auid)?;
        field(f, self.flags != 0, "flags", self.flags_text())?;
        field(f, self.quota_max_bytes != 0, "max_bytes", self.quota_max_bytes)?;
        field(f, self.quota_max_objects != 0, "max_objects", self.quota_max_objects)?;
        self.fmt_tiering(f)?;
        field(f, true, "stripe_width", self.stripe_width)?;
        let n = self.expected_num_objects;
        field(f, n != 0, "expected_num_objects", n)?;
        field(f, self.fast_read, "fast_read", u8::from(self.fast_read))?;
        for (name, value) in self.named_opts() {
            field(f, true, name, value)?;
        }
        let apps = &self.application_metadata;
        field(f, !apps.is_empty(), "application", Commas(apps.keys()))
    }
}

/// 16.16 fixed point as the float that Ceph computes with.
pub(super) fn fixed(weight: u32) -> f64 {
    f64::from(weight as f32 / 65536.0f32)
}

impl OsdMap {
    /// What `osdmaptool --print` shows.
    pub fn print(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_print(&mut out);
        out
    }

    /// The line of one OSD in [`OsdMap::print`].
    pub fn print_osd_line(&self, osd: OsdId) -> String {
        let mut out = String::new();
        // As above.
        let _ = self.print_osd(&mut out, osd);
        out
    }

    fn write_print(&self, out: &mut String) -> fmt::Result {
        self.print_head(out)?;
        out.push('\n');
        for (&id, pool) in &self.pools {
            self.print_pool(out, id, pool)?;
        }
        out.push('\n');
        writeln!(out, "max_osd {}", self.max_osd)?;
        for osd in self.osds() {
            self.print_osd(out, osd)?;
        }
        out.push('\n');
        self.print_pgs(out)
    }

    fn print_head(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "epoch {}", self.epoch)?;
        writeln!(out, "fsid {}", self.fsid)?;
        writeln!(out, "created {}", self.created)?;
        writeln!(out, "modified {}", self.modified)?;
        writeln!(out, "flags {}", Commas(flag_names(self.effective_flags())))?;
        writeln!(out, "crush_version {}", self.crush_version)?;
        writeln!(out, "full_ratio {}", Short(f64::from(self.full_ratio)))?;
        writeln!(out, "backfillfull_ratio {}", Short(f64::from(self.backfillfull_ratio)))?;
        writeln!(out, "nearfull_ratio {}", Short(f64::from(self.nearfull_ratio)))?;
        if self.require_min_compat_client != 0 {
            let name = release_name(self.require_min_compat_client);
            writeln!(out, "require_min_compat_client {name}")?;
        }
        writeln!(out, "min_compat_client {}", release_name(self.min_compat_client()))?;
        if self.require_osd_release != 0 {
            writeln!(out, "require_osd_release {}", release_name(self.require_osd_release))?;
        }
        writeln!(out, "stretch_mode_enabled {}", self.stretch.enabled)?;
        if self.stretch.enabled {
            writeln!(out, "stretch_bucket_count {}", self.stretch.bucket_count)?;
            writeln!(out, "degraded_stretch_mode {}", self.stretch.degraded)?;
            writeln!(out, "recovering_stretch_mode {}", self.stretch.recovering)?;
            writeln!(out, "stretch_mode_bucket {}", self.stretch.bucket)?;
        }
        if !self.cluster_snapshot.is_empty() {
            writeln!(out, "cluster_snapshot {}", self.cluster_snapshot)?;
        }
        Ok(())
    }

    /// A pool and its snapshots, a line each, as `ceph osd pool ls detail`.
    pub fn print_pool(&self, out: &mut String, id: PoolId, pool: &Pool) -> fmt::Result {
        let name = self.pool_names.get(&id).map_or("<unknown>", String::as_str);
        writeln!(out, "pool {id} '{name}' {pool}")?;
        for snap in pool.snaps.values() {
            // A number here, unlike in object names.
            writeln!(out, "\tsnap {} '{}' {}", snap.snapid, snap.name, snap.stamp)?;
        }
        if !pool.removed_snaps.is_empty() {
            writeln!(out, "\tremoved_snaps {}", pool.removed_snaps)?;
        }
        if let Some(queue) = self.removed_snaps_queue.get(&id) {
            writeln!(out, "\tremoved_snaps_queue {queue}")?;
        }
        Ok(())
    }

    fn print_osd(&self, out: &mut String, osd: OsdId) -> fmt::Result {
        let up = if self.is_up(osd) { " up  " } else { " down" };
        let is_in = if self.is_in(osd) { " in " } else { " out" };
        write!(out, "osd.{osd}{up}{is_in} weight {}", Short(fixed(self.weight(osd))))?;
        let affinity = self.affinity(osd);
        if affinity != 0x1_0000 {
            write!(out, " primary_affinity {}", Short(fixed(affinity)))?;
        }
        let info = self.info(osd);
        write!(out, " up_from {} up_thru {}", info.up_from, info.up_thru)?;
        write!(out, " down_at {}", info.down_at)?;
        write!(out, " last_clean_interval [{},{})", info.last_clean_begin, info.last_clean_end)?;
        if info.lost_at.0 != 0 {
            write!(out, " lost_at {}", info.lost_at)?;
        }
        if let Some(addrs) = self.addrs(osd) {
            write!(out, " {} {}", addrs.client, addrs.cluster)?;
        }
        write!(out, " {}", Commas(state_names(self.state(osd))))?;
        let uuid = osd.index().and_then(|i| self.osd_uuid.get(i)).copied().unwrap_or_default();
        if !uuid.is_zero() {
            write!(out, " {uuid}")?;
        }
        out.push('\n');
        Ok(())
    }

    fn print_pgs(&self, out: &mut String) -> fmt::Result {
        for (pg, osds) in &self.pg_upmap {
            writeln!(out, "pg_upmap {pg} [{}]", Commas(osds))?;
        }
        for (pg, pairs) in &self.pg_upmap_items {
            let flat: Vec<OsdId> = pairs.iter().flat_map(|&(from, to)| [from, to]).collect();
            writeln!(out, "pg_upmap_items {pg} [{}]", Commas(&flat))?;
        }
        for (pg, osd) in &self.pg_upmap_primaries {
            writeln!(out, "pg_upmap_primary {pg} {osd}")?;
        }
        for (pg, osds) in &self.pg_temp {
            writeln!(out, "pg_temp {pg} [{}]", Commas(osds))?;
        }
        for (pg, osd) in &self.primary_temp {
            writeln!(out, "primary_temp {pg} {osd}")?;
        }
        // Ceph shows the order of its hash table; for few entries that is last first.
        for (addr, until) in self.blocklist.iter().rev() {
            writeln!(out, "blocklist {addr} expires {until}")?;
        }
        for (addr, until) in self.range_blocklist.iter().rev() {
            writeln!(out, "range blocklist {addr} expires {until}")?;
        }
        Ok(())
    }
}
