//! What a primary reports of its PG to the monitor.

use seabed_cluster::{Epoch, OsdId, PgStat, UTime, pg_state};

use crate::peering::Phase;
use crate::recovery::is_too_full;
use crate::{Env, Pg};

/// When the PG was last in which state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamps {
    seq: u64,
    state: u64,
    change: UTime,
    active: UTime,
    became_active: UTime,
    clean: UTime,
    fullsized: UTime,
    undegraded: UTime,
    peered: UTime,
}

impl Stamps {
    pub(crate) fn new(now: UTime) -> Self {
        Stamps { change: now, ..Stamps::default() }
    }

    pub(crate) fn became_active(&mut self, now: UTime) {
        self.became_active = now;
        self.active = now;
        self.peered = now;
    }

    pub(crate) fn became_clean(&mut self, now: UTime) {
        self.clean = now;
    }
}

impl Pg {
    /// The PG's state in Ceph's bits, as the primary sees it.
    pub fn state(&self, env: &Env<'_>) -> u64 {
        use pg_state as s;
        let Some(primary) = self.primary() else { return 0 };
        let mut state = 0;
        match &primary.phase {
            Phase::Start | Phase::GetLog { .. } | Phase::GetMissing { .. } => state |= s::PEERING,
            Phase::WaitUpThru { .. } | Phase::WaitActing { .. } => state |= s::PEERING,
            Phase::GetInfo { prior, .. } if prior.is_blocked() => state |= s::DOWN | s::PEERING,
            Phase::GetInfo { .. } => state |= s::PEERING,
            Phase::Incomplete { .. } => state |= s::INCOMPLETE | s::PEERING,
            Phase::Active(a) if !a.activated => state |= s::ACTIVATING,
            Phase::Active(a) => {
                state |= if self.member.writeable() { s::ACTIVE } else { s::PEERED };
                let behind = primary
                    .peers
                    .iter()
                    .any(|(o, c)| a.targets.contains(o) && !c.missing.is_empty());
                if a.clean {
                    state |= s::CLEAN;
                    for (bit, on) in [
                        (s::SNAPTRIM, a.trim.is_trimming()),
                        (s::SNAPTRIM_WAIT, a.trim.is_waiting()),
                        (s::SNAPTRIM_ERROR, a.trim.has_failed()),
                    ] {
                        state |= if on { bit } else { 0 };
                    }
                } else if !self.missing.is_empty() || behind {
                    state |= s::RECOVERING;
                } else if a.backfills.keys().any(|o| is_too_full(env, *o)) {
                    state |= s::BACKFILL_TOOFULL;
                } else if !a.backfills.is_empty() {
                    let waits = !self.may_backfill(env);
                    state |= if waits { s::BACKFILL_WAIT } else { s::BACKFILLING };
                }
                if self.unfound() > 0 {
                    state |= s::RECOVERY_UNFOUND;
                }
                if self.lease.is_waiting(env.now.mono) {
                    state |= s::WAIT;
                } else if self.lease.is_laggy(env.now.mono) {
                    state |= s::LAGGY;
                }
            }
        }
        if self.member.acting.len() < self.member.size as usize {
            state |= s::UNDERSIZED;
        }
        if self.degraded_objects() > 0 {
            state |= s::DEGRADED;
        }
        if self.member.up != self.member.acting {
            state |= s::REMAPPED;
        }
        if self.info.history.last_epoch_started == Epoch(0) {
            state |= s::CREATING;
        }
        state
    }

    /// The report.
    pub fn stat(&mut self, env: &Env<'_>) -> PgStat {
        let state = self.state(env);
        let now = env.now.wall;
        let s = &mut self.stamps;
        s.seq += 1;
        if state != s.state {
            s.state = state;
            s.change = now;
        }
        for (bits, stamp) in [
            (pg_state::ACTIVE, &mut s.active),
            (pg_state::CLEAN, &mut s.clean),
            (pg_state::ACTIVE | pg_state::PEERED, &mut s.peered),
        ] {
            if state & bits != 0 {
                *stamp = now;
            }
        }
        if state & pg_state::UNDERSIZED == 0 {
            s.fullsized = now;
        }
        if state & pg_state::DEGRADED == 0 {
            s.undegraded = now;
        }
        self.info.stats.reported_seq = s.seq;
        self.stat_now(env)
    }

    /// What the next report would say, with the times of the last one.
    pub fn stat_now(&self, env: &Env<'_>) -> PgStat {
        let (now, s) = (env.now.wall, &self.stamps);
        let primary = |o: Option<OsdId>| o.unwrap_or(OsdId(-1));
        let mut stat = self.info.stats.clone();
        stat.set_state(self.state(env));
        stat.version = self.info.last_update;
        stat.reported_seq = s.seq;
        stat.reported_epoch = self.epoch;
        stat.log_start = self.log.tail();
        stat.ondisk_log_start = self.log.tail();
        stat.created = self.info.history.epoch_created;
        stat.last_epoch_clean = self.info.history.last_epoch_clean;
        stat.log_size = self.log.len() as i64;
        stat.ondisk_log_size = stat.log_size;
        stat.up.clone_from(&self.member.up);
        stat.acting.clone_from(&self.member.acting);
        stat.up_primary = primary(self.member.up_primary);
        stat.acting_primary = primary(self.member.acting_primary);
        stat.mapping_epoch = self.info.history.same_interval_since;
        (stat.last_fresh, stat.last_unstale) = (now, now);
        (stat.last_change, stat.last_active, stat.last_clean) = (s.change, s.active, s.clean);
        (stat.last_became_active, stat.last_peered) = (s.became_active, s.peered);
        stat.last_became_peered = s.became_active;
        (stat.last_undegraded, stat.last_fullsized) = (s.undegraded, s.fullsized);
        stat.blocked_by = self.peering_blocked_by();
        stat.purged_snaps.clone_from(&self.info.purged_snaps);
        stat.snaptrimq_len = self.active().map_or(0, |a| a.trim.queue_len());
        self.count_copies(&mut stat);
        stat
    }

    /// Copies of objects that should be there and are not.
    pub(crate) fn degraded_objects(&self) -> i64 {
        let lacking: usize = self.primary().map_or(0, |p| {
            self.member.acting.iter().filter_map(|o| p.peers.get(o)).map(|c| c.missing.len()).sum()
        });
        let short = (self.member.size as usize).saturating_sub(self.member.acting.len());
        let objects = self.info.stats.stats.sum.num_objects;
        (lacking + self.missing.len()) as i64 + short as i64 * objects
    }

    fn count_copies(&self, stat: &mut PgStat) {
        let degraded = self.degraded_objects();
        let sum = &mut stat.stats.sum;
        sum.num_object_copies = sum.num_objects * i64::from(self.member.size);
        sum.num_objects_missing_on_primary = self.missing.len() as i64;
        sum.num_objects_unfound = self.unfound() as i64;
        sum.num_objects_degraded = degraded;
        let misplaced = self.member.acting.iter().filter(|o| !self.member.up.contains(o)).count();
        sum.num_objects_misplaced = misplaced as i64 * sum.num_objects;
    }
}
