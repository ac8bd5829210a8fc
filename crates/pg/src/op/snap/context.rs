//! Which snapshots exist, in the eyes of a write.

use std::borrow::Cow;

use seabed_cluster::{IntervalSet, SnapId};
use seabed_messages::MOsdOp;
use seabed_messages::op::request_flag;

use crate::op::OpEnv;

/// The largest number of a snapshot; the ones behind it have a meaning of their own.
const MAX_SNAP: SnapId = SnapId(u64::MAX - 2);

/// `SnapContext`: the newest snapshot ever, and those that exist, newest first.
#[derive(Debug, Default)]
pub(in crate::op) struct SnapContext<'a> {
    pub(in crate::op) seq: SnapId,
    pub(in crate::op) snaps: Cow<'a, [SnapId]>,
}

impl<'a> SnapContext<'a> {
    /// The context of a write: the pool's own in a pool with named snapshots, unless the client
    /// insists on its own. Of the client's, removed snapshots are left out: it may not have heard.
    pub(in crate::op) fn of_write(env: &OpEnv<'_>, request: &'a MOsdOp) -> Self {
        let pool = env.pool;
        let insists = request.flags & request_flag::ENFORCE_SNAPC != 0;
        if pool.is_pool_snaps_mode() && !insists {
            return Self { seq: pool.snap_seq, snaps: pool.snaps.keys().rev().copied().collect() };
        }
        let removed = |set: &IntervalSet| request.snaps.iter().any(|s| set.contains(s.0));
        let snaps = if env.removed_snaps.is_some_and(removed) || removed(env.purged_snaps) {
            let left = request.snaps.iter().filter(|s| !env.is_removed(**s));
            left.copied().collect()
        } else {
            Cow::Borrowed(&request.snaps[..])
        };
        Self { seq: request.snap_seq, snaps }
    }

    /// Snapshots descend, and none is newer than the newest.
    pub(in crate::op) fn is_valid(&self) -> bool {
        self.seq <= MAX_SNAP
            && self.snaps.first().is_none_or(|s| *s <= self.seq)
            && self.snaps.is_sorted_by(|newer, older| newer > older)
    }

    /// The snapshots that are newer than `seq`.
    pub(in crate::op) fn newer_than(&self, seq: SnapId) -> &[SnapId] {
        &self.snaps[..self.snaps.partition_point(|s| *s > seq)]
    }
}

impl OpEnv<'_> {
    /// Whether a snapshot is removed, and what keeps it is about to be trimmed or was.
    fn is_removed(&self, snap: SnapId) -> bool {
        self.removed_snaps.is_some_and(|set| set.contains(snap.0))
            || self.purged_snaps.contains(snap.0)
    }
}
