//! What must hold of a copy at rest, from what lies on its disk: objects are what their infos say,
//! clones are those of their head's snapset and share with the next newer one what it says they
//! share, the snap mapper names exactly the snapshots that clones serve, and the PG's statistics
//! are those of a recount.
//!
//! It reads everything, and is for tests and for people who look for damage.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{
    Collection, GhObject, HObject, ObjectInfo, ObjectStatSum, SnapId, SnapSet, SpgId, object_flag,
};
use seabed_denc::Decode;
use seabed_storage::ObjectStore;

use crate::snap::{Mapping, all_mappings};
use crate::{Step, disk};

/// One object as it lies there.
struct Found {
    info: ObjectInfo,
    /// Of a head.
    snapset: SnapSet,
}

/// Reads a PG's copy and tells the first thing that is wrong with it.
pub fn audit(store: &dyn ObjectStore, id: SpgId) -> Step<Result<(), String>> {
    let (coll, meta) = (Collection::Pg(id), GhObject::pg_meta(id));
    let Some(stored) = disk::load(store, id)? else { return Ok(Err("there is no PG".into())) };
    let all = store.list(&coll, &GhObject::min(), &GhObject::max(), usize::MAX)?.0;
    let mut found = BTreeMap::new();
    for object in all.into_iter().filter(|o| !o.is_pg_meta()) {
        match read(store, &coll, &object)? {
            Ok(one) => found.insert(object.hobj, one),
            Err(why) => return Ok(Err(format!("{:?}: {why}", object.hobj))),
        };
    }
    for (object, one) in &found {
        let checked = match object.is_head() {
            true => check_head(store, &coll, object, one, &found)?,
            false => check_clone(object, &found),
        };
        if let Err(why) = checked {
            return Ok(Err(format!("{object:?}: {why}")));
        }
    }
    let served: BTreeSet<Mapping> = served(&found);
    let (by_snap, by_clone) = all_mappings(store, &coll, &meta)?;
    for (what, mapped) in [("by snapshot", by_snap), ("by clone", by_clone)] {
        if let Some(one) = mapped.symmetric_difference(&served).next() {
            let has = if mapped.contains(one) { "has" } else { "lacks" };
            return Ok(Err(format!("the snap mapper, {what}, {has} {one:?}")));
        }
    }
    let (kept, counted) = (relevant(&stored.info.stats.stats.sum), recount(&found));
    if kept != counted {
        return Ok(Err(format!("the statistics are {kept:?}, a recount gives {counted:?}")));
    }
    Ok(Ok(()))
}

fn read(
    store: &dyn ObjectStore,
    coll: &Collection,
    object: &GhObject,
) -> Step<Result<Found, String>> {
    let attrs = store.get_attrs(coll, object)?;
    let Some(info) = attrs.get(&b"_"[..]) else { return Ok(Err("it has no info".into())) };
    let info = match ObjectInfo::from_bytes(info.clone()) {
        Ok(info) => info,
        Err(error) => return Ok(Err(format!("its info: {error}"))),
    };
    let snapset = match attrs.get(&b"snapset"[..]).map(|b| SnapSet::from_bytes(b.clone())) {
        Some(Ok(snapset)) => snapset,
        Some(Err(error)) => return Ok(Err(format!("its snapset: {error}"))),
        None if object.hobj.is_head() => return Ok(Err("it has no snapset".into())),
        None => SnapSet::default(),
    };
    let size = store.stat(coll, object)?.size;
    if info.soid != object.hobj {
        return Ok(Err(format!("its info is of {:?}", info.soid)));
    }
    if info.size != size {
        return Ok(Err(format!("its info says {} bytes, there are {size}", info.size)));
    }
    Ok(Ok(Found { info, snapset }))
}

/// The snapset of a head against the clones.
fn check_head(
    store: &dyn ObjectStore,
    coll: &Collection,
    head: &HObject,
    found: &Found,
    all: &BTreeMap<HObject, Found>,
) -> Step<Result<(), String>> {
    let set = &found.snapset;
    if found.info.is_whiteout() && set.clones.is_empty() {
        return Ok(Err("it is a whiteout without clones".into()));
    }
    if !set.clones.is_sorted_by(|a, b| a < b) || set.clones.last().is_some_and(|c| *c > set.seq) {
        return Ok(Err(format!("its clones do not ascend to its newest snapshot: {set:?}")));
    }
    let named = [set.clone_overlap.len(), set.clone_size.len(), set.clone_snaps.len()];
    if named != [set.clones.len(); 3] {
        return Ok(Err(format!("its snapset names other clones here than there: {set:?}")));
    }
    let mut older = SnapId(0);
    for (i, id) in set.clones.iter().enumerate() {
        let clone = head.with_snap(*id);
        let Some(one) = all.get(&clone) else { return Ok(Err(format!("clone {id:?} is away"))) };
        let parts = (set.clone_overlap.get(id), set.clone_size.get(id), set.clone_snaps.get(id));
        let (Some(shared), Some(size), Some(snaps)) = parts else {
            return Ok(Err(format!("its snapset lacks parts of clone {id:?}")));
        };
        if *size != one.info.size {
            return Ok(Err(format!("clone {id:?} has {} bytes, not {size}", one.info.size)));
        }
        let within = |s: &SnapId| *s > older && *s <= *id;
        if snaps.is_empty() || !snaps.iter().all(within) || !snaps.is_sorted_by(|a, b| a > b) {
            return Ok(Err(format!("clone {id:?} serves {snaps:?}")));
        }
        older = *id;
        let newer = set.clones.get(i + 1).map_or_else(|| head.clone(), |n| head.with_snap(*n));
        let gh = |o: &HObject| GhObject::from(o.clone());
        let room = all.get(&newer).map_or(0, |n| n.info.size).min(*size);
        for (offset, length) in shared.iter() {
            if offset + length > room {
                return Ok(Err(format!("clone {id:?} shares {offset}~{length} of {room}")));
            }
            let of = |o: &HObject| store.read(coll, &gh(o), offset, length);
            if of(&clone)? != of(&newer)? {
                return Ok(Err(format!("clone {id:?} differs at {offset}~{length}, shared")));
            }
        }
    }
    Ok(Ok(()))
}

/// A clone is its head's.
fn check_clone(clone: &HObject, all: &BTreeMap<HObject, Found>) -> Result<(), String> {
    match all.get(&clone.head()) {
        Some(head) if head.snapset.clones.contains(&clone.snap) => Ok(()),
        Some(_) => Err("its head does not know it".into()),
        None => Err("it has no head".into()),
    }
}

/// The snapshots that clones serve, by their snapsets.
fn served(all: &BTreeMap<HObject, Found>) -> BTreeSet<Mapping> {
    let heads = all.iter().filter(|(object, _)| object.is_head());
    let of_head = |(head, found): (&HObject, &Found)| {
        let clones = found.snapset.clone_snaps.iter();
        let all = clones.flat_map(|(id, snaps)| snaps.iter().map(move |s| (*id, *s)));
        all.map(|(id, snap)| (head.with_snap(id), snap)).collect::<Vec<_>>()
    };
    heads.flat_map(of_head).collect()
}

/// The counters that follow from what lies there.
fn relevant(sum: &ObjectStatSum) -> ObjectStatSum {
    ObjectStatSum {
        num_bytes: sum.num_bytes,
        num_objects: sum.num_objects,
        num_object_clones: sum.num_object_clones,
        num_objects_dirty: sum.num_objects_dirty,
        num_objects_omap: sum.num_objects_omap,
        num_whiteouts: sum.num_whiteouts,
        ..ObjectStatSum::default()
    }
}

fn recount(all: &BTreeMap<HObject, Found>) -> ObjectStatSum {
    let mut sum = ObjectStatSum::default();
    for (object, Found { info, snapset }) in all {
        let is = |flag| i64::from(info.has(flag));
        sum.num_objects += 1;
        sum.num_objects_dirty += is(object_flag::DIRTY);
        sum.num_objects_omap += is(object_flag::OMAP);
        sum.num_whiteouts += is(object_flag::WHITEOUT);
        let bytes = if object.is_head() {
            let clones: u64 = snapset.clones.iter().map(|id| snapset.clone_bytes(*id)).sum();
            info.size + clones
        } else {
            sum.num_object_clones += 1;
            0
        };
        sum.num_bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }
    sum
}
