//! Filling a copy whose log does not reach back: object by object, in object order.
//!
//! ```text
//! Idle ─▶ Scanning ─▶ Filling ─▶ Idle … ─▶ Finishing ─▶ gone
//! ```
//!
//! The target remembers the last object up to which it is complete (`last_backfill`); it is told of
//! a step only after every object of it is durable there. Writes go to it in full for objects
//! that it has or is just being given, and as log entries alone for those behind; an object that is
//! just being given is not written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use seabed_cluster::{
    EVersion, GhObject, HObject, OsdId, PgShard, PgStat, RecoveryProgress, osdmap::flag,
};
use seabed_messages::{BackfillOp, MPgBackfill, MPgBackfillRemove, MPgScan, ScanOp};
use seabed_storage::Transaction;

use super::push::{Built, object_version};
use crate::{Env, Level, Peer, Pg, Request, Step, wire};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Scanning,
    Filling,
    Finishing,
}

/// The filling of one copy.
#[derive(Debug, Default)]
pub(crate) struct Backfill {
    stage: Stage,
    /// The target is complete up to this object, and knows it.
    done: HObject,
    /// Writes up to this object go there in full.
    reached: HObject,
    /// The step ends behind everything.
    last_step: bool,
    /// To be given in this step.
    queue: VecDeque<HObject>,
    /// Being given.
    giving: BTreeMap<HObject, RecoveryProgress>,
}

impl Backfill {
    /// Goes on where the target is.
    pub(crate) fn new(done: HObject) -> Self {
        Backfill { reached: done.clone(), done, ..Backfill::default() }
    }

    /// True if a write of the object goes there in full.
    pub(crate) fn reaches(&self, object: &HObject) -> bool {
        *object <= self.reached
    }

    /// True while the object must not be written.
    pub(crate) fn is_busy_with(&self, object: &HObject) -> bool {
        self.giving.contains_key(object) || self.queue.contains(object)
    }
}

/// True if the map says that an OSD has no room for copies.
pub(crate) fn is_too_full(env: &Env<'_>, osd: OsdId) -> bool {
    env.map.state(osd) & (flag::osd::FULL | flag::osd::BACKFILLFULL) != 0
}

impl Pg {
    /// True if the map's flags let copies be filled now. With `norebalance` those of a PG that has
    /// fewer copies than it should; to move whole ones can wait.
    pub(crate) fn may_backfill(&self, env: &Env<'_>) -> bool {
        !env.map.has_flag(flag::map::NOBACKFILL)
            && (!env.map.has_flag(flag::map::NOREBALANCE) || self.degraded_objects() > 0)
    }

    fn backfill_mut(&mut self, osd: OsdId) -> Option<&mut Backfill> {
        self.active_mut()?.backfills.get_mut(&osd)
    }

    /// Moves every filling on.
    pub(crate) fn backfill_step(&mut self, env: &mut Env<'_>) -> Step {
        let Some(active) = self.active() else { return Ok(()) };
        let targets: Vec<OsdId> = active.backfills.keys().copied().collect();
        for osd in targets {
            let full = is_too_full(env, osd);
            let Some(backfill) = self.backfill_mut(osd) else { continue };
            match backfill.stage {
                // It goes on with the map that shows room there.
                Stage::Idle if full => {}
                Stage::Idle => {
                    backfill.stage = Stage::Scanning;
                    let begin = backfill.done.clone();
                    let packet = wire::scan(self.id, self.epoch, self.whoami, begin);
                    env.out.send(Peer::Osd(osd), packet);
                }
                Stage::Filling => self.fill(env, osd)?,
                Stage::Scanning | Stage::Finishing => {}
            }
        }
        Ok(())
    }

    /// Objects here from `begin` on with their versions, and where the next would be.
    fn digest(
        &self,
        env: &Env<'_>,
        begin: &HObject,
    ) -> Step<(BTreeMap<HObject, EVersion>, HObject)> {
        let start = if begin.is_min() { GhObject::min() } else { GhObject::from(begin.clone()) };
        let max = env.config.backfill_scan;
        let (objects, next) = env.store.list(&self.coll, &start, &GhObject::max(), max)?;
        let mut found = BTreeMap::new();
        for object in objects.iter().filter(|o| !o.is_pg_meta()) {
            let attrs = env.store.get_attrs(&self.coll, object)?;
            found.insert(object.hobj.clone(), object_version(attrs.get(&b"_"[..])));
        }
        let end = if next.is_max() { HObject::max() } else { next.hobj };
        Ok((found, end))
    }

    /// A question about, or the answer with, what a copy has.
    pub fn on_scan(&mut self, env: &mut Env<'_>, from: OsdId, m: MPgScan) -> Step {
        if self.is_stale(m.query_epoch) {
            return Ok(());
        }
        match m.op {
            ScanOp::GetDigest if self.follows(from) => {
                let (objects, end) = self.digest(env, &m.begin)?;
                let answer = MPgScan {
                    op: ScanOp::Digest,
                    epoch: m.epoch,
                    query_epoch: m.query_epoch,
                    pg: m.pg,
                    begin: m.begin,
                    end,
                    from: PgShard::replicated(self.whoami),
                    shard: m.shard,
                    objects: Some(objects),
                    ..MPgScan::default()
                };
                env.out.send(Peer::Osd(from), answer);
                Ok(())
            }
            ScanOp::Digest => self.scanned(env, from, m),
            ScanOp::GetDigest => Ok(()),
        }
    }

    /// Compares a stretch and plans what is to be given.
    fn scanned(&mut self, env: &mut Env<'_>, from: OsdId, m: MPgScan) -> Step {
        let begin = match self.backfill_mut(from) {
            Some(b) if b.stage == Stage::Scanning && b.done == m.begin => b.done.clone(),
            _ => return Ok(()),
        };
        let theirs = m.objects.unwrap_or_default();
        let (mine, my_end) = self.digest(env, &begin)?;
        let end = my_end.min(m.end);
        let inside = |o: &&HObject| **o > begin && **o < end;
        let mut give = VecDeque::new();
        for (object, version) in mine.iter().filter(|(o, _)| inside(o)) {
            if theirs.get(object) != Some(version) || *version == EVersion::ZERO {
                give.push_back(object.clone());
            }
        }
        let gone: Vec<(HObject, EVersion)> = theirs
            .iter()
            .filter(|(o, _)| inside(o) && !mine.contains_key(*o))
            .map(|(o, v)| (o.clone(), *v))
            .collect();
        let last = mine.keys().chain(theirs.keys()).filter(inside).max().cloned();
        if !gone.is_empty() {
            let message = MPgBackfillRemove {
                pg: self.id,
                epoch: self.epoch,
                objects: gone,
                ..MPgBackfillRemove::default()
            };
            env.out.send(Peer::Osd(from), message);
        }
        if let Some(backfill) = self.backfill_mut(from) {
            backfill.stage = Stage::Filling;
            backfill.queue = give;
            backfill.last_step = end.is_max();
            backfill.reached = match last {
                _ if end.is_max() => HObject::max(),
                Some(last) => last,
                None => begin,
            };
        }
        self.fill(env, from)
    }

    /// Gives what may be given at once; ends the step when all of it has arrived.
    fn fill(&mut self, env: &mut Env<'_>, osd: OsdId) -> Step {
        while let Some(backfill) = self.backfill_mut(osd) {
            if backfill.giving.len() >= env.config.recovery_active {
                return Ok(());
            }
            let Some(object) = backfill.queue.pop_front() else { break };
            self.give(env, osd, &object, RecoveryProgress::default())?;
        }
        let Some(backfill) = self.backfill_mut(osd) else { return Ok(()) };
        if backfill.stage != Stage::Filling || !backfill.giving.is_empty() {
            return Ok(());
        }
        let last = backfill.last_step;
        backfill.done = backfill.reached.clone();
        backfill.stage = if last { Stage::Finishing } else { Stage::Idle };
        let done = backfill.done.clone();
        let op = if last { BackfillOp::Finish } else { BackfillOp::Progress };
        if !last && let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(&osd)) {
            copy.info.last_backfill = done.clone();
        }
        let stats = self.info.stats.clone();
        let packet = wire::backfill(self.id, op, self.epoch, self.epoch, done, stats);
        env.out.send(Peer::Osd(osd), packet);
        self.backfill_step(env)
    }

    fn give(
        &mut self,
        env: &mut Env<'_>,
        osd: OsdId,
        object: &HObject,
        before: RecoveryProgress,
    ) -> Step {
        let push = match self.build_push(env, object, before)? {
            Built::Push(push) => *push,
            // An object that went away meanwhile needs nothing: its removal was sent in full.
            Built::Absent => return Ok(()),
            Built::Unreadable => {
                // The target must not be taken for whole without it: the step does not end.
                let text = format_args!("object {:?} cannot be read here", object.name);
                self.log_line(env, Level::Error, text);
                if let Some(backfill) = self.backfill_mut(osd) {
                    backfill.giving.insert(object.clone(), RecoveryProgress::default());
                }
                return Ok(());
            }
        };
        if let Some(backfill) = self.backfill_mut(osd) {
            backfill.giving.insert(object.clone(), push.after.clone());
        }
        self.send_push(env, osd, push);
        Ok(())
    }

    /// The target has a part of an object.
    pub(super) fn backfilled(&mut self, env: &mut Env<'_>, from: OsdId, object: &HObject) -> Step {
        let Some(backfill) = self.backfill_mut(from) else { return Ok(()) };
        let Some(progress) = backfill.giving.remove(object) else { return Ok(()) };
        if !(progress.data_complete && progress.omap_complete) {
            return self.give(env, from, object, progress);
        }
        self.serve_object(env, object)?;
        self.fill(env, from)
    }

    /// How far this copy is filled, or that another's filling is finished.
    pub fn on_backfill(&mut self, env: &mut Env<'_>, from: OsdId, m: MPgBackfill) -> Step {
        if self.is_stale(m.query_epoch) {
            return Ok(());
        }
        match m.op {
            BackfillOp::FinishAck => return self.backfill_finished(env, from),
            _ if !self.follows(from) => return Ok(()),
            BackfillOp::Progress if !self.info.is_incomplete() => return Ok(()),
            BackfillOp::Progress => {}
            BackfillOp::Finish => {}
        }
        self.info.last_backfill = m.last_backfill.clone();
        #[cfg(feature = "planted-bugs")]
        if env.config.planted == Some(crate::PlantedBug::IncompleteIsWhole) {
            self.info.last_backfill = HObject::max();
        }
        self.info.stats.stats = m.stats.stats.clone();
        let tx = self.submit(env, Transaction::new())?;
        if m.op == BackfillOp::Finish {
            let packet = wire::backfill(
                self.id,
                BackfillOp::FinishAck,
                m.epoch,
                m.query_epoch,
                HObject::min(),
                PgStat::default(),
            );
            self.send_after(tx, from, packet);
        }
        Ok(())
    }

    fn backfill_finished(&mut self, env: &mut Env<'_>, from: OsdId) -> Step {
        let Some(active) = self.active_mut() else { return Ok(()) };
        if active.backfills.get(&from).is_none_or(|b| b.stage != Stage::Finishing) {
            return Ok(());
        }
        active.backfills.remove(&from);
        if let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(&from)) {
            copy.info.last_backfill = HObject::max();
        }
        env.out.request(Request::Report(self.id.pg));
        self.recover(env)
    }

    /// Objects here that the primary does not have.
    pub fn on_backfill_remove(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MPgBackfillRemove,
    ) -> Step {
        if self.is_stale(m.epoch) || !self.follows(from) || !self.info.is_incomplete() {
            return Ok(());
        }
        let gone: BTreeSet<HObject> = m.objects.iter().map(|(o, _)| o.clone()).collect();
        let mut tx = Transaction::new();
        self.remove_objects(env, &mut tx, &gone.into_iter().collect::<Vec<_>>())?;
        self.submit(env, tx)?;
        Ok(())
    }
}
