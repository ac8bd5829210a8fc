//! A key-value store in memory whose batches become durable, and visible, when the test says so.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{Batch, CommitId, KeyValue, KvError, KvOp, KvPairs};

/// The key-value store of tests and of the simulator.
///
/// It is as unhelpful as the port allows: a submitted batch is not seen before it is complete.
#[derive(Debug, Clone, Default)]
pub struct MemKv {
    durable: BTreeMap<Bytes, Bytes>,
    pending: VecDeque<Batch>,
    submitted: u64,
    completed: u64,
    manual: bool,
    dead: bool,
}

impl MemKv {
    /// An empty store that completes every batch at the next `completed`.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that completes batches only by [`MemKv::complete_next`].
    pub fn manual() -> Self {
        MemKv { manual: true, ..Self::default() }
    }

    /// Batches submitted and not durable.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes the oldest `n` pending batches durable.
    pub fn complete_next(&mut self, n: usize) {
        for _ in 0..n {
            let Some(batch) = self.pending.pop_front() else { return };
            self.apply(batch);
            self.completed += 1;
        }
    }

    /// Power loss: pending batches are gone, except that the oldest `survive` had reached the disk.
    pub fn crash(&mut self, survive: usize) {
        self.dead = false;
        self.complete_next(survive);
        self.pending.clear();
        self.submitted = self.completed;
    }

    /// The disk fails: writes are refused from now on.
    pub fn fail(&mut self) {
        self.dead = true;
    }

    /// All durable pairs.
    pub fn pairs(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.durable
    }

    /// The durable pairs, to be damaged by a test.
    pub fn pairs_mut(&mut self) -> &mut BTreeMap<Bytes, Bytes> {
        &mut self.durable
    }

    fn apply(&mut self, batch: Batch) {
        for op in batch.ops {
            match op {
                KvOp::Put { key, value } => {
                    self.durable.insert(key, value);
                }
                KvOp::Delete { key } => {
                    self.durable.remove(&key);
                }
                KvOp::DeleteRange { from, to } if from < to => {
                    let keys: Vec<Bytes> =
                        self.durable.range(from..to).map(|(k, _)| k.clone()).collect();
                    for key in keys {
                        self.durable.remove(&key);
                    }
                }
                KvOp::DeleteRange { .. } => {}
            }
        }
    }
}

fn range<'a>(
    from: &'a [u8],
    to: &'a [u8],
) -> (std::ops::Bound<&'a [u8]>, std::ops::Bound<&'a [u8]>) {
    // An empty range must not reach `BTreeMap::range`, which panics on a reversed one.
    let to = to.max(from);
    (std::ops::Bound::Included(from), std::ops::Bound::Excluded(to))
}

impl KeyValue for MemKv {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        Ok(self.durable.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<KvPairs, KvError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let found = self.durable.range::<[u8], _>(range(from, to)).take(max);
        Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, KvError> {
        if from >= to {
            return Ok(None);
        }
        let found = self.durable.range::<[u8], _>(range(from, to)).next_back();
        Ok(found.map(|(k, v)| (k.clone(), v.clone())))
    }

    fn submit(&mut self, batch: Batch) -> Result<CommitId, KvError> {
        if self.dead {
            return Err(KvError::Dead);
        }
        self.pending.push_back(batch);
        self.submitted += 1;
        Ok(CommitId(self.submitted))
    }

    fn completed(&mut self) -> Result<CommitId, KvError> {
        if self.dead {
            return Err(KvError::Dead);
        }
        if !self.manual {
            self.complete_next(self.pending.len());
        }
        Ok(CommitId(self.completed))
    }

    fn write(&mut self, batch: Batch) -> Result<(), KvError> {
        self.submit(batch)?;
        self.complete_next(self.pending.len());
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.durable.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_atomic_and_a_prefix_survives() {
        let mut kv = MemKv::manual();
        for i in 0..3u8 {
            let mut batch = Batch::new();
            batch.put(vec![b'a', i], vec![i]).put(vec![b'b', i], vec![i]);
            assert_eq!(kv.submit(batch), Ok(CommitId(u64::from(i) + 1)));
        }
        assert_eq!(kv.get(b"a\0"), Ok(None));
        kv.complete_next(1);
        assert_eq!(kv.completed(), Ok(CommitId(1)));
        kv.crash(1);
        let keys: Vec<_> = kv.scan(b"a", b"z", 99).unwrap().into_iter().map(|(k, _)| k).collect();
        assert_eq!(keys, [&b"a\0"[..], b"a\x01", b"b\0", b"b\x01"]);
        assert_eq!(kv.last(b"a", b"b").unwrap().unwrap().0, &b"a\x01"[..]);
        kv.write(Batch { ops: vec![KvOp::DeleteRange { from: "a".into(), to: "b".into() }] })
            .unwrap();
        assert_eq!(kv.pairs().len(), 2);
    }
}
