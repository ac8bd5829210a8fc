//! Names and ids: `rbd_id.<name>`, `rbd_directory`, and `rbd_group_directory`, which is alike.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode};

use super::store::{answer, args, decode, done, get, key, list, optional, put, remove};
use crate::{Done, Object};

const NAME: &str = "name_";
const ID: &str = "id_";

/// An id is letters and digits.
pub(super) fn is_valid_id(id: &[u8]) -> bool {
    !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric)
}

pub(super) fn get_id(object: &mut dyn Object, _: Bytes) -> Done {
    let size = object.stat()?.size;
    if size == 0 {
        return Err(Errno::ENOENT);
    }
    let stored = object.read(0, size)?;
    let id: Bytes = decode(object, b"id", stored)?;
    answer(&id)
}

pub(super) fn set_id(object: &mut dyn Object, input: Bytes) -> Done {
    let size = object.stat()?.size;
    let id: Bytes = args(input)?;
    if !is_valid_id(&id) {
        return Err(Errno::EINVAL);
    }
    if size != 0 {
        return Err(Errno::EEXIST);
    }
    object.write(0, id.to_bytes(0), 0)?;
    done()
}

fn add(object: &mut dyn Object, name: &Bytes, id: &Bytes, unique_id: bool) -> Done {
    if name.is_empty() || !is_valid_id(id) {
        return Err(Errno::EINVAL);
    }
    let (name_key, id_key) = (key(NAME, name), key(ID, id));
    if object.omap_val(&name_key) != Err(Errno::ENOENT) {
        return Err(Errno::EEXIST);
    }
    if unique_id && object.omap_val(&id_key) != Err(Errno::ENOENT) {
        return Err(Errno::EBADF);
    }
    object.omap_set(BTreeMap::from([
        (name_key.into(), id.to_bytes(0)),
        (id_key.into(), name.to_bytes(0)),
    ]))?;
    done()
}

fn delete(object: &mut dyn Object, name: &Bytes, id: &Bytes) -> Done {
    let (name_key, id_key) = (key(NAME, name), key(ID, id));
    let stored_id: Bytes = get(object, &name_key)?;
    let stored_name: Bytes = get(object, &id_key)?;
    if stored_name != *name || stored_id != *id {
        return Err(Errno::ESTALE);
    }
    remove(object, name_key)?;
    remove(object, id_key)?;
    done()
}

pub(super) fn dir_add(object: &mut dyn Object, input: Bytes) -> Done {
    object.create(false)?;
    let (name, id) = args(input)?;
    add(object, &name, &id, true)
}

pub(super) fn dir_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let (name, id) = args(input)?;
    delete(object, &name, &id)
}

pub(super) fn dir_rename(object: &mut dyn Object, input: Bytes) -> Done {
    let (from, to, id) = args(input)?;
    delete(object, &from, &id)?;
    // The id's entry is still to be seen.
    add(object, &to, &id, false)
}

pub(super) fn dir_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let ids: BTreeMap<Bytes, Bytes> = list(object, NAME, &after, max)?;
    answer(&ids)
}

pub(super) fn dir_get_id(object: &mut dyn Object, input: Bytes) -> Done {
    let name: Bytes = args(input)?;
    let id: Bytes = get(object, key(NAME, &name))?;
    answer(&id)
}

pub(super) fn dir_get_name(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    let name: Bytes = get(object, key(ID, &id))?;
    answer(&name)
}

pub(super) fn dir_state_assert(object: &mut dyn Object, input: Bytes) -> Done {
    let state: u8 = args(input)?;
    let stored: u8 = get(object, "state")?;
    if state == stored { done() } else { Err(Errno::ENOENT) }
}

pub(super) fn dir_state_set(object: &mut dyn Object, input: Bytes) -> Done {
    const READY: u8 = 0;
    const ADD_DISABLED: u8 = 1;
    let state: u8 = args(input)?;
    let exists = optional(object.stat())?.is_some();
    match state {
        READY => {}
        ADD_DISABLED if !exists => return Err(Errno::ENOENT),
        ADD_DISABLED => {
            let first = object.omap_vals(NAME.as_bytes(), NAME.as_bytes(), 1)?;
            if !first.entries.is_empty() {
                return Err(Errno::EBUSY);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    put(object, "state", &state)?;
    done()
}
