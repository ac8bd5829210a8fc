//! Purged snapshots: each OSD records which snapshots no PG should have a clone of any more, and
//! looks now and then for clones that are there in spite of it.
//!
//! Invariants: everything that the epochs up to `purged_snaps_last` of the superblock purged is
//! recorded; an OSD boots only when that is its newest epoch: what it missed it is told by the
//! monitor.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use seabed_cluster::{
    Collection, Epoch, GhObject, IntervalSet, Now, OsdMap, PoolId, SpgId, Time, UTime,
};
use seabed_denc::{Bytes, Decode, Encode};
use seabed_messages::{MMonGetPurgedSnaps, MMonGetPurgedSnapsReply};
use seabed_pg::{Level, Outbox, Peer, Step};
use seabed_storage::{ObjectStore, StoreError, Transaction};

use crate::maps::meta;
use crate::{Osd, WIRE};

/// Rest between the PGs of one look, so that it is nobody's burden.
const REST: Duration = Duration::from_millis(20);

/// The object whose omap has them: a key for each pool, behind this.
const PREFIX: &str = "PSN__";

fn object() -> GhObject {
    meta("purged_snaps".into())
}

fn key(pool: PoolId) -> Bytes {
    format!("{PREFIX}{}", pool.0).into()
}

/// What is recorded of a pool.
fn recorded(store: &dyn ObjectStore, pool: PoolId) -> Step<IntervalSet> {
    let key = key(pool);
    let found = match store.omap_get(&Collection::Meta, &object(), std::slice::from_ref(&key)) {
        Ok(mut found) => found.remove(&key),
        Err(e) if e.is_not_found() => None,
        Err(e) => return Err(e),
    };
    let read = |bytes| {
        IntervalSet::from_bytes(bytes)
            .map_err(|source| StoreError::Corrupt { what: "purged snapshots", source })
    };
    found.map_or_else(|| Ok(IntervalSet::new()), read)
}

/// Records more; nothing is written where nothing is new.
pub(crate) fn record<'a>(
    store: &dyn ObjectStore,
    tx: &mut Transaction,
    news: impl Iterator<Item = &'a BTreeMap<PoolId, IntervalSet>>,
) -> Step {
    let mut pools: BTreeMap<PoolId, IntervalSet> = BTreeMap::new();
    for (pool, snaps) in news.flatten() {
        pools.entry(*pool).or_default().union(snaps);
    }
    let mut values = BTreeMap::new();
    for (pool, mut snaps) in pools {
        let before = recorded(store, pool)?;
        snaps.union(&before);
        if snaps != before {
            values.insert(key(pool), snaps.to_bytes(WIRE));
        }
    }
    if !values.is_empty() {
        tx.touch(&Collection::Meta, &object());
        tx.omap_set(&Collection::Meta, &object(), values);
    }
    Ok(())
}

/// A look at all PGs, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Look {
    left: VecDeque<SpgId>,
    next: Option<Time>,
}

impl Osd {
    /// True if the OSD knows what all its epochs purged; else the monitor is asked.
    pub(crate) fn knows_purged(&self, out: &mut Outbox) -> bool {
        let (known, newest) = (self.maps.superblock.purged_snaps_last, self.maps.newest());
        if known >= newest {
            return true;
        }
        let ask = MMonGetPurgedSnaps {
            start: known.next(),
            // The end is not among them.
            last: newest.next(),
            ..MMonGetPurgedSnaps::default()
        };
        out.send(Peer::Mon, ask);
        false
    }

    /// The monitor tells what epochs purged; when that is all, the OSD boots.
    pub(crate) fn on_purged(
        &mut self,
        now: Now,
        m: &MMonGetPurgedSnapsReply,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let known = self.maps.superblock.purged_snaps_last;
        let last = m.last.min(self.maps.newest());
        if m.start > known.next() || last <= known {
            return Ok(());
        }
        let mut tx = Transaction::new();
        record(store, &mut tx, m.purged_snaps.values())?;
        self.maps.superblock.purged_snaps_last = last;
        self.maps.write_superblock(&mut tx);
        store.submit(tx)?;
        if !self.phase.is_active() && self.knows_purged(out) {
            self.boot(now, out);
        }
        Ok(())
    }

    /// When the next PG is looked at, or the next look begins.
    pub(crate) fn look_wake(&self) -> Option<Time> {
        self.phase.is_active().then_some(self.look.next).flatten()
    }

    /// The next look is due a day after the last, by the wall, whatever happened between.
    pub(crate) fn plan_look(&mut self, now: Now) {
        let last = self.maps.superblock.last_purged_snaps_scrub;
        let due = last + self.config.purged_look_interval;
        let wait = if last == UTime::ZERO { Duration::ZERO } else { due.saturating_sub(now.wall) };
        self.look.next = Some(now.mono + wait);
    }

    /// Looks at the next PG for clones of purged snapshots.
    pub(crate) fn look_tick(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        if self.look_wake().is_none_or(|at| at > now.mono) {
            return Ok(());
        }
        if self.look.left.is_empty() {
            self.look.left = self.pgs.keys().copied().collect();
        }
        if let Some(id) = self.look.left.pop_front() {
            let purged = recorded(store, id.pg.pool)?;
            let found = self.with_pg(now, id, store, out, |pg, env| pg.trim_again(env, &purged))?;
            if let Some(found) = found.filter(|n| *n > 0) {
                let text = format_args!("pg {id}: clones of {found} purged snapshots go now");
                self.log(out, Level::Warn, text);
            }
        }
        if !self.look.left.is_empty() {
            self.look.next = Some(now.mono + REST);
            return Ok(());
        }
        self.maps.superblock.last_purged_snaps_scrub = now.wall;
        let mut tx = Transaction::new();
        self.maps.write_superblock(&mut tx);
        store.submit(tx)?;
        self.plan_look(now);
        Ok(())
    }
}

/// What the epochs of these maps purged, if they follow on what is known.
pub(crate) fn follow(
    store: &dyn ObjectStore,
    tx: &mut Transaction,
    known: &mut Epoch,
    maps: &[std::sync::Arc<OsdMap>],
) -> Step {
    let (Some(first), Some(last)) = (maps.first(), maps.last()) else { return Ok(()) };
    if known.next() != first.epoch {
        return Ok(());
    }
    record(store, tx, maps.iter().map(|map| &map.new_purged_snaps))?;
    *known = last.epoch;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OsdConfig, mkfs};
    use seabed_cluster::{OsdAddrs, OsdId, Uuid};
    use seabed_messages::{MMonGetVersionReply, MOsdMap, Message, Packet};
    use seabed_storage::mem::MemStore;

    const POOL: PoolId = PoolId(1);

    fn set(first: u64, len: u64) -> IntervalSet {
        let mut set = IntervalSet::new();
        set.insert(first, len);
        set
    }

    fn step(osd: &mut Osd, store: &mut MemStore, message: impl Into<Packet>) -> Vec<Packet> {
        let mut out = Outbox::default();
        let input = crate::Input::Message { from: Peer::Mon, packet: message.into() };
        osd.step(Now::default(), input, store, &mut out);
        assert_eq!(out.stop, None);
        out.sent.into_iter().map(|(_, packet)| packet).collect()
    }

    /// An OSD without maps gets one of epoch 9 as its first: what the eight before purged it must
    /// ask for.
    #[test]
    fn what_was_missed_is_asked_for_before_the_boot() {
        let fsid = Uuid([7; 16]);
        let mut store = MemStore::new();
        mkfs(&mut store, fsid, OsdId(0), Uuid([1; 16])).unwrap();
        store.committed().unwrap();
        let config = OsdConfig::new(fsid, OsdId(0), OsdAddrs::default());
        let mut out = Outbox::default();
        let mut osd = Osd::start(config, &mut store, Now::default(), &mut out).unwrap();
        osd.step(Now::default(), crate::Input::MonConnected, &mut store, &mut out);
        let mut map = OsdMap::empty(fsid, UTime::ZERO);
        map.epoch = Epoch(9);
        let full = BTreeMap::from([(Epoch(9), map.encode_full(WIRE))]);
        let maps = MOsdMap { fsid, oldest: Epoch(9), newest: Epoch(9), full, ..MOsdMap::default() };
        step(&mut osd, &mut store, maps);
        let newest = MMonGetVersionReply { handle: 1, newest: 9, oldest: 9, ..Default::default() };
        let said = step(&mut osd, &mut store, newest);
        let [Packet { message: Message::MonGetPurgedSnaps(m), .. }] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!((m.start, m.last), (Epoch(1), Epoch(10)));
        let reply = |start, last, snaps| MMonGetPurgedSnapsReply {
            start: Epoch(start),
            last: Epoch(last),
            purged_snaps: BTreeMap::from([(Epoch(last), BTreeMap::from([(POOL, snaps)]))]),
            ..Default::default()
        };
        // A part of it: the rest is asked for.
        let said = step(&mut osd, &mut store, reply(1, 4, set(1, 3)));
        assert!(matches!(&said[..], [Packet { message: Message::MonGetPurgedSnaps(m), .. }]
            if m.start == Epoch(5)));
        // What does not follow on it is not believed to be all.
        assert!(step(&mut osd, &mut store, reply(7, 9, set(20, 1))).is_empty());
        let said = step(&mut osd, &mut store, reply(5, 10, set(8, 1)));
        assert!(matches!(&said[..], [Packet { message: Message::OsdBoot(_), .. }]), "{said:?}");
        let mut all = set(1, 3);
        all.union(&set(8, 1));
        assert_eq!(recorded(&store, POOL).unwrap(), all);
        assert_eq!(osd.maps.superblock.purged_snaps_last, Epoch(9));
        let known = crate::maps::Maps::load(&store).unwrap().unwrap();
        assert_eq!(known.superblock.purged_snaps_last, Epoch(9));
    }
}
