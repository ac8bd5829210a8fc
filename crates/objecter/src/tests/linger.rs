//! Watches and notifies over changes of maps and sessions.

use seabed_cluster::Errno;
use seabed_denc::{BytesMut, Encode};
use seabed_messages::op::watch_op;
use seabed_messages::{MWatchNotify, NotifyResult, OpArgs, OpCode, watch_event};

use super::*;

fn on() -> OpTarget {
    let locator = ObjectLocator { pool: POOL, hash: -1, ..ObjectLocator::default() };
    OpTarget::Object { locator, name: Bytes::from_static(b"watched") }
}

/// The watch op that was sent, if it is all that was.
fn sent_watch(w: &mut World) -> (OsdId, MOsdOp, u64, u8, u64) {
    let mut sent = w.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (osd, tid, op) = sent.remove(0);
    match op.ops[0].args {
        OpArgs::Watch { cookie, op: what, .. } => (osd, op, tid, what, cookie),
        _ => panic!("{op:?}"),
    }
}

fn answer(w: &mut World, osd: OsdId, tid: u64, op: &MOsdOp, result: i32) {
    let reply = MOsdOpReply::to(op, result, Epoch(5));
    w.step(Input::FromOsd(osd, Packet::with_tid(tid, reply)));
}

fn events(w: &mut World) -> Vec<(RequestId, WatchEvent)> {
    let of = w.out.extract_if(.., |o| matches!(o, Output::Watch(..)));
    of.map(|o| match o {
        Output::Watch(id, event) => (id, event),
        _ => unreachable!(),
    })
    .collect()
}

/// A watch that an OSD has confirmed.
fn held(w: &mut World) -> (RequestId, OsdId) {
    let id = w.objecter.watch(now(0), on(), 30, &mut w.out);
    let (osd, op, tid, what, cookie) = sent_watch(w);
    assert_eq!((what, cookie), (watch_op::WATCH, id.0));
    answer(w, osd, tid, &op, 0);
    assert_eq!(events(w), [(id, WatchEvent::Begun)]);
    (id, osd)
}

#[test]
fn a_watch_follows_its_primary() {
    let (mut w, map) = World::new();
    let (id, first) = held(&mut w);
    let (down, packet) = flip(&map, first.0);
    w.step(Input::FromMon(packet));
    let (second, op, tid, what, cookie) = sent_watch(&mut w);
    assert_eq!((what, cookie), (watch_op::RECONNECT, id.0));
    assert_ne!(second, first);
    answer(&mut w, second, tid, &op, 0);
    assert!(events(&mut w).is_empty(), "its owner need not know");
    // A session lost without a new map: again, under a new number.
    w.step(Input::OsdLost(second));
    let (_, _, again, what, _) = sent_watch(&mut w);
    assert_eq!(what, watch_op::RECONNECT);
    assert_ne!(again, tid);
    w.step(Input::OsdLost(second));
    let (osd, op, third, _, _) = sent_watch(&mut w);
    assert_ne!(third, again, "a repeat would not bind it to the session");
    answer(&mut w, osd, third, &op, Errno::ENOTCONN.wire());
    assert_eq!(events(&mut w), [(id, WatchEvent::Lost(Errno::ENOTCONN))]);
    let (_, packet) = flip(&down, first.0);
    w.step(Input::FromMon(packet));
    assert!(w.sent().is_empty() && w.objecter.wake_at().is_none());
}

#[test]
fn a_watch_says_that_it_is_alive_and_hears_that_it_is_not() {
    let (mut w, _) = World::new();
    let (id, osd) = held(&mut w);
    assert_eq!(w.objecter.wake_at(), Some(now(5).mono));
    w.objecter.step(now(5), Input::Tick, &mut w.out);
    let (_, op, tid, what, _) = sent_watch(&mut w);
    assert_eq!(what, watch_op::PING);
    w.objecter.step(now(10), Input::Tick, &mut w.out);
    assert!(w.sent().is_empty(), "one at a time");
    answer(&mut w, osd, tid, &op, 0);
    assert!(events(&mut w).is_empty());
    w.objecter.step(now(15), Input::Tick, &mut w.out);
    let (_, op, tid, _, _) = sent_watch(&mut w);
    answer(&mut w, osd, tid, &op, Errno::ETIMEDOUT.wire());
    assert_eq!(events(&mut w), [(id, WatchEvent::Lost(Errno::ETIMEDOUT))]);
    let (_, _, _, what, cookie) = sent_watch(&mut w);
    assert_eq!((what, cookie), (watch_op::UNWATCH, id.0), "the object names it still");
    assert!(w.objecter.unwatch(now(15), id, &mut w.out).is_none());
}

#[test]
fn a_ping_on_a_lost_session_gives_way_to_the_renewal() {
    let (mut w, _) = World::new();
    let (_, osd) = held(&mut w);
    w.objecter.step(now(5), Input::Tick, &mut w.out);
    w.sent();
    w.step(Input::OsdLost(osd));
    assert_eq!(sent_watch(&mut w).3, watch_op::RECONNECT);
}

#[test]
fn events_are_told_and_answered() {
    let (mut w, _) = World::new();
    let (id, osd) = held(&mut w);
    let event = MWatchNotify {
        opcode: watch_event::NOTIFY,
        cookie: id.0,
        notify_id: 77,
        payload: Bytes::from_static(b"news"),
        notifier: 9,
        ..MWatchNotify::default()
    };
    w.step(Input::FromOsd(osd, event.clone().into()));
    let payload = Bytes::from_static(b"news");
    assert_eq!(events(&mut w), [(id, WatchEvent::Notify { id: 77, notifier: 9, payload })]);
    w.objecter.notify_ack(now(0), id, 77, b"ok", &mut w.out).unwrap();
    let (_, tid, op) = w.sent().remove(0);
    let mut input = BytesMut::new();
    (77u64, id.0).encode(&mut input, 0);
    input.extend_from_slice(b"\x02\0\0\0ok");
    assert_eq!((op.ops[0].op, &op.ops[0].indata[..]), (OpCode::NotifyAck, &input[..]));
    answer(&mut w, osd, tid, &op, 0);
    assert_eq!(w.done().len(), 1);
    let gone = MWatchNotify { opcode: watch_event::DISCONNECT, cookie: id.0, ..event.clone() };
    w.step(Input::FromOsd(osd, gone.clone().into()));
    w.step(Input::FromOsd(osd, gone.into()));
    w.step(Input::FromOsd(osd, event.into()));
    assert_eq!(events(&mut w), [(id, WatchEvent::Lost(Errno::ENOTCONN))]);
}

#[test]
fn unwatching_ends_the_watch_here_at_once() {
    let (mut w, _) = World::new();
    let (id, osd) = held(&mut w);
    let end = w.objecter.unwatch(now(0), id, &mut w.out).unwrap();
    let (_, op, tid, what, cookie) = sent_watch(&mut w);
    assert_eq!((what, cookie), (watch_op::UNWATCH, id.0));
    w.step(Input::OsdLost(osd));
    assert_eq!(sent_watch(&mut w).2, tid, "an ordinary operation is repeated");
    let op = MOsdOp { retry_attempt: 1, ..op };
    answer(&mut w, osd, tid, &op, 0);
    assert_eq!(w.done(), [(end, Ok(0))]);
}

fn sent_notify(w: &mut World) -> (OsdId, MOsdOp, u64) {
    let (osd, tid, op) = w.sent().remove(0);
    assert!(matches!(op.ops[0].args, OpArgs::Notify { .. }));
    (osd, op, tid)
}

fn accept(w: &mut World, osd: OsdId, tid: u64, op: &MOsdOp, name: u64) {
    let mut reply = MOsdOpReply::to(op, 0, Epoch(5));
    reply.ops[0].0.indata = name.to_bytes(0);
    w.step(Input::FromOsd(osd, Packet::with_tid(tid, reply)));
}

fn complete(w: &mut World, osd: OsdId, id: RequestId, name: u64, code: i32) -> Vec<Notified> {
    let result =
        NotifyResult { acks: vec![((4, 5), Bytes::from_static(b"ok"))], missed: vec![(6, 7)] };
    let event = MWatchNotify {
        opcode: watch_event::NOTIFY_COMPLETE,
        cookie: id.0,
        notify_id: name,
        return_code: code,
        result: result.to_bytes(0),
        ..MWatchNotify::default()
    };
    w.step(Input::FromOsd(osd, event.into()));
    let over = w.out.drain(..).filter_map(|o| match o {
        Output::Notified(which, end) if which == id => Some(end),
        _ => None,
    });
    over.collect()
}

#[test]
fn a_notify_is_over_when_its_completion_comes() {
    let (mut w, _) = World::new();
    let id = w.objecter.notify(now(0), on(), 10, b"news", &mut w.out);
    let (osd, op, tid) = sent_notify(&mut w);
    assert_eq!(&op.ops[0].indata[..], b"\x01\0\0\0\x0a\0\0\0\x04\0\0\0news");
    accept(&mut w, osd, tid, &op, 50);
    assert!(complete(&mut w, osd, id, 49, 0).is_empty(), "that of another");
    let end = NotifyEnd {
        timed_out: true,
        acks: vec![((4, 5), Bytes::from_static(b"ok"))],
        missed: vec![(6, 7)],
    };
    assert_eq!(complete(&mut w, osd, id, 50, -110), [Ok(end)]);
    assert!(complete(&mut w, osd, id, 50, 0).is_empty(), "once");

    // The completion may overtake the reply: an OSD without watchers sends it first.
    let id = w.objecter.notify(now(0), on(), 10, b"", &mut w.out);
    let (osd, op, tid) = sent_notify(&mut w);
    assert!(matches!(
        complete(&mut w, osd, id, 51, 0)[..],
        [Ok(NotifyEnd { timed_out: false, .. })]
    ));
    accept(&mut w, osd, tid, &op, 51);
    assert!(w.out.is_empty());
}

#[test]
fn a_notify_is_told_again_by_the_next_primary() {
    let (mut w, map) = World::new();
    let id = w.objecter.notify(now(0), on(), 10, b"news", &mut w.out);
    let (osd, op, tid) = sent_notify(&mut w);
    accept(&mut w, osd, tid, &op, 50);
    let (_, packet) = flip(&map, osd.0);
    w.step(Input::FromMon(packet));
    let (next, op, again) = sent_notify(&mut w);
    assert_ne!((next, again), (osd, tid));
    accept(&mut w, next, again, &op, 60);
    w.step(Input::OsdLost(next));
    let (next, op, again) = sent_notify(&mut w);
    answer(&mut w, next, again, &op, Errno::ENOENT.wire());
    let over: Vec<_> = w.out.drain(..).collect();
    assert!(
        matches!(over[..], [Output::Notified(which, Err(Errno::ENOENT))] if which == id),
        "{over:?}"
    );
}
