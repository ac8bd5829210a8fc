//! Recorded sessions of the stock `rados` and `rbd`: each request, as bytes, gets the recorded
//! reply but for versions and epochs, which belong to a PG of another life.

use base64::Engine;
use seabed_messages::{Body, Parts};
use serde_json::Value;

use super::*;

fn lines(name: &str) -> Vec<Value> {
    crate::tests::recorded::lines(&format!("tests/data/{name}.jsonl.gz"))
}

/// A segment, or zeros where the recording has only the lengths of its parts.
fn segment(line: &Value, name: &str, lengths: &str) -> Bytes {
    match line[name].as_str() {
        Some(text) => base64::engine::general_purpose::STANDARD.decode(text).unwrap().into(),
        None => {
            let n: u64 = line[lengths].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
            vec![0; n as usize].into()
        }
    }
}

fn parts(line: &Value, front: &str, data: Bytes, version: &str, compat: &str) -> Parts {
    Parts {
        version: line[version].as_u64().unwrap() as u16,
        compat: line[compat].as_u64().unwrap() as u16,
        front: segment(line, front, ""),
        middle: Bytes::new(),
        data,
    }
}

#[test]
fn the_stock_client_gets_the_recorded_replies() {
    assert!(compare("rados") >= 60);
}

/// With the lengths of outputs where Ceph has them among the op's arguments.
#[test]
fn calls_get_the_recorded_replies() {
    assert!(compare("calls") >= 40);
}

/// How many replies were compared.
fn compare(recording: &str) -> usize {
    let mut world = World::new();
    world.coll = Collection::Pg(SpgId::replicated(PgId::new(PoolId(5), 0)));
    let mut tx = Transaction::new();
    tx.make_collection(&world.coll, 0);
    world.store.submit(tx).unwrap();
    let mut compared = 0;
    for line in lines(recording) {
        if let Some(client) = line["client"].as_i64() {
            let addr = line["addr"].as_str().unwrap().parse().unwrap();
            world.caller = (EntityName::client(client), addr);
        }
        let at = line["scenario"].as_str().unwrap();
        let data = segment(&line, "data", "ilens");
        let message = MOsdOp::decode_parts(parts(&line, "front", data, "ver", "compat")).unwrap();
        let out = segment(&line, "out", "lens");
        let wanted =
            MOsdOpReply::decode_parts(parts(&line, "reply", out, "rver", "rcompat")).unwrap();
        let (_, mut reply) = world.run(&message);
        if reply.result == -2 && wanted.result == 0 {
            continue; // Made by something that is not in this recording.
        }
        for ((ours, _), (theirs, _)) in reply.ops.iter_mut().zip(&wanted.ops) {
            if line["out"].is_null() {
                assert_eq!(ours.indata.len(), theirs.indata.len(), "{at}");
                ours.indata = theirs.indata.clone();
            }
        }
        assert_eq!(reply.ops, wanted.ops, "{at}");
        assert_eq!((reply.result, reply.flags), (wanted.result, wanted.flags), "{at}");
        assert_eq!(reply.object, wanted.object, "{at}");
        assert_eq!((reply.pg, reply.retry_attempt), (wanted.pg, wanted.retry_attempt), "{at}");
        let zero = |v: EVersion| v == EVersion::ZERO;
        assert_eq!(zero(reply.replay_version), zero(wanted.replay_version), "{at}");
        compared += 1;
    }
    compared
}
