//! Every call of class `rbd` that stock `rbd`, fio, QEMU and rbd-fuse made to Ceph 16.2.15, in
//! order, against objects in memory: the same results, and the same bytes out.
//!
//! `tests/data/rbd.jsonl.gz`: one request a line: its object, its result and those of its ops that
//! matter to the class, with inputs and outputs in base64. Only times and random names differ.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seabed_classes::testing::{MemoryObject, Stored};
use seabed_denc::Bytes;
use serde_json::Value;

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn bytes(value: &Value) -> Bytes {
    STANDARD.decode(text(value)).expect("base64").into()
}

fn requests() -> Vec<Value> {
    let packed = &include_bytes!("../data/rbd.jsonl.gz")[..];
    let mut lines = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut lines).expect("gzip");
    lines.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

/// The output without what no two runs have in common.
fn comparable(method: &str, output: &Bytes) -> Bytes {
    let mut out = output.to_vec();
    match method {
        "get_create_timestamp" | "get_access_timestamp" | "get_modify_timestamp" => out.fill(0),
        "snapshot_get" => {
            // Envelope, id, namespace (envelope, type, …), name, size, time, number of children.
            let length = u32::from_le_bytes(out[16..20].try_into().unwrap()) as usize;
            if out[20..24] == [2, 0, 0, 0] {
                let name = 20 + length + 4;
                out[name..name + 36].fill(0);
            }
            let time = out.len() - 12;
            out[time..time + 8].fill(0);
        }
        _ => {}
    }
    out.into()
}

/// What was found to be otherwise than recorded.
fn replay(object: &mut MemoryObject, request: &Value) -> Result<(), String> {
    let result = request["result"].as_i64().expect("result");
    let ops = request["ops"].as_array().expect("ops");
    for op in ops {
        match text(&op[0]) {
            "create" | "touch" if result >= 0 => object.edit(|_| {}),
            "put" if result >= 0 => object.edit(|stored| stored.data = bytes(&op[1]).to_vec()),
            "delete" if result >= 0 => object.erase(),
            "read" if result >= 0 => {
                let stored = object.stored().ok_or("no object")?;
                if stored.data != bytes(&op[1]) {
                    return Err(format!("stored {:02x?}", stored.data));
                }
            }
            _ => {}
        }
    }
    let calls: Vec<&Value> = ops.iter().filter(|op| text(&op[0]) == "call").collect();
    let done = object.vector(calls.iter().map(|op| ("rbd", text(&op[1]), bytes(&op[2]))));
    let failed = done.last().and_then(|done| done.as_ref().err()).map_or(0, |e| e.wire());
    if !calls.is_empty() && i64::from(failed) != result.min(0) {
        return Err(format!("answered {failed}"));
    }
    for (op, done) in calls.iter().zip(done) {
        let (Ok(output), method) = (done, text(&op[1])) else { return Ok(()) };
        let (found, want) = (comparable(method, &output.data), comparable(method, &bytes(&op[3])));
        if found != want {
            return Err(format!("{method} answered\n{found:02x?}, recorded was\n{want:02x?}"));
        }
    }
    Ok(())
}

#[test]
fn recorded_sessions_are_answered_as_ceph_answered_them() {
    let mut objects: BTreeMap<String, MemoryObject> = BTreeMap::new();
    let (mut calls, mut differences) = (0, Vec::new());
    for (number, request) in requests().iter().enumerate() {
        let object = objects.entry(text(&request["object"]).to_owned()).or_default();
        if let Err(difference) = replay(object, request) {
            differences.push(format!("request {number} {request}: {difference}"));
        }
        calls += request["ops"].as_array().map_or(0, Vec::len);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(calls > 1900, "{calls}");
    let empty = Stored::default();
    let images = objects["/rbd_directory"].stored().unwrap_or(&empty);
    assert!(images.omap.keys().any(|key| key.starts_with(b"name_")), "{images:?}");
}
