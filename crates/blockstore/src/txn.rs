//! The pipeline of transactions, from memory to durable.
//!
//! ```text
//! Prepared ─▶ Submitted { writes } ─▶ Written ─▶ Flushing ─▶ Syncing ─▶ Durable ─▶ Applied
//!             data on its way         data there  a group: one flush, one batch     freed blocks
//!                                                                                   reusable
//! ```
//!
//! A group is the longest run of oldest transactions whose data is written. There is one group at
//! a time; what arrives meanwhile makes the next, so the busier the store, the larger its groups.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use seabed_storage::{Batch, CommitId, IoId, TxId};

use crate::Run;

/// Transactions of one group: bounds the batch and the memory of a sync.
const GROUP_MAX: usize = 1024;

/// A transaction applied in memory.
#[derive(Debug)]
pub(crate) struct Txn {
    pub(crate) id: TxId,
    /// The records it changes.
    pub(crate) records: Vec<(Bytes, Option<Bytes>)>,
    /// Data writes not complete.
    pub(crate) writes: usize,
    /// Whether it wrote data at all.
    pub(crate) has_data: bool,
    /// Blocks that are free once this is durable.
    pub(crate) freed: Vec<Run>,
}

/// How far the group at the front is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for the device's flush.
    Flushing(IoId),
    /// Waiting for the key-value store's sync.
    Syncing(CommitId),
}

/// The front transactions that become durable together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) count: usize,
    pub(crate) stage: Stage,
}

/// Transactions not yet durable, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    pub(crate) queue: VecDeque<Txn>,
    pub(crate) group: Option<Group>,
    /// The transaction of each data write, and the first blocks of its pieces in flight.
    pub(crate) writes: BTreeMap<IoId, (TxId, Vec<u64>)>,
    /// Durable and not yet reported.
    pub(crate) durable: Vec<TxId>,
}

impl Pipeline {
    /// How many transactions could make a group now, and whether they have data to flush.
    pub(crate) fn ready(&self) -> (usize, bool) {
        let ready = self.queue.iter().take(GROUP_MAX).take_while(|t| t.writes == 0);
        ready.fold((0, false), |(n, data), t| (n + 1, data | t.has_data))
    }

    /// The records of the first `count` transactions as one batch; of a record changed more than
    /// once only the last value.
    pub(crate) fn batch(&self, count: usize) -> Batch {
        let mut last: BTreeMap<&Bytes, &Option<Bytes>> = BTreeMap::new();
        for txn in self.queue.iter().take(count) {
            last.extend(txn.records.iter().map(|(k, v)| (k, v)));
        }
        let mut batch = Batch::new();
        for (key, value) in last {
            match value {
                Some(value) => batch.put(key.clone(), value.clone()),
                None => batch.delete(key.clone()),
            };
        }
        batch
    }

    /// Notes the end of a data write; returns its pieces' first blocks.
    pub(crate) fn written(&mut self, io: IoId) -> Option<Vec<u64>> {
        let (id, blocks) = self.writes.remove(&io)?;
        // The queue is in order of ids without gaps.
        let first = self.queue.front()?.id.0;
        let txn = self.queue.get_mut(id.0.checked_sub(first)? as usize)?;
        txn.writes -= 1;
        Some(blocks)
    }
}
