//! The embedded map log: one monitor, entries in a key-value store.
//!
//! Keys, under a prefix of our own so that the store may hold other things:
//!
//! | key | value |
//! |---|---|
//! | `maplog/entry/` + version, 8 bytes big-endian | the encoded [`LogEntry`] |
//! | `maplog/snapshot` | u64 version, then the snapshot's bytes |
//!
//! Big-endian, so that the order of keys is the order of versions. The newest version is the last
//! key; no counter is kept beside it that could disagree.

use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader};
use seabed_storage::{Batch, CommitId, KeyValue, KvError};

use super::{Append, LogEntry, LogError, MapLog, Version};

const ENTRY: &[u8] = b"maplog/entry/";
const ENTRY_END: &[u8] = b"maplog/entry0";
const SNAPSHOT: &[u8] = b"maplog/snapshot";

/// A log in a key-value store. An append is durable when `append` returns, unless made with
/// [`EmbeddedLog::background`].
pub struct EmbeddedLog<K> {
    kv: K,
    last: Version,
    committed: Version,
    trimmed: Version,
    background: bool,
    pending: Vec<(CommitId, Version)>,
}

impl From<KvError> for LogError {
    fn from(e: KvError) -> Self {
        LogError::Store(e.to_string())
    }
}

fn entry_key(version: Version) -> Bytes {
    let mut key = BytesMut::with_capacity(ENTRY.len() + 8);
    key.extend_from_slice(ENTRY);
    key.extend_from_slice(&version.0.to_be_bytes());
    key.freeze()
}

fn key_version(key: &[u8]) -> Option<Version> {
    let tail = key.strip_prefix(ENTRY)?;
    Some(Version(u64::from_be_bytes(tail.try_into().ok()?)))
}

impl<K: KeyValue> EmbeddedLog<K> {
    /// Opens the log in `kv`; an empty store is an empty log.
    pub fn open(kv: K) -> Result<Self, LogError> {
        let trimmed = read_snapshot(&kv)?.map_or(Version(0), |(v, _)| v);
        let last = match kv.last(ENTRY, ENTRY_END)? {
            Some((key, _)) => key_version(&key)
                .ok_or_else(|| LogError::Corrupt(0, "key of an entry".to_string()))?,
            None => trimmed,
        };
        Ok(Self { kv, last, committed: last, trimmed, background: false, pending: Vec::new() })
    }

    /// Lets appends return before they are durable; [`MapLog::committed`] tells when they are.
    #[must_use]
    pub fn background(mut self) -> Self {
        self.background = true;
        self
    }

    /// The store below.
    pub fn store(&self) -> &K {
        &self.kv
    }
}

fn read_snapshot<K: KeyValue>(kv: &K) -> Result<Option<(Version, Bytes)>, LogError> {
    let Some(value) = kv.get(SNAPSHOT)? else { return Ok(None) };
    let mut r = Reader::new(value);
    let version = u64::decode(&mut r).map_err(|e| LogError::Corrupt(0, e.to_string()))?;
    Ok(Some((Version(version), r.take_rest())))
}

impl<K: KeyValue> MapLog for EmbeddedLog<K> {
    fn append(&mut self, expected: Version, entry: &LogEntry) -> Result<Append, LogError> {
        if expected != self.last {
            return Ok(Append::Conflict(self.last));
        }
        let version = expected.next();
        let mut batch = Batch::new();
        batch.put(entry_key(version), entry.to_bytes(0));
        if self.background {
            let id = self.kv.submit(batch)?;
            self.pending.push((id, version));
        } else {
            self.kv.write(batch)?;
            self.committed = version;
        }
        self.last = version;
        Ok(Append::Submitted(version))
    }

    fn committed(&mut self) -> Result<Version, LogError> {
        if !self.pending.is_empty() {
            let done = self.kv.completed()?;
            let committed = &mut self.committed;
            self.pending.retain(|(id, version)| {
                if *id <= done {
                    *committed = (*committed).max(*version);
                }
                *id > done
            });
        }
        Ok(self.committed)
    }

    fn read(&self, from: Version, max: usize) -> Result<Vec<(Version, LogEntry)>, LogError> {
        if from <= self.trimmed && self.trimmed > Version(0) {
            return Err(LogError::Missing(from.0));
        }
        if from > self.committed {
            return Ok(Vec::new());
        }
        let pairs = self.kv.scan(&entry_key(from), &entry_key(self.committed.next()), max)?;
        let mut out = Vec::with_capacity(pairs.len());
        let mut expected = from;
        for (key, value) in pairs {
            let version = key_version(&key)
                .ok_or_else(|| LogError::Corrupt(expected.0, "key of an entry".to_string()))?;
            if version != expected {
                return Err(LogError::Missing(expected.0));
            }
            let entry = LogEntry::from_bytes(value)
                .map_err(|e| LogError::Corrupt(version.0, e.to_string()))?;
            out.push((version, entry));
            expected = version.next();
        }
        Ok(out)
    }

    fn snapshot(&self) -> Result<Option<(Version, Bytes)>, LogError> {
        read_snapshot(&self.kv)
    }

    fn trim(&mut self, version: Version, snapshot: Bytes) -> Result<(), LogError> {
        if version > self.committed {
            return Err(LogError::Missing(version.0));
        }
        let mut value = BytesMut::with_capacity(8 + snapshot.len());
        version.0.encode(&mut value, 0);
        value.extend_from_slice(&snapshot);
        let mut batch = Batch::new();
        batch.put(SNAPSHOT, value.freeze());
        batch.delete_range(ENTRY, entry_key(version.next()));
        self.kv.write(batch)?;
        self.trimmed = version;
        Ok(())
    }
}
