//! The CSI driver over a running cluster, where csi-sanity does not look: contents of snapshots and
//! clones, what outlives what, modes, fences, two nodes.
//!
//! Each test has a mount namespace and a base port of its own, from 22400 on. Needs root: volumes
//! are mounted.

mod driver;

use std::fs;
use std::io::Write;

use driver::{Cluster, alone, capability};
use seabed_proto::csi::volume_capability::access_mode::Mode;
use seabed_proto::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use tonic::Code;

fn of_snapshot(id: &str) -> Option<Type> {
    Some(Type::Snapshot(SnapshotSource { snapshot_id: id.to_owned() }))
}

fn of_volume(id: &str) -> Option<Type> {
    Some(Type::Volume(VolumeSource { volume_id: id.to_owned() }))
}

/// Writes a file that is on the device when this returns.
fn write(path: &std::path::Path, text: &str) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn contents_follow_snapshots_and_clones_and_outlive_their_volumes() {
    alone("contents_follow_snapshots_and_clones_and_outlive_their_volumes", async || {
        let cluster = Cluster::up(22_400);
        let a = cluster.driver("a").await;
        let ext4 = capability(false, Mode::SingleNodeWriter);
        let volume = a.create("one", None, &[]).await.unwrap().volume_id;
        let path = a.bring(&volume, &ext4).await;
        write(&path.join("file"), "first");
        // While it is mounted and written: the controller gets the lock from the node's client.
        let snapshot = a.snapshot("snap", &volume).await.unwrap();
        assert_eq!(a.snapshot("snap", &volume).await.unwrap(), snapshot);
        write(&path.join("file"), "second");
        let clone = a.create("clone", of_volume(&volume), &[]).await.unwrap().volume_id;
        write(&path.join("file"), "third");
        a.take(&volume).await;

        // The volume goes; its snapshot stays, and so does what is made of it.
        a.delete(&volume).await.unwrap();
        a.delete(&volume).await.unwrap();
        assert_eq!(a.get(&volume).await.unwrap_err().code(), Code::NotFound);
        let again = a.create("one", None, &[]).await.unwrap().volume_id;
        assert_ne!(again, volume, "the name is free");
        let id = snapshot.snapshot_id;
        let restored = a.create("restored", of_snapshot(&id), &[]).await.unwrap().volume_id;
        a.delete_snapshot(&id).await.unwrap();
        let gone = a.create("late", of_snapshot(&id), &[]).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound, "{gone}");
        for (volume, text) in [(&restored, "first"), (&clone, "second")] {
            let path = a.bring(volume, &ext4).await;
            assert_eq!(fs::read_to_string(path.join("file")).unwrap(), text);
            a.take(volume).await;
        }
        for volume in [&restored, &clone, &again] {
            a.delete(volume).await.unwrap();
        }
        assert_eq!(cluster.images(), [""; 0]);
        assert_eq!(cluster.volume(&["ls", "rbd"]), "");
    });
}

#[test]
fn modes_are_kept_and_a_fenced_node_writes_no_more() {
    alone("modes_are_kept_and_a_fenced_node_writes_no_more", async || {
        let cluster = Cluster::up(22_420);
        let (a, b) = (cluster.driver("a").await, cluster.driver("b").await);
        let ext4 = capability(false, Mode::SingleNodeWriter);
        let volume = a.create("moves", None, &[]).await.unwrap().volume_id;
        let path = a.bring(&volume, &ext4).await;
        write(&path.join("file"), "of a");
        let refused = b.publish(&volume, "b", &ext4).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(a.get(&volume).await.unwrap().published_node_ids, ["a"]);

        // As if a was cut off: it is unpublished without being asked.
        b.unpublish(&volume, "a").await.unwrap();
        let on_b = b.bring(&volume, &ext4).await;
        assert_eq!(fs::read_to_string(on_b.join("file")).unwrap(), "of a");
        write(&on_b.join("file"), "of b");
        let late = fs::File::create(path.join("late"))
            .and_then(|mut file| file.write_all(b"too late").and_then(|()| file.sync_all()));
        assert!(late.is_err(), "a writes after it was fenced");
        assert_eq!(fs::read_to_string(on_b.join("file")).unwrap(), "of b");
        assert!(!on_b.join("late").exists());
        b.take(&volume).await;

        // Readers on both nodes, on read-only devices.
        let read = capability(false, Mode::MultiNodeReaderOnly);
        a.hide(&volume, "pod").await.unwrap();
        a.unstage(&volume).await.unwrap();
        for node in [&a, &b] {
            let path = node.bring(&volume, &read).await;
            assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "of b");
            assert!(fs::File::create(path.join("new")).is_err());
        }
        for node in [&a, &b] {
            node.take(&volume).await;
        }

        // Raw devices may be written by both, file systems not.
        let shared = capability(false, Mode::MultiNodeMultiWriter);
        let refused = a.publish(&volume, "a", &shared).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        let raw = a.create("raw", None, &[]).await.unwrap().volume_id;
        let shared = capability(true, Mode::MultiNodeMultiWriter);
        let (on_a, on_b) = (a.bring(&raw, &shared).await, b.bring(&raw, &shared).await);
        assert_eq!(a.get(&raw).await.unwrap().published_node_ids, ["a", "b"]);
        fs::File::options().write(true).open(&on_a).unwrap().write_all(&[7; 4096]).unwrap();
        fs::File::open(&on_a).unwrap().sync_all().unwrap();
        assert!(on_b.exists());
        a.take(&raw).await;
        b.take(&raw).await;
        a.delete(&raw).await.unwrap();

        // One pod only.
        let single = capability(false, Mode::SingleNodeSingleWriter);
        a.bring(&volume, &single).await;
        let second = a.show(&volume, &single, "other").await.unwrap_err();
        assert_eq!(second.code(), Code::FailedPrecondition, "{second}");
        assert!(!a.target(&volume).join("other").exists());
        a.take(&volume).await;
        a.delete(&volume).await.unwrap();
        assert_eq!(cluster.images(), [""; 0]);
    });
}

#[test]
fn what_was_not_made_here_is_adopted_and_never_removed() {
    alone("what_was_not_made_here_is_adopted_and_never_removed", async || {
        let cluster = Cluster::up(22_440);
        let a = cluster.driver("a").await;
        let unknown = a.create("x", None, &[("Pool", "rbd")]).await.unwrap_err();
        assert_eq!(unknown.code(), Code::InvalidArgument, "{unknown}");
        assert!(unknown.message().contains("known are pool"), "{unknown}");
        let elsewhere = a.create("x", None, &[("pool", "none")]).await.unwrap_err();
        assert_eq!(elsewhere.code(), Code::FailedPrecondition, "{elsewhere}");

        cluster.volume(&["create", "rbd/mine", "--size", "64M"]);
        let block = capability(true, Mode::SingleNodeWriter);
        let path = a.bring("rbd/mine", &block).await;
        fs::File::options().write(true).open(&path).unwrap().write_all(&[1; 512]).unwrap();
        assert!(!a.get("rbd/mine").await.unwrap().volume_condition.unwrap().abnormal);
        a.take("rbd/mine").await;
        // It holds data that no file system is: none is made over it.
        let ext4 = capability(false, Mode::SingleNodeWriter);
        let context = a.publish("rbd/mine", "a", &ext4).await.unwrap();
        let refused = a.stage("rbd/mine", &ext4, context).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        a.unstage("rbd/mine").await.unwrap();
        a.unpublish("rbd/mine", "a").await.unwrap();
        let kept = a.delete("rbd/mine").await.unwrap_err();
        assert_eq!(kept.code(), Code::FailedPrecondition, "{kept}");
        assert_eq!(cluster.images(), ["mine"]);
    });
}
