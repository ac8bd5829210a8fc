//! Our two sides against handshakes recorded from Ceph 16.2.15: given what the other side sent,
//! each of ours says byte for byte what the real one said.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use seabed_cephx::{AuthName, ClientAuth, ServerAuth, Towards};
use seabed_cluster::{EntityName, EntityType, GlobalId};
use seabed_denc::{Decode, Reader};

use super::{all_out, at, feed, limits};
use crate::control::{AuthDone, AuthRequest, ClientIdent, Control, FLAG_LOSSY, Hello, ServerIdent};
use crate::frame::{Frame, Tag};
use crate::{
    Accept, Admission, Connection, Dial, Event, Local, Policies, Policy, Session, Transmit, banner,
};

struct Recorded {
    name: String,
    /// (from the dialler, decoded, the frame's bytes).
    frames: Vec<(bool, Control, Bytes)>,
}

macro_rules! pick {
    ($recorded:expr, $dialler:literal, $kind:ident) => {
        $recorded
            .frames
            .iter()
            .find_map(|(dialler, c, _)| match c {
                Control::$kind(p) if *dialler == $dialler => Some(p.clone()),
                _ => None,
            })
            .unwrap()
    };
}

fn unhex(s: &str) -> Bytes {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    s.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

fn frame(tag: Tag, payload: Bytes) -> Bytes {
    let mut tx = Transmit::default();
    tx.control(tag, payload);
    tx.copy_to_bytes(tx.remaining())
}

fn tag(name: &str) -> Tag {
    match name {
        "HELLO" => Tag::Hello,
        "AUTH_REQUEST" => Tag::AuthRequest,
        "AUTH_DONE" => Tag::AuthDone,
        "AUTH_SIGNATURE" => Tag::AuthSignature,
        "CLIENT_IDENT" => Tag::ClientIdent,
        "SERVER_IDENT" => Tag::ServerIdent,
        other => panic!("{other}"),
    }
}

fn recorded() -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for line in include_str!("vectors/handshakes.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("= ") {
            all.push(Recorded { name: name.to_owned(), frames: Vec::new() });
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let (tag, payload) = (tag(words[1]), unhex(words[2]));
        let segments = [payload.clone(), Bytes::new(), Bytes::new(), Bytes::new()];
        let control = Control::from_frame(Frame { tag, segments }).unwrap();
        assert_eq!(control.payload(), payload, "re-encoded: {line}");
        all.last_mut().unwrap().frames.push((words[0] == ">", control, frame(tag, payload)));
    }
    all
}

fn said(recorded: &Recorded, dialler: bool) -> Bytes {
    let mut out = BytesMut::new();
    banner::encode(&mut out);
    for (_, _, bytes) in recorded.frames.iter().filter(|f| f.0 == dialler) {
        out.extend_from_slice(bytes);
    }
    out.freeze()
}

fn policy(flags: u64, supported: u64, required: u64) -> Policy {
    Policy { lossy: flags & FLAG_LOSSY != 0, supported, required, keepalive: None }
}

fn client_of(r: &Recorded) -> Connection {
    let hello: Hello = pick!(r, true, Hello);
    let request: AuthRequest = pick!(r, true, AuthRequest);
    let ident: ClientIdent = pick!(r, true, ClientIdent);
    let server: Hello = pick!(r, false, Hello);
    let mut auth = Reader::new(request.payload);
    let towards =
        if u8::decode(&mut auth).unwrap() == 10 { Towards::Mon } else { Towards::Service };
    let name = AuthName::decode(&mut auth).unwrap();
    let global_id = GlobalId::decode(&mut auth).unwrap();
    let policy = policy(ident.flags, ident.supported, ident.required);
    let session = Session::new(policy.lossy, ident.cookie);
    let name_in_ident = EntityName { kind: hello.kind, num: ident.gid };
    let dial = Dial {
        local: Arc::new(Local { name: name_in_ident, addrs: ident.addrs }),
        policy,
        target: ident.target,
        expect: server.kind,
        auth: ClientAuth::none(name, global_id, towards),
        global_seq: ident.global_seq,
        fresh_cookie: 1,
    };
    Connection::dial(at(0), dial, session, limits(), false)
}

fn server_of(r: &Recorded) -> (Connection, ServerIdent) {
    let hello: Hello = pick!(r, false, Hello);
    let done: AuthDone = pick!(r, false, AuthDone);
    let ident: ServerIdent = pick!(r, false, ServerIdent);
    let auth = match hello.kind {
        EntityType::Mon => ServerAuth::none_mon(GlobalId(done.global_id)),
        _ => ServerAuth::none_service(),
    };
    let name = EntityName { kind: hello.kind, num: ident.gid };
    let accept = Accept {
        local: Arc::new(Local { name, addrs: ident.addrs.clone() }),
        policies: Arc::new(Policies::all(policy(ident.flags, ident.supported, ident.required))),
        peer_socket: hello.peer_addr.addr.unwrap(),
        auth,
    };
    (Connection::accept(at(0), accept, limits(), false), ident)
}

#[test]
fn our_client_says_what_the_real_one_said() {
    let all = recorded();
    assert_eq!(all.len(), 11);
    for r in &all {
        for step in [1, 7, 4096] {
            let mut client = client_of(r);
            let events = feed(&mut client, at(0), &said(r, false), step);
            let ok = matches!(&events[..], [Event::Ready { resumed: false, .. }]);
            assert!(ok, "{}: {events:?}", r.name);
            assert_eq!(all_out(&mut client, at(0)), said(r, true), "{}", r.name);
        }
    }
}

#[test]
fn our_server_says_what_the_real_one_said() {
    for r in &recorded() {
        for step in [1, 7, 4096] {
            let (mut server, ident) = server_of(r);
            let events = feed(&mut server, at(0), &said(r, true), step);
            assert!(matches!(&events[..], [Event::SessionRequest(_)]), "{}: {events:?}", r.name);
            let session = Session::new(ident.flags & FLAG_LOSSY != 0, 1);
            let how = Admission::Begin {
                forget: false,
                server_cookie: ident.cookie,
                global_seq: ident.global_seq,
            };
            server.admit(at(0), session, how);
            let ready = server.poll_event(at(0));
            assert!(matches!(ready, Some(Event::Ready { .. })), "{}: {ready:?}", r.name);
            assert_eq!(all_out(&mut server, at(0)), said(r, false), "{}", r.name);
        }
    }
}
