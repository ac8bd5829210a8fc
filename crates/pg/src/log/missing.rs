//! Objects that a copy of the PG should have by its log and does not have yet.
//!
//! Invariants: an object is missing at the newest version that the copy's log holds for it (or,
//! after an undone change, at an older one); both indexes name the same objects.

use std::collections::BTreeMap;

use seabed_cluster::{CleanRegions, EVersion, HObject, LogOp, MissingItem, PgLogEntry, PgMissing};
use seabed_denc::{Bytes, Encode};

use super::missing_key;
use crate::WIRE;

/// The missing objects of one copy.
#[derive(Debug, Clone, Default)]
pub struct Missing {
    items: BTreeMap<HObject, MissingItem>,
    by_need: BTreeMap<EVersion, HObject>,
    dirty: BTreeMap<Bytes, Option<Bytes>>,
}

impl Missing {
    /// From what a peer sent or the disk holds, nothing dirty.
    pub fn from_items(items: impl IntoIterator<Item = (HObject, MissingItem)>) -> Self {
        let mut missing = Missing::default();
        for (object, item) in items {
            missing.by_need.insert(item.need, object.clone());
            missing.items.insert(object, item);
        }
        missing
    }

    /// The wire form.
    pub fn wire(&self) -> PgMissing {
        PgMissing { items: self.items.clone(), may_include_deletes: true, ..PgMissing::default() }
    }

    /// True when nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many objects.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// What is missing of an object.
    pub fn get(&self, object: &HObject) -> Option<&MissingItem> {
        self.items.get(object)
    }

    /// True if the object is missing.
    pub fn contains(&self, object: &HObject) -> bool {
        self.items.contains_key(object)
    }

    /// Missing objects in object order.
    pub fn iter(&self) -> impl Iterator<Item = (&HObject, &MissingItem)> {
        self.items.iter()
    }

    /// Missing objects in the order of the log.
    pub fn by_need(&self) -> impl Iterator<Item = (&EVersion, &HObject)> {
        self.by_need.iter()
    }

    /// The oldest version needed.
    pub fn first_need(&self) -> Option<EVersion> {
        self.by_need.keys().next().copied()
    }

    /// The object is missing at `need`; the copy on disk, if any, is of version `have`.
    pub fn add(&mut self, object: &HObject, need: EVersion, have: EVersion, delete: bool) {
        let item = MissingItem { need, have, clean_regions: all_dirty(), ..MissingItem::default() };
        self.put(object, with_delete(item, delete));
    }

    /// A log entry was added to the copy's log without its change of the object.
    pub fn add_entry(&mut self, entry: &PgLogEntry) {
        if entry.op == LogOp::Error {
            return;
        }
        let delete = entry.is_delete();
        let fresh = entry.prior_version == EVersion::ZERO || entry.op == LogOp::Clone;
        let mut item = match self.items.get(&entry.soid) {
            Some(old) => old.clone(),
            None => MissingItem {
                have: if fresh { EVersion::ZERO } else { entry.prior_version },
                clean_regions: all_dirty(),
                ..MissingItem::default()
            },
        };
        item.need = entry.version;
        self.put(&entry.soid, with_delete(item, delete));
    }

    /// What is needed changed to an older version.
    pub(super) fn revise_need(&mut self, object: &HObject, need: EVersion) {
        if let Some(mut item) = self.items.get(object).cloned() {
            item.need = need;
            self.put(object, with_delete(item, false));
        }
    }

    /// The copy on disk is gone or not to be trusted.
    pub(crate) fn forget_have(&mut self, object: &HObject) {
        if let Some(mut item) = self.items.get(object).cloned() {
            item.have = EVersion::ZERO;
            item.clean_regions = all_dirty();
            self.put(object, item);
        }
    }

    fn put(&mut self, object: &HObject, item: MissingItem) {
        self.remove(object);
        self.by_need.insert(item.need, object.clone());
        let mut value = seabed_denc::BytesMut::new();
        object.encode(&mut value, WIRE);
        item.encode(&mut value, WIRE);
        self.dirty.insert(missing_key(object), Some(value.freeze()));
        self.items.insert(object.clone(), item);
    }

    /// The object is no longer missing. Returns what it was.
    pub fn remove(&mut self, object: &HObject) -> Option<MissingItem> {
        let item = self.items.remove(object)?;
        if self.by_need.get(&item.need) == Some(object) {
            self.by_need.remove(&item.need);
        }
        self.dirty.insert(missing_key(object), None);
        Some(item)
    }

    /// The object arrived at version `have`; false if that is not enough.
    pub fn got(&mut self, object: &HObject, have: EVersion) -> bool {
        match self.items.get(object) {
            Some(item) if item.need <= have => self.remove(object).is_some(),
            Some(_) => false,
            None => true,
        }
    }

    /// Nothing is missing any more.
    pub fn clear(&mut self) {
        let objects: Vec<_> = self.items.keys().cloned().collect();
        for object in objects {
            self.remove(&object);
        }
    }

    /// Keys to set or remove in the meta object since the last call.
    pub fn take_dirty(&mut self) -> BTreeMap<Bytes, Option<Bytes>> {
        std::mem::take(&mut self.dirty)
    }
}

/// No region of the copy on disk may be kept: objects are recovered whole.
fn all_dirty() -> CleanRegions {
    CleanRegions::dirty()
}

fn with_delete(mut item: MissingItem, delete: bool) -> MissingItem {
    item.flags = if delete { MissingItem::DELETE } else { 0 };
    item
}
