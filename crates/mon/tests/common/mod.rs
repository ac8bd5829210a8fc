//! A monitor in memory with sessions that are driven by hand.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seabed_cluster::options::Layers;
use seabed_cluster::{
    EntityAddr, EntityAddrVec, EntityName, EntityType, Epoch, GlobalId, Incremental, Now, OsdId,
    OsdMap, OsdStat, OsdSuperblock, PgId, PgStat, Time, UTime, Uuid, feature, pg_state,
};
use seabed_denc::Encode;
use seabed_messages::{
    MMgrOpen, MMonCommand, MMonSubscribe, MOsdBoot, MPgStats, Message, Packet, Paxos, Subscription,
};
use seabed_mon::map_log::{MapLog, MemoryLog};
use seabed_mon::{
    Input, Mkfs, MonConfig, Monitor, Outbox, Output, Peer, SessionDoor, SessionId, mkfs,
};

pub const VERSION: &str =
    "ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)";
pub const FSID: Uuid = Uuid([7; 16]);

pub fn addr(port: u16, nonce: u32) -> EntityAddrVec {
    EntityAddr::msgr2(format!("127.0.0.1:{port}").parse().unwrap(), nonce).into()
}

pub fn config() -> MonConfig {
    let options = [
        ("osd_crush_chooseleaf_type", "0"),
        ("mon_osd_reporter_subtree_level", "osd"),
        ("mon_allow_pool_delete", "true"),
        ("osd_pool_default_size", "3"),
    ];
    MonConfig {
        name: "a".to_string(),
        mgr_addrs: Some(addr(21001, 0)),
        options: options.map(|(k, v)| (k.to_string(), v.to_string())).into(),
        version: VERSION.to_string(),
        hostname: "vm".to_string(),
    }
}

pub struct World {
    pub log: Box<dyn MapLog>,
    pub mon: Monitor,
    pub now: Now,
    pub sent: BTreeMap<SessionId, Vec<Packet>>,
    pub closed: BTreeSet<SessionId>,
    next: u64,
    tid: u64,
}

pub fn start() -> Now {
    Now { mono: Time(1_000_000_000), wall: UTime { sec: 1_795_537_477, nsec: 123_456_000 } }
}

pub fn made(mut log: Box<dyn MapLog>, osds: u32) -> World {
    let new = Mkfs {
        fsid: FSID,
        mon: "a".to_string(),
        mon_addrs: addr(21000, 0),
        osds,
        options: config().options,
    };
    mkfs(&mut *log, &new, start().wall).unwrap();
    World::open(log, start())
}

impl World {
    pub fn new(osds: u32) -> World {
        made(Box::new(MemoryLog::new()), osds)
    }

    pub fn open(mut log: Box<dyn MapLog>, now: Now) -> World {
        let mon = Monitor::new(config(), &mut *log, now).unwrap();
        World { log, mon, now, sent: BTreeMap::new(), closed: BTreeSet::new(), next: 1, tid: 1 }
    }

    /// Stops the monitor and starts another on what the log holds.
    pub fn restart(self) -> World {
        World::open(self.log, self.now)
    }

    pub fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.mon.step(self.now, input, &mut *self.log, &mut out).unwrap();
        self.mon.check_invariants().unwrap();
        for output in out.drain() {
            match output {
                Output::Send(session, packet) => {
                    self.sent.entry(session).or_default().push(packet);
                }
                Output::Close(session, _) => {
                    self.closed.insert(session);
                }
                Output::Log(..) => {}
            }
        }
    }

    /// Lets time pass, waking the monitor whenever it asks for it.
    pub fn pass(&mut self, d: Duration) {
        let end = self.now.mono + d;
        let mut wakes = 0;
        while let Some(at) = self.mon.wake_at(self.now).filter(|t| *t <= end) {
            let at = at.max(self.now.mono);
            let step = at.saturating_sub(self.now.mono);
            self.now = Now { mono: at, wall: self.now.wall + step };
            self.step(Input::Tick);
            wakes += 1;
            assert!(wakes < 2000, "the monitor wakes too often");
        }
        let step = end.saturating_sub(self.now.mono);
        self.now = Now { mono: end, wall: self.now.wall + step };
    }

    pub fn open_session(
        &mut self,
        name: EntityName,
        entity: &str,
        addrs: EntityAddrVec,
    ) -> SessionId {
        let session = SessionId(self.next);
        self.next += 1;
        let peer = Peer {
            name,
            entity: entity.to_string(),
            addrs,
            features: feature::PACIFIC_ALL,
            global_id: GlobalId(4000 + session.0),
            door: SessionDoor::Mon,
        };
        self.step(Input::SessionOpened { session, peer });
        session
    }

    pub fn client(&mut self) -> SessionId {
        let name = EntityName { kind: EntityType::Client, num: 4123 };
        self.open_session(name, "client.admin", addr(0, 77))
    }

    pub fn send(&mut self, session: SessionId, message: impl Into<Message>) -> u64 {
        self.tid += 1;
        let packet = Packet::with_tid(self.tid, message);
        self.step(Input::Message { session, packet });
        self.tid
    }

    pub fn take(&mut self, session: SessionId) -> Vec<Packet> {
        self.sent.remove(&session).unwrap_or_default()
    }

    pub fn subscribe(&mut self, session: SessionId, what: &[(&str, u64, u8)]) {
        let what = what
            .iter()
            .map(|(n, start, flags)| (n.to_string(), Subscription { start: *start, flags: *flags }))
            .collect();
        self.send(session, MMonSubscribe { what, hostname: "vm".into(), ..Default::default() });
    }

    /// Runs a command to its answer: code, status, output.
    pub fn command(&mut self, session: SessionId, json: &str) -> (i32, String, String) {
        self.command_with(session, json, "")
    }

    /// The same with data behind it.
    pub fn command_with(
        &mut self,
        session: SessionId,
        json: &str,
        input: &str,
    ) -> (i32, String, String) {
        let command = vec![json.to_string()];
        let input = input.to_string().into();
        let message = MMonCommand { fsid: FSID, command, input, ..Default::default() };
        let tid = self.send(session, message);
        self.pass(Duration::from_millis(60));
        for packet in self.take(session) {
            if let Message::MonCommandAck(ack) = packet.message
                && packet.tid == tid
            {
                let text = String::from_utf8_lossy(&ack.output).into_owned();
                return (ack.result, ack.status.clone(), text);
            }
        }
        panic!("no answer to {json}");
    }

    pub fn ok(&mut self, session: SessionId, json: &str) -> String {
        let (code, status, data) = self.command(session, json);
        assert_eq!(code, 0, "{json}: {status}");
        data
    }

    pub fn map(&self) -> &OsdMap {
        self.mon.state().osdmap()
    }

    pub fn osd_session(&mut self, id: i32) -> SessionId {
        let name = EntityName { kind: EntityType::Osd, num: i64::from(id) };
        self.open_session(name, &format!("osd.{id}"), osd_addr(id, 0))
    }

    pub fn boot(&mut self, session: SessionId, id: i32) {
        let layers = Layers::new(|name| name.starts_with("osd_"));
        self.send(
            session,
            MMgrOpen {
                daemon_name: id.to_string(),
                config: layers.report().to_bytes(0),
                config_defaults: layers.defaults().to_bytes(0),
                ..MMgrOpen::default()
            },
        );
        let message = boot_message(id, self.map().epoch);
        self.send(session, message);
        self.pass(Duration::from_millis(60));
    }

    /// A report of an OSD and of all PGs it leads, in `state`.
    pub fn report(&mut self, session: SessionId, id: i32, state: u64) {
        self.report_with(session, id, state, |_, _| {});
    }

    /// A report with more to say of each PG.
    pub fn report_with(
        &mut self,
        session: SessionId,
        id: i32,
        state: u64,
        more: impl Fn(PgId, &mut PgStat),
    ) {
        let map = self.map().clone();
        let mut pg_stats = BTreeMap::new();
        for (pool, p) in &map.pools {
            for seed in 0..p.pg_num {
                let pg = PgId::new(*pool, seed);
                let m = map.map_pg(pg);
                if m.acting_primary != Some(OsdId(id)) {
                    continue;
                }
                let mut s = PgStat {
                    reported_epoch: map.epoch,
                    reported_seq: self.now.mono.0,
                    up: m.up.clone(),
                    acting: m.acting.clone(),
                    up_primary: m.up_primary.unwrap_or(OsdId(-1)),
                    acting_primary: m.acting_primary.unwrap_or(OsdId(-1)),
                    last_change: self.now.wall,
                    last_active: self.now.wall,
                    last_fullsized: self.now.wall,
                    ..PgStat::default()
                };
                s.set_state(state);
                s.stats.sum.num_objects = 1;
                s.stats.sum.num_bytes = 1000;
                s.stats.sum.num_object_copies = 3;
                more(pg, &mut s);
                pg_stats.insert(pg, s);
            }
        }
        let mut osd_stat =
            OsdStat { kb: 1 << 20, kb_used: 1000, num_osds: 1, ..Default::default() };
        osd_stat.kb_available = osd_stat.kb - osd_stat.kb_used;
        osd_stat.statfs.total = 1 << 30;
        osd_stat.statfs.available = (1 << 30) - 1_024_000;
        osd_stat.heartbeat_peers = (0..3).filter(|n| *n != id).map(OsdId).collect();
        let message =
            MPgStats { fsid: FSID, osd_stat, pg_stats, epoch: map.epoch, ..MPgStats::default() };
        self.send(session, message);
        self.pass(Duration::from_millis(300));
    }
}

pub fn osd_addr(id: i32, nonce: u32) -> EntityAddrVec {
    addr(22000 + id as u16, 100 + id as u32 + nonce)
}

pub fn boot_message(id: i32, epoch: Epoch) -> MOsdBoot {
    let metadata = [
        ("hostname", "vm"),
        ("ceph_version", VERSION),
        ("ceph_version_short", "16.2.15"),
        ("bluestore_bdev_size", "10737418240"),
        ("default_device_class", "hdd"),
        ("osd_objectstore", "seabed"),
    ];
    MOsdBoot {
        paxos: Paxos::at(u64::from(epoch.0)),
        superblock: OsdSuperblock {
            cluster_fsid: FSID,
            whoami: OsdId(id),
            newest_map: epoch,
            osd_fsid: Uuid([id as u8 + 1; 16]),
            ..OsdSuperblock::default()
        },
        heartbeat_back: addr(24000 + id as u16, 1),
        cluster: addr(23000 + id as u16, 100 + id as u32),
        heartbeat_front: addr(25000 + id as u16, 1),
        metadata: metadata.map(|(k, v)| (k.to_string(), v.to_string())).into(),
        features: feature::PACIFIC_ALL,
        ..MOsdBoot::default()
    }
}

/// A cluster of three OSDs that are up, with a pool `rbd` of 8 PGs, all active and clean.
pub fn healthy() -> (World, SessionId, [SessionId; 3]) {
    let mut w = World::new(3);
    let osds = [0, 1, 2].map(|id| {
        let s = w.osd_session(id);
        w.boot(s, id);
        s
    });
    let c = w.client();
    w.ok(c, r#"{"prefix":"osd pool create","pool":"rbd","pg_num":8}"#);
    w.ok(c, r#"{"prefix":"osd pool application enable","pool":"rbd","app":"rbd"}"#);
    for (id, s) in osds.iter().enumerate() {
        w.report(*s, id as i32, pg_state::ACTIVE | pg_state::CLEAN);
    }
    (w, c, osds)
}

/// Applies the maps of a session's messages on top of `map`.
pub fn follow(map: &mut Option<OsdMap>, packets: &[Packet]) {
    for packet in packets {
        let Message::OsdMap(m) = &packet.message else { continue };
        let first = m.first().unwrap();
        let last = m.last().unwrap();
        for n in first.0..=last.0 {
            let epoch = Epoch(n);
            if map.as_ref().is_some_and(|m| m.epoch >= epoch) {
                continue;
            }
            if let Some(inc) = m.incremental.get(&epoch)
                && let Some(map) = map.as_mut()
            {
                map.apply_checked(&Incremental::decode(inc.clone()).unwrap()).unwrap();
            } else {
                let full = m.full.get(&epoch).expect("no hole in a message of maps");
                *map = Some(OsdMap::decode(full.clone()).unwrap());
            }
        }
    }
}
