//! The map log in memory: for tests and the simulator.
//!
//! With `delay_commits` an entry is durable only when [`MemoryLog::commit_all`] is called, and
//! [`MemoryLog::crash`] forgets those that are not.

use std::collections::BTreeMap;

use seabed_denc::Bytes;

use super::{Append, LogEntry, LogError, MapLog, Version};

/// A log whose disk is a map.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    snapshot: Option<(Version, Bytes)>,
    entries: BTreeMap<Version, LogEntry>,
    committed: Version,
    last: Version,
    delay_commits: bool,
    unavailable: bool,
}

impl MemoryLog {
    /// An empty log that commits at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log that commits when told.
    pub fn delayed() -> Self {
        Self { delay_commits: true, ..Self::default() }
    }

    /// Makes all submitted entries durable.
    pub fn commit_all(&mut self) {
        self.committed = self.last;
    }

    /// Forgets what is not durable, as a crash does.
    pub fn crash(&mut self) {
        self.entries.retain(|v, _| *v <= self.committed);
        self.last = self.committed;
    }

    /// Whether appends are refused.
    pub fn set_unavailable(&mut self, unavailable: bool) {
        self.unavailable = unavailable;
    }

    /// Entries kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl MapLog for MemoryLog {
    fn append(&mut self, expected: Version, entry: &LogEntry) -> Result<Append, LogError> {
        if self.unavailable {
            return Ok(Append::Unavailable);
        }
        if expected != self.last {
            return Ok(Append::Conflict(self.last));
        }
        self.last = expected.next();
        self.entries.insert(self.last, entry.clone());
        if !self.delay_commits {
            self.committed = self.last;
        }
        Ok(Append::Submitted(self.last))
    }

    fn committed(&mut self) -> Result<Version, LogError> {
        Ok(self.committed)
    }

    fn read(&self, from: Version, max: usize) -> Result<Vec<(Version, LogEntry)>, LogError> {
        if let Some((trimmed, _)) = &self.snapshot
            && from <= *trimmed
        {
            return Err(LogError::Missing(from.0));
        }
        if from > self.committed {
            return Ok(Vec::new());
        }
        let range = self.entries.range(from..=self.committed);
        Ok(range.take(max).map(|(v, e)| (*v, e.clone())).collect())
    }

    fn snapshot(&self) -> Result<Option<(Version, Bytes)>, LogError> {
        Ok(self.snapshot.clone())
    }

    fn trim(&mut self, version: Version, snapshot: Bytes) -> Result<(), LogError> {
        if version > self.committed {
            return Err(LogError::Missing(version.0));
        }
        self.entries = self.entries.split_off(&version.next());
        self.snapshot = Some((version, snapshot));
        Ok(())
    }
}
