//! Sessions: one for each connection that speaks to the monitor, and what leaves on them.

use std::collections::BTreeMap;

use seabed_cluster::options::{self, Report};
use seabed_cluster::{EntityAddrVec, EntityName, EntityType, Epoch, GlobalId};
use seabed_denc::Bytes;
use seabed_messages::Packet;

/// The number of a session, given by the shell; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u64);

/// Sessions accepted at most: beyond it the newest is closed at once. Each costs a few hundred
/// bytes here and a socket in the shell.
pub const SESSIONS_MAX: usize = 20_000;
/// Subscriptions of one session at most; clients have names for about ten.
pub const SUBSCRIPTIONS_MAX: usize = 64;

/// The door a session came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionDoor {
    /// The monitor's own address.
    Mon,
    /// The address published as the active mgr's.
    Mgr,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Kind and number: `osd.2`, `client.4123`.
    pub name: EntityName,
    /// What the user calls it: `client.admin`.
    pub entity: String,
    /// Its addresses as its ident says; of an OSD its public ones.
    pub addrs: EntityAddrVec,
    /// Its features.
    pub features: u64,
    /// The id it was given at authentication.
    pub global_id: GlobalId,
    /// The door it came in by.
    pub door: SessionDoor,
}

/// One subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The first version wanted.
    pub start: u64,
    /// Whether it ends with the first answer.
    pub onetime: bool,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who is at the other end.
    pub peer: Peer,
    /// What it wants to hear of.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// The newest OSD map it was sent, or said to have.
    pub osd_epoch: Epoch,
    /// The host name it told with its subscriptions.
    pub hostname: String,
    /// What a daemon told of its options.
    pub config: Option<Report>,
    /// The defaults of its options, as it told them.
    pub config_defaults: BTreeMap<String, String>,
}

impl Session {
    /// A new one.
    pub fn new(peer: Peer) -> Self {
        Self {
            peer,
            subscriptions: BTreeMap::new(),
            osd_epoch: Epoch::ZERO,
            hostname: String::new(),
            config: None,
            config_defaults: BTreeMap::new(),
        }
    }

    /// Takes what an OSD tells of its options; what is empty or unreadable tells nothing new.
    pub fn told_config(&mut self, config: &Bytes, defaults: Option<&Bytes>) {
        if !self.is_osd() {
            return;
        }
        if let Some(report) = Report::read(config) {
            self.config = Some(report);
        }
        if let Some(defaults) = defaults.and_then(options::read_defaults) {
            self.config_defaults = defaults;
        }
    }

    /// True if an OSD is at the other end.
    pub fn is_osd(&self) -> bool {
        self.peer.name.kind == EntityType::Osd
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something failed.
    Error,
}

/// One thing that leaves.
#[derive(Debug, Clone)]
pub enum Output {
    /// A message on a session.
    Send(SessionId, Packet),
    /// The session is to be closed.
    Close(SessionId, String),
    /// A line for the monitor's own log.
    Log(Level, String),
}

/// What leaves after a step, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Output>,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a message.
    pub fn send(&mut self, to: SessionId, packet: impl Into<Packet>) {
        self.items.push(Output::Send(to, packet.into()));
    }

    /// Closes a session.
    pub fn close(&mut self, session: SessionId, why: impl Into<String>) {
        self.items.push(Output::Close(session, why.into()));
    }

    /// Writes a line of the log.
    pub fn log(&mut self, level: Level, text: impl Into<String>) {
        self.items.push(Output::Log(level, text.into()));
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Output> {
        self.items.drain(..)
    }

    /// True if nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
