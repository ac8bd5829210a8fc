//! Side by side with Ceph's own `osdmaptool`, on recorded maps and on maps made afresh.

mod common;

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use common::{binary, data, lines, maps};
use proptest::prelude::*;
use seabed_cluster::{OsdMap, cli};
use serde_json::Value;

const TOOL: &str = "/usr/bin/osdmaptool";

fn tool(file: &Path, args: &[&str]) -> String {
    let out = Command::new(TOOL).arg(file).args(args).output().unwrap_or_else(|e| {
        panic!("{TOOL} cannot be run ({e}): this test needs Debian's package ceph-base")
    });
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{TOOL} {}: {errors}", file.display());
    String::from_utf8(out.stdout).unwrap()
}

fn ours(bytes: &Bytes, args: &[&str]) -> String {
    let mut all = vec!["map".to_owned()];
    all.extend(args.iter().map(|a| (*a).to_owned()));
    cli::osdmap(&all, |_| Ok(bytes.clone())).unwrap()
}

fn same(name: &str, what: &str, ours: &str, theirs: &str) {
    for (a, b) in ours.lines().zip(theirs.lines()) {
        assert_eq!(a, b, "{name} {what}");
    }
    assert_eq!(ours, theirs, "{name} {what}");
}

/// Numbers as numbers: the tool writes floats with more digits than needed.
fn same_json(name: &str, at: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |m: &serde_json::Map<String, Value>| m.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(a), keys(b), "{name} {at}: fields");
            for (key, value) in a {
                same_json(name, &format!("{at}.{key}"), value, &b[key]);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{name} {at}: length");
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                same_json(name, &format!("{at}[{i}]"), a, b);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let equal = a == b || (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-12;
            assert!(equal, "{name} {at}: {a} {b}");
        }
        (a, b) => assert_eq!(a, b, "{name} {at}"),
    }
}

fn compare(name: &str, bytes: &Bytes) {
    let dir = tempfile::Builder::new().prefix("maps-").tempdir().unwrap();
    let file = dir.path().join("map");
    std::fs::write(&file, bytes).unwrap();
    let placed = "--test-map-pgs-dump-all";
    same(name, placed, &ours(bytes, &[placed]), &tool(&file, &[placed]));
    same(name, "--print", &ours(bytes, &["--print"]), &tool(&file, &["--print"]));
    let json = serde_json::from_str(&tool(&file, &["--dump", "json"])).unwrap();
    same_json(name, "dump", &OsdMap::decode(bytes.clone()).unwrap().dump(), &json);
}

#[test]
fn recorded_maps() {
    for line in lines(&data("osdmap.jsonl.gz")) {
        compare(&format!("vector {}", line["id"]), &binary(&line["osdmap"]));
    }
}

#[test]
fn maps_of_a_running_cluster() {
    for line in lines(&data("live.jsonl.gz")).filter(|l| l["type"] == "OSDMap") {
        compare(line["source"].as_str().unwrap(), &binary(&line["bin"]));
    }
}

#[test]
fn other_ways_to_ask() {
    let dir = tempfile::Builder::new().prefix("maps-").tempdir().unwrap();
    let file = dir.path().join("map");
    for seed in 0..5 {
        let bytes = maps::encoded(&maps::map(seed));
        std::fs::write(&file, &bytes).unwrap();
        for args in [
            &["--test-map-pgs"][..],
            &["--test-map-pgs-dump", "--pool", "1"],
            &["--test-map-pg", "1.0"],
            &["--test-map-object", "foo", "--pool", "1"],
        ] {
            same(
                &format!("seed {seed}"),
                &format!("{args:?}"),
                &ours(&bytes, args),
                &tool(&file, args),
            );
        }
    }
}

proptest! {
    #![proptest_config(common::cases(60))]

    /// The tool also checks the checksum and every encoding in the map.
    #[test]
    fn maps_made_afresh(seed: u64) {
        let map = maps::map(seed);
        let bytes = maps::encoded(&map);
        let again = OsdMap::decode(bytes.clone()).unwrap();
        prop_assert!(again == map);
        compare(&format!("seed {seed}"), &bytes);
    }
}
