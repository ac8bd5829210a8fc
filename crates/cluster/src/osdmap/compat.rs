//! What a map demands of those who use it.

use seabed_crush::{Bucket, CrushMap, DEFAULT_CHOOSE_ARGS, Tunables};

use super::{OsdMap, Pool};
use crate::features::{
    CRUSH_TUNABLES, CRUSH_TUNABLES2, CRUSH_TUNABLES3, CRUSH_TUNABLES5, CRUSH_V2, CRUSH_V4,
    OSD_CACHEPOOL, OSDHASHPSPOOL, SERVER_LUMINOUS, has,
};

const FULL_AFFINITY: u32 = 0x1_0000;
const ARGONAUT: u8 = 1;
const DUMPLING: u8 = 4;
const FIREFLY: u8 = 6;
const HAMMER: u8 = 8;
const JEWEL: u8 = 10;
const LUMINOUS: u8 = 12;

/// Weight-sets that a client without choose_args cannot ignore.
fn has_incompatible_choose_args(crush: &CrushMap) -> bool {
    let mut sets = crush.choose_args.iter();
    match (sets.next(), sets.next()) {
        (None, _) => false,
        (Some((DEFAULT_CHOOSE_ARGS, args)), None) => args.values().any(|arg| {
            let empty = arg.weight_sets.is_empty() && arg.ids.is_empty();
            !empty && (arg.weight_sets.len() != 1 || !arg.ids.is_empty())
        }),
        _ => true,
    }
}

fn crush_features(crush: &CrushMap) -> u64 {
    let t = &crush.tunables;
    let old = &Tunables::ARGONAUT;
    let mut features = 0;
    let tries =
        |t: &Tunables| (t.choose_local_tries, t.choose_local_fallback_tries, t.choose_total_tries);
    if tries(t) != tries(old) {
        features |= CRUSH_TUNABLES;
    }
    if t.chooseleaf_descend_once != 0 {
        features |= CRUSH_TUNABLES2;
    }
    if t.chooseleaf_vary_r != 0 {
        features |= CRUSH_TUNABLES3;
    }
    if t.chooseleaf_stable != 0 {
        features |= CRUSH_TUNABLES5;
    }
    let straw2 = |b: &Bucket| b.alg() == seabed_crush::BucketAlg::Straw2;
    if crush.iter_buckets().any(straw2) {
        features |= CRUSH_V4;
    }
    if has_incompatible_choose_args(crush) {
        features |= SERVER_LUMINOUS;
    }
    features
}

fn rule_features(crush: &CrushMap, rule: u32) -> u64 {
    let mut features = 0;
    for step in crush.rule(rule).map(|r| &r.steps[..]).unwrap_or_default() {
        features |= match step.to_wire().0 {
            // choose indep, chooseleaf indep, set_choose_tries, set_chooseleaf_tries
            3 | 7 | 8 | 9 => CRUSH_V2,
            // set_chooseleaf_vary_r
            12 => CRUSH_TUNABLES3,
            // set_chooseleaf_stable
            13 => CRUSH_TUNABLES5,
            _ => 0,
        };
    }
    features
}

impl OsdMap {
    /// Features a client needs to place objects by this map.
    pub fn required_features(&self) -> u64 {
        let mut features = crush_features(&self.crush);
        for pool in self.pools.values() {
            features |= self.pool_features(pool);
        }
        let affinity = |all: &Vec<u32>| all.iter().any(|&a| a != FULL_AFFINITY);
        if self.primary_affinity.as_ref().is_some_and(affinity) {
            // The same bit as primary affinity.
            features |= CRUSH_TUNABLES3;
        }
        if !self.pg_upmap.is_empty() || !self.pg_upmap_items.is_empty() {
            features |= SERVER_LUMINOUS;
        }
        features
    }

    fn pool_features(&self, pool: &Pool) -> u64 {
        let mut features = 0;
        if pool.has_flag(super::pool_flag::HASHPSPOOL) {
            features |= OSDHASHPSPOOL;
        }
        if !pool.tiers.is_empty() || pool.tier_of.0 >= 0 {
            features |= OSD_CACHEPOOL;
        }
        if let Some(rule) = self.find_rule(pool) {
            features |= rule_features(&self.crush, rule);
        }
        features
    }

    /// The oldest release whose clients understand this map.
    pub fn min_compat_client(&self) -> u8 {
        let f = self.required_features();
        // Luminous' bits come in pairs, one of which other features have as well.
        if has(f, SERVER_LUMINOUS) {
            LUMINOUS
        } else if has(f, CRUSH_TUNABLES5) {
            JEWEL
        } else if has(f, CRUSH_V4) {
            HAMMER
        } else if f & (CRUSH_TUNABLES3 | OSD_CACHEPOOL) != 0 {
            FIREFLY
        } else if f & (CRUSH_TUNABLES2 | OSDHASHPSPOOL) != 0 {
            DUMPLING
        } else {
            ARGONAUT
        }
    }
}
