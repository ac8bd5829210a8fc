//! Broken maps and broken text: an error or an empty result, never a panic, never without end.

mod common;

use std::time::{Duration, Instant};

use common::{cases, map_bytes};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seabed_crush::{Bucket, BucketAlg, CrushMap, Rule, Step, Tunables};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

type Edit = fn(&mut CrushMap, &[(&str, &str)]);

/// Everything that can be asked of a map.
fn exercise(map: &CrushMap) {
    let weights = vec![0x1_0000; map.max_devices.clamp(0, 64) as usize];
    for rule in 0..map.rules.len().min(4) as u32 {
        for x in 0..2 {
            let out = map.do_rule(rule, x, 4, &weights, map.choose_args_for(0));
            assert!(out.len() <= 4);
        }
        map.rule_weights(rule);
    }
    let text = map.to_text();
    let _ = CrushMap::from_text(&text);
    map.dump();
    map.walk(true);
    map.unknown_names();
    for item in [-1, -2, 0, 1] {
        map.location(item);
        map.contains(item, 0);
    }
    let loc = [("host", "host0"), ("root", "default")];
    let edits: [Edit; 7] = [
        |m, loc| drop(m.insert_item(999, 0x1_0000, "osd.999", loc)),
        |m, _| drop(m.remove_item(0, false)),
        |m, _| drop(m.remove_item(-1, false)),
        |m, _| drop(m.adjust_item_weight(1, 0x2_0000, true)),
        |m, _| drop(m.reweight()),
        |m, _| drop(m.set_device_class(1, "fast")),
        |m, loc| drop(m.move_bucket("host0", &loc[1..])),
    ];
    for edit in edits {
        let mut changed = map.clone();
        edit(&mut changed, &loc);
        let bytes = changed.encode();
        CrushMap::decode(bytes).expect("a changed map is whole");
    }
}

#[test]
fn broken_bytes() {
    let maps: Vec<Vec<u8>> = cases().iter().map(|c| map_bytes(c).to_vec()).collect();
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    let strategy = (prop::sample::select(maps), flips, cut);
    let run = |(mut bytes, flips, cut): (Vec<u8>, Vec<(prop::sample::Index, u8)>, Option<_>)| {
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            let cut: prop::sample::Index = cut;
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(map) = CrushMap::decode(bytes.into()) {
            let again = CrushMap::decode(map.encode()).expect("what was decoded encodes");
            prop_assert_eq!(&map, &again);
            exercise(&map);
        }
        Ok(())
    };
    if let Err(e) = runner(128).run(&strategy, run) {
        panic!("{e}");
    }
}

#[test]
fn broken_text() {
    let texts: Vec<String> =
        cases().iter().map(|c| c["text"].as_str().unwrap().to_owned()).collect();
    let words = ["{", "}", "item", "-1", "id", "class", "99999999999", "weight", "NaN", "\u{e9}"];
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(words.to_vec()), any::<bool>()),
        1..5,
    );
    let strategy = (prop::sample::select(texts), edits);
    let run = |(text, edits): (String, Vec<(prop::sample::Index, &str, bool)>)| {
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', '\t']).collect();
        for (at, word, insert) in edits {
            let at = at.index(words.len());
            if insert {
                words.insert(at, word);
            } else {
                words[at] = word;
            }
        }
        if let Ok(map) = CrushMap::from_text(&words.concat()) {
            CrushMap::decode(map.encode()).expect("what was read encodes");
            exercise(&map);
        }
        Ok(())
    };
    if let Err(e) = runner(300).run(&strategy, run) {
        panic!("{e}");
    }
    let any_text = |text: String| {
        let _ = CrushMap::from_text(&text);
        Ok(())
    };
    if let Err(e) = runner(300).run(&"\\PC{0,200}", any_text) {
        panic!("{e}");
    }
}

/// A rule over buckets that contain each other, with as many tries as fit.
#[test]
fn a_cycle_ends() {
    let tunables = Tunables { choose_total_tries: u32::MAX, ..Tunables::ARGONAUT };
    let mut map = CrushMap { tunables, max_devices: 4, ..CrushMap::default() };
    for (kind, other) in [(1, -2), (2, -1)] {
        for alg in [BucketAlg::Straw2, BucketAlg::List] {
            let items = [(other, 0x1_0000), (other, 0x1_0000)];
            let bucket = Bucket::new(alg, kind, &items, &tunables).expect("bucket");
            map.add_bucket(None, bucket).expect("slot");
        }
    }
    for step in [
        Step::ChooseFirstn { num: i32::MAX, kind: 3 },
        Step::ChooseleafFirstn { num: 0, kind: 1 },
        Step::ChooseIndep { num: i32::MAX, kind: 0 },
        Step::ChooseleafIndep { num: 4, kind: 2 },
    ] {
        let steps = vec![Step::Take(-1), step, Step::Emit];
        map.rules = vec![Some(Rule { ruleset: 0, kind: 1, min_size: 1, max_size: 10, steps })];
        let started = Instant::now();
        let out = map.do_rule(0, 7, 200, &[0x1_0000; 4], None);
        assert!(out.iter().all(|id| *id == seabed_crush::CRUSH_ITEM_NONE), "{step:?}: {out:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "{step:?}");
    }
    exercise(&map);
}
