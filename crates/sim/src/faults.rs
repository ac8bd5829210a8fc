//! What goes wrong, one fault after another, and its end. Every fault is one a correct cluster
//! recovers from once it has ended: disks survive their processes, and a disk is replaced only
//! while every other copy is whole.

use std::time::Duration;

use crate::net::{Line, Node};
use crate::osd_node::empty_disk;
use crate::plan::Fault;
use crate::world::{Event, World};

impl World {
    /// A fault happens, and the next one is drawn.
    pub(crate) fn fault(&mut self) {
        if !self.faulting {
            return;
        }
        let pause = self.fault_chance.millis(100, self.plan.fault_pause);
        self.later(pause, Event::Fault);
        let all = self.plan.faults.clone();
        let fault = self.fault_chance.pick(&all);
        self.trace.line(self.now, "fault", format_args!("{fault:?}"));
        self.trace.mix(&[4, self.now.0, fault as u64]);
        self.cause(fault);
    }

    fn any_osd(&mut self) -> usize {
        self.fault_chance.index(self.plan.osds)
    }

    fn any_node(&mut self) -> Node {
        let n = self.fault_chance.index(self.plan.osds * 2 + self.plan.clients + 1);
        match n {
            0 => Node::Mon,
            n if n <= self.plan.clients => Node::Client(n - 1),
            n => Node::Osd((n - self.plan.clients - 1) % self.plan.osds),
        }
    }

    fn everybody(&self) -> Vec<Node> {
        let osds = (0..self.plan.osds).map(Node::Osd);
        let clients = (0..self.plan.clients).map(Node::Client);
        std::iter::once(Node::Mon).chain(osds).chain(clients).collect()
    }

    /// Short mostly, long sometimes.
    fn span(&mut self) -> Duration {
        match self.fault_chance.below(3) {
            0 => self.fault_chance.millis(10, 1_000),
            1 => self.fault_chance.millis(500, 12_000),
            _ => self.fault_chance.millis(5_000, 45_000),
        }
    }

    fn cause(&mut self, fault: Fault) {
        if self.healing {
            self.healing = self.unsettled().is_some();
            let mild = [
                Fault::KillClient,
                Fault::KillMon,
                Fault::Reset,
                Fault::Reweight,
                Fault::Slow,
                Fault::SlowDisk,
            ];
            if self.healing && !mild.contains(&fault) {
                return;
            }
        }
        self.count(name(fault));
        match fault {
            Fault::KillOsd | Fault::PowerOff => {
                let n = self.any_osd();
                self.down_for_a_while(n, fault == Fault::PowerOff);
            }
            Fault::KillMany => {
                let n = 1 + self.fault_chance.index(self.plan.osds);
                let first = self.any_osd();
                for i in 0..n {
                    let power = self.fault_chance.one_in(2);
                    self.down_for_a_while((first + i) % self.plan.osds, power);
                }
            }
            Fault::KillMon => {
                self.kill_mon();
                let span = self.span();
                self.later(span, Event::Start(Node::Mon));
            }
            Fault::Pause => {
                let node = match self.any_node() {
                    Node::Client(_) => Node::Mon,
                    node => node,
                };
                if self.paused.insert(node) {
                    self.trace.line(self.now, node, format_args!("is stopped"));
                    let span = self.span();
                    self.later(span, Event::Resume(node));
                }
            }
            Fault::Cut | Fault::CutOneWay => self.cut(fault == Fault::CutOneWay),
            Fault::Isolate => self.isolate(),
            Fault::KillClient => {
                let n = self.fault_chance.index(self.plan.clients);
                self.kill_client(n);
            }
            Fault::Reset => {
                let line =
                    self.fault_chance.pick(&[Line::Public, Line::Cluster, Line::Mon, Line::Back]);
                let conns = self.net.conns.iter().filter(|(_, c)| c.line == line);
                let ids: Vec<u64> = conns.map(|(id, _)| *id).collect();
                if !ids.is_empty() {
                    let id = self.fault_chance.pick(&ids);
                    self.reset(id);
                }
            }
            Fault::Slow | Fault::SlowDisk => self.slow(fault == Fault::SlowDisk),
            Fault::OutIn | Fault::MarkDown | Fault::Reweight => self.administer(fault),
            Fault::NewDisk => self.new_disk(),
        }
    }

    fn down_for_a_while(&mut self, n: usize, power: bool) {
        if self.osds[n].osd.is_some() {
            self.kill_osd(n, power);
            let span = self.span();
            self.later(span, Event::Start(Node::Osd(n)));
        }
    }

    fn cut(&mut self, one_way: bool) {
        let (a, b) = (self.any_node(), self.any_node());
        if a != b {
            self.trace.line(self.now, a, format_args!("is cut from {b}, one way: {one_way}"));
            self.net.block(a, b);
            let span = self.span();
            self.later(span, Event::Heal(a, b));
            if !one_way {
                self.net.block(b, a);
                self.later(span, Event::Heal(b, a));
            }
        }
    }

    fn isolate(&mut self) {
        let node = self.any_node();
        // Clients still reach it in one of two cases: a primary that does not know of its fall.
        let clients_too = self.fault_chance.one_in(2);
        let span = self.span();
        self.trace.line(self.now, node, format_args!("is isolated, clients too: {clients_too}"));
        for other in self.everybody() {
            if other != node && (clients_too || !matches!(other, Node::Client(_))) {
                for (a, b) in [(node, other), (other, node)] {
                    self.net.block(a, b);
                    self.later(span, Event::Heal(a, b));
                }
            }
        }
    }

    fn slow(&mut self, disk: bool) {
        let span = self.span();
        let node = if disk { Node::Osd(self.any_osd()) } else { self.any_node() };
        match node {
            Node::Osd(n) if disk => {
                self.osds[n].slow_disk = self.fault_chance.between(10, 100);
            }
            node => {
                let micros = self.fault_chance.between(1_000, 1_000_000);
                self.net.slow.insert(node, micros);
            }
        }
        self.later(span, Event::Quicken(node));
    }

    fn administer(&mut self, fault: Fault) {
        let n = self.any_osd();
        let text = match fault {
            Fault::OutIn if self.fault_chance.one_in(2) => {
                format!(r#"{{"prefix":"osd out","ids":["{n}"]}}"#)
            }
            Fault::OutIn => format!(r#"{{"prefix":"osd in","ids":["{n}"]}}"#),
            Fault::MarkDown => format!(r#"{{"prefix":"osd down","ids":["{n}"]}}"#),
            _ => {
                let weight = self.fault_chance.pick(&["0.3", "0.7", "1.0"]);
                format!(r#"{{"prefix":"osd reweight","id":{n},"weight":{weight}}}"#)
            }
        };
        self.ask_mon(text);
    }

    /// An OSD comes back with nothing, if everything is whole elsewhere. It keeps its identity, so
    /// that its word counts for intervals of which it has forgotten everything: until it is whole,
    /// the other copies must stay reachable, which is what an operator has to see to.
    fn new_disk(&mut self) {
        if self.unsettled().is_some() || !self.paused.is_empty() || self.net.is_cut() {
            return;
        }
        let n = self.any_osd();
        self.count("disks replaced");
        self.healing = true;
        self.trace.line(self.now, Node::Osd(n), format_args!("gets an empty disk"));
        self.kill_osd(n, false);
        self.osds[n].store = empty_disk(n);
        let span = self.span();
        self.later(span, Event::Start(Node::Osd(n)));
    }

    pub(crate) fn start(&mut self, node: Node) {
        match node {
            Node::Mon if !self.mon.is_alive() => self.start_mon(),
            Node::Osd(n) => self.start_osd(n),
            _ => {}
        }
    }

    pub(crate) fn resume(&mut self, node: Node) {
        if !self.paused.remove(&node) {
            return;
        }
        self.trace.line(self.now, node, format_args!("goes on"));
        match node {
            Node::Mon => self.mon_resumes(),
            Node::Osd(n) => self.osd_resumes(n),
            Node::Client(_) => {}
        }
        self.unstall();
    }

    pub(crate) fn heal(&mut self, a: Node, b: Node) {
        self.net.unblock(a, b);
        self.unstall();
    }

    /// All faults end: every process runs, every way is free, every OSD is in.
    pub(crate) fn end_faults(&mut self) {
        self.faulting = false;
        self.trace.line(self.now, "fault", format_args!("all faults end"));
        self.net.unblock_all();
        for node in std::mem::take(&mut self.paused) {
            self.paused.insert(node);
            self.resume(node);
        }
        self.unstall();
        self.start(Node::Mon);
        for n in 0..self.plan.osds {
            self.osds[n].slow_disk = 1;
            self.start(Node::Osd(n));
            self.ask_mon(format!(r#"{{"prefix":"osd in","ids":["{n}"]}}"#));
            self.ask_mon(format!(r#"{{"prefix":"osd reweight","id":{n},"weight":1.0}}"#));
        }
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::KillOsd => "fault: kill osd",
        Fault::PowerOff => "fault: power off",
        Fault::KillMany => "fault: kill many",
        Fault::KillMon => "fault: kill mon",
        Fault::KillClient => "fault: kill client",
        Fault::Pause => "fault: pause",
        Fault::Cut => "fault: cut",
        Fault::CutOneWay => "fault: cut one way",
        Fault::Isolate => "fault: isolate",
        Fault::Reset => "fault: reset",
        Fault::Slow => "fault: slow link",
        Fault::SlowDisk => "fault: slow disk",
        Fault::OutIn => "fault: out or in",
        Fault::MarkDown => "fault: mark down",
        Fault::Reweight => "fault: reweight",
        Fault::NewDisk => "fault: new disk",
    }
}
