//! What holds after every step. Pure; run by tests and the simulator.

use super::Monitor;
use super::propose::QUEUE_MAX;
use crate::history::MAP_FEATURES;
use crate::service::cluster_log::LINES_MAX;
use crate::session::{SESSIONS_MAX, SUBSCRIPTIONS_MAX};

impl Monitor {
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_maps()?;
        self.check_bounds()?;
        let newest = self.state.maps.newest();
        for (id, session) in &self.sessions {
            if session.osd_epoch > newest {
                return Err(format!("{id:?} was sent epoch {}, newer than any", session.osd_epoch));
            }
        }
        if let Some(version) = self.in_flight_version()
            && version <= self.state.version
        {
            return Err(format!("entry {version:?} is applied and still in flight"));
        }
        for pg in self.stats.pgs.keys() {
            let exists =
                self.state.osdmap().pools.get(&pg.pool).is_some_and(|p| pg.seed < p.pg_num);
            if !exists {
                return Err(format!("statistics of {pg}, which does not exist"));
            }
        }
        Ok(())
    }

    fn check_maps(&self) -> Result<(), String> {
        let maps = &self.state.maps;
        let span = u64::from(maps.newest().0 - maps.oldest().0);
        if span != maps.increments().len() as u64 {
            return Err(format!("{span} epochs, {} increments", maps.increments().len()));
        }
        let map = maps.latest();
        let n = usize::try_from(map.max_osd).unwrap_or(usize::MAX);
        let sizes = [map.osd_state.len(), map.osd_weight.len(), map.osd_addrs.len()];
        if sizes.iter().any(|s| *s != n) {
            return Err(format!("vectors of {sizes:?} OSDs, max_osd {n}"));
        }
        for (pg, osds) in &map.pg_temp {
            if osds.iter().any(|o| !map.is_up(*o) && *o != seabed_cluster::OsdId::NONE) {
                return Err(format!("pg_temp of {pg} names an OSD that is down"));
            }
        }
        for (id, pool) in &map.pools {
            if pool.min_size > pool.size || pool.pgp_num > pool.pg_num || pool.pg_num == 0 {
                return Err(format!("pool {id} has impossible sizes"));
            }
            if !map.pool_names.contains_key(id) {
                return Err(format!("pool {id} has no name"));
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), String> {
        let bounded = self.sessions.len() <= SESSIONS_MAX
            && self.queue.len() <= QUEUE_MAX
            && self.log.len() <= LINES_MAX
            && self.sessions.values().all(|s| s.subscriptions.len() <= SUBSCRIPTIONS_MAX);
        if bounded { Ok(()) } else { Err("a bound is exceeded".to_string()) }
    }

    /// The costly one: the window of increments leads from its base to the newest map.
    pub fn check_window(&self) -> Result<(), String> {
        let maps = &self.state.maps;
        let mut map = maps.base().clone();
        for increment in maps.increments() {
            let inc = seabed_cluster::Incremental::decode(increment.clone())
                .map_err(|e| format!("increment behind {}: {e}", map.epoch))?;
            map.apply(&inc).map_err(|e| format!("increment to {}: {e}", inc.epoch))?;
            let crc = seabed_cluster::OsdMap::crc_of(&map.encode_full(MAP_FEATURES));
            if crc != inc.full_crc {
                return Err(format!("epoch {} has another checksum than told", inc.epoch));
            }
        }
        if map == **maps.latest() { Ok(()) } else { Err("the window misses the newest map".into()) }
    }
}
