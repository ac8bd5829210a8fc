//! Statistics: what OSDs report of themselves and of the PGs they lead.
//!
//! In memory only: they are told again within seconds after a restart. A PG that nobody has
//! reported is `unknown`; one whose primary is down is `stale`.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::{
    Epoch, ObjectStatSum, OsdId, OsdMap, OsdStat, PgId, PgStat, PoolId, StoreStatfs, Time, UTime,
    pg_state,
};

/// Over how long rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Samples kept for rates, one per report at most.
const SAMPLES_MAX: usize = 64;

/// One sample of the work done so far.
#[derive(Debug, Clone)]
struct Sample {
    at: Time,
    by_pool: BTreeMap<PoolId, ObjectStatSum>,
}

/// What goes on, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Bytes read by clients.
    pub read_bytes: f64,
    /// Bytes written by clients.
    pub write_bytes: f64,
    /// Reads.
    pub read_ops: f64,
    /// Writes.
    pub write_ops: f64,
    /// Bytes recovered.
    pub recovered_bytes: f64,
    /// Objects recovered.
    pub recovered_objects: f64,
    /// Omap keys recovered.
    pub recovered_keys: f64,
}

/// Sums of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolSum {
    /// PGs reported.
    pub pgs: u64,
    /// Their counters.
    pub sum: ObjectStatSum,
    /// Entries in their logs.
    pub log_size: i64,
    /// The same on disk.
    pub ondisk_log_size: i64,
    /// OSDs in their up sets, counted for each PG.
    pub up: i32,
    /// OSDs in their acting sets, counted for each PG.
    pub acting: i32,
    /// What the stores keep for it.
    pub store: StoreStatfs,
    /// OSDs that told.
    pub num_store_stats: u32,
}

/// Everything reported.
#[derive(Debug, Clone, Default)]
pub struct PgMap {
    /// Counts changes.
    pub version: u64,
    /// When the last change came.
    pub stamp: UTime,
    /// PGs by id.
    pub pgs: BTreeMap<PgId, PgStat>,
    /// OSDs by id.
    pub osds: BTreeMap<OsdId, OsdStat>,
    /// What each OSD's store keeps for each pool.
    pub pool_stores: BTreeMap<(PoolId, OsdId), StoreStatfs>,
    work: BTreeMap<PoolId, ObjectStatSum>,
    samples: Vec<Sample>,
}

impl PgMap {
    /// Takes one OSD's report. PGs that do not exist are left out; a report older than the one
    /// known is ignored.
    pub fn report(
        &mut self,
        map: &OsdMap,
        osd: OsdId,
        stat: OsdStat,
        pgs: impl IntoIterator<Item = (PgId, PgStat)>,
        pools: impl IntoIterator<Item = (PoolId, StoreStatfs)>,
        now: seabed_cluster::Now,
    ) {
        if map.exists(osd) {
            self.osds.insert(osd, stat);
        }
        for (pool, store) in pools {
            if map.pools.contains_key(&pool) {
                self.pool_stores.insert((pool, osd), store);
            }
        }
        for (pg, stat) in pgs {
            if !exists(map, pg) {
                continue;
            }
            let newer = |old: &PgStat| {
                (stat.reported_epoch, stat.reported_seq) > (old.reported_epoch, old.reported_seq)
            };
            let old = self.pgs.get(&pg);
            if old.is_none_or(newer) {
                // Work counts from the second report on: the first tells of all time.
                if let Some(old) = old {
                    add_work(
                        self.work.entry(pg.pool).or_default(),
                        &old.stats.sum,
                        &stat.stats.sum,
                    );
                }
                self.pgs.insert(pg, stat);
            }
        }
        self.version += 1;
        self.stamp = now.wall;
        self.sample(now.mono);
    }

    /// Follows the map: PGs of pools that are gone go, those of a primary that is down are stale.
    pub fn follow(&mut self, map: &OsdMap) {
        self.pgs.retain(|pg, _| exists(map, *pg));
        self.osds.retain(|osd, _| map.exists(*osd));
        self.work.retain(|pool, _| map.pools.contains_key(pool));
        self.pool_stores.retain(|(pool, osd), _| map.pools.contains_key(pool) && map.exists(*osd));
        for stat in self.pgs.values_mut() {
            if !map.is_up(stat.acting_primary) {
                stat.set_state(stat.state() | pg_state::STALE);
            }
        }
    }

    fn sample(&mut self, at: Time) {
        if self.samples.last().is_some_and(|s| at.saturating_sub(s.at) < RATE_WINDOW / 32) {
            return;
        }
        self.samples.push(Sample { at, by_pool: self.work.clone() });
        let keep = |s: &Sample| at.saturating_sub(s.at) <= RATE_WINDOW;
        self.samples.retain(keep);
        if self.samples.len() > SAMPLES_MAX {
            self.samples.remove(0);
        }
    }

    /// What went on lately, in one pool or in all.
    pub fn rates(&self, pool: Option<PoolId>, now: Time) -> Rates {
        let Some((first, last)) = self.samples.first().zip(self.samples.last()) else {
            return Rates::default();
        };
        let seconds = now.saturating_sub(first.at).as_secs_f64();
        if last.at <= first.at || seconds > 3.0 * RATE_WINDOW.as_secs_f64() {
            return Rates::default();
        }
        let total = |s: &Sample, f: fn(&ObjectStatSum) -> i64| -> i64 {
            let pools = s.by_pool.iter().filter(|(id, _)| pool.is_none_or(|p| p == **id));
            pools.map(|(_, sum)| f(sum)).sum()
        };
        let rate = |f: fn(&ObjectStatSum) -> i64| {
            (total(last, f) - total(first, f)).max(0) as f64 / seconds
        };
        Rates {
            read_bytes: rate(|s| s.num_rd_kb) * 1024.0,
            write_bytes: rate(|s| s.num_wr_kb) * 1024.0,
            read_ops: rate(|s| s.num_rd),
            write_ops: rate(|s| s.num_wr),
            recovered_bytes: rate(|s| s.num_bytes_recovered),
            recovered_objects: rate(|s| s.num_objects_recovered),
            recovered_keys: rate(|s| s.num_keys_recovered),
        }
    }

    /// The state of a PG: 0 (`unknown`) until it is reported.
    pub fn state(&self, pg: PgId) -> u64 {
        self.pgs.get(&pg).map_or(0, PgStat::state)
    }

    /// True once a PG was reported to be more than about to be created.
    pub fn is_created(&self, pg: PgId) -> bool {
        self.pgs.get(&pg).is_some_and(|s| s.state() & pg_state::CREATING == 0 && s.state() != 0)
    }

    /// The oldest map that some PG still needs to know its past from; `None` while some PG has
    /// not been reported.
    pub fn min_last_epoch_clean(&self, map: &OsdMap) -> Option<Epoch> {
        let mut min = map.epoch;
        for pg in all_pgs(map) {
            let stat = self.pgs.get(&pg)?;
            let clean = stat.state() & pg_state::CLEAN != 0 && stat.state() & pg_state::STALE == 0;
            let since = if clean { stat.reported_epoch } else { stat.last_epoch_clean };
            min = min.min(since);
        }
        Some(min)
    }

    /// How many PGs of the map are in each state.
    pub fn by_state(&self, map: &OsdMap) -> Vec<(u64, u64)> {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for pg in all_pgs(map) {
            *counts.entry(self.state(pg)).or_default() += 1;
        }
        let mut out: Vec<(u64, u64)> = counts.into_iter().collect();
        out.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        out
    }

    /// Sums of one pool.
    pub fn pool(&self, pool: PoolId) -> PoolSum {
        let mut out = PoolSum::default();
        let first = PgId::new(pool, 0);
        let last = PgId::new(pool, u32::MAX);
        for stat in self.pgs.range(first..=last).map(|(_, s)| s) {
            out.pgs += 1;
            out.sum.add(&stat.stats.sum);
            out.log_size += stat.log_size;
            out.ondisk_log_size += stat.ondisk_log_size;
            out.up += i32::try_from(stat.up.len()).unwrap_or(0);
            out.acting += i32::try_from(stat.acting.len()).unwrap_or(0);
        }
        for ((id, _), store) in &self.pool_stores {
            if *id == pool {
                add_statfs(&mut out.store, store);
                out.num_store_stats += 1;
            }
        }
        out
    }

    /// Sums of all pools.
    pub fn total(&self) -> PoolSum {
        let mut out = PoolSum::default();
        for stat in self.pgs.values() {
            out.pgs += 1;
            out.sum.add(&stat.stats.sum);
            out.log_size += stat.log_size;
            out.ondisk_log_size += stat.ondisk_log_size;
            out.up += i32::try_from(stat.up.len()).unwrap_or(0);
            out.acting += i32::try_from(stat.acting.len()).unwrap_or(0);
        }
        for store in self.pool_stores.values() {
            add_statfs(&mut out.store, store);
            out.num_store_stats += 1;
        }
        out
    }

    /// Sums of the stores of OSDs that are in.
    pub fn osd_sum(&self, map: &OsdMap) -> OsdStat {
        let mut out = OsdStat::default();
        for (osd, stat) in &self.osds {
            if map.is_in(*osd) {
                add_osd(&mut out, stat);
            }
        }
        out
    }

    /// PGs that map to an OSD: acting, and those it leads.
    pub fn pgs_of(&self, osd: OsdId) -> (u64, u64) {
        let acting = self.pgs.values().filter(|s| s.acting.contains(&osd)).count() as u64;
        let primary = self.pgs.values().filter(|s| s.acting_primary == osd).count() as u64;
        (acting, primary)
    }
}

/// Adds what was done between two reports of a PG.
fn add_work(work: &mut ObjectStatSum, old: &ObjectStatSum, new: &ObjectStatSum) {
    // A new primary's counters may start lower: that is no work undone.
    let more = |f: fn(&ObjectStatSum) -> i64| (f(new) - f(old)).max(0);
    work.num_rd += more(|s| s.num_rd);
    work.num_rd_kb += more(|s| s.num_rd_kb);
    work.num_wr += more(|s| s.num_wr);
    work.num_wr_kb += more(|s| s.num_wr_kb);
    work.num_bytes_recovered += more(|s| s.num_bytes_recovered);
    work.num_objects_recovered += more(|s| s.num_objects_recovered);
    work.num_keys_recovered += more(|s| s.num_keys_recovered);
}

/// Adds a store's numbers.
pub fn add_statfs(sum: &mut StoreStatfs, s: &StoreStatfs) {
    sum.total += s.total;
    sum.available += s.available;
    sum.internally_reserved += s.internally_reserved;
    sum.allocated += s.allocated;
    sum.data_stored += s.data_stored;
    sum.data_compressed += s.data_compressed;
    sum.data_compressed_allocated += s.data_compressed_allocated;
    sum.data_compressed_original += s.data_compressed_original;
    sum.omap_allocated += s.omap_allocated;
    sum.internal_metadata += s.internal_metadata;
}

/// Adds an OSD's numbers.
pub fn add_osd(sum: &mut OsdStat, s: &OsdStat) {
    sum.kb += s.kb;
    sum.kb_used += s.kb_used;
    sum.kb_available += s.kb_available;
    sum.kb_used_data += s.kb_used_data;
    sum.kb_used_omap += s.kb_used_omap;
    sum.kb_used_meta += s.kb_used_meta;
    sum.snap_trim_queue_len += s.snap_trim_queue_len;
    sum.num_snap_trimming += s.num_snap_trimming;
    sum.num_shards_repaired += s.num_shards_repaired;
    sum.num_osds += 1;
    sum.num_per_pool_osds += s.num_per_pool_osds;
    sum.num_per_pool_omap_osds += s.num_per_pool_omap_osds;
    add_statfs(&mut sum.statfs, &s.statfs);
}

fn exists(map: &OsdMap, pg: PgId) -> bool {
    map.pools.get(&pg.pool).is_some_and(|p| pg.seed < p.pg_num)
}

/// Every PG of the map, in order.
pub fn all_pgs(map: &OsdMap) -> impl Iterator<Item = PgId> + '_ {
    map.pools.iter().flat_map(|(id, p)| (0..p.pg_num).map(|seed| PgId::new(*id, seed)))
}
