//! Parts that messages of several families share.

use seabed_denc::plain;

plain! {
    /// In front of messages that a monitor may have to pass on: `u64 version, s16 -1, u64 0`.
    pub struct Paxos {
        /// Requests: the newest map the sender has. Answers: 0.
        version: u64,
        /// The monitor that passed it on; -1.
        mon: i16 = -1,
        /// The session's number there; 0.
        mon_tid: u64,
    }
}

impl Paxos {
    /// From a sender whose newest map is `version`.
    pub fn at(version: u64) -> Self {
        Paxos { version, ..Self::default() }
    }
}

/// Blkin's three numbers; always 0.
pub type Trace = (u64, u64, u64);
