//! Random transactions give the same reads from the block store, before and after they are
//! durable and after reopening, as from the model.

mod support;

use bytes::Bytes;
use seabed_blockstore::BlockStore;
use seabed_storage::mem::MemStore;
use seabed_storage::{ObjectStore, StoreError, Transaction, TxOp};
use support::*;

const SEEDS: u64 = 40;

#[test]
fn the_block_store_reads_as_the_model() {
    for seed in 0..SEEDS {
        let mut r = Random(seed);
        let mut shape = Shape::default();
        let mut model = MemStore::automatic();
        let mut store = fresh(4 << 20, true);
        let mut tx = Transaction::new();
        tx.make_collection(&pg(0), 0);
        model.submit(tx.clone()).unwrap();
        store.submit(tx).unwrap();
        for step in 0..60 {
            let tx = shape.transaction(&mut r);
            model.submit(tx.clone()).unwrap_or_else(|e| panic!("{seed}/{step}: {e}: {tx:?}"));
            store.submit(tx.clone()).unwrap_or_else(|e| panic!("{seed}/{step}: {e}: {tx:?}"));
            // Some of what is under way completes, in any order.
            for _ in 0..r.below(8) {
                if store.device_mut().queued() > 0 && r.below(3) > 0 {
                    let queued = store.device_mut().queued() as u64;
                    store.device_mut().complete(r.below(queued) as usize);
                } else {
                    store.kv_mut().complete_next(1);
                }
                store.committed().unwrap();
            }
            if step % 5 == 0 {
                assert_eq!(content(&store), content(&model), "seed {seed}, step {step}");
            }
        }
        assert_eq!(content(&store), content(&model), "seed {seed}");
        while store.in_flight() > 0 {
            store.device_mut().complete(0);
            store.kv_mut().complete_next(1);
            store.committed().unwrap();
        }
        assert_eq!(content(&store), content(&model), "seed {seed}, durable");
        assert_clean(&store);
        let before = store.statfs();
        let (kv, device) = store.into_parts();
        let store = BlockStore::open(kv, device, Some(UUID)).unwrap();
        assert_eq!(content(&store), content(&model), "seed {seed}, reopened");
        assert_clean(&store);
        assert_eq!(before, store.statfs());
    }
}

/// A transaction that fails at its end must leave nothing: neither records nor taken blocks nor
/// counts of owners.
#[test]
fn a_refused_transaction_leaves_no_trace() {
    let mut r = Random(99);
    let mut shape = Shape::default();
    let mut store = fresh(4 << 20, false);
    let mut tx = Transaction::new();
    tx.make_collection(&pg(0), 0);
    store.submit(tx).unwrap();
    for _ in 0..60 {
        store.submit(shape.transaction(&mut r)).unwrap();
        store.settle().unwrap();
        let (before, space) = (content(&store), store.statfs());
        let mut bad = shape.clone().transaction(&mut r);
        bad.push_collection(&pg(17), TxOp::RemoveCollection);
        assert!(is_invalid(&store.submit(bad).unwrap_err()));
        assert_eq!(content(&store), before);
        assert_eq!(store.statfs(), space);
    }
    store.settle().unwrap();
    assert_clean(&store);
}

#[test]
fn a_full_device_refuses_and_goes_on() {
    let mut store = fresh(2 << 20, false);
    let mut tx = Transaction::new();
    tx.make_collection(&pg(0), 0);
    store.submit(tx).unwrap();
    let write = |n: u64| {
        let mut tx = Transaction::new();
        tx.write(&pg(0), &object(n), 0, vec![n as u8; 300_000]);
        tx
    };
    let mut n = 0;
    let error = loop {
        match store.submit(write(n)) {
            Ok(_) => n += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert!(n >= 6);
    let mut tx = Transaction::new();
    tx.remove(&pg(0), &object(0));
    store.submit(tx).unwrap();
    // The room is there when the removal is durable, not before.
    assert!(store.submit(write(n)).is_err());
    store.settle().unwrap();
    store.submit(write(n)).unwrap();
    store.settle().unwrap();
    assert_clean(&store);
}

#[test]
fn a_clone_shares_its_blocks() {
    let mut store = fresh(4 << 20, false);
    let (c, a, b) = (pg(0), object(0), object(1));
    let mut tx = Transaction::new();
    tx.make_collection(&c, 0).write(&c, &a, 0, vec![1; 1 << 20]).clone_object(&c, &a, &b);
    store.submit(tx).unwrap();
    store.settle().unwrap();
    let space = store.statfs();
    assert_eq!((space.allocated, space.stored), (1 << 20, 2 << 20));
    let mut tx = Transaction::new();
    tx.write(&c, &a, 4096, vec![2; 4096]);
    store.submit(tx).unwrap();
    store.settle().unwrap();
    assert_eq!(store.statfs().allocated, (1 << 20) + 4096);
    assert_eq!(store.read(&c, &b, 4096, 1).unwrap()[0], 1);
    let mut tx = Transaction::new();
    tx.remove(&c, &a).remove(&c, &b);
    store.submit(tx).unwrap();
    store.settle().unwrap();
    assert_eq!(store.statfs().allocated, 0);
    assert_clean(&store);
}

#[test]
fn nothing_of_a_message_outlives_its_transaction() {
    let mut store = fresh(4 << 20, false);
    let (c, o) = (pg(0), object(0));
    let mut tx = Transaction::new();
    tx.make_collection(&c, 0);
    store.submit(tx).unwrap();
    let message = Bytes::from(vec![7; 1 << 20]);
    let mut tx = Transaction::new();
    tx.write(&c, &o, 0, message.slice(4096..))
        .set_attr(&c, &o, message.slice(..3), message.slice(8..9))
        .set_attrs(&c, &o, [(message.slice(..2), message.slice(..5))].into());
    tx.omap_set_header(&c, &o, message.slice(..6));
    store.submit(tx).unwrap();
    store.settle().unwrap();
    assert_eq!(store.get_attr(&c, &o, &[7; 3]).unwrap(), &[7][..]);
    assert!(message.is_unique(), "a cached record holds a slice of the message");
}
