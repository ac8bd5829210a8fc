//! The monitor's state machine: what comes in, and when it wants to be woken.
//!
//! `intake` takes messages apart, `propose` makes entries of what must change, `publish` tells
//! subscribers. A step ends with everything that can be done at that moment done.

mod decide;
mod intake;
mod invariants;
mod osd_intake;
mod pace;
mod propose;
mod publish;
mod tell;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use seabed_cluster::options::{Layers, LogLevels};
use seabed_cluster::{EntityAddrVec, MapError, Now, Time, UTime};
use seabed_messages::Packet;
use thiserror::Error;

use crate::map_log::{LogError, MapLog};
use crate::options::target::Place;
use crate::options::{self, Options, effective};
use crate::service::cluster_log::ClusterLog;
use crate::service::osd::failure::Failures;
use crate::service::osd::tick::{Liveness, blocklist_wake};
use crate::service::services::Services;
use crate::service::stats::PgMap;
use crate::session::{Outbox, Peer, SESSIONS_MAX, Session, SessionId};
use crate::state::{State, StateError};

use pace::Pace;
use propose::{InFlight, Pending};

/// How soon timers are looked at again that were due but changed nothing (an OSD that may not go
/// out, say).
const TIMER_INTERVAL: Duration = Duration::from_secs(5);

/// What the shell knows of this monitor.
#[derive(Debug, Clone)]
pub struct MonConfig {
    /// Its name.
    pub name: String,
    /// The address published as the active mgr's; where connections are greeted as by a mgr.
    /// `None` publishes that there is no mgr.
    pub mgr_addrs: Option<EntityAddrVec>,
    /// Options given at the start.
    pub options: BTreeMap<String, String>,
    /// The version text, in the form of `ceph version X.Y.Z (hash) name (stable)`.
    pub version: String,
    /// The host's name.
    pub hostname: String,
}

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// A session begins.
    SessionOpened {
        /// Its number.
        session: SessionId,
        /// Who is there.
        peer: Peer,
    },
    /// A message.
    Message {
        /// On which session.
        session: SessionId,
        /// What is said.
        packet: Packet,
    },
    /// A session ended.
    SessionClosed(SessionId),
    /// The log has committed something.
    LogCommitted,
    /// Time has passed.
    Tick,
}

/// Why the monitor must stop.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MonError {
    /// The log failed or holds what cannot be.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An option given at the start is wrong.
    #[error("option {0}")]
    Option(String),
    /// A change was decided on that does not fit the map: a fault of this program.
    #[error("a proposal does not fit the map: {0}")]
    Proposal(#[from] MapError),
}

/// The monitor.
pub struct Monitor {
    config: MonConfig,
    state: State,
    sessions: BTreeMap<SessionId, Session>,
    stats: PgMap,
    failures: Failures,
    liveness: Liveness,
    log: ClusterLog,
    services: Services,
    /// The version of the cluster log that its followers have been told.
    log_told: u64,
    /// This monitor's own options.
    layers: Layers,
    queue: VecDeque<Pending>,
    in_flight: Option<InFlight>,
    created_pgs: std::collections::BTreeSet<seabed_cluster::PgId>,
    pace: Pace,
    housekeeping_at: Option<Time>,
    /// When the map may next tell that snapshots are trimmed.
    prune_after: Time,
    timers_after: Time,
    started: Time,
    started_wall: UTime,
    entries_since_snapshot: u64,
    beacons: BTreeMap<seabed_cluster::OsdId, seabed_cluster::Epoch>,
}

impl Monitor {
    /// Reads the log; the monitor is then as it was when it stopped, without sessions.
    pub fn new(config: MonConfig, log: &mut dyn MapLog, now: Now) -> Result<Self, MonError> {
        let layers = options::started(&config.options).map_err(MonError::Option)?;
        let state = State::load(log)?;
        let snapshot = log.snapshot()?.map_or(0, |(v, _)| v.0);
        let mut liveness = Liveness::default();
        liveness.follow(state.osdmap(), now.mono);
        let cluster_log = ClusterLog::new(&config.name, &state.monmap);
        let mut monitor = Self {
            entries_since_snapshot: state.version.0.saturating_sub(snapshot),
            config,
            state,
            sessions: BTreeMap::new(),
            stats: PgMap::default(),
            failures: Failures::default(),
            liveness,
            log: cluster_log,
            services: Services::default(),
            log_told: 0,
            layers,
            queue: VecDeque::new(),
            in_flight: None,
            created_pgs: Default::default(),
            pace: Pace::default(),
            housekeeping_at: None,
            prune_after: now.mono,
            timers_after: now.mono,
            started: now.mono,
            started_wall: now.wall,
            beacons: BTreeMap::new(),
        };
        monitor.follow_settings();
        Ok(monitor)
    }

    /// What the cluster's settings say of this monitor holds from now on.
    fn follow_settings(&mut self) {
        let who = format!("mon.{}", self.config.name);
        let set = effective(&self.state.settings, &who, &Place::default());
        self.layers
            .follow_mon(set.iter().map(|(name, (_, value))| (name.as_str(), value.as_str())));
    }

    /// Takes one input to its end.
    pub fn step(
        &mut self,
        now: Now,
        input: Input,
        log: &mut dyn MapLog,
        out: &mut Outbox,
    ) -> Result<(), MonError> {
        match input {
            Input::SessionOpened { session, peer } => self.open(session, peer, out),
            Input::SessionClosed(session) => self.close(now, session),
            Input::Message { session, packet } => self.message(now, session, packet, out),
            Input::LogCommitted => {}
            Input::Tick if log.leads() => self.tick(now),
            Input::Tick => {}
        }
        self.advance(now, log, out)?;
        self.propose_if_due(now, log, out)?;
        self.publish_log(out);
        Ok(())
    }

    fn open(&mut self, id: SessionId, peer: Peer, out: &mut Outbox) {
        if self.sessions.len() >= SESSIONS_MAX {
            out.close(id, "too many sessions");
            return;
        }
        self.sessions.insert(id, Session::new(peer));
    }

    fn close(&mut self, now: Now, id: SessionId) {
        self.services.close(id, now.wall);
        self.sessions.remove(&id);
        self.queue.retain(|p| p.session != Some(id) || !p.work.needs_session());
    }

    /// When `step` wants to be called with [`Input::Tick`] even if nothing arrives.
    pub fn wake_at(&self, now: Now) -> Option<Time> {
        let map = self.state.osdmap();
        let options = self.options();
        let batch = (!self.queue.is_empty() && self.in_flight.is_none())
            .then(|| self.pace.next_at().max(now.mono));
        [
            batch,
            self.liveness.wake_at(map, &options).map(|t| t.max(self.timers_after)),
            self.failures.wake_at(now.mono),
            blocklist_wake(map, now).map(|t| t.max(self.timers_after)),
            // Who is muted may end, by time or by what is wrong.
            (!self.state.mutes.is_empty()).then_some(self.timers_after),
            self.housekeeping_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The replicated state, for tests and checkers.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was reported, for tests and checkers.
    pub fn stats(&self) -> &PgMap {
        &self.stats
    }

    /// How much is to be logged.
    pub fn log_levels(&self) -> LogLevels {
        self.layers.log_levels("debug_mon")
    }

    pub(crate) fn options(&self) -> Options<'_> {
        Options(&self.layers)
    }
}
