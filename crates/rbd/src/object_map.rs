//! Which objects of an image exist: the rules of the object map.
//!
//! It may say of an object that is not there that it exists, never the other way round: it is
//! changed, and stored, before an object is made and after one is removed.

use std::ops::Range;

use seabed_classes::rbd::wire::BitVector;

/// Ceph's limit: a map is read and held whole.
pub(crate) const OBJECTS_MAX: u64 = 256_000_000;

/// There is no such object.
pub(crate) const NONEXISTENT: u8 = 0;
/// It exists, and has changed since the last snapshot.
pub(crate) const EXISTS: u8 = 1;
/// It is being removed.
pub(crate) const PENDING: u8 = 2;
/// It exists, unchanged since the last snapshot.
pub(crate) const EXISTS_CLEAN: u8 = 3;

/// Flags of an image or a snapshot: the map cannot be trusted.
pub(crate) const INVALID: u64 = 1;
/// The same of what [`EXISTS_CLEAN`] says.
pub(crate) const FAST_DIFF_INVALID: u64 = 2;

/// A change that has to be stored before (or after) the objects change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub objects: Range<u64>,
    pub state: u8,
    /// Only those that are in this state now.
    pub current: Option<u8>,
}

/// The map of an image that this client has locked.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectMap {
    states: BitVector,
    trusted: bool,
}

impl ObjectMap {
    /// As loaded. One of another length than the image's is not trusted.
    pub(crate) fn new(mut states: BitVector, objects: u64, flags: u64) -> Self {
        let trusted = flags & INVALID == 0 && states.len() == objects;
        if states.len() < objects {
            states.resize(objects, EXISTS);
        }
        ObjectMap { states, trusted }
    }

    /// False only if the object certainly is not there.
    pub(crate) fn may_exist(&self, object: u64) -> bool {
        !self.trusted || object >= self.states.len() || self.states.get(object) != NONEXISTENT
    }

    /// What must be stored before an object is written, if anything.
    pub(crate) fn before_write(&self, object: u64) -> Option<Update> {
        let known = object < self.states.len() && self.states.get(object) == EXISTS;
        (!known).then(|| Update { objects: object..object + 1, state: EXISTS, current: None })
    }

    /// What must be stored before an object is removed.
    pub(crate) fn before_remove(&self, object: u64) -> Option<Update> {
        let gone = object >= self.states.len() || self.states.get(object) == NONEXISTENT;
        (!gone).then(|| Update { objects: object..object + 1, state: PENDING, current: None })
    }

    /// What must be stored once it is removed.
    pub(crate) fn after_remove(object: u64) -> Update {
        Update { objects: object..object + 1, state: NONEXISTENT, current: Some(PENDING) }
    }

    /// Notes that an update is stored.
    pub(crate) fn stored(&mut self, update: &Update) {
        let end = update.objects.end.min(self.states.len());
        let Update { state, current, .. } = update;
        self.states.update(update.objects.start.min(end)..end, |_, old| {
            let wanted = current.is_none_or(|c| old == c || c == EXISTS && old == EXISTS_CLEAN);
            (wanted && old != *state).then_some(*state)
        });
    }

    /// Follows a change of the image's size.
    pub(crate) fn resize(&mut self, objects: u64) {
        self.states.resize(objects, NONEXISTENT);
    }

    /// Follows a new snapshot: what is there is unchanged since.
    pub(crate) fn snapshot_made(&mut self) {
        let all = 0..self.states.len();
        self.states.update(all, |_, old| (old == EXISTS).then_some(EXISTS_CLEAN));
    }

    /// Follows the removal of the newest snapshot, whose map this was: what had changed in it has
    /// now changed since the one before.
    pub(crate) fn snapshot_removed(&mut self, removed: &BitVector) {
        let all = 0..self.states.len();
        self.states.update(all, |index, old| {
            let changed = index >= removed.len() || removed.get(index) == EXISTS;
            (old == EXISTS_CLEAN && changed).then_some(EXISTS)
        });
    }

    /// Takes another map, which is stored.
    pub(crate) fn replace(&mut self, states: BitVector) {
        self.states = states;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(objects: u64) -> ObjectMap {
        let mut states = BitVector::default();
        states.resize(objects, NONEXISTENT);
        ObjectMap::new(states, objects, 0)
    }

    #[test]
    fn a_write_is_said_once_and_again_after_a_snapshot() {
        let mut map = map(4);
        assert!(!map.may_exist(2));
        let update = map.before_write(2).unwrap();
        map.stored(&update);
        assert!(map.may_exist(2) && map.before_write(2).is_none());
        map.snapshot_made();
        assert_eq!(map.before_write(2), Some(update));
    }

    #[test]
    fn a_removed_object_is_pending_until_it_is_gone() {
        let mut map = map(4);
        assert_eq!(map.before_remove(1), None);
        map.stored(&map.before_write(1).unwrap());
        map.stored(&map.before_remove(1).unwrap());
        assert!(map.may_exist(1));
        // Written again before it was gone: it exists, whatever the removal says after.
        map.stored(&map.before_write(1).unwrap());
        map.stored(&ObjectMap::after_remove(1));
        assert!(map.may_exist(1));
        map.stored(&map.before_remove(1).unwrap());
        map.stored(&ObjectMap::after_remove(1));
        assert!(!map.may_exist(1));
    }

    #[test]
    fn what_cannot_be_trusted_says_that_all_may_exist() {
        let mut short = BitVector::default();
        short.resize(2, NONEXISTENT);
        assert!(ObjectMap::new(short.clone(), 3, 0).may_exist(0));
        assert!(ObjectMap::new(short.clone(), 2, INVALID).may_exist(0));
        assert!(!ObjectMap::new(short.clone(), 2, 0).may_exist(0));
        assert!(ObjectMap::new(short, 2, 0).may_exist(7));
    }
}
