//! Temporary mappings: asked for by primaries, dropped when they are not needed any more.

use std::collections::BTreeSet;

use seabed_cluster::{Incremental, MapError, OsdId, OsdMap, PgId};

/// OSDs of one temporary mapping at most: more than any pool has copies or shards.
const ACTING_MAX: usize = 64;

/// Puts a primary's wish into the increment. `acting` empty takes the mapping back.
///
/// Wishes for PGs that do not exist, from an OSD that does not lead the PG, or for OSDs that are
/// not up are left out.
pub fn request(
    map: &OsdMap,
    inc: &mut Incremental,
    from: OsdId,
    forced: bool,
    wishes: impl IntoIterator<Item = (PgId, Vec<OsdId>)>,
) -> usize {
    let mut taken = 0;
    for (pg, acting) in wishes {
        let Some(pool) = map.pools.get(&pg.pool).filter(|p| pg.seed < p.pg_num) else { continue };
        let gaps = acting.contains(&OsdId::NONE) && !pool.is_erasure();
        let distinct: BTreeSet<OsdId> = acting.iter().copied().collect();
        if gaps || acting.len() > ACTING_MAX || distinct.len() < acting.len() {
            continue;
        }
        let mapping = map.map_pg(pg);
        if !forced && mapping.acting_primary != Some(from) {
            continue;
        }
        if acting.iter().any(|o| *o != OsdId::NONE && !map.is_up(*o)) {
            continue;
        }
        let current = map.pg_temp.get(&pg);
        if acting.is_empty() && current.is_none() && !map.primary_temp.contains_key(&pg) {
            continue;
        }
        if current == Some(&acting) {
            continue;
        }
        if !acting.is_empty() && current.is_none() && acting == mapping.up {
            continue;
        }
        inc.new_pg_temp.insert(pg, acting);
        inc.new_primary_temp.insert(pg, OsdId(-1));
        taken += 1;
    }
    taken
}

/// Removes mappings that lost their sense by what the increment does: a member is down or gone,
/// the PG is gone, or the mapping says what the map says without it.
pub fn clean(map: &OsdMap, inc: &mut Incremental) -> Result<(), MapError> {
    if map.pg_temp.is_empty() && inc.new_pg_temp.is_empty() && map.primary_temp.is_empty() {
        return Ok(());
    }
    let placement_changes = !inc.new_state.is_empty()
        || !inc.new_weight.is_empty()
        || !inc.new_up_client.is_empty()
        || !inc.new_pools.is_empty()
        || !inc.old_pools.is_empty()
        || !inc.new_pg_temp.is_empty()
        || !inc.new_pg_upmap.is_empty()
        || !inc.new_pg_upmap_items.is_empty()
        || !inc.old_pg_upmap.is_empty()
        || !inc.old_pg_upmap_items.is_empty()
        || !inc.new_primary_affinity.is_empty()
        || !inc.crush.is_empty();
    if !placement_changes {
        return Ok(());
    }
    let mut next = map.clone();
    next.apply(inc)?;
    let pgs: BTreeSet<PgId> =
        next.pg_temp.keys().chain(next.primary_temp.keys()).copied().collect();
    for pg in pgs {
        if next.pg_temp.contains_key(&pg) && useless(&next, pg) {
            inc.new_pg_temp.insert(pg, Vec::new());
            inc.new_primary_temp.insert(pg, OsdId(-1));
        } else if let Some(primary) = next.primary_temp.get(&pg)
            && !next.is_up(*primary)
        {
            inc.new_primary_temp.insert(pg, OsdId(-1));
        }
    }
    Ok(())
}

fn useless(map: &OsdMap, pg: PgId) -> bool {
    let Some(pool) = map.pools.get(&pg.pool) else { return true };
    if pg.seed >= pool.pg_num {
        return true;
    }
    let Some(temp) = map.pg_temp.get(&pg) else { return true };
    if temp.is_empty() || temp.iter().any(|o| *o != OsdId::NONE && !map.is_up(*o)) {
        return true;
    }
    let mapping = map.map_pg(pg);
    *temp == mapping.up && mapping.acting_primary == mapping.up_primary
}
