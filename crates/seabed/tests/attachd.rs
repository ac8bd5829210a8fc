//! `seabed csi attachd` over a running cluster: file systems on volumes while processes are killed,
//! volumes grow, clients are fenced, and the cluster goes away.
//!
//! Needs root, `/dev/fuse`, loop devices, e2fsprogs and xfsprogs, and fails without them. Every
//! test runs in a mount namespace of its own, in which it starts itself anew, with a cluster of its
//! own; base ports are from 24600 on.

mod node;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use node::{
    Node, SEABED, alone, eventually, ok, output, pattern, text, write_direct, write_synced,
};
use rustix::process::Signal;
use seabed_attachd::{ClientError, OpenRequest};

const MIB: u64 = 1 << 20;

#[test]
fn a_file_system_outlives_its_owner_and_grows() {
    alone("a_file_system_outlives_its_owner_and_grows", |root| {
        let node = Node::up(root, 24600, &["--io-timeout", "60"]);
        node.create("v", 320 * MIB);
        let (device, _) = node.attach(&node.words("v"));
        let mnt = node.folder("mnt");
        ok("mkfs.xfs", &["-q", text(&device)]);
        ok("mount", &[text(&device), text(&mnt)]);
        let bytes = pattern(24 << 20);
        write_synced(&mnt.join("kept"), &bytes).unwrap();

        // Restarted clients see the same volume; asked again, it answers as before.
        assert_eq!(node.attach(&node.words("v")).0, device);
        let other = OpenRequest { read_only: true, ..node.words("v") };
        assert!(matches!(node.open(&other), Err(ClientError::OtherWords(_))));
        assert!(matches!(node.detach("v", false), Err(ClientError::Busy(_))));
        assert!(node.list()[0].failure.is_empty());

        // Grown while it is written.
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) || count == 0 {
                    write_synced(&mnt.join("busy"), &bytes[..1 << 20])?;
                    count += 1;
                }
                std::io::Result::Ok(count)
            });
            node.seabed(&["volume", "-c", node.conf(), "resize", "rbd/v", "--size", "512M"]);
            assert_eq!(node.grow("v"), 512 * MIB);
            ok("xfs_growfs", &[text(&mnt)]);
            stop.store(true, Ordering::Relaxed);
            assert!(busy.join().unwrap().unwrap() > 0);
        });
        let room = rustix::fs::statvfs(mnt.as_path()).unwrap();
        assert!(room.f_blocks * room.f_frsize > 400 * MIB);

        // Its owner is killed under I/O: errors, at once, and no hang.
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                (0..).find_map(|n| write_synced(&mnt.join(format!("lost{n}")), &bytes).err())
            });
            std::thread::sleep(Duration::from_millis(300));
            node.signal(Signal::KILL);
            let begun = Instant::now();
            let error = busy.join().unwrap().unwrap();
            assert!([5, 30].contains(&error.raw_os_error().unwrap()), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(30));
        });
        ok("umount", &[text(&mnt)]);

        // A successor heals, and the data is right.
        assert!(node.list().is_empty());
        node.assert_no_loops();
        let (device, _) = node.attach(&node.words("v"));
        ok("mount", &[text(&device), text(&mnt)]);
        assert!(fs::read(mnt.join("kept")).unwrap() == bytes);
        ok("umount", &[text(&mnt)]);
        ok("xfs_repair", &["-n", text(&device)]);
        node.detach("v", false).unwrap();
        node.detach("v", false).unwrap();
        node.assert_no_loops();
        assert!(node.list().is_empty());

        // A reader's device is not written, and shows the same.
        let reader = OpenRequest { read_only: true, ..node.words("v") };
        let (device, _) = node.attach(&reader);
        assert_eq!(ok("blockdev", &["--getro", text(&device)]).trim(), "1");
        ok("mount", &["-o", "ro,norecovery", text(&device), text(&mnt)]);
        assert!(fs::read(mnt.join("kept")).unwrap() == bytes);
        ok("umount", &[text(&mnt)]);
        node.detach("v", false).unwrap();
    });
}

#[test]
fn io_survives_a_dead_osd_and_ends_without_a_cluster() {
    alone("io_survives_a_dead_osd_and_ends_without_a_cluster", |root| {
        const TIMEOUT: u64 = 40;
        let node = Node::up(root, 24620, &["--io-timeout", &TIMEOUT.to_string()]);
        node.create("v", 256 * MIB);
        let (device, _) = node.attach(&node.words("v"));
        let mnt = node.folder("mnt");
        ok("mkfs.ext4", &["-q", text(&device)]);
        ok("mount", &[text(&device), text(&mnt)]);
        let bytes = pattern(8 << 20);
        for round in 0..4 {
            if round == 1 {
                node.kill_daemon("osd.1");
            }
            write_synced(&mnt.join(format!("file{round}")), &bytes).unwrap();
        }
        ok("umount", &[text(&mnt)]);
        ok("e2fsck", &["-f", "-n", text(&device)]);
        ok("mount", &[text(&device), text(&mnt)]);
        for round in 0..4 {
            assert!(fs::read(mnt.join(format!("file{round}"))).unwrap() == bytes);
        }
        ok("umount", &[text(&mnt)]);
        assert!(node.list()[0].failure.is_empty());

        for daemon in ["osd.0", "osd.2", "mon.a"] {
            node.kill_daemon(daemon);
        }
        let begun = Instant::now();
        let error = write_direct(&device, 0, &bytes[..4096]).unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.raw_os_error(), Some(5));
        assert!(took >= Duration::from_secs(TIMEOUT) && took < Duration::from_secs(TIMEOUT + 20));
        assert!(node.list()[0].failure.contains("no answer in"), "{:?}", node.list());
        let begun = Instant::now();
        node.detach("v", true).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(TIMEOUT));
        node.assert_no_loops();
        assert!(node.list().is_empty());
    });
}

#[test]
fn a_fence_hits_one_volume() {
    alone("a_fence_hits_one_volume", |root| {
        let node = Node::up(root, 24640, &["--io-timeout", "60"]);
        for name in ["a", "b"] {
            node.create(name, 64 * MIB);
        }
        let (fenced, address) = node.attach(&node.words("a"));
        let (other, its_address) = node.attach(&node.words("b"));
        assert_ne!(address, its_address);
        let (kept, lost) = (pattern(4096), vec![7; 4096]);
        write_direct(&fenced, 0, &kept).unwrap();
        write_direct(&other, 0, &kept).unwrap();

        let epoch = node.blocklist(&address);
        let begun = Instant::now();
        let error = write_direct(&fenced, 0, &lost).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
        assert!(begun.elapsed() < Duration::from_secs(30), "refused, not waited for");
        let failure = &node.list()[0].failure;
        assert!(failure.contains("ESHUTDOWN"), "{failure}");
        write_direct(&other, 4096, &kept).unwrap();
        assert!(node.list()[1].failure.is_empty());

        // It stays dead. Opened anew it has another client, which nobody has fenced.
        write_direct(&fenced, 0, &lost).unwrap_err();
        node.detach("a", true).unwrap();
        let words = OpenRequest { fence_epoch: epoch, ..node.words("a") };
        let (device, fresh) = node.attach(&words);
        assert_ne!(fresh, address);
        let mut found = vec![0; 4096];
        File::open(&device).unwrap().read_exact_at(&mut found, 0).unwrap();
        assert!(found == kept, "a fenced write came through");
        write_direct(&device, 0, &lost).unwrap();
        for name in ["a", "b"] {
            node.detach(name, false).unwrap();
        }
        node.assert_no_loops();
    });
}

#[test]
fn it_ends_when_it_holds_nothing_and_not_before() {
    alone("it_ends_when_it_holds_nothing_and_not_before", |root| {
        let node = Node::up(root, 24660, &["--grace", "2"]);
        node.create("v", 64 * MIB);
        // Started by many at once, one stays.
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| node.list().len())).collect();
            all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), 0));
        });
        eventually("one stays", || node.owners().len() == 1);
        let (device, _) = node.attach(&node.words("v"));

        // Told to end while it has a device, it goes on, and takes no other.
        node.signal(Signal::TERM);
        eventually("it says that it stays", || node.log().contains("ends with the last"));
        write_direct(&device, 0, &pattern(4096)).unwrap();
        node.create("w", 64 * MIB);
        assert!(matches!(node.open(&node.words("w")), Err(ClientError::Ending(_))));
        assert_eq!(node.owners().len(), 1);
        node.detach("v", false).unwrap();
        eventually("it ends with its last device", || node.owners().is_empty());

        // Called again it is there again; left alone it ends.
        node.attach(&node.words("w"));
        node.detach("w", false).unwrap();
        assert_eq!(node.owners().len(), 1);
        eventually("it ends when nobody calls", || node.owners().is_empty());
        assert!(!seabed_attachd::socket_path(&node.state_dir()).exists());

        let said = output(
            SEABED,
            &["csi", "doctor", "--conf", node.conf(), "-o", "json", "--attach", "fuse-loop"],
        );
        assert!(said.status.success(), "{said:?}");
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(said["chosen"], "fuse-loop");
        assert_eq!(said["cluster"]["reached"], true);
        let said = output(SEABED, &["csi", "doctor", "--conf", "/nowhere"]);
        assert!(!said.status.success());
        assert!(String::from_utf8_lossy(&said.stdout).contains("ublk       no: not built yet"));
    });
}
