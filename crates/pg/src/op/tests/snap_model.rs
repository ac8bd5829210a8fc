//! Random writes, snapshots, rollbacks and removals of snapshots against a model: what the object
//! was at each snapshot.
//!
//! After every step each snapshot shows what it should, and what the PG counts and the snapset
//! claims is compared with what lies in the store.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seabed_cluster::object_flag;
use seabed_messages::{OpArgs, OpCode};

use super::model::{Model, Step, steps, stored};
use super::*;

#[derive(Debug, Clone)]
enum Event {
    Write(Vec<Step>),
    Snapshot,
    /// Forgets the nth snapshot.
    Remove(usize),
    /// Back to the nth snapshot, with writes before and behind it in the same request.
    Rollback(Vec<Step>, usize, Vec<Step>),
}

fn events() -> impl Strategy<Value = Event> {
    let vector = |n| proptest::collection::vec(steps(), 0..n);
    prop_oneof![
        4 => proptest::collection::vec(steps(), 1..4).prop_map(Event::Write),
        3 => Just(Event::Snapshot),
        1 => (0usize..8).prop_map(Event::Remove),
        2 => (vector(2), 0usize..8, vector(2)).prop_map(|(a, n, b)| Event::Rollback(a, n, b)),
    ]
}

#[derive(Default)]
struct History {
    now: Option<Model>,
    then: BTreeMap<SnapId, Option<Model>>,
    newest: SnapId,
}

impl History {
    fn nth(&self, n: usize) -> Option<SnapId> {
        self.then.keys().nth(n % self.then.len().max(1)).copied()
    }

    fn request(&self, ops: Vec<OsdOp>) -> MOsdOp {
        let snaps = self.then.keys().rev().copied().collect();
        MOsdOp { snap_seq: self.newest, snaps, ..request("o", ops) }
    }

    /// A whiteout that lost its reason, or never had one, can be deleted although it does not exist
    /// for clients: as in Ceph. The model knows nothing of it.
    fn without_odd_deletes(&self, world: &World, vector: &[Step]) -> Vec<Step> {
        let head = world.context(&request("o", vec![]).hobject());
        let set = &head.snapset;
        let bare = head.info.is_whiteout() && set.clones.is_empty() && self.newest <= set.seq;
        vector.iter().filter(|s| !bare || !matches!(s, Step::Delete)).cloned().collect()
    }

    fn write(&mut self, world: &mut World, vector: &[Step]) {
        let vector = self.without_odd_deletes(world, vector);
        if vector.is_empty() {
            return;
        }
        let mut next = self.now.clone();
        let wanted = vector.iter().try_for_each(|s| s.apply(&mut next)).err().unwrap_or(0);
        let message = self.request(vector.iter().map(Step::op).collect());
        let (_, reply) = world.run(&message);
        assert_eq!(reply.result, wanted);
        if wanted == 0 {
            self.now = next;
        }
    }

    fn rollback(&mut self, world: &mut World, before: &[Step], to: SnapId, behind: &[Step]) {
        let before = self.without_odd_deletes(world, before);
        let behind = self.without_odd_deletes(world, behind);
        let mut next = self.now.clone();
        let mut wanted = before.iter().try_for_each(|s| s.apply(&mut next));
        // Nothing has changed since: what the request wrote itself stays.
        let head = world.context(&request("o", vec![]).hobject());
        let unchanged = head.exists && to > head.snapset.seq;
        if !unchanged {
            next = self.then[&to].clone();
        }
        wanted = wanted.and_then(|()| behind.iter().try_for_each(|s| s.apply(&mut next)));
        let rollback = OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap: to }, Bytes::new());
        let ops = before.iter().map(Step::op).chain([rollback]).chain(behind.iter().map(Step::op));
        let (_, reply) = world.run(&self.request(ops.collect()));
        assert_eq!(reply.result, wanted.err().unwrap_or(0));
        if wanted.is_ok() {
            self.now = next;
        }
    }
}

/// What the client reads at a snapshot, data and attributes.
fn read_at(world: &mut World, snap: SnapId) -> Option<(Bytes, Bytes)> {
    let ops =
        vec![OsdOp::extent(OpCode::Read, 0, 0, ""), OsdOp::plain(OpCode::GetXattrs, Bytes::new())];
    let (_, reply) = world.run(&MOsdOp { snap, ..request("o", ops) });
    let out = |i: usize| reply.ops[i].0.indata.clone();
    (reply.result == 0).then(|| (out(0), out(1))).or_else(|| {
        assert_eq!(reply.result, -2);
        None
    })
}

fn check_reads(world: &mut World, history: &History) {
    let head = request("o", vec![]).hobject();
    for (snap, model) in &history.then {
        let context = world.context(&head);
        let object = match shown_to(&MOsdOp { snap: *snap, ..request("o", vec![]) }, &context, None)
        {
            Shown::Head if context.exists => Some(head.clone()),
            Shown::Head | Shown::Nothing => None,
            Shown::Clone(clone) => Some(head.with_snap(clone)),
        };
        assert_eq!(object.and_then(|o| stored(world, &o)), *model, "{snap:?} {context:?}");
        let read = read_at(world, *snap);
        assert_eq!(read.map(|(data, _)| data.to_vec()), model.as_ref().map(|m| m.data.clone()));
    }
}

/// The snapset says the truth, and the PG has counted what is stored.
fn check_store(world: &World) {
    let head = world.context(&request("o", vec![]).hobject());
    let set = &head.snapset;
    assert!(set.clones.is_sorted_by(|a, b| a < b));
    assert!(set.clones.iter().all(|c| *c <= set.seq));
    let counts = (set.clone_size.len(), set.clone_overlap.len(), set.clone_snaps.len());
    assert_eq!(counts, (set.clones.len(), set.clones.len(), set.clones.len()));
    let mut sum = ObjectStatSum::default();
    let mut count = |info: &ObjectInfo, bytes: u64| {
        sum.num_bytes += bytes as i64;
        sum.num_objects += 1;
        sum.num_object_clones += i64::from(info.soid.snap != SnapId::HEAD);
        sum.num_whiteouts += i64::from(info.is_whiteout());
        sum.num_objects_dirty += i64::from(info.has(object_flag::DIRTY));
        sum.num_objects_omap += i64::from(info.has(object_flag::OMAP));
    };
    if head.is_stored() {
        count(&head.info, head.info.size);
    }
    for (i, id) in set.clones.iter().enumerate() {
        let clone = head.object.with_snap(*id);
        let newer = set.clones.get(i + 1).map_or(head.object.clone(), |n| clone.with_snap(*n));
        let (data, newer) = (stored(world, &clone).unwrap().data, stored(world, &newer));
        for (at, len) in set.clone_overlap[id].iter() {
            let range = at as usize..(at + len) as usize;
            assert_eq!(data[range.clone()], newer.as_ref().unwrap().data[range]);
        }
        assert_eq!(set.clone_size[id], data.len() as u64);
        let info = ObjectContext::load_clone(&world.store, &world.coll, &head, *id);
        let info = info.unwrap().unwrap().info;
        assert_eq!((&info.soid, info.size), (&clone, data.len() as u64));
        assert!(info.watchers.is_empty() && !info.is_whiteout());
        count(&info, info.size - set.clone_overlap[id].size());
        let gh = GhObject::from(clone.clone());
        assert!(world.store.get_attr(&world.coll, &gh, b"snapset").is_err());
    }
    let counted = &world.stats;
    let counted = ObjectStatSum {
        num_bytes: counted.num_bytes,
        num_objects: counted.num_objects,
        num_object_clones: counted.num_object_clones,
        num_whiteouts: counted.num_whiteouts,
        num_objects_dirty: counted.num_objects_dirty,
        num_objects_omap: counted.num_objects_omap,
        ..ObjectStatSum::default()
    };
    assert_eq!(counted, sum);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_snapshot_shows_what_was(events in proptest::collection::vec(events(), 1..30)) {
        let mut world = World::new();
        let mut history = History::default();
        for event in events {
            match event {
                Event::Write(vector) => history.write(&mut world, &vector),
                Event::Snapshot => {
                    history.newest = SnapId(history.newest.0 + 1);
                    history.then.insert(history.newest, history.now.clone());
                }
                Event::Remove(n) => {
                    if let Some(snap) = history.nth(n) {
                        history.then.remove(&snap);
                        world.removed_snaps.insert(snap.0, 1);
                        let context = world.context(&request("o", vec![]).hobject());
                        if snap <= context.snapset.seq {
                            prop_assert_eq!(read_at(&mut world, snap), None);
                        }
                    }
                }
                Event::Rollback(before, n, behind) => {
                    if let Some(snap) = history.nth(n) {
                        history.rollback(&mut world, &before, snap, &behind);
                    }
                }
            }
            let now = world.context(&request("o", vec![]).hobject());
            prop_assert_eq!(now.exists, history.now.is_some());
            if let Some(model) = &history.now {
                prop_assert_eq!(&stored(&world, &now.object), &Some(model.clone()));
            }
            check_reads(&mut world, &history);
            check_store(&world);
        }
    }
}
