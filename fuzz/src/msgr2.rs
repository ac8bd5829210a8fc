//! A connection against a peer that says anything.
//!
//! The input is a mode byte and a script of frames (`u8 tag | u16 length | payload`): random bytes
//! would stop at the first checksum. The frames are made here, by a writer of its own; the mode's
//! high bits choose to garble, and in what pieces the bytes arrive.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use seabed_cephx::{AuthName, ClientAuth, ServerAuth, Towards};
use seabed_cluster::{
    AddrKind, EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId, Now, Time, UTime,
};
use seabed_denc::ceph_crc32c;
use seabed_messages::{Header, RawMessage};
use seabed_msgr2::{
    Accept, Admission, Connection, Dial, Event, Limits, Local, Policies, Policy, Refusal, Session,
};

const NOW: Now = Now { mono: Time(1), wall: UTime { sec: 1, nsec: 1 } };
/// What a connection may hold for its peer: staging, one message and its own answers.
const TRANSMIT_BYTES_MAX: usize = 1 << 20;

/// One frame of a script.
pub(crate) fn item(tag: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let payload = &payload[..usize::from(len)];
    [&[tag], &len.to_le_bytes()[..], payload].concat()
}

/// The bytes on the wire: a banner, then each frame. A message (tag 17) is cut into its header and
/// a front.
fn wire(script: &[u8], garble: bool) -> Vec<u8> {
    let mut out = b"ceph v2\n\x10\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut rest = script;
    while let Some((&[tag, lo, hi], tail)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([lo, hi])).min(tail.len());
        let (payload, tail) = tail.split_at(len);
        rest = tail;
        let cut = if tag == 17 { payload.len().min(41) } else { payload.len() };
        let (seg0, seg1) = payload.split_at(cut);
        let segments = if seg1.is_empty() { 1 } else { 2 };
        let mut preamble = [0u8; 32];
        preamble[0] = tag;
        preamble[1] = segments;
        preamble[2..6].copy_from_slice(&(seg0.len() as u32).to_le_bytes());
        preamble[8..12].copy_from_slice(&(seg1.len() as u32).to_le_bytes());
        let crc = ceph_crc32c(0, &preamble[..28]);
        preamble[28..].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&preamble);
        out.extend_from_slice(seg0);
        if !seg0.is_empty() {
            out.extend_from_slice(&ceph_crc32c(u32::MAX, seg0).to_le_bytes());
        }
        if segments == 2 {
            out.extend_from_slice(seg1);
            out.push(if garble { 0x01 } else { 0x0e });
            out.extend_from_slice(&ceph_crc32c(u32::MAX, seg1).to_le_bytes());
            out.extend_from_slice(&[0; 8]);
        }
    }
    out
}

thread_local! {
    /// Sessions that were opened, for the test that the seeds are good.
    static OPENED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

struct Mode {
    lossless: bool,
    gated: bool,
    abort: bool,
    refuse: bool,
    /// Bytes that arrive at a time.
    step: usize,
    /// The script is what is on the wire itself.
    raw: bool,
}

impl Mode {
    fn of(byte: u8) -> Self {
        Mode {
            lossless: byte & 1 != 0,
            gated: byte & 2 != 0,
            abort: byte & 4 != 0,
            refuse: byte & 8 != 0,
            step: if byte & 16 != 0 { 3 } else { 1 << 16 },
            raw: byte & 32 != 0,
        }
    }

    fn policy(&self) -> Policy {
        let policy = if self.lossless { Policy::lossless_peer() } else { Policy::lossy() };
        Policy { required: 0, ..policy }
    }

    fn bytes(&self, script: &[u8]) -> Vec<u8> {
        if self.raw { script.to_vec() } else { wire(script, self.abort) }
    }
}

/// All addresses that the recorded handshakes dial: whoever they meant, it is us.
fn addresses(script: &[u8]) -> EntityAddrVec {
    // The target of a CLIENT_IDENT stands behind the addresses; take every 36-byte address found.
    let marker = [1u8, 1, 1, 28, 0, 0, 0];
    let found = script.windows(36).filter(|w| w.starts_with(&marker)).take(8).map(|w| {
        let kind = if w[7] == 1 { AddrKind::Legacy } else { AddrKind::Msgr2 };
        let nonce = u32::from_le_bytes([w[11], w[12], w[13], w[14]]);
        let port = u16::from_be_bytes([w[21], w[22]]);
        let addr = SocketAddr::from(([w[23], w[24], w[25], w[26]], port));
        EntityAddr { kind, nonce, addr: Some(addr) }
    });
    EntityAddrVec(found.collect())
}

fn message() -> RawMessage {
    let header = Header { kind: 41, ..Header::default() };
    RawMessage { header, front: Bytes::from_static(b"front"), ..RawMessage::default() }
}

/// Plays all bytes, then closes; the session comes back out.
fn play(mut conn: Connection, mode: &Mode, bytes: &[u8]) -> Option<Session> {
    let mut rest = bytes;
    let mut requests = 0u32;
    loop {
        let n = conn.handle_bytes(NOW, &rest[..rest.len().min(mode.step)]);
        rest = &rest[n..];
        let mut events = 0;
        while let Some(event) = conn.poll_event(NOW) {
            events += 1;
            match event {
                Event::Announced(_) => conn.grant(),
                Event::SessionRequest(_) => {
                    requests += 1;
                    answer(&mut conn, mode, requests);
                }
                Event::Ready { .. } => {
                    OPENED.with(|n| n.set(n.get() + 1));
                    (0..4).for_each(|_| {
                        let _ = conn.send(message());
                    });
                }
                Event::Closed(_) => assert!(conn.close_reason().is_some()),
                _ => {}
            }
        }
        let waiting = conn.transmit(NOW).remaining();
        assert!(waiting <= TRANSMIT_BYTES_MAX, "{waiting} bytes to send grow with what comes");
        conn.transmit(NOW).advance(waiting);
        if n == 0 && events == 0 {
            break;
        }
    }
    conn.on_timeout(Now { mono: Time(1 << 50), ..NOW });
    assert!(conn.close_reason().is_some(), "time ends every connection");
    conn.into_session()
}

fn answer(conn: &mut Connection, mode: &Mode, requests: u32) {
    if mode.refuse && requests < 4 {
        let refusal = match requests {
            1 => Refusal::Wait,
            2 => Refusal::RetryGlobal(7),
            _ => Refusal::Reset { full: false },
        };
        conn.refuse(refusal);
    } else {
        let how = Admission::Begin { forget: false, server_cookie: 5, global_seq: 6 };
        conn.admit(NOW, Session::new(!mode.lossless, 5), how);
    }
}

pub(crate) fn server(input: &[u8]) {
    let Some((&mode, script)) = input.split_first() else { return };
    let mode = Mode::of(mode);
    let name = EntityName { kind: EntityType::Osd, num: 1 };
    // AUTH_REQUEST: method, one mode, the payload's length, its form (10 is a monitor's).
    let request = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    let mon_form = script.windows(17).any(|w| w.starts_with(&request) && w[16] == 10);
    let auth =
        if mon_form { ServerAuth::none_mon(GlobalId(9)) } else { ServerAuth::none_service() };
    let accept = Accept {
        local: Arc::new(Local { name, addrs: addresses(script) }),
        policies: Arc::new(Policies::all(mode.policy())),
        peer_socket: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        auth,
    };
    let conn = Connection::accept(NOW, accept, Arc::new(Limits::default()), mode.gated);
    play(conn, &mode, &mode.bytes(script));
}

pub(crate) fn client(input: &[u8]) {
    let Some((&mode, script)) = input.split_first() else { return };
    let mode = Mode::of(mode);
    let target = addresses(script).0.get(1).copied().unwrap_or_default();
    // HELLO comes first in every recorded script: tag, length, kind.
    let expect = script.get(3).and_then(|&k| EntityType::try_from(k).ok());
    let name = EntityName { kind: EntityType::Osd, num: 0 };
    let dial = Dial {
        local: Arc::new(Local { name, addrs: EntityAddr { nonce: 3, ..target }.into() }),
        policy: mode.policy(),
        target,
        expect: expect.unwrap_or_default(),
        auth: ClientAuth::none(
            AuthName::new(EntityType::Osd, "0"),
            GlobalId(4),
            if expect == Some(EntityType::Mon) { Towards::Mon } else { Towards::Service },
        ),
        global_seq: 3,
        fresh_cookie: 11,
    };
    let limits = Arc::new(Limits::default());
    let session = Session::new(!mode.lossless, 13);
    let conn = Connection::dial(NOW, dial.clone(), session, limits.clone(), mode.gated);
    let session = play(conn, &mode, &mode.bytes(script));
    // Once more, with what the first connection left: a reconnect, if it was open.
    if let Some(session) = session.filter(|s| !s.is_lossy()) {
        let mut conn = Connection::dial(NOW, dial, session, limits, mode.gated);
        conn.keepalive(NOW);
        let session = play(conn, &mode, &mode.bytes(script));
        assert!(session.is_some(), "a lossless session outlives its connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that never open a session would try little. A lossless policy refuses lossy callers
    /// and the other way round, so it is some of the modes of each handshake that open.
    #[test]
    fn every_recorded_handshake_opens_a_session() {
        type Run = fn(&[u8]);
        let sides: [(Run, _); 2] =
            [(server, crate::seeds::to_server()), (client, crate::seeds::to_client())];
        for (run, seeds) in sides {
            for modes in seeds.chunks(4) {
                OPENED.with(|n| n.set(0));
                modes.iter().for_each(|input| run(input));
                assert!(OPENED.with(std::cell::Cell::get) >= 2);
            }
        }
    }
}
