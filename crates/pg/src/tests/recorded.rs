//! Recordings of real Ceph that this crate's tests are measured by.

use std::io::{BufRead, BufReader};

use base64::Engine;
use seabed_denc::Bytes;
use seabed_messages::{Body, MOsdRepOp, Parts};
use serde_json::Value;

/// The lines of a recording; the path is relative to this crate.
pub(crate) fn lines(path: &str) -> Vec<Value> {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(path).unwrap();
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// What 16.2.15 sent to the replicas of a PG, in order, and the situation it was sent in.
pub(crate) fn repops(pg: &str) -> Vec<(String, MOsdRepOp)> {
    let all = lines("../messages/tests/data/osd-osd.jsonl.gz");
    all.iter().filter(|line| line["pg"] == pg).filter_map(repop).collect()
}

fn repop(line: &Value) -> Option<(String, MOsdRepOp)> {
    let situation = line.get("situation")?.as_str()?.to_owned();
    if line["type"] != 112 || line["release"] != "16.2.15" {
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
    Some((situation, MOsdRepOp::decode_parts(parts).unwrap()))
}
