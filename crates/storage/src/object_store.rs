//! The port of placement groups: objects with data, attributes and omap, in collections.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};

use crate::{StoreError, Transaction, TxId};

/// What `stat` tells of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectStat {
    /// Bytes from the start to the end of data, holes included.
    pub size: u64,
}

/// The state of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatFs {
    /// Bytes of the device.
    pub total: u64,
    /// Bytes that can still be allocated.
    pub available: u64,
    /// Bytes allocated to data.
    pub allocated: u64,
    /// Bytes of data as the objects see them: a block shared by a clone counts for each owner.
    pub stored: u64,
    /// Bytes of omap.
    pub omap: u64,
    /// Bytes of other metadata.
    pub meta: u64,
}

/// How much of the device is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes of the device.
    pub total: u64,
    /// Bytes that can still be allocated.
    pub available: u64,
}

/// Entries of an omap in key order, and whether more follow.
pub type OmapPage = (Vec<(Bytes, Bytes)>, bool);

/// An object store owned by one thread.
///
/// Reads see every submitted transaction. Nothing may be told to others on the strength of a
/// transaction before [`committed`](ObjectStore::committed) has named it.
pub trait ObjectStore {
    /// Takes a transaction. When this returns, reads see it; it is not durable yet.
    ///
    /// Errors: [`StoreError::NoSpace`] and [`StoreError::InvalidTransaction`] leave the store as
    /// it was; every other error means that the store is dead.
    fn submit(&mut self, tx: Transaction) -> Result<TxId, StoreError>;

    /// Moves the store's work on and returns the transactions that became durable since the last
    /// call, in the order of submission. Never blocks. An error means that the store is dead.
    fn committed(&mut self) -> Result<Vec<TxId>, StoreError>;

    /// Transactions submitted and not yet returned by `committed`.
    fn in_flight(&self) -> usize;

    /// The size of an object.
    fn stat(&self, c: &Collection, o: &GhObject) -> Result<ObjectStat, StoreError>;

    /// Whether an object exists.
    fn exists(&self, c: &Collection, o: &GhObject) -> Result<bool, StoreError> {
        match self.stat(c, o) {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Bytes of a range; fewer when the object ends inside it. Holes read as zeros.
    fn read(
        &self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError>;

    /// The parts of a range that hold data, as ascending, disjoint (offset, length), cut to the
    /// object's size. All other bytes are zeros; a store may name more than was written, by whole
    /// blocks.
    fn extents(
        &self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        length: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError>;

    /// One attribute; [`StoreError::NoAttribute`] if absent.
    fn get_attr(&self, c: &Collection, o: &GhObject, name: &[u8]) -> Result<Bytes, StoreError>;

    /// All attributes.
    fn get_attrs(&self, c: &Collection, o: &GhObject)
    -> Result<BTreeMap<Bytes, Bytes>, StoreError>;

    /// The omap header, empty if none was set.
    fn omap_header(&self, c: &Collection, o: &GhObject) -> Result<Bytes, StoreError>;

    /// The values of those `keys` that exist.
    fn omap_get(
        &self,
        c: &Collection,
        o: &GhObject,
        keys: &[Bytes],
    ) -> Result<BTreeMap<Bytes, Bytes>, StoreError>;

    /// At most `max` entries from `start` on, in key order, and whether more follow.
    fn omap_range(
        &self,
        c: &Collection,
        o: &GhObject,
        start: Bound<&[u8]>,
        max: usize,
    ) -> Result<OmapPage, StoreError>;

    /// At most `max` objects of a collection from `start` (inclusive) to `end` (exclusive), in the
    /// order of [`GhObject`], and where to go on: the first object left out, or `end` if none is.
    fn list(
        &self,
        c: &Collection,
        start: &GhObject,
        end: &GhObject,
        max: usize,
    ) -> Result<(Vec<GhObject>, GhObject), StoreError>;

    /// All collections, in order.
    fn collections(&self) -> Result<Vec<Collection>, StoreError>;

    /// How many bits of the hash decide membership in a collection; `None` if it does not exist.
    fn collection_bits(&self, c: &Collection) -> Result<Option<u32>, StoreError>;

    /// Whether a collection exists.
    fn collection_exists(&self, c: &Collection) -> Result<bool, StoreError> {
        Ok(self.collection_bits(c)?.is_some())
    }

    /// How much is left: known without asking anything below, so fit for every commit.
    fn room(&self) -> Room;

    /// The state of the space.
    fn statfs(&self) -> StatFs;
}
