//! An OSD with its disk, as its shell runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::{
    AddrKind, EntityAddr, EntityAddrVec, EntityName, EntityType, OsdAddrs, OsdId, OsdMap, Time,
    Uuid,
};
use seabed_messages::Packet;
use seabed_osd::{Input, Osd, OsdConfig, Outbox, Peer, SessionId, mkfs};
use seabed_storage::ObjectStore;
use seabed_storage::mem::MemStore;

use crate::net::{ConnId, End, Item, Line, Node};
use crate::plan::Plan;
use crate::world::{Event, FSID, World};

/// See the module's head.
pub(crate) struct OsdNode {
    pub(crate) store: MemStore,
    pub(crate) osd: Option<Osd>,
    pub(crate) life: u32,
    pub(crate) has_power: bool,
    /// Factor of the disk's delays.
    pub(crate) slow_disk: u64,
    wake_at: Option<Time>,
    committing: bool,
    mon: Option<ConnId>,
    mon_open: bool,
    /// Other OSDs' heartbeat servers and public addresses, and the life that was called.
    called: BTreeMap<Peer, (ConnId, u32)>,
    map_epoch: u32,
}

/// Where an OSD's life listens: the nonce is the life.
pub(crate) fn addrs(osd: usize, life: u32) -> OsdAddrs {
    let addr = |port: u16| {
        EntityAddrVec(vec![EntityAddr {
            kind: AddrKind::Msgr2,
            nonce: life,
            addr: Some(([10, 0, 1, osd as u8], port).into()),
        }])
    };
    OsdAddrs {
        client: addr(6800),
        cluster: addr(6801),
        heartbeat_back: addr(6802),
        heartbeat_front: addr(6803),
    }
}

/// The OSD behind a session that an OSD has called for, but for those on the cluster network.
fn called_osd(peer: Peer) -> Option<OsdId> {
    match peer {
        Peer::HeartbeatBack(o) | Peer::HeartbeatFront(o) | Peer::OsdPublic(o) => Some(o),
        Peer::Mon | Peer::Osd(_) | Peer::Client(_) | Peer::HeartbeatSession(_) => None,
    }
}

/// The life that listens at an address.
pub(crate) fn life_of(addrs: &EntityAddrVec) -> u32 {
    addrs.0.first().map_or(0, |a| a.nonce)
}

fn end_of(osd: OsdId, life: u32) -> End {
    End { node: Node::Osd(osd.0 as usize), life }
}

impl OsdNode {
    pub(crate) fn new(n: usize) -> OsdNode {
        OsdNode {
            store: empty_disk(n),
            osd: None,
            life: 0,
            has_power: true,
            slow_disk: 1,
            wake_at: None,
            committing: false,
            mon: None,
            mon_open: false,
            called: BTreeMap::new(),
            map_epoch: 0,
        }
    }
}

/// A disk on which an OSD was made.
pub(crate) fn empty_disk(n: usize) -> MemStore {
    let mut store = MemStore::new();
    let made = mkfs(&mut store, FSID, OsdId(n as i32), Uuid([n as u8 + 1; 16]));
    made.expect("an empty store takes an OSD");
    store.commit_all();
    let _ = store.committed();
    store
}

fn config(plan: &Plan, n: usize, life: u32) -> OsdConfig {
    let mut config = OsdConfig::new(FSID, OsdId(n as i32), addrs(n, life));
    config.heartbeat_interval = Duration::from_secs(plan.heartbeat.0);
    config.heartbeat_grace = Duration::from_secs(plan.heartbeat.1);
    (config.pg.log_max, config.pg.log_min) = plan.log;
    (config.pg.push_chunk, config.pg.push_omap) = plan.push;
    config.pg.backfill_scan = plan.scan;
    config.pg.lease = plan.lease;
    config.pg.recovery_active = 3;
    config.removal_step = 3;
    config.copies.chunk = plan.push.0;
    // So that copies wait for each other.
    config.copies.bytes_max = 3 * plan.push.0;
    config.metadata = [("hostname".to_string(), format!("host{n}"))].into();
    #[cfg(feature = "planted-bugs")]
    {
        config.pg.planted = plan.bug.map(crate::run::Bug::planted);
        config.pg.limits.planted = config.pg.planted;
    }
    config
}

impl World {
    pub(crate) fn osd_end(&self, n: usize) -> End {
        End { node: Node::Osd(n), life: self.osds[n].life }
    }

    pub(crate) fn start_osd(&mut self, n: usize) {
        let now = self.clock();
        let node = &mut self.osds[n];
        if node.osd.is_some() {
            return;
        }
        node.life += 1;
        node.has_power = true;
        node.wake_at = None;
        node.committing = false;
        node.mon = None;
        node.mon_open = false;
        node.called.clear();
        node.map_epoch = 0;
        let mut out = Outbox::default();
        let config = config(&self.plan, n, node.life);
        match Osd::start(config, &mut node.store, now, &mut out) {
            Ok(osd) => node.osd = Some(osd),
            Err(why) => return self.fail(format!("osd.{n} does not start: {why}")),
        }
        let end = self.osd_end(n);
        self.epochs.osd_starts(n);
        self.trace.line(self.now, end.node, format_args!("starts, life {}", end.life));
        self.osd_performs(n, out);
        self.osd_timers(n);
        self.later(Duration::ZERO, Event::CallMon(end));
    }

    /// The process ends; what was not durable is gone, but for a random part that was.
    pub(crate) fn kill_osd(&mut self, n: usize, power: bool) {
        if self.osds[n].osd.take().is_none() {
            return;
        }
        self.paused.remove(&Node::Osd(n));
        let pending = self.osds[n].store.pending().len();
        let survive = self.disk_chance.index(pending + 1);
        self.osds[n].store.crash(survive);
        self.osds[n].has_power = !power;
        let end = self.osd_end(n);
        let how = if power { "loses power" } else { "dies" };
        self.trace.line(
            self.now,
            end.node,
            format_args!("{how}, {survive} of {pending} transactions survive"),
        );
        self.sever(end, power);
    }

    fn osd_step(&mut self, n: usize, input: Input) {
        let now = self.clock();
        let mut out = Outbox::default();
        let node = &mut self.osds[n];
        let Some(osd) = node.osd.as_mut() else { return };
        osd.step(now, input, &mut node.store, &mut out);
        let checked = osd.check();
        let primaries = self.primaries.look(n, osd);
        let epochs = self.epochs.osd(n, osd);
        for result in [checked, primaries, epochs] {
            if let Err(why) = result {
                self.fail(format!("osd.{n}: {why}"));
            }
        }
        self.osd_performs(n, out);
        self.osd_timers(n);
    }

    fn osd_timers(&mut self, n: usize) {
        let end = self.osd_end(n);
        let node = &mut self.osds[n];
        let Some(osd) = node.osd.as_ref() else { return };
        if let Some(at) = osd.wake_at() {
            let at = at.max(Time(self.now.0 + 1_000_000));
            if node.wake_at.is_none_or(|known| at < known) {
                node.wake_at = Some(at);
                self.at(at, Event::Wake(end));
            }
        }
        let node = &mut self.osds[n];
        if !node.committing && node.store.pending().len() > 0 {
            node.committing = true;
            let (low, high) = self.plan.disk;
            let after = self.disk_chance.between(low, high) * node.slow_disk;
            self.later(Duration::from_micros(after), Event::Commit(end));
        }
    }

    pub(crate) fn osd_wakes(&mut self, n: usize) {
        if self.osds[n].wake_at.is_some_and(|at| at <= self.now) {
            self.osds[n].wake_at = None;
            self.osd_step(n, Input::Tick);
        }
    }

    pub(crate) fn osd_commits(&mut self, n: usize) {
        let node = &mut self.osds[n];
        node.committing = false;
        let pending = node.store.pending().len();
        let some = 1 + self.disk_chance.index(pending.max(1));
        node.store.commit_next(some);
        match node.store.committed() {
            Ok(done) => self.osd_step(n, Input::Committed(done)),
            Err(why) => self.fail(format!("osd.{n}: {why}")),
        }
    }

    /// A stopped process goes on.
    pub(crate) fn osd_resumes(&mut self, n: usize) {
        self.osds[n].wake_at = None;
        self.osds[n].committing = false;
        self.osd_step(n, Input::Tick);
    }

    fn osd_performs(&mut self, n: usize, out: Outbox) {
        for (level, text) in out.lines {
            self.trace.line(self.now, Node::Osd(n), format_args!("  {level:?} {text}"));
            if text.contains("undid") {
                self.count("divergent entries undone");
            }
        }
        let map = self.osds[n].osd.as_ref().and_then(|o| o.map().cloned());
        if let Some(map) = map.as_deref().filter(|m| m.epoch.0 != self.osds[n].map_epoch) {
            self.osds[n].map_epoch = map.epoch.0;
            self.osd_follows(n, map);
        }
        if let Some(why) = out.stop {
            return self.fail(format!("osd.{n} stops: {why}"));
        }
        for (peer, packet) in out.sent {
            self.osd_sends(n, peer, packet, map.as_deref());
        }
        for peer in out.closed {
            match peer {
                Peer::Client(s) | Peer::HeartbeatSession(s) => self.hang_up(s.0, 1),
                Peer::OsdPublic(_) => {
                    if let Some((id, _)) = self.osds[n].called.remove(&peer) {
                        self.hang_up(id, 0);
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends sessions with OSDs that are down in the map or have another life there.
    fn osd_follows(&mut self, n: usize, map: &OsdMap) {
        let me = self.osd_end(n);
        for (id, other) in self.net.sessions_of(me) {
            let Node::Osd(o) = other.node else { continue };
            let o = OsdId(o as i32);
            let life = map.addrs(o).map_or(0, |a| life_of(&a.cluster));
            if (!map.is_up(o) || life != other.life)
                && let Some(side) = self.net.conns.get(&id).and_then(|c| c.side(me))
            {
                self.hang_up(id, side);
            }
        }
        let stale: Vec<(Peer, ConnId)> = self.osds[n]
            .called
            .iter()
            .filter(|(peer, (_, life))| {
                let Some(o) = called_osd(**peer) else { return false };
                !map.is_up(o) || map.addrs(o).map_or(0, |a| life_of(&a.heartbeat_back)) != *life
            })
            .map(|(peer, (id, _))| (*peer, *id))
            .collect();
        for (peer, id) in stale {
            self.osds[n].called.remove(&peer);
            self.hang_up(id, 0);
        }
    }

    fn osd_sends(&mut self, n: usize, peer: Peer, packet: Packet, map: Option<&OsdMap>) {
        let me = self.osd_end(n);
        match peer {
            Peer::Mon => {
                if let Some(id) = self.osds[n].mon.filter(|_| self.osds[n].mon_open) {
                    self.send(id, 0, packet);
                }
            }
            Peer::Client(s) | Peer::HeartbeatSession(s) => self.send(s.0, 1, packet),
            Peer::Osd(o) => {
                let Some(a) = map.filter(|m| m.is_up(o)).and_then(|m| m.addrs(o)) else { return };
                let to = end_of(o, life_of(&a.cluster));
                if to.node == me.node {
                    return self.fail(format!("osd.{n} sends {} to itself", packet.message.name()));
                }
                let (id, fresh) = self.net.session(me, to);
                if fresh {
                    self.push(id, 1, Item::Opened);
                }
                if let Some(side) = self.net.conns.get(&id).and_then(|c| c.side(me)) {
                    self.send(id, side, packet);
                }
            }
            Peer::HeartbeatBack(o) | Peer::HeartbeatFront(o) | Peer::OsdPublic(o) => {
                let Some(a) = map.filter(|m| m.is_up(o)).and_then(|m| m.addrs(o)) else { return };
                let life = life_of(&a.heartbeat_back);
                let line = match peer {
                    Peer::OsdPublic(_) => Line::Public,
                    Peer::HeartbeatBack(_) => Line::Back,
                    _ => Line::Front,
                };
                let known = self.osds[n].called.get(&peer).map(|(id, _)| *id);
                let id = known.unwrap_or_else(|| self.dial(line, me, end_of(o, life)));
                self.osds[n].called.insert(peer, (id, life));
                self.send(id, 0, packet);
            }
        }
    }

    pub(crate) fn osd_opened(&mut self, n: usize, id: ConnId, to: usize, line: Line, from: End) {
        match (line, to) {
            (Line::Mon, _) if self.osds[n].mon == Some(id) => {
                self.osds[n].mon_open = true;
                self.osd_step(n, Input::MonConnected);
            }
            (Line::Public, 1) => {
                let peer = Peer::Client(SessionId(id));
                let (entity, addr) = match from.node {
                    Node::Client(c) => (
                        EntityName::client(crate::client_node::global_id(c, from.life)),
                        crate::client_node::addr(c, from.life),
                    ),
                    Node::Osd(o) => {
                        let entity = EntityName { kind: EntityType::Osd, num: o as i64 };
                        (entity, addrs(o, from.life).client.0[0])
                    }
                    Node::Mon => return,
                };
                self.osd_step(n, Input::SessionOpened { peer, entity, addr });
            }
            (Line::Back | Line::Front, 1) => {
                let Node::Osd(o) = from.node else { return };
                let peer = Peer::HeartbeatSession(SessionId(id));
                let entity = EntityName { kind: EntityType::Osd, num: o as i64 };
                let addr = addrs(o, from.life).cluster.0[0];
                self.osd_step(n, Input::SessionOpened { peer, entity, addr });
            }
            _ => {}
        }
    }

    pub(crate) fn osd_hears(
        &mut self,
        n: usize,
        id: ConnId,
        to: usize,
        line: Line,
        from: End,
        packet: Packet,
    ) {
        let other = match from.node {
            Node::Osd(o) => OsdId(o as i32),
            _ => OsdId::NONE,
        };
        let from = match (line, to) {
            (Line::Mon, _) if self.osds[n].mon != Some(id) => return,
            (Line::Mon, _) => Peer::Mon,
            (Line::Cluster, _) => Peer::Osd(other),
            (Line::Public, 1) => Peer::Client(SessionId(id)),
            (Line::Public, _) => Peer::OsdPublic(other),
            (Line::Back | Line::Front, 1) => Peer::HeartbeatSession(SessionId(id)),
            (Line::Back, _) => Peer::HeartbeatBack(other),
            (Line::Front, _) => Peer::HeartbeatFront(other),
        };
        self.osd_step(n, Input::Message { from, packet });
    }

    pub(crate) fn osd_lost(
        &mut self,
        n: usize,
        id: ConnId,
        side: usize,
        line: Line,
        other: End,
        refused: bool,
    ) {
        let other = match other.node {
            Node::Osd(o) => OsdId(o as i32),
            _ => OsdId::NONE,
        };
        let peer = match (line, side) {
            (Line::Mon, _) if self.osds[n].mon != Some(id) => return,
            (Line::Mon, _) => {
                self.osds[n].mon = None;
                self.osds[n].mon_open = false;
                let end = self.osd_end(n);
                self.later(Duration::from_millis(250), Event::CallMon(end));
                Peer::Mon
            }
            (Line::Public | Line::Back | Line::Front, 1) => {
                return self.osd_step(n, Input::SessionClosed(SessionId(id)));
            }
            (Line::Public, _) => Peer::OsdPublic(other),
            (Line::Back, _) => Peer::HeartbeatBack(other),
            (Line::Front, _) => Peer::HeartbeatFront(other),
            (Line::Cluster, _) => Peer::Osd(other),
        };
        match self.osds[n].called.get(&peer) {
            Some((known, _)) if *known == id => drop(self.osds[n].called.remove(&peer)),
            // It was called anew since.
            Some(_) if matches!(peer, Peer::OsdPublic(_)) => return,
            _ => {}
        }
        self.osd_step(n, Input::PeerReset { peer, refused });
    }

    pub(crate) fn call_mon(&mut self, end: End) {
        if !self.is_alive(end) {
            return;
        }
        let mon = self.mon.end();
        match end.node {
            Node::Osd(n) if self.osds[n].mon.is_none() => {
                self.osds[n].mon = Some(self.dial(Line::Mon, end, mon));
            }
            Node::Client(n) if self.clients[n].mon.is_none() => {
                self.clients[n].mon = Some(self.dial(Line::Mon, end, mon));
            }
            _ => {}
        }
    }
}
