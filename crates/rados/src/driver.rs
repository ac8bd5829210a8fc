//! The task that owns the rule and the messenger: one loop, one owner, bounded queues.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use seabed_cluster::{
    EntityAddr, EntityAddrVec, EntityType, Now, OsdAddrs, OsdId, OsdMap, Time, UTime, feature,
};
use seabed_denc::Bytes;
use seabed_messages::Packet;
use seabed_messenger::{ConnId, Event, Messenger, Policy};
use seabed_objecter::{
    Failure, Input, MonAnswer, MonRequest, Notified, Objecter, OpReply, OpRequest, OpTarget,
    Output, RequestId, WatchEvent,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// A caller's wish.
#[derive(Debug)]
pub(crate) enum Command {
    Op {
        ticket: u64,
        request: Box<OpRequest>,
        answer: oneshot::Sender<Result<OpReply, Failure>>,
    },
    Ask {
        ticket: u64,
        request: MonRequest,
        answer: oneshot::Sender<MonAnswer>,
    },
    /// The ticket names the watch until it is cancelled.
    Watch {
        ticket: u64,
        on: OpTarget,
        events: mpsc::Sender<(RequestId, WatchEvent)>,
    },
    Unwatch {
        ticket: u64,
        watch: u64,
        answer: oneshot::Sender<Result<OpReply, Failure>>,
    },
    Notify {
        ticket: u64,
        on: OpTarget,
        timeout: u32,
        payload: Bytes,
        answer: oneshot::Sender<Notified>,
    },
    NotifyAck {
        ticket: u64,
        watch: u64,
        notify: u64,
        reply: Bytes,
        answer: oneshot::Sender<Result<OpReply, Failure>>,
    },
    Shutdown,
}

/// Tickets whose callers went away.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    tickets: Mutex<Vec<u64>>,
    notify: Notify,
}

impl Cancelled {
    pub(crate) fn add(&self, ticket: u64) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.notify.notify_one();
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.tickets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
enum Waiting {
    Op(oneshot::Sender<Result<OpReply, Failure>>),
    Ask(oneshot::Sender<MonAnswer>),
    Notify(oneshot::Sender<Notified>),
    Watch(mpsc::Sender<(RequestId, WatchEvent)>),
}

/// Pauses between attempts to reach a monitor.
const HUNT_PAUSE: Duration = Duration::from_millis(250);
/// A monitor that does not open a session in this time is given up for the next.
const HUNT_PATIENCE: Duration = Duration::from_secs(10);

/// See the module's head.
pub(crate) struct Driver {
    pub(crate) objecter: Objecter,
    pub(crate) messenger: Messenger,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) cancelled: Arc<Cancelled>,
    pub(crate) map: watch::Sender<Option<Arc<OsdMap>>>,
    pub(crate) mons: Vec<SocketAddr>,
    mon_index: usize,
    mon: Option<(ConnId, bool)>,
    hunt_at: Option<Instant>,
    osds: BTreeMap<OsdId, ConnId>,
    conns: BTreeMap<ConnId, OsdId>,
    features: BTreeMap<ConnId, u64>,
    waiting: BTreeMap<RequestId, (u64, Waiting)>,
    tickets: BTreeMap<u64, RequestId>,
    started: Instant,
}

impl Driver {
    pub(crate) fn new(
        objecter: Objecter,
        (messenger, events): (Messenger, mpsc::Receiver<Event>),
        commands: mpsc::Receiver<Command>,
        cancelled: Arc<Cancelled>,
        map: watch::Sender<Option<Arc<OsdMap>>>,
        mons: Vec<SocketAddr>,
    ) -> Self {
        Driver {
            objecter,
            messenger,
            events,
            commands,
            cancelled,
            map,
            mons,
            mon_index: 0,
            mon: None,
            hunt_at: None,
            osds: BTreeMap::new(),
            conns: BTreeMap::new(),
            features: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tickets: BTreeMap::new(),
            started: Instant::now(),
        }
    }

    /// Runs until shut down or until nobody holds the client any more.
    pub(crate) async fn run(mut self) {
        self.dial_mon();
        let cancelled = Arc::clone(&self.cancelled);
        loop {
            let mut out = Vec::new();
            let wake_at = self.wake_at();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => self.command(command, &mut out),
                },
                event = self.events.recv() => match event {
                    Some(event) => self.event(event, &mut out),
                    None => break,
                },
                () = cancelled.notify.notified() => self.forget_cancelled(&mut out),
                () = sleep_until(wake_at) => self.tick(&mut out),
            }
            self.perform(out);
        }
        self.messenger.shutdown();
    }

    fn now(&self) -> Now {
        let mono = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Time(mono), wall: wall() }
    }

    fn wake_at(&self) -> Option<Instant> {
        let due = self.objecter.wake_at().map(|t| self.started + Duration::from_nanos(t.0));
        [due, self.hunt_at].into_iter().flatten().min()
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        if self.hunt_at.is_some_and(|t| t <= Instant::now()) {
            if let Some((conn, _)) = self.mon.take() {
                self.messenger.mark_down(conn);
            }
            self.mon_index = (self.mon_index + 1) % self.mons.len();
            self.dial_mon();
        }
        let now = self.now();
        self.objecter.step(now, Input::Tick, out);
    }

    fn dial_mon(&mut self) {
        let addrs = EntityAddrVec::from(EntityAddr::msgr2(self.mons[self.mon_index], 0));
        let conn = self.messenger.connect(&addrs, EntityType::Mon, Policy::to_mon());
        self.mon = Some((conn, false));
        self.hunt_at = Some(Instant::now() + HUNT_PATIENCE);
    }

    fn command(&mut self, command: Command, out: &mut Vec<Output>) {
        let now = self.now();
        let (ticket, id, waiting) = match command {
            Command::Op { ticket, request, answer } => {
                (ticket, self.objecter.submit(now, *request, out), Waiting::Op(answer))
            }
            Command::Ask { ticket, request, answer } => {
                (ticket, self.objecter.ask(request, out), Waiting::Ask(answer))
            }
            Command::Watch { ticket, on, events } => {
                (ticket, self.objecter.watch(now, on, 0, out), Waiting::Watch(events))
            }
            Command::Notify { ticket, on, timeout, payload, answer } => {
                let id = self.objecter.notify(now, on, timeout, &payload, out);
                (ticket, id, Waiting::Notify(answer))
            }
            // Of a watch that is over nothing is answered: the sender goes, and the caller knows.
            Command::Unwatch { ticket, watch, answer } => {
                let Some(id) = self.tickets.remove(&watch) else { return };
                self.waiting.remove(&id);
                let Some(id) = self.objecter.unwatch(now, id, out) else { return };
                (ticket, id, Waiting::Op(answer))
            }
            Command::NotifyAck { ticket, watch, notify, reply, answer } => {
                let Some(id) = self.tickets.get(&watch) else { return };
                let Some(id) = self.objecter.notify_ack(now, *id, notify, &reply, out) else {
                    return;
                };
                (ticket, id, Waiting::Op(answer))
            }
            Command::Shutdown => return,
        };
        self.waiting.insert(id, (ticket, waiting));
        self.tickets.insert(ticket, id);
    }

    fn forget_cancelled(&mut self, out: &mut Vec<Output>) {
        for ticket in self.cancelled.take() {
            if let Some(id) = self.tickets.remove(&ticket) {
                match self.waiting.remove(&id) {
                    Some((_, Waiting::Watch(_))) => self.give_up(id, out),
                    _ => self.objecter.cancel(id),
                }
            }
        }
    }

    /// Ends a watch whose owner is gone; nobody waits for the answer.
    fn give_up(&mut self, id: RequestId, out: &mut Vec<Output>) {
        let now = self.now();
        self.objecter.unwatch(now, id, out);
    }

    /// Hands an event to the owner of a watch. One who takes none for too long loses the watch.
    fn watch_event(&mut self, id: RequestId, event: WatchEvent, out: &mut Vec<Output>) {
        let over = matches!(event, WatchEvent::Lost(_));
        let Some((ticket, Waiting::Watch(events))) = self.waiting.get(&id) else { return };
        let taken = events.try_send((id, event)).is_ok();
        if over || !taken {
            let ticket = *ticket;
            self.waiting.remove(&id);
            self.tickets.remove(&ticket);
        }
        if !over && !taken {
            self.give_up(id, out);
        }
    }

    fn event(&mut self, event: Event, out: &mut Vec<Output>) {
        let conn = event.conn();
        let is_mon = self.mon.is_some_and(|(mon, _)| mon == conn);
        let now = self.now();
        match event {
            Event::Opened { peer, .. } => {
                self.features.insert(conn, peer.features);
                if is_mon {
                    self.mon = Some((conn, true));
                    self.hunt_at = None;
                    self.objecter.step(now, Input::MonOpened, out);
                }
            }
            Event::Message { message, budget, .. } => {
                match Packet::decode(message) {
                    Ok(packet) if is_mon => {
                        self.objecter.step(now, Input::FromMon(packet), out);
                    }
                    Ok(packet) => {
                        if let Some(osd) = self.conns.get(&conn) {
                            self.objecter.step(now, Input::FromOsd(*osd, packet), out);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%conn, %error, "a message was not understood");
                        self.messenger.mark_down(conn);
                        self.lost(conn, now, out);
                    }
                }
                drop(budget);
            }
            Event::Unreachable { .. } | Event::Reset { .. } | Event::Forgotten { .. } => {
                self.lost(conn, now, out);
            }
        }
    }

    fn lost(&mut self, conn: ConnId, now: Now, out: &mut Vec<Output>) {
        self.features.remove(&conn);
        if self.mon.is_some_and(|(mon, _)| mon == conn) {
            self.mon = None;
            self.hunt_at = Some(Instant::now() + HUNT_PAUSE);
            self.objecter.step(now, Input::MonLost, out);
        } else if let Some(osd) = self.conns.remove(&conn) {
            self.osds.remove(&osd);
            self.objecter.step(now, Input::OsdLost(osd), out);
        }
    }

    fn perform(&mut self, out: Vec<Output>) {
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                Output::ToMon(packet) => {
                    if let Some((conn, true)) = self.mon {
                        self.send(conn, &packet);
                    }
                }
                Output::ToOsd(osd, addrs, packet) => {
                    let conn = self.osd_conn(osd, &addrs);
                    self.send(conn, &packet);
                }
                Output::CloseOsd(osd) => {
                    if let Some(conn) = self.osds.remove(&osd) {
                        self.conns.remove(&conn);
                        self.messenger.mark_down(conn);
                    }
                }
                Output::Done(id, result) => {
                    if let Some((ticket, Waiting::Op(answer))) = self.waiting.remove(&id) {
                        self.tickets.remove(&ticket);
                        // The caller may be gone; then nobody wants to know.
                        let _ = answer.send(result);
                    }
                }
                Output::Answered(id, result) => {
                    if let Some((ticket, Waiting::Ask(answer))) = self.waiting.remove(&id) {
                        self.tickets.remove(&ticket);
                        let _ = answer.send(result);
                    }
                }
                Output::Watch(id, event) => {
                    let mut more = Vec::new();
                    self.watch_event(id, event, &mut more);
                    out.extend(more);
                }
                Output::Notified(id, result) => {
                    if let Some((ticket, Waiting::Notify(answer))) = self.waiting.remove(&id) {
                        self.tickets.remove(&ticket);
                        let _ = answer.send(result);
                    }
                }
                Output::Note(text) => tracing::warn!("{text}"),
            }
        }
        self.publish_map();
    }

    fn publish_map(&self) {
        let newest = self.objecter.map();
        self.map.send_if_modified(|known| {
            let newer = newest.map(|m| m.epoch) != known.as_ref().map(|m| m.epoch);
            if newer {
                *known = newest.cloned();
            }
            newer
        });
    }

    fn osd_conn(&mut self, osd: OsdId, addrs: &OsdAddrs) -> ConnId {
        if let Some(conn) = self.osds.get(&osd) {
            return *conn;
        }
        let conn = self.messenger.connect(&addrs.client, EntityType::Osd, Policy::to_osd());
        self.osds.insert(osd, conn);
        self.conns.insert(conn, osd);
        conn
    }

    fn send(&self, conn: ConnId, packet: &Packet) {
        let features = self.features.get(&conn).copied().unwrap_or(feature::PACIFIC_ALL);
        if let Err(error) = self.messenger.send(conn, packet.encode(features)) {
            // A session that cannot take it ends, its reset follows, and the rule sends again.
            tracing::debug!(%conn, %error, "not sent");
        }
    }
}

/// Wall time for stamps.
pub(crate) fn wall() -> UTime {
    UTime::from_since_1970(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
