//! Names of the log's keys in the omap of the PG's meta object, as Ceph names them.

use seabed_cluster::{EVersion, HObject};
use seabed_denc::{Bytes, Encode};

use crate::WIRE;

/// Before the version of a dup.
pub(crate) const DUP_PREFIX: &[u8] = b"dup_";
/// Before the name of a missing object.
pub(crate) const MISSING_PREFIX: &[u8] = b"missing/";

/// `epoch.version` with leading zeros, so that keys sort as versions do.
pub(crate) fn entry_key(v: EVersion) -> Bytes {
    Bytes::from(format!("{:010}.{:020}", v.epoch.0, v.version))
}

/// The key of a dup.
pub(crate) fn dup_key(v: EVersion) -> Bytes {
    Bytes::from(format!("dup_{:010}.{:020}", v.epoch.0, v.version))
}

/// The key of a missing object: its encoding in hexadecimal, so that it is a text like the others.
pub(crate) fn missing_key(object: &HObject) -> Bytes {
    let encoded = object.to_bytes(WIRE);
    let mut key = String::with_capacity(MISSING_PREFIX.len() + encoded.len() * 2);
    key.push_str("missing/");
    for byte in &encoded {
        key.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        key.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    Bytes::from(key)
}

/// True for the keys of entries, which begin with a digit.
pub(crate) fn is_entry_key(key: &[u8]) -> bool {
    key.len() == 31 && key[10] == b'.' && key[0].is_ascii_digit()
}
