//! A node with a cluster of its own, for tests of attached volumes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use seabed_attachd::{Client, ClientError, Launcher, OpenRequest, OpenResponse, Volume};
use tempfile::TempDir;

pub(crate) const SEABED: &str = env!("CARGO_BIN_EXE_seabed");
const INSIDE: &str = "SEABED_ATTACHD_INSIDE";
/// Where a test waits for something, this is its end.
const SOON: Duration = Duration::from_secs(60);

/// Runs a test in a mount namespace of its own.
pub(crate) fn alone(test: &str, body: fn(TempDir)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(tempfile::tempdir().unwrap());
    }
    assert!(rustix::process::geteuid().is_root(), "attaching needs root: run the tests as root");
    let status = Command::new("timeout")
        .args(["-k", "10", "500", "unshare", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}, in its namespace: {status}");
}

/// A node and its cluster; wiped at the end.
pub(crate) struct Node {
    root: TempDir,
    conf: String,
    more: Vec<String>,
}

impl Node {
    /// Brings a cluster up. Owners of devices are started with these arguments.
    pub(crate) fn up(root: TempDir, port: u16, more: &[&str]) -> Self {
        let conf = text(&root.path().join("c/ceph.conf")).to_owned();
        let node = Node { root, conf, more: more.iter().map(|word| (*word).into()).collect() };
        let (dir, port) = (node.path("c"), port.to_string());
        let size = ["--osd-size", "4G", "--sparse", "--pg-num", "8"];
        let up = ["dev", "up", "--dir", text(&dir), "--base-port", &port];
        node.seabed(&[&up[..], &size[..]].concat());
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }

    pub(crate) fn conf(&self) -> &str {
        &self.conf
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn seabed(&self, words: &[&str]) -> String {
        ok(SEABED, words)
    }

    pub(crate) fn create(&self, name: &str, size: u64) {
        let (image, size) = (format!("rbd/{name}"), size.to_string());
        self.seabed(&["volume", "-c", &self.conf, "create", &image, "--size", &size]);
    }

    pub(crate) fn words(&self, name: &str) -> OpenRequest {
        OpenRequest {
            volume_id: name.into(),
            pool: "rbd".into(),
            image: name.into(),
            ..OpenRequest::default()
        }
    }

    /// Calls the owner of the node's devices, which is started if need be.
    fn call<T>(&self, work: impl AsyncFnOnce(Client) -> T) -> T {
        let launcher = Launcher {
            program: SEABED.into(),
            state_dir: self.state_dir(),
            conf: self.conf.as_str().into(),
            more: self.more.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { work(launcher.ensure_running().await.unwrap()).await })
    }

    pub(crate) fn open(&self, words: &OpenRequest) -> Result<OpenResponse, ClientError> {
        self.call(async |client| client.open(words.clone()).await)
    }

    /// Opens and attaches: the device, and the client's address.
    pub(crate) fn attach(&self, words: &OpenRequest) -> (PathBuf, String) {
        let opened = self.open(words).unwrap();
        let attached = self.call(async |client| client.attach(&words.volume_id).await).unwrap();
        assert_eq!(attached.size, opened.size);
        (attached.device.into(), opened.client_address)
    }

    pub(crate) fn detach(&self, name: &str, force: bool) -> Result<(), ClientError> {
        self.call(async |client| client.detach(name, force).await)
    }

    pub(crate) fn grow(&self, name: &str) -> u64 {
        self.call(async |client| client.grow(name).await).unwrap()
    }

    pub(crate) fn list(&self) -> Vec<Volume> {
        self.call(async |client| client.list().await).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(seabed_attachd::log_path(&self.state_dir())).unwrap_or_default()
    }

    /// Processes that own devices of this node, or would.
    pub(crate) fn owners(&self) -> Vec<u32> {
        let state = self.state_dir();
        let ours = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.contains(&&b"attachd"[..]) && words.contains(&text(&state).as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries.filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok()).filter(ours).collect()
    }

    /// Signals the owner of the node's devices.
    pub(crate) fn signal(&self, signal: Signal) {
        let [pid] = self.owners()[..] else { panic!("{:?} run", self.owners()) };
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        if signal == Signal::KILL {
            eventually("a killed owner is gone", || self.owners().is_empty());
        }
    }

    pub(crate) fn kill_daemon(&self, daemon: &str) {
        let pid = fs::read_to_string(self.path("c").join(format!("{daemon}.pid"))).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    /// Shuts a client out; the epoch that says so.
    pub(crate) fn blocklist(&self, address: &str) -> u32 {
        let conf = seabed_rados::Conf::load(self.conf.as_ref()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cluster = seabed_rados::Cluster::connect(&conf).await.unwrap();
            let client = address.parse().unwrap();
            let epoch = cluster.blocklist(&client, None).await.unwrap().0;
            cluster.shutdown().await;
            epoch
        })
    }

    /// No loop device of this node's is left.
    pub(crate) fn assert_no_loops(&self) {
        let mark = fs::read_to_string(self.state_dir().join("mark")).unwrap();
        let ours = || {
            let names = fs::read_dir("/sys/block").unwrap();
            let names = names.map(|entry| entry.unwrap().path().join("loop/backing_file"));
            names.filter_map(|file| fs::read_to_string(file).ok()).any(|file| file.contains(&mark))
        };
        eventually("no loop device is left", || !ours());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&mark), "{mounts}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let dir = self.path("c");
        if std::thread::panicking() {
            eprintln!("attachd said:\n{}", self.log());
        }
        for pid in self.owners() {
            let _ = Pid::from_raw(pid.cast_signed())
                .map(|pid| rustix::process::kill_process(pid, Signal::KILL));
        }
        let _ = Command::new("umount").arg("-l").arg(self.path("mnt")).output();
        // Loop devices outlive the namespace.
        if let Ok(state) = seabed_attach::StateFolder::open(&self.state_dir()) {
            let _ = seabed_attach::fuse_loop::heal_dead(&state);
        }
        let _ = Command::new(SEABED).args(["dev", "wipe", "--dir", text(&dir)]).output();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub(crate) fn ok(program: &str, arguments: &[&str]) -> String {
    let done = output(program, arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {}\n{said}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes to a device, and syncs it.
pub(crate) fn write_direct(device: &Path, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let flags = rustix::fs::OFlags::DSYNC.bits().cast_signed();
    let file = File::options().write(true).custom_flags(flags).open(device)?;
    file.write_all_at(bytes, offset)?;
    file.sync_all()
}
