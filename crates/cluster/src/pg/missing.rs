//! `pg_missing_t`: the objects whose newest version a member of a PG does not have.
//!
//! An item has no envelope. Three forms are read: `need, have` (before deletes were told),
//! `0'0, need, have, u8 flags`, and `0'0, MAX, need, have, u8 flags, ObjectCleanRegions`, which is
//! the one written.

use std::collections::BTreeMap;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader, versioned};

use super::CleanRegions;
use crate::{EVersion, HObject};

/// What is missing of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissingItem {
    /// The version it should have.
    pub need: EVersion,
    /// The version it has; zero for none.
    pub have: EVersion,
    /// Bit 0: what is missing is the deletion.
    pub flags: u8,
    /// What need not be copied.
    pub clean_regions: CleanRegions,
}

impl MissingItem {
    /// The flag of an object that is to be deleted.
    pub const DELETE: u8 = 1;

    /// True if what is missing is the deletion.
    pub fn is_delete(&self) -> bool {
        self.flags & Self::DELETE != 0
    }
}

impl Encode for MissingItem {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        EVersion::ZERO.encode(out, features);
        EVersion::MAX.encode(out, features);
        self.need.encode(out, features);
        self.have.encode(out, features);
        self.flags.encode(out, features);
        self.clean_regions.encode(out, features);
    }
}

impl Decode for MissingItem {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let first = EVersion::decode(r)?;
        let mut item = MissingItem { clean_regions: CleanRegions::dirty(), ..Self::default() };
        if first != EVersion::ZERO {
            item.need = first;
            item.have = EVersion::decode(r)?;
            return Ok(item);
        }
        item.need = EVersion::decode(r)?;
        let with_regions = item.need == EVersion::MAX;
        if with_regions {
            item.need = EVersion::decode(r)?;
        }
        item.have = EVersion::decode(r)?;
        item.flags = u8::decode(r)?;
        if with_regions {
            item.clean_regions = CleanRegions::decode(r)?;
        }
        Ok(item)
    }
}

versioned! {
    /// `pg_missing_t` v5.
    pub struct PgMissing(5, 2) {
        items: BTreeMap<HObject, MissingItem>,
        /// Deletions may be among the items.
        may_include_deletes: bool [since 4],
    }
}
