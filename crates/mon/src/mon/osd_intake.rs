//! What OSDs say of themselves, of each other and of their PGs.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::osdmap::pool_flag;
use seabed_cluster::{
    EntityAddrVec, Epoch, Incremental, Now, OsdId, PastIntervals, PgHistory, PgId, SpgId, Time,
};
use seabed_messages::{
    MOsdBeacon, MOsdBoot, MOsdFailure, MOsdMarkMeDown, MOsdPgCreate2, MPgStats, Message, Packet,
    PgCreation, PgCreationHistory, failure_flag,
};

use super::propose::{Pending, Work};
use super::{Monitor, TIMER_INTERVAL};
use crate::authorize::{Request, authorize, osd_of};
use crate::service::osd::boot::Boot;
use crate::service::osd::failure::{FailureReport, Verdict};
use crate::service::osd::full;
use crate::session::{Level, Outbox, SessionId};

/// How long after a report of statistics bookkeeping that follows from it may wait.
const HOUSEKEEPING_DELAY: Duration = Duration::from_millis(200);
/// PGs offered for creation in one message at most.
const CREATE_MAX: usize = 1024;

/// Pairs of an OSD's metadata kept, and bytes of each: it is stored for good.
const METADATA_MAX: usize = 256;
const METADATA_LEN_MAX: usize = 4096;

fn bounded(metadata: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fits = |(k, v): &(String, String)| k.len() + v.len() <= METADATA_LEN_MAX;
    metadata.into_iter().filter(fits).take(METADATA_MAX).collect()
}

impl Monitor {
    pub(super) fn osd_message(
        &mut self,
        now: Now,
        id: SessionId,
        tid: u64,
        message: Message,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if authorize(session, Request::OsdReport).is_err() {
            let text = format!("{} may not send message {}", session.peer.entity, message.kind());
            out.log(Level::Warn, text);
            return;
        }
        let Some(osd) = osd_of(session) else { return };
        let addrs = session.peer.addrs.clone();
        let who = format!("osd.{osd}");
        let has = match &message {
            Message::OsdBoot(m) => m.paxos.version,
            Message::OsdBeacon(m) => m.paxos.version,
            Message::OsdAlive(m) => m.paxos.version,
            Message::OsdFailure(m) => m.paxos.version,
            Message::OsdPgTemp(m) => m.paxos.version,
            Message::OsdFull(m) => m.paxos.version,
            _ => 0,
        };
        let has = Epoch(u32::try_from(has).unwrap_or(u32::MAX)).min(self.state.maps.newest());
        session.osd_epoch = session.osd_epoch.max(has);
        let mut work = |work: Work| Pending { session: Some(id), who: who.clone(), work };
        let pending = match message {
            Message::OsdBoot(m) => self.boot_work(osd, addrs, *m, id).map(&mut work),
            Message::PgStats(m) => {
                self.take_stats(now, osd, *m);
                None
            }
            Message::OsdBeacon(m) => {
                self.beacon(now, osd, &addrs, &m, id, out);
                let stamp = m.last_purged_snaps_scrub;
                (!stamp.is_zero()).then(|| work(Work::PurgedScrub { osd, stamp }))
            }
            Message::OsdFailure(m) => self.failure(now, osd, &m, id, out).map(&mut work),
            Message::OsdMarkMeDown(m) => self.mark_me_down(osd, tid, *m).map(&mut work),
            Message::OsdMarkMeDead(m) => {
                let epoch = m.epoch.min(self.state.maps.newest());
                Some(work(Work::MarkMeDead { osd, epoch }))
            }
            other if !self.is_up_with(osd, &addrs) => {
                // From a life that the map does not know: it needs maps, whatever it wants.
                let _ = other;
                self.send_newer_maps(id, out);
                None
            }
            Message::OsdAlive(m) => {
                let version = m.paxos.version.max(u64::from(m.want.0));
                let version = Epoch(u32::try_from(version).unwrap_or(u32::MAX));
                let version = version.min(self.state.maps.newest());
                Some(work(Work::Alive { osd, version }))
            }
            Message::OsdPgTemp(m) => {
                let wishes = m.pg_temp.into_iter().collect();
                Some(work(Work::PgTemp { osd, forced: m.forced, wishes }))
            }
            Message::OsdFull(m) => Some(work(Work::Full { osd, state: m.state })),
            Message::OsdPgCreated(m) => {
                self.created_pgs.insert(m.pg);
                self.schedule_housekeeping(now);
                None
            }
            Message::OsdPgReadyToMerge(_) => None,
            other => {
                out.log(Level::Debug, format!("message {} from {who} ignored", other.kind()));
                None
            }
        };
        if let Some(pending) = pending {
            self.enqueue(pending, out);
        }
    }

    /// True if the map has the OSD up with exactly these public addresses.
    fn is_up_with(&self, osd: OsdId, addrs: &EntityAddrVec) -> bool {
        let map = self.state.osdmap();
        map.is_up(osd) && map.addrs(osd).is_some_and(|a| a.client == *addrs)
    }

    fn boot_work(
        &mut self,
        osd: OsdId,
        client: EntityAddrVec,
        m: MOsdBoot,
        id: SessionId,
    ) -> Option<Work> {
        if !Self::is_modern(m.features) {
            return None;
        }
        let newest = m.paxos.version;
        if let Some(session) = self.sessions.get_mut(&id) {
            // It has the map it says it has, and nothing newer, whatever was sent before.
            let has = Epoch(u32::try_from(newest).unwrap_or(u32::MAX));
            session.osd_epoch = has.min(self.state.maps.newest());
        }
        Some(Work::Boot(Box::new(Boot {
            osd,
            client,
            cluster: m.cluster,
            heartbeat_back: m.heartbeat_back,
            heartbeat_front: m.heartbeat_front,
            version: Epoch(u32::try_from(newest).unwrap_or(u32::MAX)),
            boot_epoch: m.boot_epoch,
            superblock: m.superblock,
            metadata: bounded(m.metadata),
            features: m.features,
        })))
    }

    fn take_stats(&mut self, now: Now, osd: OsdId, m: MPgStats) {
        let map = self.state.osdmap().clone();
        if m.fsid != map.fsid {
            return;
        }
        self.stats.report(&map, osd, m.osd_stat, m.pg_stats, m.pool_stats, now);
        let creating = map.pools.values().any(|p| p.has_flag(pool_flag::CREATING));
        let mut scratch = Incremental::new(map.fsid, map.epoch.next());
        if creating || full::quotas(&map, &self.stats, &mut scratch) {
            self.schedule_housekeeping(now);
        } else if !map.removed_snaps_queue.is_empty() {
            self.housekeeping_by((now.mono + HOUSEKEEPING_DELAY).max(self.prune_after));
        }
    }

    pub(super) fn schedule_housekeeping(&mut self, now: Now) {
        self.housekeeping_by(now.mono + HOUSEKEEPING_DELAY);
    }

    fn housekeeping_by(&mut self, at: Time) {
        self.housekeeping_at = Some(self.housekeeping_at.map_or(at, |t| t.min(at)));
    }

    fn beacon(
        &mut self,
        now: Now,
        osd: OsdId,
        addrs: &EntityAddrVec,
        m: &MOsdBeacon,
        id: SessionId,
        out: &mut Outbox,
    ) {
        if !self.is_up_with(osd, addrs) {
            self.send_newer_maps(id, out);
            return;
        }
        self.liveness.heard(osd, now.mono);
        self.beacons.insert(osd, m.min_last_epoch_clean);
    }

    fn failure(
        &mut self,
        now: Now,
        osd: OsdId,
        m: &MOsdFailure,
        id: SessionId,
        out: &mut Outbox,
    ) -> Option<Work> {
        let map = self.state.osdmap().clone();
        if m.fsid != map.fsid {
            return None;
        }
        let report = FailureReport {
            reporter: osd,
            target: m.target,
            target_addrs: m.target_addrs.clone(),
            epoch: m.epoch,
            failed: m.flags & failure_flag::FAILED != 0,
            immediate: m.flags & failure_flag::IMMEDIATE != 0,
            failed_for: Duration::from_secs(u64::try_from(m.failed_for_seconds).unwrap_or(0)),
        };
        let mut failures = std::mem::take(&mut self.failures);
        let verdict = failures.report(&map, &self.options(), now.mono, &report);
        self.failures = failures;
        match verdict {
            Verdict::Wait => None,
            Verdict::Stale => {
                self.send_newer_maps(id, out);
                None
            }
            Verdict::Down => {
                let how = if report.immediate { "connection refused" } else { "no answer" };
                Some(Work::MarkDown {
                    osd: m.target,
                    up_from: map.up_from(m.target),
                    dead: report.immediate,
                    cause: format!("{how}, reported by osd.{osd}"),
                })
            }
        }
    }

    fn mark_me_down(&mut self, osd: OsdId, tid: u64, m: MOsdMarkMeDown) -> Option<Work> {
        if m.target != osd {
            return None;
        }
        let echo = m.request_ack.then(|| {
            let reply = MOsdMarkMeDown { request_ack: false, down_and_dead: false, ..m.clone() };
            Packet::with_tid(tid, reply)
        });
        Some(Work::MarkMeDown { osd, dead: m.down_and_dead, echo })
    }

    /// Timers: reports that have become old enough, and bookkeeping that is due.
    pub(super) fn tick(&mut self, now: Now) {
        let map = self.state.osdmap().clone();
        let targets: Vec<OsdId> = self.failures.targets().collect();
        for osd in targets {
            if self.failures.enough(&map, &self.options(), now.mono, osd) {
                let up_from = map.up_from(osd);
                let cause = "no answer to its peers".to_string();
                let work = Work::MarkDown { osd, up_from, dead: false, cause };
                let who = format!("mon.{}", self.config.name);
                self.queue.push_back(Pending { session: None, who, work });
            }
        }
        let due = |at: Option<seabed_cluster::Time>| at.is_some_and(|t| t <= now.mono);
        let options = self.options();
        let timers = due(self.housekeeping_at)
            || now.mono >= self.timers_after
                && (!self.state.mutes.is_empty()
                    || due(self.liveness.wake_at(&map, &options))
                    || due(crate::service::osd::tick::blocklist_wake(&map, now)));
        let queued = self.queue.iter().any(|p| matches!(p.work, Work::Housekeeping));
        if timers && !queued {
            self.housekeeping_at = None;
            self.timers_after = now.mono + TIMER_INTERVAL;
            let who = format!("mon.{}", self.config.name);
            self.queue.push_back(Pending { session: None, who, work: Work::Housekeeping });
        }
    }

    /// Tells an OSD which PGs it is to create: real ones make none without being told.
    pub(super) fn offer_creations(&mut self, id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&id) else { return };
        if !session.subscriptions.contains_key("osd_pg_creates") {
            return;
        }
        let Some(osd) = osd_of(session) else { return };
        let map = self.state.osdmap();
        let mut pgs = BTreeMap::new();
        let mut histories = BTreeMap::new();
        for (pool_id, pool) in &map.pools {
            if !pool.has_flag(pool_flag::CREATING) {
                continue;
            }
            for seed in 0..pool.pg_num {
                let pg = PgId::new(*pool_id, seed);
                if pgs.len() >= CREATE_MAX
                    || self.created_pgs.contains(&pg)
                    || self.stats.is_created(pg)
                    || map.map_pg(pg).acting_primary != Some(osd)
                {
                    continue;
                }
                let created = self.pool_created(*pool_id);
                let spg = SpgId::replicated(pg);
                pgs.insert(spg, PgCreation { created, created_stamp: pool.create_time });
                let history = PgHistory {
                    epoch_created: created,
                    epoch_pool_created: created,
                    same_interval_since: created,
                    same_up_since: created,
                    same_primary_since: created,
                    last_scrub_stamp: pool.create_time,
                    last_deep_scrub_stamp: pool.create_time,
                    last_clean_scrub_stamp: pool.create_time,
                    ..PgHistory::default()
                };
                let past_intervals = PastIntervals::default();
                histories.insert(spg, PgCreationHistory { history, past_intervals });
            }
        }
        if !pgs.is_empty() {
            let epoch = map.epoch;
            out.send(id, MOsdPgCreate2 { epoch, pgs, histories, ..MOsdPgCreate2::default() });
        }
    }

    /// The epoch in which a pool was made: the first map of the window that has it.
    fn pool_created(&self, pool: seabed_cluster::PoolId) -> Epoch {
        let maps = &self.state.maps;
        if maps.base().pools.contains_key(&pool) {
            return maps.oldest();
        }
        let mut epoch = maps.oldest();
        for increment in maps.increments() {
            epoch = epoch.next();
            let made = Incremental::decode(increment.clone())
                .is_ok_and(|inc| inc.new_pools.contains_key(&pool));
            if made {
                return epoch;
            }
        }
        epoch
    }
}
