//! The trivial map: what librbd does with the directory of its format 1 images, and the rest.

use seabed_cluster::Errno;
use seabed_denc::Encode;
use seabed_messages::OpCode;

use super::*;

/// Steps of an update; a header's text is in the place of the key.
fn steps(list: &[(u8, &str, Option<&str>)]) -> Bytes {
    let mut out = BytesMut::new();
    for (letter, key, value) in list {
        letter.encode(&mut out, 0);
        Bytes::copy_from_slice(key.as_bytes()).encode(&mut out, 0);
        if let Some(value) = value {
            Bytes::copy_from_slice(value.as_bytes()).encode(&mut out, 0);
        }
    }
    out.freeze()
}

fn map(header: &'static str, entries: &[(&'static str, &'static str)]) -> Bytes {
    let entries: Vec<_> = entries.iter().map(|(k, v)| (Bytes::from(*k), Bytes::from(*v))).collect();
    (Bytes::from(header), entries).to_bytes(0)
}

fn update(world: &mut World, list: &[(u8, &str, Option<&str>)]) -> i32 {
    world.vector("o", vec![OsdOp::plain(OpCode::TmapUp, steps(list))]).1.result
}

fn stored(world: &mut World) -> Bytes {
    let (_, reply) = world.vector("o", vec![OsdOp::plain(OpCode::TmapGet, Bytes::new())]);
    assert_eq!(reply.result, 0);
    reply.ops[0].0.indata.clone()
}

#[test]
fn an_update_makes_the_map_and_keeps_it_sorted() {
    let mut world = World::new();
    assert_eq!(update(&mut world, &[(b's', "b", Some("1"))]), 0);
    assert_eq!(update(&mut world, &[(b'h', "head", None), (b's', "a", Some("2"))]), 0);
    assert_eq!(stored(&mut world), map("head", &[("a", "2"), ("b", "1")]));
    // Steps see those before them, in whatever order the keys are.
    let more =
        [(b'c', "z", Some("")), (b'r', "b", None), (b's', "a", Some("3")), (b'R', "q", None)];
    assert_eq!(update(&mut world, &more), 0);
    assert_eq!(stored(&mut world), map("head", &[("a", "3"), ("z", "")]));
    assert_eq!(update(&mut world, &[]), 0, "nothing to do");
}

#[test]
fn a_step_that_fails_leaves_the_map_as_it_was() {
    let mut world = World::new();
    update(&mut world, &[(b's', "a", Some("1"))]);
    let before = stored(&mut world);
    let first = (b's', "b", Some("2"));
    let cases = [
        ((b'c', "a", Some("2")), Errno::EEXIST),
        ((b'r', "c", None), Errno::ENOENT),
        ((b'x', "c", None), Errno::EINVAL),
        ((b's', "c", None), Errno::EINVAL),
    ];
    for (bad, error) in cases {
        assert_eq!(update(&mut world, &[first, bad]), error.wire());
        assert_eq!(stored(&mut world), before);
    }
}

#[test]
fn a_whole_map_is_stored_sorted_and_must_be_one() {
    let mut world = World::new();
    let put = |data| vec![OsdOp::plain(OpCode::TmapPut, data)];
    let (_, reply) = world.vector("o", put(map("h", &[("b", "1"), ("a", "2")])));
    assert_eq!(reply.result, 0);
    assert_eq!(stored(&mut world), map("h", &[("a", "2"), ("b", "1")]));
    for bad in ["", "no map"] {
        let (_, reply) = world.vector("o", put(Bytes::from(bad)));
        assert_eq!(reply.result, Errno::EINVAL.wire());
    }
    // An object that holds something else is not updated.
    let full = OsdOp::extent(OpCode::WriteFull, 0, 6, "no map");
    world.vector("o", vec![full]);
    assert_eq!(update(&mut world, &[(b's', "a", Some("1"))]), Errno::EINVAL.wire());
}
