//! How methods read their input and what is stored.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, Reader};

use crate::{Level, Object};

/// The input of a method: what cannot be read is the caller's mistake; bytes behind it are left
/// over for later releases.
pub(crate) fn input<T: Decode>(bytes: Bytes) -> Result<T, Errno> {
    T::decode(&mut Reader::new(bytes)).map_err(|_| Errno::EINVAL)
}

/// What a class has stored under `name`: what cannot be read is damage.
pub(crate) fn stored<T: Decode>(
    object: &mut dyn Object,
    name: &[u8],
    bytes: Bytes,
) -> Result<T, Errno> {
    T::decode(&mut Reader::new(bytes)).map_err(|e| {
        object.log(Level::Error, format!("{}: {e}", String::from_utf8_lossy(name)));
        Errno::EIO
    })
}
