//! Clients that are driven by hand: sessions with the primary of the one PG, and one object.

use std::time::Duration;

use seabed_cluster::{
    AddrKind, EntityAddr, EntityName, HObject, ObjectLocator, PgId, PoolId, SnapId, SpgId, feature,
};
use seabed_denc::Bytes;
use seabed_messages::{MOsdOp, MOsdOpReply, Message, OsdOp, Packet};
use seabed_osd::{Input, Peer, SessionId};

use super::{GUESTS, World};

const OBJECT: &str = "object";

pub struct Guests {
    pub world: World,
    next_session: u64,
    next_tid: u64,
    /// What requests claim to know.
    pub features: u64,
}

pub fn address(client: i64) -> EntityAddr {
    let addr = Some(([10, 0, 0, client as u8], 0).into());
    EntityAddr { kind: AddrKind::Any, nonce: client as u32, addr }
}

impl Guests {
    /// Copies on as many OSDs, of one PG, clean.
    pub fn new(seed: u64, size: u32, min_size: u32) -> Self {
        Guests::with(World::new(seed, size as usize, size, min_size, 1))
    }

    pub fn with(mut world: World) -> Self {
        world.config.pg.lease = Duration::from_secs(1);
        (0..world.nodes.len()).for_each(|n| world.start(n));
        world.settle(60_000);
        Guests { world, next_session: GUESTS, next_tid: 0, features: feature::PACIFIC_ALL }
    }

    pub fn primary(&self) -> usize {
        let map = &self.world.mon.map;
        map.map_pg(PgId::new(PoolId(1), 0)).acting_primary.expect("somebody leads").0 as usize
    }

    /// A session with the primary.
    pub fn open(&mut self, client: i64) -> SessionId {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let peer = Peer::Client(session);
        let entity = EntityName { num: client, ..EntityName::client(0) };
        let n = self.primary();
        self.world.input(n, Input::SessionOpened { peer, entity, addr: address(client) });
        session
    }

    pub fn close(&mut self, session: SessionId) {
        let n = self.primary();
        self.world.input(n, Input::SessionClosed(session));
    }

    pub fn send(&mut self, session: SessionId, ops: Vec<OsdOp>) -> u64 {
        self.send_to(session, OBJECT, ops)
    }

    /// Sends a request for another object.
    pub fn send_to(&mut self, session: SessionId, name: &'static str, ops: Vec<OsdOp>) -> u64 {
        self.next_tid += 1;
        let (none, name) = (Bytes::new(), Bytes::from(name));
        let object = HObject::new(PoolId(1), none.clone(), none, name.clone(), SnapId::HEAD);
        let message = MOsdOp {
            pg: SpgId::replicated(PgId::new(PoolId(1), 0)),
            hash: object.hash,
            epoch: self.world.mon.map.epoch,
            locator: ObjectLocator::new(PoolId(1)),
            object: name,
            ops,
            features: self.features,
            ..MOsdOp::default()
        };
        self.say(session, Packet::with_tid(self.next_tid, message));
        self.next_tid
    }

    /// Sends anything to the primary.
    pub fn say(&mut self, session: SessionId, packet: Packet) {
        let packet = Packet::decode(packet.encode(feature::PACIFIC_ALL)).unwrap();
        let n = self.primary();
        self.world.input(n, Input::Message { from: Peer::Client(session), packet });
    }

    /// A request and its reply.
    pub fn ask(&mut self, session: SessionId, ops: Vec<OsdOp>) -> MOsdOpReply {
        let tid = self.send(session, ops);
        self.reply(session, tid)
    }

    /// The reply to a request.
    pub fn reply(&mut self, session: SessionId, tid: u64) -> MOsdOpReply {
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

    /// What a session was sent since the last look, but for replies that were asked for.
    pub fn heard(&mut self, session: SessionId) -> Vec<Packet> {
        let heard = std::mem::take(&mut self.world.heard);
        let (mine, others) = heard.into_iter().partition(|(_, s, _)| *s == session);
        self.world.heard = others;
        mine.into_iter().map(|(_, _, packet)| packet).collect()
    }

    /// Lets time pass; every step of the world passes some.
    pub fn wait(&mut self, seconds: u64) {
        let until = self.world.now + Duration::from_secs(seconds);
        while self.world.now < until {
            self.world.run(10);
        }
    }

    pub fn lead_changes(&mut self) {
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
