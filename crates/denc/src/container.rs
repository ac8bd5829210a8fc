//! Strings, blobs, lists, maps, sets and options: a `u32` count (or a presence byte) in front.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Decode, DecodeError, Encode, Features, Reader};

fn put_count(out: &mut BytesMut, n: usize) {
    // Nothing of 4 Gi elements is ever built: callers hold their values in memory under limits.
    out.put_u32_le(u32::try_from(n).expect("container count fits u32"));
}

/// `u32` length and the bytes.
pub fn encode_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

/// `u32` length and UTF-8.
pub fn encode_str(out: &mut BytesMut, s: &str) {
    encode_bytes(out, s.as_bytes());
}

/// `u32` count and the elements of any exactly sized iterator.
pub fn encode_list<T: Encode>(
    out: &mut BytesMut,
    features: Features,
    items: impl ExactSizeIterator<Item = T>,
) {
    put_count(out, items.len());
    for item in items {
        item.encode(out, features);
    }
}

/// `u32` length and whatever `body` writes ("bufferlist in a bufferlist").
pub fn encode_blob_with(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32_le(0);
    body(out);
    let len = u32::try_from(out.len() - at - 4).expect("blob length fits u32");
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// Reads a `u32` length and hands a reader over exactly those bytes to `body`; bytes that `body`
/// leaves are skipped.
pub fn decode_blob_with<T>(
    r: &mut Reader,
    body: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let n = r.count("blob", 1)?;
    body(&mut r.sub(n)?)
}

impl Encode for Bytes {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        encode_bytes(out, self);
    }
}

impl Decode for Bytes {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let n = r.count("bytes", 1)?;
        r.take(n)
    }
}

impl Encode for str {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        encode_str(out, self);
    }
}

impl Encode for String {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        encode_str(out, self);
    }
}

/// Text only: names that may hold any byte (objects, xattrs, omap keys) are [`Bytes`].
impl Decode for String {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let bytes = Bytes::decode(r)?;
        match std::str::from_utf8(&bytes) {
            Ok(s) => Ok(s.to_owned()),
            Err(_) => Err(DecodeError::NotUtf8 { what: "string" }),
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_list(out, features, self.iter());
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let n = r.count("list", 1)?;
        // Grown as elements really decode: a large element type must not turn a count of bytes
        // that fit into an allocation many times their size.
        let mut v = Vec::with_capacity(n.min(64));
        for _ in 0..n {
            v.push(T::decode(r)?);
        }
        Ok(v)
    }
}

impl<T: Encode> Encode for VecDeque<T> {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_list(out, features, self.iter());
    }
}

impl<T: Decode> Decode for VecDeque<T> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Vec::decode(r)?.into())
    }
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        put_count(out, self.len());
        for (k, v) in self {
            k.encode(out, features);
            v.encode(out, features);
        }
    }
}

/// A key that comes twice keeps its last value, as `std::map` operator[] does.
impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<K, V> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let n = r.count("map", 1)?;
        let mut m = BTreeMap::new();
        for _ in 0..n {
            let k = K::decode(r)?;
            m.insert(k, V::decode(r)?);
        }
        Ok(m)
    }
}

impl<T: Encode> Encode for BTreeSet<T> {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_list(out, features, self.iter());
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let n = r.count("set", 1)?;
        let mut s = BTreeSet::new();
        for _ in 0..n {
            s.insert(T::decode(r)?);
        }
        Ok(s)
    }
}

/// A presence byte, then the value.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        match self {
            Some(v) => {
                out.put_u8(1);
                v.encode(out, features);
            }
            None => out.put_u8(0),
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        if bool::decode(r)? { Ok(Some(T::decode(r)?)) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let m: BTreeMap<u32, Vec<String>> =
            [(1, vec!["a".into()]), (2, vec![])].into_iter().collect();
        assert_eq!(BTreeMap::from_bytes(m.to_bytes(0)), Ok(m));
        let o = Some(Bytes::from_static(b"xy"));
        assert_eq!(&o.to_bytes(0)[..], [1, 2, 0, 0, 0, b'x', b'y']);
        assert_eq!(Option::from_bytes(o.to_bytes(0)), Ok(o));
    }

    #[test]
    fn an_absurd_count_is_refused_before_allocation() {
        let bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert!(matches!(Vec::<u64>::from_bytes(bytes.clone()), Err(DecodeError::TooLong { .. })));
        assert!(matches!(Bytes::from_bytes(bytes), Err(DecodeError::TooLong { .. })));
    }
}
