//! Subscriptions: who hears of which map, from which version on.

use std::collections::BTreeMap;

use seabed_cluster::{EntityType, Epoch, feature};
use seabed_denc::{Bytes, Encode};
use seabed_messages::{MConfig, MLog, MMgrMap, MMonMap, MOsdMap, MgrMap, Paxos};

use super::Monitor;
use crate::authorize::osd_of;
use crate::history::MAP_FEATURES;
use crate::options::effective;
use crate::options::target::Place;
use crate::service::cluster_log::priority;
use crate::session::{Outbox, SessionId};

/// Epochs in one message, and bytes, at most: the bounds that Ceph's monitor keeps.
const EPOCHS_MAX: usize = 40;
const BYTES_MAX: usize = 10 << 20;
/// Messages of maps in answer to one subscription at most; an OSD asks on for the rest.
const MESSAGES_MAX: usize = 64;
/// OSDs that get every new map unasked; in a larger cluster they pass maps on to each other.
const PUSH_OSDS_MAX: usize = 64;
/// The version of the mgr map: it never changes while the monitor runs.
const MGR_MAP_EPOCH: u32 = 2;
/// Subscriptions to the cluster log: this and the least level of the lines wanted.
const LOG_PREFIX: &str = "log-";
/// The id of the mgr that this monitor is.
pub(crate) const MGR_GID: u64 = 4098;

impl Monitor {
    /// Answers all subscriptions of a session that can be answered now.
    pub(super) fn serve(&mut self, id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&id) else { return };
        let names: Vec<String> = session.subscriptions.keys().cloned().collect();
        for name in names {
            self.serve_one(id, &name, out);
        }
    }

    fn serve_one(&mut self, id: SessionId, name: &str, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(sub) = session.subscriptions.get(name).copied() else { return };
        let newest = match name {
            "monmap" => u64::from(self.state.monmap.epoch.0),
            "osdmap" => u64::from(self.state.maps.newest().0),
            "config" => self.state.config_version,
            "mgrmap" => u64::from(MGR_MAP_EPOCH),
            _ if log_level(name).is_some() => self.log.version(),
            // Others are accepted and never answered: there is nothing to tell.
            _ => return,
        };
        if sub.start > newest {
            return;
        }
        match name {
            "monmap" => out.send(id, self.monmap_message()),
            "config" => self.send_config(id, out),
            "mgrmap" => out.send(id, MMgrMap { map: self.mgr_map(), ..MMgrMap::default() }),
            "osdmap" => {
                let start = u32::try_from(sub.start).unwrap_or(u32::MAX);
                self.send_maps(id, Epoch(start), out);
            }
            log => {
                let level = log_level(log).unwrap_or_default();
                let paxos = Paxos { version: newest, ..Paxos::default() };
                let entries = self.log.since(sub.start, level);
                // Even an empty one tells where the next begins.
                let fsid = self.state.monmap.fsid;
                out.send(id, MLog { paxos, fsid, entries, ..MLog::default() });
            }
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if sub.onetime {
            session.subscriptions.remove(name);
        } else if let Some(sub) = session.subscriptions.get_mut(name) {
            sub.start = newest + 1;
        }
    }

    /// Tells those who follow the cluster log what it has got since they were told last.
    pub(super) fn publish_log(&mut self, out: &mut Outbox) {
        if self.log_told == self.log.version() {
            return;
        }
        self.log_told = self.log.version();
        let followers: Vec<(SessionId, String)> = self
            .sessions
            .iter()
            .flat_map(|(id, s)| s.subscriptions.keys().map(|name| (*id, name)))
            .filter(|(_, name)| log_level(name).is_some())
            .map(|(id, name)| (id, name.clone()))
            .collect();
        for (id, name) in followers {
            self.serve_one(id, &name, out);
        }
    }

    /// Tells everybody what is new.
    pub(super) fn publish(&mut self, _config: bool, _monmap: bool, out: &mut Outbox) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in &ids {
            self.serve(*id, out);
        }
        let osds: Vec<SessionId> = ids
            .into_iter()
            .filter(|id| {
                let session = &self.sessions[id];
                session.is_osd() && session.osd_epoch > Epoch::ZERO
            })
            .collect();
        // Each new map goes to OSDs unasked, in a large cluster to some of them in turn.
        let n = osds.len().max(1);
        let first = self.state.maps.newest().0 as usize % n;
        for i in 0..osds.len().min(PUSH_OSDS_MAX) {
            let id = osds[(first + i) % n];
            self.send_newer_maps(id, out);
            self.offer_creations(id, out);
        }
    }

    /// The map of monitors as a message.
    pub(super) fn monmap_message(&self) -> MMonMap {
        MMonMap { monmap: self.state.monmap.to_bytes(MAP_FEATURES), ..MMonMap::default() }
    }

    /// What applies to the peer of a session.
    pub(super) fn send_config(&self, id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&id) else { return };
        let entity = &session.peer.entity;
        let options: BTreeMap<String, String> =
            effective(&self.state.settings, entity, &Place::of(self.state.osdmap(), entity))
                .into_iter()
                .map(|(name, (_, value))| (name, value))
                .collect();
        out.send(id, MConfig { options, ..MConfig::default() });
    }

    /// The mgr map: this monitor, at the address where it is greeted as a mgr.
    pub(crate) fn mgr_map(&self) -> MgrMap {
        let Some(addrs) = &self.config.mgr_addrs else {
            return MgrMap { epoch: Epoch(MGR_MAP_EPOCH), ..MgrMap::default() };
        };
        MgrMap {
            epoch: Epoch(MGR_MAP_EPOCH),
            active_addrs: addrs.clone(),
            active_gid: MGR_GID,
            available: true,
            active_name: self.config.name.clone(),
            active_change: self.started_wall,
            active_mgr_features: feature::PACIFIC_ALL,
            ..MgrMap::default()
        }
    }

    /// Maps from what the session has on; none if it has the newest.
    pub(super) fn send_newer_maps(&mut self, id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&id) else { return };
        let have = session.osd_epoch;
        if have < self.state.maps.newest() {
            self.send_maps(id, have.next(), out);
        }
    }

    /// Maps from `start` to the newest. 0 asks for the newest alone; a start before the window
    /// gets the oldest full map first (OSDs) or the newest (others).
    pub(super) fn send_maps(&mut self, id: SessionId, start: Epoch, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let maps = &self.state.maps;
        let is_osd = osd_of(session).is_some() && session.peer.name.kind == EntityType::Osd;
        let (oldest, newest) = (maps.oldest(), maps.newest());
        let mut next = start;
        let mut message =
            MOsdMap { fsid: self.state.monmap.fsid, oldest, newest, ..MOsdMap::default() };
        if start == Epoch::ZERO || (start <= oldest && !is_osd) {
            message.full.insert(newest, maps.latest().encode_full(MAP_FEATURES));
            next = newest.next();
        } else if start <= oldest {
            message.full.insert(oldest, maps.base().encode_full(MAP_FEATURES));
            next = oldest.next();
        }
        let empty = MOsdMap { full: BTreeMap::new(), ..message.clone() };
        for _ in 0..MESSAGES_MAX {
            let mut bytes: usize = message.full.values().map(Bytes::len).sum();
            while next <= newest
                && message.incremental.len() + message.full.len() < EPOCHS_MAX
                && bytes < BYTES_MAX
            {
                let Some(increment) = maps.increment(next) else { break };
                bytes += increment.len();
                message.incremental.insert(next, increment.clone());
                next = next.next();
            }
            if message.last().is_none() {
                break;
            }
            session.osd_epoch = session.osd_epoch.max(message.last().unwrap_or_default());
            out.send(id, std::mem::replace(&mut message, empty.clone()));
            if next > newest {
                break;
            }
        }
    }
}

/// The level of a subscription to the cluster log.
pub(super) fn log_level(subscription: &str) -> Option<u16> {
    priority(subscription.strip_prefix(LOG_PREFIX)?)
}
