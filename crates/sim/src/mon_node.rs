//! The monitor with its disk, as its shell runs it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use seabed_cluster::{
    EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId, OsdMap, Time, UTime, feature,
};
use seabed_messages::Packet;
use seabed_mon::map_log::EmbeddedLog;
use seabed_mon::{
    Input, Mkfs, MonConfig, Monitor, Outbox, Output, Peer, SessionDoor, SessionId, mkfs,
};
use seabed_storage::mem::MemKv;
use seabed_storage::{Batch, CommitId, KeyValue, KvError, KvPairs};

use crate::client_node::global_id;
use crate::net::{ConnId, End, Node};
use crate::osd_node::addrs;
use crate::plan::Plan;
use crate::world::{Event, FSID, World};

/// The disk, which outlives the process.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Rc<RefCell<MemKv>>);

impl KeyValue for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, KvError> {
        self.0.borrow().get(key)
    }
    fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<KvPairs, KvError> {
        self.0.borrow().scan(from, to, max)
    }
    fn last(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<(bytes::Bytes, bytes::Bytes)>, KvError> {
        self.0.borrow().last(from, to)
    }
    fn submit(&mut self, batch: Batch) -> Result<CommitId, KvError> {
        self.0.borrow_mut().submit(batch)
    }
    fn completed(&mut self) -> Result<CommitId, KvError> {
        self.0.borrow_mut().completed()
    }
    fn write(&mut self, batch: Batch) -> Result<(), KvError> {
        self.0.borrow_mut().write(batch)
    }
}

/// See the module's head.
pub(crate) struct MonNode {
    monitor: Option<(Monitor, EmbeddedLog<Disk>)>,
    disk: Disk,
    pub(crate) life: u32,
    options: BTreeMap<String, String>,
    wake_at: Option<Time>,
    committing: bool,
}

pub(crate) fn mon_addr() -> EntityAddrVec {
    EntityAddr::msgr2(([10, 0, 0, 1], 3300).into(), 0).into()
}

impl MonNode {
    pub(crate) fn new(plan: &Plan) -> MonNode {
        let options = [
            ("osd_pool_default_size", plan.size.to_string()),
            ("osd_pool_default_min_size", plan.min_size.to_string()),
            ("osd_crush_chooseleaf_type", "0".into()),
            ("mon_osd_min_down_reporters", plan.reporters.to_string()),
            ("mon_osd_reporter_subtree_level", "osd".into()),
            ("mon_osd_down_out_interval", plan.down_out.to_string()),
            ("mon_osd_min_up_ratio", "0".into()),
            ("mon_osd_min_in_ratio", "0.5".into()),
            ("mon_allow_pool_delete", "true".into()),
            ("osd_heartbeat_grace", plan.heartbeat.1.to_string()),
        ];
        MonNode {
            monitor: None,
            disk: Disk(Rc::new(RefCell::new(MemKv::manual()))),
            life: 0,
            options: options.map(|(k, v)| (k.to_string(), v)).into(),
            wake_at: None,
            committing: false,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.monitor.is_some()
    }

    pub(crate) fn end(&self) -> End {
        End { node: Node::Mon, life: self.life }
    }

    /// The rule, while it runs.
    pub(crate) fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref().map(|(m, _)| m)
    }

    /// Its newest map, while it runs.
    pub(crate) fn map(&self) -> Option<&std::sync::Arc<OsdMap>> {
        self.monitor().map(|m| m.state().osdmap())
    }
}

impl World {
    /// Makes the cluster.
    pub(crate) fn make_cluster(&mut self) {
        let new = Mkfs {
            fsid: FSID,
            mon: "a".into(),
            mon_addrs: mon_addr(),
            osds: self.plan.osds as u32,
            options: self.mon.options.clone(),
        };
        let wall: UTime = self.clock().wall;
        let made = EmbeddedLog::open(self.mon.disk.clone())
            .map_err(|e| e.to_string())
            .and_then(|mut log| mkfs(&mut log, &new, wall).map_err(|e| e.to_string()));
        if let Err(why) = made {
            self.fail(format!("mkfs of the monitor: {why}"));
        }
    }

    pub(crate) fn start_mon(&mut self) {
        let now = self.clock();
        self.mon.life += 1;
        self.mon.wake_at = None;
        self.mon.committing = false;
        let config = MonConfig {
            name: "a".into(),
            mgr_addrs: None,
            options: self.mon.options.clone(),
            version: "ceph version 16.2.15 (0) pacific (stable)".into(),
            hostname: "sim".into(),
        };
        let started = EmbeddedLog::open(self.mon.disk.clone())
            .map_err(|e| e.to_string())
            .map(EmbeddedLog::background)
            .and_then(|mut log| {
                let monitor = Monitor::new(config, &mut log, now).map_err(|e| e.to_string())?;
                Ok((monitor, log))
            });
        match started {
            Ok(monitor) => self.mon.monitor = Some(monitor),
            Err(why) => return self.fail(format!("the monitor does not start: {why}")),
        }
        self.trace.line(self.now, Node::Mon, format_args!("starts"));
        self.mon_step(Input::Tick);
    }

    pub(crate) fn kill_mon(&mut self) {
        if self.mon.monitor.take().is_none() {
            return;
        }
        let pending = self.mon.disk.0.borrow().pending();
        let survive = self.disk_chance.index(pending + 1);
        self.mon.disk.0.borrow_mut().crash(survive);
        self.trace.line(
            self.now,
            Node::Mon,
            format_args!("dies, {survive} of {pending} batches survive"),
        );
        self.sever(self.mon.end(), false);
    }

    fn mon_step(&mut self, input: Input) {
        let now = self.clock();
        let mut out = Outbox::new();
        let Some((monitor, log)) = self.mon.monitor.as_mut() else { return };
        let result = monitor.step(now, input, log, &mut out);
        let wake = monitor.wake_at(now);
        let epoch = monitor.state().osdmap().epoch;
        if let Err(error) = result {
            return self.fail(format!("the monitor stops: {error}"));
        }
        let back = self.epochs.monitor(epoch);
        if let Err(why) = back {
            self.fail(why);
        }
        for output in out.drain() {
            match output {
                Output::Send(session, packet) => self.send(session.0, 1, packet),
                Output::Close(session, _) => self.hang_up(session.0, 1),
                Output::Log(_, text) => {
                    self.trace.line(self.now, Node::Mon, format_args!("  {text}"));
                }
            }
        }
        let end = self.mon.end();
        if let Some(at) = wake {
            let at = at.max(Time(self.now.0 + 1_000_000));
            if self.mon.wake_at.is_none_or(|known| at < known) {
                self.mon.wake_at = Some(at);
                self.at(at, Event::Wake(end));
            }
        }
        if !self.mon.committing && self.mon.disk.0.borrow().pending() > 0 {
            self.mon.committing = true;
            let (low, high) = self.plan.disk;
            let after = self.disk_chance.between(low, high);
            self.later(std::time::Duration::from_micros(after), Event::Commit(end));
        }
    }

    pub(crate) fn mon_wakes(&mut self) {
        if self.mon.wake_at.is_some_and(|at| at <= self.now) {
            self.mon.wake_at = None;
            self.mon_step(Input::Tick);
        }
    }

    pub(crate) fn mon_commits(&mut self) {
        self.mon.committing = false;
        let pending = self.mon.disk.0.borrow().pending();
        let n = 1 + self.disk_chance.index(pending.max(1));
        self.mon.disk.0.borrow_mut().complete_next(n);
        self.mon_step(Input::LogCommitted);
    }

    /// A stopped monitor goes on.
    pub(crate) fn mon_resumes(&mut self) {
        self.mon.wake_at = None;
        self.mon.committing = false;
        self.mon_step(Input::Tick);
    }

    pub(crate) fn mon_accepts(&mut self, id: ConnId, from: End) {
        let (kind, num, addrs) = match from.node {
            Node::Osd(n) => (EntityType::Osd, n as i64, addrs(n, from.life).client),
            Node::Client(n) => {
                let addr = crate::client_node::addr(n, from.life);
                (EntityType::Client, global_id(n, from.life), addr.into())
            }
            Node::Mon => return,
        };
        let entity = match kind {
            EntityType::Osd => format!("osd.{num}"),
            _ => "client.admin".to_string(),
        };
        let peer = Peer {
            name: EntityName { kind, num },
            entity,
            addrs,
            features: feature::PACIFIC_ALL,
            global_id: GlobalId(num as u64),
            door: SessionDoor::Mon,
        };
        self.mon_step(Input::SessionOpened { session: SessionId(id), peer });
    }

    pub(crate) fn mon_hears(&mut self, id: ConnId, packet: Packet) {
        self.mon_step(Input::Message { session: SessionId(id), packet });
    }

    pub(crate) fn mon_lost(&mut self, id: ConnId) {
        self.mon_step(Input::SessionClosed(SessionId(id)));
    }
}
