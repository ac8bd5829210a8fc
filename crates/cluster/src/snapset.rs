//! `SnapSet`: the clones of an object, stored with its head under the attribute `snapset`.

use std::collections::BTreeMap;

use seabed_denc::versioned;

use crate::{IntervalSet, SnapId};

versioned! {
    /// `SnapSet` v3.
    pub struct SnapSet(3, 2) {
        /// The newest snap context seen.
        seq: SnapId,
        /// Formerly whether the head exists; always true.
        head_exists: bool = true,
        /// Newest first.
        snaps: Vec<SnapId>,
        /// Oldest first.
        clones: Vec<SnapId>,
        /// What a clone shares with the next newer one, or with the head.
        clone_overlap: BTreeMap<SnapId, IntervalSet>,
        clone_size: BTreeMap<SnapId, u64>,
        /// Newest first.
        clone_snaps: BTreeMap<SnapId, Vec<SnapId>> [since 3],
    }
}

impl SnapSet {
    /// Bytes of a clone that are its own: what it shares counts for the newer one.
    pub fn clone_bytes(&self, clone: SnapId) -> u64 {
        let size = self.clone_size.get(&clone).copied().unwrap_or(0);
        size.saturating_sub(self.clone_overlap.get(&clone).map_or(0, IntervalSet::size))
    }
}
