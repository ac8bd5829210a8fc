//! Epochs never go back: not for the monitor over its restarts, not within the life of an OSD or a
//! client. An OSD that restarts may have lost its newest maps, but never has one that the monitor
//! did not make.

use std::collections::BTreeMap;

use seabed_cluster::Epoch;
use seabed_osd::Osd;

/// The newest epoch each process was seen with.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    monitor: Epoch,
    osds: BTreeMap<usize, Epoch>,
    clients: BTreeMap<usize, Epoch>,
}

fn forward(known: &mut Epoch, now: Epoch, who: impl Fn() -> String) -> Result<(), String> {
    if now < *known {
        return Err(format!("{} goes back from epoch {known} to {now}", who()));
    }
    *known = now;
    Ok(())
}

impl Epochs {
    pub(crate) fn monitor(&mut self, now: Epoch) -> Result<(), String> {
        forward(&mut self.monitor, now, || "the monitor".into())
    }

    pub(crate) fn osd_starts(&mut self, n: usize) {
        self.osds.remove(&n);
    }

    pub(crate) fn client_starts(&mut self, n: usize) {
        self.clients.remove(&n);
    }

    pub(crate) fn osd(&mut self, n: usize, osd: &Osd) -> Result<(), String> {
        let now = osd.map().map_or(Epoch(0), |m| m.epoch);
        if now > self.monitor {
            return Err(format!("has epoch {now}, the monitor is at {}", self.monitor));
        }
        forward(self.osds.entry(n).or_default(), now, || format!("osd.{n}"))
    }

    pub(crate) fn client(&mut self, n: usize, now: Epoch) -> Result<(), String> {
        forward(self.clients.entry(n).or_default(), now, || format!("client.{n}"))
    }
}
