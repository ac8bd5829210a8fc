//! What a 16.2.15 primary sent when it trimmed: the same transaction, entries and statistics here.

use seabed_cluster::{Collection, GhObject, HObject, IntervalSet, ObjectInfo, PgId, PoolId, SpgId};
use seabed_denc::{Bytes, Decode, Encode};
use seabed_messages::MOsdRepOp;
use seabed_storage::mem::MemStore;
use seabed_storage::{ObjectStore, Transaction};

use super::super::change::Pair;
use crate::WIRE;
use crate::op::ObjectContext;

/// The changes of the recorded PG with snapshots, in order.
fn recorded() -> Vec<(String, MOsdRepOp)> {
    let wanted = |s: &str| s.starts_with("op:") || s == "snaptrim" || s == "b-up";
    crate::tests::recorded::repops("3.0").into_iter().filter(|(s, _)| wanted(s)).collect()
}

fn info(store: &MemStore, coll: &Collection, object: &HObject) -> ObjectInfo {
    let bytes = store.get_attr(coll, &GhObject::from(object.clone()), b"_").unwrap();
    ObjectInfo::from_bytes(bytes).unwrap()
}

#[test]
fn trims_as_recorded() {
    let pg = SpgId::replicated(PgId::new(PoolId(3), 0));
    let coll = Collection::Pg(pg);
    let mut store = MemStore::automatic();
    let mut tx = Transaction::new();
    tx.make_collection(&coll, 0);
    store.submit(tx).unwrap();
    let (mut stats, mut trims) = (None, 0);
    for (situation, repop) in recorded() {
        let want = Transaction::from_bytes(repop.transaction.clone()).unwrap();
        if situation == "snaptrim" {
            trims += 1;
            let clone = &repop.object;
            let head = ObjectContext::load(&store, &coll, &clone.head()).unwrap().unwrap();
            let object = Pair {
                coll,
                info: info(&store, &coll, clone),
                head: head.info,
                snapset: head.snapset,
            };
            let mut removed = IntervalSet::new();
            removed.insert(clone.snap.0, 1);
            let first = &repop.log.0[0];
            let done = object.trim(&removed, first.version, first.mtime).unwrap();
            assert_eq!(done.transaction.to_bytes(WIRE), repop.transaction, "trim {trims}");
            let bytes = |entries: &[seabed_cluster::PgLogEntry]| -> Vec<Bytes> {
                entries.iter().map(|e| e.to_bytes(WIRE)).collect()
            };
            assert_eq!(bytes(&done.entries), bytes(&repop.log.0), "trim {trims}");
            let mut sum: seabed_cluster::ObjectStatSum = stats.take().expect("a change before");
            sum.add(&done.stats);
            // Counted anew with every report, not with changes.
            sum.num_object_copies = repop.stats.stats.sum.num_object_copies;
            assert_eq!(sum, repop.stats.stats.sum, "trim {trims}");
        }
        stats = Some(repop.stats.stats.sum);
        store.submit(want).unwrap();
    }
    assert_eq!(trims, 2);
}
