//! The options that there are: name, what values each takes, for whom it is, its default.
//!
//! Invariant: defaults are in the form that [`Known::normal`] gives values, so that what was never
//! set and what was set to the default look alike.

use serde_json::{Value, json};

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Str,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is not negative, with K, M, … for thousands.
    Uint,
    /// Bytes, with K, M, … for 1024s.
    Size,
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
    /// Who may need it: everybody (`basic`), some (`advanced`), developers (`dev`).
    pub level: &'static str,
    /// What it is unless set.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// The least number it takes.
    pub least: Option<i64>,
    /// The greatest.
    pub most: Option<i64>,
}

const fn opt(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Known {
    Known { name, kind, level: "advanced", default, help, least: None, most: None }
}

impl Known {
    const fn level(self, level: &'static str) -> Self {
        Self { level, ..self }
    }

    const fn at_least(self, least: i64) -> Self {
        Self { least: Some(least), ..self }
    }

    const fn within(self, least: i64, most: i64) -> Self {
        Self { least: Some(least), most: Some(most), ..self }
    }
}

use Kind::{Bool, Float, Int, Log, Size, Str, Uint};

/// No time is longer: what is, is a slip of the pen.
const YEAR: i64 = 31_536_000;

/// Every option, by name.
pub const TABLE: &[Known] = &[
    opt("auth_client_required", Str, "none", "how servers prove themselves to clients"),
    opt("auth_cluster_required", Str, "none", "how daemons prove themselves to each other"),
    opt("auth_service_required", Str, "none", "how clients prove themselves"),
    opt("bluestore_cache_size", Size, "0", "memory for the store's cache; 0 leaves it to it"),
    opt("client_mount_timeout", Uint, "300", "seconds a client tries to reach the monitor"),
    opt("debug_mon", Log, "1/5", "how much the monitor logs"),
    opt("debug_ms", Log, "0/0", "how much the messenger logs"),
    opt("debug_objecter", Log, "0/1", "how much clients log"),
    opt("debug_osd", Log, "1/5", "how much OSDs log"),
    opt("debug_rbd", Log, "0/5", "how much librbd logs"),
    opt("log_file", Str, "", "where the log goes").level("basic"),
    opt("mon_allow_pool_delete", Bool, "false", "whether pools can be deleted"),
    opt("mon_allow_pool_size_one", Bool, "false", "whether pools may have one copy"),
    opt("mon_max_pg_per_osd", Uint, "250", "placement groups that an OSD may carry").at_least(1),
    opt("mon_max_pool_pg_num", Uint, "65536", "placement groups that a pool may have"),
    opt("mon_max_snap_prune_per_epoch", Uint, "100", "snapshots purged in one map at most"),
    opt("mon_min_osdmap_epochs", Uint, "500", "OSD maps kept at least"),
    opt(
        "mon_osd_backfillfull_ratio",
        Float,
        "0.900000",
        "how full OSDs take no backfill, in a new cluster",
    ),
    opt("mon_osd_down_out_interval", Uint, "600", "seconds after which an OSD that is down is out"),
    opt("mon_osd_down_out_subtree_limit", Str, "rack", "no OSD goes out with a whole one of these"),
    opt("mon_osd_full_ratio", Float, "0.950000", "how full OSDs are full, in a new cluster"),
    opt("mon_osd_min_down_reporters", Uint, "2", "peers that must miss an OSD until it is down"),
    opt("mon_osd_min_in_ratio", Float, "0.750000", "share of OSDs that stay in"),
    opt("mon_osd_min_up_ratio", Float, "0.300000", "share of OSDs that stay up"),
    opt(
        "mon_osd_nearfull_ratio",
        Float,
        "0.850000",
        "how full OSDs are nearly full, in a new cluster",
    ),
    opt("mon_osd_report_timeout", Int, "900", "seconds of silence after which an OSD is down"),
    opt("mon_osd_reporter_subtree_level", Str, "host", "peers in the same one of these count once"),
    opt("mon_pg_stuck_threshold", Int, "60", "seconds after which a placement group is stuck"),
    opt("mon_warn_on_pool_no_app", Bool, "true", "whether pools without application are a warning"),
    opt("mon_warn_on_pool_no_redundancy", Bool, "true", "whether pools of one copy are a warning"),
    opt("ms_crc_data", Bool, "true", "whether data on the wire has checksums"),
    opt("objecter_inflight_op_bytes", Size, "104857600", "bytes of a client on their way"),
    opt("objecter_inflight_ops", Uint, "1024", "operations of a client on their way"),
    opt("osd_backfill_scan_max", Int, "256", "objects compared at once by a backfill")
        .within(1, 65536),
    opt("osd_beacon_report_interval", Int, "300", "seconds between signs of life to the monitor")
        .within(1, YEAR),
    opt("osd_bench_duration", Uint, "30", "seconds that a benchmark may take").within(1, 3600),
    opt(
        "osd_bench_large_size_max_throughput",
        Size,
        "104857600",
        "bytes per second that a benchmark of large writes counts on",
    )
    .within(1, 1 << 40),
    opt("osd_bench_max_block_size", Size, "67108864", "bytes of one write of a benchmark at most")
        .within(1, 1 << 30),
    opt(
        "osd_bench_small_size_max_iops",
        Uint,
        "100",
        "writes per second that a benchmark of small ones counts on",
    )
    .within(1, 1_000_000),
    opt("osd_client_message_size_cap", Size, "524288000", "bytes of requests in an OSD"),
    opt("osd_client_op_priority", Uint, "63", "how much clients' requests matter"),
    opt("osd_client_watch_timeout", Int, "30", "seconds of silence after which a watcher is gone")
        .within(1, 86_400)
        .level("dev"),
    opt(
        "osd_copyfrom_max_chunk",
        Size,
        "8388608",
        "bytes of a source that a copy asks for at once",
    )
    .within(1, 64 << 20),
    opt("osd_crush_chooseleaf_type", Int, "1", "failure domain of a new cluster's rule"),
    opt("osd_deep_scrub_interval", Float, "604800.000000", "seconds between deep scrubs"),
    opt("osd_default_notify_timeout", Uint, "30", "seconds that watchers have to answer a notify")
        .within(1, 86_400),
    opt(
        "osd_failsafe_full_ratio",
        Float,
        "0.970000",
        "how full a disk takes no writes, whatever the map says",
    )
    .within(0, 1),
    opt("osd_heartbeat_grace", Int, "20", "seconds of silence after which a peer is reported")
        .within(1, YEAR),
    opt("osd_heartbeat_interval", Int, "6", "seconds between heartbeats")
        .within(1, 60)
        .level("dev"),
    opt("osd_map_message_max", Int, "40", "maps in one message").within(1, 1000),
    opt("osd_max_attr_name_len", Uint, "100", "bytes of an attribute's name").within(1, 65_536),
    opt("osd_max_attr_size", Uint, "0", "bytes of an attribute; 0: what the store takes")
        .within(0, 64 << 20),
    opt("osd_max_backfills", Uint, "1", "backfills that an OSD takes part in"),
    opt("osd_max_object_size", Size, "134217728", "bytes an object may have")
        .within(1, (4 << 30) - 1),
    opt("osd_max_omap_bytes_per_request", Size, "1073741824", "bytes of omap in one answer")
        .within(1, 1 << 30),
    opt("osd_max_omap_entries_per_request", Uint, "1024", "entries of omap in one answer")
        .within(1, 1 << 24),
    opt(
        "osd_max_pg_log_entries",
        Uint,
        "3000",
        "entries above which the log of a placement group is trimmed",
    )
    .within(1, 1_000_000)
    .level("dev"),
    opt("osd_max_pgls", Uint, "1024", "objects in one answer to a listing").within(1, 65_536),
    opt("osd_max_trimming_pgs", Uint, "2", "placement groups that trim snapshots at the same time")
        .within(1, 1000),
    opt(
        "osd_max_write_op_reply_len",
        Size,
        "64",
        "bytes that a write may return for each operation",
    )
    .within(0, 1 << 20),
    opt("osd_max_write_size", Size, "90", "megabytes of one write").within(4, 1024),
    opt("osd_memory_target", Size, "4294967296", "bytes of memory an OSD aims at")
        .at_least(939_524_096)
        .level("basic"),
    opt("osd_min_pg_log_entries", Uint, "2500", "entries that stay when a log is trimmed")
        .within(1, 1_000_000)
        .level("dev"),
    opt("osd_mon_report_interval", Int, "5", "seconds between reports of statistics")
        .within(1, YEAR),
    opt("osd_pg_log_dups_tracked", Uint, "3000", "requests remembered beyond the log")
        .within(0, 1_000_000)
        .level("dev"),
    opt(
        "osd_pg_max_concurrent_snap_trims",
        Uint,
        "2",
        "clones of a placement group being trimmed at once",
    )
    .within(1, 1000),
    opt(
        "osd_pool_default_min_size",
        Uint,
        "0",
        "copies needed for writes in a new pool; 0: by its size",
    ),
    opt("osd_pool_default_pg_autoscale_mode", Str, "off", "mode of the autoscaler for a new pool"),
    opt("osd_pool_default_pg_num", Uint, "32", "placement groups of a new pool"),
    opt("osd_pool_default_pgp_num", Uint, "0", "places of a new pool; 0: as many as groups"),
    opt("osd_pool_default_size", Uint, "3", "copies of a new pool"),
    opt(
        "osd_recovery_max_active",
        Uint,
        "8",
        "objects of a placement group being recovered at once",
    )
    .within(1, 1000),
    opt("osd_recovery_max_chunk", Size, "8388608", "bytes of one push of a recovery")
        .within(4096, 64 << 20),
    opt(
        "osd_recovery_max_omap_entries_per_chunk",
        Uint,
        "8096",
        "entries of omap of one push of a recovery",
    )
    .within(1, 1 << 20),
    opt("osd_recovery_op_priority", Uint, "3", "how much recovery matters"),
    opt("osd_recovery_sleep", Float, "0.000000", "seconds between steps of recovery"),
    opt("osd_scrub_max_interval", Float, "604800.000000", "seconds between scrubs at most"),
    opt("osd_scrub_min_interval", Float, "86400.000000", "seconds between scrubs at least")
        .within(60, YEAR),
    opt("osd_snap_trim_sleep", Float, "0.000000", "seconds between steps of snapshot trimming")
        .within(0, YEAR),
    opt("rbd_cache", Bool, "true", "whether librbd caches"),
    opt("rbd_default_clone_format", Str, "auto", "format of clones: 1, 2 or auto"),
    opt("rbd_default_data_pool", Str, "", "pool for the data of new images"),
    opt("rbd_default_features", Str, "61", "features of new images"),
    opt("rbd_default_format", Uint, "2", "format of new images"),
    opt("rbd_default_order", Uint, "22", "object size of new images, as a power of two"),
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
    TABLE.binary_search_by_key(&name, |o| o.name).ok().map(|at| &TABLE[at])
}

impl Known {
    /// The word for what it takes.
    pub fn type_word(&self) -> &'static str {
        match self.kind {
            Str | Log => "str",
            Bool => "bool",
            Int => "int",
            Uint => "uint",
            Size => "size",
            Float => "float",
        }
    }

    /// The least value, as text; empty where there is none.
    pub fn min(&self) -> String {
        self.least.map(|n| n.to_string()).unwrap_or_default()
    }

    /// The greatest value, as text; empty where there is none.
    pub fn max(&self) -> String {
        self.most.map(|n| n.to_string()).unwrap_or_default()
    }

    /// A value as JSON says it.
    pub fn json(&self, text: &str) -> Value {
        let known = match self.kind {
            Bool => text.parse().map(Value::Bool).ok(),
            Int | Uint => text.parse::<i64>().map(|n| json!(n)).ok(),
            // A whole one is told without a fraction.
            Float => text.parse::<f64>().ok().map(|n| match n {
                n if n.fract() == 0.0 && n.abs() < 1e15 => json!(n as i64),
                n => json!(n),
            }),
            // Sizes are told as text, by an old habit.
            Str | Size | Log => None,
        };
        known.unwrap_or_else(|| json!(text))
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
            Int => {
                let n = word.parse::<i64>().map_err(|_| integer())?;
                self.bounded(n as f64, n.to_string())
            }
            Uint | Size => {
                let base = if self.kind == Size { 1024 } else { 1000 };
                let n = scaled(word, base).ok_or_else(integer)?;
                self.bounded(n as f64, n.to_string())
            }
            Float => match word.parse::<f64>() {
                Ok(f) if f.is_finite() => self.bounded(f, format!("{f:.6}")),
                _ => Err(format!("strict_strtod: expected double, got: '{word}'")),
            },
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

    /// Bounds are far below what a fraction holds exactly.
    fn bounded(&self, number: f64, text: String) -> Result<String, String> {
        match (self.least, self.most) {
            (Some(least), _) if number < least as f64 => {
                Err(format!("Value '{text}' is below minimum {least}"))
            }
            (_, Some(most)) if number > most as f64 => {
                Err(format!("Value '{text}' exceeds maximum {most}"))
            }
            _ => Ok(text),
        }
    }
}

/// A number with a unit: `10`, `4K`, `1G`, in powers of `base`; bytes may end in `B`.
pub fn scaled(val: &str, base: u64) -> Option<u64> {
    let text = if base == 1024 { val.strip_suffix('B').unwrap_or(val) } else { val };
    let (digits, unit) = match text.char_indices().last() {
        Some((at, c)) if c.is_ascii_alphabetic() => (&text[..at], c),
        _ => (text, ' '),
    };
    let power = " KMGTPE".find(unit)?;
    let n: u64 = digits.trim().parse().ok()?;
    n.checked_mul(base.checked_pow(u32::try_from(power).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_normal() {
        assert!(TABLE.windows(2).all(|w| w[0].name < w[1].name));
        for o in TABLE {
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
        assert!(normal("osd_heartbeat_interval", "61").is_err());
        assert!(normal("osd_failsafe_full_ratio", "1.1").is_err());
        assert!(normal("osd_failsafe_full_ratio", "NaN").is_err());
        assert!(normal("osd_max_object_size", "99999999999G").is_err());
        let json = |name: &str, text: &str| find(name).unwrap().json(text);
        assert_eq!(json("osd_max_write_size", "90"), "90");
        assert_eq!(json("osd_map_message_max", "40"), 40);
        assert_eq!(json("osd_snap_trim_sleep", "0.500000"), 0.5);
        assert_eq!(json("osd_snap_trim_sleep", "0.000000").to_string(), "0");
        assert_eq!(json("rbd_cache", "true"), true);
    }
}
