//! A proposal in the making: changes decided on but not yet in the log.
//!
//! Services put their decisions here. Daemons' messages that arrive together share one increment
//! (one epoch); a command has an increment of its own, made on top of all before it. The draft
//! keeps a working copy of the map, so that each decision sees the ones before it.
//!
//! Invariants: `map()` is the committed map plus all closed increments; closed increments have
//! consecutive epochs; a finished draft carries the checksum of each resulting map.

use std::sync::Arc;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{Epoch, Incremental, MapError, Now, OsdId, OsdMap};

use crate::history::MAP_FEATURES;
use crate::map_log::{Change, LogEntry, Provenance};
use crate::service::osd::pg_temp;

/// Changes in the making.
#[derive(Debug)]
pub struct Draft {
    map: Arc<OsdMap>,
    open: Option<Incremental>,
    entry: LogEntry,
    now: Now,
}

/// A state of a draft.
#[derive(Debug)]
pub struct Mark {
    map: Arc<OsdMap>,
    changes: usize,
    causes: usize,
}

impl Draft {
    /// Begins on top of the committed map.
    pub fn new(map: Arc<OsdMap>, now: Now) -> Self {
        let entry = LogEntry { stamp: now.wall, provenance: Vec::new(), changes: Vec::new() };
        Self { map, open: None, entry, now }
    }

    /// The time of the proposal.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The map that the open increment will change.
    pub fn map(&self) -> &OsdMap {
        &self.map
    }

    /// The same, shared.
    pub fn map_arc(&self) -> Arc<OsdMap> {
        self.map.clone()
    }

    /// The open increment; opens one if need be.
    pub fn inc(&mut self) -> &mut Incremental {
        let map = &self.map;
        self.open.get_or_insert_with(|| Incremental::new(map.fsid, map.epoch.next()))
    }

    /// The open increment, if there is one.
    pub fn peek(&self) -> Option<&Incremental> {
        self.open.as_ref()
    }

    /// The epoch in which what is decided now will be visible.
    pub fn epoch(&self) -> Epoch {
        self.map.epoch.next()
    }

    /// True if the open increment already changes whether this OSD is up.
    pub fn touches(&self, osd: OsdId) -> bool {
        self.open.as_ref().is_some_and(|inc| {
            inc.new_state.contains_key(&osd) || inc.new_up_client.contains_key(&osd)
        })
    }

    /// A change that is none of the OSD map.
    pub fn change(&mut self, change: Change) {
        self.entry.changes.push(change);
    }

    /// Records who caused what was just decided.
    pub fn because(&mut self, provenance: Provenance) {
        self.entry.provenance.push(provenance);
    }

    /// Closes the open increment, if there is one, so that the next decision sees its effect.
    pub fn close(&mut self) -> Result<(), MapError> {
        let Some(mut inc) = self.open.take() else { return Ok(()) };
        inc.modified = self.now.wall;
        self.stamp_changes(&mut inc);
        pg_temp::clean(&self.map, &mut inc)?;
        let (next, _) = self.map.seal(&mut inc, MAP_FEATURES)?;
        self.map = Arc::new(next);
        let change = Change::OsdMap { epoch: inc.epoch, increment: inc.encode(MAP_FEATURES) };
        self.entry.changes.push(change);
        Ok(())
    }

    fn stamp_changes(&self, inc: &mut Incremental) {
        let flips_up = |bits: &u32| *bits == 0 || *bits & flag::osd::UP != 0;
        if !inc.new_up_client.is_empty() || inc.new_state.values().any(flips_up) {
            inc.new_last_up_change = self.now.wall;
        }
        if !inc.new_weight.is_empty() {
            inc.new_last_in_change = self.now.wall;
        }
    }

    /// Forgets the open increment if it changes nothing.
    pub fn close_if_empty(&mut self) {
        let empty = Incremental::new(self.map.fsid, self.map.epoch.next());
        if self.open.as_ref() == Some(&empty) {
            self.open = None;
        }
    }

    /// A point to come back to; closes the open increment first.
    pub fn mark(&mut self) -> Result<Mark, MapError> {
        self.close()?;
        Ok(Mark {
            map: self.map.clone(),
            changes: self.entry.changes.len(),
            causes: self.entry.provenance.len(),
        })
    }

    /// Forgets everything decided since the mark.
    pub fn back_to(&mut self, mark: Mark) {
        self.open = None;
        self.map = mark.map;
        self.entry.changes.truncate(mark.changes);
        self.entry.provenance.truncate(mark.causes);
    }

    /// True if something was decided since the mark.
    pub fn changed_since(&self, mark: &Mark) -> bool {
        self.open.is_some() || self.entry.changes.len() > mark.changes
    }

    /// True if nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.entry.changes.is_empty()
    }

    /// The entry to append; `None` if nothing was decided.
    pub fn finish(mut self) -> Result<Option<LogEntry>, MapError> {
        self.close()?;
        if self.entry.changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.entry))
    }
}
