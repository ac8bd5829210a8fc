//! A monitor that keeps the map and believes everybody.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{
    EntityAddrVec, Epoch, Incremental, OsdAddrs, OsdId, OsdMap, PgId, PgStat, Pool, PoolId, UTime,
    feature, osdmap::flag,
};
use seabed_denc::Bytes;
use seabed_messages::{MMonGetPurgedSnapsReply, MMonGetVersionReply, MOsdMap, Message, Packet};

use super::FSID;

pub struct Mon {
    pub map: OsdMap,
    /// Every map, in order.
    pub history: Vec<OsdMap>,
    incs: BTreeMap<Epoch, Bytes>,
    first: (Epoch, Bytes),
    pending: Option<Incremental>,
    sessions: BTreeMap<usize, OsdAddrs>,
    /// The newest epoch each subscriber was sent.
    sent: BTreeMap<usize, Epoch>,
    dead: BTreeSet<usize>,
    /// What was told of each PG last.
    pub stats: BTreeMap<PgId, PgStat>,
}

impl Mon {
    pub fn new(osds: usize, size: u32, min_size: u32, pg_num: u32) -> Mon {
        let mut map = OsdMap::empty(FSID, UTime::ZERO);
        map.epoch = Epoch(1);
        map.set_max_osd(osds as i32).unwrap();
        map.flags = flag::map::FRESH;
        map.require_osd_release = 16;
        let mut crush = seabed_crush::CrushMap::new_default();
        for n in 0..osds {
            let host = format!("host{n}");
            let at = [("host", host.as_str()), ("root", "default")];
            crush.insert_item(n as i32, 0x10000, &format!("osd.{n}"), &at).unwrap();
            map.osd_state[n] = flag::osd::EXISTS;
            map.osd_weight[n] = 0x10000;
        }
        map.crush = crush;
        let full = map.encode_full(feature::PACIFIC_ALL);
        let map = OsdMap::decode(full.clone()).unwrap();
        let mut mon = Mon {
            history: vec![map.clone()],
            first: (Epoch(1), full),
            map,
            incs: BTreeMap::new(),
            pending: None,
            sessions: BTreeMap::new(),
            sent: BTreeMap::new(),
            dead: BTreeSet::new(),
            stats: BTreeMap::new(),
        };
        mon.add_pool(1, size, min_size, pg_num);
        mon
    }

    pub fn add_pool(&mut self, id: i64, size: u32, min_size: u32, pg_num: u32) {
        let epoch = self.map.epoch.next();
        let pool = Pool::new_replicated(size, min_size, 0, pg_num, epoch, UTime::ZERO);
        let change = self.change();
        change.new_pools.insert(PoolId(id), pool);
        change.new_pool_names.insert(PoolId(id), format!("pool{id}"));
        change.new_pool_max = PoolId(id);
    }

    /// Begins to remove a snapshot of pool 1.
    pub fn remove_snap(&mut self, snap: u64) {
        self.change().new_removed_snaps.entry(PoolId(1)).or_default().insert(snap, 1);
    }

    /// Snapshots that every PG has trimmed, as far as told, are purged.
    fn purge(&mut self) {
        let map = self.map.clone();
        for (pool, queue) in &map.removed_snaps_queue {
            let mut done = queue.clone();
            for seed in 0..map.pools[pool].pg_num {
                match self.stats.get(&PgId::new(*pool, seed)) {
                    Some(stat) => done.intersect(&stat.purged_snaps),
                    None => return,
                }
            }
            if !done.is_empty() {
                self.change().new_purged_snaps.insert(*pool, done);
            }
        }
    }

    pub fn change(&mut self) -> &mut Incremental {
        let next = self.map.epoch.next();
        self.pending.get_or_insert_with(|| Incremental::new(FSID, next))
    }

    /// The next map, if nothing else happens.
    pub fn preview(&mut self) -> OsdMap {
        let mut change = self.change().clone();
        self.map.seal(&mut change, feature::PACIFIC_ALL).unwrap().0
    }

    pub fn connected(&mut self, n: usize, addrs: OsdAddrs) {
        self.sessions.insert(n, addrs);
        self.sent.remove(&n);
        self.dead.remove(&n);
    }

    pub fn disconnected(&mut self, n: usize) {
        self.sessions.remove(&n);
        self.sent.remove(&n);
        self.dead.insert(n);
    }

    /// Marks an OSD down, and forgets pg_temp that names it.
    pub fn mark_down(&mut self, n: usize) {
        let osd = OsdId(n as i32);
        if !self.map.is_up(osd) || self.change().new_state.contains_key(&osd) {
            return;
        }
        let temps: Vec<_> = self
            .map
            .pg_temp
            .iter()
            .filter(|(_, osds)| osds.contains(&osd))
            .map(|(pg, _)| *pg)
            .collect();
        let change = self.change();
        change.new_state.insert(osd, flag::osd::UP);
        for pg in temps {
            change.new_pg_temp.insert(pg, Vec::new());
        }
    }

    pub fn set_weight(&mut self, n: usize, weight: u32) {
        self.change().new_weight.insert(OsdId(n as i32), weight);
    }

    fn boot(&mut self, n: usize) {
        let osd = OsdId(n as i32);
        let Some(addrs) = self.sessions.get(&n).cloned() else { return };
        if self.map.is_up(osd) {
            if self.map.addrs(osd).is_some_and(|a| a.cluster == addrs.cluster) {
                return;
            }
            self.mark_down(n);
            return;
        }
        let change = self.change();
        if change.new_state.contains_key(&osd) {
            return;
        }
        let none = EntityAddrVec::default();
        let OsdAddrs { client, cluster, heartbeat_back, heartbeat_front } = addrs;
        assert_ne!(client, none);
        change.new_up_client.insert(osd, client);
        change.new_up_cluster.insert(osd, cluster);
        change.new_hb_back_up.insert(osd, heartbeat_back);
        change.new_hb_front_up.insert(osd, heartbeat_front);
    }

    pub fn message(&mut self, n: usize, packet: Packet) -> Vec<(usize, Packet)> {
        if !self.sessions.contains_key(&n) {
            return Vec::new();
        }
        let osd = OsdId(n as i32);
        let up = self.map.is_up(osd)
            && self.map.addrs(osd).map(|a| &a.cluster) == self.sessions.get(&n).map(|a| &a.cluster);
        match packet.message {
            Message::MonSubscribe(m) => {
                if let Some(s) = m.what.get("osdmap") {
                    self.sent.insert(n, Epoch((s.start as u32).saturating_sub(1)));
                }
                return self.send_maps(n).into_iter().collect();
            }
            Message::MonGetVersion(m) => {
                let newest = self.map.epoch.0.into();
                let reply = MMonGetVersionReply {
                    handle: m.handle,
                    newest,
                    oldest: 1,
                    ..Default::default()
                };
                return vec![(n, reply.into())];
            }
            Message::MonGetPurgedSnaps(m) => {
                let epochs = self.history.iter().filter(|map| map.epoch >= m.start);
                let told = epochs.map(|map| (map.epoch, map.new_purged_snaps.clone()));
                let reply = MMonGetPurgedSnapsReply {
                    start: m.start,
                    last: m.last,
                    purged_snaps: told.collect(),
                    ..Default::default()
                };
                return vec![(n, reply.into())];
            }
            Message::OsdBoot(_) => self.boot(n),
            Message::PgStats(m) => self.stats.extend(m.pg_stats),
            Message::OsdAlive(m) if up => {
                let want = m.paxos.version as u32;
                self.change().new_up_thru.insert(osd, Epoch(want));
            }
            Message::OsdPgTemp(m) if up => {
                let epoch = m.epoch;
                for (pg, osds) in m.pg_temp {
                    let lead = self.map.map_pg(pg).acting_primary == Some(osd);
                    if lead && osds.iter().all(|o| self.map.is_up(*o)) {
                        self.change().new_pg_temp.insert(pg, osds);
                    }
                }
                self.change().new_up_thru.insert(osd, epoch);
            }
            _ => {}
        }
        Vec::new()
    }

    fn send_maps(&mut self, n: usize) -> Option<(usize, Packet)> {
        let since = self.sent.get(&n).copied()?;
        if since >= self.map.epoch {
            return None;
        }
        let mut m =
            MOsdMap { fsid: FSID, oldest: Epoch(1), newest: self.map.epoch, ..Default::default() };
        let mut epoch = since.next();
        if epoch == self.first.0 {
            m.full.insert(epoch, self.first.1.clone());
            epoch = epoch.next();
        }
        while epoch <= self.map.epoch {
            m.incremental.insert(epoch, self.incs[&epoch].clone());
            epoch = epoch.next();
        }
        self.sent.insert(n, self.map.epoch);
        Some((n, m.into()))
    }

    /// Makes the next epoch, if anything is to change, and sends it round.
    pub fn tick(&mut self) -> Vec<(usize, Packet)> {
        self.purge();
        if let Some(mut change) = self.pending.take() {
            let (map, _) = self.map.seal(&mut change, feature::PACIFIC_ALL).unwrap();
            self.incs.insert(change.epoch, change.encode(feature::PACIFIC_ALL));
            self.history.push(map.clone());
            self.map = map;
        }
        let subscribers: Vec<usize> = self.sent.keys().copied().collect();
        subscribers.into_iter().filter_map(|n| self.send_maps(n)).collect()
    }
}
