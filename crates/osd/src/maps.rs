//! The OSD's maps: every epoch it has seen, on disk, and the newest ones in memory.
//!
//! Invariants: the epochs on disk are `oldest..=newest` of the superblock without a hole; map and
//! superblock of an epoch reach the disk before anything that relies on them, because
//! transactions become durable in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use seabed_cluster::{
    Collection, Epoch, GhObject, HObject, Incremental, MapError, OsdMap, OsdSuperblock, PoolId,
    SnapId, UTime,
};
use seabed_denc::{Bytes, Decode, Encode};
use seabed_messages::MOsdMap;
use seabed_storage::{ObjectStore, StoreError, Transaction};

use seabed_pg::Step;

use crate::{WIRE, purged};

/// Decoded maps kept in memory.
const CACHED: usize = 64;

/// The maps of an OSD.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) superblock: OsdSuperblock,
    cache: BTreeMap<Epoch, Arc<OsdMap>>,
}

/// What a message of maps brought.
#[derive(Debug)]
pub(crate) enum Learned {
    /// Nothing new.
    Nothing,
    /// These epochs, in order; the first may follow a gap.
    Epochs(Vec<Arc<OsdMap>>),
    /// Maps between ours and the first are missing: ask for them.
    AskAgain,
    /// A change could not be followed: full maps are wanted from here on.
    AskFull(Epoch),
    /// The message is broken.
    Bad(MapError),
}

/// A named object of the OSD itself.
pub(crate) fn meta(name: String) -> GhObject {
    let none = Bytes::new();
    HObject::new(PoolId(-1), none.clone(), none, Bytes::from(name), SnapId(0)).into()
}

fn superblock() -> GhObject {
    meta("osd_superblock".into())
}

fn full(epoch: Epoch) -> GhObject {
    meta(format!("osdmap.{}", epoch.0))
}

fn incremental(epoch: Epoch) -> GhObject {
    meta(format!("inc_osdmap.{}", epoch.0))
}

fn replace(tx: &mut Transaction, object: &GhObject, data: Bytes) {
    tx.touch(&Collection::Meta, object);
    tx.truncate(&Collection::Meta, object, data.len() as u64);
    tx.write(&Collection::Meta, object, 0, data);
}

/// The transaction that makes an empty store one of an OSD.
pub(crate) fn mkfs(block: &OsdSuperblock) -> Transaction {
    let mut tx = Transaction::new();
    tx.make_collection(&Collection::Meta, 0);
    replace(&mut tx, &superblock(), block.to_bytes(WIRE));
    tx
}

impl Maps {
    /// Reads the superblock; `None` if the store is not an OSD's.
    pub(crate) fn load(store: &dyn ObjectStore) -> Step<Option<Maps>> {
        let bytes = match store.read(&Collection::Meta, &superblock(), 0, u64::MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let superblock = OsdSuperblock::from_bytes(bytes)
            .map_err(|source| StoreError::Corrupt { what: "osd superblock", source })?;
        Ok(Some(Maps { superblock, cache: BTreeMap::new() }))
    }

    /// The newest epoch.
    pub(crate) fn newest(&self) -> Epoch {
        self.superblock.newest_map
    }

    /// The oldest epoch.
    pub(crate) fn oldest(&self) -> Epoch {
        self.superblock.oldest_map
    }

    /// The map of an epoch, if it is kept.
    pub(crate) fn get(
        &mut self,
        store: &dyn ObjectStore,
        epoch: Epoch,
    ) -> Step<Option<Arc<OsdMap>>> {
        if let Some(map) = self.cache.get(&epoch) {
            return Ok(Some(map.clone()));
        }
        if epoch < self.oldest() || epoch > self.newest() || epoch == Epoch(0) {
            return Ok(None);
        }
        let bytes = store.read(&Collection::Meta, &full(epoch), 0, u64::MAX)?;
        let map = OsdMap::decode(bytes)
            .map_err(|source| StoreError::Corrupt { what: "stored OSD map", source })?;
        let map = Arc::new(map);
        self.keep(map.clone());
        Ok(Some(map))
    }

    fn keep(&mut self, map: Arc<OsdMap>) {
        self.cache.insert(map.epoch, map);
        while self.cache.len() > CACHED {
            self.cache.pop_first();
        }
    }

    /// Takes in maps that somebody sent, and writes them to disk.
    pub(crate) fn learn(&mut self, store: &mut dyn ObjectStore, m: &MOsdMap) -> Step<Learned> {
        let (Some(first), Some(last)) = (m.first(), m.last()) else {
            return Ok(Learned::Nothing);
        };
        let next = self.newest().next();
        if last < next {
            return Ok(Learned::Nothing);
        }
        let gap = first > next;
        if gap && !(m.full.contains_key(&first) && (m.oldest == first || next == Epoch(1))) {
            return Ok(Learned::AskAgain);
        }
        let from = first.max(next);
        let mut tx = Transaction::new();
        let mut previous = match self.newest() {
            Epoch(0) => {
                let fsid = self.superblock.cluster_fsid;
                Some(Arc::new(OsdMap::empty(fsid, UTime::ZERO)))
            }
            newest => self.get(store, newest)?,
        };
        let mut learned = Vec::new();
        let mut epoch = from;
        while epoch <= last {
            let (map, bytes) = match (m.incremental.get(&epoch), m.full.get(&epoch), &previous) {
                (_, Some(bytes), _) => match OsdMap::decode(bytes.clone()) {
                    Ok(map) => (map, bytes.clone()),
                    Err(e) => return Ok(Learned::Bad(e.into())),
                },
                (Some(bytes), None, Some(before)) if before.epoch.next() == epoch => {
                    let inc = match Incremental::decode(bytes.clone()) {
                        Ok(inc) => inc,
                        Err(e) => return Ok(Learned::Bad(e.into())),
                    };
                    let mut map = OsdMap::clone(before);
                    match map.apply_checked(&inc) {
                        Ok(encoded) => (map, encoded),
                        Err(_) => return Ok(Learned::AskFull(epoch)),
                    }
                }
                _ => return Ok(Learned::AskAgain),
            };
            if map.epoch != epoch {
                return Ok(Learned::Bad(MapError::WrongEpoch {
                    expected: epoch,
                    found: map.epoch,
                }));
            }
            replace(&mut tx, &full(epoch), bytes);
            if let Some(inc) = m.incremental.get(&epoch) {
                replace(&mut tx, &incremental(epoch), inc.clone());
            }
            let map = Arc::new(map);
            previous = Some(map.clone());
            learned.push(map);
            epoch = epoch.next();
        }
        if gap || self.superblock.oldest_map == Epoch(0) {
            self.drop_range(&mut tx, self.superblock.oldest_map, first);
            self.superblock.oldest_map = first;
        }
        purged::follow(store, &mut tx, &mut self.superblock.purged_snaps_last, &learned)?;
        self.superblock.newest_map = last;
        self.superblock.current_epoch = last;
        self.superblock.cluster_osdmap_trim_lower_bound =
            self.superblock.cluster_osdmap_trim_lower_bound.max(m.oldest);
        self.write_superblock(&mut tx);
        store.submit(tx)?;
        for map in &learned {
            self.keep(map.clone());
        }
        Ok(Learned::Epochs(learned))
    }

    fn drop_range(&self, tx: &mut Transaction, from: Epoch, until: Epoch) {
        for epoch in from.0..until.0.min(self.newest().0 + 1) {
            tx.remove(&Collection::Meta, &full(Epoch(epoch)));
            tx.remove(&Collection::Meta, &incremental(Epoch(epoch)));
        }
    }

    pub(crate) fn write_superblock(&self, tx: &mut Transaction) {
        replace(tx, &superblock(), self.superblock.to_bytes(WIRE));
    }

    /// Forgets maps before `bound`; the caller made sure that no PG on disk needs them.
    pub(crate) fn trim(&mut self, store: &mut dyn ObjectStore, bound: Epoch) -> Step {
        let mut tx = Transaction::new();
        self.drop_range(&mut tx, self.oldest(), bound);
        self.superblock.oldest_map = bound;
        self.write_superblock(&mut tx);
        store.submit(tx)?;
        Ok(())
    }

    /// A message that brings somebody from `since` (exclusive) up to date, at most `max` epochs.
    pub(crate) fn message(
        &mut self,
        store: &dyn ObjectStore,
        since: Epoch,
        max: usize,
    ) -> Step<MOsdMap> {
        let mut m = MOsdMap {
            fsid: self.superblock.cluster_fsid,
            oldest: self.oldest(),
            newest: self.newest(),
            ..MOsdMap::default()
        };
        let mut epoch = since.next();
        if epoch <= self.oldest() {
            epoch = self.oldest();
            let bytes = store.read(&Collection::Meta, &full(epoch), 0, u64::MAX)?;
            m.full.insert(epoch, bytes);
            epoch = epoch.next();
        }
        while epoch <= self.newest() && m.incremental.len() + m.full.len() < max {
            match store.read(&Collection::Meta, &incremental(epoch), 0, u64::MAX) {
                Ok(bytes) => drop(m.incremental.insert(epoch, bytes)),
                Err(e) if e.is_not_found() => {
                    let bytes = store.read(&Collection::Meta, &full(epoch), 0, u64::MAX)?;
                    m.full.insert(epoch, bytes);
                }
                Err(e) => return Err(e),
            }
            epoch = epoch.next();
        }
        Ok(m)
    }
}
