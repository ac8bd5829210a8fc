//! What a request asks of watches, beside what it does to its object: made by the execution,
//! carried out by the PG when the request counts.

use seabed_cluster::{EntityName, WatchInfo};
use seabed_denc::Bytes;

/// Names a watch on its object, as the object info does: cookie and client.
pub type Watcher = (u64, EntityName);

/// A notify to be told to every watcher of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotify {
    /// Names it for all time.
    pub id: u64,
    /// The notifier's own name for it, repeated in the completion.
    pub cookie: u64,
    /// `user_version` of the object.
    pub version: u64,
    /// How long watchers have to answer.
    pub timeout_seconds: u32,
    /// What the watchers are told.
    pub payload: Bytes,
}

/// A watcher's answer to a notify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyAck {
    /// Which notify.
    pub id: u64,
    /// Which of the client's watches; clients of old times do not say.
    pub cookie: Option<u64>,
    /// What the notifier is told.
    pub reply: Bytes,
}

/// The effects of one request, in the order in which they are carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchEffects {
    /// Watches that end; true if their clients must be told.
    pub ends: Vec<(Watcher, bool)>,
    /// Watches of the caller that live in its session from now on; true if it promises pings.
    pub connects: Vec<(WatchInfo, bool)>,
    /// Watches of the caller that it says are alive.
    pub pings: Vec<u64>,
    /// Notifies of the caller.
    pub notifies: Vec<NewNotify>,
    /// Answers of the caller.
    pub acks: Vec<NotifyAck>,
    /// The caller's session ended before the request counted.
    pub orphan: bool,
}

impl WatchEffects {
    /// Bytes that carrying this out adds to what is kept in memory.
    pub(crate) fn weight(&self) -> usize {
        let notifies = self.notifies.iter().map(|n| n.payload.len());
        notifies.chain(self.acks.iter().map(|a| a.reply.len())).sum()
    }
}
