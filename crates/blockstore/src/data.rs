//! Preparing changes of an object's bytes: new bytes go to new blocks.

use bytes::{Bytes, BytesMut};
use seabed_cluster::GhObject;
use seabed_storage::{BlockDevice, KeyValue, StoreError};

use crate::checksum::checksums;
use crate::extent::{OBJECT_SIZE_MAX, SEGMENT_BLOCKS, Slot, place};
use crate::onode::Onode;
use crate::prepare::{DataWrite, Prepare};
use crate::{BLOCK, runs_of};

type Result<T = ()> = std::result::Result<T, StoreError>;

/// Blocks of zeros are cut from this.
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

impl<K: KeyValue, D: BlockDevice> Prepare<'_, K, D> {
    /// The slots of an object's blocks from `first` to `last`.
    pub(crate) fn slots(&mut self, id: u64, first: u64, last: u64) -> Result<Vec<(u64, Slot)>> {
        let mut found = Vec::new();
        for number in place(first).0..=place(last).0 {
            let base = u64::from(number) * SEGMENT_BLOCKS;
            let slots = self.segment(id, number)?.slots.iter();
            found.extend(
                slots
                    .map(|(&index, &slot)| (base + u64::from(index), slot))
                    .filter(|(logical, _)| (first..=last).contains(logical)),
            );
        }
        Ok(found)
    }

    /// Sets slots of an object, `None` making holes, and lets go of what was there.
    pub(crate) fn set_slots(&mut self, id: u64, slots: Vec<(u64, Option<Slot>)>) -> Result {
        let mut gone = Vec::new();
        for (logical, slot) in slots {
            let (number, index) = place(logical);
            let segment = self.segment_mut(id, number)?;
            let old = match slot {
                Some(slot) => segment.slots.insert(index, slot),
                None => segment.slots.remove(&index),
            };
            self.stored_blocks += i64::from(slot.is_some()) - i64::from(old.is_some());
            gone.extend(old.map(|s| s.block));
        }
        self.disown(gone);
        Ok(())
    }

    /// Takes one owner from blocks; those without any are freed with the transaction.
    pub(crate) fn disown(&mut self, blocks: Vec<u64>) {
        for run in runs_of(blocks) {
            let free = self.shared.remove_owner(run);
            self.freed.extend(free);
        }
    }

    fn end_of(&self, offset: u64, length: u64) -> Result<u64> {
        let end = offset.checked_add(length).filter(|&end| end <= OBJECT_SIZE_MAX);
        end.ok_or_else(|| self.invalid("bytes past the largest object"))
    }

    /// Bytes of an object before this operation.
    pub(crate) fn read(
        &mut self,
        o: &GhObject,
        id: u64,
        offset: u64,
        length: u64,
    ) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let slots = self.slots(id, offset / BLOCK, (offset + length - 1) / BLOCK)?;
        self.view().assemble(o, &slots, offset, length)
    }

    /// A block of an object with some of its bytes replaced.
    fn patched(
        &mut self,
        o: &GhObject,
        id: u64,
        logical: u64,
        at: u64,
        new: &[u8],
    ) -> Result<Bytes> {
        let old = self.read(o, id, logical * BLOCK, BLOCK)?;
        let mut block = BytesMut::from(&old[..]);
        let at = at as usize;
        block[at..at + new.len()].copy_from_slice(new);
        Ok(block.freeze())
    }

    /// Writes bytes into an object, in memory and onto the list of data writes.
    pub(crate) fn write(
        &mut self,
        o: &GhObject,
        onode: &mut Onode,
        offset: u64,
        data: Bytes,
    ) -> Result {
        if data.is_empty() {
            return Ok(());
        }
        let end = self.end_of(offset, data.len() as u64)?;
        let (first, last) = (offset / BLOCK, (end - 1) / BLOCK);
        let mut pieces = Vec::with_capacity(3);
        let mut rest = data;
        let head = offset % BLOCK;
        if head != 0 || end < (first + 1) * BLOCK {
            let part = rest.split_to(rest.len().min((BLOCK - head) as usize));
            pieces.push(self.patched(o, onode.id, first, head, &part)?);
        }
        let middle = rest.split_to(rest.len() / BLOCK as usize * BLOCK as usize);
        if !middle.is_empty() {
            pieces.push(middle);
        }
        if !rest.is_empty() {
            pieces.push(self.patched(o, onode.id, last, 0, &rest)?);
        }
        self.place_blocks(onode.id, first, pieces)?;
        onode.size = onode.size.max(end);
        Ok(())
    }

    /// Gives pieces of whole blocks a place on the device and makes them the object's blocks from
    /// `first` on.
    fn place_blocks(&mut self, id: u64, first: u64, mut pieces: Vec<Bytes>) -> Result {
        let sums = checksums(&pieces);
        let runs = self.allocate(sums.len() as u64)?;
        let blocks = runs.iter().flat_map(|run| run.start..run.end());
        let slots = (first..).zip(blocks.zip(sums));
        let slots = slots.map(|(at, (block, checksum))| (at, Some(Slot { block, checksum })));
        let slots = slots.collect();
        pieces.reverse();
        for run in runs {
            let mut left = run.len;
            let mut cut = Vec::new();
            while left > 0 {
                let Some(mut piece) = pieces.pop() else { break };
                let n = left.min(piece.len() as u64 / BLOCK);
                let part = piece.split_to((n * BLOCK) as usize);
                if !piece.is_empty() {
                    pieces.push(piece);
                }
                self.in_flight.insert(run.end() - left, part.clone());
                cut.push(part);
                left -= n;
            }
            self.writes.push(DataWrite { block: run.start, pieces: cut });
        }
        self.set_slots(id, slots)
    }

    /// Makes a range of an object zeros, giving back whole blocks.
    pub(crate) fn zero(
        &mut self,
        o: &GhObject,
        onode: &mut Onode,
        offset: u64,
        length: u64,
    ) -> Result {
        if length == 0 {
            return Ok(());
        }
        let end = self.end_of(offset, length)?;
        self.clear(o, onode.id, offset, end)?;
        onode.size = onode.size.max(end);
        Ok(())
    }

    /// Sets an object's size.
    pub(crate) fn truncate(&mut self, o: &GhObject, onode: &mut Onode, size: u64) -> Result {
        self.end_of(size, 0)?;
        if size < onode.size {
            // To the end of the last block: what lies behind the size is zero.
            let end = onode.size.next_multiple_of(BLOCK);
            self.clear(o, onode.id, size, end)?;
        }
        onode.size = size;
        Ok(())
    }

    /// Zeros from `offset` to `end`: holes for whole blocks, patches at the edges.
    fn clear(&mut self, o: &GhObject, id: u64, offset: u64, end: u64) -> Result {
        let (first, last) = (offset.div_ceil(BLOCK), end / BLOCK);
        if first > last {
            // Inside one block.
            return self.clear_part(o, id, first - 1, offset % BLOCK, end % BLOCK);
        }
        if !offset.is_multiple_of(BLOCK) {
            self.clear_part(o, id, first - 1, offset % BLOCK, BLOCK)?;
        }
        if !end.is_multiple_of(BLOCK) {
            self.clear_part(o, id, last, 0, end % BLOCK)?;
        }
        if first < last {
            for number in self.segments_from(id, place(first).0, place(last - 1).0)? {
                let base = u64::from(number) * SEGMENT_BLOCKS;
                let holes = self.segment(id, number)?.slots.keys();
                let holes = holes
                    .map(|&index| (base + u64::from(index), None))
                    .filter(|(logical, _)| (first..last).contains(logical));
                let holes = holes.collect();
                self.set_slots(id, holes)?;
            }
        }
        Ok(())
    }

    fn clear_part(&mut self, o: &GhObject, id: u64, logical: u64, from: u64, to: u64) -> Result {
        if self.slots(id, logical, logical)?.is_empty() {
            return Ok(());
        }
        let zeros = &ZEROS[..(to - from) as usize];
        let block = self.patched(o, id, logical, from, zeros)?;
        self.place_blocks(id, logical, vec![block])
    }

    /// Lets `to` share all blocks of `from`.
    pub(crate) fn share_all(&mut self, from: u64, to: u64) -> Result {
        for number in self.segments_from(from, 0, u32::MAX)? {
            let segment = self.segment(from, number)?.clone();
            for run in runs_of(segment.blocks().collect()) {
                self.shared.add_owner(run);
            }
            self.stored_blocks += segment.slots.len() as i64;
            *self.segment_mut(to, number)? = segment;
        }
        Ok(())
    }

    /// Lets go of all data of an object.
    pub(crate) fn drop_data(&mut self, id: u64) -> Result {
        for number in self.segments_from(id, 0, u32::MAX)? {
            let slots = std::mem::take(&mut self.segment_mut(id, number)?.slots);
            self.stored_blocks -= slots.len() as i64;
            self.disown(slots.values().map(|s| s.block).collect());
        }
        Ok(())
    }

    /// Copies a range between two objects, sharing whole blocks where they lie alike.
    pub(crate) fn copy_range(
        &mut self,
        (from_o, from): (&GhObject, &Onode),
        (to_o, to): (&GhObject, &mut Onode),
        (offset, length, to_offset): (u64, u64, u64),
    ) -> Result {
        if length == 0 {
            return Ok(());
        }
        let end = self.end_of(offset, length)?;
        let to_end = self.end_of(to_offset, length)?;
        let (first, last) = (offset.div_ceil(BLOCK), end / BLOCK);
        if from.id == to.id || offset % BLOCK != to_offset % BLOCK || first >= last {
            let data = self.read(from_o, from.id, offset, length)?;
            return self.write(to_o, to, to_offset, data);
        }
        let head = first * BLOCK - offset;
        if head > 0 {
            let data = self.read(from_o, from.id, offset, head)?;
            self.write(to_o, to, to_offset, data)?;
        }
        let slots = self.slots(from.id, first, last - 1)?;
        for run in runs_of(slots.iter().map(|(_, s)| s.block).collect()) {
            self.shared.add_owner(run);
        }
        let to_first = (to_offset + head) / BLOCK;
        let to_last = to_first + (last - first);
        self.clear(to_o, to.id, to_first * BLOCK, to_last * BLOCK)?;
        let moved = slots.into_iter().map(|(at, s)| (at - first + to_first, Some(s))).collect();
        self.set_slots(to.id, moved)?;
        let tail = end - last * BLOCK;
        if tail > 0 {
            let data = self.read(from_o, from.id, last * BLOCK, tail)?;
            self.write(to_o, to, to_last * BLOCK, data)?;
        }
        to.size = to.size.max(to_end);
        Ok(())
    }
}
