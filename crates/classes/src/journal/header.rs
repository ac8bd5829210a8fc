//! What a journal is, which sets of its objects are in use, and appending to one of them.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, Encode};

use super::{read_key, require_absent, write_key};
use crate::codec::input;
use crate::{Done, Object, Output};

const ORDER: &[u8] = b"order";
const SPLAY_WIDTH: &[u8] = b"splay_width";
const POOL_ID: &[u8] = b"pool_id";
const MINIMUM_SET: &[u8] = b"minimum_set";
const ACTIVE_SET: &[u8] = b"active_set";
pub(super) const NEXT_TAG_TID: &[u8] = b"next_tag_tid";
pub(super) const NEXT_TAG_CLASS: &[u8] = b"next_tag_class";

/// `CEPH_OSD_OP_FLAG_FADVISE_DONTNEED`: a journal is seldom read back.
const DONTNEED: u32 = 0x20;

pub(super) fn create(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (order, splay_width, pool_id): (u8, u8, i64) = input(bytes)?;
    require_absent(object, ORDER)?;
    write_key(object, ORDER, &order)?;
    write_key(object, SPLAY_WIDTH, &splay_width)?;
    write_key(object, POOL_ID, &pool_id)?;
    for counter in [ACTIVE_SET, MINIMUM_SET, NEXT_TAG_TID, NEXT_TAG_CLASS] {
        write_key(object, counter, &0u64)?;
    }
    Ok(Output::default())
}

/// Answers with a key's value.
fn tell<T: Decode + Encode>(object: &mut dyn Object, key: &[u8]) -> Done {
    Ok(read_key::<T>(object, key)?.to_bytes(0).into())
}

pub(super) fn order(object: &mut dyn Object) -> Result<u8, Errno> {
    read_key(object, ORDER)
}

pub(super) fn splay_width(object: &mut dyn Object) -> Result<u8, Errno> {
    read_key(object, SPLAY_WIDTH)
}

pub(super) fn get_order(object: &mut dyn Object, _: Bytes) -> Done {
    tell::<u8>(object, ORDER)
}

pub(super) fn get_splay_width(object: &mut dyn Object, _: Bytes) -> Done {
    tell::<u8>(object, SPLAY_WIDTH)
}

pub(super) fn get_pool_id(object: &mut dyn Object, _: Bytes) -> Done {
    tell::<i64>(object, POOL_ID)
}

pub(super) fn get_minimum_set(object: &mut dyn Object, _: Bytes) -> Done {
    tell::<u64>(object, MINIMUM_SET)
}

pub(super) fn get_active_set(object: &mut dyn Object, _: Bytes) -> Done {
    tell::<u64>(object, ACTIVE_SET)
}

/// Moves one end of the range of sets in use forward: ESTALE if it is further already.
fn move_forward(object: &mut dyn Object, key: &[u8], set: u64) -> Done {
    let current: u64 = read_key(object, key)?;
    if set < current {
        return Err(Errno::ESTALE);
    }
    if set > current {
        write_key(object, key, &set)?;
    }
    Ok(Output::default())
}

/// The minimum stays behind the active set.
pub(super) fn set_minimum_set(object: &mut dyn Object, bytes: Bytes) -> Done {
    let set: u64 = input(bytes)?;
    if read_key::<u64>(object, ACTIVE_SET)? < set {
        return Err(Errno::EINVAL);
    }
    move_forward(object, MINIMUM_SET, set)
}

/// The active set stays before the minimum.
pub(super) fn set_active_set(object: &mut dyn Object, bytes: Bytes) -> Done {
    let set: u64 = input(bytes)?;
    if read_key::<u64>(object, MINIMUM_SET)? > set {
        return Err(Errno::EINVAL);
    }
    move_forward(object, ACTIVE_SET, set)
}

/// The size of a data object that may grow: EOVERFLOW from `soft_max` on.
fn room(object: &mut dyn Object, soft_max: u64) -> Result<Option<u64>, Errno> {
    let size = match object.stat() {
        Ok(stat) => Some(stat.size),
        Err(Errno::ENOENT) => None,
        Err(e) => return Err(e),
    };
    if size.is_some_and(|size| size >= soft_max) { Err(Errno::EOVERFLOW) } else { Ok(size) }
}

pub(super) fn guard_append(object: &mut dyn Object, bytes: Bytes) -> Done {
    room(object, input(bytes)?)?;
    Ok(Output::default())
}

/// Appends if there is room. (Ceph pads to the allocation unit when the cluster excludes clients
/// older than Octopus; readers skip padding and miss none.)
pub(super) fn append(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (soft_max, data): (u64, Bytes) = input(bytes)?;
    let size = room(object, soft_max)?.unwrap_or(0);
    if size >= soft_max {
        return Err(Errno::EOVERFLOW);
    }
    object.write(size, data, DONTNEED)?;
    Ok(Output::default())
}
