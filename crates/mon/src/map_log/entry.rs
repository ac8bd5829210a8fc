//! What one entry of the map log holds: when, who and why, and the changes.
//!
//! Layout: envelope (1, 1) { utime stamp; vector<provenance>; vector<change> }; a provenance is
//! envelope (1, 1) { str who; u8 door; str cause }; a change is envelope (1, 1) { u8 kind; fields
//! }.

use std::collections::BTreeMap;

use crate::service::mute::Mute;
use seabed_cluster::{Epoch, OsdId, UTime};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned,
};

/// The way by which a cause came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Door {
    /// The making of the cluster.
    Mkfs = 0,
    /// A command of an administrator or a daemon.
    Command = 1,
    /// A message of a daemon about itself or a peer.
    Message = 2,
    /// The monitor's own timers and bookkeeping.
    Monitor = 3,
    /// A client's pool operation.
    PoolOp = 4,
}

impl Door {
    fn from_u8(n: u8) -> Option<Door> {
        [Door::Mkfs, Door::Command, Door::Message, Door::Monitor, Door::PoolOp]
            .into_iter()
            .find(|d| *d as u8 == n)
    }
}

/// Who caused a change, by which door, and for what reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The entity: `client.admin`, `osd.2`, `mon.a`.
    pub who: String,
    /// The door it came by.
    pub door: Door,
    /// The command's text, or the cause in a few words.
    pub cause: String,
}

impl Provenance {
    /// Longest cause kept: an entry must not grow with what a client sends.
    pub const CAUSE_LEN_MAX: usize = 512;

    /// A provenance with the cause cut to its bound.
    pub fn new(who: impl Into<String>, door: Door, cause: impl Into<String>) -> Self {
        let mut cause: String = cause.into();
        if cause.len() > Self::CAUSE_LEN_MAX {
            let mut end = Self::CAUSE_LEN_MAX;
            while !cause.is_char_boundary(end) {
                end -= 1;
            }
            cause.truncate(end);
        }
        Self { who: who.into(), door, cause }
    }
}

/// One change of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The next OSDMap epoch, as an encoded increment.
    OsdMap {
        /// The epoch it makes.
        epoch: Epoch,
        /// The encoded `OSDMap::Incremental`.
        increment: Bytes,
    },
    /// A new monitor map, encoded.
    MonMap(Bytes),
    /// An option set (`Some`) or removed (`None`) for a section or entity.
    Config {
        /// `global`, `osd`, `osd.1`, `client`, …
        who: String,
        /// The option.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A config-key set or removed.
    Key {
        /// The key.
        key: String,
        /// Its value.
        value: Option<Bytes>,
    },
    /// What an OSD said of itself when it booted; empty removes.
    OsdMetadata {
        /// The OSD.
        osd: OsdId,
        /// Key and value pairs.
        metadata: BTreeMap<String, String>,
    },
    /// A health check muted, or no longer.
    Mute {
        /// The check's code.
        code: String,
        /// How it is muted now.
        mute: Option<Mute>,
    },
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Wall time of the proposal.
    pub stamp: UTime,
    /// The causes of the changes, in order.
    pub provenance: Vec<Provenance>,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

impl Encode for Provenance {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.who.encode(out, features);
            (self.door as u8).encode(out, features);
            self.cause.encode(out, features);
        });
    }
}

impl Decode for Provenance {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, _) = decode_versioned(r, "provenance", 1, |r, _| {
            let who = String::decode(r)?;
            let door = u8::decode(r)?;
            let door = Door::from_u8(door)
                .ok_or(DecodeError::Invalid { what: "provenance door", value: door.into() })?;
            Ok(Self { who, door, cause: String::decode(r)? })
        })?;
        Ok(value)
    }
}

impl Encode for Change {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| match self {
            Change::OsdMap { epoch, increment } => {
                1u8.encode(out, features);
                epoch.encode(out, features);
                increment.encode(out, features);
            }
            Change::MonMap(map) => {
                2u8.encode(out, features);
                map.encode(out, features);
            }
            Change::Config { who, name, value } => {
                3u8.encode(out, features);
                who.encode(out, features);
                name.encode(out, features);
                value.encode(out, features);
            }
            Change::Key { key, value } => {
                4u8.encode(out, features);
                key.encode(out, features);
                value.encode(out, features);
            }
            Change::OsdMetadata { osd, metadata } => {
                5u8.encode(out, features);
                osd.encode(out, features);
                metadata.encode(out, features);
            }
            Change::Mute { code, mute } => {
                7u8.encode(out, features);
                code.encode(out, features);
                mute.encode(out, features);
            }
        });
    }
}

impl Decode for Change {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, _) = decode_versioned(r, "map log change", 1, |r, _| {
            Ok(match u8::decode(r)? {
                1 => Change::OsdMap { epoch: Epoch::decode(r)?, increment: Bytes::decode(r)? },
                2 => Change::MonMap(Bytes::decode(r)?),
                3 => Change::Config {
                    who: String::decode(r)?,
                    name: String::decode(r)?,
                    value: Option::decode(r)?,
                },
                4 => Change::Key { key: String::decode(r)?, value: Option::decode(r)? },
                5 => Change::OsdMetadata { osd: OsdId::decode(r)?, metadata: BTreeMap::decode(r)? },
                // As it was written before mutes could end.
                6 => {
                    let code = String::decode(r)?;
                    let muted = bool::decode(r)?;
                    let mute = muted.then(|| Mute { sticky: true, ..Mute::default() });
                    Change::Mute { code, mute }
                }
                7 => Change::Mute { code: String::decode(r)?, mute: Option::decode(r)? },
                kind => {
                    return Err(DecodeError::Invalid {
                        what: "map log change",
                        value: kind.into(),
                    });
                }
            })
        })?;
        Ok(value)
    }
}

impl Encode for LogEntry {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.stamp.encode(out, features);
            self.provenance.encode(out, features);
            self.changes.encode(out, features);
        });
    }
}

impl Decode for LogEntry {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, _) = decode_versioned(r, "map log entry", 1, |r, _| {
            Ok(Self {
                stamp: UTime::decode(r)?,
                provenance: Vec::decode(r)?,
                changes: Vec::decode(r)?,
            })
        })?;
        Ok(value)
    }
}
