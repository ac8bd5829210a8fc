//! Watches in a cluster: sessions come and go, primaries too, and clients are shut out.

mod world;

use std::time::Duration;

use seabed_cluster::{
    AddrKind, EntityAddr, EntityName, Errno, HObject, ObjectLocator, PgId, PoolId, SnapId, SpgId,
    UTime,
};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader, encode_bytes};
use seabed_messages::op::watch_op;
use seabed_messages::{
    MOsdOp, MOsdOpReply, MWatchNotify, Message, NotifyResult, OpArgs, OpCode, OsdOp, Packet,
    watch_event,
};
use seabed_osd::{Input, Peer, SessionId};
use world::{GUESTS, World};

const OBJECT: &str = "watched";

struct Guests {
    world: World,
    next_session: u64,
    next_tid: u64,
}

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

fn address(client: i64) -> EntityAddr {
    let addr = Some(([10, 0, 0, client as u8], 0).into());
    EntityAddr { kind: AddrKind::Any, nonce: client as u32, addr }
}

impl Guests {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, 3, 3, 2, 1);
        world.config.pg.lease = Duration::from_secs(1);
        (0..3).for_each(|n| world.start(n));
        world.settle(60_000);
        let mut guests = Guests { world, next_session: GUESTS, next_tid: 0 };
        let maker = guests.open(1);
        let made = guests.ask(maker, vec![plain(OpCode::Create)]);
        assert_eq!(made.result, 0);
        guests
    }

    fn primary(&self) -> usize {
        let map = &self.world.mon.map;
        map.map_pg(PgId::new(PoolId(1), 0)).acting_primary.expect("somebody leads").0 as usize
    }

    /// A session with the primary.
    fn open(&mut self, client: i64) -> SessionId {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let peer = Peer::Client(session);
        let entity = EntityName { num: client, ..EntityName::client(0) };
        let n = self.primary();
        self.world.input(n, Input::SessionOpened { peer, entity, addr: address(client) });
        session
    }

    fn close(&mut self, session: SessionId) {
        let n = self.primary();
        self.world.input(n, Input::SessionClosed(session));
    }

    fn send(&mut self, session: SessionId, ops: Vec<OsdOp>) -> u64 {
        self.next_tid += 1;
        let (none, name) = (Bytes::new(), Bytes::from(OBJECT));
        let object = HObject::new(PoolId(1), none.clone(), none, name.clone(), SnapId::HEAD);
        let message = MOsdOp {
            pg: SpgId::replicated(PgId::new(PoolId(1), 0)),
            hash: object.hash,
            epoch: self.world.mon.map.epoch,
            locator: ObjectLocator::new(PoolId(1)),
            object: name,
            ops,
            ..MOsdOp::default()
        };
        let packet = Packet::with_tid(self.next_tid, message);
        let packet = Packet::decode(packet.encode(seabed_cluster::feature::PACIFIC_ALL)).unwrap();
        let n = self.primary();
        self.world.input(n, Input::Message { from: Peer::Client(session), packet });
        self.next_tid
    }

    /// A request and its reply.
    fn ask(&mut self, session: SessionId, ops: Vec<OsdOp>) -> MOsdOpReply {
        let tid = self.send(session, ops);
        for _ in 0..2000 {
            let reply = self.world.heard.iter().position(|(_, s, packet)| {
                *s == session
                    && packet.tid == tid
                    && matches!(packet.message, Message::OsdOpReply(_))
            });
            if let Some(at) = reply {
                let (_, _, packet) = self.world.heard.remove(at);
                let Message::OsdOpReply(reply) = packet.message else { unreachable!() };
                return *reply;
            }
            self.world.run(10);
        }
        self.world.fail("no reply");
    }

    /// What a session was told since the last look.
    fn told(&mut self, session: SessionId) -> Vec<MWatchNotify> {
        let heard = std::mem::take(&mut self.world.heard);
        let (mine, others) = heard.into_iter().partition(|(_, s, _)| *s == session);
        self.world.heard = others;
        let events = mine.into_iter().filter_map(|(_, _, packet)| match packet.message {
            Message::WatchNotify(m) => Some(*m),
            _ => None,
        });
        events.collect()
    }

    /// Lets time pass; every step of the world passes some.
    fn wait(&mut self, seconds: u64) {
        let until = self.world.now + Duration::from_secs(seconds);
        while self.world.now < until {
            self.world.run(10);
        }
    }

    /// Who watches, by LIST_WATCHERS.
    fn watchers(&mut self) -> Vec<i64> {
        let session = self.open(99);
        let reply = self.ask(session, vec![plain(OpCode::ListWatchers)]);
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

    fn lead_changes(&mut self) {
        let n = self.primary();
        self.world.kill(n);
        self.world.mon.mark_down(n);
        for _ in 0..100 {
            self.world.run(20);
            let osd = &self.world.nodes[self.primary()].osd;
            if osd.iter().flat_map(|o| o.pgs()).any(|pg| pg.is_active()) {
                return;
            }
        }
        self.world.fail("nobody takes over");
    }
}

#[test]
fn a_notify_reaches_all_and_comes_back() {
    let mut g = Guests::new(1);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    assert_eq!(g.watchers(), [10, 11]);
    let reply = g.ask(two, vec![notify(b"news")]);
    let id = u64::from_bytes(reply.ops[0].0.indata.clone()).unwrap();
    let (first, second) = (g.told(one), g.told(two));
    for told in [&first, &second] {
        assert_eq!((told.len(), told[0].notify_id, told[0].notifier), (1, id, 11));
        assert_eq!((&told[0].payload[..], told[0].cookie), (&b"news"[..], 7));
    }
    assert_eq!(g.ask(one, vec![ack(&first[0], b"one")]).result, 0);
    assert_eq!(g.ask(two, vec![ack(&second[0], b"")]).result, 0);
    let told = g.told(two);
    assert_eq!((told.len(), told[0].opcode), (1, watch_event::NOTIFY_COMPLETE));
    assert_eq!((told[0].cookie, told[0].return_code), (8, 0));
    let result = NotifyResult::from_bytes(told[0].result.clone()).unwrap();
    assert_eq!(result.acks, [((10, 7), Bytes::from("one")), ((11, 7), Bytes::new())]);
    assert_eq!(result.missed, []);
    assert!(g.told(one).is_empty());
}

#[test]
fn a_client_that_stays_away_is_forgotten_everywhere() {
    let mut g = Guests::new(2);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    g.close(one);
    g.ask(two, vec![notify(b"")]);
    let event = g.told(two).remove(0);
    g.ask(two, vec![ack(&event, b"")]);
    for _ in 0..3 {
        g.wait(4);
        assert_eq!(g.ask(two, vec![watch(watch_op::PING)]).result, 0);
    }
    assert_eq!((g.told(two).len(), g.watchers()), (0, vec![10, 11]));
    g.wait(9);
    assert_eq!(g.watchers(), [11]);
    let told = g.told(two);
    assert_eq!((told.len(), told[0].opcode, told[0].return_code), (1, 2, 0));
    let back = g.open(10);
    let reply = g.ask(back, vec![watch(watch_op::RECONNECT)]);
    assert_eq!(reply.result, Errno::ENOTCONN.wire());
    // The other one stops to ping: its session is told.
    g.wait(22);
    assert_eq!(g.told(two).iter().map(|m| m.opcode).collect::<Vec<_>>(), [3]);
    assert!(g.watchers().is_empty());
    g.world.settle(60_000);
    g.world.compare_copies();
}

#[test]
fn watches_survive_their_primary() {
    let mut g = Guests::new(3);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    g.lead_changes();
    assert_eq!(g.watchers(), [10, 11]);
    let one = g.open(10);
    let ping = g.ask(one, vec![watch(watch_op::PING)]);
    assert_eq!(ping.result, Errno::ETIMEDOUT.wire(), "it must say that it is back");
    assert_eq!(g.ask(one, vec![watch(watch_op::RECONNECT)]).result, 0);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, 0);
    g.wait(12);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, 0);
    g.wait(10);
    assert_eq!(g.watchers(), [10]);
    let asker = g.open(12);
    g.ask(asker, vec![notify(b"again")]);
    assert_eq!(g.told(one).len(), 1);
}

#[test]
fn a_session_that_ends_too_soon_gets_no_watch() {
    let mut g = Guests::new(4);
    let one = g.open(10);
    g.send(one, vec![watch(watch_op::WATCH)]);
    g.close(one);
    g.world.run(500);
    assert_eq!(g.watchers(), [10]);
    g.wait(22);
    assert!(g.watchers().is_empty());
}

#[test]
fn deleting_what_is_watched_tells_the_watchers() {
    let mut g = Guests::new(5);
    let (one, two) = (g.open(10), g.open(11));
    assert_eq!(g.ask(one, vec![watch(watch_op::WATCH)]).result, 0);
    g.ask(two, vec![notify(b"")]);
    assert_eq!(g.told(one).len(), 1);
    assert_eq!(g.ask(two, vec![plain(OpCode::Delete)]).result, 0);
    let told = g.told(one);
    assert_eq!((told.len(), told[0].opcode, told[0].cookie), (1, watch_event::DISCONNECT, 7));
    assert_eq!(g.told(two)[0].opcode, watch_event::NOTIFY_COMPLETE);
    assert_eq!(g.ask(one, vec![watch(watch_op::PING)]).result, Errno::ENOENT.wire());
}

#[test]
fn who_is_shut_out_loses_its_watches() {
    let mut g = Guests::new(6);
    let (one, two) = (g.open(10), g.open(11));
    for session in [one, two] {
        assert_eq!(g.ask(session, vec![watch(watch_op::WATCH)]).result, 0);
    }
    let until = UTime { sec: 2_000_000_000, nsec: 0 };
    g.world.mon.change().new_blocklist.insert(address(10), until);
    g.wait(2);
    assert_eq!(g.watchers(), [11]);
    assert_eq!(g.told(one).iter().map(|m| m.opcode).collect::<Vec<_>>(), [3]);
    let reply = g.ask(one, vec![watch(watch_op::WATCH)]);
    assert_eq!(reply.result, Errno::EBLOCKLISTED.wire());
    assert_eq!(g.ask(two, vec![watch(watch_op::PING)]).result, 0);
}
