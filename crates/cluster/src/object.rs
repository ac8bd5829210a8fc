//! Objects by their full names, in the order in which everything lists and recovers them.

use std::cmp::Ordering;
use std::fmt;

use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, encode_versioned,
};

use crate::{PoolId, SnapId, SpgId, hash_rjenkins};

/// Between namespace and key in what is hashed.
const NAMESPACE_SEPARATOR: u8 = 0x1f;

/// What the hash of an object is taken over.
pub(crate) fn hash_input(namespace: &[u8], key: &[u8], with: impl FnOnce(&[u8]) -> u32) -> u32 {
    if namespace.is_empty() {
        return with(key);
    }
    let mut input = Vec::with_capacity(namespace.len() + 1 + key.len());
    input.extend_from_slice(namespace);
    input.push(NAMESPACE_SEPARATOR);
    input.extend_from_slice(key);
    with(&input)
}

/// `hobject_t`: an object of a pool, at a snapshot.
///
/// The order is Ceph's: pool, then the hash with its bits reversed (so that a PG, which fixes low
/// bits, is one range), then names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HObject {
    /// The pool; the least number in [`HObject::min`].
    pub pool: PoolId,
    /// The placement hash.
    pub hash: u32,
    /// The namespace, usually empty.
    pub namespace: Bytes,
    /// The locator key; empty when it equals the name.
    pub key: Bytes,
    /// The name.
    pub name: Bytes,
    /// Which snapshot's clone, or the head.
    pub snap: SnapId,
    /// Behind every object.
    pub max: bool,
}

impl Default for HObject {
    fn default() -> Self {
        HObject::min()
    }
}

impl HObject {
    /// Before every object.
    pub const fn min() -> Self {
        HObject {
            pool: PoolId(i64::MIN),
            hash: 0,
            namespace: Bytes::new(),
            key: Bytes::new(),
            name: Bytes::new(),
            snap: SnapId(0),
            max: false,
        }
    }

    /// Behind every object.
    pub const fn max() -> Self {
        let mut o = HObject::min();
        o.max = true;
        o
    }

    /// An object of a pool whose `object_hash` is rjenkins.
    pub fn new(
        pool: PoolId,
        namespace: impl Into<Bytes>,
        key: impl Into<Bytes>,
        name: impl Into<Bytes>,
        snap: SnapId,
    ) -> Self {
        let (namespace, key, name) = (namespace.into(), key.into(), name.into());
        let hashed = if key.is_empty() { &name } else { &key };
        let hash = hash_input(&namespace, hashed, hash_rjenkins);
        let key = if key == name { Bytes::new() } else { key };
        HObject { pool, hash, namespace, key, name, snap, max: false }
    }

    /// The locator key, which is the name if there is none of its own.
    pub fn get_key(&self) -> &Bytes {
        if self.key.is_empty() { &self.name } else { &self.key }
    }

    /// True for the value before every object.
    pub fn is_min(&self) -> bool {
        // Cheap tests first: this runs for every step of a listing.
        self.pool == PoolId(i64::MIN)
            && self.hash == 0
            && !self.max
            && self.snap == SnapId(0)
            && self.name.is_empty()
            && self.key.is_empty()
            && self.namespace.is_empty()
    }

    /// True for the value behind every object.
    pub fn is_max(&self) -> bool {
        self.max
    }

    /// True for the writable object.
    pub fn is_head(&self) -> bool {
        self.snap == SnapId::HEAD
    }

    /// The same name at another snapshot.
    pub fn with_snap(&self, snap: SnapId) -> Self {
        HObject { snap, ..self.clone() }
    }

    /// The head of this name.
    pub fn head(&self) -> Self {
        self.with_snap(SnapId::HEAD)
    }
}

impl Ord for HObject {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |o: &HObject| (o.max, o.pool, o.hash.reverse_bits());
        place(self)
            .cmp(&place(other))
            .then_with(|| self.namespace.cmp(&other.namespace))
            .then_with(|| {
                if self.key.is_empty() && other.key.is_empty() {
                    Ordering::Equal
                } else {
                    self.get_key().cmp(other.get_key())
                }
            })
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.snap.cmp(&other.snap))
            // Not in Ceph's order, which calls such two equal; needed to agree with `Eq`.
            .then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for HObject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &b in self.0 {
            match b {
                b'%' | b':' | b'/' | 0..=31 | 127.. => write!(f, "%{b:02x}")?,
                _ => write!(f, "{}", b as char)?,
            }
        }
        Ok(())
    }
}

/// As Ceph prints it: `pool:reversed hash:namespace:key:name:snap`.
impl fmt::Display for HObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max {
            return f.write_str("MAX");
        }
        if self.is_min() {
            return f.write_str("MIN");
        }
        let hash = self.hash.reverse_bits();
        let (ns, key, name) = (Escaped(&self.namespace), Escaped(&self.key), Escaped(&self.name));
        write!(f, "{}:{hash:08x}:{ns}:{key}:{name}:{}", self.pool, self.snap)
    }
}

impl HObject {
    fn encode_fields(&self, out: &mut BytesMut, features: Features) {
        self.key.encode(out, features);
        self.name.encode(out, features);
        self.snap.encode(out, features);
        self.hash.encode(out, features);
        self.max.encode(out, features);
        self.namespace.encode(out, features);
        self.pool.encode(out, features);
    }

    fn decode_fields(r: &mut Reader, full: bool) -> Result<Self, DecodeError> {
        let mut o = HObject {
            key: Bytes::decode(r)?,
            name: Bytes::decode(r)?,
            snap: SnapId::decode(r)?,
            hash: u32::decode(r)?,
            max: bool::decode(r)?,
            ..HObject::min()
        };
        if full {
            o.namespace = Bytes::decode(r)?;
            o.pool = PoolId::decode(r)?;
            // Hammer wrote the least object with pool -1.
            let blank = o.snap == SnapId(0) && o.hash == 0 && !o.max && o.name.is_empty();
            if o.pool == PoolId(-1) && blank {
                o.pool = PoolId(i64::MIN);
            }
        }
        Ok(o)
    }
}

impl Encode for HObject {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 4, 3, |out| self.encode_fields(out, features));
    }
}

impl Decode for HObject {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, v| HObject::decode_fields(r, v >= 4);
        Ok(seabed_denc::decode_versioned_min(r, "hobject_t", 4, 3, body)?.0)
    }
}

/// `ghobject_t`: an object as a store knows it, with generation and shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GhObject {
    /// The object. If it is the maximum, so is this.
    pub hobj: HObject,
    /// Old versions kept for rollback in erasure coded pools; [`GhObject::NO_GEN`] otherwise.
    pub generation: u64,
    /// The shard, [`SpgId::NO_SHARD`] in replicated pools.
    pub shard: i8,
}

impl Default for GhObject {
    fn default() -> Self {
        HObject::min().into()
    }
}

impl From<HObject> for GhObject {
    fn from(hobj: HObject) -> Self {
        GhObject { hobj, generation: GhObject::NO_GEN, shard: SpgId::NO_SHARD }
    }
}

impl GhObject {
    /// "Not an old version".
    pub const NO_GEN: u64 = u64::MAX;

    /// Before every object.
    pub fn min() -> Self {
        GhObject { shard: SpgId::NO_SHARD, generation: 0, hobj: HObject::min() }
    }

    /// Behind every object.
    pub fn max() -> Self {
        HObject::max().into()
    }

    /// True for the value behind every object.
    pub fn is_max(&self) -> bool {
        self.hobj.max
    }

    /// The object that holds a PG's own keys: no name, the PG's seed as hash.
    pub fn pg_meta(pg: SpgId) -> Self {
        let hobj =
            HObject { pool: pg.pg.pool, hash: pg.pg.seed, snap: SnapId::HEAD, ..HObject::min() };
        GhObject { hobj, generation: GhObject::NO_GEN, shard: pg.shard }
    }

    /// True for an object that holds a PG's own keys.
    pub fn is_pg_meta(&self) -> bool {
        self.hobj.pool.0 >= 0 && self.hobj.name.is_empty() && !self.hobj.max
    }
}

impl Ord for GhObject {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.hobj.max, self.shard)
            .cmp(&(other.hobj.max, other.shard))
            .then_with(|| self.hobj.cmp(&other.hobj))
            .then_with(|| self.generation.cmp(&other.generation))
    }
}

impl PartialOrd for GhObject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for GhObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shard != SpgId::NO_SHARD {
            write!(f, "{:x}", self.shard)?;
        }
        write!(f, "#{}#", self.hobj)?;
        if self.generation != GhObject::NO_GEN {
            write!(f, "{:x}", self.generation)?;
        }
        Ok(())
    }
}

impl Encode for GhObject {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 6, 3, |out| {
            self.hobj.encode_fields(out, features);
            self.generation.encode(out, features);
            self.shard.encode(out, features);
            // Ceph's own end mark, which is used inside stores and never sent; the object's mark
            // above is enough to read it back.
            false.encode(out, features);
        });
    }
}

impl Decode for GhObject {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, v| {
            let mut o = GhObject::from(HObject::decode_fields(r, v >= 4)?);
            if v >= 5 {
                o.generation = u64::decode(r)?;
                o.shard = i8::decode(r)?;
            }
            if v >= 6 {
                o.hobj.max |= bool::decode(r)?;
            }
            Ok(o)
        };
        Ok(seabed_denc::decode_versioned_min(r, "ghobject_t", 6, 3, body)?.0)
    }
}

/// `object_locator_t`: where a client says an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectLocator {
    /// The pool.
    pub pool: PoolId,
    /// Placed by this instead of the name, if not empty.
    pub key: Bytes,
    /// The namespace.
    pub namespace: Bytes,
    /// An explicit hash, or -1.
    pub hash: i64,
}

impl Default for ObjectLocator {
    fn default() -> Self {
        ObjectLocator::new(PoolId(-1))
    }
}

impl ObjectLocator {
    /// A pool; nothing else special.
    pub const fn new(pool: PoolId) -> Self {
        ObjectLocator { pool, key: Bytes::new(), namespace: Bytes::new(), hash: -1 }
    }
}

impl Encode for ObjectLocator {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        let compat = if self.hash == -1 { 3 } else { 6 };
        encode_versioned(out, 6, compat, |out| {
            self.pool.encode(out, features);
            // Once a preferred OSD.
            (-1i32).encode(out, features);
            self.key.encode(out, features);
            self.namespace.encode(out, features);
            self.hash.encode(out, features);
        });
    }
}

impl Decode for ObjectLocator {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, v| {
            let pool = PoolId::decode(r)?;
            i32::decode(r)?;
            Ok(ObjectLocator {
                pool,
                key: Bytes::decode(r)?,
                namespace: if v >= 5 { Bytes::decode(r)? } else { Bytes::new() },
                hash: if v >= 6 { i64::decode(r)? } else { -1 },
            })
        };
        Ok(seabed_denc::decode_versioned_min(r, "object_locator_t", 6, 3, body)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> HObject {
        HObject::new(PoolId(1), "", "", name, SnapId::HEAD)
    }

    #[test]
    fn order() {
        let o = named("foo");
        assert!(HObject::min() < o && o < HObject::max());
        assert!(o.with_snap(SnapId(4)) < o);
        let low = HObject { hash: 1, ..o.clone() };
        let high = HObject { hash: 2, ..o.clone() };
        assert!(low > high, "bit-reversed");
    }

    #[test]
    fn text() {
        // `ceph osd map` says 7fc1f406 for foo.
        assert_eq!(named("foo").to_string(), "1:602f83fe:::foo:head");
        assert_eq!(named("a:%b").to_string().rsplit_once("::").unwrap().1, "a%3a%25b:head");
    }
}
