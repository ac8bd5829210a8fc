//! The shared vectors: maps and mappings that the reference tool (16.2.15) computed.

mod common;

use common::{cases, int, map_bytes};
use seabed_crush::{CrushMap, Workspace};

#[test]
fn maps_reencode_to_the_same_bytes() {
    for case in cases() {
        let bytes = map_bytes(&case);
        let map = CrushMap::decode(bytes.clone()).expect("decodes");
        assert!(map.tail.is_empty());
        assert!(map.encode() == bytes, "map {}", case["id"]);
    }
}

#[test]
fn every_mapping_is_equal() {
    let mut workspace = Workspace::new();
    let (mut out, mut mappings) = (Vec::new(), 0);
    for case in cases() {
        let map = CrushMap::decode(map_bytes(&case)).expect("decodes");
        for test in case["tests"].as_array().expect("tests") {
            let rule = int(&test["rule"]) as u32;
            let numrep = int(&test["numrep"]) as usize;
            let weights: Vec<u32> =
                test["weights"].as_array().unwrap().iter().map(|w| int(w) as u32).collect();
            let args = map.choose_args_for(int(&test["choose_args"]));
            for (i, want) in test["out"].as_array().unwrap().iter().enumerate() {
                let want: Vec<i32> =
                    want.as_array().unwrap().iter().map(|d| int(d) as i32).collect();
                let x = (int(&test["x0"]) as u32).wrapping_add(i as u32);
                map.do_rule_in(&mut workspace, rule, x, numrep, &weights, args, &mut out);
                assert_eq!(out, want, "map {} rule {rule} numrep {numrep} x {x}", case["id"]);
                mappings += 1;
            }
        }
    }
    assert_eq!(mappings, 244_864);
}
