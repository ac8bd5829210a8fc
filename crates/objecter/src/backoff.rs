//! Back-offs of one OSD session: ranges of objects whose operations it wants held back.
//!
//! A back-off lives until the OSD lifts it or the session ends.

use std::collections::BTreeMap;

use seabed_cluster::{HObject, SpgId};

/// Ranges of a PG, by id; an id is unique within a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoffs(BTreeMap<(SpgId, u64), (HObject, HObject)>);

/// More than any OSD asks for: one range a PG at the most.
const BACKOFFS_MAX: usize = 100_000;

impl Backoffs {
    pub(crate) fn block(&mut self, pg: SpgId, id: u64, begin: HObject, end: HObject) {
        if self.0.len() < BACKOFFS_MAX {
            self.0.insert((pg, id), (begin, end));
        }
    }

    pub(crate) fn lift(&mut self, pg: SpgId, id: u64) {
        self.0.remove(&(pg, id));
    }

    /// True if an operation on this object (or, without one, on the PG) must wait.
    pub(crate) fn holds(&self, pg: SpgId, object: Option<&HObject>) -> bool {
        self.0.range((pg, 0)..=(pg, u64::MAX)).any(|(_, (begin, end))| match object {
            Some(object) => covers(begin, end, object),
            None => true,
        })
    }
}

/// True if the object is in the range; one that begins where it ends is that object.
pub(crate) fn covers(begin: &HObject, end: &HObject, object: &HObject) -> bool {
    begin == object || begin < object && object < end
}

#[cfg(test)]
mod tests {
    use seabed_cluster::{PgId, PoolId, SnapId};
    use seabed_denc::Bytes;

    use super::*;

    #[test]
    fn a_range_without_length_is_one_object() {
        let object = |name: &'static str| {
            let (none, name) = (Bytes::new(), Bytes::from_static(name.as_bytes()));
            HObject::new(PoolId(1), none.clone(), none, name, SnapId::HEAD)
        };
        let mut all = ["a", "b", "c", "d"].map(object);
        all.sort();
        let pg = SpgId::replicated(PgId::new(PoolId(1), 0));
        let mut held = Backoffs::default();
        held.block(pg, 1, all[1].clone(), all[1].clone());
        assert_eq!(all.each_ref().map(|o| held.holds(pg, Some(o))), [false, true, false, false]);
        held.block(pg, 2, all[2].clone(), all[3].clone());
        assert_eq!(all.each_ref().map(|o| held.holds(pg, Some(o))), [false, true, true, false]);
        held.lift(pg, 1);
        assert_eq!(all.each_ref().map(|o| held.holds(pg, Some(o))), [false, false, true, false]);
    }
}
