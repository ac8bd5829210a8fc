//! The port's promises on a real RocksDB in a temporary folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use seabed_rocks::{Limits, RocksKv};
use seabed_storage::{Batch, KeyValue};

fn open(dir: &std::path::Path) -> (RocksKv, Arc<AtomicUsize>) {
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let waker = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    (RocksKv::open(dir, Limits::default(), waker).unwrap(), woken)
}

#[test]
fn batches_are_ordered_durable_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut kv, woken) = open(dir.path());
    let mut last = None;
    for i in 0..500u32 {
        let mut batch = Batch::new();
        batch.put(format!("k{i:03}"), format!("v{i}"));
        if i > 0 {
            batch.delete(format!("gone{}", i - 1));
        }
        batch.put(format!("gone{i}"), "x");
        last = Some(kv.submit(batch).unwrap());
    }
    kv.write(Batch::new()).unwrap();
    assert!(kv.completed().unwrap() > last.unwrap());
    assert!(woken.load(Ordering::SeqCst) > 0);
    drop(kv);
    let (kv, _) = open(dir.path());
    assert_eq!(kv.get(b"k042").unwrap(), Some(Bytes::from_static(b"v42")));
    assert_eq!(kv.scan(b"gone", b"gonf", 10).unwrap().len(), 1);
}

#[test]
fn ranges_are_half_open() {
    let dir = tempfile::tempdir().unwrap();
    let (mut kv, _) = open(dir.path());
    let mut batch = Batch::new();
    for k in ["a", "b", "c", "d"] {
        batch.put(k, k);
    }
    kv.write(batch).unwrap();
    let keys = |pairs: Vec<(Bytes, Bytes)>| pairs.into_iter().map(|p| p.0).collect::<Vec<_>>();
    assert_eq!(keys(kv.scan(b"b", b"d", 9).unwrap()), ["b", "c"]);
    assert_eq!(keys(kv.scan(b"b", b"e", 2).unwrap()), ["b", "c"]);
    assert!(kv.scan(b"d", b"b", 9).unwrap().is_empty());
    assert_eq!(kv.last(b"a", b"d").unwrap().unwrap().0, "c");
    assert_eq!(kv.last(b"a", b"dd").unwrap().unwrap().0, "d");
    assert_eq!(kv.last(b"e", b"z").unwrap(), None);
    assert_eq!(kv.last(b"0", b"a").unwrap(), None);
    let mut batch = Batch::new();
    batch.delete_range("b", "d");
    kv.write(batch).unwrap();
    assert_eq!(keys(kv.scan(b"a", b"z", 9).unwrap()), ["a", "d"]);
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_kv, _) = open(dir.path());
    let error = RocksKv::open(dir.path(), Limits::default(), Arc::new(|| {})).unwrap_err();
    assert!(error.to_string().starts_with("open: "), "{error}");
}
