//! Whatever a client sends to a method of class `rbd`, and whatever is stored: an answer, and
//! nothing changed by a method that only reads.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use seabed_classes::testing::{MemoryObject, Stored};
use seabed_classes::{CLASSES, Method};
use seabed_cluster::Errno;
use seabed_denc::Bytes;

/// What keys begin with, or are.
const KEYS: &[&str] = &[
    "features",
    "op_features",
    "size",
    "order",
    "object_prefix",
    "snap_seq",
    "snap_limit",
    "parent",
    "flags",
    "stripe_unit",
    "snapshot_0000000000000001",
    "snapshot_0000000000000002",
    "snap_children_0000000000000001",
    "snapshot_a",
    "snap_order_a",
    "snap_max_order",
    "name_a",
    "id_a",
    "state",
    "metadata_a",
    "migration",
    "rbd_group_ref",
    "image_0000000000000001_a",
    "image_a",
    "global_a",
    "status_global_a",
    "remote_status_global_a_b",
    "mirror_peer_a",
    "mirror_mode",
    "mirror_uuid",
    "image_map_a",
];

fn methods() -> &'static [Method] {
    CLASSES.iter().find(|class| class.name == "rbd").expect("class rbd").methods
}

/// Bytes with many small numbers, so that they decode far.
fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => Just(0u8), 4 => 0u8..9, 2 => Just(b'a'), 2 => any::<u8>()];
    vec(byte, 0..max)
}

fn value() -> impl Strategy<Value = Bytes> {
    let envelope = (1u8..9, 1u8..9, bytes(60)).prop_map(|(version, compat, body)| {
        let mut value = vec![version, compat];
        value.extend((body.len() as u32).to_le_bytes());
        value.extend(body);
        value
    });
    let number = (0u64..70_000).prop_map(|n| n.to_le_bytes().to_vec());
    prop_oneof![bytes(60), envelope, number].prop_map(Bytes::from)
}

fn stored() -> impl Strategy<Value = Option<Stored>> {
    let key = proptest::sample::select(KEYS).prop_map(|key| Bytes::from_static(key.as_bytes()));
    let omap = btree_map(key, value(), 0..KEYS.len());
    let some = (omap, bytes(200)).prop_map(|(omap, data)| {
        Some(Stored { data, omap, header: Bytes::new(), xattrs: BTreeMap::new() })
    });
    prop_oneof![1 => Just(None), 9 => some]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_method_answers(stored in stored(), inputs in vec(value(), 4)) {
        for method in methods() {
            for input in &inputs {
                let mut object = match &stored {
                    Some(stored) => MemoryObject::with(stored.clone()),
                    None => MemoryObject::default(),
                };
                object.watchers.push(object.caller);
                let done = object.call("rbd", method.name, input.clone());
                if done.is_err() || !method.access.write {
                    prop_assert_eq!(object.stored(), stored.as_ref(), "{}", method.name);
                }
            }
        }
    }
}

/// Methods that are called without arguments, or with any bytes.
const WITHOUT_ARGUMENTS: &[&str] = &[
    "get_all_features",
    "op_features_get",
    "get_object_prefix",
    "get_data_pool",
    "get_stripe_unit_count",
    "get_create_timestamp",
    "get_access_timestamp",
    "get_modify_timestamp",
    "set_access_timestamp",
    "set_modify_timestamp",
    "get_snapcontext",
    "snapshot_get_limit",
    "parent_get",
    "parent_detach",
    "remove_parent",
    "get_id",
    "object_map_load",
    "object_map_snap_add",
    "migration_get",
    "migration_remove",
    "image_group_get",
    "mirror_uuid_get",
    "mirror_mode_get",
    "mirror_remote_namespace_get",
    "mirror_peer_list",
    "mirror_image_status_get_summary",
    "mirror_image_status_remove_down",
    "mirror_instances_list",
    "copyup",
];

#[test]
fn an_input_that_is_missing_is_refused() {
    for method in methods() {
        let done = MemoryObject::existing().call("rbd", method.name, Bytes::new());
        if WITHOUT_ARGUMENTS.contains(&method.name) {
            assert_ne!(done, Err(Errno::EINVAL), "{}", method.name);
        } else {
            assert_eq!(done, Err(Errno::EINVAL), "{}", method.name);
        }
    }
}
