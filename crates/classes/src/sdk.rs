//! Class `sdk`: two methods by which Ceph's tests go through the interface of classes.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "sdk",
    methods: &[
        Method { name: "test_coverage_write", access: Access::RDWR, run: write },
        Method { name: "test_coverage_replay", access: Access::RDWR, run: replay },
    ],
};

const NAME: &[u8] = b"foo";

/// Leaves the same few bytes as data, attribute and omap entry.
fn write(object: &mut dyn Object, _: Bytes) -> Done {
    let text = Bytes::from_static(b"test");
    object.create(false)?;
    object.stat()?;
    object.write(0, text.clone(), 0)?;
    object.stat()?;
    object.set_xattr(NAME, text.clone())?;
    object.omap_set(BTreeMap::from([(Bytes::from_static(NAME), text)]))?;
    Ok(Output::default())
}

/// Finds them, and removes the object.
fn replay(object: &mut dyn Object, _: Bytes) -> Done {
    let size = object.stat()?.size;
    let found = [object.read(0, size)?, object.get_xattr(NAME)?, object.omap_val(NAME)?];
    if found.iter().any(|value| value.len() as u64 != size) {
        return Err(Errno::EIO);
    }
    object.remove()?;
    Ok(Output::default())
}
