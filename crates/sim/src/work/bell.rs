//! Watches and notifies on the image's header. Every client watches, again whenever its watch is
//! lost, and answers what it is told; now and then one notifies.
//!
//! What must hold: a notify ends, and its end names every watch that was there all the time, among
//! those who answered or among those who did not; who is said to have answered has heard it, and
//! said this; nobody is missed in a notify that ended in time. At rest a notify is answered by all,
//! and the object's info names the watches of the living and no others.

use std::collections::BTreeSet;

use seabed_cluster::Errno;
use seabed_objecter::{Notified, NotifyEnd, RequestId, WatchEvent};

use super::image::HEADER;
use super::{Ask, Who};
use crate::client_node::global_id;
use crate::net::Node;
use crate::world::World;

/// Seconds that a watch outlives its client, and that watchers have to answer.
const WATCH_SECONDS: u32 = 20;
const NOTIFY_SECONDS: u32 = 8;

/// A watch as clients and the info of the object name it: client and cookie.
type Shown = (u64, u64);

#[derive(Debug)]
struct Watch {
    who: Who,
    id: RequestId,
    /// When it began.
    begun: Option<u64>,
    lost: bool,
    /// The notifies that it heard of.
    heard: BTreeSet<u32>,
}

impl Watch {
    fn shown(&self) -> Shown {
        (global_id(self.who.0, self.who.1).cast_unsigned(), self.id.0)
    }
}

#[derive(Debug)]
struct Ring {
    number: u32,
    began: u64,
    end: Option<NotifyEnd>,
    /// Nothing is wrong any more: everybody must answer.
    at_rest: bool,
}

/// Watches and notifies as the judge knows them.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    watches: Vec<Watch>,
    rings: Vec<Ring>,
}

fn answer(number: u32, shown: Shown) -> String {
    format!("{number} heard by {} {}", shown.0, shown.1)
}

impl Bell {
    /// The watches of clients that live, as `lives` tells.
    fn living(&self, lives: impl Fn(Who) -> bool) -> impl Iterator<Item = &Watch> {
        self.watches.iter().filter(move |w| w.begun.is_some() && !w.lost && lives(w.who))
    }

    /// The first notify that ended as it must not.
    fn judge(&self, lives: impl Fn(Who) -> bool) -> Result<(), String> {
        let there: Vec<&Watch> = self.living(lives).collect();
        for ring in &self.rings {
            let Some(end) = &ring.end else { continue };
            let number = ring.number;
            if end.timed_out == end.missed.is_empty() {
                return Err(format!("notify {number} ends wrongly: {end:?}"));
            }
            for (shown, text) in &end.acks {
                let watch = self.watches.iter().find(|w| w.shown() == *shown);
                let heard = watch.is_some_and(|w| w.heard.contains(&number));
                if !heard || *text != answer(number, *shown).as_bytes() {
                    return Err(format!("notify {number}: {shown:?} is said to answer {text:?}"));
                }
            }
            let named: BTreeSet<Shown> =
                end.acks.iter().map(|(s, _)| *s).chain(end.missed.iter().copied()).collect();
            let all_along = there.iter().filter(|w| w.begun.is_some_and(|b| b < ring.began));
            if let Some(lost) = all_along.map(|w| w.shown()).find(|shown| !named.contains(shown)) {
                return Err(format!("notify {number} says nothing of {lost:?}: {end:?}"));
            }
            let living: BTreeSet<Shown> = there.iter().map(|w| w.shown()).collect();
            if ring.at_rest && (end.timed_out || named != living) {
                return Err(format!("notify {number}, at rest: {end:?}, not {living:?}"));
            }
        }
        Ok(())
    }
}

impl World {
    /// A client sees to its watch, and notifies now and then.
    pub(super) fn watch_and_ring(&mut self, n: usize) {
        let now = self.clock();
        let watches = self.clients[n].mind.watch.is_some();
        if !watches && let Some(on) = self.target(HEADER) {
            let mut out = Vec::new();
            let id = self.clients[n].objecter.watch(now, on, WATCH_SECONDS, &mut out);
            let who = self.who(n);
            let heard = BTreeSet::new();
            self.clients[n].mind.watch = Some(self.bell.watches.len());
            self.bell.watches.push(Watch { who, id, begun: None, lost: false, heard });
            self.client_performs(n, out);
        }
        if !self.closing && self.is_watching(n) && self.work_chance.one_in(50) {
            self.ring(n, false);
        }
    }

    fn my_watch(&mut self, n: usize) -> Option<&mut Watch> {
        self.clients[n].mind.watch.and_then(|number| self.bell.watches.get_mut(number))
    }

    /// A client has been told that it watches.
    pub(crate) fn is_watching(&self, n: usize) -> bool {
        let watch = self.clients[n].mind.watch.and_then(|number| self.bell.watches.get(number));
        watch.is_some_and(|w| w.begun.is_some())
    }

    /// A client notifies, unless it waits for the end of another one.
    pub(crate) fn ring(&mut self, n: usize, at_rest: bool) {
        let Some(on) = self.target(HEADER) else { return };
        if self.clients[n].mind.ringing.is_some() {
            return;
        }
        let (now, began) = (self.clock(), self.tick_of_history());
        let number = self.bell.rings.len() as u32;
        let payload = number.to_le_bytes();
        let mut out = Vec::new();
        let objecter = &mut self.clients[n].objecter;
        let id = objecter.notify(now, on, NOTIFY_SECONDS, &payload, &mut out);
        self.trace.line(self.now, Node::Client(n), format_args!("  {id:?} notify {number}"));
        self.clients[n].mind.ringing = Some((id, number as usize));
        self.bell.rings.push(Ring { number, began, end: None, at_rest });
        self.client_performs(n, out);
    }

    /// A client's watch says something.
    pub(crate) fn watch_says(&mut self, n: usize, id: RequestId, event: WatchEvent) {
        let tick = self.tick_of_history();
        self.trace.line(self.now, Node::Client(n), format_args!("  {id:?} {event:?}"));
        let Some(watch) = self.my_watch(n).filter(|w| w.id == id) else {
            return self.fail(format!("client.{n}: {id:?}: {event:?}, which is over"));
        };
        match event {
            WatchEvent::Begun => watch.begun = Some(tick),
            WatchEvent::Notify { id: notify, payload, .. } => {
                let Some(number) = payload.first_chunk().map(|c| u32::from_le_bytes(*c)) else {
                    return self.fail(format!("client.{n}: a notify says {payload:?}"));
                };
                watch.heard.insert(number);
                let text = answer(number, watch.shown());
                self.count("notifies heard");
                let now = self.clock();
                let mut out = Vec::new();
                let objecter = &mut self.clients[n].objecter;
                let ack = objecter.notify_ack(now, id, notify, text.as_bytes(), &mut out);
                if let Some(ack) = ack {
                    self.clients[n].pending.insert(ack, Ask::Heard);
                }
                self.client_performs(n, out);
            }
            WatchEvent::Lost(why) => {
                watch.lost = true;
                self.clients[n].mind.watch = None;
                self.count("watches lost");
                if why == Errno::EBLOCKLISTED
                    && let Err(why) = self.is_shut_out(n)
                {
                    self.fail(format!("client.{n}: {why}"));
                }
            }
        }
    }

    /// A client's notify is over.
    pub(crate) fn notify_is_over(&mut self, n: usize, id: RequestId, end: Notified) {
        self.trace.line(self.now, Node::Client(n), format_args!("  {id:?} {end:?}"));
        let ring = self.clients[n].mind.ringing.take_if(|(ringing, _)| *ringing == id);
        let Some(ring) = ring.and_then(|(_, place)| self.bell.rings.get_mut(place)) else {
            return self.fail(format!("client.{n}: {id:?} is over twice"));
        };
        match end {
            Ok(end) => {
                ring.end = Some(end);
                self.count("notifies ended");
            }
            Err(Errno::EBLOCKLISTED) => {
                if let Err(why) = self.is_shut_out(n) {
                    self.fail(format!("client.{n}: {why}"));
                }
            }
            Err(why) => self.fail(format!("client.{n}: a notify fails: {why}")),
        }
    }

    /// What keeps the watches in the object's info from being those of the living.
    pub(crate) fn unwatched(&self) -> Option<String> {
        if let Some(n) = (0..self.plan.clients).find(|n| !self.is_watching(*n)) {
            return Some(format!("client.{n} does not watch"));
        }
        let living = self.bell.living(|(n, life)| self.clients[n].life == life);
        let living: BTreeSet<Shown> = living.map(Watch::shown).collect();
        let stored: BTreeSet<Shown> = self
            .info_of(HEADER)
            .map(|info| info.watchers.into_keys().collect::<Vec<_>>())
            .unwrap_or_default()
            .into_iter()
            .map(|(cookie, entity)| (entity.num.cast_unsigned(), cookie))
            .collect();
        (stored != living).then(|| format!("watches are {stored:?}, not {living:?}"))
    }

    /// Every client notifies, when nothing is wrong any more.
    pub(crate) fn ring_all(&mut self) {
        (0..self.plan.clients).for_each(|n| self.ring(n, true));
    }

    /// What is wrong with the notifies.
    pub(crate) fn judge_notifies(&self) -> Result<(), String> {
        self.bell.judge(|(n, life)| self.clients[n].life == life)
    }
}
