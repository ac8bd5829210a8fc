//! What an object store answers when it cannot.

use seabed_cluster::{Collection, GhObject};
use seabed_denc::DecodeError;
use thiserror::Error;

use crate::{DeviceError, KvError};

/// Why the object store did not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The object does not exist.
    #[error("no such object {0:?}")]
    NoObject(Box<GhObject>),
    /// The collection does not exist.
    #[error("no such collection {0:?}")]
    NoCollection(Box<Collection>),
    /// The attribute does not exist.
    #[error("no such attribute")]
    NoAttribute,
    /// A block's bytes are not those that were written.
    #[error("checksum of {object:?} at offset {offset}: stored {stored:#010x}, read {read:#010x}")]
    ChecksumMismatch {
        /// The object read.
        object: Box<GhObject>,
        /// Where in the object.
        offset: u64,
        /// The checksum kept with the extent.
        stored: u32,
        /// The checksum of what the device returned.
        read: u32,
    },
    /// The device has no room for the transaction, of which nothing was done.
    #[error("no space: {wanted} bytes wanted, {free} free")]
    NoSpace {
        /// Bytes the transaction needs.
        wanted: u64,
        /// Bytes free.
        free: u64,
    },
    /// The transaction cannot be applied: its sender is wrong, or the store is.
    #[error("invalid transaction: op {index}: {reason}")]
    InvalidTransaction {
        /// Which operation.
        index: usize,
        /// What it demanded in vain.
        reason: &'static str,
    },
    /// A stored record is not what was written.
    #[error("corrupt {what}: {source}")]
    Corrupt {
        /// Which record.
        what: &'static str,
        /// How the decoder failed.
        source: DecodeError,
    },
    /// Records contradict each other.
    #[error("inconsistent store: {0}")]
    Inconsistent(&'static str),
    /// The device failed; the store is dead.
    #[error("block device: {0}")]
    Device(#[from] DeviceError),
    /// The key-value store failed; the store is dead.
    #[error("key-value store: {0}")]
    KeyValue(#[from] KvError),
    /// An earlier write or flush failed; nothing is accepted any more.
    #[error("the store is dead after an earlier failure")]
    Dead,
}

impl StoreError {
    /// True if the object, collection or attribute asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            StoreError::NoObject(_) | StoreError::NoCollection(_) | StoreError::NoAttribute
        )
    }
}
