//! The store as the port that placement groups see.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use seabed_cluster::{Collection, GhObject};
use seabed_storage::{
    BlockDevice, KeyValue, ObjectStat, ObjectStore, OmapPage, Room, StatFs, StoreError,
    Transaction, TxId,
};

use crate::store::BlockStore;
use crate::{BLOCK, RESERVED, keys};

type Result<T> = std::result::Result<T, StoreError>;

impl<K: KeyValue, D: BlockDevice> ObjectStore for BlockStore<K, D> {
    fn submit(&mut self, tx: Transaction) -> Result<TxId> {
        self.check_alive()?;
        let prepared = self.prepare(&tx);
        let prepared = self.alive(prepared)?;
        let started = self.start(prepared);
        self.alive(started)
    }

    fn committed(&mut self) -> Result<Vec<TxId>> {
        self.check_alive()?;
        let pumped = self.pump();
        self.alive(pumped)?;
        Ok(std::mem::take(&mut self.pipeline.durable))
    }

    fn in_flight(&self) -> usize {
        self.pipeline.queue.len() + self.pipeline.durable.len()
    }

    fn stat(&self, c: &Collection, o: &GhObject) -> Result<ObjectStat> {
        Ok(ObjectStat { size: self.onode(c, o)?.size })
    }

    fn read(&self, c: &Collection, o: &GhObject, offset: u64, length: u64) -> Result<Bytes> {
        let onode = self.onode(c, o)?;
        self.read_onode(o, &onode, offset, length)
    }

    fn extents(
        &self,
        c: &Collection,
        o: &GhObject,
        offset: u64,
        length: u64,
    ) -> Result<Vec<(u64, u64)>> {
        let onode = self.onode(c, o)?;
        let end = offset.saturating_add(length).min(onode.size);
        if offset >= end {
            return Ok(Vec::new());
        }
        let mut found: Vec<(u64, u64)> = Vec::new();
        for (logical, _) in self.slots(onode.id, offset / BLOCK, (end - 1) / BLOCK)? {
            let from = (logical * BLOCK).max(offset);
            let to = ((logical + 1) * BLOCK).min(end);
            match found.last_mut() {
                Some((start, len)) if *start + *len == from => *len += to - from,
                _ => found.push((from, to - from)),
            }
        }
        Ok(found)
    }

    fn get_attr(&self, c: &Collection, o: &GhObject, name: &[u8]) -> Result<Bytes> {
        self.onode(c, o)?.attrs.get(name).cloned().ok_or(StoreError::NoAttribute)
    }

    fn get_attrs(&self, c: &Collection, o: &GhObject) -> Result<BTreeMap<Bytes, Bytes>> {
        Ok(self.onode(c, o)?.attrs.clone())
    }

    fn omap_header(&self, c: &Collection, o: &GhObject) -> Result<Bytes> {
        Ok(self.onode(c, o)?.omap_header.clone())
    }

    fn omap_get(
        &self,
        c: &Collection,
        o: &GhObject,
        names: &[Bytes],
    ) -> Result<BTreeMap<Bytes, Bytes>> {
        let onode = self.onode(c, o)?;
        let view = self.view();
        let mut found = BTreeMap::new();
        for name in names.iter().filter(|_| onode.has_omap) {
            if let Some(value) = view.get(&keys::omap(onode.id, name))? {
                found.insert(name.clone(), value);
            }
        }
        Ok(found)
    }

    fn omap_range(
        &self,
        c: &Collection,
        o: &GhObject,
        start: Bound<&[u8]>,
        max: usize,
    ) -> Result<OmapPage> {
        let onode = self.onode(c, o)?;
        if !onode.has_omap {
            return Ok((Vec::new(), false));
        }
        let (all, to) = keys::omap_of(onode.id);
        let from = match start {
            Bound::Unbounded => all,
            Bound::Included(name) => keys::omap(onode.id, name),
            Bound::Excluded(name) => keys::next(&keys::omap(onode.id, name)),
        };
        let mut page = self.view().scan(&from, &to, max.saturating_add(1))?;
        let more = page.len() > max;
        page.truncate(max);
        let page = page.into_iter().map(|(k, v)| (k.slice(keys::OMAP_PREFIX..), v));
        Ok((page.collect(), more))
    }

    fn list(
        &self,
        c: &Collection,
        start: &GhObject,
        end: &GhObject,
        max: usize,
    ) -> Result<(Vec<GhObject>, GhObject)> {
        let bits = self.bits(c)?;
        let (first, behind) = (keys::object(c, start), keys::object(c, end));
        let mut found = Vec::new();
        for (from, to) in keys::objects_of(c, bits) {
            let (from, to) = (from.max(first.clone()), to.min(behind.clone()));
            let left = max.saturating_add(1) - found.len();
            for (key, _) in self.view().scan(&from, &to, left)? {
                let (_, o) = keys::parse_object(&key)
                    .ok_or(StoreError::Inconsistent("an object's key that is none"))?;
                found.push(o);
            }
        }
        let next = found.get(max).unwrap_or(end).clone();
        found.truncate(max);
        Ok((found, next))
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        self.check_alive()?;
        Ok(self.collections.keys().copied().collect())
    }

    fn collection_bits(&self, c: &Collection) -> Result<Option<u32>> {
        self.check_alive()?;
        Ok(self.collections.get(c).copied())
    }

    fn room(&self) -> Room {
        Room { total: self.label.size, available: self.allocator.free() * BLOCK }
    }

    fn statfs(&self) -> StatFs {
        let Room { total, available } = self.room();
        StatFs {
            total,
            available,
            allocated: total - RESERVED - available,
            stored: self.stored_blocks * BLOCK,
            omap: 0,
            meta: self.kv.size_bytes(),
        }
    }
}
