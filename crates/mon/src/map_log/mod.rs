//! The map log: the one ordered record of what the cluster's maps became, and why.
//!
//! Every change of a map is an entry here before anyone hears of it. The monitor sees only this
//! port; what keeps the entries (the embedded store below, a consensus store later) is not its
//! business, and consensus is nowhere of our own making.
//!
//! Invariants: versions are consecutive from 1; an entry, once committed, never changes; an
//! append names the version it builds on and loses if another came first; a snapshot at version
//! `v` says everything that the entries up to `v` said.

mod embedded;
mod entry;
mod memory;

pub use embedded::EmbeddedLog;
pub use entry::{Change, Door, LogEntry, Provenance};
pub use memory::MemoryLog;

use seabed_denc::Bytes;
use thiserror::Error;

/// The number of an entry. 0 is the log before its first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// Taken; it is durable once [`MapLog::committed`] says so.
    Submitted(Version),
    /// Another entry is at that version: read on and decide again.
    Conflict(Version),
    /// The log takes nothing now (no quorum, no connection). Try again later.
    Unavailable,
}

/// Why the log failed: the monitor cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// The store below failed.
    #[error("map log store: {0}")]
    Store(String),
    /// A stored entry or snapshot is not what was written.
    #[error("map log entry {0} is corrupt: {1}")]
    Corrupt(u64, String),
    /// An entry asked for was trimmed or never written.
    #[error("map log has no entry {0}")]
    Missing(u64),
}

/// The log behind its port.
pub trait MapLog {
    /// Puts `entry` behind version `expected`.
    fn append(&mut self, expected: Version, entry: &LogEntry) -> Result<Append, LogError>;

    /// The newest version known to be durable, whoever appended it: what there is to read.
    fn committed(&mut self) -> Result<Version, LogError>;

    /// At most `max` committed entries from version `from` on.
    fn read(&self, from: Version, max: usize) -> Result<Vec<(Version, LogEntry)>, LogError>;

    /// The snapshot that entries continue, if one was ever made.
    fn snapshot(&self) -> Result<Option<(Version, Bytes)>, LogError>;

    /// Whether this monitor is the one that acts on timers (marks OSDs down or out that nobody
    /// spoke for). Decided below this port, by a lease where there are several monitors; every
    /// such act is still an append that can lose.
    fn leads(&mut self) -> bool {
        true
    }

    /// Replaces all entries up to and with `version` by `snapshot`.
    fn trim(&mut self, version: Version, snapshot: Bytes) -> Result<(), LogError>;
}

impl<T: MapLog + ?Sized> MapLog for Box<T> {
    fn append(&mut self, expected: Version, entry: &LogEntry) -> Result<Append, LogError> {
        (**self).append(expected, entry)
    }
    fn committed(&mut self) -> Result<Version, LogError> {
        (**self).committed()
    }
    fn read(&self, from: Version, max: usize) -> Result<Vec<(Version, LogEntry)>, LogError> {
        (**self).read(from, max)
    }
    fn snapshot(&self) -> Result<Option<(Version, Bytes)>, LogError> {
        (**self).snapshot()
    }
    fn leads(&mut self) -> bool {
        (**self).leads()
    }
    fn trim(&mut self, version: Version, snapshot: Bytes) -> Result<(), LogError> {
        (**self).trim(version, snapshot)
    }
}
