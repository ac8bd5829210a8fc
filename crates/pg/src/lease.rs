//! Read leases: a primary serves reads only while its replicas have promised to wait for it.
//!
//! A replica promises to hold back a new primary until the lease it acknowledged has run out; the
//! primary serves until the earliest acknowledged end. The next primary waits for the promises of
//! former intervals, unless every member that is down is known to be dead. Times of a lease are on
//! the primary's clock and are never compared with another: a replica counts the lease's length
//! from its arrival, which can only be later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seabed_cluster::{Epoch, OsdId, OsdMap, PgLease, PgLeaseAck, Span, Time};

use crate::interval::Membership;
use crate::peering::Role;
use crate::{Env, Peer, Pg, Step, wire};

/// Promises given and got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease {
    /// As primary: the end of what was granted to us by each acting replica.
    acked: BTreeMap<OsdId, Time>,
    /// As primary: when the leases are renewed.
    renew_at: Option<Time>,
    /// As primary: the newest end we asked for.
    asked: Time,
    /// As replica: until when the primary may serve by our promise.
    promised: Time,
    /// Until when a primary of a former interval may still serve.
    prior: Time,
    /// Members of former intervals that are down and not known to be dead.
    prior_down: BTreeSet<OsdId>,
}

fn span(t: Time) -> Span {
    Span::from_nanos(i64::try_from(t.0).unwrap_or(i64::MAX))
}

fn time(s: Span) -> Time {
    Time(u64::try_from(s.nanos()).unwrap_or(0))
}

impl Lease {
    /// After a start nobody remembers what was promised before it: the longest possible.
    pub(crate) fn assume_granted(
        &mut self,
        now: Time,
        interval: Duration,
        member: &Membership,
        whoami: OsdId,
    ) {
        if member.acting.contains(&whoami) && member.acting.len() > 1 {
            self.prior = now + interval;
        }
    }

    /// The interval is over: what was promised in it belongs to the past.
    pub(crate) fn end_interval(&mut self, now: Time, old: &Membership, led: bool, whoami: OsdId) {
        let others = old.acting.iter().any(|o| *o != whoami);
        let until = if led && others { self.asked } else { self.promised };
        if until > now {
            self.prior = self.prior.max(until);
        }
        let prior = if self.prior > now { self.prior } else { Time::ZERO };
        *self = Lease { prior, ..Lease::default() };
    }

    /// A peer still waits for a former primary.
    pub(crate) fn heard(&mut self, until: Time) {
        self.prior = self.prior.max(until);
    }

    /// How long somebody may still serve by our promise.
    pub(crate) fn remaining(&self, now: Time) -> Duration {
        self.prior.max(self.promised).max(self.asked).saturating_sub(now)
    }

    /// The primary begins to grant.
    pub(crate) fn begin(&mut self, now: Time, interval: Duration) {
        self.acked.clear();
        self.renew_at = Some(now + interval / 2);
    }

    /// Whose promise is needed.
    pub(crate) fn wait_for(&mut self, acting: impl Iterator<Item = OsdId>) {
        self.acked = acting.map(|o| (o, Time::ZERO)).collect();
    }

    /// The lease to send now.
    pub(crate) fn grant(&mut self, now: Time, interval: Duration) -> PgLease {
        self.asked = self.asked.max(now + interval);
        PgLease {
            readable_until: span(self.acked.values().min().copied().unwrap_or(now)),
            readable_until_ub: span(self.asked),
            interval: interval.into(),
            ..PgLease::default()
        }
    }

    /// We promised the primary that nobody else serves until then.
    pub(crate) fn granted_to_primary(&mut self, until: Time) {
        self.promised = self.promised.max(until);
    }

    /// True if nobody else can be serving.
    fn is_readable(&self, now: Time) -> bool {
        self.acked.values().all(|until| now < *until) && !self.is_waiting(now)
    }

    /// True while a former primary may be serving.
    pub(crate) fn is_waiting(&self, now: Time) -> bool {
        now < self.prior && !self.prior_down.is_empty()
    }

    /// True if replicas have not renewed their promise in time.
    pub(crate) fn is_laggy(&self, now: Time) -> bool {
        !self.acked.values().all(|until| now < *until)
    }
}

fn is_dead(map: &OsdMap, osd: OsdId) -> bool {
    let x = osd.index().and_then(|i| map.osd_xinfo.get(i));
    !map.exists(osd)
        || map.is_down(osd)
            && x.is_some_and(|x| x.dead_epoch > Epoch(0) && x.dead_epoch > map.up_from(osd))
}

impl Pg {
    /// True if a read served now cannot be stale.
    pub(crate) fn is_readable(&self, now: Time) -> bool {
        self.lease.is_readable(now)
    }

    /// Before activation: whom the past interval may have left serving.
    pub(crate) fn note_prior_down(&mut self, env: &Env<'_>) {
        let down = self.prior_set(env).down;
        self.lease.prior_down = down.into_iter().filter(|o| !is_dead(&env.map, *o)).collect();
    }

    /// A map may show that somebody is dead.
    pub(crate) fn lease_check_dead(&mut self, env: &mut Env<'_>) {
        let map = env.map.clone();
        self.lease.prior_down.retain(|o| !is_dead(&map, *o) && !map.is_up(*o));
    }

    /// Renews leases; serves what waited for a former primary's end.
    pub(crate) fn lease_tick(&mut self, env: &mut Env<'_>) -> Step {
        let now = env.now.mono;
        if !matches!(self.role, Role::Primary(_)) || self.active().is_none() {
            return Ok(());
        }
        if self.lease.renew_at.is_some_and(|at| now >= at) {
            self.lease.renew_at = Some(now + env.config.lease / 2);
            let lease = self.lease.grant(now, env.config.lease);
            for osd in self.lease.acked.keys() {
                env.out.send(Peer::Osd(*osd), wire::lease(self.epoch, self.id, lease.clone()));
            }
        }
        if self.is_active() && self.is_readable(now) && self.is_waited_for() {
            self.serve_waiting(env)?;
        }
        Ok(())
    }

    pub(crate) fn lease_wake(&self) -> Option<Time> {
        self.active()?;
        let held = self.is_active() && !self.lease.prior_down.is_empty();
        let prior = (held && self.is_waited_for()).then_some(self.lease.prior);
        self.lease.renew_at.into_iter().chain(prior).min()
    }

    /// The primary renews its lease.
    pub fn on_lease(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        epoch: Epoch,
        lease: &PgLease,
    ) -> Step {
        let ours = matches!(&self.role, Role::Replica(r) if r.primary == from);
        if ours && !self.is_stale(epoch) {
            let ack = self.take_lease(env, lease);
            env.out.send(Peer::Osd(from), wire::lease_ack(self.epoch, self.id, ack));
        }
        Ok(())
    }

    /// A replica acknowledged a lease.
    pub fn on_lease_ack(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        epoch: Epoch,
        ack: &PgLeaseAck,
    ) -> Step {
        if self.is_stale(epoch) { Ok(()) } else { self.lease_acked(env, from, ack) }
    }

    pub(crate) fn lease_acked(&mut self, env: &mut Env<'_>, from: OsdId, ack: &PgLeaseAck) -> Step {
        let was = self.is_readable(env.now.mono);
        if let Some(until) = self.lease.acked.get_mut(&from) {
            *until = (*until).max(time(ack.readable_until_ub));
        }
        if !was && self.is_active() && self.is_readable(env.now.mono) {
            self.serve_waiting(env)?;
        }
        Ok(())
    }
}
