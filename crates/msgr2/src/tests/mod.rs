//! Tests of whole connections: recorded handshakes, two endpoints with every fault between them.

mod faults;
mod golden;
mod hostile;
mod table;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use seabed_cephx::{AuthName, ClientAuth, ServerAuth, Towards};
use seabed_cluster::{EntityAddr, EntityName, EntityType, GlobalId, Now, Time, UTime};
use seabed_messages::{Header, RawMessage};

use crate::{Accept, Connection, Dial, Event, Limits, Local, Policies, Policy, Session};

/// A small deterministic generator (xorshift64*): the same seed, the same run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut r = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        r.next();
        r
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn at(ms: u64) -> Now {
    Now { mono: Time(ms * 1_000_000), wall: UTime { sec: 1, nsec: 0 } }
}

fn socket(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn osd(id: i64, port: u16) -> Arc<Local> {
    let addr = EntityAddr::msgr2(socket(port), 7);
    let name = EntityName { kind: EntityType::Osd, num: id };
    Arc::new(Local { name, addrs: addr.into() })
}

fn dial(local: &Arc<Local>, to: &Arc<Local>, policy: &Policy, seq: u64) -> Dial {
    let name = AuthName::new(local.name.kind, local.name.num.to_string());
    Dial {
        local: local.clone(),
        policy: policy.clone(),
        target: to.addrs.0[0],
        expect: to.name.kind,
        auth: ClientAuth::none(name, GlobalId(4100), Towards::Service),
        global_seq: seq,
        fresh_cookie: 0x5000 + seq,
    }
}

fn accept(local: &Arc<Local>, policy: &Policy) -> Accept {
    Accept {
        local: local.clone(),
        policies: Arc::new(Policies::all(policy.clone())),
        peer_socket: socket(50_000),
        auth: ServerAuth::none_service(),
    }
}

fn limits() -> Arc<Limits> {
    Arc::new(Limits::default())
}

/// A pair of fresh connections under one policy.
fn pair(policy: &Policy) -> (Connection, Connection) {
    let (a, b) = (osd(0, 6800), osd(1, 6810));
    let session = Session::new(policy.lossy, 0xc0);
    let client = Connection::dial(at(0), dial(&a, &b, policy, 1), session, limits(), false);
    let server = Connection::accept(at(0), accept(&b, policy), limits(), false);
    (client, server)
}

/// Admits whatever asks with a new session.
fn admit_fresh(conn: &mut Connection, policy: &Policy) {
    let how = crate::Admission::Begin { forget: false, server_cookie: 0xd0, global_seq: 9 };
    conn.admit(at(0), Session::new(policy.lossy, 0xd0), how);
}

fn all_out(conn: &mut Connection, now: Now) -> Bytes {
    let tx = conn.transmit(now);
    tx.copy_to_bytes(tx.remaining())
}

/// Feeds all of `bytes` in pieces of `step`; the events that came out.
fn feed(conn: &mut Connection, now: Now, mut bytes: &[u8], step: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let n = conn.handle_bytes(now, &bytes[..bytes.len().min(step)]);
        bytes = &bytes[n..];
        let before = events.len();
        while let Some(event) = conn.poll_event(now) {
            events.push(event);
        }
        if n == 0 && before == events.len() {
            break;
        }
    }
    events
}

/// Runs both ends until neither has anything to say; admits what asks.
fn settle(
    policy: &Policy,
    client: &mut Connection,
    server: &mut Connection,
    step: usize,
) -> (Vec<Event>, Vec<Event>) {
    let (mut of_client, mut of_server) = (Vec::new(), Vec::new());
    loop {
        let out = all_out(client, at(0));
        of_server.extend(feed(server, at(0), &out, step));
        if server.request().is_some() {
            admit_fresh(server, policy);
        }
        while let Some(event) = server.poll_event(at(0)) {
            of_server.push(event);
        }
        let back = all_out(server, at(0));
        of_client.extend(feed(client, at(0), &back, step));
        if out.is_empty() && back.is_empty() {
            return (of_client, of_server);
        }
    }
}

fn message(n: u64, bytes: usize) -> RawMessage {
    RawMessage {
        header: Header { kind: 41, tid: n, priority: 127, ..Header::default() },
        front: Bytes::from(n.to_le_bytes().repeat(3)),
        middle: Bytes::new(),
        data: Bytes::from(vec![n as u8; bytes]),
    }
}

fn tids(events: &[Event]) -> Vec<u64> {
    let tid = |e: &Event| match e {
        Event::Message(m) => Some(m.header.tid),
        _ => None,
    };
    events.iter().filter_map(tid).collect()
}
