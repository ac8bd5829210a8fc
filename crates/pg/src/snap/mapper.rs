//! The mapper of one PG: from a snapshot to the clones that serve it, and from a clone to its
//! snapshots.
//!
//! It follows the log: an entry of a clone says which snapshots the clone serves from then on. A
//! clone that arrives by recovery brings them in the snapset of its head.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use seabed_cluster::{Collection, GhObject, HObject, PgLogEntry, SnapId, SnapSet};
use seabed_denc::{Bytes, Decode, DecodeError};
use seabed_storage::{ObjectStore, StoreError, Transaction};

use super::keys;
use crate::{Env, Level, Pg, Step};

/// Keys read at once when all are.
const PAGE: usize = 1000;

fn corrupt(source: DecodeError) -> StoreError {
    StoreError::Corrupt { what: "snap mapper", source }
}

/// A clone, and a snapshot that it serves.
pub(crate) type Mapping = (HObject, SnapId);

/// Everything that the mapper of a PG says, in both directions: by snapshot, and by clone.
pub(crate) fn all_mappings(
    store: &dyn ObjectStore,
    coll: &Collection,
    meta: &GhObject,
) -> Step<(BTreeSet<Mapping>, BTreeSet<Mapping>)> {
    let (mut by_snap, mut by_clone) = (BTreeSet::new(), BTreeSet::new());
    let mut from = Bound::Included(Bytes::from_static(keys::KEYS_BEGIN));
    loop {
        let (page, more) = store.omap_range(coll, meta, from.as_ref().map(|k| &k[..]), PAGE)?;
        let last = page.last().map(|(key, _)| key.clone());
        for (key, value) in page.into_iter().filter(|(key, _)| keys::is_mapper_key(key)) {
            if keys::is_object_key(&key) {
                let (clone, snaps) = keys::read_object(value).map_err(corrupt)?;
                by_clone.extend(snaps.into_iter().map(|snap| (clone.clone(), snap)));
            } else {
                let (snap, clone) = keys::read_mapping(value).map_err(corrupt)?;
                by_snap.insert((clone, snap));
            }
        }
        match last.filter(|_| more) {
            Some(last) => from = Bound::Excluded(last),
            None => return Ok((by_snap, by_clone)),
        }
    }
}

impl Pg {
    /// Follows `entries`, whose changes of objects are in `tx`.
    pub(crate) fn map_entries(
        &self,
        env: &mut Env<'_>,
        tx: &mut Transaction,
        entries: &[PgLogEntry],
    ) -> Step {
        for entry in entries.iter().filter(|e| !e.soid.is_head() && !e.is_error()) {
            if entry.is_delete() {
                #[cfg(feature = "planted-bugs")]
                if env.config.planted == Some(crate::PlantedBug::MappingKept) {
                    continue;
                }
                self.unmap_clone(env, tx, &entry.soid)?;
                continue;
            }
            let snaps = entry.snap_ids().unwrap_or_else(|error| {
                let text = format_args!("snaps of entry {}: {error}", entry.version);
                self.log_line(env, Level::Error, text);
                Vec::new()
            });
            self.map_clone(env.store, tx, &entry.soid, &snaps.into_iter().collect())?;
        }
        Ok(())
    }

    /// The clone serves exactly these snapshots.
    pub(crate) fn map_clone(
        &self,
        store: &dyn ObjectStore,
        tx: &mut Transaction,
        clone: &HObject,
        snaps: &BTreeSet<SnapId>,
    ) -> Step {
        let old = self.snaps_of(store, clone)?;
        if old == *snaps {
            return Ok(());
        }
        let mut gone: Vec<Bytes> =
            old.difference(snaps).map(|s| keys::mapping_key(*s, clone)).collect();
        let mut set: BTreeMap<Bytes, Bytes> = snaps
            .difference(&old)
            .map(|s| (keys::mapping_key(*s, clone), keys::mapping_value(*s, clone)))
            .collect();
        if snaps.is_empty() {
            gone.push(keys::object_key(clone));
        } else {
            set.insert(keys::object_key(clone), keys::object_value(clone, snaps));
        }
        if !gone.is_empty() {
            tx.omap_rm(&self.coll, &self.meta, gone);
        }
        if !set.is_empty() {
            tx.omap_set(&self.coll, &self.meta, set);
        }
        Ok(())
    }

    /// An object goes; nothing to do unless it is a clone.
    pub(crate) fn unmap_clone(
        &self,
        env: &Env<'_>,
        tx: &mut Transaction,
        object: &HObject,
    ) -> Step {
        if object.is_head() {
            return Ok(());
        }
        self.map_clone(env.store, tx, object, &BTreeSet::new())
    }

    /// A clone arrived whole; `snapset` is its head's.
    pub(crate) fn map_arrived(
        &self,
        env: &mut Env<'_>,
        tx: &mut Transaction,
        clone: &HObject,
        snapset: &SnapSet,
    ) -> Step {
        let Some(snaps) = snapset.clone_snaps.get(&clone.snap) else {
            let text = format_args!("clone {clone:?} is not in its head's snapset");
            self.log_line(env, Level::Error, text);
            return self.unmap_clone(env, tx, clone);
        };
        self.map_clone(env.store, tx, clone, &snaps.iter().copied().collect())
    }

    /// The snapshots that a clone here serves.
    pub(super) fn snaps_of(
        &self,
        store: &dyn ObjectStore,
        clone: &HObject,
    ) -> Step<BTreeSet<SnapId>> {
        let key = keys::object_key(clone);
        let mut found = store.omap_get(&self.coll, &self.meta, std::slice::from_ref(&key))?;
        match found.remove(&key) {
            Some(value) => Ok(keys::read_object(value).map_err(corrupt)?.1),
            None => Ok(BTreeSet::new()),
        }
    }

    /// The first snapshot from `from` on for which there are clones, and at most `max` of them.
    pub(super) fn next_mapped(
        &self,
        store: &dyn ObjectStore,
        from: SnapId,
        max: usize,
    ) -> Step<Option<(SnapId, Vec<HObject>)>> {
        let pool = self.id.pg.pool;
        let (start, all) = (keys::snap_prefix(pool, from), keys::pool_prefix(pool));
        let start = Bound::Included(start.as_bytes());
        let (page, _) = store.omap_range(&self.coll, &self.meta, start, max)?;
        let mut found: Option<(SnapId, Vec<HObject>)> = None;
        for (key, value) in page {
            if !key.starts_with(all.as_bytes()) {
                break;
            }
            let (snap, clone) = keys::read_mapping(value).map_err(corrupt)?;
            let (first, clones) = found.get_or_insert_with(|| (snap, Vec::new()));
            if *first != snap {
                break;
            }
            clones.push(clone);
        }
        Ok(found)
    }

    /// The snapset of a head as it lies here.
    pub(crate) fn snapset_here(&self, env: &Env<'_>, head: &HObject) -> Step<Option<SnapSet>> {
        match env.store.get_attr(&self.coll, &self.gh(head), b"snapset") {
            Ok(bytes) => SnapSet::from_bytes(bytes).map(Some).map_err(corrupt),
            Err(StoreError::NoAttribute) => Ok(None),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }
}
