//! The block store: an [`ObjectStore`](seabed_storage::ObjectStore) on a block device and a
//! key-value store.
//!
//! Data lies in 4 KiB blocks on the device; everything that says what the blocks mean is a record
//! in the key-value store (`docs/disk/keys.md`). A transaction goes
//! Prepared → Submitted (data on its way) → Durable (flushed, records synced) → Applied (freed
//! blocks reusable); many transactions share one flush and one sync.
//!
//! Invariants:
//! - a block that a durable record names is never written: new bytes go to free blocks, and the
//!   records switch over in one atomic batch;
//! - a batch is handed to the key-value store only after a flush that covers its data;
//! - a freed block is free again only when the transaction that freed it is durable;
//! - a block's owners are counted: one owner needs no record, more are in the shared map;
//! - bytes of an object's last block behind its size are zero;
//! - every block read from the device is compared with its checksum;
//! - the store does not know that other replicas exist.

#![forbid(unsafe_code)]

mod allocator;
mod cache;
mod checksum;
mod data;
mod extent;
mod fsck;
mod keys;
mod label;
mod mkfs;
#[cfg(test)]
mod nonsense;
mod onode;
mod open;
mod owners;
mod port;
mod prepare;
mod prepare_collection;
mod shared;
mod store;
mod txn;
mod view;

pub use fsck::{FsckReport, Problem};
pub use label::{Label, LabelError};
pub use mkfs::{MkfsError, MkfsOptions, mkfs};
pub use open::OpenError;
pub use store::BlockStore;

/// Bytes of a block: the unit of allocation and of checksums.
pub const BLOCK: u64 = 4096;

/// Bytes at the start of the device that hold the label and nothing else; the rest of them is for
/// what later releases put beside it.
pub const RESERVED: u64 = 64 * 1024;

/// A run of blocks on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// The first block.
    pub(crate) start: u64,
    /// How many.
    pub(crate) len: u64,
}

impl Run {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// Joins single blocks into runs.
pub(crate) fn runs_of(mut blocks: Vec<u64>) -> Vec<Run> {
    blocks.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if run.end() == block => run.len += 1,
            _ => runs.push(Run { start: block, len: 1 }),
        }
    }
    runs
}
