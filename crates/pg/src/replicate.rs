//! Writes: one transaction here and on every copy, acknowledged in order when all are durable.
//!
//! Invariants: a change leaves the queue when every copy that takes part in writes has it durable
//! and all changes before it have left; replies leave with their change, in order.

use std::collections::{BTreeSet, VecDeque};

use seabed_cluster::PgShard;
use seabed_cluster::{EVersion, GhObject, HObject, ObjectStatSum, OsdId, PgLogEntry, ReqId};
use seabed_denc::{Decode, Encode};
use seabed_messages::{
    MOsdOpReply, MOsdRepOp, MOsdRepOpReply, MPgUpdateLogMissing, MPgUpdateLogMissingReply, Packet,
};
use seabed_storage::Transaction;

use crate::client::ClientOp;
use crate::log::Log;
use crate::peering::Role;
use crate::pg::After;
use crate::watch::{WatchEffects, Watcher};
use crate::{Env, Level, Peer, Pg, SessionId, Step, WIRE};

/// A reply that waits for a change, with the request in case the interval ends first.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) request: ClientOp,
    pub(crate) packet: Packet,
    /// What the request does to watches when it counts.
    pub(crate) watch: Option<Box<WatchEffects>>,
}

impl Reply {
    /// The reply to a request.
    pub(crate) fn new(request: ClientOp, reply: MOsdOpReply) -> Reply {
        Reply { packet: Packet::with_tid(request.tid, reply), request, watch: None }
    }
}

/// A change that is not durable everywhere.
#[derive(Debug)]
struct Change {
    tid: u64,
    version: EVersion,
    object: HObject,
    waiting: BTreeSet<OsdId>,
    here: bool,
    replies: Vec<Reply>,
}

/// Changes on their way, in order.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    changes: VecDeque<Change>,
    last_tid: u64,
}

impl InFlight {
    /// Every request whose reply has not left, in order.
    pub(crate) fn requests(self) -> impl Iterator<Item = ClientOp> {
        self.changes.into_iter().flat_map(|c| c.replies).map(|r| r.request)
    }

    /// Those requests, for whoever asks.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &ClientOp> {
        self.changes.iter().flat_map(|c| &c.replies).map(|r| &r.request)
    }

    /// The tid that the next change gets.
    pub(crate) fn next_tid(&self) -> u64 {
        self.last_tid + 1
    }

    fn find(&mut self, tid: u64) -> Option<&mut Change> {
        self.changes.iter_mut().find(|c| c.tid == tid)
    }

    /// A session ended: nothing can be bound to it any more.
    pub(crate) fn orphan(&mut self, session: SessionId) {
        let replies = self.changes.iter_mut().flat_map(|c| &mut c.replies);
        for reply in replies.filter(|r| r.request.session == session) {
            if let Some(watch) = &mut reply.watch {
                watch.orphan = true;
            }
        }
    }

    /// True if a watch of `object` is about to be connected.
    pub(crate) fn connects(&self, object: &HObject, watcher: &Watcher) -> bool {
        let changes = self.changes.iter().filter(|c| c.object == *object);
        let replies = changes.flat_map(|c| &c.replies).filter(|r| r.request.entity == watcher.1);
        let mut connects = replies.flat_map(|r| &r.watch).flat_map(|w| &w.connects);
        connects.any(|(info, _)| info.cookie == watcher.0)
    }

    /// Hangs a reply onto the last change of `object`; gives it back if there is none.
    pub(crate) fn attach_to_object(&mut self, object: &HObject, reply: Reply) -> Option<Reply> {
        match self.changes.iter_mut().rev().find(|c| c.object == *object) {
            Some(change) => {
                change.replies.push(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// Hangs a reply onto the change of `version`; gives it back if it is durable everywhere.
    pub(crate) fn attach_to_version(&mut self, version: EVersion, reply: Reply) -> Option<Reply> {
        match self.changes.iter_mut().find(|c| c.version == version) {
            Some(change) => {
                change.replies.push(reply);
                None
            }
            None => Some(reply),
        }
    }
}

/// A change to be made on every copy.
#[derive(Debug)]
pub(crate) struct NewChange {
    /// A head, or for a trim its clone.
    pub(crate) object: HObject,
    pub(crate) reqid: ReqId,
    pub(crate) entries: Vec<PgLogEntry>,
    /// What is done to the object; `None` for entries alone.
    pub(crate) transaction: Option<Transaction>,
    pub(crate) stats: ObjectStatSum,
    pub(crate) reply: Option<Reply>,
}

impl Pg {
    /// Makes a change here and sends it to every copy.
    pub(crate) fn replicate(&mut self, env: &mut Env<'_>, change: NewChange) -> Step {
        let Some(version) = change.entries.last().map(|e| e.version) else { return Ok(()) };
        let trim_to = self.trim_target(env);
        let user_version = change.entries.iter().map(|e| e.user_version).max().unwrap_or_default();
        for entry in &change.entries {
            self.log.append(entry.clone());
        }
        self.info.last_update = version;
        self.info.last_user_version = self.info.last_user_version.max(user_version);
        self.info.stats.stats.sum.add(&change.stats);
        self.info.stats.version = version;
        if self.missing.is_empty() {
            self.info.last_complete = version;
        }
        self.log.trim(trim_to, env.config.dups);
        let whoami = self.whoami;
        let Some(active) = self.active_mut() else { return Ok(()) };
        active.in_flight.last_tid += 1;
        let tid = active.in_flight.last_tid;
        let targets = active.targets.clone();
        #[cfg(feature = "planted-bugs")]
        let change = ack_too_early(env, change);
        self.send_change(env, tid, version, trim_to, &targets, &change);
        for osd in &targets {
            if let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(osd)) {
                copy.info.last_update = version;
                if copy.missing.is_empty() {
                    copy.info.last_complete = version;
                }
            }
        }
        let queued = Change {
            tid,
            version,
            object: change.object.head(),
            waiting: targets,
            here: false,
            replies: change.reply.into_iter().collect(),
        };
        if let Some(active) = self.active_mut() {
            active.in_flight.changes.push_back(queued);
        }
        let mut tx = change.transaction.unwrap_or_default();
        self.map_entries(env, &mut tx, &change.entries)?;
        let tx = self.submit(env, tx)?;
        self.note_complete(tx);
        self.after(tx, After::Written(tid));
        debug_assert_eq!(whoami, self.whoami);
        Ok(())
    }

    fn send_change(
        &mut self,
        env: &mut Env<'_>,
        tid: u64,
        version: EVersion,
        trim_to: EVersion,
        targets: &BTreeSet<OsdId>,
        change: &NewChange,
    ) {
        // See `wire`: also the oldest that a copy may count the interval from.
        let epoch = self.epoch;
        let Some(tx) = &change.transaction else {
            let message = MPgUpdateLogMissing {
                epoch,
                pg: self.id,
                rep_tid: tid,
                entries: change.entries.clone(),
                min_epoch: epoch,
                pg_trim_to: trim_to,
                pg_roll_forward_to: version,
                ..MPgUpdateLogMissing::default()
            };
            for osd in targets {
                env.out.send(Peer::Osd(*osd), message.clone());
            }
            return;
        };
        let full = tx.to_bytes(WIRE);
        let empty = Transaction::new().to_bytes(WIRE);
        let message = MOsdRepOp {
            epoch,
            min_epoch: epoch,
            reqid: change.reqid,
            pg: self.id,
            object: change.object.clone(),
            version,
            log: seabed_messages::LogBlob(change.entries.clone()),
            stats: self.info.stats.clone(),
            pg_trim_to: trim_to,
            from: PgShard::replicated(self.whoami),
            min_last_complete_ondisk: self.min_complete(),
            ..MOsdRepOp::default()
        };
        for osd in targets {
            let reached = self
                .active()
                .and_then(|a| a.backfills.get(osd))
                .is_none_or(|b| b.reaches(&change.object));
            let transaction = if reached { full.clone() } else { empty.clone() };
            let message = MOsdRepOp { transaction, ..message.clone() };
            env.out.send(Peer::Osd(*osd), Packet::with_tid(tid, message));
        }
    }

    /// The newest change that every copy has complete on disk.
    fn min_complete(&self) -> EVersion {
        let peers = self.active().map(|a| a.complete_ondisk.values().copied().min());
        peers.flatten().unwrap_or(self.complete_ondisk).min(self.complete_ondisk)
    }

    /// Up to where the log may be forgotten now.
    fn trim_target(&self, env: &Env<'_>) -> EVersion {
        let tail = self.log.tail();
        if self.log.len() <= env.config.log_max {
            return tail;
        }
        let at = self.log.len().saturating_sub(env.config.log_min);
        let Some(entry) = at.checked_sub(1).and_then(|i| self.log.entries().get(i)) else {
            return tail;
        };
        entry.version.min(self.min_complete()).max(tail)
    }

    /// The primary's own copy has a change durable.
    pub(crate) fn written_here(&mut self, env: &mut Env<'_>, tid: u64) -> Step {
        if let Some(change) = self.active_mut().and_then(|a| a.in_flight.find(tid)) {
            change.here = true;
        }
        self.finish_changes(env)
    }

    /// A copy has a change durable.
    pub(crate) fn written_there(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        tid: u64,
        complete: EVersion,
    ) -> Step {
        let Some(active) = self.active_mut() else { return Ok(()) };
        if let Some(known) = active.complete_ondisk.get_mut(&from) {
            *known = (*known).max(complete);
        }
        if let Some(change) = active.in_flight.find(tid) {
            change.waiting.remove(&from);
        }
        self.finish_changes(env)
    }

    /// Replies to what every copy has.
    fn finish_changes(&mut self, env: &mut Env<'_>) -> Step {
        while let Some(active) = self.active_mut() {
            let changes = &mut active.in_flight.changes;
            if !changes.front().is_some_and(|c| c.here && c.waiting.is_empty()) {
                break;
            }
            let Some(change) = changes.pop_front() else { break };
            for reply in change.replies {
                self.answer(env, reply);
            }
            self.finish_expelling(env, change.version);
            self.trim_written(env, change.version)?;
        }
        Ok(())
    }

    /// A change from the primary.
    pub fn on_rep_op(&mut self, env: &mut Env<'_>, from: OsdId, tid: u64, m: MOsdRepOp) -> Step {
        if self.is_stale(m.min_epoch) || !self.follows(from) {
            return Ok(());
        }
        let mut tx = match Transaction::from_bytes(m.transaction.clone()) {
            Ok(tx) if self.is_ours(&tx) => tx,
            _ => {
                let text = format_args!("unreadable change {} of osd.{}", m.version, from.0);
                self.log_line(env, Level::Error, text);
                return Ok(());
            }
        };
        if !self.append_entries(env, &m.log.0, m.pg_trim_to) {
            return Ok(());
        }
        if !self.info.is_incomplete() {
            self.info.stats = m.stats;
        }
        // Without operations the object is one that this copy has not been given yet.
        if !tx.is_empty() {
            self.map_entries(env, &mut tx, &m.log.0)?;
        }
        let tx = self.submit(env, tx)?;
        self.note_complete(tx);
        let reply = MOsdRepOpReply {
            epoch: m.epoch,
            min_epoch: m.min_epoch,
            reqid: m.reqid,
            pg: m.pg,
            last_complete_ondisk: self.complete_here(),
            from: PgShard::replicated(self.whoami),
            ..MOsdRepOpReply::default()
        };
        self.send_after(tx, from, Packet::with_tid(tid, reply));
        Ok(())
    }

    /// Entries without a change of an object.
    pub fn on_update_log(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: MPgUpdateLogMissing,
    ) -> Step {
        if self.is_stale(m.min_epoch) || !self.follows(from) {
            return Ok(());
        }
        if !self.append_entries(env, &m.entries, m.pg_trim_to) {
            return Ok(());
        }
        let tx = self.submit(env, Transaction::new())?;
        self.note_complete(tx);
        let reply = MPgUpdateLogMissingReply {
            epoch: m.epoch,
            pg: m.pg,
            rep_tid: m.rep_tid,
            min_epoch: m.min_epoch,
            last_complete_ondisk: self.complete_here(),
            ..MPgUpdateLogMissingReply::default()
        };
        self.send_after(tx, from, reply);
        Ok(())
    }

    /// True if `from` is the primary that activated this copy.
    pub(crate) fn follows(&self, from: OsdId) -> bool {
        matches!(&self.role, Role::Replica(r) if r.primary == from)
    }

    /// Every operation is on an object of this PG.
    fn is_ours(&self, tx: &Transaction) -> bool {
        tx.ops.iter().all(|op| {
            let named = op.object.as_ref().is_some_and(|o: &GhObject| !o.is_pg_meta());
            op.collection == self.coll && named
        })
    }

    fn append_entries(
        &mut self,
        env: &mut Env<'_>,
        entries: &[PgLogEntry],
        trim_to: EVersion,
    ) -> bool {
        let head = self.log.head();
        if !entries.iter().is_sorted_by_key(|e| e.version)
            || entries.first().is_none_or(|e| e.version <= head)
        {
            self.log_line(env, Level::Error, format_args!("change behind {head} expected"));
            return false;
        }
        for entry in entries {
            #[cfg(feature = "planted-bugs")]
            if env.config.planted == Some(crate::PlantedBug::SkippedLogEntry)
                && entry.version.version % 7 == 0
            {
                continue;
            }
            self.info.last_user_version = self.info.last_user_version.max(entry.user_version);
            self.log.append(entry.clone());
        }
        self.info.last_update = self.log.head();
        if self.missing.is_empty() {
            self.info.last_complete = self.info.last_update;
        }
        let log: &mut Log = &mut self.log;
        log.trim(trim_to.min(self.info.last_complete), env.config.dups);
        true
    }

    /// A copy has a change durable.
    pub fn on_rep_op_reply(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        tid: u64,
        m: &MOsdRepOpReply,
    ) -> Step {
        if self.is_stale(m.min_epoch) {
            return Ok(());
        }
        self.written_there(env, from, tid, m.last_complete_ondisk)
    }

    /// A copy has entries durable.
    pub fn on_update_log_reply(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MPgUpdateLogMissingReply,
    ) -> Step {
        if self.is_stale(m.min_epoch) {
            return Ok(());
        }
        self.written_there(env, from, m.rep_tid, m.last_complete_ondisk)
    }
}

/// The planted bug of an acknowledgement that waits for nothing.
#[cfg(feature = "planted-bugs")]
fn ack_too_early(env: &mut Env<'_>, mut change: NewChange) -> NewChange {
    let early = env.config.planted == Some(crate::PlantedBug::AckBeforeCommit);
    if let Some(reply) = change.reply.take_if(|_| early) {
        env.out.send(Peer::Client(reply.request.session), reply.packet);
    }
    change
}
