//! Getting an object that the primary itself lacks.

use seabed_cluster::{
    EVersion, HObject, OsdId, PgShard, PullOp, PushOp, RecoveryInfo, RecoveryProgress,
};
use seabed_messages::{MPgPull, Packet, priority};
use seabed_storage::Transaction;

use super::push::Built;
use crate::{Env, Level, Peer, Pg, Step};

impl Pg {
    /// Asks a copy that has the object.
    pub(super) fn pull(&mut self, env: &mut Env<'_>, object: &HObject, need: EVersion) -> Step {
        let Some(from) = self.source(env, object, need) else {
            self.lost_sight_of(env, object);
            return Ok(());
        };
        if let Some(active) = self.active_mut() {
            active.recovery.active.entry(object.clone()).or_default().from = Some(from);
        }
        self.send_pull(env, from, object, need, RecoveryProgress::default())
    }

    /// A copy that has the object in the version needed.
    fn source(&self, env: &Env<'_>, object: &HObject, need: EVersion) -> Option<OsdId> {
        let primary = self.primary()?;
        let able: Vec<OsdId> = primary
            .peers
            .iter()
            .filter(|(osd, copy)| {
                copy.judged
                    && env.map.is_up(**osd)
                    && *object <= copy.info.last_backfill
                    && copy.info.last_update >= need
                    && !copy.missing.contains(object)
            })
            .map(|(osd, _)| *osd)
            .collect();
        // The object's hash spreads the load over the copies.
        able.get(object.hash as usize % able.len().max(1)).copied()
    }

    fn send_pull(
        &self,
        env: &mut Env<'_>,
        to: OsdId,
        object: &HObject,
        version: EVersion,
        progress: RecoveryProgress,
    ) -> Step {
        let mut info = RecoveryInfo {
            soid: object.clone(),
            version,
            size: u64::MAX,
            ..RecoveryInfo::default()
        };
        if !object.is_head() {
            // What is told comes back with the clone.
            info.snapset = self.snapset_here(env, &object.head())?.unwrap_or_default();
            if let Some(size) = info.snapset.clone_size.get(&object.snap) {
                info.size = *size;
            }
        }
        info.copy_subset.insert(0, info.size);
        let pull =
            PullOp { soid: object.clone(), recovery_info: info, progress, ..PullOp::default() };
        let message = MPgPull {
            pg: self.id.pg,
            epoch: self.epoch,
            pulls: vec![pull],
            cost: 65536 + 1000,
            shard: self.id.shard,
            from: PgShard::replicated(self.whoami),
            min_epoch: self.epoch,
            ..MPgPull::default()
        };
        let urgent = self.wanted_objects().any(|o| o == object);
        let priority = if urgent { priority::HIGH } else { priority::RECOVERY };
        env.out.send(Peer::Osd(to), Packet::from(message).at_priority(priority));
        Ok(())
    }

    /// The primary asks us for objects.
    pub fn on_pull(&mut self, env: &mut Env<'_>, from: OsdId, m: &MPgPull) -> Step {
        if self.is_stale(m.min_epoch) || self.member.acting_primary != Some(from) {
            return Ok(());
        }
        for pull in &m.pulls {
            let push = match self.build_push(env, &pull.soid, pull.progress.clone())? {
                Built::Push(mut push) if !self.missing.contains(&pull.soid) => {
                    push.recovery_info.snapset = pull.recovery_info.snapset.clone();
                    *push
                }
                // Version zero says that the object is not here.
                _ => PushOp { soid: pull.soid.clone(), ..PushOp::default() },
            };
            self.send_push(env, from, push);
        }
        Ok(())
    }

    /// Part of an object that we asked for.
    pub(super) fn pulled(&mut self, env: &mut Env<'_>, from: OsdId, push: &PushOp) -> Step {
        let object = push.soid.clone();
        let asked = self.active().and_then(|a| a.recovery.active.get(&object));
        if asked.and_then(|w| w.from) != Some(from) {
            return Ok(());
        }
        let Some(need) = self.missing.get(&object).map(|i| i.need) else { return Ok(()) };
        if push.version != need {
            let text = format_args!("osd.{} has {:?} at {}", from.0, object.name, push.version);
            self.log_line(env, Level::Warn, text);
            if let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(&from)) {
                copy.missing.add(&object, need, push.version, false);
            }
            return self.pull(env, &object, need);
        }
        let mut tx = Transaction::new();
        let whole = self.apply_push(&mut tx, push);
        if whole {
            if !object.is_head() {
                let snapset = self.snapset_here(env, &object.head())?.unwrap_or_default();
                self.map_arrived(env, &mut tx, &object, &snapset)?;
            }
            self.arrived(&object, push.version);
        }
        self.submit_arrival(env, tx)?;
        if !whole {
            return self.send_pull(env, from, &object, need, push.after.clone());
        }
        self.start_object(env, &object)
    }
}
