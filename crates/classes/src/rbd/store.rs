//! How the class reads its input and its object: arguments, omap values by key, listings.
//!
//! Input that does not decode is EINVAL, a stored value that does not decode is EIO. As in Ceph,
//! bytes behind the last argument or value are ignored.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, DecodeError, Encode, Reader};

pub(super) use crate::codec::{input as args, stored as decode};
use crate::{Done, Object, Output};

/// Keys read at a time.
const PAGE: u64 = 64;

/// An argument that older callers leave out, at the end of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trailing<T>(pub Option<T>);

impl<T: Decode> Decode for Trailing<T> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        if r.is_empty() { Ok(Trailing(None)) } else { T::decode(r).map(Some).map(Trailing) }
    }
}

/// The answer that is one value.
pub(super) fn answer<T: Encode>(value: &T) -> Done {
    Ok(value.to_bytes(0).into())
}

/// The answer without output.
pub(super) fn done() -> Done {
    Ok(Output::default())
}

/// `None` for ENOENT.
pub(super) fn optional<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The value of `key`; ENOENT if it is absent.
pub(super) fn get<T: Decode>(object: &mut dyn Object, key: impl AsRef<[u8]>) -> Result<T, Errno> {
    let value = object.omap_val(key.as_ref())?;
    decode(object, key.as_ref(), value)
}

/// The value of `key`, if it is there.
pub(super) fn find<T: Decode>(
    object: &mut dyn Object,
    key: impl AsRef<[u8]>,
) -> Result<Option<T>, Errno> {
    optional(get(object, key))
}

/// Sets `key`.
pub(super) fn put<T: Encode + ?Sized>(
    object: &mut dyn Object,
    key: impl AsRef<[u8]>,
    value: &T,
) -> Result<(), Errno> {
    put_raw(object, key, value.to_bytes(0))
}

/// Sets `key` to bytes that are encoded already, or that Ceph stores as they are.
pub(super) fn put_raw(
    object: &mut dyn Object,
    key: impl AsRef<[u8]>,
    value: Bytes,
) -> Result<(), Errno> {
    object.omap_set(BTreeMap::from([(Bytes::copy_from_slice(key.as_ref()), value)]))
}

/// Removes `key`, which need not be there; ENOENT if there is no object.
pub(super) fn remove(object: &mut dyn Object, key: impl AsRef<[u8]>) -> Result<(), Errno> {
    object.omap_rm(BTreeSet::from([Bytes::copy_from_slice(key.as_ref())]))
}

/// As [`remove`]; no object is as good as no key.
pub(super) fn remove_any(object: &mut dyn Object, key: impl AsRef<[u8]>) -> Result<(), Errno> {
    optional(remove(object, key)).map(|_| ())
}

/// `prefix` and `name` in one key.
pub(super) fn key(prefix: &str, name: &[u8]) -> Vec<u8> {
    [prefix.as_bytes(), name].concat()
}

/// Visits the entries of a prefix in key order, behind the name `after` (empty: from the first).
/// The visitor gets the name without the prefix and says whether to go on.
pub(super) fn scan(
    object: &mut dyn Object,
    prefix: &str,
    after: &[u8],
    mut visit: impl FnMut(&mut dyn Object, Bytes, Bytes) -> Result<bool, Errno>,
) -> Result<(), Errno> {
    let mut last = Bytes::from(key(prefix, after));
    loop {
        let page = object.omap_vals(&last, prefix.as_bytes(), PAGE)?;
        for (key, value) in page.entries {
            if !visit(object, key.slice(prefix.len()..), value)? {
                return Ok(());
            }
            last = key;
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// Up to `max` entries of a prefix behind the name `after`, each in its own type.
pub(super) fn list<T: Decode>(
    object: &mut dyn Object,
    prefix: &str,
    after: &[u8],
    max: u64,
) -> Result<BTreeMap<Bytes, T>, Errno> {
    let mut found = BTreeMap::new();
    if max > 0 {
        scan(object, prefix, after, |object, name, value| {
            let value = decode(object, &key(prefix, &name), value)?;
            found.insert(name, value);
            Ok((found.len() as u64) < max)
        })?;
    }
    Ok(found)
}

/// The names of all keys of a prefix, without the prefix.
pub(super) fn names(object: &mut dyn Object, prefix: &str) -> Result<Vec<Bytes>, Errno> {
    let mut names = Vec::new();
    let mut last = Bytes::copy_from_slice(prefix.as_bytes());
    loop {
        let page = object.omap_keys(&last, PAGE)?;
        for key in page.entries {
            if !key.starts_with(prefix.as_bytes()) {
                return Ok(names);
            }
            names.push(key.slice(prefix.len()..));
            last = key;
        }
        if !page.more {
            return Ok(names);
        }
    }
}
