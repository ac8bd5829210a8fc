//! A copy that has no part in the interval yet: it announces itself and answers questions.

use seabed_cluster::{Epoch, OsdId, PgInfo, PgLog, PgMissing, PgNotify, PgQuery, QueryKind};

use super::{PeerCopy, Role};
use crate::{Env, Peer, Pg, Step, wire};

impl Pg {
    /// Tells the primary that this copy exists.
    pub(crate) fn announce(&mut self, env: &mut Env<'_>) {
        let Some(primary) = self.member.acting_primary else { return };
        if env.map.is_up(primary) && primary != self.whoami {
            let notify = self.notify(env, self.epoch);
            env.out.send(Peer::Osd(primary), wire::notify(self.id, notify));
        }
    }

    fn notify(&self, env: &Env<'_>, query_epoch: Epoch) -> PgNotify {
        let mut info = self.info.clone();
        info.history.prior_readable_until_ub = self.lease.remaining(env.now.mono).into();
        PgNotify {
            query_epoch,
            epoch_sent: self.epoch,
            info,
            past_intervals: self.past.clone(),
            ..PgNotify::default()
        }
    }

    /// The primary asks.
    pub fn on_query(&mut self, env: &mut Env<'_>, from: OsdId, query: PgQuery) -> Step {
        if self.is_stale(query.epoch_sent) || self.is_primary() {
            return Ok(());
        }
        if self.member.acting_primary != Some(from) {
            return Ok(());
        }
        self.info_dirty |= self.info.history.merge(&query.history);
        let log = match query.kind {
            QueryKind::Info => {
                let notify = self.notify(env, query.epoch_sent);
                env.out.send(Peer::Osd(from), wire::notify(self.id, notify));
                return Ok(());
            }
            QueryKind::Log => self.log.since(query.since),
            QueryKind::FullLog => self.log.since(self.log.tail()),
            QueryKind::Missing => self.log.last(0),
        };
        let packet =
            wire::log_answer(query.epoch_sent, self.info.clone(), log, self.missing.wire());
        env.out.send(Peer::Osd(from), packet);
        Ok(())
    }

    /// A copy that takes no part announces itself to an active primary.
    pub(crate) fn stray_announced(&mut self, env: &mut Env<'_>, from: OsdId, info: PgInfo) -> Step {
        let Some(active) = self.active() else { return Ok(()) };
        if active.targets.contains(&from) {
            return Ok(());
        }
        if active.clean {
            let packet = wire::remove(self.epoch, self.id);
            if !self.member.everyone().contains(&from) && !info.dne() {
                env.out.send(Peer::Osd(from), packet);
            }
            return Ok(());
        }
        if let Some(primary) = self.primary_mut() {
            let known = primary.peers.get(&from).is_some_and(|c| c.judged);
            if !known {
                let copy = PeerCopy { info, ..PeerCopy::default() };
                primary.peers.insert(from, copy);
            }
        }
        if self.has_unfound() {
            self.query(env, from, QueryKind::FullLog, seabed_cluster::EVersion::ZERO);
        }
        Ok(())
    }

    /// The log of a stray that was asked because objects are found nowhere else.
    pub(crate) fn stray_judged(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        log: &PgLog,
        missing: PgMissing,
    ) -> Step {
        if self.active().is_some_and(|a| a.targets.contains(&from)) {
            return Ok(());
        }
        self.judge(from, info, log, missing);
        self.retry_unfound();
        self.recover(env)
    }

    /// The primary, clean, says that this copy is not needed any more. True if it may be removed.
    pub fn may_remove(&self, from: OsdId, epoch: Epoch) -> bool {
        !self.is_stale(epoch)
            && matches!(self.role, Role::Stray)
            && self.member.acting_primary == Some(from)
            && !self.is_member()
    }
}
