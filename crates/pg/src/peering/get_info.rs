//! Asking everybody who may know of writes, and deciding by the answers.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EVersion, OsdId, PgInfo, PgNotify, QueryKind, Time};

use super::{Choice, PeerCopy, Phase, Role, choose};
use crate::interval::PriorSet;
use crate::{Env, Level, Peer, Pg, Request, Step, wire};

impl Pg {
    /// The primary looks at a new map.
    pub(crate) fn primary_sees_map(&mut self, env: &mut Env<'_>) -> Step {
        let map = env.map.clone();
        let Some(primary) = self.primary_mut() else { return Ok(()) };
        primary.peers.retain(|osd, _| map.is_up(*osd));
        let restart = match &primary.phase {
            Phase::Start => true,
            Phase::GetInfo { prior, .. } | Phase::Incomplete { prior } => {
                let prior = prior.clone();
                prior != self.prior_set(env)
            }
            Phase::WaitActing { want } => want.iter().any(|o| !map.is_up(*o)),
            Phase::GetLog { from, .. } => !map.is_up(*from),
            Phase::GetMissing { .. } => false,
            Phase::WaitUpThru { plan } => {
                let plan = plan.clone();
                return self.activate_if_told(env, plan);
            }
            Phase::Active(_) => return self.active_sees_map(env),
        };
        if restart { self.start_peering(env) } else { Ok(()) }
    }

    pub(crate) fn prior_set(&self, env: &Env<'_>) -> PriorSet {
        let started = self.info.history.last_epoch_started;
        PriorSet::build(&self.past, started, &env.map, &self.member)
    }

    /// Begins, or begins again, in the present interval.
    pub(crate) fn start_peering(&mut self, env: &mut Env<'_>) -> Step {
        let prior = self.prior_set(env);
        let asked: BTreeSet<OsdId> =
            prior.probe.iter().copied().filter(|o| *o != self.whoami).collect();
        for osd in &asked {
            self.query(env, *osd, QueryKind::Info, EVersion::ZERO);
        }
        if self.needs_up_thru(env) {
            env.out.request(Request::UpThru(self.info.history.same_interval_since));
        }
        if prior.is_blocked() {
            let text = format_args!("down, waiting for {:?}", prior.blocked_by);
            self.log_line(env, Level::Warn, text);
        }
        let again = Pg::again(env);
        if let Some(primary) = self.primary_mut() {
            primary.again_at = Some(again);
            primary.phase = Phase::GetInfo { prior, asked };
        }
        env.out.request(Request::Report(self.id.pg));
        self.check_infos(env)
    }

    pub(crate) fn needs_up_thru(&self, env: &Env<'_>) -> bool {
        env.map.up_thru(self.whoami) < self.info.history.same_interval_since
    }

    pub(crate) fn query(&self, env: &mut Env<'_>, to: OsdId, kind: QueryKind, since: EVersion) {
        let packet = wire::query(self.id, kind, since, &self.info.history, self.epoch);
        env.out.send(Peer::Osd(to), packet);
    }

    /// A copy told its info: asked by us, or of its own accord.
    pub fn on_notify(&mut self, env: &mut Env<'_>, from: OsdId, notify: PgNotify) -> Step {
        if self.is_stale(notify.query_epoch) || !env.map.is_up(from) {
            return Ok(());
        }
        if !matches!(self.role, Role::Primary(_)) {
            return Ok(());
        }
        if self.active().is_some() {
            return self.stray_announced(env, from, notify.info);
        }
        let waits = notify.info.history.prior_readable_until_ub.duration();
        self.lease.heard(env.now.mono + waits);
        let news = self.info.history.merge(&notify.info.history);
        self.info_dirty |= news;
        let prior = news.then(|| self.prior_set(env));
        let judged = notify.info.is_empty();
        let whoami = self.whoami;
        let mut questions = Vec::new();
        let Some(primary) = self.primary_mut() else { return Ok(()) };
        let copy = PeerCopy { info: notify.info, judged, ..PeerCopy::default() };
        match primary.phase {
            Phase::Start | Phase::GetInfo { .. } | Phase::Incomplete { .. } => {
                primary.peers.insert(from, copy);
            }
            // It may be judged by its log already: a second notify says nothing new, and must not
            // make forget what the copy lacks.
            _ => {
                primary.peers.entry(from).or_insert(copy);
            }
        }
        match &mut primary.phase {
            Phase::GetInfo { prior: set, asked } => {
                asked.remove(&from);
                if let Some(new) = prior {
                    asked.retain(|o| new.probe.contains(o));
                    for osd in &new.probe {
                        if *osd != whoami && !set.probe.contains(osd) {
                            questions.push(*osd);
                        }
                    }
                    asked.extend(questions.iter().copied());
                    *set = new;
                }
            }
            Phase::Incomplete { prior: set } => {
                let prior = prior.unwrap_or_else(|| set.clone());
                primary.phase = Phase::GetInfo { prior, asked: BTreeSet::new() };
            }
            _ => return Ok(()),
        }
        for osd in questions {
            self.query(env, osd, QueryKind::Info, EVersion::ZERO);
        }
        self.check_infos(env)
    }

    /// Everybody's info, our own among them.
    pub(crate) fn all_infos(&self) -> BTreeMap<OsdId, PgInfo> {
        let mut infos: BTreeMap<OsdId, PgInfo> = self
            .primary()
            .map(|p| p.peers.iter().map(|(o, c)| (*o, c.info.clone())).collect())
            .unwrap_or_default();
        infos.insert(self.whoami, self.info.clone());
        infos
    }

    /// Goes on when all have answered and the past does not forbid it.
    fn check_infos(&mut self, env: &mut Env<'_>) -> Step {
        match self.primary().map(|p| &p.phase) {
            Some(Phase::GetInfo { prior, asked }) if asked.is_empty() && !prior.is_blocked() => {}
            _ => return Ok(()),
        }
        let map = env.map.clone();
        let infos = self.all_infos();
        let choice = choose(&infos, &self.member, self.whoami, |o| map.is_up(o));
        let again = Pg::again(env);
        let prior = self.prior_set(env);
        match choice {
            Choice::Incomplete => {
                self.log_line(env, Level::Warn, format_args!("incomplete: no whole copy"));
                if self.member.up != self.member.acting {
                    env.out.request(Request::ActingSet(self.id.pg, Vec::new()));
                }
                self.set_phase(Phase::Incomplete { prior }, None);
            }
            Choice::Change(want) => {
                self.log_line(env, Level::Debug, format_args!("wants acting {want:?}"));
                env.out.request(Request::ActingSet(self.id.pg, want.clone()));
                self.set_phase(Phase::WaitActing { want }, Some(again));
            }
            Choice::Go(plan) => return self.get_log(env, plan),
        }
        env.out.request(Request::Report(self.id.pg));
        Ok(())
    }

    pub(crate) fn set_phase(&mut self, phase: Phase, again_at: Option<Time>) {
        if let Some(primary) = self.primary_mut() {
            primary.phase = phase;
            primary.again_at = again_at;
        }
    }

    /// When [`ask_again`](Pg::ask_again) has something to do.
    pub(crate) fn ask_again_at(&self) -> Option<Time> {
        self.primary().and_then(|p| p.again_at)
    }

    /// Repeats questions and wishes that have waited too long.
    pub(crate) fn ask_again(&mut self, env: &mut Env<'_>) -> Step {
        let now = env.now.mono;
        let again = Pg::again(env);
        let Some(primary) = self.primary_mut() else { return Ok(()) };
        match primary.again_at {
            Some(at) if Pg::due(at, now) => primary.again_at = Some(again),
            _ => return Ok(()),
        }
        let mut ask = Vec::new();
        let mut up_thru = false;
        match &primary.phase {
            Phase::GetInfo { asked, .. } => {
                ask.extend(asked.iter().copied());
                up_thru = true;
            }
            Phase::WaitActing { want } => {
                let want = want.clone();
                env.out.request(Request::ActingSet(self.id.pg, want));
            }
            Phase::WaitUpThru { .. } => up_thru = true,
            Phase::Active(active) if !active.activated => {
                let text = format!("{:?} do not answer their activation", active.waiting);
                self.log_line(env, Level::Warn, format_args!("{text}"));
                return self.start_peering(env);
            }
            Phase::Active(active) if !active.clean => return self.check_clean(env),
            _ => {}
        }
        for osd in ask {
            self.query(env, osd, QueryKind::Info, EVersion::ZERO);
        }
        if up_thru && self.needs_up_thru(env) {
            env.out.request(Request::UpThru(self.info.history.same_interval_since));
        }
        Ok(())
    }
}
