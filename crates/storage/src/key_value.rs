//! The port of ordered keys and values with atomic batches.

use bytes::Bytes;
use thiserror::Error;

/// The number of a submitted batch; given by the store, increasing by submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitId(pub u64);

/// Why a key-value store failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KvError {
    /// A read failed.
    #[error("read: {0}")]
    Read(String),
    /// A write or its sync failed; the store is dead.
    #[error("write: {0}")]
    Write(String),
    /// The store could not be opened.
    #[error("open: {0}")]
    Open(String),
    /// An earlier write failed.
    #[error("dead after an earlier failure")]
    Dead,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvOp {
    /// Set a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Remove a key; an absent one is no error.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Remove all keys from `from` (inclusive) to `to` (exclusive).
    DeleteRange {
        /// The first key removed.
        from: Bytes,
        /// The first key that stays.
        to: Bytes,
    },
}

/// Changes that take effect together, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changes.
    pub ops: Vec<KvOp>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds [`KvOp::Put`].
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.ops.push(KvOp::Put { key: key.into(), value: value.into() });
        self
    }

    /// Adds [`KvOp::Delete`].
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.ops.push(KvOp::Delete { key: key.into() });
        self
    }

    /// Adds [`KvOp::DeleteRange`].
    pub fn delete_range(&mut self, from: impl Into<Bytes>, to: impl Into<Bytes>) -> &mut Self {
        self.ops.push(KvOp::DeleteRange { from: from.into(), to: to.into() });
        self
    }
}

/// Keys with their values, in key order.
pub type KvPairs = Vec<(Bytes, Bytes)>;

/// An ordered key-value store owned by one thread; its syncs may happen on another.
///
/// A batch is atomic over a crash, and batches survive as a prefix of their order of submission.
pub trait KeyValue {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// At most `max` pairs from `from` (inclusive) to `to` (exclusive), in key order.
    fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<KvPairs, KvError>;

    /// The last pair from `from` (inclusive) to `to` (exclusive).
    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, KvError>;

    /// Takes a batch to be made durable. Reads see it at the latest when it is completed. Does not
    /// wait for the disk.
    fn submit(&mut self, batch: Batch) -> Result<CommitId, KvError>;

    /// The last batch known to be durable with all before it. Never blocks. An error means that
    /// the store is dead.
    fn completed(&mut self) -> Result<CommitId, KvError>;

    /// Makes a batch durable before it returns. For start-up and for those who may wait.
    fn write(&mut self, batch: Batch) -> Result<(), KvError>;

    /// Bytes on disk, about.
    fn size_bytes(&self) -> u64 {
        0
    }
}
