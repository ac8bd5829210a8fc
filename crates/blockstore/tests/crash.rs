//! Power loss at every step: after reopening, what was reported committed is there, and the rest
//! is there as a prefix of whole transactions; the check finds nothing wrong.

mod support;

use seabed_blockstore::BlockStore;
use seabed_storage::mem::{Fault, FaultyDevice, MemDevice, MemKv, MemStore};
use seabed_storage::{ObjectStore, StoreError, Transaction};
use support::*;

/// Runs of the workload, each with its own interleaving.
const SEEDS: u64 = 12;
/// Transactions of a run.
const TRANSACTIONS: usize = 14;
/// Draws of what an unflushed write becomes, for each cut.
const CRASHES: u64 = 3;

/// A run of the store and, beside it, the model after each transaction.
struct Run {
    store: MemBlockStore,
    shape: Shape,
    random: Random,
    /// The model after 0, 1, 2, … transactions.
    models: Vec<MemStore>,
    committed: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Run {
            store: fresh(4 << 20, true),
            shape: Shape::default(),
            random: Random(seed),
            models: vec![MemStore::automatic()],
            committed: 0,
        };
        let mut tx = Transaction::new();
        tx.make_collection(&pg(0), 0);
        run.submit(tx);
        run
    }

    fn submit(&mut self, tx: Transaction) {
        let mut model = self.models.last().unwrap().clone();
        model.submit(tx.clone()).unwrap();
        self.models.push(model);
        self.store.submit(tx).unwrap();
    }

    /// One event; false when there is nothing left to do.
    fn step(&mut self) -> bool {
        let r = &mut self.random;
        let more = self.models.len() <= TRANSACTIONS;
        let queued = self.store.device_mut().queued() as u64;
        match r.below(4) {
            0 if more => {
                let tx = self.shape.transaction(r);
                self.submit(tx);
            }
            1 | 2 if queued > 0 => self.store.device_mut().complete(r.below(queued) as usize),
            _ => self.store.kv_mut().complete_next(1),
        }
        // Sometimes the news is not fetched, so that durable and reported differ.
        if self.random.below(2) == 0 {
            self.committed += self.store.committed().unwrap().len();
        }
        more || self.store.in_flight() > 0
    }
}

fn replay(seed: u64, steps: u64) -> (Run, bool) {
    let mut run = Run::new(seed);
    let mut going = true;
    for _ in 0..steps {
        going = run.step();
    }
    (run, going)
}

fn crash_and_reopen(run: Run, draw: u64) -> (MemBlockStore, Vec<MemStore>, usize) {
    let mut random = Random(draw);
    let (mut kv, mut device) = run.store.into_parts();
    kv.crash(random.below(2) as usize);
    device.crash(&mut || random.next());
    let store = BlockStore::open(kv, device, Some(UUID)).expect("a crashed store opens");
    (store, run.models, run.committed)
}

#[test]
fn a_cut_at_any_step_keeps_what_was_reported() {
    let (mut cuts, mut later) = (0u64, 0u64);
    for seed in 0..SEEDS {
        for steps in 1.. {
            let mut going = true;
            for draw in 0..CRASHES {
                let (run, more) = replay(seed, steps);
                going = more;
                let (store, models, committed) = crash_and_reopen(run, seed + steps * 31 + draw);
                let found = content(&store);
                let at = (committed..models.len()).find(|&n| content(&models[n]) == found);
                let at = at.unwrap_or_else(|| {
                    let n = (0..committed).rev().find(|&n| content(&models[n]) == found);
                    panic!("seed {seed}, {steps} steps: {committed} reported, found {n:?}")
                });
                later += u64::from(at > committed);
                assert_clean(&store);
                cuts += 1;
            }
            if !going {
                break;
            }
        }
    }
    println!("{cuts} cuts, {later} with more on the disk than was reported");
    assert!(cuts > 500 && later > 0);
}

/// After a crash the store takes transactions and survives another crash.
#[test]
fn crash_after_crash() {
    for seed in 0..SEEDS {
        let (run, _) = replay(seed, 25);
        let mut shape = Shape::default();
        let (mut store, models, _) = crash_and_reopen(run, seed);
        let found = content(&store);
        let mut model = models.iter().find(|m| content(*m) == found).unwrap().clone();
        // Learn the objects that survived.
        shape.bits = found.bits.values().copied().max().unwrap_or(0);
        let sizes = found.objects.iter().map(|((_, o), x)| (o.clone(), x.data.len() as u64));
        shape.sizes = sizes.collect();
        if found.bits.is_empty() {
            continue;
        }
        let mut random = Random(seed + 1000);
        for _ in 0..20 {
            let tx = shape.transaction(&mut random);
            model.submit(tx.clone()).unwrap();
            store.submit(tx).unwrap();
            while store.in_flight() > 0 {
                store.device_mut().complete(0);
                store.kv_mut().complete_next(1);
                store.committed().unwrap();
            }
        }
        let (mut kv, mut device) = store.into_parts();
        kv.crash(0);
        device.crash(&mut || random.next());
        let store = BlockStore::open(kv, device, Some(UUID)).unwrap();
        assert_eq!(content(&store), content(&model));
        assert_clean(&store);
    }
}

type Faulty = BlockStore<MemKv, FaultyDevice<MemDevice>>;

fn faulty() -> Faulty {
    let (kv, device) = fresh(4 << 20, false).into_parts();
    let mut store = BlockStore::open(kv, FaultyDevice::new(device), None).unwrap();
    let mut tx = Transaction::new();
    tx.make_collection(&pg(0), 0).write(&pg(0), &object(0), 0, vec![1; 20_000]);
    store.submit(tx).unwrap();
    assert_eq!(store.settle().unwrap().len(), 1);
    store
}

/// The operation that fails: the write, the flush.
#[test]
fn a_failed_write_or_flush_is_fatal_and_reported_once_and_never_audible() {
    for failing in 0..2 {
        let mut store = faulty();
        store.device_mut().inject(failing, Fault::Error(5));
        let mut tx = Transaction::new();
        tx.write(&pg(0), &object(1), 0, vec![2; 4096]);
        store.submit(tx.clone()).unwrap();
        let error = (0..9).find_map(|_| store.committed().err()).unwrap();
        assert!(matches!(error, StoreError::Device(_)), "{error}");
        assert!(matches!(store.committed(), Err(StoreError::Dead)));
        assert!(matches!(store.submit(tx), Err(StoreError::Dead)));
        assert!(matches!(store.stat(&pg(0), &object(0)), Err(StoreError::Dead)));
        let (mut kv, device) = store.into_parts();
        kv.crash(9);
        let store = BlockStore::open(kv, device, None).unwrap();
        assert!(!store.exists(&pg(0), &object(1)).unwrap());
        assert_clean(&store);
    }
}

#[test]
fn a_failed_sync_of_the_records_is_fatal() {
    let mut store = faulty();
    store.kv_mut().fail();
    let mut tx = Transaction::new();
    tx.write(&pg(0), &object(1), 0, vec![2; 4096]);
    store.submit(tx).unwrap();
    let error = (0..9).find_map(|_| store.committed().err()).unwrap();
    assert!(matches!(error, StoreError::KeyValue(_)), "{error}");
    assert!(matches!(store.committed(), Err(StoreError::Dead)));
}

/// What a device does in silence is found by the checksum on reading, never returned as data.
#[test]
fn silent_faults_are_found_on_reading() {
    for fault in [Fault::Lost, Fault::Torn, Fault::Misdirected(40)] {
        let mut store = faulty();
        store.device_mut().inject(0, fault);
        let mut tx = Transaction::new();
        tx.write(&pg(0), &object(1), 0, vec![2; 16_384]);
        store.submit(tx).unwrap();
        store.settle().unwrap();
        let error = store.read(&pg(0), &object(1), 0, 16_384).unwrap_err();
        assert!(matches!(error, StoreError::ChecksumMismatch { .. }), "{fault:?}: {error}");
        assert!(!store.fsck(true).unwrap().is_clean());
        // Nothing else is hurt, and writing the whole object heals it.
        assert_eq!(store.read(&pg(0), &object(0), 0, 99_999).unwrap().len(), 20_000);
        let mut tx = Transaction::new();
        tx.write(&pg(0), &object(1), 0, vec![3; 16_384]);
        store.submit(tx).unwrap();
        store.settle().unwrap();
        assert_eq!(store.read(&pg(0), &object(1), 0, 1).unwrap()[0], 3);
    }
}

#[test]
fn a_slow_device_is_not_a_broken_one() {
    let mut store = faulty();
    store.device_mut().inject(0, Fault::Slow(20));
    let mut tx = Transaction::new();
    tx.write(&pg(0), &object(1), 0, vec![2; 4096]);
    store.submit(tx).unwrap();
    let mut tx = Transaction::new();
    tx.set_attr(&pg(0), &object(1), "late", "x");
    store.submit(tx).unwrap();
    // The second has no data of its own and must wait for the first all the same.
    for _ in 0..20 {
        assert_eq!(store.committed().unwrap().len(), 0);
    }
    assert_eq!(store.read(&pg(0), &object(1), 0, 9999).unwrap().len(), 4096);
    let done = (0..30).map(|_| store.committed().unwrap().len()).sum::<usize>();
    assert_eq!(done, 2);
}
