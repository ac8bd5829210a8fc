//! What a messenger tells its owner.

use std::fmt;

use seabed_cluster::EntityAddrVec;
use seabed_messages::RawMessage;
use seabed_msgr2::{CloseReason, Peer};

use crate::Budget;

/// Names a session for its whole life, across reconnects. Never used again in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {}", self.0)
    }
}

/// What happened. Events of one session come in order.
#[derive(Debug)]
pub enum Event {
    /// A session is open: a new one, or (on a lossless session) a connection of one known before.
    Opened {
        /// Which session.
        conn: ConnId,
        /// With whom.
        peer: Peer,
        /// True if the peer dialled.
        incoming: bool,
        /// True if the session goes on; nothing was lost.
        resumed: bool,
    },
    /// A message.
    Message {
        /// From which session.
        conn: ConnId,
        /// The message.
        message: RawMessage,
        /// Keep it for as long as the message's memory is in use: it is what throttles the peer.
        budget: Budget,
    },
    /// The peer of a lossless session lost its side: what waited to be sent is dropped, and what
    /// was received before may be repeated by a new life of the peer.
    Forgotten {
        /// Which session; it goes on as a new one.
        conn: ConnId,
    },
    /// Dialling failed. A lossless session goes on trying until `mark_down`; a lossy one is over
    /// (this comes instead of `Reset`).
    Unreachable {
        /// Which session.
        conn: ConnId,
        /// Who was dialled.
        addrs: EntityAddrVec,
        /// True if the peer's host answered that nobody listens: the process is dead.
        refused: bool,
        /// True if no more attempts are made.
        last: bool,
    },
    /// A session is over and its id is not used again.
    Reset {
        /// Which session.
        conn: ConnId,
        /// With whom, if it was ever open.
        peer: Option<Peer>,
        /// Why.
        reason: CloseReason,
    },
}

impl Event {
    /// The session that the event is about.
    pub fn conn(&self) -> ConnId {
        match self {
            Event::Opened { conn, .. }
            | Event::Message { conn, .. }
            | Event::Forgotten { conn }
            | Event::Unreachable { conn, .. }
            | Event::Reset { conn, .. } => *conn,
        }
    }
}
