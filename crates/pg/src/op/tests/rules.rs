//! Rules of requests that a recording through librados does not reach.

use seabed_cluster::{Errno, object_flag};
use seabed_denc::{BytesMut, Encode, Reader, encode_bytes};
use seabed_messages::op::{op_flag, request_flag};
use seabed_messages::{OpArgs, OpCode};

use super::*;

fn write(offset: u64, data: &'static str) -> OsdOp {
    OsdOp::extent(OpCode::Write, offset, data.len() as u64, data)
}

fn plain(code: OpCode) -> OsdOp {
    OsdOp::plain(code, Bytes::new())
}

#[test]
fn what_is_not_built_is_refused_and_noted() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "data")]);
    let not_built = [
        OpCode::Tmap2Omap,
        OpCode::SetRedirect,
        OpCode::CacheFlush,
        OpCode::SetXattrs,
        OpCode::Unknown(0x1fff),
    ];
    for code in not_built {
        let (outcome, reply) = world.vector("o", vec![plain(code)]);
        assert_eq!(reply.result, Errno::EOPNOTSUPP.wire(), "{code:?}");
        assert!(!outcome.notes.is_empty() && outcome.effect.is_none(), "{code:?}");
    }
    assert_eq!(world.size("o"), Some(4));
}

#[test]
fn versions_of_replies_are_those_of_recorded_ones() {
    let mut world = World::new();
    let (_, reply) = world.vector("o", vec![write(0, "data")]);
    let v = |version| EVersion::new(Epoch(1), version);
    assert_eq!((reply.replay_version, reply.bad_replay_version), (v(1), v(1)));
    let (_, reply) = world.vector("o", vec![plain(OpCode::Stat)]);
    let zero = EVersion::ZERO;
    assert_eq!((reply.replay_version, reply.user_version), (zero, 1));
    assert_eq!(reply.bad_replay_version, EVersion { version: 1, epoch: Epoch(0) });
    // A read of nothing: no versions, and the request's flags. (None of these has ONDISK set.)
    let (_, reply) = world.vector("absent", vec![plain(OpCode::Stat)]);
    assert_eq!((reply.result, reply.replay_version, reply.bad_replay_version), (-2, zero, zero));
    assert_eq!((reply.flags & 1, reply.user_version), (0, 0));
    // c37 of the recorded sessions: a delete of nothing, logged as 89'67.
    let (_, reply) = world.vector("absent", vec![plain(OpCode::Delete)]);
    assert_eq!((reply.result, reply.replay_version, reply.bad_replay_version), (-2, v(2), v(1)));
    assert_eq!((reply.flags & 5, reply.user_version), (5, 1));
    // c28: EEXIST, logged as 88'86, user version 82: bad_replay_version 88'82.
    let create = plain(OpCode::Create).with_flags(op_flag::EXCL);
    let (_, reply) = world.vector("o", vec![create]);
    assert_eq!((reply.result, reply.replay_version, reply.bad_replay_version), (-17, v(3), v(1)));
}

#[test]
fn a_write_returns_outputs_only_when_asked_to_and_only_short_ones() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "0123456789")]);
    let read = OsdOp::extent(OpCode::Read, 0, 4, Bytes::new());
    let ops = vec![read.clone(), write(0, "x")];
    let (outcome, reply) = world.vector("o", ops.clone());
    assert!(reply.ops.iter().all(|(op, _)| op.indata.is_empty()));
    assert!(outcome.effect.unwrap().entries[0].op_returns.is_empty());
    let mut message = request("o", ops);
    message.flags = request_flag::RETURNVEC;
    let (outcome, reply) = world.run(&message);
    assert_eq!(reply.ops[0].0.indata, "x123");
    assert_eq!(outcome.effect.unwrap().entries[0].op_returns[0], (0, Bytes::from("x123")));
    world.limits.write_reply = 3;
    let (outcome, reply) = world.run(&message);
    let overflow = Errno::EOVERFLOW.wire();
    assert_eq!((reply.result, reply.ops[0].1, reply.ops[1].1), (overflow, overflow, 0));
    assert!(reply.ops[0].0.indata.is_empty());
    assert!(outcome.effect.is_none() && !outcome.record_error);
}

#[test]
fn a_failed_or_empty_write_is_recorded_a_failed_read_is_not() {
    let mut world = World::new();
    let (outcome, _) = world.vector("o", vec![plain(OpCode::Delete)]);
    assert!(outcome.record_error && outcome.result == -2);
    let (outcome, _) = world.vector("o", vec![OsdOp::extent(OpCode::Zero, 0, 5, "")]);
    assert!(outcome.record_error && outcome.result == 0, "it changed nothing");
    let (outcome, _) = world.vector("o", vec![plain(OpCode::Stat)]);
    assert!(!outcome.record_error);
}

#[test]
fn a_write_that_changes_nothing_answers_with_the_version_of_its_object() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "0")]);
    world.vector("other", vec![write(0, "0")]);
    let (_, reply) = world.vector("o", vec![plain(OpCode::OmapClear)]);
    let logged = EVersion::new(Epoch(1), 3);
    assert_eq!((reply.result, reply.user_version, reply.replay_version), (0, 1, logged));
}

#[test]
fn rot_is_not_read() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "0123456789")]);
    let object = GhObject::from(request("o", vec![]).hobject());
    let mut tx = Transaction::new();
    tx.write(&world.coll, &object, 3, Bytes::from("x"));
    world.store.submit(tx).unwrap();
    let (outcome, reply) = world.vector("o", vec![OsdOp::extent(OpCode::Read, 0, 0, Bytes::new())]);
    assert_eq!(reply.result, Errno::EIO.wire());
    assert!(outcome.notes.iter().any(|(level, _)| *level == crate::Level::Error));
}

#[test]
fn broken_input_is_einval_and_never_a_panic() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "0123456789"), OsdOp::xattr(OpCode::SetXattr, b"a", b"b")]);
    let codes = (0u16..=0xffff).map(OpCode::from_code).filter(|c| !c.is_pg());
    let known = codes.filter(|c| !matches!(c, OpCode::Unknown(_)));
    let huge = [0xff; 28];
    for code in known {
        for input in [&b""[..], b"\xff\xff\xff\xff", b"\x01\0\0\0\x05\0\0\0"] {
            for args in [OpArgs::None, OpArgs::Raw(huge), OpArgs::from_array(code, huge)] {
                let op = OsdOp::new(code, args, Bytes::from_static(input));
                world.execute(&request("o", vec![op.clone()]));
                world.execute(&request("none", vec![op]));
            }
        }
    }
}

#[test]
fn sparse_read_tells_what_holds_data() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "head"), write(8 << 20, "tail")]);
    let op = OsdOp::extent(OpCode::SparseRead, 0, 16 << 20, Bytes::new());
    let (_, reply) = world.vector("o", vec![op]);
    let mut r = Reader::new(reply.ops[0].0.indata.clone());
    let map = Vec::<(u64, u64)>::decode(&mut r).unwrap();
    let data = Bytes::decode(&mut r).unwrap();
    assert_eq!(map.iter().map(|(_, len)| len).sum::<u64>(), data.len() as u64);
    assert!(data.len() < 1 << 20 && data.starts_with(b"head") && data.ends_with(b"tail"));
}

#[test]
fn the_info_follows_ceph() {
    let mut world = World::new();
    let mut message = request("o", vec![write(0, "data")]);
    message.mtime = UTime { sec: 5, nsec: 1 };
    let (outcome, _) = world.run(&message);
    let info = outcome.effect.unwrap().info;
    assert_eq!(info.flags, object_flag::DIRTY | object_flag::DATA_DIGEST);
    assert_eq!((info.mtime, info.local_mtime), (message.mtime, world.now));
    let omap = std::collections::BTreeMap::from([(Bytes::from("k"), Bytes::new())]);
    let set = OsdOp::plain(OpCode::OmapSetVals, omap.to_bytes(0));
    let (outcome, _) = world.vector("o", vec![set]);
    let info = outcome.effect.unwrap().info;
    assert!(info.has(object_flag::OMAP) && info.has(object_flag::DATA_DIGEST));
    assert_eq!(info.mtime, message.mtime, "a request without time leaves the object's");
    let (outcome, _) = world.vector("o", vec![write(1, "x"), plain(OpCode::OmapClear)]);
    assert_eq!(outcome.effect.unwrap().info.flags, object_flag::DIRTY);
    assert_eq!(world.stats.num_objects_omap, 0);
    let hint = OsdOp::new(OpCode::SetAllocHint, OpArgs::None, Bytes::new());
    let (outcome, _) = world.vector("o", vec![hint.with_flags(op_flag::FAILOK)]);
    assert_eq!(outcome.result, 0, "FAILOK");
}

/// Lists page by page as a client does.
fn list(world: &World, namespace: &'static str, page: u64) -> (Vec<(String, String)>, usize) {
    let mut cursor = HObject::min();
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let args = OpArgs::List { count: page, start_epoch: 0 };
        let op = OsdOp::new(OpCode::PgNls, args, cursor.to_bytes(crate::WIRE));
        let mut message = request("", vec![op]);
        message.locator.namespace = Bytes::from_static(namespace.as_bytes());
        let outcome = execute_pg(&world.env(), &world.store, world.pg, &message);
        pages += 1;
        assert!(outcome.result >= 0 && outcome.returns[0].rval == 0);
        let mut r = Reader::new(outcome.returns[0].out.slice(6..));
        cursor = HObject::decode(&mut r).unwrap();
        let entries = Vec::<(Bytes, Bytes, Bytes)>::decode(&mut r).unwrap();
        assert!(entries.len() as u64 <= page);
        let text = |b: &Bytes| String::from_utf8(b.to_vec()).unwrap();
        found.extend(entries.iter().map(|(ns, name, _)| (text(ns), text(name))));
        if outcome.result == 1 {
            assert!(cursor.is_max(), "the only PG of the pool ends it");
            return (found, pages);
        }
    }
}

#[test]
fn listing_goes_through_pages_and_namespaces() {
    let mut world = World::new();
    for i in 0..700 {
        let mut message = request(&format!("o{i}"), vec![plain(OpCode::Create)]);
        if i % 7 == 0 {
            let ns = Bytes::from("other");
            let name = message.object.clone();
            let o = HObject::new(POOL, ns.clone(), Bytes::new(), name, SnapId::HEAD);
            (message.locator.namespace, message.hash) = (ns, o.hash);
        }
        world.run(&message);
    }
    assert_eq!(list(&world, "", 1024).0.len(), 600);
    assert_eq!(list(&world, "other", 1024).0.len(), 100);
    let (all, pages) = list(&world, "\u{1}", 10);
    assert_eq!((all.len(), pages), (700, 70));
    let distinct: std::collections::BTreeSet<_> = all.into_iter().collect();
    assert_eq!(distinct.len(), 700);
}

#[test]
fn listing_tells_what_is_missing_here_and_refuses_other_cursors() {
    let mut world = World::new();
    world.vector("here", vec![plain(OpCode::Create)]);
    let absent = request("absent", vec![]).hobject();
    let args = OpArgs::List { count: 10, start_epoch: 0 };
    let op = OsdOp::new(OpCode::PgNls, args, HObject::min().to_bytes(crate::WIRE));
    let message = request("", vec![op.clone()]);
    let outcome = execute_pg_with(&world.env(), &world.store, world.pg, &[absent], &message);
    let out = &outcome.returns[0].out;
    assert!(out.windows(6).any(|w| w == b"absent") && out.windows(4).any(|w| w == b"here"));
    world.pool.pg_num = 2;
    let beyond = world.pg.pg.object_end(2);
    let op = OsdOp { indata: beyond.to_bytes(crate::WIRE), ..op };
    let outcome = execute_pg(&world.env(), &world.store, world.pg, &request("", vec![op.clone()]));
    assert_eq!(outcome.result, Errno::EINVAL.wire());
    let outcome = execute_pg(
        &world.env(),
        &world.store,
        world.pg,
        &request("", vec![plain(OpCode::ScrubLs)]),
    );
    assert_eq!(outcome.result, Errno::EOPNOTSUPP.wire());
}

/// The objects that pass, or the error.
fn filtered(world: &World, name: &str, arguments: &[&str]) -> Result<Vec<String>, i32> {
    let mut input = BytesMut::new();
    for word in ["pg", "filter", name].iter().chain(arguments) {
        encode_bytes(&mut input, word.as_bytes());
    }
    HObject::min().encode(&mut input, crate::WIRE);
    let args = OpArgs::List { count: 10, start_epoch: 0 };
    let op = OsdOp::new(OpCode::PgNlsFilter, args, input.freeze());
    let outcome = execute_pg(&world.env(), &world.store, world.pg, &request("", vec![op]));
    if outcome.result < 0 {
        return Err(outcome.result);
    }
    let mut r = Reader::new(outcome.returns[0].out.slice(6..));
    HObject::decode(&mut r).unwrap();
    let found = Vec::<(Bytes, (Bytes, Bytes))>::decode(&mut r).unwrap();
    Ok(found.iter().map(|(_, (name, _))| String::from_utf8_lossy(name).into_owned()).collect())
}

#[test]
fn listings_are_filtered_by_an_attribute() {
    let mut world = World::new();
    for (object, value) in [("has", "yes"), ("other", "yes!"), ("empty", "")] {
        let args =
            OpArgs::Xattr { name_len: 1, value_len: value.len() as u32, cmp_op: 0, cmp_mode: 0 };
        let input = Bytes::from([b"a", value.as_bytes()].concat());
        world.vector(object, vec![OsdOp::new(OpCode::SetXattr, args, input)]);
    }
    world.vector("without", vec![plain(OpCode::Create)]);
    for name in ["plain", "hello.hello"] {
        assert_eq!(filtered(&world, name, &["_a", "yes"]), Ok(vec!["has".into()]), "{name}");
        assert_eq!(filtered(&world, name, &["_a", ""]), Ok(vec!["empty".into()]), "{name}");
        assert_eq!(filtered(&world, name, &["_b", "yes"]), Ok(vec![]), "{name}");
        assert_eq!(filtered(&world, name, &["_a"]), Err(Errno::EINVAL.wire()), "{name}");
    }
    for name in ["", "hello", "hello.", ".hello", "hello.other", "unknown.hello"] {
        assert_eq!(filtered(&world, name, &["_a", "yes"]), Err(Errno::EINVAL.wire()), "{name}");
    }
}

#[test]
fn listings_are_byte_for_byte_those_of_ceph() {
    let text = include_str!("../../../tests/data/pgnls.txt");
    let unhex = |s: &str| -> Bytes {
        let byte = |i| u8::from_str_radix(&s[i..i + 2], 16).unwrap();
        (0..s.len()).step_by(2).map(byte).collect::<Vec<u8>>().into()
    };
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [seed, namespace, input, output] = fields[..] else { panic!("{line}") };
        let seed = u32::from_str_radix(seed, 16).unwrap();
        let (input, output) = (unhex(input), unhex(output));
        let mut world = World::new();
        world.pg = SpgId::replicated(PgId::new(PoolId(5), seed));
        world.coll = Collection::Pg(world.pg);
        world.pool.pg_num = 32;
        let mut tx = Transaction::new();
        tx.make_collection(&world.coll, 5);
        let mut r = Reader::new(output.slice(6..));
        HObject::decode(&mut r).unwrap();
        for (ns, name, key) in Vec::<(Bytes, Bytes, Bytes)>::decode(&mut r).unwrap() {
            let object = HObject::new(PoolId(5), ns, key, name, SnapId::HEAD);
            tx.touch(&world.coll, &GhObject::from(object));
        }
        world.store.submit(tx).unwrap();
        let args = OpArgs::List { count: 65, start_epoch: 65 };
        let mut message = request("", vec![OsdOp::new(OpCode::PgNls, args, input)]);
        if namespace == "all" {
            message.locator.namespace = Bytes::from_static(b"\x01");
        }
        let outcome = execute_pg(&world.env(), &world.store, world.pg, &message);
        assert_eq!((outcome.result, &outcome.returns[0].out), (1, &output), "{line}");
    }
    assert_eq!(text.lines().count(), 64);
}

#[test]
fn a_sparse_read_ends_at_a_truncation_that_the_object_has_not_seen() {
    let mut world = World::new();
    world.vector("o", vec![write(0, "0123456789")]);
    for (truncate_size, truncate_seq, expected) in
        [(0, 0, "0123456789"), (4, 1, "0123"), (0, 1, ""), (u64::MAX, 1, "0123456789")]
    {
        let mut op = OsdOp::extent(OpCode::SparseRead, 0, 10, Bytes::new());
        op.args = OpArgs::Extent { offset: 0, length: 10, truncate_size, truncate_seq };
        let (_, reply) = world.vector("o", vec![op]);
        assert_eq!(reply.result, 0);
        let out = &reply.ops[0].0.indata;
        assert!(out.ends_with(expected.as_bytes()), "{truncate_size}");
        let map = usize::from(!expected.is_empty());
        assert_eq!(out.len(), 4 + map * 16 + 4 + expected.len(), "{truncate_size}");
    }
}
