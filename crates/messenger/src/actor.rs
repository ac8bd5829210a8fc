//! The task of one session: it owns the session, and its connection while there is one.
//!
//! ```text
//! dialled ─▶ Dial ─▶ Connected ─▶ (lossy) Over
//!             ▲ │        │
//!             │ ▼        ▼ (lossless, nothing to send)
//!            Pause     Standby ─▶ Dial when something is to be sent
//! called ────────▶ Connected, out of any state, if `decide` lets the caller in
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use seabed_cephx::{ClientAuth, Towards};
use seabed_cluster::{EntityAddr, EntityAddrVec, EntityType};
use seabed_msgr2::{
    Admission, CloseReason, Connection, Dial, Event as ConnEvent, Link, Peer, Policy, Session,
    SessionRequest, Verdict, decide,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::event::{ConnId, Event};
use crate::greet::{Incoming, greet_again};
use crate::handle::Inner;
use crate::outbox::Shared;
use crate::throttle::{Budget, Throttle, acquire};
use crate::wire::Wire;

/// TCP must answer within this; the handshake has its own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Callers of the same addresses that wait for this task; one is usual, two a race.
const INCOMING_MAX: usize = 4;
/// Reads in a row before other tasks of the thread get their turn.
const READS_MAX: u32 = 32;

/// Whom to dial.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) addrs: EntityAddrVec,
    pub(crate) kind: EntityType,
    pub(crate) policy: Policy,
}

impl Target {
    fn addr(&self) -> EntityAddr {
        self.addrs.msgr2().or(self.addrs.0.first()).copied().unwrap_or_default()
    }
}

pub(crate) struct Actor {
    inner: Arc<Inner>,
    id: ConnId,
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Incoming>,
    /// The key in the table of sessions.
    addrs: EntityAddrVec,
    target: Option<Target>,
    throttle: Option<Throttle>,
    peer: Option<Peer>,
    /// A caller whose session begins when this one has ended.
    successor: Option<Incoming>,
}

enum State {
    Idle {
        session: Session,
        why: Idle,
        attempt: u32,
    },
    Connected {
        wire: Box<Wire>,
        dialled: bool,
        attempt: u32,
    },
    /// `None`: the owner wished it.
    Over(Option<CloseReason>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    Dial,
    Pause(Instant),
    Standby,
}

type Acquiring = Pin<Box<dyn Future<Output = Budget> + Send>>;

impl Actor {
    fn new(inner: &Arc<Inner>, addrs: EntityAddrVec, lossy: bool, target: Option<Target>) -> Self {
        let (tx, incoming) = mpsc::channel(INCOMING_MAX);
        let shared = Arc::new(Shared::new(lossy, tx));
        let id = inner.next_conn();
        inner.conns.insert(id, shared.clone());
        let throttle = inner.config.peer_bytes_max.map(Throttle::new);
        let (inner, peer, successor) = (inner.clone(), None, None);
        Actor { inner, id, shared, incoming, addrs, target, throttle, peer, successor }
    }

    pub(crate) fn id(&self) -> ConnId {
        self.id
    }

    /// A session that begins by dialling.
    pub(crate) fn dial(inner: &Arc<Inner>, target: Target) -> (EntityAddrVec, ConnId) {
        let session = Session::new(target.policy.lossy, cookie());
        let addrs = target.addrs.clone();
        let actor = Actor::new(inner, addrs.clone(), target.policy.lossy, Some(target));
        let id = actor.id;
        tokio::spawn(actor.run(State::Idle { session, why: Idle::Dial, attempt: 0 }));
        (addrs, id)
    }

    /// A session that begins by being called; spawn it once it is in the table.
    pub(crate) fn of_caller(inner: &Arc<Inner>, request: &SessionRequest) -> Self {
        Actor::new(inner, request.addrs.clone(), request.lossy, None)
    }

    pub(crate) fn spawn_accepted(self, wire: Wire, verdict: Verdict) {
        let lossy = wire.conn.request().is_none_or(|r| r.lossy);
        let state = self.admit(Box::new(wire), Session::new(lossy, cookie()), verdict);
        tokio::spawn(self.run(state));
    }

    async fn run(mut self, mut state: State) {
        let reason = loop {
            state = match state {
                State::Idle { session, why, attempt } => self.idle(session, why, attempt).await,
                State::Connected { wire, dialled, attempt } => {
                    self.drive(wire, dialled, attempt).await
                }
                State::Over(reason) => break reason,
            };
        };
        self.shared.lock().close();
        self.inner.forget(self.id, &self.addrs);
        if let Some(reason) = reason {
            let (conn, peer) = (self.id, self.peer.take());
            tracing::debug!(%conn, %reason, "session over");
            self.emit(Event::Reset { conn, peer, reason }).await;
        }
        self.incoming.close();
        while let Some(incoming) = self.successor.take().or_else(|| self.incoming.try_recv().ok()) {
            greet_again(self.inner.clone(), incoming.wire);
        }
    }

    /// False if nobody listens any more.
    async fn emit(&self, event: Event) -> bool {
        self.inner.events.send(event).await.is_ok()
    }

    /// What the owner wishes; `Some` ends the session.
    fn wishes(&self) -> Option<Option<CloseReason>> {
        let s = self.shared.lock();
        if s.mark_down {
            return Some(None);
        }
        s.overflow.then_some(Some(CloseReason::SlowPeer))
    }

    async fn idle(&mut self, session: Session, why: Idle, attempt: u32) -> State {
        self.shared.lock().held_by_task(session.backlog_bytes(), session.backlog_messages());
        let until = match why {
            Idle::Pause(until) => until,
            Idle::Dial | Idle::Standby => Instant::now(),
        };
        let target = self.target.clone();
        let connecting = async {
            let addr = target.as_ref().and_then(|t| t.addr().addr);
            let Some(addr) = addr else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
            timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await?
        };
        tokio::pin!(connecting);
        loop {
            if let Some(over) = self.wishes() {
                return State::Over(over);
            }
            if why == Idle::Standby && !self.shared.lock().is_empty() {
                return State::Idle { session, why: Idle::Dial, attempt: 0 };
            }
            tokio::select! {
                () = self.shared.notify.notified() => {}
                Some(incoming) = self.incoming.recv() => {
                    let link = match why {
                        Idle::Standby => Link::Standby,
                        Idle::Dial | Idle::Pause(_) => Link::Dialling,
                    };
                    match self.judge(incoming, &session, link) {
                        Judged::Refused => {}
                        Judged::Over => return State::Over(Some(CloseReason::Replaced)),
                        Judged::In(wire, verdict) => return self.admit(wire, session, verdict),
                    }
                }
                () = sleep_until(until), if matches!(why, Idle::Pause(_)) => {
                    return State::Idle { session, why: Idle::Dial, attempt };
                }
                connected = &mut connecting, if why == Idle::Dial => {
                    return match connected {
                        Ok(stream) => self.dialled(stream, session, attempt),
                        Err(error) => self.unreachable(session, attempt, Some(error)).await,
                    };
                }
            }
        }
    }

    fn dialled(&self, stream: TcpStream, session: Session, attempt: u32) -> State {
        let Some(target) = &self.target else {
            return State::Over(None);
        };
        let towards = if target.kind == EntityType::Mon { Towards::Mon } else { Towards::Service };
        let name = self.inner.config.auth_name.clone();
        let dial = Dial {
            local: self.inner.local(),
            policy: target.policy.clone(),
            target: target.addr(),
            expect: target.kind,
            auth: ClientAuth::none(name, self.inner.global_id(), towards),
            global_seq: self.inner.next_global_seq(),
            fresh_cookie: cookie(),
        };
        let now = self.inner.clock.now();
        let conn = Connection::dial(now, dial, session, self.inner.limits.clone(), true);
        let wire = Box::new(Wire::new(stream, conn, self.inner.clock));
        State::Connected { wire, dialled: true, attempt }
    }

    /// An attempt to dial has failed.
    async fn unreachable(&self, session: Session, attempt: u32, error: Option<io::Error>) -> State {
        let refused = error.is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        let last = session.is_lossy();
        let (conn, addrs) = (self.id, self.addrs.clone());
        if last {
            self.inner.forget(conn, &addrs);
        }
        let told = self.emit(Event::Unreachable { conn, addrs, refused, last }).await;
        if last || !told { State::Over(None) } else { self.pause(session, attempt) }
    }

    fn pause(&self, session: Session, attempt: u32) -> State {
        let config = &self.inner.config;
        let pause = config.backoff_min.saturating_mul(1 << attempt.min(16));
        let why = Idle::Pause(Instant::now() + pause.min(config.backoff_max));
        State::Idle { session, why, attempt: attempt + 1 }
    }

    fn judge(&mut self, incoming: Incoming, session: &Session, link: Link) -> Judged {
        let mut wire = incoming.wire;
        let Some(request) = wire.conn.request() else {
            return Judged::Refused;
        };
        let mine = self.inner.local().addrs.0.first().copied().unwrap_or_default();
        match decide(Some((session, link)), request, &mine) {
            Verdict::Refuse(refusal) => {
                wire.conn.refuse(refusal);
                greet_again(self.inner.clone(), wire);
                Judged::Refused
            }
            Verdict::Begin => {
                self.successor = Some(Incoming { wire });
                Judged::Over
            }
            verdict => Judged::In(Box::new(wire), verdict),
        }
    }

    fn admit(&self, mut wire: Box<Wire>, session: Session, verdict: Verdict) -> State {
        let how = match verdict {
            Verdict::Resume => Admission::Resume,
            Verdict::Adopt { forget } => self.begin(forget),
            Verdict::Begin | Verdict::Refuse(_) => self.begin(false),
        };
        wire.conn.admit(self.inner.clock.now(), session, how);
        State::Connected { wire, dialled: false, attempt: 0 }
    }

    fn begin(&self, forget: bool) -> Admission {
        let global_seq = self.inner.next_global_seq();
        Admission::Begin { forget, server_cookie: cookie(), global_seq }
    }

    /// Runs a connection to its end.
    async fn drive(&mut self, mut wire: Box<Wire>, dialled: bool, attempt: u32) -> State {
        let mut run = Run { dialled, ..Run::default() };
        let events = self.inner.events.clone();
        loop {
            if let Some(over) = self.wishes() {
                return State::Over(over);
            }
            self.pass_on(&mut wire);
            let more = self.pump(&mut wire, &mut run);
            wire.write();
            self.account(&wire);
            if run.closed.is_some() {
                return self.closed(*wire, run, attempt).await;
            }
            if wire.conn.close_reason().is_some() {
                run.acquiring = None;
            }
            if more || (wire.conn.close_reason().is_some() && run.pending.is_none()) {
                tokio::task::yield_now().await;
                continue;
            }
            let read = run.pending.is_none() && run.acquiring.is_none();
            tokio::select! {
                () = wire.ready(read) => {}
                () = self.shared.notify.notified() => {}
                Some(incoming) = self.incoming.recv() => {
                    let link = if wire.conn.is_open() { Link::Open } else { Link::Dialling };
                    let Some(session) = wire.conn.session() else { continue };
                    match self.judge(incoming, session, link) {
                        Judged::Refused => {}
                        Judged::Over => return State::Over(Some(CloseReason::Replaced)),
                        Judged::In(new, verdict) => {
                            if let Some(event) = run.pending.take() {
                                self.emit(event).await;
                            }
                            return match wire.conn.into_session() {
                                Some(session) => self.admit(new, session, verdict),
                                None => State::Over(Some(CloseReason::Replaced)),
                            };
                        }
                    }
                }
                room = events.reserve(), if run.pending.is_some() => {
                    match (room, run.pending.take()) {
                        (Ok(room), Some(event)) => room.send(event),
                        _ => return State::Over(None),
                    }
                }
                budget = waiting(&mut run.acquiring), if run.acquiring.is_some() => {
                    run.acquiring = None;
                    run.budget = Some(budget);
                    wire.conn.grant();
                }
            }
        }
    }

    /// Messages and wishes of the owner go to the connection.
    fn pass_on(&self, wire: &mut Wire) {
        let (messages, keepalive) = {
            let mut s = self.shared.lock();
            (s.take(), std::mem::take(&mut s.keepalive))
        };
        for message in messages {
            // Sizes were checked and the backlog was counted where the owner could be told.
            let sent = wire.conn.send(message);
            debug_assert!(sent.is_ok() || wire.conn.close_reason().is_some(), "{sent:?}");
        }
        if keepalive {
            wire.conn.keepalive(self.inner.clock.now());
        }
    }

    fn account(&self, wire: &Wire) {
        if let Some(s) = wire.conn.session() {
            let bytes = s.backlog_bytes() + wire.conn.transmit_bytes();
            self.shared.lock().held_by_task(bytes, s.backlog_messages());
        }
    }

    /// Reads and delivers until one of the two would wait. True if there is more to do.
    fn pump(&mut self, wire: &mut Wire, run: &mut Run) -> bool {
        let mut reads = 0;
        while run.pending.is_none() && run.acquiring.is_none() && run.closed.is_none() {
            match wire.conn.poll_event(self.inner.clock.now()) {
                Some(event) => self.on_event(event, wire, run),
                None if reads == READS_MAX => return true,
                None if wire.read() => reads += 1,
                // A read that failed has closed the connection, and said so in an event.
                None if wire.conn.close_reason().is_none() => return false,
                None => {}
            }
        }
        false
    }

    fn on_event(&mut self, event: ConnEvent, wire: &mut Wire, run: &mut Run) {
        let conn = self.id;
        let event = match event {
            ConnEvent::Announced(bytes) => {
                let limits = (self.throttle.clone(), self.inner.total.clone());
                match limits {
                    (None, None) => wire.conn.grant(),
                    (peer, total) => run.acquiring = Some(Box::pin(acquire(peer, total, bytes))),
                }
                return;
            }
            ConnEvent::Message(message) => {
                let budget = run.budget.take().unwrap_or_default();
                Event::Message { conn, message, budget }
            }
            ConnEvent::Ready { peer, own, resumed } => {
                run.opened = true;
                self.inner.learn_addrs(own);
                self.opened(&peer, wire, run.dialled);
                Event::Opened { conn, peer, incoming: !run.dialled, resumed }
            }
            ConnEvent::SessionForgotten => Event::Forgotten { conn },
            ConnEvent::GlobalSeq(n) => {
                self.inner.raise_global_seq(n);
                return;
            }
            ConnEvent::Closed(reason) => {
                run.closed = Some(reason);
                return;
            }
            ConnEvent::KeepaliveAck(_) | ConnEvent::SessionRequest(_) => return,
        };
        if let Err(mpsc::error::TrySendError::Full(event)) = self.inner.events.try_send(event) {
            run.pending = Some(event);
        }
    }

    fn opened(&mut self, peer: &Peer, wire: &Wire, dialled: bool) {
        let lossy = wire.conn.session().is_none_or(Session::is_lossy);
        self.shared.lock().set_lossy(lossy);
        if dialled && peer.name.kind == EntityType::Mon {
            self.inner.learn_global_id(peer.auth.global_id);
        }
        if !lossy && self.target.is_none() {
            let kind = peer.name.kind;
            let addrs = self.addrs.clone();
            let policy = self.inner.policies.of(kind).cloned();
            self.target = policy.map(|policy| Target { addrs, kind, policy });
        }
        self.peer = Some(peer.clone());
    }

    async fn closed(&mut self, wire: Wire, run: Run, attempt: u32) -> State {
        if let Some(event) = run.pending {
            self.emit(event).await;
        }
        let reason = run.closed.unwrap_or(CloseReason::Local);
        let conn = self.id;
        let Some(session) = wire.conn.into_session() else {
            return State::Over(Some(reason));
        };
        tracing::debug!(%conn, %reason, "connection closed");
        if session.is_lossy() {
            return match run.dialled && !run.opened {
                true => self.unreachable(session, attempt, None).await,
                false => State::Over(Some(reason)),
            };
        }
        if reason == CloseReason::Wait {
            return self.pause(session, attempt);
        }
        if !run.opened {
            return self.unreachable(session, attempt, None).await;
        }
        let why = if session.has_backlog() { Idle::Dial } else { Idle::Standby };
        State::Idle { session, why, attempt: 0 }
    }
}

/// The outcome for a caller of the same addresses.
enum Judged {
    Refused,
    /// This session is over, the caller begins another.
    Over,
    In(Box<Wire>, Verdict),
}

/// What a connection has under way.
#[derive(Default)]
struct Run {
    dialled: bool,
    opened: bool,
    /// An event that found no room.
    pending: Option<Event>,
    /// A message that waits for room under the throttles.
    acquiring: Option<Acquiring>,
    /// The room of the message that is being read.
    budget: Option<Budget>,
    closed: Option<CloseReason>,
}

async fn waiting(acquiring: &mut Option<Acquiring>) -> Budget {
    match acquiring {
        Some(acquiring) => acquiring.await,
        None => std::future::pending().await,
    }
}

/// Names a session on this side; never 0.
fn cookie() -> u64 {
    rand::random::<u64>() | 1
}
