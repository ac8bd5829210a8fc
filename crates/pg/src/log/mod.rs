//! The PG log: which changes were made, in which order, asked by whom.
//!
//! The log is the memory that makes peering possible: two copies are compared by their logs, never
//! by their objects. Entries older than the tail are gone; of those only the request ids stay, as
//! dups, so that a resent request is still recognised.
//!
//! Invariants: versions strictly increase from tail (exclusive) to head (inclusive); `head` is the
//! last entry's version, or the tail of an empty log; every change is noted as a key of the PG's
//! meta object in `dirty` and leaves with the PG's next transaction.

mod divergence;
mod keys;
mod merge;
mod missing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use seabed_cluster::{EVersion, HObject, LogOp, PgLog, PgLogDup, PgLogEntry, ReqId};
use seabed_denc::{Bytes, Encode};

use crate::WIRE;

pub(crate) use divergence::judge_peer;
pub(crate) use keys::{DUP_PREFIX, MISSING_PREFIX, dup_key, entry_key, is_entry_key, missing_key};
pub(crate) use merge::{common_point, merge, rewind, set_last_complete};
pub use missing::Missing;

/// What is known of a request that was carried out before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The version it got.
    pub version: EVersion,
    /// What the client was told as the object's version.
    pub user_version: u64,
    /// Its result; negative for a failed one.
    pub return_code: i32,
    /// Results and outputs of its ops, if the client asked for them.
    pub op_returns: Vec<(i32, Bytes)>,
}

/// The log of one copy of a PG.
#[derive(Debug, Clone, Default)]
pub struct Log {
    head: EVersion,
    tail: EVersion,
    entries: VecDeque<PgLogEntry>,
    dups: VecDeque<PgLogDup>,
    by_reqid: BTreeMap<ReqId, Known>,
    by_object: BTreeMap<HObject, EVersion>,
    dirty: BTreeMap<Bytes, Option<Bytes>>,
}

impl Log {
    /// An empty log that begins at `tail`.
    pub fn new(tail: EVersion) -> Self {
        Log { head: tail, tail, ..Log::default() }
    }

    /// A log from its parts, nothing dirty. Entries must be in order and behind `tail`.
    pub fn from_parts(
        tail: EVersion,
        head: EVersion,
        entries: Vec<PgLogEntry>,
        dups: Vec<PgLogDup>,
    ) -> Self {
        let mut log = Log { head, tail, ..Log::default() };
        for dup in dups {
            log.index_dup(&dup);
            log.dups.push_back(dup);
        }
        for entry in entries {
            log.index(&entry);
            log.entries.push_back(entry);
        }
        log
    }

    /// The version of the last entry.
    pub fn head(&self) -> EVersion {
        self.head
    }

    /// The version before the first entry.
    pub fn tail(&self) -> EVersion {
        self.tail
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &VecDeque<PgLogEntry> {
        &self.entries
    }

    /// The dups, oldest first.
    pub fn dups(&self) -> &VecDeque<PgLogDup> {
        &self.dups
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What became of a request, if it is remembered.
    pub fn known(&self, reqid: &ReqId) -> Option<&Known> {
        self.by_reqid.get(reqid)
    }

    /// The newest version that the log holds for an object.
    pub fn newest(&self, object: &HObject) -> Option<EVersion> {
        self.by_object.get(object).copied()
    }

    /// The entry with exactly this version.
    pub fn entry(&self, version: EVersion) -> Option<&PgLogEntry> {
        let at = self.entries.partition_point(|e| e.version < version);
        self.entries.get(at).filter(|e| e.version == version)
    }

    /// True if the version is an entry's, or the tail.
    pub fn is_known(&self, version: EVersion) -> bool {
        version == self.tail || self.entry(version).is_some()
    }

    /// Entries newer than `version`, oldest first.
    pub fn after(&self, version: EVersion) -> impl DoubleEndedIterator<Item = &PgLogEntry> {
        let at = self.entries.partition_point(|e| e.version <= version);
        self.entries.range(at..)
    }

    /// The newest entry older than `version`, or the tail if that is older, or zero.
    pub fn before(&self, version: EVersion) -> EVersion {
        let at = self.entries.partition_point(|e| e.version < version);
        match at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            Some(entry) => entry.version,
            None if self.tail < version => self.tail,
            None => EVersion::ZERO,
        }
    }

    /// Appends an entry, which must be newer than the head.
    pub fn append(&mut self, entry: PgLogEntry) {
        debug_assert!(entry.version > self.head, "{} after {}", entry.version, self.head);
        self.head = entry.version;
        self.dirty.insert(entry_key(entry.version), Some(entry.to_bytes(WIRE)));
        self.index(&entry);
        self.entries.push_back(entry);
    }

    /// Puts older entries before the first one; `tail` becomes the tail.
    fn extend_tail(&mut self, tail: EVersion, older: Vec<PgLogEntry>) {
        for entry in older.into_iter().rev() {
            self.dirty.insert(entry_key(entry.version), Some(entry.to_bytes(WIRE)));
            self.by_object.entry(entry.soid.clone()).or_insert(entry.version);
            self.entries.push_front(entry);
        }
        self.tail = tail;
        self.reindex_requests();
    }

    /// Takes off every entry newer than `to`; returns them oldest first.
    fn cut_head(&mut self, to: EVersion) -> Vec<PgLogEntry> {
        let at = self.entries.partition_point(|e| e.version <= to);
        let cut: Vec<_> = self.entries.split_off(at).into();
        if cut.is_empty() {
            self.head = self.head.min(to.max(self.tail));
            return cut;
        }
        for entry in &cut {
            self.dirty.insert(entry_key(entry.version), None);
        }
        self.head = self.entries.back().map_or(self.tail, |e| e.version);
        self.by_object.clear();
        for entry in &self.entries {
            if entry.op != LogOp::Error {
                self.by_object.insert(entry.soid.clone(), entry.version);
            }
        }
        self.reindex_requests();
        cut
    }

    /// Forgets entries up to `to`, of which at most `keep_dups` request ids stay as dups.
    pub fn trim(&mut self, to: EVersion, keep_dups: usize) {
        let to = to.min(self.head);
        while let Some(first) = self.entries.front() {
            if first.version > to {
                break;
            }
            let Some(entry) = self.entries.pop_front() else { break };
            self.dirty.insert(entry_key(entry.version), None);
            if self.by_object.get(&entry.soid) == Some(&entry.version) {
                self.by_object.remove(&entry.soid);
            }
            self.tail = entry.version;
            self.remember(entry);
        }
        while self.dups.len() > keep_dups {
            let Some(old) = self.dups.pop_front() else { break };
            self.dirty.insert(dup_key(old.version), None);
            if self.by_reqid.get(&old.reqid).is_some_and(|k| k.version == old.version) {
                self.by_reqid.remove(&old.reqid);
            }
        }
    }

    fn remember(&mut self, entry: PgLogEntry) {
        if entry.reqid == ReqId::default() {
            return;
        }
        let dup = PgLogDup {
            reqid: entry.reqid,
            version: entry.version,
            user_version: entry.user_version,
            return_code: entry.return_code,
            op_returns: entry.op_returns,
            ..PgLogDup::default()
        };
        self.dirty.insert(dup_key(dup.version), Some(dup.to_bytes(WIRE)));
        self.dups.push_back(dup);
    }

    /// Takes over dups of another copy that are not known here.
    fn merge_dups(&mut self, other: &[PgLogDup]) {
        let known: std::collections::BTreeSet<EVersion> =
            self.dups.iter().map(|d| d.version).collect();
        let mut all: Vec<PgLogDup> = self.dups.drain(..).collect();
        for dup in other {
            if !known.contains(&dup.version) && self.entry(dup.version).is_none() {
                self.dirty.insert(dup_key(dup.version), Some(dup.to_bytes(WIRE)));
                all.push(dup.clone());
            }
        }
        all.sort_by_key(|d| d.version);
        self.dups = all.into();
        self.reindex_requests();
    }

    fn index(&mut self, entry: &PgLogEntry) {
        if entry.op != LogOp::Error {
            self.by_object.insert(entry.soid.clone(), entry.version);
        }
        if entry.reqid != ReqId::default() {
            self.by_reqid.insert(
                entry.reqid,
                Known {
                    version: entry.version,
                    user_version: entry.user_version,
                    return_code: entry.return_code,
                    op_returns: entry.op_returns.clone(),
                },
            );
        }
    }

    fn index_dup(&mut self, dup: &PgLogDup) {
        self.by_reqid.insert(
            dup.reqid,
            Known {
                version: dup.version,
                user_version: dup.user_version,
                return_code: dup.return_code,
                op_returns: dup.op_returns.clone(),
            },
        );
    }

    fn reindex_requests(&mut self) {
        self.by_reqid.clear();
        for dup in std::mem::take(&mut self.dups) {
            self.index_dup(&dup);
            self.dups.push_back(dup);
        }
        for entry in std::mem::take(&mut self.entries) {
            if entry.reqid != ReqId::default() {
                self.index(&entry);
            }
            self.entries.push_back(entry);
        }
    }

    /// Replaces the whole log by another copy's, as a fresh backfill target does.
    pub fn replace(&mut self, other: &PgLog) {
        for entry in &self.entries {
            self.dirty.insert(entry_key(entry.version), None);
        }
        for dup in &self.dups {
            self.dirty.insert(dup_key(dup.version), None);
        }
        let dirty = std::mem::take(&mut self.dirty);
        *self = Log::from_parts(other.tail, other.head, other.log.clone(), other.dups.clone());
        self.dirty = dirty;
        for entry in &self.entries {
            self.dirty.insert(entry_key(entry.version), Some(entry.to_bytes(WIRE)));
        }
        for dup in &self.dups {
            self.dirty.insert(dup_key(dup.version), Some(dup.to_bytes(WIRE)));
        }
    }

    /// The wire form of the entries newer than `since`, with all dups.
    pub fn since(&self, since: EVersion) -> PgLog {
        let since = since.max(self.tail);
        // The form of a log says "everything after tail": the tail must be a version both sides
        // can find, so it is the last one left out.
        let at = self.entries.partition_point(|e| e.version <= since);
        let tail = match at.checked_sub(1).and_then(|i| self.entries.get(i)) {
            Some(entry) => entry.version,
            None => self.tail,
        };
        self.wire(tail, self.entries.range(at..).cloned().collect())
    }

    /// The wire form of at most the last `max` entries. Of older ones the requests go along as
    /// dups: who gets this log has nothing else to recognise them by.
    pub fn last(&self, max: usize) -> PgLog {
        let skip = self.entries.len().saturating_sub(max);
        let tail = match skip.checked_sub(1).and_then(|i| self.entries.get(i)) {
            Some(entry) => entry.version,
            None => self.tail,
        };
        let mut log = self.wire(tail, self.entries.range(skip..).cloned().collect());
        let older = self.entries.range(..skip).filter(|e| e.reqid != ReqId::default());
        log.dups.extend(older.map(PgLogDup::from));
        log
    }

    fn wire(&self, tail: EVersion, log: Vec<PgLogEntry>) -> PgLog {
        PgLog {
            head: self.head,
            tail,
            log,
            can_rollback_to: self.head,
            rollback_info_trimmed_to: self.head,
            dups: self.dups.iter().cloned().collect(),
            ..PgLog::default()
        }
    }

    /// Keys to set or remove in the meta object since the last call.
    pub fn take_dirty(&mut self) -> BTreeMap<Bytes, Option<Bytes>> {
        std::mem::take(&mut self.dirty)
    }
}
