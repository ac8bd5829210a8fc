//! What an execution answers.

use seabed_cluster::{EVersion, ObjectInfo, ObjectStatSum, PgLogEntry, SnapSet};
use seabed_denc::Bytes;
use seabed_messages::op::request_flag;
use seabed_messages::{MOsdOpReply, OsdOp};
use seabed_storage::Transaction;

use super::CopySource;
use crate::Level;
use crate::watch::WatchEffects;

/// What one op of the vector returned.
#[derive(Debug, Clone, PartialEq)]
pub struct OpReturn {
    /// The op as the reply repeats it: arguments possibly adjusted (a read's length is what was
    /// read), no input.
    pub op: OsdOp,
    /// Its return value; 0 for ops behind the failing one.
    pub rval: i32,
    /// Its output.
    pub out: Bytes,
}

/// Everything the PG needs to commit a write.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteEffect {
    /// What every replica does to the object and its clones, in Ceph's order of operations.
    pub transaction: Transaction,
    /// The log entries: at most one of a new clone, then the head's. Their versions follow each
    /// other from the one that the request was given.
    pub entries: Vec<PgLogEntry>,
    /// Whether the head exists afterwards, for clients: a whiteout does not.
    pub exists: bool,
    /// The head's info afterwards (fresh if it is not stored).
    pub info: ObjectInfo,
    /// The object's snapshots afterwards.
    pub snapset: SnapSet,
    /// `user_version` of the head's entry and the reply; becomes the PG's `last_user_version`.
    pub user_version: u64,
    /// Change of the PG's statistics, the reads of the request included.
    pub stats: ObjectStatSum,
    /// Whether it takes room, not counting what snapshots keep: a full pool refuses it then.
    pub grows: bool,
}

impl WriteEffect {
    /// The version of the write: of its last entry.
    pub fn version(&self) -> EVersion {
        self.entries.last().map_or(EVersion::ZERO, |e| e.version)
    }
}

/// What a request looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// An object, of this `user_version`; 0 if the ops found none.
    Object(u64),
    /// It only reads, and there is no object: no op was looked at.
    Nothing,
    /// The PG.
    Listing,
}

/// The answer to a request and what is to be done for it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpOutcome {
    /// 0 or more, or a negative errno.
    pub result: i32,
    /// One for each op. The outputs are in the reply of a request without effect; of one with an
    /// effect, only the `op_returns` of its entry are.
    pub returns: Vec<OpReturn>,
    /// What it changes.
    pub effect: Option<WriteEffect>,
    /// The request might have written and has no effect: it failed, or it changed nothing. Its
    /// result goes into the log as an ERROR entry, so that it is the same if it comes again.
    pub record_error: bool,
    /// Change of the PG's statistics if there is no effect; empty when the result is an error.
    pub read_stats: ObjectStatSum,
    /// What it does to watches. Nothing if it failed.
    pub watch: Option<Box<WatchEffects>>,
    /// Before anything else can be said, this must be gathered, and the request executed anew.
    pub copy: Option<Box<CopySource>>,
    /// Lines for the log.
    pub notes: Vec<(Level, String)>,
    /// What was looked at, which decides the versions in the reply.
    pub(super) seen: Seen,
    /// The request asked for results of its writes.
    pub(super) returns_vector: bool,
}

impl OpOutcome {
    /// For the log entry: every op's return value and output, if the request asked for them.
    pub fn op_returns(&self) -> Vec<(i32, Bytes)> {
        let told: &[OpReturn] = if self.returns_vector { &self.returns } else { &[] };
        told.iter().map(|r| (r.rval, r.out.clone())).collect()
    }

    /// Puts results, outputs and versions into `reply`, as recorded replies have them.
    ///
    /// `version` is what an ERROR entry gets; `last` is the PG's `last_update` and
    /// `last_user_version`.
    pub fn fill(&self, reply: &mut MOsdOpReply, version: EVersion, last: (EVersion, u64)) {
        reply.result = self.result;
        let outputs = self.effect.is_none();
        reply.ops = self
            .returns
            .iter()
            .map(|r| {
                let out = if outputs || self.returns_vector { r.out.clone() } else { Bytes::new() };
                (OsdOp { indata: out, ..r.op.clone() }, r.rval)
            })
            .collect();
        let enoent = self.result == seabed_cluster::Errno::ENOENT.wire();
        match &self.effect {
            Some(effect) => set_versions(reply, effect.version(), effect.user_version),
            None => match self.seen {
                Seen::Object(user_version) if self.record_error => {
                    set_versions(reply, version, user_version);
                }
                Seen::Nothing => reply.flags &= !u64::from(request_flag::ACK),
                Seen::Listing => set_versions(reply, last.0, last.1),
                Seen::Object(user_version) if self.result >= 0 => {
                    set_versions(reply, EVersion::ZERO, user_version);
                }
                Seen::Object(_) => {}
            },
        }
        if enoent && self.seen != Seen::Nothing {
            // A floor for what the object's next version will be.
            reply.bad_replay_version = last.0;
            reply.user_version = last.1;
        }
    }
}

/// The three versions of a reply. Old clients know only `bad_replay_version`, which therefore
/// carries the number that is right for them.
pub fn set_versions(reply: &mut MOsdOpReply, version: EVersion, user_version: u64) {
    reply.replay_version = version;
    reply.user_version = user_version;
    reply.bad_replay_version = version;
    if user_version != 0 {
        reply.bad_replay_version.version = user_version;
    }
}
