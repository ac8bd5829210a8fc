//! A block device in memory with a volatile cache: what was not flushed may be lost, torn or
//! reordered by a crash.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::data::ByteMap;
use crate::{BlockDevice, DeviceError, Io, IoCompletion, IoId, IoKind};

/// Bytes of a block.
const BLOCK: u32 = 4096;

/// The unit that a device writes whole even when power fails.
const SECTOR: usize = 512;

/// The block device of tests.
///
/// ```text
/// submit ─▶ queued ─▶ complete ─▶ cached (readable) ─▶ flush submitted later completes ─▶ durable
///             └────────────┴─▶ crash: each sector there or not, in any order
/// ```
#[derive(Debug, Clone)]
pub struct MemDevice {
    size: u64,
    durable: ByteMap,
    /// Durable and cached: what a read sees.
    visible: ByteMap,
    cached: VecDeque<(u64, Bytes)>,
    queued: VecDeque<Queued>,
    done: Vec<IoCompletion>,
    last: IoId,
    manual: bool,
}

#[derive(Debug, Clone)]
struct Queued {
    id: IoId,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Write {
        offset: u64,
        data: Bytes,
    },
    /// Covers the first `cached` entries of the cache.
    Flush {
        cached: usize,
    },
}

impl MemDevice {
    /// A device of zeros that completes everything at the next `poll`.
    pub fn new(size: u64) -> Self {
        assert_eq!(size % u64::from(BLOCK), 0, "whole blocks");
        MemDevice {
            size,
            durable: ByteMap::default(),
            visible: ByteMap::default(),
            cached: VecDeque::new(),
            queued: VecDeque::new(),
            done: Vec::new(),
            last: IoId(0),
            manual: false,
        }
    }

    /// A device of zeros that completes operations only by [`MemDevice::complete`].
    pub fn manual(size: u64) -> Self {
        MemDevice { manual: true, ..Self::new(size) }
    }

    /// Chooses whether operations complete by themselves.
    pub fn set_manual(&mut self, manual: bool) {
        self.manual = manual;
    }

    /// Operations submitted and not complete.
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Completes the `index`-th queued operation.
    pub fn complete(&mut self, index: usize) {
        let Some(Queued { id, what }) = self.queued.remove(index) else { return };
        match what {
            What::Write { offset, data } => {
                self.visible.write(offset, data.clone());
                self.cached.push_back((offset, data));
            }
            What::Flush { cached } => {
                for (offset, data) in self.cached.drain(..cached) {
                    self.durable.write(offset, data);
                }
                // Another flush in the queue covers that much less of what is left.
                for other in &mut self.queued {
                    if let What::Flush { cached: n } = &mut other.what {
                        *n = n.saturating_sub(cached);
                    }
                }
            }
        }
        self.done.push(IoCompletion { id, result: Ok(()) });
    }

    /// Power loss: every write not flushed is there, gone, or torn by sectors, and those that are
    /// there arrived in any order. `random` decides.
    pub fn crash(&mut self, random: &mut dyn FnMut() -> u64) {
        let mut writes: Vec<(u64, Bytes)> = self.cached.drain(..).collect();
        for queued in self.queued.drain(..) {
            if let What::Write { offset, data } = queued.what {
                writes.push((offset, data));
            }
        }
        while !writes.is_empty() {
            let next = (random() % writes.len() as u64) as usize;
            let (offset, data) = writes.swap_remove(next);
            match random() % 4 {
                0 => {}
                1 => self.durable.write(offset, data),
                _ => self.tear(offset, &data, random),
            }
        }
        self.visible = self.durable.clone();
        self.done.clear();
    }

    fn tear(&mut self, offset: u64, data: &Bytes, random: &mut dyn FnMut() -> u64) {
        for at in (0..data.len()).step_by(SECTOR) {
            if random().is_multiple_of(2) {
                let sector = data.slice(at..data.len().min(at + SECTOR));
                self.durable.write(offset + at as u64, sector);
            }
        }
    }

    /// Flips a bit of what is stored.
    pub fn rot(&mut self, offset: u64, bit: u8) {
        for map in [&mut self.durable, &mut self.visible] {
            let byte = map.read(offset, 1)[0] ^ (1 << (bit % 8));
            map.write(offset, Bytes::from(vec![byte]));
        }
    }

    fn check(&self, kind: IoKind, offset: u64, length: u64) -> Result<(), DeviceError> {
        let block = u64::from(BLOCK);
        let aligned = offset.is_multiple_of(block) && length.is_multiple_of(block) && length > 0;
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.size);
        if aligned && inside {
            return Ok(());
        }
        let reason = if aligned { "outside the device" } else { "not whole blocks" };
        Err(DeviceError { kind, offset, length, errno: None, reason: reason.into() })
    }
}

impl BlockDevice for MemDevice {
    fn block_size(&self) -> u32 {
        BLOCK
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        let what = match io {
            Io::Write { offset, data } => {
                let length: usize = data.iter().map(Bytes::len).sum();
                self.check(IoKind::Write, offset, length as u64)?;
                let mut whole = BytesMut::with_capacity(length);
                data.iter().for_each(|piece| whole.extend_from_slice(piece));
                What::Write { offset, data: whole.freeze() }
            }
            Io::Flush => What::Flush { cached: self.cached.len() },
        };
        self.last.0 += 1;
        self.queued.push_back(Queued { id: self.last, what });
        Ok(self.last)
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        while !self.manual && !self.queued.is_empty() {
            self.complete(0);
        }
        std::mem::take(&mut self.done)
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        self.check(IoKind::Read, offset, length)?;
        Ok(self.visible.read(offset, length as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(device: &mut MemDevice, block: u64, byte: u8) {
        let data = vec![Bytes::from(vec![byte; BLOCK as usize])];
        device.submit(Io::Write { offset: block * u64::from(BLOCK), data }).unwrap();
    }

    #[test]
    fn only_what_a_flush_covers_is_safe() {
        let mut device = MemDevice::manual(1 << 20);
        write(&mut device, 0, 1);
        device.complete(0);
        device.submit(Io::Flush).unwrap();
        write(&mut device, 1, 2);
        device.complete(1);
        assert_eq!(device.read(4096, 4096).unwrap()[0], 2);
        device.complete(0);
        assert_eq!(device.poll().len(), 3);
        device.crash(&mut || 0);
        assert_eq!(device.read(0, 4096).unwrap()[0], 1);
        assert_eq!(device.read(4096, 4096).unwrap()[0], 0);
    }

    #[test]
    fn a_write_can_tear() {
        let mut device = MemDevice::manual(1 << 20);
        write(&mut device, 0, 7);
        let mut n = 4u64;
        device.crash(&mut || {
            n += 1;
            n
        });
        let block = device.read(0, 4096).unwrap();
        let there = block.iter().filter(|&&b| b == 7).count();
        assert!(there % SECTOR == 0 && there > 0 && there < 4096, "{there}");
    }
}
