//! Back-offs: clients that know them keep requests that cannot be carried out for long to
//! themselves, and send them when they are told to.
//!
//! Held back are requests on the whole PG while it is down, incomplete or has too few copies, or
//! while too many requests wait here; and requests on an object that no known copy has.
//!
//! ```text
//! BLOCK ──▶ new ──(client acknowledges)──▶ in force ──UNBLOCK──▶ gone
//!            └────UNBLOCK────▶ lifted ──(client acknowledges)──▶ gone
//! ```
//!
//! Invariants: a request that falls under a back-off of its session is dropped, because the client
//! sends it again after UNBLOCK; it is also dropped while a lifted one is not acknowledged, because
//! then it was sent before the client knew of either. A session has at most one of each range.

use std::collections::BTreeMap;

use seabed_cluster::HObject;
use seabed_messages::{MOsdBackoff, backoff_op};

use crate::peering::Phase;
use crate::{Env, Peer, Pg, SessionId, Step};

/// The requests on objects from `begin` to before `end`, or on `begin` if both are the same.
#[derive(Debug)]
struct Backoff {
    begin: HObject,
    end: HObject,
    acknowledged: bool,
    lifted: bool,
}

/// The back-offs of a PG, by session and id.
#[derive(Debug, Default)]
pub(crate) struct Backoffs(BTreeMap<(SessionId, u64), Backoff>);

impl Backoffs {
    /// True if nobody is held back.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the session must not send requests on this object.
    pub(crate) fn holds(&self, session: SessionId, object: &HObject) -> bool {
        let of_session = self.0.range((session, 0)..=(session, u64::MAX));
        of_session
            .map(|(_, b)| b)
            .any(|b| b.begin == *object || b.begin < *object && *object < b.end)
    }

    /// True if somebody is held back from the whole PG, and has not been told otherwise.
    pub(crate) fn holds_pg(&self) -> bool {
        self.0.values().any(|b| b.begin != b.end && !b.lifted)
    }

    fn block(&mut self, session: SessionId, id: u64, begin: HObject, end: HObject) {
        let backoff = Backoff { begin, end, acknowledged: false, lifted: false };
        self.0.insert((session, id), backoff);
    }

    /// The client has stopped to send.
    fn acknowledge(&mut self, session: SessionId, id: u64) {
        let Some(backoff) = self.0.get_mut(&(session, id)) else { return };
        backoff.acknowledged = true;
        if backoff.lifted {
            self.0.remove(&(session, id));
        }
    }

    /// Lifts what is meant: whom to tell, in order.
    fn lift(
        &mut self,
        meant: impl Fn(&Backoff) -> bool,
    ) -> Vec<(SessionId, u64, HObject, HObject)> {
        let mut told = Vec::new();
        self.0.retain(|(session, id), backoff| {
            if backoff.lifted || !meant(backoff) {
                return true;
            }
            told.push((*session, *id, backoff.begin.clone(), backoff.end.clone()));
            backoff.lifted = true;
            !backoff.acknowledged
        });
        told
    }

    /// A session ended, and its back-offs with it.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.0.retain(|(s, _), _| *s != session);
    }
}

impl Pg {
    /// True if requests will not be served before others come back or are given up.
    pub(crate) fn keeps_out(&self) -> bool {
        match self.primary().map(|p| &p.phase) {
            Some(Phase::GetInfo { prior, .. }) => prior.is_blocked(),
            Some(Phase::Incomplete { .. }) => true,
            Some(Phase::Active(active)) => active.activated && !self.member.writeable(),
            _ => false,
        }
    }

    /// Holds back everything of a session; what of it waits here will be sent again.
    pub(crate) fn back_off_all(&mut self, env: &mut Env<'_>, session: SessionId) {
        let pg = self.id.pg;
        let Some(pg_num) = env.map.pools.get(&pg.pool).map(|p| p.pg_num) else { return };
        self.waiting.forget(session);
        self.back_off(env, session, pg.object_start(), pg.object_end(pg_num));
    }

    /// Holds back a session's requests on one object.
    pub(crate) fn back_off_object(
        &mut self,
        env: &mut Env<'_>,
        session: SessionId,
        object: &HObject,
    ) {
        self.back_off(env, session, object.clone(), object.clone());
    }

    fn back_off(&mut self, env: &mut Env<'_>, session: SessionId, begin: HObject, end: HObject) {
        let id = env.ids.next_backoff();
        self.backoffs.block(session, id, begin.clone(), end.clone());
        self.tell_backoff(env, backoff_op::BLOCK, (session, id, begin, end));
    }

    /// The PG serves, or somebody else will.
    pub(crate) fn lift_all(&mut self, env: &mut Env<'_>) {
        self.lift(env, |_| true);
    }

    /// There is room for requests again.
    pub(crate) fn lift_pg(&mut self, env: &mut Env<'_>) {
        self.lift(env, |b| b.begin != b.end);
    }

    /// An object is there again.
    pub(crate) fn lift_object(&mut self, env: &mut Env<'_>, object: &HObject) {
        self.lift(env, |b| b.begin == *object && b.end == *object);
    }

    fn lift(&mut self, env: &mut Env<'_>, meant: impl Fn(&Backoff) -> bool) {
        for backoff in self.backoffs.lift(meant) {
            self.tell_backoff(env, backoff_op::UNBLOCK, backoff);
        }
    }

    fn tell_backoff(
        &self,
        env: &mut Env<'_>,
        op: u8,
        (session, id, begin, end): (SessionId, u64, HObject, HObject),
    ) {
        let (pg, epoch) = (self.id, self.epoch);
        let message = MOsdBackoff { pg, epoch, op, id, begin, end, ..MOsdBackoff::default() };
        env.out.send(Peer::Client(session), message);
    }

    /// A client's word on a back-off: it may only acknowledge.
    pub fn on_backoff(&mut self, _: &mut Env<'_>, session: SessionId, m: &MOsdBackoff) -> Step {
        if m.op == backoff_op::ACK_BLOCK {
            self.backoffs.acknowledge(session, m.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use seabed_cluster::{PgId, PoolId, SnapId};
    use seabed_denc::Bytes;

    use super::*;

    fn object(name: &'static str) -> HObject {
        let none = Bytes::new();
        let name = Bytes::from_static(name.as_bytes());
        HObject::new(PoolId(1), none.clone(), none, name, SnapId::HEAD)
    }

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    #[test]
    fn a_back_off_holds_its_range_and_its_session() {
        let mut all = Backoffs::default();
        let pg = PgId::new(PoolId(1), object("in").hash % 4);
        all.block(A, 1, pg.object_start(), pg.object_end(4));
        assert!(all.holds(A, &object("in")) && !all.holds(B, &object("in")));
        let other = ["a", "b", "c", "d", "e", "f", "g", "h"].map(object);
        let other = other.iter().find(|o| o.hash % 4 != pg.seed).unwrap();
        assert!(!all.holds(A, other));
        all.block(B, 2, object("in"), object("in"));
        assert!(all.holds(B, &object("in")));
        assert!(!all.holds(B, other));
        all.forget(B);
        assert!(!all.holds(B, &object("in")));
    }

    #[test]
    fn it_ends_when_both_sides_know_it() {
        let one = object("in");
        let mut all = Backoffs::default();
        all.block(A, 1, one.clone(), one.clone());
        all.acknowledge(A, 1);
        assert!(all.holds(A, &one));
        assert_eq!(all.lift(|_| false), []);
        assert_eq!(all.lift(|_| true), [(A, 1, one.clone(), one.clone())]);
        assert!(all.is_empty());

        // What was sent before the client knew of it is not taken for what it sends afterwards.
        all.block(A, 2, one.clone(), one.clone());
        assert_eq!(all.lift(|_| true).len(), 1);
        assert_eq!(all.lift(|_| true), [], "told once");
        assert!(all.holds(A, &one));
        all.acknowledge(A, 2);
        assert!(all.is_empty() && !all.holds(A, &one));
        all.acknowledge(A, 2);
    }
}
