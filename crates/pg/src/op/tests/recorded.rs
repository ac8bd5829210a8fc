//! What a 16.2.15 primary sent to its replicas for one client op each: the same op here gives the
//! same transaction, log entries and statistics.

use seabed_cluster::PgLogEntry;
use seabed_denc::{Encode, Reader, encode_bytes};
use seabed_messages::{MOsdRepOp, OpArgs, OpCode};

use super::*;

/// A repop with what it says.
struct Recorded {
    situation: String,
    repop: MOsdRepOp,
    entries: Vec<PgLogEntry>,
    transaction: Transaction,
}

/// What was sent to the replicas of a PG. Its pool's only one in each case.
fn recorded(pg: &str) -> Vec<Recorded> {
    crate::tests::recorded::repops(pg).into_iter().filter_map(one).collect()
}

fn one((situation, repop): (String, MOsdRepOp)) -> Option<Recorded> {
    let named = situation.strip_prefix("op:");
    let situation = named.or((situation == "b-up").then_some(&*situation))?.to_owned();
    let entries = repop.log.0.clone();
    let transaction = Transaction::from_bytes(repop.transaction.clone()).unwrap();
    Some(Recorded { situation, repop, entries, transaction })
}

fn data(code: OpCode, offset: u64, byte: u8, n: usize) -> OsdOp {
    OsdOp::extent(code, offset, n as u64, vec![byte; n])
}

fn omap_pairs(pairs: &[(&[u8], &[u8])]) -> OsdOp {
    let mut input = BytesMut::new();
    (pairs.len() as u32).encode(&mut input, 0);
    for (key, value) in pairs {
        encode_bytes(&mut input, key);
        encode_bytes(&mut input, value);
    }
    OsdOp::plain(OpCode::OmapSetVals, input)
}

fn strings(parts: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    parts.iter().for_each(|p| encode_bytes(&mut out, p));
    out.freeze()
}

/// What the client of the recording did; `nth` counts equal situations.
fn ops_of(situation: &str, nth: usize) -> Option<Vec<OsdOp>> {
    let two = [(&b"k1"[..], &b"v1"[..]), (b"k2", b"v2")];
    let op = match situation {
        "write" => OsdOp::extent(OpCode::Write, 3, 5, &b"hello"[..]),
        "writefull" => data(OpCode::WriteFull, 0, b'A', 300),
        "append" => data(OpCode::Append, 0, b'B', 4),
        "trunc" => OsdOp::extent(OpCode::Truncate, 100, 0, Bytes::new()),
        "truncup" => OsdOp::extent(OpCode::Truncate, 9000, 0, Bytes::new()),
        "write4k" => data(OpCode::Write, 4096, b'C', 4096),
        "setxattr" => OsdOp::xattr(OpCode::SetXattr, b"ux", b"value"),
        "rmxattr" => OsdOp::xattr(OpCode::RmXattr, b"ux", b""),
        "omapset" | "omapset2" => omap_pairs(&two),
        "omaprm" => OsdOp::plain(OpCode::OmapRmKeys, vec![Bytes::from("k1")].to_bytes(0)),
        "omaprmrange" if nth == 0 => OsdOp::plain(OpCode::OmapRmKeyRange, strings(&[b"k0", b"k9"])),
        "omaprmrange" => OsdOp::plain(OpCode::OmapSetHeader, &b"hdr"[..]),
        "omapclear" => OsdOp::plain(OpCode::OmapClear, Bytes::new()),
        "create" => OsdOp::plain(OpCode::Create, Bytes::new()),
        "zero" => OsdOp::extent(OpCode::Zero, 20, 10, Bytes::new()),
        "multi" => {
            return Some(vec![
                data(OpCode::WriteFull, 0, b'D', 1000),
                OsdOp::xattr(OpCode::SetXattr, b"m", b"1"),
                omap_pairs(&[(b"a", b"b")]),
            ]);
        }
        "writesame" => {
            let args = OpArgs::WriteSame { offset: 0, length: 20, data_length: 2 };
            OsdOp::new(OpCode::WriteSame, args, Bytes::from("xy"))
        }
        "delete" => OsdOp::plain(OpCode::Delete, Bytes::new()),
        "ns" => data(OpCode::WriteFull, 0, b'N', 1),
        "lockey" => data(OpCode::WriteFull, 0, b'K', 1),
        _ => return None,
    };
    Some(vec![op])
}

/// The head's info inside a transaction: a clone's comes first.
fn info_of(tx: &Transaction) -> Option<ObjectInfo> {
    tx.ops.iter().rev().find_map(|entry| match &entry.op {
        seabed_storage::TxOp::SetAttrs(attrs) => {
            ObjectInfo::decode(&mut Reader::new(attrs[&b"_"[..]].clone())).ok()
        }
        _ => None,
    })
}

/// A PG that gets the requests behind the recorded repops.
struct Replay {
    world: World,
    pool: PoolId,
    last_user_version: u64,
    /// The PG's statistics so far, as the primary sent them.
    counted: ObjectStatSum,
}

impl Replay {
    fn new(pool: PoolId) -> Self {
        let mut world = World::new();
        world.pg = SpgId::replicated(PgId::new(pool, 0));
        world.coll = Collection::Pg(world.pg);
        let mut tx = Transaction::new();
        tx.make_collection(&world.coll, 0);
        world.store.submit(tx).unwrap();
        Replay { world, pool, last_user_version: 0, counted: ObjectStatSum::default() }
    }

    /// Leaves out a request that is not made here.
    fn skip(&mut self, recorded: &Recorded) {
        self.counted = recorded.repop.stats.stats.sum.clone();
        self.last_user_version = recorded.entries.last().unwrap().user_version;
    }

    /// The request gives the same transaction, log entries and statistics.
    fn compare(&mut self, recorded: &Recorded, ops: Vec<OsdOp>, snaps: &[u64]) {
        let Recorded { situation, repop, entries, transaction } = recorded;
        let (first, last) = (entries.first().unwrap(), entries.last().unwrap());
        let snaps: Vec<SnapId> = snaps.iter().copied().map(SnapId).collect();
        let message = MOsdOp {
            pg: self.world.pg,
            hash: repop.object.hash,
            mtime: last.mtime,
            locator: ObjectLocator {
                key: repop.object.key.clone(),
                namespace: repop.object.namespace.clone(),
                ..ObjectLocator::new(self.pool)
            },
            object: repop.object.name.clone(),
            ops,
            snap_seq: snaps.first().copied().unwrap_or_default(),
            snaps,
            ..MOsdOp::default()
        };
        assert_eq!(message.hobject(), repop.object);
        let env = OpEnv {
            now: info_of(transaction).map_or(UTime::default(), |i| i.local_mtime),
            version: first.version,
            last_user_version: self.last_user_version,
            reqid: last.reqid,
            ..self.world.env()
        };
        let context = self.world.context(&repop.object);
        let outcome = execute(&env, &self.world.store, &self.world.coll, &context, &message);
        assert_eq!(outcome.result, 0, "{situation}");
        let effect = outcome.effect.unwrap();
        assert_eq!(effect.transaction.ops, transaction.ops, "{situation}");
        let bytes = |all: &[PgLogEntry]| all.to_vec().to_bytes(crate::WIRE);
        let same = bytes(&effect.entries) == bytes(entries);
        assert!(same, "{situation}: {:?} not {entries:?}", effect.entries);
        assert_eq!(effect.user_version, last.user_version, "{situation}");
        assert_eq!(effect.version(), repop.version, "{situation}");
        let counted = &repop.stats.stats.sum;
        let mut ours = self.counted.clone();
        ours.add(&effect.stats);
        let counts = |s: &ObjectStatSum| {
            let objects = [s.num_bytes, s.num_objects, s.num_object_clones, s.num_whiteouts];
            (objects, [s.num_objects_dirty, s.num_objects_omap, s.num_wr, s.num_wr_kb])
        };
        assert_eq!(counts(&ours), counts(counted), "{situation}");
        self.skip(recorded);
        self.world.store.submit(effect.transaction).unwrap();
    }
}

#[test]
fn a_write_is_what_a_primary_of_ceph_makes_of_it() {
    let mut replay = Replay::new(PoolId(2));
    let mut seen = Vec::new();
    let mut compared = 0;
    for recorded in recorded("2.0") {
        let nth = seen.iter().filter(|s| **s == recorded.situation).count();
        seen.push(recorded.situation.clone());
        match ops_of(&recorded.situation, nth) {
            None => replay.skip(&recorded),
            Some(ops) => {
                replay.compare(&recorded, ops, &[]);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 21, "the recording has these");
}

/// What the client of the recording did to objects with snapshots, and its snap context.
fn snap_ops_of(situation: &str) -> (OsdOp, &'static [u64]) {
    let delete = || OsdOp::plain(OpCode::Delete, Bytes::new());
    let full = |data: &'static str| OsdOp::extent(OpCode::WriteFull, 0, data.len() as u64, data);
    match situation {
        "b-up" => (data(OpCode::Write, 0, b'S', 8192), &[]),
        "snap-write(clone)" => (data(OpCode::Write, 4000, b'T', 100), &[2]),
        "snap-write-new" => (full("new"), &[2]),
        "snap-rollback" => {
            (OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap: SnapId(2) }, Bytes::new()), &[3, 2])
        }
        "snap-delete(whiteout)" | "snap-del2" => (delete(), &[3, 2]),
        "snap-recreate" => (full("again"), &[3, 2]),
        "omap-obj" => (omap_pairs(&[(b"k1", b"v")]), &[3, 2]),
        "omap-clone" => (omap_pairs(&[(b"k2", b"w")]), &[4, 3, 2]),
        other => panic!("{other}"),
    }
}

#[test]
fn clones_rollbacks_and_whiteouts_are_those_of_a_primary_of_ceph() {
    let mut replay = Replay::new(PoolId(3));
    let all = recorded("3.0");
    for recorded in &all {
        let (op, snaps) = snap_ops_of(&recorded.situation);
        replay.compare(recorded, vec![op], snaps);
    }
    assert_eq!(all.len(), 9, "the recording has these");
}
