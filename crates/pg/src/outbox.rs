//! What a step gives to the outside: messages, wishes to the monitor, lines for the log.

use seabed_cluster::{Epoch, OsdId, PgId, SpgId};
use seabed_messages::Packet;

use crate::op::CopySource;

/// One accepted client (or heartbeat) session, named by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Who a message comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The monitor that the shell is connected to.
    Mon,
    /// An OSD, on the cluster network.
    Osd(OsdId),
    /// Whoever opened a session on the public address.
    Client(SessionId),
    /// An OSD's heartbeat server on the cluster network, dialled by us.
    HeartbeatBack(OsdId),
    /// An OSD's heartbeat server on the public network, dialled by us.
    HeartbeatFront(OsdId),
    /// An OSD on its public address, dialled by us as a client is.
    OsdPublic(OsdId),
    /// An OSD that dialled one of our heartbeat servers.
    HeartbeatSession(SessionId),
}

/// Names what a PG has asked for of another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// Weight of a line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ordinary steps of the protocol.
    Debug,
    /// Changes an operator may want to follow.
    Info,
    /// Something is refused or waited for.
    Warn,
    /// Something is broken.
    Error,
}

/// What a PG wants of its OSD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The map must show that this OSD was alive in this epoch.
    UpThru(Epoch),
    /// `pg_temp` shall name these OSDs, or nobody.
    ActingSet(PgId, Vec<OsdId>),
    /// The PG went active for the first time.
    Created(PgId),
    /// The PG's state changed: report it soon.
    Report(PgId),
    /// The PG has clones to trim: it waits for a slot.
    TrimSlot(SpgId),
    /// The PG gives its slot back, or waits for none any more.
    TrimDone(SpgId),
    /// An object is to be gathered for the PG; [`Pg::fetched`](crate::Pg::fetched) takes it.
    Fetch(SpgId, FetchId, Box<CopySource>),
    /// It is not wanted any more.
    StopFetch(FetchId),
}

/// Collects what a step gives out, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Messages, in the order in which they must leave to each peer. What had to wait for the disk
    /// has waited already.
    pub sent: Vec<(Peer, Packet)>,
    /// Lines for the log.
    pub lines: Vec<(Level, String)>,
    /// Sessions to be closed.
    pub closed: Vec<Peer>,
    /// Wishes of PGs, taken by the OSD before the step ends.
    pub requests: Vec<Request>,
    /// Set when the process must stop, with the reason.
    pub stop: Option<String>,
}

impl Outbox {
    /// Sends a message.
    pub fn send(&mut self, to: Peer, packet: impl Into<Packet>) {
        self.sent.push((to, packet.into()));
    }

    /// Adds a line to the log.
    pub fn log(&mut self, level: Level, text: impl Into<String>) {
        self.lines.push((level, text.into()));
    }

    /// Asks something of the OSD.
    pub fn request(&mut self, request: Request) {
        if !self.requests.contains(&request) {
            self.requests.push(request);
        }
    }

    /// Ends a session.
    pub fn close(&mut self, peer: Peer) {
        self.closed.push(peer);
    }
}
