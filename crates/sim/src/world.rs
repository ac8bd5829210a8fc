//! The world: virtual time, the heap of events, and the way of a message from one rule to another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seabed_cluster::{Now, PoolId, Time, UTime, Uuid, feature};
use seabed_denc::ceph_crc32c;
use seabed_messages::Packet;

use crate::chance::Chance;
use crate::check::{Epochs, History, Primaries};
use crate::client_node::ClientNode;
use crate::mon_node::MonNode;
use crate::net::{ConnId, Due, End, Item, Line, Net, Node};
use crate::osd_node::OsdNode;
use crate::plan::Plan;
use crate::trace::{Trace, summary};
use crate::work::{Bell, Image, Tally};

/// The cluster.
pub(crate) const FSID: Uuid = Uuid([0x5e; 16]);
/// Wall time at the beginning.
const WALL: u32 = 1_790_000_000;

/// What happens at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The first message of a direction arrives.
    Deliver(ConnId, usize),
    /// An end hears that its connection is gone.
    Lost {
        conn: ConnId,
        side: usize,
        refused: bool,
    },
    /// A connection on which nothing passes breaks, if that is still so.
    Starved(ConnId),
    /// A process wants to be woken.
    Wake(End),
    /// A disk has finished something.
    Commit(End),
    /// A process calls the monitor.
    CallMon(End),
    /// A client does the next thing.
    Work(usize),
    /// Something goes wrong, or stops going wrong.
    Fault,
    Start(Node),
    Resume(Node),
    Heal(Node, Node),
    Quicken(Node),
}

/// See the module's head.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    heap: BTreeMap<(Time, u64), Event>,
    order: u64,
    pub(crate) net: Net,
    pub(crate) net_chance: Chance,
    pub(crate) disk_chance: Chance,
    pub(crate) fault_chance: Chance,
    pub(crate) work_chance: Chance,
    pub(crate) trace: Trace,
    pub(crate) mon: MonNode,
    pub(crate) osds: Vec<OsdNode>,
    pub(crate) clients: Vec<ClientNode>,
    /// The pool of all clients, once it is made.
    pub(crate) pool: Option<PoolId>,
    /// Nodes whose processes are stopped.
    pub(crate) paused: BTreeSet<Node>,
    pub(crate) history: History,
    pub(crate) primaries: Primaries,
    pub(crate) epochs: Epochs,
    pub(crate) image: Image,
    pub(crate) bell: Bell,
    pub(crate) tally: Tally,
    /// Clients begin operations.
    pub(crate) working: bool,
    /// They only end what they have begun.
    pub(crate) closing: bool,
    /// Faults may begin.
    pub(crate) faulting: bool,
    /// A replaced disk is being filled.
    pub(crate) healing: bool,
    /// The first thing that must not be.
    pub(crate) red: Option<String>,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> World {
        let chance = |stream| Chance::new(plan.seed, stream);
        World {
            now: Time(1_000_000_000),
            heap: BTreeMap::new(),
            order: 0,
            net: Net::default(),
            net_chance: chance(1),
            disk_chance: chance(2),
            fault_chance: chance(3),
            work_chance: chance(4),
            trace: Trace::new(plan.trace),
            mon: MonNode::new(&plan),
            osds: (0..plan.osds).map(OsdNode::new).collect(),
            clients: (0..plan.clients).map(|_| ClientNode::new(1)).collect(),
            pool: None,
            paused: BTreeSet::new(),
            history: History::default(),
            primaries: Primaries::default(),
            epochs: Epochs::default(),
            image: Image::new(&plan),
            bell: Bell::default(),
            tally: Tally::default(),
            working: false,
            closing: false,
            faulting: false,
            healing: false,
            red: None,
            counts: BTreeMap::new(),
            plan,
        }
    }

    /// Notes the first violation; the run ends with it.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.trace.line(self.now, "RED", format_args!("{why}"));
        self.red.get_or_insert(why);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn clock(&self) -> Now {
        let sec = WALL + (self.now.0 / 1_000_000_000) as u32;
        let nsec = (self.now.0 % 1_000_000_000) as u32;
        Now { mono: self.now, wall: UTime { sec, nsec } }
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.heap.insert((at.max(self.now), self.order), event);
    }

    pub(crate) fn later(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// A number that grows with every event: the clock of the history.
    pub(crate) fn tick_of_history(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Lets events happen until a time, or until something is red.
    pub(crate) fn run_until(&mut self, end: Time) {
        while self.red.is_none() {
            let Some(entry) = self.heap.first_entry() else { break };
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(conn, to) => self.deliver(conn, to),
            Event::Lost { conn, side, refused } => self.lost(conn, side, refused),
            Event::Starved(conn) => self.starved(conn),
            Event::Wake(end) => self.wake(end),
            Event::Commit(end) => self.commit(end),
            Event::CallMon(end) => self.call_mon(end),
            Event::Work(client) => self.work(client),
            Event::Fault => self.fault(),
            Event::Start(node) => self.start(node),
            Event::Resume(node) => self.resume(node),
            Event::Heal(a, b) => self.heal(a, b),
            Event::Quicken(node) => {
                self.net.slow.remove(&node);
                if let Node::Osd(n) = node {
                    self.osds[n].slow_disk = 1;
                }
            }
        }
    }

    /// True if this life of a process runs (a stopped one does).
    pub(crate) fn is_alive(&self, end: End) -> bool {
        match end.node {
            Node::Mon => self.mon.is_alive() && self.mon.life == end.life,
            Node::Osd(n) => self.osds[n].osd.is_some() && self.osds[n].life == end.life,
            Node::Client(n) => self.clients[n].life == end.life,
        }
    }

    fn wake(&mut self, end: End) {
        if !self.is_alive(end) || self.paused.contains(&end.node) {
            return;
        }
        match end.node {
            Node::Mon => self.mon_wakes(),
            Node::Osd(n) => self.osd_wakes(n),
            Node::Client(n) => self.client_wakes(n),
        }
    }

    fn commit(&mut self, end: End) {
        if !self.is_alive(end) || self.paused.contains(&end.node) {
            return;
        }
        match end.node {
            Node::Mon => self.mon_commits(),
            Node::Osd(n) => self.osd_commits(n),
            Node::Client(_) => {}
        }
    }

    // ---- messages ----

    fn delay(&mut self, from: Node, to: Node) -> Duration {
        let (low, high) = self.plan.delay;
        let mut micros = self.net_chance.between(low, high);
        if self.net_chance.one_in(200) {
            micros += self.net_chance.below(50_000);
        }
        for node in [from, to] {
            if let Some(slow) = self.net.slow.get(&node).copied() {
                micros += self.net_chance.below(slow);
            }
        }
        Duration::from_micros(micros)
    }

    /// Puts an item on its way to one side of a connection.
    pub(crate) fn push(&mut self, id: ConnId, to: usize, item: Item) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let (from, dest) = (conn.ends[1 - to].node, conn.ends[to].node);
        let at = self.now + self.delay(from, dest);
        if let Some(due) = self.net.push(id, to, item, at) {
            self.schedule(due);
        }
    }

    pub(crate) fn schedule(&mut self, due: Due) {
        self.at(due.at, Event::Deliver(due.conn, due.to));
    }

    /// Calls somebody.
    pub(crate) fn dial(&mut self, line: Line, from: End, to: End) -> ConnId {
        let id = self.net.dial(line, from, to);
        self.push(id, 1, Item::Opened);
        id
    }

    /// Sends a packet from one end of a connection.
    pub(crate) fn send(&mut self, id: ConnId, from: usize, packet: Packet) {
        if self.net.conns.get(&id).is_some_and(|c| c.attached[from]) {
            self.push(id, 1 - from, Item::Packet(Box::new(packet)));
        }
    }

    fn deliver(&mut self, id: ConnId, to: usize) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let (line, ends, attached) = (conn.line, conn.ends, conn.attached);
        let (from, dest) = (ends[1 - to], ends[to]);
        if self.net.is_blocked(from.node, dest.node) {
            self.net.stall(id, to);
            if line != Line::Cluster {
                let patience = self.net_chance.millis(2_000, 15_000);
                self.later(patience, Event::Starved(id));
            }
            return;
        }
        if self.paused.contains(&dest.node) && self.is_alive(dest) {
            self.net.stall(id, to);
            return;
        }
        let Some((item, next)) = self.net.pop(id, to) else { return };
        if let Some(due) = next {
            self.schedule(due);
        }
        if !attached[to] || !self.is_alive(dest) {
            // Nobody is there: the machine says so, if it has power.
            if matches!(item, Item::Opened) && self.has_power(dest.node) {
                let after = self.delay(from.node, dest.node);
                self.later(after, Event::Lost { conn: id, side: 1 - to, refused: true });
            } else if matches!(item, Item::Opened) {
                let after = self.net_chance.millis(2_000, 15_000);
                self.later(after, Event::Lost { conn: id, side: 1 - to, refused: false });
            }
            return;
        }
        match item {
            Item::Opened => self.opened(id, to, line, from, dest),
            Item::Packet(packet) => self.received(id, to, line, from, dest, *packet),
        }
    }

    fn has_power(&self, node: Node) -> bool {
        match node {
            Node::Osd(n) => self.osds[n].has_power,
            _ => true,
        }
    }

    fn opened(&mut self, id: ConnId, to: usize, line: Line, from: End, dest: End) {
        self.trace.mix(&[1, self.now.0, id, to as u64]);
        if self.trace.is_loud() {
            self.trace.line(self.now, dest.node, format_args!("< {} opens {line:?}", from.node));
        }
        if to == 1 {
            self.push(id, 0, Item::Opened);
        }
        match dest.node {
            Node::Mon => self.mon_accepts(id, from),
            Node::Osd(n) => self.osd_opened(n, id, to, line, from),
            Node::Client(n) => self.client_opened(n, id, line),
        }
    }

    /// Everything crosses the wire as bytes.
    fn received(
        &mut self,
        id: ConnId,
        to: usize,
        line: Line,
        from: End,
        dest: End,
        packet: Packet,
    ) {
        let raw = packet.encode(feature::PACIFIC_ALL);
        let sum = ceph_crc32c(raw.header.kind.into(), &raw.front);
        let sum = ceph_crc32c(sum, &raw.data);
        self.trace.mix(&[2, self.now.0, id, to as u64, raw.header.tid, sum.into()]);
        let packet = match Packet::decode(raw) {
            Ok(packet) => packet,
            Err(error) => {
                return self.fail(format!("{} from {}: {error}", packet.message.name(), from.node));
            }
        };
        if self.trace.is_loud() {
            let what = summary(&packet);
            self.trace.line(self.now, dest.node, format_args!("< {:<8} {what}", from.node));
        }
        match dest.node {
            Node::Mon => self.mon_hears(id, packet),
            Node::Osd(n) => self.osd_hears(n, id, to, line, from, packet),
            Node::Client(n) => self.client_hears(n, line, from, packet),
        }
    }

    // ---- breaks ----

    /// Breaks a connection; both ends hear of it soon.
    pub(crate) fn reset(&mut self, id: ConnId) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        if conn.line == Line::Cluster {
            // A session outlives its connection.
            let pause = self.net_chance.millis(1, 2_000);
            self.net.stutter(id, pause);
            return;
        }
        for side in 0..2 {
            let after = self.net_chance.millis(0, 300);
            self.later(after, Event::Lost { conn: id, side, refused: false });
        }
    }

    /// One end lets go; the other hears of it.
    pub(crate) fn hang_up(&mut self, id: ConnId, side: usize) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let ends = conn.ends;
        self.net.detach(id, side);
        let after = self.delay(ends[side].node, ends[1 - side].node);
        self.later(after, Event::Lost { conn: id, side: 1 - side, refused: false });
    }

    fn lost(&mut self, id: ConnId, side: usize, refused: bool) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let (line, end, other) = (conn.line, conn.ends[side], conn.ends[1 - side]);
        if !conn.attached[side] {
            return;
        }
        if self.paused.contains(&end.node) {
            self.later(Duration::from_secs(1), Event::Lost { conn: id, side, refused });
            return;
        }
        self.net.detach(id, side);
        if !self.is_alive(end) {
            return;
        }
        self.trace.mix(&[3, self.now.0, id, side as u64]);
        if self.trace.is_loud() {
            let how = if refused { "refused" } else { "lost" };
            let to = other.node;
            self.trace.line(self.now, end.node, format_args!("{line:?} to {to} is {how}"));
        }
        match end.node {
            Node::Mon => self.mon_lost(id),
            Node::Osd(n) => self.osd_lost(n, id, side, line, other, refused),
            Node::Client(n) => self.client_lost(n, line, other),
        }
    }

    fn starved(&mut self, id: ConnId) {
        let Some(conn) = self.net.conns.get(&id) else { return };
        let (a, b) = (conn.ends[0].node, conn.ends[1].node);
        if self.net.is_blocked(a, b) || self.net.is_blocked(b, a) {
            self.reset(id);
        }
    }

    /// Everything that waited for a way or for a process goes on.
    pub(crate) fn unstall(&mut self) {
        for (conn, to) in self.net.unstall() {
            let after = self.net_chance.millis(0, 20);
            self.later(after, Event::Deliver(conn, to));
        }
    }

    /// A process ends: its connections with it.
    pub(crate) fn sever(&mut self, end: End, power: bool) {
        let ids: Vec<(ConnId, usize)> =
            self.net.conns.iter().filter_map(|(id, c)| Some((*id, c.side(end)?))).collect();
        for (id, side) in ids {
            let line = self.net.conns[&id].line;
            let sent = self.net.in_flight(id, 1 - side);
            let keep = self.net_chance.index(sent + 1);
            let last = self.net.died(id, side, keep).max(self.now);
            if line == Line::Cluster {
                continue;
            }
            let after = if power { self.net_chance.millis(5_000, 20_000) } else { Duration::ZERO };
            let at = last + after + Duration::from_micros(1);
            self.at(at, Event::Lost { conn: id, side: 1 - side, refused: false });
        }
    }
}
