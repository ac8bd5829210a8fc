//! Everything is at rest: every PG active and clean where CRUSH wants it, every OSD at the newest
//! map, and the monitor knows it.

use seabed_cluster::{OsdId, PgId, SpgId, pg_state};

use crate::world::World;

impl World {
    /// What is not at rest yet; `None` if all is.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let Some(map) = self.mon.map() else { return Some("no monitor".into()) };
        let mut wanted = 0;
        for (n, node) in self.osds.iter().enumerate() {
            if !map.is_up(OsdId(n as i32)) {
                return Some(format!("osd.{n} is down in epoch {}", map.epoch));
            }
            let Some(osd) = &node.osd else { return Some(format!("osd.{n} does not run")) };
            if osd.map().map(|m| m.epoch) != Some(map.epoch) {
                return Some(format!("osd.{n} is behind epoch {}", map.epoch));
            }
        }
        for (pool, spec) in &map.pools {
            for seed in 0..spec.pg_num {
                wanted += 1;
                let id = PgId::new(*pool, seed);
                let at = map.map_pg(id);
                if at.acting != at.up {
                    return Some(format!("pg {id}: acting {:?}, up {:?}", at.acting, at.up));
                }
                let osd = at.acting_primary.and_then(|o| self.osds.get(o.0 as usize)?.osd.as_ref());
                let id = SpgId::replicated(id);
                let Some(pg) = osd.and_then(|o| o.pgs().find(|p| p.id() == id)) else {
                    return Some(format!("pg {id:?} has no primary"));
                };
                if !pg.is_clean() {
                    return Some(format!(
                        "pg {} on osd.{} e{} {} up {:?} acting {:?} missing {} {}",
                        id.pg,
                        at.acting_primary.unwrap_or_default().0,
                        pg.epoch().0,
                        pg.phase(),
                        at.up,
                        at.acting,
                        pg.missing().len(),
                        pg.trouble()
                    ));
                }
            }
        }
        (wanted == 0).then(|| "there is no pool".into())
    }

    /// What the monitor does not report as active and clean.
    pub(crate) fn unreported(&self) -> Option<String> {
        let (Some(map), Some(monitor)) = (self.mon.map(), self.mon.monitor()) else {
            return Some("no monitor".into());
        };
        let clean = pg_state::ACTIVE | pg_state::CLEAN;
        map.pools
            .iter()
            .flat_map(|(pool, spec)| (0..spec.pg_num).map(|seed| PgId::new(*pool, seed)))
            .find(|pg| monitor.stats().state(*pg) != clean)
            .map(|pg| format!("the monitor says {:#x} of pg {pg}", monitor.stats().state(pg)))
    }
}
