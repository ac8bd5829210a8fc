//! Which PGs may trim clones: a few at a time, so that clients feel little of it.

use std::collections::{BTreeSet, VecDeque};

use seabed_cluster::{Now, SpgId};
use seabed_pg::{Outbox, Step};
use seabed_storage::ObjectStore;

use crate::Osd;

/// The slots of an OSD and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Trimming {
    held: BTreeSet<SpgId>,
    waiting: VecDeque<SpgId>,
}

impl Trimming {
    /// A PG wants to trim.
    pub(crate) fn ask(&mut self, id: SpgId) {
        if !self.held.contains(&id) && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// A PG trims no more, or is gone.
    pub(crate) fn done(&mut self, id: SpgId) {
        self.held.remove(&id);
        self.waiting.retain(|w| *w != id);
    }

    /// The PG whose turn it is, if there is a slot.
    fn next(&mut self, slots: usize) -> Option<SpgId> {
        if self.held.len() < slots { self.waiting.pop_front() } else { None }
    }
}

impl Osd {
    /// Gives free slots to those who wait. False if nothing was given.
    pub(crate) fn grant_trims(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<bool> {
        let mut granted = false;
        while let Some(id) = self.trimming.next(self.config.trimming_pgs) {
            self.trimming.held.insert(id);
            let taken = self.with_pg(now, id, store, out, |pg, env| pg.trim_granted(env))?;
            if taken == Some(true) {
                granted = true;
            } else {
                self.trimming.held.remove(&id);
            }
        }
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{PgId, PoolId};

    #[test]
    fn slots_go_round() {
        let id = |n| SpgId::replicated(PgId::new(PoolId(1), n));
        let mut t = Trimming::default();
        (0..4).for_each(|n| t.ask(id(n)));
        t.ask(id(1));
        let take = |t: &mut Trimming| {
            let next = t.next(2);
            t.held.extend(next);
            next
        };
        assert_eq!([take(&mut t), take(&mut t), take(&mut t)], [Some(id(0)), Some(id(1)), None]);
        t.ask(id(0));
        t.done(id(2));
        t.done(id(0));
        assert_eq!([take(&mut t), take(&mut t)], [Some(id(3)), None]);
        t.done(id(1));
        assert_eq!(take(&mut t), None);
    }
}
