//! Mirroring: mode, peers, images, status, instances.
//!
//! The expectations are those of Ceph's own test of its class, told in short.

use std::collections::BTreeMap;

use seabed_classes::rbd::{MirrorImage, MirrorImageMap, MirrorPeer};
use seabed_classes::testing::MemoryObject;
use seabed_cluster::{Errno, UTime};
use seabed_denc::{Bytes, Decode, Encode, Reader};

use super::{ask, b, tell};

fn peer(uuid: &str, direction: u8, site: &str, client: &str, mirror_uuid: &str) -> MirrorPeer {
    MirrorPeer {
        uuid: b(uuid),
        site_name: b(site),
        client_name: b(client),
        mirror_peer_direction: direction,
        mirror_uuid: b(mirror_uuid),
        ..MirrorPeer::default()
    }
}

const RX: u8 = 0;
const TX: u8 = 1;
const RX_TX: u8 = 2;

fn mirrored() -> MemoryObject {
    let mut object = MemoryObject::default();
    tell(&mut object, "mirror_uuid_set", b("own")).unwrap();
    tell(&mut object, "mirror_mode_set", 1u32).unwrap();
    object
}

#[test]
fn mirroring_is_switched_on_in_order() {
    let mut object = MemoryObject::default();
    assert_eq!(ask::<Bytes>(&mut object, "mirror_uuid_get", ()), Err(Errno::ENOENT));
    let early = tell(&mut object, "mirror_peer_add", peer("1", RX, "A", "c", ""));
    assert_eq!(early, Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "mirror_mode_set", 1u32), Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "mirror_uuid_set", b("")), Err(Errno::EINVAL));
    let mut object = mirrored();
    assert_eq!(&object.stored().unwrap().omap[&b("mirror_uuid")], "own");
    assert_eq!(ask::<Bytes>(&mut object, "mirror_uuid_get", ()), Ok(b("own")));
    assert_eq!(tell(&mut object, "mirror_uuid_set", b("new")), Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "mirror_remote_namespace_set", b("ns")), Err(Errno::EINVAL));
    assert_eq!(tell(&mut object, "mirror_mode_set", 3u32), Err(Errno::EINVAL));
    tell(&mut object, "mirror_mode_set", 2u32).unwrap();
    assert_eq!(ask::<u32>(&mut object, "mirror_mode_get", ()), Ok(2));
    tell(&mut object, "mirror_peer_add", peer("1", RX, "A", "c", "")).unwrap();
    assert_eq!(tell(&mut object, "mirror_mode_set", 0u32), Err(Errno::EBUSY));
    tell(&mut object, "mirror_peer_remove", b("1")).unwrap();
    tell(&mut object, "mirror_mode_set", 0u32).unwrap();
    tell(&mut object, "mirror_remote_namespace_set", b("ns")).unwrap();
    assert_eq!(ask::<Bytes>(&mut object, "mirror_remote_namespace_get", ()), Ok(b("ns")));
    tell(&mut object, "mirror_mode_set", 0u32).unwrap();
    assert!(object.stored().unwrap().omap.is_empty());
}

#[test]
fn peers_are_distinct_and_make_themselves_known() {
    let mut object = mirrored();
    let add = |object: &mut MemoryObject, peer| tell(object, "mirror_peer_add", peer);
    let list =
        |object: &mut MemoryObject| ask::<Vec<MirrorPeer>>(object, "mirror_peer_list", ()).unwrap();
    add(&mut object, peer("1", RX, "A", "client", "fsidA")).unwrap();
    for (other, error) in [
        (peer("own", RX, "B", "client", ""), Errno::EINVAL),
        (peer("2", TX, "B", "client", ""), Errno::EINVAL),
        (peer("2", RX, "B", "", ""), Errno::EINVAL),
        (peer("1", RX, "B", "client", ""), Errno::ESTALE),
        (peer("2", RX, "A", "client", ""), Errno::EEXIST),
        (peer("2", RX, "B", "client", "fsidA"), Errno::EEXIST),
    ] {
        assert_eq!(add(&mut object, other), Err(error));
    }
    add(&mut object, peer("3", RX, "C", "admin", "")).unwrap();
    assert_eq!(tell(&mut object, "mirror_peer_set_client", (b("4"), b("x"))), Err(Errno::ENOENT));
    let taken = tell(&mut object, "mirror_peer_set_cluster", (b("3"), b("A")));
    assert_eq!(taken, Err(Errno::EEXIST));
    tell(&mut object, "mirror_peer_set_cluster", (b("3"), b("D"))).unwrap();
    tell(&mut object, "mirror_peer_remove", b("1")).unwrap();
    let ping = |object: &mut MemoryObject, site: &str, uuid: &str| {
        tell(object, "mirror_peer_ping", (b(site), b(uuid), TX))
    };
    assert_eq!(ping(&mut object, "", "u"), Err(Errno::EINVAL));
    ping(&mut object, "D", "u").unwrap();
    let last_seen = object.now;
    let known = MirrorPeer { last_seen, ..peer("3", RX_TX, "D", "admin", "u") };
    assert_eq!(list(&mut object), [known]);
    tell(&mut object, "mirror_peer_remove", b("3")).unwrap();
    ping(&mut object, "A", "u").unwrap();
    let new = list(&mut object).remove(0);
    assert_eq!((new.uuid.len(), new.mirror_peer_direction, new.site_name), (36, TX, b("A")));
}

fn mirror_image(global: &str, state: u8) -> MirrorImage {
    MirrorImage { global_image_id: b(global), state, ..MirrorImage::default() }
}

#[test]
fn mirrored_images_keep_their_global_id() {
    let mut object = MemoryObject::default();
    let set = |object: &mut MemoryObject, id: &str, global: &str, state| {
        tell(object, "mirror_image_set", (b(id), mirror_image(global, state)))
    };
    set(&mut object, "1", "u1", 1).unwrap();
    assert_eq!(set(&mut object, "2", "u2", 0), Err(Errno::ENOENT));
    set(&mut object, "2", "u2", 1).unwrap();
    assert_eq!(set(&mut object, "1", "u2", 1), Err(Errno::EINVAL));
    assert_eq!(set(&mut object, "3", "u2", 1), Err(Errno::EEXIST));
    assert_eq!(ask::<Bytes>(&mut object, "mirror_image_get_image_id", b("u2")), Ok(b("2")));
    assert_eq!(ask(&mut object, "mirror_image_get", b("1")), Ok(mirror_image("u1", 1)));
    let ids: BTreeMap<Bytes, Bytes> =
        ask(&mut object, "mirror_image_list", (b("1"), 9u64)).unwrap();
    assert_eq!(ids, BTreeMap::from([(b("2"), b("u2"))]));
    assert_eq!(tell(&mut object, "mirror_image_remove", b("1")), Err(Errno::EBUSY));
    set(&mut object, "1", "u1", 0).unwrap();
    tell(&mut object, "mirror_image_remove", b("1")).unwrap();
    assert_eq!(tell(&mut object, "mirror_image_remove", b("1")), Err(Errno::ENOENT));
}

/// State, description, time, up.
type Status = (u8, Bytes, UTime, bool);

#[test]
fn a_status_holds_while_its_sender_watches() {
    let mut object = mirrored();
    for i in 1..=3 {
        let image = mirror_image(&format!("u{i}"), 1);
        tell(&mut object, "mirror_image_set", (b(&i.to_string()), image)).unwrap();
    }
    // What a client sends: a version 1 envelope for the local site, 2 for another.
    let set = |object: &mut MemoryObject, global: &str, site: &str, state: u8| {
        let status: Status = (state, Bytes::new(), UTime::ZERO, false);
        let body = match site {
            "" => status.to_bytes(0),
            site => (b(site), status).to_bytes(0),
        };
        let version = if site.is_empty() { 1u8 } else { 2 };
        tell(object, "mirror_image_status_set", (b(global), (version, version, body)))
    };
    let summary = |object: &mut MemoryObject, direction: u8| {
        let peers = vec![peer("p", direction, "A", "c", "fsidA")];
        ask::<BTreeMap<u8, i32>>(object, "mirror_image_status_get_summary", peers).unwrap()
    };
    let status = |object: &mut MemoryObject, global: &str| {
        let output = object.call("rbd", "mirror_image_status_get", b(global).to_bytes(0))?;
        let mut r = Reader::new(output.data.slice(6..));
        let local = Status::decode(&mut r).unwrap();
        Ok::<_, Errno>((local, <(bool, u32)>::decode(&mut r).unwrap()))
    };
    assert_eq!(status(&mut object, "u1"), Err(Errno::ENOENT));
    set(&mut object, "nobody", "", 4).unwrap();
    assert_eq!(status(&mut object, "nobody"), Err(Errno::ENOENT));
    set(&mut object, "u1", "", 4).unwrap();
    let now = object.now;
    let down: Status = (4, Bytes::new(), now, false);
    assert_eq!(status(&mut object, "u1"), Ok((down, (true, 0))));
    assert_eq!(summary(&mut object, RX), BTreeMap::from([(0, 3)]));
    let instance = object.call("rbd", "mirror_image_instance_get", b("u1").to_bytes(0));
    assert_eq!(instance, Err(Errno::ESTALE));

    object.watchers.push(object.caller);
    set(&mut object, "u1", "", 1).unwrap();
    set(&mut object, "u2", "", 4).unwrap();
    set(&mut object, "u3", "", 4).unwrap();
    for (global, state) in [("u1", 4), ("u2", 4), ("u3", 0)] {
        set(&mut object, global, "fsidA", state).unwrap();
    }
    let up: Status = (1, Bytes::new(), now, true);
    assert_eq!(status(&mut object, "u1"), Ok((up, (true, 1))));
    assert_eq!(summary(&mut object, RX), BTreeMap::from([(1, 1), (4, 2)]));
    assert_eq!(summary(&mut object, TX), BTreeMap::from([(0, 1), (4, 2)]));
    assert_eq!(summary(&mut object, RX_TX), BTreeMap::from([(0, 1), (1, 1), (4, 1)]));
    assert!(object.call("rbd", "mirror_image_instance_get", b("u1").to_bytes(0)).is_ok());

    object.watchers.clear();
    assert_eq!(summary(&mut object, RX_TX), BTreeMap::from([(0, 3)]));
    tell(&mut object, "mirror_image_status_remove_down", ()).unwrap();
    assert_eq!(status(&mut object, "u1"), Err(Errno::ENOENT));
    let statuses = |key: &Bytes| key.starts_with(b"status_") || key.starts_with(b"remote_");
    assert!(!object.stored().unwrap().omap.keys().any(statuses));
}

#[test]
fn instances_and_their_images_are_listed() {
    let mut object = MemoryObject::default();
    tell(&mut object, "mirror_instances_add", b("1")).unwrap();
    tell(&mut object, "mirror_instances_add", b("2")).unwrap();
    tell(&mut object, "mirror_instances_remove", b("1")).unwrap();
    assert_eq!(ask::<Vec<Bytes>>(&mut object, "mirror_instances_list", ()), Ok(vec![b("2")]));
    let map = MirrorImageMap { instance_id: b("2"), data: b("test"), ..MirrorImageMap::default() };
    tell(&mut object, "mirror_image_map_update", (b("u1"), &map)).unwrap();
    tell(&mut object, "mirror_image_map_update", (b("u2"), &map)).unwrap();
    tell(&mut object, "mirror_image_map_remove", b("u1")).unwrap();
    let maps: BTreeMap<Bytes, MirrorImageMap> =
        ask(&mut object, "mirror_image_map_list", (b(""), 9u64)).unwrap();
    assert_eq!(maps, BTreeMap::from([(b("u2"), map)]));
}
