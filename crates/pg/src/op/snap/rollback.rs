//! ROLLBACK: the head becomes what it was at a snapshot.

use seabed_cluster::{Errno, GhObject, IntervalSet, ObjectInfo, SnapId, object_flag};
use seabed_messages::{OpArgs, OsdOp};

use super::Shown;
use super::find::find;
use crate::op::ObjectContext;
use crate::op::execution::{DONE, Done, Execution, Failure};

impl Execution<'_> {
    /// ROLLBACK. What did not exist then is deleted; what has not changed since gets a new
    /// version and nothing else.
    pub(in crate::op) fn rollback(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Snap { snap } = op.args else { return Err(Errno::EINVAL.into()) };
        match find(self.before, snap, self.env.removed_snaps) {
            Shown::Head if self.before.exists => {
                self.change().touch();
                DONE
            }
            Shown::Head | Shown::Nothing => self.roll_back_to_nothing(),
            Shown::Clone(clone) => self.roll_back_to(snap, clone),
        }
    }

    fn roll_back_to_nothing(&mut self) -> Done {
        if !self.before.info.watchers.is_empty() {
            return Err(Errno::EBUSY.into());
        }
        match self.delete() {
            Err(Failure(e)) if e == Errno::ENOENT.wire() => DONE,
            other => other,
        }
    }

    fn roll_back_to(&mut self, snap: SnapId, clone: SnapId) -> Done {
        let found = ObjectContext::load_clone(self.store, self.coll, self.before, clone);
        let ObjectContext { object, info: then, .. } = found.map_err(|e| self.failed(&e))??;
        if self.is_stored() {
            self.change().remove();
        }
        let changed = self.changed_since(snap);
        self.modified.union(&changed);
        self.recreate_object();
        self.change().become_clone_of(GhObject::from(object));
        self.clean.clean_offsets.erase(0, self.info.size.max(then.size));
        self.clean.clean_omap = false;
        self.resize(then.size);
        take_over(&mut self.info, &then);
        DONE
    }

    /// The ranges of the head that are not shared all the way down to the clone.
    fn changed_since(&self, snap: SnapId) -> IntervalSet {
        let mut changed = IntervalSet::new();
        for (_, shared) in self.before.snapset.clone_overlap.range(snap..) {
            let mut lost = IntervalSet::new();
            lost.insert(0, self.info.size);
            lost.subtract(shared);
            changed.union(&lost);
        }
        changed
    }
}

/// What a head takes over from the clone it becomes a copy of.
fn take_over(info: &mut ObjectInfo, then: &ObjectInfo) {
    for flag in [object_flag::DATA_DIGEST, object_flag::OMAP_DIGEST, object_flag::OMAP] {
        info.set(flag, then.has(flag));
    }
    info.data_digest = then.data_digest;
    info.omap_digest = then.omap_digest;
}
