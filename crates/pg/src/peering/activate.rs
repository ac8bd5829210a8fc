//! Activation: every copy is told the authoritative history, and has it durable before anybody is
//! served.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EVersion, HObject, OsdId, PgInfo, PgLeaseAck, PgLog};
use seabed_storage::Transaction;

use super::{ActingPlan, Active, PeerCopy, Phase};
use crate::interval;
use crate::log::Missing;
use crate::pg::After;
use crate::recovery::Backfill;
use crate::{Env, Level, Peer, Pg, Request, Step, wire};

/// How a copy is brought to the authoritative history.
enum Way {
    /// It has it.
    Info,
    /// It gets the entries it lacks.
    Log(PgLog),
    /// It is filled from the start: it gets the log's end and forgets what it claims to have.
    Fill(PgLog),
}

impl Pg {
    /// Activates this copy and tells the others.
    pub(crate) fn activate(&mut self, env: &mut Env<'_>, plan: ActingPlan) -> Step {
        let epoch = self.epoch;
        if self.member.writeable() {
            self.info.last_epoch_started = epoch;
            self.info.last_interval_started = self.info.history.same_interval_since;
        }
        self.update_last_complete();
        let tx = self.submit(env, Transaction::new())?;
        self.note_complete(tx);
        self.after(tx, After::Activated);
        self.note_prior_down(env);
        self.lease.begin(env.now.mono, env.config.lease);
        let others: BTreeSet<OsdId> =
            plan.targets.iter().copied().filter(|o| *o != self.whoami).collect();
        let mut backfills = BTreeMap::new();
        let mut complete = BTreeMap::new();
        for osd in &others {
            let last_backfill = self.activate_peer(env, *osd);
            complete.insert(*osd, EVersion::ZERO);
            if !last_backfill.is_max() {
                backfills.insert(*osd, Backfill::new(last_backfill));
            }
        }
        self.log_line(env, Level::Debug, format_args!("activating with {others:?}"));
        self.lease.wait_for(others.iter().copied().filter(|o| self.member.acting.contains(o)));
        let active = Active {
            waiting: others.clone(),
            targets: others,
            backfills,
            complete_ondisk: complete,
            ..Active::default()
        };
        // Who does not answer for long is asked from the start again.
        let patience = env.now.mono + env.config.ask_again * 6;
        self.set_phase(Phase::Active(Box::new(active)), Some(patience));
        env.out.request(Request::Report(self.id.pg));
        Ok(())
    }

    /// Sends a copy what it needs; returns how far it is filled.
    fn activate_peer(&mut self, env: &mut Env<'_>, osd: OsdId) -> HObject {
        let lease = self.lease.grant(env.now.mono, env.config.lease);
        let (head, tail) = (self.log.head(), self.log.tail());
        let (id, epoch, since) = (self.id, self.epoch, self.info.history.same_interval_since);
        let Some(primary) = self.primary() else { return HObject::max() };
        let mut copy = primary.peers.get(&osd).cloned().unwrap_or_default();
        let dne = copy.info.dne();
        let way = if copy.info.last_update == head && !copy.info.is_empty() && !dne {
            Way::Info
        } else if copy.info.last_update < tail || copy.info.last_backfill.is_min() {
            Way::Fill(self.log.last(env.config.log_min))
        } else {
            Way::Log(self.log.since(copy.info.last_update))
        };
        match way {
            Way::Info => {
                let packet = wire::info(id, epoch, &self.info, Some(lease), None);
                env.out.send(Peer::Osd(osd), packet);
            }
            Way::Log(log) => {
                for entry in log.log.iter().filter(|e| e.soid <= copy.info.last_backfill) {
                    copy.missing.add_entry(entry);
                }
                let info =
                    PgInfo { last_backfill: copy.info.last_backfill.clone(), ..self.info.clone() };
                let past = if dne { self.past.clone() } else { Default::default() };
                env.out.send(Peer::Osd(osd), wire::log(epoch, since, info, log, past, lease));
            }
            Way::Fill(log) => {
                copy.missing = Missing::default();
                copy.info.last_backfill = HObject::min();
                let info = PgInfo {
                    last_backfill: HObject::min(),
                    last_complete: head,
                    log_tail: log.tail,
                    stats: seabed_cluster::PgStat::default(),
                    ..self.info.clone()
                };
                copy.info = info.clone();
                let past = self.past.clone();
                env.out.send(Peer::Osd(osd), wire::log(epoch, since, info, log, past, lease));
            }
        }
        copy.info.last_update = head;
        copy.judged = true;
        let last_backfill = copy.info.last_backfill.clone();
        self.put_copy(osd, copy);
        last_backfill
    }

    fn put_copy(&mut self, osd: OsdId, copy: PeerCopy) {
        if let Some(primary) = self.primary_mut() {
            primary.peers.insert(osd, copy);
        }
    }

    /// Our own activation is durable.
    pub(crate) fn activated_here(&mut self, env: &mut Env<'_>) -> Step {
        if let Some(active) = self.active_mut() {
            active.durable = true;
        }
        self.check_activated(env)
    }

    /// A copy answered with its info; the first time in an interval it says that it is activated.
    pub(crate) fn info_for_primary(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: &PgInfo,
        ack: Option<PgLeaseAck>,
    ) -> Step {
        if let Some(ack) = ack {
            self.lease_acked(env, from, &ack)?;
        }
        let Some(active) = self.active_mut() else { return Ok(()) };
        if !active.waiting.remove(&from) {
            return Ok(());
        }
        active.complete_ondisk.insert(from, info.last_complete);
        if let Some(primary) = self.primary_mut()
            && let Some(copy) = primary.peers.get_mut(&from)
        {
            copy.info.history.merge(&info.history);
            copy.info.last_epoch_started = info.last_epoch_started;
        }
        self.check_activated(env)
    }

    /// Opens the PG when every copy has the history durable.
    fn check_activated(&mut self, env: &mut Env<'_>) -> Step {
        let Some(active) = self.active_mut() else { return Ok(()) };
        if active.activated || !active.durable || !active.waiting.is_empty() {
            return Ok(());
        }
        active.activated = true;
        if self.member.writeable() {
            let started = self.info.last_epoch_started;
            let interval = self.info.last_interval_started;
            let history = &mut self.info.history;
            history.last_epoch_started = history.last_epoch_started.max(started);
            history.last_interval_started = history.last_interval_started.max(interval);
            env.out.request(Request::Created(self.id.pg));
        } else {
            self.log_line(env, Level::Warn, format_args!("too few copies to serve"));
        }
        self.stamps.became_active(env.now.wall);
        self.trim_sees_map(env);
        self.submit(env, Transaction::new())?;
        self.share_info(env);
        env.out.request(Request::Report(self.id.pg));
        self.begin_recovery(env)?;
        self.serve_waiting(env)
    }

    /// Tells every copy our info.
    pub(crate) fn share_info(&self, env: &mut Env<'_>) {
        let Some(active) = self.active() else { return };
        for osd in &active.targets {
            let packet = wire::info(self.id, self.epoch, &self.info, None, None);
            env.out.send(Peer::Osd(*osd), packet);
        }
    }

    /// An active primary sees a new map of the same interval.
    pub(crate) fn active_sees_map(&mut self, env: &mut Env<'_>) -> Step {
        self.lease_check_dead(env);
        self.trim_sees_map(env);
        self.recover(env)?;
        self.trim(env)
    }

    /// Everything is where it belongs, or all that can be is.
    pub(crate) fn check_clean(&mut self, env: &mut Env<'_>) -> Step {
        let again = Pg::again(env);
        let Some(active) = self.active() else { return Ok(()) };
        if active.clean || !active.activated || !self.is_recovered() {
            return Ok(());
        }
        if self.member.acting != self.member.up {
            env.out.request(Request::ActingSet(self.id.pg, Vec::new()));
            if let Some(primary) = self.primary_mut() {
                primary.again_at = Some(again);
            }
            return Ok(());
        }
        if self.member.acting.len() < self.member.size as usize || !self.member.writeable() {
            return Ok(());
        }
        self.mark_clean(env)
    }

    fn mark_clean(&mut self, env: &mut Env<'_>) -> Step {
        self.info.history.last_epoch_clean = self.epoch;
        self.info.history.last_interval_clean = self.info.history.same_interval_since;
        interval::forget(&mut self.past);
        self.past_dirty = true;
        self.stamps.became_clean(env.now.wall);
        let tx = self.submit(env, Transaction::new())?;
        let targets: Vec<OsdId> = match self.active_mut() {
            Some(active) => {
                active.clean = true;
                active.targets.iter().copied().collect()
            }
            None => return Ok(()),
        };
        for osd in &targets {
            let packet = wire::info(self.id, self.epoch, &self.info, None, None);
            self.send_after(tx, *osd, packet);
        }
        let strays: Vec<OsdId> = match self.primary_mut() {
            Some(primary) => {
                primary.again_at = None;
                primary.peers.keys().copied().filter(|o| !targets.contains(o)).collect()
            }
            None => Vec::new(),
        };
        for osd in strays {
            self.send_after(tx, osd, wire::remove(self.epoch, self.id));
            if let Some(primary) = self.primary_mut() {
                primary.peers.remove(&osd);
            }
        }
        env.out.request(Request::Report(self.id.pg));
        self.trim(env)
    }
}
