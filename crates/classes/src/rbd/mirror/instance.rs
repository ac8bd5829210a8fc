//! `rbd_mirror_leader`: which instances of rbd-mirror run, and which replicates which image.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, UTime};
use seabed_denc::{Bytes, Kept, versioned};

use super::super::store::{answer, args, done, key, list, names, put, put_raw, remove, remove_any};
use crate::{Done, Object};

const INSTANCE: &str = "instance_";
const IMAGE_MAP: &str = "image_map_";

versioned! {
    /// Which instance replicates an image.
    pub struct MirrorImageMap(1, 1) {
        instance_id: Bytes,
        mapped_time: UTime,
        /// The policy's own.
        data: Bytes,
    }
}

pub(in super::super) fn instances_list(object: &mut dyn Object, _: Bytes) -> Done {
    let ids = names(object, INSTANCE)?;
    answer(&ids)
}

pub(in super::super) fn instances_add(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    put_raw(object, key(INSTANCE, &id), Bytes::new())?;
    done()
}

pub(in super::super) fn instances_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let id: Bytes = args(input)?;
    remove(object, key(INSTANCE, &id))?;
    done()
}

pub(in super::super) fn image_map_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let maps: Result<BTreeMap<Bytes, MirrorImageMap>, _> = list(object, IMAGE_MAP, &after, max);
    // Alone among the listings, this one calls a record that does not decode EINVAL.
    answer(&maps.map_err(|error| if error == Errno::EIO { Errno::EINVAL } else { error })?)
}

pub(in super::super) fn image_map_update(object: &mut dyn Object, input: Bytes) -> Done {
    let (global_id, map): (Bytes, MirrorImageMap) = args(input)?;
    put(object, key(IMAGE_MAP, &global_id), &MirrorImageMap { kept: Kept::default(), ..map })?;
    done()
}

pub(in super::super) fn image_map_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let global_id: Bytes = args(input)?;
    remove_any(object, key(IMAGE_MAP, &global_id))?;
    done()
}
