//! Pools: made, deleted, named, set.

use seabed_cluster::osdmap::{Pool, flag, pool_flag};
use seabed_cluster::{Errno, OsdMap, PoolId};

use super::pool_var::{self, SIZE_MAX, autoscale};
use crate::command::Refusal;
use crate::draft::Draft;
use crate::options::Options;

/// Longest name of a pool.
const NAME_LEN_MAX: usize = 128;

/// What a new pool is asked to be; `None` takes the default.
#[derive(Debug, Clone, Default)]
pub struct NewPool {
    /// Its name.
    pub name: String,
    /// How many PGs.
    pub pg_num: Option<i64>,
    /// How many PGs differ in place.
    pub pgp_num: Option<i64>,
    /// How many copies.
    pub size: Option<i64>,
    /// The rule's name.
    pub rule: Option<String>,
    /// `off`, `warn`, `on`.
    pub autoscale: Option<String>,
    /// Whether it will hold much.
    pub bulk: bool,
    /// Options that it starts with.
    pub options: Vec<(&'static str, Option<String>)>,
}

/// The pool of that name.
pub fn find(map: &OsdMap, name: &str) -> Result<PoolId, Refusal> {
    map.pool_by_name(name).ok_or_else(|| Refusal::not_found(format!("unrecognized pool '{name}'")))
}

/// The smallest size at which writes go on, by Ceph's rule: half the copies, and one.
pub fn default_min_size(size: u32, options: &Options<'_>) -> u32 {
    let set = u32::try_from(options.u64("osd_pool_default_min_size")).unwrap_or(0);
    if set > 0 { set.clamp(1, size) } else { (size - size / 2).clamp(1, size) }
}

/// Makes a pool. `None`: it exists.
pub fn create(
    draft: &mut Draft,
    options: &Options<'_>,
    new: &NewPool,
) -> Result<Option<PoolId>, Refusal> {
    let map = draft.map_arc();
    if new.name.is_empty() || new.name.len() > NAME_LEN_MAX || new.name.contains('\0') {
        return Err(Refusal::invalid("pool name is empty or too long"));
    }
    if map.pool_by_name(&new.name).is_some() {
        return Ok(None);
    }
    let in_range = |n: i64, what: &str, max: u64| {
        u32::try_from(n)
            .ok()
            .filter(|n| *n > 0 && u64::from(*n) <= max)
            .ok_or_else(|| Refusal::new(Errno::ERANGE, format!("'{what}' must be 1 to {max}")))
    };
    let max = options.u64("mon_max_pool_pg_num").max(1);
    let wanted = new.pg_num.filter(|n| *n != 0);
    let fallback = i64::try_from(options.u64("osd_pool_default_pg_num")).unwrap_or(32);
    let pg_num = in_range(wanted.unwrap_or(fallback), "pg_num", max)?;
    let pgp_num = match new.pgp_num.filter(|n| *n != 0) {
        Some(n) => u32::try_from(n).ok().filter(|n| (1..=pg_num).contains(n)).ok_or_else(|| {
            let bounds = "must be greater than 0 and lower or equal than 'pg_num', which in this";
            Refusal::new(Errno::ERANGE, format!("'pgp_num' {bounds} case is {pg_num}"))
        })?,
        None => pg_num,
    };
    let fallback = i64::try_from(options.u64("osd_pool_default_size")).unwrap_or(3);
    let size = new.size.filter(|n| *n != 0).unwrap_or(fallback);
    let rule = rule_id(&map, new.rule.as_deref())?;
    let size = check_size(&map, rule, size)?;
    check_pg_limit(&map, options, pg_num, size)?;
    let id = PoolId(map.pool_max.0.max(0) + 1);
    let min_size = default_min_size(size, options);
    let epoch = draft.epoch();
    let wall = draft.now().wall;
    let mut pool = Pool::new_replicated(size, min_size, rule, pg_num, epoch, wall);
    pool.pgp_num = pgp_num;
    pool.pgp_num_target = pgp_num;
    pool.flags |= pool_flag::CREATING;
    let fallback = options.get("osd_pool_default_pg_autoscale_mode");
    let mode = new.autoscale.as_deref().unwrap_or(&fallback);
    pool.pg_autoscale_mode = autoscale(mode)
        .ok_or_else(|| Refusal::invalid(format!("specified invalid mode {mode}")))?;
    if new.bulk {
        pool.flags |= pool_flag::BULK;
    }
    pool_var::at_creation(&mut pool, &new.options)?;
    let inc = draft.inc();
    inc.new_pool_max = id;
    inc.new_pools.insert(id, pool);
    inc.new_pool_names.insert(id, new.name.clone());
    Ok(Some(id))
}

/// A size that the rule allows.
fn check_size(map: &OsdMap, rule: i32, size: i64) -> Result<u32, Refusal> {
    let rule = u32::try_from(rule).ok().and_then(|r| map.crush.rule(r));
    let (least, most) = rule.map_or((1, SIZE_MAX), |r| (r.min_size.into(), r.max_size.into()));
    let n = u32::try_from(size).ok().filter(|n| (1..=SIZE_MAX).contains(n));
    match n {
        _ if size > i64::from(most) => {
            Err(Refusal::invalid("pool size is bigger than the crush rule max size"))
        }
        _ if size < i64::from(least) => {
            Err(Refusal::invalid("pool size is smaller than the crush rule min size"))
        }
        Some(n) => Ok(n),
        None => Err(Refusal::invalid(format!("pool size must be between 1 and {SIZE_MAX}"))),
    }
}

/// OSDs carry so many PGs and no more: each costs memory and time in peering.
fn check_pg_limit(
    map: &OsdMap,
    options: &Options<'_>,
    pg_num: u32,
    size: u32,
) -> Result<(), Refusal> {
    // A cluster that is still being made counts as the smallest usual one.
    const OSDS_MIN: usize = 3;
    let osds = map.num_in_osds().max(OSDS_MIN) as u64;
    let max = options.u64("mon_max_pg_per_osd").saturating_mul(osds);
    let copies = |pg_num: u32, size: u32| u64::from(pg_num) * u64::from(size);
    let now: u64 = map.pools.values().map(|p| copies(p.pg_num, p.size)).sum();
    let total = now + copies(pg_num, size);
    if total <= max {
        return Ok(());
    }
    Err(Refusal::new(
        Errno::ERANGE,
        format!(
            "pg_num {pg_num} size {size} would mean {total} total pgs, which exceeds max {max} \
             (mon_max_pg_per_osd {} * {osds} OSDs)",
            options.u64("mon_max_pg_per_osd")
        ),
    ))
}

fn rule_id(map: &OsdMap, name: Option<&str>) -> Result<i32, Refusal> {
    let named = |name: &str| {
        map.crush
            .rule_id(name)
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| Refusal::not_found(format!("specified rule {name} doesn't exist")))
    };
    match name.filter(|n| !n.is_empty()) {
        Some(name) => named(name),
        None => map
            .crush
            .rule_names
            .keys()
            .next()
            .copied()
            .ok_or_else(|| Refusal::not_found("there is no CRUSH rule for replicated pools")),
    }
}

/// Deletes a pool, with its temporary mappings. The caller has asked for confirmation.
pub fn delete(draft: &mut Draft, options: &Options<'_>, id: PoolId) -> Result<(), Refusal> {
    let map = draft.map_arc();
    if !options.bool("mon_allow_pool_delete") {
        return Err(Refusal::new(
            Errno::EPERM,
            "pool deletion is disabled; you must first set the mon_allow_pool_delete config \
             option to true before you can destroy a pool",
        ));
    }
    let pool = map.pools.get(&id).ok_or_else(|| Refusal::not_found("no such pool"))?;
    if pool.has_flag(pool_flag::NODELETE) {
        return Err(Refusal::new(
            Errno::EPERM,
            "pool deletion is disabled; you must unset nodelete flag for the pool first",
        ));
    }
    let inc = draft.inc();
    inc.old_pools.insert(id);
    // The queue would outlive the pool.
    if let Some(queue) = map.removed_snaps_queue.get(&id) {
        inc.new_purged_snaps.insert(id, queue.clone());
    }
    for pg in map.pg_temp.keys().filter(|pg| pg.pool == id) {
        inc.new_pg_temp.insert(*pg, Vec::new());
    }
    for pg in map.primary_temp.keys().filter(|pg| pg.pool == id) {
        inc.new_primary_temp.insert(*pg, seabed_cluster::OsdId(-1));
    }
    for pg in map.pg_upmap_items.keys().filter(|pg| pg.pool == id) {
        inc.old_pg_upmap_items.insert(*pg);
    }
    Ok(())
}

/// A changed copy of the pool for the increment, stamped with its epoch.
pub fn change(draft: &mut Draft, id: PoolId, edit: impl FnOnce(&mut Pool)) {
    let epoch = draft.epoch();
    let Some(pool) = draft.map().pools.get(&id).cloned() else { return };
    let entry = draft.inc().new_pools.entry(id).or_insert(pool);
    edit(entry);
    entry.last_change = epoch;
}

/// Text of `osd pool rename`.
pub fn rename(draft: &mut Draft, from: &str, to: &str) -> Result<String, Refusal> {
    let map = draft.map_arc();
    match (map.pool_by_name(from), map.pool_by_name(to)) {
        (None, Some(_)) => Ok(format!(
            "pool '{from}' does not exist; pool '{to}' does -- assuming successful rename"
        )),
        (None, None) => Err(Refusal::not_found(format!("unrecognized pool '{from}'"))),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Errno::EEXIST, format!("pool '{to}' already exists")))
        }
        (Some(id), None) => {
            if to.is_empty() || to.len() > NAME_LEN_MAX {
                return Err(Refusal::invalid("pool name is empty or too long"));
            }
            draft.inc().new_pool_names.insert(id, to.to_string());
            Ok(format!("pool '{from}' renamed to '{to}'"))
        }
    }
}

/// Clears the mark of pools all of whose PGs have come to be; `created` tells of one pool.
pub fn finish_creating(draft: &mut Draft, created: impl Fn(&OsdMap, PoolId) -> bool) -> usize {
    let map = draft.map_arc();
    let done: Vec<PoolId> = map
        .pools
        .iter()
        .filter(|(id, p)| p.has_flag(pool_flag::CREATING) && created(&map, **id))
        .map(|(id, _)| *id)
        .collect();
    for id in &done {
        change(draft, *id, |p| p.flags &= !pool_flag::CREATING);
    }
    done.len()
}

/// The map flags behind the words of `osd set`.
pub fn map_flag(word: &str) -> Option<u32> {
    let both = flag::map::PAUSERD | flag::map::PAUSEWR;
    if word == "pause" {
        return Some(both);
    }
    let settable = [
        "noup",
        "nodown",
        "noout",
        "noin",
        "nobackfill",
        "norebalance",
        "norecover",
        "noscrub",
        "nodeep-scrub",
        "notieragent",
        "nosnaptrim",
        "pglog_hardlimit",
    ];
    if !settable.contains(&word) {
        return None;
    }
    flag::map::ALL.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit)
}
