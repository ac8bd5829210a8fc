//! Keeping weight-sets in step with the buckets they belong to, and changing weights.
//!
//! Invariant: after each call every choose_args entry is as long as its bucket, and the weight of
//! a bucket in its parent is the bucket's own, in the map and in each weight-set.

use std::collections::BTreeSet;

use crate::map::slot;
use crate::{BucketAlg, ChooseArg, ChooseArgs, CrushError, CrushMap};

/// How often a weight change is carried on to a parent: no sane hierarchy is deeper, and a cycle
/// ends here.
const DEPTH_MAX: u32 = 64;

/// How many buckets one weight change may touch: where buckets are in several others, level upon
/// level, the ways up multiply.
const STEPS_MAX: u32 = 1 << 18;

/// What is left of the above.
#[derive(Debug)]
struct Climb {
    depth: u32,
    steps: u32,
}

impl Climb {
    fn start() -> Self {
        Self { depth: DEPTH_MAX, steps: STEPS_MAX }
    }

    /// Runs `f` one level up, if there is one.
    fn up(&mut self, f: impl FnOnce(&mut Self)) {
        if self.depth > 0 && self.steps > 0 {
            self.depth -= 1;
            self.steps -= 1;
            f(self);
            self.depth += 1;
        }
    }
}

fn arg_of(args: &mut ChooseArgs, bucket: i32) -> Option<&mut ChooseArg> {
    args.get_mut(&u32::try_from(slot(bucket)?).ok()?)
}

impl CrushMap {
    /// Adds an item to a bucket and to the bucket's weight-sets; parents do not learn of it.
    pub(crate) fn push_item(&mut self, id: i32, item: i32, w: u32) -> Result<(), CrushError> {
        let tunables = self.tunables;
        let bucket = self.bucket_mut(id).ok_or_else(|| CrushError::not_found("bucket", id))?;
        bucket.add_item(item, w, &tunables)?;
        for args in self.choose_args.values_mut() {
            if let Some(arg) = arg_of(args, id) {
                arg.weight_sets.iter_mut().for_each(|set| set.push(w));
                if !arg.ids.is_empty() {
                    arg.ids.push(item);
                }
            }
        }
        Ok(())
    }

    /// Removes an item from a bucket and from the bucket's weight-sets; parents do not learn of
    /// it.
    pub(crate) fn pop_item(&mut self, id: i32, item: i32) {
        let tunables = self.tunables;
        let Some(bucket) = self.bucket_mut(id) else { return };
        let Some(at) = bucket.position(item) else { return };
        let before = bucket.size();
        bucket.remove_at(at, &tunables);
        let after = bucket.size();
        for args in self.choose_args.values_mut() {
            let Some(arg) = arg_of(args, id) else { continue };
            for list in &mut arg.weight_sets {
                shrink(list, at, before, after);
            }
            if !arg.ids.is_empty() {
                shrink(&mut arg.ids, at, before, after);
            }
        }
    }

    /// Changes an item's weight in every bucket that holds it, and so on up to the roots.
    /// With `sets`, the weight-sets take the new weight, too.
    pub fn adjust_item_weight(&mut self, id: i32, w: u32, sets: bool) -> Result<(), CrushError> {
        if self.adjust_everywhere(id, w, sets, &mut Climb::start()) {
            Ok(())
        } else {
            Err(CrushError::not_found("item", id))
        }
    }

    fn adjust_everywhere(&mut self, id: i32, weight: u32, sets: bool, climb: &mut Climb) -> bool {
        // Without weight-sets there is nothing to do where the item is not.
        let all = !self.choose_args.is_empty();
        let holds = |b: &&crate::Bucket| all || b.items.contains(&id);
        let buckets: Vec<i32> = self.iter_buckets().filter(holds).map(|b| b.id).collect();
        let mut found = false;
        for bucket in &buckets {
            found |= self.adjust_in_bucket(id, weight, *bucket, sets, climb);
        }
        found
    }

    /// Changes an item's weight in one bucket and the bucket's in its parents, up to the roots.
    pub(crate) fn adjust_item_weight_in(
        &mut self,
        id: i32,
        w: u32,
        bucket: i32,
        sets: bool,
    ) -> bool {
        self.adjust_in_bucket(id, w, bucket, sets, &mut Climb::start())
    }

    fn adjust_in_bucket(
        &mut self,
        id: i32,
        w: u32,
        bucket: i32,
        sets: bool,
        climb: &mut Climb,
    ) -> bool {
        let tunables = self.tunables;
        let Some(b) = self.bucket_mut(bucket) else { return false };
        let at = b.position(id);
        if let Some(at) = at {
            b.set_item_weight(at, w, &tunables);
            let total = b.weight;
            for args in self.choose_args.values_mut().filter(|_| sets) {
                let Some(arg) = arg_of(args, bucket) else { continue };
                for slot in arg.weight_sets.iter_mut().filter_map(|set| set.get_mut(at)) {
                    *slot = w;
                }
            }
            climb.up(|climb| {
                self.adjust_everywhere(bucket, total, false, climb);
            });
        }
        // As the reference: each bucket that is looked at tells its parents its sums.
        climb.up(|climb| self.sum_weight_sets(bucket, climb));
        at.is_some()
    }

    /// Tells the parents of a bucket the sums of its weight-sets.
    fn sum_weight_sets(&mut self, bucket: i32, climb: &mut Climb) {
        let keys: Vec<i64> = self.choose_args.iter().map(|(k, _)| k).collect();
        for key in keys {
            let Some(args) = self.choose_args.get_mut(key) else { continue };
            let Some(arg) = arg_of(args, bucket) else { continue };
            let sum = |set: &Vec<u32>| set.iter().fold(0u32, |a, w| a.wrapping_add(*w));
            let sums: Vec<u32> = arg.weight_sets.iter().map(sum).collect();
            if !sums.is_empty() {
                self.set_weight_set(key, bucket, &sums, climb);
            }
        }
    }

    /// Sets the weights of an item, one a position, in one weight-set, and the sums above it.
    /// As the reference does, any bucket without weights in the set gets its own on the way.
    fn set_weight_set(&mut self, key: i64, item: i32, weights: &[u32], climb: &mut Climb) {
        let buckets: Vec<(i32, Option<usize>)> =
            self.iter_buckets().map(|b| (b.id, b.position(item))).collect();
        for (bucket, at) in buckets {
            let created = self.ensure_weight_set(key, bucket);
            let Some(args) = self.choose_args.get_mut(key) else { return };
            let Some(arg) = arg_of(args, bucket) else { continue };
            if arg.weight_sets.len() != weights.len() || !(created || at.is_some()) {
                continue;
            }
            for (set, w) in arg.weight_sets.iter_mut().zip(weights) {
                if let Some(slot) = at.and_then(|at| set.get_mut(at)) {
                    *slot = *w;
                }
            }
            let sum = |set: &Vec<u32>| set.iter().fold(0u32, |a, w| a.wrapping_add(*w));
            let sums: Vec<u32> = arg.weight_sets.iter().map(sum).collect();
            climb.up(|climb| self.set_weight_set(key, bucket, &sums, climb));
        }
    }

    /// Gives a bucket that lacks weights in a weight-set its own ones for all positions.
    fn ensure_weight_set(&mut self, key: i64, bucket: i32) -> bool {
        let Some(index) = slot(bucket).and_then(|s| u32::try_from(s).ok()) else { return false };
        let Some(args) = self.choose_args.get(key) else { return false };
        if args.get(&index).is_some_and(|a| !a.weight_sets.is_empty()) {
            return false;
        }
        let positions = args.values().map(|a| a.weight_sets.len()).find(|n| *n > 0).unwrap_or(1);
        let Some(own) = self.bucket(bucket).map(|b| b.item_weights().collect::<Vec<_>>()) else {
            return false;
        };
        let Some(args) = self.choose_args.get_mut(key) else { return false };
        args.entry(index).or_default().weight_sets = vec![own; positions];
        true
    }

    /// Drops the weight-sets of buckets that are gone or, not being straw2, heed none: the
    /// reference does so whenever it reads a map.
    pub fn drop_dead_choose_args(&mut self) {
        let heeds = |b: &&crate::Bucket| b.alg() == BucketAlg::Straw2;
        let index = |b: &crate::Bucket| u32::try_from(slot(b.id)?).ok();
        let live: BTreeSet<u32> = self.iter_buckets().filter(heeds).filter_map(index).collect();
        for args in self.choose_args.values_mut() {
            args.retain(|index, _| live.contains(index));
        }
    }

    /// Sets the weight of every device below a bucket; returns how many were set.
    pub fn adjust_subtree_weight(&mut self, id: i32, weight: u32) -> Result<usize, CrushError> {
        let devices = self.devices_below(id);
        if self.bucket(id).is_none() {
            return Err(CrushError::not_found("bucket", id));
        }
        for device in &devices {
            self.adjust_item_weight(*device, weight, true)?;
        }
        Ok(devices.len())
    }

    /// Computes every bucket's weight anew from the devices up.
    pub fn reweight(&mut self) -> Result<(), CrushError> {
        let mut done = BTreeSet::new();
        for root in self.roots(false) {
            self.reweight_bucket(root, DEPTH_MAX, &mut done);
        }
        self.rebuild_shadow_trees()
    }

    fn reweight_bucket(&mut self, id: i32, depth: u32, done: &mut BTreeSet<i32>) {
        if !done.insert(id) {
            return;
        }
        let Some(items) = self.bucket(id).map(|b| b.items.clone()) else { return };
        let tunables = self.tunables;
        let (mut inner, mut sum) = (0u32, 0u64);
        for (at, item) in items.iter().enumerate().filter(|(_, i)| **i < 0) {
            if depth > 0 {
                self.reweight_bucket(*item, depth - 1, done);
            }
            let Some(weight) = self.bucket(*item).map(|b| b.weight) else { continue };
            (inner, sum) = (inner + 1, sum + u64::from(weight));
            if let Some(b) = self.bucket_mut(id).filter(|b| !b.is_uniform()) {
                b.set_item_weight(at, weight, &tunables);
            }
        }
        let leaves = items.len() as u32 - inner;
        let Some(b) = self.bucket_mut(id) else { return };
        if b.is_uniform() {
            // All weigh the same: with more buckets than devices, their mean.
            let each =
                if inner > leaves { (sum / u64::from(inner)) as u32 } else { b.item_weight(0) };
            b.set_item_weight(0, each, &tunables);
        } else {
            b.weight = b.item_weights().fold(0u32, u32::wrapping_add);
        }
    }
}

/// What [`crate::Bucket::remove_at`] did to the items, for a list beside them.
fn shrink<T: Default>(list: &mut Vec<T>, at: usize, before: usize, after: usize) {
    if after + 1 == before && at < list.len() {
        list.remove(at);
    }
    list.truncate(after);
}
