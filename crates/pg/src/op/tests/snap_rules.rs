//! Rules of snapshots, one by one.

use seabed_cluster::{Errno, LogOp, PoolSnapInfo, object_flag, osdmap::pool_flag};
use seabed_denc::{Encode, Reader};
use seabed_messages::op::request_flag;
use seabed_messages::{OpArgs, OpCode};

use super::*;

fn write(offset: u64, data: &'static str) -> OsdOp {
    OsdOp::extent(OpCode::Write, offset, data.len() as u64, data)
}

fn plain(code: OpCode) -> OsdOp {
    OsdOp::plain(code, Bytes::new())
}

fn rollback(snap: u64) -> OsdOp {
    OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap: SnapId(snap) }, Bytes::new())
}

/// A request under a snap context, newest first.
fn under(snaps: &[u64], ops: Vec<OsdOp>) -> MOsdOp {
    let snaps: Vec<SnapId> = snaps.iter().copied().map(SnapId).collect();
    MOsdOp { snap_seq: snaps.first().copied().unwrap_or_default(), snaps, ..request("o", ops) }
}

fn at(snap: u64, op: OsdOp) -> MOsdOp {
    MOsdOp { snap: SnapId(snap), ..request("o", vec![op]) }
}

fn read(world: &mut World, snap: u64) -> Result<Bytes, i32> {
    let (_, reply) = world.run(&at(snap, OsdOp::extent(OpCode::Read, 0, 0, "")));
    if reply.result < 0 { Err(reply.result) } else { Ok(reply.ops[0].0.indata.clone()) }
}

const ENOENT: i32 = -2;

#[test]
fn a_contexts_newest_snapshots_go_to_one_clone() {
    let mut world = World::new();
    world.run(&under(&[2], vec![write(0, "old")]));
    let (outcome, reply) = world.run(&under(&[7, 5, 2], vec![write(0, "new")]));
    let effect = outcome.effect.unwrap();
    assert_eq!(effect.snapset.clones, [SnapId(7)]);
    assert_eq!(effect.snapset.clone_snaps[&SnapId(7)], [SnapId(7), SnapId(5)]);
    let ops: Vec<LogOp> = effect.entries.iter().map(|e| e.op).collect();
    assert_eq!(ops, [LogOp::Clone, LogOp::Modify]);
    assert_eq!(reply.replay_version, effect.version());
    // What the object was at 2 nobody kept: it was made under that context.
    assert_eq!(read(&mut world, 2), Err(ENOENT));
    assert_eq!(read(&mut world, 5), Ok(Bytes::from("old")));
    assert_eq!(read(&mut world, 7), Ok(Bytes::from("old")));
    assert_eq!(read(&mut world, 6), Err(ENOENT));
    assert_eq!(read(&mut world, 8), Ok(Bytes::from("new")));
}

#[test]
fn a_context_out_of_order_is_einval_and_not_logged() {
    let mut world = World::new();
    world.run(&under(&[], vec![write(0, "data")]));
    let wrong = [(3, vec![4]), (4, vec![2, 3]), (4, vec![4, 4]), (u64::MAX - 1, vec![])];
    for (seq, snaps) in wrong {
        let mut message = under(&snaps, vec![write(0, "x")]);
        message.snap_seq = SnapId(seq);
        let (outcome, reply) = world.run(&message);
        assert_eq!(reply.result, Errno::EINVAL.wire(), "{seq} {snaps:?}");
        assert!(!outcome.record_error && outcome.effect.is_none());
    }
}

#[test]
fn ordersnap_refuses_an_older_context() {
    let mut world = World::new();
    world.run(&under(&[4], vec![write(0, "data")]));
    let mut message = under(&[3], vec![write(0, "late")]);
    message.flags |= request_flag::ORDERSNAP;
    let (outcome, reply) = world.run(&message);
    assert_eq!((reply.result, outcome.record_error), (-85, false));
    message.flags = 0;
    let (outcome, _) = world.run(&message);
    assert_eq!(outcome.effect.unwrap().snapset.seq, SnapId(4), "it never goes back");
}

#[test]
fn removed_snapshots_are_left_out_of_a_clients_context() {
    let mut world = World::new();
    world.run(&under(&[], vec![write(0, "data")]));
    world.removed_snaps.insert(5, 1);
    let (outcome, _) = world.run(&under(&[5], vec![write(0, "x")]));
    let set = outcome.effect.unwrap().snapset;
    assert!(set.clones.is_empty() && set.seq == SnapId(5));
    let (outcome, _) = world.run(&under(&[8, 7, 5], vec![write(0, "y")]));
    let set = outcome.effect.unwrap().snapset;
    assert_eq!(set.clone_snaps[&SnapId(8)], [SnapId(8), SnapId(7)]);
    // Removed afterwards: the clone is still there and shows nothing any more.
    world.removed_snaps.insert(7, 1);
    assert_eq!(read(&mut world, 7), Err(ENOENT));
    assert_eq!(read(&mut world, 8), Ok(Bytes::from("xata")));
}

#[test]
fn a_pool_with_named_snapshots_brings_its_own_context() {
    let mut world = World::new();
    world.run(&under(&[], vec![write(0, "data")]));
    world.pool.flags |= pool_flag::POOL_SNAPS;
    world.pool.snap_seq = SnapId(6);
    for id in [4, 6] {
        let snap = PoolSnapInfo { snapid: SnapId(id), ..PoolSnapInfo::default() };
        world.pool.snaps.insert(SnapId(id), snap);
    }
    let mut enforced = under(&[9], vec![plain(OpCode::Create)]);
    enforced.flags |= request_flag::ENFORCE_SNAPC;
    let own = world.execute(&enforced).effect.unwrap().snapset;
    assert_eq!(own.clone_snaps[&SnapId(9)], [SnapId(9)]);
    let (outcome, _) = world.run(&under(&[9], vec![write(0, "x")]));
    let set = outcome.effect.unwrap().snapset;
    assert_eq!((set.seq, &set.clone_snaps[&SnapId(6)]), (SnapId(6), &vec![SnapId(6), SnapId(4)]));
}

#[test]
fn a_deleted_head_with_clones_is_a_whiteout_that_only_snapdir_sees() {
    let mut world = World::new();
    world.run(&under(&[], vec![write(0, "data")]));
    let (outcome, _) = world.run(&under(&[3], vec![plain(OpCode::Delete)]));
    let effect = outcome.effect.unwrap();
    assert!(!effect.exists && effect.info.is_whiteout());
    assert_eq!(effect.entries[1].op, LogOp::Modify);
    assert_eq!(read(&mut world, SnapId::HEAD.0), Err(ENOENT));
    assert_eq!(read(&mut world, 4), Err(ENOENT));
    assert_eq!(read(&mut world, 3), Ok(Bytes::from("data")));
    let (_, reply) = world.run(&under(&[3], vec![plain(OpCode::Delete)]));
    assert_eq!(reply.result, ENOENT);
    let (_, reply) = world.run(&at(SnapId::DIR.0, plain(OpCode::ListSnaps)));
    assert_eq!(reply.result, 0);
    let ops = vec![plain(OpCode::Create).with_flags(1), plain(OpCode::Stat)];
    let (outcome, reply) = world.run(&under(&[3], ops));
    assert_eq!(reply.result, 0, "EXCL: it does not exist");
    let effect = outcome.effect.unwrap();
    assert_eq!((effect.exists, effect.info.flags), (true, object_flag::DIRTY));
    assert_eq!(effect.entries.len(), 1, "a whiteout is not worth a clone");
    assert_eq!((world.stats.num_whiteouts, world.stats.num_objects), (0, 2));
}

#[test]
fn a_head_that_never_met_a_snapshot_goes_without_a_trace() {
    let mut world = World::new();
    world.run(&under(&[3], vec![write(0, "data")]));
    let (outcome, _) = world.run(&under(&[3], vec![plain(OpCode::Delete)]));
    assert_eq!(outcome.effect.unwrap().entries[0].op, LogOp::Delete);
    assert_eq!(world.stats.num_objects, 0);
}

#[test]
fn rollback_to_what_did_not_exist_deletes_and_to_the_head_touches() {
    let mut world = World::new();
    let (outcome, reply) = world.run(&under(&[], vec![rollback(1)]));
    assert_eq!((reply.result, outcome.effect), (0, None), "nothing to roll back");
    world.run(&under(&[2], vec![write(0, "data")]));
    let (outcome, _) = world.run(&under(&[2], vec![rollback(3)]));
    let effect = outcome.effect.unwrap();
    assert_eq!((effect.exists, effect.transaction.ops.len()), (true, 1));
    let (outcome, reply) = world.run(&under(&[2], vec![rollback(1)]));
    assert_eq!((reply.result, outcome.effect.unwrap().exists), (0, false));
}

#[test]
fn rollback_does_not_take_a_watched_object_away() {
    let mut world = World::new();
    world.run(&under(&[2], vec![write(0, "data")]));
    let message = under(&[2], vec![rollback(1)]);
    let mut context = world.context(&message.hobject());
    let key = (1, EntityName::client(4));
    context.info.watchers.insert(key, Default::default());
    let outcome = execute(&world.env(), &world.store, &world.coll, &context, &message);
    assert_eq!(outcome.result, Errno::EBUSY.wire());
}

#[test]
fn a_clone_may_be_asked_for_by_its_own_number() {
    let mut world = World::new();
    world.run(&under(&[], vec![write(0, "data")]));
    world.run(&under(&[7, 5], vec![write(0, "x")]));
    let mut by_number = |snap| {
        let mut message = at(snap, OsdOp::extent(OpCode::Read, 0, 0, ""));
        message.flags |= request_flag::MAP_SNAP_CLONE;
        world.run(&message).1.result
    };
    assert_eq!((by_number(7), by_number(5), by_number(8)), (0, ENOENT, 0));
}

#[test]
fn list_snaps_is_for_snapdir_alone() {
    let mut world = World::new();
    let (_, reply) = world.run(&at(SnapId::DIR.0, plain(OpCode::ListSnaps)));
    assert_eq!(reply.result, ENOENT);
    world.run(&under(&[], vec![write(0, "0123456789")]));
    world.run(&under(&[7, 5], vec![write(2, "xx")]));
    for (snap, op) in [(SnapId::HEAD, OpCode::ListSnaps), (SnapId::DIR, OpCode::Stat)] {
        let (_, reply) = world.run(&at(snap.0, plain(op)));
        assert_eq!(reply.result, Errno::EINVAL.wire(), "{op:?}");
    }
    let (_, reply) = world.run(&at(SnapId::DIR.0, plain(OpCode::ListSnaps)));
    let mut r = Reader::new(reply.ops[0].0.indata.slice(6..));
    assert_eq!(u32::decode(&mut r).unwrap(), 2);
    let mut clone = || {
        Reader::take(&mut r, 6).unwrap();
        let id = SnapId::decode(&mut r).unwrap();
        let snaps = Vec::<SnapId>::decode(&mut r).unwrap();
        let overlap = Vec::<(u64, u64)>::decode(&mut r).unwrap();
        (id, snaps, overlap, u64::decode(&mut r).unwrap())
    };
    let overlap = vec![(0, 2), (4, 6)];
    assert_eq!(clone(), (SnapId(7), vec![SnapId(5), SnapId(7)], overlap, 10), "oldest first");
    assert_eq!(clone(), (SnapId::HEAD, vec![], vec![], 10));
    assert_eq!(SnapId::decode(&mut r).unwrap(), SnapId(7));
}

#[test]
fn a_clone_is_read_in_every_way_and_never_written() {
    let mut world = World::new();
    let omap = std::collections::BTreeMap::from([(Bytes::from("k"), Bytes::from("v"))]);
    let ops = vec![
        write(0, "data"),
        OsdOp::xattr(OpCode::SetXattr, b"a", b"1"),
        OsdOp::plain(OpCode::OmapSetVals, omap.to_bytes(0)),
    ];
    let (outcome, _) = world.run(&under(&[], ops));
    let version = outcome.effect.unwrap().user_version;
    let ops = vec![plain(OpCode::Delete), write(0, "something else")];
    world.run(&under(&[3], ops));
    let keys = vec![Bytes::from("k")].to_bytes(0);
    let ops = vec![
        plain(OpCode::Stat),
        OsdOp::extent(OpCode::SparseRead, 0, 100, ""),
        OsdOp::xattr(OpCode::GetXattr, b"a", b""),
        OsdOp::plain(OpCode::OmapGetValsByKeys, keys),
    ];
    let (_, reply) = world.run(&MOsdOp { snap: SnapId(3), ..request("o", ops) });
    assert_eq!((reply.result, reply.user_version), (0, version));
    assert_eq!(u64::decode(&mut Reader::new(reply.ops[0].0.indata.clone())).unwrap(), 4);
    assert!(reply.ops[1].0.indata.ends_with(b"data"));
    assert_eq!(reply.ops[2].0.indata, "1");
    assert_eq!(reply.ops[3].0.indata, omap.to_bytes(0));
}

#[test]
fn listing_at_a_snapshot_is_refused() {
    let world = World::new();
    let args = OpArgs::List { count: 10, start_epoch: 0 };
    let op = OsdOp::new(OpCode::PgNls, args, HObject::min().to_bytes(crate::WIRE));
    let message = MOsdOp { snap: SnapId(4), ..request("", vec![op]) };
    let outcome = execute_pg(&world.env(), &world.store, world.pg, &message);
    assert_eq!(outcome.result, Errno::EINVAL.wire());
}
