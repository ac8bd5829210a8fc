//! Names and values of the mapper's keys, as Ceph makes them.
//!
//! Two directions, so that neither needs a search:
//!
//! | key | value |
//! |---|---|
//! | `SNA_<pool>_<snap, 16 hex>_<object>` | envelope (1, 1) { u64 snap; hobject } |
//! | `OBJ_<object>` | envelope (1, 1) { hobject; list of u64 snap, ascending } |
//!
//! `<object>` is pool, hash (nibbles reversed) and snap in hexadecimal, then name, key and
//! namespace with `%`, `.` and `_` escaped, joined by dots. Ceph keeps them in one object for all
//! PGs of an OSD; here each PG has them in the omap of its own meta object, so that they come and
//! go with it.

use std::collections::BTreeSet;
use std::fmt::Write;

use seabed_cluster::{HObject, PoolId, SnapId};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Reader, decode_versioned, encode_versioned,
};

use crate::WIRE;

const MAPPING: &str = "SNA_";
const OBJECT: &str = "OBJ_";
/// Behind all keys of the mapper.
pub(crate) const KEYS_END: &[u8] = b"SNA`";

/// Before all keys of the mapper.
pub(super) const KEYS_BEGIN: &[u8] = OBJECT.as_bytes();

/// True if the key is of a clone's snapshots.
pub(super) fn is_object_key(key: &[u8]) -> bool {
    key.starts_with(OBJECT.as_bytes())
}

/// True for the mapper's keys among the others of the meta object.
pub(crate) fn is_mapper_key(key: &[u8]) -> bool {
    key.starts_with(MAPPING.as_bytes()) || is_object_key(key)
}

/// Before the mappings of all snapshots of a pool.
pub(super) fn pool_prefix(pool: PoolId) -> String {
    format!("{MAPPING}{}_", pool.0)
}

/// Before the mappings of a snapshot.
pub(super) fn snap_prefix(pool: PoolId, snap: SnapId) -> String {
    format!("{MAPPING}{}_{:016X}_", pool.0, snap.0)
}

/// The key of one mapping.
pub(super) fn mapping_key(snap: SnapId, clone: &HObject) -> Bytes {
    object_text(snap_prefix(clone.pool, snap), clone)
}

/// The key of a clone's snapshots.
pub(super) fn object_key(clone: &HObject) -> Bytes {
    object_text(OBJECT.to_string(), clone)
}

fn object_text(mut out: String, o: &HObject) -> Bytes {
    let swapped = o.hash.swap_bytes();
    let reversed = (swapped & 0x0f0f_0f0f) << 4 | swapped >> 4 & 0x0f0f_0f0f;
    // Writing to a string does not fail.
    let _ = write!(out, "{:016X}.{reversed:08X}.", o.pool.0);
    let _ = match o.snap {
        SnapId::HEAD => write!(out, "head"),
        SnapId::DIR => write!(out, "snapdir"),
        SnapId(n) => write!(out, "{n:x}"),
    };
    let mut out = out.into_bytes();
    for part in [&o.name, &o.key, &o.namespace] {
        out.push(b'.');
        for byte in part.iter() {
            match byte {
                b'%' => out.extend_from_slice(b"%p"),
                b'.' => out.extend_from_slice(b"%e"),
                b'_' => out.extend_from_slice(b"%u"),
                byte => out.push(*byte),
            }
        }
    }
    out.into()
}

/// The value of a mapping.
pub(super) fn mapping_value(snap: SnapId, clone: &HObject) -> Bytes {
    let mut out = BytesMut::new();
    encode_versioned(&mut out, 1, 1, |out| {
        snap.encode(out, WIRE);
        clone.encode(out, WIRE);
    });
    out.freeze()
}

/// What a mapping says.
pub(super) fn read_mapping(value: Bytes) -> Result<(SnapId, HObject), DecodeError> {
    let mut r = Reader::new(value);
    let (mapping, _) = decode_versioned(&mut r, "snap mapping", 1, |r, _| {
        Ok((SnapId::decode(r)?, HObject::decode(r)?))
    })?;
    Ok(mapping)
}

/// The value of a clone's snapshots.
pub(super) fn object_value(clone: &HObject, snaps: &BTreeSet<SnapId>) -> Bytes {
    let mut out = BytesMut::new();
    encode_versioned(&mut out, 1, 1, |out| {
        clone.encode(out, WIRE);
        snaps.encode(out, WIRE);
    });
    out.freeze()
}

/// A clone and its snapshots.
pub(super) fn read_object(value: Bytes) -> Result<(HObject, BTreeSet<SnapId>), DecodeError> {
    let mut r = Reader::new(value);
    let (object, _) = decode_versioned(&mut r, "snaps of a clone", 1, |r, _| {
        Ok((HObject::decode(r)?, BTreeSet::decode(r)?))
    })?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ceph_s() {
        let mut o = HObject::new(PoolId(3), "n.s", "", "rbd_data.1%", SnapId(0x1f));
        o.hash = 0x87c7_17a1;
        assert_eq!(
            mapping_key(SnapId(0x2a), &o),
            "SNA_3_000000000000002A_0000000000000003.1A717C78.1f.rbd%udata%e1%p..n%es"
        );
        assert_eq!(object_key(&o), "OBJ_0000000000000003.1A717C78.1f.rbd%udata%e1%p..n%es");
        assert!(is_mapper_key(&object_key(&o)) && is_mapper_key(&mapping_key(SnapId(1), &o)));
        assert!(mapping_key(SnapId(u64::MAX - 2), &o) < Bytes::from_static(KEYS_END));
        for key in ["0000000001.00000000000000000001", "_info", "dup_", "missing/"] {
            assert!(!is_mapper_key(key.as_bytes()));
        }
    }

    #[test]
    fn values_come_back() {
        let o = HObject::new(PoolId(3), "", "k", "a", SnapId(7));
        assert_eq!(read_mapping(mapping_value(SnapId(5), &o)), Ok((SnapId(5), o.clone())));
        let snaps: BTreeSet<SnapId> = [SnapId(5), SnapId(7)].into();
        let value = object_value(&o, &snaps);
        assert_eq!(read_object(value.clone()), Ok((o, snaps)));
        for n in 0..value.len() {
            assert!(read_object(value.slice(..n)).is_err());
        }
    }
}
