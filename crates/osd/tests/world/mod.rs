//! A whole cluster in one process: OSDs over memory stores, a monitor that only keeps the map, and
//! clients that check what they are told. One seed decides the order of everything.
#![allow(dead_code, unreachable_pub)]

mod client;
pub mod guests;
mod mon;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use seabed_cluster::{
    AddrKind, EntityAddr, EntityAddrVec, EntityName, Now, OsdAddrs, OsdId, OsdMap, SnapId, Time,
    UTime, Uuid, feature, pg_state,
};
use seabed_messages::Packet;
use seabed_osd::{Input, Level, Osd, OsdConfig, Outbox, Peer, SessionId, mkfs};
use seabed_storage::ObjectStore;
use seabed_storage::mem::MemStore;

pub use client::Client;
pub use mon::Mon;

pub const FSID: Uuid = Uuid([7; 16]);

/// A small generator, so that a seed is a run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n.max(1)
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// One machine.
pub struct Node {
    pub osd: Option<Osd>,
    pub store: MemStore,
    pub incarnation: u32,
}

/// Who is at an end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Mon,
    Osd(usize),
    Client,
}

pub struct World {
    pub random: Random,
    pub now: Time,
    pub nodes: Vec<Node>,
    pub mon: Mon,
    pub client: Client,
    pub lines: BTreeMap<(End, End), VecDeque<Packet>>,
    pub config: OsdConfig,
    pub trace: Vec<String>,
    pub verbose: bool,
    /// Machines that only clients reach: to and from others nothing is delivered.
    pub cut: BTreeSet<usize>,
    /// The map that the client has; it lags.
    pub client_map: OsdMap,
    /// How often each kind of message was delivered, and what the OSDs logged.
    pub seen: BTreeMap<String, u64>,
    /// What sessions other than the client's were sent.
    pub heard: Vec<(usize, SessionId, Packet)>,
}

/// Sessions from this number on are not the client's.
pub const GUESTS: u64 = 5000;

pub fn addrs(osd: usize, nonce: u32) -> OsdAddrs {
    let addr = |port: u16| {
        EntityAddrVec(vec![EntityAddr {
            kind: AddrKind::Msgr2,
            nonce,
            addr: Some(([127, 0, 0, 1], port).into()),
        }])
    };
    let base = 6800 + osd as u16 * 10;
    OsdAddrs {
        client: addr(base),
        cluster: addr(base + 1),
        heartbeat_back: addr(base + 2),
        heartbeat_front: addr(base + 3),
    }
}

impl World {
    pub fn new(seed: u64, osds: usize, size: u32, min_size: u32, pg_num: u32) -> World {
        let mut config = OsdConfig::new(FSID, OsdId(0), OsdAddrs::default());
        config.pg.recovery_active = 3;
        let mon = Mon::new(osds, size, min_size, pg_num);
        let mut world = World {
            random: Random::new(seed),
            now: Time(1_000_000_000),
            nodes: Vec::new(),
            cut: BTreeSet::new(),
            client_map: mon.map.clone(),
            mon,
            client: Client::default(),
            lines: BTreeMap::new(),
            config,
            trace: Vec::new(),
            seen: BTreeMap::new(),
            heard: Vec::new(),
            verbose: std::env::var("WORLD_TRACE").is_ok(),
        };
        for n in 0..osds {
            let mut store = MemStore::new();
            mkfs(&mut store, FSID, OsdId(n as i32), Uuid([n as u8 + 1; 16])).unwrap();
            store.commit_all();
            store.committed().unwrap();
            world.nodes.push(Node { osd: None, store, incarnation: 0 });
        }
        world
    }

    pub fn clock(&self) -> Now {
        let wall = UTime { sec: 1_700_000_000 + (self.now.0 / 1_000_000_000) as u32, nsec: 0 };
        Now { mono: self.now, wall }
    }

    fn say(&mut self, text: String) {
        if self.verbose {
            eprintln!("{:>9.3} {text}", self.now.0 as f64 / 1e9);
        } else {
            if self.trace.len() > 20_000 {
                self.trace.drain(..10_000);
            }
            self.trace.push(format!("{:>9.3} {text}", self.now.0 as f64 / 1e9));
        }
    }

    /// Starts a machine's OSD.
    pub fn start(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        assert!(node.osd.is_none());
        node.incarnation += 1;
        let config = OsdConfig {
            whoami: OsdId(n as i32),
            addrs: addrs(n, node.incarnation),
            ..self.config.clone()
        };
        let mut out = Outbox::default();
        let now = self.clock();
        let node = &mut self.nodes[n];
        node.osd = Some(Osd::start(config, &mut node.store, now, &mut out).unwrap());
        self.lines.retain(|(from, to), _| *from != End::Osd(n) && *to != End::Osd(n));
        self.mon.connected(n, addrs(n, self.nodes[n].incarnation));
        self.client.forget_session(n);
        self.say(format!("osd.{n} starts"));
        self.take(n, out);
        self.input(n, Input::MonConnected);
    }

    /// Power loss: what is not durable is gone, except a random part of what was on its way.
    pub fn kill(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.osd.take().is_none() {
            return;
        }
        let pending = node.store.pending().len();
        let survive = self.random.below(pending + 1);
        self.nodes[n].store.crash(survive);
        self.lines.retain(|(_, to), _| *to != End::Osd(n));
        self.mon.disconnected(n);
        self.say(format!("osd.{n} dies, {survive} of {pending} transactions survive"));
    }

    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].osd.is_some()).collect()
    }

    /// Gives an OSD something.
    pub fn input(&mut self, n: usize, input: Input) {
        let now = self.clock();
        let mut out = Outbox::default();
        let node = &mut self.nodes[n];
        let Some(osd) = node.osd.as_mut() else { return };
        osd.step(now, input, &mut node.store, &mut out);
        if let Err(broken) = osd.check() {
            self.fail(&format!("osd.{n}: {broken}"));
        }
        self.take(n, out);
    }

    pub fn fail(&self, why: &str) -> ! {
        for line in self.trace.iter().rev().take(400).rev() {
            eprintln!("{line}");
        }
        panic!("{why}");
    }

    fn take(&mut self, n: usize, out: Outbox) {
        for (level, line) in out.lines {
            for word in ["undid", "no room"] {
                if line.contains(word) {
                    *self.seen.entry(word.into()).or_default() += 1;
                }
            }
            if level >= Level::Debug {
                self.say(format!("osd.{n} {level:?} {line}"));
            }
        }
        if let Some(why) = out.stop {
            self.fail(&format!("osd.{n} stops: {why}"));
        }
        for (to, packet) in out.sent {
            let end = match to {
                Peer::Mon => End::Mon,
                Peer::Osd(osd) => End::Osd(osd.0 as usize),
                Peer::Client(session) if session.0 >= GUESTS => {
                    self.say(format!("osd.{n} > {session:?} {}", summary(&packet)));
                    self.heard.push((n, session, packet));
                    continue;
                }
                Peer::Client(_) => End::Client,
                _ => continue,
            };
            if end != End::Osd(n) {
                let trace = format!("osd.{n} > {end:?} {}", summary(&packet));
                self.say(trace);
                self.lines.entry((End::Osd(n), end)).or_default().push_back(packet);
            }
        }
    }

    fn is_cut(&self, from: End, to: End) -> bool {
        let cut = |end| matches!(end, End::Osd(n) if self.cut.contains(&n));
        from != End::Client && to != End::Client && (cut(from) || cut(to))
    }

    /// Delivers the next message of a random line.
    fn deliver(&mut self) -> bool {
        let busy: Vec<(End, End)> = self
            .lines
            .iter()
            .filter(|((from, to), q)| !q.is_empty() && !self.is_cut(*from, *to))
            .map(|(k, _)| *k)
            .collect();
        if busy.is_empty() {
            return false;
        }
        let line = busy[self.random.below(busy.len())];
        let Some(packet) = self.lines.get_mut(&line).and_then(VecDeque::pop_front) else {
            return false;
        };
        *self.seen.entry(packet.message.name().to_string()).or_default() += 1;
        // Everything crosses the wire.
        let packet = Packet::decode(packet.encode(feature::PACIFIC_ALL)).expect("own message");
        match line {
            (End::Osd(n), End::Mon) => {
                for (to, packet) in self.mon.message(n, packet) {
                    self.lines.entry((End::Mon, End::Osd(to))).or_default().push_back(packet);
                }
            }
            (End::Mon, End::Osd(n)) => self.input(n, Input::Message { from: Peer::Mon, packet }),
            (End::Osd(from), End::Osd(n)) => {
                let from = Peer::Osd(OsdId(from as i32));
                self.input(n, Input::Message { from, packet });
            }
            (End::Osd(n), End::Client) => {
                let now = self.now;
                if let Err(why) = self.client.reply(n, packet, now) {
                    self.fail(&why);
                }
            }
            (End::Client, End::Osd(n)) => {
                let from = Peer::Client(SessionId(1000 + n as u64));
                self.input(n, Input::Message { from, packet });
            }
            _ => {}
        }
        true
    }

    /// The client speaks to whom its map names.
    fn drive_client(&mut self) {
        if self.client.quiet || self.random.one_in(8) {
            // As the real one, it looks at every epoch: who led for a moment counts.
            for map in &self.mon.history[self.client_map.epoch.0 as usize..] {
                self.client.look_at(map);
            }
            self.client_map = self.mon.map.clone();
        }
        let map = self.client_map.clone();
        for (n, packet, fresh) in self.client.drive(&map, &mut self.random, self.now) {
            if self.nodes[n].osd.is_none() {
                continue;
            }
            if fresh {
                let peer = Peer::Client(SessionId(1000 + n as u64));
                let entity = EntityName::client(4100);
                let addr = EntityAddr::default();
                self.input(n, Input::SessionOpened { peer, entity, addr });
            }
            self.say(format!("client > osd.{n} {}", summary(&packet)));
            self.lines.entry((End::Client, End::Osd(n))).or_default().push_back(packet);
        }
    }

    fn commit_some(&mut self, n: usize) {
        let pending = self.nodes[n].store.pending().len();
        if pending == 0 {
            return;
        }
        let count = 1 + self.random.below(pending);
        self.nodes[n].store.commit_next(count);
        let done = self.nodes[n].store.committed().unwrap();
        self.input(n, Input::Committed(done));
    }

    /// One random thing happens.
    pub fn step(&mut self) {
        match self.random.below(20) {
            0 => {
                self.now += Duration::from_millis(1 + self.random.below(200) as u64);
                for n in self.alive() {
                    self.input(n, Input::Tick);
                }
            }
            1 => {
                for (to, packet) in self.mon.tick() {
                    self.lines.entry((End::Mon, End::Osd(to))).or_default().push_back(packet);
                }
            }
            2 | 3 => self.drive_client(),
            4..=8 => {
                let alive = self.alive();
                if !alive.is_empty() {
                    let n = alive[self.random.below(alive.len())];
                    self.commit_some(n);
                }
            }
            _ => {
                for _ in 0..4 {
                    self.deliver();
                }
            }
        }
    }

    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// True when every PG is led, active and clean.
    pub fn is_clean(&mut self) -> bool {
        let map = self.mon.map.clone();
        let mut wanted = 0;
        for (pool, spec) in &map.pools {
            for seed in 0..spec.pg_num {
                wanted += 1;
                let pg = seabed_cluster::PgId::new(*pool, seed);
                let Some(primary) = map.map_pg(pg).acting_primary else { return false };
                let Some(osd) = &self.nodes[primary.0 as usize].osd else { return false };
                let id = seabed_cluster::SpgId::replicated(pg);
                let Some(pg) = osd.pgs().find(|p| p.id() == id) else { return false };
                if osd.map().map(|m| m.epoch) != Some(map.epoch) || !pg.is_clean() {
                    return false;
                }
            }
        }
        wanted > 0
    }

    /// Runs until everything is clean and the client content.
    pub fn settle(&mut self, steps: usize) {
        self.client.quiet = true;
        for _ in 0..steps / 100 {
            self.run(100);
            if self.client.is_idle() && self.is_clean() {
                return;
            }
        }
        let mut why = format!("does not settle; client idle: {}\n", self.client.is_idle());
        for (n, node) in self.nodes.iter().enumerate() {
            for pg in node.osd.iter().flat_map(|o| o.pgs()) {
                if !pg.is_primary() || pg.is_clean() {
                    continue;
                }
                why += &format!(
                    "osd.{n} pg {} e{} {} up {:?} acting {:?} missing {} {}\n",
                    pg.id().pg,
                    pg.epoch().0,
                    pg.phase(),
                    pg.membership().up,
                    pg.membership().acting,
                    pg.missing().len(),
                    pg.trouble(),
                );
            }
        }
        why += &format!("map {}", self.mon.map.epoch);
        self.fail(&why);
    }

    /// Runs until every request was answered, clean or not.
    pub fn settle_serving(&mut self, steps: usize) {
        self.client.quiet = true;
        for _ in 0..steps / 100 {
            self.run(100);
            if self.client.is_idle() {
                return;
            }
        }
        self.fail("requests are not answered");
    }

    /// How many PGs a machine's disk holds.
    pub fn collections(&self, n: usize) -> usize {
        let all = self.nodes[n].store.collections().unwrap();
        all.iter().filter(|c| matches!(c, seabed_cluster::Collection::Pg(_))).count()
    }

    /// Every acting copy of every PG holds the same objects.
    pub fn compare_copies(&self) {
        let map = &self.mon.map;
        for (pool, spec) in &map.pools {
            for seed in 0..spec.pg_num {
                let pg = seabed_cluster::PgId::new(*pool, seed);
                let acting = map.map_pg(pg).acting;
                let copies: Vec<_> =
                    acting.iter().map(|o| contents(&self.nodes[o.0 as usize].store, pg)).collect();
                for (copy, osd) in copies.iter().zip(&acting) {
                    if *copy != copies[0] {
                        self.fail(&format!("pg {pg}: osd.{} differs from {:?}", osd.0, acting[0]));
                    }
                }
            }
        }
    }

    pub fn is_up(&self, n: usize) -> bool {
        self.mon.map.is_up(OsdId(n as i32))
    }
}

type Content = BTreeMap<(Vec<u8>, SnapId), (Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>, usize)>;

/// Objects of a PG in a store: name and snap, data, attributes, number of omap keys. Of the PG's
/// own object the keys of the snap mapper count, and nothing else.
pub fn contents(store: &MemStore, pg: seabed_cluster::PgId) -> Content {
    use seabed_cluster::{Collection, GhObject, SpgId};
    let coll = Collection::Pg(SpgId::replicated(pg));
    let (objects, _) =
        store.list(&coll, &GhObject::min(), &GhObject::max(), 100_000).unwrap_or_default();
    objects
        .iter()
        .map(|o| {
            if o.is_pg_meta() {
                let keys = mapper_keys(store, &coll, o);
                return ((Vec::new(), SnapId::HEAD), (Vec::new(), keys, 0));
            }
            let data = store.read(&coll, o, 0, u64::MAX).unwrap().to_vec();
            let attrs = store.get_attrs(&coll, o).unwrap();
            let attrs = attrs.into_iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            let omap =
                store.omap_range(&coll, o, std::ops::Bound::Unbounded, 10_000).unwrap().0.len();
            ((o.hobj.name.to_vec(), o.hobj.snap), (data, attrs, omap))
        })
        .collect()
}

fn mapper_keys(
    store: &MemStore,
    coll: &seabed_cluster::Collection,
    meta: &seabed_cluster::GhObject,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (keys, more) =
        store.omap_range(coll, meta, std::ops::Bound::Unbounded, 100_000).unwrap_or_default();
    assert!(!more);
    let ours = |key: &[u8]| key.starts_with(b"SNA_") || key.starts_with(b"OBJ_");
    keys.into_iter().filter(|(k, _)| ours(k)).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

fn summary(packet: &Packet) -> String {
    use seabed_messages::Message as M;
    let name = packet.message.name();
    match &packet.message {
        M::PgQuery2(m) => format!("{name} {} {:?} since {}", m.pg.pg, m.query.kind, m.query.since),
        M::PgNotify2(m) => format!(
            "{name} {} lu {} les {} hles {} lb-max {}",
            m.pg.pg,
            m.notify.info.last_update,
            m.notify.info.last_epoch_started,
            m.notify.info.history.last_epoch_started,
            m.notify.info.last_backfill.is_max()
        ),
        M::PgInfo2(m) => format!(
            "{name} {} lu {} les {}",
            m.pg.pg, m.info.last_update, m.info.last_epoch_started
        ),
        M::PgLog(m) => format!(
            "{name} {} ({},{}] {} entries, {} missing, lb-min {}",
            m.info.pgid,
            m.log.tail,
            m.log.head,
            m.log.log.len(),
            m.missing.items.len(),
            m.info.last_backfill.is_min()
        ),
        M::OsdRepOp(m) => format!("{name} {} {}", m.pg.pg, m.version),
        M::OsdMap(m) => format!("{name} {:?}..{:?}", m.first(), m.last()),
        M::OsdOp(m) => format!("{name} tid {} {:?} e{}", packet.tid, m.object, m.epoch),
        M::OsdOpReply(m) => format!("{name} tid {} {:?} {}", packet.tid, m.object, m.result),
        M::PgPush(m) => {
            format!("{name} {} {:?} {}", m.pg, m.pushes[0].soid.name, m.pushes[0].version)
        }
        M::PgBackfill(m) => format!("{name} {} {:?} to {:?}", m.pg, m.op, m.last_backfill.name),
        M::OsdPgTemp(m) => format!("{name} {:?}", m.pg_temp),
        _ => name.to_string(),
    }
}

pub const ACTIVE_CLEAN: u64 = pg_state::ACTIVE | pg_state::CLEAN;
