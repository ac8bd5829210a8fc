//! The keys of the records, and how they sort. The drawing is in `docs/disk/keys.md`.
//!
//! Invariant: object keys sort as [`GhObject`] does, so that a PG's objects are one range (two with
//! those still being received), splitting a PG is cutting it, and a listing is a scan.

use bytes::{BufMut, Bytes, BytesMut};
use seabed_cluster::{Collection, GhObject, HObject, PgId, PoolId, SnapId, SpgId};

/// The store's own record.
pub(crate) const SUPER: &[u8] = b"S";
/// Before the key of a collection.
pub(crate) const COLLECTION: u8 = b'C';
/// Before the key of an object.
pub(crate) const OBJECT: u8 = b'O';
/// Before the number of an object and of a segment.
pub(crate) const EXTENTS: u8 = b'E';
/// Before the number of an object and an omap key.
pub(crate) const OMAP: u8 = b'M';
/// Before the first block of a shared run.
pub(crate) const SHARED: u8 = b'R';

const TAG_META: u8 = 0;
const TAG_PG: u8 = 1;
const TAG_TEMP: u8 = 2;

/// Name before, equal to, behind the locator key; ordered like that.
const NAME_LESS: u8 = b'<';
const NAME_SAME: u8 = b'=';
const NAME_MORE: u8 = b'>';

/// The first and the first no longer of a range of keys.
pub(crate) type Range = (Bytes, Bytes);

/// The first key behind all that begin with `prefix`.
pub(crate) fn behind(prefix: &[u8]) -> Bytes {
    let mut key = prefix.to_vec();
    while key.last() == Some(&u8::MAX) {
        key.pop();
    }
    match key.last_mut() {
        Some(last) => *last += 1,
        None => key = vec![u8::MAX; 32],
    }
    key.into()
}

/// All keys that begin with `prefix`.
pub(crate) fn with_prefix(prefix: &[u8]) -> Range {
    (Bytes::copy_from_slice(prefix), behind(prefix))
}

/// The first key behind `key`.
pub(crate) fn next(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

fn put_signed(out: &mut BytesMut, value: i64) {
    out.put_u64(value as u64 ^ (1 << 63));
}

fn put_shard(out: &mut BytesMut, shard: i8) {
    out.put_u8(shard as u8 ^ 0x80);
}

/// Bytes of any kind such that the order of strings is kept: 0 becomes 0, 255; 0, 0 ends.
fn put_string(out: &mut BytesMut, s: &[u8]) {
    for &b in s {
        out.put_u8(b);
        if b == 0 {
            out.put_u8(u8::MAX);
        }
    }
    out.put_slice(&[0, 0]);
}

fn put_spg(out: &mut BytesMut, pg: &SpgId) {
    put_signed(out, pg.pg.pool.0);
    out.put_u32(pg.pg.seed);
    put_shard(out, pg.shard);
}

fn put_collection(out: &mut BytesMut, c: &Collection) {
    match c {
        Collection::Meta => out.put_u8(TAG_META),
        Collection::Pg(pg) => {
            out.put_u8(TAG_PG);
            put_spg(out, pg);
        }
        Collection::Temp(pg) => {
            out.put_u8(TAG_TEMP);
            put_spg(out, pg);
        }
    }
}

/// The key of a collection's record.
pub(crate) fn collection(c: &Collection) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(COLLECTION);
    put_collection(&mut out, c);
    out.freeze()
}

/// What all objects that may be in the same collection begin with: a PG's objects carry their own
/// pool and hash, so nothing more is said of it.
fn put_object_prefix(out: &mut BytesMut, c: &Collection) {
    out.put_u8(OBJECT);
    match c {
        Collection::Pg(_) => out.put_u8(TAG_PG),
        _ => put_collection(out, c),
    }
}

/// The key of an object's record.
pub(crate) fn object(c: &Collection, o: &GhObject) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + o.hobj.name.len());
    put_object_prefix(&mut out, c);
    if o.hobj.max {
        // Behind every shard.
        return behind(&out);
    }
    put_shard(&mut out, o.shard);
    put_signed(&mut out, o.hobj.pool.0);
    out.put_u32(o.hobj.hash.reverse_bits());
    put_string(&mut out, &o.hobj.namespace);
    let key = o.hobj.get_key();
    put_string(&mut out, key);
    match o.hobj.name.cmp(key) {
        std::cmp::Ordering::Equal => out.put_u8(NAME_SAME),
        order => {
            out.put_u8(if order.is_lt() { NAME_LESS } else { NAME_MORE });
            put_string(&mut out, &o.hobj.name);
        }
    }
    out.put_u64(o.hobj.snap.0);
    out.put_u8(u8::from(!o.hobj.key.is_empty()));
    out.put_u64(o.generation);
    out.freeze()
}

/// The ranges of keys that a collection's objects are in, in order.
pub(crate) fn objects_of(c: &Collection, bits: u32) -> Vec<Range> {
    let mut prefix = BytesMut::new();
    put_object_prefix(&mut prefix, c);
    let Collection::Pg(pg) = c else { return vec![with_prefix(&prefix)] };
    put_shard(&mut prefix, pg.shard);
    let pool = pg.pg.pool.0;
    // Objects still being received carry the pool's number mirrored below -1.
    let mut pools = vec![-2 - pool, pool];
    pools.sort_unstable();
    let first = pg.pg.seed.reverse_bits();
    let last = u64::from(first) + (1u64 << (32 - bits.min(32)));
    let range = |pool| {
        let mut at_pool = prefix.clone();
        put_signed(&mut at_pool, pool);
        let at = |hash: u32| [&at_pool[..], &hash.to_be_bytes()].concat();
        let end = match u32::try_from(last) {
            Ok(hash) => at(hash).into(),
            Err(_) => behind(&at_pool),
        };
        (Bytes::from(at(first)), end)
    };
    pools.into_iter().map(range).collect()
}

/// The key of a segment of an object's extents.
pub(crate) fn extents(id: u64, segment: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(13);
    out.put_u8(EXTENTS);
    out.put_u64(id);
    out.put_u32(segment);
    out.freeze()
}

/// The extents of an object from a segment on.
pub(crate) fn extents_from(id: u64, segment: u32) -> Range {
    (extents(id, segment), behind(&extents(id, 0)[..9]))
}

/// What a key of extents says: the object's number and the segment.
pub(crate) fn parse_extents(key: &[u8]) -> Option<(u64, u32)> {
    let id = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    let segment = u32::from_be_bytes(key.get(9..)?.try_into().ok()?);
    Some((id, segment))
}

/// The key of an omap entry.
pub(crate) fn omap(id: u64, key: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + key.len());
    out.put_u8(OMAP);
    out.put_u64(id);
    out.put_slice(key);
    out.freeze()
}

/// Bytes before the omap key in its record's key.
pub(crate) const OMAP_PREFIX: usize = 9;

/// The whole omap of an object.
pub(crate) fn omap_of(id: u64) -> Range {
    with_prefix(&omap(id, b""))
}

/// The key of a run of shared blocks.
pub(crate) fn shared(start: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(SHARED);
    out.put_u64(start);
    out.freeze()
}

/// The number behind a one-byte prefix.
pub(crate) fn parse_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

/// A cursor over a key.
struct Parse<'a>(&'a [u8]);

impl Parse<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    fn signed(&mut self) -> Option<i64> {
        Some((u64::from_be_bytes(self.array()?) ^ (1 << 63)) as i64)
    }

    fn shard(&mut self) -> Option<i8> {
        Some((self.byte()? ^ 0x80) as i8)
    }

    fn string(&mut self) -> Option<Bytes> {
        let mut s = BytesMut::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    u8::MAX => s.put_u8(0),
                    0 => return Some(s.freeze()),
                    _ => return None,
                },
                b => s.put_u8(b),
            }
        }
    }

    fn spg(&mut self) -> Option<SpgId> {
        let pool = PoolId(self.signed()?);
        let seed = u32::from_be_bytes(self.array()?);
        Some(SpgId { pg: PgId { pool, seed }, shard: self.shard()? })
    }
}

/// The collection of a record's key.
pub(crate) fn parse_collection(key: &[u8]) -> Option<Collection> {
    let mut p = Parse(key.get(1..)?);
    let c = match p.byte()? {
        TAG_META => Collection::Meta,
        TAG_PG => Collection::Pg(p.spg()?),
        TAG_TEMP => Collection::Temp(p.spg()?),
        _ => return None,
    };
    p.0.is_empty().then_some(c)
}

/// Where an object is said to be by its key: its collection, if that is not found by pool and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the collection named.
    Named(Collection),
    /// In the PG that its hash belongs to.
    ByHash,
}

/// The object of a record's key.
pub(crate) fn parse_object(key: &[u8]) -> Option<(Home, GhObject)> {
    let mut p = Parse(key.get(1..)?);
    let home = match p.byte()? {
        TAG_META => Home::Named(Collection::Meta),
        TAG_PG => Home::ByHash,
        TAG_TEMP => Home::Named(Collection::Temp(p.spg()?)),
        _ => return None,
    };
    let shard = p.shard()?;
    let pool = PoolId(p.signed()?);
    let hash = u32::from_be_bytes(p.array()?).reverse_bits();
    let namespace = p.string()?;
    let effective_key = p.string()?;
    let name = match p.byte()? {
        NAME_SAME => effective_key.clone(),
        NAME_LESS | NAME_MORE => p.string()?,
        _ => return None,
    };
    let snap = SnapId(u64::from_be_bytes(p.array()?));
    let key = match p.byte()? {
        0 => Bytes::new(),
        1 => effective_key,
        _ => return None,
    };
    let generation = u64::from_be_bytes(p.array()?);
    if !p.0.is_empty() {
        return None;
    }
    let hobj = HObject { pool, hash, namespace, key, name, snap, max: false };
    Some((home, GhObject { hobj, generation, shard }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(255)], 0..4)
            .prop_map(Bytes::from)
    }

    fn any_object() -> impl Strategy<Value = GhObject> {
        let hobj = (-3i64..3, 0u32..4, name(), name(), name(), 0u64..3).prop_map(
            |(pool, hash, namespace, key, name, snap)| HObject {
                pool: PoolId(pool),
                hash,
                namespace,
                key,
                name,
                snap: SnapId(u64::MAX - snap),
                max: false,
            },
        );
        (hobj, 0u64..2, -1i8..2).prop_map(|(hobj, generation, shard)| GhObject {
            hobj,
            generation,
            shard,
        })
    }

    proptest! {
        #[test]
        fn keys_sort_as_objects_and_come_back(a in any_object(), b in any_object()) {
            let c = Collection::Meta;
            prop_assert_eq!(object(&c, &a).cmp(&object(&c, &b)), a.cmp(&b));
            prop_assert_eq!(parse_object(&object(&c, &a)), Some((Home::Named(c), a.clone())));
            prop_assert!(object(&c, &a) < object(&c, &GhObject::max()));
        }

        #[test]
        fn a_range_holds_exactly_the_objects_of_its_pg(
            hash: u32, seed in 0u32..8, bits in 3u32..5
        ) {
            let pg = PgId::new(PoolId(2), seed);
            let c = Collection::Pg(SpgId::replicated(pg));
            for pool in [2, -4, 3] {
                let hobj = HObject { pool: PoolId(pool), hash, ..HObject::min() };
                let key = object(&c, &hobj.into());
                let inside = objects_of(&c, bits).iter().any(|(a, b)| *a <= key && key < *b);
                prop_assert_eq!(inside, pool != 3 && pg.contains_bits(bits, hash));
            }
        }
    }

    #[test]
    fn collections_come_back() {
        let pg = SpgId { pg: PgId::new(PoolId(-3), 9), shard: 2 };
        for c in [Collection::Meta, Collection::Pg(pg), Collection::Temp(pg)] {
            assert_eq!(parse_collection(&collection(&c)), Some(c));
        }
    }
}
