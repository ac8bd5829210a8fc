//! The OSD: its state, and the way of an input through it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seabed_cluster::{
    EntityAddr, EntityName, EntityType, Epoch, Now, OsdId, OsdMap, OsdSuperblock, PgId, PoolId,
    SpgId, Time, Uuid,
};
use seabed_messages::{MOsdAlive, MOsdPgCreated, MOsdPgTemp, Packet, Paxos};
use seabed_pg::{Env, Ids, Level, Outbox, Peer, Pg, Request, SessionId, Step};
use seabed_storage::{ObjectStore, StoreError, TxId};
use thiserror::Error;

use crate::bench::Bench;
use crate::boot::Phase;
use crate::fetch::{Fetches, OURSELVES};
use crate::heartbeat::Heartbeat;
use crate::maps::{self, Maps};
use crate::options::Options;
use crate::purged::Look;
use crate::trimming::Trimming;
use crate::{Input, OsdConfig};

/// Why an OSD does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store was never made one of an OSD.
    #[error("the store holds no OSD")]
    NotAnOsd,
    /// The store belongs to somebody else.
    #[error("the store is osd.{} of cluster {}", .0.whoami.0, .0.cluster_fsid)]
    OtherOsd(Box<OsdSuperblock>),
    /// An option of the conf file is wrong.
    #[error("option {0}")]
    Option(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An open session of a client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) entity: EntityName,
    pub(crate) addr: EntityAddr,
    /// The newest map it is known to have.
    pub(crate) epoch: Epoch,
}

/// An object storage daemon, without its I/O.
#[derive(Debug)]
pub struct Osd {
    /// What holds now.
    pub(crate) config: OsdConfig,
    pub(crate) options: Options,
    pub(crate) maps: Maps,
    pub(crate) map: Option<Arc<OsdMap>>,
    pub(crate) phase: Phase,
    pub(crate) pgs: BTreeMap<SpgId, Pg>,
    /// PGs whose objects are being removed.
    pub(crate) removing: BTreeSet<SpgId>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// The newest map each OSD is known to have.
    pub(crate) peer_epochs: BTreeMap<OsdId, Epoch>,
    /// OSDs whose pings show that they are behind.
    pub(crate) owed: BTreeSet<OsdId>,
    pub(crate) waiting_map: VecDeque<(Peer, Packet)>,
    /// Clients' requests for PGs that this OSD leads and does not have yet.
    pub(crate) waiting_pg: BTreeMap<SpgId, Vec<(Peer, Packet)>>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) trimming: Trimming,
    pub(crate) fetches: Fetches,
    pub(crate) births: BTreeMap<PoolId, Option<Epoch>>,
    pub(crate) mon_connected: bool,
    /// The process is about to end.
    pub(crate) leaving: bool,
    pub(crate) maps_asked: Option<Time>,
    pub(crate) report_at: Option<Time>,
    pub(crate) beacon_at: Option<Time>,
    pub(crate) stat_seq: u32,
    /// The bit of fullness that the monitor was told last.
    pub(crate) fullness_told: u32,
    pub(crate) committed: TxId,
    pub(crate) ids: Ids,
    pub(crate) bench: Option<Bench>,
    pub(crate) look: Look,
}

/// Makes an empty store one of an OSD; the transaction must be durable before the OSD starts.
pub fn mkfs(
    store: &mut dyn ObjectStore,
    fsid: Uuid,
    whoami: OsdId,
    osd_fsid: Uuid,
) -> Result<TxId, StoreError> {
    let block = OsdSuperblock { cluster_fsid: fsid, whoami, osd_fsid, ..OsdSuperblock::default() };
    store.submit(maps::mkfs(&block))
}

impl Osd {
    /// Takes up what the store holds. The OSD is quiet until [`Input::MonConnected`].
    pub fn start(
        config: OsdConfig,
        store: &mut dyn ObjectStore,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Osd, StartError> {
        let maps = Maps::load(store)?.ok_or(StartError::NotAnOsd)?;
        let block = &maps.superblock;
        if block.whoami != config.whoami || block.cluster_fsid != config.fsid {
            return Err(StartError::OtherOsd(Box::new(block.clone())));
        }
        let mut options = Options::start(&config).map_err(StartError::Option)?;
        let mut config = config;
        options.apply(&mut config);
        let fetches = Fetches::new(config.fsid, config.features);
        let ourselves = Session {
            entity: EntityName { kind: EntityType::Osd, num: config.whoami.0.into() },
            addr: config.addrs.client.0.first().copied().unwrap_or_default(),
            epoch: Epoch(0),
        };
        let mut osd = Osd {
            config,
            options,
            maps,
            map: None,
            phase: Phase::default(),
            pgs: BTreeMap::new(),
            removing: BTreeSet::new(),
            sessions: BTreeMap::from([(OURSELVES, ourselves)]),
            peer_epochs: BTreeMap::new(),
            owed: BTreeSet::new(),
            waiting_map: VecDeque::new(),
            waiting_pg: BTreeMap::new(),
            heartbeat: Heartbeat::default(),
            trimming: Trimming::default(),
            fetches,
            births: BTreeMap::new(),
            mon_connected: false,
            leaving: false,
            maps_asked: None,
            report_at: None,
            beacon_at: None,
            stat_seq: 0,
            fullness_told: 0,
            committed: TxId::default(),
            ids: Ids::default(),
            bench: Bench::leftovers(store)?,
            look: Look::default(),
        };
        let newest = osd.maps.newest();
        osd.map = osd.maps.get(store, newest)?;
        osd.fetches.follow(now, osd.map.iter().cloned().collect());
        osd.load_pgs(now, store, out)?;
        osd.bench_goes_on(now, store, out)?;
        Ok(osd)
    }

    /// Takes one input to its end.
    pub fn step(&mut self, now: Now, input: Input, store: &mut dyn ObjectStore, out: &mut Outbox) {
        let mark = out.sent.len();
        let mut step = self.handle(now, input, store, out);
        if step.is_ok() {
            step = self.finish(now, store, out, mark);
        }
        if let Err(error) = step {
            // What was about to be said may rest on what the store failed to do.
            out.sent.truncate(mark);
            out.stop = Some(error.to_string());
        }
    }

    fn handle(
        &mut self,
        now: Now,
        input: Input,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        match input {
            Input::Message { from, packet } => self.message(now, from, packet, store, out),
            Input::Committed(done) => self.on_committed(now, &done, store, out),
            Input::SessionOpened { peer, entity, addr } => {
                if let Peer::Client(id) | Peer::HeartbeatSession(id) = peer {
                    let session = Session { entity, addr, epoch: Epoch(0) };
                    self.sessions.insert(id, session);
                }
                Ok(())
            }
            Input::SessionClosed(id) => self.session_closed(now, id, store, out),
            Input::PeerReset { peer, refused } => {
                self.peer_reset(peer, refused, out);
                if let Peer::OsdPublic(osd) = peer {
                    let until = now.mono + self.config.copies.pause;
                    self.fetches.lost(osd, until);
                    // The rest of that session, if there is one, concerns nobody.
                    out.close(peer);
                }
                Ok(())
            }
            Input::MonConnected => {
                self.mon_connected(now, out);
                Ok(())
            }
            Input::Stop => {
                self.leave(out);
                Ok(())
            }
            Input::Tick => self.tick(now, store, out),
        }
    }

    fn session_closed(
        &mut self,
        now: Now,
        id: SessionId,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        self.sessions.remove(&id);
        self.leave_bench(id);
        for pg in self.pg_ids() {
            self.with_pg(now, pg, store, out, |pg, env| pg.session_closed(env, id))?;
        }
        Ok(())
    }

    fn on_committed(
        &mut self,
        now: Now,
        done: &[TxId],
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(through) = done.iter().max().copied() else { return Ok(()) };
        self.committed = self.committed.max(through);
        self.fetches.committed(done.len());
        for id in self.pg_ids() {
            self.with_pg(now, id, store, out, |pg, env| pg.committed(env, through))?;
        }
        self.bench_goes_on(now, store, out)?;
        self.watch_fullness(now, store, out)
    }

    fn tick(&mut self, now: Now, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        self.boot_tick(now, out);
        self.heartbeat_tick(now, out);
        if self.phase.is_active() {
            for id in self.pg_ids() {
                self.with_pg(now, id, store, out, |pg, env| pg.tick(env))?;
            }
        }
        self.fetches.tick(now);
        self.remove_some(now, store, out)?;
        self.look_tick(now, store, out)?;
        self.report_tick(now, store, out)
    }

    /// When the next [`Input::Tick`] is due.
    pub fn wake_at(&self) -> Option<Time> {
        let pgs = self.pgs.values().filter_map(|pg| pg.wake_at());
        let removal = (!self.removing.is_empty()).then_some(Time::ZERO);
        let (boot, heartbeat) = (self.boot_wake(), self.heartbeat.wake_at());
        let (fetches, look) = (self.fetches.wake_at(), self.look_wake());
        let own = [boot, heartbeat, self.report_at, self.beacon_at, fetches, look];
        pgs.chain(own.into_iter().flatten()).chain(removal).min()
    }

    /// The newest map.
    pub fn map(&self) -> Option<&Arc<OsdMap>> {
        self.map.as_ref()
    }

    /// The PGs, for checkers and tools.
    pub fn pgs(&self) -> impl Iterator<Item = &Pg> {
        self.pgs.values()
    }

    /// True when the map shows this OSD up and it takes part.
    pub fn is_active(&self) -> bool {
        self.phase.is_active()
    }

    /// This OSD.
    pub fn whoami(&self) -> OsdId {
        self.config.whoami
    }

    /// The first invariant broken by any PG.
    pub fn check(&self) -> Result<(), String> {
        self.pgs.values().try_for_each(seabed_pg::check)
    }

    pub(crate) fn pg_ids(&self) -> Vec<SpgId> {
        self.pgs.keys().copied().collect()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.map.as_ref().map_or(Epoch(0), |m| m.epoch)
    }

    /// Runs something on a PG with what it may touch.
    pub(crate) fn with_pg<T>(
        &mut self,
        now: Now,
        id: SpgId,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
        f: impl FnOnce(&mut Pg, &mut Env<'_>) -> Step<T>,
    ) -> Step<Option<T>> {
        let (Some(pg), Some(map)) = (self.pgs.get_mut(&id), self.map.clone()) else {
            return Ok(None);
        };
        let whoami = self.config.whoami;
        let (config, ids) = (&self.config.pg, &mut self.ids);
        let mut env = Env { now, whoami, map, store, out, config, ids };
        f(pg, &mut env).map(Some)
    }

    /// Turns the PGs' wishes into messages, and shows maps to those who are behind.
    fn finish(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
        mark: usize,
    ) -> Step {
        let mut temps: BTreeMap<PgId, Vec<OsdId>> = BTreeMap::new();
        let epoch = self.epoch();
        self.take_requests(now, out, &mut temps);
        // Whoever may trim now, or has what it copies, has wishes of its own.
        while self.grant_trims(now, store, out)? || self.gather(now, store, out, mark)? {
            self.take_requests(now, out, &mut temps);
        }
        if !temps.is_empty() {
            let message = MOsdPgTemp {
                paxos: Paxos::at(epoch.0.into()),
                epoch,
                pg_temp: temps,
                ..MOsdPgTemp::default()
            };
            out.send(Peer::Mon, message);
        }
        self.show_maps(store, out, mark)?;
        self.pay(store, out)
    }

    fn take_requests(
        &mut self,
        now: Now,
        out: &mut Outbox,
        temps: &mut BTreeMap<PgId, Vec<OsdId>>,
    ) {
        let epoch = self.epoch();
        for request in std::mem::take(&mut out.requests) {
            match request {
                Request::UpThru(want) => {
                    let paxos = Paxos::at(epoch.0.into());
                    out.send(Peer::Mon, MOsdAlive { paxos, want, ..MOsdAlive::default() });
                }
                Request::ActingSet(pg, want) => drop(temps.insert(pg, want)),
                Request::Created(pg) => {
                    let pool = self.map.as_ref().and_then(|m| m.pools.get(&pg.pool));
                    let creating = seabed_cluster::osdmap::pool_flag::CREATING;
                    if pool.is_some_and(|p| p.has_flag(creating)) {
                        out.send(Peer::Mon, MOsdPgCreated { pg, ..MOsdPgCreated::default() });
                    }
                }
                Request::Report(_) => self.report_soon(now),
                Request::TrimSlot(id) => self.trimming.ask(id),
                Request::TrimDone(id) => self.trimming.done(id),
                Request::Fetch(pg, id, source) => self.fetches.want(pg, id, source),
                Request::StopFetch(id) => self.fetches.stop(id),
            }
        }
    }

    pub(crate) fn log(&self, out: &mut Outbox, level: Level, text: std::fmt::Arguments<'_>) {
        out.log(level, format!("osd.{}: {text}", self.config.whoami.0));
    }
}
