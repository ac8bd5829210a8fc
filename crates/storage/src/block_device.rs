//! The port of a block device: writes and flushes are submitted, completions are polled.

use bytes::Bytes;
use thiserror::Error;

/// The number of a submitted operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IoId(pub u64);

/// What an operation is, for errors and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IoKind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush of the volatile cache.
    Flush,
    /// Opening or describing the device.
    Open,
}

/// A failed operation. After a failed write or flush the device must not be used any more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind:?} at {offset}, {length} bytes: {reason}")]
pub struct DeviceError {
    /// What failed.
    pub kind: IoKind,
    /// Where on the device.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// `errno` of the system, if it gave one.
    pub errno: Option<i32>,
    /// The system's words, or ours.
    pub reason: String,
}

/// An operation; its buffers belong to the device until it completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Io {
    /// Write the pieces one behind the other. Offset and total length are multiples of the block.
    Write {
        /// Where on the device.
        offset: u64,
        /// The bytes, in pieces of whole blocks.
        data: Vec<Bytes>,
    },
    /// Make every write that completed before this was submitted durable.
    Flush,
}

/// A finished operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoCompletion {
    /// Which.
    pub id: IoId,
    /// How it ended.
    pub result: Result<(), DeviceError>,
}

/// A block device owned by one thread. Operations may complete in any order.
///
/// A read sees every write that completed; of writes in flight it may see any part, so the caller
/// keeps their data until they complete.
pub trait BlockDevice {
    /// Bytes of a block: the unit of offsets and lengths.
    fn block_size(&self) -> u32;

    /// Bytes of the device, a multiple of the block.
    fn size(&self) -> u64;

    /// Starts an operation.
    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError>;

    /// Operations that finished since the last call. Never blocks.
    fn poll(&mut self) -> Vec<IoCompletion>;

    /// Waits until an operation may have finished; returns at once if none is under way. For
    /// start-up and for those who may wait.
    fn wait(&mut self) {}

    /// Reads whole blocks, waiting for them.
    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError>;

    /// Reads several ranges of whole blocks, waiting for all of them.
    fn read_many(&self, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, DeviceError> {
        ranges.iter().map(|&(offset, length)| self.read(offset, length)).collect()
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for Box<D> {
    fn block_size(&self) -> u32 {
        (**self).block_size()
    }

    fn size(&self) -> u64 {
        (**self).size()
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        (**self).submit(io)
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        (**self).poll()
    }

    fn wait(&mut self) {
        (**self).wait();
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        (**self).read(offset, length)
    }

    fn read_many(&self, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, DeviceError> {
        (**self).read_many(ranges)
    }
}
