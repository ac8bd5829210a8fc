//! The meaning of every transaction operation, on objects in memory.
//!
//! This is the model the block store is compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};

use super::data::ByteMap;
use crate::transaction::{TxEntry, TxOp};
use crate::{StoreError, Transaction};

/// Bytes of a block, the unit in which rot strikes.
pub(super) const BLOCK: u64 = 4096;

/// An object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemObject {
    pub(super) size: u64,
    pub(super) data: ByteMap,
    pub(super) attrs: BTreeMap<Bytes, Bytes>,
    pub(super) omap_header: Bytes,
    pub(super) omap: BTreeMap<Bytes, Bytes>,
    /// Blocks whose checksum no longer holds.
    pub(super) rotten: BTreeSet<u64>,
}

/// A collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemCollection {
    pub(super) bits: u32,
    pub(super) objects: BTreeMap<GhObject, Arc<MemObject>>,
}

/// Everything in a store; cheap to clone, shared until changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) collections: BTreeMap<Collection, Arc<MemCollection>>,
    /// Bytes of data in all objects.
    pub(super) bytes: u64,
}

type Apply<T = ()> = Result<T, &'static str>;

const NO_COLLECTION: &str = "the collection does not exist";
const NO_OBJECT: &str = "the object does not exist";

impl State {
    /// Applies a transaction; after an error the state is somewhere in the middle of it.
    pub(super) fn apply(&mut self, tx: &Transaction) -> Result<(), StoreError> {
        for (index, entry) in tx.ops.iter().enumerate() {
            self.apply_entry(entry)
                .map_err(|reason| StoreError::InvalidTransaction { index, reason })?;
        }
        let lost = tx.ops.iter().any(|e| e.object.is_none() && !self.holds_together());
        if lost {
            let reason = "an object would fall out of the collection";
            return Err(StoreError::InvalidTransaction { index: tx.ops.len(), reason });
        }
        Ok(())
    }

    /// Whether every object belongs where it is.
    fn holds_together(&self) -> bool {
        let all = self.collections.iter();
        let mut objects = all.flat_map(|(c, m)| m.objects.keys().map(move |o| (c, m.bits, o)));
        objects.all(|(c, bits, o)| c.may_hold(bits, o))
    }

    fn collection(&mut self, c: &Collection) -> Apply<&mut MemCollection> {
        self.collections.get_mut(c).map(Arc::make_mut).ok_or(NO_COLLECTION)
    }

    fn get(&self, c: &Collection, o: &GhObject) -> Apply<Arc<MemObject>> {
        let collection = self.collections.get(c).ok_or(NO_COLLECTION)?;
        collection.objects.get(o).cloned().ok_or(NO_OBJECT)
    }

    /// Changes an object; absent, it is made if `create` and left alone otherwise. Tells whether
    /// there was one to change.
    fn change(
        &mut self,
        c: &Collection,
        o: &GhObject,
        create: bool,
        f: impl FnOnce(&mut MemObject),
    ) -> Apply<bool> {
        let collection = self.collection(c)?;
        if create && !collection.objects.contains_key(o) {
            if !c.may_hold(collection.bits, o) {
                return Err("the object does not belong in the collection");
            }
            collection.objects.insert(o.clone(), Arc::default());
        }
        let Some(object) = collection.objects.get_mut(o) else { return Ok(false) };
        let object = Arc::make_mut(object);
        let before = object.data.bytes();
        f(object);
        let after = object.data.bytes();
        self.bytes = self.bytes - before + after;
        Ok(true)
    }

    fn existing(&mut self, c: &Collection, o: &GhObject, f: impl FnOnce(&mut MemObject)) -> Apply {
        if self.change(c, o, false, f)? { Ok(()) } else { Err(NO_OBJECT) }
    }

    fn take(&mut self, c: &Collection, o: &GhObject) -> Apply<Option<Arc<MemObject>>> {
        let object = self.collection(c)?.objects.remove(o);
        self.bytes -= object.as_ref().map_or(0, |o| o.data.bytes());
        Ok(object)
    }

    /// Puts an object under a name, over what was there.
    fn place(&mut self, c: &Collection, o: &GhObject, object: Arc<MemObject>) -> Apply {
        self.take(c, o)?;
        self.change(c, o, true, |new| *new = (*object).clone())?;
        Ok(())
    }

    fn apply_entry(&mut self, entry: &TxEntry) -> Apply {
        let c = &entry.collection;
        match &entry.object {
            None => self.apply_collection(c, &entry.op),
            Some(o) if !entry.op.is_collection_op() => self.apply_object(c, o, &entry.op),
            Some(_) => Err("an operation on a collection names an object"),
        }
    }

    fn apply_object(&mut self, c: &Collection, o: &GhObject, op: &TxOp) -> Apply {
        match op {
            TxOp::Touch | TxOp::Create => self.change(c, o, true, |_| ()).map(drop),
            TxOp::Write { offset, data } => {
                offset.checked_add(data.len() as u64).ok_or("a write past the end of offsets")?;
                self.change(c, o, true, |x| x.write(*offset, data.clone())).map(drop)
            }
            TxOp::Zero { offset, length } => {
                offset.checked_add(*length).ok_or("a zero past the end of offsets")?;
                self.change(c, o, true, |x| x.zero(*offset, *length)).map(drop)
            }
            TxOp::Truncate { size } => self.change(c, o, false, |x| x.truncate(*size)).map(drop),
            TxOp::Remove => self.take(c, o).map(drop),
            TxOp::Clone { to } => {
                let copy = self.get(c, o)?;
                if o == to { Err("an object cloned onto itself") } else { self.place(c, to, copy) }
            }
            TxOp::CloneRange { to, offset, length, to_offset } => {
                let source = self.get(c, o)?;
                let end = offset.checked_add(*length).filter(|&end| end <= source.size);
                end.ok_or("a cloned range outside its source")?;
                to_offset.checked_add(*length).ok_or("a write past the end of offsets")?;
                self.change(c, to, true, |x| x.copy(&source, *offset, *length, *to_offset))
                    .map(drop)
            }
            TxOp::MoveRename { to_collection, to } => self.rename(c, o, to_collection, to),
            TxOp::TryRename { to } => match self.get(c, o) {
                Err(e) if e == NO_OBJECT => Ok(()),
                Err(e) => Err(e),
                Ok(_) => self.rename(c, o, c, to),
            },
            _ => self.existing(c, o, |x| x.change_names(op)),
        }
    }

    fn rename(&mut self, c: &Collection, o: &GhObject, to_c: &Collection, to: &GhObject) -> Apply {
        if self.collection(to_c)?.objects.contains_key(to) {
            return Err("the new name is taken");
        }
        let object = self.take(c, o)?.ok_or(NO_OBJECT)?;
        self.place(to_c, to, object)
    }

    fn apply_collection(&mut self, c: &Collection, op: &TxOp) -> Apply {
        match op {
            TxOp::Nop => Ok(()),
            TxOp::CollectionHint { .. } => self.collection(c).map(drop),
            TxOp::MakeCollection { bits } => {
                if self.collections.contains_key(c) {
                    return Err("the collection exists");
                }
                if !c.seed_fits(*bits) {
                    return Err("the seed does not fit into the bits");
                }
                let new = MemCollection { bits: *bits, objects: BTreeMap::new() };
                self.collections.insert(*c, Arc::new(new));
                Ok(())
            }
            TxOp::RemoveCollection => {
                if !self.collection(c)?.objects.is_empty() {
                    return Err("the collection is not empty");
                }
                self.collections.remove(c);
                Ok(())
            }
            TxOp::SetCollectionBits { bits } => self.set_bits(c, *bits),
            TxOp::SplitCollection { bits, rem, to } => self.split(c, *bits, *rem, to),
            TxOp::MergeCollection { bits, to } => {
                let objects = std::mem::take(&mut self.collection(c)?.objects);
                self.collections.remove(c);
                self.collection(to)?.objects.extend(objects);
                self.set_bits(to, *bits)
            }
            _ => Err("an operation on an object names none"),
        }
    }

    fn set_bits(&mut self, c: &Collection, bits: u32) -> Apply {
        if !c.seed_fits(bits) {
            return Err("the seed does not fit into the bits");
        }
        self.collection(c)?.bits = bits;
        Ok(())
    }

    fn split(&mut self, c: &Collection, bits: u32, rem: u32, to: &Collection) -> Apply {
        let (Collection::Pg(_), Collection::Pg(child)) = (c, to) else {
            return Err("only a PG's collection can be split");
        };
        if child.pg.seed != rem || self.collection(to)?.bits != bits {
            return Err("the destination is not the part that is split off");
        }
        let objects = std::mem::take(&mut self.collection(c)?.objects);
        let (moved, stay) = objects.into_iter().partition(|(o, _)| to.may_hold(bits, o));
        self.collection(c)?.objects = stay;
        self.collection(to)?.objects = moved;
        self.set_bits(c, bits)
    }
}

impl MemObject {
    fn heal(&mut self, offset: u64, length: u64) {
        let (first, last) = (offset.div_ceil(BLOCK), offset.saturating_add(length) / BLOCK);
        self.rotten.retain(|&b| b < first || b >= last);
    }

    fn write(&mut self, offset: u64, data: Bytes) {
        let length = data.len() as u64;
        if length == 0 {
            return;
        }
        self.heal(offset, length);
        self.data.write(offset, data);
        self.size = self.size.max(offset + length);
    }

    fn zero(&mut self, offset: u64, length: u64) {
        if length == 0 {
            return;
        }
        self.heal(offset, length);
        self.data.punch(offset, length);
        self.size = self.size.max(offset + length);
    }

    fn truncate(&mut self, size: u64) {
        self.heal(size, u64::MAX - size);
        self.data.punch(size, u64::MAX - size);
        self.size = size;
    }

    fn copy(&mut self, source: &MemObject, offset: u64, length: u64, to: u64) {
        if length == 0 {
            return;
        }
        self.heal(to, length);
        self.data.punch(to, length);
        for (at, piece) in source.data.pieces(offset, length) {
            self.data.write(at - offset + to, piece);
        }
        self.size = self.size.max(to + length);
    }

    /// The operations on attributes and omap.
    fn change_names(&mut self, op: &TxOp) {
        match op {
            TxOp::SetAttr { name, value } => {
                self.attrs.insert(name.clone(), value.clone());
            }
            TxOp::SetAttrs(map) => {
                self.attrs.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            TxOp::RmAttr { name } => {
                self.attrs.remove(name);
            }
            TxOp::RmAttrs => self.attrs.clear(),
            TxOp::OmapClear => {
                self.omap.clear();
                self.omap_header = Bytes::new();
            }
            TxOp::OmapSetKeys(map) => {
                self.omap.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            TxOp::OmapRmKeys(keys) => {
                for key in keys {
                    self.omap.remove(key);
                }
            }
            TxOp::OmapRmKeyRange { first, last } if first < last => {
                let range = (Bound::Included(first), Bound::Excluded(last));
                let keys: Vec<Bytes> =
                    self.omap.range::<Bytes, _>(range).map(|(k, _)| k.clone()).collect();
                for key in keys {
                    self.omap.remove(&key);
                }
            }
            TxOp::OmapSetHeader(header) => self.omap_header = header.clone(),
            // SetAllocHint and an empty key range change nothing; all others went elsewhere.
            _ => {}
        }
    }
}
