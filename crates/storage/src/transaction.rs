//! The transaction: an ordered list of operations on objects and collections, applied as one.
//!
//! The vocabulary is Ceph's `ObjectStore::Transaction`; the encoding (see `codec`) is what
//! travels inside `osd_repop`.
//!
//! What each operation demands is part of the port and the same in every store:
//! *Touch*, *Create*, *Write* and *Zero* make the object if it is absent, as *Clone*,
//! *CloneRange* and *MoveRename* make their destination; *Remove* and *Truncate* of an absent
//! object do nothing; every other operation on an absent object, and any operation in an absent
//! collection, is an invalid transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};

/// The number of a submitted transaction; given by the store, increasing by submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TxId(pub u64);

/// One operation of a transaction, on the object (or collection) of its [`TxEntry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxOp {
    /// Nothing.
    Nop,
    /// Make the object if it is absent.
    Touch,
    /// As `Touch`; the name says that the sender believes the object absent.
    Create,
    /// Write bytes, extending the object as needed; a gap before them reads as zeros.
    Write {
        /// Where in the object.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// Make a range read as zeros and give back its whole blocks; extends the object as `Write`.
    Zero {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Set the size, dropping bytes or extending by zeros.
    Truncate {
        /// The new size.
        size: u64,
    },
    /// Remove the object with its data, attributes and omap.
    Remove,
    /// Set one attribute.
    SetAttr {
        /// Its name.
        name: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Set attributes; others stay.
    SetAttrs(BTreeMap<Bytes, Bytes>),
    /// Remove one attribute; an absent one is no error.
    RmAttr {
        /// Its name.
        name: Bytes,
    },
    /// Remove all attributes.
    RmAttrs,
    /// Replace `to`, whatever it was, by a copy of this object: data, attributes and omap.
    Clone {
        /// The destination, in the same collection.
        to: GhObject,
    },
    /// Copy a range of data over a range of `to`. The source range must lie inside the object.
    CloneRange {
        /// The destination, in the same collection; made if absent.
        to: GhObject,
        /// Where in the source.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// Where in the destination.
        to_offset: u64,
    },
    /// Remove all omap keys and the omap header.
    OmapClear,
    /// Set omap keys; others stay.
    OmapSetKeys(BTreeMap<Bytes, Bytes>),
    /// Remove omap keys; absent ones are no error.
    OmapRmKeys(Vec<Bytes>),
    /// Remove the omap keys from `first` (inclusive) to `last` (exclusive).
    OmapRmKeyRange {
        /// The first key removed.
        first: Bytes,
        /// The first key that stays.
        last: Bytes,
    },
    /// Set the omap header.
    OmapSetHeader(Bytes),
    /// What the client expects the object to become.
    SetAllocHint {
        /// Bytes of the whole object.
        expected_object_size: u64,
        /// Bytes of a usual write.
        expected_write_size: u64,
        /// `CEPH_OSD_ALLOC_HINT_FLAG_*`.
        flags: u32,
    },
    /// Make the collection, which must be absent. A PG's collection holds the objects whose hash
    /// equals the PG's seed in the lowest `bits` bits; the seed must fit into them. Any other
    /// object in it is an invalid transaction.
    MakeCollection {
        /// How many bits of the hash decide.
        bits: u32,
    },
    /// Remove the collection, which must be empty.
    RemoveCollection,
    /// Move the objects whose hash ends in `rem` (by `bits` bits) into `to`, which exists.
    SplitCollection {
        /// Bits of both collections afterwards.
        bits: u32,
        /// The seed of the destination.
        rem: u32,
        /// The destination.
        to: Collection,
    },
    /// Change how many bits of the hash decide membership.
    SetCollectionBits {
        /// The new number.
        bits: u32,
    },
    /// Move all objects into `to` and remove this collection.
    MergeCollection {
        /// Bits of the destination afterwards.
        bits: u32,
        /// The destination, which exists.
        to: Collection,
    },
    /// A hint about the future content of the collection; no effect.
    CollectionHint {
        /// Which hint.
        kind: u32,
        /// Its argument.
        hint: Bytes,
    },
    /// Give the object a new name, perhaps in another collection. The new name must be free.
    MoveRename {
        /// The new collection.
        to_collection: Collection,
        /// The new name.
        to: GhObject,
    },
    /// As `MoveRename` inside the collection; an absent object is no error.
    TryRename {
        /// The new name.
        to: GhObject,
    },
}

impl TxOp {
    /// True for operations on a collection, whose entry names no object.
    pub fn is_collection_op(&self) -> bool {
        matches!(
            self,
            TxOp::Nop
                | TxOp::MakeCollection { .. }
                | TxOp::RemoveCollection
                | TxOp::SplitCollection { .. }
                | TxOp::SetCollectionBits { .. }
                | TxOp::MergeCollection { .. }
                | TxOp::CollectionHint { .. }
        )
    }
}

/// One operation with what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxEntry {
    /// The collection.
    pub collection: Collection,
    /// The object; none for operations on the collection itself.
    pub object: Option<GhObject>,
    /// The operation.
    pub op: TxOp,
}

/// Operations that take effect together, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// The operations.
    pub ops: Vec<TxEntry>,
    /// The client's advice about caching, passed on and otherwise ignored.
    pub fadvise_flags: u32,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Puts the operations of `other` behind those of this one.
    pub fn append(&mut self, other: Transaction) {
        self.ops.extend(other.ops);
        self.fadvise_flags |= other.fadvise_flags;
    }

    /// Adds any operation on an object.
    pub fn push(&mut self, c: &Collection, o: &GhObject, op: TxOp) -> &mut Self {
        self.ops.push(TxEntry { collection: *c, object: Some(o.clone()), op });
        self
    }

    /// Adds any operation on a collection.
    pub fn push_collection(&mut self, c: &Collection, op: TxOp) -> &mut Self {
        self.ops.push(TxEntry { collection: *c, object: None, op });
        self
    }

    /// [`TxOp::MakeCollection`].
    pub fn make_collection(&mut self, c: &Collection, bits: u32) -> &mut Self {
        self.push_collection(c, TxOp::MakeCollection { bits })
    }

    /// [`TxOp::RemoveCollection`].
    pub fn remove_collection(&mut self, c: &Collection) -> &mut Self {
        self.push_collection(c, TxOp::RemoveCollection)
    }

    /// [`TxOp::Touch`].
    pub fn touch(&mut self, c: &Collection, o: &GhObject) -> &mut Self {
        self.push(c, o, TxOp::Touch)
    }

    /// [`TxOp::Create`].
    pub fn create(&mut self, c: &Collection, o: &GhObject) -> &mut Self {
        self.push(c, o, TxOp::Create)
    }

    /// [`TxOp::Write`].
    pub fn write(
        &mut self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        data: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::Write { offset, data: data.into() })
    }

    /// [`TxOp::Zero`].
    pub fn zero(&mut self, c: &Collection, o: &GhObject, offset: u64, length: u64) -> &mut Self {
        self.push(c, o, TxOp::Zero { offset, length })
    }

    /// [`TxOp::Truncate`].
    pub fn truncate(&mut self, c: &Collection, o: &GhObject, size: u64) -> &mut Self {
        self.push(c, o, TxOp::Truncate { size })
    }

    /// [`TxOp::Remove`].
    pub fn remove(&mut self, c: &Collection, o: &GhObject) -> &mut Self {
        self.push(c, o, TxOp::Remove)
    }

    /// [`TxOp::SetAttr`].
    pub fn set_attr(
        &mut self,
        c: &Collection,
        o: &GhObject,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::SetAttr { name: name.into(), value: value.into() })
    }

    /// [`TxOp::SetAttrs`].
    pub fn set_attrs(
        &mut self,
        c: &Collection,
        o: &GhObject,
        attrs: BTreeMap<Bytes, Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::SetAttrs(attrs))
    }

    /// [`TxOp::RmAttr`].
    pub fn rm_attr(&mut self, c: &Collection, o: &GhObject, name: impl Into<Bytes>) -> &mut Self {
        self.push(c, o, TxOp::RmAttr { name: name.into() })
    }

    /// [`TxOp::Clone`].
    pub fn clone_object(&mut self, c: &Collection, o: &GhObject, to: &GhObject) -> &mut Self {
        self.push(c, o, TxOp::Clone { to: to.clone() })
    }

    /// [`TxOp::OmapSetKeys`].
    pub fn omap_set(
        &mut self,
        c: &Collection,
        o: &GhObject,
        keys: BTreeMap<Bytes, Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::OmapSetKeys(keys))
    }

    /// [`TxOp::OmapRmKeys`].
    pub fn omap_rm(&mut self, c: &Collection, o: &GhObject, keys: Vec<Bytes>) -> &mut Self {
        self.push(c, o, TxOp::OmapRmKeys(keys))
    }

    /// [`TxOp::OmapRmKeyRange`].
    pub fn omap_rm_range(
        &mut self,
        c: &Collection,
        o: &GhObject,
        first: impl Into<Bytes>,
        last: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::OmapRmKeyRange { first: first.into(), last: last.into() })
    }

    /// [`TxOp::OmapClear`].
    pub fn omap_clear(&mut self, c: &Collection, o: &GhObject) -> &mut Self {
        self.push(c, o, TxOp::OmapClear)
    }

    /// [`TxOp::OmapSetHeader`].
    pub fn omap_set_header(
        &mut self,
        c: &Collection,
        o: &GhObject,
        header: impl Into<Bytes>,
    ) -> &mut Self {
        self.push(c, o, TxOp::OmapSetHeader(header.into()))
    }
}
