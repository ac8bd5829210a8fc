//! Snapshots of groups: `snapshot_<id>`, and `snap_order_<id>` with the order they were made in.
//!
//! Ceph 18 and older keep no order; 20 lists by it and, as on a cluster that was upgraded, finds
//! snapshots of before without one.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, SnapId};
use seabed_denc::{Bytes, versioned};

use super::store::{answer, args, decode, done, find, get, key, list, optional, put, remove, scan};
use crate::{Done, Object};

const SNAPSHOT: &str = "snapshot_";
const ORDER: &str = "snap_order_";
/// The last order given.
const MAX_ORDER: &str = "snap_max_order";

/// `GROUP_SNAPSHOT_STATE_INCOMPLETE`: its images' snapshots are being made.
const INCOMPLETE: u8 = 0;

versioned! {
    /// A snapshot of an image that is part of a group's.
    pub struct ImageSnapshotSpec(1, 1) {
        pool: i64,
        image_id: Bytes,
        snap_id: SnapId,
    }
}

versioned! {
    /// A snapshot of all images of a group.
    pub struct GroupSnapshot(1, 1) {
        id: Bytes,
        name: Bytes,
        state: u8,
        snaps: Vec<ImageSnapshotSpec>,
    }
}

pub(super) fn group_snap_set(object: &mut dyn Object, input: Bytes) -> Done {
    let snapshot: GroupSnapshot = args(input)?;
    if snapshot.name.is_empty() || snapshot.id.is_empty() {
        return Err(Errno::EINVAL);
    }
    scan(object, SNAPSHOT, b"", |object, id, value| {
        let other: GroupSnapshot = decode(object, &id, value)?;
        let taken = other.name == snapshot.name && other.id != snapshot.id;
        if taken { Err(Errno::EEXIST) } else { Ok(true) }
    })?;
    let (stored, order_key) = (key(SNAPSHOT, &snapshot.id), key(ORDER, &snapshot.id));
    if snapshot.state == INCOMPLETE {
        for key in [&stored, &order_key] {
            if optional(object.omap_val(key))?.is_some() {
                return Err(Errno::EEXIST);
            }
        }
        let last: u64 = find(object, MAX_ORDER)?.unwrap_or_default();
        let order = last.wrapping_add(1);
        put(object, MAX_ORDER, &order)?;
        put(object, order_key, &order)?;
    }
    put(object, stored, &snapshot)?;
    done()
}

pub(super) fn group_snap_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    remove(object, key(SNAPSHOT, &id))?;
    remove(object, key(ORDER, &id))?;
    done()
}

pub(super) fn group_snap_get_by_id(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    let snapshot: GroupSnapshot = get(object, key(SNAPSHOT, &id))?;
    answer(&snapshot)
}

pub(super) fn group_snap_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (GroupSnapshot, u64) = args(input)?;
    let snapshots: BTreeMap<Bytes, GroupSnapshot> = list(object, SNAPSHOT, &after.id, max)?;
    answer(&snapshots.into_values().collect::<Vec<_>>())
}

pub(super) fn group_snap_list_order(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let orders: BTreeMap<Bytes, u64> = list(object, ORDER, &after, max)?;
    answer(&orders)
}
