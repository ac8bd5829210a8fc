//! A PG's own records: info, past intervals, log and missing set in the omap of its meta object.
//!
//! Invariant: whatever changes in memory is written with the next transaction of the PG, which is
//! the one that changes the objects accordingly; so after a crash log and objects agree.

use std::collections::BTreeMap;
use std::ops::Bound;

use seabed_cluster::{
    Collection, EVersion, Epoch, GhObject, HObject, MissingItem, PastIntervals, PgInfo, PgLogDup,
    PgLogEntry, SpgId,
};
use seabed_denc::{Bytes, Decode, DecodeError, Encode, Reader};
use seabed_storage::{ObjectStore, StoreError, Transaction, TxId};

use crate::log::{DUP_PREFIX, Log, MISSING_PREFIX, Missing, is_entry_key};
use crate::snap::{KEYS_END, is_mapper_key};
use crate::{Env, Pg, Step, WIRE};

const INFO: &[u8] = b"_info";
const INFO_VERSION: &[u8] = b"_infover";
const BIG_INFO: &[u8] = b"_biginfo";
const EPOCH: &[u8] = b"_epoch";
/// The version of this layout, Ceph's number.
const LAYOUT: u8 = 10;
/// Keys read at once when a PG is loaded.
const PAGE: usize = 1000;

/// A PG's records as they lie on disk.
pub(crate) struct Stored {
    pub(crate) epoch: Epoch,
    pub(crate) info: PgInfo,
    pub(crate) past: PastIntervals,
    pub(crate) log: Log,
    pub(crate) missing: Missing,
}

fn corrupt(what: &'static str) -> impl FnOnce(DecodeError) -> StoreError {
    move |source| StoreError::Corrupt { what, source }
}

/// Reads a PG's records; `None` if its collection has no meta object with an info.
pub(crate) fn load(store: &dyn ObjectStore, id: SpgId) -> Step<Option<Stored>> {
    let (coll, meta) = (Collection::Pg(id), GhObject::pg_meta(id));
    if !store.exists(&coll, &meta)? {
        return Ok(None);
    }
    let fixed: Vec<Bytes> = [INFO, BIG_INFO, EPOCH].map(Bytes::from_static).into();
    let mut values = store.omap_get(&coll, &meta, &fixed)?;
    let Some(info) = values.remove(INFO) else { return Ok(None) };
    let info = PgInfo::from_bytes(info).map_err(corrupt("pg info"))?;
    let past = match values.remove(BIG_INFO) {
        Some(v) => PastIntervals::from_bytes(v).map_err(corrupt("past intervals"))?,
        None => PastIntervals::default(),
    };
    let epoch = match values.remove(EPOCH) {
        Some(v) => Epoch::from_bytes(v).map_err(corrupt("pg epoch"))?,
        None => info.history.same_interval_since,
    };
    let (mut entries, mut dups, mut items) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = Bound::Unbounded;
    loop {
        let (page, more) =
            store.omap_range(&coll, &meta, next.as_ref().map(|k: &Bytes| &k[..]), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        next = Bound::Excluded(last.clone());
        let mut skipped = false;
        for (key, value) in page {
            if is_mapper_key(&key) {
                // They may be many, and nobody needs them now.
                next = Bound::Included(Bytes::from_static(KEYS_END));
                skipped = true;
                break;
            }
            if is_entry_key(&key) {
                entries.push(PgLogEntry::from_bytes(value).map_err(corrupt("log entry"))?);
            } else if key.starts_with(DUP_PREFIX) {
                dups.push(PgLogDup::from_bytes(value).map_err(corrupt("log dup"))?);
            } else if key.starts_with(MISSING_PREFIX) {
                items.push(missing_item(value).map_err(corrupt("missing object"))?);
            }
        }
        if !more && !skipped {
            break;
        }
    }
    let log = Log::from_parts(info.log_tail, info.last_update, entries, dups);
    Ok(Some(Stored { epoch, info, past, log, missing: Missing::from_items(items) }))
}

/// The epoch in which a PG on disk was left.
pub(crate) fn stored_epoch(store: &dyn ObjectStore, id: SpgId) -> Step<Option<Epoch>> {
    let (coll, meta) = (Collection::Pg(id), GhObject::pg_meta(id));
    if !store.exists(&coll, &meta)? {
        return Ok(None);
    }
    let values = store.omap_get(&coll, &meta, &[Bytes::from_static(EPOCH)])?;
    let epoch = values.get(EPOCH).cloned().map(Epoch::from_bytes).transpose();
    epoch.map_err(corrupt("pg epoch"))
}

/// The transaction after which a collection no longer counts as a PG.
pub fn forget(id: SpgId) -> Transaction {
    let mut tx = Transaction::new();
    tx.omap_clear(&Collection::Pg(id), &GhObject::pg_meta(id));
    tx
}

/// Removes at most `max` objects of a forgotten PG; true when the collection is gone.
pub fn destroy(store: &mut dyn ObjectStore, id: SpgId, max: usize) -> Step<bool> {
    let (coll, meta) = (Collection::Pg(id), GhObject::pg_meta(id));
    let mut tx = Transaction::new();
    let (objects, _) = store.list(&coll, &GhObject::min(), &GhObject::max(), max)?;
    for object in objects.iter().filter(|o| !o.is_pg_meta()) {
        tx.remove(&coll, object);
    }
    let last = objects.len() < max;
    if last {
        tx.remove(&coll, &meta);
        tx.remove_collection(&coll);
    }
    store.submit(tx)?;
    Ok(last)
}

fn missing_item(value: Bytes) -> Result<(HObject, MissingItem), DecodeError> {
    let mut r = Reader::new(value);
    Ok((HObject::decode(&mut r)?, MissingItem::decode(&mut r)?))
}

impl Pg {
    /// Adds everything that changed in the PG's records to a transaction.
    pub(crate) fn persist(&mut self, tx: &mut Transaction) {
        let mut set: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        let mut gone: Vec<Bytes> = Vec::new();
        for (key, value) in self.log.take_dirty().into_iter().chain(self.missing.take_dirty()) {
            match value {
                Some(value) => drop(set.insert(key, value)),
                None => gone.push(key),
            }
        }
        self.info.log_tail = self.log.tail();
        set.insert(Bytes::from_static(INFO), self.info.to_bytes(WIRE));
        set.insert(Bytes::from_static(EPOCH), self.epoch.to_bytes(WIRE));
        if std::mem::take(&mut self.past_dirty) {
            set.insert(Bytes::from_static(BIG_INFO), self.past.to_bytes(WIRE));
        }
        self.info_dirty = false;
        if !gone.is_empty() {
            tx.omap_rm(&self.coll, &self.meta, gone);
        }
        tx.omap_set(&self.coll, &self.meta, set);
    }

    /// Submits a transaction together with the PG's records.
    pub(crate) fn submit(&mut self, env: &mut Env<'_>, mut tx: Transaction) -> Step<TxId> {
        self.persist(&mut tx);
        env.store.submit(tx)
    }

    /// Writes the PG's records if they changed.
    pub(crate) fn flush(&mut self, env: &mut Env<'_>) -> Step {
        if self.info_dirty || self.past_dirty {
            self.submit(env, Transaction::new())?;
        }
        Ok(())
    }

    /// The operations that bring a new, empty PG to disk.
    pub(crate) fn create_on_disk(&mut self, env: &mut Env<'_>) -> Step {
        let mut tx = Transaction::new();
        let bits = self.id.pg.split_bits(self.member.pg_num);
        tx.make_collection(&self.coll, bits);
        tx.touch(&self.coll, &self.meta);
        let version =
            BTreeMap::from([(Bytes::from_static(INFO_VERSION), Bytes::copy_from_slice(&[LAYOUT]))]);
        tx.omap_set(&self.coll, &self.meta, version);
        self.past_dirty = true;
        self.submit(env, tx)?;
        Ok(())
    }

    /// Removes local copies in `tx`: of objects whose last change was undone.
    pub(crate) fn remove_objects(
        &self,
        env: &Env<'_>,
        tx: &mut Transaction,
        objects: &[HObject],
    ) -> Step {
        for object in objects {
            tx.remove(&self.coll, &GhObject::from(object.clone()));
            self.unmap_clone(env, tx, object)?;
        }
        Ok(())
    }

    /// The version of the log's end, as the next change will see it.
    pub(crate) fn next_version(&self) -> EVersion {
        EVersion { version: self.log.head().version + 1, epoch: self.epoch }
    }
}
