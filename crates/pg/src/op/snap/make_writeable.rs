//! Keeping what the head was: the clone before its first change under a new snapshot, and the
//! ranges that the newest clone still shares with it.

use seabed_cluster::{
    EVersion, GhObject, HObject, IntervalSet, LogOp, ObjectInfo, PgLogEntry, SnapSet, object_flag,
};
use seabed_denc::{Bytes, Encode};
use seabed_storage::{Transaction, TxOp};

use crate::WIRE;
use crate::op::execution::Execution;

impl Execution<'_> {
    /// Whether a change of the object concerns clones: it has some, or is about to get one.
    pub(in crate::op) fn has_clones(&self) -> bool {
        !self.before.snapset.clones.is_empty() || self.needs_clone()
    }

    /// Whether the head must be cloned before it changes.
    fn needs_clone(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if self.env.limits.planted == Some(crate::PlantedBug::CloneSkipped) {
            return false;
        }
        self.before.exists && self.meets_new_snaps()
    }

    /// Whether the write's context has snapshots that the object has not met.
    pub(in crate::op) fn meets_new_snaps(&self) -> bool {
        self.snapc.snaps.first().is_some_and(|newest| *newest > self.before.snapset.seq)
    }

    /// Clones the head if it must be, in front of everything else in `tx` and `entries`; counts
    /// what the newest clone no longer shares. The snapset afterwards.
    pub(in crate::op) fn make_writeable(
        &mut self,
        tx: &mut Transaction,
        entries: &mut Vec<PgLogEntry>,
    ) -> SnapSet {
        let mut set = self.before.snapset.clone();
        if self.needs_clone() {
            entries.push(self.clone_head(tx, &mut set));
        }
        if let Some(mut newest) = set.clone_overlap.last_entry() {
            let shared = newest.get().size();
            #[cfg(feature = "planted-bugs")]
            if self.env.limits.planted == Some(crate::PlantedBug::OverlapKept) {
                self.modified = IntervalSet::new();
            }
            newest.get_mut().subtract(&self.modified);
            // The clone has these bytes for itself now.
            self.stats.num_bytes += (shared - newest.get().size()) as i64;
        }
        if self.snapc.seq > set.seq {
            set.seq = self.snapc.seq;
            // Which snapshots there were is of use to older releases only.
            set.snaps.clear();
        }
        set
    }

    fn clone_head(&mut self, tx: &mut Transaction, set: &mut SnapSet) -> PgLogEntry {
        let before = &self.before.info;
        let id = self.snapc.seq;
        let snaps = self.snapc.newer_than(set.seq).to_vec();
        let soid = self.before.object.with_snap(id);
        let version = self.env.version;
        let info = clone_info(before, &soid, version);
        let clone = GhObject::from(soid.clone());
        tx.push(self.coll, &self.object, TxOp::Clone { to: clone.clone() });
        tx.push(self.coll, &clone, TxOp::RmAttr { name: Bytes::from_static(b"snapset") });
        let attrs = [(Bytes::from_static(b"_"), info.to_bytes(WIRE))].into();
        tx.push(self.coll, &clone, TxOp::SetAttrs(attrs));

        self.stats.num_objects += 1;
        self.stats.num_object_clones += 1;
        self.stats.num_objects_dirty += i64::from(info.has(object_flag::DIRTY));
        self.stats.num_objects_omap += i64::from(info.has(object_flag::OMAP));
        let mut whole = IntervalSet::new();
        whole.insert(0, info.size);
        set.clones.push(id);
        set.clone_size.insert(id, info.size);
        set.clone_overlap.insert(id, whole);
        let entry = PgLogEntry {
            op: LogOp::Clone,
            soid,
            version,
            prior_version: before.version,
            mtime: self.info.mtime,
            snaps: snaps.to_bytes(WIRE),
            user_version: before.user_version,
            ..PgLogEntry::default()
        };
        set.clone_snaps.insert(id, snaps);
        entry
    }
}

/// The info of a clone: what clients see of an object, and nothing of what is to be done with it.
fn clone_info(head: &ObjectInfo, soid: &HObject, version: EVersion) -> ObjectInfo {
    ObjectInfo {
        version,
        prior_version: head.version,
        last_reqid: head.last_reqid,
        size: head.size,
        mtime: head.mtime,
        truncate_seq: head.truncate_seq,
        truncate_size: head.truncate_size,
        user_version: head.user_version,
        flags: head.flags,
        local_mtime: head.local_mtime,
        data_digest: head.data_digest,
        omap_digest: head.omap_digest,
        ..ObjectInfo::new(soid.clone())
    }
}
