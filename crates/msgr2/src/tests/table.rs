//! The transition table of the handshake: every phase with every frame, as a document.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use bytes::{Buf, Bytes};
use seabed_cluster::{EntityType, UTime};

use super::{accept, admit_fresh, all_out, at, dial, feed, limits, osd};
use crate::control::{self, Control};
use crate::frame::{PREAMBLE_BYTES, Preamble};
use crate::{Admission, Connection, Policy, Refusal, Session};

/// One honest frame of each tag but MESSAGE, as either side would send it.
fn samples(to_server: bool) -> Vec<Control> {
    let (a, b) = (osd(0, 6800), osd(1, 6810));
    let policy = Policy::lossless_peer();
    let (supported, required) = (policy.supported, policy.required);
    let request = dial(&a, &b, &policy, 1).auth.request();
    let (method, modes, payload) = (request.method, request.modes, request.payload);
    let target = b.addrs.0[0];
    let none = Bytes::new();
    let addrs = if to_server { a.addrs.clone() } else { b.addrs.clone() };
    vec![
        control::Hello { kind: EntityType::Osd, peer_addr: target }.into(),
        control::AuthRequest { method, modes, payload }.into(),
        control::AuthBadMethod { method: 1, result: -95, methods: vec![2], modes: vec![2] }.into(),
        control::AuthReplyMore { payload: none.clone() }.into(),
        control::AuthRequestMore { payload: none.clone() }.into(),
        control::AuthDone { global_id: 4, mode: 1, payload: none }.into(),
        control::AuthSignature { signature: [0; 32] }.into(),
        control::ClientIdent {
            addrs: addrs.clone(),
            target,
            gid: 0,
            global_seq: 1,
            supported,
            required,
            flags: 0,
            cookie: 3,
        }
        .into(),
        control::ServerIdent {
            addrs: addrs.clone(),
            gid: 1,
            global_seq: 1,
            supported,
            required,
            flags: 0,
            cookie: 4,
        }
        .into(),
        control::IdentMissingFeatures { features: 1 }.into(),
        control::SessionReconnect {
            addrs,
            client_cookie: 3,
            server_cookie: 4,
            global_seq: 1,
            connect_seq: 1,
            msg_seq: 0,
        }
        .into(),
        control::SessionReset { full: true }.into(),
        control::SessionRetry { connect_seq: 1 }.into(),
        control::SessionRetryGlobal { global_seq: 1 }.into(),
        control::SessionReconnectOk { msg_seq: 0 }.into(),
        control::Wait {}.into(),
        control::Keepalive2 { stamp: UTime::ZERO }.into(),
        control::Keepalive2Ack { stamp: UTime::ZERO }.into(),
        control::Ack { seq: 0 }.into(),
    ]
}

fn open_session() -> Session {
    let mut session = Session::new(false, 3);
    session.begin(3, 4);
    let peer = crate::Peer {
        name: osd(1, 6810).name,
        auth: seabed_cephx::Authenticated {
            name: seabed_cephx::AuthName::new(EntityType::Osd, "0"),
            global_id: seabed_cluster::GlobalId(4),
            mode: seabed_cephx::ConMode::Crc,
        },
        addrs: osd(1, 6810).addrs.clone(),
        features: 0,
    };
    session.set_peer(peer);
    session
}

fn ends(resuming: bool) -> (Connection, Connection) {
    let policy = Policy::lossless_peer();
    let (a, b) = (osd(0, 6800), osd(1, 6810));
    let session = if resuming { open_session() } else { Session::new(false, 3) };
    let d = dial(&a, &b, &policy, 1);
    let client = Connection::dial(at(0), d, session, limits(), false);
    let server = Connection::accept(at(0), accept(&b, &policy), limits(), false);
    (client, server)
}

fn let_in(server: &mut Connection, resuming: bool) {
    if server.request().is_none() {
        return;
    }
    match resuming {
        true => server.admit(at(0), open_session(), Admission::Resume),
        false => admit_fresh(server, &Policy::lossless_peer()),
    }
    while server.poll_event(at(0)).is_some() {}
}

/// What each side hears in a whole handshake, in frames: (client, server). The banner is first.
fn heard(resuming: bool) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut client, mut server) = ends(resuming);
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let bytes = all_out(&mut client, at(0));
        feed(&mut server, at(0), &bytes, 4096);
        up.extend_from_slice(&bytes);
        let_in(&mut server, resuming);
        let bytes = all_out(&mut server, at(0));
        feed(&mut client, at(0), &bytes, 4096);
        down.extend_from_slice(&bytes);
    }
    assert!(client.is_open() && server.is_open());
    (frames(down.into()), frames(up.into()))
}

fn frames(mut bytes: Bytes) -> Vec<Bytes> {
    let mut all = vec![bytes.split_to(26)];
    while let Some(head) = bytes.first_chunk() {
        let payload = Preamble::decode(head).unwrap().payload_bytes();
        all.push(bytes.split_to(PREAMBLE_BYTES + payload + 4));
    }
    all
}

/// An end that has heard the first `n` frames.
fn brought_to(client_side: bool, resuming: bool, heard: &[Bytes]) -> Connection {
    let (client, server) = ends(resuming);
    let mut conn = if client_side { client } else { server };
    for (i, frame) in heard.iter().enumerate() {
        feed(&mut conn, at(0), frame, 4096);
        // The answer follows the question when more is to be heard, or all has been.
        if i + 2 < heard.len() {
            let_in(&mut conn, resuming);
        }
    }
    conn
}

fn table() -> String {
    let mut rows = BTreeSet::new();
    let mut order: Vec<&'static str> = Vec::new();
    for (client_side, resuming) in [(true, false), (true, true), (false, false), (false, true)] {
        let (down, up) = heard(resuming);
        let heard = if client_side { down } else { up };
        for n in 1..=heard.len() + usize::from(!client_side) {
            let bring = || {
                let mut conn = brought_to(client_side, resuming, &heard[..n.min(heard.len())]);
                if n > heard.len() {
                    let_in(&mut conn, resuming);
                }
                conn
            };
            let phase = bring().phase_name();
            if !order.contains(&phase) {
                order.push(phase);
            }
            for sample in samples(!client_side) {
                let mut conn = bring();
                if conn.space().is_none() {
                    continue;
                }
                let mut tx = crate::Transmit::default();
                tx.control(sample.tag(), sample.payload());
                feed(&mut conn, at(0), &tx.copy_to_bytes(tx.remaining()), 4096);
                let next = conn.phase_name();
                if next != "closed" {
                    let at = order.iter().position(|&p| p == phase).unwrap();
                    rows.insert((at, sample.tag(), next));
                }
            }
        }
    }
    let mut out = String::from(
        "# The handshake of msgr2, phase by phase\n\n\
         Generated from the state machine by a test of `seabed-msgr2`; regenerate with \
         `UPDATE_DOCS=1`.\nA frame that is not listed for a phase closes the connection. The \
         banner is not a frame: it leads\nfrom `banner` to `hello`. In `server deciding` nothing \
         is read until the owner answers.\n\n| phase | frame | leads to |\n|---|---|---|\n",
    );
    for (at, tag, next) in rows {
        writeln!(out, "| {} | {tag:?} | {next} |", order[at]).unwrap();
    }
    out.push_str("| open | Message | open |\n");
    out
}

#[test]
fn the_transition_table_is_the_one_in_the_documents() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire/msgr2.md");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, table, "UPDATE_DOCS=1 cargo test -p seabed-msgr2 makes it anew");
}

/// A refused dialler may ask again on the same connection.
#[test]
fn refusals_lead_back_to_the_question() {
    let (_, up) = heard(false);
    let mut server = brought_to(false, false, &up);
    assert_eq!(server.phase_name(), "server deciding");
    assert!(server.space().is_none(), "nothing is read while a verdict is due");
    server.refuse(Refusal::Retry(5));
    assert_eq!(server.phase_name(), "server session");
    assert!(server.space().is_some());
}
