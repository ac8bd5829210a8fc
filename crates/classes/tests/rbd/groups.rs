//! Groups of images and their snapshots.
//!
//! The expectations are those of Ceph's own test of its class, told in short.

use std::collections::BTreeMap;

use seabed_classes::rbd::{GroupImageSpec, GroupImageStatus, GroupSnapshot, GroupSpec};
use seabed_classes::testing::MemoryObject;
use seabed_cluster::Errno;
use seabed_denc::Bytes;

use super::{ask, b, image, tell};

#[test]
fn images_and_groups_name_each_other() {
    let mut image = image(0, 0);
    let group = |id: &str| GroupSpec { pool_id: 5, group_id: b(id), ..GroupSpec::default() };
    let none: GroupSpec = ask(&mut image, "image_group_get", ()).unwrap();
    assert_eq!(none, GroupSpec::default());
    tell(&mut image, "image_group_add", group("g")).unwrap();
    tell(&mut image, "image_group_add", group("g")).unwrap();
    assert_eq!(tell(&mut image, "image_group_add", group("h")), Err(Errno::EEXIST));
    assert_eq!(ask::<u64>(&mut image, "op_features_get", ()), Ok(4));
    assert_eq!(tell(&mut image, "image_group_remove", group("h")), Err(Errno::EBADF));
    tell(&mut image, "image_group_remove", group("g")).unwrap();
    assert_eq!(tell(&mut image, "image_group_remove", group("g")), Err(Errno::ENOENT));

    let mut header = MemoryObject::existing();
    let spec = GroupImageSpec { image_id: b("abc"), pool_id: 5, ..GroupImageSpec::default() };
    let status = GroupImageStatus { spec: spec.clone(), state: 0, ..GroupImageStatus::default() };
    tell(&mut header, "group_image_set", &status).unwrap();
    assert!(header.stored().unwrap().omap.contains_key(&b("image_0000000000000005_abc")));
    let list = |object: &mut MemoryObject, after: &GroupImageSpec| {
        ask::<Vec<GroupImageStatus>>(object, "group_image_list", (after, 9u64)).unwrap()
    };
    assert_eq!(list(&mut header, &GroupImageSpec::default()), [status]);
    assert_eq!(list(&mut header, &spec), []);
    tell(&mut header, "group_image_remove", &spec).unwrap();
    assert_eq!(list(&mut header, &GroupImageSpec::default()), []);
}

#[test]
fn snapshots_of_groups_are_ordered() {
    let mut object = MemoryObject::existing();
    let snapshot = |id: &str, name: &str, state| GroupSnapshot {
        id: b(id),
        name: b(name),
        state,
        ..GroupSnapshot::default()
    };
    for (id, name) in [("", "n"), ("z", "")] {
        let set = tell(&mut object, "group_snap_set", snapshot(id, name, 0));
        assert_eq!(set, Err(Errno::EINVAL));
    }
    tell(&mut object, "group_snap_set", snapshot("z", "one", 0)).unwrap();
    let keys: Vec<&Bytes> = object.stored().unwrap().omap.keys().collect();
    assert_eq!(keys, ["snap_max_order", "snap_order_z", "snapshot_z"]);
    for (id, name) in [("z", "two"), ("y", "one")] {
        let set = tell(&mut object, "group_snap_set", snapshot(id, name, 0));
        assert_eq!(set, Err(Errno::EEXIST));
    }
    tell(&mut object, "group_snap_set", snapshot("z", "one", 1)).unwrap();
    tell(&mut object, "group_snap_set", snapshot("a", "two", 0)).unwrap();
    let orders: BTreeMap<Bytes, u64> =
        ask(&mut object, "group_snap_list_order", (Bytes::new(), 9u64)).unwrap();
    assert_eq!(orders, BTreeMap::from([(b("z"), 1), (b("a"), 2)]));
    let list = |object: &mut MemoryObject, after: &str| {
        let input = (snapshot(after, "", 0), 9u64);
        ask::<Vec<GroupSnapshot>>(object, "group_snap_list", input).unwrap()
    };
    assert_eq!(list(&mut object, "a"), [snapshot("z", "one", 1)]);
    assert_eq!(ask(&mut object, "group_snap_get_by_id", b("a")), Ok(snapshot("a", "two", 0)));
    tell(&mut object, "group_snap_remove", b("a")).unwrap();
    tell(&mut object, "group_snap_remove", b("z")).unwrap();
    assert_eq!(list(&mut object, ""), []);
}
