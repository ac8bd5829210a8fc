//! Bringing copies up to their logs: what the primary lacks is pulled, what others lack is pushed,
//! copies whose log does not reach back are filled object by object. Clones are objects like
//! others, sent whole; the primary gets a clone after its head, whose snapset tells what it serves.
//!
//! Invariants: an object that is on its way is not written; a copy counts as having an object when
//! it said so after its disk did; an object that has arrived in part has no `_` attribute, and its
//! copy no longer claims an older version of it.

mod backfill;
mod delete;
mod pull;
mod push;
mod reserve;

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EVersion, HObject, OsdId, QueryKind, RecoveryProgress, osdmap::flag};
use seabed_denc::Bytes;
use seabed_storage::Transaction;

pub(crate) use backfill::{Backfill, is_too_full};

use crate::{Env, Level, Pg, Request, Step};

/// Objects on their way, as the primary sees them.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    active: BTreeMap<HObject, OnTheWay>,
    /// Missing here, and no copy known that has them.
    unfound: BTreeSet<HObject>,
}

/// One object on its way.
#[derive(Debug, Default)]
struct OnTheWay {
    /// Whom we get it from.
    from: Option<OsdId>,
    /// Who gets it, and how far they are.
    pushes: BTreeMap<OsdId, RecoveryProgress>,
    /// Who removes it.
    deletes: BTreeSet<OsdId>,
}

/// Objects arriving here in several parts: their attributes are set with the last.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    attrs: BTreeMap<HObject, BTreeMap<Bytes, Bytes>>,
}

impl Pg {
    /// Forgets what arrived in part.
    pub(crate) fn drop_leftovers(&mut self, _env: &mut Env<'_>) -> Step {
        self.incoming = Incoming::default();
        Ok(())
    }

    /// The PG is active: what is missing may be fetched.
    pub(crate) fn begin_recovery(&mut self, env: &mut Env<'_>) -> Step {
        self.recover(env)
    }

    /// Starts as many objects as may be on their way at once.
    pub(crate) fn recover(&mut self, env: &mut Env<'_>) -> Step {
        if !self.active().is_some_and(|a| a.activated && !a.clean) {
            return Ok(());
        }
        if !env.map.has_flag(flag::map::NORECOVER) {
            while let Some(object) = self.next_object(env.config.recovery_active) {
                self.start_object(env, &object)?;
            }
        }
        let behind = self.active().is_some_and(|a| !a.recovery.active.is_empty())
            || !self.missing.is_empty();
        if !behind && self.may_backfill(env) {
            self.backfill_step(env)?;
        }
        self.check_clean(env)
    }

    fn next_object(&self, max: usize) -> Option<HObject> {
        let recovery = &self.active()?.recovery;
        if recovery.active.len() >= max {
            return None;
        }
        let idle =
            |o: &&HObject| !recovery.active.contains_key(*o) && !recovery.unfound.contains(*o);
        let able = |o: &&HObject| idle(o) && !self.lacks_head(o);
        let wanted = self.wanted_objects().filter(|o| self.missing.contains(o));
        if let Some(object) = wanted.chain(self.missing.by_need().map(|(_, o)| o)).find(able) {
            return Some(object.clone());
        }
        let primary = self.primary()?;
        let targets = &self.active()?.targets;
        targets
            .iter()
            .filter_map(|osd| primary.peers.get(osd))
            .flat_map(|copy| copy.missing.by_need().map(|(_, o)| o))
            .find(|o| idle(o) && !self.missing.contains(o))
            .cloned()
    }

    /// True for a clone whose head, which says what the clone serves, must come first.
    fn lacks_head(&self, object: &HObject) -> bool {
        let stays = |o: &HObject| self.missing.get(o).is_some_and(|item| !item.is_delete());
        !object.is_head() && stays(object) && stays(&object.head())
    }

    /// An object that a client waits for comes before all others.
    pub(crate) fn recover_now(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        if self.lacks_head(object) {
            return self.recover_now(env, &object.head());
        }
        let Some(active) = self.active() else { return Ok(()) };
        let waits = active.recovery.active.contains_key(object)
            || active.recovery.unfound.contains(object)
            || active.backfills.values().any(|b| b.is_busy_with(object));
        if waits { Ok(()) } else { self.start_object(env, object) }
    }

    /// Takes the next step that an object needs.
    fn start_object(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        if let Some(item) = self.missing.get(object) {
            if item.is_delete() {
                self.delete_here(env, object)?;
            } else {
                let need = item.need;
                return self.pull(env, object, need);
            }
        }
        let Some(primary) = self.primary() else { return Ok(()) };
        let Some(active) = self.active() else { return Ok(()) };
        let mut pushes = Vec::new();
        let mut deletes: Vec<(OsdId, EVersion)> = Vec::new();
        for osd in &active.targets {
            let Some(item) = primary.peers.get(osd).and_then(|c| c.missing.get(object)) else {
                continue;
            };
            if item.is_delete() {
                deletes.push((*osd, item.need));
            } else {
                pushes.push(*osd);
            }
        }
        if pushes.is_empty() && deletes.is_empty() {
            return self.object_done(env, object);
        }
        if let Some(active) = self.active_mut() {
            let way = active.recovery.active.entry(object.clone()).or_default();
            way.from = None;
            way.deletes.extend(deletes.iter().map(|d| d.0));
        }
        for (osd, version) in deletes {
            self.send_delete(env, osd, object, version);
        }
        for osd in pushes {
            self.push_part(env, osd, object, RecoveryProgress::default())?;
        }
        Ok(())
    }

    /// Nothing more is on its way for the object.
    fn object_done(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        if let Some(active) = self.active_mut() {
            active.recovery.active.remove(object);
            active.recovery.unfound.remove(object);
        }
        self.serve_object(env, object)?;
        self.recover(env)
    }

    /// True while the object must not be written: a copy lacks it or is just getting it.
    pub(crate) fn is_degraded(&self, object: &HObject) -> bool {
        let (Some(primary), Some(active)) = (self.primary(), self.active()) else { return false };
        active.recovery.active.contains_key(object)
            || active.backfills.values().any(|b| b.is_busy_with(object))
            || active
                .targets
                .iter()
                .any(|osd| primary.peers.get(osd).is_some_and(|c| c.missing.contains(object)))
    }

    /// True when every copy is complete.
    pub(crate) fn is_recovered(&self) -> bool {
        let (Some(primary), Some(active)) = (self.primary(), self.active()) else { return false };
        self.missing.is_empty()
            && active.backfills.is_empty()
            && active.recovery.active.is_empty()
            && active
                .targets
                .iter()
                .all(|osd| primary.peers.get(osd).is_some_and(|c| c.missing.is_empty()))
    }

    /// True if objects are missing that no known copy has.
    pub(crate) fn has_unfound(&self) -> bool {
        self.active().is_some_and(|a| !a.recovery.unfound.is_empty())
    }

    /// True if the object is one of them.
    pub(crate) fn is_unfound(&self, object: &HObject) -> bool {
        self.active().is_some_and(|a| a.recovery.unfound.contains(object))
    }

    /// How many those are.
    pub(crate) fn unfound(&self) -> usize {
        self.active().map_or(0, |a| a.recovery.unfound.len())
    }

    /// An object that nobody is known to have: everybody else who may is asked for their log.
    fn lost_sight_of(&mut self, env: &mut Env<'_>, object: &HObject) {
        let text = format_args!("object {:?} is on no copy known", object.name);
        self.log_line(env, Level::Warn, text);
        let mut ask = Vec::new();
        if let Some(active) = self.active_mut() {
            active.recovery.active.remove(object);
            active.recovery.unfound.insert(object.clone());
        }
        let probe = self.prior_set(env).probe;
        if let Some(primary) = self.primary() {
            for osd in probe.iter().chain(primary.peers.keys()) {
                let known = primary.peers.get(osd).is_some_and(|c| c.judged);
                if !known && *osd != self.whoami && !ask.contains(osd) {
                    ask.push(*osd);
                }
            }
        }
        for osd in ask {
            self.query(env, osd, QueryKind::FullLog, EVersion::ZERO);
        }
        env.out.request(Request::Report(self.id.pg));
    }

    /// A new source was learned of: unfound objects are tried again.
    pub(crate) fn retry_unfound(&mut self) {
        if let Some(active) = self.active_mut() {
            active.recovery.unfound.clear();
        }
    }

    /// An object arrived here whole.
    fn arrived(&mut self, object: &HObject, version: EVersion) {
        self.missing.got(object, version);
        self.incoming.attrs.remove(object);
        self.update_last_complete();
    }

    /// Submits what an arrival changed.
    fn submit_arrival(&mut self, env: &mut Env<'_>, tx: Transaction) -> Step<seabed_storage::TxId> {
        let tx = self.submit(env, tx)?;
        self.note_complete(tx);
        Ok(tx)
    }
}
