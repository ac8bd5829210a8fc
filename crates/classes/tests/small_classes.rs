//! What Ceph's own tests of its small classes expect, and that no input whatever makes a method
//! panic.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seabed_classes::testing::MemoryObject;
use seabed_classes::{CLASSES, Done};
use seabed_cluster::{EntityName, Errno, HObject, PoolId, SnapId, UTime};
use seabed_denc::{Bytes, BytesMut, Encode, encode_versioned};

const CLEAN: u64 = u64::MAX;

/// Input or output in an envelope of version 1.
fn v1(fields: &[&dyn Field]) -> Bytes {
    versioned(1, fields)
}

fn versioned(version: u8, fields: &[&dyn Field]) -> Bytes {
    let mut out = BytesMut::new();
    encode_versioned(&mut out, version, 1, |out| fields.iter().for_each(|f| f.put(out)));
    out.freeze()
}

/// Fields back to back.
fn plain(fields: &[&dyn Field]) -> Bytes {
    let mut out = BytesMut::new();
    fields.iter().for_each(|f| f.put(&mut out));
    out.freeze()
}

trait Field {
    fn put(&self, out: &mut BytesMut);
}

impl<T: Encode> Field for T {
    fn put(&self, out: &mut BytesMut) {
        self.encode(out, CLEAN);
    }
}

/// Bytes that are encoded already.
struct Raw(Bytes);

impl Field for Raw {
    fn put(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.0);
    }
}

fn text(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

fn ok(done: Done) -> Bytes {
    let output = done.unwrap();
    assert_eq!(output.result, 0);
    output.data
}

mod lock {
    use super::*;

    const EXCLUSIVE: u8 = 1;
    const SHARED: u8 = 2;
    const EPHEMERAL: u8 = 3;

    fn wish(kind: u8, cookie: &str, tag: &str, seconds: u32, flags: u8) -> Bytes {
        let duration = UTime { sec: seconds, nsec: 0 };
        v1(&[&text("l"), &kind, &text(cookie), &text(tag), &text("why"), &duration, &flags])
    }

    fn by(object: &mut MemoryObject, client: i64, method: &str, input: Bytes) -> Done {
        object.caller = (EntityName::client(client), "v2:10.0.0.1:0/7".parse().unwrap());
        object.call("lock", method, input)
    }

    fn unlock(cookie: &str) -> Bytes {
        v1(&[&text("l"), &text(cookie)])
    }

    #[test]
    fn one_has_it_or_many_share_it() {
        let mut o = MemoryObject::default();
        ok(by(&mut o, 1, "lock", wish(EXCLUSIVE, "c", "", 0, 0)));
        assert!(o.stored().is_some(), "a lock makes its object");
        assert_eq!(by(&mut o, 1, "lock", wish(EXCLUSIVE, "c", "", 0, 0)), Err(Errno::EEXIST));
        assert_eq!(by(&mut o, 2, "lock", wish(EXCLUSIVE, "c", "", 0, 0)), Err(Errno::EBUSY));
        assert_eq!(by(&mut o, 2, "lock", wish(SHARED, "c", "", 0, 0)), Err(Errno::EBUSY));
        assert_eq!(by(&mut o, 2, "unlock", unlock("c")), Err(Errno::ENOENT));
        ok(by(&mut o, 1, "unlock", unlock("c")));
        for client in [1, 2] {
            ok(by(&mut o, client, "lock", wish(SHARED, "c", "tag", 0, 0)));
        }
        assert_eq!(by(&mut o, 3, "lock", wish(SHARED, "c", "other", 0, 0)), Err(Errno::EBUSY));
        assert_eq!(by(&mut o, 3, "lock", wish(EXCLUSIVE, "c", "tag", 0, 0)), Err(Errno::EBUSY));
        let two = v1(&[&text("l"), &EntityName::client(2), &text("c")]);
        ok(by(&mut o, 9, "break_lock", two.clone()));
        assert_eq!(by(&mut o, 9, "break_lock", two), Err(Errno::ENOENT));
        assert_eq!(ok(by(&mut o, 1, "list_locks", Bytes::new())), v1(&[&vec![text("l")]]));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let mut o = MemoryObject::default();
        for input in [wish(0, "c", "", 0, 0), wish(4, "c", "", 0, 0), wish(SHARED, "c", "", 0, 3)] {
            assert_eq!(by(&mut o, 1, "lock", input), Err(Errno::EINVAL));
        }
        assert_eq!(by(&mut o, 1, "lock", wish(SHARED, "c", "", 0, 2)), Err(Errno::ENOENT));
        let nameless = v1(&[&text(""), &SHARED, &text(""), &text(""), &text(""), &0u64, &0u8]);
        assert_eq!(by(&mut o, 1, "lock", nameless), Err(Errno::EINVAL));
        assert!(o.stored().is_none());
    }

    #[test]
    fn a_lock_ends_by_itself_unless_renewed() {
        let mut o = MemoryObject::default();
        ok(by(&mut o, 1, "lock", wish(EXCLUSIVE, "c", "", 10, 0)));
        o.now.sec += 9;
        ok(by(&mut o, 1, "lock", wish(EXCLUSIVE, "c", "", 10, 1)));
        o.now.sec += 9;
        assert_eq!(by(&mut o, 2, "lock", wish(EXCLUSIVE, "c", "", 10, 0)), Err(Errno::EBUSY));
        o.now.sec += 2;
        assert_eq!(by(&mut o, 1, "lock", wish(EXCLUSIVE, "c", "", 10, 2)), Err(Errno::ENOENT));
        ok(by(&mut o, 2, "lock", wish(EXCLUSIVE, "c", "", 10, 0)));
    }

    #[test]
    fn an_ephemeral_lock_takes_its_object_along() {
        let mut o = MemoryObject::default();
        ok(by(&mut o, 1, "lock", wish(EPHEMERAL, "c", "", 0, 0)));
        ok(by(&mut o, 1, "unlock", unlock("c")));
        assert!(o.stored().is_none());
    }

    #[test]
    fn a_holder_may_change_its_cookie_and_is_known_by_it() {
        let mut o = MemoryObject::default();
        let held =
            |kind: u8, cookie: &str, tag: &str| v1(&[&text("l"), &kind, &text(cookie), &text(tag)]);
        assert_eq!(by(&mut o, 1, "assert_locked", held(SHARED, "a", "t")), Err(Errno::ENOENT));
        for cookie in ["a", "b"] {
            ok(by(&mut o, 1, "lock", wish(SHARED, cookie, "t", 0, 0)));
        }
        let change =
            |from: &str, to: &str| v1(&[&text("l"), &SHARED, &text(from), &text("t"), &text(to)]);
        assert_eq!(by(&mut o, 1, "set_cookie", change("a", "b")), Err(Errno::EBUSY));
        assert_eq!(by(&mut o, 2, "set_cookie", change("a", "c")), Err(Errno::EBUSY));
        ok(by(&mut o, 1, "set_cookie", change("a", "c")));
        ok(by(&mut o, 1, "assert_locked", held(SHARED, "c", "t")));
        for wrong in [held(SHARED, "a", "t"), held(EXCLUSIVE, "c", "t"), held(SHARED, "c", "")] {
            assert_eq!(by(&mut o, 1, "assert_locked", wrong), Err(Errno::EBUSY));
        }
    }
}

#[test]
fn references_keep_an_object_alive() {
    let mut o = MemoryObject::existing();
    let call = |o: &mut MemoryObject, method: &str, tag: &str, implicit: bool| {
        o.call("refcount", method, v1(&[&text(tag), &implicit]))
    };
    ok(call(&mut o, "get", "new", true));
    let read = |o: &mut MemoryObject| ok(o.call("refcount", "read", v1(&[&true])));
    assert_eq!(read(&mut o), v1(&[&vec![text(""), text("new")]]));
    // A tag that is not known puts the implicit reference, once.
    for _ in 0..2 {
        ok(call(&mut o, "put", "old", true));
        assert_eq!(read(&mut o), v1(&[&vec![text("new")]]));
    }
    ok(call(&mut o, "put", "new", true));
    assert!(o.stored().is_none());
    let mut o = MemoryObject::existing();
    assert_eq!(call(&mut o, "put", "a", false), Err(Errno::EINVAL));
    ok(o.call("refcount", "set", v1(&[&vec![text("a")]])));
    ok(o.call("refcount", "set", v1(&[&Vec::<Bytes>::new()])));
    assert!(o.stored().is_none());
}

#[test]
fn versions_count_up_and_guard() {
    let version = |ver: u64, tag: &str| Raw(v1(&[&ver, &text(tag)]));
    let mut o = MemoryObject::existing();
    let read = |o: &mut MemoryObject| ok(o.call("version", "read", Bytes::new()));
    assert_eq!(read(&mut o), v1(&[&version(0, "")]));
    let none = v1(&[&version(0, ""), &0u32]);
    ok(o.call("version", "inc", none));
    let made = &o.stored().unwrap().xattrs[&b"ceph.objclass.version"[..]];
    assert_eq!((made[6], made.len()), (2, 6 + 8 + 4 + 24));
    ok(o.call("version", "set", v1(&[&version(5, "t")])));
    for (cond, ver, tag, holds) in [
        (0, 9, "x", true),
        (1, 5, "t", true),
        (1, 5, "u", false),
        (2, 4, "", true),
        (2, 5, "", false),
        (3, 5, "", true),
        (4, 5, "", false),
        (5, 5, "", true),
        (6, 9, "t", true),
        (7, 9, "t", false),
    ] {
        let condition = Raw(v1(&[&version(ver, tag), &u32::from(cond as u8)]));
        let input = v1(&[&version(0, ""), &1u32, &condition]);
        let expected = if holds { Ok(Bytes::new()) } else { Err(Errno::ECANCELED) };
        let done = o.call("version", "check_conds", input).map(|output| output.data);
        assert_eq!(done, expected, "{cond} {ver} {tag}");
    }
    let if_five = v1(&[&version(0, ""), &1u32, &Raw(v1(&[&version(5, "t"), &1u32]))]);
    ok(o.call("version", "inc_conds", if_five.clone()));
    assert_eq!(o.call("version", "inc_conds", if_five), Err(Errno::ECANCELED));
    assert_eq!(read(&mut o), v1(&[&version(6, "t")]));
}

#[test]
fn a_log_is_listed_and_trimmed_by_time() {
    let mut o = MemoryObject::default();
    let time = |sec| UTime { sec, nsec: 1_500 };
    let entry = |sec: u32, id: &str| {
        let (at, data) = (time(sec), text("data"));
        Raw(versioned(2, &[&text("section"), &text("name"), &at, &data, &text(id)]))
    };
    for sec in [100, 101, 99] {
        ok(o.call("log", "add", versioned(2, &[&1u32, &entry(sec, ""), &true])));
    }
    let keys: Vec<_> = o.stored().unwrap().omap.keys().cloned().collect();
    assert!(keys[0].starts_with(b"1_0000000100.000001_"), "{keys:?}");
    assert!(keys[2].starts_with(b"1_0000000101.000001_"), "time does not go back: {keys:?}");
    let header = v1(&[&Raw(v1(&[&keys[2], &time(101)]))]);
    assert_eq!(ok(o.call("log", "info", v1(&[]))), header);
    let list = |o: &mut MemoryObject, marker: &Bytes, max: i32| {
        ok(o.call("log", "list", v1(&[&UTime::ZERO, marker, &UTime::ZERO, &max])))
    };
    let first = v1(&[&1u32, &entry(100, std::str::from_utf8(&keys[0]).unwrap()), &keys[0], &true]);
    assert_eq!(list(&mut o, &Bytes::new(), 1), first);
    let rest = list(&mut o, &keys[0], 0);
    assert_eq!((rest[6], rest.last()), (2, Some(&0)));
    let until = |sec| versioned(2, &[&UTime::ZERO, &time(sec), &Bytes::new(), &Bytes::new()]);
    ok(o.call("log", "trim", until(100)));
    assert_eq!(o.stored().unwrap().omap.len(), 2);
    assert_eq!(o.call("log", "trim", until(100)), Err(Errno::ENODATA));
    let marker = versioned(2, &[&UTime::ZERO, &UTime::ZERO, &Bytes::new(), &keys[2]]);
    ok(o.call("log", "trim", marker));
    assert!(o.stored().unwrap().omap.is_empty());
}

#[test]
fn numbers_in_an_omap_are_added_and_multiplied() {
    let mut o = MemoryObject::default();
    let call = |o: &mut MemoryObject, method: &str, operand: &str| {
        o.call("numops", method, plain(&[&text("key"), &text(operand)]))
    };
    for (method, operand, value) in
        [("add", "10", "10"), ("add", "-2.5", "7.5"), ("mul", "2", "15"), ("mul", "-0.1", "-1.5")]
    {
        ok(call(&mut o, method, operand));
        assert_eq!(o.stored().unwrap().omap[&b"key"[..]], value);
    }
    assert_eq!(call(&mut o, "add", "two"), Err(Errno::EINVAL));
    o.edit(|stored| drop(stored.omap.insert(text("key"), text("x"))));
    assert_eq!(call(&mut o, "mul", "2"), Err(Errno(74)));
}

#[test]
fn chunks_go_with_their_last_reference() {
    let source =
        |name: &str| HObject::new(PoolId(2), Bytes::new(), Bytes::new(), text(name), SnapId::HEAD);
    let make = |name: &str, flags: u64, data: &str| v1(&[&source(name), &flags, &text(data)]);
    let mut o = MemoryObject::default();
    let create = "chunk_create_or_get_ref";
    assert_eq!(o.call("cas", "chunk_get_ref", v1(&[&source("a")])), Err(Errno::ENOENT));
    ok(o.call("cas", create, make("a", 0, "data")));
    ok(o.call("cas", create, make("b", 1, "data")));
    assert_eq!(o.call("cas", create, make("c", 1, "other")), Err(Errno(42)));
    ok(o.call("cas", "chunk_get_ref", v1(&[&source("a")])));
    assert_eq!(o.call("cas", "references_chunk", plain(&[&text("x")])), Err(Errno(67)));
    assert_eq!(o.call("cas", "chunk_put_ref", v1(&[&source("c")])), Err(Errno(67)));
    for name in ["a", "b", "a"] {
        assert_eq!(o.stored().unwrap().data, b"data");
        ok(o.call("cas", "chunk_put_ref", v1(&[&source(name)])));
    }
    assert!(o.stored().is_none());
}

#[test]
fn omap_entries_change_if_they_compare() {
    let mut o = MemoryObject::existing();
    let n = |n: u64| n.to_bytes(0);
    let map = |values: &[(&str, Bytes)]| -> BTreeMap<Bytes, Bytes> {
        values.iter().map(|(k, v)| (text(k), v.clone())).collect()
    };
    let (u64s, eq, gt) = (2u8, 1u8, 3u8);
    let op = |comparison: u8, values: &[(&str, Bytes)], default: Option<Bytes>| {
        v1(&[&u64s, &comparison, &map(values), &default])
    };
    let set = |o: &mut MemoryObject, input| o.call("cmpomap", "cmp_set_vals", input);
    ok(set(&mut o, op(gt, &[("a", n(1))], None)));
    assert!(o.stored().unwrap().omap.is_empty(), "absent, and no default");
    ok(set(&mut o, op(gt, &[("a", n(1)), ("b", n(0))], Some(Bytes::new()))));
    assert_eq!(o.stored().unwrap().omap, map(&[("a", n(1))]));
    ok(set(&mut o, op(gt, &[("a", n(3))], None)));
    ok(set(&mut o, op(gt, &[("a", n(2))], None)));
    assert_eq!(o.stored().unwrap().omap, map(&[("a", n(3))]));
    let check = |o: &mut MemoryObject, input| o.call("cmpomap", "cmp_vals", input);
    ok(check(&mut o, op(eq, &[("a", n(3))], None)));
    assert_eq!(check(&mut o, op(eq, &[("a", n(4))], None)), Err(Errno::ECANCELED));
    assert_eq!(check(&mut o, op(eq, &[("b", n(0))], None)), Err(Errno::ECANCELED));
    assert_eq!(check(&mut o, op(eq, &[("a", text("short"))], None)), Err(Errno::EINVAL));
    assert_eq!(check(&mut o, op(9, &[("a", n(3))], None)), Err(Errno::EINVAL));
    o.edit(|stored| drop(stored.omap.insert(text("bad"), text("x"))));
    assert_eq!(check(&mut o, op(eq, &[("bad", n(3))], None)), Err(Errno::EIO));
    let remove = v1(&[&u64s, &eq, &map(&[("a", n(3)), ("bad", n(3)), ("c", n(3))])]);
    ok(o.call("cmpomap", "cmp_rm_keys", remove));
    assert_eq!(o.stored().unwrap().omap, map(&[("bad", text("x"))]));
}

#[test]
fn the_methods_of_sdk_find_what_they_wrote() {
    let mut o = MemoryObject::default();
    assert_eq!(o.call("sdk", "test_coverage_replay", Bytes::new()), Err(Errno::ENOENT));
    ok(o.call("sdk", "test_coverage_write", Bytes::new()));
    assert_eq!(o.stored().unwrap().data, b"test");
    ok(o.call("sdk", "test_coverage_replay", Bytes::new()));
    assert!(o.stored().is_none());
}

mod journal {
    use super::*;

    fn call(o: &mut MemoryObject, method: &str, fields: &[&dyn Field]) -> Done {
        o.call("journal", method, plain(fields))
    }

    fn position(tag: u64) -> Raw {
        Raw(v1(&[&1u32, &Raw(v1(&[&0u64, &tag, &1u64]))]))
    }

    fn journal() -> MemoryObject {
        let mut o = MemoryObject::default();
        ok(call(&mut o, "create", &[&24u8, &4u8, &-1i64]));
        o
    }

    fn tags(o: &MemoryObject) -> usize {
        o.stored().unwrap().omap.keys().filter(|key| key.starts_with(b"tag_")).count()
    }

    #[test]
    fn sets_in_use_only_move_forward() {
        let mut o = journal();
        assert_eq!(call(&mut o, "create", &[&24u8, &4u8, &-1i64]), Err(Errno::EEXIST));
        assert_eq!(call(&mut o, "set_minimum_set", &[&1u64]), Err(Errno::EINVAL));
        ok(call(&mut o, "set_active_set", &[&3u64]));
        ok(call(&mut o, "set_minimum_set", &[&2u64]));
        assert_eq!(call(&mut o, "set_minimum_set", &[&1u64]), Err(Errno::ESTALE));
        assert_eq!(call(&mut o, "set_active_set", &[&1u64]), Err(Errno::EINVAL));
        assert_eq!(call(&mut o, "set_active_set", &[&2u64]), Err(Errno::ESTALE));
    }

    #[test]
    fn tags_that_every_client_has_left_behind_expire() {
        let mut o = journal();
        for client in ["a", "b"] {
            ok(call(&mut o, "client_register", &[&text(client), &text("data")]));
        }
        assert_eq!(call(&mut o, "client_register", &[&text("a"), &text("")]), Err(Errno::EEXIST));
        let class = |tid| if tid == 0 { u64::MAX } else { 0 };
        let create = |o: &mut MemoryObject, tid: u64| {
            call(o, "tag_create", &[&tid, &class(tid), &text("tag")])
        };
        for tid in 0..3 {
            ok(create(&mut o, tid));
        }
        assert_eq!(create(&mut o, 2), Err(Errno::EEXIST));
        assert_eq!(create(&mut o, 4), Err(Errno::ESTALE));
        assert_eq!(call(&mut o, "tag_create", &[&3u64, &1u64, &text("")]), Err(Errno::EINVAL));
        ok(call(&mut o, "client_commit", &[&text("a"), &position(2)]));
        ok(create(&mut o, 3));
        assert_eq!(tags(&o), 4, "b has committed nothing");
        ok(call(&mut o, "client_update_state", &[&text("b"), &1u8]));
        ok(create(&mut o, 4));
        assert_eq!(tags(&o), 3, "0 and 1 are gone, b does not count");
        let all = call(&mut o, "tag_list", &[&0u64, &64u64, &text("b"), &0u8]);
        assert_eq!(ok(all)[0], 3);
        let later = call(&mut o, "tag_list", &[&3u64, &64u64, &text("b"), &1u8, &0u64]);
        assert_eq!(ok(later)[0], 1);
        let other = call(&mut o, "tag_list", &[&0u64, &64u64, &text("b"), &1u8, &9u64]);
        assert_eq!(ok(other)[0], 0);
        ok(call(&mut o, "client_unregister", &[&text("b")]));
        assert_eq!(call(&mut o, "client_unregister", &[&text("b")]), Err(Errno::ENOENT));
        assert_eq!(call(&mut o, "get_client", &[&text("b")]), Err(Errno::ENOENT));
    }

    #[test]
    fn a_new_client_begins_where_the_last_one_is() {
        let mut o = journal();
        for (client, tag) in [("a", 7), ("b", 5)] {
            ok(call(&mut o, "client_register", &[&text(client), &text("")]));
            ok(call(&mut o, "client_commit", &[&text(client), &position(tag)]));
        }
        ok(call(&mut o, "client_register", &[&text("c"), &text("")]));
        let client = ok(call(&mut o, "get_client", &[&text("c")]));
        let Raw(five) = position(5);
        assert!(client.windows(five.len()).any(|w| w == five));
        let many = Raw(v1(&[&5u32, &Raw(vec![0; 5 * 30].into())]));
        assert!(call(&mut o, "client_commit", &[&text("c"), &many]).is_err());
    }

    #[test]
    fn entries_are_appended_until_the_object_is_full() {
        let mut o = MemoryObject::default();
        ok(call(&mut o, "append", &[&8u64, &text("0123")]));
        ok(call(&mut o, "append", &[&8u64, &text("456789")]));
        assert_eq!(o.stored().unwrap().data, b"0123456789");
        assert_eq!(call(&mut o, "append", &[&8u64, &text("x")]), Err(Errno::EOVERFLOW));
        assert_eq!(call(&mut o, "guard_append", &[&8u64]), Err(Errno::EOVERFLOW));
        ok(call(&mut o, "guard_append", &[&11u64]));
    }
}

/// All methods but the two of `hello` that break their declaration on purpose.
fn methods() -> Vec<(&'static str, &'static str)> {
    let all = CLASSES.iter().flat_map(|c| c.methods.iter().map(|m| (c.name, m.name)));
    all.filter(|(_, method)| !method.starts_with("bad_")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_input_makes_a_method_panic(
        calls in prop::collection::vec((any::<prop::sample::Index>(), any::<Vec<u8>>()), 1..8),
        stored in any::<Vec<u8>>(),
    ) {
        let methods = methods();
        let mut object = MemoryObject::existing();
        object.edit(|o| {
            o.data = stored.clone();
            for name in ["lock.l", "refcount", "ceph.objclass.version", "chunk_refs"] {
                o.xattrs.insert(text(name), stored.clone().into());
            }
            for key in ["order", "client_a", "tag_0000000000000000", "1_0000000000.000000_"] {
                o.omap.insert(text(key), stored.clone().into());
            }
            o.header = stored.clone().into();
        });
        for (index, input) in calls {
            let (class, method) = index.get(&methods);
            let _ = object.call(class, method, input);
        }
    }
}
