//! `rbd_namespace`: the namespaces of a pool: `name_<namespace>`, without a value.

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use super::store::{answer, args, done, key, put_raw, remove, scan};
use crate::{Done, Object};

const PREFIX: &str = "name_";

pub(super) fn namespace_add(object: &mut dyn Object, input: Bytes) -> Done {
    let name: Bytes = args(input)?;
    let key = key(PREFIX, &name);
    match object.omap_val(&key) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) => put_raw(object, key, Bytes::new())?,
        Err(error) => return Err(error),
    }
    done()
}

pub(super) fn namespace_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let name: Bytes = args(input)?;
    let key = key(PREFIX, &name);
    object.omap_val(&key)?;
    remove(object, key)?;
    done()
}

pub(super) fn namespace_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let mut names = Vec::new();
    if max > 0 {
        scan(object, PREFIX, &after, |_, name, _| {
            names.push(name);
            Ok((names.len() as u64) < max)
        })?;
    }
    answer(&names)
}
