//! The network: connections with a queue in each direction, delays, partitions and breaks.
//!
//! Within one direction of a connection nothing overtakes; between connections everything may. A
//! connection between two lives of OSDs on the cluster line is a session: it survives breaks, and
//! what it carries arrives exactly once, until an end drops it or dies. All other connections lose
//! what is on its way when they break, and both ends hear of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use seabed_cluster::Time;
use seabed_messages::Packet;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Mon,
    Osd(usize),
    Client(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Node::Mon => "mon".to_string(),
            Node::Osd(n) => format!("osd.{n}"),
            Node::Client(n) => format!("client.{n}"),
        };
        f.pad(&text)
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    Mon,
    Cluster,
    Back,
    Front,
    Public,
}

/// A process: a machine and which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) node: Node,
    pub(crate) life: u32,
}

/// A connection's number; the acceptor's session has the same.
pub(crate) type ConnId = u64;

/// What travels.
#[derive(Debug)]
pub(crate) enum Item {
    /// The other end is there.
    Opened,
    Packet(Box<Packet>),
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    queue: VecDeque<(Time, Item)>,
    last: Time,
    scheduled: bool,
}

/// One connection; end 0 called, end 1 accepted.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) line: Line,
    pub(crate) ends: [End; 2],
    /// Ends that have not let go.
    pub(crate) attached: [bool; 2],
    /// By receiving end.
    halves: [Half; 2],
}

impl Conn {
    /// Which end a process is.
    pub(crate) fn side(&self, end: End) -> Option<usize> {
        (0..2).find(|i| self.ends[*i] == end && self.attached[*i])
    }
}

/// All connections, and what is wrong with the links.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    sessions: BTreeMap<(End, End), ConnId>,
    next: ConnId,
    /// Directions in which nothing passes.
    blocked: BTreeSet<(Node, Node)>,
    /// Extra delay of a node's links, in microseconds.
    pub(crate) slow: BTreeMap<Node, u64>,
    /// Directions with something to deliver that cannot be now.
    stalled: BTreeSet<(ConnId, usize)>,
}

/// A delivery is to be scheduled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) conn: ConnId,
    pub(crate) to: usize,
    pub(crate) at: Time,
}

impl Net {
    /// Makes a connection; the acceptor will hear of it.
    pub(crate) fn dial(&mut self, line: Line, from: End, to: End) -> ConnId {
        self.next += 1;
        let id = self.next;
        let halves = [Half::default(), Half::default()];
        self.conns.insert(id, Conn { line, ends: [from, to], attached: [true; 2], halves });
        id
    }

    /// The session of two OSDs, made if there is none.
    pub(crate) fn session(&mut self, from: End, to: End) -> (ConnId, bool) {
        let key = (from.min(to), from.max(to));
        if let Some(id) = self.sessions.get(&key) {
            return (*id, false);
        }
        let id = self.dial(Line::Cluster, from, to);
        self.sessions.insert(key, id);
        (id, true)
    }

    /// Sessions of a process with other OSDs.
    pub(crate) fn sessions_of(&self, end: End) -> Vec<(ConnId, End)> {
        let other = |k: &(End, End)| match *k {
            (a, b) if a == end => Some(b),
            (a, b) if b == end => Some(a),
            _ => None,
        };
        self.sessions.iter().filter_map(|(k, id)| other(k).map(|o| (*id, o))).collect()
    }

    /// Puts something on its way.
    pub(crate) fn push(&mut self, id: ConnId, to: usize, item: Item, at: Time) -> Option<Due> {
        let conn = self.conns.get_mut(&id)?;
        let half = &mut conn.halves[to];
        let at = at.max(Time(half.last.0 + 1));
        half.last = at;
        half.queue.push_back((at, item));
        if half.scheduled {
            return None;
        }
        half.scheduled = true;
        Some(Due { conn: id, to, at })
    }

    /// Takes the next item of a direction that is due; tells when the one after it is.
    pub(crate) fn pop(&mut self, id: ConnId, to: usize) -> Option<(Item, Option<Due>)> {
        let conn = self.conns.get_mut(&id)?;
        let half = &mut conn.halves[to];
        half.scheduled = false;
        let (_, item) = half.queue.pop_front()?;
        let next = half.queue.front().map(|(at, _)| Due { conn: id, to, at: *at });
        half.scheduled = next.is_some();
        Some((item, next))
    }

    /// True if what `to` would receive now cannot pass.
    pub(crate) fn is_blocked(&self, from: Node, to: Node) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// True if nothing passes somewhere.
    pub(crate) fn is_cut(&self) -> bool {
        !self.blocked.is_empty()
    }

    pub(crate) fn block(&mut self, from: Node, to: Node) {
        self.blocked.insert((from, to));
    }

    pub(crate) fn unblock(&mut self, from: Node, to: Node) {
        self.blocked.remove(&(from, to));
    }

    pub(crate) fn unblock_all(&mut self) {
        self.blocked.clear();
        self.slow.clear();
    }

    /// Remembers a delivery for when the way is free.
    pub(crate) fn stall(&mut self, id: ConnId, to: usize) {
        self.stalled.insert((id, to));
    }

    /// All deliveries that were stalled.
    pub(crate) fn unstall(&mut self) -> Vec<(ConnId, usize)> {
        std::mem::take(&mut self.stalled).into_iter().collect()
    }

    /// An end lets go. What it had not received is gone, and what the other has not received.
    pub(crate) fn detach(&mut self, id: ConnId, side: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.attached[side] = false;
        for half in &mut conn.halves {
            half.queue.clear();
        }
        self.forget_session(id);
        self.drop_if_free(id);
    }

    /// An end died: what is on its way to it is gone; of what it sent, only the oldest `keep`
    /// messages arrive.
    pub(crate) fn died(&mut self, id: ConnId, side: usize, keep: usize) -> Time {
        let Some(conn) = self.conns.get_mut(&id) else { return Time::ZERO };
        conn.attached[side] = false;
        conn.halves[side].queue.clear();
        let half = &mut conn.halves[1 - side];
        half.queue.truncate(keep);
        let last = half.queue.back().map_or(Time::ZERO, |(at, _)| *at);
        self.drop_if_free(id);
        last
    }

    /// Messages on their way to an end.
    pub(crate) fn in_flight(&self, id: ConnId, to: usize) -> usize {
        self.conns.get(&id).map_or(0, |c| c.halves[to].queue.len())
    }

    /// Nothing is heard at one end before that time.
    pub(crate) fn hold(&mut self, id: ConnId, to: usize, until: Time) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.halves[to].last = conn.halves[to].last.max(until);
        }
    }

    /// The link stutters: what comes next on it comes later.
    pub(crate) fn stutter(&mut self, id: ConnId, by: Duration) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for half in &mut conn.halves {
            half.last += by;
        }
    }

    fn forget_session(&mut self, id: ConnId) {
        self.sessions.retain(|_, other| *other != id);
    }

    fn drop_if_free(&mut self, id: ConnId) {
        if self.conns.get(&id).is_some_and(|c| c.attached == [false; 2]) {
            self.conns.remove(&id);
            self.forget_session(id);
        }
    }
}
