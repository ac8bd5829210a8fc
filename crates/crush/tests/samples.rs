//! Encodings by other hands: the monitor's map of a new cluster, and those of Ceph's corpus.

use std::io::Read;

use base64::Engine;
use seabed_crush::{CrushMap, Step};
use seabed_denc::Bytes;
use serde_json::Value;

/// The samples of type CrushWrapper in a file of vectors; none if the file is not there.
fn samples(path: &str) -> Vec<(Bytes, Value)> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("json");
    let wanted = text.lines().map(parse).filter(|v| v["type"] == "CrushWrapper");
    wanted
        .map(|v| {
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(v["bin"].as_str().unwrap());
            (bytes.expect("base64").into(), v["json"].clone())
        })
        .collect()
}

fn check(path: &str) {
    for (bytes, dump) in samples(path) {
        let map = CrushMap::decode(bytes.clone()).expect("decodes");
        assert!(map.encode() == bytes);
        let ours = map.dump();
        for part in ["devices", "types", "buckets", "rules", "tunables"] {
            assert_eq!(ours[part], dump[part], "{part}");
        }
    }
}

#[test]
fn a_live_cluster() {
    check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/live.jsonl.gz"));
}

#[test]
fn the_corpus_where_it_is_present() {
    // Ceph's object corpus is not ours to carry: `SEABED_VECTORS` says where it lies.
    let Ok(dir) = std::env::var("SEABED_VECTORS") else {
        println!("SEABED_VECTORS is not set: nothing compared");
        return;
    };
    check(&format!("{dir}/denc/types.jsonl.gz"));
}

/// The map that a monitor of 16.2.15 made for a new cluster of `osd_crush_chooseleaf_type = 0`.
#[test]
fn the_default_map_is_the_monitors() {
    let mut text = String::new();
    let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/default.b64"));
    file.expect("in the repository").read_to_string(&mut text).expect("text");
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).expect("base64");
    let mut map = CrushMap::new_default();
    let rule = map.rules[0].as_mut().expect("rule 0");
    assert_eq!(rule.steps[1], Step::ChooseleafFirstn { num: 0, kind: 1 });
    rule.steps[1] = Step::ChooseFirstn { num: 0, kind: 0 };
    assert!(map.encode()[..] == bytes[..]);
}
