//! Fullness: what OSDs say of their own, and the flags of pools that follow from it.

use seabed_cluster::osdmap::{flag, pool_flag};
use seabed_cluster::{Incremental, OsdId, OsdMap};

use crate::service::stats::PgMap;

/// The bits an OSD may report.
const MASK: u32 = flag::osd::FULL | flag::osd::NEARFULL | flag::osd::BACKFILLFULL;

/// Puts an OSD's fullness into the increment. False if the map says so already.
pub fn report(map: &OsdMap, inc: &mut Incremental, osd: OsdId, state: u32) -> bool {
    let have = map.state(osd) & MASK;
    let want = state & MASK;
    if have == want {
        return false;
    }
    *inc.new_state.entry(osd).or_insert(0) |= have ^ want;
    true
}

/// Sets or clears the mark of pools that have reached their quota, by what they hold now.
pub fn quotas(map: &OsdMap, stats: &PgMap, inc: &mut Incremental) -> bool {
    let mut changed = false;
    for (id, pool) in &map.pools {
        let marked = pool.flags & pool_flag::FULL_QUOTA != 0;
        let limited = pool.quota_max_bytes != 0 || pool.quota_max_objects != 0;
        if !marked && !limited {
            continue;
        }
        let sum = stats.pool(*id).sum;
        let over = |limit: u64, n: i64| limit != 0 && n.max(0).unsigned_abs() >= limit;
        let reached = over(pool.quota_max_bytes, sum.num_bytes)
            || over(pool.quota_max_objects, sum.num_objects);
        if reached == marked {
            continue;
        }
        let epoch = inc.epoch;
        let new = inc.new_pools.entry(*id).or_insert_with(|| pool.clone());
        let both = pool_flag::FULL_QUOTA | pool_flag::FULL;
        new.flags = if reached { new.flags | both } else { new.flags & !both };
        new.last_change = epoch;
        changed = true;
    }
    changed
}

/// The fullness bits of the map and of its pools that follow from its OSDs. Returns true if the
/// increment changed.
pub fn derive(map: &OsdMap, inc: &mut Incremental) -> bool {
    let mut any = 0;
    for osd in map.osds() {
        any |= map.state(osd) & MASK;
    }
    let mut wanted = 0;
    for (state, bit) in [
        (flag::osd::FULL, pool_flag::FULL),
        (flag::osd::BACKFILLFULL, pool_flag::BACKFILLFULL),
        (flag::osd::NEARFULL, pool_flag::NEARFULL),
    ] {
        if any & state != 0 {
            wanted = bit;
            break;
        }
    }
    let all = pool_flag::FULL | pool_flag::BACKFILLFULL | pool_flag::NEARFULL;
    let mut changed = false;
    for (id, pool) in &map.pools {
        if pool.flags & pool_flag::FULL_QUOTA != 0 {
            continue;
        }
        if pool.flags & all != wanted {
            let epoch = inc.epoch;
            let new = inc.new_pools.entry(*id).or_insert_with(|| pool.clone());
            new.flags = new.flags & !all | wanted;
            new.last_change = epoch;
            changed = true;
        }
    }
    changed
}
