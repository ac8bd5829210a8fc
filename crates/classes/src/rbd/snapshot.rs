//! Snapshots of an image: one omap entry `snapshot_<id>` each.

use seabed_cluster::{Errno, SnapId, UTime, Uuid};
use seabed_denc::{Bytes, Encode};

use super::header::{require_feature, set_op_features};
use super::image::{Parent, Snapshot, SnapshotInfo, SnapshotNamespace, TrashSnapshotNamespace};
use super::legacy;
use super::store::{
    Trailing, answer, args, decode, done, find, get, names, put, remove, remove_any, scan,
};
use super::wire::{feature, op_feature};
use crate::{Done, Object};

/// Of the entries of snapshots.
const PREFIX: &str = "snapshot_";

/// The largest id that a snapshot can have (`CEPH_MAXSNAP`).
const MAX_ID: u64 = u64::MAX - 2;

/// `RBD_PROTECTION_STATUS_*` from here on mean nothing.
const PROTECTION_END: u8 = 3;

fn key(id: SnapId) -> String {
    format!("{PREFIX}{:016x}", id.0)
}

/// The snapshot; ENOENT if there is none.
pub(super) fn read(object: &mut dyn Object, id: SnapId) -> Result<Snapshot, Errno> {
    get(object, key(id))
}

/// Stores a snapshot. A parent inside of it, as before Nautilus, moves to the header.
pub(super) fn write(
    object: &mut dyn Object,
    id: SnapId,
    mut snapshot: Snapshot,
) -> Result<(), Errno> {
    if snapshot.parent.exists() {
        let stored: Parent = find(object, "parent")?.unwrap_or_default();
        let parent = std::mem::take(&mut snapshot.parent);
        snapshot.parent_overlap = parent.head_overlap;
        if !stored.exists() {
            put(object, "parent", &Parent { head_overlap: None, ..parent })?;
        }
    }
    put(object, key(id), &snapshot)
}

/// Visits the snapshots, oldest first, until the visitor fails.
pub(super) fn each(
    object: &mut dyn Object,
    mut visit: impl FnMut(&mut dyn Object, Snapshot) -> Result<(), Errno>,
) -> Result<(), Errno> {
    scan(object, PREFIX, b"", |object, name, value| {
        let snapshot = decode(object, &name, value)?;
        visit(object, snapshot)?;
        Ok(true)
    })
}

/// A snapshot that a client asks about; the head is none.
fn asked(object: &mut dyn Object, input: Bytes) -> Result<Snapshot, Errno> {
    match args(input)? {
        SnapId::HEAD => Err(Errno::EINVAL),
        id => read(object, id),
    }
}

pub(super) fn get_snapcontext(object: &mut dyn Object, _: Bytes) -> Done {
    let mut ids = Vec::new();
    for name in names(object, PREFIX)? {
        let digits = std::str::from_utf8(&name).map_err(|_| Errno::EIO)?;
        ids.push(SnapId(u64::from_str_radix(digits, 16).map_err(|_| Errno::EIO)?));
    }
    let seq: u64 = get(object, "snap_seq")?;
    ids.reverse();
    answer(&(seq, ids))
}

pub(super) fn snapshot_get(object: &mut dyn Object, input: Bytes) -> Done {
    let snapshot = asked(object, input)?;
    answer(&SnapshotInfo::from(snapshot))
}

pub(super) fn get_snapshot_name(object: &mut dyn Object, input: Bytes) -> Done {
    answer(&asked(object, input)?.name)
}

pub(super) fn get_snapshot_timestamp(object: &mut dyn Object, input: Bytes) -> Done {
    let stamp: UTime = asked(object, input)?.timestamp;
    answer(&stamp)
}

pub(super) fn snapshot_add(object: &mut dyn Object, input: Bytes) -> Done {
    let (name, id, Trailing(namespace)): (Bytes, SnapId, Trailing<SnapshotNamespace>) =
        args(input)?;
    let namespace = namespace.unwrap_or_default();
    if namespace == SnapshotNamespace::Unknown || id.0 > MAX_ID {
        return Err(Errno::EINVAL);
    }
    let seq: u64 = get(object, "snap_seq")?;
    if id.0 < seq {
        return Err(Errno::ESTALE);
    }
    let image_size = get(object, "size")?;
    let flags = find(object, "flags")?.unwrap_or_default();
    let limit: u64 = find(object, "snap_limit")?.unwrap_or(u64::MAX);
    let mut count = 0;
    each(object, |_, other| {
        count += 1;
        if count >= limit {
            return Err(Errno::EDQUOT);
        }
        let same = other.name == name && other.namespace == namespace;
        if same || other.id == id { Err(Errno::EEXIST) } else { Ok(()) }
    })?;
    let parent = find(object, "parent")?.unwrap_or_default();
    if namespace.is_trash() {
        set_op_features(object, op_feature::SNAP_TRASH, op_feature::SNAP_TRASH)?;
    }
    put(object, "snap_seq", &id)?;
    let timestamp = object.now();
    let snapshot = Snapshot {
        id,
        name,
        image_size,
        parent,
        flags,
        namespace,
        timestamp,
        ..Snapshot::default()
    };
    write(object, id, snapshot)?;
    done()
}

pub(super) fn snapshot_rename(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, name): (SnapId, Bytes) = args(input)?;
    each(object, |_, other| match other.namespace {
        SnapshotNamespace::User if other.name == name => Err(Errno::EEXIST),
        _ => Ok(()),
    })?;
    let snapshot = read(object, id)?;
    if snapshot.namespace != SnapshotNamespace::User {
        return Err(Errno::EINVAL);
    }
    write(object, id, Snapshot { name, ..snapshot })?;
    done()
}

pub(super) fn snapshot_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let id: SnapId = args(input)?;
    let snapshot = read(object, id)?;
    if snapshot.protection_status != 0 || snapshot.child_count > 0 {
        return Err(Errno::EBUSY);
    }
    remove(object, key(id))?;
    let (mut others_have_parent, mut others_in_trash) = (false, false);
    each(object, |_, other| {
        // The removed one is still to be seen.
        if other.id != id {
            others_have_parent |= other.has_parent();
            others_in_trash |= other.namespace.is_trash();
        }
        Ok(())
    })?;
    let parent: Parent = find(object, "parent")?.unwrap_or_default();
    let head_has_parent = parent.exists() && parent.head_overlap.is_some();
    if parent.exists() && !head_has_parent && !others_have_parent {
        remove_any(object, "parent")?;
    }
    let mut unused = 0;
    if !others_have_parent && !head_has_parent {
        unused |= op_feature::CLONE_CHILD;
    }
    if !others_in_trash {
        unused |= op_feature::SNAP_TRASH;
    }
    if unused != 0 {
        set_op_features(object, 0, unused)?;
    }
    done()
}

/// A random UUID (version 4) from bytes that nobody else has.
pub(super) fn random_uuid(object: &mut dyn Object) -> Bytes {
    let mut bytes = [0; 16];
    object.unique(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes).to_string().into()
}

pub(super) fn snapshot_trash_add(object: &mut dyn Object, input: Bytes) -> Done {
    let id: SnapId = args(input)?;
    let mut snapshot = read(object, id)?;
    if snapshot.protection_status != 0 {
        return Err(Errno::EBUSY);
    }
    if snapshot.namespace.is_trash() {
        return Err(Errno::EEXIST);
    }
    set_op_features(object, op_feature::SNAP_TRASH, op_feature::SNAP_TRASH)?;
    let name = random_uuid(object);
    snapshot.namespace = SnapshotNamespace::Trash(TrashSnapshotNamespace {
        original_snapshot_namespace_type: snapshot.namespace.kind(),
        original_name: std::mem::replace(&mut snapshot.name, name),
    });
    write(object, id, snapshot)?;
    done()
}

pub(super) fn get_protection_status(object: &mut dyn Object, input: Bytes) -> Done {
    let id: SnapId = args(input)?;
    object.stat()?;
    let snapshot = asked(object, id.to_bytes(0))?;
    if snapshot.protection_status >= PROTECTION_END {
        return Err(Errno::EIO);
    }
    answer(&snapshot.protection_status)
}

pub(super) fn set_protection_status(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, protection_status): (SnapId, u8) = args(input)?;
    object.stat()?;
    require_feature(object, feature::LAYERING)?;
    if id == SnapId::HEAD || protection_status >= PROTECTION_END {
        return Err(Errno::EINVAL);
    }
    let snapshot = read(object, id)?;
    write(object, id, Snapshot { protection_status, ..snapshot })?;
    done()
}

pub(super) fn snapshot_get_limit(object: &mut dyn Object, _: Bytes) -> Done {
    let limit: u64 = find(object, "snap_limit")?.unwrap_or(u64::MAX);
    answer(&limit)
}

pub(super) fn snapshot_set_limit(object: &mut dyn Object, input: Bytes) -> Done {
    let limit: u64 = args(input)?;
    if limit == u64::MAX {
        remove(object, "snap_limit")?;
        return done();
    }
    let count = match legacy::Header::read(object) {
        Ok(header) => header.snapshots.len(),
        // No header of format 1.
        Err(Errno::EINVAL) => names(object, PREFIX)?.len(),
        Err(error) => return Err(error),
    };
    if limit < count as u64 {
        return Err(Errno::ERANGE);
    }
    put(object, "snap_limit", &limit)?;
    done()
}
