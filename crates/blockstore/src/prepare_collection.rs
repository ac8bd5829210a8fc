//! Preparing operations on collections.
//!
//! A PG's objects lie by pool and hash, so that splitting and merging change no object's record:
//! only the number of bits that says where the range ends.

use seabed_cluster::Collection;
use seabed_denc::Encode;
use seabed_storage::{BlockDevice, KeyValue, StoreError, TxOp};

use crate::keys;
use crate::onode::CollectionRecord;
use crate::prepare::Prepare;

type Result<T = ()> = std::result::Result<T, StoreError>;

impl<K: KeyValue, D: BlockDevice> Prepare<'_, K, D> {
    pub(crate) fn collection_op(&mut self, c: &Collection, op: &TxOp) -> Result {
        match op {
            TxOp::Nop => Ok(()),
            TxOp::CollectionHint { .. } => self.bits(c).map(drop),
            TxOp::MakeCollection { bits } => {
                if self.collections().contains_key(c) {
                    return Err(self.invalid("the collection exists"));
                }
                self.put_collection(c, Some(*bits))
            }
            TxOp::RemoveCollection => {
                let bits = self.bits(c)?;
                self.settle();
                for (from, to) in keys::objects_of(c, bits) {
                    if !self.view().scan(&from, &to, 1)?.is_empty() {
                        return Err(self.invalid("the collection is not empty"));
                    }
                }
                self.put_collection(c, None)
            }
            TxOp::SetCollectionBits { bits } => self.set_bits(c, *bits),
            TxOp::SplitCollection { bits, rem, to } => {
                let (Collection::Pg(_), Collection::Pg(child)) = (c, to) else {
                    return Err(self.invalid("only a PG's collection can be split"));
                };
                if child.pg.seed != *rem || self.bits(to)? != *bits {
                    return Err(self.invalid("the destination is not the part that is split off"));
                }
                self.set_bits(c, *bits)
            }
            TxOp::MergeCollection { bits, to } => {
                let old = self.bits(c)?;
                self.bits(to)?;
                self.put_collection(c, None)?;
                self.shrunk.push((*c, old));
                self.set_bits(to, *bits)
            }
            _ => Err(self.invalid("an operation on an object names none")),
        }
    }

    fn put_collection(&mut self, c: &Collection, bits: Option<u32>) -> Result {
        if bits.is_some_and(|bits| !c.seed_fits(bits)) {
            return Err(self.invalid("the seed does not fit into the bits"));
        }
        match bits {
            Some(bits) => self.collections_mut().insert(*c, bits),
            None => self.collections_mut().remove(c),
        };
        let record = bits.map(|bits| CollectionRecord { bits }.to_bytes(0));
        self.layer.insert(keys::collection(c), (0, record));
        Ok(())
    }

    fn set_bits(&mut self, c: &Collection, bits: u32) -> Result {
        let old = self.bits(c)?;
        if old < bits {
            self.shrunk.push((*c, old));
        }
        self.put_collection(c, Some(bits))
    }

    /// Every object of a collection that became smaller must be in some collection.
    pub(crate) fn check_shrunk(&mut self) -> Result {
        let shrunk = std::mem::take(&mut self.shrunk);
        if shrunk.is_empty() {
            return Ok(());
        }
        self.settle();
        for (c, bits) in shrunk {
            for (from, to) in keys::objects_of(&c, bits) {
                for (key, _) in self.view().scan(&from, &to, usize::MAX)? {
                    let (_, o) = keys::parse_object(&key)
                        .ok_or(StoreError::Inconsistent("an object's key that is none"))?;
                    let mut pgs =
                        self.collections().iter().filter(|(c, _)| matches!(c, Collection::Pg(_)));
                    if !pgs.any(|(c, &bits)| c.may_hold(bits, &o)) {
                        return Err(self.invalid("an object would fall out of the collection"));
                    }
                }
            }
        }
        Ok(())
    }
}
