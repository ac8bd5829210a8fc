//! One serving primary in each interval of a PG, and intervals that only go forward.

use std::collections::BTreeMap;

use seabed_cluster::{Epoch, PgId};
use seabed_osd::Osd;

/// Who served which interval.
#[derive(Debug, Default)]
pub(crate) struct Primaries {
    served: BTreeMap<(PgId, Epoch), usize>,
}

impl Primaries {
    /// Looks at an OSD after a step.
    pub(crate) fn look(&mut self, n: usize, osd: &Osd) -> Result<(), String> {
        for pg in osd.pgs().filter(|pg| pg.is_primary() && pg.is_active()) {
            let key = (pg.id().pg, pg.info().history.same_interval_since);
            let who = *self.served.entry(key).or_insert(n);
            if who != n {
                return Err(format!(
                    "pg {} is served in interval {} by osd.{who} too",
                    key.0, key.1
                ));
            }
        }
        Ok(())
    }
}
