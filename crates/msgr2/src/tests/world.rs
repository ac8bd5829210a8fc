//! Two hosts that dial each other over pipes that cut, delay and break.
//!
//! A host does what a hand does: it keeps the session between connections, asks `decide` when the
//! other dials, and dials when something waits to be sent.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Buf;
use seabed_cluster::Now;

use super::{Random, accept, at, dial, limits, message, osd};
use crate::{
    Admission, CloseReason, Connection, Event, Link, Local, Policy, Refusal, Session, Verdict,
    Wish, decide,
};

/// What a host does with its one session.
pub(crate) enum Kept {
    Idle {
        session: Box<Session>,
        waiting: bool,
    },
    /// The session is in the host's end of that pipe.
    In(usize),
}

pub(crate) struct Host {
    pub(crate) local: Arc<Local>,
    pub(crate) kept: Option<Kept>,
    global_seq: u64,
    pub(crate) sent: u64,
    pub(crate) got: Vec<u64>,
    pub(crate) forgotten: u32,
    pub(crate) resumed: u32,
    pub(crate) opened: u32,
}

struct End {
    host: usize,
    conn: Connection,
    /// Bytes on their way to this end.
    arriving: VecDeque<u8>,
}

/// `ends[0]` is the dialler's. An end that is `None` has hung up.
struct Pipe {
    ends: [Option<End>; 2],
}

pub(crate) struct World {
    pub(crate) hosts: [Host; 2],
    pipes: Vec<Pipe>,
    policy: Policy,
    random: Random,
    now_ms: u64,
}

impl World {
    pub(crate) fn new(seed: u64, policy: Policy) -> Self {
        let host = |id: i64| Host {
            local: osd(id, 6800 + 10 * id as u16),
            kept: None,
            global_seq: 0,
            sent: 0,
            got: Vec::new(),
            forgotten: 0,
            resumed: 0,
            opened: 0,
        };
        let hosts = [host(0), host(1)];
        World { hosts, pipes: Vec::new(), policy, random: Random::new(seed), now_ms: 0 }
    }

    fn now(&self) -> Now {
        at(self.now_ms)
    }

    fn end(&mut self, pipe: usize, host: usize) -> &mut Option<End> {
        let ends = &mut self.pipes[pipe].ends;
        let i = ends.iter().position(|e| e.as_ref().is_some_and(|e| e.host == host));
        &mut ends[i.unwrap_or(0)]
    }

    /// The host's owner has something to say.
    pub(crate) fn send(&mut self, h: usize) {
        let n = self.hosts[h].sent + 1;
        let m = message(n, self.random.below(3) * 700);
        let fresh = self.random.next() | 1;
        let lossy = self.policy.lossy;
        let idle = || Kept::Idle { session: Box::new(Session::new(lossy, fresh)), waiting: false };
        let taken = match self.hosts[h].kept.get_or_insert_with(idle) {
            Kept::Idle { session, .. } => session.push(m, &limits()),
            Kept::In(pipe) => {
                let pipe = *pipe;
                self.end(pipe, h).as_mut().unwrap().conn.send(m)
            }
        };
        taken.unwrap();
        self.hosts[h].sent = n;
    }

    pub(crate) fn dial(&mut self, h: usize) {
        match self.hosts[h].kept.take() {
            Some(Kept::Idle { session, .. }) if session.has_backlog() => {
                self.hosts[h].global_seq += 1;
                let (a, b) = (&self.hosts[h], &self.hosts[1 - h]);
                let d = dial(&a.local, &b.local, &self.policy, a.global_seq);
                let conn = Connection::dial(self.now(), d, *session, limits(), false);
                let server = accept(&b.local, &self.policy);
                let server = Connection::accept(self.now(), server, limits(), false);
                let end = |host, conn| Some(End { host, conn, arriving: VecDeque::new() });
                self.pipes.push(Pipe { ends: [end(h, conn), end(1 - h, server)] });
                self.hosts[h].kept = Some(Kept::In(self.pipes.len() - 1));
            }
            other => self.hosts[h].kept = other,
        }
    }

    /// The host's memory is lost: it starts again with no session.
    pub(crate) fn amnesia(&mut self, h: usize) {
        self.hosts[h].kept = None;
        for p in 0..self.pipes.len() {
            for e in 0..2 {
                if self.pipes[p].ends[e].as_ref().is_some_and(|end| end.host == h) {
                    self.pipes[p].ends[e] = None;
                }
            }
        }
    }

    /// An end reads, and takes in what comes of it.
    fn read(&mut self, p: usize, e: usize, max: usize) {
        let now = self.now();
        let other_gone = self.pipes[p].ends[1 - e].is_none();
        let Some(end) = &mut self.pipes[p].ends[e] else { return };
        let n = end.arriving.len().min(max);
        let (piece, _) = end.arriving.as_slices();
        let taken = end.conn.handle_bytes(now, &piece[..n.min(piece.len())]);
        end.arriving.drain(..taken);
        if other_gone && end.arriving.is_empty() {
            end.conn.close(CloseReason::Transport);
        }
        while let Some(end) = &mut self.pipes[p].ends[e]
            && let Some(event) = end.conn.poll_event(now)
        {
            let host = end.host;
            self.on_event(p, e, host, event);
        }
    }

    fn write(&mut self, p: usize, e: usize, max: usize) {
        let now = self.now();
        let [a, b] = &mut self.pipes[p].ends;
        let (from, to) = if e == 0 { (a, b) } else { (b, a) };
        let Some(from) = from else { return };
        let tx = from.conn.transmit(now);
        let n = tx.remaining().min(max);
        let bytes = tx.copy_to_bytes(n);
        if let Some(to) = to {
            to.arriving.extend(bytes);
        }
    }

    fn on_event(&mut self, p: usize, e: usize, h: usize, event: Event) {
        match event {
            Event::Message(m) => self.hosts[h].got.push(m.header.tid),
            Event::SessionForgotten => self.hosts[h].forgotten += 1,
            Event::GlobalSeq(n) => self.hosts[h].global_seq = self.hosts[h].global_seq.max(n),
            Event::Ready { resumed, .. } => {
                self.hosts[h].opened += 1;
                self.hosts[h].resumed += u32::from(resumed);
            }
            Event::SessionRequest(request) => self.on_request(p, e, h, request),
            Event::Closed(reason) => {
                let end = self.pipes[p].ends[e].take().unwrap();
                if matches!(self.hosts[h].kept, Some(Kept::In(q)) if q == p) {
                    let session = Box::new(end.conn.into_session().unwrap());
                    let waiting = reason == CloseReason::Wait;
                    let lossy = session.is_lossy();
                    let kept = Kept::Idle { session, waiting };
                    self.hosts[h].kept = (!lossy).then_some(kept);
                }
            }
            Event::Announced(_) | Event::KeepaliveAck(_) => {}
        }
    }

    fn on_request(&mut self, p: usize, e: usize, h: usize, request: crate::SessionRequest) {
        let now = self.now();
        let mine = self.hosts[h].local.addrs.0[0];
        let kept = self.hosts[h].kept.take();
        let verdict = match &kept {
            None => decide(None, &request, &mine),
            Some(Kept::Idle { session, waiting }) => {
                let about_to_dial = *waiting || session.has_backlog();
                let link = if about_to_dial { Link::Dialling } else { Link::Standby };
                decide(Some((session, link)), &request, &mine)
            }
            Some(Kept::In(q)) => {
                let q = *q;
                let conn = &self.end(q, h).as_ref().unwrap().conn;
                let link = if conn.is_open() { Link::Open } else { Link::Dialling };
                decide(Some((conn.session().unwrap(), link)), &request, &mine)
            }
        };
        if let Verdict::Refuse(refusal) = verdict {
            self.hosts[h].kept = kept;
            let conn = &mut self.pipes[p].ends[e].as_mut().unwrap().conn;
            conn.refuse(refusal);
            if refusal == Refusal::Stale {
                assert!(conn.close_reason().is_some());
            }
            return;
        }
        let session = match kept {
            None => None,
            Some(Kept::Idle { session, .. }) => Some(*session),
            Some(Kept::In(q)) => self.end(q, h).take().unwrap().conn.into_session(),
        };
        let fresh = self.random.next() | 1;
        let session = match (verdict, session) {
            (Verdict::Begin, _) | (_, None) => Session::new(self.policy.lossy, fresh),
            (_, Some(session)) => session,
        };
        self.hosts[h].global_seq += 1;
        let global_seq = self.hosts[h].global_seq;
        let begin = |forget| Admission::Begin { forget, server_cookie: fresh, global_seq };
        let how = match verdict {
            Verdict::Resume => Admission::Resume,
            Verdict::Adopt { forget } => begin(forget),
            Verdict::Begin | Verdict::Refuse(_) => begin(false),
        };
        assert_eq!(how_resumes(&how), matches!(request.wish, Wish::Resume { .. }));
        let conn = &mut self.pipes[p].ends[e].as_mut().unwrap().conn;
        conn.admit(now, session, how);
        self.hosts[h].kept = Some(Kept::In(p));
    }

    /// One random act. `faults`: also break things.
    pub(crate) fn act(&mut self, faults: bool) {
        self.now_ms += 1;
        let choice = self.random.below(if faults { 1000 } else { 900 });
        let h = self.random.below(2);
        match choice {
            0..40 => self.dial(h),
            40..900 => {
                let max = 1 << self.random.below(14);
                if let Some(p) = self.some_pipe() {
                    if choice.is_multiple_of(2) {
                        self.read(p, h, max)
                    } else {
                        self.write(p, h, max)
                    }
                }
            }
            900..990 => self.send(h),
            _ => {
                if let Some(p) = self.some_pipe() {
                    self.reset(p);
                }
            }
        }
        for pipe in &self.pipes {
            for end in pipe.ends.iter().flatten() {
                if let Some(session) = end.conn.session() {
                    session.check_invariants();
                }
            }
        }
        if self.pipes.len() > 64 {
            self.forget_old_pipes();
        }
    }

    /// A pipe that somebody still holds.
    fn some_pipe(&mut self) -> Option<usize> {
        let live = |p: &usize| self.pipes[*p].ends.iter().any(Option::is_some);
        let live: Vec<usize> = (0..self.pipes.len()).filter(live).collect();
        (!live.is_empty()).then(|| live[self.random.below(live.len())])
    }

    /// What was on the way is lost, in both directions.
    fn reset(&mut self, p: usize) {
        for end in self.pipes[p].ends.iter_mut().flatten() {
            end.arriving.clear();
            end.conn.close(CloseReason::Transport);
        }
        self.read(p, 0, 0);
        self.read(p, 1, 0);
    }

    /// Removes pipes at the front that both ends have left.
    fn forget_old_pipes(&mut self) {
        let dead = self.pipes.iter().take_while(|p| p.ends.iter().all(Option::is_none)).count();
        self.pipes.drain(..dead);
        for host in &mut self.hosts {
            if let Some(Kept::In(p)) = &mut host.kept {
                *p -= dead;
            }
        }
    }

    /// No more faults: everything that can be delivered is.
    pub(crate) fn settle(&mut self) {
        for _ in 0..400 {
            self.now_ms += 1;
            self.dial(0);
            self.dial(1);
            for p in 0..self.pipes.len() {
                for e in 0..2 {
                    self.write(p, e, usize::MAX);
                    for _ in 0..4 {
                        self.read(p, e, usize::MAX);
                    }
                }
            }
        }
    }

    pub(crate) fn backlog(&mut self, h: usize) -> usize {
        match self.hosts[h].kept {
            None => 0,
            Some(Kept::Idle { ref session, .. }) => session.backlog_messages(),
            Some(Kept::In(p)) => {
                let end = self.end(p, h).as_ref().unwrap();
                end.conn.session().unwrap().backlog_messages()
            }
        }
    }
}

fn how_resumes(how: &Admission) -> bool {
    matches!(how, Admission::Resume)
}
