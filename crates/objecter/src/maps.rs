//! The client's view of the OSDMap: from full maps and increments to the newest one.

use std::sync::Arc;

use seabed_cluster::{Epoch, Incremental, OsdMap};
use seabed_messages::MOsdMap;

/// What a message did to the map.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// Nothing new in it.
    Nothing,
    /// The map is newer now.
    Newer,
    /// It starts beyond what we have: maps from this epoch on are needed.
    Gap(Epoch),
    /// It cannot be applied; the sender is wrong.
    Broken(String),
}

/// Holds the newest map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maps {
    newest: Option<Arc<OsdMap>>,
    /// Maps passed by the last message before the newest, oldest first.
    passed: Vec<Arc<OsdMap>>,
    /// The last message jumped over maps that nobody here has seen.
    jumped: bool,
}

impl Maps {
    pub(crate) fn newest(&self) -> Option<&Arc<OsdMap>> {
        self.newest.as_ref()
    }

    /// The newest epoch, 0 before the first map.
    pub(crate) fn epoch(&self) -> Epoch {
        self.newest.as_ref().map_or(Epoch(0), |m| m.epoch)
    }

    /// The maps between the one before the last message and the newest: what had another primary in
    /// one of them may have lost its operations, even if the newest says nothing of it.
    pub(crate) fn passed(&mut self) -> Vec<Arc<OsdMap>> {
        std::mem::take(&mut self.passed)
    }

    /// True if the last message jumped over maps: what they said is unknown.
    pub(crate) fn jumped(&self) -> bool {
        self.jumped
    }

    /// Takes what a monitor or an OSD sent.
    pub(crate) fn take(&mut self, message: &MOsdMap) -> Advance {
        let before = self.epoch();
        self.passed.clear();
        self.jumped = false;
        let Some(last) = message.last() else { return Advance::Nothing };
        if last <= before {
            return Advance::Nothing;
        }
        match self.climb(message, last) {
            Ok(()) if self.epoch() >= last => Advance::Newer,
            Ok(()) => Advance::Gap(Epoch(self.epoch().0 + 1)),
            Err(why) => Advance::Broken(why),
        }
    }

    /// Takes maps that the caller follows itself, oldest first.
    pub(crate) fn follow(&mut self, maps: Vec<Arc<OsdMap>>) -> Advance {
        let before = self.epoch();
        self.passed.clear();
        self.jumped = false;
        for map in maps {
            let next = Epoch(self.epoch().0 + 1);
            if map.epoch >= next {
                self.jumped |= self.newest.is_some() && map.epoch > next;
                self.passed.extend(self.newest.replace(map));
            }
        }
        if self.epoch() > before { Advance::Newer } else { Advance::Nothing }
    }

    /// Applies increments as far as they follow each other; a full map jumps over a gap.
    fn climb(&mut self, message: &MOsdMap, last: Epoch) -> Result<(), String> {
        while self.epoch() < last {
            let next = Epoch(self.epoch().0 + 1);
            if let (Some(map), Some(bytes)) = (&self.newest, message.incremental.get(&next)) {
                let step = Incremental::decode(bytes.clone()).map_err(|e| e.to_string())?;
                let mut map = OsdMap::clone(map);
                map.apply(&step).map_err(|e| e.to_string())?;
                self.passed.extend(self.newest.replace(Arc::new(map)));
                continue;
            }
            let Some((_, full)) = message.full.range(next..).next() else { return Ok(()) };
            let map = OsdMap::decode(full.clone()).map_err(|e| e.to_string())?;
            if map.epoch < next {
                return Err(format!("a full map of epoch {} under a newer number", map.epoch));
            }
            self.jumped |= self.newest.is_some() && map.epoch > next;
            self.passed.extend(self.newest.replace(Arc::new(map)));
        }
        Ok(())
    }
}
