//! What happens to an OSD.

use seabed_cluster::{EntityAddr, EntityName};
use seabed_messages::Packet;
use seabed_pg::{Peer, SessionId};
use seabed_storage::TxId;

/// One input of a step.
#[derive(Debug)]
pub enum Input {
    /// A message. From [`Peer::Client`] and [`Peer::HeartbeatSession`] only after their
    /// [`Input::SessionOpened`].
    Message {
        /// From whom.
        from: Peer,
        /// What.
        packet: Packet,
    },
    /// Transactions became durable, in order: what `ObjectStore::committed` returned.
    Committed(Vec<TxId>),
    /// Somebody opened a session on the public address (`Peer::Client`) or on a heartbeat address
    /// (`Peer::HeartbeatSession`).
    SessionOpened {
        /// `Client` or `HeartbeatSession`.
        peer: Peer,
        /// Who it says it is, as authenticated.
        entity: EntityName,
        /// Its address, for the blocklist.
        addr: EntityAddr,
    },
    /// The session ended.
    SessionClosed(SessionId),
    /// A connection to a peer broke for good, or could not be made.
    PeerReset {
        /// Who.
        peer: Peer,
        /// The system said that nobody listens there.
        refused: bool,
    },
    /// A (new) session with a monitor is open.
    MonConnected,
    /// The process was asked to end: the monitor is told, and [`Outbox::stop`](crate::Outbox::stop)
    /// is set when it has marked the OSD down. The caller ends in any case after a few seconds.
    Stop,
    /// Time passed; due when [`Osd::wake_at`](crate::Osd::wake_at) says so.
    Tick,
}
