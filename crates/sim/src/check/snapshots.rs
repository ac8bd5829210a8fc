//! At rest every copy is sound in itself (see `seabed_pg::audit`), and no snapshot that was removed
//! waits to be trimmed.

use seabed_cluster::{Collection, GhObject, ObjectInfo, PgId, SpgId};
use seabed_denc::{Bytes, Decode};
use seabed_storage::ObjectStore;

use crate::work::POOL;
use crate::world::World;

impl World {
    /// Snapshots that are removed and of which some PG may still have clones.
    pub(crate) fn untrimmed(&self) -> Option<String> {
        let map = self.mon.map()?;
        let queue = map.removed_snaps_queue.get(&map.pool_by_name(POOL)?)?;
        (!queue.is_empty()).then(|| format!("{queue:?} are not trimmed"))
    }

    /// The first thing that is wrong with a copy.
    pub(crate) fn unsound_copies(&self) -> Option<String> {
        let map = self.mon.map()?;
        for (pool, spec) in &map.pools {
            for pg in (0..spec.pg_num).map(|seed| PgId::new(*pool, seed)) {
                for osd in map.map_pg(pg).acting {
                    let store = &self.osds[osd.0 as usize].store;
                    let sound = match seabed_pg::audit(store, SpgId::replicated(pg)) {
                        Ok(sound) => sound,
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(why) = sound {
                        return Some(format!("pg {pg} on osd.{}: {why}", osd.0));
                    }
                }
            }
        }
        None
    }

    /// The info of an object as its primary has it.
    pub(crate) fn info_of(&self, name: &str) -> Option<ObjectInfo> {
        let map = self.mon.map()?;
        let pool = map.pool_by_name(POOL)?;
        let locator = seabed_cluster::ObjectLocator::new(pool);
        let raw = map.object_pg(&locator, &Bytes::from(name.to_string()))?;
        let pg = map.raw_to_pg(raw)?;
        let osd = map.map_pg(pg).acting_primary?;
        let store = &self.osds.get(osd.0 as usize)?.store;
        let coll = Collection::Pg(SpgId::replicated(pg));
        let all = store.list(&coll, &GhObject::min(), &GhObject::max(), usize::MAX).ok()?.0;
        let object = all.into_iter().find(|o| o.hobj.is_head() && o.hobj.name == name)?;
        ObjectInfo::from_bytes(store.get_attr(&coll, &object, b"_").ok()?).ok()
    }
}
