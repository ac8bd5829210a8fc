//! What changed in an object between two snapshots, from the list of its clones.
//!
//! An object's history is its clones, oldest first, and the head. Each clone says what it shares
//! with the next; all else of the two differs.

use seabed_cluster::{IntervalSet, SnapId};
use seabed_denc::{Bytes, Decode, DecodeError, Reader, decode_versioned};

/// One of an object's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The clone's id; [`SnapId::HEAD`] for the head.
    pub id: SnapId,
    /// The snapshots that see it.
    pub snaps: Vec<SnapId>,
    /// What it shares with the next: offset and length.
    pub overlap: Vec<(u64, u64)>,
    pub size: u64,
}

/// All contents of an object, oldest first, and the newest snapshot that it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub versions: Vec<Version>,
    pub seq: SnapId,
}

impl Decode for History {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let one = |r: &mut Reader, _| {
            Ok(Version {
                id: Decode::decode(r)?,
                snaps: Decode::decode(r)?,
                overlap: Decode::decode(r)?,
                size: Decode::decode(r)?,
            })
        };
        let all = |r: &mut Reader, version| {
            let count = r.count("clones", 6)?;
            let mut versions = Vec::with_capacity(count);
            for _ in 0..count {
                versions.push(decode_versioned(r, "clone_info_t", 1, one)?.0);
            }
            let seq = if version >= 2 { Decode::decode(r)? } else { SnapId(0) };
            Ok(History { versions, seq })
        };
        Ok(decode_versioned(r, "obj_list_snap_response_t", 2, all)?.0)
    }
}

impl History {
    /// Reads the answer of LIST_SNAPS.
    pub(crate) fn read(output: Bytes) -> Result<Self, DecodeError> {
        History::decode(&mut Reader::new(output))
    }

    /// Which content a snapshot (or the head) sees, if there is any.
    fn at(&self, snap: SnapId) -> Option<usize> {
        if snap == SnapId::HEAD || snap > self.seq {
            return self.versions.iter().position(|v| v.id == SnapId::HEAD);
        }
        let found = self.versions.iter().position(|v| v.id != SnapId::HEAD && v.id >= snap)?;
        self.versions[found].snaps.contains(&snap).then_some(found)
    }

    /// True if there is an object, for that snapshot or the head.
    pub(crate) fn exists(&self, snap: SnapId) -> bool {
        self.at(snap).is_some()
    }

    /// Ranges (start, end, and whether there are bytes) that differ from one snapshot, or from
    /// nothing, to another or the head; in order, not touching if alike.
    pub(crate) fn changes(&self, from: Option<SnapId>, to: SnapId) -> Vec<(u64, u64, bool)> {
        let before = from.and_then(|from| self.at(from));
        let size = |index: Option<usize>| index.map_or(0, |index| self.versions[index].size);
        let (old, new) = (size(before), self.at(to).map_or(0, |at| self.versions[at].size));
        let mut changed = IntervalSet::new();
        match (before, self.at(to)) {
            (None, None) => {}
            (None, Some(_)) | (Some(_), None) => changed.insert(0, old.max(new)),
            (Some(first), Some(last)) => {
                for pair in self.versions[first.min(last)..=last].windows(2) {
                    changed.union(&pair[0].not_shared(pair[0].size.max(pair[1].size)));
                }
            }
        }
        let mut out = Vec::new();
        for (start, length) in changed.iter() {
            let end = (start + length).min(old.max(new));
            let middle = new.clamp(start, end.max(start));
            if start < middle {
                out.push((start, middle, true));
            }
            if middle < end {
                out.push((middle, end, false));
            }
        }
        out
    }
}

impl Version {
    /// What of the first `size` bytes it does not share with the next.
    fn not_shared(&self, size: u64) -> IntervalSet {
        let mut rest = IntervalSet::new();
        rest.insert(0, size);
        for (offset, length) in &self.overlap {
            rest.erase(*offset, *length);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clone(id: u64, overlap: &[(u64, u64)], size: u64) -> Version {
        Version { id: SnapId(id), snaps: vec![SnapId(id)], overlap: overlap.to_vec(), size }
    }

    fn head(size: u64) -> Version {
        Version { id: SnapId::HEAD, snaps: vec![], overlap: vec![], size }
    }

    #[test]
    fn an_object_that_is_as_it_was_has_no_changes() {
        let history = History { versions: vec![head(100)], seq: SnapId(0) };
        assert_eq!(history.changes(Some(SnapId(3)), SnapId::HEAD), []);
        assert_eq!(history.changes(None, SnapId::HEAD), [(0, 100, true)]);
    }

    #[test]
    fn changes_of_all_steps_add_up() {
        let history = History {
            versions: vec![
                clone(2, &[(0, 10), (20, 80)], 100),
                clone(4, &[(0, 50)], 100),
                head(60),
            ],
            seq: SnapId(4),
        };
        let all = history.changes(Some(SnapId(2)), SnapId::HEAD);
        assert_eq!(all, [(10, 20, true), (50, 60, true), (60, 100, false)]);
        assert_eq!(history.changes(Some(SnapId(2)), SnapId(4)), [(10, 20, true)]);
    }

    #[test]
    fn what_is_gone_is_zero() {
        let history = History { versions: vec![clone(2, &[], 100)], seq: SnapId(2) };
        assert_eq!(history.changes(Some(SnapId(2)), SnapId::HEAD), [(0, 100, false)]);
        assert_eq!(history.changes(None, SnapId::HEAD), []);
        assert!(history.exists(SnapId(2)) && !history.exists(SnapId(1)));
    }

    proptest! {
        /// Against an array for each snapshot.
        #[test]
        fn changes_are_those_of_arrays(steps in proptest::collection::vec(
            proptest::collection::vec((0usize..32, 1usize..16), 0..4), 1..6))
        {
            let mut now = vec![0u8; 48];
            let (mut states, mut versions) = (Vec::new(), Vec::new());
            let (mut stamp, mut id) = (0, 0);
            for writes in &steps {
                id += 1;
                states.push(now.clone());
                let mut overlap = [true; 48];
                for (start, length) in writes {
                    stamp += 1;
                    now[*start..start + length].fill(stamp);
                    overlap[*start..start + length].fill(false);
                }
                if writes.is_empty() {
                    continue;
                }
                let shared = (0..48).filter(|i| overlap[*i]).map(|i| (i as u64, 1)).collect();
                let seen = versions.last().map_or(0, |v: &Version| v.id.0);
                let snaps = (seen + 1..=id).map(SnapId).collect();
                versions.push(Version { id: SnapId(id), snaps, overlap: shared, size: 48 });
            }
            let seq = versions.last().map_or(SnapId(0), |v| v.id);
            versions.push(head(48));
            states.push(now);
            let history = History { versions, seq };
            let last = steps.len();
            let name = |i: usize| if i == last { SnapId::HEAD } else { SnapId(i as u64 + 1) };
            for from in 0..states.len() {
                for to in from..states.len() {
                    let mut differs = [false; 48];
                    for (start, end, there) in history.changes(Some(name(from)), name(to)) {
                        prop_assert!(there);
                        differs[start as usize..end as usize].fill(true);
                    }
                    for at in 0..48 {
                        prop_assert!(differs[at] || states[from][at] == states[to][at]);
                    }
                }
            }
        }
    }
}
