//! Snapshots of pools: numbers given out, removals queued, and those forgotten that are trimmed.
//!
//! A pool's snapshots are either all named, of the whole pool, or all numbered, each client's own
//! affair ("self-managed"); the first one decides. A removal itself takes a number, so that the
//! snap sequence tells clients of it.

use std::collections::BTreeMap;

use seabed_cluster::osdmap::{Pool, pool_flag};
use seabed_cluster::{Errno, IntervalSet, OsdMap, PgId, PoolId, PoolSnapInfo, SnapId};

use super::pool::change;
use crate::command::Refusal;
use crate::draft::Draft;
use crate::purged::PurgedSnaps;
use crate::service::stats::PgMap;

fn pool(map: &OsdMap, id: PoolId) -> Result<&Pool, Refusal> {
    map.pools.get(&id).ok_or_else(|| Refusal::not_found("no such pool"))
}

fn need_named(map: &OsdMap, id: PoolId) -> Result<&Pool, Refusal> {
    let p = pool(map, id)?;
    if p.is_unmanaged_snaps_mode() {
        let name = map.pool_names.get(&id).map_or("", String::as_str);
        return Err(Refusal::invalid(format!("pool {name} is in unmanaged snaps mode")));
    }
    Ok(p)
}

fn need_numbered(map: &OsdMap, id: PoolId) -> Result<&Pool, Refusal> {
    let p = pool(map, id)?;
    if p.is_pool_snaps_mode() {
        return Err(Refusal::invalid("the pool has named snapshots"));
    }
    Ok(p)
}

/// The change of a pool whose snapshots changed.
fn next_seq(p: &mut Pool, epoch: seabed_cluster::Epoch) -> SnapId {
    p.snap_seq = SnapId(p.snap_seq.0 + 1);
    p.snap_epoch = epoch;
    p.snap_seq
}

fn queue_removal(draft: &mut Draft, id: PoolId, snap: SnapId) {
    draft.inc().new_removed_snaps.entry(id).or_default().insert(snap.0, 1);
}

/// Makes a named snapshot. False: it exists.
pub fn create_named(draft: &mut Draft, id: PoolId, name: &str) -> Result<bool, Refusal> {
    let map = draft.map_arc();
    if need_named(&map, id)?.snaps.values().any(|s| s.name == name) {
        return Ok(false);
    }
    let (stamp, epoch) = (draft.now().wall, draft.epoch());
    change(draft, id, |p| {
        p.flags |= pool_flag::POOL_SNAPS;
        let snapid = next_seq(p, epoch);
        p.snaps.insert(snapid, PoolSnapInfo { snapid, stamp, name: name.to_string() });
    });
    Ok(true)
}

/// Removes a named snapshot. False: there is none of that name.
pub fn remove_named(draft: &mut Draft, id: PoolId, name: &str) -> Result<bool, Refusal> {
    let map = draft.map_arc();
    let snaps = &need_named(&map, id)?.snaps;
    let Some(snap) = snaps.values().find(|s| s.name == name).map(|s| s.snapid) else {
        return Ok(false);
    };
    let epoch = draft.epoch();
    change(draft, id, |p| {
        p.snaps.remove(&snap);
        next_seq(p, epoch);
    });
    queue_removal(draft, id, snap);
    Ok(true)
}

/// Gives out a number. The first is 2, as Ceph counts.
pub fn create_numbered(draft: &mut Draft, id: PoolId) -> Result<SnapId, Refusal> {
    let map = draft.map_arc();
    let first = need_numbered(&map, id)?.snap_seq.0.max(1);
    let epoch = draft.epoch();
    change(draft, id, |p| {
        p.flags |= pool_flag::SELFMANAGED_SNAPS;
        p.snap_seq = SnapId(first);
        next_seq(p, epoch);
    });
    Ok(SnapId(first + 1))
}

/// Removes a numbered snapshot; one that is removed already stays so.
pub fn remove_numbered(
    draft: &mut Draft,
    purged: &PurgedSnaps,
    id: PoolId,
    snap: SnapId,
) -> Result<(), Refusal> {
    let map = draft.map_arc();
    let p = need_numbered(&map, id)?;
    let queued = map.removed_snaps_queue.get(&id).is_some_and(|q| q.contains(snap.0));
    if queued || purged.contains(id, snap) {
        return Ok(());
    }
    if !p.is_unmanaged_snaps_mode() {
        return Err(Refusal::new(Errno::EOPNOTSUPP, "the pool has no self-managed snapshots"));
    }
    if snap > p.snap_seq {
        return Err(Refusal::not_found("no such snapshot"));
    }
    let epoch = draft.epoch();
    change(draft, id, |p| {
        next_seq(p, epoch);
    });
    queue_removal(draft, id, snap);
    Ok(())
}

/// Of the snapshots being removed those of which no PG has a clone left, at most `max`.
pub fn trimmed(map: &OsdMap, stats: &PgMap, max: u64) -> BTreeMap<PoolId, IntervalSet> {
    let mut out = BTreeMap::new();
    let mut room = max;
    for (id, queue) in &map.removed_snaps_queue {
        let Some(pool) = map.pools.get(id) else { continue };
        let mut done = queue.clone();
        for seed in 0..pool.pg_num {
            match stats.pgs.get(&PgId::new(*id, seed)) {
                Some(stat) if stat.state() != 0 => done.intersect(&stat.purged_snaps),
                _ => done = IntervalSet::new(),
            }
            if done.is_empty() {
                break;
            }
        }
        let mut taken = IntervalSet::new();
        for (start, len) in done.iter() {
            let len = len.min(room);
            taken.insert(start, len);
            room -= len;
        }
        if !taken.is_empty() {
            out.insert(*id, taken);
        }
    }
    out
}
