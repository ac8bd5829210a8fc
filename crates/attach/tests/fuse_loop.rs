//! `fuse-loop` for real: a file as a block device, with a file system on it.
//!
//! Needs root, `/dev/fuse`, loop devices and e2fsprogs, and fails without them. Every test runs in
//! a mount namespace of its own, in which it starts itself anew; the device's owner is a process
//! of its own (`examples/owner.rs`, built by `cargo test` of the whole package), so that it can be
//! killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use seabed_attach::StateFolder;
use seabed_attach::fuse_loop::{heal_by_force, heal_dead};

const INSIDE: &str = "SEABED_ATTACH_INSIDE";
const MIB: u64 = 1 << 20;
/// Where a test waits for the kernel, this is its end.
const SOON: Duration = Duration::from_secs(30);

/// Runs a test in a mount namespace of its own.
fn alone(test: &str, body: fn(&mut Scene)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(&mut Scene::new());
    }
    assert!(rustix::process::geteuid().is_root(), "attaching needs root: run the tests as root");
    for node in ["/dev/fuse", "/dev/loop-control"] {
        let opened = File::options().read(true).write(true).open(node);
        opened.unwrap_or_else(|error| panic!("{node}: {error}: attaching needs it"));
    }
    let status = Command::new("timeout")
        .args(["-k", "10", "300", "unshare", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}, in its namespace: {status}");
}

/// A folder with an image and a state folder.
struct Scene {
    dir: tempfile::TempDir,
    mounted: Vec<PathBuf>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        let scene = Scene { dir, mounted: Vec::new() };
        scene.resize(64 * MIB);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn state(&self) -> StateFolder {
        StateFolder::open(&self.path("state")).unwrap()
    }

    fn resize(&self, size: u64) {
        let mut options = File::options();
        let image = options.create(true).truncate(false).write(true).open(self.path("image"));
        image.unwrap().set_len(size).unwrap();
    }

    fn attach(&self, io_timeout: Duration) -> Attached {
        self.attach_as(io_timeout, &[])
    }

    fn attach_as(&self, io_timeout: Duration, how: &[&str]) -> Attached {
        let mut child = self.owner(io_timeout, how);
        let words = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut attached = Attached { child, words, answers, device: PathBuf::new() };
        attached.device = attached.hear().into();
        assert!(attached.device.starts_with("/dev/"), "no device: {}", attached.device.display());
        attached
    }

    fn owner(&self, io_timeout: Duration, how: &[&str]) -> Child {
        let owner = std::env::current_exe().unwrap();
        let owner = owner.parent().and_then(Path::parent).unwrap().join("examples/owner");
        Command::new(&owner)
            .arg(self.path("state"))
            .arg("v")
            .arg(self.path("image"))
            .arg(io_timeout.as_millis().to_string())
            .args(how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", owner.display()))
    }

    fn mount(&mut self, device: &Path) {
        run("mount", &[text(device), text(&self.path("mnt"))]);
        self.mounted.push(self.path("mnt"));
    }

    fn unmount(&mut self) {
        run("umount", &[text(&self.mounted.pop().unwrap())]);
    }

    /// Nothing of this scene's mark is left in the kernel.
    fn assert_nothing_left(&self) {
        let mark = self.state().mark().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&mark), "{mounts}");
        eventually("no loop device", || loops().iter().all(|(_, file)| !file.contains(&mark)));
        assert_eq!(fs::read_dir(self.path("state/attached")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.path("state/owner")).unwrap().count(), 0);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for target in &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(target).status();
        }
        // Also of a test that failed: loop devices outlive its namespace.
        if let Err(error) = heal_by_force(&self.state(), "v") {
            eprintln!("{error}");
        }
    }
}

/// A device with its owner.
struct Attached {
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
    device: PathBuf,
}

impl Attached {
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn say(&mut self, word: &str) -> String {
        writeln!(self.words, "{word}").unwrap();
        self.hear()
    }

    /// `discarded`, `zeroed`, `flushes` since the last time.
    fn asked(&mut self) -> [u64; 3] {
        let log = self.say("log");
        let words: Vec<&str> = log.split(' ').collect();
        [1, 3, 5].map(|index| words[index].parse().unwrap())
    }

    fn kill(mut self) {
        kill(&mut self.child);
    }

    fn end(mut self) {
        drop(self.words);
        assert!(self.child.wait().unwrap().success());
    }

    fn number(&self) -> &str {
        text(&self.device).strip_prefix("/dev/loop").unwrap()
    }
}

/// Kills a process, which has to be gone soon.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    eventually("a killed owner is gone", || child.try_wait().unwrap().is_some());
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let done = output(program, arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {}\n{said}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// Reads a block past the cache: what it says.
fn read_block(device: &Path) -> Result<(), String> {
    let input = format!("if={}", device.display());
    let done = output("dd", &[&input, "of=/dev/null", "bs=4096", "count=1", "iflag=direct"]);
    if done.status.success() { Ok(()) } else { Err(String::from_utf8(done.stderr).unwrap()) }
}

/// Writes a block past the cache.
fn write_block(device: &Path) -> Result<(), String> {
    let to = format!("of={}", device.display());
    let done = output("dd", &["if=/dev/zero", &to, "bs=4096", "count=1", "oflag=direct"]);
    if done.status.success() { Ok(()) } else { Err(String::from_utf8(done.stderr).unwrap()) }
}

/// Numbers and files of loop devices.
fn loops() -> Vec<(String, String)> {
    let names = fs::read_dir("/sys/block").unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("loop"))
        .filter_map(|name| {
            let file = format!("/sys/block/{name}/loop/backing_file");
            Some((name, fs::read_to_string(file).ok()?))
        })
        .collect()
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[test]
fn a_file_system_lives_on_it_grows_and_goes() {
    alone("a_file_system_lives_on_it_grows_and_goes", |scene| {
        let mut attached = scene.attach(Duration::from_secs(60));
        let device = attached.device.clone();
        let number = attached.number().to_owned();
        let sysfs = |file: &str| {
            fs::read_to_string(format!("/sys/block/loop{number}/{file}")).unwrap().trim().to_owned()
        };
        assert_eq!(sysfs("loop/dio"), "1");
        assert_eq!(sysfs("queue/logical_block_size"), "512");
        assert_eq!(sysfs("size"), (64 * MIB / 512).to_string());

        // Zeroes that keep their room take another way than those that may give it back.
        run("blkdiscard", &["--zeroout", text(&device)]);
        assert_eq!(attached.asked()[..2], [0, 64 * MIB]);
        run("mkfs.ext4", &["-q", text(&device)]);
        let [discarded, ..] = attached.asked();
        assert!(discarded >= 64 * MIB, "mkfs discards the whole device: {discarded}");
        scene.mount(&device);
        let bytes = pattern(8 << 20);
        write_synced(&scene.path("mnt/kept"), &bytes).unwrap();
        let [_, _, flushes] = attached.asked();
        assert!(flushes > 0, "fsync did not reach the image");

        write_synced(&scene.path("mnt/gone"), &pattern(16 << 20)).unwrap();
        fs::remove_file(scene.path("mnt/gone")).unwrap();
        run("sync", &["-f", text(&scene.path("mnt"))]);
        attached.asked();
        run("fstrim", &[text(&scene.path("mnt"))]);
        let [discarded, ..] = attached.asked();
        assert!(discarded >= 16 * MIB, "only {discarded} bytes were given back");

        scene.resize(128 * MIB);
        let busy = std::thread::spawn({
            let path = scene.path("mnt/busy");
            move || (0..20).try_for_each(|_| write_synced(&path, &pattern(1 << 20)))
        });
        assert_eq!(attached.say("grow"), (128 * MIB).to_string());
        busy.join().unwrap().unwrap();
        assert_eq!(sysfs("size"), (128 * MIB / 512).to_string());
        // ext4 grows mounted for those alone who may exceed their limits; xfs below, for everyone.
        scene.unmount();
        run("e2fsck", &["-f", "-p", text(&device)]);
        run("resize2fs", &[text(&device)]);
        scene.mount(&device);
        let room = rustix::fs::statvfs(scene.path("mnt").as_path()).unwrap();
        assert!(room.f_blocks * room.f_frsize > 100 * MIB);
        write_synced(&scene.path("mnt/late"), &bytes).unwrap();

        let refused = attached.say("detach");
        assert!(refused.contains("in use"), "{refused}");
        assert_eq!(fs::read(scene.path("mnt/late")).unwrap(), bytes);
        scene.unmount();
        assert_eq!(attached.say("detach"), "ok");
        assert_eq!(attached.say("detach"), "ok");
        attached.end();
        scene.assert_nothing_left();

        // What the image has, read without us.
        let image = scene.path("image");
        run("e2fsck", &["-f", "-n", text(&image)]);
        for file in ["late", "kept"] {
            let out = scene.path("out");
            run("debugfs", &["-R", &format!("dump /{file} {}", out.display()), text(&image)]);
            assert!(fs::read(&out).unwrap() == bytes, "{file} differs in the image");
        }
    });
}

#[test]
fn a_file_system_grows_while_it_is_written() {
    alone("a_file_system_grows_while_it_is_written", |scene| {
        scene.resize(320 * MIB);
        let mut attached = scene.attach(Duration::from_secs(60));
        let device = attached.device.clone();
        run("mkfs.xfs", &["-q", text(&device)]);
        scene.mount(&device);
        let busy = std::thread::spawn({
            let path = scene.path("mnt/busy");
            move || (0..40).try_for_each(|_| write_synced(&path, &pattern(1 << 20)))
        });
        for size in [400 * MIB, 512 * MIB] {
            scene.resize(size);
            assert_eq!(attached.say("grow"), size.to_string());
            run("xfs_growfs", &[text(&scene.path("mnt"))]);
            let room = rustix::fs::statvfs(scene.path("mnt").as_path()).unwrap();
            assert!(room.f_blocks * room.f_frsize > size - 100 * MIB);
        }
        busy.join().unwrap().unwrap();
        let bytes = pattern(300 << 20);
        write_synced(&scene.path("mnt/large"), &bytes).unwrap();
        scene.unmount();
        run("xfs_repair", &["-n", text(&device)]);
        scene.mount(&device);
        assert!(fs::read(scene.path("mnt/large")).unwrap() == bytes);
        scene.unmount();
        // No device shrinks.
        scene.resize(256 * MIB);
        let refused = attached.say("grow");
        assert!(refused.contains("has shrunk"), "{refused}");
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn a_dead_owner_is_healed_and_nothing_else() {
    alone("a_dead_owner_is_healed_and_nothing_else", |scene| {
        let attached = scene.attach(Duration::from_secs(60));
        let device = attached.device.clone();
        // Somebody else's loop device, of a file with a name like ours.
        let strange = scene.path("seabed-0000000000000000-v");
        File::create(&strange).unwrap().set_len(MIB).unwrap();
        let other = run("losetup", &["--find", "--show", text(&strange)]).trim().to_owned();

        run("mkfs.ext4", &["-q", text(&device)]);
        scene.mount(&device);
        let bytes = pattern(4 << 20);
        write_synced(&scene.path("mnt/kept"), &bytes).unwrap();
        assert!(heal_dead(&scene.state()).unwrap().is_empty(), "its owner lives");
        attached.kill();
        let failed = write_synced(&scene.path("mnt/lost"), &bytes).unwrap_err();
        assert!([5, 30].contains(&failed.raw_os_error().unwrap()), "{failed}");

        // Another folder's mark is not on it.
        let stranger = StateFolder::open(&scene.path("stranger")).unwrap();
        assert!(heal_dead(&stranger).unwrap().is_empty());
        assert!(heal_by_force(&stranger, "v").unwrap().unmounted.is_empty());

        let [healed] = &heal_dead(&scene.state()).unwrap()[..] else { panic!("not healed") };
        assert_eq!(healed.unmounted, [scene.state().dir().join("attached/v")]);
        assert_eq!(healed.still_open[..], [&*device], "the file system still holds it");
        scene.unmount();
        scene.assert_nothing_left();
        assert!(loops().iter().any(|(name, _)| other.ends_with(name)), "{other} was taken away");
        run("losetup", &["--detach", &other]);

        // A successor needs no healing before it.
        let attached = scene.attach(Duration::from_secs(60));
        let first = attached.device.clone();
        attached.kill();
        let mut attached = scene.attach(Duration::from_secs(60));
        assert!(
            loops().iter().filter(|(_, file)| file.contains(scene.state().mark())).count() == 1
        );
        let fsck = output("e2fsck", &["-p", text(&attached.device)]);
        assert!(fsck.status.code().is_some_and(|code| code <= 1), "{fsck:?} (first {first:?})");
        let device = attached.device.clone();
        scene.mount(&device);
        assert!(fs::read(scene.path("mnt/kept")).unwrap() == bytes, "synced bytes are lost");
        scene.unmount();
        assert_eq!(attached.say("detach"), "ok");
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn an_image_that_fails_or_hangs_is_an_error_in_time() {
    alone("an_image_that_fails_or_hangs_is_an_error_in_time", |scene| {
        let mut attached = scene.attach(Duration::from_secs(2));
        let device = attached.device.clone();
        assert_eq!(read_block(&device), Ok(()));
        assert_eq!(attached.say("fail"), "ok");
        let is_eio = |result: Result<(), String>| {
            let said = result.unwrap_err();
            assert!(said.contains("Input/output error"), "{said}");
        };
        is_eio(read_block(&device));
        is_eio(write_block(&device));
        let condition = attached.say("condition");
        assert!(condition.contains("told to fail"), "{condition}");
        // What was cached and cannot be written.
        assert_eq!(attached.say("work"), "ok");
        let file = File::options().write(true).open(&device).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], 0).unwrap();
        assert_eq!(attached.say("fail"), "ok");
        assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
        // A flush that failed is asked for again, and never taken for done.
        assert_eq!(attached.say("failflush"), "ok");
        for _ in 0..3 {
            assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
        }
        assert_eq!(attached.say("work"), "ok");
        file.sync_all().unwrap();
        drop(file);

        assert_eq!(attached.say("hang"), "ok");
        let begun = Instant::now();
        is_eio(read_block(&device));
        is_eio(write_block(&device));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(4) && waited < SOON, "{waited:?}");
        assert_eq!(attached.say("work"), "ok");
        assert_eq!(read_block(&device), Ok(()));
        assert_eq!(attached.say("condition"), "Working");
        assert_eq!(attached.say("detach"), "ok");
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn a_long_queue_does_not_wait_longer() {
    alone("a_long_queue_does_not_wait_longer", |scene| {
        let mut attached = scene.attach(Duration::from_secs(3));
        let device = attached.device.clone();
        assert_eq!(attached.say("hang"), "ok");
        // Far more than is under way at a time.
        let begun = Instant::now();
        let to = format!("of={}", device.display());
        let flood: Vec<Child> = (0..96)
            .map(|n| {
                let at = format!("seek={n}");
                let words = ["if=/dev/zero", &to, "bs=512K", "count=1", &at, "oflag=direct"];
                Command::new("dd").args(words).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        for mut one in flood {
            assert!(!one.wait().unwrap().success(), "written by an image that hangs");
        }
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(15), "{waited:?}");
        assert_eq!(attached.say("work"), "ok");
        eventually("it works again", || write_block(&device).is_ok());
        assert_eq!(write_block(&device), Ok(()));
        assert_eq!(attached.say("detach"), "ok");
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn a_copy_of_its_mount_elsewhere_does_not_hold_it() {
    alone("a_copy_of_its_mount_elsewhere_does_not_hold_it", |scene| {
        let mut attached = scene.attach(Duration::from_secs(60));
        let mark = scene.state().mark().to_owned();
        let mut copy = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sleep", "300"])
            .spawn()
            .unwrap();
        let theirs = format!("/proc/{}/mountinfo", copy.id());
        let inside = || fs::read_link(format!("/proc/{}/ns/mnt", copy.id())).unwrap();
        let outside = fs::read_link("/proc/self/ns/mnt").unwrap();
        eventually("another namespace", || inside() != outside);
        assert!(fs::read_to_string(&theirs).unwrap().contains(&mark));
        let begun = Instant::now();
        let detached = attached.say("detach");
        let (took, lived) = (begun.elapsed(), copy.try_wait().unwrap().is_none());
        copy.kill().unwrap();
        copy.wait().unwrap();
        assert!(lived, "the other namespace ended first");
        assert_eq!(detached, "ok");
        assert!(took < Duration::from_secs(20), "{took:?}");
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn a_stuck_owner_is_healed_by_force() {
    alone("a_stuck_owner_is_healed_by_force", |scene| {
        let mut attached = scene.attach(Duration::from_secs(250));
        let device = attached.device.clone();
        assert_eq!(attached.say("hang"), "ok");
        let reader = std::thread::spawn({
            let device = device.clone();
            move || read_block(&device)
        });
        let inflight = format!("/sys/block/loop{}/inflight", attached.number());
        eventually("the read is under way", || {
            let text = fs::read_to_string(&inflight).unwrap();
            text.split_whitespace().next() != Some("0")
        });
        let begun = Instant::now();
        let healed = heal_by_force(&scene.state(), "v").unwrap();
        assert_eq!(healed.aborted.len(), 1);
        let said = reader.join().unwrap().unwrap_err();
        assert!(said.contains("Input/output error"), "{said}");
        assert!(begun.elapsed() < SOON);
        attached.kill();
        heal_dead(&scene.state()).unwrap();
        scene.assert_nothing_left();
    });
}

#[test]
fn an_owner_can_be_killed_while_it_attaches() {
    alone("an_owner_can_be_killed_while_it_attaches", |scene| {
        for delay in 0..40 {
            let mut owner = scene.owner(Duration::from_secs(60), &[]);
            std::thread::sleep(Duration::from_millis(delay));
            kill(&mut owner);
        }
        let attached = scene.attach(Duration::from_secs(60));
        assert_eq!(read_block(&attached.device), Ok(()));
        attached.end();
        scene.assert_nothing_left();
    });
}

#[test]
fn an_owner_can_be_killed_while_it_waits_for_its_own_device() {
    alone("an_owner_can_be_killed_while_it_waits_for_its_own_device", |scene| {
        let mut attached = scene.attach(Duration::from_secs(250));
        let device = attached.device.clone();
        let file = File::options().write(true).open(&device).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], 0).unwrap();
        assert_eq!(attached.say("hang"), "ok");
        let inflight = format!("/sys/block/loop{}/inflight", attached.number());
        // It writes out what is cached first, and waits for itself to do it.
        writeln!(attached.words, "detach").unwrap();
        eventually("the write is under way", || {
            let text = fs::read_to_string(&inflight).unwrap();
            text.split_whitespace().nth(1) != Some("0")
        });
        attached.kill();
        assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
        drop(file);
        heal_dead(&scene.state()).unwrap();
        scene.assert_nothing_left();
    });
}

#[test]
fn a_device_for_reading_is_not_written() {
    alone("a_device_for_reading_is_not_written", |scene| {
        let mut attached = scene.attach_as(Duration::from_secs(60), &["ro"]);
        let device = attached.device.clone();
        assert_eq!(run("blockdev", &["--getro", text(&device)]).trim(), "1");
        assert_eq!(read_block(&device), Ok(()));
        write_block(&device).unwrap_err();
        scene.resize(96 * MIB);
        assert_eq!(attached.say("grow"), (96 * MIB).to_string());
        assert_eq!(attached.asked()[..2], [0, 0]);
        attached.end();
        scene.assert_nothing_left();
    });
}
