//! The options that can be set: name, what values it takes, for whom it is, its default.
//!
//! Invariant: defaults are in the form that [`Known::normal`] gives values, so that what was never
//! set and what was set to the default look alike.

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Str,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is not negative, with K, M, … for thousands; at least so much.
    Uint(u64),
    /// Bytes, with K, M, … for 1024s; at least so much.
    Size(u64),
    /// A number.
    Float,
    /// Two levels of logging, `1/5`; one stands for both.
    Log,
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether everybody may need it: `basic` or `advanced`.
    pub level: &'static str,
    /// What it is unless set.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn opt(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Known {
    Known { name, kind, level: "advanced", default, help }
}

const fn basic(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Known {
    Known { name, kind, level: "basic", default, help }
}

use Kind::{Bool, Float, Int, Log, Size, Str, Uint};

/// Every option.
pub const TABLE: &[Known] = &[
    opt("auth_client_required", Str, "none", "how servers prove themselves to clients"),
    opt("auth_cluster_required", Str, "none", "how daemons prove themselves to each other"),
    opt("auth_service_required", Str, "none", "how clients prove themselves"),
    opt("bluestore_cache_size", Size(0), "0", "memory for the store's cache; 0 leaves it to it"),
    opt("client_mount_timeout", Uint(0), "300", "seconds a client tries to reach the monitor"),
    opt("debug_mon", Log, "1/5", "how much the monitor logs"),
    opt("debug_ms", Log, "0/0", "how much the messenger logs"),
    opt("debug_osd", Log, "1/5", "how much OSDs log"),
    opt("debug_rbd", Log, "0/5", "how much librbd logs"),
    opt("debug_objecter", Log, "0/1", "how much clients log"),
    basic("log_file", Str, "", "where the log goes"),
    opt("mon_allow_pool_delete", Bool, "false", "whether pools can be deleted"),
    opt("mon_allow_pool_size_one", Bool, "false", "whether pools may have one copy"),
    opt("mon_max_pg_per_osd", Uint(1), "250", "placement groups that an OSD may carry"),
    opt("mon_max_pool_pg_num", Uint(0), "65536", "placement groups that a pool may have"),
    opt("mon_max_snap_prune_per_epoch", Uint(0), "100", "snapshots purged in one map at most"),
    opt("mon_min_osdmap_epochs", Uint(0), "500", "OSD maps kept at least"),
    opt(
        "mon_osd_down_out_interval",
        Uint(0),
        "600",
        "seconds after which an OSD that is down is out",
    ),
    opt("mon_osd_down_out_subtree_limit", Str, "rack", "no OSD goes out with a whole one of these"),
    opt("mon_osd_full_ratio", Float, "0.950000", "how full OSDs are full, in a new cluster"),
    opt(
        "mon_osd_backfillfull_ratio",
        Float,
        "0.900000",
        "how full OSDs take no backfill, in a new cluster",
    ),
    opt(
        "mon_osd_nearfull_ratio",
        Float,
        "0.850000",
        "how full OSDs are nearly full, in a new cluster",
    ),
    opt("mon_osd_min_down_reporters", Uint(0), "2", "peers that must miss an OSD until it is down"),
    opt("mon_osd_min_in_ratio", Float, "0.750000", "share of OSDs that stay in"),
    opt("mon_osd_min_up_ratio", Float, "0.300000", "share of OSDs that stay up"),
    opt("mon_osd_report_timeout", Int, "900", "seconds of silence after which an OSD is down"),
    opt("mon_osd_reporter_subtree_level", Str, "host", "peers in the same one of these count once"),
    opt("mon_pg_stuck_threshold", Int, "60", "seconds after which a placement group is stuck"),
    opt("mon_warn_on_pool_no_app", Bool, "true", "whether pools without application are a warning"),
    opt("mon_warn_on_pool_no_redundancy", Bool, "true", "whether pools of one copy are a warning"),
    opt("ms_crc_data", Bool, "true", "whether data on the wire has checksums"),
    opt("objecter_inflight_op_bytes", Size(0), "104857600", "bytes of a client on their way"),
    opt("objecter_inflight_ops", Uint(0), "1024", "operations of a client on their way"),
    opt("osd_beacon_report_interval", Int, "300", "seconds between signs of life to the monitor"),
    opt("osd_client_message_size_cap", Size(0), "524288000", "bytes of requests in an OSD"),
    opt("osd_client_op_priority", Uint(0), "63", "how much clients' requests matter"),
    opt("osd_crush_chooseleaf_type", Int, "1", "failure domain of a new cluster's rule"),
    opt("osd_deep_scrub_interval", Float, "604800.000000", "seconds between deep scrubs"),
    opt("osd_heartbeat_grace", Int, "20", "seconds of silence after which a peer is reported"),
    opt("osd_heartbeat_interval", Int, "6", "seconds between heartbeats"),
    opt("osd_max_backfills", Uint(0), "1", "backfills that an OSD takes part in"),
    opt("osd_max_object_size", Size(0), "134217728", "bytes an object may have"),
    opt(
        "osd_max_pg_log_entries",
        Uint(0),
        "10000",
        "entries of a log of a degraded placement group",
    ),
    basic("osd_memory_target", Size(939_524_096), "4294967296", "bytes of memory an OSD aims at"),
    opt("osd_min_pg_log_entries", Uint(0), "250", "entries of a log of a clean placement group"),
    opt(
        "osd_pool_default_min_size",
        Uint(0),
        "0",
        "copies needed for writes in a new pool; 0: by its size",
    ),
    opt("osd_pool_default_pg_autoscale_mode", Str, "off", "mode of the autoscaler for a new pool"),
    opt("osd_pool_default_pg_num", Uint(0), "32", "placement groups of a new pool"),
    opt("osd_pool_default_pgp_num", Uint(0), "0", "places of a new pool; 0: as many as groups"),
    opt("osd_pool_default_size", Uint(0), "3", "copies of a new pool"),
    opt(
        "osd_recovery_max_active",
        Uint(0),
        "0",
        "objects that an OSD recovers at once; 0: by its device",
    ),
    opt("osd_recovery_op_priority", Uint(0), "3", "how much recovery matters"),
    opt("osd_recovery_sleep", Float, "0.000000", "seconds between steps of recovery"),
    opt("osd_scrub_max_interval", Float, "604800.000000", "seconds between scrubs at most"),
    opt("osd_scrub_min_interval", Float, "86400.000000", "seconds between scrubs at least"),
    opt("osd_snap_trim_sleep", Float, "0.000000", "seconds between steps of snapshot trimming"),
    opt("rbd_cache", Bool, "true", "whether librbd caches"),
    opt("rbd_default_clone_format", Str, "auto", "format of clones: 1, 2 or auto"),
    opt("rbd_default_data_pool", Str, "", "pool for the data of new images"),
    opt("rbd_default_features", Str, "61", "features of new images"),
    opt("rbd_default_format", Uint(0), "2", "format of new images"),
    opt("rbd_default_order", Uint(0), "22", "object size of new images, as a power of two"),
    opt("rbd_default_pool", Str, "rbd", "pool of images named without one"),
];

/// Options that say how to reach the monitor: whoever could ask it for them knows them.
const NEEDED_BEFORE: &[&str] =
    &["fsid", "host", "keyring", "mon_data", "mon_dns_srv_name", "mon_host", "osd_data"];

/// True if an option is for the conf file alone.
pub fn is_for_file(name: &str) -> bool {
    NEEDED_BEFORE.contains(&name)
}

/// The option of that name.
pub fn find(name: &str) -> Option<&'static Known> {
    TABLE.iter().find(|o| o.name == name)
}

impl Known {
    /// The word for what it takes.
    pub fn type_word(&self) -> &'static str {
        match self.kind {
            Str | Log => "str",
            Bool => "bool",
            Int => "int",
            Uint(_) => "uint",
            Size(_) => "size",
            Float => "float",
        }
    }

    /// The least value, as text; empty where there is none.
    pub fn min(&self) -> String {
        match self.kind {
            Uint(least) | Size(least) if least > 0 => least.to_string(),
            _ => String::new(),
        }
    }

    /// A value in its one form, or why it is none.
    pub fn normal(&self, text: &str) -> Result<String, String> {
        let word = text.trim();
        let integer = || format!("Expected option value to be integer, got '{word}'");
        match self.kind {
            Str => Ok(text.to_string()),
            Bool => match word.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok("true".to_string()),
                "false" | "no" | "off" => Ok("false".to_string()),
                _ => Ok((word.parse::<i64>().map_err(|_| integer())? != 0).to_string()),
            },
            Int => Ok(word.parse::<i64>().map_err(|_| integer())?.to_string()),
            Uint(least) => at_least(scaled(word, 1000).ok_or_else(integer)?, least),
            Size(least) => at_least(scaled(word, 1024).ok_or_else(integer)?, least),
            Float => {
                let f = word.parse::<f64>().ok().filter(|f| f.is_finite());
                f.map(|f| format!("{f:.6}"))
                    .ok_or_else(|| format!("strict_strtod: expected double, got: '{word}'"))
            }
            Log => {
                let (log, memory) = word.split_once('/').unwrap_or((word, word));
                let level = |t: &str| t.trim().parse::<u16>().ok();
                match (level(log), level(memory)) {
                    (Some(log), Some(memory)) => Ok(format!("{log}/{memory}")),
                    _ => Err("a level is N or N/M, both whole numbers".to_string()),
                }
            }
        }
    }
}

fn at_least(n: u64, least: u64) -> Result<String, String> {
    if n < least {
        return Err(format!("Value '{n}' is below minimum {least}"));
    }
    Ok(n.to_string())
}

fn scaled(text: &str, base: u64) -> Option<u64> {
    crate::service::osd::pool_var::scaled(text, base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_normal() {
        let mut names: Vec<&str> = TABLE.iter().map(|o| o.name).collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
        for o in TABLE.iter().filter(|o| o.min().is_empty()) {
            assert_eq!(o.normal(o.default).as_deref(), Ok(o.default), "{}", o.name);
        }
    }

    #[test]
    fn values_have_one_form() {
        let normal = |name: &str, text: &str| find(name).unwrap().normal(text);
        assert_eq!(normal("osd_memory_target", "4G").unwrap(), "4294967296");
        assert!(normal("osd_memory_target", "1").is_err());
        assert_eq!(normal("osd_recovery_sleep", "0.5").unwrap(), "0.500000");
        assert_eq!(normal("rbd_cache", "0").unwrap(), "false");
        assert!(normal("rbd_cache", "perhaps").is_err());
        assert!(normal("osd_max_backfills", "-1").is_err());
        assert_eq!(normal("debug_osd", "20").unwrap(), "20/20");
        assert!(normal("debug_osd", "high").is_err());
    }
}
