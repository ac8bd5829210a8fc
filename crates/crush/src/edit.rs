//! Changing the hierarchy as the monitor's commands do: buckets and items come, move and go, and
//! weights follow up to the roots.
//!
//! Invariants: a name belongs to one item; no bucket contains itself; a device's shadow in the
//! class trees is rebuilt by every call that could change it.

use std::collections::BTreeMap;

use crate::map::slot;
use crate::{Bucket, BucketAlg, CrushError, CrushMap, RULE_REPLICATED, Rule, Step};

/// Where an item is: (type name, bucket name) pairs, in any order.
pub type Location<'a> = [(&'a str, &'a str)];

/// Bucket ids beyond this are refused: each id below it takes a slot of every map.
const BUCKETS_MAX: usize = 1 << 18;

/// The types of a new map, from the devices up.
const DEFAULT_TYPES: [&str; 12] = [
    "osd",
    "host",
    "chassis",
    "rack",
    "row",
    "pdu",
    "pod",
    "room",
    "datacenter",
    "zone",
    "region",
    "root",
];

impl CrushMap {
    /// The map of a new cluster: the usual types, an empty root `default`, and one rule,
    /// `replicated_rule`, that spreads over hosts.
    pub fn new_default() -> Self {
        let mut map = Self::default();
        map.type_names = (0..).zip(DEFAULT_TYPES).map(|(i, name)| (i, name.to_owned())).collect();
        let root = Bucket::empty(BucketAlg::Straw2, 11);
        // The slot is free and the map empty: neither call can fail.
        let id = map.add_bucket(None, root).unwrap_or(-1);
        map.item_names.insert(id, "default".to_owned());
        let steps = vec![Step::Take(id), Step::ChooseleafFirstn { num: 0, kind: 1 }, Step::Emit];
        let rule = Rule { ruleset: 0, kind: RULE_REPLICATED, min_size: 1, max_size: 10, steps };
        map.rules.push(Some(rule));
        map.rule_names.insert(0, "replicated_rule".to_owned());
        map
    }

    /// Puts a bucket into the slot of `id`, or the first free one, and returns its id.
    pub fn add_bucket(&mut self, id: Option<i32>, mut bucket: Bucket) -> Result<i32, CrushError> {
        let at = match id {
            Some(id) => slot(id).ok_or_else(|| CrushError::invalid("bucket id", id))?,
            None => self.buckets.iter().position(Option::is_none).unwrap_or(self.buckets.len()),
        };
        if at >= BUCKETS_MAX {
            return Err(CrushError::Range("bucket id"));
        }
        // Slots double, from eight: the count is part of the encoding.
        let mut slots = self.buckets.len();
        while at >= slots {
            slots = if slots == 0 { 8 } else { slots * 2 };
        }
        self.buckets.resize(slots, None);
        if self.buckets[at].is_some() {
            return Err(CrushError::Exists { what: "bucket", name: (-1 - at as i32).to_string() });
        }
        bucket.id = -1 - at as i32;
        self.buckets[at] = Some(bucket);
        Ok(-1 - at as i32)
    }

    /// The algorithm for buckets that commands create.
    fn new_bucket_alg(&self) -> BucketAlg {
        let allowed = self.tunables.allowed_bucket_algs;
        let order = [BucketAlg::Straw2, BucketAlg::Straw, BucketAlg::Tree, BucketAlg::List];
        let found = order.into_iter().find(|alg| allowed >> *alg as u8 & 1 == 1);
        found.unwrap_or(BucketAlg::Uniform)
    }

    /// Creates an empty bucket outside of any other.
    pub fn create_bucket(&mut self, name: &str, type_name: &str) -> Result<i32, CrushError> {
        let kind = self.bucket_type(type_name)?;
        if self.item_id(name).is_some() {
            return Err(CrushError::Exists { what: "bucket", name: name.to_owned() });
        }
        if !crate::names::is_valid_name(name) {
            return Err(CrushError::invalid("name", name));
        }
        let id = self.add_bucket(None, Bucket::empty(self.new_bucket_alg(), kind))?;
        self.set_item_name(id, name)?;
        Ok(id)
    }

    fn bucket_type(&self, name: &str) -> Result<u16, CrushError> {
        let kind = self.type_id(name).ok_or_else(|| CrushError::not_found("type", name))?;
        let kind = u16::try_from(kind).ok().filter(|k| *k > 0);
        kind.ok_or_else(|| CrushError::invalid("bucket type", name))
    }

    /// Checks a location's types and names.
    fn check_location(&self, loc: &Location) -> Result<(), CrushError> {
        for (kind, name) in loc {
            if !crate::names::is_valid_name(name) {
                return Err(CrushError::invalid("location", format!("{kind}={name}")));
            }
            self.type_id(kind).ok_or_else(|| CrushError::not_found("type", kind))?;
        }
        Ok(())
    }

    /// The location's names by type number, devices left out.
    fn by_type<'a>(&self, loc: &Location<'a>) -> BTreeMap<i32, &'a str> {
        loc.iter().filter_map(|(t, n)| Some((self.type_id(t)?, *n))).filter(|e| e.0 > 0).collect()
    }

    /// Inserts a device or bucket at a location, creating the buckets that are missing; weights
    /// follow up to the roots. An item may be at several places.
    pub fn insert_item(
        &mut self,
        item: i32,
        weight: u32,
        name: &str,
        loc: &Location,
    ) -> Result<(), CrushError> {
        self.check_location(loc)?;
        self.set_item_name(item, name)?;
        let mut at = item;
        for (kind, name) in self.by_type(loc) {
            let Some(id) = self.item_id(name) else {
                let mut bucket = Bucket::empty(self.new_bucket_alg(), self.narrow_type(kind)?);
                bucket.add_item(at, 0, &self.tunables)?;
                let id = self.add_bucket(None, bucket)?;
                self.set_item_name(id, name)?;
                at = id;
                continue;
            };
            let Some(bucket) = self.bucket(id) else {
                return Err(CrushError::invalid("bucket", name));
            };
            if i32::from(bucket.kind) != kind || self.contains(id, at) {
                return Err(CrushError::invalid("location", name));
            }
            if self.contains(at, id) {
                return Err(CrushError::Loop(at));
            }
            let start = if bucket.is_uniform() { bucket.item_weight(0) } else { 0 };
            self.push_item(id, at, start)?;
            break;
        }
        let mut changed = false;
        for (_, name) in loc {
            if let Some(bucket) = self.item_id(name) {
                changed |= self.adjust_item_weight_in(item, weight, bucket, true);
            }
        }
        if !changed {
            return Err(CrushError::invalid("location of", name));
        }
        self.max_devices = self.max_devices.max(item.saturating_add(1));
        self.rebuild_shadow_trees()
    }

    fn narrow_type(&self, kind: i32) -> Result<u16, CrushError> {
        u16::try_from(kind).map_err(|_| CrushError::invalid("bucket type", kind))
    }

    /// The weight an item has at a location: in the bucket of the lowest type named.
    pub fn weight_at(&self, item: i32, loc: &Location) -> Option<u32> {
        let by_type = self.by_type(loc);
        let bucket = self.bucket(self.item_id(by_type.values().next()?)?)?;
        Some(bucket.item_weight(bucket.position(item)?))
    }

    /// Inserts a device with a weight, or moves it with the weight it has. False: it was there.
    pub fn create_or_move_item(
        &mut self,
        item: i32,
        weight: u32,
        name: &str,
        loc: &Location,
    ) -> Result<bool, CrushError> {
        self.check_location(loc)?;
        if self.weight_at(item, loc).is_some() {
            return Ok(false);
        }
        let weight = self.item_weight(item).unwrap_or(weight);
        self.relocate(item, weight, name, loc)?;
        Ok(true)
    }

    /// Inserts a device, or moves it and gives it the weight. False: it was there, as heavy.
    pub fn update_item(
        &mut self,
        item: i32,
        weight: u32,
        name: &str,
        loc: &Location,
    ) -> Result<bool, CrushError> {
        self.check_location(loc)?;
        let Some(old) = self.weight_at(item, loc) else {
            self.relocate(item, weight, name, loc)?;
            return Ok(true);
        };
        let mut changed = false;
        if old != weight {
            for (_, name) in loc {
                if let Some(bucket) = self.item_id(name) {
                    self.adjust_item_weight_in(item, weight, bucket, true);
                }
            }
            self.rebuild_shadow_trees()?;
            changed = true;
        }
        if self.item_name(item) != Some(name) {
            self.set_item_name(item, name)?;
            changed = true;
        }
        Ok(changed)
    }

    fn relocate(&mut self, id: i32, w: u32, name: &str, loc: &Location) -> Result<(), CrushError> {
        // Tried on a copy first: a location that cannot be must not lose the item.
        let mut map = self.clone();
        if map.item_is_used(id) {
            map.remove_item(id, true)?;
        }
        map.insert_item(id, w, name, loc)?;
        *self = map;
        Ok(())
    }

    /// Moves a bucket with all below it.
    pub fn move_bucket(&mut self, name: &str, loc: &Location) -> Result<(), CrushError> {
        let id = self.find_item(name)?;
        let weight = self.bucket(id).ok_or_else(|| CrushError::invalid("bucket", name))?.weight;
        let mut map = self.clone();
        map.unlink(id);
        map.insert_item(id, weight, name, loc)?;
        *self = map;
        Ok(())
    }

    /// Puts a bucket at a further place.
    pub fn link_bucket(&mut self, name: &str, loc: &Location) -> Result<(), CrushError> {
        let id = self.find_item(name)?;
        let weight = self.bucket(id).ok_or_else(|| CrushError::invalid("bucket", name))?.weight;
        self.insert_item(id, weight, name, loc)
    }

    /// Takes an item out of every bucket that holds it.
    fn unlink(&mut self, item: i32) -> bool {
        let holders: Vec<i32> =
            self.iter_buckets().filter(|b| b.items.contains(&item)).map(|b| b.id).collect();
        for bucket in &holders {
            self.unlink_from(item, *bucket);
        }
        !holders.is_empty()
    }

    fn unlink_from(&mut self, item: i32, bucket: i32) {
        if self.bucket(bucket).is_some_and(|b| !b.is_uniform()) {
            self.adjust_item_weight_in(item, 0, bucket, true);
        }
        self.pop_item(bucket, item);
        if let Some(b) = self.bucket(bucket).filter(|b| b.is_uniform()) {
            // Not an error if no bucket holds this one: it is a root.
            let _ = self.adjust_item_weight(bucket, b.weight, false);
        }
    }

    /// Takes an item out of the hierarchy; unless `unlink_only`, a bucket must be empty and
    /// unused by rules, and the item is forgotten.
    pub fn remove_item(&mut self, item: i32, unlink_only: bool) -> Result<(), CrushError> {
        self.check_removable(item, unlink_only)?;
        let known = self.unlink(item) | self.item_names.contains_key(&item);
        if !known && self.bucket(item).is_none() {
            return Err(CrushError::not_found("item", item));
        }
        self.forget_if_unused(item, unlink_only)
    }

    /// As [`CrushMap::remove_item`], only below `ancestor`.
    pub fn remove_item_under(
        &mut self,
        item: i32,
        ancestor: i32,
        unlink_only: bool,
    ) -> Result<(), CrushError> {
        self.check_removable(item, unlink_only)?;
        let holders: Vec<i32> = self
            .buckets_below(ancestor)
            .into_iter()
            .filter(|id| self.bucket(*id).is_some_and(|b| b.items.contains(&item)))
            .collect();
        if holders.is_empty() {
            return Err(CrushError::not_found("item", item));
        }
        for bucket in holders {
            self.unlink_from(item, bucket);
        }
        self.rebuild_shadow_trees()?;
        self.forget_if_unused(item, unlink_only)
    }

    fn check_removable(&self, item: i32, unlink_only: bool) -> Result<(), CrushError> {
        if item >= 0 || unlink_only {
            return Ok(());
        }
        if self.bucket(item).is_some_and(|b| b.size() > 0) {
            return Err(CrushError::NotEmpty(item));
        }
        if self.bucket_is_in_use(item) {
            return Err(CrushError::InUse { what: "bucket", name: item.to_string() });
        }
        Ok(())
    }

    fn forget_if_unused(&mut self, item: i32, unlink_only: bool) -> Result<(), CrushError> {
        if self.item_is_used(item) || (item < 0 && self.bucket_is_in_use(item)) {
            return Ok(());
        }
        if item < 0 && !unlink_only {
            self.drop_bucket(item);
        }
        if item >= 0 || !unlink_only {
            self.item_names.remove(&item);
        }
        if !unlink_only {
            self.device_classes.remove(&item);
        }
        self.rebuild_shadow_trees()
    }

    /// Frees a bucket's slot and forgets what hung on it, its shadows excepted.
    pub(crate) fn drop_bucket(&mut self, id: i32) {
        if let Some(place) = slot(id).and_then(|at| self.buckets.get_mut(at)) {
            *place = None;
        }
        self.item_names.remove(&id);
        self.device_classes.remove(&id);
        self.drop_dead_choose_args();
    }

    /// True if a rule starts from the bucket or one of its shadows.
    pub fn bucket_is_in_use(&self, id: i32) -> bool {
        let taken = |item: i32| item == id || self.shadow_origin(item).is_some_and(|o| o.0 == id);
        let steps = self.rules.iter().flatten().flat_map(|rule| &rule.steps);
        steps.filter_map(|s| s.takes()).any(taken)
    }
}
