//! The other side of activation: what the primary sends is taken over and acknowledged when
//! durable.

use seabed_cluster::{
    EVersion, Epoch, HObject, OsdId, PgInfo, PgLease, PgLeaseAck, PgLog, PgMissing, Span,
};
use seabed_storage::Transaction;

use super::{Replica, Role};
use crate::log;
use crate::{Env, Level, Pg, Step, wire};

impl Pg {
    /// A log: the answer to our question, or our activation.
    #[allow(clippy::too_many_arguments)]
    pub fn on_log(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        query_epoch: Epoch,
        info: PgInfo,
        log: PgLog,
        missing: PgMissing,
        lease: Option<PgLease>,
    ) -> Step {
        if self.is_stale(query_epoch) {
            return Ok(());
        }
        match &self.role {
            Role::Primary(_) => self.log_for_primary(env, from, info, log, missing),
            // A replica, too: a primary that misses our answer begins again.
            _ if self.member.acting_primary == Some(from) => {
                self.activate_by_log(env, from, info, &log, lease)
            }
            _ => Ok(()),
        }
    }

    /// An info: activation of a copy that is up to date, an acknowledgement, or news.
    pub fn on_info(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        min_epoch: Epoch,
        info: PgInfo,
        lease: Option<PgLease>,
        ack: Option<PgLeaseAck>,
    ) -> Step {
        if self.is_stale(min_epoch) {
            return Ok(());
        }
        match &self.role {
            Role::Primary(_) => self.info_for_primary(env, from, &info, ack),
            Role::Stray if self.member.acting_primary == Some(from) => {
                self.activate_by_info(env, from, info, lease)
            }
            Role::Replica(r) if r.primary == from && lease.is_some() => {
                self.activate_by_info(env, from, info, lease)
            }
            Role::Replica(r) if r.primary == from => self.news(env, &info),
            _ => Ok(()),
        }
    }

    fn activate_by_log(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        log: &PgLog,
        lease: Option<PgLease>,
    ) -> Step {
        let mut tx = Transaction::new();
        if info.last_backfill.is_min() {
            // What lies here stays, to be compared object by object; nothing of it counts.
            let history = self.info.history.clone();
            self.missing.clear();
            self.log.replace(log);
            self.info = PgInfo { history, ..info.clone() };
            self.info.last_backfill = HObject::min();
        } else if log::common_point(&self.log, log).is_none() {
            self.log_line(
                env,
                Level::Error,
                format_args!("log of osd.{} does not meet ours", from.0),
            );
            return Ok(());
        } else {
            let undone = log::merge(&mut self.log, &mut self.missing, &mut self.info, log, &info);
            self.remove_objects(env, &mut tx, &undone)?;
            if !self.info.is_incomplete() {
                self.info.stats.stats = info.stats.stats.clone();
            }
        }
        self.finish_activation(env, from, &info, lease, tx)
    }

    fn activate_by_info(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: PgInfo,
        lease: Option<PgLease>,
    ) -> Step {
        let mut tx = Transaction::new();
        if self.log.head() > info.last_update {
            let to = info.last_update;
            let undone = log::rewind(&mut self.log, &mut self.missing, &mut self.info, to);
            self.remove_objects(env, &mut tx, &undone)?;
        }
        if self.log.head() != info.last_update {
            let (have, want) = (self.log.head(), info.last_update);
            let text = format_args!("osd.{} activates {want}, here is {have}", from.0);
            self.log_line(env, Level::Error, text);
            return Ok(());
        }
        self.finish_activation(env, from, &info, lease, tx)
    }

    fn finish_activation(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        info: &PgInfo,
        lease: Option<PgLease>,
        tx: Transaction,
    ) -> Step {
        self.info.history.merge(&info.history);
        if self.member.acting.contains(&self.whoami)
            && self.info.last_epoch_started < info.last_epoch_started
        {
            self.info.last_epoch_started = info.last_epoch_started;
            self.info.last_interval_started = info.last_interval_started;
        }
        self.info.purged_snaps.clone_from(&info.purged_snaps);
        self.update_last_complete();
        let tx = self.submit(env, tx)?;
        self.note_complete(tx);
        let mut said = self.info.clone();
        said.history.last_epoch_started = info.last_epoch_started;
        said.history.last_interval_started = info.last_interval_started;
        let ack = lease.map(|lease| self.take_lease(env, &lease));
        let packet = wire::info(self.id, self.epoch, &said, None, ack);
        self.send_after(tx, from, packet);
        self.role = Role::Replica(Replica { primary: from });
        Ok(())
    }

    /// Later news of the primary: history and purged snapshots.
    fn news(&mut self, env: &mut Env<'_>, info: &PgInfo) -> Step {
        if self.info.purged_snaps != info.purged_snaps {
            self.info.purged_snaps.clone_from(&info.purged_snaps);
            self.info_dirty = true;
        }
        if self.info.history.merge(&info.history) {
            self.info_dirty = true;
        }
        let clean = self.info.history.last_epoch_clean;
        if clean >= self.info.history.same_interval_since && !self.past.is_empty() {
            crate::interval::forget(&mut self.past);
            self.past_dirty = true;
        }
        self.flush(env)
    }

    /// Remembers how long the primary may serve, and says so.
    pub(crate) fn take_lease(&mut self, env: &mut Env<'_>, lease: &PgLease) -> PgLeaseAck {
        let interval =
            if lease.interval == Span::ZERO { env.config.lease } else { lease.interval.duration() };
        self.lease.granted_to_primary(env.now.mono + interval);
        PgLeaseAck { readable_until_ub: lease.readable_until_ub, ..PgLeaseAck::default() }
    }

    /// The newest version complete and durable here, as replies tell it.
    pub(crate) fn complete_here(&self) -> EVersion {
        self.complete_ondisk
    }
}
