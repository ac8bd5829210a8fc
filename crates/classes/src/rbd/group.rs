//! Groups of images: the images of a group, and the group of an image.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, versioned};

use super::header::set_op_features;
use super::store::{answer, args, decode, done, find, get, put, remove, scan};
use super::wire::op_feature;
use crate::{Done, Object};

/// In a group's header, one key for each image: `image_<pool>_<id>`.
const IMAGE: &str = "image_";
/// In an image's header.
const GROUP_REF: &str = "rbd_group_ref";

versioned! {
    /// An image of a group.
    pub struct GroupImageSpec(1, 1) {
        image_id: Bytes,
        pool_id: i64 = -1,
    }
}

impl GroupImageSpec {
    /// The key without its prefix; empty for the spec that stands for "from the first".
    fn name(&self) -> Vec<u8> {
        match self.pool_id {
            -1 => Vec::new(),
            pool_id => [format!("{pool_id:016x}_").as_bytes(), &self.image_id[..]].concat(),
        }
    }

    fn from_name(name: &Bytes) -> Option<Self> {
        let at = name.iter().position(|byte| *byte == b'_')?;
        let pool_id = u64::from_str_radix(std::str::from_utf8(&name[..at]).ok()?, 16).ok()?;
        let image_id = name.slice(at + 1..);
        Some(GroupImageSpec { image_id, pool_id: pool_id as i64, ..GroupImageSpec::default() })
    }
}

versioned! {
    /// An image of a group, and whether it knows it.
    pub struct GroupImageStatus(1, 1) {
        spec: GroupImageSpec,
        /// 0 attached, 1 incomplete.
        state: u8 = 1,
    }
}

versioned! {
    /// The group of an image; pool −1 for none.
    pub struct GroupSpec(1, 1) {
        pool_id: i64 = -1,
        group_id: Bytes,
    }
}

fn image_key(spec: &GroupImageSpec) -> Result<Vec<u8>, Errno> {
    match spec.pool_id {
        -1 => Err(Errno::EINVAL),
        _ => Ok(super::store::key(IMAGE, &spec.name())),
    }
}

pub(super) fn group_image_set(object: &mut dyn Object, input: Bytes) -> Done {
    let status: GroupImageStatus = args(input)?;
    put(object, image_key(&status.spec)?, &status.state)?;
    done()
}

pub(super) fn group_image_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let spec: GroupImageSpec = args(input)?;
    remove(object, image_key(&spec)?)?;
    done()
}

pub(super) fn group_image_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (GroupImageSpec, u64) = args(input)?;
    let mut images = Vec::new();
    if max > 0 {
        scan(object, IMAGE, &after.name(), |object, name, value| {
            let state = decode(object, &name, value)?;
            let spec = GroupImageSpec::from_name(&name).ok_or(Errno::EIO)?;
            images.push(GroupImageStatus { spec, state, ..GroupImageStatus::default() });
            Ok((images.len() as u64) < max)
        })?;
    }
    answer(&images)
}

pub(super) fn image_group_add(object: &mut dyn Object, input: Bytes) -> Done {
    let group: GroupSpec = args(input)?;
    match find::<GroupSpec>(object, GROUP_REF)? {
        Some(stored) if stored != group => return Err(Errno::EEXIST),
        Some(_) => {}
        None => {
            set_op_features(object, op_feature::GROUP, op_feature::GROUP)?;
            put(object, GROUP_REF, &group)?;
        }
    }
    done()
}

pub(super) fn image_group_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let group: GroupSpec = args(input)?;
    if get::<GroupSpec>(object, GROUP_REF)? != group {
        return Err(Errno::EBADF);
    }
    remove(object, GROUP_REF)?;
    set_op_features(object, 0, op_feature::GROUP)?;
    done()
}

pub(super) fn image_group_get(object: &mut dyn Object, _: Bytes) -> Done {
    let group: GroupSpec = find(object, GROUP_REF)?.unwrap_or_default();
    answer(&group)
}
