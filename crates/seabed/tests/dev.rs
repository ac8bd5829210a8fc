//! The contract of `seabed dev`, on the built binary: names, files, exit codes, what stays, what
//! goes. goes.
//!
//! The test process adopts orphans and never reaps them, as PID 1 of a container may do: every
//! daemon that ends stays a zombie, in all tests. Each test has a base port of its own, from 24000
//! on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEABED: &str = env!("CARGO_BIN_EXE_seabed");
/// For what should take a moment, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A folder with a dev cluster; wiped at the end.
struct Dev {
    root: TempDir,
    dir: PathBuf,
    base: u16,
}

impl Dev {
    fn new(name: &str, base: u16) -> Self {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join(name);
        Dev { root, dir, base }
    }

    fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(SEABED);
        command.args(["dev", verb, "--dir"]).arg(&self.dir);
        command
    }

    /// `up` of a new, small cluster.
    fn first(&self) -> Command {
        let mut command = self.verb("up");
        let base = self.base.to_string();
        command.args(["--base-port", &base, "--osd-size", "4G", "--sparse", "--pg-num", "8"]);
        command
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    fn pid(&self, daemon: &str) -> i32 {
        let text = fs::read_to_string(self.dir.join(format!("{daemon}.pid"))).unwrap();
        assert!(text.ends_with('\n'), "{text:?}");
        text.trim_end_matches('\n').parse().unwrap()
    }

    fn pids(&self) -> BTreeMap<&'static str, i32> {
        DAEMONS.iter().map(|d| (*d, self.pid(d))).collect()
    }

    /// Kills a daemon and waits until it is a zombie.
    fn kill(&self, daemon: &str) -> i32 {
        let pid = self.pid(daemon);
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        wait_for("a zombie", || state(pid) == Some('Z'));
        pid
    }

    fn object(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(SEABED);
        command.args(["object", verb, "-p", "rbd", "-c"]).arg(self.conf()).args(words);
        command
    }

    fn put(&self, name: &str, data: &[u8]) {
        let mut put = self.object("put", &[name, "-"]);
        let mut put = put.stdin(Stdio::piped()).spawn().unwrap();
        put.stdin.take().unwrap().write_all(data).unwrap();
        assert!(put.wait().unwrap().success());
    }

    fn get(&self, name: &str) -> Vec<u8> {
        ok(&mut self.object("get", &[name, "-"])).stdout
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.verb("wipe").output();
        if std::thread::panicking() {
            eprintln!("(the folder was {})", self.root.path().display());
        }
    }
}

const DAEMONS: [&str; 4] = ["mon.a", "osd.0", "osd.1", "osd.2"];

fn ok(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

/// Runs what must fail; what it said.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {}", said(&output));
    assert!(!output.stderr.is_empty(), "{command:?} gave no reason");
    said(&output)
}

fn said(output: &Output) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

/// The fields of /proc/PID/stat from the state on.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Ticks of processor time a process has used.
fn ticks(pid: i32) -> u64 {
    let fields = stat(pid).unwrap();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The TCP ports on which a process listens.
fn ports(pid: i32) -> Vec<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|to| Some(to.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        const LISTEN: &str = "0A";
        if words[3] == LISTEN && sockets.iter().any(|s| s == words[9]) {
            let (ip, port) = words[1].split_once(':').unwrap();
            assert_eq!(ip, "0100007F", "not on 127.0.0.1");
            found.push(u16::from_str_radix(port, 16).unwrap());
        }
    }
    found
}

/// Asks the monitor as any client does.
fn ask(conf: &Path, command: Value) -> (i32, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let conf = seabed_rados::Conf::load(conf).unwrap();
        let cluster = seabed_rados::Cluster::connect(&conf).await.unwrap();
        let command = command.to_string();
        let reply = cluster.mon_command(&command, Default::default()).await.unwrap();
        cluster.shutdown().await;
        (reply.code, serde_json::from_slice(&reply.data).unwrap_or(Value::Null))
    })
}

fn some_bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn up_makes_what_scripts_rely_on_and_a_second_up_changes_nothing() {
    let dev = Dev::new("with spaces", 24_000);
    // A relative folder, and a descriptor of the caller that no daemon may keep.
    let script = r#"exec 7>&1 && "$0" dev up --dir "with spaces" "$@" >out.txt 2>&1"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, SEABED, "--base-port", "24000", "--osd-size", "256M", "--sparse"]);
    let mut shell = shell.current_dir(dev.root.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut nothing = Vec::new();
    // Returns at the end of file: when nobody holds descriptor 7 any more.
    shell.stdout.take().unwrap().read_to_end(&mut nothing).unwrap();
    let out = fs::read_to_string(dev.root.path().join("out.txt")).unwrap();
    assert!(shell.wait().unwrap().success(), "{out}");

    let pids = dev.pids();
    for (daemon, pid) in &pids {
        assert!(fs::metadata(dev.dir.join(format!("{daemon}.log"))).unwrap().is_file());
        for port in ports(*pid) {
            assert!((24_000..24_100).contains(&port), "{daemon} listens on {port}");
        }
        assert_eq!(stat(*pid).unwrap()[3], pid.to_string(), "{daemon} has a session of its own");
    }
    assert!(ports(pids["mon.a"]).contains(&24_000));
    for id in 0..3 {
        assert_eq!(fs::metadata(dev.dir.join(format!("osd.{id}.dev"))).unwrap().len(), 256 << 20);
    }
    pool_as_promised(&dev.conf());

    let files = || -> BTreeMap<_, _> {
        let names = ["ceph.conf", "mon.a.pid", "osd.0.pid", "osd.1.pid", "osd.2.pid"];
        let stamp = |n| fs::metadata(dev.dir.join(n)).map(|m| (m.ino(), m.mtime(), m.len()));
        names.into_iter().map(|n| (n, stamp(n).unwrap())).collect()
    };
    let before = files();
    ok(&mut dev.verb("up"));
    assert_eq!((files(), dev.pids()), (before, pids.clone()));
    let status = said(&ok(&mut dev.verb("status")));
    assert!(status.contains("32 PGs active+clean") && status.contains("pools: rbd"), "{status}");

    different_flags_are_refused(&dev);
    assert_eq!(dev.pids(), pids);
    idle_is_idle(&pids);
}

/// Pool and rules as the flags' defaults say.
fn pool_as_promised(conf: &Path) {
    let (_, apps) =
        ask(conf, json!({"prefix": "osd pool application get", "pool": "rbd", "format": "json"}));
    assert_eq!(apps, json!({"rbd": {}}));
    let get = |what: &str| {
        ask(conf, json!({"prefix": "osd pool get", "pool": "rbd", "var": what, "format": "json"})).1
            [what]
            .clone()
    };
    assert_eq!((get("size"), get("min_size"), get("pg_num")), (json!(3), json!(2), json!(32)));
    let (_, rules) = ask(conf, json!({"prefix": "osd crush rule dump", "format": "json"}));
    let text = rules.to_string();
    assert!(text.contains(r#""type":"osd""#) && !text.contains(r#""type":"host""#), "{text}");
    let (code, _) = ask(conf, json!({"prefix": "osd pool create", "pool": "gone", "pg_num": 1}));
    assert_eq!(code, 0);
    let delete = json!({
        "prefix": "osd pool delete", "pool": "gone", "pool2": "gone",
        "yes_i_really_really_mean_it": true,
    });
    assert_eq!(ask(conf, delete).0, 0);
}

fn different_flags_are_refused(dev: &Dev) {
    let cases = [
        ("--osds", "4", "3"),
        ("--base-port", "24050", "24000"),
        ("--osd-size", "1G", "268435456"),
        ("--size", "2", "3"),
        ("--min-size", "1", "2"),
        ("--pool", "other", "rbd"),
        ("--pg-num", "64", "32"),
    ];
    for (flag, value, made) in cases {
        let reason = refused(dev.verb("up").args([flag, value]));
        assert!(reason.contains(&format!("{flag} {made}")), "{reason}");
    }
}

/// A bound for gross mistakes only: other work runs on the machine.
fn idle_is_idle(pids: &BTreeMap<&str, i32>) {
    const SPAN: Duration = Duration::from_secs(5);
    const TICKS_PER_SECOND: u64 = 100;
    let all = || pids.values().map(|pid| ticks(*pid)).sum::<u64>();
    let before = all();
    std::thread::sleep(SPAN);
    let used = all() - before;
    let most = SPAN.as_secs() * TICKS_PER_SECOND * 5 / 100;
    assert!(used < most, "{used} ticks in {SPAN:?}, idle");
}

#[test]
fn data_outlives_down_and_wipe_spares_what_is_foreign() {
    let dev = Dev::new("c", 24_100);
    ok(&mut dev.first());
    let big = some_bytes(9_500_000);
    dev.put("big", &big);
    dev.put("empty", b"");
    object_verbs(&dev);

    ok(&mut dev.verb("down"));
    assert!(DAEMONS.iter().all(|d| !dev.dir.join(format!("{d}.pid")).exists()));
    ok(&mut dev.verb("down"));
    let reason = refused(&mut dev.verb("status"));
    assert!(reason.contains("not running: mon.a, osd.0, osd.1, osd.2"), "{reason}");

    // A conf that got lost comes back; flags are remembered.
    fs::remove_file(dev.conf()).unwrap();
    ok(&mut dev.verb("up"));
    assert_eq!(dev.pids().len(), 4);
    assert!(dev.get("big") == big);
    assert!(dev.get("empty").is_empty());
    ok(&mut dev.verb("status"));

    let pids = dev.pids();
    let foreign = dev.dir.join("notes.txt");
    fs::write(&foreign, "mine").unwrap();
    ok(&mut dev.verb("wipe"));
    assert!(pids.values().all(|pid| matches!(state(*pid), None | Some('Z'))));
    let left: Vec<_> = fs::read_dir(&dev.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    ok(&mut dev.verb("wipe"));
    let reason = refused(&mut dev.verb("status"));
    assert!(reason.contains("no dev cluster in"), "{reason}");
    fs::remove_file(foreign).unwrap();
}

/// What scripts see of `seabed object`.
fn object_verbs(dev: &Dev) {
    let stat = said(&ok(&mut dev.object("stat", &["big"])));
    assert!(stat.contains("size 9500000"), "{stat}");
    // In the order of the placement groups.
    let listed = said(&ok(&mut dev.object("ls", &[])));
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["big", "empty"]);
    let file = dev.root.path().join("file");
    for verb in ["get", "stat", "rm"] {
        let file = file.to_str().unwrap();
        let words = if verb == "get" { vec!["missing", file] } else { vec!["missing"] };
        let reason = refused(&mut dev.object(verb, &words));
        assert!(reason.contains("missing") && reason.contains("ENOENT"), "{reason}");
    }
    assert!(!file.exists(), "no file for an object that is not there");
    let reason = refused(&mut dev.object("put", &["name", "/no/such/file"]));
    assert!(reason.contains("/no/such/file"), "{reason}");
    let mut other = Command::new(SEABED);
    other.args(["object", "ls", "-p", "nopool", "-c"]).arg(dev.conf());
    assert!(refused(&mut other).contains("no such pool: nopool"));
    let mut other = Command::new(SEABED);
    other.args(["object", "ls", "-p", "rbd", "-c", "/no/such/conf"]);
    assert!(refused(&mut other).contains("/no/such/conf"));
}

#[test]
fn up_starts_only_the_dead_under_load_and_though_nobody_reaps_them() {
    let dev = Dev::new("c", 24_200);
    ok(&mut dev.first());
    dev.put("kept", b"kept");
    let before = dev.pids();
    dev.kill("mon.a");
    assert!(refused(&mut dev.verb("status")).contains("not running: mon.a"));
    ok(&mut dev.verb("up"));
    let after = dev.pids();
    for daemon in DAEMONS {
        assert_eq!(before[daemon] == after[daemon], daemon != "mon.a", "{daemon}");
    }
    assert_eq!(dev.get("kept"), b"kept");

    let bench = ["--seconds", "6", "-b", "65536", "-t", "4"];
    let bench = dev.object("bench", &bench).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the bench's first objects", || {
        ok(&mut dev.object("ls", &[])).stdout.starts_with(b"seabed_bench_")
            || said(&ok(&mut dev.object("ls", &[]))).contains("\nseabed_bench_")
    });
    dev.kill("osd.1");
    ok(&mut dev.verb("up"));
    let running = dev.pids();
    for daemon in DAEMONS {
        assert_eq!(running[daemon] == after[daemon], daemon != "osd.1", "{daemon}");
    }
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = said(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("bench write: ") && lines[1].starts_with("bench read: "),
        "{text}"
    );
    assert_eq!(ok(&mut dev.object("ls", &[])).stdout, b"kept\n", "the bench tidies up");
}

/// Kills an `up` at the moment the condition holds, then lets another finish.
fn cut_off(dev: &Dev, reached: &str) {
    let mut up = dev.first().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(reached, || dev.dir.join(reached).exists());
    // May have ended already: then the next one has nothing to do.
    up.kill().unwrap();
    up.wait().unwrap();
    ok(&mut dev.verb("up"));
    assert_eq!(dev.pids().values().filter(|pid| state(**pid) != Some('Z')).count(), 4);
}

#[test]
fn a_first_up_that_was_cut_off_is_finished_by_the_next() {
    for reached in ["mon.a", "osd.1.dev", "mon.a.pid"] {
        let dev = Dev::new("c", 24_300);
        cut_off(&dev, reached);
        dev.put("a", b"b");
        ok(&mut dev.verb("wipe"));
        assert!(!dev.dir.exists());
    }
}

#[test]
fn two_at_the_same_time_take_turns_and_two_clusters_do_not_meet() {
    let dev = Dev::new("c", 24_400);
    let start = || dev.first().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both: [Child; 2] = [start(), start()];
    for up in both {
        let output = up.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    let pids = dev.pids();

    // Another folder, but ports that are taken: refused, and the first cluster goes on.
    let rival = Dev::new("d", 24_400);
    let started = Instant::now();
    let reason = refused(&mut rival.first());
    assert!(reason.contains("mon.a ended"), "{reason}");
    assert!(started.elapsed() < Duration::from_secs(60));
    ok(&mut dev.verb("status"));
    ok(&mut dev.verb("up"));
    assert_eq!(dev.pids(), pids);
}

#[test]
fn devices_are_preallocated_or_refused() {
    let dev = Dev::new("c", 24_500);
    let reason = refused(dev.verb("up").args(["--base-port", "24500", "--osd-size", "100T"]));
    assert!(reason.contains("no room") && reason.contains("--sparse"), "{reason}");
    assert!(!dev.dir.exists(), "a refusal leaves nothing behind");
    let reason = refused(dev.verb("up").args(["--osds", "2"]));
    assert!(reason.contains("--size 3"), "{reason}");
    assert!(!dev.dir.exists());

    let flags = ["--osds", "1", "--size", "1", "--osd-size", "256M", "--pg-num", "1"];
    ok(dev.verb("up").args(["--base-port", "24500", "--pool", "p"]).args(flags));
    let device = fs::metadata(dev.dir.join("osd.0.dev")).unwrap();
    assert!(device.blocks() * 512 >= 256 << 20, "{} blocks", device.blocks());
    assert!(said(&ok(&mut dev.verb("status"))).contains("pools: p"));
    let reason = refused(dev.verb("up").arg("--sparse"));
    assert!(reason.contains("without --sparse"), "{reason}");
}
