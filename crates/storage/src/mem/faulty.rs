//! A block device that misbehaves on plan, over any other.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::{BlockDevice, DeviceError, Io, IoCompletion, IoId, IoKind};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with this `errno`.
    Error(i32),
    /// A write is refused for lack of room.
    Full,
    /// A write is acknowledged and not done.
    Lost,
    /// A write lands this many blocks further on.
    Misdirected(u64),
    /// Only the first half of a write's blocks arrives, and it is acknowledged.
    Torn,
    /// The completion is held back for this many polls.
    Slow(u32),
}

/// `ENOSPC`.
const ENOSPC: i32 = 28;

/// A device that follows a plan of faults and reads rotten blocks with a bit flipped.
#[derive(Debug, Clone)]
pub struct FaultyDevice<D> {
    inner: D,
    plan: BTreeMap<u64, Fault>,
    rotten: BTreeMap<u64, u8>,
    submitted: u64,
    /// The inner device's operation numbers are not ours once one was swallowed.
    ours: BTreeMap<IoId, (IoId, u32)>,
    held: VecDeque<(u32, IoCompletion)>,
}

impl<D: BlockDevice> FaultyDevice<D> {
    /// A device without faults so far.
    pub fn new(inner: D) -> Self {
        FaultyDevice {
            inner,
            plan: BTreeMap::new(),
            rotten: BTreeMap::new(),
            submitted: 0,
            ours: BTreeMap::new(),
            held: VecDeque::new(),
        }
    }

    /// Lets the `nth` operation from now on (0 is the next) go wrong.
    pub fn inject(&mut self, nth: u64, fault: Fault) {
        self.plan.insert(self.submitted + nth + 1, fault);
    }

    /// Lets reads of the block that holds `offset` return a flipped bit.
    pub fn rot(&mut self, offset: u64, bit: u8) {
        self.rotten.insert(offset, bit % 8);
    }

    /// The device beneath.
    pub fn inner_mut(&mut self) -> &mut D {
        &mut self.inner
    }

    /// The device beneath, without the faults.
    pub fn into_inner(self) -> D {
        self.inner
    }

    fn own_id(&mut self) -> IoId {
        self.submitted += 1;
        IoId(self.submitted)
    }

    fn hold(&mut self, id: IoId, result: Result<(), DeviceError>) -> IoId {
        self.held.push_back((0, IoCompletion { id, result }));
        id
    }
}

fn describe(io: &Io) -> (IoKind, u64, u64) {
    match io {
        Io::Flush => (IoKind::Flush, 0, 0),
        Io::Write { offset, data } => {
            (IoKind::Write, *offset, data.iter().map(|p| p.len() as u64).sum())
        }
    }
}

fn first_half(data: &[Bytes], block: usize) -> Vec<Bytes> {
    let whole = data.concat();
    let blocks = whole.len() / block;
    vec![Bytes::from(whole).slice(..blocks / 2 * block)]
}

impl<D: BlockDevice> BlockDevice for FaultyDevice<D> {
    fn block_size(&self) -> u32 {
        self.inner.block_size()
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        let id = self.own_id();
        let (kind, offset, length) = describe(&io);
        let block = self.inner.block_size();
        let mut delay = 0;
        let io = match (self.plan.remove(&id.0), io) {
            (Some(Fault::Error(errno)), _) => {
                let reason = "injected".to_owned();
                let error = DeviceError { kind, offset, length, errno: Some(errno), reason };
                return Ok(self.hold(id, Err(error)));
            }
            (Some(Fault::Full), Io::Write { .. }) => {
                let reason = "injected: no space".to_owned();
                let error = DeviceError { kind, offset, length, errno: Some(ENOSPC), reason };
                return Ok(self.hold(id, Err(error)));
            }
            (Some(Fault::Lost), Io::Write { .. }) => return Ok(self.hold(id, Ok(()))),
            (Some(Fault::Misdirected(by)), Io::Write { data, .. }) => {
                let room = self.inner.size().saturating_sub(length);
                let offset = (offset + by * u64::from(block)).min(room);
                Io::Write { offset, data }
            }
            (Some(Fault::Torn), Io::Write { offset, data }) => {
                let data = first_half(&data, block as usize);
                if data.iter().all(Bytes::is_empty) {
                    return Ok(self.hold(id, Ok(())));
                }
                Io::Write { offset, data }
            }
            (Some(Fault::Slow(polls)), io) => {
                delay = polls;
                io
            }
            (_, io) => io,
        };
        let inner = self.inner.submit(io)?;
        self.ours.insert(inner, (id, delay));
        Ok(id)
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        for completion in self.inner.poll() {
            if let Some((id, delay)) = self.ours.remove(&completion.id) {
                self.held.push_back((delay, IoCompletion { id, result: completion.result }));
            }
        }
        let mut done = Vec::new();
        self.held.retain_mut(|(delay, completion)| {
            if *delay == 0 {
                done.push(completion.clone());
                return false;
            }
            *delay -= 1;
            true
        });
        done
    }

    fn wait(&mut self) {
        self.inner.wait();
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        let data = self.inner.read(offset, length)?;
        let mut rotten = self.rotten.range(offset..offset + length).peekable();
        if rotten.peek().is_none() {
            return Ok(data);
        }
        let mut data = BytesMut::from(&data[..]);
        for (&at, &bit) in rotten {
            data[(at - offset) as usize] ^= 1 << bit;
        }
        Ok(data.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::MemDevice;

    fn write(device: &mut FaultyDevice<MemDevice>, byte: u8) -> Result<(), DeviceError> {
        let data = vec![Bytes::from(vec![byte; 8192])];
        let id = device.submit(Io::Write { offset: 0, data }).unwrap();
        for _ in 0..9 {
            if let Some(done) = device.poll().pop() {
                assert_eq!(done.id, id);
                return done.result;
            }
        }
        panic!("no completion");
    }

    #[test]
    fn faults_happen_as_planned() {
        let mut device = FaultyDevice::new(MemDevice::new(1 << 20));
        let read = |d: &FaultyDevice<MemDevice>, at| d.read(at, 4096).unwrap()[0];
        device.inject(0, Fault::Lost);
        device.inject(1, Fault::Torn);
        device.inject(2, Fault::Misdirected(4));
        device.inject(3, Fault::Full);
        device.inject(4, Fault::Slow(3));
        write(&mut device, 1).unwrap();
        assert_eq!(read(&device, 0), 0);
        write(&mut device, 2).unwrap();
        assert_eq!((read(&device, 0), read(&device, 4096)), (2, 0));
        write(&mut device, 3).unwrap();
        assert_eq!((read(&device, 0), read(&device, 16384)), (2, 3));
        assert_eq!(write(&mut device, 4).unwrap_err().errno, Some(ENOSPC));
        write(&mut device, 5).unwrap();
        device.rot(4096, 1);
        assert_eq!((read(&device, 0), read(&device, 4096)), (5, 7));
    }
}
