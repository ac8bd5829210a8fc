//! Snapshots that no PG has a clone of any more: known for ever, and told by epoch to OSDs that
//! missed the maps which said so.
//!
//! Invariants: a function of the maps applied, in order; numbers that removals took count as
//! purged, so that a pool whose snapshots are all gone is one range; a pool that is gone has none.

use std::collections::BTreeMap;

use seabed_cluster::{Epoch, IntervalSet, OsdMap, PoolId, SnapId};
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

/// Ranges in one answer at most: Ceph's bound of a message, 1 MiB.
const RANGES_MAX: usize = (1 << 20) / 16;

/// What one epoch purged.
type ByPool = BTreeMap<PoolId, IntervalSet>;

/// All purged snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgedSnaps {
    pools: ByPool,
    epochs: BTreeMap<Epoch, ByPool>,
}

impl PurgedSnaps {
    /// Takes over what the newest map says.
    pub fn follow(&mut self, map: &OsdMap) {
        self.pools.retain(|id, _| map.pools.contains_key(id));
        for (id, removed) in &map.new_removed_snaps {
            let Some(pool) = map.pools.get(id).filter(|p| p.is_unmanaged_snaps_mode()) else {
                continue;
            };
            // Each removal took the next number of the sequence.
            let count = removed.size().min(pool.snap_seq.0);
            let first = pool.snap_seq.0 - count + 1;
            self.pools.entry(*id).or_default().insert(first, count);
        }
        let news = || map.new_purged_snaps.iter().filter(|(id, _)| map.pools.contains_key(id));
        for (id, snaps) in news() {
            self.pools.entry(*id).or_default().union(snaps);
        }
        let news: ByPool = news().map(|(id, snaps)| (*id, snaps.clone())).collect();
        if !news.is_empty() {
            self.epochs.insert(map.epoch, news);
        }
    }

    /// True if the snapshot is purged.
    pub fn contains(&self, pool: PoolId, snap: SnapId) -> bool {
        self.pools.get(&pool).is_some_and(|set| set.contains(snap.0))
    }

    /// What the epochs from `start` to `last` purged, and up to which epoch that is told: one
    /// answer has its bound.
    pub fn between(&self, start: Epoch, last: Epoch) -> (Epoch, BTreeMap<Epoch, ByPool>) {
        let mut told = BTreeMap::new();
        let mut ranges = 0;
        if start > last {
            return (last, told);
        }
        for (epoch, pools) in self.epochs.range(start..=last) {
            let more: usize = pools.values().map(|set| set.iter().len()).sum();
            if ranges > 0 && ranges + more > RANGES_MAX {
                let until = told.keys().next_back().copied().unwrap_or(start);
                return (until, told);
            }
            ranges += more;
            told.insert(*epoch, pools.clone());
        }
        (last, told)
    }

    /// Joins what epochs before `oldest` purged into one: who asks for any of them is told of all.
    pub fn join_before(&mut self, oldest: Epoch) {
        let kept = self.epochs.split_off(&oldest);
        let old = std::mem::replace(&mut self.epochs, kept);
        let Some(newest) = old.keys().next_back().copied() else { return };
        let mut all = ByPool::new();
        for (id, snaps) in old.into_values().flatten() {
            if self.pools.contains_key(&id) {
                all.entry(id).or_default().union(&snaps);
            }
        }
        if !all.is_empty() {
            self.epochs.insert(newest, all);
        }
    }
}

impl Encode for PurgedSnaps {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.pools.encode(out, features);
        self.epochs.encode(out, features);
    }
}

impl Decode for PurgedSnaps {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(PurgedSnaps { pools: BTreeMap::decode(r)?, epochs: BTreeMap::decode(r)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::osdmap::{Pool, pool_flag};
    use seabed_cluster::{UTime, Uuid};

    fn set(ranges: &[(u64, u64)]) -> IntervalSet {
        let mut set = IntervalSet::new();
        ranges.iter().for_each(|(start, len)| set.insert(*start, *len));
        set
    }

    /// A map of one pool in which `removed` was just removed and `purged` just purged.
    fn map(epoch: u32, seq: u64, removed: &[(u64, u64)], purged: &[(u64, u64)]) -> OsdMap {
        let mut map = OsdMap::empty(Uuid::ZERO, UTime::ZERO);
        map.epoch = Epoch(epoch);
        let mut pool = Pool::new_replicated(3, 2, 0, 8, Epoch(1), UTime::ZERO);
        pool.flags |= pool_flag::SELFMANAGED_SNAPS;
        pool.snap_seq = SnapId(seq);
        map.pools.insert(PoolId(1), pool);
        for (into, ranges) in
            [(&mut map.new_removed_snaps, removed), (&mut map.new_purged_snaps, purged)]
        {
            if !ranges.is_empty() {
                into.insert(PoolId(1), set(ranges));
            }
        }
        map
    }

    #[test]
    fn a_removal_takes_a_number_and_the_range_closes() {
        let mut purged = PurgedSnaps::default();
        // 2, 3, 4 were made; the removal of 3 took 5.
        purged.follow(&map(7, 5, &[(3, 1)], &[]));
        assert!(purged.contains(PoolId(1), SnapId(5)));
        assert!(!purged.contains(PoolId(1), SnapId(3)));
        assert_eq!(purged.between(Epoch(1), Epoch(9)), (Epoch(9), BTreeMap::new()));
        purged.follow(&map(8, 7, &[(2, 1), (4, 1)], &[(3, 1)]));
        purged.follow(&map(9, 7, &[], &[(2, 1), (4, 1)]));
        assert_eq!(purged.pools[&PoolId(1)], set(&[(2, 6)]));
        let (last, told) = purged.between(Epoch(9), Epoch(20));
        assert_eq!(last, Epoch(20));
        assert_eq!(told, [(Epoch(9), [(PoolId(1), set(&[(2, 1), (4, 1)]))].into())].into());
    }

    #[test]
    fn old_epochs_join_and_pools_go() {
        let mut purged = PurgedSnaps::default();
        for n in 1..6u32 {
            purged.follow(&map(n, 20, &[], &[(u64::from(n) * 2, 1)]));
        }
        purged.join_before(Epoch(4));
        let epochs: Vec<u32> = purged.epochs.keys().map(|e| e.0).collect();
        assert_eq!(epochs, [3, 4, 5]);
        assert_eq!(purged.epochs[&Epoch(3)][&PoolId(1)], set(&[(2, 1), (4, 1), (6, 1)]));
        // Who knows all up to 1 is told of all joined.
        let (_, told) = purged.between(Epoch(2), Epoch(3));
        assert_eq!(told[&Epoch(3)][&PoolId(1)].size(), 3);
        let again = PurgedSnaps::from_bytes(purged.to_bytes(0)).unwrap();
        assert_eq!(again, purged);
        let mut gone = map(9, 20, &[], &[]);
        gone.pools.clear();
        purged.follow(&gone);
        purged.join_before(Epoch(10));
        assert_eq!(purged, PurgedSnaps::default());
    }

    #[test]
    fn an_answer_has_its_bound() {
        let mut purged = PurgedSnaps::default();
        let many: Vec<(u64, u64)> = (1..=40_000).map(|n| (n * 2, 1)).collect();
        for n in 1..4 {
            purged.follow(&map(n, 100_000, &[], &many));
        }
        let (last, told) = purged.between(Epoch(1), Epoch(9));
        assert_eq!((last, told.len()), (Epoch(1), 1));
        let (last, told) = purged.between(Epoch(3), Epoch(9));
        assert_eq!((last, told.len()), (Epoch(9), 1));
        assert!(purged.between(Epoch(9), Epoch(1)).1.is_empty());
    }
}
