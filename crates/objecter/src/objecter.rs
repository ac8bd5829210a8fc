//! The rule itself: requests in, messages out, answers matched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seabed_cluster::{
    Epoch, Errno, HObject, Now, OsdAddrs, OsdId, OsdMap, PoolId, SpgId, Time, UTime, Uuid,
};
use seabed_messages::{MOsdBackoff, MOsdOp, MOsdOpReply, Message, Packet, backoff_op};

use crate::backoff::{Backoffs, covers};
use crate::linger::{Linger, Notified, Owner, WatchEvent};
use crate::maps::{Advance, Maps};
use crate::monitor::{self, MonAnswer, MonRequest};
use crate::operation::{OpReply, OpRequest, OpTarget};
use crate::target::{self, NoPool, Target};

/// Names a request of the caller; also its tid on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What does not change during the life of an objecter.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster, zero if it is not known: then it is learnt from the first map, and requests
    /// wait for that, since monitors refuse those of another cluster.
    pub fsid: Uuid,
    /// Distinguishes restarts of a client that keeps its global id.
    pub incarnation: i32,
    /// Our features, told to OSDs.
    pub features: u64,
    /// An operation older than this fails with ETIMEDOUT; `None`: it waits for ever.
    pub op_timeout: Option<std::time::Duration>,
}

/// What happens to an objecter.
#[derive(Debug)]
pub enum Input {
    /// A session with a monitor is open.
    MonOpened,
    /// It is gone.
    MonLost,
    /// A monitor said something.
    FromMon(Packet),
    /// The caller follows the maps itself: these came, oldest first. Then it needs no monitor, as
    /// long as it submits nothing for pools that the newest lacks.
    Maps(Vec<Arc<OsdMap>>),
    /// An OSD said something.
    FromOsd(OsdId, Packet),
    /// The session with an OSD is gone; what was sent on it may be lost.
    OsdLost(OsdId),
    /// Time went by.
    Tick,
}

/// What the door must do, in order.
#[derive(Debug)]
pub enum Output {
    /// Send on the open monitor session.
    ToMon(Packet),
    /// Send to an OSD, opening a session with these addresses if there is none.
    ToOsd(OsdId, Arc<OsdAddrs>, Packet),
    /// Close the session with an OSD: it is down or has other addresses now.
    CloseOsd(OsdId),
    /// An operation is answered, or failed here.
    Done(RequestId, Result<OpReply, Failure>),
    /// A watch says something.
    Watch(RequestId, WatchEvent),
    /// A notify is over.
    Notified(RequestId, Notified),
    /// The monitor answered.
    Answered(RequestId, MonAnswer),
    /// For the log.
    Note(String),
}

/// Why an operation ended without an answer from an OSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no such pool in the newest map.
    NoPool,
    /// It took too long.
    TimedOut,
}

impl Failure {
    /// As librados names it.
    pub fn errno(self) -> Errno {
        match self {
            Failure::NoPool => Errno::ENOENT,
            Failure::TimedOut => Errno::ETIMEDOUT,
        }
    }
}

#[derive(Debug)]
struct Op {
    owner: Owner,
    request: OpRequest,
    target: Option<Target>,
    /// The OSD it was sent to and not lost since.
    sent_to: Option<OsdId>,
    sent_epoch: Epoch,
    attempts: i32,
    deadline: Option<Time>,
}

#[derive(Debug, Default)]
struct Session {
    addrs: Arc<OsdAddrs>,
    backoffs: Backoffs,
}

/// See the crate's head.
#[derive(Debug)]
pub struct Objecter {
    config: Config,
    maps: Maps,
    mon_open: bool,
    subscribed_from: Option<Epoch>,
    next: u64,
    ops: BTreeMap<RequestId, Op>,
    sessions: BTreeMap<OsdId, Session>,
    mon_requests: BTreeMap<RequestId, MonRequest>,
    /// Pools that operations name and the map lacks, with the version query that will tell.
    unknown_pools: BTreeMap<PoolId, RequestId>,
    pub(crate) lingers: BTreeMap<RequestId, Linger>,
    /// The time of the present step.
    pub(crate) now: Now,
}

impl Objecter {
    /// Without map and without sessions.
    pub fn new(config: Config) -> Self {
        Objecter {
            config,
            maps: Maps::default(),
            mon_open: false,
            subscribed_from: None,
            next: 1,
            ops: BTreeMap::new(),
            sessions: BTreeMap::new(),
            mon_requests: BTreeMap::new(),
            unknown_pools: BTreeMap::new(),
            lingers: BTreeMap::new(),
            now: Now { mono: Time::ZERO, wall: UTime::ZERO },
        }
    }

    /// The newest map.
    pub fn map(&self) -> Option<&Arc<OsdMap>> {
        self.maps.newest()
    }

    /// Operations without an answer.
    pub fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// When [`Input::Tick`] is due: the earliest deadline or ping.
    pub fn wake_at(&self) -> Option<Time> {
        self.ops.values().filter_map(|op| op.deadline).chain(self.ping_at()).min()
    }

    /// Starts an operation; [`Output::Done`] will name the returned id.
    pub fn submit(&mut self, now: Now, request: OpRequest, out: &mut Vec<Output>) -> RequestId {
        self.now = now;
        self.submit_owned(request, Owner::Caller, out)
    }

    pub(crate) fn submit_owned(
        &mut self,
        request: OpRequest,
        owner: Owner,
        out: &mut Vec<Output>,
    ) -> RequestId {
        let id = self.fresh_id();
        let deadline = self.config.op_timeout.map(|t| self.now.mono + t);
        let op = Op {
            owner,
            request,
            target: None,
            sent_to: None,
            sent_epoch: Epoch(0),
            attempts: 0,
            deadline,
        };
        self.ops.insert(id, op);
        self.aim(id, out);
        id
    }

    /// True if an operation of this owner is not answered.
    pub(crate) fn owns(&self, owner: Owner) -> bool {
        self.ops.values().any(|op| op.owner == owner)
    }

    /// Forgets operations that a watch or notify does not need any more.
    pub(crate) fn drop_owned(&mut self, whose: impl Fn(Owner) -> bool) {
        self.ops.retain(|_, op| !whose(op.owner));
    }

    /// Forgets an operation, or a notify; its answer will be ignored.
    pub fn cancel(&mut self, id: RequestId) {
        self.ops.remove(&id);
        self.drop_linger(id);
        self.mon_requests.remove(&id);
    }

    /// Asks the monitor; [`Output::Answered`] will name the returned id.
    pub fn ask(&mut self, request: MonRequest, out: &mut Vec<Output>) -> RequestId {
        let id = self.fresh_id();
        if let Some(fsid) = self.fsid().filter(|_| self.mon_open) {
            out.push(Output::ToMon(request.packet(id, fsid)));
        }
        self.mon_requests.insert(id, request);
        id
    }

    /// Takes one input to its end.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        self.now = now;
        match input {
            Input::MonOpened => self.mon_opened(out),
            Input::MonLost => {
                self.mon_open = false;
                self.subscribed_from = None;
            }
            Input::FromMon(packet) => self.heard_mon(packet, out),
            Input::Maps(maps) => {
                if self.maps.follow(maps) == Advance::Newer {
                    self.map_changed(out);
                }
            }
            Input::FromOsd(osd, packet) => self.heard_osd(osd, packet, out),
            Input::OsdLost(osd) => self.osd_lost(osd, out),
            Input::Tick => self.tick(out),
        }
    }

    pub(crate) fn fresh_id(&mut self) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        id
    }

    fn mon_opened(&mut self, out: &mut Vec<Output>) {
        self.mon_open = true;
        self.subscribe(out);
        self.ask_again(out);
    }

    /// The cluster's id, as far as it is known.
    fn fsid(&self) -> Option<Uuid> {
        let told = Some(self.config.fsid).filter(|f| *f != Uuid::default());
        told.or_else(|| self.maps.newest().map(|m| m.fsid))
    }

    fn ask_again(&self, out: &mut Vec<Output>) {
        let Some(fsid) = self.fsid().filter(|_| self.mon_open) else { return };
        for (id, request) in &self.mon_requests {
            out.push(Output::ToMon(request.packet(*id, fsid)));
        }
    }

    fn subscribe(&mut self, out: &mut Vec<Output>) {
        let epoch = self.maps.epoch();
        let start = if epoch.0 == 0 { epoch } else { Epoch(epoch.0 + 1) };
        if self.mon_open && self.subscribed_from != Some(start) {
            self.subscribed_from = Some(start);
            out.push(Output::ToMon(monitor::subscribe(start)));
        }
    }

    fn heard_mon(&mut self, packet: Packet, out: &mut Vec<Output>) {
        if let Message::OsdMap(message) = &packet.message {
            self.take_map(message, out);
            return;
        }
        let Some((id, answer)) = monitor::answer(&packet) else { return };
        if self.mon_requests.remove(&id).is_none() {
            return;
        }
        let pool = self.unknown_pools.iter().find(|(_, query)| **query == id).map(|(p, _)| *p);
        match (pool, answer) {
            (Some(pool), MonAnswer::Version { newest, .. }) => {
                self.unknown_pools.remove(&pool);
                self.judge_pool(pool, newest, out);
            }
            (_, answer) => out.push(Output::Answered(id, answer)),
        }
    }

    /// The monitor's newest map has this number: a pool that ours lacks does not exist if ours is
    /// as new.
    fn judge_pool(&mut self, pool: PoolId, newest: u64, out: &mut Vec<Output>) {
        if self.maps.newest().is_some_and(|m| m.pools.contains_key(&pool)) {
            return;
        }
        if u64::from(self.maps.epoch().0) < newest {
            // The subscription brings the map; then every operation is aimed again.
            self.subscribe(out);
            return;
        }
        let lost: Vec<RequestId> = self.ids_of(|op| op.request.target.pool() == pool);
        for id in lost {
            self.fail(id, Failure::NoPool, out);
        }
    }

    fn fail(&mut self, id: RequestId, failure: Failure, out: &mut Vec<Output>) {
        let Some(op) = self.ops.remove(&id) else { return };
        match op.owner {
            Owner::Caller => out.push(Output::Done(id, Err(failure))),
            owner => self.step_done(owner, None, Err(failure.errno()), out),
        }
    }

    fn ids_of(&self, wanted: impl Fn(&Op) -> bool) -> Vec<RequestId> {
        self.ops.iter().filter(|(_, op)| wanted(op)).map(|(id, _)| *id).collect()
    }

    fn take_map(&mut self, message: &seabed_messages::MOsdMap, out: &mut Vec<Output>) {
        let knew = self.fsid().is_some();
        let advance = self.maps.take(message);
        if !knew {
            self.ask_again(out);
        }
        match advance {
            Advance::Nothing => {}
            Advance::Newer => self.map_changed(out),
            Advance::Gap(_) => {
                self.map_changed(out);
                self.subscribed_from = None;
                self.subscribe(out);
            }
            Advance::Broken(why) => out.push(Output::Note(format!("an OSDMap was refused: {why}"))),
        }
    }

    /// Follows every map up to the newest: an operation whose target was another one on the way is
    /// sent again, since its primary may have dropped it in between.
    fn map_changed(&mut self, out: &mut Vec<Output>) {
        for map in self.maps.passed() {
            self.close_stale(&map, out);
            self.lingers_see(&map);
            for op in self.ops.values_mut().filter(|op| op.sent_epoch < map.epoch) {
                if let Ok(target) = Target::of(&map, &op.request)
                    && op.target.as_ref() != Some(&target)
                {
                    op.target = Some(target);
                    op.sent_to = None;
                }
            }
        }
        let Some(map) = self.maps.newest().cloned() else { return };
        self.close_stale(&map, out);
        self.lingers_see(&map);
        if self.maps.jumped() {
            self.ops.values_mut().for_each(|op| op.sent_to = None);
            self.lingers_lose_all();
        }
        for id in self.ids_of(|_| true) {
            self.aim(id, out);
        }
        self.renew_lingers(out);
    }

    /// Closes sessions with OSDs that are down in a map or have other addresses there.
    fn close_stale(&mut self, map: &OsdMap, out: &mut Vec<Output>) {
        let gone: Vec<OsdId> = self
            .sessions
            .iter()
            .filter(|(osd, s)| !map.is_up(**osd) || map.addrs(**osd) != Some(&*s.addrs))
            .map(|(osd, _)| *osd)
            .collect();
        for osd in gone {
            self.sessions.remove(&osd);
            out.push(Output::CloseOsd(osd));
            self.forget_sent(osd);
        }
    }

    fn forget_sent(&mut self, osd: OsdId) {
        self.lingers_lose(osd);
        for op in self.ops.values_mut().filter(|op| op.sent_to == Some(osd)) {
            op.sent_to = None;
        }
    }

    fn osd_lost(&mut self, osd: OsdId, out: &mut Vec<Output>) {
        self.sessions.remove(&osd);
        self.forget_sent(osd);
        for id in self.ids_of(|op| op.target.as_ref().and_then(|t| t.primary) == Some(osd)) {
            self.aim(id, out);
        }
        self.renew_lingers(out);
    }

    /// Computes where the operation goes now, and sends it if that is a change or it was never
    /// sent.
    fn aim(&mut self, id: RequestId, out: &mut Vec<Output>) {
        let Some(map) = self.maps.newest().cloned() else { return };
        let Some(op) = self.ops.get_mut(&id) else { return };
        let target = match Target::of(&map, &op.request) {
            Ok(target) => target,
            Err(NoPool) => {
                let pool = op.request.target.pool();
                op.sent_to = None;
                self.question_pool(pool, out);
                return;
            }
        };
        let forced = map
            .pools
            .get(&target.pg.pool)
            .is_some_and(|p| p.force_op_resend(self.config.features) > op.sent_epoch);
        if op.target.as_ref() != Some(&target) || forced {
            op.sent_to = None;
        }
        op.target = Some(target);
        if op.sent_to.is_none() && !target::must_wait(&map, &op.request) {
            self.send(id, &map, out);
        }
    }

    fn question_pool(&mut self, pool: PoolId, out: &mut Vec<Output>) {
        if !self.unknown_pools.contains_key(&pool) {
            let query = self.ask(MonRequest::Version { what: "osdmap".into() }, out);
            self.unknown_pools.insert(pool, query);
        }
    }

    fn send(&mut self, id: RequestId, map: &OsdMap, out: &mut Vec<Output>) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        if op.attempts > 0 && op.owner != Owner::Caller {
            let owner = op.owner;
            self.ops.remove(&id);
            return self.replace_step(owner, out);
        }
        let Some(target) = &op.target else { return };
        let Some(osd) = target.primary else { return };
        let Some(addrs) = map.addrs(osd) else { return };
        let session = self.sessions.entry(osd).or_insert_with(|| Session {
            addrs: Arc::new(addrs.clone()),
            backoffs: Backoffs::default(),
        });
        let object = target::hobject(&op.request, target.hash);
        if session.backoffs.holds(target.spg(), object.as_ref()) {
            return;
        }
        let message = wire_op(&self.config, map.epoch, op, target);
        op.sent_to = Some(osd);
        op.sent_epoch = map.epoch;
        op.attempts += 1;
        let packet =
            Packet::with_tid(id.0, message).at_priority(seabed_messages::priority::CLIENT_OP);
        out.push(Output::ToOsd(osd, Arc::clone(&session.addrs), packet));
    }

    fn heard_osd(&mut self, osd: OsdId, packet: Packet, out: &mut Vec<Output>) {
        match &packet.message {
            Message::OsdOpReply(reply) => self.reply(osd, RequestId(packet.tid), reply, out),
            Message::OsdMap(message) => self.take_map(message, out),
            Message::OsdBackoff(message) => self.back_off(osd, message, out),
            Message::WatchNotify(message) => self.heard_watch(message, out),
            _ => {}
        }
    }

    fn reply(&mut self, osd: OsdId, id: RequestId, reply: &MOsdOpReply, out: &mut Vec<Output>) {
        let Some(op) = self.ops.get(&id) else { return };
        // An answer to an earlier attempt belongs to a session or interval that is over.
        let current = reply.retry_attempt < 0 || reply.retry_attempt == op.attempts - 1;
        if op.sent_to != Some(osd) || !current {
            return;
        }
        let Some(op) = self.ops.remove(&id) else { return };
        let reply = OpReply {
            result: reply.result,
            ops: reply.ops.iter().map(|(op, rval)| (*rval, op.indata.clone())).collect(),
            user_version: reply.user_version,
        };
        match op.owner {
            Owner::Caller => out.push(Output::Done(id, Ok(reply))),
            owner => self.step_done(owner, op.sent_to.zip(op.target), Ok(reply), out),
        }
    }

    fn back_off(&mut self, osd: OsdId, message: &MOsdBackoff, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&osd) else { return };
        match message.op {
            backoff_op::BLOCK => {
                let (begin, end) = (message.begin.clone(), message.end.clone());
                session.backoffs.block(message.pg, message.id, begin, end);
                let ack = MOsdBackoff { op: backoff_op::ACK_BLOCK, ..message.clone() };
                out.push(Output::ToOsd(osd, Arc::clone(&session.addrs), ack.into()));
                self.unsend(osd, message.pg, &message.begin, &message.end);
            }
            backoff_op::UNBLOCK => {
                session.backoffs.lift(message.pg, message.id);
                let held = self.ids_of(|op| {
                    op.sent_to.is_none()
                        && op.target.as_ref().is_some_and(|t| t.spg() == message.pg)
                });
                for id in held {
                    self.aim(id, out);
                }
            }
            _ => {}
        }
    }

    /// The OSD has dropped what it holds back: those operations count as not sent.
    fn unsend(&mut self, osd: OsdId, pg: SpgId, begin: &HObject, end: &HObject) {
        for op in self.ops.values_mut().filter(|op| op.sent_to == Some(osd)) {
            let Some(target) = op.target.as_ref().filter(|t| t.spg() == pg) else { continue };
            let inside =
                target::hobject(&op.request, target.hash).is_none_or(|o| covers(begin, end, &o));
            if inside {
                op.sent_to = None;
            }
        }
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let late: BTreeSet<RequestId> =
            self.ids_of(|op| op.deadline.is_some_and(|d| d <= now.mono)).into_iter().collect();
        for id in late {
            self.fail(id, Failure::TimedOut, out);
        }
        self.ping_watches(out);
    }
}

fn wire_op(config: &Config, epoch: Epoch, op: &Op, target: &Target) -> MOsdOp {
    let request = &op.request;
    let object = match &request.target {
        OpTarget::Object { name, .. } => name.clone(),
        OpTarget::Pg { .. } => Default::default(),
    };
    MOsdOp {
        pg: target.spg(),
        hash: target.hash,
        epoch,
        flags: request.wire_flags(op.attempts),
        client_inc: config.incarnation,
        mtime: request.mtime,
        locator: target::locator(&request.target),
        object,
        ops: request.ops.clone(),
        snap: request.snap,
        snap_seq: request.snap_context.0,
        snaps: request.snap_context.1.clone(),
        retry_attempt: op.attempts,
        features: config.features,
        ..MOsdOp::default()
    }
}
