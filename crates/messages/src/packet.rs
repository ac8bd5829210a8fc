//! A message between a connection and a rule: the header, the three segments, and the typed form.
//!
//! `ceph_msg_header2` and its bytes belong to crate `msgr2`; here are its fields. A [`Packet`] is
//! what rules send and receive: the message, its tid and its priority.

use seabed_denc::{Bytes, DecodeError, Features};
use thiserror::Error;

use crate::Message;

/// Priorities, larger first.
pub mod priority {
    /// Recovery of objects nobody waits for.
    pub const RECOVERY: u16 = 3;
    /// A client's request.
    pub const CLIENT_OP: u16 = 63;
    /// Background work.
    pub const LOW: u16 = 64;
    /// What nothing else is said of.
    pub const DEFAULT: u16 = 127;
    /// Peering, replies of the monitor, answers that free others.
    pub const HIGH: u16 = 196;
    /// Before all.
    pub const HIGHEST: u16 = 255;
}

/// The fields of `ceph_msg_header2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Counts the messages of a session, from 1; set by the connection.
    pub seq: u64,
    /// Names a request and comes back in its answer.
    pub tid: u64,
    /// Which message.
    pub kind: u16,
    /// Order of sending.
    pub priority: u16,
    /// Version of the front's layout.
    pub version: u16,
    /// Where in a page the data should lie; a hint.
    pub data_off: u16,
    /// The highest seq received; set by the connection.
    pub ack_seq: u64,
    /// 3 from daemons; ignored.
    pub flags: u8,
    /// The oldest layout a reader must know.
    pub compat_version: u16,
}

/// What a frame of tag MESSAGE carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawMessage {
    /// The header.
    pub header: Header,
    /// The fields.
    pub front: Bytes,
    /// Empty in nearly all kinds.
    pub middle: Bytes,
    /// Bulk data.
    pub data: Bytes,
}

/// A message of a kind that is not understood, or not in this form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The sender says that a newer reader is needed.
    #[error("{name} ({kind}): needs a reader of version {compat}, this one knows {known}")]
    TooNew {
        /// The id.
        kind: u16,
        /// Its name.
        name: &'static str,
        /// What the header asks for.
        compat: u16,
        /// The newest known here.
        known: u16,
    },
    /// An older layout than any that is read here.
    #[error("{name} ({kind}): version {version} is too old, the oldest readable is {oldest}")]
    TooOld {
        /// The id.
        kind: u16,
        /// Its name.
        name: &'static str,
        /// What the header says.
        version: u16,
        /// The oldest read here.
        oldest: u16,
    },
    /// The bytes are not that message.
    #[error("{name} ({kind}): {source}")]
    Malformed {
        /// The id.
        kind: u16,
        /// Its name.
        name: &'static str,
        /// Why.
        source: DecodeError,
    },
}

/// A message on its way between a rule and a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The request's number, echoed by answers; 0 where nobody cares.
    pub tid: u64,
    /// Order of sending; 0 stands for the kind's default.
    pub priority: u16,
    /// What is said.
    pub message: Message,
}

impl Packet {
    /// With a tid, at the kind's priority.
    pub fn with_tid(tid: u64, message: impl Into<Message>) -> Self {
        Packet { tid, priority: 0, message: message.into() }
    }

    /// The same at another priority.
    pub fn at_priority(self, priority: u16) -> Self {
        Packet { priority, ..self }
    }

    /// From what a connection received.
    pub fn decode(raw: RawMessage) -> Result<Packet, MessageError> {
        let Header { tid, priority, .. } = raw.header;
        Ok(Packet { tid, priority, message: Message::decode(raw)? })
    }

    /// To what a connection sends; seq and ack are left to it.
    pub fn encode(&self, features: Features) -> RawMessage {
        let mut raw = self.message.encode(features);
        raw.header.tid = self.tid;
        if self.priority != 0 {
            raw.header.priority = self.priority;
        }
        raw
    }
}

impl<M: Into<Message>> From<M> for Packet {
    fn from(message: M) -> Self {
        Packet::with_tid(0, message)
    }
}
