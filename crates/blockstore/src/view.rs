//! What reads see: the key-value store and the device, and over them, in memory, the records and
//! blocks of transactions that have not reached them.

use std::collections::BTreeMap;
use std::ops::Range;

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

    /// The bytes of slots, each block compared with its checksum: whole blocks that follow one
    /// another in the object, by the first of them.
    fn load(
        &self,
        object: &GhObject,
        slots: &[(u64, Slot)],
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let mut runs: Vec<Run> = Vec::new();
        for (i, (_, slot)) in slots.iter().enumerate() {
            let found = self.in_flight_block(slot.block);
            match runs.last_mut() {
                Some(last)
                    if found.is_none() && last.found.is_none() && follow(&slots[i - 1..]) =>
                {
                    last.slots.end += 1;
                }
                _ => runs.push(Run { slots: i..i + 1, found }),
            }
        }
        let on_device = runs.iter().filter(|run| run.found.is_none());
        let wanted: Vec<(u64, u64)> = on_device
            .map(|run| (slots[run.slots.start].1.block * BLOCK, run.slots.len() as u64 * BLOCK))
            .collect();
        let mut read = self.device.read_many(&wanted)?.into_iter();
        let mut pieces = Vec::with_capacity(runs.len());
        for run in runs {
            let slots = &slots[run.slots];
            let bytes = match run.found {
                Some(bytes) => bytes,
                None => compared(object, slots, read.next().expect("an answer for each range"))?,
            };
            pieces.push((slots[0].0, bytes));
        }
        Ok(pieces)
    }

    /// A range of an object whose slots over that range are given; holes are zeros. Nothing is
    /// copied where the range lies in one piece on the device.
    pub(crate) fn assemble(
        &self,
        object: &GhObject,
        slots: &[(u64, Slot)],
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let end = offset + length;
        let pieces = self.load(object, slots)?;
        if let [(first, piece)] = &pieces[..]
            && first * BLOCK <= offset
            && end <= first * BLOCK + piece.len() as u64
        {
            let at = (offset - first * BLOCK) as usize;
            return Ok(piece.slice(at..at + length as usize));
        }
        let mut out = BytesMut::zeroed(length as usize);
        for (first, piece) in pieces {
            let start = first * BLOCK;
            let (from, to) = (start.max(offset), (start + piece.len() as u64).min(end));
            if from < to {
                out[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&piece[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(out.freeze())
    }
}

/// Slots that are got as one piece: one that is on its way to the device, or a run on the device.
struct Run {
    slots: Range<usize>,
    found: Option<Bytes>,
}

/// Whether the first two slots are neighbours, in the object and on the device.
fn follow(slots: &[(u64, Slot)]) -> bool {
    let [(at, a), (next, b), ..] = slots else { return false };
    at + 1 == *next && a.block + 1 == b.block
}

/// The bytes of `slots` as they were read, if each block sums up to what it must.
fn compared(object: &GhObject, slots: &[(u64, Slot)], bytes: Bytes) -> Result<Bytes, StoreError> {
    for ((logical, slot), block) in slots.iter().zip(bytes.chunks(BLOCK as usize)) {
        let sum = checksum(block);
        if sum != slot.checksum {
            return Err(StoreError::ChecksumMismatch {
                object: Box::new(object.clone()),
                offset: logical * BLOCK,
                stored: slot.checksum,
                read: sum,
            });
        }
    }
    Ok(bytes)
}

/// Decodes a record.
pub(crate) fn decode<T: Decode>(what: &'static str, bytes: Bytes) -> Result<T, StoreError> {
    T::from_bytes(bytes).map_err(|source| StoreError::Corrupt { what, source })
}
