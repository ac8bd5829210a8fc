//! Walking the hierarchy.
//!
//! Invariant: a walk ends even if the map has a cycle, and visits a bucket once a path at most.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Bucket, BucketData, CrushMap};

/// Walks stop below this many levels: hierarchies have a dozen.
const DEPTH_MAX: usize = 64;

/// Most nodes of a walk: a map that shows each bucket in several places, level upon level, would
/// otherwise multiply.
const NODES_MAX: usize = 1 << 18;

/// A line of `ceph osd tree`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// The item.
    pub id: i32,
    /// The bucket it is listed under, `None` for a root.
    pub parent: Option<i32>,
    /// Levels above it.
    pub depth: usize,
    /// Its weight in that bucket, 16.16 fixed point; a root's own weight.
    pub weight: u32,
    /// Its items in the order of `ceph osd tree -f json`.
    pub children: Vec<i32>,
}

impl Bucket {
    /// True if all its items weigh the same by its form.
    pub fn is_uniform(&self) -> bool {
        matches!(self.data, BucketData::Uniform { .. })
    }
}

impl CrushMap {
    /// All items that are in some bucket.
    fn used_items(&self) -> BTreeSet<i32> {
        self.iter_buckets().flat_map(|b| b.items.iter().copied()).collect()
    }

    /// Ids of the buckets that are in no other, ascending; with or without those of shadow trees.
    pub fn roots(&self, with_shadow: bool) -> Vec<i32> {
        let used = self.used_items();
        let mut roots: Vec<i32> = self
            .iter_buckets()
            .map(|b| b.id)
            .filter(|id| !used.contains(id) && (with_shadow || !self.is_shadow(*id)))
            .collect();
        roots.sort_unstable();
        roots
    }

    /// True if some bucket holds the item.
    pub fn item_is_used(&self, item: i32) -> bool {
        self.iter_buckets().any(|b| b.items.contains(&item))
    }

    /// True if `item` is `root` or anywhere below it.
    pub fn contains(&self, root: i32, item: i32) -> bool {
        root == item
            || self
                .buckets_below(root)
                .iter()
                .any(|id| *id == item || self.bucket(*id).is_some_and(|b| b.items.contains(&item)))
    }

    /// A bucket and all buckets below it, each once.
    pub fn buckets_below(&self, root: i32) -> Vec<i32> {
        let mut seen = BTreeSet::new();
        let mut order = Vec::new();
        let mut next = vec![root];
        while let Some(id) = next.pop() {
            let Some(bucket) = self.bucket(id) else { continue };
            if seen.insert(id) {
                order.push(id);
                next.extend(bucket.items.iter().filter(|i| **i < 0));
            }
        }
        order
    }

    /// The devices below a bucket, ascending, each once.
    pub fn devices_below(&self, root: i32) -> Vec<i32> {
        let buckets = self.buckets_below(root);
        let items = buckets.iter().filter_map(|id| self.bucket(*id)).flat_map(|b| &b.items);
        let devices: BTreeSet<i32> = items.copied().filter(|i| *i >= 0).collect();
        devices.into_iter().collect()
    }

    /// The bucket that holds an item; shadow trees do not count. Of several the lowest slot.
    pub fn parent(&self, item: i32) -> Option<i32> {
        let holds = |b: &&Bucket| b.items.contains(&item) && !self.is_shadow(b.id);
        self.iter_buckets().find(holds).map(|b| b.id)
    }

    /// The weight an item has in the bucket that holds it.
    pub fn item_weight(&self, item: i32) -> Option<u32> {
        let bucket = self.bucket(self.parent(item)?)?;
        Some(bucket.item_weight(bucket.position(item)?))
    }

    /// Type and name of each bucket above an item, from the nearest to the root.
    pub fn location(&self, item: i32) -> Vec<(String, String)> {
        let mut at = item;
        let mut path = Vec::new();
        while let Some(parent) = self.parent(at).filter(|_| path.len() < DEPTH_MAX) {
            let kind = self.item_type(parent).and_then(|t| self.type_name(t)).unwrap_or("");
            path.push((kind.to_owned(), self.item_name(parent).unwrap_or("").to_owned()));
            at = parent;
        }
        path
    }

    /// The devices that a rule can reach, with the share of the data that each should get, by
    /// weight; the shares sum to 1 (or are all absent).
    pub fn rule_weights(&self, rule: u32) -> BTreeMap<i32, f32> {
        let steps = self.rule(rule).map(|r| r.steps.as_slice()).unwrap_or_default();
        let mut shares = BTreeMap::new();
        for item in steps.iter().filter_map(|s| s.takes()) {
            let mut weights: BTreeMap<i32, f32> = BTreeMap::new();
            if item >= 0 {
                weights.insert(item, 1.0);
            }
            for bucket in self.buckets_below(item).iter().filter_map(|id| self.bucket(*id)) {
                for (device, w) in bucket.items.iter().zip(bucket.item_weights()) {
                    if *device >= 0 {
                        *weights.entry(*device).or_default() += w as f32 / 65_536.0;
                    }
                }
            }
            let sum: f32 = weights.values().sum();
            for (device, w) in weights.into_iter().filter(|_| sum > 0.0) {
                *shares.entry(device).or_default() += w / sum;
            }
        }
        shares
    }

    /// All items from the roots down, in the order of `ceph osd tree`.
    pub fn walk(&self, with_shadow: bool) -> Vec<TreeNode> {
        let mut nodes = Vec::new();
        for root in self.roots(with_shadow) {
            let weight = self.bucket(root).map_or(0, |b| b.weight);
            self.walk_below(root, weight, &mut nodes);
        }
        nodes
    }

    /// One item and all below it, in the order of `ceph osd tree`.
    pub fn walk_from(&self, root: i32) -> Vec<TreeNode> {
        let mut nodes = Vec::new();
        self.walk_below(root, self.bucket(root).map_or(0, |b| b.weight), &mut nodes);
        nodes
    }

    fn walk_below(&self, root: i32, weight: u32, nodes: &mut Vec<TreeNode>) {
        let mut next =
            vec![TreeNode { id: root, parent: None, depth: 0, weight, children: vec![] }];
        while let Some(mut node) = next.pop() {
            if nodes.len() >= NODES_MAX {
                return;
            }
            if let Some(bucket) = self.bucket(node.id).filter(|_| node.depth < DEPTH_MAX) {
                let mut sorted: BTreeMap<String, (i32, u32)> = BTreeMap::new();
                for (item, weight) in bucket.items.iter().zip(bucket.item_weights()) {
                    sorted.insert(self.sort_key(*item), (*item, weight));
                }
                for (id, weight) in sorted.into_values().rev() {
                    node.children.push(id);
                    let (parent, depth) = (Some(node.id), node.depth + 1);
                    next.push(TreeNode { id, parent, depth, weight, children: vec![] });
                }
            }
            nodes.push(node);
        }
    }

    /// Buckets by name, before them devices by class and number.
    fn sort_key(&self, item: i32) -> String {
        if item >= 0 {
            format!("{}_osd.{item:08}", self.item_class(item).unwrap_or(""))
        } else {
            format!("_{}", self.item_name(item).unwrap_or(""))
        }
    }

    /// Items of the hierarchy that have no name or whose type has none: (id, what is missing).
    pub fn unknown_names(&self) -> Vec<(i32, &'static str)> {
        let mut found = Vec::new();
        for node in self.walk(true) {
            if self.item_name(node.id).is_none() {
                found.push((node.id, "item"));
            }
            if self.item_type(node.id).and_then(|t| self.type_name(t)).is_none() {
                found.push((node.id, "type"));
            }
        }
        found
    }
}
