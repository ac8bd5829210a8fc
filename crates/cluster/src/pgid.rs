//! Placement groups: their names, and how they split and merge.

use std::fmt;
use std::str::FromStr;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader, encode_versioned};

use crate::{HObject, PoolId, SnapId};

/// `x mod b` such that growing `b` moves values only out of the part that splits. `b` is at
/// least 1.
pub(crate) fn stable_mod(x: u32, b: u32) -> u32 {
    // mask = 2^ceil(log2 b) - 1
    let mask = mask(b);
    if x & mask < b { x & mask } else { x & (mask >> 1) }
}

fn mask(b: u32) -> u32 {
    match b {
        0 | 1 => 0,
        b => u32::MAX >> (b - 1).leading_zeros(),
    }
}

/// How many bits `n` needs.
fn bits(n: u32) -> u32 {
    u32::BITS - n.leading_zeros()
}

/// `pg_t`: a pool's placement group, or (raw) a pool and an object's whole hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PgId {
    /// The pool.
    pub pool: PoolId,
    /// Which of the pool's.
    pub seed: u32,
}

impl PgId {
    /// Pool and seed.
    pub const fn new(pool: PoolId, seed: u32) -> Self {
        PgId { pool, seed }
    }

    /// The PG that held this one's objects when the pool had `old_pg_num` PGs.
    pub fn ancestor(self, old_pg_num: u32) -> PgId {
        PgId { pool: self.pool, seed: stable_mod(self.seed, old_pg_num.max(1)) }
    }

    /// The PG this one was split from by the last doubling; `None` for seed 0.
    pub fn parent(self) -> Option<PgId> {
        let top = bits(self.seed).checked_sub(1)?;
        Some(PgId { pool: self.pool, seed: self.seed & !(1 << top) })
    }

    /// The PGs that take objects from this one when `pg_num` grows from `old` to `new`.
    pub fn children(self, old_pg_num: u32, new_pg_num: u32) -> Vec<PgId> {
        if self.seed >= old_pg_num {
            return Vec::new();
        }
        // A child has the parent's bits below the top bit of old_pg_num.
        let step = 1u32 << (bits(old_pg_num) - 1);
        let first = self.seed & (step - 1);
        (first..new_pg_num)
            .step_by(step as usize)
            .filter(|&s| s >= old_pg_num && stable_mod(s, old_pg_num) == self.seed)
            .map(|seed| PgId { pool: self.pool, seed })
            .collect()
    }

    /// True if this PG goes away when `pg_num` shrinks; it merges into [`PgId::ancestor`].
    pub fn is_merge_source(self, old_pg_num: u32, new_pg_num: u32) -> bool {
        self.seed < old_pg_num && self.seed >= new_pg_num
    }

    /// True if this PG takes the objects of others when `pg_num` shrinks.
    pub fn is_merge_target(self, old_pg_num: u32, new_pg_num: u32) -> bool {
        self.seed < new_pg_num && !self.children(new_pg_num, old_pg_num).is_empty()
    }

    /// How many low bits of a hash decide that an object is in this PG, of `pg_num`.
    pub fn split_bits(self, pg_num: u32) -> u32 {
        if pg_num <= 1 {
            return 0;
        }
        let p = bits(pg_num);
        let half = 1u32 << (p - 1);
        if self.seed % half < pg_num % half { p } else { p - 1 }
    }

    /// True if an object with this hash is in this PG, of `pg_num`.
    pub fn contains(self, pg_num: u32, hash: u32) -> bool {
        stable_mod(hash, pg_num.max(1)) == self.seed
    }

    /// True if the low `bits` of the hash are those of this PG: how collections are bounded.
    pub fn contains_bits(self, bits: u32, hash: u32) -> bool {
        let mask = if bits >= 32 { u32::MAX } else { (1 << bits) - 1 };
        hash & mask == self.seed & mask
    }

    /// The first possible object.
    pub fn object_start(self) -> HObject {
        HObject { pool: self.pool, hash: self.seed, ..HObject::default() }
    }

    /// Behind the last possible object.
    pub fn object_end(self, pg_num: u32) -> HObject {
        let low = u32::MAX.checked_shr(self.split_bits(pg_num)).unwrap_or(0);
        match (self.seed.reverse_bits() | low).checked_add(1) {
            None => HObject::max(),
            Some(end) => HObject {
                pool: self.pool,
                hash: end.reverse_bits(),
                snap: SnapId::HEAD,
                ..HObject::default()
            },
        }
    }
}

impl fmt::Display for PgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.pool, self.seed)
    }
}

/// Text that does not name a PG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a placement group id")]
pub struct NotPgId;

impl FromStr for PgId {
    type Err = NotPgId;

    fn from_str(s: &str) -> Result<Self, NotPgId> {
        let (pool, seed) = s.split_once('.').ok_or(NotPgId)?;
        if seed.starts_with('+') || pool.starts_with('+') {
            return Err(NotPgId);
        }
        Ok(PgId {
            pool: pool.parse().map_err(|_| NotPgId)?,
            seed: u32::from_str_radix(seed, 16).map_err(|_| NotPgId)?,
        })
    }
}

impl Encode for PgId {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        1u8.encode(out, features);
        self.pool.encode(out, features);
        self.seed.encode(out, features);
        // Once a preferred OSD.
        (-1i32).encode(out, features);
    }
}

impl Decode for PgId {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let version = u8::decode(r)?;
        if version != 1 {
            return Err(DecodeError::Invalid { what: "pg_t version", value: u64::from(version) });
        }
        let pg = PgId { pool: PoolId::decode(r)?, seed: u32::decode(r)? };
        i32::decode(r)?;
        Ok(pg)
    }
}

/// `spg_t`: a PG and, in erasure coded pools, one of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpgId {
    /// The PG.
    pub pg: PgId,
    /// The shard, [`SpgId::NO_SHARD`] in replicated pools.
    pub shard: i8,
}

impl SpgId {
    /// The shard of replicated pools.
    pub const NO_SHARD: i8 = -1;

    /// A PG of a replicated pool.
    pub const fn replicated(pg: PgId) -> Self {
        SpgId { pg, shard: SpgId::NO_SHARD }
    }
}

impl Default for SpgId {
    fn default() -> Self {
        SpgId::replicated(PgId::default())
    }
}

impl From<PgId> for SpgId {
    fn from(pg: PgId) -> Self {
        SpgId::replicated(pg)
    }
}

impl fmt::Display for SpgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.pg, f)?;
        if self.shard != SpgId::NO_SHARD {
            // Ceph keeps the shard in an i8 and prints it as a number.
            write!(f, "s{}", self.shard)?;
        }
        Ok(())
    }
}

impl FromStr for SpgId {
    type Err = NotPgId;

    fn from_str(s: &str) -> Result<Self, NotPgId> {
        match s.split_once('s') {
            None => Ok(SpgId::replicated(s.parse()?)),
            Some((pg, shard)) => {
                let shard = shard.parse().ok().filter(|&n: &i8| n >= 0).ok_or(NotPgId)?;
                Ok(SpgId { pg: pg.parse()?, shard })
            }
        }
    }
}

impl Encode for SpgId {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.pg.encode(out, features);
            self.shard.encode(out, features);
        });
    }
}

impl Decode for SpgId {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| Ok(SpgId { pg: PgId::decode(r)?, shard: i8::decode(r)? });
        Ok(seabed_denc::decode_versioned(r, "spg_t", 1, body)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_moves_objects_to_children_only() {
        let pool = PoolId(3);
        for (old, new) in [(1, 2), (1, 8), (3, 5), (4, 8), (5, 13), (6, 6), (12, 40)] {
            for seed in 0..old {
                let parent = PgId::new(pool, seed);
                for child in parent.children(old, new) {
                    assert!(child.seed >= old && child.seed < new);
                    assert_eq!(child.ancestor(old), parent);
                    assert!(child.is_merge_source(new, old));
                    assert!(parent.is_merge_target(new, old));
                }
            }
            for hash in (0..u32::MAX).step_by(0x0123_4567) {
                let before = PgId::new(pool, stable_mod(hash, old));
                let after = PgId::new(pool, stable_mod(hash, new));
                assert!(after == before || before.children(old, new).contains(&after));
                assert!(after.contains(new, hash));
                assert!(after.contains_bits(after.split_bits(new), hash));
            }
        }
    }

    #[test]
    fn a_pg_is_one_range_of_objects() {
        for pg_num in [1, 2, 3, 7, 8, 12] {
            for hash in (0..u32::MAX).step_by(0x0234_5671) {
                let pg = PgId::new(PoolId(1), stable_mod(hash, pg_num));
                let object = HObject { hash, ..pg.object_start() };
                assert!(pg.object_start() <= object && object < pg.object_end(pg_num));
            }
        }
    }

    #[test]
    fn text() {
        let spg: SpgId = "12.1as3".parse().unwrap();
        assert_eq!(spg.to_string(), "12.1as3");
        assert_eq!("12.1a".parse(), Ok(PgId::new(PoolId(12), 0x1a)));
        assert!("12".parse::<PgId>().is_err() && "1.1s".parse::<SpgId>().is_err());
    }
}
