//! What the integration tests share: the vectors, and calling the reference's tool.

#![allow(dead_code, missing_docs)]

use std::io::Read;
use std::process::Command;

use base64::Engine;
use seabed_crush::{BucketData, CrushMap};
use seabed_denc::Bytes;
use serde_json::Value;

pub(crate) fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/crush.jsonl.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("vectors are in the repository");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text.lines().map(|l| serde_json::from_str(l).expect("json")).collect()
}

pub(crate) fn map_bytes(case: &Value) -> Bytes {
    let text = case["map"].as_str().expect("map");
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64").into()
}

pub(crate) fn int(v: &Value) -> i64 {
    v.as_i64().expect("integer")
}

/// Seconds that the reference's tool may take: it deadlocks when its heap gets corrupted.
pub(crate) const SECONDS_MAX: &str = "60";

/// The reference's tool, run with arguments; fails clearly if there is none.
pub(crate) fn run_crushtool(args: &[&str]) -> std::process::Output {
    let output = Command::new("timeout").args([SECONDS_MAX, "crushtool"]).args(args).output();
    let output = output.expect("coreutils' timeout runs");
    // 127: the shell's code for a program that is not there.
    assert!(
        output.status.code() != Some(127),
        "this test compares with crushtool, which is missing; `cargo xtask` installs it, or: \
         apt-get install ceph-base"
    );
    output
}

/// As [`run_crushtool`]: its standard output, or what it said of its failure.
pub(crate) fn crushtool(args: &[&str]) -> Result<String, String> {
    let output = run_crushtool(args);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(said.lines().take(5).collect::<Vec<_>>().join("\n"))
    }
}

/// A map's bytes with the inner and spare nodes of tree buckets blanked: where the reference adds
/// items to a tree one by one, as in shadow trees, it leaves some of them as they were in memory.
pub(crate) fn without_tree_nodes(bytes: Bytes) -> Bytes {
    let mut map = CrushMap::decode(bytes).expect("decodes");
    for bucket in map.buckets.iter_mut().flatten() {
        if let BucketData::Tree { nodes } = &mut bucket.data {
            nodes.iter_mut().step_by(2).for_each(|n| *n = 0);
            nodes.iter_mut().skip(2 * bucket.items.len()).for_each(|n| *n = 0);
        }
    }
    map.encode()
}

pub(crate) fn first_difference(ours: &str, theirs: &str) -> String {
    for (n, (a, b)) in ours.lines().zip(theirs.lines()).enumerate() {
        if a != b {
            return format!("line {}: ours {a:?}, theirs {b:?}", n + 1);
        }
    }
    format!("{} and {} lines", ours.lines().count(), theirs.lines().count())
}

/// The first thing that differs between two maps.
pub(crate) fn map_difference(ours: Bytes, theirs: Bytes) -> String {
    let (a, b) = (CrushMap::decode(ours).expect("ours"), CrushMap::decode(theirs).expect("theirs"));
    for (a, b) in a.buckets.iter().zip(&b.buckets) {
        if a != b {
            return format!("bucket: ours {a:?}\ntheirs {b:?}");
        }
    }
    for (a, b) in a.choose_args.iter().zip(b.choose_args.iter()) {
        if a != b {
            return format!("choose_args: ours {a:?}\ntheirs {b:?}");
        }
    }
    let rest = |mut m: CrushMap| {
        m.buckets.clear();
        format!("{m:#?}")
    };
    first_difference(&rest(a), &rest(b))
}
