//! Images that are mirrored, by their id here and by the id that they have everywhere.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Kept, versioned};

use super::super::store::{
    answer, args, done, find, get, key, list, optional, put, remove, remove_any,
};
use super::status;
use crate::{Done, Object};

pub(super) const IMAGE: &str = "image_";
const GLOBAL: &str = "global_";

/// `MIRROR_IMAGE_STATE_DISABLING`.
const DISABLING: u8 = 0;
/// `MIRROR_IMAGE_STATE_ENABLED`.
pub(super) const ENABLED: u8 = 1;

versioned! {
    /// A mirrored image.
    pub struct MirrorImage(2, 1) {
        global_image_id: Bytes,
        /// 0 disabling, 1 enabled, 2 disabled, 3 creating.
        state: u8,
        /// 0 journal, 1 snapshot.
        mode: u8 [since 2],
    }
}

fn read(object: &mut dyn Object, id: &Bytes) -> Result<MirrorImage, Errno> {
    get(object, key(IMAGE, id))
}

/// The image that has the id everywhere.
pub(super) fn by_global_id(
    object: &mut dyn Object,
    global_id: &Bytes,
) -> Result<MirrorImage, Errno> {
    let id: Bytes = get(object, key(GLOBAL, global_id))?;
    read(object, &id)
}

pub(in super::super) fn image_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let images: BTreeMap<Bytes, MirrorImage> = list(object, IMAGE, &after, max)?;
    let ids = images.into_iter().map(|(id, image)| (id, image.global_image_id));
    answer(&ids.collect::<BTreeMap<Bytes, Bytes>>())
}

pub(in super::super) fn get_image_id(object: &mut dyn Object, input: Bytes) -> Done {
    let global_id: Bytes = args(input)?;
    let id: Bytes = get(object, key(GLOBAL, &global_id))?;
    answer(&id)
}

pub(in super::super) fn image_get(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    let image = read(object, &id)?;
    answer(&image)
}

pub(in super::super) fn image_set(object: &mut dyn Object, input: Bytes) -> Done {
    let (id, image): (Bytes, MirrorImage) = args(input)?;
    let global_key = key(GLOBAL, &image.global_image_id);
    match optional(read(object, &id))? {
        Some(stored) if stored.global_image_id != image.global_image_id => {
            return Err(Errno::EINVAL);
        }
        Some(_) => {}
        None if find::<Bytes>(object, &global_key)?.is_some() => return Err(Errno::EEXIST),
        // Somebody else has disabled it already.
        None if image.state == DISABLING => return Err(Errno::ENOENT),
        None => {}
    }
    put(object, key(IMAGE, &id), &MirrorImage { kept: Kept::default(), ..image })?;
    put(object, global_key, &id)?;
    done()
}

pub(in super::super) fn image_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    let image = read(object, &id)?;
    if image.state != DISABLING {
        return Err(Errno::EBUSY);
    }
    remove(object, key(IMAGE, &id))?;
    remove_any(object, key(GLOBAL, &image.global_image_id))?;
    status::remove_all(object, &image.global_image_id)?;
    done()
}
