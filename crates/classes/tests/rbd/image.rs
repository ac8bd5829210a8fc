//! An image's header: features, snapshots, parents, children: which error comes when.
//!
//! The expectations are those of Ceph's own test of its class, told in short.

use std::collections::BTreeMap;

use seabed_classes::rbd::{ChildImageSpec, ParentImageSpec};
use seabed_classes::testing::MemoryObject;
use seabed_cluster::{Errno, SnapId, UTime};
use seabed_denc::{Bytes, Encode};

use super::{HEAD, ask, b, features, image, tell};

const LAYERING: u64 = 1;
const STRIPINGV2: u64 = 2;
const DEEP_FLATTEN: u64 = 32;
const DATA_POOL: u64 = 128;
const OPERATIONS: u64 = 256;

fn snap_add(object: &mut MemoryObject, id: u64, name: &str) -> Result<(), Errno> {
    tell(object, "snapshot_add", (b(name), id))
}

#[test]
fn an_image_is_created_once_and_only_with_what_is_known() {
    let mut object = MemoryObject::default();
    let full = |features: u64, prefix: &str, pool: i64| ((1u64, 22u8, features), b(prefix), pool);
    for (input, error) in [
        (full(u64::MAX, "p", -1), Errno::ENOSYS),
        (full(0, "", -1), Errno::EINVAL),
        (full(OPERATIONS, "p", -1), Errno::EINVAL),
        (full(DATA_POOL, "p", -1), Errno::EINVAL),
        (full(0, "p", 7), Errno::EINVAL),
    ] {
        assert_eq!(tell(&mut object, "create", input), Err(error));
        assert_eq!(object.stored(), None);
    }
    assert_eq!(tell(&mut object, "create", ()), Err(Errno::EINVAL));
    assert_eq!(ask::<Bytes>(&mut object, "get_object_prefix", ()), Err(Errno::ENOENT));
    tell(&mut object, "create", full(DATA_POOL, "p", 7)).unwrap();
    assert_eq!(ask::<i64>(&mut object, "get_data_pool", ()), Ok(7));
    assert_eq!(tell(&mut object, "create", full(0, "p", -1)), Err(Errno::EEXIST));
}

#[test]
fn stored_header_is_ceph_s() {
    let object = image(0x1_0000, 0x3d);
    let omap = &object.stored().unwrap().omap;
    let now = UTime { sec: 1_700_000_000, nsec: 5 }.to_bytes(0);
    let want: BTreeMap<Bytes, Bytes> = [
        ("access_timestamp", now.clone()),
        ("create_timestamp", now.clone()),
        ("features", 0x3du64.to_bytes(0)),
        ("modify_timestamp", now),
        ("object_prefix", b("foo.").to_bytes(0)),
        ("order", 22u8.to_bytes(0)),
        ("size", 0x1_0000u64.to_bytes(0)),
        ("snap_seq", 0u64.to_bytes(0)),
    ]
    .into_iter()
    .map(|(key, value)| (b(key), value))
    .collect();
    assert_eq!(*omap, want);
}

#[test]
fn features_change_only_where_they_may() {
    const MUTABLE: u64 = 4 | 8 | 16 | 64 | 1024 | 2048;
    let mut object = image(0, LAYERING | DEEP_FLATTEN);
    tell(&mut object, "set_features", (MUTABLE, MUTABLE)).unwrap();
    assert_eq!(features(&mut object), MUTABLE | LAYERING | DEEP_FLATTEN);
    tell(&mut object, "set_features", (0u64, 8u64)).unwrap();
    tell(&mut object, "set_features", (0u64, DEEP_FLATTEN)).unwrap();
    assert_eq!(features(&mut object), (MUTABLE & !8) | LAYERING);
    for (features, mask) in [(DEEP_FLATTEN, DEEP_FLATTEN), (0, LAYERING), (0, OPERATIONS)] {
        assert_eq!(tell(&mut object, "set_features", (features, mask)), Err(Errno::EINVAL));
    }
}

#[test]
fn op_features_carry_feature_operations_with_them() {
    let mut object = image(0, 0);
    assert_eq!(tell(&mut object, "op_features_set", (1u64, !15u64)), Err(Errno::EINVAL));
    tell(&mut object, "op_features_set", (1u64, 0u64)).unwrap();
    assert_eq!(features(&mut object), 0);
    tell(&mut object, "op_features_set", (15u64, 15u64)).unwrap();
    assert_eq!(features(&mut object), OPERATIONS);
    tell(&mut object, "op_features_set", (0u64, 1u64)).unwrap();
    assert_eq!(ask::<u64>(&mut object, "op_features_get", ()), Ok(14));
    tell(&mut object, "op_features_set", (0u64, 15u64)).unwrap();
    assert_eq!(features(&mut object), 0);
    assert!(!object.stored().unwrap().omap.contains_key(&b("op_features")));
}

#[test]
fn striping_divides_the_object() {
    let mut object = image(10, 0);
    assert_eq!(ask::<(u64, u64)>(&mut object, "get_stripe_unit_count", ()), Err(Errno::ENOEXEC));
    let set = (65_536u64, 12u64);
    assert_eq!(tell(&mut object, "set_stripe_unit_count", set), Err(Errno::ENOEXEC));
    let mut object = image(10, STRIPINGV2);
    let get = |object: &mut MemoryObject| ask::<(u64, u64)>(object, "get_stripe_unit_count", ());
    assert_eq!(get(&mut object), Ok((1 << 22, 1)));
    for bad in [(1u64 << 23, 1u64), (511, 1), (0, 1), (1, 0), (0, 0)] {
        assert_eq!(tell(&mut object, "set_stripe_unit_count", bad), Err(Errno::EINVAL));
    }
    tell(&mut object, "set_stripe_unit_count", (8192u64, 456u64)).unwrap();
    assert_eq!(get(&mut object), Ok((8192, 456)));
}

#[test]
fn snapshots_have_unique_names_and_growing_ids() {
    let mut object = image(10, 0);
    let context =
        |object: &mut MemoryObject| ask::<(u64, Vec<u64>)>(object, "get_snapcontext", ()).unwrap();
    snap_add(&mut object, 0, "snap1").unwrap();
    assert_eq!(context(&mut object), (0, vec![0]));
    for (id, name) in [(0, "snap1"), (0, "snap2"), (1, "snap1")] {
        assert_eq!(snap_add(&mut object, id, name), Err(Errno::EEXIST));
    }
    snap_add(&mut object, 1, "snap2").unwrap();
    assert_eq!(context(&mut object), (1, vec![1, 0]));
    assert_eq!(snap_add(&mut object, 0, "snap3"), Err(Errno::ESTALE));
    assert_eq!(snap_add(&mut object, u64::MAX - 1, "snap3"), Err(Errno::EINVAL));
    tell(&mut object, "snapshot_rename", (0u64, b("other"))).unwrap();
    assert_eq!(ask::<Bytes>(&mut object, "get_snapshot_name", 0u64), Ok(b("other")));
    let taken = tell(&mut object, "snapshot_rename", (0u64, b("snap2")));
    assert_eq!(taken, Err(Errno::EEXIST));
    tell(&mut object, "set_size", 0u64).unwrap();
    assert_eq!(ask::<(u8, u64)>(&mut object, "get_size", 1u64), Ok((22, 10)));
    tell(&mut object, "snapshot_remove", 0u64).unwrap();
    assert_eq!(tell(&mut object, "snapshot_remove", 0u64), Err(Errno::ENOENT));
    assert_eq!(context(&mut object), (1, vec![1]));
}

#[test]
fn many_snapshots_are_all_listed() {
    let mut object = image(10, 0);
    for id in 1..200u64 {
        snap_add(&mut object, id, &format!("s{id}")).unwrap();
    }
    let (seq, ids): (u64, Vec<u64>) = ask(&mut object, "get_snapcontext", ()).unwrap();
    assert_eq!((seq, ids), (199, (1..200).rev().collect()));
}

#[test]
fn the_number_of_snapshots_is_bounded() {
    let mut object = image(0, 0);
    assert_eq!(ask::<u64>(&mut object, "snapshot_get_limit", ()), Ok(u64::MAX));
    tell(&mut object, "snapshot_set_limit", 2u64).unwrap();
    snap_add(&mut object, 10, "snap1").unwrap();
    snap_add(&mut object, 20, "snap2").unwrap();
    assert_eq!(snap_add(&mut object, 30, "snap3"), Err(Errno::EDQUOT));
    assert_eq!(tell(&mut object, "snapshot_set_limit", 1u64), Err(Errno::ERANGE));
    tell(&mut object, "snapshot_set_limit", u64::MAX).unwrap();
    snap_add(&mut object, 30, "snap3").unwrap();
}

#[test]
fn a_protected_snapshot_stays() {
    let mut plain = image(0, 0);
    let set = |object: &mut MemoryObject, id, status: u8| {
        tell(object, "set_protection_status", (id, status))
    };
    assert_eq!(set(&mut plain, HEAD, 0), Err(Errno::ENOEXEC));
    let mut object = image(0, LAYERING);
    assert_eq!(set(&mut object, HEAD, 0), Err(Errno::EINVAL));
    assert_eq!(set(&mut object, SnapId(2), 0), Err(Errno::ENOENT));
    snap_add(&mut object, 10, "snap1").unwrap();
    for status in [2, 1] {
        set(&mut object, SnapId(10), status).unwrap();
        assert_eq!(ask::<u8>(&mut object, "get_protection_status", 10u64), Ok(status));
        assert_eq!(tell(&mut object, "snapshot_remove", 10u64), Err(Errno::EBUSY));
    }
    assert_eq!(set(&mut object, SnapId(10), 3), Err(Errno::EINVAL));
    set(&mut object, SnapId(10), 0).unwrap();
    tell(&mut object, "snapshot_remove", 10u64).unwrap();
}

fn spec(pool_id: i64, namespace: &str, image: &str, snap: u64) -> ParentImageSpec {
    ParentImageSpec {
        pool_id,
        pool_namespace: b(namespace),
        image_id: b(image),
        snap_id: SnapId(snap),
        ..ParentImageSpec::default()
    }
}

fn overlap(object: &mut MemoryObject, snap_id: SnapId) -> Option<u64> {
    ask(object, "parent_overlap_get", snap_id).unwrap()
}

#[test]
fn a_parent_is_attached_shrinks_and_lasts_while_a_snapshot_needs_it() {
    let mut object = image(33 << 20, LAYERING);
    let parent = spec(1, "ns", "parent", 2);
    let attach = |object: &mut MemoryObject, parent: &ParentImageSpec, size: u64, re: bool| {
        tell(object, "parent_attach", (parent, size, re))
    };
    assert_eq!(attach(&mut object, &ParentImageSpec::default(), 0, false), Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "parent_detach", ()), Err(Errno::ENOENT));
    attach(&mut object, &parent, (33 << 20) + 1, false).unwrap();
    assert_eq!(attach(&mut object, &parent, 1, false), Err(Errno::EEXIST));
    attach(&mut object, &parent, (33 << 20) + 1, true).unwrap();
    assert_eq!(overlap(&mut object, HEAD), Some(33 << 20));
    snap_add(&mut object, 10, "snap1").unwrap();
    tell(&mut object, "set_size", 32u64 << 20).unwrap();
    assert_eq!(overlap(&mut object, HEAD), Some(32 << 20));
    assert_eq!(overlap(&mut object, SnapId(10)), Some(33 << 20));
    assert_eq!(tell(&mut object, "remove_parent", ()), Err(Errno::EXDEV));
    tell(&mut object, "parent_detach", ()).unwrap();
    assert_eq!(tell(&mut object, "parent_detach", ()), Err(Errno::ENOENT));
    assert_eq!(overlap(&mut object, HEAD), None);
    assert_eq!(ask(&mut object, "parent_get", ()), Ok(parent));
    tell(&mut object, "snapshot_remove", 10u64).unwrap();
    assert_eq!(ask(&mut object, "parent_get", ()), Ok(ParentImageSpec::default()));
}

type LegacyParent = (i64, Bytes, SnapId, u64);

#[test]
fn the_old_parent_calls_see_the_same() {
    let mut old = image(33 << 20, 0);
    let none: LegacyParent = (-1, Bytes::new(), HEAD, 0);
    let get = |object: &mut MemoryObject, id: SnapId| ask::<LegacyParent>(object, "get_parent", id);
    let set = |object: &mut MemoryObject, pool: i64, name: &str, snap: u64, size: u64| {
        tell(object, "set_parent", (pool, b(name), snap, size))
    };
    assert_eq!(get(&mut old, HEAD), Ok(none.clone()));
    assert_eq!(set(&mut old, 1, "parent", 3, 1), Err(Errno::ENOEXEC));
    assert_eq!(tell(&mut old, "remove_parent", ()), Err(Errno::ENOEXEC));

    let mut object = image(33 << 20, LAYERING | DEEP_FLATTEN);
    assert_eq!(get(&mut object, SnapId(123)), Ok(none.clone()));
    for (pool, name, snap, size) in
        [(-1, "parent", 3, 1), (1, "", 3, 1), (1, "parent", HEAD.0, 1), (1, "parent", 3, 0)]
    {
        assert_eq!(set(&mut object, pool, name, snap, size), Err(Errno::EINVAL));
    }
    set(&mut object, 1, "parent", 3, 10 << 20).unwrap();
    snap_add(&mut object, 10, "snap1").unwrap();
    let parent: LegacyParent = (1, b("parent"), SnapId(3), 10 << 20);
    assert_eq!(get(&mut object, SnapId(10)), Ok(parent));
    // Deep flatten: snapshots do without the parent too.
    tell(&mut object, "remove_parent", ()).unwrap();
    assert_eq!(get(&mut object, SnapId(10)), Ok(none));
}

fn child(pool_id: i64, namespace: &str, image: &str) -> ChildImageSpec {
    ChildImageSpec {
        pool_id,
        image_id: b(image),
        pool_namespace: b(namespace),
        ..ChildImageSpec::default()
    }
}

#[test]
fn children_keep_a_snapshot_in_the_trash() {
    const CLONE_PARENT: u64 = 1;
    const SNAP_TRASH: u64 = 8;
    let mut object = image(0, 0);
    snap_add(&mut object, 123, "user").unwrap();
    let none = child(-1, "", "");
    assert_eq!(tell(&mut object, "child_attach", (345u64, &none)), Err(Errno::ENOENT));
    assert_eq!(tell(&mut object, "child_detach", (123u64, &none)), Err(Errno::ENOENT));
    let children = [child(1, "", "b"), child(1, "ns", "a"), child(2, "", "a")];
    for one in children.iter().rev() {
        tell(&mut object, "child_attach", (123u64, one)).unwrap();
        assert_eq!(tell(&mut object, "child_attach", (123u64, one)), Err(Errno::EEXIST));
    }
    let listed: Vec<ChildImageSpec> = ask(&mut object, "children_list", 123u64).unwrap();
    assert_eq!(listed, children);
    assert_eq!(ask::<u64>(&mut object, "op_features_get", ()), Ok(CLONE_PARENT));
    assert_eq!(tell(&mut object, "snapshot_remove", 123u64), Err(Errno::EBUSY));
    tell(&mut object, "snapshot_trash_add", 123u64).unwrap();
    assert_eq!(tell(&mut object, "snapshot_trash_add", 123u64), Err(Errno::EEXIST));
    assert_eq!(tell(&mut object, "child_attach", (123u64, &none)), Err(Errno::ENOENT));
    assert_eq!(ask::<u64>(&mut object, "op_features_get", ()), Ok(CLONE_PARENT | SNAP_TRASH));
    for one in &children {
        tell(&mut object, "child_detach", (123u64, one)).unwrap();
    }
    let gone = ask::<Vec<ChildImageSpec>>(&mut object, "children_list", 123u64);
    assert_eq!(gone, Err(Errno::ENOENT));
    assert_eq!(ask::<u64>(&mut object, "op_features_get", ()), Ok(SNAP_TRASH));
    tell(&mut object, "snapshot_remove", 123u64).unwrap();
    assert_eq!(features(&mut object), 0);
}

#[test]
fn the_old_list_of_children_is_by_parent() {
    let mut object = MemoryObject::existing();
    let parent = || (5u64, b("parent"), SnapId(10));
    let get = |object: &mut MemoryObject| ask::<Vec<Bytes>>(object, "get_children", parent());
    assert_eq!(get(&mut object), Err(Errno::ENOENT));
    assert_eq!(tell(&mut object, "remove_child", (parent(), b("a"))), Err(Errno::ENOENT));
    tell(&mut object, "add_child", (parent(), b("a"))).unwrap();
    assert_eq!(tell(&mut object, "add_child", (parent(), b("a"))), Err(Errno::EEXIST));
    assert_eq!(get(&mut object), Ok(vec![b("a")]));
    let stored = &object.stored().unwrap().omap;
    assert!(stored.contains_key(&parent().to_bytes(0)), "{stored:?}");
    tell(&mut object, "remove_child", (parent(), b("a"))).unwrap();
    assert_eq!(get(&mut object), Err(Errno::ENOENT));
}
