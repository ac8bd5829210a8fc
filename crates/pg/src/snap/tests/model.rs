//! One object with any history of writes and snapshots, trimmed in any order: at every step each
//! snapshot that lives reads as it was made, the snapset is whole, and the counters add up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use seabed_cluster::{
    Collection, EVersion, Epoch, GhObject, HObject, IntervalSet, LogOp, ObjectInfo, ObjectStatSum,
    PgId, PoolId, SnapId, SnapSet, SpgId, UTime, object_flag,
};
use seabed_denc::{Bytes, Decode, Encode};
use seabed_storage::mem::MemStore;
use seabed_storage::{ObjectStore, Transaction};

use super::super::change::Pair;
use crate::WIRE;
use crate::op::ObjectContext;

const POOL: PoolId = PoolId(3);

/// What happens to the object before trimming.
#[derive(Debug, Clone)]
enum Act {
    Snapshot,
    Write { at: u64, len: u64 },
    Delete,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => Just(Act::Snapshot),
        4 => (0..40u64, 1..30u64).prop_map(|(at, len)| Act::Write { at, len }),
        1 => Just(Act::Delete),
    ];
    proptest::collection::vec(act, 1..24)
}

/// The object as one copy has it, with a model beside it.
struct World {
    store: MemStore,
    coll: Collection,
    head: HObject,
    version: u64,
    /// Newest first.
    snaps: Vec<SnapId>,
    seq: u64,
    removed: IntervalSet,
    stats: ObjectStatSum,
    /// The head now, and what each snapshot shows.
    now: Option<Vec<u8>>,
    shown: BTreeMap<SnapId, Option<Vec<u8>>>,
}

impl World {
    fn new() -> World {
        let coll = Collection::Pg(SpgId::replicated(PgId::new(POOL, 0)));
        let mut store = MemStore::automatic();
        let mut tx = Transaction::new();
        tx.make_collection(&coll, 0);
        store.submit(tx).unwrap();
        World {
            store,
            coll,
            head: HObject::new(POOL, "", "", "o", SnapId::HEAD),
            version: 0,
            snaps: Vec::new(),
            seq: 1,
            removed: IntervalSet::new(),
            stats: ObjectStatSum::default(),
            now: None,
            shown: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> EVersion {
        self.version += 1;
        EVersion::new(Epoch(1), self.version)
    }

    fn head_context(&self) -> ObjectContext {
        ObjectContext::load(&self.store, &self.coll, &self.head).unwrap().unwrap()
    }

    fn gh(&self, snap: SnapId) -> GhObject {
        GhObject::from(self.head.with_snap(snap))
    }

    /// Makes a clone if a snapshot was taken since the last one, as every write does first.
    fn clone_if_due(&mut self, tx: &mut Transaction, context: &mut ObjectContext) {
        let seen = context.snapset.seq;
        let new: Vec<SnapId> = self.snaps.iter().copied().filter(|s| *s > seen).collect();
        if context.exists && !new.is_empty() {
            let id = SnapId(self.seq);
            let (from, to) =
                (GhObject::from(self.head.clone()), GhObject::from(self.head.with_snap(id)));
            let mut info = context.info.clone();
            info.soid = self.head.with_snap(id);
            tx.clone_object(&self.coll, &from, &to);
            tx.rm_attr(&self.coll, &to, Bytes::from_static(b"snapset"));
            tx.set_attr(&self.coll, &to, Bytes::from_static(b"_"), info.to_bytes(WIRE));
            let set = &mut context.snapset;
            set.clones.push(id);
            set.clone_size.insert(id, context.info.size);
            let mut whole = IntervalSet::new();
            whole.insert(0, context.info.size);
            set.clone_overlap.insert(id, whole);
            set.clone_snaps.insert(id, new);
            self.stats.num_objects += 1;
            self.stats.num_object_clones += 1;
            self.stats.num_objects_dirty += 1;
        }
        context.snapset.seq = SnapId(self.seq);
    }

    fn store_head(&mut self, mut tx: Transaction, mut context: ObjectContext) {
        let version = self.next();
        context.info.version = version;
        let gh = self.gh(SnapId::HEAD);
        let attrs = BTreeMap::from([
            (Bytes::from_static(b"_"), context.info.to_bytes(WIRE)),
            (Bytes::from_static(b"snapset"), context.snapset.to_bytes(WIRE)),
        ]);
        tx.set_attrs(&self.coll, &gh, attrs);
        self.store.submit(tx).unwrap();
    }

    fn write(&mut self, at: u64, len: u64) {
        let mut context = self.head_context();
        let mut tx = Transaction::new();
        self.clone_if_due(&mut tx, &mut context);
        let stored = context.exists || context.info.is_whiteout();
        if !context.exists {
            self.stats.num_whiteouts -= i64::from(context.info.is_whiteout());
            self.stats.num_objects += i64::from(!stored);
            self.stats.num_objects_dirty += i64::from(!stored);
            context.info.set(object_flag::WHITEOUT, false);
            context.info.set(object_flag::DIRTY, true);
            context.info.size = 0;
        }
        if let Some(overlap) =
            context.snapset.clones.last().and_then(|c| context.snapset.clone_overlap.get_mut(c))
        {
            let before = overlap.size();
            overlap.erase(at, len);
            self.stats.num_bytes += before as i64 - overlap.size() as i64;
        }
        let size = context.info.size.max(at + len);
        self.stats.num_bytes += size as i64 - context.info.size as i64;
        context.info.size = size;
        let byte = self.version as u8 | 1;
        let gh = self.gh(SnapId::HEAD);
        tx.write(&self.coll, &gh, at, Bytes::from(vec![byte; len as usize]));
        self.store_head(tx, context);
        let now = self.now.get_or_insert_default();
        now.resize(now.len().max((at + len) as usize), 0);
        now[at as usize..(at + len) as usize].fill(byte);
    }

    fn delete(&mut self) {
        let mut context = self.head_context();
        if !context.exists {
            return;
        }
        let mut tx = Transaction::new();
        self.clone_if_due(&mut tx, &mut context);
        self.stats.num_bytes -= context.info.size as i64;
        if let Some(overlap) =
            context.snapset.clones.last().and_then(|c| context.snapset.clone_overlap.get_mut(c))
        {
            self.stats.num_bytes += overlap.size() as i64;
            *overlap = IntervalSet::new();
        }
        let gh = self.gh(SnapId::HEAD);
        tx.remove(&self.coll, &gh);
        self.now = None;
        if context.snapset.clones.is_empty() {
            self.stats.num_objects -= 1;
            self.stats.num_objects_dirty -= 1;
            self.next();
            self.store.submit(tx).unwrap();
            return;
        }
        tx.create(&self.coll, &gh);
        context.info.size = 0;
        context.info.set(object_flag::WHITEOUT, true);
        self.stats.num_whiteouts += 1;
        self.store_head(tx, context);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Snapshot => {
                self.seq += 1;
                self.snaps.insert(0, SnapId(self.seq));
                self.shown.insert(SnapId(self.seq), self.now.clone());
            }
            Act::Write { at, len } => self.write(*at, *len),
            Act::Delete => self.delete(),
        }
    }

    /// Removes a snapshot and trims the clones that serve it, as the primary does.
    fn remove(&mut self, snap: SnapId) {
        self.removed.insert(snap.0, 1);
        self.snaps.retain(|s| *s != snap);
        self.shown.remove(&snap);
        let set = self.head_context().snapset;
        let served =
            |id: &&SnapId| set.clone_snaps.get(*id).is_some_and(|snaps| snaps.contains(&snap));
        for id in set.clones.iter().filter(served) {
            let head = self.head_context();
            let bytes = self.store.get_attr(&self.coll, &self.gh(*id), b"_").unwrap();
            let info = ObjectInfo::from_bytes(bytes).unwrap();
            let clone = Pair { coll: self.coll, info, head: head.info, snapset: head.snapset };
            let version = self.next();
            let done = clone.trim(&self.removed, version, UTime::default()).unwrap();
            self.next();
            let entries: Vec<EVersion> = done.entries.iter().map(|e| e.version).collect();
            assert_eq!(entries, [version, EVersion { version: version.version + 1, ..version }]);
            let goes = done.entries[0].op == LogOp::Delete;
            assert_eq!(goes, done.entries[0].snap_ids().unwrap().is_empty());
            self.stats.add(&done.stats);
            self.store.submit(done.transaction).unwrap();
        }
    }

    fn read(&self, snap: SnapId) -> Vec<u8> {
        let size = self.store.stat(&self.coll, &self.gh(snap)).unwrap().size;
        self.store.read(&self.coll, &self.gh(snap), 0, size).unwrap().to_vec()
    }

    /// What a client reads at a snapshot.
    fn read_at(&self, snap: SnapId) -> Option<Vec<u8>> {
        let context = self.head_context();
        if snap > context.snapset.seq {
            return context.exists.then(|| self.read(SnapId::HEAD));
        }
        let clone = *context.snapset.clones.iter().find(|c| **c >= snap)?;
        let serves = context.snapset.clone_snaps[&clone].contains(&snap);
        serves.then(|| self.read(clone))
    }

    fn check(&self) {
        for (snap, shown) in &self.shown {
            assert_eq!(&self.read_at(*snap), shown, "snapshot {snap}");
        }
        let (all, _) =
            self.store.list(&self.coll, &GhObject::min(), &GhObject::max(), 1000).unwrap();
        let stored: BTreeSet<SnapId> = all.iter().map(|o| o.hobj.snap).collect();
        let context = self.head_context();
        let set = &context.snapset;
        let clones: BTreeSet<SnapId> = set.clones.iter().copied().collect();
        let heads = stored.contains(&SnapId::HEAD);
        assert_eq!(stored.iter().filter(|s| **s != SnapId::HEAD).count(), clones.len());
        assert!(clones.is_subset(&stored) && (heads || clones.is_empty()));
        assert!(context.exists || !clones.is_empty() || !heads, "a whiteout of nothing");
        for ids in [
            set.clone_size.keys().copied().collect::<BTreeSet<_>>(),
            set.clone_overlap.keys().copied().collect(),
            set.clone_snaps.keys().copied().collect(),
        ] {
            assert_eq!(ids, clones);
        }
        self.check_overlaps(set);
        let clone_bytes: u64 = set.clones.iter().map(|c| set.clone_bytes(*c)).sum();
        let bytes = clone_bytes as i64 + if context.exists { context.info.size as i64 } else { 0 };
        let want = (bytes, stored.len() as i64, clones.len() as i64);
        let s = &self.stats;
        assert_eq!((s.num_bytes, s.num_objects, s.num_object_clones), want);
        assert_eq!(s.num_objects_dirty, s.num_objects);
        assert_eq!(s.num_whiteouts, i64::from(heads && !context.exists));
    }

    /// What a clone is said to share with the next newer object is the same there.
    fn check_overlaps(&self, set: &SnapSet) {
        for (n, id) in set.clones.iter().enumerate() {
            let newer = set.clones.get(n + 1).copied().unwrap_or(SnapId::HEAD);
            let (mine, theirs) = (self.read(*id), self.read(newer));
            assert_eq!(set.clone_size[id], mine.len() as u64);
            for (start, len) in set.clone_overlap[id].iter() {
                let range = start as usize..(start + len) as usize;
                assert_eq!(mine[range.clone()], theirs[range]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn trimmed_in_any_order(acts in acts(), order in any::<u64>()) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            world.check();
        }
        let mut draw = order;
        while !world.snaps.is_empty() {
            draw = draw.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let snap = world.snaps[(draw >> 33) as usize % world.snaps.len()];
            world.remove(snap);
            world.check();
        }
        // Nothing is left but a head that exists, with what was written last.
        let set = world.head_context().snapset;
        prop_assert!(set.clones.is_empty());
        let (from, to) = (GhObject::min(), GhObject::max());
        let stored = world.store.list(&world.coll, &from, &to, 9).unwrap().0;
        prop_assert_eq!(stored.len(), usize::from(world.now.is_some()));
        if let Some(now) = &world.now {
            prop_assert_eq!(&world.read(SnapId::HEAD), now);
        }
    }
}
