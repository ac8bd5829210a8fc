//! Clones of a snapshot: in the parent's header (clone format 2) or in `rbd_children` (format 1).

use std::collections::BTreeSet;

use seabed_cluster::{Errno, SnapId};
use seabed_denc::{Bytes, Encode};

use super::header::set_op_features;
use super::image::ChildImageSpec;
use super::snapshot;
use super::store::{answer, args, done, find, get, put, remove, remove_any};
use super::wire::op_feature;
use crate::{Done, Object};

fn key(id: SnapId) -> String {
    format!("snap_children_{:016x}", id.0)
}

pub(super) fn child_attach(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, child): (SnapId, ChildImageSpec) = args(input)?;
    let mut snapshot = snapshot::read(object, id)?;
    if snapshot.namespace.is_trash() {
        return Err(Errno::ENOENT);
    }
    let mut children: BTreeSet<ChildImageSpec> = find(object, key(id))?.unwrap_or_default();
    if !children.insert(child) {
        return Err(Errno::EEXIST);
    }
    put(object, key(id), &children)?;
    snapshot.child_count = snapshot.child_count.wrapping_add(1);
    snapshot::write(object, id, snapshot)?;
    set_op_features(object, op_feature::CLONE_PARENT, op_feature::CLONE_PARENT)?;
    done()
}

pub(super) fn child_detach(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, child): (SnapId, ChildImageSpec) = args(input)?;
    let mut snapshot = snapshot::read(object, id)?;
    let mut children: BTreeSet<ChildImageSpec> = find(object, key(id))?.unwrap_or_default();
    if snapshot.child_count as usize != children.len() {
        return Err(Errno::EINVAL);
    }
    if !children.remove(&child) {
        return Err(Errno::ENOENT);
    }
    if children.is_empty() {
        remove_any(object, key(id))?;
    } else {
        put(object, key(id), &children)?;
    }
    snapshot.child_count -= 1;
    snapshot::write(object, id, snapshot)?;
    if children.is_empty() {
        let mut others_have_children = false;
        snapshot::each(object, |_, other| {
            others_have_children |= other.id != id && other.child_count > 0;
            Ok(())
        })?;
        if !others_have_children {
            set_op_features(object, 0, op_feature::CLONE_PARENT)?;
        }
    }
    done()
}

pub(super) fn children_list(object: &mut dyn Object, input: Bytes) -> Done {
    let id: SnapId = args(input)?;
    snapshot::read(object, id)?;
    let children: BTreeSet<ChildImageSpec> = get(object, key(id))?;
    answer(&children)
}

/// A snapshot by pool, image and id; encoded, it is a key of `rbd_children`.
type ParentKey = (u64, Bytes, SnapId);

pub(super) fn add_child(object: &mut dyn Object, input: Bytes) -> Done {
    let (parent, child): (ParentKey, Bytes) = args(input)?;
    let key = parent.to_bytes(0);
    let mut children: BTreeSet<Bytes> = find(object, &key)?.unwrap_or_default();
    if !children.insert(child) {
        return Err(Errno::EEXIST);
    }
    put(object, key, &children)?;
    done()
}

pub(super) fn remove_child(object: &mut dyn Object, input: Bytes) -> Done {
    let (parent, child): (ParentKey, Bytes) = args(input)?;
    let key = parent.to_bytes(0);
    let mut children: BTreeSet<Bytes> = get(object, &key)?;
    if !children.remove(&child) {
        return Err(Errno::ENOENT);
    }
    if children.is_empty() {
        remove(object, key)?;
    } else {
        put(object, key, &children)?;
    }
    done()
}

pub(super) fn get_children(object: &mut dyn Object, input: Bytes) -> Done {
    let parent: ParentKey = args(input)?;
    let children: BTreeSet<Bytes> = get(object, parent.to_bytes(0))?;
    answer(&children)
}
