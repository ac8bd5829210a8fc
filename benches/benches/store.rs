//! What the block store costs the processor: transactions on devices and records in memory, so that
//! neither a disk nor RocksDB is measured.

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seabed_blockstore::{BlockStore, MkfsOptions, mkfs};
use seabed_cluster::{Collection, GhObject, HObject, OsdId, PgId, PoolId, SnapId, SpgId, Uuid};
use seabed_denc::{Decode, Encode};
use seabed_storage::mem::{MemDevice, MemKv};
use seabed_storage::{ObjectStore, Transaction};

type Store = BlockStore<MemKv, MemDevice>;

const OBJECT_BYTES: u64 = 4 << 20;
const OBJECTS: u64 = 16;
/// Entries that the log of a placement group holds.
const LOG_ENTRIES: u64 = 1000;

fn pg() -> Collection {
    Collection::Pg(SpgId::replicated(PgId::new(PoolId(1), 0)))
}

fn object(n: u64) -> GhObject {
    HObject::new(PoolId(1), "", "", format!("rbd_data.1.{n:016x}"), SnapId::HEAD).into()
}

fn log() -> GhObject {
    GhObject::pg_meta(SpgId::replicated(PgId::new(PoolId(1), 0)))
}

fn store() -> Store {
    let (mut kv, mut device) = (MemKv::new(), MemDevice::new(1 << 30));
    let (uuid, fsid) = (Uuid([1; 16]), Uuid([2; 16]));
    let options = MkfsOptions { uuid, fsid, osd: OsdId(0), force: false };
    mkfs(&mut kv, &mut device, &options).expect("an empty device");
    let mut store = BlockStore::open(kv, device, None).expect("a fresh store");
    let mut tx = Transaction::new();
    tx.make_collection(&pg(), 0).touch(&pg(), &log());
    for n in 0..OBJECTS {
        tx.write(&pg(), &object(n), 0, vec![n as u8; OBJECT_BYTES as usize]);
    }
    store.submit(tx).expect("room");
    store.settle().expect("a device that works");
    store
}

/// As a placement group writes: data, object info, a log entry, and an old one trimmed.
fn write(n: u64, data: Bytes) -> Transaction {
    let (c, o) = (pg(), object(n % OBJECTS));
    let offset = n * 7919 * 4096 % (OBJECT_BYTES - data.len() as u64 + 1) / 4096 * 4096;
    let key = |n: u64| Bytes::from(format!("0000000001.{n:020}"));
    let mut tx = Transaction::new();
    let info = Bytes::from(vec![1; 260]);
    tx.set_attrs(
        &c,
        &o,
        BTreeMap::from([("_".into(), info.clone()), ("snapset".into(), "s".into())]),
    );
    tx.write(&c, &o, offset, data);
    tx.omap_set(&c, &log(), BTreeMap::from([(key(n), info.clone()), ("_fastinfo".into(), info)]));
    tx.omap_rm(&c, &log(), vec![key(n.saturating_sub(LOG_ENTRIES))]);
    tx
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    for (name, bytes) in
        [("write 4 KiB", 4 << 10), ("write 64 KiB", 64 << 10), ("write 4 MiB", 4 << 20)]
    {
        let data = Bytes::from(vec![7; bytes]);
        let (mut store, mut n) = (store(), 0);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                n += 1;
                store.submit(write(n, data.clone())).expect("room");
                store.settle().expect("a device that works")
            });
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    let store = store();
    for (name, bytes) in [("read 4 KiB", 4u64 << 10), ("read 4 MiB", 4 << 20)] {
        group.throughput(Throughput::Bytes(bytes));
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                n += 1;
                let offset = n * 7919 * 4096 % (OBJECT_BYTES - bytes + 1) / 4096 * 4096;
                store.read(&pg(), &object(n % OBJECTS), offset, bytes).expect("data")
            });
        });
    }
    group.finish();
}

fn transactions(criterion: &mut Criterion) {
    let tx = write(1, Bytes::from(vec![7; 4096]));
    let bytes = tx.to_bytes(0);
    criterion.bench_function("transaction encode", |b| b.iter(|| black_box(&tx).to_bytes(0)));
    criterion.bench_function("transaction decode", |b| {
        b.iter(|| Transaction::from_bytes(black_box(bytes.clone())).expect("an encoding"));
    });
}

criterion_group!(benches, writes, reads, transactions);
criterion_main!(benches);
