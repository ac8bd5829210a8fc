//! The parent of a cloned image: which snapshot it is, and how many bytes of it show through.

use seabed_cluster::{Errno, SnapId};
use seabed_denc::Bytes;

use super::header::{require_feature, set_op_features};
use super::image::{Parent, ParentImageSpec, Snapshot};
use super::snapshot;
use super::store::{Trailing, answer, args, done, find, get, put, remove_any};
use super::wire::{feature, op_feature};
use crate::{Done, Object};

fn attach(object: &mut dyn Object, mut parent: Parent, reattach: bool) -> Done {
    object.stat()?;
    require_feature(object, feature::LAYERING)?;
    let overlap = parent.head_overlap.unwrap_or_default();
    if !parent.exists() || overlap == 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(stored) = find::<Parent>(object, "parent")? {
        let another = stored.head_overlap.is_some() || stored.spec() != parent.spec();
        if another && !reattach {
            return Err(Errno::EEXIST);
        }
    }
    let size: u64 = get(object, "size")?;
    parent.head_overlap = Some(overlap.min(size));
    put(object, "parent", &parent)?;
    done()
}

fn detach(object: &mut dyn Object, legacy: bool) -> Done {
    object.stat()?;
    let features: u64 = find(object, "features")?.unwrap_or_default();
    if features & feature::LAYERING == 0 {
        return Err(Errno::ENOEXEC);
    }
    let parent: Parent = get(object, "parent")?;
    if legacy && !parent.pool_namespace.is_empty() {
        return Err(Errno::EXDEV);
    }
    if parent.head_overlap.is_none() {
        return Err(Errno::ENOENT);
    }
    let deep = features & feature::DEEP_FLATTEN != 0;
    let mut snapshots_need_it = false;
    snapshot::each(object, |object, snapshot| {
        if snapshot.has_parent() && deep {
            let alone = Snapshot { parent: Parent::default(), parent_overlap: None, ..snapshot };
            snapshot::write(object, alone.id, alone)?;
        } else {
            snapshots_need_it |= snapshot.has_parent();
        }
        Ok(())
    })?;
    if snapshots_need_it {
        put(object, "parent", &Parent { head_overlap: None, ..parent })?;
    } else {
        remove_any(object, "parent")?;
        set_op_features(object, 0, op_feature::CLONE_CHILD)?;
    }
    done()
}

/// An image without layering answers as one without a parent.
fn layered(object: &mut dyn Object) -> bool {
    require_feature(object, feature::LAYERING).is_ok()
}

pub(super) fn parent_get(object: &mut dyn Object, _: Bytes) -> Done {
    object.stat()?;
    let mut parent = Parent::default();
    if layered(object) {
        match find(object, "parent")? {
            Some(stored) => parent = stored,
            None => snapshot::each(object, |_, snapshot| {
                if snapshot.parent.exists() {
                    parent = snapshot.parent;
                }
                Ok(())
            })?,
        }
    }
    answer(&parent.spec())
}

pub(super) fn parent_overlap_get(object: &mut dyn Object, input: Bytes) -> Done {
    let snap_id: SnapId = args(input)?;
    let overlap = if !layered(object) {
        None
    } else if snap_id == SnapId::HEAD {
        find::<Parent>(object, "parent")?.and_then(|parent| parent.head_overlap)
    } else {
        let snapshot = snapshot::read(object, snap_id)?;
        let within = Some(snapshot.parent).filter(Parent::exists);
        snapshot.parent_overlap.or(within.and_then(|parent| parent.head_overlap))
    };
    answer(&overlap)
}

pub(super) fn parent_attach(object: &mut dyn Object, input: Bytes) -> Done {
    let (spec, overlap, Trailing(reattach)): (ParentImageSpec, u64, Trailing<bool>) = args(input)?;
    attach(object, Parent::new(spec, Some(overlap)), reattach.unwrap_or_default())
}

pub(super) fn parent_detach(object: &mut dyn Object, _: Bytes) -> Done {
    detach(object, false)
}

/// The form without namespaces, which the kernel falls back to.
pub(super) fn get_parent(object: &mut dyn Object, input: Bytes) -> Done {
    let snap_id: SnapId = args(input)?;
    object.stat()?;
    let mut parent = Parent::default();
    if layered(object) {
        parent = find(object, "parent")?.unwrap_or_default();
        if !parent.pool_namespace.is_empty() {
            return Err(Errno::EXDEV);
        }
        if snap_id != SnapId::HEAD {
            let snapshot = super::store::optional(snapshot::read(object, snap_id))?;
            let snapshot = snapshot.unwrap_or_default();
            parent = match snapshot.parent_overlap {
                _ if snapshot.parent.exists() => snapshot.parent,
                Some(_) if !parent.exists() => return Err(Errno::EINVAL),
                Some(overlap) => Parent { head_overlap: Some(overlap), ..parent },
                None => Parent::default(),
            };
        }
    }
    let overlap = parent.head_overlap.unwrap_or_default();
    answer(&(parent.pool_id, parent.image_id, parent.snap_id, overlap))
}

pub(super) fn set_parent(object: &mut dyn Object, input: Bytes) -> Done {
    let (pool_id, image_id, snap_id, overlap) = args(input)?;
    let spec = ParentImageSpec { pool_id, image_id, snap_id, ..ParentImageSpec::default() };
    attach(object, Parent::new(spec, Some(overlap)), false)
}

pub(super) fn remove_parent(object: &mut dyn Object, _: Bytes) -> Done {
    detach(object, true)
}
