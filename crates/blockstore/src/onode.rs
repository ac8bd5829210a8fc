//! An object's own record: its number, size, attributes and omap header.

use std::collections::BTreeMap;

use bytes::Bytes;
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};
use seabed_denc::{decode_versioned, encode_versioned};

/// What the client expects of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AllocHint {
    pub(crate) object_size: u64,
    pub(crate) write_size: u64,
    pub(crate) flags: u32,
}

/// The record of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Onode {
    /// What extents and omap hang on; never used again once the object is gone.
    pub(crate) id: u64,
    pub(crate) size: u64,
    /// Whether there may be omap keys.
    pub(crate) has_omap: bool,
    pub(crate) hint: AllocHint,
    pub(crate) omap_header: Bytes,
    pub(crate) attrs: BTreeMap<Bytes, Bytes>,
}

impl Encode for Onode {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.id.encode(out, features);
            self.size.encode(out, features);
            self.has_omap.encode(out, features);
            self.hint.object_size.encode(out, features);
            self.hint.write_size.encode(out, features);
            self.hint.flags.encode(out, features);
            self.omap_header.encode(out, features);
            self.attrs.encode(out, features);
        });
    }
}

impl Decode for Onode {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| {
            Ok(Onode {
                id: u64::decode(r)?,
                size: u64::decode(r)?,
                has_omap: bool::decode(r)?,
                hint: AllocHint {
                    object_size: u64::decode(r)?,
                    write_size: u64::decode(r)?,
                    flags: u32::decode(r)?,
                },
                omap_header: Bytes::decode(r)?,
                attrs: BTreeMap::decode(r)?,
            })
        };
        Ok(decode_versioned(r, "onode", 1, body)?.0)
    }
}

/// The store's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Super {
    /// The device this belongs to.
    pub(crate) uuid: [u8; 16],
    /// No object's number is this or greater.
    pub(crate) object_id_limit: u64,
}

impl Encode for Super {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            out.extend_from_slice(&self.uuid);
            self.object_id_limit.encode(out, features);
        });
    }
}

impl Decode for Super {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body =
            |r: &mut Reader, _| Ok(Super { uuid: r.array()?, object_id_limit: u64::decode(r)? });
        Ok(decode_versioned(r, "super record", 1, body)?.0)
    }
}

/// A collection's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CollectionRecord {
    pub(crate) bits: u32,
}

impl Encode for CollectionRecord {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| self.bits.encode(out, features));
    }
}

impl Decode for CollectionRecord {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| Ok(CollectionRecord { bits: u32::decode(r)? });
        Ok(decode_versioned(r, "collection", 1, body)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let onode = Onode {
            id: 7,
            size: 9,
            has_omap: true,
            hint: AllocHint { object_size: 1, write_size: 2, flags: 3 },
            omap_header: "h".into(),
            attrs: [("_".into(), "oi".into())].into_iter().collect(),
        };
        assert_eq!(Onode::from_bytes(onode.to_bytes(0)), Ok(onode));
        let s = Super { uuid: [3; 16], object_id_limit: 9 };
        assert_eq!(Super::from_bytes(s.to_bytes(0)), Ok(s));
        let c = CollectionRecord { bits: 5 };
        assert_eq!(CollectionRecord::from_bytes(c.to_bytes(0)), Ok(c));
    }
}
