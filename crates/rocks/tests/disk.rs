//! The store on a real file with its records in RocksDB: a process that writes is killed with
//! SIGKILL again and again, and everything it was told to be committed is there each time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use seabed_blockstore::{BlockStore, MkfsOptions, mkfs};
use seabed_cluster::{Collection, GhObject, HObject, OsdId, PgId, PoolId, SnapId, SpgId, Uuid};
use seabed_rocks::{Limits, RocksKv};
use seabed_storage::{ObjectStore, Transaction, TxId};
use seabed_uring::{Device, Wake, create, open_waking};

type Store = BlockStore<RocksKv, Device>;

const UUID: Uuid = Uuid([3; 16]);
const DEVICE_BYTES: u64 = 64 << 20;
const OBJECTS: u64 = 12;
/// Transactions the child keeps in flight.
const DEPTH: usize = 16;
/// Names the folder to the child; without it the child's test does nothing.
const CHILD: &str = "SEABED_STORE_CHILD";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn parts(dir: &Path) -> (RocksKv, Device, Wake) {
    let wake = Wake::new().unwrap();
    let kv = RocksKv::open(&dir.join("db"), Limits::default(), wake.waker()).unwrap();
    let device = open_waking(&dir.join("device"), &wake).unwrap();
    (kv, device, wake)
}

fn make(dir: &Path) {
    create(&dir.join("device"), DEVICE_BYTES, false).unwrap();
    let (mut kv, mut device, _) = parts(dir);
    let options = MkfsOptions { uuid: UUID, fsid: Uuid([4; 16]), osd: OsdId(1), force: false };
    mkfs(&mut kv, &mut device, &options).unwrap();
    assert!(mkfs(&mut kv, &mut device, &options).is_err(), "never over a store");
    let mut store = BlockStore::open(kv, device, Some(UUID)).unwrap();
    let mut tx = Transaction::new();
    tx.make_collection(&pg(), 0).touch(&pg(), &journal());
    store.submit(tx).unwrap();
    assert_eq!(store.settle().unwrap(), [TxId(1)]);
}

fn open(dir: &Path) -> (Store, Wake) {
    let (kv, device, wake) = parts(dir);
    (BlockStore::open(kv, device, Some(UUID)).unwrap(), wake)
}

fn pg() -> Collection {
    Collection::Pg(SpgId::replicated(PgId::new(PoolId(1), 0)))
}

fn named(name: String) -> GhObject {
    HObject::new(PoolId(1), "", "", name, SnapId::HEAD).into()
}

/// Every transaction leaves its number here.
fn journal() -> GhObject {
    named("journal".into())
}

fn object(n: u64) -> GhObject {
    named(format!("object-{}", n % OBJECTS))
}

/// What transaction `n` writes: where, and what.
fn write_of(n: u64) -> (u64, Bytes) {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let length = 1 + (mixed >> 20) % if n.is_multiple_of(7) { 300_000 } else { 9_000 };
    let byte = (mixed >> 8) as u8;
    (mixed % 50_000, Bytes::from(vec![byte; length as usize]))
}

fn transaction(n: u64) -> Transaction {
    let (c, o) = (pg(), object(n));
    let (offset, data) = write_of(n);
    let mut tx = Transaction::new();
    if n.is_multiple_of(5) {
        // The former content lives on in a clone.
        tx.touch(&c, &o).clone_object(&c, &o, &named(format!("clone-{}", n % 4)));
    }
    tx.write(&c, &o, offset, data);
    tx.set_attr(&c, &o, "n", n.to_string());
    tx.omap_set(&c, &journal(), BTreeMap::from([(key(n), Bytes::from(n.to_string()))]));
    tx
}

fn key(n: u64) -> Bytes {
    format!("{n:012}").into()
}

/// The number of the last transaction in the store; all before it must be there, and nothing else.
fn check(store: &Store) -> u64 {
    let (journal, more) =
        store.omap_range(&pg(), &journal(), std::ops::Bound::Unbounded, usize::MAX).unwrap();
    assert!(!more);
    let last = journal.len() as u64;
    for (n, (k, _)) in (1..).zip(&journal) {
        assert_eq!(*k, key(n), "a hole among the transactions");
    }
    let mut expected: BTreeMap<GhObject, (u64, Vec<u8>)> = BTreeMap::new();
    for n in 1..=last {
        let (offset, data) = write_of(n);
        let (latest, content) = expected.entry(object(n)).or_default();
        let end = offset as usize + data.len();
        content.resize(content.len().max(end), 0);
        content[offset as usize..end].copy_from_slice(&data);
        *latest = n;
    }
    for (o, (n, content)) in expected {
        assert_eq!(store.get_attr(&pg(), &o, b"n").unwrap(), n.to_string());
        assert_eq!(store.read(&pg(), &o, 0, u64::MAX).unwrap(), content, "{o}");
    }
    let report = store.fsck(true).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    last
}

/// The process that is killed: writes on from where the store is, and prints what is committed.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (mut store, wake) = open(Path::new(&dir));
    let mut next = check(&store) + 1;
    let mut numbers = BTreeMap::new();
    let mut out = std::io::stdout().lock();
    loop {
        while store.in_flight() < DEPTH {
            numbers.insert(store.submit(transaction(next)).unwrap(), next);
            next += 1;
        }
        let mut fds = [PollFd::new(&wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap();
        wake.clear();
        for id in store.committed().unwrap() {
            writeln!(out, "committed {}", numbers.remove(&id).unwrap()).unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn killed_again_and_again() {
    let dir = folder();
    make(dir.path());
    let mut last = 0;
    for round in 0..8u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut reported = last;
        let mut started = None;
        // Killed some time after its first commit, each round at another moment.
        let life = Duration::from_millis(40 + round * 37);
        let mut killed = false;
        while let Some(Ok(line)) = lines.next() {
            // The harness writes the test's name before the first of our lines.
            if let Some(n) = line.rsplit("committed ").next().and_then(|n| n.parse::<u64>().ok()) {
                assert_eq!(n, reported + 1, "commits in order of submission");
                reported = n;
                started.get_or_insert_with(Instant::now);
            }
            if !killed && started.is_some_and(|s| s.elapsed() > life) {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself: {:?}", child.wait());
        child.wait().unwrap();
        let (store, _wake) = open(dir.path());
        let found = check(&store);
        assert!(found >= reported, "{reported} were reported, {found} are there");
        println!("round {round}: {reported} reported, {found} there");
        last = found;
    }
    assert!(last > 20, "only {last} transactions");
}

#[test]
fn a_store_needs_its_own_records() {
    let dir = folder();
    make(dir.path());
    let other = folder();
    make(other.path());
    let (kv, device, _wake) = parts(dir.path());
    let wrong = BlockStore::open(kv, device, Some(Uuid([9; 16]))).unwrap_err();
    assert!(wrong.to_string().contains("wanted"), "{wrong}");
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    let (kv, device, _wake) = parts(dir.path());
    let empty = BlockStore::open(kv, device, Some(UUID)).unwrap_err();
    assert!(empty.to_string().contains("no super record"), "{empty}");
}
