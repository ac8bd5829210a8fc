//! What a 16.2.15 primary sent to its replicas for one client op each: the same op here gives the
//! same transaction, log entry and statistics.

use base64::Engine;
use seabed_cluster::PgLogEntry;
use seabed_denc::{Encode, Reader, encode_bytes};
use seabed_messages::{Body, MOsdRepOp, OpArgs, OpCode, Parts};
use serde_json::Value;

use super::*;

/// A repop with what it says.
struct Recorded {
    situation: String,
    repop: MOsdRepOp,
    entries: Vec<PgLogEntry>,
    transaction: Transaction,
}

fn recorded() -> Vec<Recorded> {
    use std::io::{BufRead, BufReader};
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../messages/tests/data/osd-osd.jsonl.gz");
    let file = std::fs::File::open(path).unwrap();
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    let values = lines.map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
    values.filter_map(|v| one(&v)).collect()
}

fn one(line: &Value) -> Option<Recorded> {
    let situation = line.get("situation")?.as_str()?.strip_prefix("op:")?.to_owned();
    if line["type"] != 112 || line["release"] != "16.2.15" || line["pg"] != "2.0" {
        return None;
    }
    let segment = |name: &str| {
        let text = line[name].as_str().unwrap_or("");
        Bytes::from(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
    };
    let parts = Parts {
        version: line["ver"].as_u64()? as u16,
        compat: line["compat"].as_u64()? as u16,
        front: segment("front"),
        middle: segment("middle"),
        data: segment("data"),
    };
    let repop = MOsdRepOp::decode_parts(parts).unwrap();
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

/// The info inside a transaction.
fn info_of(tx: &Transaction) -> Option<ObjectInfo> {
    tx.ops.iter().find_map(|entry| match &entry.op {
        seabed_storage::TxOp::SetAttrs(attrs) => {
            ObjectInfo::decode(&mut Reader::new(attrs[&b"_"[..]].clone())).ok()
        }
        _ => None,
    })
}

#[test]
fn a_write_is_what_a_primary_of_ceph_makes_of_it() {
    let mut world = World::new();
    world.pg = SpgId::replicated(PgId::new(PoolId(2), 0));
    world.coll = Collection::Pg(world.pg);
    let mut tx = Transaction::new();
    tx.make_collection(&world.coll, 0);
    world.store.submit(tx).unwrap();
    let mut last_user_version = 0;
    let mut seen = Vec::new();
    let mut before = ObjectStatSum::default();
    let mut compared = 0;
    for Recorded { situation, repop, entries, transaction } in recorded() {
        let nth = seen.iter().filter(|s| **s == situation).count();
        seen.push(situation.clone());
        let entry = entries.last().unwrap();
        let counted = repop.stats.stats.sum.clone();
        let Some(ops) = ops_of(&situation, nth) else {
            before = counted;
            last_user_version = entry.user_version;
            continue;
        };
        let message = MOsdOp {
            pg: world.pg,
            hash: repop.object.hash,
            mtime: entry.mtime,
            locator: ObjectLocator {
                key: repop.object.key.clone(),
                namespace: repop.object.namespace.clone(),
                ..ObjectLocator::new(PoolId(2))
            },
            object: repop.object.name.clone(),
            ops,
            ..MOsdOp::default()
        };
        assert_eq!(message.hobject(), repop.object);
        let now = info_of(&transaction).map_or(UTime::default(), |i| i.local_mtime);
        let env = OpEnv {
            now,
            version: entry.version,
            last_user_version,
            reqid: entry.reqid,
            ..world.env()
        };
        let context = world.context(&repop.object);
        let outcome = execute(&env, &world.store, &world.coll, &context, &message);
        assert_eq!(outcome.result, 0, "{situation}");
        let effect = outcome.effect.unwrap();
        assert_eq!(effect.transaction.ops, transaction.ops, "{situation}");
        let bytes = |all: &[PgLogEntry]| all.to_vec().to_bytes(crate::WIRE);
        let same = bytes(&effect.entries) == bytes(&entries);
        assert!(same, "{situation}: {:?} not {entries:?}", effect.entries);
        assert_eq!(effect.user_version, entry.user_version, "{situation}");
        let delta = |get: &dyn Fn(&ObjectStatSum) -> i64| get(&counted) - get(&before);
        let s = &effect.stats;
        let ours = [s.num_bytes, s.num_objects, s.num_wr, s.num_wr_kb, s.num_objects_dirty];
        let theirs = [
            delta(&|s| s.num_bytes),
            delta(&|s| s.num_objects),
            delta(&|s| s.num_wr),
            delta(&|s| s.num_wr_kb),
            delta(&|s| s.num_objects_dirty),
        ];
        assert_eq!(ours, theirs, "{situation}");
        assert_eq!(s.num_objects_omap, delta(&|s| s.num_objects_omap), "{situation}");
        (before, last_user_version) = (counted, entry.user_version);
        compared += 1;
        world.store.submit(effect.transaction).unwrap();
    }
    assert_eq!(compared, 21, "the recording has these");
}
