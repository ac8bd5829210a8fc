//! Watch and notify: clients that want to be told, and those that tell them.
//!
//! That a client watches an object is written in the object's info, and so survives everything.
//! Whether it can be reached is known to the primary alone, here, in memory: a watch lives in a
//! session, and what was promised is forgotten with the interval. A watch that the info names and
//! that is not known here yet (this primary is new) is met as disconnected when a request first
//! looks at the object; its client finds the new primary in time, or the watch ends.
//!
//! ```text
//!            WATCH, RECONNECT             session closed
//! (in info) ─────────────────▶ connected ───────────────▶ disconnected
//!                 ▲                │ no PING in time            │ time is up
//!                 └────────────────┼──── RECONNECT ─────────────┤
//!                                  ▼                            ▼
//!                        removed from the info by a change of the PG's own
//! ```
//!
//! Clients of old times (LEGACY_WATCH) do not ping: their time runs only while they are
//! disconnected. A notify ends when every watch it was started for has answered or is gone, or when
//! its time is up; the notifier is told once.
//!
//! Invariants: a watch here is, or just was, in its object's info; every watch that waits for a
//! notify is in both lists, its own and the notify's; what notifies and answers weigh is bounded.

mod effects;
mod life;
mod notify;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use seabed_cluster::{EVersion, EntityAddr, EntityName, HObject, Time, WatchInfo};
use seabed_denc::Bytes;
use seabed_messages::{MWatchNotify, watch_event};

pub use effects::{NewNotify, NotifyAck, WatchEffects, Watcher};

use crate::{Outbox, Peer, SessionId};
use notify::Notify;

/// A watch as its primary knows it.
#[derive(Debug)]
struct Watch {
    timeout: Duration,
    addr: EntityAddr,
    /// Where its client is, if it is connected.
    session: Option<SessionId>,
    /// The client promised pings: its time runs while it is connected too.
    pings: bool,
    expires: Option<Time>,
    /// Notifies that wait for it.
    pending: BTreeSet<u64>,
}

/// Whose time it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A notify.
    Notify(u64),
    /// A watch on an object.
    Watch(HObject, Watcher),
}

/// The watches and notifies of a PG that this OSD leads.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    objects: BTreeMap<HObject, BTreeMap<Watcher, Watch>>,
    notifies: BTreeMap<u64, Notify>,
    deadlines: BTreeSet<(Time, Due)>,
    /// Watches whose time is up and whose object cannot be written yet.
    overdue: BTreeSet<(HObject, Watcher)>,
    /// Watches that changes on their way, of these versions, remove.
    expelling: VecDeque<(EVersion, HObject, Watcher)>,
    /// Bytes of notifies and answers.
    weight: usize,
}

impl Watches {
    /// True if nobody watches and nothing is told.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.notifies.is_empty()
    }

    /// When the next watch or notify runs out.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes what has run out.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Due> {
        if self.wake_at()? > now {
            return None;
        }
        let (_, due) = self.deadlines.pop_first()?;
        if let Due::Watch(object, watcher) = &due
            && let Some(watch) = watch_of(&mut self.objects, object, watcher)
        {
            watch.expires = None;
        }
        Some(due)
    }

    /// True if so many bytes, for so many notifies, can be kept.
    pub(crate) fn has_room(&self, effects: &WatchEffects, bytes_max: usize, max: usize) -> bool {
        self.weight.saturating_add(effects.weight()) <= bytes_max
            && self.notifies.len() + effects.notifies.len() <= max
    }

    /// Cookies of an object's watches by one client that are connected.
    pub(crate) fn connected(&self, object: &HObject, client: &Watcher) -> bool {
        let watch = self.objects.get(object).and_then(|w| w.get(client));
        watch.is_some_and(|w| w.session.is_some())
    }

    /// Watches that an object's info names: those not known here are disconnected. True if there
    /// are such.
    pub(crate) fn meet(
        &mut self,
        object: &HObject,
        watchers: &BTreeMap<Watcher, WatchInfo>,
        now: Time,
    ) -> bool {
        let known = self.objects.get(object);
        let new = |w: &Watcher| known.is_none_or(|k| !k.contains_key(w));
        let met: Vec<_> = watchers.iter().filter(|(w, _)| new(w)).collect();
        for (watcher, info) in &met {
            self.insert(object, **watcher, info);
            self.start_timer(object, watcher, now);
        }
        !met.is_empty()
    }

    fn insert(&mut self, object: &HObject, watcher: Watcher, info: &WatchInfo) {
        let watch = Watch {
            timeout: Duration::from_secs(info.timeout_seconds.into()),
            addr: info.addr,
            session: None,
            pings: false,
            expires: None,
            pending: BTreeSet::new(),
        };
        self.objects.entry(object.clone()).or_default().insert(watcher, watch);
    }

    fn start_timer(&mut self, object: &HObject, watcher: &Watcher, now: Time) {
        self.stop_timer(object, watcher);
        if let Some(watch) = watch_of(&mut self.objects, object, watcher) {
            let at = now + watch.timeout;
            watch.expires = Some(at);
            self.deadlines.insert((at, Due::Watch(object.clone(), *watcher)));
        }
    }

    fn stop_timer(&mut self, object: &HObject, watcher: &Watcher) {
        if let Some(watch) = watch_of(&mut self.objects, object, watcher)
            && let Some(at) = watch.expires.take()
        {
            self.deadlines.remove(&(at, Due::Watch(object.clone(), *watcher)));
        }
    }

    /// A client says that it watches, in this session; what it has not been told yet it is told.
    pub(crate) fn connect(
        &mut self,
        out: &mut Outbox,
        object: &HObject,
        watcher: Watcher,
        (info, pings): &(WatchInfo, bool),
        session: Option<SessionId>,
        now: Time,
    ) {
        if watch_of(&mut self.objects, object, &watcher).is_none() {
            self.insert(object, watcher, info);
        }
        let Some(watch) = watch_of(&mut self.objects, object, &watcher) else { return };
        if session.is_some() && watch.session == session {
            return;
        }
        watch.session = session;
        watch.pings = *pings;
        for id in &watch.pending {
            if let (Some(session), Some(notify)) = (session, self.notifies.get(id)) {
                out.send(Peer::Client(session), notify.event(watcher.0));
            }
        }
        self.overdue.remove(&(object.clone(), watcher));
        if *pings || session.is_none() {
            self.start_timer(object, &watcher, now);
        } else {
            self.stop_timer(object, &watcher);
        }
    }

    /// A client says that a watch of its is alive.
    pub(crate) fn ping(&mut self, object: &HObject, watcher: &Watcher, now: Time) {
        let watch = watch_of(&mut self.objects, object, watcher);
        if watch.is_some_and(|w| w.session.is_some()) {
            self.start_timer(object, watcher, now);
        }
    }

    /// A session ended: its watches are disconnected, and their time runs if it did not.
    pub(crate) fn disconnect(&mut self, session: SessionId, now: Time) {
        let mut idle = Vec::new();
        for (object, watches) in &mut self.objects {
            for (watcher, watch) in watches {
                if watch.session == Some(session) {
                    watch.session = None;
                    if !watch.pings {
                        idle.push((object.clone(), *watcher));
                    }
                }
            }
        }
        for (object, watcher) in idle {
            self.start_timer(&object, &watcher, now);
        }
    }

    /// A watch is gone: nobody waits for it any more.
    pub(crate) fn remove(
        &mut self,
        out: &mut Outbox,
        object: &HObject,
        watcher: &Watcher,
        tell: bool,
    ) {
        self.stop_timer(object, watcher);
        self.overdue.remove(&(object.clone(), *watcher));
        let Some(watches) = self.objects.get_mut(object) else { return };
        let Some(watch) = watches.remove(watcher) else { return };
        if watches.is_empty() {
            self.objects.remove(object);
        }
        if let (true, Some(session)) = (tell, watch.session) {
            let opcode = watch_event::DISCONNECT;
            let event = MWatchNotify { opcode, cookie: watcher.0, ..MWatchNotify::default() };
            out.send(Peer::Client(session), event);
        }
        for id in watch.pending {
            if let Some(notify) = self.notifies.get_mut(&id) {
                notify.waiting.remove(watcher);
                self.end_if_answered(out, id);
            }
        }
    }

    /// Tells every watcher of the object.
    pub(crate) fn notify(
        &mut self,
        out: &mut Outbox,
        object: &HObject,
        what: NewNotify,
        notifier: SessionId,
        client: u64,
        now: Time,
    ) {
        let id = what.id;
        let expires = now + Duration::from_secs(what.timeout_seconds.into());
        let mut notify = Notify::new(what, object.clone(), notifier, client, expires);
        for (watcher, watch) in self.objects.get_mut(object).into_iter().flatten() {
            notify.waiting.insert(*watcher);
            watch.pending.insert(id);
            if let Some(session) = watch.session {
                out.send(Peer::Client(session), notify.event(watcher.0));
            }
        }
        self.weight += notify.weight();
        self.notifies.insert(id, notify);
        self.deadlines.insert((expires, Due::Notify(id)));
        self.end_if_answered(out, id);
    }

    /// A client's watches on the object, or the one it names, answer a notify.
    pub(crate) fn ack(
        &mut self,
        out: &mut Outbox,
        object: &HObject,
        client: EntityName,
        ack: &NotifyAck,
    ) {
        for (watcher, watch) in self.objects.get_mut(object).into_iter().flatten() {
            let named = ack.cookie.is_none_or(|c| c == watcher.0) && watcher.1 == client;
            if named
                && watch.pending.remove(&ack.id)
                && let Some(notify) = self.notifies.get_mut(&ack.id)
            {
                notify.waiting.remove(watcher);
                self.weight += ack.reply.len();
                notify.ack(watcher, Bytes::clone(&ack.reply));
            }
        }
        self.end_if_answered(out, ack.id);
    }

    fn end_if_answered(&mut self, out: &mut Outbox, id: u64) {
        if self.notifies.get(&id).is_some_and(|n| n.waiting.is_empty()) {
            self.end(out, id, false);
        }
    }

    /// The time of a notify is up.
    pub(crate) fn time_out(&mut self, out: &mut Outbox, id: u64) {
        self.end(out, id, true);
    }

    fn end(&mut self, out: &mut Outbox, id: u64, timed_out: bool) {
        let Some(notify) = self.notifies.remove(&id) else { return };
        self.deadlines.remove(&(notify.expires, Due::Notify(id)));
        self.weight -= notify.weight();
        for watcher in &notify.waiting {
            if let Some(watch) = watch_of(&mut self.objects, &notify.object, watcher) {
                watch.pending.remove(&id);
            }
        }
        let notifier = Peer::Client(notify.notifier);
        out.send(notifier, notify.completion(timed_out));
    }

    /// Notes a watch that must end and cannot yet.
    pub(crate) fn wait(&mut self, object: &HObject, watcher: Watcher) {
        self.overdue.insert((object.clone(), watcher));
    }

    /// Takes the watches of an object that must end.
    pub(crate) fn take_overdue(&mut self, object: &HObject) -> Vec<Watcher> {
        let of: Vec<_> = self.overdue.iter().filter(|(o, _)| o == object).cloned().collect();
        of.into_iter()
            .map(|entry| {
                self.overdue.remove(&entry);
                entry.1
            })
            .collect()
    }

    /// Watches whose client's address is one of these.
    pub(crate) fn from(&self, hit: impl Fn(&EntityAddr) -> bool) -> Vec<(HObject, Watcher)> {
        let all = self.objects.iter().flat_map(|(o, w)| w.iter().map(move |w| (o, w)));
        all.filter(|(_, (_, watch))| hit(&watch.addr))
            .map(|(object, (watcher, _))| (object.clone(), *watcher))
            .collect()
    }

    /// The first broken invariant, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let weight: usize = self.notifies.values().map(Notify::weight).sum();
        if weight != self.weight {
            return Err(format!("notifies weigh {weight}, not {}", self.weight));
        }
        for (object, watches) in &self.objects {
            for (watcher, watch) in watches {
                let both = |id| self.notifies.get(id).is_some_and(|n| n.waiting.contains(watcher));
                if !watch.pending.iter().all(both) {
                    return Err(format!("watch {watcher:?} on {object:?} waits for no notify"));
                }
            }
        }
        for (id, notify) in &self.notifies {
            let watches = self.objects.get(&notify.object);
            let both = |w: &Watcher| {
                watches.and_then(|ws| ws.get(w)).is_some_and(|w| w.pending.contains(id))
            };
            if notify.waiting.is_empty() || !notify.waiting.iter().all(both) {
                return Err(format!("notify {id} waits for nobody"));
            }
        }
        Ok(())
    }
}

fn watch_of<'a>(
    objects: &'a mut BTreeMap<HObject, BTreeMap<Watcher, Watch>>,
    object: &HObject,
    watcher: &Watcher,
) -> Option<&'a mut Watch> {
    objects.get_mut(object)?.get_mut(watcher)
}
