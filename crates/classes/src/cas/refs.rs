//! The references to a chunk, in one of four forms of falling precision.
//!
//! A list of objects; counts by pool and a part of the hash; counts by pool; one count. The form
//! in which references were stored is kept until none is left.

use std::collections::BTreeMap;

use seabed_cluster::HObject;
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned,
};

/// Who refers to a chunk, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRefs(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    ByObject(BTreeMap<HObject, u64>),
    ByHash { total: u64, bits: u32, counts: BTreeMap<(i64, u32), u64> },
    ByPool { total: u64, counts: BTreeMap<i64, u64> },
    Count(u64),
}

impl Default for ChunkRefs {
    fn default() -> Self {
        ChunkRefs(Form::ByObject(BTreeMap::new()))
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shr(32 - bits).unwrap_or(0)
}

/// Takes one from a count, and the count away with its last one.
fn take<K: Ord>(counts: &mut BTreeMap<K, u64>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
    true
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

impl ChunkRefs {
    /// One more reference.
    pub fn get(&mut self, source: HObject) {
        match &mut self.0 {
            Form::ByObject(counts) => add(counts, source),
            Form::ByHash { total, bits, counts } => {
                add(counts, (source.pool.0, source.hash & mask(*bits)));
                *total = total.saturating_add(1);
            }
            Form::ByPool { total, counts } => {
                add(counts, source.pool.0);
                *total = total.saturating_add(1);
            }
            Form::Count(total) => *total = total.saturating_add(1),
        }
    }

    /// One reference less; false if there is none.
    pub fn put(&mut self, source: &HObject) -> bool {
        let (found, left) = match &mut self.0 {
            Form::ByObject(counts) => return take(counts, source),
            Form::ByHash { total, bits, counts } => {
                let found = take(counts, &(source.pool.0, source.hash & mask(*bits)));
                *total = total.saturating_sub(found.into());
                (found, *total)
            }
            Form::ByPool { total, counts } => {
                let found = take(counts, &source.pool.0);
                *total = total.saturating_sub(found.into());
                (found, *total)
            }
            Form::Count(total) => {
                let found = *total > 0;
                *total = total.saturating_sub(1);
                (found, *total)
            }
        };
        if left == 0 {
            *self = ChunkRefs::default();
        }
        found
    }

    /// Nobody refers to the chunk.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::ByObject(counts) => counts.is_empty(),
            Form::ByHash { counts, .. } => counts.is_empty(),
            Form::ByPool { counts, .. } => counts.is_empty(),
            Form::Count(total) => *total == 0,
        }
    }
}

impl Encode for ChunkRefs {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            let kind: u8 = match &self.0 {
                Form::ByObject(_) => 1,
                Form::ByHash { .. } => 2,
                Form::ByPool { .. } => 4,
                Form::Count(_) => 5,
            };
            kind.encode(out, features);
            encode_versioned(out, 1, 1, |out| match &self.0 {
                Form::ByObject(counts) => {
                    let total: u64 = counts.values().sum();
                    (total as u32).encode(out, features);
                    for (object, count) in counts {
                        (0..*count).for_each(|_| object.encode(out, features));
                    }
                }
                Form::ByHash { total, bits, counts } => {
                    put_varint(out, *total);
                    put_varint(out, (*bits).into());
                    put_varint(out, counts.len() as u64);
                    for ((pool, hash), count) in counts {
                        put_signed(out, *pool);
                        out.extend_from_slice(&hash.to_le_bytes()[..bits.div_ceil(8) as usize]);
                        put_varint(out, *count);
                    }
                }
                Form::ByPool { total, counts } => {
                    put_varint(out, *total);
                    put_varint(out, counts.len() as u64);
                    for (pool, count) in counts {
                        put_signed(out, *pool);
                        put_varint(out, *count);
                    }
                }
                Form::Count(total) => total.encode(out, features),
            });
        });
    }
}

impl Decode for ChunkRefs {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let form = decode_versioned(r, "chunk_refs_t", 1, |r, _| {
            let kind = u8::decode(r)?;
            Ok(decode_versioned(r, "chunk_refs_t::refs_t", 1, |r, _| form(kind, r))?.0)
        })?;
        Ok(ChunkRefs(form.0))
    }
}

fn form(kind: u8, r: &mut Reader) -> Result<Form, DecodeError> {
    Ok(match kind {
        1 => {
            let mut counts = BTreeMap::new();
            Vec::<HObject>::decode(r)?.into_iter().for_each(|object| add(&mut counts, object));
            Form::ByObject(counts)
        }
        2 => {
            let (total, bits) = (get_varint(r)?, get_varint(r)?);
            if !(1..=32).contains(&bits) {
                return Err(DecodeError::Invalid {
                    what: "hash bits of chunk_refs_t",
                    value: bits,
                });
            }
            let mut counts = BTreeMap::new();
            for _ in 0..get_varint(r)? {
                let pool = get_signed(r)?;
                let bytes: Bytes = r.take((bits as usize).div_ceil(8))?;
                let hash = bytes.iter().rev().fold(0, |hash, b| hash << 8 | u32::from(*b));
                counts.insert((pool, hash), get_varint(r)?);
            }
            Form::ByHash { total, bits: bits as u32, counts }
        }
        4 => {
            let total = get_varint(r)?;
            let mut counts = BTreeMap::new();
            for _ in 0..get_varint(r)? {
                let pool = get_signed(r)?;
                counts.insert(pool, get_varint(r)?);
            }
            Form::ByPool { total, counts }
        }
        5 => Form::Count(u64::decode(r)?),
        _ => {
            return Err(DecodeError::Invalid { what: "form of chunk_refs_t", value: kind.into() });
        }
    })
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn put_varint(out: &mut BytesMut, mut n: u64) {
    while n >= 0x80 {
        out.extend_from_slice(&[n as u8 | 0x80]);
        n >>= 7;
    }
    out.extend_from_slice(&[n as u8]);
}

/// As [`put_varint`], the sign in the lowest bit.
fn put_signed(out: &mut BytesMut, n: i64) {
    put_varint(out, n.unsigned_abs() << 1 | u64::from(n < 0));
}

fn get_varint(r: &mut Reader) -> Result<u64, DecodeError> {
    let (mut n, mut shift) = (0u64, 0);
    loop {
        let byte = u8::decode(r)?;
        n |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
        if shift > 63 {
            return Err(DecodeError::Invalid { what: "varint", value: n });
        }
    }
}

fn get_signed(r: &mut Reader) -> Result<i64, DecodeError> {
    let n = get_varint(r)?;
    let magnitude = (n >> 1) as i64;
    Ok(if n & 1 == 0 { magnitude } else { -magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{PoolId, SnapId};

    fn object(name: &'static str, pool: i64) -> HObject {
        let name = Bytes::from_static(name.as_bytes());
        HObject::new(PoolId(pool), Bytes::new(), Bytes::new(), name, SnapId::HEAD)
    }

    #[test]
    fn every_form_counts_and_comes_back_from_its_bytes() {
        let forms = [
            Form::ByObject(BTreeMap::new()),
            Form::ByHash { total: 0, bits: 11, counts: BTreeMap::new() },
            Form::ByPool { total: 0, counts: BTreeMap::new() },
            Form::Count(0),
        ];
        for form in forms {
            let mut refs = ChunkRefs(form);
            for (name, pool) in [("a", 3), ("a", 3), ("b", -1), ("c", 1 << 40)] {
                refs.get(object(name, pool));
            }
            let bytes = refs.to_bytes(0);
            assert_eq!(ChunkRefs::from_bytes(bytes).unwrap(), refs);
            for (name, pool) in [("a", 3), ("a", 3), ("b", -1)] {
                assert!(refs.put(&object(name, pool)) && !refs.is_empty(), "{refs:?}");
            }
            assert!(refs.put(&object("c", 1 << 40)) && refs.is_empty());
            assert!(!refs.put(&object("c", 1 << 40)));
            assert_eq!(refs, ChunkRefs::default(), "full precision again");
        }
    }

    #[test]
    fn impossible_forms_are_refused() {
        let encoded = |kind: u8, body: &[u8]| {
            let mut out = BytesMut::new();
            encode_versioned(&mut out, 1, 1, |out| {
                kind.encode(out, 0);
                encode_versioned(out, 1, 1, |out| out.extend_from_slice(body));
            });
            ChunkRefs::from_bytes(out.freeze())
        };
        assert!(encoded(3, &[]).is_err());
        assert!(encoded(2, &[0, 33, 0]).is_err());
        assert!(encoded(4, &[0xff; 12]).is_err());
        assert!(encoded(4, &[0, 0xff, 0xff, 0x7f]).is_err(), "more entries than bytes");
    }
}
