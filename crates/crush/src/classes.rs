//! Device classes and their shadow trees.
//!
//! A rule that wants only one class of devices starts from a shadow of its root: a copy of the
//! tree that holds only such devices. Each root has one for each class.
//!
//! Invariants: a shadow keeps its id over rebuilds, as rules name it; shadows hold no device of
//! another class; weights follow the original's.

use std::collections::{BTreeMap, BTreeSet};

use crate::map::slot;
use crate::names::is_shadow_name;
use crate::{Bucket, ChooseArg, CrushError, CrushMap};

/// Levels of a tree that is copied; a cycle ends here with an error.
const DEPTH_MAX: u32 = 64;

type ClassBuckets = BTreeMap<i32, BTreeMap<i32, i32>>;

/// What the copying of trees has to remember.
struct Cloning {
    /// Ids that shadows had before.
    old: ClassBuckets,
    /// Those ids again: not to be given to other shadows.
    used: BTreeSet<i32>,
    /// By weight-set and shadow: the sum of its weights, a position each.
    sums: BTreeMap<i64, BTreeMap<i32, Vec<u32>>>,
    /// Uniform buckets get no weighing items.
    strict: bool,
}

impl CrushMap {
    /// The id of a class, which is created if need be.
    pub fn ensure_class(&mut self, name: &str) -> Result<i32, CrushError> {
        if let Some(id) = self.class_id(name) {
            return Ok(id);
        }
        if !crate::names::is_valid_name(name) {
            return Err(CrushError::invalid("device class", name));
        }
        let last = self.class_names.last_key_value().map_or(-1, |(id, _)| *id);
        let id = last.checked_add(1).ok_or(CrushError::Range("class id"))?;
        self.class_names.insert(id, name.to_owned());
        Ok(id)
    }

    /// Sets a device's class. False: it had it.
    pub fn set_device_class(&mut self, device: i32, class: &str) -> Result<bool, CrushError> {
        if device < 0 || !self.item_names.contains_key(&device) {
            return Err(CrushError::not_found("device", device));
        }
        let id = self.ensure_class(class)?;
        if self.device_classes.insert(device, id) == Some(id) {
            return Ok(false);
        }
        self.rebuild_shadow_trees()?;
        Ok(true)
    }

    /// Takes a device's class away. False: it had none.
    pub fn remove_device_class(&mut self, device: i32) -> Result<bool, CrushError> {
        if device < 0 || self.device_classes.remove(&device).is_none() {
            return Ok(false);
        }
        self.rebuild_shadow_trees()?;
        Ok(true)
    }

    /// Renames a class; devices, rules and shadows keep it.
    pub fn rename_class(&mut self, from: &str, to: &str) -> Result<(), CrushError> {
        let id = self.class_id(from).ok_or_else(|| CrushError::not_found("class", from))?;
        if self.class_id(to).is_some() {
            return Err(CrushError::Exists { what: "class", name: to.to_owned() });
        }
        if !crate::names::is_valid_name(to) {
            return Err(CrushError::invalid("device class", to));
        }
        self.class_names.insert(id, to.to_owned());
        for (bucket, shadows) in &self.class_buckets {
            if let (Some(shadow), Some(name)) = (shadows.get(&id), self.item_names.get(bucket)) {
                let name = format!("{name}~{to}");
                self.item_names.insert(*shadow, name);
            }
        }
        Ok(())
    }

    /// The devices of a class, ascending.
    pub fn devices_of_class(&self, class: i32) -> Vec<i32> {
        let devices = self.device_classes.iter().filter(|(id, c)| **id >= 0 && **c == class);
        devices.map(|(id, _)| *id).collect()
    }

    /// Makes all shadow trees anew: forgets classes without devices and rules, and copies every
    /// root for every class. Shadows keep their ids.
    pub fn rebuild_shadow_trees(&mut self) -> Result<(), CrushError> {
        if self.class_names.is_empty() && self.class_buckets.is_empty() {
            return Ok(());
        }
        let dead = |id: &i32| self.class_is_dead(*id);
        let dead: Vec<i32> = self.class_names.keys().copied().filter(dead).collect();
        for id in dead {
            self.class_names.remove(&id);
        }
        let is_shadow = |(id, name): &(&i32, &String)| **id < 0 && is_shadow_name(name);
        let shadows: Vec<i32> = self.item_names.iter().filter(is_shadow).map(|e| *e.0).collect();
        for id in &shadows {
            if let Some(place) = slot(*id).and_then(|at| self.buckets.get_mut(at)) {
                *place = None;
            }
            self.item_names.remove(id);
            self.device_classes.remove(id);
        }
        self.drop_dead_choose_args();
        let old = std::mem::take(&mut self.class_buckets);
        self.populate_classes(old, false)
    }

    /// True if no device has the class and no rule starts from a shadow of it.
    fn class_is_dead(&self, class: i32) -> bool {
        if self.device_classes.iter().any(|(id, c)| *id >= 0 && *c == class) {
            return false;
        }
        let steps = self.rules.iter().flatten().flat_map(|rule| &rule.steps);
        let taken: BTreeSet<i32> = steps.filter_map(|s| s.takes()).collect();
        let shadows = self.class_buckets.values().filter_map(|by_class| by_class.get(&class));
        !shadows.into_iter().any(|shadow| taken.contains(shadow))
    }

    /// Copies every root for every class; `old` says which ids shadows had, or shall have.
    ///
    /// `strict` is how the reference reads text: a uniform bucket that would get items with a
    /// weight has no copy, and what comes after it neither.
    pub(crate) fn populate_classes(
        &mut self,
        old: ClassBuckets,
        strict: bool,
    ) -> Result<(), CrushError> {
        let used = old.values().flat_map(|by_class| by_class.values().copied()).collect();
        let mut cloning = Cloning { old, used, sums: BTreeMap::new(), strict };
        let classes: Vec<i32> = self.class_names.keys().copied().collect();
        for root in self.roots(false) {
            for class in &classes {
                self.clone_for_class(root, *class, &mut cloning, DEPTH_MAX)?;
            }
        }
        Ok(())
    }

    fn clone_for_class(
        &mut self,
        origin: i32,
        class: i32,
        cloning: &mut Cloning,
        depth: u32,
    ) -> Result<i32, CrushError> {
        if depth == 0 {
            return Err(CrushError::Loop(origin));
        }
        let missing = || CrushError::not_found("bucket", origin);
        let class_name = self.class_names.get(&class);
        let class_name = class_name.ok_or_else(|| CrushError::not_found("class", class))?;
        let name = self.item_name(origin).ok_or_else(missing)?;
        let name = format!("{name}~{class_name}");
        if let Some(id) = self.class_buckets.get(&origin).and_then(|by| by.get(&class)) {
            return Ok(*id);
        }
        let bucket = self.bucket(origin).ok_or_else(missing)?;
        let mut copy = Bucket::empty(bucket.alg(), bucket.kind);
        copy.hash = bucket.hash;
        let items: Vec<(i32, u32)> =
            bucket.items.iter().copied().zip(bucket.item_weights()).collect();
        let mut taken: Vec<(i32, u32)> = Vec::new();
        let mut positions = Vec::new();
        for (at, (item, weight)) in items.into_iter().enumerate() {
            if item >= 0 {
                if self.device_classes.get(&item) == Some(&class) {
                    taken.push((item, weight));
                    positions.push(at);
                }
            } else {
                let id = self.clone_for_class(item, class, cloning, depth - 1)?;
                let weight = self.bucket(id).map_or(0, |b| b.weight);
                taken.push((id, weight));
                positions.push(at);
            }
        }
        if cloning.strict && copy.is_uniform() && taken.iter().any(|(_, w)| *w != 0) {
            return Err(CrushError::invalid("shadow of uniform bucket", origin));
        }
        for (item, weight) in &taken {
            copy.add_item(*item, *weight, &self.tunables)?;
        }
        let id = self.shadow_id(origin, class, cloning);
        let id = self.add_bucket(Some(id), copy)?;
        self.device_classes.insert(id, class);
        self.item_names.insert(id, name);
        self.class_buckets.entry(origin).or_default().insert(class, id);
        self.clone_weight_sets(origin, id, &positions, cloning);
        Ok(id)
    }

    /// The id that this shadow had before, else the first that is free.
    fn shadow_id(&self, origin: i32, class: i32, cloning: &Cloning) -> i32 {
        if let Some(id) = cloning.old.get(&origin).and_then(|by| by.get(&class)) {
            return *id;
        }
        let mut id = -1;
        while self.bucket(id).is_some() || cloning.used.contains(&id) {
            id -= 1;
        }
        id
    }

    /// Gives a shadow the weight-sets of its original: devices have the weights they have there,
    /// buckets the sums of their shadows.
    fn clone_weight_sets(&mut self, origin: i32, id: i32, at: &[usize], cloning: &mut Cloning) {
        let index = |id: i32| slot(id).and_then(|s| u32::try_from(s).ok());
        let (Some(from), Some(to)) = (index(origin), index(id)) else { return };
        let Some(items) = self.bucket(id).map(|b| b.items.clone()) else { return };
        let keys: Vec<i64> = self.choose_args.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(args) = self.choose_args.get_mut(key) else { continue };
            args.remove(&to);
            let Some(arg) = args.get(&from).filter(|a| !a.weight_sets.is_empty()) else { continue };
            let sums = cloning.sums.entry(key).or_default();
            let mut sets = Vec::with_capacity(arg.weight_sets.len());
            for (position, original) in arg.weight_sets.iter().enumerate() {
                let weight = |(item, at): (&i32, &usize)| {
                    if *item >= 0 {
                        original.get(*at).copied().unwrap_or(0)
                    } else {
                        let sum = sums.get(item).and_then(|s| s.get(position));
                        sum.copied().unwrap_or(0)
                    }
                };
                let set: Vec<u32> = items.iter().zip(at).map(weight).collect();
                sets.push(set);
            }
            // As the reference sums up: only the last position's sum is passed on to the parent.
            let last =
                sets.last().map_or(0, |set| set.iter().fold(0u32, |a, w| a.wrapping_add(*w)));
            let mut sum = vec![0; sets.len()];
            sum.iter_mut().last().into_iter().for_each(|s| *s = last);
            sums.insert(id, sum);
            args.insert(to, ChooseArg { weight_sets: sets, ids: Vec::new() });
        }
    }
}
