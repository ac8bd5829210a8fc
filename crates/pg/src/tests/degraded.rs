//! Requests that need an object of which some copy is lacking wait until it is recovered: a write
//! for its object, and a rollback for the clone it goes back to as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use seabed_cluster::{
    EntityAddr, EntityName, Epoch, HObject, Now, ObjectLocator, OsdId, OsdMap, PgId, PgLogEntry,
    Pool, PoolId, PushReplyOp, ReqId, SnapId, SpgId, Time, UTime, Uuid,
};
use seabed_denc::Bytes;
use seabed_messages::{
    MOsdOp, MOsdRepOpReply, MPgPushReply, Message, OpArgs, OpCode, OsdOp, Packet,
};
use seabed_storage::mem::MemStore;

use crate::client::ClientOp;
use crate::peering::{Active, PeerCopy, Phase, Primary, Role};
use crate::{Env, Ids, Outbox, Peer, Pg, PgConfig, SessionId};

const POOL: PoolId = PoolId(1);
const SNAP: SnapId = SnapId(2);

/// Two OSDs up, one pool of one PG on both.
fn map() -> OsdMap {
    let mut map = OsdMap::empty(Uuid::default(), UTime::default());
    map.epoch = Epoch(5);
    map.set_max_osd(2).unwrap();
    for osd in 0..2 {
        map.osd_state[osd] = 3;
        map.osd_weight[osd] = 0x10000;
    }
    map.pg_temp.insert(PgId::new(POOL, 0), vec![OsdId(0), OsdId(1)]);
    map.pools.insert(POOL, Pool::new_replicated(2, 1, 0, 1, Epoch(1), UTime::default()));
    map.pool_names.insert(POOL, "p".into());
    map
}

/// A primary that serves, with one other copy.
struct World {
    map: Arc<OsdMap>,
    store: MemStore,
    config: PgConfig,
    ids: Ids,
    pg: Pg,
    other: OsdId,
    tid: u64,
}

impl World {
    fn new() -> World {
        let map = Arc::new(map());
        let id = SpgId::replicated(PgId::new(POOL, 0));
        let acting = map.map_pg(id.pg).acting;
        let (whoami, other) = (acting[0], acting[1]);
        let (mut store, config, mut ids) =
            (MemStore::automatic(), PgConfig::default(), Ids::default());
        let mut out = Outbox::default();
        let mut env = Env {
            now: Now { mono: Time(1), wall: UTime::default() },
            whoami,
            map: Arc::clone(&map),
            store: &mut store,
            out: &mut out,
            config: &config,
            ids: &mut ids,
        };
        let (history, past) = Default::default();
        let mut pg = Pg::create(&mut env, id, &map, history, past).unwrap().unwrap();
        let active =
            Active { activated: true, targets: BTreeSet::from([other]), ..Active::default() };
        let peers = [(other, PeerCopy { judged: true, ..PeerCopy::default() })].into();
        let phase = Phase::Active(Box::new(active));
        pg.role = Role::Primary(Box::new(Primary { peers, phase, again_at: None }));
        World { map, store, config, ids, pg, other, tid: 0 }
    }

    /// One step, and what it sends.
    fn step(&mut self, step: impl FnOnce(&mut Pg, &mut Env<'_>)) -> Vec<(Peer, Packet)> {
        let mut out = Outbox::default();
        let mut env = Env {
            now: Now { mono: Time(1), wall: UTime::default() },
            whoami: self.pg.whoami,
            map: Arc::clone(&self.map),
            store: &mut self.store,
            out: &mut out,
            config: &self.config,
            ids: &mut self.ids,
        };
        step(&mut self.pg, &mut env);
        if let Some(last) = env.store.committed().unwrap().last() {
            self.pg.committed(&mut env, *last).unwrap();
        }
        crate::check(&self.pg).unwrap();
        out.sent
    }

    fn ask(&mut self, op: OsdOp, snaps: &[SnapId]) -> Vec<(Peer, Packet)> {
        self.tid += 1;
        let reqid = ReqId { name: EntityName::client(4), tid: self.tid, inc: 0 };
        let message = MOsdOp {
            pg: self.pg.id,
            epoch: self.map.epoch,
            locator: ObjectLocator::new(POOL),
            object: Bytes::from_static(b"o"),
            snap_seq: snaps.first().copied().unwrap_or(SnapId(0)),
            snaps: snaps.to_vec(),
            ops: vec![op],
            ..MOsdOp::default()
        };
        let op = ClientOp {
            session: SessionId(1),
            entity: reqid.name,
            addr: EntityAddr::default(),
            tid: self.tid,
            arrived: Now::default(),
            reqid,
            message: Box::new(message),
        };
        self.step(|pg, env| pg.client_op(env, op).unwrap())
    }

    fn write(&mut self, snaps: &[SnapId]) -> Vec<(Peer, Packet)> {
        let data = Bytes::from_static(b"data");
        self.ask(OsdOp::extent(OpCode::WriteFull, 0, 4, data), snaps)
    }

    fn roll_back(&mut self) -> Vec<(Peer, Packet)> {
        let args = OpArgs::Snap { snap: SNAP };
        self.ask(OsdOp::new(OpCode::Rollback, args, Bytes::new()), &[SNAP])
    }

    /// The other copy says that the change is durable; true if the client is answered then.
    fn written(&mut self, sent: &[(Peer, Packet)]) -> bool {
        let tid =
            sent.iter().find(|(_, p)| matches!(p.message, Message::OsdRepOp(_))).unwrap().1.tid;
        let (from, epoch) = (self.other, self.map.epoch);
        let reply = MOsdRepOpReply { min_epoch: epoch, ..MOsdRepOpReply::default() };
        let sent = self.step(|pg, env| pg.on_rep_op_reply(env, from, tid, &reply).unwrap());
        names(&sent).contains(&"osd_op_reply")
    }

    /// An object with a clone, written everywhere; the clone and its log entry.
    fn cloned() -> (World, HObject, PgLogEntry) {
        let mut w = World::new();
        for snaps in [&[][..], &[SNAP]] {
            let sent = w.write(snaps);
            assert!(w.written(&sent));
        }
        let entry = w.pg.log.entries().iter().find(|e| e.soid.snap == SNAP).unwrap().clone();
        (w, entry.soid.clone(), entry)
    }
}

fn names(sent: &[(Peer, Packet)]) -> Vec<&'static str> {
    sent.iter().map(|(_, packet)| packet.message.name()).collect()
}

#[test]
fn a_rollback_waits_for_a_clone_that_a_copy_lacks() {
    let (mut w, clone, entry) = World::cloned();
    let other = w.other;
    w.pg.primary_mut().unwrap().peers.get_mut(&other).unwrap().missing.add_entry(&entry);
    // The head is whole: its writes go on.
    let sent = w.write(&[SNAP]);
    assert_eq!(names(&sent), ["osd_repop"]);
    assert!(w.written(&sent));
    let sent = w.roll_back();
    let [(Peer::Osd(to), Packet { message: Message::PgPush(push), .. })] = &sent[..] else {
        panic!("the clone goes first: {:?}", names(&sent))
    };
    assert_eq!((*to, &push.pushes[0].soid), (other, &clone));
    // What comes behind it on the object waits too.
    assert!(w.write(&[SNAP]).is_empty());
    let replies = vec![PushReplyOp { soid: clone, ..PushReplyOp::default() }];
    let epoch = w.map.epoch;
    let reply = MPgPushReply { replies, min_epoch: epoch, ..MPgPushReply::default() };
    let sent = w.step(|pg, env| pg.on_push_reply(env, other, &reply).unwrap());
    assert_eq!(names(&sent), ["osd_repop", "osd_repop"], "both are carried out, in order");
    let mut tids = sent.iter().map(|(_, packet)| match &packet.message {
        Message::OsdRepOp(m) => m.reqid.tid,
        other => panic!("{other:?}"),
    });
    assert_eq!((tids.next(), tids.next()), (Some(w.tid - 1), Some(w.tid)));
}

#[test]
fn a_rollback_and_a_read_wait_for_a_clone_that_the_primary_lacks() {
    let (mut w, clone, entry) = World::cloned();
    w.pg.missing.add_entry(&entry);
    w.pg.update_last_complete();
    let sent = w.roll_back();
    let [(Peer::Osd(_), Packet { message: Message::PgPull(pull), .. })] = &sent[..] else {
        panic!("the clone is fetched: {:?}", names(&sent))
    };
    assert_eq!(pull.pulls[0].soid, clone);
    assert!(w.write(&[SNAP]).is_empty());
    let waiting: Vec<u64> = w.pg.waiting.requests().map(|(op, _)| op.tid).collect();
    assert_eq!(waiting, [w.tid - 1, w.tid]);
}
