//! The image's header object: size, order, features, flags, striping, timestamps.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, SnapId, UTime};
use seabed_denc::{Bytes, Encode};

use super::image::Parent;
use super::snapshot;
use super::store::{Trailing, answer, args, done, find, get, put, remove_any};
use super::wire::{feature, op_feature};
use crate::{Done, Object};

/// ENOEXEC without the feature, and for an image that has none (format 1).
pub(super) fn require_feature(object: &mut dyn Object, need: u64) -> Result<(), Errno> {
    let features: u64 = find(object, "features")?.ok_or(Errno::ENOEXEC)?;
    if features & need == need { Ok(()) } else { Err(Errno::ENOEXEC) }
}

/// Sets those op features that `mask` selects; feature `operations` is on while any is.
pub(super) fn set_op_features(
    object: &mut dyn Object,
    op_features: u64,
    mask: u64,
) -> Result<(), Errno> {
    let features: u64 = get(object, "features")?;
    let before: u64 = find(object, "op_features")?.unwrap_or_default();
    let after = before & !mask | op_features & mask;
    if after == before {
        return Ok(());
    }
    let with = if after == 0 {
        remove_any(object, "op_features")?;
        features & !feature::OPERATIONS
    } else {
        put(object, "op_features", &after)?;
        features | feature::OPERATIONS
    };
    if with == features { Ok(()) } else { put(object, "features", &with) }
}

pub(super) fn create(object: &mut dyn Object, input: Bytes) -> Done {
    type Geometry = (u64, u8, u64);
    let ((size, order, features), object_prefix, Trailing(data_pool_id)) =
        args::<(Geometry, Bytes, Trailing<i64>)>(input)?;
    let data_pool_id = data_pool_id.unwrap_or(-1);
    if features & !feature::ALL != 0 {
        return Err(Errno::ENOSYS);
    }
    if object_prefix.is_empty() {
        return Err(Errno::EINVAL);
    }
    if object.omap_val(b"object_prefix") != Err(Errno::ENOENT) {
        return Err(Errno::EEXIST);
    }
    let has_pool = features & feature::DATA_POOL != 0;
    if features & feature::OPERATIONS != 0 || has_pool != (data_pool_id != -1) {
        return Err(Errno::EINVAL);
    }
    let now = object.now().to_bytes(0);
    let mut entries = BTreeMap::from([
        ("size", size.to_bytes(0)),
        ("order", order.to_bytes(0)),
        ("features", features.to_bytes(0)),
        ("object_prefix", object_prefix.to_bytes(0)),
        ("snap_seq", 0u64.to_bytes(0)),
        ("create_timestamp", now.clone()),
        ("access_timestamp", now.clone()),
        ("modify_timestamp", now),
    ]);
    if has_pool {
        entries.insert("data_pool_id", data_pool_id.to_bytes(0));
    }
    let entries = entries.into_iter().map(|(k, v)| (Bytes::from_static(k.as_bytes()), v));
    object.omap_set(entries.collect())?;
    done()
}

pub(super) fn get_all_features(_: &mut dyn Object, _: Bytes) -> Done {
    answer(&feature::ALL)
}

pub(super) fn get_features(object: &mut dyn Object, input: Bytes) -> Done {
    let (_, Trailing(read_only)): (SnapId, Trailing<bool>) = args(input)?;
    let features: u64 = get(object, "features")?;
    let mask = match read_only {
        Some(true) => feature::INCOMPATIBLE,
        _ => feature::RW_INCOMPATIBLE,
    };
    answer(&(features, features & mask))
}

pub(super) fn set_features(object: &mut dyn Object, input: Bytes) -> Done {
    let (features, mask): (u64, u64) = args(input)?;
    let before: u64 = find(object, "features")?.unwrap_or_default();
    if mask & feature::INTERNAL != 0 {
        return Err(Errno::EINVAL);
    }
    // Newer clients clear features that this release does not know.
    let mask = mask & feature::ALL;
    let (enabled, disabled) = (features & mask, !features & mask);
    if enabled & !feature::MUTABLE != 0
        || disabled & !(feature::MUTABLE | feature::DISABLE_ONLY) != 0
    {
        return Err(Errno::EINVAL);
    }
    put(object, "features", &(before & !mask | enabled))?;
    done()
}

pub(super) fn op_features_get(object: &mut dyn Object, _: Bytes) -> Done {
    let op_features: u64 = find(object, "op_features")?.unwrap_or_default();
    answer(&op_features)
}

pub(super) fn op_features_set(object: &mut dyn Object, input: Bytes) -> Done {
    let (op_features, mask) = args(input)?;
    if mask & !op_feature::ALL != 0 {
        return Err(Errno::EINVAL);
    }
    set_op_features(object, op_features, mask)?;
    done()
}

pub(super) fn get_size(object: &mut dyn Object, input: Bytes) -> Done {
    let snap_id: SnapId = args(input)?;
    let order: u8 = get(object, "order")?;
    let size: u64 = match snap_id {
        SnapId::HEAD => get(object, "size")?,
        _ => snapshot::read(object, snap_id)?.image_size,
    };
    answer(&(order, size))
}

pub(super) fn set_size(object: &mut dyn Object, input: Bytes) -> Done {
    let size: u64 = args(input)?;
    let before: u64 = get(object, "size")?;
    put(object, "size", &size)?;
    if size < before {
        let parent: Parent = find(object, "parent")?.unwrap_or_default();
        if parent.exists() && parent.head_overlap.is_some_and(|overlap| overlap > size) {
            put(object, "parent", &Parent { head_overlap: Some(size), ..parent })?;
        }
    }
    done()
}

pub(super) fn get_object_prefix(object: &mut dyn Object, _: Bytes) -> Done {
    let prefix: Bytes = get(object, "object_prefix")?;
    answer(&prefix)
}

pub(super) fn get_data_pool(object: &mut dyn Object, _: Bytes) -> Done {
    let pool: i64 = find(object, "data_pool_id")?.unwrap_or(-1);
    answer(&pool)
}

pub(super) fn get_flags(object: &mut dyn Object, input: Bytes) -> Done {
    let flags: u64 = match args(input)? {
        SnapId::HEAD => find(object, "flags")?.unwrap_or_default(),
        snap_id => snapshot::read(object, snap_id)?.flags,
    };
    answer(&flags)
}

pub(super) fn set_flags(object: &mut dyn Object, input: Bytes) -> Done {
    let (flags, mask, Trailing(snap_id)): (u64, u64, Trailing<SnapId>) = args(input)?;
    let masked = |before: u64| before & !mask | flags & mask;
    match snap_id.unwrap_or(SnapId::HEAD) {
        SnapId::HEAD => {
            let before = find(object, "flags")?.unwrap_or_default();
            put(object, "flags", &masked(before))?;
        }
        snap_id => {
            let mut snapshot = snapshot::read(object, snap_id)?;
            snapshot.flags = masked(snapshot.flags);
            snapshot::write(object, snap_id, snapshot)?;
        }
    }
    done()
}

/// Bytes in a data object; an order beyond 63 is none that an image can have.
fn object_size(order: u8) -> Result<u64, Errno> {
    1u64.checked_shl(order.into()).ok_or(Errno::EINVAL)
}

pub(super) fn get_stripe_unit_count(object: &mut dyn Object, _: Bytes) -> Done {
    object.stat()?;
    require_feature(object, feature::STRIPINGV2)?;
    let unit: u64 = match find(object, "stripe_unit")? {
        Some(unit) => unit,
        None => object_size(get(object, "order").map_err(|_| Errno::EIO)?)?,
    };
    let count: u64 = find(object, "stripe_count")?.unwrap_or(1);
    answer(&(unit, count))
}

pub(super) fn set_stripe_unit_count(object: &mut dyn Object, input: Bytes) -> Done {
    let (unit, count): (u64, u64) = args(input)?;
    if unit == 0 || count == 0 {
        return Err(Errno::EINVAL);
    }
    object.stat()?;
    require_feature(object, feature::STRIPINGV2)?;
    let size = object_size(get(object, "order")?)?;
    if size % unit != 0 || unit > size {
        return Err(Errno::EINVAL);
    }
    put(object, "stripe_unit", &unit)?;
    put(object, "stripe_count", &count)?;
    done()
}

fn get_timestamp(object: &mut dyn Object, key: &str) -> Done {
    let stamp: UTime = find(object, key)?.unwrap_or_default();
    answer(&stamp)
}

fn set_timestamp(object: &mut dyn Object, key: &str) -> Done {
    object.stat()?;
    let now = object.now();
    put(object, key, &now)?;
    done()
}

pub(super) fn get_create_timestamp(object: &mut dyn Object, _: Bytes) -> Done {
    get_timestamp(object, "create_timestamp")
}

pub(super) fn get_access_timestamp(object: &mut dyn Object, _: Bytes) -> Done {
    get_timestamp(object, "access_timestamp")
}

pub(super) fn get_modify_timestamp(object: &mut dyn Object, _: Bytes) -> Done {
    get_timestamp(object, "modify_timestamp")
}

pub(super) fn set_access_timestamp(object: &mut dyn Object, _: Bytes) -> Done {
    set_timestamp(object, "access_timestamp")
}

pub(super) fn set_modify_timestamp(object: &mut dyn Object, _: Bytes) -> Done {
    set_timestamp(object, "modify_timestamp")
}
