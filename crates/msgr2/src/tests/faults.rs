//! Whole sessions: cut at every byte, broken and resumed, raced, forgotten.

use super::world::World;
use super::{admit_fresh, all_out, at, feed, message, pair, settle, tids};
use crate::{Event, Policy};

#[test]
fn a_conversation_cut_at_every_step_size() {
    for policy in [Policy::lossy(), Policy::lossless_peer()] {
        for step in (1..200).chain([4096, 1 << 20]) {
            let (mut client, mut server) = pair(&policy);
            client.send(message(1, 0)).unwrap();
            client.send(message(2, 20_000)).unwrap();
            let (up, down) = settle(&policy, &mut client, &mut server, step);
            assert_eq!(tids(&down), [1, 2], "step {step}");
            assert!(matches!(&up[..], [Event::Ready { resumed: false, .. }]));
            server.send(message(3, 9000)).unwrap();
            let (up, _) = settle(&policy, &mut client, &mut server, step);
            assert_eq!(tids(&up), [3]);
            assert!(!client.session().unwrap().has_backlog(), "acknowledged or not kept");
            assert!(!server.session().unwrap().has_backlog());
        }
    }
}

/// The session breaks after every single byte that the server sends or receives, and is resumed.
#[test]
fn a_break_after_every_byte_loses_and_doubles_nothing() {
    for seed in 0..1500 {
        let mut world = World::new(seed, Policy::lossless_peer());
        for _ in 0..3 {
            world.send(0);
            world.send(1);
        }
        for _ in 0..seed {
            world.act(false);
        }
        world.settle();
        check_exactly_once(&mut world, seed);
    }
}

fn check_exactly_once(world: &mut World, seed: u64) {
    for h in 0..2 {
        let want: Vec<u64> = (1..=world.hosts[1 - h].sent).collect();
        assert_eq!(world.hosts[h].got, want, "seed {seed}, host {h}");
        assert_eq!(world.hosts[h].forgotten, 0, "seed {seed}");
        assert_eq!(world.backlog(h), 0, "seed {seed}: everything is acknowledged");
    }
}

/// Both dial, pipes break, bytes are cut anywhere: exactly once, in order, both ways.
#[test]
fn lossless_sessions_survive_random_breaks_and_races() {
    let (mut resumed, mut opened) = (0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed, Policy::lossless_peer());
        for _ in 0..1200 {
            world.act(true);
        }
        world.settle();
        check_exactly_once(&mut world, seed);
        resumed += world.hosts[0].resumed + world.hosts[1].resumed;
        opened += world.hosts[0].opened + world.hosts[1].opened;
    }
    assert!(resumed > 1000, "the test must exercise resuming: {resumed} of {opened}");
}

/// A host that restarts with no memory: the other is told, what it had sent is not repeated to the
/// new life, and the conversation goes on in order.
#[test]
fn a_peer_that_forgot_everything_is_noticed() {
    let mut told = 0;
    for seed in 0..300 {
        let mut world = World::new(seed, Policy::lossless_peer());
        for _ in 0..400 {
            world.act(true);
        }
        world.settle();
        check_exactly_once(&mut world, seed);
        world.amnesia(1);
        world.hosts[1].got.clear();
        world.hosts[0].got.clear();
        let (had0, had1) = (world.hosts[0].sent, world.hosts[1].sent);
        for _ in 0..400 {
            world.act(true);
        }
        world.send(0);
        world.settle();
        told += world.hosts[0].forgotten;
        for (h, had) in [(0, had1), (1, had0)] {
            let got = &world.hosts[h].got;
            let ascending = got.windows(2).all(|w| w[0] < w[1]);
            assert!(ascending && got.iter().all(|&n| n > had), "seed {seed} {got:?}");
            assert_eq!(world.backlog(h), 0, "seed {seed}");
        }
        assert_eq!(world.hosts[0].got.last(), last(world.hosts[1].sent, had1).as_ref());
    }
    assert!(told >= 250, "{told}");
}

fn last(sent: u64, had: u64) -> Option<u64> {
    (sent > had).then_some(sent)
}

#[test]
fn lossy_sessions_start_again() {
    for seed in 0..100 {
        let mut world = World::new(seed, Policy::lossy());
        for _ in 0..600 {
            world.act(true);
        }
        world.settle();
        for h in 0..2 {
            // What came, came in order and once.
            assert!(world.hosts[h].got.windows(2).all(|w| w[0] < w[1]), "seed {seed}");
            assert_eq!(world.hosts[h].resumed, 0);
        }
    }
}

#[test]
fn acknowledgements_ride_on_messages_or_come_alone() {
    let policy = Policy::lossless_peer();
    let (mut client, mut server) = pair(&policy);
    client.send(message(1, 0)).unwrap();
    let out = all_out(&mut client, at(0));
    feed(&mut server, at(0), &out, 4096);
    let back = all_out(&mut server, at(0));
    feed(&mut client, at(0), &back, 4096);
    let out = all_out(&mut client, at(0));
    feed(&mut server, at(0), &out, 4096);
    let back = all_out(&mut server, at(0));
    feed(&mut client, at(0), &back, 4096);
    let out = all_out(&mut client, at(0));
    feed(&mut server, at(0), &out, 4096);
    admit_fresh(&mut server, &policy);
    while server.poll_event(at(0)).is_some() {}
    let back = all_out(&mut server, at(0));
    feed(&mut client, at(0), &back, 4096);
    assert_eq!(client.session().unwrap().backlog_messages(), 1);
    let out = all_out(&mut client, at(0));
    assert_eq!(tids(&feed(&mut server, at(0), &out, 4096)), [1]);
    assert!(server.wants_transmit(), "an ACK is due");
    let ack = all_out(&mut server, at(0));
    assert_eq!(ack.len(), 32 + 8 + 4);
    feed(&mut client, at(0), &ack, 4096);
    assert_eq!(client.session().unwrap().backlog_messages(), 0);
    assert!(!server.wants_transmit() && !client.wants_transmit());
}
