//! Whether a pool is mirrored, under which id, and from which namespace of the peer.

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use super::super::store::{answer, args, done, find, get, put, put_raw, remove_any};
use super::peer;
use crate::{Done, Object};

/// Stored without a length.
const UUID: &str = "mirror_uuid";
const MODE: &str = "mirror_mode";
const REMOTE_NAMESPACE: &str = "remote_namespace";

const DISABLED: u32 = 0;
const IMAGE: u32 = 1;
const POOL: u32 = 2;

/// Mirroring is on.
pub(super) fn is_enabled(object: &mut dyn Object) -> Result<bool, Errno> {
    let mode: u32 = find(object, MODE)?.unwrap_or(DISABLED);
    Ok(mode != DISABLED)
}

/// The pool's own id; ENOENT before it is set.
pub(super) fn uuid(object: &mut dyn Object) -> Result<Bytes, Errno> {
    object.omap_val(UUID.as_bytes())
}

pub(in super::super) fn uuid_get(object: &mut dyn Object, _: Bytes) -> Done {
    let uuid = uuid(object)?;
    answer(&uuid)
}

pub(in super::super) fn uuid_set(object: &mut dyn Object, input: Bytes) -> Done {
    let uuid: Bytes = args(input)?;
    if uuid.is_empty() || is_enabled(object)? {
        return Err(Errno::EINVAL);
    }
    put_raw(object, UUID, uuid)?;
    done()
}

pub(in super::super) fn mode_get(object: &mut dyn Object, _: Bytes) -> Done {
    let mode: u32 = get(object, MODE)?;
    answer(&mode)
}

pub(in super::super) fn mode_set(object: &mut dyn Object, input: Bytes) -> Done {
    let mode: u32 = args(input)?;
    match mode {
        DISABLED => {
            if !peer::read_all(object)?.is_empty() {
                return Err(Errno::EBUSY);
            }
            for key in [REMOTE_NAMESPACE, MODE, UUID] {
                remove_any(object, key)?;
            }
        }
        IMAGE | POOL => match uuid(object) {
            Ok(_) => put(object, MODE, &mode)?,
            Err(Errno::ENOENT) => return Err(Errno::EINVAL),
            Err(error) => return Err(error),
        },
        _ => return Err(Errno::EINVAL),
    }
    done()
}

pub(in super::super) fn remote_namespace_get(object: &mut dyn Object, _: Bytes) -> Done {
    let namespace: Bytes = get(object, REMOTE_NAMESPACE)?;
    answer(&namespace)
}

pub(in super::super) fn remote_namespace_set(object: &mut dyn Object, input: Bytes) -> Done {
    let namespace: Bytes = args(input)?;
    if is_enabled(object)? {
        return Err(Errno::EINVAL);
    }
    put(object, REMOTE_NAMESPACE, &namespace)?;
    done()
}
