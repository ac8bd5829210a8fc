//! Against the reference's own tool, at run time: text in both directions.
//!
//! Needs `crushtool` (Debian package ceph-base, 16.2.15); fails if it is missing.

mod common;

use common::{cases, crushtool, map_bytes, without_tree_nodes};
use seabed_crush::CrushMap;

#[test]
fn text_of_every_map_is_equal() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    for case in cases() {
        let id = &case["id"];
        let bytes = map_bytes(&case);
        let map = CrushMap::decode(bytes.clone()).expect("decodes");
        let file = dir.path().join("map");
        std::fs::write(&file, &bytes).expect("write");
        let want = crushtool(&["-d", file.to_str().unwrap()]).expect("decompiles");
        let text = map.to_text();
        assert!(text == want, "map {id}\n{}", common::first_difference(&text, &want));
    }
}

#[test]
fn compiled_bytes_are_equal() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    for case in cases() {
        let id = &case["id"];
        // The text as the vectors carry it, and as the decompiler writes it.
        let first = case["text"].as_str().expect("text").to_owned();
        let second = CrushMap::decode(map_bytes(&case)).expect("decodes").to_text();
        for text in [first, second] {
            let (source, target) = (dir.path().join("text"), dir.path().join("map"));
            let _ = std::fs::remove_file(&target);
            std::fs::write(&source, &text).expect("write");
            let run = crushtool(&["-c", source.to_str().unwrap(), "-o", target.to_str().unwrap()]);
            let ours = CrushMap::from_text(&text);
            let Ok(theirs) = std::fs::read(&target) else {
                // It falls over a uniform bucket without weight.
                let crashed = matches!(&run, Err(said) if said.contains("FAILED ceph_assert"));
                assert!(ours.is_err() || crashed, "map {id}: the reference says {run:?}");
                continue;
            };
            let ours = ours.unwrap_or_else(|e| panic!("map {id}: {e}")).encode();
            let (a, b) = (without_tree_nodes(ours), without_tree_nodes(theirs.into()));
            assert!(a == b, "map {id}: {}", common::map_difference(a, b));
        }
    }
}
