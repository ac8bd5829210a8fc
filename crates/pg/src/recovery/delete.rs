//! Removals that a copy has in its log and not yet on its disk.

use seabed_cluster::{EVersion, HObject, OsdId, PgShard};
use seabed_messages::{MPgRecoveryDelete, MPgRecoveryDeleteReply};
use seabed_storage::Transaction;

use crate::{Env, Peer, Pg, Step};

impl Pg {
    /// Removes an object that the primary itself should no longer have.
    pub(super) fn delete_here(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        let mut tx = Transaction::new();
        self.remove_objects(env, &mut tx, std::slice::from_ref(object))?;
        self.missing.remove(object);
        self.update_last_complete();
        self.submit_arrival(env, tx)?;
        Ok(())
    }

    pub(super) fn send_delete(
        &self,
        env: &mut Env<'_>,
        to: OsdId,
        object: &HObject,
        version: EVersion,
    ) {
        let message = MPgRecoveryDelete {
            from: PgShard::replicated(self.whoami),
            pg: self.id,
            epoch: self.epoch,
            min_epoch: self.epoch,
            cost: 1000,
            objects: vec![(object.clone(), version)],
            ..MPgRecoveryDelete::default()
        };
        env.out.send(Peer::Osd(to), message);
    }

    /// The primary says which objects are gone.
    pub fn on_recovery_delete(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MPgRecoveryDelete,
    ) -> Step {
        if self.is_stale(m.min_epoch) || !self.follows(from) {
            return Ok(());
        }
        let mut tx = Transaction::new();
        for (object, version) in &m.objects {
            if self.missing.get(object).is_some_and(|i| i.need > *version) {
                continue;
            }
            self.remove_objects(env, &mut tx, std::slice::from_ref(object))?;
            self.missing.remove(object);
        }
        self.update_last_complete();
        let tx = self.submit_arrival(env, tx)?;
        let reply = MPgRecoveryDeleteReply {
            pg: m.pg.pg,
            epoch: m.epoch,
            min_epoch: m.min_epoch,
            objects: m.objects.clone(),
            from: PgShard::replicated(self.whoami),
            ..MPgRecoveryDeleteReply::default()
        };
        self.send_after(tx, from, reply);
        Ok(())
    }

    /// A copy removed objects.
    pub fn on_recovery_delete_reply(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MPgRecoveryDeleteReply,
    ) -> Step {
        if self.is_stale(m.min_epoch) {
            return Ok(());
        }
        for (object, _) in &m.objects {
            let way = self.active_mut().and_then(|a| a.recovery.active.get_mut(object));
            if !way.is_some_and(|w| w.deletes.remove(&from)) {
                continue;
            }
            if let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(&from)) {
                copy.missing.remove(object);
            }
            self.way_done(env, object)?;
        }
        Ok(())
    }
}
