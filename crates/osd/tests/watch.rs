//! Watches in a cluster: sessions come and go, primaries too, and clients are shut out.

mod world;

use seabed_cluster::{EntityName, Errno, UTime};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader, encode_bytes};
use seabed_messages::op::watch_op;
use seabed_messages::{MWatchNotify, Message, NotifyResult, OpArgs, OpCode, OsdOp, watch_event};
use seabed_osd::SessionId;
use world::guests::{Guests, address};

fn plain(code: OpCode) -> OsdOp {
    OsdOp::plain(code, Bytes::new())
}

fn watch(what: u8) -> OsdOp {
    let args = OpArgs::Watch { cookie: 7, version: 0, op: what, generation: 0, timeout: 20 };
    OsdOp::new(OpCode::Watch, args, Bytes::new())
}

fn notify(payload: &[u8]) -> OsdOp {
    let mut input = BytesMut::new();
    1u32.encode(&mut input, 0);
    60u32.encode(&mut input, 0);
    encode_bytes(&mut input, payload);
    OsdOp::new(OpCode::Notify, OpArgs::Notify { cookie: 8 }, input.freeze())
}

fn ack(event: &MWatchNotify, reply: &[u8]) -> OsdOp {
    let mut input = BytesMut::new();
    event.notify_id.encode(&mut input, 0);
    event.cookie.encode(&mut input, 0);
    encode_bytes(&mut input, reply);
    OsdOp::plain(OpCode::NotifyAck, input)
}

/// Who watches, by LIST_WATCHERS.
fn watchers(g: &mut Guests) -> Vec<i64> {
    let session = g.open(99);
    let reply = g.ask(session, vec![plain(OpCode::ListWatchers)]);
    assert_eq!(reply.result, 0);
    let mut r = Reader::new(reply.ops[0].0.indata.clone());
    // Inside an envelope of 6 bytes: a count; each in an envelope too: name, cookie, timeout,
    // address.
    r.take(6).unwrap();
    let count = u32::decode(&mut r).unwrap();
    let one = |r: &mut Reader| {
        r.take(2).unwrap();
        let length = u32::decode(r).unwrap();
        let mut inner = Reader::new(r.take(length as usize).unwrap());
        EntityName::decode(&mut inner).unwrap().num
    };
    (0..count).map(|_| one(&mut r)).collect()
}

fn guests(seed: u64) -> Guests {
    let mut g = Guests::new(seed, 3, 2);
    let maker = g.open(1);
    assert_eq!(g.ask(maker, vec![plain(OpCode::Create)]).result, 0);
    g
}

/// What a session was told since the last look.
fn events(g: &mut Guests, session: SessionId) -> Vec<MWatchNotify> {
    let events = g.heard(session).into_iter().filter_map(|packet| match packet.message {
        Message::WatchNotify(m) => Some(*m),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_notify_reaches_all_and_comes_back() {
    let mut g = guests(1);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    assert_eq!(watchers(&mut g), [10, 11]);
    let reply = g.ask(two, vec![notify(b"news")]);
    let id = u64::from_bytes(reply.ops[0].0.indata.clone()).unwrap();
    let (first, second) = (events(&mut g, one), events(&mut g, two));
    for told in [&first, &second] {
        assert_eq!((told.len(), told[0].notify_id, told[0].notifier), (1, id, 11));
        assert_eq!((&told[0].payload[..], told[0].cookie), (&b"news"[..], 7));
    }
    assert_eq!(g.ask(one, vec![ack(&first[0], b"one")]).result, 0);
    assert_eq!(g.ask(two, vec![ack(&second[0], b"")]).result, 0);
    let told = events(&mut g, two);
    assert_eq!((told.len(), told[0].opcode), (1, watch_event::NOTIFY_COMPLETE));
    assert_eq!((told[0].cookie, told[0].return_code), (8, 0));
    let result = NotifyResult::from_bytes(told[0].result.clone()).unwrap();
    assert_eq!(result.acks, [((10, 7), Bytes::from("one")), ((11, 7), Bytes::new())]);
    assert_eq!(result.missed, []);
    assert!(events(&mut g, one).is_empty());
}

#[test]
fn a_client_that_stays_away_is_forgotten_everywhere() {
    let mut g = guests(2);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    g.close(one);
    g.ask(two, vec![notify(b"")]);
    let event = events(&mut g, two).remove(0);
    g.ask(two, vec![ack(&event, b"")]);
    for _ in 0..3 {
        g.wait(4);
        assert_eq!(g.ask(two, vec![watch(watch_op::PING)]).result, 0);
    }
    assert_eq!((events(&mut g, two).len(), watchers(&mut g)), (0, vec![10, 11]));
    g.wait(9);
    assert_eq!(watchers(&mut g), [11]);
    let told = events(&mut g, two);
    assert_eq!((told.len(), told[0].opcode, told[0].return_code), (1, 2, 0));
    let back = g.open(10);
    let reply = g.ask(back, vec![watch(watch_op::RECONNECT)]);
    assert_eq!(reply.result, Errno::ENOTCONN.wire());
    // The other one stops to ping: its session is told.
    g.wait(22);
    assert_eq!(events(&mut g, two).iter().map(|m| m.opcode).collect::<Vec<_>>(), [3]);
    assert!(watchers(&mut g).is_empty());
    g.world.settle(60_000);
    g.world.compare_copies();
}

#[test]
fn watches_survive_their_primary() {
    let mut g = guests(3);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    g.lead_changes();
    assert_eq!(watchers(&mut g), [10, 11]);
    let one = g.open(10);
    let ping = g.ask(one, vec![watch(watch_op::PING)]);
    assert_eq!(ping.result, Errno::ETIMEDOUT.wire(), "it must say that it is back");
    assert_eq!(g.ask(one, vec![watch(watch_op::RECONNECT)]).result, 0);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, 0);
    g.wait(12);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, 0);
    g.wait(10);
    assert_eq!(watchers(&mut g), [10]);
    let asker = g.open(12);
    g.ask(asker, vec![notify(b"again")]);
    assert_eq!(events(&mut g, one).len(), 1);
}

#[test]
fn a_session_that_ends_too_soon_gets_no_watch() {
    let mut g = guests(4);
    let one = g.open(10);
    g.send(one, vec![watch(watch_op::WATCH)]);
    g.close(one);
    g.world.run(500);
    assert_eq!(watchers(&mut g), [10]);
    g.wait(22);
    assert!(watchers(&mut g).is_empty());
}

#[test]
fn deleting_what_is_watched_tells_the_watchers() {
    let mut g = guests(5);
    let (one, two) = (g.open(10), g.open(11));
    assert_eq!(g.ask(one, vec![watch(watch_op::WATCH)]).result, 0);
    g.ask(two, vec![notify(b"")]);
    assert_eq!(events(&mut g, one).len(), 1);
    assert_eq!(g.ask(two, vec![plain(OpCode::Delete)]).result, 0);
    let told = events(&mut g, one);
    assert_eq!((told.len(), told[0].opcode, told[0].cookie), (1, watch_event::DISCONNECT, 7));
    assert_eq!(events(&mut g, two)[0].opcode, watch_event::NOTIFY_COMPLETE);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, Errno::ENOENT.wire());
}

#[test]
fn who_is_shut_out_loses_its_watches() {
    let mut g = guests(6);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    let until = UTime { sec: 2_000_000_000, nsec: 0 };
    g.world.mon.change().new_blocklist.insert(address(10), until);
    g.wait(2);
    assert_eq!(watchers(&mut g), [11]);
    assert_eq!(events(&mut g, one).iter().map(|m| m.opcode).collect::<Vec<_>>(), [3]);
    let reply = g.ask(one, vec![watch(watch_op::WATCH)]);
    assert_eq!(reply.result, Errno::EBLOCKLISTED.wire());
    assert_eq!(g.ask(two, vec![watch(watch_op::PING)]).result, 0);
}

#[test]
fn a_new_primary_does_not_wait_for_who_is_shut_out() {
    let mut g = guests(7);
    let one = g.open(10);
    assert_eq!(g.ask(one, vec![watch(watch_op::WATCH)]).result, 0);
    // Shut out in the very map that changes the primary.
    let until = UTime { sec: 2_000_000_000, nsec: 0 };
    g.world.mon.change().new_blocklist.insert(address(10), until);
    g.lead_changes();
    let at = g.world.now;
    assert!(watchers(&mut g).is_empty());
    assert!(g.world.now < at + std::time::Duration::from_secs(20));
}
