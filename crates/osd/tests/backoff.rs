//! Requests that cannot be served for long stay with clients that know how to keep them.

mod world;

use seabed_cluster::{HObject, PgId, PoolId};
use seabed_denc::Bytes;
use seabed_messages::{MOsdBackoff, Message, OpCode, OsdOp, backoff_op};
use seabed_osd::SessionId;
use world::World;
use world::guests::Guests;

fn create() -> Vec<OsdOp> {
    vec![OsdOp::plain(OpCode::Create, Bytes::new())]
}

fn backoffs(g: &mut Guests, session: SessionId) -> Vec<MOsdBackoff> {
    let of = g.heard(session).into_iter().filter_map(|packet| match packet.message {
        Message::OsdBackoff(m) => Some(*m),
        _ => None,
    });
    of.collect()
}

fn lose(g: &mut Guests, n: usize) {
    g.world.kill(n);
    g.world.mon.mark_down(n);
    g.wait(2);
}

/// The one copy that is left of three cannot write; the last one lost.
fn below_min_size(seed: u64) -> (Guests, usize) {
    let mut g = Guests::new(seed, 3, 2);
    let others: Vec<usize> = (0..3).filter(|n| *n != g.primary()).collect();
    others.iter().for_each(|n| lose(&mut g, *n));
    (g, others[1])
}

#[test]
fn a_pg_with_too_few_copies_holds_back_until_it_serves() {
    let (mut g, lost) = below_min_size(1);
    let session = g.open(10);
    g.send(session, create());
    let told = backoffs(&mut g, session);
    assert_eq!((told.len(), told[0].op), (1, backoff_op::BLOCK));
    let pg = PgId::new(PoolId(1), 0);
    assert_eq!((&told[0].begin, &told[0].end), (&pg.object_start(), &HObject::max()));
    // What comes before and after the acknowledgement is dropped.
    g.send(session, create());
    let ack = MOsdBackoff { op: backoff_op::ACK_BLOCK, ..told[0].clone() };
    g.say(session, ack.into());
    g.send(session, create());
    assert!(backoffs(&mut g, session).is_empty());
    let other = g.open(11);
    g.send(other, create());
    let told_other = backoffs(&mut g, other);
    assert_eq!(told_other.len(), 1);
    assert_ne!(told_other[0].id, told[0].id);

    g.world.start(lost);
    g.wait(4);
    let lifted = backoffs(&mut g, session);
    assert_eq!((lifted.len(), lifted[0].op, lifted[0].id), (1, backoff_op::UNBLOCK, told[0].id));
    assert_eq!(g.ask(session, create()).result, 0);
    // The other one has not acknowledged: what it says now was said before.
    assert_eq!(backoffs(&mut g, other)[0].op, backoff_op::UNBLOCK);
    g.send(other, create());
    g.wait(1);
    assert!(g.heard(other).is_empty());
    g.say(other, MOsdBackoff { op: backoff_op::ACK_BLOCK, ..told_other[0].clone() }.into());
    assert_eq!(g.ask(other, create()).result, 0);
}

#[test]
fn a_client_without_back_offs_waits_here() {
    let (mut g, lost) = below_min_size(2);
    g.features = 0;
    let session = g.open(10);
    let tid = g.send(session, create());
    g.wait(1);
    assert!(g.heard(session).is_empty());
    g.world.start(lost);
    g.wait(4);
    let heard = g.heard(session);
    assert!(heard.iter().any(|p| p.tid == tid && matches!(p.message, Message::OsdOpReply(_))));
}

#[test]
fn when_too_many_wait_the_next_keep_theirs() {
    let mut world = World::new(3, 3, 3, 2, 1);
    world.config.pg.waiting_max = 2;
    let mut g = Guests::with(world);
    // Its replicas are cut off: after the lease nobody is served.
    let primary = g.primary();
    g.world.cut.insert(primary);
    g.wait(2);
    let (one, two) = (g.open(10), g.open(11));
    g.send(one, create());
    g.send(one, create());
    assert!(g.heard(one).is_empty());
    g.send(two, create());
    let told = backoffs(&mut g, two);
    assert_eq!((told.len(), told[0].op), (1, backoff_op::BLOCK));
    g.say(two, MOsdBackoff { op: backoff_op::ACK_BLOCK, ..told[0].clone() }.into());
    g.world.cut.clear();
    g.wait(3);
    assert_eq!(g.heard(one).len(), 2);
    assert_eq!(backoffs(&mut g, two)[0].op, backoff_op::UNBLOCK);
    assert_eq!(g.ask(two, create()).result, 0);
}

#[test]
fn a_session_takes_its_back_offs_along() {
    let (mut g, lost) = below_min_size(4);
    let session = g.open(10);
    g.send(session, create());
    assert_eq!(backoffs(&mut g, session).len(), 1);
    g.close(session);
    g.world.start(lost);
    g.wait(4);
    assert!(g.heard(session).is_empty());
}

#[test]
fn an_object_that_nobody_has_is_held_back_alone() {
    let mut world = World::new(5, 3, 3, 1, 1);
    world.config.pg.ask_again = std::time::Duration::from_millis(500);
    let mut g = Guests::with(world);
    let first = g.primary();
    let others: Vec<usize> = (0..3).filter(|n| *n != first).collect();
    others.iter().for_each(|n| lose(&mut g, *n));
    // Written on one disk only; another copy learns of it, and the disk is gone before it is
    // copied.
    let session = g.open(10);
    assert_eq!(g.ask(session, create()).result, 0);
    g.world.mon.change().new_flags = seabed_cluster::osdmap::flag::map::NORECOVER as i32;
    g.wait(1);
    g.world.start(others[0]);
    g.wait(3);
    g.world.kill(first);
    g.world.mon.mark_down(first);
    g.wait(3);
    assert_eq!(g.primary(), others[0]);
    let session = g.open(10);
    g.send(session, create());
    let told = backoffs(&mut g, session);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].op, &told[0].begin), (backoff_op::BLOCK, &told[0].end));
    assert_eq!(&told[0].begin.name[..], b"object");
    g.say(session, MOsdBackoff { op: backoff_op::ACK_BLOCK, ..told[0].clone() }.into());
    g.send(session, create());
    assert!(backoffs(&mut g, session).is_empty());
    // The disk comes back; its OSD may lead again, or only give what it has.
    g.world.mon.change().new_flags = 0;
    g.world.start(first);
    g.wait(6);
    let lifted = backoffs(&mut g, session);
    assert_eq!((lifted.len(), lifted[0].op), (1, backoff_op::UNBLOCK));
    let session = g.open(11);
    assert_eq!(g.ask(session, create()).result, 0);
}
