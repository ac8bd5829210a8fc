//! The store: transactions in, durable transactions out, and reads of what lies between.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};
use seabed_storage::{
    BlockDevice, Io, IoCompletion, IoId, KeyValue, ObjectStore, StoreError, Transaction, TxId,
};

use crate::allocator::Allocator;
use crate::cache::Cache;
use crate::extent::{SEGMENT_BLOCKS, Segment, Slot, place};
use crate::label::Label;
use crate::onode::{Onode, Super};
use crate::prepare::{Collections, DataWrite, Parts, Prepared, prepare};
use crate::shared::SharedMap;
use crate::txn::{Group, Pipeline, Stage, Txn};
use crate::view::{InFlight, Layer, View};
use crate::{BLOCK, keys};

type Result<T> = std::result::Result<T, StoreError>;

/// Onodes kept decoded: some ten megabytes at a kilobyte each.
const ONODES_MAX: usize = 8192;
/// Segments kept decoded, each of up to 128 slots: some twenty megabytes.
const SEGMENTS_MAX: usize = 8192;

/// What opening found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) label: Label,
    pub(crate) super_record: Super,
    pub(crate) collections: Collections,
    pub(crate) shared: SharedMap,
    pub(crate) allocator: Allocator,
    pub(crate) stored_blocks: u64,
}

/// An object store on a device `D` with its records in `K`.
#[derive(Debug)]
pub struct BlockStore<K, D> {
    pub(crate) kv: K,
    pub(crate) device: D,
    pub(crate) label: Label,
    pub(crate) allocator: Allocator,
    pub(crate) shared: SharedMap,
    pub(crate) collections: Collections,
    super_record: Super,
    next_object_id: u64,
    pub(crate) stored_blocks: u64,
    /// Records of transactions that are not durable.
    layer: Layer,
    /// Blocks whose write is not complete.
    in_flight: InFlight,
    /// Nothing, where a view wants a second layer.
    nothing: (Layer, InFlight),
    pub(crate) pipeline: Pipeline,
    onodes: RefCell<Cache<Bytes, Onode>>,
    segments: RefCell<Cache<(u64, u32), Segment>>,
    last: TxId,
    dead: bool,
}

impl<K: KeyValue, D: BlockDevice> BlockStore<K, D> {
    pub(crate) fn new(kv: K, device: D, opened: Opened) -> Self {
        BlockStore {
            kv,
            device,
            label: opened.label,
            allocator: opened.allocator,
            shared: opened.shared,
            collections: opened.collections,
            next_object_id: opened.super_record.object_id_limit,
            super_record: opened.super_record,
            stored_blocks: opened.stored_blocks,
            layer: Layer::new(),
            in_flight: InFlight::new(),
            nothing: Default::default(),
            pipeline: Pipeline::default(),
            onodes: RefCell::new(Cache::new(ONODES_MAX)),
            segments: RefCell::new(Cache::new(SEGMENTS_MAX)),
            last: TxId(0),
            dead: false,
        }
    }

    /// Whose store this is.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The device, to be steered by a test or its completions awaited by a shell.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The key-value store, likewise.
    pub fn kv_mut(&mut self) -> &mut K {
        &mut self.kv
    }

    /// The device and the key-value store, without whatever was not durable.
    pub fn into_parts(self) -> (K, D) {
        (self.kv, self.device)
    }

    /// Waits until everything submitted is durable; for shutting down and for tools.
    pub fn settle(&mut self) -> Result<Vec<TxId>> {
        let mut durable = Vec::new();
        loop {
            durable.extend(self.committed()?);
            if self.pipeline.queue.is_empty() {
                return Ok(durable);
            }
            self.device.wait();
            if let Some(Group { stage: Stage::Syncing(_), .. }) = self.pipeline.group {
                // An empty batch behind the group's waits for it.
                let done = self.kv.write(Default::default());
                self.alive(done.map_err(Into::into))?;
            }
        }
    }

    pub(crate) fn check_alive(&self) -> Result<()> {
        if self.dead { Err(StoreError::Dead) } else { Ok(()) }
    }

    /// Notes a failure after which nothing may be written any more.
    pub(crate) fn alive<T>(&mut self, result: Result<T>) -> Result<T> {
        self.dead |= matches!(
            result,
            Err(StoreError::Device(_) | StoreError::KeyValue(_) | StoreError::Inconsistent(_))
        );
        result
    }

    pub(crate) fn view(&self) -> View<'_, K, D> {
        View {
            kv: &self.kv,
            device: &self.device,
            layers: [&self.nothing.0, &self.layer],
            in_flight: [&self.nothing.1, &self.in_flight],
        }
    }

    pub(crate) fn prepare(&mut self, tx: &Transaction) -> Result<Prepared> {
        let parts = Parts {
            kv: &self.kv,
            device: &self.device,
            layer: &self.layer,
            in_flight: &self.in_flight,
            collections: &self.collections,
            onodes: &self.onodes,
            segments: &self.segments,
            allocator: &mut self.allocator,
            shared: &mut self.shared,
            next_object_id: &mut self.next_object_id,
            super_record: self.super_record,
        };
        prepare(parts, tx)
    }

    /// Makes a prepared transaction visible and sends its data on its way.
    pub(crate) fn start(&mut self, prepared: Prepared) -> Result<TxId> {
        self.last.0 += 1;
        let id = self.last;
        for (key, value) in &prepared.records {
            self.layer.insert(key.clone(), (id.0, value.clone()));
        }
        self.in_flight.extend(prepared.in_flight);
        let onodes = self.onodes.get_mut();
        for (key, onode) in prepared.onodes {
            match onode {
                Some(onode) => onodes.insert(key, onode),
                None => onodes.remove(&key),
            }
        }
        let segments = self.segments.get_mut();
        prepared.segments.into_iter().for_each(|(key, s)| segments.insert(key, s));
        if let Some(collections) = prepared.collections {
            self.collections = collections;
        }
        self.super_record = prepared.super_record;
        self.stored_blocks = self.stored_blocks.saturating_add_signed(prepared.stored_blocks);
        let writes = join(prepared.writes);
        self.pipeline.queue.push_back(Txn {
            id,
            records: prepared.records,
            writes: writes.len(),
            has_data: !writes.is_empty(),
            freed: prepared.freed,
        });
        for DataWrite { block, pieces } in writes {
            let mut at = block;
            let mut starts = Vec::with_capacity(pieces.len());
            for piece in &pieces {
                starts.push(at);
                at += piece.len() as u64 / BLOCK;
            }
            let io = self.device.submit(Io::Write { offset: block * BLOCK, data: pieces })?;
            self.pipeline.writes.insert(io, (id, starts));
        }
        self.start_group()?;
        Ok(id)
    }

    /// Begins to make the oldest transactions durable, if none are under way.
    fn start_group(&mut self) -> Result<()> {
        if self.pipeline.group.is_some() {
            return Ok(());
        }
        let (count, has_data) = self.pipeline.ready();
        if count == 0 {
            return Ok(());
        }
        let stage = if has_data {
            Stage::Flushing(self.device.submit(Io::Flush)?)
        } else {
            Stage::Syncing(self.kv.submit(self.pipeline.batch(count))?)
        };
        self.pipeline.group = Some(Group { count, stage });
        Ok(())
    }

    pub(crate) fn pump(&mut self) -> Result<()> {
        for done in self.device.poll() {
            self.device_done(done)?;
        }
        while let Some(Group { count, stage: Stage::Syncing(id) }) = self.pipeline.group {
            if self.kv.completed()? < id {
                break;
            }
            self.finish_group(count)?;
            self.start_group()?;
        }
        self.start_group()
    }

    fn device_done(&mut self, done: IoCompletion) -> Result<()> {
        done.result?;
        if let Some(blocks) = self.pipeline.written(done.id) {
            for block in blocks {
                self.in_flight.remove(&block);
            }
        } else if self.is_flush(done.id)
            && let Some(group) = &self.pipeline.group
        {
            let count = group.count;
            let id = self.kv.submit(self.pipeline.batch(count))?;
            self.pipeline.group = Some(Group { count, stage: Stage::Syncing(id) });
        }
        Ok(())
    }

    fn is_flush(&self, io: IoId) -> bool {
        self.pipeline.group.is_some_and(|g| g.stage == Stage::Flushing(io))
    }

    /// The group is durable: its records are read from the key-value store from now on, and what
    /// it freed may be used.
    fn finish_group(&mut self, count: usize) -> Result<()> {
        self.pipeline.group = None;
        for txn in self.pipeline.queue.drain(..count) {
            for (key, _) in &txn.records {
                if self.layer.get(key).is_some_and(|(by, _)| *by == txn.id.0) {
                    self.layer.remove(key);
                }
            }
            for run in txn.freed {
                if !self.allocator.release(run) {
                    return Err(StoreError::Inconsistent("a block freed twice"));
                }
            }
            self.pipeline.durable.push(txn.id);
        }
        Ok(())
    }

    pub(crate) fn bits(&self, c: &Collection) -> Result<u32> {
        self.check_alive()?;
        self.collections.get(c).copied().ok_or_else(|| StoreError::NoCollection(Box::new(*c)))
    }

    pub(crate) fn onode(&self, c: &Collection, o: &GhObject) -> Result<Arc<Onode>> {
        let missing = || StoreError::NoObject(Box::new(o.clone()));
        if !c.may_hold(self.bits(c)?, o) {
            return Err(missing());
        }
        let key = keys::object(c, o);
        if let Some(onode) = self.onodes.borrow_mut().get(&key) {
            return Ok(onode);
        }
        let onode = self.view().decode("onode", &key)?.ok_or_else(missing)?;
        let onode = Arc::new(onode);
        self.onodes.borrow_mut().insert(key, Arc::clone(&onode));
        Ok(onode)
    }

    fn segment(&self, id: u64, number: u32) -> Result<Arc<Segment>> {
        if let Some(segment) = self.segments.borrow_mut().get(&(id, number)) {
            return Ok(segment);
        }
        let record = self.view().decode("extents", &keys::extents(id, number))?;
        let segment: Arc<Segment> = Arc::new(record.unwrap_or_default());
        self.segments.borrow_mut().insert((id, number), Arc::clone(&segment));
        Ok(segment)
    }

    /// The slots of an object's blocks from `first` to `last`, from existing segments only.
    pub(crate) fn slots(&self, id: u64, first: u64, last: u64) -> Result<Vec<(u64, Slot)>> {
        let (low, high) = (place(first).0, place(last).0);
        let numbers: Vec<u32> = if high - low < 4 {
            (low..=high).collect()
        } else {
            // A large range may be mostly holes.
            let (from, _) = keys::extents_from(id, low);
            let to = keys::next(&keys::extents(id, high));
            let stored = self.view().scan(&from, &to, usize::MAX)?;
            stored.iter().filter_map(|(k, _)| Some(keys::parse_extents(k)?.1)).collect()
        };
        let mut found = Vec::new();
        for number in numbers {
            let base = u64::from(number) * SEGMENT_BLOCKS;
            let segment = self.segment(id, number)?;
            found.extend(
                segment
                    .slots
                    .iter()
                    .map(|(&index, &slot)| (base + u64::from(index), slot))
                    .filter(|(logical, _)| (first..=last).contains(logical)),
            );
        }
        Ok(found)
    }

    pub(crate) fn read_onode(
        &self,
        o: &GhObject,
        onode: &Onode,
        offset: u64,
        length: u64,
    ) -> Result<Bytes> {
        let length = length.min(onode.size.saturating_sub(offset));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let slots = self.slots(onode.id, offset / BLOCK, (offset + length - 1) / BLOCK)?;
        self.view().assemble(o, &slots, offset, length)
    }
}

/// Joins writes that lie behind each other on the device.
fn join(mut writes: Vec<DataWrite>) -> Vec<DataWrite> {
    writes.sort_by_key(|w| w.block);
    let mut joined: Vec<DataWrite> = Vec::with_capacity(writes.len());
    let mut end = 0;
    for write in writes {
        let blocks = write.pieces.iter().map(|p| p.len() as u64 / BLOCK).sum::<u64>();
        let start = write.block;
        match joined.last_mut() {
            Some(last) if end == start => last.pieces.extend(write.pieces),
            _ => joined.push(write),
        }
        end = start + blocks;
    }
    joined
}
