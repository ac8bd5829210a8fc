//! Directories, metadata, object maps, data objects, trash, migration, format 1.
//!
//! The expectations are those of Ceph's own test of its class, told in short.

use std::collections::BTreeMap;

use seabed_classes::rbd::{MigrationSpec, TrashImageSpec};
use seabed_classes::testing::MemoryObject;
use seabed_cluster::{Errno, SnapId};
use seabed_denc::Bytes;

use super::{ask, b, features, image, tell};

const MIGRATING: u64 = 512;

#[test]
fn ids_are_letters_and_digits_and_set_once() {
    let mut object = MemoryObject::default();
    assert_eq!(tell(&mut object, "set_id", b("a")), Err(Errno::ENOENT));
    object.edit(|_| {});
    assert_eq!(ask::<Bytes>(&mut object, "get_id", ()), Err(Errno::ENOENT));
    for bad in [".abc", ""] {
        assert_eq!(tell(&mut object, "set_id", b(bad)), Err(Errno::EINVAL));
    }
    tell(&mut object, "set_id", b("0aZ")).unwrap();
    assert_eq!(tell(&mut object, "set_id", b("0aZ")), Err(Errno::EEXIST));
    assert_eq!(ask::<Bytes>(&mut object, "get_id", ()), Ok(b("0aZ")));
}

#[test]
fn a_directory_maps_both_ways() {
    let mut object = MemoryObject::default();
    let list = |object: &mut MemoryObject, after: &str, max: u64| {
        ask::<BTreeMap<Bytes, Bytes>>(object, "dir_list", (b(after), max))
    };
    assert_eq!(list(&mut object, "", 30), Err(Errno::ENOENT));
    assert_eq!(tell(&mut object, "dir_state_set", 1u8), Err(Errno::ENOENT));
    for (name, id) in [("a", ".x"), ("a", ""), ("", "x")] {
        assert_eq!(tell(&mut object, "dir_add_image", (b(name), b(id))), Err(Errno::EINVAL));
    }
    tell(&mut object, "dir_state_set", 0u8).unwrap();
    tell(&mut object, "dir_state_assert", 0u8).unwrap();
    assert_eq!(tell(&mut object, "dir_state_assert", 1u8), Err(Errno::ENOENT));
    tell(&mut object, "dir_add_image", (b("a"), b("x"))).unwrap();
    assert_eq!(tell(&mut object, "dir_state_set", 1u8), Err(Errno::EBUSY));
    assert_eq!(tell(&mut object, "dir_add_image", (b("a"), b("y"))), Err(Errno::EEXIST));
    assert_eq!(tell(&mut object, "dir_add_image", (b("b"), b("x"))), Err(Errno::EBADF));
    tell(&mut object, "dir_add_image", (b("b"), b("y"))).unwrap();
    assert_eq!(list(&mut object, "a", 2), Ok(BTreeMap::from([(b("b"), b("y"))])));
    assert_eq!(list(&mut object, "", 0), Ok(BTreeMap::new()));
    let rename = |object: &mut MemoryObject, from: &str, to: &str, id: &str| {
        tell(object, "dir_rename_image", (b(from), b(to), b(id)))
    };
    assert_eq!(rename(&mut object, "a", "b", "y"), Err(Errno::ESTALE));
    assert_eq!(rename(&mut object, "a", "b", "x"), Err(Errno::EEXIST));
    rename(&mut object, "a", "c", "x").unwrap();
    assert_eq!(ask::<Bytes>(&mut object, "dir_get_id", b("c")), Ok(b("x")));
    assert_eq!(ask::<Bytes>(&mut object, "dir_get_name", b("x")), Ok(b("c")));
    assert_eq!(ask::<Bytes>(&mut object, "dir_get_id", b("a")), Err(Errno::ENOENT));
    assert_eq!(tell(&mut object, "dir_remove_image", (b("c"), b("y"))), Err(Errno::ESTALE));
    tell(&mut object, "dir_remove_image", (b("c"), b("x"))).unwrap();
    assert_eq!(tell(&mut object, "dir_remove_image", (b("c"), b("x"))), Err(Errno::ENOENT));
}

#[test]
fn metadata_is_listed_in_pages() {
    let mut object = image(0, 0);
    let name = |i: usize| b(&format!("key{i:04}"));
    let many: BTreeMap<Bytes, Bytes> = (0..300).map(|i| (name(i), b("value"))).collect();
    tell(&mut object, "metadata_set", &many).unwrap();
    let list = |object: &mut MemoryObject, after: Bytes, max: u64| {
        ask::<BTreeMap<Bytes, Bytes>>(object, "metadata_list", (after, max)).unwrap()
    };
    assert_eq!(list(&mut object, Bytes::new(), 0).len(), 64);
    assert_eq!(list(&mut object, name(99), 1000).len(), 200);
    assert_eq!(ask::<Bytes>(&mut object, "metadata_get", name(7)), Ok(b("value")));
    tell(&mut object, "metadata_remove", name(7)).unwrap();
    tell(&mut object, "metadata_remove", name(7)).unwrap();
    assert_eq!(ask::<Bytes>(&mut object, "metadata_get", name(7)), Err(Errno::ENOENT));
}

fn states(object: &mut MemoryObject) -> Vec<u8> {
    let map: Bytes = object.call("rbd", "object_map_load", Bytes::new()).unwrap().data;
    let size = u64::from_le_bytes(map[10..18].try_into().unwrap());
    (0..size as usize).map(|i| map[18 + i / 4] >> (6 - 2 * (i % 4)) & 3).collect()
}

#[test]
fn an_object_map_is_updated_in_place() {
    let mut object = MemoryObject::default();
    assert_eq!(ask::<Bytes>(&mut object, "object_map_load", ()), Err(Errno::ENOENT));
    let large = (256_000_001u64, 0u8);
    assert_eq!(tell(&mut object, "object_map_resize", large), Err(Errno::EINVAL));
    // Five blocks, so that there is one before and one behind.
    tell(&mut object, "object_map_resize", (80_000u64, 0u8)).unwrap();
    let update = |object: &mut MemoryObject, start: u64, end: u64, state: u8, if_: Option<u8>| {
        tell(object, "object_map_update", (start, end, state, if_))
    };
    update(&mut object, 16_380, 40_000, 1, None).unwrap();
    update(&mut object, 40_000, 40_003, 3, None).unwrap();
    // What exists is meant to be what exists clean, too.
    update(&mut object, 39_999, 40_002, 0, Some(1)).unwrap();
    update(&mut object, 0, 80_000, 2, Some(2)).unwrap();
    for (start, end) in [(5, 5), (6, 5), (79_999, 80_001)] {
        assert_eq!(update(&mut object, start, end, 1, None), Err(Errno::ERANGE));
    }
    let mut want = vec![0; 80_000];
    want[16_380..39_999].fill(1);
    want[40_002] = 3;
    assert!(states(&mut object) == want);
    // The whole is still what its checksums say.
    tell(&mut object, "object_map_snap_add", ()).unwrap();
    want[16_380..39_999].fill(3);
    assert!(states(&mut object) == want);
    object.edit(|stored| stored.data[18 + 5000] ^= 1);
    assert_eq!(update(&mut object, 20_000, 20_001, 0, None), Err(Errno::EINVAL));
    update(&mut object, 79_999, 80_000, 1, None).unwrap();
}

#[test]
fn an_object_map_shrinks_only_over_what_is_not_there() {
    let mut object = MemoryObject::default();
    tell(&mut object, "object_map_resize", (32u64, 1u8)).unwrap();
    tell(&mut object, "object_map_resize", (64u64, 2u8)).unwrap();
    assert_eq!(tell(&mut object, "object_map_resize", (32u64, 1u8)), Err(Errno::ESTALE));
    tell(&mut object, "object_map_resize", (32u64, 2u8)).unwrap();
    assert_eq!(states(&mut object), [1; 32]);
    let mut snapshot = MemoryObject::default();
    tell(&mut snapshot, "object_map_resize", (30u64, 0u8)).unwrap();
    tell(&mut snapshot, "object_map_update", (1u64, 3u64, 1u8, None::<u8>)).unwrap();
    let of_snapshot = Bytes::copy_from_slice(&snapshot.stored().unwrap().data);
    tell(&mut object, "object_map_snap_add", ()).unwrap();
    object.call("rbd", "object_map_snap_remove", of_snapshot).unwrap();
    let mut want = vec![3; 32];
    (want[1], want[2], want[30], want[31]) = (1, 1, 1, 1);
    assert_eq!(states(&mut object), want);
}

#[test]
fn copyup_fills_only_what_is_not_there() {
    let mut object = MemoryObject::default();
    object.call("rbd", "copyup", b("first")).unwrap();
    object.call("rbd", "copyup", b("second")).unwrap();
    assert_eq!(object.stored().unwrap().data, b"first");
    let mut object = MemoryObject::default();
    let none: BTreeMap<u64, u64> = BTreeMap::new();
    tell(&mut object, "sparse_copyup", (&none, Bytes::new())).unwrap();
    assert_eq!(object.stored().unwrap().data, b"");
    let extents = BTreeMap::from([(2u64, 2u64), (6, 2)]);
    let mut object = MemoryObject::default();
    let short = tell(&mut object, "sparse_copyup", (&extents, b("112")));
    assert_eq!((short, object.stored()), (Err(Errno::EINVAL), None));
    tell(&mut object, "sparse_copyup", (&extents, b("1122"))).unwrap();
    tell(&mut object, "sparse_copyup", (&extents, b("3344"))).unwrap();
    assert_eq!(object.stored().unwrap().data, b"\0\x0011\0\x0022");
}

#[test]
fn sparsify_gives_zeroes_back() {
    let sparsify = |object: &mut MemoryObject, step: u64, remove: bool| {
        tell(object, "sparsify", (step, remove))
    };
    let mut object = MemoryObject::default();
    assert_eq!(sparsify(&mut object, 16, true), Err(Errno::ENOENT));
    object.edit(|stored| stored.data = vec![0; 4096]);
    sparsify(&mut object, 16, false).unwrap();
    assert_eq!(object.stored().unwrap().data, b"");
    sparsify(&mut object, 16, true).unwrap();
    assert_eq!(object.stored(), None);
    object.edit(|stored| {
        stored.data = vec![0; 100];
        stored.data[40..50].fill(1);
    });
    let whole = object.stored().unwrap().data.clone();
    sparsify(&mut object, 100, true).unwrap();
    assert_eq!(object.stored().unwrap().data, whole);
    sparsify(&mut object, 16, true).unwrap();
    assert_eq!(object.stored().unwrap().data, whole[..64]);
    assert_eq!(sparsify(&mut object, 0, true), Err(Errno::EINVAL));
}

#[test]
fn a_write_can_be_bound_to_the_age_of_its_snap_context() {
    let mut object = MemoryObject::default();
    let check = |object: &mut MemoryObject, seq: u64, state: u8| {
        tell(object, "assert_snapc_seq", (seq, state))
    };
    assert_eq!(check(&mut object, 0, 0), Ok(()));
    assert_eq!(check(&mut object, 0, 1), Err(Errno::ERANGE));
    object.edit(|_| {});
    object.snapset_seq = SnapId(5);
    assert_eq!(check(&mut object, 5, 0), Err(Errno::ERANGE));
    assert_eq!(check(&mut object, 5, 1), Ok(()));
    assert_eq!(check(&mut object, 6, 0), Ok(()));
    assert_eq!(check(&mut object, 6, 1), Err(Errno::ERANGE));
    assert_eq!(check(&mut object, 6, 2), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_trash_can_be_looked_through() {
    let mut object = MemoryObject::default();
    let list = |object: &mut MemoryObject, after: &str, max: u64| {
        ask::<BTreeMap<Bytes, TrashImageSpec>>(object, "trash_list", (b(after), max))
    };
    assert_eq!(list(&mut object, "", 10), Err(Errno::ENOENT));
    let spec = TrashImageSpec { name: b("name"), ..TrashImageSpec::default() };
    tell(&mut object, "trash_add", (b("2"), &spec)).unwrap();
    assert_eq!(tell(&mut object, "trash_add", (b("2"), &spec)), Err(Errno::EEXIST));
    assert_eq!(tell(&mut object, "trash_add", (b("_"), &spec)), Err(Errno::EINVAL));
    tell(&mut object, "trash_add", (b("1"), &spec)).unwrap();
    assert_eq!(list(&mut object, "", 1), Ok(BTreeMap::from([(b("1"), spec.clone())])));
    assert_eq!(list(&mut object, "2", 1), Ok(BTreeMap::new()));
    tell(&mut object, "trash_state_set", (b("1"), 2u8, 0u8)).unwrap();
    tell(&mut object, "trash_state_set", (b("1"), 2u8, 0u8)).unwrap();
    assert_eq!(tell(&mut object, "trash_state_set", (b("1"), 1u8, 0u8)), Err(Errno::ESTALE));
    let stored: TrashImageSpec = ask(&mut object, "trash_get", b("1")).unwrap();
    assert_eq!(stored, TrashImageSpec { state: 2, ..spec });
    tell(&mut object, "trash_remove", b("1")).unwrap();
    assert_eq!(tell(&mut object, "trash_remove", b("1")), Err(Errno::ENOENT));
}

#[test]
fn namespaces_are_names() {
    let mut object = MemoryObject::default();
    assert_eq!(tell(&mut object, "namespace_remove", b("a")), Err(Errno::ENOENT));
    tell(&mut object, "namespace_add", b("a")).unwrap();
    assert_eq!(tell(&mut object, "namespace_add", b("a")), Err(Errno::EEXIST));
    tell(&mut object, "namespace_add", b("b")).unwrap();
    let list = |object: &mut MemoryObject, after: &str, max: u64| {
        ask::<Vec<Bytes>>(object, "namespace_list", (b(after), max)).unwrap()
    };
    assert_eq!(list(&mut object, "", 1), [b("a")]);
    assert_eq!(list(&mut object, "a", 9), [b("b")]);
}

#[test]
fn a_migration_is_marked_in_both_formats() {
    let of = |header_type| MigrationSpec {
        header_type,
        source_spec: b("{}"),
        state_description: b("123"),
        ..MigrationSpec::default()
    };
    let get = |object: &mut MemoryObject| ask::<MigrationSpec>(object, "migration_get", ());
    let mut object = image(0, 0);
    assert_eq!(get(&mut object), Err(Errno::EINVAL));
    tell(&mut object, "migration_set", of(2)).unwrap();
    assert_eq!(tell(&mut object, "migration_set", of(2)), Err(Errno::EEXIST));
    assert_eq!(features(&mut object), MIGRATING);
    // Version 3, compat 3: a reader that does not know the source is to refuse.
    assert_eq!(object.stored().unwrap().omap[&b("migration")][..2], [3, 3]);
    tell(&mut object, "migration_set_state", (2u8, b("456"))).unwrap();
    let want = MigrationSpec { state: 2, state_description: b("456"), ..of(2) };
    assert_eq!(get(&mut object), Ok(want));
    tell(&mut object, "migration_remove", ()).unwrap();
    assert_eq!((features(&mut object), get(&mut object)), (0, Err(Errno::EINVAL)));

    const TEXT: &[u8] = b"<<< Rados Block Device Image >>>\n\0";
    let mut object = MemoryObject::default();
    object.edit(|stored| stored.data = TEXT.to_vec());
    assert_eq!(get(&mut object), Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "migration_set", of(2)), Err(Errno::EINVAL));
    tell(&mut object, "migration_set", of(1)).unwrap();
    assert_eq!(&object.stored().unwrap().data, b"<<< Migrating RBD Image      >>>\n\0");
    assert_eq!(get(&mut object), Ok(of(1)));
    tell(&mut object, "migration_remove", ()).unwrap();
    assert_eq!(object.stored().unwrap().data, TEXT);
    object.edit(|stored| stored.data.clear());
    assert_eq!(get(&mut object), Err(Errno::ENXIO));
}

#[test]
fn snapshots_of_format_1_stand_behind_the_header() {
    let mut object = MemoryObject::default();
    object.edit(|stored| {
        stored.data = vec![0; 112];
        stored.data[80] = 7;
    });
    let add =
        |object: &mut MemoryObject, name: &str, id: u64| tell(object, "snap_add", (b(name), id));
    add(&mut object, "one", 1).unwrap();
    add(&mut object, "three", 3).unwrap();
    assert_eq!(add(&mut object, "two", 2), Err(Errno::ESTALE));
    assert_eq!(add(&mut object, "one", 4), Err(Errno::EEXIST));
    let data = object.stored().unwrap().data.clone();
    assert_eq!(&data[88..112], [3u64, 2, 10].map(u64::to_le_bytes).concat());
    assert_eq!(&data[112..144], [3u64, 7, 1, 7].map(u64::to_le_bytes).concat());
    assert_eq!(&data[144..], b"three\0one\0");
    tell(&mut object, "snap_rename", (1u64, b("uno"))).unwrap();
    assert_eq!(tell(&mut object, "snap_rename", (1u64, b("three"))), Err(Errno::EEXIST));
    assert_eq!(tell(&mut object, "snap_rename", (9u64, b("nine"))), Err(Errno::ENOENT));
    let listed: (u64, Vec<(u64, u64, Bytes)>) = ask(&mut object, "snap_list", ()).unwrap();
    assert_eq!(listed, (3, vec![(3, 7, b("three")), (1, 7, b("uno"))]));
    assert_eq!(tell(&mut object, "snap_remove", b("one")), Err(Errno::ENOENT));
    tell(&mut object, "snap_remove", b("three")).unwrap();
    assert_eq!(&object.stored().unwrap().data[112..], b"\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0uno\0");
    tell(&mut object, "snapshot_set_limit", 1u64).unwrap();
    assert_eq!(add(&mut object, "four", 4), Err(Errno::EDQUOT));
    object.edit(|stored| stored.data.truncate(120));
    assert_eq!(add(&mut object, "five", 5), Err(Errno::EIO));
    object.edit(|stored| stored.data.truncate(100));
    assert_eq!(add(&mut object, "five", 5), Err(Errno::EINVAL));
}
