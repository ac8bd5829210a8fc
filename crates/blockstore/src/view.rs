//! What reads see: the key-value store and the device, and over them, in memory, the records and
//! blocks of transactions that have not reached them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use seabed_cluster::GhObject;
use seabed_denc::Decode;
use seabed_storage::{BlockDevice, KeyValue, KvPairs, StoreError};

use crate::BLOCK;
use crate::checksum::checksum;
use crate::extent::Slot;

/// Changed records: the value, gone if `None`, and the transaction that changed it last.
pub(crate) type Layer = BTreeMap<Bytes, (u64, Option<Bytes>)>;

/// Blocks being written: pieces of whole blocks by their first block.
pub(crate) type InFlight = BTreeMap<u64, Bytes>;

/// Pairs fetched at a time while a scan looks for those it wants.
const SCAN_STEP: usize = 256;

/// The store beneath and what lies over it, the topmost last.
pub(crate) struct View<'a, K, D> {
    pub(crate) kv: &'a K,
    pub(crate) device: &'a D,
    pub(crate) layers: [&'a Layer; 2],
    pub(crate) in_flight: [&'a InFlight; 2],
}

impl<K: KeyValue, D: BlockDevice> View<'_, K, D> {
    /// A record.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        for layer in self.layers.iter().rev() {
            if let Some((_, value)) = layer.get(key) {
                return Ok(value.clone());
            }
        }
        Ok(self.kv.get(key)?)
    }

    /// A record, decoded.
    pub(crate) fn decode<T: Decode>(
        &self,
        what: &'static str,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        decode(what, bytes).map(Some)
    }

    /// At most `max` records from `from` (inclusive) to `to` (exclusive).
    pub(crate) fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<KvPairs, StoreError> {
        let mut found = KvPairs::new();
        let mut from = Bytes::copy_from_slice(from);
        while found.len() < max && from < to {
            let step = (max - found.len()).clamp(1, SCAN_STEP);
            let page = self.kv.scan(&from, to, step)?;
            // Beyond the last pair of a full page the store may hold more.
            let end = match page.last() {
                Some((last, _)) if page.len() == step => crate::keys::next(last),
                _ => Bytes::copy_from_slice(to),
            };
            found.extend(self.merge(page, &from, &end));
            from = end;
        }
        found.truncate(max);
        Ok(found)
    }

    /// A page of the store with the layers over it.
    fn merge(&self, page: KvPairs, from: &Bytes, end: &Bytes) -> KvPairs {
        if self.layers.iter().all(|l| l.range(from.clone()..end.clone()).next().is_none()) {
            return page;
        }
        let mut merged: BTreeMap<Bytes, Bytes> = page.into_iter().collect();
        for layer in self.layers {
            for (key, (_, value)) in layer.range(from.clone()..end.clone()) {
                match value {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
        }
        merged.into_iter().collect()
    }

    /// A block that is on its way to the device.
    fn in_flight_block(&self, block: u64) -> Option<Bytes> {
        self.in_flight.iter().rev().find_map(|map| {
            let (&start, piece) = map.range(..=block).next_back()?;
            let at = (block - start) * BLOCK;
            if at >= piece.len() as u64 {
                return None;
            }
            let at = at as usize;
            Some(piece.slice(at..at + BLOCK as usize))
        })
    }

    /// The bytes of slots, each compared with its checksum. `slots` names the block of the object
    /// that each belongs to.
    pub(crate) fn load(
        &self,
        object: &GhObject,
        slots: &[(u64, Slot)],
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut blocks: Vec<Option<Bytes>> =
            slots.iter().map(|(_, slot)| self.in_flight_block(slot.block)).collect();
        // Ranges contiguous on the device: the first slot of each and how many.
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for i in (0..slots.len()).filter(|&i| blocks[i].is_none()) {
            match ranges.last_mut() {
                Some((first, n))
                    if *first + *n == i && slots[i - 1].1.block + 1 == slots[i].1.block =>
                {
                    *n += 1;
                }
                _ => ranges.push((i, 1)),
            }
        }
        let wanted: Vec<(u64, u64)> = ranges
            .iter()
            .map(|&(first, n)| (slots[first].1.block * BLOCK, n as u64 * BLOCK))
            .collect();
        let read = self.device.read_many(&wanted)?;
        for (&(first, n), bytes) in ranges.iter().zip(read) {
            for i in 0..n {
                let at = i * BLOCK as usize;
                let block = bytes.slice(at..at + BLOCK as usize);
                let (logical, slot) = slots[first + i];
                let sum = checksum(&block);
                if sum != slot.checksum {
                    return Err(StoreError::ChecksumMismatch {
                        object: Box::new(object.clone()),
                        offset: logical * BLOCK,
                        stored: slot.checksum,
                        read: sum,
                    });
                }
                blocks[first + i] = Some(block);
            }
        }
        Ok(blocks.into_iter().flatten().collect())
    }

    /// A range of an object whose slots over that range are given; holes are zeros.
    pub(crate) fn assemble(
        &self,
        object: &GhObject,
        slots: &[(u64, Slot)],
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let blocks = self.load(object, slots)?;
        if let [block] = &blocks[..]
            && offset / BLOCK == slots[0].0
            && offset % BLOCK + length <= BLOCK
        {
            let at = (offset % BLOCK) as usize;
            return Ok(block.slice(at..at + length as usize));
        }
        let end = offset + length;
        let mut out = BytesMut::zeroed(length as usize);
        for ((logical, _), block) in slots.iter().zip(blocks) {
            let start = logical * BLOCK;
            let (from, to) = (start.max(offset), (start + BLOCK).min(end));
            if from < to {
                out[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&block[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(out.freeze())
    }
}

/// Decodes a record.
pub(crate) fn decode<T: Decode>(what: &'static str, bytes: Bytes) -> Result<T, StoreError> {
    T::from_bytes(bytes).map_err(|source| StoreError::Corrupt { what, source })
}
