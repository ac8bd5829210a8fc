//! Which blocks are free: runs by place and by size, in memory, rebuilt from the extents at open.
//!
//! Invariants: runs are not empty, do not touch and lie inside the device; both trees hold the
//! same runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::Run;

/// The free blocks of a device.
#[derive(Debug, Default)]
pub(crate) struct Allocator {
    by_start: BTreeMap<u64, u64>,
    by_size: BTreeSet<(u64, u64)>,
    free: u64,
}

impl Allocator {
    /// Blocks free.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Whether a block is free.
    pub(crate) fn is_free(&self, block: u64) -> bool {
        let run = self.by_start.range(..=block).next_back();
        run.is_some_and(|(&start, &len)| block < start + len)
    }

    /// Takes `want` blocks, in as few runs as the best fit gives; `None` if there are not enough.
    pub(crate) fn allocate(&mut self, want: u64) -> Option<Vec<Run>> {
        if want > self.free {
            return None;
        }
        let mut taken = Vec::new();
        let mut left = want;
        while left > 0 {
            // The smallest run that is large enough, else the largest there is.
            let fit = self.by_size.range((left, 0)..).next().or(self.by_size.last()).copied();
            let (len, start) = fit?;
            let run = Run { start, len: len.min(left) };
            self.remove(start, len);
            if len > run.len {
                self.insert(run.end(), len - run.len);
            }
            left -= run.len;
            taken.push(run);
        }
        Some(taken)
    }

    /// Gives blocks back. False, and nothing done, if one of them is free already.
    #[must_use]
    pub(crate) fn release(&mut self, run: Run) -> bool {
        if run.len == 0 {
            return true;
        }
        let (mut start, mut end) = (run.start, run.end());
        let before = self.by_start.range(..start).next_back().map(|(&s, &l)| (s, l));
        let after = self.by_start.range(start..).next().map(|(&s, &l)| (s, l));
        if before.is_some_and(|(s, l)| s + l > start) || after.is_some_and(|(s, _)| s < end) {
            return false;
        }
        if let Some((s, l)) = before
            && s + l == start
        {
            self.remove(s, l);
            start = s;
        }
        if let Some((s, l)) = after
            && s == end
        {
            self.remove(s, l);
            end = s + l;
        }
        self.insert(start, end - start);
        true
    }

    fn insert(&mut self, start: u64, len: u64) {
        self.by_start.insert(start, len);
        self.by_size.insert((len, start));
        self.free += len;
    }

    fn remove(&mut self, start: u64, len: u64) {
        self.by_start.remove(&start);
        self.by_size.remove(&(len, start));
        self.free -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain set of blocks.
        #[test]
        fn blocks_are_given_once(
            steps in proptest::collection::vec((any::<bool>(), 1u64..20), 1..80)
        ) {
            let mut a = Allocator::default();
            assert!(a.release(Run { start: 16, len: 100 }));
            let mut used: BTreeSet<u64> = BTreeSet::new();
            let mut held: Vec<Run> = Vec::new();
            for (take, n) in steps {
                if take {
                    let got = a.allocate(n);
                    prop_assert_eq!(got.is_some(), used.len() as u64 + n <= 100);
                    for run in got.into_iter().flatten() {
                        for b in run.start..run.end() {
                            prop_assert!((16..116).contains(&b) && used.insert(b));
                        }
                        held.push(run);
                    }
                } else if !held.is_empty() {
                    let run = held.swap_remove(n as usize % held.len());
                    (run.start..run.end()).for_each(|b| { used.remove(&b); });
                    prop_assert!(a.release(run));
                    let again = a.release(Run { start: run.start, len: 1 });
                    prop_assert!(!again);
                }
                prop_assert_eq!(a.free(), 100 - used.len() as u64);
                for b in 16..116 {
                    prop_assert_eq!(a.is_free(b), !used.contains(&b));
                }
            }
        }
    }
}
