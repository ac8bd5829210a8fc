//! What trimming does to one clone and its head: exactly what a primary of Ceph does.
//!
//! The clone loses its removed snapshots. If none is left it goes, and what it shared with the
//! next newer one is cut down to what the next older one shares as well. The head gets the new
//! snapset; a whiteout goes with its last clone.

use seabed_cluster::{
    Collection, EVersion, GhObject, IntervalSet, LogOp, ObjectInfo, ObjectStatSum, PgLogEntry,
    SnapId, SnapSet, UTime, object_flag,
};
use seabed_denc::{Bytes, Encode};
use seabed_storage::Transaction;

use crate::WIRE;

/// A clone and its head.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) coll: Collection,
    pub(super) info: ObjectInfo,
    pub(super) head: ObjectInfo,
    pub(super) snapset: SnapSet,
}

/// What is to be done on every copy.
#[derive(Debug)]
pub(super) struct Trimmed {
    pub(super) transaction: Transaction,
    /// The clone's and the head's.
    pub(super) entries: Vec<PgLogEntry>,
    pub(super) stats: ObjectStatSum,
}

impl Pair {
    /// Takes the snapshots of `removed` from the clone. The clone's entry gets `version`, the
    /// head's the next. An error says what the snapset lacks.
    pub(super) fn trim(
        mut self,
        removed: &IntervalSet,
        version: EVersion,
        now: UTime,
    ) -> Result<Trimmed, &'static str> {
        let id = self.info.soid.snap;
        let snaps = self.snapset.clone_snaps.get(&id).ok_or("its head's snapset names no snaps")?;
        // Entries have them oldest first, snapsets newest first.
        let mut left: Vec<SnapId> =
            snaps.iter().copied().filter(|s| !removed.contains(s.0)).collect();
        left.sort_unstable();
        let mut out = Trimmed {
            transaction: Transaction::new(),
            entries: Vec::with_capacity(2),
            stats: ObjectStatSum::default(),
        };
        let entry = PgLogEntry {
            soid: self.info.soid.clone(),
            version,
            prior_version: self.info.version,
            mtime: now,
            snaps: PgLogEntry::encode_snaps(&left),
            ..PgLogEntry::default()
        };
        if left.is_empty() {
            self.drop_clone(id, &mut out)?;
            out.entries.push(PgLogEntry { op: LogOp::Delete, ..entry });
        } else {
            left.reverse();
            self.snapset.clone_snaps.insert(id, left);
            let gh = GhObject::from(self.info.soid.clone());
            let info = at_version(&mut self.info, version);
            out.transaction.set_attrs(&self.coll, &gh, [info].into());
            out.entries.push(entry);
        }
        self.update_head(EVersion { version: version.version + 1, ..version }, now, &mut out);
        Ok(out)
    }

    fn drop_clone(&mut self, id: SnapId, out: &mut Trimmed) -> Result<(), &'static str> {
        let set = &mut self.snapset;
        let at = set.clones.iter().position(|c| *c == id).ok_or("its head's snapset has it not")?;
        out.stats.num_bytes -= signed(set.clone_bytes(id));
        let shared = set.clone_overlap.remove(&id).unwrap_or_default();
        if let Some(older) = at.checked_sub(1).and_then(|i| set.clones.get(i)).copied() {
            let before = set.clone_bytes(older);
            set.clone_overlap.entry(older).or_default().intersect(&shared);
            out.stats.num_bytes += signed(set.clone_bytes(older)) - signed(before);
        }
        set.clones.remove(at);
        set.clone_size.remove(&id);
        set.clone_snaps.remove(&id);
        out.stats.num_object_clones -= 1;
        count_gone(&self.info, &mut out.stats);
        out.transaction.remove(&self.coll, &GhObject::from(self.info.soid.clone()));
        Ok(())
    }

    fn update_head(&mut self, version: EVersion, now: UTime, out: &mut Trimmed) {
        let gh = GhObject::from(self.head.soid.clone());
        let entry = PgLogEntry {
            soid: self.head.soid.clone(),
            version,
            prior_version: self.head.version,
            mtime: now,
            ..PgLogEntry::default()
        };
        if self.snapset.clones.is_empty() && self.head.is_whiteout() {
            count_gone(&self.head, &mut out.stats);
            out.transaction.remove(&self.coll, &gh);
            out.entries.push(PgLogEntry { op: LogOp::Delete, ..entry });
            return;
        }
        self.snapset.snaps.clear();
        let snapset = (Bytes::from_static(b"snapset"), self.snapset.to_bytes(WIRE));
        let info = at_version(&mut self.head, version);
        out.transaction.set_attrs(&self.coll, &gh, [info, snapset].into());
        out.entries.push(entry);
    }
}

/// The attribute of an object that goes to `version`.
fn at_version(info: &mut ObjectInfo, version: EVersion) -> (Bytes, Bytes) {
    info.prior_version = std::mem::replace(&mut info.version, version);
    (Bytes::from_static(b"_"), info.to_bytes(WIRE))
}

/// The counters of an object that goes.
fn count_gone(info: &ObjectInfo, stats: &mut ObjectStatSum) {
    let is = |flag| i64::from(info.has(flag));
    stats.num_objects -= 1;
    stats.num_objects_dirty -= is(object_flag::DIRTY);
    stats.num_objects_omap -= is(object_flag::OMAP);
    stats.num_whiteouts -= is(object_flag::WHITEOUT);
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
