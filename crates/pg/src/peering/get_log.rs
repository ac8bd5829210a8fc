//! Fetching the authoritative log and making it ours.

use seabed_cluster::{EVersion, OsdId, PgInfo, PgLog, PgMissing, QueryKind};
use seabed_storage::Transaction;

use super::{ActingPlan, Phase};
use crate::log::{self, Missing};
use crate::{Env, Level, Pg, Step};

impl Pg {
    /// Asks the best copy for what we and the other acting copies lack of its log.
    pub(crate) fn get_log(&mut self, env: &mut Env<'_>, plan: ActingPlan) -> Step {
        if plan.best == self.whoami {
            return self.get_missing(env, plan);
        }
        let from = plan.best;
        let infos = self.all_infos();
        let tail = infos[&from].log_tail;
        let since = plan
            .targets
            .iter()
            .filter(|o| !plan.backfill.contains(o))
            .filter_map(|o| infos.get(o))
            .map(|i| i.last_update)
            .filter(|v| *v >= tail)
            .min()
            .unwrap_or(tail)
            .min(self.info.last_update);
        self.query(env, from, QueryKind::Log, since);
        self.set_phase(Phase::GetLog { from, plan }, None);
        Ok(())
    }

    /// A log came from a peer that we asked.
    pub(crate) fn log_for_primary(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        log: PgLog,
        missing: PgMissing,
    ) -> Step {
        match self.primary().map(|p| &p.phase) {
            Some(Phase::GetLog { from: asked, plan }) if *asked == from => {
                let plan = plan.clone();
                self.got_log(env, from, info, &log, missing, plan)
            }
            Some(Phase::GetMissing { asked, plan }) if asked.contains(&from) => {
                let plan = plan.clone();
                self.got_missing(env, from, info, &log, missing, plan)
            }
            Some(Phase::Active(_)) => self.stray_judged(env, from, info, &log, missing),
            _ => Ok(()),
        }
    }

    fn got_log(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        log: &PgLog,
        missing: PgMissing,
        plan: ActingPlan,
    ) -> Step {
        if log.tail > self.log.head() && !self.log.is_known(log.tail) {
            // We lead only if our log meets the best one; its owner trimmed meanwhile.
            self.log_line(env, Level::Warn, format_args!("osd.{} cut its log", from.0));
            return self.start_peering(env);
        }
        if log::common_point(&self.log, log).is_none() {
            self.query(env, from, QueryKind::FullLog, EVersion::ZERO);
            return Ok(());
        }
        self.merge_log(env, &info, log)?;
        if let Some(primary) = self.primary_mut() {
            let copy = primary.peers.entry(from).or_default();
            copy.missing = Missing::from_items(missing.items);
            copy.info = info;
            copy.judged = true;
        }
        self.get_missing(env, plan)
    }

    /// Takes over an authoritative log, in one transaction with what it undoes here.
    pub(crate) fn merge_log(&mut self, env: &mut Env<'_>, info: &PgInfo, log: &PgLog) -> Step {
        let undone = log::merge(&mut self.log, &mut self.missing, &mut self.info, log, info);
        if !undone.is_empty() {
            let text = format_args!("undid changes of {} objects", undone.len());
            self.log_line(env, Level::Info, text);
        }
        self.info.history.merge(&info.history);
        if info.last_epoch_started > self.info.last_epoch_started {
            self.info.last_epoch_started = info.last_epoch_started;
            self.info.last_interval_started = info.last_interval_started;
        }
        if !self.info.is_incomplete() {
            self.info.stats.stats = info.stats.stats.clone();
        }
        let mut tx = Transaction::new();
        self.remove_objects(env, &mut tx, &undone)?;
        self.submit(env, tx)?;
        Ok(())
    }
}
