//! `eversion_t`: the version of one change in a PG.

use std::fmt;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

use crate::Epoch;

/// A position in a PG's history: which map it was made under, and its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EVersion {
    /// Counts the PG's changes.
    pub version: u64,
    /// The epoch the primary was in.
    pub epoch: Epoch,
}

impl EVersion {
    /// Before every change.
    pub const ZERO: EVersion = EVersion { version: 0, epoch: Epoch(0) };
    /// After every change.
    pub const MAX: EVersion = EVersion { version: u64::MAX, epoch: Epoch(u32::MAX) };

    /// In the order in which it prints.
    pub const fn new(epoch: Epoch, version: u64) -> Self {
        EVersion { version, epoch }
    }
}

impl Ord for EVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.epoch, self.version).cmp(&(other.epoch, other.version))
    }
}

impl PartialOrd for EVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}'{}", self.epoch, self.version)
    }
}

impl Encode for EVersion {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.version.encode(out, features);
        self.epoch.encode(out, features);
    }
}

impl Decode for EVersion {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(EVersion { version: u64::decode(r)?, epoch: Epoch::decode(r)? })
    }
}
