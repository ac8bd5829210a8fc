//! Who has which map: peers and clients that are behind are shown what they lack, before anything
//! else is said to them.

use std::collections::BTreeSet;

use seabed_cluster::{Epoch, OsdId};
use seabed_pg::{Outbox, Peer, Step};
use seabed_storage::ObjectStore;

use crate::Osd;

impl Osd {
    /// An OSD showed that it has this map.
    pub(crate) fn peer_has(&mut self, osd: OsdId, epoch: Epoch) {
        let known = self.peer_epochs.entry(osd).or_default();
        *known = (*known).max(epoch);
    }

    /// The newest map an OSD surely has: it has seen the one in which it came up.
    fn surely_has(&self, osd: OsdId) -> Epoch {
        let up_from = self.map.as_ref().map_or(Epoch(0), |m| m.up_from(osd));
        let before_up = Epoch(up_from.0.saturating_sub(1));
        self.peer_epochs.get(&osd).copied().unwrap_or_default().max(before_up)
    }

    /// Puts maps in front of messages to OSDs that are behind.
    pub(crate) fn show_maps(
        &mut self,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
        mark: usize,
    ) -> Step {
        let newest = self.epoch();
        let behind: BTreeSet<OsdId> = out.sent[mark..]
            .iter()
            .filter_map(|(to, _)| match to {
                Peer::Osd(osd) => Some(*osd),
                _ => None,
            })
            .filter(|osd| self.surely_has(*osd) < newest)
            .collect();
        if behind.is_empty() {
            return Ok(());
        }
        let mut shown = BTreeSet::new();
        for (to, packet) in out.sent.split_off(mark) {
            if let Peer::Osd(osd) = to
                && behind.contains(&osd)
                && shown.insert(osd)
            {
                let since = self.surely_has(osd);
                let m = self.maps.message(store, since, self.config.maps_sent)?;
                self.peer_has(osd, m.last().unwrap_or(newest));
                out.send(to, m);
            }
            out.sent.push((to, packet));
        }
        Ok(())
    }

    /// Shows maps to an OSD that is behind although there is nothing else to say.
    pub(crate) fn show_soon(&mut self, osd: OsdId) {
        if self.surely_has(osd) < self.epoch() {
            self.owed.insert(osd);
        }
    }

    /// Shows what is owed.
    pub(crate) fn pay(&mut self, store: &mut dyn ObjectStore, out: &mut Outbox) -> Step {
        for osd in std::mem::take(&mut self.owed) {
            let since = self.surely_has(osd);
            if since < self.epoch() {
                let m = self.maps.message(store, since, self.config.maps_sent)?;
                self.peer_has(osd, m.last().unwrap_or_default());
                out.send(Peer::Osd(osd), m);
            }
        }
        Ok(())
    }
}
