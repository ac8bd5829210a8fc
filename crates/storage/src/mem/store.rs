//! An object store in memory with explicit durability: transactions become durable when the test
//! says so, and a crash takes back those that are not.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};

use super::apply::{BLOCK, MemCollection, MemObject, State};
use crate::{ObjectStat, ObjectStore, OmapPage, Room, StatFs, StoreError, Transaction, TxId, TxOp};

/// Bytes of a store whose size nobody gave.
const DEFAULT_CAPACITY: u64 = 1 << 40;

/// The object store of tests and of the simulator.
///
/// ```text
/// submit ─▶ visible, pending ─▶ commit_next / commit_all ─▶ durable ─▶ committed() names it
///                    └──▶ crash: gone
/// ```
///
/// A clone is a snapshot of both states and shares their memory.
#[derive(Debug, Clone)]
pub struct MemStore {
    visible: State,
    durable: State,
    pending: VecDeque<(TxId, Transaction)>,
    unreported: Vec<TxId>,
    last: TxId,
    automatic: bool,
    dead: bool,
    capacity: u64,
}

impl Default for MemStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemStore {
    /// An empty store that commits only when told.
    pub fn new() -> Self {
        MemStore {
            visible: State::default(),
            durable: State::default(),
            pending: VecDeque::new(),
            unreported: Vec::new(),
            last: TxId(0),
            automatic: false,
            dead: false,
            capacity: DEFAULT_CAPACITY,
        }
    }

    /// An empty store that makes everything durable whenever `committed` is called.
    pub fn automatic() -> Self {
        MemStore { automatic: true, ..Self::new() }
    }

    /// Limits the bytes of data.
    pub fn with_capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Transactions submitted and not yet durable, oldest first.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = (TxId, &Transaction)> {
        self.pending.iter().map(|(id, tx)| (*id, tx))
    }

    /// Makes the oldest `n` pending transactions durable.
    pub fn commit_next(&mut self, n: usize) {
        if self.dead {
            return;
        }
        for _ in 0..n {
            let Some((id, tx)) = self.pending.pop_front() else { return };
            self.durable.apply(&tx).expect("a pending transaction was applied before");
            self.unreported.push(id);
        }
    }

    /// Makes everything durable.
    pub fn commit_all(&mut self) {
        self.commit_next(self.pending.len());
    }

    /// Power loss: everything not durable is gone, except that the oldest `survive` pending
    /// transactions had reached the disk although nobody was told. The store is then as after
    /// reopening it.
    pub fn crash(&mut self, survive: usize) {
        self.dead = false;
        self.commit_next(survive);
        self.visible = self.durable.clone();
        self.pending.clear();
        self.unreported.clear();
    }

    /// The disk fails: every call is answered with [`StoreError::Dead`] until `crash`.
    pub fn fail(&mut self) {
        self.dead = true;
    }

    /// Lets the block at `offset` of an object rot: reading it fails until it is written over.
    /// Tells whether the object exists.
    pub fn rot(&mut self, c: &Collection, o: &GhObject, offset: u64) -> bool {
        let mut found = false;
        for state in [&mut self.visible, &mut self.durable] {
            let object = state
                .collections
                .get_mut(c)
                .and_then(|c| Arc::make_mut(c).objects.get_mut(o))
                .map(Arc::make_mut);
            if let Some(object) = object {
                object.rotten.insert(offset / BLOCK);
                found = true;
            }
        }
        found
    }

    /// Whether both hold the same visible objects.
    pub fn same_content(&self, other: &MemStore) -> bool {
        self.visible == other.visible
    }

    fn get_collection(&self, c: &Collection) -> Result<&MemCollection, StoreError> {
        if self.dead {
            return Err(StoreError::Dead);
        }
        let found = self.visible.collections.get(c);
        found.map(|c| &**c).ok_or_else(|| StoreError::NoCollection(Box::new(*c)))
    }

    fn get(&self, c: &Collection, o: &GhObject) -> Result<&MemObject, StoreError> {
        let found = self.get_collection(c)?.objects.get(o);
        found.map(|o| &**o).ok_or_else(|| StoreError::NoObject(Box::new(o.clone())))
    }
}

/// Bytes a transaction may add.
fn wanted(tx: &Transaction) -> u64 {
    let of = |op: &TxOp| match op {
        TxOp::Write { data, .. } => data.len() as u64,
        _ => 0,
    };
    tx.ops.iter().map(|e| of(&e.op)).sum()
}

impl ObjectStore for MemStore {
    fn submit(&mut self, tx: Transaction) -> Result<TxId, StoreError> {
        if self.dead {
            return Err(StoreError::Dead);
        }
        let (wanted, free) = (wanted(&tx), self.capacity.saturating_sub(self.visible.bytes));
        if wanted > free {
            return Err(StoreError::NoSpace { wanted, free });
        }
        if let Err(e) = self.visible.apply(&tx) {
            // Rare and a bug of the caller: worth no undo log.
            self.visible = self.durable.clone();
            for (_, tx) in &self.pending {
                self.visible.apply(tx).expect("a pending transaction was applied before");
            }
            return Err(e);
        }
        self.last.0 += 1;
        self.pending.push_back((self.last, tx));
        Ok(self.last)
    }

    fn committed(&mut self) -> Result<Vec<TxId>, StoreError> {
        if self.dead {
            return Err(StoreError::Dead);
        }
        if self.automatic {
            self.commit_all();
        }
        Ok(std::mem::take(&mut self.unreported))
    }

    fn in_flight(&self) -> usize {
        self.pending.len() + self.unreported.len()
    }

    fn stat(&self, c: &Collection, o: &GhObject) -> Result<ObjectStat, StoreError> {
        Ok(ObjectStat { size: self.get(c, o)?.size })
    }

    fn read(
        &self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let object = self.get(c, o)?;
        let length = length.min(object.size.saturating_sub(offset));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let blocks = offset / BLOCK..=(offset + length - 1) / BLOCK;
        if let Some(&block) = object.rotten.range(blocks).next() {
            return Err(StoreError::ChecksumMismatch {
                object: Box::new(o.clone()),
                offset: block * BLOCK,
                stored: 0,
                read: 1,
            });
        }
        Ok(object.data.read(offset, length as usize))
    }

    fn extents(
        &self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        length: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(self.get(c, o)?.data.extents(offset, length))
    }

    fn get_attr(&self, c: &Collection, o: &GhObject, name: &[u8]) -> Result<Bytes, StoreError> {
        self.get(c, o)?.attrs.get(name).cloned().ok_or(StoreError::NoAttribute)
    }

    fn get_attrs(
        &self,
        c: &Collection,
        o: &GhObject,
    ) -> Result<BTreeMap<Bytes, Bytes>, StoreError> {
        Ok(self.get(c, o)?.attrs.clone())
    }

    fn omap_header(&self, c: &Collection, o: &GhObject) -> Result<Bytes, StoreError> {
        Ok(self.get(c, o)?.omap_header.clone())
    }

    fn omap_get(
        &self,
        c: &Collection,
        o: &GhObject,
        keys: &[Bytes],
    ) -> Result<BTreeMap<Bytes, Bytes>, StoreError> {
        let omap = &self.get(c, o)?.omap;
        Ok(keys.iter().filter_map(|k| Some((k.clone(), omap.get(k)?.clone()))).collect())
    }

    fn omap_range(
        &self,
        c: &Collection,
        o: &GhObject,
        start: Bound<&[u8]>,
        max: usize,
    ) -> Result<OmapPage, StoreError> {
        let omap = &self.get(c, o)?.omap;
        let mut rest = omap.range::<[u8], _>((start, Bound::Unbounded));
        let page = rest.by_ref().take(max).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok((page, rest.next().is_some()))
    }

    fn list(
        &self,
        c: &Collection,
        start: &GhObject,
        end: &GhObject,
        max: usize,
    ) -> Result<(Vec<GhObject>, GhObject), StoreError> {
        let objects = &self.get_collection(c)?.objects;
        if start >= end {
            return Ok((Vec::new(), end.clone()));
        }
        let mut rest = objects.range(start..end).map(|(o, _)| o);
        let page = rest.by_ref().take(max).cloned().collect();
        Ok((page, rest.next().unwrap_or(end).clone()))
    }

    fn collections(&self) -> Result<Vec<Collection>, StoreError> {
        if self.dead {
            return Err(StoreError::Dead);
        }
        Ok(self.visible.collections.keys().copied().collect())
    }

    fn collection_bits(&self, c: &Collection) -> Result<Option<u32>, StoreError> {
        if self.dead {
            return Err(StoreError::Dead);
        }
        Ok(self.visible.collections.get(c).map(|c| c.bits))
    }

    fn room(&self) -> Room {
        let available = self.capacity.saturating_sub(self.visible.bytes);
        Room { total: self.capacity, available }
    }

    fn statfs(&self) -> StatFs {
        let Room { total, available } = self.room();
        StatFs {
            total,
            available,
            allocated: self.visible.bytes,
            stored: self.visible.bytes,
            omap: 0,
            meta: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{HObject, PgId, PoolId, SnapId, SpgId};

    fn setup() -> (MemStore, Collection, GhObject) {
        let c = Collection::Pg(SpgId::replicated(PgId::new(PoolId(1), 0)));
        let o = HObject::new(PoolId(1), "", "", "foo", SnapId::HEAD).into();
        let mut store = MemStore::new();
        let mut tx = Transaction::new();
        tx.make_collection(&c, 0).write(&c, &o, 0, &b"hello"[..]);
        store.submit(tx).unwrap();
        (store, c, o)
    }

    #[test]
    fn a_crash_takes_back_what_is_not_durable() {
        let (mut store, c, o) = setup();
        assert_eq!(store.committed().unwrap(), []);
        store.commit_all();
        assert_eq!(store.committed().unwrap(), [TxId(1)]);
        for i in 0..3u8 {
            let mut tx = Transaction::new();
            tx.write(&c, &o, 5 + u64::from(i), vec![b'a' + i]);
            store.submit(tx).unwrap();
        }
        assert_eq!(&store.read(&c, &o, 0, 99).unwrap()[..], b"helloabc");
        store.crash(1);
        assert_eq!(&store.read(&c, &o, 0, 99).unwrap()[..], b"helloa");
        assert_eq!(store.in_flight(), 0);
    }

    #[test]
    fn an_invalid_transaction_leaves_no_trace() {
        let (mut store, c, o) = setup();
        let before = store.clone();
        let mut tx = Transaction::new();
        tx.write(&c, &o, 0, &b"other"[..]);
        tx.set_attr(&c, &GhObject { shard: 3, ..o.clone() }, "a", "b");
        let error = store.submit(tx).unwrap_err();
        assert!(matches!(error, StoreError::InvalidTransaction { index: 1, .. }), "{error}");
        assert!(store.same_content(&before));
    }

    #[test]
    fn a_split_moves_by_hash() {
        let (mut store, c, _) = setup();
        let child = Collection::Pg(SpgId::replicated(PgId::new(PoolId(1), 1)));
        let named =
            |i: u32| GhObject::from(HObject::new(PoolId(1), "", "", format!("o{i}"), SnapId::HEAD));
        let mut tx = Transaction::new();
        for i in 0..40 {
            tx.touch(&c, &named(i));
        }
        tx.make_collection(&child, 1);
        tx.push_collection(&c, TxOp::SplitCollection { bits: 1, rem: 1, to: child });
        store.submit(tx).unwrap();
        let list = |c| store.list(c, &GhObject::min(), &GhObject::max(), 99).unwrap().0;
        let (left, right) = (list(&c), list(&child));
        assert_eq!(left.len() + right.len(), 41);
        assert!(left.iter().all(|o| o.hobj.hash & 1 == 0));
        assert!(right.iter().all(|o| o.hobj.hash & 1 == 1));
    }

    #[test]
    fn rot_is_noticed_and_healed_by_a_whole_write() {
        let (mut store, c, o) = setup();
        assert!(store.rot(&c, &o, 0));
        let error = store.read(&c, &o, 0, 1).unwrap_err();
        assert!(matches!(error, StoreError::ChecksumMismatch { offset: 0, .. }));
        let mut tx = Transaction::new();
        tx.write(&c, &o, 0, vec![1; 4096]);
        store.submit(tx).unwrap();
        assert_eq!(store.read(&c, &o, 0, 1).unwrap().len(), 1);
    }
}
