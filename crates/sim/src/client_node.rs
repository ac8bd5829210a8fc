//! A client: the objecter as its driver runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::{EntityAddr, OsdId, Time, feature};
use seabed_messages::Packet;
use seabed_objecter::{
    Config, Failure, Input, MonAnswer, MonRequest, Objecter, OpReply, Output, RequestId,
};

use crate::net::{ConnId, End, Line, Node};
use crate::osd_node::life_of;
use crate::work::{Ask, Mind};
use crate::world::{Event, FSID, World};

/// How long a client waits before it calls an OSD again that did not answer.
const PAUSE: Duration = Duration::from_millis(200);

/// See the module's head.
pub(crate) struct ClientNode {
    pub(crate) objecter: Objecter,
    pub(crate) life: u32,
    pub(crate) mon: Option<ConnId>,
    osds: BTreeMap<OsdId, (ConnId, u32)>,
    /// OSDs that were lost are not called before.
    not_before: BTreeMap<OsdId, Time>,
    /// Operations on their way.
    pub(crate) pending: BTreeMap<RequestId, Ask>,
    /// Answers of the monitor.
    pub(crate) answers: BTreeMap<RequestId, MonAnswer>,
    /// What it is about to do.
    pub(crate) mind: Mind,
    wake_at: Option<Time>,
}

/// Where a client is.
pub(crate) fn addr(client: usize, life: u32) -> EntityAddr {
    EntityAddr {
        kind: seabed_cluster::AddrKind::Any,
        nonce: life,
        addr: Some(([10, 0, 2, client as u8], 0).into()),
    }
}

/// The id that the monitor gives to a client; each life has another.
pub(crate) fn global_id(client: usize, life: u32) -> i64 {
    4100 + client as i64 + 1000 * i64::from(life)
}

impl ClientNode {
    /// A process that has just started.
    pub(crate) fn new(life: u32) -> ClientNode {
        let config =
            Config { fsid: FSID, incarnation: 1, features: feature::PACIFIC_ALL, op_timeout: None };
        ClientNode {
            objecter: Objecter::new(config),
            life,
            mon: None,
            osds: BTreeMap::new(),
            not_before: BTreeMap::new(),
            pending: BTreeMap::new(),
            answers: BTreeMap::new(),
            mind: Mind::default(),
            wake_at: None,
        }
    }
}

impl World {
    pub(crate) fn client_end(&self, n: usize) -> End {
        End { node: Node::Client(n), life: self.clients[n].life }
    }

    /// A client dies, and another begins in its place.
    pub(crate) fn kill_client(&mut self, n: usize) {
        let end = self.client_end(n);
        self.trace.line(self.now, end.node, format_args!("dies"));
        self.clients[n] = ClientNode::new(end.life + 1);
        self.epochs.client_starts(n);
        self.sever(end, false);
        let end = self.client_end(n);
        self.later(Duration::ZERO, Event::CallMon(end));
    }

    fn client_step(&mut self, n: usize, input: Input) {
        let now = self.clock();
        let mut out = Vec::new();
        self.clients[n].objecter.step(now, input, &mut out);
        self.client_performs(n, out);
        let epoch = self.clients[n].objecter.map().map(|m| m.epoch);
        if let Err(why) = self.epochs.client(n, epoch.unwrap_or_default()) {
            self.fail(why);
        }
    }

    pub(crate) fn client_performs(&mut self, n: usize, out: Vec<Output>) {
        let me = self.client_end(n);
        for output in out {
            if !self.is_alive(me) {
                // It has ended itself.
                return;
            }
            match output {
                Output::ToMon(packet) => {
                    if let Some(id) = self.clients[n].mon {
                        self.send(id, 0, packet);
                    }
                }
                Output::ToOsd(osd, addrs, packet) => {
                    let life = life_of(&addrs.client);
                    let id = self.client_calls(n, osd, life);
                    self.send(id, 0, packet);
                }
                Output::CloseOsd(osd) => {
                    if let Some((id, _)) = self.clients[n].osds.remove(&osd) {
                        self.hang_up(id, 0);
                    }
                }
                Output::Done(request, result) => self.client_is_answered(n, request, result),
                Output::Answered(request, answer) => {
                    self.clients[n].answers.insert(request, answer);
                }
                Output::Watch(id, event) => self.watch_says(n, id, event),
                Output::Notified(id, end) => self.notify_is_over(n, id, end),
                Output::Note(text) => {
                    self.trace.line(self.now, me.node, format_args!("  {text}"));
                    self.fail(format!("client.{n}: {text}"));
                }
            }
        }
        self.client_timer(n);
    }

    fn client_timer(&mut self, n: usize) {
        let end = self.client_end(n);
        let client = &mut self.clients[n];
        if let Some(at) = client.objecter.wake_at()
            && client.wake_at.is_none_or(|known| at < known)
        {
            client.wake_at = Some(at);
            self.at(at, Event::Wake(end));
        }
    }

    fn client_calls(&mut self, n: usize, osd: OsdId, life: u32) -> ConnId {
        if let Some((id, known)) = self.clients[n].osds.get(&osd).copied() {
            if known == life {
                return id;
            }
            self.hang_up(id, 0);
        }
        let me = self.client_end(n);
        let to = End { node: Node::Osd(osd.0 as usize), life };
        let id = self.net.dial(Line::Public, me, to);
        if let Some(until) = self.clients[n].not_before.get(&osd) {
            self.net.hold(id, 1, *until);
        }
        self.push(id, 1, crate::net::Item::Opened);
        self.clients[n].osds.insert(osd, (id, life));
        id
    }

    fn client_is_answered(
        &mut self,
        n: usize,
        request: RequestId,
        result: Result<OpReply, Failure>,
    ) {
        let Some(what) = self.clients[n].pending.remove(&request) else {
            return self.fail(format!("client.{n}: {request:?} is answered twice"));
        };
        self.count("operations answered");
        self.trace.line(self.now, Node::Client(n), format_args!("  {request:?} is answered"));
        let done = match result {
            Ok(reply) => self.answered(n, what, &reply),
            Err(why) => Err(format!("{request:?} failed: {why:?}")),
        };
        if let Err(why) = done {
            self.fail(format!("client.{n}: {why}"));
        }
    }

    pub(crate) fn client_opened(&mut self, n: usize, id: ConnId, line: Line) {
        if line == Line::Mon && self.clients[n].mon == Some(id) {
            self.client_step(n, Input::MonOpened);
        }
    }

    pub(crate) fn client_hears(&mut self, n: usize, line: Line, from: End, packet: Packet) {
        match (line, from.node) {
            (Line::Mon, _) => self.client_step(n, Input::FromMon(packet)),
            (_, Node::Osd(o)) => {
                let osd = OsdId(o as i32);
                if self.clients[n].osds.get(&osd).is_some_and(|(_, life)| *life == from.life) {
                    self.client_step(n, Input::FromOsd(osd, packet));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn client_lost(&mut self, n: usize, line: Line, other: End) {
        match (line, other.node) {
            (Line::Mon, _) => {
                self.clients[n].mon = None;
                self.client_step(n, Input::MonLost);
                let end = self.client_end(n);
                self.later(Duration::from_millis(250), Event::CallMon(end));
            }
            (_, Node::Osd(o)) => {
                let osd = OsdId(o as i32);
                if self.clients[n].osds.get(&osd).is_some_and(|(_, life)| *life == other.life) {
                    self.clients[n].osds.remove(&osd);
                    let until = self.now + PAUSE;
                    self.clients[n].not_before.insert(osd, until);
                    self.client_step(n, Input::OsdLost(osd));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn client_wakes(&mut self, n: usize) {
        if self.clients[n].wake_at.is_some_and(|at| at <= self.now) {
            self.clients[n].wake_at = None;
            self.client_step(n, Input::Tick);
        }
    }

    /// Asks the monitor something, as the administrator.
    pub(crate) fn ask_mon(&mut self, text: String) -> RequestId {
        self.trace.line(self.now, Node::Client(0), format_args!("asks {text}"));
        self.ask_mon_as(0, MonRequest::Command { text, input: bytes::Bytes::new() })
    }

    /// A client asks the monitor something.
    pub(crate) fn ask_mon_as(&mut self, n: usize, request: MonRequest) -> RequestId {
        let mut out = Vec::new();
        let id = self.clients[n].objecter.ask(request, &mut out);
        self.client_performs(n, out);
        id
    }
}
