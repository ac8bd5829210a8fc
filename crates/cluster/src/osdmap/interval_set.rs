//! `interval_set`: ranges of numbers that neither overlap nor touch.

use std::collections::BTreeMap;
use std::fmt;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

/// Start to length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntervalSet {
    ranges: BTreeMap<u64, u64>,
}

impl IntervalSet {
    /// The empty set.
    pub const fn new() -> Self {
        IntervalSet { ranges: BTreeMap::new() }
    }

    /// The ranges: start and length, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&start, &len)| (start, len))
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn size(&self) -> u64 {
        self.ranges.values().fold(0, |sum, &len| sum.saturating_add(len))
    }

    /// True if the number is in it.
    pub fn contains(&self, n: u64) -> bool {
        self.ranges.range(..=n).next_back().is_some_and(|(start, len)| n - start < *len)
    }

    /// Adds a range, joining what it overlaps or touches.
    pub fn insert(&mut self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (mut start, mut end) = (start, start.saturating_add(len));
        while let Some((&s, &l)) = self.ranges.range(..=end).next_back() {
            if s.saturating_add(l) < start {
                break;
            }
            self.ranges.remove(&s);
            start = start.min(s);
            end = end.max(s.saturating_add(l));
        }
        self.ranges.insert(start, end - start);
    }

    /// Takes a range out, whether or not all of it is in.
    pub fn erase(&mut self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let end = start.saturating_add(len);
        while let Some((&s, &l)) = self.ranges.range(..end).next_back() {
            let e = s.saturating_add(l);
            if e <= start {
                break;
            }
            self.ranges.remove(&s);
            if s < start {
                self.ranges.insert(s, start - s);
            }
            if e > end {
                self.ranges.insert(end, e - end);
            }
        }
    }

    /// Adds all of another.
    pub fn union(&mut self, other: &IntervalSet) {
        for (start, len) in other.iter() {
            self.insert(start, len);
        }
    }

    /// Takes out all of another.
    pub fn subtract(&mut self, other: &IntervalSet) {
        for (start, len) in other.iter() {
            self.erase(start, len);
        }
    }

    /// Keeps what is in both.
    pub fn intersect(&mut self, other: &IntervalSet) {
        let mut outside = self.clone();
        outside.subtract(other);
        self.subtract(&outside);
    }
}

/// As Ceph: `[start~length,…]`, hexadecimal.
impl fmt::Display for IntervalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (start, len)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{start:x}~{len:x}")?;
        }
        f.write_str("]")
    }
}

impl Encode for IntervalSet {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.ranges.encode(out, features);
    }
}

impl Decode for IntervalSet {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(IntervalSet { ranges: BTreeMap::decode(r)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_a_plain_set() {
        let mut set = IntervalSet::new();
        let mut plain = std::collections::BTreeSet::new();
        let mut x = 12345u64;
        for _ in 0..400 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (start, len) = (x >> 33 & 63, x >> 40 & 7);
            if x >> 62 == 0 {
                set.erase(start, len);
                plain.retain(|n| !(start..start + len).contains(n));
            } else {
                set.insert(start, len);
                plain.extend(start..start + len);
            }
            assert_eq!(set.size(), plain.len() as u64);
            assert!((0..80).all(|n| set.contains(n) == plain.contains(&n)));
            let window = IntervalSet { ranges: [(start, len + 20)].into() };
            let mut inside = set.clone();
            inside.intersect(&window);
            assert!((0..80).all(|n| inside.contains(n) == (set.contains(n) && window.contains(n))));
            let ends: Vec<_> = set.iter().map(|(s, l)| (s, s + l)).collect();
            assert!(ends.windows(2).all(|w| w[0].1 < w[1].0));
            if x >> 50 & 31 == 0 {
                set = IntervalSet::new();
                plain.clear();
            }
        }
    }
}
