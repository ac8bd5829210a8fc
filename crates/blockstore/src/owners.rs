//! How many owners each block has, counted from the extents.

use std::collections::BTreeMap;

use seabed_storage::{KeyValue, StoreError};

use crate::allocator::Allocator;
use crate::extent::Segment;
use crate::shared::SharedMap;
use crate::view::decode;
use crate::{BLOCK, RESERVED, Run, keys};

/// Records fetched at a time in a walk over all of a kind.
pub(crate) const WALK_STEP: usize = 1024;

/// Calls `f` with every record whose key begins with `prefix`.
pub(crate) fn walk<K: KeyValue>(
    kv: &K,
    prefix: u8,
    mut f: impl FnMut(bytes::Bytes, bytes::Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut from, to) = keys::with_prefix(&[prefix]);
    loop {
        let page = kv.scan(&from, &to, WALK_STEP)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = keys::next(last);
        for (key, value) in page {
            f(key, value)?;
        }
    }
}

/// The owners of every block of a device: a bit for one, a number for more.
#[derive(Debug)]
pub(crate) struct Owners {
    blocks: u64,
    owned: Vec<u64>,
    more: BTreeMap<u64, u32>,
    /// Slots in all extents.
    pub(crate) slots: u64,
    /// Blocks named outside the data area.
    pub(crate) outside: Vec<u64>,
}

impl Owners {
    /// Counts the extents in a key-value store, for a device of `size` bytes.
    pub(crate) fn count<K: KeyValue>(kv: &K, size: u64) -> Result<Self, StoreError> {
        let blocks = size / BLOCK;
        let mut owners = Owners {
            blocks,
            owned: vec![0; blocks.div_ceil(64) as usize],
            more: BTreeMap::new(),
            slots: 0,
            outside: Vec::new(),
        };
        walk(kv, keys::EXTENTS, |_, value| {
            let segment: Segment = decode("extents", value)?;
            segment.blocks().for_each(|block| owners.add(block));
            Ok(())
        })?;
        Ok(owners)
    }

    fn add(&mut self, block: u64) {
        if block < RESERVED / BLOCK || block >= self.blocks {
            self.outside.push(block);
            return;
        }
        self.slots += 1;
        let (word, bit) = ((block / 64) as usize, 1u64 << (block % 64));
        if self.owned[word] & bit == 0 {
            self.owned[word] |= bit;
        } else {
            *self.more.entry(block).or_insert(1) += 1;
        }
    }

    /// How many owners a block has.
    pub(crate) fn of(&self, block: u64) -> u32 {
        let owned =
            self.owned.get((block / 64) as usize).is_some_and(|w| w >> (block % 64) & 1 == 1);
        self.more.get(&block).copied().unwrap_or(u32::from(owned))
    }

    /// Blocks whose number of owners is not what the shared map says: block, owners, recorded.
    pub(crate) fn differences(&self, shared: &SharedMap) -> Vec<(u64, u32, u32)> {
        let mut found = Vec::new();
        let mut recorded: BTreeMap<u64, u32> = BTreeMap::new();
        for (start, run) in shared.runs() {
            recorded.extend((start..start + run.len).map(|b| (b, run.owners)));
        }
        for (&block, &n) in &recorded {
            if self.of(block) != n {
                found.push((block, self.of(block), n));
            }
        }
        let unrecorded = self.more.iter().filter(|(b, _)| !recorded.contains_key(b));
        found.extend(unrecorded.map(|(&block, &n)| (block, n, 1)));
        found
    }

    /// The blocks without owner.
    pub(crate) fn allocator(&self) -> Result<Allocator, StoreError> {
        let mut allocator = Allocator::default();
        let first = RESERVED / BLOCK;
        let mut start = first;
        for block in first..=self.blocks {
            if block == self.blocks || self.of(block) > 0 {
                if !allocator.release(Run { start, len: block - start }) {
                    return Err(StoreError::Inconsistent("free runs overlap"));
                }
                start = block + 1;
            }
        }
        Ok(allocator)
    }
}
