//! From what must change to an entry of the map log, and from a committed entry to the answers.

use std::time::Duration;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{Epoch, Incremental, Now, OsdId, OsdXInfo, PgId, UTime};
use seabed_denc::Bytes;
use seabed_messages::{MCommandReply, MMgrCommandReply, MMonCommandAck, MPoolOp, Message, Packet};

use super::{MonError, Monitor};
use crate::command::{Command, Reply};
use crate::draft::Draft;
use crate::map_log::{Append, Change, Door, MapLog, Provenance, Version};
use crate::service::mute::{self, Fate, Mute};
use crate::service::osd::boot::{self, Boot, Booted};
use crate::service::osd::{full, hold, pg_temp, pool, snap, tick};
use crate::session::{Level, Outbox, SessionId};

/// Requests that wait to be proposed; beyond it new ones are answered "try again".
pub(crate) const QUEUE_MAX: usize = 4096;
/// Requests of one entry at most.
const BATCH_MAX: usize = 512;
/// Entries between two snapshots: what a restart replays at most.
const SNAPSHOT_EVERY: u64 = 1000;
/// How often maps tell that snapshots are trimmed: what one epoch may say is worth one.
const PRUNE_INTERVAL: Duration = Duration::from_secs(5);
/// How soon to try again when the log takes nothing.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Where and in what form the answer to a command goes.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub session: SessionId,
    pub tid: u64,
    pub form: ReplyForm,
}

/// The message that answers a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyForm {
    Mon,
    Tell,
    Mgr,
}

impl ReplyTo {
    pub(crate) fn packet(&self, reply: Reply) -> Packet {
        let Reply { code: result, status, data: output } = reply;
        let message: Message = match self.form {
            ReplyForm::Mon => {
                MMonCommandAck { result, status, output, ..MMonCommandAck::default() }.into()
            }
            ReplyForm::Tell => {
                MCommandReply { result, status, output, ..MCommandReply::default() }.into()
            }
            ReplyForm::Mgr => {
                MMgrCommandReply { result, status, output, ..MMgrCommandReply::default() }.into()
            }
        };
        Packet::with_tid(self.tid, message)
    }
}

/// Something that may change the state.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Command { reply: ReplyTo, command: Box<Command>, input: Bytes },
    PoolOp { tid: u64, op: Box<MPoolOp> },
    Boot(Box<Boot>),
    Alive { osd: OsdId, version: Epoch },
    PgTemp { osd: OsdId, forced: bool, wishes: Vec<(PgId, Vec<OsdId>)> },
    MarkDown { osd: OsdId, up_from: Epoch, dead: bool, cause: String },
    MarkMeDown { osd: OsdId, dead: bool, echo: Option<Packet> },
    MarkMeDead { osd: OsdId, epoch: Epoch },
    Full { osd: OsdId, state: u32 },
    PurgedScrub { osd: OsdId, stamp: UTime },
    Housekeeping,
}

impl Work {
    /// True if it makes no sense without somebody to answer to.
    pub(crate) fn needs_session(&self) -> bool {
        matches!(self, Work::Command { .. } | Work::PoolOp { .. })
    }
}

/// Work with its origin.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub session: Option<SessionId>,
    pub who: String,
    pub work: Work,
}

/// What to do once the entry is durable.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Send(SessionId, Packet),
    Maps(SessionId),
    Log(Level, String),
}

/// An entry on its way.
pub(crate) struct InFlight {
    version: Version,
    afters: Vec<After>,
}

impl Monitor {
    /// The version of the entry on its way.
    pub(super) fn in_flight_version(&self) -> Option<Version> {
        self.in_flight.as_ref().map(|f| f.version)
    }

    /// Puts work into the queue.
    pub(super) fn enqueue(&mut self, pending: Pending, out: &mut Outbox) {
        if self.queue.len() >= QUEUE_MAX {
            if let (Work::Command { reply, .. }, true) = (&pending.work, pending.session.is_some())
            {
                let busy = Reply {
                    code: seabed_cluster::Errno::EAGAIN.wire(),
                    status: "the monitor is busy".to_string(),
                    data: Bytes::new(),
                };
                out.send(reply.session, reply.packet(busy));
            }
            return;
        }
        self.queue.push_back(pending);
    }

    /// Proposes what waits, unless the last proposal is still on its way or there were too many.
    pub(super) fn propose_if_due(
        &mut self,
        now: Now,
        log: &mut dyn MapLog,
        out: &mut Outbox,
    ) -> Result<(), MonError> {
        while !self.queue.is_empty() && self.in_flight.is_none() {
            if self.pace.next_at() > now.mono || !self.propose(now, log, out)? {
                break;
            }
            self.advance(now, log, out)?;
        }
        Ok(())
    }

    /// One entry of what waits. False if the log takes nothing now.
    fn propose(
        &mut self,
        now: Now,
        log: &mut dyn MapLog,
        out: &mut Outbox,
    ) -> Result<bool, MonError> {
        let mut draft = Draft::new(self.state.osdmap().clone(), now);
        let count = self.queue.len().min(BATCH_MAX);
        let batch: Vec<Pending> = self.queue.drain(..count).collect();
        let mut afters = Vec::new();
        for pending in &batch {
            self.decide(&mut draft, pending, &mut afters)?;
        }
        let Some(entry) = draft.finish()? else {
            self.run_afters(now, afters, out);
            return Ok(true);
        };
        match log.append(self.state.version, &entry)? {
            Append::Submitted(version) => {
                self.pace.proposed(now.mono);
                self.in_flight = Some(InFlight { version, afters });
                Ok(true)
            }
            Append::Conflict(_) | Append::Unavailable => {
                // Decided on again, on top of what came first.
                for pending in batch.into_iter().rev() {
                    self.queue.push_front(pending);
                }
                self.pace.rest(now.mono, RETRY_INTERVAL);
                Ok(false)
            }
        }
    }

    fn decide(
        &mut self,
        draft: &mut Draft,
        pending: &Pending,
        afters: &mut Vec<After>,
    ) -> Result<(), MonError> {
        let who = pending.who.clone();
        let maps = |afters: &mut Vec<After>| {
            if let Some(session) = pending.session {
                afters.push(After::Maps(session));
            }
        };
        match &pending.work {
            Work::Command { reply, command, input } => {
                self.decide_command(draft, &who, reply, command, input, afters)?;
            }
            Work::PoolOp { tid, op } => {
                self.decide_pool_op(draft, pending.session, &who, *tid, op, afters)?;
            }
            Work::Boot(boot) => self.decide_boot(draft, &who, boot, afters, maps)?,
            Work::Alive { .. } | Work::PgTemp { .. } => {
                self.decide_placement(draft, who, &pending.work);
                maps(afters);
            }
            Work::MarkDown { osd, up_from, dead, cause } => {
                let map = draft.map_arc();
                if map.is_up(*osd) && map.up_from(*osd) == *up_from && !draft.touches(*osd) {
                    self.mark_down(draft, *osd, *dead);
                    draft.because(Provenance::new(who, Door::Message, cause.clone()));
                    afters.push(After::Log(Level::Info, format!("osd.{osd} failed ({cause})")));
                }
                maps(afters);
            }
            Work::MarkMeDown { osd, dead, echo } => {
                let held = hold::holds(draft.map(), *osd, flag::osd::NODOWN);
                if draft.map().is_up(*osd) && !held && !draft.touches(*osd) {
                    self.mark_down(draft, *osd, *dead);
                    draft.because(Provenance::new(who, Door::Message, "mark me down"));
                    let text = format!("osd.{osd} marked itself down");
                    afters.push(After::Log(Level::Info, text));
                }
                if let (Some(session), Some(echo)) = (pending.session, echo) {
                    afters.push(After::Send(session, echo.clone()));
                }
            }
            Work::MarkMeDead { .. } | Work::Full { .. } | Work::PurgedScrub { .. } => {
                self.decide_self_report(draft, who, &pending.work);
                maps(afters);
            }
            Work::Housekeeping => self.decide_housekeeping(draft, afters)?,
        }
        Ok(())
    }

    /// What primaries need for their PGs.
    fn decide_placement(&self, draft: &mut Draft, who: String, work: &Work) {
        match work {
            Work::Alive { osd, version }
                if draft.map().is_up(*osd) && draft.map().up_thru(*osd) < *version =>
            {
                let epoch = draft.inc().new_up_thru.entry(*osd).or_default();
                *epoch = (*epoch).max(*version);
                draft.because(Provenance::new(who, Door::Message, "alive"));
            }
            Work::PgTemp { osd, forced, wishes } => {
                let map = draft.map_arc();
                let inc = draft.inc();
                let taken = pg_temp::request(&map, inc, *osd, *forced, wishes.iter().cloned());
                if taken == 0 {
                    draft.close_if_empty();
                    return;
                }
                if map.up_thru(*osd) < map.epoch {
                    draft.inc().new_up_thru.entry(*osd).or_insert(map.epoch);
                }
                draft.because(Provenance::new(who, Door::Message, "pg_temp"));
            }
            _ => {}
        }
    }

    /// What OSDs say of themselves, up or not.
    fn decide_self_report(&self, draft: &mut Draft, who: String, work: &Work) {
        let map = draft.map_arc();
        let xinfo = |osd: &OsdId| map.osd_xinfo.get(osd.index().unwrap_or_default()).cloned();
        match work {
            Work::MarkMeDead { osd, epoch } => {
                let down = map.exists(*osd) && map.is_down(*osd) && !draft.touches(*osd);
                if let Some(mut x) = xinfo(osd).filter(|x| down && x.dead_epoch < *epoch) {
                    x.dead_epoch = *epoch;
                    draft.inc().new_xinfo.insert(*osd, x);
                    draft.because(Provenance::new(who, Door::Message, "mark me dead"));
                }
            }
            Work::Full { osd, state } if map.exists(*osd) && !draft.touches(*osd) => {
                if full::report(&map, draft.inc(), *osd, *state) {
                    draft.because(Provenance::new(who, Door::Message, "full"));
                }
                draft.close_if_empty();
            }
            Work::PurgedScrub { osd, stamp } => {
                let free = !draft.touches(*osd);
                let newer = |x: &OsdXInfo| free && x.last_purged_snaps_scrub < *stamp;
                if let Some(mut x) = xinfo(osd).filter(newer) {
                    x.last_purged_snaps_scrub = *stamp;
                    draft.inc().new_xinfo.insert(*osd, x);
                    draft.because(Provenance::new(who, Door::Message, "purged snaps scrub"));
                }
            }
            _ => {}
        }
    }

    fn decide_boot(
        &mut self,
        draft: &mut Draft,
        who: &str,
        boot: &Boot,
        afters: &mut Vec<After>,
        maps: impl Fn(&mut Vec<After>),
    ) -> Result<(), MonError> {
        match boot::boot(draft, boot)? {
            Booted::Up => {
                draft.because(Provenance::new(who, Door::Message, "boot"));
                if self.state.osd_metadata.get(&boot.osd) != Some(&boot.metadata) {
                    draft.change(Change::OsdMetadata {
                        osd: boot.osd,
                        metadata: boot.metadata.clone(),
                    });
                }
                let addr = boot.client.legacy_or_front();
                afters.push(After::Log(Level::Info, format!("osd.{} {addr} boot", boot.osd)));
                maps(afters);
            }
            Booted::Already => maps(afters),
            Booted::Refused(why) => {
                let text = format!("boot of osd.{} refused: it {why}", boot.osd);
                afters.push(After::Log(Level::Warn, text));
                maps(afters);
            }
        }
        Ok(())
    }

    /// Marks an OSD down, with all that follows from it.
    fn mark_down(&self, draft: &mut Draft, osd: OsdId, dead: bool) {
        let map = draft.map_arc();
        let epoch = map.epoch;
        let wall = draft.now().wall;
        let inc = draft.inc();
        *inc.new_state.entry(osd).or_insert(0) |= flag::osd::UP;
        let index = osd.index().unwrap_or_default();
        if let Some(xinfo) = map.osd_xinfo.get(index) {
            let mut xinfo = xinfo.clone();
            xinfo.down_stamp = wall;
            if dead {
                xinfo.dead_epoch = epoch;
            }
            inc.new_xinfo.insert(osd, xinfo);
        }
    }

    fn decide_housekeeping(
        &mut self,
        draft: &mut Draft,
        afters: &mut Vec<After>,
    ) -> Result<(), MonError> {
        let mut lines = Vec::new();
        let options = self.options();
        let now = draft.now();
        tick::tick(draft, &self.liveness, &options, now, &mut lines);
        afters.extend(lines.into_iter().map(|l| After::Log(Level::Info, l)));
        let stats = &self.stats;
        let created = &self.created_pgs;
        let done = pool::finish_creating(draft, |map, id| {
            map.pools.get(&id).is_some_and(|p| {
                (0..p.pg_num).all(|seed| {
                    let pg = PgId::new(id, seed);
                    created.contains(&pg) || stats.is_created(pg)
                })
            })
        });
        if done > 0 {
            draft.because(Provenance::new("mon", Door::Monitor, "all PGs created"));
        }
        draft.close()?;
        let map = draft.map_arc();
        if now.mono >= self.prune_after {
            let max = options.u64("mon_max_snap_prune_per_epoch");
            let trimmed = snap::trimmed(&map, stats, if max == 0 { u64::MAX } else { max });
            if !trimmed.is_empty() {
                draft.inc().new_purged_snaps = trimmed;
                draft.because(Provenance::new("mon", Door::Monitor, "snapshots trimmed"));
                self.prune_after = now.mono + PRUNE_INTERVAL;
            }
        }
        if full::quotas(&map, &self.stats, draft.inc()) {
            draft.because(Provenance::new("mon", Door::Monitor, "quota of pools"));
        }
        if full::derive(&map, draft.inc()) {
            draft.because(Provenance::new("mon", Door::Monitor, "fullness of pools"));
        }
        draft.close_if_empty();
        self.decide_mutes(draft, afters);
        Ok(())
    }

    /// Ends the mutes that are due.
    fn decide_mutes(&self, draft: &mut Draft, afters: &mut Vec<After>) {
        if self.state.mutes.is_empty() {
            return;
        }
        let (mutes, now) = (&self.state.mutes, draft.now());
        for (code, fate) in mute::due(mutes, &self.view(now).health(), now.wall) {
            let mute = match fate {
                Fate::Ends(why) => {
                    let text = format!("Health alert mute {code} cleared ({why})");
                    afters.push(After::Log(Level::Info, text));
                    None
                }
                Fate::Counts(count) => mutes.get(&code).map(|m| Mute { count, ..m.clone() }),
            };
            draft.change(Change::Mute { code, mute });
            draft.because(Provenance::new("mon", Door::Monitor, "health checks changed"));
        }
    }

    /// Takes what the log committed, tells subscribers, then answers who waited for it.
    pub(super) fn advance(
        &mut self,
        now: Now,
        log: &mut dyn MapLog,
        out: &mut Outbox,
    ) -> Result<(), MonError> {
        let committed = log.committed()?;
        if committed > self.state.version {
            let before = (self.state.maps.newest(), self.state.config_version);
            let monmap = self.state.monmap.epoch;
            while self.state.version < committed {
                let entries = log.read(self.state.version.next(), BATCH_MAX)?;
                if entries.is_empty() {
                    break;
                }
                for (version, entry) in &entries {
                    self.state.apply(*version, entry)?;
                    self.entries_since_snapshot += 1;
                    self.log.audit(now.wall, entry);
                }
            }
            if self.state.maps.newest() != before.0 {
                self.follow_map(now);
            }
            let config = self.state.config_version != before.1;
            if config {
                self.follow_settings();
            }
            self.publish(config, self.state.monmap.epoch != monmap, out);
        }
        if let Some(flight) = self.in_flight.take() {
            if flight.version <= self.state.version {
                self.run_afters(now, flight.afters, out);
            } else {
                self.in_flight = Some(flight);
            }
        }
        if self.entries_since_snapshot >= SNAPSHOT_EVERY && self.in_flight.is_none() {
            self.trim(log)?;
        }
        Ok(())
    }

    /// Lets go of what nobody needs, and makes the log short.
    fn trim(&mut self, log: &mut dyn MapLog) -> Result<(), MonError> {
        let keep = self.options().u64("mon_min_osdmap_epochs").max(1);
        let newest = self.state.maps.newest();
        let bound = Epoch(newest.0.saturating_sub(u32::try_from(keep).unwrap_or(u32::MAX)));
        if let Some(clean) = self.stats.min_last_epoch_clean(self.state.osdmap()) {
            self.state.trim_maps(bound.min(clean))?;
        }
        log.trim(self.state.version, self.state.to_snapshot())?;
        self.entries_since_snapshot = 0;
        Ok(())
    }

    fn follow_map(&mut self, now: Now) {
        let map = self.state.osdmap().clone();
        self.liveness.follow(&map, now.mono);
        self.failures.forget_dead(&map);
        self.stats.follow(&map);
        self.created_pgs.retain(|pg| map.pools.contains_key(&pg.pool));
        self.beacons.retain(|osd, _| map.is_up(*osd));
        // What OSDs said of their fullness may have to show in the pools.
        let mut scratch = Incremental::new(map.fsid, map.epoch.next());
        if full::derive(&map, &mut scratch) {
            self.schedule_housekeeping(now);
        }
    }

    fn run_afters(&mut self, now: Now, afters: Vec<After>, out: &mut Outbox) {
        for after in afters {
            match after {
                After::Send(session, packet) => {
                    if self.sessions.contains_key(&session) {
                        out.send(session, packet);
                    }
                }
                After::Maps(session) => self.send_newer_maps(session, out),
                After::Log(level, text) => {
                    self.log.line(now.wall, "cluster", level, &text);
                    out.log(level, text);
                }
            }
        }
    }
}
