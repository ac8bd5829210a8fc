//! `coll_t`: the collections of an object store.

use std::fmt;
use std::str::FromStr;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

use crate::pgid::NotPgId;
use crate::{GhObject, SnapId, SpgId};

/// Which collection an object of a store is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Collection {
    /// Everything that is not in a PG.
    #[default]
    Meta,
    /// The objects of a PG.
    Pg(SpgId),
    /// Objects of a PG that are still being received.
    Temp(SpgId),
}

impl Collection {
    /// Whether an object may be in it, when it has `bits` bits of the hash for its own.
    pub fn may_hold(&self, bits: u32, object: &GhObject) -> bool {
        if object.hobj.max {
            return false;
        }
        match self {
            Collection::Meta | Collection::Temp(_) => true,
            Collection::Pg(pg) => {
                let pool = pg.pg.pool.0;
                // Objects still being received carry the pool's number mirrored below -1.
                let temp = -2 - pool;
                (object.hobj.pool.0 == pool || object.hobj.pool.0 == temp)
                    && object.shard == pg.shard
                    && pg.pg.contains_bits(bits, object.hobj.hash)
            }
        }
    }

    /// Whether its seed fits into `bits` bits of the hash.
    pub fn seed_fits(&self, bits: u32) -> bool {
        match self {
            Collection::Meta | Collection::Temp(_) => true,
            Collection::Pg(pg) => bits <= 32 && (bits == 32 || pg.pg.seed >> bits == 0),
        }
    }
}

const META: u8 = 0;
const PG: u8 = 2;

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Collection::Meta => f.write_str("meta"),
            Collection::Pg(pg) => write!(f, "{pg}_head"),
            Collection::Temp(pg) => write!(f, "{pg}_TEMP"),
        }
    }
}

impl FromStr for Collection {
    type Err = NotPgId;

    fn from_str(s: &str) -> Result<Self, NotPgId> {
        if s == "meta" {
            Ok(Collection::Meta)
        } else if let Some(pg) = s.strip_suffix("_head") {
            Ok(Collection::Pg(pg.parse()?))
        } else if let Some(pg) = s.strip_suffix("_TEMP") {
            Ok(Collection::Temp(pg.parse()?))
        } else {
            Err(NotPgId)
        }
    }
}

impl Encode for Collection {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        let (kind, pg) = match self {
            Collection::Meta => (META, SpgId::default()),
            Collection::Pg(pg) => (PG, *pg),
            // The binary form has no place for it.
            Collection::Temp(_) => {
                3u8.encode(out, features);
                return self.to_string().encode(out, features);
            }
        };
        2u8.encode(out, features);
        kind.encode(out, features);
        pg.encode(out, features);
        SnapId::HEAD.encode(out, features);
    }
}

impl Decode for Collection {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let invalid = |value| DecodeError::Invalid { what: "coll_t", value };
        match u8::decode(r)? {
            2 => {
                let kind = u8::decode(r)?;
                let pg = SpgId::decode(r)?;
                SnapId::decode(r)?;
                match kind {
                    META => Ok(Collection::Meta),
                    PG => Ok(Collection::Pg(pg)),
                    _ => Err(invalid(u64::from(kind))),
                }
            }
            3 => String::decode(r)?.parse().map_err(|_| invalid(3)),
            version => Err(invalid(u64::from(version))),
        }
    }
}
