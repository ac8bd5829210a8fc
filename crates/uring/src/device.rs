//! The port on the ring.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use seabed_storage::{BlockDevice, DeviceError, Io, IoCompletion, IoId};

use crate::buffer::{AlignedBuffer, aligned};
use crate::file::DirectFile;
use crate::ring::{Finished, Operation, Ring};
use crate::{BLOCK_SIZE, Wake};

/// A device file or raw device behind a ring, owned by one thread.
#[derive(Debug)]
pub struct UringDevice {
    inner: RefCell<Inner>,
    size: u64,
}

#[derive(Debug)]
struct Inner {
    ring: Ring,
    next: u64,
    /// Completions taken while a read waited for its own.
    stashed: Vec<IoCompletion>,
    scratch: Vec<Finished>,
}

impl UringDevice {
    pub(crate) fn new(file: &DirectFile, wake: Wake) -> Result<Self, String> {
        let ring = Ring::new(std::sync::Arc::clone(&file.file), wake)?;
        let inner = Inner { ring, next: 1, stashed: Vec::new(), scratch: Vec::new() };
        Ok(Self { inner: RefCell::new(inner), size: file.size })
    }

    /// A descriptor of its own that becomes readable when completions arrived;
    /// [`BlockDevice::poll`] clears it.
    ///
    /// Errors: no descriptor is left.
    pub fn wake_fd(&self) -> std::io::Result<OwnedFd> {
        let inner = self.inner.borrow();
        let event: BorrowedFd<'_> = inner.ring.event();
        event.as_fd().try_clone_to_owned()
    }
}

impl Inner {
    fn start(&mut self, operation: Operation) -> u64 {
        let number = self.next;
        self.next += 1;
        self.ring.add(number, operation);
        number
    }

    /// Moves what is finished into `stashed`; reads among them go to `reads`.
    fn sort(&mut self, reads: &mut Vec<Finished>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.ring.take(&mut scratch);
        for (number, operation, result) in scratch.drain(..) {
            match operation {
                Operation::Read { .. } => reads.push((number, operation, result)),
                _ => self.stashed.push(IoCompletion { id: IoId(number), result }),
            }
        }
        self.scratch = scratch;
    }
}

impl BlockDevice for UringDevice {
    fn block_size(&self) -> u32 {
        BLOCK_SIZE
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        let inner = self.inner.get_mut();
        let operation = match io {
            Io::Flush => Operation::Flush,
            Io::Write { offset, data } => {
                let data = aligned(data);
                assert!(offset % u64::from(BLOCK_SIZE) == 0, "an aligned offset");
                assert!(data.len().is_multiple_of(BLOCK_SIZE as usize), "whole blocks");
                assert!(offset + data.len() as u64 <= self.size, "inside the device");
                Operation::Write { offset, data, done: 0 }
            }
        };
        let number = inner.start(operation);
        inner.ring.push()?;
        Ok(IoId(number))
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        let inner = self.inner.get_mut();
        inner.ring.clear_event();
        let mut reads = Vec::new();
        inner.sort(&mut reads);
        debug_assert!(reads.is_empty(), "a read is taken by who waits for it");
        if let Err(error) = inner.ring.push() {
            // The ring itself failed: every operation it holds has failed with it.
            inner.stashed.push(IoCompletion { id: IoId(inner.next), result: Err(error) });
        }
        std::mem::take(&mut inner.stashed)
    }

    fn wait(&mut self) {
        let inner = self.inner.get_mut();
        if inner.stashed.is_empty() {
            // A ring that fails says so at the next `poll`.
            let _ = inner.ring.wait();
        }
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        let mut all = self.read_many(&[(offset, length)])?;
        Ok(all.pop().unwrap_or_default())
    }

    fn read_many(&self, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, DeviceError> {
        let mut inner = self.inner.borrow_mut();
        let first = inner.next;
        for &(offset, length) in ranges {
            let length = usize::try_from(length).expect("a read fits memory");
            inner.start(Operation::Read { offset, buffer: AlignedBuffer::with_capacity(length) });
        }
        let mut reads = Vec::with_capacity(ranges.len());
        inner.ring.push()?;
        while reads.len() < ranges.len() {
            inner.ring.wait()?;
            inner.sort(&mut reads);
            inner.ring.push()?;
        }
        if !inner.stashed.is_empty() {
            // Completions were taken on the way: whoever sleeps on the event must come for them.
            inner.ring.signal();
        }
        let mut found = vec![Bytes::new(); ranges.len()];
        for (number, operation, result) in reads {
            result?;
            if let Operation::Read { buffer, .. } = operation {
                let index = usize::try_from(number - first).expect("a read of this call");
                found[index] = Bytes::from_owner(buffer);
            }
        }
        Ok(found)
    }
}
