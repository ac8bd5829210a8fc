//! Snapshots that rbd-mirror copies.

use seabed_cluster::{Errno, SnapId};
use seabed_denc::Bytes;

use super::super::image::{MirrorSnapshotNamespace, SnapshotNamespace};
use super::super::snapshot;
use super::super::store::{args, done};
use crate::{Done, Object};

/// `MIRROR_SNAPSHOT_STATE_NON_PRIMARY`, and with the next one demoted.
const NON_PRIMARY: u8 = 2;
const NON_PRIMARY_DEMOTED: u8 = 3;

/// Changes the namespace of a mirror snapshot; EINVAL for another kind.
fn change(
    object: &mut dyn Object,
    id: SnapId,
    change: impl FnOnce(&mut MirrorSnapshotNamespace) -> Result<(), Errno>,
) -> Done {
    let mut snapshot = snapshot::read(object, id)?;
    let SnapshotNamespace::Mirror(namespace) = &mut snapshot.namespace else {
        return Err(Errno::EINVAL);
    };
    change(namespace)?;
    snapshot::write(object, id, snapshot)?;
    done()
}

pub(in super::super) fn snapshot_unlink_peer(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, peer): (SnapId, Bytes) = args(input)?;
    change(object, id, |namespace| {
        if namespace.mirror_peer_uuids.remove(&peer) { Ok(()) } else { Err(Errno::ENOENT) }
    })
}

pub(in super::super) fn snapshot_set_copy_progress(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, complete, last_copied): (SnapId, bool, u64) = args(input)?;
    change(object, id, |namespace| {
        namespace.complete = complete;
        if matches!(namespace.state, NON_PRIMARY | NON_PRIMARY_DEMOTED) {
            namespace.last_copied_object_number = last_copied;
        }
        Ok(())
    })
}
