//! Finding out what the acting copies lack: by their logs, back to where they were last activated.

use std::collections::BTreeSet;

use seabed_cluster::{EVersion, OsdId, PgInfo, PgLog, PgMissing, QueryKind};
use seabed_storage::Transaction;

use super::{ActingPlan, Phase};
use crate::log::{Missing, judge_peer};
use crate::{Env, Pg, Request, Step};

impl Pg {
    /// Our log is the authoritative one now.
    pub(crate) fn get_missing(&mut self, env: &mut Env<'_>, plan: ActingPlan) -> Step {
        self.update_last_complete();
        let (head, tail) = (self.log.head(), self.log.tail());
        let mut questions = Vec::new();
        let whoami = self.whoami;
        let Some(primary) = self.primary_mut() else { return Ok(()) };
        for osd in plan.targets.iter().filter(|o| **o != whoami) {
            let copy = primary.peers.entry(*osd).or_default();
            let info = &copy.info;
            let refill = info.last_update < tail || info.last_backfill.is_min();
            let same = info.last_update == head && info.last_complete == head;
            if info.is_empty() || refill || same {
                copy.missing = Missing::default();
                copy.judged = true;
            } else if !copy.judged {
                let since = EVersion { version: 0, epoch: info.last_epoch_started };
                if info.log_tail <= since {
                    questions.push((*osd, QueryKind::Log, since));
                } else {
                    questions.push((*osd, QueryKind::FullLog, EVersion::ZERO));
                }
            }
        }
        let asked: BTreeSet<OsdId> = questions.iter().map(|q| q.0).collect();
        for (osd, kind, since) in questions {
            self.query(env, osd, kind, since);
        }
        if asked.is_empty() {
            return self.activate_if_told(env, plan);
        }
        self.set_phase(Phase::GetMissing { asked, plan }, None);
        Ok(())
    }

    pub(crate) fn got_missing(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        log: &PgLog,
        missing: PgMissing,
        plan: ActingPlan,
    ) -> Step {
        self.judge(from, info, log, missing);
        let Some(primary) = self.primary_mut() else { return Ok(()) };
        if let Phase::GetMissing { asked, .. } = &mut primary.phase {
            asked.remove(&from);
            if !asked.is_empty() {
                return Ok(());
            }
        }
        self.activate_if_told(env, plan)
    }

    /// Writes down what a peer's log tells of its copy.
    pub(crate) fn judge(&mut self, from: OsdId, mut info: PgInfo, log: &PgLog, missing: PgMissing) {
        let mut missing = Missing::from_items(missing.items);
        judge_peer(&self.log, &mut info, log, &mut missing);
        if let Some(primary) = self.primary_mut() {
            let copy = primary.peers.entry(from).or_default();
            copy.info = info;
            copy.missing = missing;
            copy.judged = true;
        }
    }

    /// Activates if the map shows us alive in this interval; else waits for one that does.
    pub(crate) fn activate_if_told(&mut self, env: &mut Env<'_>, plan: ActingPlan) -> Step {
        if !self.needs_up_thru(env) {
            return self.activate(env, plan);
        }
        env.out.request(Request::UpThru(self.info.history.same_interval_since));
        let again = Pg::again(env);
        self.set_phase(Phase::WaitUpThru { plan }, Some(again));
        // What was merged must not be lost while we wait: it is submitted already, the info too.
        if self.info_dirty {
            self.submit(env, Transaction::new())?;
        }
        Ok(())
    }
}
