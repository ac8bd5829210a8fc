//! What watchers and notifiers hear, and when: by example from recorded sessions, and against a
//! model of the timers.

use proptest::prelude::*;
use seabed_cluster::{EntityName, HObject, PoolId, SnapId};
use seabed_denc::Decode;
use seabed_messages::{Message, NotifyResult};

use super::*;

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);

fn object(name: &'static str) -> HObject {
    let none = Bytes::new();
    HObject::new(PoolId(1), none.clone(), none, Bytes::from_static(name.as_bytes()), SnapId::HEAD)
}

fn info(cookie: u64, timeout_seconds: u32) -> WatchInfo {
    WatchInfo { cookie, timeout_seconds, ..WatchInfo::default() }
}

fn watcher(cookie: u64, client: i64) -> Watcher {
    (cookie, EntityName { num: client, ..EntityName::client(0) })
}

fn at(seconds: u64) -> Time {
    Time(seconds * 1_000_000_000)
}

fn notify(id: u64, timeout_seconds: u32, payload: &'static [u8]) -> NewNotify {
    let payload = Bytes::from_static(payload);
    NewNotify { id, cookie: 99, version: 61, timeout_seconds, payload }
}

/// What was sent since the last look.
fn heard(out: &mut Outbox) -> Vec<(SessionId, MWatchNotify)> {
    let sent = std::mem::take(&mut out.sent).into_iter();
    sent.map(|(to, packet)| match (to, packet.message) {
        (Peer::Client(session), Message::WatchNotify(m)) => (session, *m),
        other => panic!("{other:?}"),
    })
    .collect()
}

struct World {
    watches: Watches,
    out: Outbox,
    object: HObject,
}

impl World {
    fn new() -> Self {
        World { watches: Watches::default(), out: Outbox::default(), object: object("o") }
    }

    fn connect(&mut self, who: Watcher, timeout: u32, session: SessionId, now: Time) {
        let what = (info(who.0, timeout), true);
        self.watches.connect(&mut self.out, &self.object, who, &what, Some(session), now);
    }

    fn notify(&mut self, what: NewNotify, from: SessionId, now: Time) {
        self.watches.notify(&mut self.out, &self.object, what, from, 4737, now);
    }

    fn ack(&mut self, id: u64, who: Watcher, reply: &'static [u8]) {
        let reply = Bytes::from_static(reply);
        let ack = NotifyAck { id, cookie: Some(who.0), reply };
        self.watches.ack(&mut self.out, &self.object, who.1, &ack);
    }

    fn remove(&mut self, who: Watcher, tell: bool) {
        self.watches.remove(&mut self.out, &self.object, &who, tell);
    }

    fn heard(&mut self) -> Vec<(SessionId, u8, u64, i32)> {
        self.watches.check().unwrap();
        let heard = heard(&mut self.out);
        heard.into_iter().map(|(s, m)| (s, m.opcode, m.cookie, m.return_code)).collect()
    }
}

#[test]
fn a_notify_is_told_and_completed_as_recorded() {
    // c13 of the recorded sessions: client 4737 resizes an image that it watches itself.
    let mut w = World::new();
    let me = watcher(0x7fcf_f800_1810, 4737);
    w.connect(me, 30, A, at(0));
    let payload = b"\x01\x04\0\0\0\x03\0\0\0\0";
    let what = NewNotify {
        id: 356_482_285_693,
        cookie: 0x7fcf_f800_5bc0,
        version: 62,
        timeout_seconds: 30,
        payload: Bytes::from_static(payload),
    };
    w.notify(what, A, at(1));
    let told = heard(&mut w.out);
    let event = MWatchNotify {
        opcode: watch_event::NOTIFY,
        cookie: me.0,
        version: 62,
        notify_id: 356_482_285_693,
        payload: Bytes::from_static(payload),
        notifier: 4737,
        ..MWatchNotify::default()
    };
    assert_eq!(told, [(A, event)]);
    w.ack(356_482_285_693, me, b"\x01\x01\x04\0\0\0\0\0\0\0");
    let told = heard(&mut w.out);
    let data = b"\x01\0\0\0\x81\x12\0\0\0\0\0\0\x10\x18\0\xf8\xcf\x7f\0\0\
        \x0a\0\0\0\x01\x01\x04\0\0\0\0\0\0\0\0\0\0\0";
    let event = MWatchNotify {
        opcode: watch_event::NOTIFY_COMPLETE,
        cookie: 0x7fcf_f800_5bc0,
        version: 62,
        notify_id: 356_482_285_693,
        notifier: 4737,
        result: Bytes::from_static(data),
        ..MWatchNotify::default()
    };
    assert_eq!(told, [(A, event)]);
    assert_eq!(w.watches.weight, 0);
}

#[test]
fn a_notify_without_watchers_ends_at_once() {
    // a35 of the recorded sessions.
    let mut w = World::new();
    w.notify(notify(1, 10, b"hello"), B, at(0));
    let told = heard(&mut w.out);
    assert_eq!((told.len(), told[0].0, told[0].1.cookie), (1, B, 99));
    assert_eq!(told[0].1.result, Bytes::from_static(&[0; 8]));
    assert!(w.watches.is_empty() && w.watches.wake_at().is_none());
}

#[test]
fn who_does_not_answer_in_time_has_missed_it() {
    let mut w = World::new();
    let (one, two, three) = (watcher(1, 10), watcher(2, 10), watcher(1, 11));
    w.connect(one, 30, A, at(0));
    w.connect(two, 30, A, at(0));
    w.connect(three, 30, B, at(0));
    w.notify(notify(7, 5, b""), B, at(0));
    assert_eq!(w.heard().len(), 3);
    w.ack(7, two, b"yes");
    w.ack(7, two, b"twice");
    w.ack(8, one, b"another notify");
    assert!(w.heard().is_empty());
    assert_eq!(w.watches.wake_at(), Some(at(5)));
    assert_eq!(w.watches.take_due(at(4)), None);
    assert_eq!(w.watches.take_due(at(5)), Some(Due::Notify(7)));
    w.watches.time_out(&mut w.out, 7);
    let told = heard(&mut w.out);
    assert_eq!((told.len(), told[0].0, told[0].1.return_code), (1, B, -110));
    let result = NotifyResult::from_bytes(told[0].1.result.clone()).unwrap();
    assert_eq!(result.acks, [((10, 2), Bytes::from_static(b"yes"))]);
    assert_eq!(result.missed, [(10, 1), (11, 1)]);
    w.ack(7, one, b"too late");
    assert!(w.heard().is_empty());
}

#[test]
fn a_watch_that_goes_is_not_waited_for() {
    let mut w = World::new();
    let (one, two) = (watcher(1, 10), watcher(1, 11));
    w.connect(one, 30, A, at(0));
    w.connect(two, 30, B, at(0));
    w.notify(notify(7, 5, b""), B, at(0));
    w.heard();
    w.remove(one, true);
    assert_eq!(w.heard(), [(A, watch_event::DISCONNECT, 1, 0)]);
    w.remove(two, false);
    assert_eq!(w.heard(), [(B, watch_event::NOTIFY_COMPLETE, 99, 0)]);
    assert!(w.watches.is_empty() && w.watches.wake_at().is_none());
}

#[test]
fn who_comes_back_in_time_is_told_what_it_missed() {
    let mut w = World::new();
    let one = watcher(1, 10);
    w.connect(one, 30, A, at(0));
    w.watches.disconnect(A, at(1));
    assert!(!w.watches.connected(&w.object, &one));
    w.notify(notify(7, 5, b"x"), B, at(2));
    assert!(w.heard().is_empty());
    w.connect(one, 30, B, at(3));
    assert_eq!(w.heard(), [(B, watch_event::NOTIFY, 1, 0)]);
    w.connect(one, 30, B, at(3));
    assert!(w.heard().is_empty(), "the same session is not told again");
}

#[test]
fn a_watch_of_old_times_has_time_only_without_a_session() {
    let mut w = World::new();
    let one = watcher(1, 10);
    let what = (info(1, 30), false);
    w.watches.connect(&mut w.out, &w.object, one, &what, Some(A), at(0));
    assert_eq!(w.watches.wake_at(), None);
    w.watches.disconnect(A, at(5));
    assert_eq!(w.watches.wake_at(), Some(at(35)));
    w.watches.connect(&mut w.out, &w.object, one, &what, Some(B), at(6));
    assert_eq!(w.watches.wake_at(), None);
}

#[test]
fn watches_of_the_info_are_met_without_a_session() {
    let mut w = World::new();
    let (one, two) = (watcher(1, 10), watcher(1, 11));
    w.connect(one, 30, A, at(0));
    let infos = [(one, info(1, 30)), (two, info(1, 10))].into_iter().collect();
    w.watches.meet(&w.object, &infos, at(1));
    w.watches.meet(&w.object, &infos, at(2));
    assert!(w.watches.connected(&w.object, &one) && !w.watches.connected(&w.object, &two));
    assert_eq!(w.watches.wake_at(), Some(at(11)));
    assert_eq!(w.watches.take_due(at(11)), Some(Due::Watch(w.object.clone(), two)));
    assert_eq!(w.watches.take_due(at(11)), None);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut w = World::new();
    w.connect(watcher(1, 10), 30, A, at(0));
    w.notify(notify(1, 5, b"12345678"), B, at(0));
    let mut effects = WatchEffects { notifies: vec![notify(2, 5, b"1")], ..Default::default() };
    assert!(w.watches.has_room(&effects, 9, 2));
    assert!(!w.watches.has_room(&effects, 8, 2) && !w.watches.has_room(&effects, 9, 1));
    effects.notifies.clear();
    effects.acks.push(NotifyAck { id: 1, cookie: None, reply: Bytes::from_static(b"12") });
    assert!(!w.watches.has_room(&effects, 9, 2) && w.watches.has_room(&effects, 10, 1));
}

/// One thing that happens to the watches of three clients on two objects.
#[derive(Debug, Clone)]
enum Happening {
    Connect { object: bool, client: u8, timeout: u8, pings: bool },
    Ping { object: bool, client: u8 },
    Disconnect { client: u8 },
    Remove { object: bool, client: u8 },
    Notify { object: bool, timeout: u8 },
    Ack { object: bool, client: u8, notify: u8 },
    Wait { seconds: u8 },
}

fn happening() -> impl Strategy<Value = Happening> {
    let (object, client) = (any::<bool>(), 0..3u8);
    prop_oneof![
        (object, client.clone(), 1..9u8, any::<bool>()).prop_map(
            |(object, client, timeout, pings)| Happening::Connect {
                object,
                client,
                timeout,
                pings
            }
        ),
        (object, client.clone()).prop_map(|(object, client)| Happening::Ping { object, client }),
        client.clone().prop_map(|client| Happening::Disconnect { client }),
        (object, client.clone()).prop_map(|(object, client)| Happening::Remove { object, client }),
        (object, 1..9u8).prop_map(|(object, timeout)| Happening::Notify { object, timeout }),
        (object, client, any::<u8>()).prop_map(|(object, client, notify)| Happening::Ack {
            object,
            client,
            notify
        }),
        (0..5u8).prop_map(|seconds| Happening::Wait { seconds }),
    ]
}

/// What must be known of a watch.
#[derive(Debug, Clone)]
struct Model {
    timeout: u64,
    pings: bool,
    connected: bool,
    expires: Option<u64>,
}

proptest! {
    #[test]
    fn time_is_up_when_the_model_says_so(what in prop::collection::vec(happening(), 1..120)) {
        let mut watches = Watches::default();
        let mut out = Outbox::default();
        let mut model: BTreeMap<(bool, u8), Model> = BTreeMap::new();
        // Of each notify: its end, and who has not answered.
        let mut notifies: BTreeMap<u64, (u64, bool, BTreeSet<u8>)> = BTreeMap::new();
        let mut told_end = BTreeSet::new();
        let (mut now, mut next) = (0u64, 0u64);
        let of = |o: bool| object(if o { "a" } else { "b" });
        let who = |c: u8| watcher(c.into(), c.into());
        let home = |c: u8| SessionId(c.into());
        for happening in what {
            match happening {
                Happening::Connect { object, client, timeout, pings } => {
                    let info = (info(client.into(), timeout.into()), pings);
                    let session = Some(home(client));
                    watches.connect(&mut out, &of(object), who(client), &info, session, at(now));
                    let m = model.entry((object, client)).or_insert(Model {
                        timeout: timeout.into(), pings, connected: false, expires: None,
                    });
                    if !m.connected {
                        (m.connected, m.pings) = (true, pings);
                        m.expires = pings.then_some(now + m.timeout);
                    }
                }
                Happening::Ping { object, client } => {
                    watches.ping(&of(object), &who(client), at(now));
                    if let Some(m) = model.get_mut(&(object, client)).filter(|m| m.connected) {
                        m.expires = Some(now + m.timeout);
                    }
                }
                Happening::Disconnect { client } => {
                    watches.disconnect(home(client), at(now));
                    for ((_, c), m) in &mut model {
                        if *c == client && m.connected {
                            m.connected = false;
                            if !m.pings {
                                m.expires = Some(now + m.timeout);
                            }
                        }
                    }
                }
                Happening::Remove { object, client } => {
                    watches.remove(&mut out, &of(object), &who(client), true);
                    model.remove(&(object, client));
                    for (_, o, waiting) in notifies.values_mut() {
                        if *o == object { waiting.remove(&client); }
                    }
                }
                Happening::Notify { object, timeout } => {
                    next += 1;
                    let what = notify(next, timeout.into(), b"p");
                    watches.notify(&mut out, &of(object), what, SessionId(9), 9, at(now));
                    let waiting = model.keys().filter(|k| k.0 == object).map(|k| k.1).collect();
                    notifies.insert(next, (now + u64::from(timeout), object, waiting));
                }
                Happening::Ack { object, client, notify } => {
                    let id = u64::from(notify) % (next + 1);
                    let cookie = Some(client.into());
                    let ack = NotifyAck { id, cookie, reply: Bytes::new() };
                    watches.ack(&mut out, &of(object), who(client).1, &ack);
                    if let Some((_, o, waiting)) = notifies.get_mut(&id) && *o == object {
                        waiting.remove(&client);
                    }
                }
                Happening::Wait { seconds } => now += u64::from(seconds),
            }
            while let Some(due) = watches.take_due(at(now)) {
                match due {
                    Due::Notify(id) => {
                        prop_assert!(notifies[&id].0 <= now);
                        notifies.get_mut(&id).unwrap().2.clear();
                        watches.time_out(&mut out, id);
                    }
                    Due::Watch(o, watcher) => {
                        let key = (o == of(true), watcher.0 as u8);
                        let m = model.remove(&key).unwrap();
                        prop_assert!(m.expires.is_some_and(|at| at <= now), "{m:?} at {now}");
                        watches.remove(&mut out, &o, &watcher, true);
                        for (_, o, waiting) in notifies.values_mut() {
                            if *o == key.0 { waiting.remove(&key.1); }
                        }
                    }
                }
            }
            watches.check().map_err(TestCaseError::fail)?;
            prop_assert!(model.values().all(|m| m.expires.is_none_or(|at| at > now)));
            for (_, event) in heard(&mut out) {
                if event.opcode == watch_event::NOTIFY_COMPLETE {
                    prop_assert!(told_end.insert(event.notify_id), "told once");
                }
            }
            let ended = notifies.iter().filter(|(_, n)| n.2.is_empty()).map(|(id, _)| *id);
            prop_assert_eq!(&told_end, &ended.collect());
            let pending = notifies.values().filter(|n| !n.2.is_empty()).map(|n| n.0);
            let wake = model.values().filter_map(|m| m.expires).chain(pending).min();
            prop_assert_eq!(watches.wake_at(), wake.map(at));
        }
    }
}
