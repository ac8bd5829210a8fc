//! Changing a map as the monitor's commands do.

use seabed_crush::{CrushError, CrushMap, Step};

const ONE: u32 = 0x1_0000;

/// Two hosts with two devices each, one of them in a rack.
fn map() -> CrushMap {
    let mut map = CrushMap::new_default();
    for (id, host) in [(0, "a"), (1, "a"), (2, "b"), (3, "b")] {
        let location = [("root", "default"), ("host", host)];
        map.insert_item(id, ONE, &format!("osd.{id}"), &location).expect("inserts");
    }
    map
}

fn weight(map: &CrushMap, name: &str) -> u32 {
    map.bucket(map.item_id(name).expect("name")).expect("bucket").weight
}

#[test]
fn weights_follow_to_the_root() {
    let mut map = map();
    assert_eq!(weight(&map, "default"), 4 * ONE);
    map.adjust_item_weight(1, 3 * ONE, true).unwrap();
    assert_eq!((weight(&map, "a"), weight(&map, "default")), (4 * ONE, 6 * ONE));
    map.remove_item(1, false).unwrap();
    assert_eq!((weight(&map, "a"), weight(&map, "default")), (ONE, 3 * ONE));
    assert_eq!(map.item_name(1), None);
    map.adjust_subtree_weight(map.item_id("b").unwrap(), ONE / 2).unwrap();
    assert_eq!(weight(&map, "default"), 2 * ONE);
    assert_eq!(map.adjust_item_weight(77, ONE, true).unwrap_err().errno(), 2);
}

#[test]
fn items_and_buckets_move() {
    let mut map = map();
    let rack = [("root", "default"), ("rack", "r1")];
    map.move_bucket("a", &rack).unwrap();
    assert_eq!((weight(&map, "r1"), weight(&map, "default")), (2 * ONE, 4 * ONE));
    let path: Vec<(String, String)> = map.location(0);
    let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["a", "r1", "default"]);

    let here = [("root", "default"), ("host", "b")];
    assert_eq!(map.create_or_move_item(2, 9 * ONE, "osd.2", &here), Ok(false));
    assert_eq!(map.create_or_move_item(0, 9 * ONE, "osd.0", &here), Ok(true));
    assert_eq!((weight(&map, "a"), weight(&map, "b")), (ONE, 3 * ONE), "moved with its weight");
    assert_eq!(map.update_item(0, 2 * ONE, "osd.0", &here), Ok(true));
    assert_eq!(weight(&map, "default"), 5 * ONE);

    let root = map.item_id("default").unwrap();
    let inside = [("host", "b")];
    assert!(map.move_bucket("default", &inside).is_err(), "a root does not move into itself");
    assert_eq!(map.remove_item(root, false).unwrap_err(), CrushError::NotEmpty(root));
}

#[test]
fn classes_have_shadows_that_keep_their_ids() {
    let mut map = map();
    assert_eq!(map.set_device_class(0, "ssd"), Ok(true));
    assert_eq!(map.set_device_class(0, "ssd"), Ok(false));
    map.set_device_class(2, "ssd").unwrap();
    map.set_device_class(3, "hdd").unwrap();
    let shadow = map.item_id("default~ssd").expect("a shadow");
    assert_eq!(map.devices_below(shadow), [0, 2]);
    assert_eq!(map.bucket(shadow).unwrap().weight, 2 * ONE);
    assert!(map.is_shadow(shadow) && !map.roots(false).contains(&shadow));

    let rule = map.add_simple_rule("fast", "default", "host", Some("ssd")).unwrap();
    assert_eq!(map.rule(rule).unwrap().steps[0], Step::Take(shadow));
    assert!(map.add_simple_rule("none", "default", "host", Some("nvme")).is_err());
    let out = map.do_rule(rule, 17, 3, &[ONE; 4], None);
    assert_eq!(out.iter().copied().collect::<std::collections::BTreeSet<_>>(), [0, 2].into());

    // A class that a rule takes outlives its devices, with its shadow's id.
    map.remove_device_class(0).unwrap();
    map.remove_device_class(2).unwrap();
    assert_eq!(map.item_id("default~ssd"), Some(shadow));
    assert!(map.do_rule(rule, 17, 3, &[ONE; 4], None).is_empty());
    map.remove_rule("fast").unwrap();
    assert_eq!((map.item_id("default~ssd"), map.class_id("ssd")), (None, None));
    map.rename_class("hdd", "slow").unwrap();
    assert!(map.item_id("default~slow").is_some());
    map.rename_bucket("default", "main").unwrap();
    assert!(map.item_id("main~slow").is_some());
}

#[test]
fn rules_come_and_go() {
    let mut map = map();
    assert_eq!(map.add_simple_rule("two", "default", "", None), Ok(1));
    assert_eq!(map.add_simple_rule("two", "default", "", None).unwrap_err().errno(), 17);
    assert_eq!(map.add_erasure_rule("ec", "default", "host", None), Ok(2));
    map.rename_rule("two", "zwei").unwrap();
    map.remove_rule("zwei").unwrap();
    assert_eq!(map.add_simple_rule("again", "default", "osd", None), Ok(1), "free slots first");
    assert_eq!(map.dump_rule(2).unwrap()["steps"][2]["item_name"], "default");
    let bytes = map.encode();
    assert_eq!(CrushMap::decode(bytes), Ok(map));
}

#[test]
fn the_tree_is_in_the_order_of_osd_tree() {
    let mut map = map();
    map.create_bucket("empty", "host").unwrap();
    map.set_device_class(0, "ssd").unwrap();
    map.set_device_class(1, "hdd").unwrap();
    let lines: Vec<(usize, i32)> = map.walk(false).iter().map(|n| (n.depth, n.id)).collect();
    let id = |name: &str| map.item_id(name).unwrap();
    let hosts = [(1, id("a")), (2, 1), (2, 0), (1, id("b")), (2, 2), (2, 3)];
    let mut want = vec![(0, id("empty")), (0, id("default"))];
    want.extend(hosts);
    assert_eq!(lines, want);
}
