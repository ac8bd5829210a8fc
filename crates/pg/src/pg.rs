//! The PG: its state, its life through the maps, and what happens when transactions are durable.
//!
//! Invariants: `member` is what the map of `epoch` says; everything in `role` and `after` belongs
//! to the interval that began at `info.history.same_interval_since`, and is dropped with it.

use std::collections::VecDeque;
use std::time::Duration;

use seabed_cluster::{
    Collection, EVersion, Epoch, GhObject, HObject, OsdId, OsdMap, PastIntervals, PgHistory,
    PgInfo, SpgId, Time,
};
use seabed_messages::Packet;
use seabed_storage::{Transaction, TxId};

use crate::backoff::Backoffs;
use crate::client::Waiting;
use crate::disk::{self, Stored};
use crate::interval::{self, Membership};
use crate::lease::Lease;
use crate::log::{Log, Missing, set_last_complete};
use crate::peering::{Phase, Primary, Role};
use crate::recovery::Incoming;
use crate::watch::Watches;
use crate::{Env, Level, Peer, Step};

/// What follows when a transaction is durable. Forgotten when the interval ends.
#[derive(Debug, Clone)]
pub(crate) enum After {
    /// A message may leave.
    Send(Peer, Packet),
    /// The primary's own part of a replicated change is done.
    Written(u64),
    /// The primary's own activation is durable.
    Activated,
}

/// One OSD's copy of a placement group.
#[derive(Debug)]
pub struct Pg {
    pub(crate) id: SpgId,
    pub(crate) whoami: OsdId,
    pub(crate) coll: Collection,
    pub(crate) meta: GhObject,
    pub(crate) info: PgInfo,
    pub(crate) past: PastIntervals,
    pub(crate) log: Log,
    pub(crate) missing: Missing,
    pub(crate) member: Membership,
    /// The newest map this PG has been told of.
    pub(crate) epoch: Epoch,
    /// Messages that belong to an older epoch are stale.
    pub(crate) peering_since: Epoch,
    pub(crate) role: Role,
    pub(crate) lease: Lease,
    pub(crate) waiting: Waiting,
    pub(crate) incoming: Incoming,
    pub(crate) watches: Watches,
    pub(crate) backoffs: Backoffs,
    pub(crate) after: VecDeque<(TxId, After)>,
    /// The newest `last_complete` that is durable here.
    pub(crate) complete_ondisk: EVersion,
    pub(crate) complete_pending: VecDeque<(TxId, EVersion)>,
    pub(crate) info_dirty: bool,
    pub(crate) past_dirty: bool,
    pub(crate) stamps: crate::stats::Stamps,
}

impl Pg {
    fn new(env: &Env<'_>, id: SpgId, member: Membership, stored: Stored) -> Pg {
        let mut pg = Pg {
            id,
            whoami: env.whoami,
            coll: Collection::Pg(id),
            meta: GhObject::pg_meta(id),
            complete_ondisk: stored.info.last_complete,
            info: stored.info,
            past: stored.past,
            log: stored.log,
            missing: stored.missing,
            member,
            epoch: stored.epoch,
            peering_since: stored.epoch,
            role: Role::default(),
            lease: Lease::default(),
            waiting: Waiting::default(),
            incoming: Incoming::default(),
            watches: Watches::default(),
            backoffs: Backoffs::default(),
            after: VecDeque::new(),
            complete_pending: VecDeque::new(),
            info_dirty: false,
            past_dirty: false,
            stamps: crate::stats::Stamps::new(env.now.wall),
        };
        pg.assume_role();
        pg
    }

    /// A PG of which this OSD has nothing yet, as of `map`. `history` and `past` are what the
    /// creator of the PG, or a peer that has it, knows.
    pub fn create(
        env: &mut Env<'_>,
        id: SpgId,
        map: &OsdMap,
        history: PgHistory,
        past: PastIntervals,
    ) -> Step<Option<Pg>> {
        let Some(member) = Membership::of(map, id.pg) else { return Ok(None) };
        let mut info = PgInfo::new(id);
        info.history = history;
        info.stats.created = info.history.epoch_created;
        if info.history.same_interval_since == Epoch(0) {
            info.history.same_interval_since = map.epoch;
            info.history.same_up_since = map.epoch;
            info.history.same_primary_since = map.epoch;
        }
        let stored = Stored {
            epoch: map.epoch,
            info,
            past,
            log: Log::default(),
            missing: Missing::default(),
        };
        let mut pg = Pg::new(env, id, member, stored);
        pg.create_on_disk(env)?;
        Ok(Some(pg))
    }

    /// A PG as it lies on disk, still in the epoch it was left in; `None` if the collection holds
    /// no PG. The caller finds the map of [`stored_epoch`](Pg::stored_epoch) first.
    pub fn load(env: &mut Env<'_>, id: SpgId, map: &OsdMap) -> Step<Option<Pg>> {
        let Some(stored) = disk::load(env.store, id)? else { return Ok(None) };
        let Some(member) = Membership::of(map, id.pg) else { return Ok(None) };
        let mut pg = Pg::new(env, id, member, stored);
        pg.lease.assume_granted(env.now.mono, env.config.lease, &pg.member, pg.whoami);
        pg.drop_leftovers(env)?;
        Ok(Some(pg))
    }

    /// The epoch in which a PG on disk was left, `None` if there is no PG.
    pub fn stored_epoch(env: &Env<'_>, id: SpgId) -> Step<Option<Epoch>> {
        disk::stored_epoch(env.store, id)
    }

    /// Which PG.
    pub fn id(&self) -> SpgId {
        self.id
    }

    /// The PG's collection.
    pub fn collection(&self) -> &Collection {
        &self.coll
    }

    /// Info of this copy.
    pub fn info(&self) -> &PgInfo {
        &self.info
    }

    /// The log of this copy.
    pub fn pg_log(&self) -> &Log {
        &self.log
    }

    /// What this copy lacks.
    pub fn missing(&self) -> &Missing {
        &self.missing
    }

    /// Intervals that have not been forgotten.
    pub fn past_intervals(&self) -> &PastIntervals {
        &self.past
    }

    /// Who answers for the PG.
    pub fn membership(&self) -> &Membership {
        &self.member
    }

    /// The newest epoch the PG was told of.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// True if this OSD leads the PG.
    pub fn is_primary(&self) -> bool {
        self.member.acting_primary == Some(self.whoami)
    }

    /// The phase or role, in a word, for traces.
    pub fn phase(&self) -> &'static str {
        match &self.role {
            Role::Stray => "stray",
            Role::Replica(_) => "replica",
            Role::Primary(p) => p.phase.name(),
        }
    }

    /// True if clients are served.
    pub fn is_active(&self) -> bool {
        self.active().is_some_and(|a| a.is_serving()) && self.member.writeable()
    }

    /// True if this OSD leads, and everything is where it belongs.
    pub fn is_clean(&self) -> bool {
        self.active().is_some_and(|a| a.clean)
    }

    /// What keeps an active PG from being clean, for traces.
    pub fn trouble(&self) -> String {
        match (self.primary(), self.active()) {
            (Some(primary), Some(active)) => {
                let missing: Vec<_> =
                    primary.peers.iter().map(|(o, c)| (o.0, c.missing.len())).collect();
                format!(
                    "waiting {:?} missing {missing:?} filling {:?} {:?}",
                    active.waiting, active.backfills, active.recovery
                )
            }
            (Some(primary), None) => format!("{:?}", primary.phase),
            _ => String::new(),
        }
    }

    /// True if this OSD belongs to the present up or acting set.
    pub fn is_member(&self) -> bool {
        self.member.up.contains(&self.whoami) || self.member.acting.contains(&self.whoami)
    }

    /// OSDs to exchange heartbeats with on account of this PG.
    pub fn heartbeat_peers(&self) -> impl Iterator<Item = OsdId> + '_ {
        let strays = self.primary().map(|p| p.peers.keys().copied().collect::<Vec<_>>());
        self.member.everyone().into_iter().chain(strays.into_iter().flatten())
    }

    pub(crate) fn log_line(&self, env: &mut Env<'_>, level: Level, text: std::fmt::Arguments<'_>) {
        env.out.log(level, format!("pg {} e{}: {text}", self.id.pg, self.epoch));
    }

    /// Takes the next map. `last_map` is the one before; epochs must not be left out (see
    /// [`gap`](Pg::gap)).
    pub fn advance(&mut self, env: &mut Env<'_>, map: &OsdMap, last_map: &OsdMap) -> Step {
        let Some(new) = Membership::of(map, self.id.pg) else { return Ok(()) };
        self.epoch = map.epoch;
        if new != self.member {
            let first = self.info.history.same_interval_since;
            let last = last_map.epoch;
            let clean = self.info.history.last_epoch_clean;
            let wrote = interval::maybe_wrote(last_map, &self.member, first, last, clean);
            interval::add_interval(&mut self.past, first, last, &self.member, wrote);
            self.begin_interval(env, new)?;
        }
        Ok(())
    }

    /// Maps up to `map.epoch` (exclusive) were never seen: whoever acted in them is unknown, and
    /// may have written.
    pub fn gap(&mut self, env: &mut Env<'_>, map: &OsdMap) -> Step {
        let Some(new) = Membership::of(map, self.id.pg) else { return Ok(()) };
        let unknown = Membership { acting: vec![OsdId::NONE], ..Membership::default() };
        let first = self.info.history.same_interval_since;
        let last = Epoch(map.epoch.0.saturating_sub(1));
        interval::add_interval(&mut self.past, first, last, &unknown, true);
        self.epoch = map.epoch;
        self.begin_interval(env, new)
    }

    /// Drops what belongs to the former interval and takes the place the new one gives.
    fn begin_interval(&mut self, env: &mut Env<'_>, new: Membership) -> Step {
        let history = &mut self.info.history;
        history.same_interval_since = self.epoch;
        if new.up != self.member.up {
            history.same_up_since = self.epoch;
        }
        let led = self.member.acting_primary == Some(self.whoami);
        if new.acting_primary != self.member.acting_primary {
            history.same_primary_since = self.epoch;
        }
        let mono = env.now.mono;
        self.lease.end_interval(mono, &self.member, led, self.whoami);
        self.peering_since = self.epoch;
        self.past_dirty = true;
        self.info_dirty = true;
        self.after.clear();
        self.watches = Watches::default();
        self.lift_all(env);
        self.end_trim(env);
        let role = std::mem::take(&mut self.role);
        self.requeue(env, role);
        self.member = new;
        self.drop_leftovers(env)?;
        self.assume_role();
        Ok(())
    }

    fn assume_role(&mut self) {
        self.role = if self.is_primary() {
            Role::Primary(Box::default())
        } else {
            self.waiting.clear();
            Role::Stray
        };
    }

    /// Acts on the newest map, after the last [`advance`](Pg::advance).
    pub fn activate_map(&mut self, env: &mut Env<'_>) -> Step {
        self.flush(env)?;
        match &self.role {
            Role::Stray => self.announce(env),
            Role::Replica(_) => {}
            Role::Primary(_) => {
                self.primary_sees_map(env)?;
                self.expel_blocklisted(env)?;
            }
        }
        self.room_again(env)
    }

    /// Transactions became durable.
    pub fn committed(&mut self, env: &mut Env<'_>, through: TxId) -> Step {
        while self.complete_pending.front().is_some_and(|(tx, _)| *tx <= through) {
            if let Some((_, version)) = self.complete_pending.pop_front() {
                self.complete_ondisk = version;
            }
        }
        while self.after.front().is_some_and(|(tx, _)| *tx <= through) {
            let Some((_, after)) = self.after.pop_front() else { break };
            match after {
                After::Send(to, packet) => env.out.send(to, packet),
                After::Written(tid) => self.written_here(env, tid)?,
                After::Activated => self.activated_here(env)?,
            }
        }
        Ok(())
    }

    /// Lets time pass.
    pub fn tick(&mut self, env: &mut Env<'_>) -> Step {
        self.lease_tick(env)?;
        self.ask_again(env)?;
        self.watch_tick(env)?;
        self.recover(env)?;
        self.trim(env)
    }

    /// When [`tick`](Pg::tick) is wanted.
    pub fn wake_at(&self) -> Option<Time> {
        let trim = self.active().and_then(|a| a.trim.wake_at());
        let wakes = [self.lease_wake(), self.ask_again_at(), self.watches.wake_at(), trim];
        wakes.into_iter().flatten().min()
    }

    /// Does `what` once `tx` is durable.
    pub(crate) fn after(&mut self, tx: TxId, what: After) {
        self.after.push_back((tx, what));
    }

    /// Notes that `last_complete` reaches the disk with `tx`.
    pub(crate) fn note_complete(&mut self, tx: TxId) {
        self.complete_pending.push_back((tx, self.info.last_complete));
    }

    /// Sends once `tx` is durable.
    pub(crate) fn send_after(&mut self, tx: TxId, to: OsdId, packet: impl Into<Packet>) {
        self.after(tx, After::Send(Peer::Osd(to), packet.into()));
    }

    /// True for a message of a former interval.
    pub(crate) fn is_stale(&self, epoch: Epoch) -> bool {
        epoch < self.peering_since
    }

    pub(crate) fn update_last_complete(&mut self) {
        set_last_complete(&self.log, &self.missing, &mut self.info);
    }

    pub(crate) fn gh(&self, object: &HObject) -> GhObject {
        GhObject::from(object.clone())
    }

    /// Writes down the epoch reached, so that older maps are not needed after a start.
    pub fn store_epoch(&mut self, env: &mut Env<'_>) -> Step {
        self.submit(env, Transaction::new())?;
        Ok(())
    }

    pub(crate) fn primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(p) => Some(p),
            _ => None,
        }
    }

    pub(crate) fn primary_mut(&mut self) -> Option<&mut Primary> {
        match &mut self.role {
            Role::Primary(p) => Some(p),
            _ => None,
        }
    }

    pub(crate) fn active(&self) -> Option<&crate::peering::Active> {
        match &self.primary()?.phase {
            Phase::Active(a) => Some(a),
            _ => None,
        }
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut crate::peering::Active> {
        match &mut self.primary_mut()?.phase {
            Phase::Active(a) => Some(a),
            _ => None,
        }
    }

    /// How long the present interval has lasted is of no interest; how long a wish waits is.
    pub(crate) fn due(at: Time, now: Time) -> bool {
        now >= at
    }

    /// The time a wish sent now is repeated.
    pub(crate) fn again(env: &Env<'_>) -> Time {
        let pause: Duration = env.config.ask_again;
        env.now.mono + pause
    }
}
