//! The table of PGs: how they come into being, follow the maps, and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use seabed_cluster::{
    Collection, Epoch, Now, OsdId, OsdMap, PastIntervals, PgHistory, PgId, PgInfo, PgNotify,
    PgQuery, PoolId, SpgId,
};
use seabed_messages::{MMonGetOsdMap, MPgLog, MPgNotify2, Message, Packet};
use seabed_pg::{Env, Level, Membership, Outbox, Peer, Pg, Step};
use seabed_storage::ObjectStore;

use crate::Osd;
use crate::maps::Learned;

impl Osd {
    /// Loads what the disk holds and brings it to the newest map that is on disk too.
    pub(crate) fn load_pgs(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(newest) = self.map.clone() else { return Ok(()) };
        for collection in store.collections()? {
            let Collection::Pg(id) = collection else { continue };
            let loaded = self.load_pg(now, id, &newest, store, out)?;
            if !loaded {
                self.removing.insert(id);
            }
        }
        Ok(())
    }

    /// False if the collection holds no PG that is still wanted.
    fn load_pg(
        &mut self,
        now: Now,
        id: SpgId,
        newest: &Arc<OsdMap>,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<bool> {
        let whoami = self.config.whoami;
        let map = newest.clone();
        let (config, ids) = (&self.config.pg, &mut self.ids);
        let mut env = Env { now, whoami, map, store, out, config, ids };
        let Some(epoch) = Pg::stored_epoch(&env, id)? else { return Ok(false) };
        if !newest.pools.contains_key(&id.pg.pool) {
            return Ok(false);
        }
        let start = self.maps.get(env.store, epoch)?;
        let (start, gap) = match start {
            Some(map) => (map, false),
            None => {
                let oldest = self.maps.oldest();
                let Some(map) = self.maps.get(env.store, oldest)? else { return Ok(false) };
                (map, true)
            }
        };
        let Some(mut pg) = Pg::load(&mut env, id, &start)? else { return Ok(false) };
        if gap {
            pg.gap(&mut env, &start)?;
        }
        let mut last = start;
        while last.epoch < newest.epoch {
            let Some(next) = self.maps.get(env.store, last.epoch.next())? else { break };
            pg.advance(&mut env, &next, &last)?;
            last = next;
        }
        self.pgs.insert(id, pg);
        Ok(true)
    }

    /// Maps arrived.
    pub(crate) fn on_maps(
        &mut self,
        now: Now,
        from: Peer,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Message::OsdMap(m) = packet.message else { return Ok(()) };
        if m.fsid != self.config.fsid {
            return Ok(());
        }
        if let Peer::Osd(osd) = from {
            self.peer_has(osd, m.newest);
        }
        let had = self.maps.newest();
        let learned = match self.maps.learn(store, &m)? {
            Learned::Nothing => return Ok(()),
            Learned::Epochs(maps) => maps,
            Learned::AskAgain => {
                self.ask_for_maps(now, out);
                return Ok(());
            }
            Learned::AskFull(first) => {
                let last = m.last().unwrap_or(first);
                self.log(out, Level::Warn, format_args!("cannot follow epoch {first}"));
                let (full_first, full_last) = (first, last);
                out.send(Peer::Mon, MMonGetOsdMap { full_first, full_last, ..Default::default() });
                return Ok(());
            }
            Learned::Bad(error) => {
                self.log(out, Level::Error, format_args!("maps of {from:?}: {error}"));
                return Ok(());
            }
        };
        let gap = had != Epoch(0) && learned.first().is_some_and(|m| m.epoch > had.next());
        self.follow(now, learned, gap, store, out)
    }

    /// Leads every PG through the new epochs and acts on the newest.
    fn follow(
        &mut self,
        now: Now,
        learned: Vec<Arc<OsdMap>>,
        gap: bool,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(newest) = learned.last().cloned() else { return Ok(()) };
        let mut last = self.map.clone();
        self.map = Some(newest.clone());
        for (n, map) in learned.iter().enumerate() {
            for id in self.pg_ids() {
                let before = last.clone();
                self.with_pg(now, id, store, out, |pg, env| match before {
                    Some(_) if gap && n == 0 => pg.gap(env, map),
                    Some(before) => pg.advance(env, map, &before),
                    None => Ok(()),
                })?;
            }
            self.note_births(last.as_deref().filter(|_| !(gap && n == 0)), map);
            last = Some(map.clone());
        }
        self.fetches.follow(now, learned);
        for osd in newest.osds().filter(|o| newest.is_down(*o)) {
            if self.peer_epochs.remove(&osd).is_some() {
                out.close(Peer::Osd(osd));
            }
        }
        self.drop_pools(&newest, store)?;
        self.look_for_us(now, out);
        self.trim_maps(now, store, out)?;
        if self.phase.is_active() {
            self.act(now, store, out)?;
        }
        self.take_up_waiting(now, store, out)
    }

    /// Every PG acts on the newest map; those that this OSD must lead and lacks are made.
    fn act(&mut self, now: Now, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        self.create_missing(now, store, out)?;
        for id in self.pg_ids() {
            self.with_pg(now, id, store, out, |pg, env| pg.activate_map(env))?;
        }
        self.choose_heartbeat_peers(now);
        Ok(())
    }

    fn take_up_waiting(&mut self, now: Now, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        for (from, packet) in std::mem::take(&mut self.waiting_map) {
            self.message(now, from, packet, store, out)?;
        }
        for (_, waiting) in std::mem::take(&mut self.waiting_pg) {
            for (from, packet) in waiting {
                self.message(now, from, packet, store, out)?;
            }
        }
        Ok(())
    }

    fn note_births(&mut self, before: Option<&OsdMap>, map: &OsdMap) {
        self.births.retain(|pool, _| map.pools.contains_key(pool));
        for pool in map.pools.keys() {
            let known = match before {
                Some(before) if before.pools.contains_key(pool) => continue,
                Some(_) => Some(map.epoch),
                None => (map.epoch == Epoch(1)).then_some(map.epoch),
            };
            self.births.insert(*pool, known);
        }
    }

    /// The epoch that made a pool, if the maps on disk reach back to it.
    fn birth(&mut self, pool: PoolId, store: &dyn ObjectStore) -> Step<Option<Epoch>> {
        if let Some(known) = self.births.get(&pool) {
            return Ok(*known);
        }
        let mut epoch = self.maps.newest();
        let mut found = None;
        while let Some(map) = self.maps.get(store, epoch)? {
            if !map.pools.contains_key(&pool) {
                found = Some(epoch.next());
                break;
            }
            if epoch == Epoch(1) {
                found = Some(epoch);
                break;
            }
            epoch = Epoch(epoch.0 - 1);
        }
        self.births.insert(pool, found);
        Ok(found)
    }

    /// Makes PGs that this OSD leads, does not have, and whose whole life it can follow in its
    /// maps. Others it learns of from those who have them.
    fn create_missing(&mut self, now: Now, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        let Some(map) = self.map.clone() else { return Ok(()) };
        for (pool, spec) in &map.pools {
            for seed in 0..spec.pg_num {
                let id = SpgId::replicated(PgId::new(*pool, seed));
                if self.pgs.contains_key(&id)
                    || map.map_pg(id.pg).acting_primary != Some(self.config.whoami)
                {
                    continue;
                }
                let Some(birth) = self.birth(*pool, store)? else { continue };
                let history = PgHistory {
                    epoch_created: birth,
                    epoch_pool_created: birth,
                    ..PgHistory::default()
                };
                self.create(now, id, birth, history, PastIntervals::default(), store, out)?;
            }
        }
        Ok(())
    }

    /// Makes a PG as of `epoch` and leads it to the newest map.
    #[allow(clippy::too_many_arguments)]
    fn create(
        &mut self,
        now: Now,
        id: SpgId,
        epoch: Epoch,
        history: PgHistory,
        past: PastIntervals,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        if self.removing.contains(&id) {
            self.remove_fully(now, id, store, out)?;
        }
        let (Some(newest), Some(start)) = (self.map.clone(), self.maps.get(store, epoch)?) else {
            return Ok(());
        };
        let whoami = self.config.whoami;
        let map = newest.clone();
        let (config, ids) = (&self.config.pg, &mut self.ids);
        let mut env = Env { now, whoami, map, store, out, config, ids };
        let Some(mut pg) = Pg::create(&mut env, id, &start, history, past)? else {
            return Ok(());
        };
        let mut last = start;
        while last.epoch < newest.epoch {
            let Some(next) = self.maps.get(env.store, last.epoch.next())? else { break };
            pg.advance(&mut env, &next, &last)?;
            last = next;
        }
        self.pgs.insert(id, pg);
        Ok(())
    }

    /// The monitor names PGs that this OSD should lead into being.
    pub(crate) fn on_pg_create(
        &mut self,
        now: Now,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Message::OsdPgCreate2(m) = packet.message else { return Ok(()) };
        if m.epoch > self.epoch() || !self.phase.is_active() {
            // It comes again with the next map.
            return Ok(());
        }
        let Some(map) = self.map.clone() else { return Ok(()) };
        for (id, creation) in &m.pgs {
            let lead = map.pools.contains_key(&id.pg.pool)
                && map.map_pg(id.pg).acting_primary == Some(self.config.whoami);
            if !lead || self.pgs.contains_key(id) {
                continue;
            }
            let history = PgHistory {
                epoch_created: creation.created,
                epoch_pool_created: creation.created,
                ..PgHistory::default()
            };
            if self.maps.get(store, creation.created)?.is_some() {
                let past = PastIntervals::default();
                self.create(now, *id, creation.created, history, past, store, out)?;
            } else if let Some(told) = m.histories.get(id) {
                let (history, past) = (told.history.clone(), told.past_intervals.clone());
                self.create(now, *id, m.epoch, history, past, store, out)?;
            }
            self.with_pg(now, *id, store, out, |pg, env| pg.activate_map(env))?;
        }
        self.choose_heartbeat_peers(now);
        self.take_up_waiting(now, store, out)
    }

    /// A copy announces itself to us, its primary, who may not have the PG yet.
    pub(crate) fn ensure_for_notify(
        &mut self,
        now: Now,
        id: SpgId,
        notify: &PgNotify,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(map) = self.map.clone() else { return Ok(()) };
        let lead = map.pools.contains_key(&id.pg.pool)
            && map.map_pg(id.pg).acting_primary == Some(self.config.whoami);
        if self.pgs.contains_key(&id) || !lead || notify.info.dne() {
            return Ok(());
        }
        let (history, past) = (notify.info.history.clone(), notify.past_intervals.clone());
        self.create(now, id, notify.epoch_sent, history, past, store, out)?;
        self.with_pg(now, id, store, out, |pg, env| pg.activate_map(env))?;
        self.choose_heartbeat_peers(now);
        self.take_up_waiting(now, store, out)
    }

    /// The primary activates a copy that is not there yet.
    pub(crate) fn ensure_for_log(
        &mut self,
        now: Now,
        id: SpgId,
        m: &MPgLog,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        if self.pgs.contains_key(&id) {
            return Ok(());
        }
        let Some(newest) = self.map.clone() else { return Ok(()) };
        let Some(now_member) = Membership::of(&newest, id.pg) else { return Ok(()) };
        if !now_member.everyone().contains(&self.config.whoami) {
            return Ok(());
        }
        // The interval that the primary speaks of must still be the present one.
        let mut epoch = m.query_epoch;
        while epoch < newest.epoch {
            match self.maps.get(store, epoch)? {
                Some(map) if Membership::of(&map, id.pg).as_ref() == Some(&now_member) => {}
                _ => return Ok(()),
            }
            epoch = epoch.next();
        }
        let history = m.info.history.clone();
        let past = m.past_intervals.clone();
        self.create(now, id, m.query_epoch, history, past, store, out)?;
        self.choose_heartbeat_peers(now);
        Ok(())
    }

    /// A question about a PG that is not here.
    pub(crate) fn answer_without(&self, pg: SpgId, to: OsdId, query: &PgQuery, out: &mut Outbox) {
        let notify = PgNotify {
            query_epoch: query.epoch_sent,
            epoch_sent: self.epoch(),
            info: PgInfo::new(pg),
            ..PgNotify::default()
        };
        out.send(Peer::Osd(to), MPgNotify2 { pg, notify, ..MPgNotify2::default() });
    }

    fn drop_pools(&mut self, map: &OsdMap, store: &mut dyn ObjectStore) -> Step {
        let gone: Vec<SpgId> =
            self.pgs.keys().copied().filter(|id| !map.pools.contains_key(&id.pg.pool)).collect();
        for id in gone {
            self.begin_removal(id, store)?;
        }
        self.waiting_pg.retain(|id, _| map.pools.contains_key(&id.pg.pool));
        Ok(())
    }

    /// The PG is not wanted any more. After this it no longer counts as one, over a crash too.
    pub(crate) fn begin_removal(&mut self, id: SpgId, store: &mut dyn ObjectStore) -> Step {
        if self.pgs.remove(&id).is_some() {
            self.trimming.done(id);
            self.fetches.forget(id);
            store.submit(seabed_pg::forget(id))?;
            self.removing.insert(id);
        }
        Ok(())
    }

    pub(crate) fn remove_some(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(id) = self.removing.first().copied() else { return Ok(()) };
        if self.remove_step(now, id, store, out)? {
            self.removing.remove(&id);
        }
        Ok(())
    }

    fn remove_step(
        &mut self,
        _now: Now,
        id: SpgId,
        store: &mut dyn ObjectStore,
        _out: &mut Outbox,
    ) -> Step<bool> {
        seabed_pg::destroy(store, id, self.config.removal_step)
    }

    fn remove_fully(
        &mut self,
        now: Now,
        id: SpgId,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        while !self.remove_step(now, id, store, out)? {}
        self.removing.remove(&id);
        Ok(())
    }

    /// Forgets maps that neither the monitor nor a PG here needs.
    fn trim_maps(&mut self, now: Now, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        let newest = self.maps.newest().0;
        let bound = Epoch(newest.saturating_sub(self.config.maps_kept))
            .min(self.maps.superblock.cluster_osdmap_trim_lower_bound);
        // In steps, so that not every epoch costs a write to every PG.
        if bound.0 < self.maps.oldest().0 + self.config.maps_kept / 5 {
            return Ok(());
        }
        for id in self.pg_ids() {
            self.with_pg(now, id, store, out, |pg, env| pg.store_epoch(env))?;
        }
        self.maps.trim(store, bound)
    }

    /// Pools in which this OSD has PGs.
    pub(crate) fn pools_here(&self) -> BTreeSet<PoolId> {
        self.pgs.keys().map(|id| id.pg.pool).collect()
    }
}
