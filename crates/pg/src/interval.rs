//! Intervals: stretches of epochs in which the same OSDs answer for a PG, and what the past ones
//! demand of the present one.
//!
//! A write is acknowledged by all acting OSDs of its interval; so one survivor of each past
//! interval that may have written is enough to know every acknowledged write, and without one the
//! PG must wait.

use std::collections::BTreeSet;

use seabed_cluster::{Epoch, OsdId, OsdMap, PastIntervals, PgId, PgInterval, PgShard};

/// Who answers for a PG in one epoch, and under which rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Where CRUSH wants the PG.
    pub up: Vec<OsdId>,
    /// First of `up`, or by affinity another.
    pub up_primary: Option<OsdId>,
    /// Who serves: `up`, or what `pg_temp` says.
    pub acting: Vec<OsdId>,
    /// Who leads.
    pub acting_primary: Option<OsdId>,
    /// Copies wanted.
    pub size: u32,
    /// Copies without which nothing is served.
    pub min_size: u32,
    /// PGs of the pool.
    pub pg_num: u32,
}

impl Membership {
    /// By a map; `None` if the pool does not exist in it.
    pub fn of(map: &OsdMap, pg: PgId) -> Option<Membership> {
        let pool = map.pools.get(&pg.pool)?;
        let mapping = map.map_pg(pg);
        Some(Membership {
            up: real(mapping.up),
            up_primary: mapping.up_primary,
            acting: real(mapping.acting),
            acting_primary: mapping.acting_primary,
            size: pool.size,
            min_size: pool.min_size,
            pg_num: pool.pg_num,
        })
    }

    /// True if enough copies act for the PG to be written.
    pub fn writeable(&self) -> bool {
        self.acting.len() >= self.min_size as usize && !self.acting.is_empty()
    }

    /// Everybody in `up` and `acting`.
    pub fn everyone(&self) -> BTreeSet<OsdId> {
        self.up.iter().chain(&self.acting).copied().collect()
    }
}

fn real(osds: Vec<OsdId>) -> Vec<OsdId> {
    osds.into_iter().filter(|o| *o != OsdId::NONE).collect()
}

/// Whether an interval that ended may have seen writes: its primary was told of by the monitor
/// (`up_thru`), without which it does not go active.
pub fn maybe_wrote(
    last_map: &OsdMap,
    old: &Membership,
    first: Epoch,
    last: Epoch,
    last_epoch_clean: Epoch,
) -> bool {
    let Some(primary) = old.acting_primary else { return false };
    if old.acting.len() < (old.min_size as usize).max(1) {
        return false;
    }
    if last_map.up_thru(primary) >= first && last_map.up_from(primary) <= first {
        return true;
    }
    first <= last_epoch_clean && last_epoch_clean <= last
}

/// Records an ended interval.
pub fn add_interval(
    past: &mut PastIntervals,
    first: Epoch,
    last: Epoch,
    old: &Membership,
    wrote: bool,
) {
    if past.first == Epoch(0) {
        past.first = first;
    }
    past.last = last;
    let acting: BTreeSet<PgShard> = old.acting.iter().map(|o| PgShard::replicated(*o)).collect();
    past.all_participants.extend(acting.iter().copied());
    if !wrote {
        return;
    }
    // A survivor of the newer interval is one of any older interval that had all its members.
    while past.intervals.last().is_some_and(|i| acting.is_subset(&i.acting)) {
        past.intervals.pop();
    }
    past.intervals.push(PgInterval { first, last, acting, ..PgInterval::default() });
}

/// Everything is complete in the present set: the past demands nothing any more.
pub(crate) fn forget(past: &mut PastIntervals) {
    *past = PastIntervals::default();
}

/// Who must be asked before a PG may go active, and whether it may at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriorSet {
    /// OSDs that are up and may know of writes.
    pub probe: BTreeSet<OsdId>,
    /// Members of past intervals that are down.
    pub down: BTreeSet<OsdId>,
    /// Those whose return the PG waits for; empty if it need not wait.
    pub blocked_by: BTreeSet<OsdId>,
}

impl PriorSet {
    /// By the intervals that ended at or after the PG was last known to be started.
    pub fn build(
        past: &PastIntervals,
        last_epoch_started: Epoch,
        map: &OsdMap,
        now: &Membership,
    ) -> PriorSet {
        let mut set = PriorSet { probe: now.everyone(), ..PriorSet::default() };
        for interval in past.intervals.iter().rev() {
            if interval.last < last_epoch_started {
                break;
            }
            let mut survivor = false;
            let mut waited_for = BTreeSet::new();
            for shard in &interval.acting {
                let osd = shard.osd;
                if map.is_up(osd) {
                    set.probe.insert(osd);
                    survivor = true;
                } else if map.exists(osd) && map.info(osd).lost_at > interval.first {
                    // The operator gave it up with everything it alone may have had.
                    set.down.insert(osd);
                    survivor = true;
                } else {
                    set.down.insert(osd);
                    waited_for.insert(osd);
                }
            }
            if !survivor && !waited_for.is_empty() {
                set.blocked_by.extend(waited_for);
            }
        }
        set.probe.retain(|o| map.is_up(*o));
        set
    }

    /// True if a past interval that may have written has no survivor that is up.
    pub fn is_blocked(&self) -> bool {
        !self.blocked_by.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(acting: &[i32], min_size: u32) -> Membership {
        let acting: Vec<OsdId> = acting.iter().map(|n| OsdId(*n)).collect();
        Membership {
            up: acting.clone(),
            up_primary: acting.first().copied(),
            acting_primary: acting.first().copied(),
            acting,
            size: 3,
            min_size,
            pg_num: 8,
        }
    }

    #[test]
    fn a_narrower_interval_replaces_the_wider_before_it() {
        let mut past = PastIntervals::default();
        add_interval(&mut past, Epoch(5), Epoch(9), &member(&[0, 1, 2], 2), true);
        add_interval(&mut past, Epoch(10), Epoch(12), &member(&[0, 1], 2), true);
        assert_eq!(past.intervals.len(), 1);
        assert_eq!(past.intervals[0].first, Epoch(10));
        add_interval(&mut past, Epoch(13), Epoch(14), &member(&[1, 2], 2), true);
        assert_eq!(past.intervals.len(), 2);
        add_interval(&mut past, Epoch(15), Epoch(15), &member(&[2], 2), false);
        assert_eq!((past.intervals.len(), past.first, past.last), (2, Epoch(5), Epoch(15)));
        assert_eq!(past.all_participants.len(), 3);
    }
}
