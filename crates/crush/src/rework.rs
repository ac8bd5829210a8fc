//! Changes of a whole map that administrators ask for: buckets exchanged, all straw buckets made
//! straw2, tunables of a release, weight-sets made and filled.
//!
//! Invariant: a call that fails leaves the map as it was.

use std::collections::BTreeSet;

use crate::map::slot;
use crate::{Bucket, BucketAlg, ChooseArg, ChooseArgs, CrushError, CrushMap, Tunables};

/// Parents of parents that one change of a weight-set follows at most.
const DEPTH_MAX: u32 = 64;

impl Tunables {
    /// These tunables as the profile of that name has them. Profiles before hammer say nothing of
    /// how straws are computed, except for the oldest.
    pub fn with_profile(self, name: &str) -> Option<Self> {
        let keep = |profile: Self| Self { straw_calc_version: self.straw_calc_version, ..profile };
        match name {
            "legacy" => Some(Self::ARGONAUT),
            "argonaut" => Some(keep(Self::ARGONAUT)),
            "bobtail" => Some(keep(Self::BOBTAIL)),
            "firefly" => Some(keep(Self::FIREFLY)),
            "hammer" => Some(Self::HAMMER),
            "jewel" | "optimal" | "default" => Some(Self::JEWEL),
            _ => None,
        }
    }
}

impl CrushMap {
    /// Exchanges two buckets: each is then where the other was, with its name and what is in it.
    pub fn swap_buckets(&mut self, one: &str, other: &str) -> Result<(), CrushError> {
        let (a, b) = (self.find_item(one)?, self.find_item(other)?);
        if self.contains(a, b) || self.contains(b, a) {
            return Err(CrushError::Loop(a));
        }
        let mut map = self.clone();
        let of_a = map.empty_bucket(a)?;
        let of_b = map.empty_bucket(b)?;
        map.fill_bucket(a, &of_b)?;
        map.fill_bucket(b, &of_a)?;
        map.item_names.insert(a, other.to_owned());
        map.item_names.insert(b, one.to_owned());
        map.rebuild_shadow_trees()?;
        *self = map;
        Ok(())
    }

    fn empty_bucket(&mut self, id: i32) -> Result<Vec<(i32, u32)>, CrushError> {
        let bucket = self.bucket(id).ok_or_else(|| CrushError::not_found("bucket", id))?;
        let items: Vec<(i32, u32)> =
            bucket.items.iter().copied().zip(bucket.item_weights()).collect();
        for (item, _) in &items {
            self.adjust_item_weight_in(*item, 0, id, true);
            self.pop_item(id, *item);
        }
        Ok(items)
    }

    fn fill_bucket(&mut self, id: i32, items: &[(i32, u32)]) -> Result<(), CrushError> {
        for (item, weight) in items {
            self.push_item(id, *item, 0)?;
            self.adjust_item_weight_in(*item, *weight, id, true);
        }
        Ok(())
    }

    /// Lets every straw bucket choose by straw2. False: there was none.
    pub fn straw_to_straw2(&mut self) -> Result<bool, CrushError> {
        let straws = self.iter_buckets().filter(|b| b.alg() == BucketAlg::Straw);
        let straws: Vec<Bucket> = straws.cloned().collect();
        let mut map = self.clone();
        for old in &straws {
            let items: Vec<(i32, u32)> =
                old.items.iter().copied().zip(old.item_weights()).collect();
            let new = Bucket::new(BucketAlg::Straw2, old.kind, &items, &map.tunables)?;
            let place = slot(old.id).and_then(|at| map.buckets.get_mut(at));
            if let Some(place) = place {
                *place = Some(Bucket { id: old.id, hash: old.hash, ..new });
            }
        }
        *self = map;
        Ok(!straws.is_empty())
    }

    /// Makes a weight-set of `positions` lists, all of them the buckets' own weights. False: it
    /// exists.
    pub fn create_choose_args(&mut self, key: i64, positions: usize) -> bool {
        if self.choose_args.get(key).is_some() {
            return false;
        }
        let own = |b: &Bucket| -> Vec<u32> { b.item_weights().collect() };
        let arg =
            |b: &Bucket| ChooseArg { weight_sets: vec![own(b); positions.max(1)], ids: Vec::new() };
        let index = |b: &Bucket| u32::try_from(slot(b.id)?).ok();
        let heeds = |b: &&Bucket| b.alg() == BucketAlg::Straw2;
        let args: ChooseArgs =
            self.iter_buckets().filter(heeds).filter_map(|b| Some((index(b)?, arg(b)))).collect();
        self.choose_args.insert(key, args);
        true
    }

    /// How many positions a weight-set tells apart; `None`: there is no such weight-set.
    pub fn choose_args_positions(&self, key: i64) -> Option<usize> {
        let args = self.choose_args.get(key)?;
        Some(args.values().map(|a| a.weight_sets.len()).find(|n| *n > 0).unwrap_or(1))
    }

    /// Sets an item's weight at each position of a weight-set, and the sums above it.
    pub fn adjust_choose_args(
        &mut self,
        key: i64,
        item: i32,
        weights: &[u32],
    ) -> Result<(), CrushError> {
        let positions = self.choose_args_positions(key);
        let positions = positions.ok_or_else(|| CrushError::not_found("weight-set", key))?;
        if positions != weights.len() {
            return Err(CrushError::invalid("number of weights", weights.len()));
        }
        let mut map = self.clone();
        let mut wave: Vec<(i32, Vec<u32>)> = vec![(item, weights.to_vec())];
        for _ in 0..DEPTH_MAX {
            let mut touched: BTreeSet<i32> = BTreeSet::new();
            for (item, weights) in &wave {
                touched.extend(map.put_choose_args(key, *item, weights));
            }
            wave = touched.into_iter().filter_map(|b| Some((b, map.sums(key, b)?))).collect();
            if wave.is_empty() {
                break;
            }
        }
        *self = map;
        Ok(())
    }

    /// Puts an item's weights into the lists of each bucket that holds it; which these are.
    fn put_choose_args(&mut self, key: i64, item: i32, weights: &[u32]) -> Vec<i32> {
        let place = |b: &Bucket| Some((b.id, b.position(item)?));
        let holders: Vec<(i32, usize)> = self.iter_buckets().filter_map(place).collect();
        let Some(args) = self.choose_args.get_mut(key) else { return Vec::new() };
        let mut touched = Vec::new();
        for (bucket, at) in holders {
            let index = slot(bucket).and_then(|i| u32::try_from(i).ok());
            let Some(arg) = index.and_then(|i| args.get_mut(&i)) else { continue };
            for (set, weight) in arg.weight_sets.iter_mut().zip(weights) {
                if let Some(w) = set.get_mut(at) {
                    *w = *weight;
                }
            }
            touched.push(bucket);
        }
        touched
    }

    /// What a bucket weighs at each position.
    fn sums(&self, key: i64, bucket: i32) -> Option<Vec<u32>> {
        let index = u32::try_from(slot(bucket)?).ok()?;
        let arg = self.choose_args.get(key)?.get(&index)?;
        let sum = |set: &Vec<u32>| set.iter().fold(0u32, |a, w| a.saturating_add(*w));
        Some(arg.weight_sets.iter().map(sum).collect())
    }

    /// What an item of a bucket weighs at the first position of a weight-set.
    pub fn choose_args_weight(&self, key: i64, bucket: i32, item: i32) -> Option<u32> {
        let at = self.bucket(bucket)?.position(item)?;
        let index = u32::try_from(slot(bucket)?).ok()?;
        self.choose_args.get(key)?.get(&index)?.weight_sets.first()?.get(at).copied()
    }

    /// Takes a class away from all its devices and forgets it. Its id; `None`: there is no such
    /// class.
    pub fn remove_class(&mut self, name: &str) -> Result<Option<i32>, CrushError> {
        let Some(class) = self.class_id(name) else { return Ok(None) };
        if self.rules_of_class(class).next().is_some() {
            return Err(CrushError::InUse { what: "class", name: name.to_owned() });
        }
        self.device_classes.retain(|_, c| *c != class);
        self.rebuild_shadow_trees()?;
        self.class_names.remove(&class);
        Ok(Some(class))
    }

    /// Ids of the rules that start from a shadow of this class.
    pub fn rules_of_class(&self, class: i32) -> impl Iterator<Item = u32> + '_ {
        let of_class = move |item: i32| self.shadow_origin(item).is_some_and(|o| o.1 == class);
        self.rules.iter().zip(0u32..).filter_map(move |(rule, id)| {
            let takes = rule.as_ref()?.steps.iter().filter_map(|s| s.takes());
            takes.into_iter().any(of_class).then_some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_hosts() -> CrushMap {
        let mut map = CrushMap::new_default();
        for (osd, host) in [(0, "a"), (1, "a"), (2, "b")] {
            let loc = [("host", host), ("root", "default")];
            map.insert_item(osd, 0x1_0000, &format!("osd.{osd}"), &loc).unwrap();
        }
        map
    }

    fn weight(map: &CrushMap, name: &str) -> u32 {
        map.bucket(map.item_id(name).unwrap()).unwrap().weight
    }

    #[test]
    fn swapped_buckets_take_their_contents_along() {
        let mut map = two_hosts();
        map.create_bucket("spare", "host").unwrap();
        let place = map.item_id("a").unwrap();
        map.swap_buckets("spare", "a").unwrap();
        assert_eq!(map.item_id("spare"), Some(place));
        assert_eq!((weight(&map, "spare"), weight(&map, "a")), (0, 0x2_0000));
        assert_eq!(weight(&map, "default"), 0x1_0000);
        assert!(map.parent(map.item_id("a").unwrap()).is_none());
        map.swap_buckets("spare", "a").unwrap();
        assert_eq!(weight(&map, "default"), 0x3_0000);
        assert!(matches!(map.swap_buckets("a", "default"), Err(CrushError::Loop(_))));
    }

    #[test]
    fn weight_sets_sum_up() {
        let mut map = two_hosts();
        assert!(map.create_choose_args(7, 2) && !map.create_choose_args(7, 2));
        map.adjust_choose_args(7, 0, &[0x8000, 0]).unwrap();
        let (root, a) = (map.item_id("default").unwrap(), map.item_id("a").unwrap());
        assert_eq!(map.choose_args_weight(7, root, a), Some(0x1_8000));
        assert_eq!(map.sums(7, root), Some(vec![0x2_8000, 0x2_0000]));
        assert!(map.adjust_choose_args(7, 0, &[1]).is_err());
        assert!(map.adjust_choose_args(8, 0, &[1]).is_err());
    }

    #[test]
    fn classes_go_with_their_shadows() {
        let mut map = two_hosts();
        map.set_device_class(0, "hdd").unwrap();
        map.add_simple_rule("r", "default", "host", Some("hdd")).unwrap();
        let class = map.class_id("hdd").unwrap();
        assert_eq!(map.rules_of_class(class).count(), 1);
        assert!(map.remove_class("hdd").is_err());
        map.remove_rule("r").unwrap();
        assert_eq!(map.remove_class("hdd").unwrap(), Some(class));
        assert_eq!(map.class_id("hdd"), None);
        assert_eq!(map.remove_class("hdd").unwrap(), None);
        assert!(map.class_buckets.values().all(|by| by.is_empty()));
    }
}
