//! Trimming on the primary: when, how much at once, and when a snapshot counts as purged.
//!
//! ```text
//! Idle ─▶ Waiting (for a slot of the OSD) ─▶ Trimming ─▶ Idle
//! ```
//!
//! A clone is trimmed by an ordinary change of the PG, so what a crash interrupts is done or not,
//! on every copy alike, and the mapper says what is left. A snapshot is purged when the mapper has
//! no clone for it and no change is on its way that took the last one.

use std::collections::BTreeSet;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{EVersion, EntityName, EntityType, HObject, IntervalSet, ReqId, SnapId, Time};
use seabed_storage::Transaction;

use super::change;
use crate::op::ObjectContext;
use crate::replicate::NewChange;
use crate::{Env, Level, Pg, Request, Step, wire};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// A slot was asked for.
    Waiting,
    /// A slot is held.
    Trimming,
}

/// Trimming of one PG, in one interval.
#[derive(Debug, Default)]
pub(crate) struct Trim {
    /// Removed by the map and not known to be gone here.
    queue: IntervalSet,
    /// Those of the queue that count as purged already: clones were found in spite of it.
    again: IntervalSet,
    stage: Stage,
    /// Changes on their way.
    in_flight: BTreeSet<EVersion>,
    /// `osd_snap_trim_sleep` ends.
    sleep_until: Option<Time>,
    /// A clone could not be trimmed: the next interval tries again.
    failed: bool,
}

impl Trim {
    /// Snapshots that wait, for the reports.
    pub(crate) fn queue_len(&self) -> u32 {
        u32::try_from(self.queue.size()).unwrap_or(u32::MAX)
    }

    /// Those of some snapshots that are waiting already.
    fn queue_overlap(&self, snaps: &IntervalSet) -> IntervalSet {
        let mut both = self.queue.clone();
        both.intersect(snaps);
        both
    }

    pub(crate) fn is_trimming(&self) -> bool {
        self.stage == Stage::Trimming
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.stage == Stage::Waiting
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// When to go on.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.sleep_until
    }
}

impl Pg {
    fn trim_mut(&mut self) -> Option<&mut Trim> {
        self.active_mut().map(|a| &mut a.trim)
    }

    /// Follows the map: snapshots that all know as purged are forgotten, the rest of those removed
    /// is to be trimmed.
    pub(crate) fn trim_sees_map(&mut self, env: &Env<'_>) {
        let removed = env.map.removed_snaps_queue.get(&self.id.pg.pool);
        let mut queue = removed.cloned().unwrap_or_default();
        let mut purged = self.info.purged_snaps.clone();
        purged.intersect(&queue);
        queue.subtract(&purged);
        if purged != self.info.purged_snaps {
            self.info.purged_snaps = purged;
            self.info_dirty = true;
        }
        if let Some(trim) = self.trim_mut() {
            queue.union(&trim.again);
            trim.queue = queue;
        }
    }

    /// Clones that are here of snapshots which count as purged are trimmed after all. How many
    /// such snapshots there are.
    pub fn trim_again(&mut self, env: &mut Env<'_>, purged: &IntervalSet) -> Step<u64> {
        if self.active().is_none() || purged.is_empty() {
            return Ok(0);
        }
        let mut found = IntervalSet::new();
        let mut from = SnapId(0);
        while let Some((snap, _)) = self.next_mapped(env.store, from, 1)? {
            if purged.contains(snap.0) {
                found.insert(snap.0, 1);
            }
            from = SnapId(snap.0 + 1);
        }
        let Some(trim) = self.trim_mut() else { return Ok(0) };
        found.subtract(&trim.queue_overlap(&found));
        trim.again.union(&found);
        trim.queue.union(&found);
        let count = found.size();
        if count > 0 {
            self.trim(env)?;
        }
        Ok(count)
    }

    /// True if clones may be let go now: nothing else is to be done, and nobody forbids it.
    fn may_trim(&self, env: &Env<'_>) -> bool {
        self.active().is_some_and(|a| a.clean && !a.trim.failed && !a.trim.queue.is_empty())
            && self.member.writeable()
            && !env.map.has_flag(flag::map::NOSNAPTRIM)
    }

    /// Trims on, as far as it may at once.
    pub(crate) fn trim(&mut self, env: &mut Env<'_>) -> Step {
        if self.active().is_none_or(|a| a.trim.stage == Stage::Idle && a.trim.queue.is_empty()) {
            return Ok(());
        }
        if !self.may_trim(env) {
            self.leave_slot(env);
            return Ok(());
        }
        let (now, id) = (env.now.mono, self.id);
        let Some(trim) = self.trim_mut() else { return Ok(()) };
        match trim.stage {
            Stage::Idle => {
                trim.stage = Stage::Waiting;
                env.out.request(Request::TrimSlot(id));
                env.out.request(Request::Report(id.pg));
                return Ok(());
            }
            Stage::Waiting => return Ok(()),
            Stage::Trimming if trim.sleep_until.is_some_and(|until| now < until) => return Ok(()),
            Stage::Trimming => trim.sleep_until = None,
        }
        if let Some(clones) = self.next_clones(env)? {
            let sleep = env.config.snap_trim_sleep;
            if !clones.is_empty()
                && !sleep.is_zero()
                && let Some(trim) = self.trim_mut()
            {
                trim.sleep_until = Some(now + sleep);
            }
            for clone in clones {
                self.trim_clone(env, &clone)?;
            }
        } else {
            self.leave_slot(env);
        }
        Ok(())
    }

    /// A slot of the OSD is this PG's. False: it does not want it any more.
    pub fn trim_granted(&mut self, env: &mut Env<'_>) -> Step<bool> {
        let Some(trim) = self.trim_mut().filter(|t| t.stage == Stage::Waiting) else {
            return Ok(false);
        };
        trim.stage = Stage::Trimming;
        env.out.request(Request::Report(self.id.pg));
        self.trim(env)?;
        Ok(true)
    }

    /// Gives the slot back once nothing is on its way.
    fn leave_slot(&mut self, env: &mut Env<'_>) {
        let id = self.id;
        let Some(trim) = self.trim_mut() else { return };
        if trim.stage != Stage::Idle && trim.in_flight.is_empty() {
            trim.stage = Stage::Idle;
            trim.sleep_until = None;
            env.out.request(Request::TrimDone(id));
            env.out.request(Request::Report(id.pg));
        }
    }

    /// The interval ends, and with it what was trimmed in it.
    pub(crate) fn end_trim(&mut self, env: &mut Env<'_>) {
        if self.active().is_some_and(|a| a.trim.stage != Stage::Idle) {
            env.out.request(Request::TrimDone(self.id));
        }
    }

    /// Clones to be trimmed next; none while those on their way must arrive first, `None` when
    /// the queue is done. Snapshots without clones are purged on the way.
    fn next_clones(&mut self, env: &mut Env<'_>) -> Step<Option<Vec<HObject>>> {
        let Some(trim) = self.active().map(|a| &a.trim) else { return Ok(None) };
        let room = env.config.snap_trims.saturating_sub(trim.in_flight.len());
        let idle = trim.in_flight.is_empty();
        if room == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut gone = IntervalSet::new();
        let mut rest = trim.queue.clone();
        let found = loop {
            let Some((first, _)) = rest.iter().next() else { break None };
            let mapped = self.next_mapped(env.store, SnapId(first), room)?;
            let until = mapped.as_ref().map_or(u64::MAX, |(snap, _)| snap.0);
            // Nothing between them has a clone.
            let mut without = IntervalSet::new();
            without.insert(first, until - first);
            without.intersect(&rest);
            rest.subtract(&without);
            gone.union(&without);
            match mapped {
                Some((snap, clones)) if rest.contains(snap.0) => break Some(clones),
                Some(_) => {}
                None => break None,
            }
        };
        if !gone.is_empty() {
            if !idle {
                return Ok(Some(Vec::new()));
            }
            self.purge(env, &gone)?;
        }
        Ok(found)
    }

    /// No copy has a clone for these snapshots.
    fn purge(&mut self, env: &mut Env<'_>, gone: &IntervalSet) -> Step {
        let Some(trim) = self.trim_mut() else { return Ok(()) };
        // What the map has purged before is not reported once more.
        let mut news = gone.clone();
        let mut again = trim.again.clone();
        again.intersect(&news);
        news.subtract(&again);
        trim.again.subtract(&again);
        self.info.purged_snaps.union(&news);
        let tx = self.submit(env, Transaction::new())?;
        let Some(trim) = self.trim_mut() else { return Ok(()) };
        trim.queue.subtract(gone);
        let targets: Vec<_> =
            self.active().map(|a| a.targets.iter().copied().collect()).unwrap_or_default();
        for osd in targets {
            let packet = wire::info(self.id, self.epoch, &self.info, None, None);
            self.send_after(tx, osd, packet);
        }
        env.out.request(Request::Report(self.id.pg));
        Ok(())
    }

    /// Trims one clone on every copy.
    fn trim_clone(&mut self, env: &mut Env<'_>, clone: &HObject) -> Step {
        let version = self.next_version();
        let trimmed = match self.load_clone(env, clone)? {
            Ok(loaded) => {
                let removed = env.map.removed_snaps_queue.get(&self.id.pg.pool);
                let mut removed = removed.cloned().unwrap_or_default();
                if let Some(active) = self.active() {
                    removed.union(&active.trim.again);
                }
                loaded.trim(&removed, version, env.now.wall)
            }
            Err(why) => Err(why),
        };
        let trimmed = match trimmed {
            Ok(trimmed) => trimmed,
            Err(why) => {
                let text = format_args!("clone {clone:?} cannot be trimmed: {why}");
                self.log_line(env, Level::Error, text);
                if let Some(trim) = self.trim_mut() {
                    trim.failed = true;
                }
                self.leave_slot(env);
                return Ok(());
            }
        };
        let last = trimmed.entries.last().map_or(version, |e| e.version);
        if let Some(trim) = self.trim_mut() {
            trim.in_flight.insert(last);
        }
        let name = EntityName { kind: EntityType::Osd, num: i64::from(self.whoami.0) };
        let tid = self.active().map_or(0, |a| a.in_flight.next_tid());
        let change = NewChange {
            object: clone.clone(),
            reqid: ReqId { name, tid, ..ReqId::default() },
            entries: trimmed.entries,
            transaction: Some(trimmed.transaction),
            stats: trimmed.stats,
            reply: None,
        };
        self.replicate(env, change)
    }

    /// A clone and its head as they lie here, or what is wrong with them.
    fn load_clone(
        &self,
        env: &Env<'_>,
        clone: &HObject,
    ) -> Step<Result<change::Pair, &'static str>> {
        let load = |object| ObjectContext::load(env.store, &self.coll, object);
        let (Ok(head), Ok(clone)) = (load(&clone.head())?, load(clone)?) else {
            return Ok(Err("its attributes cannot be read"));
        };
        if !clone.exists {
            return Ok(Err("it is not here"));
        }
        let (info, snapset) = (clone.info, head.snapset);
        Ok(Ok(change::Pair { coll: self.coll, info, head: head.info, snapset }))
    }

    /// A change is durable on every copy.
    pub(crate) fn trim_written(&mut self, env: &mut Env<'_>, version: EVersion) -> Step {
        if self.trim_mut().is_some_and(|t| t.in_flight.remove(&version)) {
            return self.trim(env);
        }
        Ok(())
    }
}
