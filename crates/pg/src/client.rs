//! The door for clients: which requests may be carried out now, which wait, which are answered from
//! memory.
//!
//! Invariants: requests on one object are carried out in the order of their arrival; a request that
//! was carried out once is never carried out again, its recorded result is told; what waits is
//! bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seabed_cluster::{
    EntityAddr, EntityName, Errno, HObject, LogOp, Now, ObjectStatSum, OsdMap, PgLogEntry, ReqId,
    feature,
};
use seabed_denc::Bytes;
use seabed_messages::op::{request_flag, watch_op};
use seabed_messages::{MOsdOp, MOsdOpReply, OpArgs, OpCode, Packet};

use crate::copying::{Copies, is_fetch};
use crate::log::Known;
use crate::op::{self, Copied, ObjectContext, OpEnv, OpOutcome, ReqIds};
use crate::peering::{Phase, Role};
use crate::replicate::{NewChange, Reply};
use crate::{Env, Level, Peer, Pg, SessionId, Step};

/// A client's request with what the session knows of it.
#[derive(Debug, Clone)]
pub struct ClientOp {
    /// Where the reply goes.
    pub session: SessionId,
    /// Who asks.
    pub entity: EntityName,
    /// From where.
    pub addr: EntityAddr,
    /// The message's tid, repeated in the reply.
    pub tid: u64,
    /// When it came.
    pub arrived: Now,
    /// Names the request for all time.
    pub reqid: ReqId,
    /// The request.
    pub message: Box<MOsdOp>,
}

impl ClientOp {
    /// True if the client can be told to hold requests back.
    fn knows_backoffs(&self) -> bool {
        self.message.features & feature::SERVER_LUMINOUS != 0
    }
}

/// Requests that cannot be carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// For the PG to be active and readable.
    pub(crate) active: VecDeque<ClientOp>,
    /// For the source of a copy, or behind such a copy.
    pub(crate) copies: Copies,
    /// For an object to be whole, here or on a copy; by head, so that order is kept.
    object: BTreeMap<HObject, ForObject>,
    /// For room on the disk or in the pool.
    room: VecDeque<ClientOp>,
}

/// Requests on an object of which something is lacking.
#[derive(Debug)]
struct ForObject {
    /// The head, or the clone that the first request reads.
    needed: HObject,
    requests: VecDeque<ClientOp>,
}

impl Waiting {
    /// Forgets everything: the clients ask another primary.
    pub(crate) fn clear(&mut self) {
        *self = Waiting::default();
    }

    /// True if nobody waits for the PG.
    pub(crate) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Forgets the requests of a session that ended: nobody would hear the answer.
    pub(crate) fn forget(&mut self, session: SessionId) {
        let live = |op: &ClientOp| op.session != session;
        self.active.retain(live);
        self.room.retain(live);
        self.copies.forget(session);
        self.object.retain(|_, waited| {
            waited.requests.retain(live);
            !waited.requests.is_empty()
        });
    }

    /// Everything that waits, and for what.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&ClientOp, &'static str)> {
        let for_pg = self.active.iter().map(|op| (op, "waiting for peered"));
        let for_objects = self.object.values().flat_map(|w| &w.requests);
        let for_room = self.room.iter().map(|op| (op, "waiting for room"));
        let for_sources = self.copies.requests().map(|op| (op, "waiting for source"));
        let for_objects = for_objects.map(|op| (op, "waiting for object"));
        for_pg.chain(for_objects).chain(for_room).chain(for_sources)
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        let for_objects: usize = self.object.values().map(|w| w.requests.len()).sum();
        self.active.len() + self.room.len() + self.copies.len() + for_objects
    }
}

/// Of requests that do not ask who changed the object.
static NO_REQIDS: ReqIds = (Vec::new(), BTreeMap::new());

/// The object a request is about; snapshots are parts of their head.
pub(crate) fn target(op: &ClientOp) -> HObject {
    op.message.hobject().head()
}

impl Pg {
    /// A client's request, already let in by the OSD.
    pub fn client_op(&mut self, env: &mut Env<'_>, op: ClientOp) -> Step {
        // A client whose map is older than this primary's time sends again when it has learned.
        let flags = op.message.flags;
        if !self.is_primary()
            && flags & (request_flag::BALANCE_READS | request_flag::LOCALIZE_READS) != 0
            && self.member.acting.contains(&self.whoami)
        {
            // Copies serve no reads; without these flags the primary is asked.
            let reply = MOsdOpReply::to(&op.message, Errno::EAGAIN.wire(), self.epoch);
            env.out.send(Peer::Client(op.session), Packet::with_tid(op.tid, reply));
            return Ok(());
        }
        if !self.is_primary() || op.message.epoch < self.info.history.same_primary_since {
            return Ok(());
        }
        if self.is_held_back(&op) {
            return Ok(());
        }
        let full = self.waiting.len() >= env.config.waiting_max;
        if op.knows_backoffs() && (full || self.keeps_out()) {
            self.back_off_all(env, op.session);
            return Ok(());
        }
        if full {
            self.log_line(env, Level::Warn, format_args!("too many requests wait"));
            return Ok(());
        }
        let ready = self.is_active() && self.is_readable(env.now.mono) && self.waiting.is_idle();
        if ready {
            return self.serve(env, op);
        }
        self.waiting.active.push_back(op);
        Ok(())
    }

    /// True if somebody waits for the PG to serve.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.is_idle() || self.backoffs.holds_pg()
    }

    /// True if the client sends the request again when it is told to.
    fn is_held_back(&self, op: &ClientOp) -> bool {
        !self.backoffs.is_empty() && self.backoffs.holds(op.session, &target(op))
    }

    /// Carries out what waited for the PG.
    pub(crate) fn serve_waiting(&mut self, env: &mut Env<'_>) -> Step {
        if !self.is_active() || !self.is_readable(env.now.mono) {
            return Ok(());
        }
        for op in std::mem::take(&mut self.waiting.active) {
            self.serve(env, op)?;
        }
        self.lift_pg(env);
        Ok(())
    }

    /// Carries out what waited for an object.
    pub(crate) fn serve_object(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        self.expel_overdue(env, object)?;
        let head = object.head();
        if self.waiting.object.get(&head).is_some_and(|w| w.needed == *object)
            && let Some(waited) = self.waiting.object.remove(&head)
        {
            for op in waited.requests {
                self.serve(env, op)?;
            }
        }
        if !self.backoffs.is_empty() {
            self.lift_object(env, &head);
            if self.waiting.len() < env.config.waiting_max / 2 {
                self.lift_pg(env);
            }
        }
        Ok(())
    }

    /// Objects that requests wait for.
    pub(crate) fn wanted_objects(&self) -> impl Iterator<Item = &HObject> {
        self.waiting.object.values().map(|w| &w.needed)
    }

    /// The interval ended: requests whose reply has not left are taken up in the next one, if we
    /// still lead then. Those that were written are found in the log.
    pub(crate) fn requeue(&mut self, env: &mut Env<'_>, role: Role) {
        let mut all = VecDeque::new();
        if let Role::Primary(primary) = role
            && let Phase::Active(active) = primary.phase
        {
            all.extend(active.in_flight.requests());
        }
        for (_, waited) in std::mem::take(&mut self.waiting.object) {
            all.extend(waited.requests);
        }
        all.append(&mut self.waiting.copies.give_up(env));
        all.append(&mut self.waiting.room);
        all.append(&mut self.waiting.active);
        self.waiting.active = all;
    }

    fn wait_for_object(&mut self, env: &mut Env<'_>, object: &HObject, op: ClientOp) -> Step {
        let fresh = || ForObject { needed: object.clone(), requests: VecDeque::new() };
        let waiting = self.waiting.object.entry(object.head()).or_insert_with(fresh);
        waiting.requests.push_back(op);
        self.recover_now(env, object)?;
        if self.is_unfound(object) {
            self.hold_back_from(env, &object.head());
        }
        Ok(())
    }

    /// Nobody is known to have what requests on an object need: clients that know back-offs keep
    /// them.
    fn hold_back_from(&mut self, env: &mut Env<'_>, head: &HObject) {
        let Some(mut waiting) = self.waiting.object.remove(head) else { return };
        let mut sessions = BTreeSet::new();
        waiting.requests.retain(|op| {
            let held = op.knows_backoffs();
            if held {
                sessions.insert(op.session);
            }
            !held
        });
        if !waiting.requests.is_empty() {
            self.waiting.object.insert(head.clone(), waiting);
        }
        for session in sessions {
            self.back_off_object(env, session, head);
        }
    }

    pub(crate) fn serve(&mut self, env: &mut Env<'_>, op: ClientOp) -> Step {
        self.serve_with(env, op, None)
    }

    /// Carries out a request, whose source may have been gathered.
    pub(crate) fn serve_with(
        &mut self,
        env: &mut Env<'_>,
        op: ClientOp,
        copied: Option<&Copied>,
    ) -> Step {
        // For requests that have waited too: who is shut out or held back may have changed.
        if self.is_held_back(&op) {
            return Ok(());
        }
        if is_shut_out(env, &op.addr) {
            return self.reply_error(env, op, Errno::EBLOCKLISTED);
        }
        if op.message.ops.iter().any(|o| o.op.is_pg()) {
            return self.list(env, &op);
        }
        if let Err(error) = op::check_calls(&op.message) {
            return self.reply_error(env, op, error);
        }
        if let Some(error) = self.refuse(env, &op.message) {
            return self.reply_error(env, op, error);
        }
        if let Some(known) = self.log.known(&op.reqid) {
            let known = known.clone();
            return self.reply_known(env, op, &known);
        }
        let object = target(&op);
        let writes = op::may_write(&op.message);
        let full = env.config.disk_full && writes && !frees_only(&op.message);
        // See `copying`: else two copies could wait for each other for ever.
        let passes = is_fetch(&op);
        if full || !passes && self.waiting.room.iter().any(|w| target(w) == object) {
            self.wait_for_room(env, op);
            return Ok(());
        }
        let kept = if passes { Some(op) } else { self.waiting.copies.push(&object, op) };
        let Some(op) = kept else { return Ok(()) };
        if self.waiting.object.contains_key(&object)
            || self.missing.contains(&object)
            || writes && self.is_degraded(&object)
        {
            return self.wait_for_object(env, &object, op);
        }
        let head = match ObjectContext::load(env.store, &self.coll, &object)? {
            Ok(head) => head,
            Err(error) => return self.reply_error(env, op, error),
        };
        if !head.info.watchers.is_empty() && self.meet_watchers(env, &object, &head.info)? {
            // The object has changed.
            return self.serve_with(env, op, copied);
        }
        let map = Arc::clone(&env.map);
        let removed = map.removed_snaps_queue.get(&self.id.pg.pool);
        let lacks = |o: &HObject| self.missing.contains(o) || writes && self.is_degraded(o);
        let clones = op::clones_read(&op.message, &head, removed);
        let lacking = clones.map(|clone| object.with_snap(clone)).find(lacks);
        if let Some(clone) = lacking {
            return self.wait_for_object(env, &clone, op);
        }
        let shown = op::shown_to(&op.message, &head, removed);
        let context = match head.shown(env.store, &self.coll, shown)? {
            Ok(context) => context,
            Err(error) => return self.reply_error(env, op, error),
        };
        let connected = self.connected(&op, &object);
        let gets = op.message.ops.iter().any(|o| o.op == OpCode::CopyGet);
        let reqids = if gets { self.reqids_of(&context.object) } else { ReqIds::default() };
        let Some(op_env) = self.op_env(env, &map, &op) else { return Ok(()) };
        let op_env = OpEnv { connected: &connected, copied, reqids: &reqids, ..op_env };
        let outcome = op::execute(&op_env, env.store, &self.coll, &context, &op.message);
        self.conclude(env, op, object, outcome)
    }

    /// What an execution of `op` sees besides objects and watches.
    fn op_env<'a>(&'a self, env: &'a Env<'_>, map: &'a OsdMap, op: &ClientOp) -> Option<OpEnv<'a>> {
        Some(OpEnv {
            now: env.now.wall,
            pool: map.pools.get(&self.id.pg.pool)?,
            removed_snaps: map.removed_snaps_queue.get(&self.id.pg.pool),
            purged_snaps: &self.info.purged_snaps,
            version: self.next_version(),
            last_user_version: self.info.last_user_version,
            reqid: op.reqid,
            caller: (op.entity, op.addr),
            require_osd_release: env.map.require_osd_release,
            connected: &[],
            copied: None,
            reqids: &NO_REQIDS,
            next_notify: env.ids.next_notify(self.epoch),
            limits: &env.config.limits,
        })
    }

    /// Keeps a request, and so all behind it on its object, until there is room.
    fn wait_for_room(&mut self, env: &mut Env<'_>, op: ClientOp) {
        if self.waiting.room.is_empty() {
            self.log_line(env, Level::Warn, format_args!("writes wait: no room"));
        }
        self.waiting.room.push_back(op);
    }

    /// There may be room again, on the disk or in the pool.
    pub fn room_again(&mut self, env: &mut Env<'_>) -> Step {
        if self.waiting.room.is_empty() || !self.is_active() || !self.is_readable(env.now.mono) {
            return Ok(());
        }
        for op in std::mem::take(&mut self.waiting.room) {
            self.serve(env, op)?;
        }
        Ok(())
    }

    /// Cookies that a request pings and that are connected. A watch whose change is on its way is
    /// connected when the answer leaves.
    fn connected(&self, op: &ClientOp, object: &HObject) -> Vec<u64> {
        let cookies = op.message.ops.iter().filter_map(|o| match o.args {
            OpArgs::Watch { op: watch_op::PING, cookie, .. } => Some(cookie),
            _ => None,
        });
        let reachable = |cookie: &u64| {
            let watcher = (*cookie, op.entity);
            self.watches.connected(object, &watcher)
                || self.active().is_some_and(|a| a.in_flight.connects(object, &watcher))
        };
        cookies.filter(reachable).collect()
    }

    /// Errors that need no look at the object.
    fn refuse(&self, env: &Env<'_>, m: &MOsdOp) -> Option<Errno> {
        use seabed_cluster::SnapId;
        let writes = op::may_write(m);
        let bytes: u64 = m.ops.iter().map(|o| o.indata.len() as u64).sum();
        let pg = self.id.pg;
        let pool = env.map.pools.get(&pg.pool)?;
        if m.locator.pool != pg.pool || !pg.contains(pool.pg_num, m.hash) {
            // Not this PG's object: nobody aims so who does not lie.
            Some(Errno::EINVAL)
        } else if m.object.len() > 2048
            || m.locator.key.len() > 2048
            || m.locator.namespace.len() > 256
        {
            Some(Errno::ENAMETOOLONG)
        } else if m.flags & request_flag::PARALLELEXEC != 0 {
            // Built by nobody: Ceph refuses it too.
            Some(Errno::EINVAL)
        } else if m.object.is_empty() || writes && m.snap != SnapId::HEAD {
            Some(Errno::EINVAL)
        } else if bytes > env.config.write_max {
            Some(Errno::EMSGSIZE)
        } else {
            None
        }
    }

    /// Why nothing may grow in this pool, if it may not.
    fn full(&self, env: &Env<'_>) -> Option<Errno> {
        use seabed_cluster::osdmap::{flag, pool_flag};
        let pool = env.map.pools.get(&self.id.pg.pool)?;
        if pool.has_flag(pool_flag::FULL_QUOTA) {
            Some(Errno::EDQUOT)
        } else if pool.has_flag(pool_flag::FULL) || env.map.flags & flag::map::FULL != 0 {
            Some(Errno::ENOSPC)
        } else {
            None
        }
    }

    fn conclude(
        &mut self,
        env: &mut Env<'_>,
        op: ClientOp,
        object: HObject,
        mut outcome: OpOutcome,
    ) -> Step {
        if let Some(source) = outcome.copy.take() {
            self.wait_for_source(env, object, op, source);
            return Ok(());
        }
        if let Some(watch) = &outcome.watch {
            let (bytes_max, max) = (env.config.notify_bytes_max, env.config.notifies_max);
            if !self.watches.has_room(watch, bytes_max, max) {
                return self.reply_error(env, op, Errno::ENOMEM);
            }
            env.ids.notifies = env.ids.notifies.wrapping_add(watch.notifies.len() as u32);
        }
        let version = self.next_version();
        let mut reply = MOsdOpReply::to(&op.message, outcome.result, self.epoch);
        outcome.fill(&mut reply, version, (self.info.last_update, self.info.last_user_version));
        let op_returns = outcome.op_returns();
        for (level, note) in outcome.notes {
            self.log_line(env, level, format_args!("{note}"));
        }
        let Some(effect) = outcome.effect else {
            let reply = Reply { watch: outcome.watch, ..Reply::new(op, reply) };
            if outcome.record_error {
                let returned = (outcome.result, op_returns);
                return self.record_error(env, object, returned, reply);
            }
            self.info.stats.stats.sum.add(&outcome.read_stats);
            return self.reply_in_order(env, &object, reply);
        };
        if effect.grows
            && let Some(error) = self.full(env)
            && op.message.flags & request_flag::FULL_FORCE == 0
        {
            if op.message.flags & request_flag::FULL_TRY != 0 {
                return self.reply_error(env, op, error);
            }
            self.wait_for_room(env, op);
            return Ok(());
        }
        let reply = Reply { watch: outcome.watch, ..Reply::new(op, reply) };
        let change = NewChange {
            object,
            reqid: reply.request.reqid,
            entries: effect.entries,
            transaction: Some(effect.transaction),
            stats: effect.stats,
            reply: Some(reply),
        };
        self.replicate(env, change)
    }

    /// A request that failed is remembered, so that it fails in the same way when sent again.
    fn record_error(
        &mut self,
        env: &mut Env<'_>,
        object: HObject,
        (return_code, op_returns): (i32, Vec<(i32, Bytes)>),
        reply: Reply,
    ) -> Step {
        let op = &reply.request;
        let entry = PgLogEntry {
            op: LogOp::Error,
            soid: object.clone(),
            version: self.next_version(),
            reqid: op.reqid,
            mtime: op.message.mtime,
            user_version: self.info.last_user_version,
            return_code,
            op_returns,
            ..PgLogEntry::default()
        };
        let change = NewChange {
            object,
            reqid: op.reqid,
            entries: vec![entry],
            transaction: None,
            stats: ObjectStatSum::default(),
            reply: Some(reply),
        };
        self.replicate(env, change)
    }

    /// Replies to what changed nothing, behind the changes of the object that it has seen.
    fn reply_in_order(&mut self, env: &mut Env<'_>, object: &HObject, reply: Reply) -> Step {
        let reply = match self.active_mut() {
            Some(active) => active.in_flight.attach_to_object(object, reply),
            None => Some(reply),
        };
        if let Some(reply) = reply {
            self.answer(env, reply);
        }
        Ok(())
    }

    fn reply_known(&mut self, env: &mut Env<'_>, op: ClientOp, known: &Known) -> Step {
        let mut reply = MOsdOpReply::to(&op.message, known.return_code, self.epoch);
        op::set_versions(&mut reply, known.version, known.user_version);
        for (i, (rval, out)) in known.op_returns.iter().enumerate() {
            if let Some((o, r)) = reply.ops.get_mut(i) {
                *r = *rval;
                o.indata = out.clone();
            }
        }
        let reply = Reply::new(op, reply);
        let reply = match self.active_mut() {
            Some(active) => active.in_flight.attach_to_version(known.version, reply),
            None => Some(reply),
        };
        if let Some(reply) = reply {
            self.answer(env, reply);
        }
        Ok(())
    }

    pub(crate) fn reply_error(&mut self, env: &mut Env<'_>, op: ClientOp, error: Errno) -> Step {
        let reply = MOsdOpReply::to(&op.message, error.wire(), self.epoch);
        let object = target(&op);
        self.reply_in_order(env, &object, Reply::new(op, reply))
    }

    /// Listing is about the PG, not an object, and passes writes.
    fn list(&mut self, env: &mut Env<'_>, op: &ClientOp) -> Step {
        let map = Arc::clone(&env.map);
        let Some(op_env) = self.op_env(env, &map, op) else { return Ok(()) };
        let missing: Vec<HObject> = self
            .missing
            .iter()
            .filter(|(object, item)| object.is_head() && !item.is_delete())
            .map(|(object, _)| object.clone())
            .collect();
        let outcome = op::execute_pg_with(&op_env, env.store, self.id, &missing, &op.message);
        let mut reply = MOsdOpReply::to(&op.message, outcome.result, self.epoch);
        let last = (self.info.last_update, self.info.last_user_version);
        outcome.fill(&mut reply, last.0, last);
        env.out.send(Peer::Client(op.session), Packet::with_tid(op.tid, reply));
        Ok(())
    }
}

/// True if the map shuts a client out.
fn is_shut_out(env: &Env<'_>, addr: &EntityAddr) -> bool {
    #[cfg(feature = "planted-bugs")]
    if env.config.planted == Some(crate::PlantedBug::BlocklistIgnored) {
        return false;
    }
    env.map.is_blocklisted(addr)
}

/// True for requests that make room, which a full pool lets through.
fn frees_only(m: &MOsdOp) -> bool {
    m.flags & request_flag::FULL_FORCE != 0
        || m.ops.iter().filter(|o| op::writes(o)).all(|o| o.op == OpCode::Delete)
}
