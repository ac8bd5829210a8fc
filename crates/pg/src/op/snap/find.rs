//! Which object shows a snapshot.

use seabed_cluster::{IntervalSet, SnapId, SnapSet};
use seabed_messages::op::request_flag;
use seabed_messages::{MOsdOp, OpArgs};

use crate::op::ObjectContext;

/// What shows an object as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The head: it has not changed since.
    Head,
    /// This clone.
    Clone(SnapId),
    /// Nothing: the object did not exist then, or the snapshot does not any more.
    Nothing,
}

/// What shows the object of `head` as it was at `snap`. `removed` are snapshots that are removed
/// and may not be trimmed yet.
pub(crate) fn find(head: &ObjectContext, snap: SnapId, removed: Option<&IntervalSet>) -> Shown {
    let set = &head.snapset;
    if !head.is_stored() {
        return Shown::Nothing;
    }
    if snap > set.seq {
        return Shown::Head;
    }
    let at = set.clones.partition_point(|clone| *clone < snap);
    match set.clones.get(at) {
        Some(clone)
            if keeps(set, *clone, snap) && !removed.is_some_and(|set| set.contains(snap.0)) =>
        {
            Shown::Clone(*clone)
        }
        _ => Shown::Nothing,
    }
}

/// What a request looks at.
pub(crate) fn shown_to(
    request: &MOsdOp,
    head: &ObjectContext,
    removed: Option<&IntervalSet>,
) -> Shown {
    match request.snap {
        SnapId::HEAD | SnapId::DIR => Shown::Head,
        clone if request.flags & request_flag::MAP_SNAP_CLONE != 0 => find_clone(head, clone),
        snap => find(head, snap, removed),
    }
}

/// The clones that a request reads: the one it looks at, and those it rolls back to.
pub(crate) fn clones_read(
    request: &MOsdOp,
    head: &ObjectContext,
    removed: Option<&IntervalSet>,
) -> impl Iterator<Item = SnapId> {
    let rolled_back = request.ops.iter().filter_map(move |op| match op.args {
        OpArgs::Snap { snap } => Some(find(head, snap, removed)),
        _ => None,
    });
    let all = rolled_back.chain([shown_to(request, head, removed)]);
    all.filter_map(|shown| match shown {
        Shown::Clone(clone) => Some(clone),
        Shown::Head | Shown::Nothing => None,
    })
}

/// The same for a request that names a clone by its own number (MAP_SNAP_CLONE).
fn find_clone(head: &ObjectContext, clone: SnapId) -> Shown {
    if !head.is_stored() {
        Shown::Nothing
    } else if clone > head.snapset.seq {
        Shown::Head
    } else if head.snapset.clones.contains(&clone) {
        Shown::Clone(clone)
    } else {
        Shown::Nothing
    }
}

fn keeps(set: &SnapSet, clone: SnapId, snap: SnapId) -> bool {
    set.clone_snaps.get(&clone).is_some_and(|snaps| snaps.contains(&snap))
}
