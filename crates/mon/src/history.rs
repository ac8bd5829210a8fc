//! The window of OSD maps: the newest map, the oldest one kept, and all increments between.
//!
//! A subscriber that is inside the window catches up by increments; one that is behind it gets a
//! full map. The window moves on only when the caller says that nobody needs the old maps (an OSD
//! computes past intervals of its PGs from them).
//!
//! Invariants: `increments[i]` leads to epoch `base.epoch + 1 + i`; applying all of them to `base`
//! gives `latest`.

use std::collections::VecDeque;
use std::sync::Arc;

use seabed_cluster::{Epoch, Incremental, MapError, OsdMap, feature};
use seabed_denc::Bytes;

/// Features every map is encoded with: those of 16.2, which all peers in scope understand.
pub const MAP_FEATURES: u64 = feature::PACIFIC_ALL;

/// Maps and increments.
#[derive(Debug, Clone)]
pub struct MapHistory {
    base: OsdMap,
    increments: VecDeque<Bytes>,
    latest: Arc<OsdMap>,
}

impl MapHistory {
    /// A window of one map.
    pub fn new(map: OsdMap) -> Self {
        Self { latest: Arc::new(map.clone()), base: map, increments: VecDeque::new() }
    }

    /// A window of a map and what followed it.
    pub fn restore(base: OsdMap, increments: Vec<Bytes>) -> Result<Self, MapError> {
        let mut history = Self::new(base);
        for increment in increments {
            history.push(increment)?;
        }
        Ok(history)
    }

    /// The newest map.
    pub fn latest(&self) -> &Arc<OsdMap> {
        &self.latest
    }

    /// The oldest map kept.
    pub fn base(&self) -> &OsdMap {
        &self.base
    }

    /// The oldest epoch of which there is a full map.
    pub fn oldest(&self) -> Epoch {
        self.base.epoch
    }

    /// The newest epoch.
    pub fn newest(&self) -> Epoch {
        self.latest.epoch
    }

    /// The increments, from the one behind the base.
    pub fn increments(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.increments.iter()
    }

    /// The increment that leads to `epoch`.
    pub fn increment(&self, epoch: Epoch) -> Option<&Bytes> {
        let index = epoch.0.checked_sub(self.base.epoch.0)?.checked_sub(1)?;
        self.increments.get(usize::try_from(index).ok()?)
    }

    /// Goes on by one increment.
    pub fn push(&mut self, increment: Bytes) -> Result<(), MapError> {
        let decoded = Incremental::decode(increment.clone())?;
        Arc::make_mut(&mut self.latest).apply(&decoded)?;
        self.increments.push_back(increment);
        Ok(())
    }

    /// The full map of an epoch inside the window.
    pub fn full(&self, epoch: Epoch) -> Option<OsdMap> {
        if epoch == self.newest() {
            return Some(OsdMap::clone(&self.latest));
        }
        if epoch < self.oldest() || epoch > self.newest() {
            return None;
        }
        let mut map = self.base.clone();
        for increment in &self.increments {
            if map.epoch >= epoch {
                break;
            }
            let decoded = Incremental::decode(increment.clone()).ok()?;
            map.apply(&decoded).ok()?;
        }
        Some(map)
    }

    /// Moves the beginning of the window up to `epoch`.
    pub fn trim(&mut self, epoch: Epoch) -> Result<(), MapError> {
        while self.base.epoch < epoch.min(self.newest()) {
            let Some(increment) = self.increments.pop_front() else { break };
            self.base.apply(&Incremental::decode(increment)?)?;
        }
        Ok(())
    }
}
