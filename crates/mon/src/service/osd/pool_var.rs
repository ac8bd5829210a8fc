//! The variables of a pool: one table of their names, where each is kept, and what may be put in.
//!
//! Invariant: what [`set`] puts into a pool is what a Ceph monitor would, so that any client and
//! any daemon understands it; what it does not understand itself it refuses.

use seabed_cluster::options::scaled;
use seabed_cluster::osdmap::{OptValue, Pool, pool_flag, pool_opt};
use seabed_cluster::{Errno, PoolId};

use super::pool::{change, default_min_size};
use crate::command::Refusal;
use crate::draft::Draft;
use crate::options::Options;

/// Most copies a pool may have; Ceph's own bound.
pub const SIZE_MAX: u32 = 10;

/// What a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Var {
    /// How many copies.
    Size,
    /// With fewer, nothing is written.
    MinSize,
    /// How many PGs.
    PgNum,
    /// How many PGs differ in place.
    PgpNum,
    /// The rule's name.
    CrushRule,
    /// Of erasure coded pools.
    FastRead,
    /// Of cache tiers, but shown for all.
    GmtHitset,
    /// `off`, `warn`, `on`.
    AutoscaleMode,
    /// A flag.
    Flag(u64),
    /// Of cache tiers, which there are none of.
    Tier,
    /// Of erasure coded pools, which there are none of.
    Erasure,
    /// An option that is a whole number between two bounds.
    Int(i64, i64),
    /// An option that is a number of bytes, with a unit if wanted.
    Bytes,
    /// An option that is a number between two bounds.
    Number(i32, i32),
    /// An option that is one of these words.
    Word(&'static [&'static str]),
}

const ANY: Var = Var::Int(0, i64::MAX);
const SECONDS: Var = Var::Number(0, i32::MAX);

/// Every variable, in the order in which `osd pool get … all` shows them.
pub const TABLE: &[(&str, Var)] = &[
    ("size", Var::Size),
    ("min_size", Var::MinSize),
    ("pg_num", Var::PgNum),
    ("pgp_num", Var::PgpNum),
    ("crush_rule", Var::CrushRule),
    ("hashpspool", Var::Flag(pool_flag::HASHPSPOOL)),
    ("nodelete", Var::Flag(pool_flag::NODELETE)),
    ("nopgchange", Var::Flag(pool_flag::NOPGCHANGE)),
    ("nosizechange", Var::Flag(pool_flag::NOSIZECHANGE)),
    ("write_fadvise_dontneed", Var::Flag(pool_flag::WRITE_FADVISE_DONTNEED)),
    ("noscrub", Var::Flag(pool_flag::NOSCRUB)),
    ("nodeep-scrub", Var::Flag(pool_flag::NODEEP_SCRUB)),
    ("hit_set_type", Var::Tier),
    ("hit_set_period", Var::Tier),
    ("hit_set_count", Var::Tier),
    ("hit_set_fpp", Var::Tier),
    ("use_gmt_hitset", Var::GmtHitset),
    ("target_max_objects", Var::Tier),
    ("target_max_bytes", Var::Tier),
    ("cache_target_dirty_ratio", Var::Tier),
    ("cache_target_dirty_high_ratio", Var::Tier),
    ("cache_target_full_ratio", Var::Tier),
    ("cache_min_flush_age", Var::Tier),
    ("cache_min_evict_age", Var::Tier),
    ("erasure_code_profile", Var::Erasure),
    ("min_read_recency_for_promote", Var::Tier),
    ("min_write_recency_for_promote", Var::Tier),
    ("fast_read", Var::FastRead),
    ("hit_set_grade_decay_rate", Var::Tier),
    ("hit_set_search_last_n", Var::Tier),
    ("scrub_min_interval", SECONDS),
    ("scrub_max_interval", SECONDS),
    ("deep_scrub_interval", SECONDS),
    ("recovery_priority", Var::Int(-10, 10)),
    ("recovery_op_priority", ANY),
    ("scrub_priority", ANY),
    ("compression_mode", Var::Word(&["none", "passive", "aggressive", "force"])),
    ("compression_algorithm", Var::Word(&["none", "snappy", "zlib", "zstd", "lz4"])),
    ("compression_required_ratio", Var::Number(0, 1)),
    ("compression_max_blob_size", ANY),
    ("compression_min_blob_size", ANY),
    ("csum_type", Var::Word(&["none", "crc32c", "crc32c_16", "crc32c_8", "xxhash32", "xxhash64"])),
    ("csum_max_block", ANY),
    ("csum_min_block", ANY),
    ("allow_ec_overwrites", Var::Erasure),
    ("fingerprint_algorithm", Var::Word(&["none", "sha1", "sha256", "sha512"])),
    ("pg_autoscale_mode", Var::AutoscaleMode),
    ("pg_num_min", ANY),
    ("pg_num_max", ANY),
    ("target_size_bytes", Var::Bytes),
    ("target_size_ratio", SECONDS),
    ("pg_autoscale_bias", Var::Number(0, 1000)),
    ("dedup_tier", ANY),
    ("dedup_chunk_algorithm", Var::Word(&["fastcdc", "fixed"])),
    ("dedup_cdc_chunk_size", ANY),
    ("eio", Var::Flag(pool_flag::EIO)),
    ("bulk", Var::Flag(pool_flag::BULK)),
];

/// The variable of that name.
pub fn find(name: &str) -> Option<Var> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, var)| *var)
}

/// A whole number, or why it is none.
pub fn whole(val: &str) -> Result<i64, Refusal> {
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

/// The number of a mode of the autoscaler.
pub fn autoscale(word: &str) -> Option<u8> {
    ["off", "warn", "on"].iter().position(|w| *w == word).and_then(|n| u8::try_from(n).ok())
}

/// `osd pool set`: changes one variable. The text is the status of success.
pub fn set(
    draft: &mut Draft,
    options: &Options<'_>,
    id: PoolId,
    name: &str,
    val: &str,
    sure: bool,
) -> Result<String, Refusal> {
    let map = draft.map_arc();
    let pool = map.pools.get(&id).ok_or_else(|| Refusal::not_found("no such pool"))?;
    // The number wanted and the one in force are one where PGs do not split.
    let name = name.strip_suffix("_actual").filter(|n| n.starts_with("pg")).unwrap_or(name);
    let var =
        find(name).ok_or_else(|| Refusal::invalid(format!("unrecognized variable '{name}'")))?;
    match var {
        Var::Flag(bit) => {
            let on = switch(val)?;
            if bit == pool_flag::HASHPSPOOL && !sure {
                let text = "changing hashpspool moves nearly all data of the pool; pass \
                            --yes-i-really-mean-it if that is wanted";
                return Err(Refusal::new(Errno::EPERM, text));
            }
            change(draft, id, |p| p.flags = if on { p.flags | bit } else { p.flags & !bit });
        }
        Var::Size => set_size(draft, options, id, pool, whole(val)?, sure)?,
        Var::MinSize => {
            let size = pool.size;
            let n = u32::try_from(whole(val)?).ok().filter(|n| (1..=size).contains(n));
            let n = n.ok_or_else(|| {
                let bounds = "pool min_size must be between 1 and size, which is set to";
                Refusal::invalid(format!("{bounds} {size}"))
            })?;
            change(draft, id, |p| p.min_size = n);
        }
        Var::PgNum | Var::PgpNum => return set_pgs(draft, id, pool, var, name, whole(val)?),
        Var::CrushRule => {
            let rule = map.crush.rule_id(val).and_then(|r| i32::try_from(r).ok());
            let rule =
                rule.ok_or_else(|| Refusal::not_found(format!("crush rule {val} does not exist")))?;
            change(draft, id, |p| p.crush_rule = rule);
        }
        Var::AutoscaleMode => {
            let mode = autoscale(val)
                .ok_or_else(|| Refusal::invalid(format!("specified invalid mode {val}")))?;
            change(draft, id, |p| p.pg_autoscale_mode = mode);
        }
        Var::FastRead => {
            return Err(Refusal::invalid("fast read is not supported in replication pool"));
        }
        Var::Erasure if name == "allow_ec_overwrites" => {
            let text = "ec overwrites can only be enabled for an erasure coded pool";
            return Err(Refusal::invalid(text));
        }
        Var::Erasure => {
            return Err(Refusal::invalid(format!("unrecognized variable '{name}'")));
        }
        Var::Tier | Var::GmtHitset => {
            let text = format!("pool {id} is not a tier: variable '{name}' not applicable");
            return Err(Refusal::new(Errno::EACCES, text));
        }
        Var::Word(_) if val == "unset" => {
            put(draft, id, name, None);
            return Ok(format!("unset pool {id} {name}"));
        }
        Var::Word(_) | Var::Int(..) | Var::Bytes | Var::Number(..) => {
            let value = option(pool, name, var, val)?;
            put(draft, id, name, value);
        }
    }
    Ok(format!("set pool {id} {name} to {val}"))
}

/// The value of an option; `None` where it says that there is none.
fn option(pool: &Pool, name: &str, var: Var, val: &str) -> Result<Option<OptValue>, Refusal> {
    let value = match var {
        Var::Word(words) => {
            if !words.contains(&val) {
                let what = name.replace("_mode", " mode");
                return Err(Refusal::invalid(format!("unrecognized {what} '{val}'")));
            }
            OptValue::Str(val.to_string())
        }
        Var::Number(least, most) => {
            let f: f64 =
                val.trim().parse().ok().filter(|f: &f64| f.is_finite()).ok_or_else(|| {
                    let what = format!("error parsing floating point value '{val}'");
                    Refusal::invalid(format!(
                        "{what}: strict_strtod: expected double, got: '{val}'"
                    ))
                })?;
            let text = match name {
                _ if f >= f64::from(least) && f <= f64::from(most) => None,
                "compression_required_ratio" => {
                    Some(format!("{name} is out of range ({least}-{most}): '{val}'"))
                }
                "pg_autoscale_bias" => Some(format!("{name} must be between {least} and {most}")),
                _ => Some(format!("{name} cannot be negative")),
            };
            if let Some(text) = text {
                return Err(Refusal::invalid(text));
            }
            OptValue::Double(f)
        }
        Var::Bytes => {
            let n = scaled(val, 1024).and_then(|n| i64::try_from(n).ok());
            let text = || Refusal::invalid(format!("error parsing value '{val}'"));
            OptValue::Int(n.ok_or_else(text)?)
        }
        _ => {
            let n = whole(val)?;
            let (least, most) = if let Var::Int(a, b) = var { (a, b) } else { (0, i64::MAX) };
            let now = i64::from(pool.pg_num);
            let text = match name {
                "pg_num_min" if n > now => format!("specified {name} {n} > pg_num {now}"),
                "pg_num_max" if n != 0 && n < now => format!("specified {name} {n} < pg_num {now}"),
                _ if (least..=most).contains(&n) => String::new(),
                _ if most == i64::MAX => format!("{name} must not be negative"),
                _ => format!("pool {name} must be between {least} and {most}"),
            };
            if !text.is_empty() {
                return Err(Refusal::invalid(text));
            }
            OptValue::Int(n)
        }
    };
    let none = matches!(value, OptValue::Int(0)) || matches!(value, OptValue::Double(0.0));
    Ok((!none).then_some(value))
}

fn put(draft: &mut Draft, id: PoolId, name: &str, value: Option<OptValue>) {
    let Some(key) = pool_opt::key(name) else { return };
    change(draft, id, |p| match value {
        Some(value) => {
            p.opts.insert(key, value);
        }
        None => {
            p.opts.remove(&key);
        }
    });
}

/// Checks the options a pool is made with and puts them in.
pub fn at_creation(pool: &mut Pool, given: &[(&str, Option<String>)]) -> Result<(), Refusal> {
    for (name, val) in given {
        let (Some(val), Some(var), Some(key)) = (val, find(name), pool_opt::key(name)) else {
            continue;
        };
        if let Some(value) = option(pool, name, var, val)? {
            pool.opts.insert(key, value);
        }
    }
    Ok(())
}

fn set_pgs(
    draft: &mut Draft,
    id: PoolId,
    pool: &Pool,
    var: Var,
    name: &str,
    n: i64,
) -> Result<String, Refusal> {
    if pool.has_flag(pool_flag::NOPGCHANGE) {
        let text = format!(
            "pool {name} change is disabled; you must unset nopgchange flag for the pool first"
        );
        return Err(Refusal::new(Errno::EPERM, text));
    }
    let now = i64::from(pool.pg_num);
    if var == Var::PgNum {
        if n == now {
            return Ok(String::new());
        }
        let text = format!(
            "pool has {now} placement groups; splitting and merging them is not supported yet, \
             make a pool with the number wanted"
        );
        return Err(Refusal::new(Errno::EOPNOTSUPP, text));
    }
    if n <= 0 {
        return Err(Refusal::invalid(format!("specified pgp_num must > 0, but you set to {n}")));
    }
    if n > now {
        return Err(Refusal::invalid(format!("specified pgp_num {n} > pg_num {now}")));
    }
    let pgp_num = u32::try_from(n).unwrap_or(pool.pg_num);
    change(draft, id, |p| {
        p.pgp_num = pgp_num;
        p.pgp_num_target = pgp_num;
    });
    Ok(format!("set pool {id} pgp_num to {n}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, base, n) in [
            ("10", 1024, Some(10)),
            ("10M", 1024, Some(10 << 20)),
            ("10MB", 1024, Some(10 << 20)),
            ("2K", 1000, Some(2000)),
            ("2k", 1000, None),
            ("10MiB", 1024, None),
            ("", 1024, None),
            ("K", 1024, None),
            ("99E", 1024, None),
        ] {
            assert_eq!(scaled(text, base), n, "{text}");
        }
    }

    #[test]
    fn every_option_has_its_number() {
        for (name, var) in TABLE {
            let option = matches!(var, Var::Int(..) | Var::Bytes | Var::Number(..) | Var::Word(_));
            assert_eq!(pool_opt::key(name).is_some(), option, "{name}");
        }
    }
}
