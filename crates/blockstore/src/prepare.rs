//! Preparing a transaction: what it changes, worked out in memory before anything is submitted.
//!
//! Invariant: a transaction that fails half-way leaves no trace but taken object numbers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};
use seabed_denc::Encode;
use seabed_storage::{BlockDevice, KeyValue, StoreError, Transaction, TxEntry, TxOp};

use crate::allocator::Allocator;
use crate::cache::Cache;
use crate::extent::Segment;
use crate::keys;
use crate::onode::{AllocHint, Onode, Super};
use crate::shared::SharedMap;
use crate::view::{InFlight, Layer, View};
use crate::{BLOCK, Run};

type Result<T = ()> = std::result::Result<T, StoreError>;

/// Object numbers taken from the super record at a time, so that it is rarely rewritten.
const OBJECT_IDS_STEP: u64 = 4096;

/// Omap records looked at in one step of a walk over all of them.
const OMAP_STEP: usize = 512;

/// Collections and their bits.
pub(crate) type Collections = BTreeMap<Collection, u32>;

/// Pieces of whole blocks to be written one behind the other.
#[derive(Debug)]
pub(crate) struct DataWrite {
    pub(crate) block: u64,
    pub(crate) pieces: Vec<Bytes>,
}

/// The parts of the store that a transaction changes in memory, and those it reads.
pub(crate) struct Parts<'a, K, D> {
    pub(crate) kv: &'a K,
    pub(crate) device: &'a D,
    pub(crate) layer: &'a Layer,
    pub(crate) in_flight: &'a InFlight,
    pub(crate) collections: &'a Collections,
    pub(crate) onodes: &'a RefCell<Cache<Bytes, Onode>>,
    pub(crate) segments: &'a RefCell<Cache<(u64, u32), Segment>>,
    pub(crate) allocator: &'a mut Allocator,
    pub(crate) shared: &'a mut SharedMap,
    pub(crate) next_object_id: &'a mut u64,
    pub(crate) super_record: Super,
}

/// What became of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) records: Vec<(Bytes, Option<Bytes>)>,
    pub(crate) writes: Vec<DataWrite>,
    pub(crate) in_flight: InFlight,
    pub(crate) freed: Vec<Run>,
    pub(crate) onodes: BTreeMap<Bytes, Option<Arc<Onode>>>,
    pub(crate) segments: BTreeMap<(u64, u32), Arc<Segment>>,
    pub(crate) collections: Option<Collections>,
    pub(crate) stored_blocks: i64,
    pub(crate) super_record: Super,
}

/// A transaction being prepared.
pub(crate) struct Prepare<'a, K, D> {
    kv: &'a K,
    device: &'a D,
    below: &'a Layer,
    in_flight_below: &'a InFlight,
    onode_cache: &'a RefCell<Cache<Bytes, Onode>>,
    segment_cache: &'a RefCell<Cache<(u64, u32), Segment>>,
    collections_below: &'a Collections,
    allocator: &'a mut Allocator,
    pub(crate) shared: &'a mut SharedMap,
    next_object_id: &'a mut u64,
    super_record: Super,
    index: usize,
    pub(crate) layer: Layer,
    onodes: BTreeMap<Bytes, Option<Onode>>,
    segments: BTreeMap<(u64, u32), (Segment, bool)>,
    pub(crate) collections: Option<Collections>,
    pub(crate) in_flight: InFlight,
    pub(crate) writes: Vec<DataWrite>,
    pub(crate) freed: Vec<Run>,
    allocated: Vec<Run>,
    pub(crate) stored_blocks: i64,
    /// Collections that became smaller, with their bits before.
    pub(crate) shrunk: Vec<(Collection, u32)>,
}

/// Prepares a transaction, or takes back all it did.
pub(crate) fn prepare<K: KeyValue, D: BlockDevice>(
    parts: Parts<'_, K, D>,
    tx: &Transaction,
) -> Result<Prepared> {
    let mut p = Prepare {
        kv: parts.kv,
        device: parts.device,
        below: parts.layer,
        in_flight_below: parts.in_flight,
        onode_cache: parts.onodes,
        segment_cache: parts.segments,
        collections_below: parts.collections,
        allocator: parts.allocator,
        shared: parts.shared,
        next_object_id: parts.next_object_id,
        super_record: parts.super_record,
        index: 0,
        layer: Layer::new(),
        onodes: BTreeMap::new(),
        segments: BTreeMap::new(),
        collections: None,
        in_flight: InFlight::new(),
        writes: Vec::new(),
        freed: Vec::new(),
        allocated: Vec::new(),
        stored_blocks: 0,
        shrunk: Vec::new(),
    };
    match p.run(tx) {
        Ok(()) => Ok(p.finish()),
        Err(e) => {
            p.take_back()?;
            Err(e)
        }
    }
}

impl<K: KeyValue, D: BlockDevice> Prepare<'_, K, D> {
    fn run(&mut self, tx: &Transaction) -> Result {
        for (index, entry) in tx.ops.iter().enumerate() {
            self.index = index;
            self.entry(entry)?;
        }
        self.index = tx.ops.len();
        self.check_shrunk()?;
        self.settle();
        Ok(())
    }

    fn finish(mut self) -> Prepared {
        for (start, record) in self.shared.settle() {
            self.layer.insert(keys::shared(start), (0, record));
        }
        let onodes = std::mem::take(&mut self.onodes).into_iter();
        let segments = std::mem::take(&mut self.segments).into_iter();
        Prepared {
            records: self.layer.into_iter().map(|(k, (_, v))| (k, v)).collect(),
            writes: self.writes,
            in_flight: self.in_flight,
            freed: self.freed,
            onodes: onodes.map(|(k, o)| (k, o.map(Arc::new))).collect(),
            segments: segments.map(|(k, (s, _))| (k, Arc::new(s))).collect(),
            collections: self.collections,
            stored_blocks: self.stored_blocks,
            super_record: self.super_record,
        }
    }

    fn take_back(&mut self) -> Result {
        self.shared.undo();
        for run in self.allocated.drain(..) {
            if !self.allocator.release(run) {
                return Err(StoreError::Inconsistent("a block freed twice"));
            }
        }
        Ok(())
    }

    /// Writes changed onodes and segments into the layer.
    pub(crate) fn settle(&mut self) {
        for (key, onode) in &self.onodes {
            let record = onode.as_ref().map(|o| o.to_bytes(0));
            self.layer.insert(key.clone(), (0, record));
        }
        for (&(id, number), (segment, changed)) in &self.segments {
            if *changed {
                let record = (!segment.slots.is_empty()).then(|| segment.to_bytes(0));
                self.layer.insert(keys::extents(id, number), (0, record));
            }
        }
    }

    /// What this transaction sees.
    pub(crate) fn view(&self) -> View<'_, K, D> {
        View {
            kv: self.kv,
            device: self.device,
            layers: [self.below, &self.layer],
            in_flight: [self.in_flight_below, &self.in_flight],
        }
    }

    pub(crate) fn invalid(&self, reason: &'static str) -> StoreError {
        StoreError::InvalidTransaction { index: self.index, reason }
    }

    pub(crate) fn allocate(&mut self, blocks: u64) -> Result<Vec<Run>> {
        let free = self.allocator.free();
        let runs = self.allocator.allocate(blocks);
        let runs =
            runs.ok_or(StoreError::NoSpace { wanted: blocks * BLOCK, free: free * BLOCK })?;
        self.allocated.extend(&runs);
        Ok(runs)
    }

    pub(crate) fn collections(&self) -> &Collections {
        self.collections.as_ref().unwrap_or(self.collections_below)
    }

    pub(crate) fn collections_mut(&mut self) -> &mut Collections {
        self.collections.get_or_insert_with(|| self.collections_below.clone())
    }

    pub(crate) fn bits(&self, c: &Collection) -> Result<u32> {
        let bits = self.collections().get(c).copied();
        bits.ok_or_else(|| self.invalid("the collection does not exist"))
    }

    fn load_segment(&mut self, id: u64, number: u32) -> Result<&mut (Segment, bool)> {
        if !self.segments.contains_key(&(id, number)) {
            let cached = self.segment_cache.borrow_mut().get(&(id, number));
            let segment = match cached {
                Some(segment) => (*segment).clone(),
                None => {
                    self.view().decode("extents", &keys::extents(id, number))?.unwrap_or_default()
                }
            };
            self.segments.insert((id, number), (segment, false));
        }
        self.segments.get_mut(&(id, number)).ok_or(StoreError::Inconsistent("a segment vanished"))
    }

    pub(crate) fn segment(&mut self, id: u64, number: u32) -> Result<&Segment> {
        Ok(&self.load_segment(id, number)?.0)
    }

    pub(crate) fn segment_mut(&mut self, id: u64, number: u32) -> Result<&mut Segment> {
        let (segment, changed) = self.load_segment(id, number)?;
        *changed = true;
        Ok(segment)
    }

    /// The numbers of the segments that hold blocks, from `first` to `last`.
    pub(crate) fn segments_from(&self, id: u64, first: u32, last: u32) -> Result<Vec<u32>> {
        let (from, to) = keys::extents_from(id, first);
        let stored = self.view().scan(&from, &to, usize::MAX)?;
        let stored = stored.iter().filter_map(|(k, _)| Some(keys::parse_extents(k)?.1));
        let changed = self.segments.range((id, first)..=(id, last)).map(|(&(_, n), _)| n);
        let mut numbers: Vec<u32> = stored.chain(changed).filter(|n| *n <= last).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn find(&mut self, c: &Collection, o: &GhObject) -> Result<Option<Onode>> {
        let bits = self.bits(c)?;
        if !c.may_hold(bits, o) {
            return Ok(None);
        }
        let key = keys::object(c, o);
        if let Some(known) = self.onodes.get(&key) {
            return Ok(known.clone());
        }
        if let Some(onode) = self.onode_cache.borrow_mut().get(&key) {
            return Ok(Some((*onode).clone()));
        }
        self.view().decode("onode", &key)
    }

    fn find_or_create(&mut self, c: &Collection, o: &GhObject) -> Result<Onode> {
        if let Some(onode) = self.find(c, o)? {
            return Ok(onode);
        }
        if !c.may_hold(self.bits(c)?, o) {
            return Err(self.invalid("the object does not belong in the collection"));
        }
        Ok(Onode { id: self.new_id(), ..Onode::default() })
    }

    fn existing(&mut self, c: &Collection, o: &GhObject) -> Result<Onode> {
        match self.find(c, o)? {
            Some(onode) => Ok(onode),
            None => Err(self.invalid("the object does not exist")),
        }
    }

    fn new_id(&mut self) -> u64 {
        let id = *self.next_object_id;
        *self.next_object_id += 1;
        if id >= self.super_record.object_id_limit {
            self.super_record.object_id_limit = id + OBJECT_IDS_STEP;
            let record = self.super_record.to_bytes(0);
            self.layer.insert(Bytes::from_static(keys::SUPER), (0, Some(record)));
        }
        id
    }

    fn put(&mut self, c: &Collection, o: &GhObject, onode: Option<Onode>) {
        self.onodes.insert(keys::object(c, o), onode);
    }

    fn entry(&mut self, entry: &TxEntry) -> Result {
        match &entry.object {
            None => self.collection_op(&entry.collection, &entry.op),
            Some(o) if !entry.op.is_collection_op() => {
                self.object_op(&entry.collection, o, &entry.op)
            }
            Some(_) => Err(self.invalid("an operation on a collection names an object")),
        }
    }

    fn object_op(&mut self, c: &Collection, o: &GhObject, op: &TxOp) -> Result {
        match op {
            TxOp::Touch | TxOp::Create => {
                let onode = self.find_or_create(c, o)?;
                self.put(c, o, Some(onode));
            }
            TxOp::Write { offset, data } => {
                let mut onode = self.find_or_create(c, o)?;
                self.write(o, &mut onode, *offset, data.clone())?;
                self.put(c, o, Some(onode));
            }
            TxOp::Zero { offset, length } => {
                let mut onode = self.find_or_create(c, o)?;
                self.zero(o, &mut onode, *offset, *length)?;
                self.put(c, o, Some(onode));
            }
            TxOp::Truncate { size } => {
                if let Some(mut onode) = self.find(c, o)? {
                    self.truncate(o, &mut onode, *size)?;
                    self.put(c, o, Some(onode));
                }
            }
            TxOp::Remove => self.remove(c, o)?,
            TxOp::Clone { to } => self.clone_object(c, o, to)?,
            TxOp::CloneRange { to, offset, length, to_offset } => {
                let from = self.existing(c, o)?;
                if offset.checked_add(*length).is_none_or(|end| end > from.size) {
                    return Err(self.invalid("a cloned range outside its source"));
                }
                let mut onode = self.find_or_create(c, to)?;
                self.copy_range((o, &from), (to, &mut onode), (*offset, *length, *to_offset))?;
                self.put(c, to, Some(onode));
            }
            TxOp::MoveRename { to_collection, to } => self.rename(c, o, to_collection, to)?,
            TxOp::TryRename { to } => {
                if self.find(c, o)?.is_some() {
                    self.rename(c, o, c, to)?;
                }
            }
            _ => {
                let mut onode = self.existing(c, o)?;
                self.names(&mut onode, op)?;
                self.put(c, o, Some(onode));
            }
        }
        Ok(())
    }

    fn remove(&mut self, c: &Collection, o: &GhObject) -> Result {
        let Some(onode) = self.find(c, o)? else { return Ok(()) };
        self.drop_data(onode.id)?;
        self.clear_omap(&onode)?;
        self.put(c, o, None);
        Ok(())
    }

    fn clone_object(&mut self, c: &Collection, o: &GhObject, to: &GhObject) -> Result {
        let from = self.existing(c, o)?;
        if o == to {
            return Err(self.invalid("an object cloned onto itself"));
        }
        if !c.may_hold(self.bits(c)?, to) {
            return Err(self.invalid("the object does not belong in the collection"));
        }
        self.remove(c, to)?;
        let copy = Onode { id: self.new_id(), ..from.clone() };
        self.share_all(from.id, copy.id)?;
        if from.has_omap {
            self.walk_omap(from.id, |this, key, value| {
                this.layer.insert(keys::omap(copy.id, key), (0, Some(value)));
            })?;
        }
        self.put(c, to, Some(copy));
        Ok(())
    }

    fn rename(&mut self, c: &Collection, o: &GhObject, to_c: &Collection, to: &GhObject) -> Result {
        if self.find(to_c, to)?.is_some() {
            return Err(self.invalid("the new name is taken"));
        }
        let onode = self.existing(c, o)?;
        if !to_c.may_hold(self.bits(to_c)?, to) {
            return Err(self.invalid("the object does not belong in the collection"));
        }
        self.put(c, o, None);
        self.put(to_c, to, Some(onode));
        Ok(())
    }

    /// Calls `f` with every omap key and value of an object as of now.
    fn walk_omap(&mut self, id: u64, mut f: impl FnMut(&mut Self, &[u8], Bytes)) -> Result {
        let (mut from, to) = keys::omap_of(id);
        loop {
            let page = self.view().scan(&from, &to, OMAP_STEP)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = keys::next(last);
            for (key, value) in page {
                f(self, &key[keys::OMAP_PREFIX..], value);
            }
        }
    }

    fn clear_omap(&mut self, onode: &Onode) -> Result {
        if !onode.has_omap {
            return Ok(());
        }
        let id = onode.id;
        self.walk_omap(id, |this, key, _| {
            this.layer.insert(keys::omap(id, key), (0, None));
        })
    }

    fn clear_omap_range(&mut self, id: u64, first: &[u8], last: &[u8]) -> Result {
        if first >= last {
            return Ok(());
        }
        let (from, to) = (keys::omap(id, first), keys::omap(id, last));
        for (key, _) in self.view().scan(&from, &to, usize::MAX)? {
            self.layer.insert(key, (0, None));
        }
        Ok(())
    }

    /// The operations on attributes and omap.
    fn names(&mut self, onode: &mut Onode, op: &TxOp) -> Result {
        match op {
            TxOp::SetAttr { name, value } => {
                onode.attrs.insert(own(name), own(value));
            }
            TxOp::SetAttrs(map) => {
                onode.attrs.extend(map.iter().map(|(k, v)| (own(k), own(v))));
            }
            TxOp::RmAttr { name } => {
                onode.attrs.remove(name);
            }
            TxOp::RmAttrs => onode.attrs.clear(),
            TxOp::OmapClear => {
                self.clear_omap(onode)?;
                onode.has_omap = false;
                onode.omap_header = Bytes::new();
            }
            TxOp::OmapSetKeys(map) => {
                onode.has_omap |= !map.is_empty();
                for (key, value) in map {
                    self.layer.insert(keys::omap(onode.id, key), (0, Some(value.clone())));
                }
            }
            TxOp::OmapRmKeys(names) if onode.has_omap => {
                for name in names {
                    self.layer.insert(keys::omap(onode.id, name), (0, None));
                }
            }
            TxOp::OmapRmKeyRange { first, last } if onode.has_omap => {
                self.clear_omap_range(onode.id, first, last)?;
            }
            TxOp::OmapSetHeader(header) => onode.omap_header = own(header),
            TxOp::SetAllocHint { expected_object_size, expected_write_size, flags } => {
                onode.hint = AllocHint {
                    object_size: *expected_object_size,
                    write_size: *expected_write_size,
                    flags: *flags,
                };
            }
            // Removals from an omap that is empty; all others went elsewhere.
            _ => {}
        }
        Ok(())
    }
}

/// A copy that stands alone. What a transaction brings are slices of a message, with megabytes of
/// data beside them, all of which a cached onode would hold.
fn own(slice: &Bytes) -> Bytes {
    Bytes::copy_from_slice(slice)
}
