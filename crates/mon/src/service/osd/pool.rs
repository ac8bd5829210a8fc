//! Pools: made, deleted, named, set.

use seabed_cluster::osdmap::{OptValue, Pool, flag, pool_flag, pool_opt};
use seabed_cluster::{Errno, OsdMap, PoolId};

use crate::command::Refusal;
use crate::draft::Draft;
use crate::options::Options;

/// Most copies a pool may have; Ceph's own bound.
const SIZE_MAX: u32 = 10;
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
        Some(n) => in_range(n, "pgp_num", max)?,
        None => pg_num,
    };
    if pgp_num > pg_num {
        let text = format!("'pgp_num' {pgp_num} is greater than 'pg_num' {pg_num}");
        return Err(Refusal::new(Errno::ERANGE, text));
    }
    let fallback = i64::try_from(options.u64("osd_pool_default_size")).unwrap_or(3);
    let size = new.size.filter(|n| *n != 0).unwrap_or(fallback);
    let size = u32::try_from(size)
        .ok()
        .filter(|n| (1..=SIZE_MAX).contains(n))
        .ok_or_else(|| Refusal::invalid(format!("pool size must be between 1 and {SIZE_MAX}")))?;
    check_pg_limit(&map, options, pg_num, size)?;
    let rule = rule_id(&map, new.rule.as_deref())?;
    let id = PoolId(map.pool_max.0.max(0) + 1);
    let min_size = default_min_size(size, options);
    let epoch = draft.epoch();
    let wall = draft.now().wall;
    let mut pool = Pool::new_replicated(size, min_size, rule, pg_num, epoch, wall);
    pool.pgp_num = pgp_num;
    pool.pgp_num_target = pgp_num;
    pool.flags |= pool_flag::CREATING;
    let fallback = options.get("osd_pool_default_pg_autoscale_mode");
    pool.pg_autoscale_mode = autoscale(new.autoscale.as_deref().unwrap_or(&fallback))?;
    let inc = draft.inc();
    inc.new_pool_max = id;
    inc.new_pools.insert(id, pool);
    inc.new_pool_names.insert(id, new.name.clone());
    Ok(Some(id))
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

fn autoscale(word: &str) -> Result<u8, Refusal> {
    match word {
        "off" => Ok(0),
        "warn" => Ok(1),
        "on" => Ok(2),
        _ => Err(Refusal::invalid(format!("'{word}' is not one of off, warn, on"))),
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

/// Flags of a pool that can be set by name.
const SETTABLE_FLAGS: &[(&str, u64)] = &[
    ("hashpspool", pool_flag::HASHPSPOOL),
    ("nodelete", pool_flag::NODELETE),
    ("nopgchange", pool_flag::NOPGCHANGE),
    ("nosizechange", pool_flag::NOSIZECHANGE),
    ("write_fadvise_dontneed", pool_flag::WRITE_FADVISE_DONTNEED),
    ("noscrub", pool_flag::NOSCRUB),
    ("nodeep-scrub", pool_flag::NODEEP_SCRUB),
    ("bulk", pool_flag::BULK),
];

/// The flag behind a variable's name.
pub fn flag_bit(var: &str) -> Option<u64> {
    SETTABLE_FLAGS.iter().find(|(name, _)| *name == var).map(|(_, bit)| *bit)
}

fn whole(val: &str) -> Result<i64, Refusal> {
    val.trim().parse().map_err(|_| {
        Refusal::invalid(format!(
            "error parsing integer value '{val}': Expected option value to be integer, got '{val}'"
        ))
    })
}

fn switch(val: &str) -> Result<bool, Refusal> {
    match val {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(Refusal::invalid("expecting value 'true', 'false', '0', or '1'")),
    }
}

/// `osd pool set`: changes one variable. The text is the status of success.
pub fn set(
    draft: &mut Draft,
    options: &Options<'_>,
    id: PoolId,
    var: &str,
    val: &str,
    sure: bool,
) -> Result<String, Refusal> {
    let map = draft.map_arc();
    let pool = map.pools.get(&id).ok_or_else(|| Refusal::not_found("no such pool"))?;
    if let Some(bit) = flag_bit(var) {
        let on = switch(val)?;
        if bit == pool_flag::HASHPSPOOL && !sure {
            return Err(Refusal::new(
                Errno::EPERM,
                "changing hashpspool moves nearly all data of the pool; pass \
                 --yes-i-really-mean-it if that is wanted",
            ));
        }
        change(draft, id, |p| p.flags = if on { p.flags | bit } else { p.flags & !bit });
        return Ok(format!("set pool {id} {var} to {val}"));
    }
    match var {
        "size" => set_size(draft, options, id, pool, whole(val)?, sure)?,
        "min_size" => {
            let n = whole(val)?;
            let bad = || {
                let size = pool.size;
                let text =
                    format!("pool min_size must be between 1 and size, which is set to {size}");
                Refusal::invalid(text)
            };
            let n = u32::try_from(n).ok().filter(|n| (1..=pool.size).contains(n));
            let n = n.ok_or_else(bad)?;
            change(draft, id, |p| p.min_size = n);
        }
        "pg_num" | "pg_num_actual" => {
            let n = whole(val)?;
            if n != i64::from(pool.pg_num) {
                return Err(Refusal::new(
                    Errno::EOPNOTSUPP,
                    format!(
                        "pool has {} placement groups; splitting and merging them is not \
                         supported yet, make a pool with the number wanted",
                        pool.pg_num
                    ),
                ));
            }
        }
        "pgp_num" | "pgp_num_actual" => {
            let n = whole(val)?;
            if n > i64::from(pool.pg_num) {
                let text = format!("specified pgp_num {n} > pg_num {}", pool.pg_num);
                return Err(Refusal::invalid(text));
            }
            let n = u32::try_from(n).ok().filter(|n| *n > 0);
            let n = n.ok_or_else(|| Refusal::invalid("specified pgp_num must > 0"))?;
            change(draft, id, |p| {
                p.pgp_num = n;
                p.pgp_num_target = n;
            });
        }
        "crush_rule" => {
            let rule = map.crush.rule_id(val).and_then(|r| i32::try_from(r).ok());
            let rule =
                rule.ok_or_else(|| Refusal::not_found(format!("crush rule {val} does not exist")))?;
            change(draft, id, |p| p.crush_rule = rule);
        }
        "fast_read" => {
            if switch(val)? {
                return Err(Refusal::invalid("fast read is not supported in replication pool"));
            }
            change(draft, id, |p| p.fast_read = false);
        }
        "pg_autoscale_mode" => {
            let mode = autoscale(val)?;
            change(draft, id, |p| p.pg_autoscale_mode = mode);
        }
        _ => set_option(draft, id, var, val)?,
    }
    Ok(format!("set pool {id} {var} to {val}"))
}

fn set_size(
    draft: &mut Draft,
    options: &Options<'_>,
    id: PoolId,
    pool: &Pool,
    n: i64,
    sure: bool,
) -> Result<(), Refusal> {
    if pool.has_flag(pool_flag::NOSIZECHANGE) {
        return Err(Refusal::new(
            Errno::EPERM,
            "pool size change is disabled; you must unset nosizechange flag for the pool first",
        ));
    }
    let bad = || Refusal::invalid(format!("pool size must be between 1 and {SIZE_MAX}"));
    let n = u32::try_from(n).ok().filter(|n| (1..=SIZE_MAX).contains(n)).ok_or_else(bad)?;
    if n == 1 && (!options.bool("mon_allow_pool_size_one") || !sure) {
        return Err(Refusal::new(
            Errno::EPERM,
            "configuring pool size as 1 is disabled by default; set mon_allow_pool_size_one and \
             pass --yes-i-really-mean-it",
        ));
    }
    let min_size = if n < pool.min_size || n > pool.size {
        default_min_size(n, options)
    } else {
        pool.min_size
    };
    change(draft, id, |p| {
        p.size = n;
        p.min_size = min_size;
    });
    Ok(())
}

/// Options whose value is text, and those whose value is a fraction; the others are integers.
const TEXT_OPTIONS: &[&str] =
    &["compression_mode", "compression_algorithm", "csum_type", "fingerprint_algorithm"];
const FRACTION_OPTIONS: &[&str] = &[
    "scrub_min_interval",
    "scrub_max_interval",
    "deep_scrub_interval",
    "compression_required_ratio",
    "target_size_ratio",
    "pg_autoscale_bias",
];

fn set_option(draft: &mut Draft, id: PoolId, var: &str, val: &str) -> Result<(), Refusal> {
    let key = pool_opt::key(var)
        .ok_or_else(|| Refusal::invalid(format!("unrecognized variable '{var}'")))?;
    let unset = val == "unset" || val.is_empty();
    let value = if TEXT_OPTIONS.contains(&var) {
        OptValue::Str(val.to_string())
    } else if FRACTION_OPTIONS.contains(&var) {
        let f: f64 = val.trim().parse().ok().filter(|f: &f64| f.is_finite()).ok_or_else(|| {
            Refusal::invalid(format!("error parsing floating point value '{val}'"))
        })?;
        OptValue::Double(f)
    } else {
        OptValue::Int(if unset { 0 } else { whole(val)? })
    };
    let zero = matches!(value, OptValue::Int(0)) || matches!(value, OptValue::Double(0.0));
    change(draft, id, |p| {
        if unset || zero {
            p.opts.remove(&key);
        } else {
            p.opts.insert(key, value);
        }
    });
    Ok(())
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
        "full",
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
