//! Choosing one item of one bucket: the innermost, hottest part of the mapper.
//!
//! Invariants: no allocation except a bucket's permutation, once a workspace; a bucket whose
//! numbers do not fit together yields no item.

use crate::hash::{LANES, hash3, hash3_lanes, hash4};
use crate::ln::crush_ln;
use crate::{Bucket, BucketData, ChooseArg};

/// One of 2^48: what `crush_ln` of the largest draw stands for.
const LN_ONE: u64 = 1 << 48;

/// The permutations of the buckets that needed one, for one input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permutations {
    /// By bucket index; an entry of another round is stale.
    slots: Vec<Permutation>,
    round: u64,
}

#[derive(Debug, Clone, Default)]
struct Permutation {
    round: u64,
    /// How many leading entries are settled.
    settled: u32,
    order: Vec<u32>,
}

impl Permutations {
    /// Forgets all permutations: the input changes.
    pub(crate) fn reset(&mut self, buckets: usize) {
        self.round += 1;
        if self.slots.len() < buckets {
            self.slots.resize_with(buckets, Permutation::default);
        }
    }

    /// Chooses by the bucket's permutation for `x`.
    pub(crate) fn choose(&mut self, bucket: &Bucket, x: u32, r: u32) -> Option<i32> {
        let size = u32::try_from(bucket.items.len()).ok().filter(|n| *n > 0)?;
        let at = crate::map::slot(bucket.id)?;
        let slot = self.slots.get_mut(at)?;
        if slot.round != self.round {
            slot.round = self.round;
            slot.settled = 0;
            slot.order.clear();
            slot.order.extend(0..size);
        }
        let wanted = r % size;
        while slot.settled <= wanted {
            let p = slot.settled;
            if p < size - 1 {
                let i = hash(bucket, hash3(x, bucket.id as u32, p)) % (size - p);
                slot.order.swap((p + i) as usize, p as usize);
            }
            slot.settled += 1;
        }
        bucket.items.get(*slot.order.get(wanted as usize)? as usize).copied()
    }
}

/// Hash functions other than rjenkins were never defined and count as zero.
#[inline]
fn hash(bucket: &Bucket, rjenkins: u32) -> u32 {
    if bucket.hash == 0 { rjenkins } else { 0 }
}

/// Chooses an item of a bucket for input `x` and trial `r`; `position` selects the weight-set.
#[inline]
pub(crate) fn choose(
    perms: &mut Permutations,
    bucket: &Bucket,
    x: u32,
    r: u32,
    arg: Option<&ChooseArg>,
    position: usize,
) -> Option<i32> {
    match &bucket.data {
        BucketData::Straw2 { weights } => {
            let (weights, ids) = replaced(bucket, weights, arg, position);
            straw2(bucket, weights, ids, x, r)
        }
        BucketData::Uniform { .. } => perms.choose(bucket, x, r),
        BucketData::List { weights, sums } => list(bucket, weights, sums, x, r),
        BucketData::Tree { nodes } => tree(bucket, nodes, x, r),
        BucketData::Straw { straws, .. } => straw(bucket, straws, x, r),
    }
}

/// The weights and hash ids that choose_args put in place of the bucket's own.
#[inline]
fn replaced<'a>(
    bucket: &'a Bucket,
    weights: &'a [u32],
    arg: Option<&'a ChooseArg>,
    position: usize,
) -> (&'a [u32], &'a [i32]) {
    let Some(arg) = arg else { return (weights, &bucket.items) };
    let set = arg.weight_sets.get(position).or(arg.weight_sets.last());
    let ids = if arg.ids.is_empty() { &bucket.items } else { &arg.ids };
    (set.map_or(weights, Vec::as_slice), ids)
}

/// The item whose exponentially distributed draw is the highest; the first of equals.
///
/// A draw is -(2^48 - ln(u)) / weight, rounded towards zero; without the sign the lowest quotient
/// wins. Most items lose, and that one multiplication tells: n / w < q exactly if n < q * w.
fn straw2(bucket: &Bucket, weights: &[u32], ids: &[i32], x: u32, r: u32) -> Option<i32> {
    let mut best = 0;
    let mut lowest = u64::MAX;
    let items = bucket.items.len().min(weights.len()).min(ids.len());
    let (weights, ids) = (&weights[..items], &ids[..items]);
    for (chunk, (weights, ids)) in weights.chunks(LANES).zip(ids.chunks(LANES)).enumerate() {
        let mut lanes = [0; LANES];
        for (lane, id) in lanes.iter_mut().zip(ids) {
            *lane = *id as u32;
        }
        let hashes = hash3_lanes(x, &lanes, r);
        for (at, (weight, rjenkins)) in weights.iter().zip(hashes).enumerate() {
            let n = LN_ONE - crush_ln(hash(bucket, rjenkins));
            // An item without weight loses against any other: 0 is not above n.
            if u128::from(n) < u128::from(lowest) * u128::from(*weight) {
                (best, lowest) = (chunk * LANES + at, n / u64::from(*weight));
            }
        }
    }
    bucket.items.get(best).copied()
}

/// The item with the longest straw; the first of equals.
fn straw(bucket: &Bucket, straws: &[u32], x: u32, r: u32) -> Option<i32> {
    let mut best = None;
    let mut high = 0;
    for (item, straw) in bucket.items.iter().zip(straws) {
        let u = hash(bucket, hash3(x, *item as u32, r)) & 0xffff;
        let draw = u64::from(u) * u64::from(*straw);
        if best.is_none() || draw > high {
            (best, high) = (Some(*item), draw);
        }
    }
    best
}

/// From the newest item to the oldest, each taken with its share of what is left.
fn list(bucket: &Bucket, weights: &[u32], sums: &[u32], x: u32, r: u32) -> Option<i32> {
    let chain = bucket.items.iter().zip(weights.iter().zip(sums));
    for (item, (weight, sum)) in chain.rev() {
        let u = hash(bucket, hash4(x, *item as u32, r, bucket.id as u32)) & 0xffff;
        if (u64::from(u) * u64::from(*sum)) >> 16 < u64::from(*weight) {
            return Some(*item);
        }
    }
    bucket.items.first().copied()
}

/// Down the tree, at each node left or right by weight.
///
/// A tree whose node weights do not sum up leads some inputs to a leaf without an item. The
/// reference finds a zero there, device 0; so must we.
fn tree(bucket: &Bucket, nodes: &[u32], x: u32, r: u32) -> Option<i32> {
    let mut n = nodes.len() / 2;
    // Each round lowers the number of trailing zeros of `n`; at 0 it is a leaf.
    while n != 0 && n & 1 == 0 {
        let h = hash(bucket, hash4(x, n as u32, r, bucket.id as u32));
        let t = (u64::from(h) * u64::from(*nodes.get(n)?)) >> 32;
        let half = 1 << (n.trailing_zeros() - 1);
        let left = n - half;
        n = if t < u64::from(*nodes.get(left)?) { left } else { n + half };
    }
    Some(bucket.items.get(n >> 1).copied().unwrap_or(0))
}
