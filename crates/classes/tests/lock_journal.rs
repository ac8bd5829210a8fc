//! Recorded calls of classes `lock` and `journal`: Ceph's answers, object by object, from the
//! sessions of `rados`, `rbd`, `fio` and QEMU against 16.2.15.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use base64::Engine;
use seabed_classes::testing::MemoryObject;
use seabed_cluster::EntityName;
use seabed_denc::Bytes;
use serde_json::Value;

fn lines() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lock-journal.jsonl.gz");
    let file = std::fs::File::open(path).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn bytes(value: &Value) -> Bytes {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap().into()
}

/// An object at its first call. One that was there before the recording began has the lock that
/// its first `get_info` shows: what is stored is what is shown.
fn before(call: &Value) -> MemoryObject {
    let mut object = MemoryObject::existing();
    if call["method"] == "lock.get_info" {
        let input = bytes(&call["in"]);
        let attribute = [b"lock.", &input[10..]].concat();
        object.edit(|stored| drop(stored.xattrs.insert(attribute.into(), bytes(&call["out"]))));
    }
    object
}

#[test]
fn recorded_calls_get_the_recorded_answers() {
    let mut objects: BTreeMap<String, MemoryObject> = BTreeMap::new();
    let mut compared = BTreeMap::new();
    let lines = lines();
    for (at, line) in lines.iter().enumerate() {
        let request = format!("{at}: {} {}", line["scenario"], line["oid"]);
        let result = line["result"].as_i64().unwrap();
        let calls = line["calls"].as_array().unwrap();
        let name = line["oid"].as_str().unwrap().to_owned();
        if line["deleted"] == true {
            objects.insert(name, MemoryObject::default());
            continue;
        }
        if line["forgotten"] == true {
            objects.remove(&name);
            continue;
        }
        // A client's other op failed the request: what its calls would have stored is gone.
        if result < 0 && calls.iter().all(|call| call["rval"].as_i64() >= Some(0)) {
            continue;
        }
        let object = objects.entry(name).or_insert_with(|| before(&calls[0]));
        // Where the recording shows who called; elsewhere each run of a command is somebody.
        object.caller = match line["client"].as_i64() {
            Some(num) => (EntityName::client(num), line["addr"].as_str().unwrap().parse().unwrap()),
            None => (EntityName::client(1), "v2:10.0.0.1:0/1".parse().unwrap()),
        };
        let names: Vec<_> = calls
            .iter()
            .map(|call| call["method"].as_str().unwrap().split_once('.').unwrap())
            .collect();
        let vector = names.iter().zip(calls).map(|((c, m), call)| (*c, *m, bytes(&call["in"])));
        let answers = object.vector(vector);
        for ((call, method), answer) in calls.iter().zip(names).zip(answers) {
            let rval = call["rval"].as_i64().unwrap();
            match answer {
                Err(e) => assert_eq!(i64::from(e.wire()), rval, "{request} {method:?}"),
                Ok(output) => {
                    assert_eq!(i64::from(output.result), rval, "{request} {method:?}");
                    assert_eq!(output.data, bytes(&call["out"]), "{request} {method:?}");
                }
            }
            *compared.entry(method.0).or_insert(0) += 1;
        }
    }
    assert!(compared["lock"] > 300 && compared["journal"] > 30, "{compared:?}");
}
