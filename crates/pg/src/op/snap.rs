//! What a write must do about snapshots: so far, remember the snap context.
//!
//! Cloning a head before its first change under a new snapshot is not built: such a write is
//! refused, it never changes the head without the clone.

use seabed_cluster::{Errno, SnapId, SnapSet};
use seabed_denc::{Bytes, BytesMut, Encode, encode_versioned};
use seabed_messages::op::request_flag;

use super::execution::{Done, Execution, Failure};

impl Execution<'_> {
    /// The newest snapshot of the write's context and whether there are any: the pool's own
    /// context in a pool with named snapshots, else the request's.
    pub(super) fn snap_context(&self) -> (SnapId, Option<SnapId>) {
        let pool = self.env.pool;
        let own = self.request.flags & request_flag::ENFORCE_SNAPC != 0;
        if pool.is_pool_snaps_mode() && !own {
            (pool.snap_seq, pool.snaps.keys().next_back().copied())
        } else {
            (self.request.snap_seq, self.request.snaps.first().copied())
        }
    }

    /// Refuses a write that needs a clone.
    pub(super) fn take_snap_context(&mut self) -> Result<(), Failure> {
        let (_, newest) = self.snap_context();
        let needs_clone = self.before.exists && newest > Some(self.before.snapset.seq);
        // A head with clones that goes leaves a whiteout, which is not built either.
        let needs_whiteout = !self.exists && !self.before.snapset.clones.is_empty();
        if needs_clone || needs_whiteout {
            self.note_not_built("write under a snapshot");
            return Err(Errno::EOPNOTSUPP.into());
        }
        Ok(())
    }

    /// The snapset after the write.
    pub(super) fn new_snapset(&self) -> SnapSet {
        let mut snapset = self.before.snapset.clone();
        snapset.seq = snapset.seq.max(self.snap_context().0);
        snapset
    }

    /// LIST_SNAPS: the clones and the head.
    pub(super) fn list_snaps(&mut self) -> Done {
        let snapset = &self.before.snapset;
        let clone = |out: &mut BytesMut, id: SnapId, snaps: &[SnapId], overlap, size: u64| {
            encode_versioned(out, 1, 1, |out| {
                id.encode(out, 0);
                snaps.to_vec().encode(out, 0);
                let overlap: Vec<(u64, u64)> = overlap;
                overlap.encode(out, 0);
                size.encode(out, 0);
            });
        };
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 2, 1, |out| {
            let count = snapset.clones.len() + usize::from(self.exists);
            (count as u32).encode(out, 0);
            for id in &snapset.clones {
                let snaps = snapset.clone_snaps.get(id).map_or(&[][..], Vec::as_slice);
                let overlap = snapset.clone_overlap.get(id);
                let overlap = overlap.map_or_else(Vec::new, |o| o.iter().collect());
                let size = snapset.clone_size.get(id).copied().unwrap_or(0);
                clone(out, *id, snaps, overlap, size);
            }
            if self.exists {
                clone(out, SnapId::HEAD, &[], Vec::new(), self.info.size);
            }
            snapset.seq.encode(out, 0);
        });
        Ok((Bytes::from(out), 0))
    }
}
