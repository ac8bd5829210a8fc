//! A peer that breaks the rules: the connection ends with a reason, never with a panic.

use bytes::{Buf, Bytes};
use seabed_cluster::{EntityType, UTime};

use super::{Random, accept, all_out, at, dial, feed, limits, message, osd, pair, settle, tids};
use crate::control::{self, Control};
use crate::frame::Tag;
use crate::{CloseReason, Connection, Event, Policies, Policy, Refusal, Session, Transmit, banner};

fn frame(control: impl Into<Control>) -> Bytes {
    let control = control.into();
    let mut tx = Transmit::default();
    tx.control(control.tag(), control.payload());
    tx.copy_to_bytes(tx.remaining())
}

fn closed(events: &[Event]) -> Option<&CloseReason> {
    match events.last() {
        Some(Event::Closed(reason)) => Some(reason),
        _ => None,
    }
}

/// The bytes each side sends in a handshake with three messages either way.
fn conversation(policy: &Policy) -> (Bytes, Bytes) {
    let (mut client, mut server) = pair(policy);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for round in 0..8 {
        let out = all_out(&mut client, at(0));
        feed(&mut server, at(0), &out, 4096);
        up.extend_from_slice(&out);
        if server.request().is_some() {
            super::admit_fresh(&mut server, policy);
            while server.poll_event(at(0)).is_some() {}
        }
        if client.is_open() && round < 7 {
            let _ = client.send(message(round, 100));
            let _ = server.send(message(round, 3000));
        }
        let out = all_out(&mut server, at(0));
        feed(&mut client, at(0), &out, 4096);
        down.extend_from_slice(&out);
    }
    (up.into(), down.into())
}

fn play(bytes: &[u8], to_server: bool, policy: &Policy) -> (Connection, Vec<Event>) {
    let (client, server) = pair(policy);
    let mut conn = if to_server { server } else { client };
    let mut events = Vec::new();
    let mut rest = bytes;
    loop {
        let n = conn.handle_bytes(at(0), rest);
        rest = &rest[n..];
        let before = events.len();
        while let Some(event) = conn.poll_event(at(0)) {
            if matches!(event, Event::Ready { .. }) {
                // As many messages as the conversation acknowledges.
                (0..7).for_each(|n| conn.send(message(n, 0)).unwrap());
                all_out(&mut conn, at(0));
            }
            events.push(event);
        }
        if conn.request().is_some() {
            super::admit_fresh(&mut conn, policy);
            continue;
        }
        let _ = all_out(&mut conn, at(0));
        if n == 0 && before == events.len() {
            return (conn, events);
        }
    }
}

#[test]
fn any_flipped_bit_ends_the_connection_or_changes_nothing_but_its_own_field() {
    for policy in [Policy::lossy(), Policy::lossless_peer()] {
        let (up, down) = conversation(&policy);
        for (bytes, to_server) in [(&up, true), (&down, false)] {
            let (conn, _) = play(bytes, to_server, &policy);
            assert_eq!(conn.close_reason(), None, "unchanged bytes are fine");
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                let (conn, events) = play(&bad, to_server, &policy);
                // Alignments and lengths that then wait for more may pass; nothing may panic.
                if let Some(reason) = conn.close_reason() {
                    assert_eq!(closed(&events), Some(reason));
                }
            }
        }
    }
}

#[test]
fn every_cut_leaves_a_connection_that_waits_or_gave_a_reason() {
    let policy = Policy::lossless_peer();
    let (up, down) = conversation(&policy);
    for (bytes, to_server) in [(&up, true), (&down, false)] {
        for n in 0..bytes.len() {
            let (conn, _) = play(&bytes[..n], to_server, &policy);
            assert_eq!(conn.close_reason(), None, "cut at {n}");
        }
    }
}

#[test]
fn every_tag_at_every_point_is_answered_or_refused() {
    let policy = Policy::lossless_peer();
    let (up, down) = conversation(&policy);
    let payload = Bytes::from(vec![1u8; 200]);
    let cuts = |bytes: &Bytes| {
        // Frame boundaries, found by walking the preambles.
        let mut at = vec![26];
        while let Some(p) = bytes.get(at[at.len() - 1]..) {
            let Some(head) = p.first_chunk::<32>() else { break };
            let p = crate::frame::Preamble::decode(head).unwrap();
            let tail = if p.has_epilogue() { 13 } else { 0 };
            let crc = if p.lengths[0] > 0 { 4 } else { 0 };
            at.push(at[at.len() - 1] + 32 + p.payload_bytes() + crc + tail);
        }
        at
    };
    for (bytes, to_server) in [(&up, true), (&down, false)] {
        for cut in cuts(bytes).into_iter().take(12) {
            for &tag in Tag::ALL {
                let mut tx = Transmit::default();
                tx.raw(|out| out.extend_from_slice(&bytes[..cut.min(bytes.len())]));
                tx.control(tag, payload.clone());
                tx.control(tag, Bytes::new());
                let all = tx.copy_to_bytes(tx.remaining());
                let (conn, events) = play(&all, to_server, &policy);
                assert_eq!(closed(&events), conn.close_reason());
            }
        }
    }
}

#[test]
fn noise_never_panics() {
    let policy = Policy::lossless_peer();
    let (up, down) = conversation(&policy);
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let to_server = seed % 2 == 0;
        let mut bytes = if to_server { up.to_vec() } else { down.to_vec() };
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.drain(at..(at + random.below(60)).min(bytes.len()))),
                2 => {
                    let from = random.below(bytes.len());
                    let piece = bytes[from..(from + 80).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        play(&bytes, to_server, &policy);
    }
}

#[test]
fn a_message_before_the_session_is_refused_before_memory_is_given() {
    let (_, mut server) = pair(&Policy::lossy());
    let mut tx = Transmit::default();
    tx.raw(banner::encode);
    let big = crate::frame::Preamble::new(Tag::Message, [41, 0, 0, 90 << 20]);
    tx.raw(|out| out.extend_from_slice(&big.encode()));
    tx.raw(|out| out.extend_from_slice(&[0; 41]));
    let bytes = tx.copy_to_bytes(tx.remaining());
    let events = feed(&mut server, at(0), &bytes, 4096);
    let due = Some(&CloseReason::Unexpected { tag: Tag::Message, phase: "server hello" });
    assert_eq!(closed(&events), due);
}

#[test]
fn a_flood_of_keepalives_is_one_answer_and_no_queue() {
    let policy = Policy::lossy();
    let (mut client, mut server) = pair(&policy);
    settle(&policy, &mut client, &mut server, 4096);
    let mut flood = Vec::new();
    for sec in 0..20_000 {
        flood.extend_from_slice(&frame(control::Keepalive2 { stamp: UTime { sec, nsec: 0 } }));
    }
    assert!(feed(&mut server, at(0), &flood, 1 << 20).is_empty());
    let out = all_out(&mut server, at(0));
    let stamp = UTime { sec: 19_999, nsec: 0 };
    assert_eq!(out, frame(control::Keepalive2Ack { stamp }));
}

#[test]
fn gaps_and_false_acknowledgements_end_it_duplicates_do_not() {
    let policy = Policy::lossless_peer();
    let open = || {
        let (mut client, mut server) = pair(&policy);
        settle(&policy, &mut client, &mut server, 4096);
        server
    };
    let numbered = |seq: u64, ack: u64| {
        let mut m = message(seq, 0);
        m.header.seq = seq;
        m.header.ack_seq = ack;
        let segments =
            [crate::frame::encode_header(&m.header), m.front, Bytes::new(), Bytes::new()];
        let mut tx = Transmit::default();
        tx.frame(Tag::Message, &segments, crate::frame::seal::Sums::of(&segments));
        tx.copy_to_bytes(tx.remaining())
    };
    let mut server = open();
    assert_eq!(tids(&feed(&mut server, at(0), &numbered(1, 0), 99)), [1]);
    assert!(feed(&mut server, at(0), &numbered(1, 0), 99).is_empty());
    let events = feed(&mut server, at(0), &numbered(3, 0), 99);
    assert!(matches!(closed(&events), Some(CloseReason::SequenceGap { expected: 2, found: 3 })));
    let events = feed(&mut open(), at(0), &numbered(1, 1), 99);
    assert!(matches!(closed(&events), Some(CloseReason::AckBeyondSent { acked: 1, sent: 0 })));
    let events = feed(&mut open(), at(0), &frame(control::Ack { seq: 5 }), 99);
    assert!(matches!(closed(&events), Some(CloseReason::AckBeyondSent { acked: 5, sent: 0 })));
}

#[test]
fn features_addresses_and_kinds_that_do_not_fit_are_named() {
    let (a, b) = (osd(0, 6800), osd(1, 6810));
    let run = |ours: Policy, theirs: Policy, policies: Policies| {
        let session = Session::new(ours.lossy, 3);
        let mut client = Connection::dial(at(0), dial(&a, &b, &ours, 1), session, limits(), false);
        let mut accept = accept(&b, &theirs);
        accept.policies = policies.into();
        let mut server = Connection::accept(at(0), accept, limits(), false);
        settle(&theirs, &mut client, &mut server, 4096);
        (client.close_reason().cloned(), server.close_reason().cloned())
    };
    let plain = Policy::lossy();
    let wants = Policy { required: 1 << 49 | plain.required, ..Policy::lossy() };
    let lacks = Some(CloseReason::WeLackFeatures(1 << 49));
    let they_lack = Some(CloseReason::PeerLacksFeatures(1 << 49));
    let all = Policies::all;
    let got = run(plain.clone(), wants.clone(), all(wants.clone()));
    assert_eq!(got, (lacks.clone(), they_lack));
    let got = run(wants, plain.clone(), all(plain.clone()));
    assert_eq!(got.1, lacks);
    let only_mons = Policies::default().with(EntityType::Mon, plain.clone());
    assert_eq!(run(plain.clone(), plain.clone(), only_mons).1, Some(CloseReason::WrongPeer));

    let mut d = dial(&a, &b, &plain, 1);
    d.expect = EntityType::Mon;
    let mut client = Connection::dial(at(0), d, Session::new(true, 3), limits(), false);
    let mut server = Connection::accept(at(0), accept(&b, &plain), limits(), false);
    settle(&plain, &mut client, &mut server, 4096);
    assert_eq!(client.close_reason(), Some(&CloseReason::WrongPeer));

    let mut d = dial(&a, &b, &plain, 1);
    d.target.nonce += 1;
    let mut client = Connection::dial(at(0), d, Session::new(true, 3), limits(), false);
    let mut server = Connection::accept(at(0), accept(&b, &plain), limits(), false);
    settle(&plain, &mut client, &mut server, 4096);
    assert_eq!(server.close_reason(), Some(&CloseReason::WrongAddress));
}

#[test]
fn time_runs_out_in_the_handshake_and_on_silence() {
    let (mut client, mut server) = pair(&Policy::to_mon());
    assert_eq!(client.poll_timeout(), Some(at(10_000).mono));
    server.on_timeout(at(9_999));
    assert_eq!(server.close_reason(), None);
    server.on_timeout(at(10_000));
    assert!(matches!(server.close_reason(), Some(CloseReason::HandshakeTimeout(_))));

    let policy = Policy::to_mon();
    let (mut again, mut server) = pair(&policy);
    settle(&policy, &mut again, &mut server, 4096);
    client = again;
    assert_eq!(client.poll_timeout(), Some(at(10_000).mono));
    client.on_timeout(at(10_000));
    let ask = all_out(&mut client, at(10_000));
    assert!(feed(&mut server, at(10_000), &ask, 64).is_empty());
    let answer = all_out(&mut server, at(10_000));
    let events = feed(&mut client, at(10_000), &answer, 64);
    assert!(matches!(&events[..], [Event::KeepaliveAck(_)]));
    for ms in [20_000, 30_000, 39_999] {
        client.on_timeout(at(ms));
        assert_eq!(client.close_reason(), None, "{ms}");
    }
    client.on_timeout(at(40_000));
    assert!(matches!(client.close_reason(), Some(CloseReason::KeepaliveTimeout(_))));

    let policy = Policy::lossy();
    let (mut client, mut server) = pair(&policy);
    settle(&policy, &mut client, &mut server, 4096);
    client.on_timeout(at(900_000));
    assert!(matches!(client.close_reason(), Some(CloseReason::IdleTimeout(_))));
}

#[test]
fn a_dialler_that_never_gives_up_is_given_up() {
    let policy = Policy::lossless_peer();
    let (mut client, mut server) = pair(&policy);
    let mut rounds = 0;
    while server.close_reason().is_none() && rounds < 100 {
        let out = all_out(&mut client, at(0));
        feed(&mut server, at(0), &out, 4096);
        if server.request().is_some() {
            rounds += 1;
            server.refuse(Refusal::Wait);
            let ident = control::SessionReconnect {
                addrs: osd(0, 6800).addrs.clone(),
                client_cookie: 1,
                server_cookie: 2,
                global_seq: 3,
                connect_seq: 4,
                msg_seq: 5,
            };
            feed(&mut server, at(0), &frame(ident), 4096);
        }
        let back = all_out(&mut server, at(0));
        feed(&mut client, at(0), &back, 4096);
    }
    assert!(matches!(server.close_reason(), Some(CloseReason::TooManyRounds(_))), "{rounds}");
}
