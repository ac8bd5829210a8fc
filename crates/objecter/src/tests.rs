//! The rule against maps made by hand: resends, back-offs, missing pools, deadlines.

use std::time::Duration;

use seabed_cluster::{
    EntityAddrVec, Epoch, Incremental, Now, ObjectLocator, OsdId, OsdMap, Pool, PoolId, SpgId,
    Time, UTime, Uuid, feature,
};
use seabed_crush::CrushMap;
use seabed_denc::Bytes;
use seabed_messages::{
    MMonGetVersionReply, MOsdBackoff, MOsdMap, MOsdOp, MOsdOpReply, Message, OsdOp, Packet,
    backoff_op, op::request_flag,
};

use crate::*;

mod linger;

const POOL: PoolId = PoolId(1);

fn now(seconds: u64) -> Now {
    Now { mono: Time(seconds * 1_000_000_000), wall: UTime::default() }
}

/// Three OSDs up, one pool of size 3.
fn first_map() -> OsdMap {
    let mut map = OsdMap::empty(Uuid::default(), UTime::default());
    map.epoch = Epoch(5);
    map.set_max_osd(3).unwrap();
    let mut crush = CrushMap::new_default();
    for osd in 0..3 {
        let host = format!("h{osd}");
        let place = [("root", "default"), ("host", host.as_str())];
        crush.insert_item(osd, 0x10000, &format!("osd.{osd}"), &place).unwrap();
    }
    map.crush = crush;
    map.pools.insert(POOL, Pool::new_replicated(3, 2, 0, 8, Epoch(5), UTime::default()));
    map.pool_names.insert(POOL, "rbd".into());
    for i in 0..3 {
        map.osd_state[i] = 3;
        map.osd_weight[i] = 0x10000;
    }
    map
}

fn full(map: &OsdMap) -> Packet {
    let mut m = MOsdMap::default();
    m.full.insert(map.epoch, map.encode_full(feature::PACIFIC_ALL));
    m.newest = map.epoch;
    m.into()
}

/// The next map, with `osd` up or down the other way.
fn flip(map: &OsdMap, osd: i32) -> (OsdMap, Packet) {
    let epoch = Epoch(map.epoch.0 + 1);
    let mut inc = Incremental::new(map.fsid, epoch);
    inc.new_state.insert(OsdId(osd), 2);
    if map.is_down(OsdId(osd)) {
        inc.new_state.clear();
        inc.new_up_client.insert(OsdId(osd), EntityAddrVec::default());
    }
    let mut next = map.clone();
    next.apply(&inc).unwrap();
    let mut m = MOsdMap::default();
    m.incremental.insert(epoch, inc.encode(feature::PACIFIC_ALL));
    m.newest = epoch;
    (next, m.into())
}

struct World {
    objecter: Objecter,
    out: Vec<Output>,
}

impl World {
    fn new() -> (Self, OsdMap) {
        let config = Config {
            fsid: Uuid::default(),
            incarnation: 0,
            features: feature::PACIFIC_ALL,
            op_timeout: Some(Duration::from_secs(30)),
        };
        let mut w = World { objecter: Objecter::new(config), out: Vec::new() };
        w.step(Input::MonOpened);
        let map = first_map();
        w.step(Input::FromMon(full(&map)));
        w.out.clear();
        (w, map)
    }

    fn step(&mut self, input: Input) {
        self.objecter.step(now(0), input, &mut self.out);
    }

    fn write(&mut self, pool: PoolId, name: &'static str) -> RequestId {
        let locator = ObjectLocator { pool, hash: -1, ..ObjectLocator::default() };
        let op = OsdOp::extent(seabed_messages::OpCode::WriteFull, 0, 1, Bytes::from_static(b"x"));
        let request =
            OpRequest::on_object(locator, name.as_bytes().into(), vec![op], UTime::default());
        self.objecter.submit(now(0), request, &mut self.out)
    }

    /// The requests sent since the last look: to whom, under which number, and what.
    fn sent(&mut self) -> Vec<(OsdId, u64, MOsdOp)> {
        let ops = self.out.drain(..).filter_map(|o| match o {
            Output::ToOsd(osd, _, Packet { tid, message: Message::OsdOp(op), .. }) => {
                Some((osd, tid, *op))
            }
            _ => None,
        });
        ops.collect()
    }

    fn done(&mut self) -> Vec<(RequestId, Result<i32, Failure>)> {
        let done = self.out.drain(..).filter_map(|o| match o {
            Output::Done(id, result) => Some((id, result.map(|r| r.result))),
            _ => None,
        });
        done.collect()
    }
}

#[test]
fn a_new_interval_sends_again_under_the_same_number() {
    let (mut w, map) = World::new();
    let id = w.write(POOL, "a");
    let [(primary, tid, first)] = &w.sent()[..] else { panic!("one request") };
    let (primary, tid, first) = (*primary, *tid, first.clone());
    assert_eq!((tid, first.retry_attempt, first.epoch), (id.0, 0, Epoch(5)));
    assert_eq!(first.flags & request_flag::RETRY, 0);
    let (_, packet) = flip(&map, primary.0);
    w.step(Input::FromMon(packet));
    let sent = w.sent();
    let [(next, again, second)] = &sent[..] else { panic!("one request, {}", sent.len()) };
    assert_ne!(*next, primary);
    assert_eq!((*again, second.retry_attempt), (tid, 1));
    assert_ne!(second.flags & request_flag::RETRY, 0);
    // The late answer of the old primary to the first attempt is nobody's.
    let late = Packet::with_tid(tid, MOsdOpReply::to(&first, 0, Epoch(5)));
    w.step(Input::FromOsd(primary, late));
    assert!(w.done().is_empty());
    let reply = Packet::with_tid(tid, MOsdOpReply::to(second, 0, Epoch(6)));
    w.step(Input::FromOsd(*next, reply.clone()));
    assert_eq!(w.done(), [(id, Ok(0))]);
    w.step(Input::FromOsd(*next, reply));
    assert!(w.done().is_empty(), "answered exactly once");
}

#[test]
fn a_lost_session_sends_again_in_order() {
    let (mut w, _) = World::new();
    let ids: Vec<u64> = (0..20).map(|_| w.write(POOL, "same").0).collect();
    let sent = w.sent();
    let primary = sent[0].0;
    assert_eq!(sent.iter().map(|s| s.1).collect::<Vec<_>>(), ids);
    w.step(Input::OsdLost(primary));
    assert_eq!(w.sent().iter().map(|s| s.1).collect::<Vec<_>>(), ids);
}

#[test]
fn a_back_off_holds_and_lifts() {
    let (mut w, _) = World::new();
    let first = w.write(POOL, "a");
    let (primary, _, op) = w.sent().remove(0);
    let object = op.hobject();
    let mut backoff = MOsdBackoff {
        pg: op.pg,
        epoch: Epoch(5),
        op: backoff_op::BLOCK,
        id: 7,
        begin: object.clone(),
        end: object,
        ..MOsdBackoff::default()
    };
    w.step(Input::FromOsd(primary, backoff.clone().into()));
    let acked = w.out.drain(..).any(|o| {
        matches!(o, Output::ToOsd(_, _, Packet { message: Message::OsdBackoff(m), .. })
            if m.op == backoff_op::ACK_BLOCK && m.id == 7)
    });
    assert!(acked);
    let second = w.write(POOL, "a");
    assert!(w.sent().is_empty(), "held back");
    backoff.op = backoff_op::UNBLOCK;
    w.step(Input::FromOsd(primary, backoff.into()));
    let sent: Vec<u64> = w.sent().iter().map(|s| s.1).collect();
    assert_eq!(sent, [first.0, second.0]);
}

#[test]
fn a_missing_pool_fails_once_the_map_is_known_to_be_the_newest() {
    let (mut w, map) = World::new();
    let id = w.write(PoolId(9), "a");
    let query = w.out.drain(..).find_map(|o| match o {
        Output::ToMon(Packet { message: Message::MonGetVersion(m), .. }) => Some(m.handle),
        _ => None,
    });
    let answer = |newest| MMonGetVersionReply {
        handle: query.unwrap(),
        newest,
        oldest: 1,
        ..MMonGetVersionReply::default()
    };
    w.step(Input::FromMon(answer(u64::from(map.epoch.0)).into()));
    assert_eq!(w.done(), [(id, Err(Failure::NoPool))]);
}

#[test]
fn nothing_is_sent_while_nobody_serves_and_deadlines_pass() {
    let (mut w, mut map) = World::new();
    for osd in 0..3 {
        let (next, packet) = flip(&map, osd);
        w.step(Input::FromMon(packet));
        map = next;
    }
    let id = w.write(POOL, "a");
    assert!(w.sent().is_empty());
    let wake = w.objecter.wake_at().unwrap();
    assert_eq!(wake, now(30).mono);
    w.objecter.step(now(30), Input::Tick, &mut w.out);
    assert_eq!(w.done(), [(id, Err(Failure::TimedOut))]);
    assert_eq!(w.objecter.in_flight(), 0);
}

#[test]
fn a_cancelled_operation_leaves_nothing() {
    let (mut w, _) = World::new();
    let id = w.write(POOL, "a");
    let (primary, tid, op) = w.sent().remove(0);
    w.objecter.cancel(id);
    w.step(Input::FromOsd(primary, Packet::with_tid(tid, MOsdOpReply::to(&op, 0, Epoch(5)))));
    assert!(w.done().is_empty());
    assert_eq!((w.objecter.in_flight(), w.objecter.wake_at()), (0, None));
}

#[test]
fn a_gap_in_the_maps_asks_for_them() {
    let (mut w, map) = World::new();
    let (next, _) = flip(&map, 0);
    let (_, packet) = flip(&next, 1);
    w.step(Input::FromMon(packet));
    let asked = w.out.drain(..).any(|o| {
        matches!(o, Output::ToMon(Packet { message: Message::MonSubscribe(m), .. })
            if m.what["osdmap"].start == 6)
    });
    assert!(asked);
    assert_eq!(w.objecter.map().unwrap().epoch, Epoch(5));
}

#[test]
fn spg_of_a_target_is_the_folded_pg() {
    let (mut w, _) = World::new();
    w.write(POOL, "some name");
    let (_, _, op) = w.sent().remove(0);
    assert!(op.pg.pg.seed < 8);
    assert_eq!(op.pg, SpgId::replicated(op.pg.pg));
}
