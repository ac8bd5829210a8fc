//! Making and changing buckets: what each algorithm keeps besides the items.
//!
//! Invariants: after each change all per-item lists are as long as `items`; sums, node weights
//! and straws are those the reference computes, including its ways with holes in trees.

use crate::{Bucket, BucketAlg, BucketData, CrushError, Tunables};

/// Trees deeper than this do not fit the one-byte node count of the encoding.
const TREE_ITEMS_MAX: usize = 64;

impl Bucket {
    /// A bucket with these items and weights.
    pub fn new(
        alg: BucketAlg,
        kind: u16,
        items: &[(i32, u32)],
        tunables: &Tunables,
    ) -> Result<Self, CrushError> {
        let mut bucket = Self::empty(alg, kind);
        for (item, weight) in items {
            bucket.push_item(*item, *weight)?;
        }
        bucket.finish(tunables);
        Ok(bucket)
    }

    /// A bucket without items.
    pub fn empty(alg: BucketAlg, kind: u16) -> Self {
        let none = Vec::<u32>::new;
        let data = match alg {
            BucketAlg::Uniform => BucketData::Uniform { item_weight: 0 },
            BucketAlg::List => BucketData::List { weights: none(), sums: none() },
            BucketAlg::Tree => BucketData::Tree { nodes: none() },
            BucketAlg::Straw => BucketData::Straw { weights: none(), straws: none() },
            BucketAlg::Straw2 => BucketData::Straw2 { weights: none() },
        };
        Self { id: 0, kind, hash: 0, weight: 0, items: Vec::new(), data }
    }

    /// Adds an item at the end.
    pub fn add_item(&mut self, item: i32, weight: u32, t: &Tunables) -> Result<(), CrushError> {
        self.push_item(item, weight)?;
        self.finish(t);
        Ok(())
    }

    fn push_item(&mut self, item: i32, weight: u32) -> Result<(), CrushError> {
        let total = self.weight.checked_add(weight).ok_or(CrushError::Range("bucket weight"))?;
        let at = self.items.len();
        match &mut self.data {
            BucketData::Uniform { item_weight } => {
                if at == 0 {
                    *item_weight = weight;
                } else if *item_weight != weight {
                    return Err(CrushError::invalid("weight in a uniform bucket", weight));
                }
            }
            BucketData::List { weights, sums } => {
                weights.push(weight);
                sums.push(sums.last().copied().unwrap_or(0).wrapping_add(weight));
            }
            BucketData::Straw { weights, straws } => {
                weights.push(weight);
                straws.push(0);
            }
            BucketData::Straw2 { weights } => weights.push(weight),
            BucketData::Tree { nodes } => {
                if at >= TREE_ITEMS_MAX {
                    return Err(CrushError::Range("size of a tree bucket"));
                }
                tree_push(nodes, at, weight);
            }
        }
        self.items.push(item);
        self.weight = total;
        Ok(())
    }

    /// Removes the item at a position. A tree keeps its other items where they are: the place
    /// becomes item 0 of weight 0, and only places without weight at the end go away.
    pub fn remove_at(&mut self, at: usize, tunables: &Tunables) {
        if at >= self.items.len() {
            return;
        }
        let weight = self.item_weight(at);
        match &mut self.data {
            BucketData::Uniform { .. } => {}
            BucketData::List { weights, sums } => {
                weights.remove(at);
                sums.remove(at);
                sums.iter_mut().skip(at).for_each(|s| *s = s.wrapping_sub(weight));
            }
            BucketData::Straw { weights, straws } => {
                weights.remove(at);
                straws.remove(at);
            }
            BucketData::Straw2 { weights } => {
                weights.remove(at);
            }
            BucketData::Tree { nodes } => {
                self.items[at] = 0;
                tree_adjust(nodes, at, 0u32.wrapping_sub(weight));
                tree_trim(nodes, &mut self.items);
                self.weight = self.weight.saturating_sub(weight);
                return;
            }
        }
        self.items.remove(at);
        self.weight = self.weight.saturating_sub(weight);
        self.finish(tunables);
    }

    /// Changes the weight of the item at a position; in a uniform bucket that of every item.
    pub fn set_item_weight(&mut self, at: usize, weight: u32, tunables: &Tunables) {
        if at >= self.items.len() {
            return;
        }
        let diff = weight.wrapping_sub(self.item_weight(at));
        let size = self.items.len() as u32;
        match &mut self.data {
            BucketData::Uniform { item_weight } => {
                *item_weight = weight;
                self.weight = weight.wrapping_mul(size);
                return;
            }
            BucketData::List { weights, sums } => {
                weights[at] = weight;
                sums.iter_mut().skip(at).for_each(|s| *s = s.wrapping_add(diff));
            }
            BucketData::Straw { weights, .. } | BucketData::Straw2 { weights } => {
                weights[at] = weight;
            }
            BucketData::Tree { nodes } => tree_adjust(nodes, at, diff),
        }
        self.weight = self.weight.wrapping_add(diff);
        self.finish(tunables);
    }

    /// Computes what depends on all items together.
    fn finish(&mut self, tunables: &Tunables) {
        if let BucketData::Straw { weights, straws } = &mut self.data {
            *straws = straw_lengths(weights, tunables.straw_calc_version);
        }
    }
}

/// log2 of the number of nodes of a tree of `size` items.
fn tree_depth(size: usize) -> u32 {
    if size == 0 { 0 } else { usize::BITS - (size - 1).leading_zeros() + 1 }
}

/// The node above a node.
fn tree_parent(n: usize) -> usize {
    let h = n.trailing_zeros();
    if n >> (h + 1) & 1 == 1 { n - (1 << h) } else { n + (1 << h) }
}

fn tree_push(nodes: &mut Vec<u32>, at: usize, weight: u32) {
    let depth = tree_depth(at + 1);
    nodes.resize(1 << depth, 0);
    let leaf = 2 * at + 1;
    nodes[leaf] = weight;
    let root = nodes.len() / 2;
    // The first item of a new right half: the new root starts with the weight of the left half.
    if depth >= 2 && leaf - 1 == root {
        nodes[root] = nodes[root / 2];
    }
    let mut n = leaf;
    for _ in 1..depth {
        n = tree_parent(n);
        nodes[n] = nodes[n].wrapping_add(weight);
    }
}

/// Adds `diff` to a leaf and all nodes above it.
fn tree_adjust(nodes: &mut [u32], at: usize, diff: u32) {
    let mut n = 2 * at + 1;
    for _ in 0..nodes.len().checked_ilog2().unwrap_or(0) {
        if let Some(w) = nodes.get_mut(n) {
            *w = w.wrapping_add(diff);
        }
        n = tree_parent(n);
    }
}

/// Cuts places without weight off the end, and halves of the tree that become empty.
fn tree_trim(nodes: &mut Vec<u32>, items: &mut Vec<i32>) {
    while let Some(last) = items.len().checked_sub(1) {
        if nodes.get(2 * last + 1).is_some_and(|w| *w != 0) {
            break;
        }
        items.pop();
    }
    nodes.truncate(1 << tree_depth(items.len()));
}

/// Straw lengths for weights, 16.16 fixed point: version 0 as first released, with its flaw for
/// equal and zero weights, or 1.
fn straw_lengths(weights: &[u32], version: u8) -> Vec<u32> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| weights[*i]);
    let mut straws = vec![0; weights.len()];
    let mut left = weights.len() as u32;
    let (mut straw, mut below, mut last) = (1.0f64, 0.0f64, 0.0f64);
    let mut i = 0;
    while i < order.len() {
        let weight = weights[order[i]];
        if weight == 0 {
            i += 1;
            if version > 0 {
                left -= 1;
            }
            continue;
        }
        straws[order[i]] = straw_word(straw);
        i += 1;
        let Some(next) = order.get(i).map(|n| weights[*n]) else { break };
        if version == 0 && next == weight {
            continue;
        }
        below += (f64::from(weight) - last) * f64::from(left);
        if version == 0 {
            let equal = order[i..].iter().take_while(|n| weights[**n] == next).count();
            left = left.saturating_sub(equal as u32);
        } else {
            left -= 1;
        }
        let above = f64::from(left.wrapping_mul(next - weight));
        let share = below / (below + above);
        straw *= (1.0 / share).powf(1.0 / f64::from(left));
        last = f64::from(weight);
    }
    straws
}

/// A straw length in 16.16 fixed point. Beyond 32 bits the low ones are what the reference's
/// conversion leaves, and none of them beyond 63 bits.
fn straw_word(straw: f64) -> u32 {
    let scaled = straw * 65_536.0;
    if scaled < 9.2e18 { scaled as i64 as u32 } else { 0 }
}
