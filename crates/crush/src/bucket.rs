//! Buckets: the inner nodes of the hierarchy, in their five forms, and their binary encoding.
//!
//! Invariants of a decoded bucket: every per-item list is as long as `items`; a tree's node list
//! is a power of two long (or empty) and has a leaf for every item.

use bytes::{BufMut, BytesMut};
use seabed_denc::{Decode, DecodeError, Encode, Reader};

/// How a bucket chooses among its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BucketAlg {
    /// All items weigh the same; chosen by a permutation.
    Uniform = 1,
    /// A chain, newest item first.
    List = 2,
    /// A binary tree of weights.
    Tree = 3,
    /// The longest straw, scaled by weight (superseded by straw2).
    Straw = 4,
    /// The longest straw on an exponential scale.
    Straw2 = 5,
}

impl BucketAlg {
    /// The algorithm with this wire number.
    pub fn from_wire(n: u32) -> Option<Self> {
        Some(match n {
            1 => Self::Uniform,
            2 => Self::List,
            3 => Self::Tree,
            4 => Self::Straw,
            5 => Self::Straw2,
            _ => return None,
        })
    }

    /// The algorithm of this name in the text form.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::List, Self::Tree, Self::Straw, Self::Straw2]
            .into_iter()
            .find(|a| a.name() == name)
    }

    /// Its name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::List => "list",
            Self::Tree => "tree",
            Self::Straw => "straw",
            Self::Straw2 => "straw2",
        }
    }
}

/// The per-item numbers of a bucket, by algorithm. Weights are 16.16 fixed point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketData {
    /// One weight for every item.
    Uniform {
        /// The weight of each item.
        item_weight: u32,
    },
    /// Weights and running sums.
    List {
        /// Weight of each item.
        weights: Vec<u32>,
        /// Sum of the weights of the items up to and including each.
        sums: Vec<u32>,
    },
    /// Weights of all nodes of the tree; item *i* is node 2*i* + 1.
    Tree {
        /// Weight of each node.
        nodes: Vec<u32>,
    },
    /// Weights and straw lengths.
    Straw {
        /// Weight of each item.
        weights: Vec<u32>,
        /// Straw length of each item, 16.16 fixed point.
        straws: Vec<u32>,
    },
    /// Weights.
    Straw2 {
        /// Weight of each item.
        weights: Vec<u32>,
    },
}

/// An inner node of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its id, negative.
    pub id: i32,
    /// Its type: an index into the map's type names, above 0.
    pub kind: u16,
    /// The hash function: 0 is rjenkins, the only one there is.
    pub hash: u8,
    /// Its weight as its parent should know it.
    pub weight: u32,
    /// Its items: devices (0 and up) and buckets (below 0).
    pub items: Vec<i32>,
    /// Weights and what else the algorithm needs.
    pub data: BucketData,
}

impl Bucket {
    /// The algorithm.
    pub fn alg(&self) -> BucketAlg {
        match self.data {
            BucketData::Uniform { .. } => BucketAlg::Uniform,
            BucketData::List { .. } => BucketAlg::List,
            BucketData::Tree { .. } => BucketAlg::Tree,
            BucketData::Straw { .. } => BucketAlg::Straw,
            BucketData::Straw2 { .. } => BucketAlg::Straw2,
        }
    }

    /// The number of items.
    pub fn size(&self) -> usize {
        self.items.len()
    }

    /// The weight of the item at a position; 0 beyond the end.
    pub fn item_weight(&self, at: usize) -> u32 {
        if at >= self.items.len() {
            return 0;
        }
        let weight = match &self.data {
            BucketData::Uniform { item_weight } => return *item_weight,
            BucketData::Tree { nodes } => nodes.get(2 * at + 1),
            BucketData::List { weights, .. }
            | BucketData::Straw { weights, .. }
            | BucketData::Straw2 { weights } => weights.get(at),
        };
        weight.copied().unwrap_or(0)
    }

    /// The weights of all items.
    pub fn item_weights(&self) -> impl ExactSizeIterator<Item = u32> {
        (0..self.items.len()).map(|i| self.item_weight(i))
    }

    /// Where an item is in the bucket.
    pub fn position(&self, item: i32) -> Option<usize> {
        self.items.iter().position(|i| *i == item)
    }

    /// Reads what follows the algorithm word of an occupied slot.
    pub(crate) fn decode(r: &mut Reader, alg: u32) -> Result<Self, DecodeError> {
        let invalid = |what, value| DecodeError::Invalid { what, value };
        let alg = BucketAlg::from_wire(alg)
            .ok_or_else(|| invalid("crush bucket algorithm", u64::from(alg)))?;
        let id = i32::decode(r)?;
        let kind = u16::decode(r)?;
        let again = u8::decode(r)?;
        if again != alg as u8 {
            return Err(invalid("crush bucket algorithm, second", u64::from(again)));
        }
        let hash = u8::decode(r)?;
        let weight = u32::decode(r)?;
        let n = r.count("crush bucket items", 4)?;
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(i32::decode(r)?);
        }
        let data = match alg {
            BucketAlg::Uniform => BucketData::Uniform { item_weight: u32::decode(r)? },
            BucketAlg::List => {
                let (weights, sums) = pairs(r, n)?;
                BucketData::List { weights, sums }
            }
            BucketAlg::Straw => {
                let (weights, straws) = pairs(r, n)?;
                BucketData::Straw { weights, straws }
            }
            BucketAlg::Straw2 => BucketData::Straw2 { weights: words(r, n)? },
            BucketAlg::Tree => {
                let count = u8::decode(r)?;
                let nodes = words(r, usize::from(count))?;
                let shape = nodes.is_empty() || nodes.len().is_power_of_two();
                if !shape || nodes.len() < 2 * n {
                    return Err(invalid("crush tree bucket nodes", u64::from(count)));
                }
                BucketData::Tree { nodes }
            }
        };
        Ok(Self { id, kind, hash, weight, items, data })
    }

    /// Writes the algorithm word and the bucket.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let alg = self.alg();
        out.put_u32_le(u32::from(alg as u8));
        out.put_i32_le(self.id);
        out.put_u16_le(self.kind);
        out.put_u8(alg as u8);
        out.put_u8(self.hash);
        out.put_u32_le(self.weight);
        self.items.encode(out, 0);
        match &self.data {
            BucketData::Uniform { item_weight } => out.put_u32_le(*item_weight),
            BucketData::List { weights: a, sums: b }
            | BucketData::Straw { weights: a, straws: b } => {
                for (a, b) in a.iter().zip(b) {
                    out.put_u32_le(*a);
                    out.put_u32_le(*b);
                }
            }
            BucketData::Straw2 { weights } => weights.iter().for_each(|w| out.put_u32_le(*w)),
            BucketData::Tree { nodes } => {
                // At most 128 nodes by construction: the count is one byte on the wire.
                out.put_u8(u8::try_from(nodes.len()).unwrap_or(0));
                nodes.iter().for_each(|w| out.put_u32_le(*w));
            }
        }
    }
}

fn words(r: &mut Reader, n: usize) -> Result<Vec<u32>, DecodeError> {
    check(r, n, 4)?;
    (0..n).map(|_| u32::decode(r)).collect()
}

fn pairs(r: &mut Reader, n: usize) -> Result<(Vec<u32>, Vec<u32>), DecodeError> {
    check(r, n, 8)?;
    let (mut a, mut b) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for _ in 0..n {
        a.push(u32::decode(r)?);
        b.push(u32::decode(r)?);
    }
    Ok((a, b))
}

fn check(r: &Reader, n: usize, size: usize) -> Result<(), DecodeError> {
    let need = n.saturating_mul(size);
    if need > r.remaining() {
        return Err(DecodeError::Short { need, have: r.remaining() });
    }
    Ok(())
}
