//! `rbd_trash`: images that are to be deleted, or are being moved or deleted: `id_<id>`.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, UTime};
use seabed_denc::{Bytes, Kept, versioned};

use super::directory::is_valid_id;
use super::store::{answer, args, done, find, get, key, list, put, remove};
use crate::{Done, Object};

const PREFIX: &str = "id_";

versioned! {
    /// What an image in the trash was, and until when it stays.
    pub struct TrashImageSpec(2, 1) {
        /// Who moved it: 0 user, 1 mirroring, 2 migration, 3 removal, 4 user's parent image.
        source: u8,
        name: Bytes,
        deletion_time: UTime,
        deferment_end_time: UTime,
        /// 0 normal, 1 moving, 2 removing, 3 restoring.
        state: u8 [since 2],
    }
}

pub(super) fn trash_add(object: &mut dyn Object, input: Bytes) -> Done {
    object.create(false)?;
    let (id, spec): (Bytes, TrashImageSpec) = args(input)?;
    if !is_valid_id(&id) {
        return Err(Errno::EINVAL);
    }
    let key = key(PREFIX, &id);
    if find::<TrashImageSpec>(object, &key)?.is_some() {
        return Err(Errno::EEXIST);
    }
    put(object, key, &spec)?;
    done()
}

pub(super) fn trash_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    let key = key(PREFIX, &id);
    object.omap_val(&key)?;
    remove(object, key)?;
    done()
}

pub(super) fn trash_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let specs: BTreeMap<Bytes, TrashImageSpec> = list(object, PREFIX, &after, max)?;
    answer(&specs)
}

pub(super) fn trash_get(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    Ok(object.omap_val(&key(PREFIX, &id))?.into())
}

pub(super) fn trash_state_set(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, state, expected): (Bytes, u8, u8) = args(input)?;
    let key = key(PREFIX, &id);
    let spec: TrashImageSpec = get(object, &key)?;
    if spec.state == expected {
        // Written in this release's form: an older one has no place for the state.
        put(object, key, &TrashImageSpec { state, kept: Kept::default(), ..spec })?;
    } else if spec.state != state {
        return Err(Errno::ESTALE);
    }
    done()
}
