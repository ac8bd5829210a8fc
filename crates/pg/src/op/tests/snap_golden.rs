//! What real Ceph 16.2 answered to a program of writes, snapshots and rollbacks: every object's
//! bytes and attributes at every snapshot, and the clones with their overlaps, the same here.
//!
//! `tests/data/snapshots.jsonl.gz` was recorded through librados; data is written as runs of
//! equal bytes.

use std::collections::BTreeMap;

use seabed_denc::Reader;
use seabed_messages::op::request_flag;
use seabed_messages::{OpArgs, OpCode};
use serde_json::{Value, json};

use super::*;

fn lines() -> Vec<Value> {
    crate::tests::recorded::lines("tests/data/snapshots.jsonl.gz")
}

fn parse(op: &Value) -> OsdOp {
    let int = |i: usize| op[i].as_u64().unwrap();
    let bytes = |i: usize| vec![int(i) as u8; int(i + 1) as usize];
    let data = |code, offset, data: Vec<u8>| OsdOp::extent(code, offset, data.len() as u64, data);
    let name = |i: usize| op[i].as_str().unwrap().as_bytes();
    match op[0].as_str().unwrap() {
        "write" => data(OpCode::Write, int(1), bytes(2)),
        "write_full" => data(OpCode::WriteFull, 0, bytes(1)),
        "append" => data(OpCode::Append, 0, bytes(1)),
        "truncate" => OsdOp::extent(OpCode::Truncate, int(1), 0, ""),
        "zero" => OsdOp::extent(OpCode::Zero, int(1), int(2), ""),
        "remove" => OsdOp::plain(OpCode::Delete, Bytes::new()),
        "setxattr" => OsdOp::xattr(OpCode::SetXattr, name(1), &bytes(2)),
        "rmxattr" => OsdOp::xattr(OpCode::RmXattr, name(1), b""),
        "rollback" => {
            OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap: SnapId(int(1)) }, Bytes::new())
        }
        other => panic!("{other}"),
    }
}

fn runs(data: &[u8]) -> Value {
    data.chunk_by(|a, b| a == b).map(|run| json!([run[0], run.len()])).collect()
}

/// What a client reads, in the words of the recording.
fn read(world: &mut World, name: &str, snap: &Value) -> Value {
    let ops = vec![
        OsdOp::extent(OpCode::Read, 0, 60000, ""),
        OsdOp::plain(OpCode::GetXattrs, Bytes::new()),
    ];
    let at = snap.as_u64().map_or(SnapId::HEAD, SnapId);
    let (_, reply) = world.run(&MOsdOp { snap: at, ..request(name, ops) });
    if reply.result < 0 {
        return json!({"r": name, "snap": snap, "result": reply.result});
    }
    let mut attrs = Reader::new(reply.ops[1].0.indata.clone());
    let attrs = BTreeMap::<Bytes, Bytes>::decode(&mut attrs).unwrap();
    let attrs: serde_json::Map<_, _> = attrs
        .iter()
        .map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), runs(value)))
        .collect();
    json!({"r": name, "snap": snap, "data": runs(&reply.ops[0].0.indata), "xattrs": attrs})
}

/// LIST_SNAPS as `rados listsnaps --format json` prints it, but for its name; null if it fails.
fn list(world: &mut World, name: &str) -> Value {
    let ops = vec![OsdOp::plain(OpCode::ListSnaps, Bytes::new())];
    let (_, reply) = world.run(&MOsdOp { snap: SnapId::DIR, ..request(name, ops) });
    if reply.result < 0 {
        return Value::Null;
    }
    let mut r = Reader::new(reply.ops[0].0.indata.slice(6..));
    let mut clones = Vec::new();
    for _ in 0..u32::decode(&mut r).unwrap() {
        r.take(6).unwrap();
        let id = SnapId::decode(&mut r).unwrap();
        let snaps = Vec::<u64>::decode(&mut r).unwrap();
        let overlap = Vec::<(u64, u64)>::decode(&mut r).unwrap();
        let size = u64::decode(&mut r).unwrap();
        let snaps: Vec<Value> = snaps.iter().map(|id| json!({"id": id})).collect();
        let overlap: Vec<Value> =
            overlap.iter().map(|(at, n)| json!({"start": at, "length": n})).collect();
        clones.push(match id {
            SnapId::HEAD => json!({"id": "head", "snapshots": snaps, "size": size}),
            SnapId(id) => json!({"id": id, "snapshots": snaps, "size": size, "overlaps": overlap}),
        });
    }
    clones.into()
}

#[test]
fn every_snapshot_shows_what_it_shows_in_ceph() {
    let mut world = World::new();
    let (mut writes, mut reads, mut clones) = (0, 0, 0);
    for (n, line) in lines().iter().enumerate() {
        if let Some(name) = line["w"].as_str() {
            let snaps = serde_json::from_value::<Vec<u64>>(line["snaps"].clone()).unwrap();
            let message = MOsdOp {
                snap_seq: SnapId(line["seq"].as_u64().unwrap()),
                snaps: snaps.into_iter().map(SnapId).collect(),
                flags: request_flag::WRITE,
                ..request(name, vec![parse(&line["op"])])
            };
            let (_, reply) = world.run(&message);
            assert_eq!(line["result"], reply.result, "line {n}: {line}");
            writes += 1;
        } else if let Some(name) = line["r"].as_str() {
            assert_eq!(read(&mut world, name, &line["snap"]), *line, "line {n}");
            reads += 1;
        } else if let Some(name) = line["l"].as_str() {
            let theirs = line["out"].get("clones").cloned().unwrap_or_default();
            assert_eq!(list(&mut world, name), theirs, "line {n}");
            clones += theirs.as_array().map_or(0, Vec::len);
        }
    }
    assert_eq!((writes, reads, clones), (117, 192, 119), "the recording is whole");
}
