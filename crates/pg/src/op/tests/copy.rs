//! COPY_GET and COPY_FROM: told as Ceph tells it, and made whole from any pieces.

use std::collections::BTreeMap;

use base64::Engine;
use seabed_cluster::{Errno, SnapSet, object_flag};
use seabed_denc::{Encode, ceph_crc32c};
use seabed_messages::{
    Body, CopyCursor, CopyData, OpArgs, OpCode, Parts, copy_flag, copy_from_flag,
};
use seabed_storage::TxOp;

use super::*;

fn plain(code: OpCode) -> OsdOp {
    OsdOp::plain(code, Bytes::new())
}

/// The op that copies `source` of the world's pool.
fn copy_from(code: OpCode, source: &str, flags: u8, more: &[u8]) -> OsdOp {
    let plain = OsdOp::copy_from(source.as_bytes(), &ObjectLocator::new(POOL), 0);
    let args =
        OpArgs::CopyFrom { snap: SnapId::HEAD, src_version: 0, flags, src_fadvise_flags: 64 };
    OsdOp::new(code, args, [&plain.indata[..], more].concat().into())
}

/// A source with everything that an object can have.
fn rich(world: &mut World, name: &str) {
    let data = Bytes::from((0..700u32).map(|n| n as u8).collect::<Vec<_>>());
    let omap: BTreeMap<Bytes, Bytes> = (0..300)
        .map(|n| (Bytes::from(format!("key{n:03}")), Bytes::from(vec![n as u8; 9])))
        .collect();
    world.vector(
        name,
        vec![
            OsdOp::extent(OpCode::WriteFull, 0, 700, data),
            OsdOp::xattr(OpCode::SetXattr, b"a", b"one"),
            OsdOp::xattr(OpCode::SetXattr, b"", b"of no name"),
            OsdOp::plain(OpCode::OmapSetHeader, Bytes::from_static(b"header")),
            OsdOp::plain(OpCode::OmapSetVals, omap.to_bytes(0)),
        ],
    );
}

/// One COPY_GET of an object.
fn get(world: &mut World, name: &str, snap: SnapId, cursor: &CopyCursor, max: u64) -> CopyData {
    let mut message = request(name, vec![OsdOp::copy_get(cursor, max)]);
    message.snap = snap;
    let (_, reply) = world.run(&message);
    assert_eq!(reply.result, 0);
    CopyData::from_bytes(reply.ops[0].0.indata.clone()).unwrap()
}

/// Gathers an object in pieces of about `max` bytes; how many there were.
fn gather(world: &mut World, name: &str, snap: SnapId, max: u64) -> (Copied, usize) {
    let mut copied = Copied::default();
    let mut cursor = CopyCursor::default();
    for pieces in 1.. {
        let piece = get(world, name, snap, &cursor, max);
        cursor = piece.cursor.clone();
        let version = world.context(&request(name, vec![]).hobject()).info.user_version;
        if copied.add(piece, version, 1 << 20).unwrap() {
            return (copied, pieces);
        }
    }
    unreachable!()
}

type Whole = (Bytes, BTreeMap<Bytes, Bytes>, Bytes, Vec<(Bytes, Bytes)>);

/// What clients see of a stored object.
fn whole(world: &World, object: &HObject) -> Whole {
    let o = GhObject::from(object.clone());
    let mut attrs = world.store.get_attrs(&world.coll, &o).unwrap();
    attrs.retain(|name, _| name.starts_with(b"_") && name.len() > 1);
    let omap = world.store.omap_range(&world.coll, &o, std::ops::Bound::Unbounded, 1000).unwrap().0;
    let header = world.store.omap_header(&world.coll, &o).unwrap();
    (world.store.read(&world.coll, &o, 0, u64::MAX).unwrap(), attrs, header, omap)
}

#[test]
fn an_osd_tells_another_what_ceph_tells() {
    let lines = crate::tests::recorded::lines("tests/data/copy.jsonl.gz");
    let line = &lines[0];
    let bytes = |name: &str| -> Bytes {
        let text = line[name].as_str().unwrap();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap().into()
    };
    let parts =
        |front, data, version| Parts { version, compat: 3, front, middle: Bytes::new(), data };
    let told = CopyData::from_bytes(bytes("out")).unwrap();
    assert_eq!(told.to_bytes(crate::WIRE), bytes("out"));
    assert_eq!((told.size, told.data.len(), told.attrs.len()), (5000, 5000, 2));
    assert_eq!((told.reqids.len(), told.flags), (7, 0));

    let message = MOsdOp::decode_parts(parts(bytes("front"), bytes("data"), 8)).unwrap();
    let wanted = MOsdOpReply::decode_parts(parts(bytes("reply"), bytes("out"), 8)).unwrap();
    let object = message.hobject();
    let mut world = World::new();
    world.coll = Collection::Pg(SpgId::replicated(PgId::new(object.pool, 0)));
    let info = ObjectInfo {
        size: told.size,
        mtime: told.mtime,
        user_version: wanted.user_version,
        flags: object_flag::DIRTY | object_flag::OMAP,
        ..ObjectInfo::new(object.clone())
    };
    let (mut tx, o) = (Transaction::new(), GhObject::from(object));
    tx.make_collection(&world.coll, 0);
    tx.push(&world.coll, &o, TxOp::Write { offset: 0, data: told.data.clone() });
    let mut attrs: BTreeMap<Bytes, Bytes> =
        told.attrs.iter().map(|(k, v)| ([b"_", &k[..]].concat().into(), v.clone())).collect();
    let omap = BTreeMap::from_bytes(told.omap_data.clone()).unwrap();
    tx.push(&world.coll, &o, TxOp::OmapSetKeys(omap));
    attrs.insert(Bytes::from_static(b"_"), info.to_bytes(crate::WIRE));
    attrs.insert(Bytes::from_static(b"snapset"), SnapSet::default().to_bytes(crate::WIRE));
    tx.push(&world.coll, &o, TxOp::SetAttrs(attrs));
    world.store.submit(tx).unwrap();
    world.reqids = (told.reqids.clone(), BTreeMap::new());
    let (_, reply) = world.run(&message);
    let ours = &reply.ops[0].0.indata;
    let theirs = &wanted.ops[0].0.indata;
    let at = ours.iter().zip(theirs.iter()).position(|(a, b)| a != b);
    assert_eq!((at, ours.len()), (None, theirs.len()));
    assert_eq!(reply.ops[0].0.args, wanted.ops[0].0.args);
    assert_eq!((reply.result, reply.flags), (0, wanted.flags));
    assert_eq!(reply.user_version, wanted.user_version);
}

#[test]
fn an_object_is_the_same_whatever_pieces_it_came_in() {
    let mut world = World::new();
    rich(&mut world, "source");
    let from = request("source", vec![]).hobject();
    for (max, least) in [(1, 100), (64, 20), (700, 2), (8 << 20, 1)] {
        let (copied, pieces) = gather(&mut world, "source", SnapId::HEAD, max);
        assert!(pieces >= least && (least > 1) == (pieces > 1), "{max}: {pieces}");
        world.copied = Some(copied);
        let to = format!("to{max}");
        let (outcome, reply) =
            world.vector(&to, vec![copy_from(OpCode::CopyFrom, "source", 0, &[])]);
        assert_eq!(reply.result, 0);
        let effect = outcome.effect.unwrap();
        let source = world.context(&from).info;
        let info = &effect.info;
        assert_eq!((info.size, info.mtime, info.flags), (source.size, source.mtime, source.flags));
        assert_eq!(info.data_digest, source.data_digest);
        assert_eq!(info.local_mtime, UTime::default(), "as Ceph: the time is not its own");
        assert!(info.user_version > source.user_version);
        let entry = &effect.entries[0];
        assert_eq!((entry.mtime, entry.clean_regions.clean_omap), (UTime::default(), false));
        assert_eq!(whole(&world, &request(&to, vec![]).hobject()), whole(&world, &from));
        assert_eq!(effect.stats.num_objects, 1);
        assert_eq!((effect.stats.num_bytes, effect.stats.num_objects_omap), (700, 1));
        world.copied = None;
    }
}

#[test]
fn without_its_source_a_copy_says_what_it_needs_and_does_nothing() {
    let world = World::new();
    let ops = vec![plain(OpCode::Create), copy_from(OpCode::CopyFrom, "source", 8, &[])];
    let outcome = world.execute(&request("to", ops));
    let source = outcome.copy.unwrap();
    assert_eq!((&source.object[..], source.version, source.op_flags), (&b"source"[..], 0, 64));
    assert_eq!(source.flags, seabed_messages::op::request_flag::MAP_SNAP_CLONE);
    assert!(outcome.effect.is_none() && !outcome.record_error);
    let flagged = copy_from(OpCode::CopyFrom, "source", 0, &[]).with_flags(2);
    assert!(world.execute(&request("to", vec![flagged])).copy.is_some(), "FAILOK hides no wait");
    let ops = vec![plain(OpCode::Delete), copy_from(OpCode::CopyFrom, "source", 0, &[])];
    let outcome = world.execute(&request("to", ops));
    assert_eq!(
        (outcome.result, outcome.copy),
        (Errno::ENOENT.wire(), None),
        "what fails, fails first"
    );
}

#[test]
fn copies_that_make_no_sense_are_refused() {
    let mut world = World::new();
    rich(&mut world, "to");
    let truncated = OsdOp {
        indata: Bytes::from_static(&[4, 0, 0, 0]),
        ..copy_from(OpCode::CopyFrom, "", 0, &[])
    };
    for ops in [
        vec![copy_from(OpCode::CopyFrom, "to", 0, &[])],
        vec![copy_from(OpCode::CopyFrom2, "source", 64, &[])],
        vec![copy_from(OpCode::CopyFrom2, "source", copy_from_flag::TRUNCATE_SEQ, &[1, 0, 0, 0])],
        vec![copy_from(OpCode::CopyFrom, "a", 0, &[]), copy_from(OpCode::CopyFrom2, "b", 0, &[])],
        vec![truncated],
        vec![plain(OpCode::CopyFrom)],
    ] {
        let outcome = world.execute(&request("to", ops.clone()));
        assert_eq!((outcome.result, outcome.copy), (Errno::EINVAL.wire(), None), "{ops:?}");
    }
    // The object as it was is another.
    let mut of_snap = copy_from(OpCode::CopyFrom, "to", 0, &[]);
    of_snap.args =
        OpArgs::CopyFrom { snap: SnapId(4), src_version: 9, flags: 0, src_fadvise_flags: 0 };
    let source = world.execute(&request("to", vec![of_snap])).copy.unwrap();
    assert_eq!((source.snap, source.version), (SnapId(4), 9));
    let (_, reply) = world.vector("absent", vec![OsdOp::copy_get(&CopyCursor::default(), 1)]);
    assert_eq!(reply.result, Errno::ENOENT.wire());
    let (_, reply) = world.vector("to", vec![plain(OpCode::CopyGet)]);
    assert_eq!(reply.result, Errno::EINVAL.wire());
}

#[test]
fn a_copy_replaces_what_was_there_and_keeps_what_snapshots_show() {
    let mut world = World::new();
    rich(&mut world, "to");
    world.vector("source", vec![OsdOp::extent(OpCode::Write, 0, 3, "new")]);
    let (copied, _) = gather(&mut world, "source", SnapId::HEAD, 100);
    world.copied = Some(copied);
    let mut message = request("to", vec![copy_from(OpCode::CopyFrom, "source", 0, &[])]);
    (message.snap_seq, message.snaps) = (SnapId(3), vec![SnapId(3)]);
    let before = whole(&world, &message.hobject());
    let (outcome, reply) = world.run(&message);
    assert_eq!(reply.result, 0);
    let effect = outcome.effect.unwrap();
    assert_eq!(effect.entries.len(), 2);
    let overlap = &effect.snapset.clone_overlap[&SnapId(3)];
    assert!(overlap.is_empty(), "nothing is shared: {overlap:?}");
    assert_eq!(whole(&world, &message.hobject().with_snap(SnapId(3))), before);
    assert_eq!(
        whole(&world, &message.hobject()),
        whole(&world, &request("source", vec![]).hobject())
    );
    assert!(!effect.info.has(object_flag::OMAP));
    assert!(
        !effect.entries[1].clean_regions.clean_omap,
        "a copy of it that is behind loses its omap"
    );

    // And back: the clone can be copied too, onto its own whiteout.
    world.copied = None;
    let mut delete = request("to", vec![plain(OpCode::Delete)]);
    (delete.snap_seq, delete.snaps) = (SnapId(3), vec![SnapId(3)]);
    world.run(&delete);
    assert_eq!(world.stats.num_whiteouts, 1);
    let told = get(&mut world, "to", SnapId(3), &CopyCursor::default(), 8 << 20);
    assert_eq!((told.snaps, told.snap_seq), (vec![SnapId(3)], SnapId(0)));
    let (copied, _) = gather(&mut world, "to", SnapId(3), 100);
    world.copied = Some(copied);
    let mut back = copy_from(OpCode::CopyFrom, "to", 0, &[]);
    back.args =
        OpArgs::CopyFrom { snap: SnapId(3), src_version: 0, flags: 0, src_fadvise_flags: 0 };
    let (outcome, reply) = world.vector("to", vec![back]);
    assert_eq!((reply.result, outcome.effect.unwrap().exists), (0, true));
    assert_eq!(whole(&world, &message.hobject()), before);
    assert_eq!(world.stats.num_whiteouts, 0);
}

#[test]
fn a_copy_has_its_source_s_truncation_unless_it_brings_its_own() {
    let mut world = World::new();
    let args = OpArgs::Extent { offset: 5, length: 0, truncate_size: 5, truncate_seq: 7 };
    world.vector("source", vec![OsdOp::extent(OpCode::Write, 0, 9, "123456789")]);
    world.vector("source", vec![OsdOp::new(OpCode::Truncate, args, Bytes::new())]);
    let (copied, _) = gather(&mut world, "source", SnapId::HEAD, 2);
    world.copied = Some(copied);
    let (outcome, _) = world.vector("to", vec![copy_from(OpCode::CopyFrom2, "source", 0, &[])]);
    let info = outcome.effect.unwrap().info;
    assert_eq!((info.size, info.truncate_seq, info.truncate_size), (5, 7, 5));
    let own = [&9u32.to_le_bytes()[..], &3u64.to_le_bytes()].concat();
    let op = copy_from(OpCode::CopyFrom2, "source", copy_from_flag::TRUNCATE_SEQ, &own);
    let info = world.vector("to", vec![op]).0.effect.unwrap().info;
    assert_eq!((info.size, info.truncate_seq, info.truncate_size), (5, 9, 3));
}

#[test]
fn pieces_that_do_not_fit_are_damage() {
    let whole = CopyCursor {
        attr_complete: true,
        data_offset: 3,
        data_complete: true,
        omap_complete: true,
        ..CopyCursor::default()
    };
    let piece = CopyData {
        size: 3,
        data: Bytes::from_static(b"abc"),
        flags: copy_flag::DATA_DIGEST,
        data_digest: ceph_crc32c(u32::MAX, b"abc"),
        cursor: whole.clone(),
        ..CopyData::default()
    };
    let add = |piece: &CopyData, max| Copied::default().add(piece.clone(), 1, max);
    assert_eq!(add(&piece, 3), Ok(true));
    assert_eq!(add(&piece, 2), Err(Errno::EMSGSIZE));
    assert_eq!(add(&CopyData { size: 1 << 40, ..piece.clone() }, 1 << 20), Err(Errno::EMSGSIZE));
    let wrong = [
        CopyData { data_digest: 1, ..piece.clone() },
        CopyData { size: 2, ..piece.clone() },
        CopyData { size: 4, ..piece.clone() },
        CopyData { cursor: CopyCursor { data_offset: 2, ..whole.clone() }, ..piece.clone() },
        CopyData { omap_data: Bytes::from_static(&[9, 0, 0, 0]), ..piece.clone() },
        CopyData { cursor: CopyCursor { attr_complete: false, ..whole.clone() }, ..piece.clone() },
    ];
    for piece in wrong {
        assert_eq!(add(&piece, 1 << 20), Err(Errno::EIO), "{piece:?}");
    }
    // Who tells nothing does not come to an end.
    let nothing = CopyData {
        size: 3,
        cursor: CopyCursor { attr_complete: true, ..CopyCursor::default() },
        ..CopyData::default()
    };
    let mut copied = Copied::default();
    assert_eq!(copied.add(nothing.clone(), 1, 100), Ok(false));
    assert_eq!(copied.add(nothing, 1, 100), Err(Errno::EIO));
}
