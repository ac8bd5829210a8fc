//! `PastIntervals`: who may have written to a PG since it was last known complete.
//!
//! Wire form: `ENCODE(1,1){ u8 2, ENCODE(1,1){ first, last, participants, intervals } }`. An empty
//! one has first = last = 0 and is still of type 2. Type 0 (nothing at all) is read as empty.

use std::collections::BTreeSet;
use std::fmt;

use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Kept, Reader, decode_versioned,
    encode_versioned, versioned,
};

use crate::{Epoch, OsdId};

/// `pg_shard_t`: an OSD in its role for one shard; -1 is the only shard of a replicated pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgShard {
    /// Which OSD.
    pub osd: OsdId,
    /// Which shard.
    pub shard: i8,
}

impl PgShard {
    /// `osd` as member of a replicated pool's PG.
    pub const fn replicated(osd: OsdId) -> Self {
        PgShard { osd, shard: -1 }
    }
}

impl Default for PgShard {
    fn default() -> Self {
        PgShard::replicated(OsdId(-1))
    }
}

impl fmt::Display for PgShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard {
            -1 => write!(f, "{}", self.osd.0),
            shard => write!(f, "{}({shard})", self.osd.0),
        }
    }
}

impl Encode for PgShard {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.osd.encode(out, features);
            self.shard.encode(out, features);
        });
    }
}

impl Decode for PgShard {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, _) = decode_versioned(r, "pg_shard_t", 1, |r, _| {
            Ok(PgShard { osd: OsdId::decode(r)?, shard: i8::decode(r)? })
        })?;
        Ok(value)
    }
}

versioned! {
    /// One interval in which the PG may have gone read-write.
    pub struct PgInterval(1, 1) {
        first: Epoch,
        last: Epoch,
        acting: BTreeSet<PgShard>,
    }
}

versioned! {
    /// What stands behind the type byte.
    #[doc(hidden)]
    pub struct CompactIntervals(1, 1) {
        first: Epoch,
        last: Epoch,
        all_participants: BTreeSet<PgShard>,
        intervals: Vec<PgInterval>,
    }
}

/// The intervals since the PG was last clean that may have gone read-write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastIntervals {
    /// First epoch covered.
    pub first: Epoch,
    /// Last epoch covered.
    pub last: Epoch,
    /// Every OSD that was in any of them, or in one that did not go read-write.
    pub all_participants: BTreeSet<PgShard>,
    /// Oldest first; only those that may have gone read-write.
    pub intervals: Vec<PgInterval>,
    /// How it was written.
    pub kept: Kept,
}

impl PastIntervals {
    /// True if nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.first == Epoch(0) && self.last == Epoch(0) && self.intervals.is_empty()
    }
}

const TYPE_NONE: u8 = 0;
const TYPE_COMPACT: u8 = 2;

impl Encode for PastIntervals {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.kept.encode(out, 1, 1, |out, _| {
            TYPE_COMPACT.encode(out, features);
            encode_versioned(out, 1, 1, |out| {
                self.first.encode(out, features);
                self.last.encode(out, features);
                self.all_participants.encode(out, features);
                self.intervals.encode(out, features);
            });
        });
    }
}

impl Decode for PastIntervals {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (inner, kept) = Kept::decode(r, "PastIntervals", 1, 1, |r, _| match u8::decode(r)? {
            TYPE_NONE => Ok(CompactIntervals::default()),
            TYPE_COMPACT => CompactIntervals::decode(r),
            other => {
                Err(DecodeError::Invalid { what: "PastIntervals type", value: u64::from(other) })
            }
        })?;
        let CompactIntervals { first, last, all_participants, intervals, .. } = inner;
        Ok(PastIntervals { first, last, all_participants, intervals, kept })
    }
}
