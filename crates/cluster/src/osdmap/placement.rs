//! From an object's name to its PG, and from a PG to its OSDs.
//!
//! Invariants: the result depends on the map alone and equals Ceph's, PG by PG; malformed maps
//! (targets that do not exist, rules that are missing) give shorter or empty sets, never a panic.

use seabed_crush::{Workspace, hash};

use super::map::{Mapping, OsdMap};
use super::{Pool, pool_flag};
use crate::pgid::stable_mod;
use crate::{ObjectLocator, OsdId, PgId};

/// Every OSD is fully willing to lead.
const FULL: u32 = 0x1_0000;

/// Working memory for mapping many PGs.
#[derive(Debug, Default)]
pub struct Scratch {
    crush: Workspace,
    raw: Vec<i32>,
}

fn first(osds: &[OsdId]) -> Option<OsdId> {
    osds.iter().copied().find(|&o| o != OsdId::NONE)
}

impl OsdMap {
    /// The raw PG of an object: the pool and the object's whole hash. `None` if there is no such
    /// pool.
    pub fn object_pg(&self, loc: &ObjectLocator, name: &[u8]) -> Option<PgId> {
        let pool = self.pools.get(&loc.pool)?;
        let seed = match u32::try_from(loc.hash) {
            Ok(hash) => hash,
            // 64 bits on the wire, 32 of them used.
            Err(_) if loc.hash >= 0 => loc.hash as u32,
            Err(_) => {
                let key = if loc.key.is_empty() { name } else { &loc.key };
                pool.hash(&loc.namespace, key)
            }
        };
        Some(PgId { pool: loc.pool, seed })
    }

    /// The PG that a raw PG falls into. `None` if there is no such pool.
    pub fn raw_to_pg(&self, raw: PgId) -> Option<PgId> {
        let pool = self.pools.get(&raw.pool)?;
        Some(PgId { pool: raw.pool, seed: stable_mod(raw.seed, pool.pg_num.max(1)) })
    }

    /// Where a PG is; raw PGs are taken as well. Nowhere, if there is no such pool.
    pub fn map_pg(&self, pg: PgId) -> Mapping {
        self.map_pg_with(pg, &mut Scratch::default())
    }

    /// As [`OsdMap::map_pg`], with working memory that is used again.
    pub fn map_pg_with(&self, pg: PgId, scratch: &mut Scratch) -> Mapping {
        let Some(pool) = self.pools.get(&pg.pool) else { return Mapping::default() };
        let (mut up, pps) = self.raw_osds(pool, pg, scratch);
        let pg = PgId { pool: pg.pool, seed: stable_mod(pg.seed, pool.pg_num.max(1)) };
        self.apply_upmap(pg, &mut up);
        self.drop_where(pool, &mut up, |osd| !self.is_up(osd));
        let mut up_primary = first(&up);
        self.apply_affinity(pps, pool, &mut up, &mut up_primary);
        let (temp, temp_primary) = self.temp_osds(pool, pg);
        let (acting, acting_primary) = if temp.is_empty() {
            (up.clone(), temp_primary.or(up_primary))
        } else {
            (temp, temp_primary)
        };
        Mapping { up, up_primary, acting, acting_primary }
    }

    /// What CRUSH says, less what does not exist; before upmap.
    pub fn map_pg_raw(&self, pg: PgId, scratch: &mut Scratch) -> Vec<OsdId> {
        match self.pools.get(&pg.pool) {
            Some(pool) => self.raw_osds(pool, pg, scratch).0,
            None => Vec::new(),
        }
    }

    fn raw_osds(&self, pool: &Pool, pg: PgId, scratch: &mut Scratch) -> (Vec<OsdId>, u32) {
        let pps = pool.placement_seed(pg);
        let size = usize::try_from(pool.size).unwrap_or(0);
        scratch.raw.clear();
        if let (Some(rule), true) = (self.find_rule(pool), size > 0) {
            let args = self.crush.choose_args_for(pg.pool.0);
            let Scratch { crush, raw } = scratch;
            self.crush.do_rule_in(crush, rule, pps, size, &self.osd_weight, args, raw);
        }
        let mut osds: Vec<OsdId> = scratch.raw.iter().map(|&id| OsdId(id)).collect();
        self.drop_where(pool, &mut osds, |osd| !self.exists(osd));
        (osds, pps)
    }

    /// The rule whose mask fits the pool.
    pub(super) fn find_rule(&self, pool: &Pool) -> Option<u32> {
        let wanted = u32::try_from(pool.crush_rule).ok()?;
        let fits = |id: u32| {
            self.crush.rule(id).is_some_and(|r| {
                u32::from(r.ruleset) == wanted
                    && r.kind == pool.kind as u8
                    && u32::from(r.min_size) <= pool.size
                    && pool.size <= u32::from(r.max_size)
            })
        };
        (0..u32::try_from(self.crush.rules.len()).unwrap_or(0)).find(|&id| fits(id))
    }

    /// Takes OSDs out: copies move up, shards leave a gap.
    fn drop_where(&self, pool: &Pool, osds: &mut Vec<OsdId>, gone: impl Fn(OsdId) -> bool) {
        if pool.can_shift_osds() {
            osds.retain(|&osd| !gone(osd));
        } else {
            osds.iter_mut().filter(|osd| gone(**osd)).for_each(|osd| *osd = OsdId::NONE);
        }
    }

    /// True for an OSD that may exist and is out.
    fn is_forbidden(&self, osd: OsdId) -> bool {
        osd != OsdId::NONE && osd.0 >= 0 && osd.0 < self.max_osd && self.weight(osd) == 0
    }

    fn apply_upmap(&self, pg: PgId, raw: &mut Vec<OsdId>) {
        if let Some(osds) = self.pg_upmap.get(&pg) {
            if osds.iter().any(|&osd| self.is_forbidden(osd)) {
                return;
            }
            raw.clone_from(osds);
        }
        for &(from, to) in self.pg_upmap_items.get(&pg).into_iter().flatten() {
            if raw.contains(&to) || self.is_forbidden(to) {
                continue;
            }
            if let Some(slot) = raw.iter_mut().find(|osd| **osd == from) {
                *slot = to;
            }
        }
        if let Some(&primary) = self.pg_upmap_primaries.get(&pg)
            && primary.0 >= 0
            && primary.0 < self.max_osd
            && self.weight(primary) != 0
            && let Some(at) = raw.iter().position(|&osd| osd == primary)
        {
            raw.swap(0, at);
        }
    }

    fn apply_affinity(
        &self,
        pps: u32,
        pool: &Pool,
        osds: &mut [OsdId],
        primary: &mut Option<OsdId>,
    ) {
        if self.primary_affinity.is_none() {
            return;
        }
        let members = || osds.iter().copied().enumerate().filter(|&(_, o)| o != OsdId::NONE);
        if members().all(|(_, osd)| self.affinity(osd) == FULL) {
            return;
        }
        let willing = |osd: OsdId| {
            let affinity = self.affinity(osd);
            // The hash takes the number's bits, whatever its sign.
            affinity >= FULL || hash::hash2(pps, osd.0 as u32) >> 16 < affinity
        };
        let chosen = members().find(|&(_, osd)| willing(osd)).or_else(|| members().next());
        let Some((at, osd)) = chosen else { return };
        *primary = Some(osd);
        if pool.can_shift_osds() {
            osds[..=at].rotate_right(1);
        }
    }

    fn temp_osds(&self, pool: &Pool, pg: PgId) -> (Vec<OsdId>, Option<OsdId>) {
        let mut osds = self.pg_temp.get(&pg).cloned().unwrap_or_default();
        self.drop_where(pool, &mut osds, |osd| !self.is_up(osd));
        let primary = self.primary_temp.get(&pg).copied();
        let primary = primary.or_else(|| first(&osds));
        (osds, primary)
    }
}

impl Pool {
    /// The input of CRUSH for a PG: PGs of different pools do not fall together.
    pub fn placement_seed(&self, pg: PgId) -> u32 {
        let seed = stable_mod(pg.seed, self.pgp_num.max(1));
        // Pool ids are small; Ceph takes the low 32 bits as well.
        let pool = pg.pool.0 as u32;
        if self.has_flag(pool_flag::HASHPSPOOL) {
            hash::hash2(seed, pool)
        } else {
            seed.wrapping_add(pool)
        }
    }
}
