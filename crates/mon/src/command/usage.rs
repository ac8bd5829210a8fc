//! How full: sums of what OSDs reported, and what still fits into a pool.

use std::collections::BTreeMap;

use seabed_cluster::{OsdId, OsdMap, PoolId};

use crate::service::stats::PgMap;

/// Bytes of a group of OSDs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw {
    /// All.
    pub total: u64,
    /// Free.
    pub available: u64,
    /// Used by data and its bookkeeping.
    pub used: u64,
    /// Not free.
    pub used_raw: u64,
    /// OSDs.
    pub osds: u64,
}

impl Raw {
    /// The share that is not free, 0 to 1.
    pub fn ratio(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.used_raw as f64 / self.total as f64 }
    }
}

fn raw<'a>(stats: &PgMap, osds: impl Iterator<Item = &'a OsdId>) -> Raw {
    let mut out = Raw::default();
    for stat in osds.filter_map(|o| stats.osds.get(o)) {
        let s = &stat.statfs;
        let bytes = |n: i64| n.max(0).unsigned_abs();
        out.total += bytes(s.total);
        out.available += bytes(s.available);
        out.used += bytes(s.total - s.available - s.internally_reserved);
        out.used_raw += bytes(s.total - s.available);
        out.osds += 1;
    }
    out
}

/// Sums of all OSDs that are in.
pub fn cluster(map: &OsdMap, stats: &PgMap) -> Raw {
    raw(stats, stats.osds.keys().filter(|o| map.is_in(**o)))
}

/// Sums by device class.
pub fn by_class(map: &OsdMap, stats: &PgMap) -> BTreeMap<String, Raw> {
    let mut members: BTreeMap<String, Vec<OsdId>> = BTreeMap::new();
    for osd in stats.osds.keys().filter(|o| map.is_in(**o)) {
        let class = map.crush.item_class(osd.0).unwrap_or("").to_string();
        members.entry(class).or_default().push(*osd);
    }
    members.into_iter().map(|(class, osds)| (class, raw(stats, osds.iter()))).collect()
}

/// What a pool holds and could hold, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PoolUsage {
    /// As clients count.
    pub stored: u64,
    /// Of it in omaps.
    pub stored_omap: u64,
    /// On disk, all copies.
    pub used: u64,
    /// Of it for omaps.
    pub used_omap: u64,
    /// Objects.
    pub objects: u64,
    /// As clients count, what still fits.
    pub max_avail: u64,
    /// The share used, 0 to 1.
    pub percent: f64,
    /// Copies of each byte.
    pub rate: f64,
}

/// What a pool holds and could hold.
pub fn pool(map: &OsdMap, stats: &PgMap, id: PoolId) -> PoolUsage {
    let Some(pool) = map.pools.get(&id) else { return PoolUsage::default() };
    let sum = stats.pool(id);
    let bytes = |n: i64| n.max(0).unsigned_abs();
    let rate = f64::from(pool.size.max(1));
    let stored_omap = bytes(sum.sum.num_omap_bytes);
    let stored = bytes(sum.sum.num_bytes) + stored_omap;
    let allocated = bytes(sum.store.allocated);
    let used_omap = bytes(sum.store.omap_allocated);
    let used = if sum.num_store_stats > 0 && allocated > 0 {
        allocated + used_omap
    } else {
        (stored as f64 * rate) as u64
    };
    let raw_avail = rule_avail(map, stats, pool.crush_rule);
    let max_avail = (raw_avail as f64 / rate) as u64;
    let whole = used as f64 + raw_avail as f64;
    PoolUsage {
        stored,
        stored_omap,
        used,
        used_omap,
        objects: bytes(sum.sum.num_objects),
        max_avail,
        percent: if whole > 0.0 { used as f64 / whole } else { 0.0 },
        rate,
    }
}

/// Raw bytes that fit below a rule before its fullest OSD is full.
fn rule_avail(map: &OsdMap, stats: &PgMap, rule: i32) -> u64 {
    let Ok(rule) = u32::try_from(rule) else { return 0 };
    let mut shares = map.crush.rule_weights(rule);
    // Reweights take part: an OSD that is out takes nothing.
    let mut total = 0.0f64;
    for (osd, share) in &mut shares {
        *share *= map.weight(OsdId(*osd)) as f32 / 65_536.0;
        total += f64::from(*share);
    }
    let mut min: Option<f64> = None;
    for (osd, share) in shares {
        let share = f64::from(share) / total.max(f64::MIN_POSITIVE);
        if share <= 0.0 {
            continue;
        }
        let Some(stat) = stats.osds.get(&OsdId(osd)) else { continue };
        let s = &stat.statfs;
        if s.total <= 0 {
            continue;
        }
        let unusable = s.total as f64 * (1.0 - f64::from(map.full_ratio));
        let avail = (s.available as f64 - unusable).max(0.0) / share;
        min = Some(min.map_or(avail, |m| m.min(avail)));
    }
    min.unwrap_or(0.0) as u64
}
