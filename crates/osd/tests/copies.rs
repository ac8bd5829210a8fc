//! Objects made of others, where the OSD leads both: it reads them as its own client.

mod world;

use seabed_cluster::{Errno, ObjectLocator, PoolId};
use seabed_denc::Bytes;
use seabed_messages::{OpCode, OsdOp};
use seabed_osd::SessionId;
use world::World;
use world::guests::Guests;

fn write(data: &'static str) -> Vec<OsdOp> {
    vec![OsdOp::extent(OpCode::WriteFull, 0, data.len() as u64, Bytes::from(data))]
}

fn copy(source: &str) -> Vec<OsdOp> {
    copy_version(source, 0)
}

fn copy_version(source: &str, version: u64) -> Vec<OsdOp> {
    vec![OsdOp::copy_from(source.as_bytes(), &ObjectLocator::new(PoolId(1)), version)]
}

fn append(data: &'static str) -> Vec<OsdOp> {
    vec![OsdOp::extent(OpCode::Append, 0, data.len() as u64, Bytes::from(data))]
}

/// What an object holds, or the error.
fn read(g: &mut Guests, s: SessionId, name: &'static str) -> Result<Bytes, i32> {
    let tid = g.send_to(s, name, vec![OsdOp::extent(OpCode::Read, 0, 0, Bytes::new())]);
    let reply = g.reply(s, tid);
    if reply.result < 0 { Err(reply.result) } else { Ok(reply.ops[0].0.indata.clone()) }
}

fn done(g: &mut Guests, s: SessionId, name: &'static str, ops: Vec<OsdOp>) -> i32 {
    let tid = g.send_to(s, name, ops);
    g.reply(s, tid).result
}

#[test]
fn a_copy_waits_for_its_source_and_the_rest_for_the_copy() {
    let mut g = Guests::new(1, 2, 1);
    let s = g.open(1);
    // Nothing is durable before the world goes on, so nothing is answered.
    let tids = [
        g.send_to(s, "source", write("abc")),
        g.send_to(s, "copy", write("overwritten")),
        g.send_to(s, "copy", copy("source")),
        g.send_to(s, "copy", append("d")),
        g.send_to(s, "source", append("e")),
    ];
    assert!(tids.iter().all(|tid| g.world.heard.iter().all(|(_, _, p)| p.tid != *tid)));
    let results: Vec<i32> = tids.iter().map(|tid| g.reply(s, *tid).result).collect();
    assert_eq!(results, [0; 5]);
    assert_eq!(read(&mut g, s, "copy").as_deref(), Ok(&b"abcd"[..]));
    assert_eq!(read(&mut g, s, "source").as_deref(), Ok(&b"abce"[..]));
}

#[test]
fn two_objects_may_become_each_other() {
    let mut g = Guests::new(2, 2, 1);
    let s = g.open(1);
    g.send_to(s, "a", write("one"));
    g.send_to(s, "b", write("two"));
    let (to_a, to_b) = (g.send_to(s, "a", copy("b")), g.send_to(s, "b", copy("a")));
    assert_eq!([g.reply(s, to_a).result, g.reply(s, to_b).result], [0, 0]);
    assert_eq!(read(&mut g, s, "a").as_deref(), Ok(&b"two"[..]));
    assert_eq!(read(&mut g, s, "b").as_deref(), Ok(&b"one"[..]));
}

#[test]
fn what_cannot_be_copied_leaves_the_target_as_it_was() {
    let mut world = World::new(3, 2, 2, 1, 1);
    world.config.pg.write_max = 100;
    world.config.copies.chunk = 60;
    let mut g = Guests::with(world);
    let s = g.open(1);
    assert_eq!(done(&mut g, s, "copy", copy("absent")), Errno::ENOENT.wire());
    assert_eq!(read(&mut g, s, "copy"), Err(Errno::ENOENT.wire()));
    assert_eq!(done(&mut g, s, "copy", write("kept")), 0);
    assert_eq!(done(&mut g, s, "source", write("abc")), 0);
    assert_eq!(done(&mut g, s, "source", append("d")), 0);
    let tid = g.send_to(s, "source", append("e"));
    let version = g.reply(s, tid).user_version;
    for (version, error) in [(version - 1, Errno::ERANGE), (version + 1, Errno::EOVERFLOW)] {
        assert_eq!(done(&mut g, s, "copy", copy_version("source", version)), error.wire());
    }
    let elsewhere = OsdOp::copy_from(b"source", &ObjectLocator::new(PoolId(9)), 0);
    assert_eq!(done(&mut g, s, "copy", vec![elsewhere]), Errno::ENOENT.wire());
    let large = "0123456789".repeat(9);
    let large: &'static str = large.leak();
    assert_eq!(done(&mut g, s, "large", write(large)), 0);
    assert_eq!(done(&mut g, s, "large", append("0123456789a")), 0);
    assert_eq!(done(&mut g, s, "copy", copy("large")), Errno::EMSGSIZE.wire());
    assert_eq!(read(&mut g, s, "copy").as_deref(), Ok(&b"kept"[..]));
    assert_eq!(done(&mut g, s, "copy", copy_version("source", version)), 0);
    assert_eq!(read(&mut g, s, "copy").as_deref(), Ok(&b"abcde"[..]));
}

#[test]
fn copies_share_little_room_and_outlive_their_client() {
    let mut world = World::new(4, 2, 2, 1, 1);
    (world.config.copies.chunk, world.config.copies.bytes_max) = (2, 5);
    let mut g = Guests::with(world);
    let s = g.open(1);
    assert_eq!(done(&mut g, s, "source", write("much more than there is room for")), 0);
    // Not durable: its copies are made when it is.
    g.send_to(s, "source", append("!"));
    let copies: Vec<&'static str> = (0..20).map(|n| &*format!("copy{n}").leak()).collect();
    for name in &copies {
        g.send_to(s, name, copy("source"));
    }
    g.close(s);
    let s = g.open(2);
    g.wait(5);
    for name in copies {
        let wanted = &b"much more than there is room for!"[..];
        assert_eq!(read(&mut g, s, name).as_deref(), Ok(wanted), "{name}");
    }
}
