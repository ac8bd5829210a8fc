//! Blocks with more than one owner, and how many they have.
//!
//! A block that an extent names and that is not here has one owner. Changes are logged, so that a
//! transaction that fails can be taken back and one that succeeds knows which records to write.
//!
//! Invariants: runs are not empty and do not overlap; every count is at least 2.

use std::collections::BTreeMap;

use bytes::Bytes;
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};
use seabed_denc::{decode_versioned, encode_versioned};

use crate::Run;

/// How many blocks a run has and how many owners each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) len: u64,
    pub(crate) owners: u32,
}

impl Encode for Shared {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.len.encode(out, features);
            self.owners.encode(out, features);
        });
    }
}

impl Decode for Shared {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| Ok(Shared { len: u64::decode(r)?, owners: u32::decode(r)? });
        Ok(decode_versioned(r, "shared run", 1, body)?.0)
    }
}

/// The shared blocks.
#[derive(Debug, Default)]
pub(crate) struct SharedMap {
    runs: BTreeMap<u64, Shared>,
    /// The former value of each change since [`SharedMap::settle`], oldest first.
    undo: Vec<(u64, Option<Shared>)>,
}

impl SharedMap {
    /// Takes a stored record, at open.
    pub(crate) fn load(&mut self, start: u64, shared: Shared) {
        self.runs.insert(start, shared);
    }

    /// All runs.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, Shared)> {
        self.runs.iter().map(|(&s, &r)| (s, r))
    }

    fn set(&mut self, start: u64, value: Option<Shared>) {
        let old = match value {
            Some(v) => self.runs.insert(start, v),
            None => self.runs.remove(&start),
        };
        self.undo.push((start, old));
    }

    /// Makes a run begin at `block` if one lies across it.
    fn cut(&mut self, block: u64) {
        let Some((&start, &run)) = self.runs.range(..block).next_back() else { return };
        let head = block - start;
        if head < run.len {
            self.set(start, Some(Shared { len: head, ..run }));
            self.set(block, Some(Shared { len: run.len - head, ..run }));
        }
    }

    /// The shared runs inside `run` and the gaps between them, in order, after cutting at its ends.
    fn parts(&mut self, run: Run) -> Vec<(Run, Option<u32>)> {
        self.cut(run.start);
        self.cut(run.end());
        let mut parts = Vec::new();
        let mut at = run.start;
        for (&start, shared) in self.runs.range(run.start..run.end()) {
            if at < start {
                parts.push((Run { start: at, len: start - at }, None));
            }
            parts.push((Run { start, len: shared.len }, Some(shared.owners)));
            at = start + shared.len;
        }
        if at < run.end() {
            parts.push((Run { start: at, len: run.end() - at }, None));
        }
        parts
    }

    /// Gives each block of an owned run one more owner.
    pub(crate) fn add_owner(&mut self, run: Run) {
        for (part, owners) in self.parts(run) {
            let owners = owners.unwrap_or(1) + 1;
            self.set(part.start, Some(Shared { len: part.len, owners }));
        }
    }

    /// Takes one owner from each block; returns those that have none left.
    pub(crate) fn remove_owner(&mut self, run: Run) -> Vec<Run> {
        let mut free = Vec::new();
        for (part, owners) in self.parts(run) {
            match owners {
                None => free.push(part),
                Some(2) => self.set(part.start, None),
                Some(n) => self.set(part.start, Some(Shared { len: part.len, owners: n - 1 })),
            }
        }
        free
    }

    /// Makes the changes final and returns the records they touch: by start, gone if `None`.
    pub(crate) fn settle(&mut self) -> Vec<(u64, Option<Bytes>)> {
        let mut starts: Vec<u64> = self.undo.drain(..).map(|(start, _)| start).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.into_iter().map(|s| (s, self.runs.get(&s).map(|r| r.to_bytes(0)))).collect()
    }

    /// Takes the changes back.
    pub(crate) fn undo(&mut self) {
        while let Some((start, old)) = self.undo.pop() {
            match old {
                Some(v) => self.runs.insert(start, v),
                None => self.runs.remove(&start),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a count for each block; every other transaction is taken back.
        #[test]
        fn counts_are_right(
            steps in proptest::collection::vec(
                proptest::collection::vec((any::<bool>(), 0u64..30, 1u64..10), 1..5), 1..30)
        ) {
            let mut map = SharedMap::default();
            let mut counts = vec![1u32; 40];
            let mut records: BTreeMap<u64, Bytes> = BTreeMap::new();
            for (n, step) in steps.into_iter().enumerate() {
                let before = counts.clone();
                for (add, start, len) in step {
                    let run = Run { start, len };
                    let range = start as usize..(start + len) as usize;
                    if add {
                        map.add_owner(run);
                        counts[range].iter_mut().for_each(|c| *c += 1);
                    } else if counts[range.clone()].iter().all(|&c| c > 1) {
                        prop_assert_eq!(map.remove_owner(run), vec![]);
                        counts[range].iter_mut().for_each(|c| *c -= 1);
                    }
                }
                if n % 2 == 0 {
                    map.undo();
                    counts = before;
                } else {
                    for (start, record) in map.settle() {
                        match record {
                            Some(r) => records.insert(start, r),
                            None => records.remove(&start),
                        };
                    }
                }
                let mut found = vec![1u32; 40];
                for (&start, record) in &records {
                    let shared = Shared::from_bytes(record.clone()).unwrap();
                    for b in start..start + shared.len {
                        let before = std::mem::replace(&mut found[b as usize], shared.owners);
                        prop_assert_eq!(before, 1);
                    }
                }
                prop_assert_eq!(&found, &counts);
            }
        }
    }
}
