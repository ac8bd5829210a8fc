//! Options of a running OSD under Ceph's names: each is a field of the configuration, and setting
//! it changes what the OSD does from the next input on. What is no field here is no option.

use std::time::Duration;

use crate::OsdConfig;

/// One option.
pub(crate) struct Known {
    /// Ceph's name.
    pub(crate) name: &'static str,
    /// The value as Ceph prints it.
    pub(crate) get: fn(&OsdConfig) -> String,
    /// Takes a value; what is wrong with it otherwise.
    pub(crate) set: fn(&mut OsdConfig, &str) -> Result<(), String>,
}

const MIB: u64 = 1 << 20;

/// Longest time that an option may hold: what is longer is a slip of the pen.
const SECONDS_MAX: f64 = 31_536_000.0;

/// A whole number within bounds; sizes may end in K, M or G.
fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => MIB,
        "G" => 1 << 30,
        other => return Err(format!("strict_si_cast: unit prefix not recognized: {other}")),
    };
    let value = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let value = value.ok_or_else(|| format!("'{text}' is not a whole number"))?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("value '{value}' is not between {least} and {most}"))
    }
}

fn fraction(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let value: f64 = text.trim().parse().map_err(|_| format!("'{text}' is not a number"))?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("value '{value}' is not between {least} and {most}"))
    }
}

fn seconds(text: &str, least: f64) -> Result<Duration, String> {
    fraction(text, least, SECONDS_MAX).map(Duration::from_secs_f64)
}

/// An option whose field is a number: name, field, type, least and most.
macro_rules! numeric {
    ($name:literal, $($field:ident).+, $kind:ty, $least:expr, $most:expr) => {
        Known {
            name: $name,
            get: |c| c.$($field).+.to_string(),
            set: |c, v| {
                c.$($field).+ = <$kind>::try_from(number(v, $least, $most)?)
                    .map_err(|e| e.to_string())?;
                Ok(())
            },
        }
    };
}

/// An option whose field is a time: name, field, least.
macro_rules! time {
    ($name:literal, $($field:ident).+, $least:expr) => {
        Known {
            name: $name,
            get: |c| c.$($field).+.as_secs_f64().to_string(),
            set: |c, v| {
                c.$($field).+ = seconds(v, $least)?;
                Ok(())
            },
        }
    };
}

/// By name.
pub(crate) const TABLE: &[Known] = &[
    numeric!("osd_backfill_scan_max", pg.backfill_scan, usize, 1, 65536),
    time!("osd_beacon_report_interval", beacon_interval, 1.0),
    numeric!("osd_client_watch_timeout", pg.limits.watch_timeout_seconds, u32, 1, 86400),
    numeric!("osd_default_notify_timeout", pg.limits.notify_timeout_seconds, u32, 1, 86400),
    Known {
        name: "osd_failsafe_full_ratio",
        get: |c| format!("{:.6}", c.failsafe_full_ratio),
        set: |c, v| {
            c.failsafe_full_ratio = fraction(v, 0.0, 1.0)?;
            Ok(())
        },
    },
    time!("osd_heartbeat_grace", heartbeat_grace, 1.0),
    time!("osd_heartbeat_interval", heartbeat_interval, 1.0),
    numeric!("osd_map_message_max", maps_sent, usize, 1, 1000),
    numeric!("osd_max_attr_name_len", pg.limits.attr_name, usize, 1, 65536),
    numeric!("osd_max_attr_size", pg.limits.attr_value, usize, 0, 64 * MIB),
    numeric!("osd_max_object_size", pg.limits.object_size, u64, 1, 4096 * MIB - 1),
    numeric!("osd_max_omap_bytes_per_request", pg.limits.omap_bytes, usize, 1, 1024 * MIB),
    numeric!("osd_max_omap_entries_per_request", pg.limits.omap_entries, u64, 1, 1 << 24),
    numeric!("osd_max_pg_log_entries", pg.log_max, usize, 1, 1_000_000),
    numeric!("osd_max_pgls", pg.limits.list_entries, u64, 1, 65536),
    numeric!("osd_max_trimming_pgs", trimming_pgs, usize, 1, 1000),
    numeric!("osd_max_write_op_reply_len", pg.limits.write_reply, usize, 0, MIB),
    Known {
        name: "osd_max_write_size",
        get: |c| (c.pg.write_max / MIB).to_string(),
        set: |c, v| {
            c.pg.write_max = number(v, 4, 1024)? * MIB;
            Ok(())
        },
    },
    numeric!("osd_min_pg_log_entries", pg.log_min, usize, 1, 1_000_000),
    time!("osd_mon_report_interval", stats_interval, 1.0),
    numeric!("osd_pg_log_dups_tracked", pg.dups, usize, 0, 1_000_000),
    numeric!("osd_pg_max_concurrent_snap_trims", pg.snap_trims, usize, 1, 1000),
    numeric!("osd_recovery_max_active", pg.recovery_active, usize, 1, 1000),
    numeric!("osd_recovery_max_chunk", pg.push_chunk, u64, 4096, 64 * MIB),
    numeric!("osd_recovery_max_omap_entries_per_chunk", pg.push_omap, usize, 1, 1 << 20),
    time!("osd_snap_trim_sleep", pg.snap_trim_sleep, 0.0),
];

/// One spelling for an option's name.
pub(crate) fn normal(name: &str) -> String {
    name.trim().replace([' ', '-'], "_")
}

/// The option of that name, in any spelling.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    let name = normal(name);
    TABLE.iter().find(|o| o.name == name)
}

/// `--name=value` and `--name value`, in one string or in several; the word that is neither.
pub(crate) fn arguments(args: &[String]) -> Result<Vec<(&'static Known, String)>, String> {
    let mut words = args.iter().flat_map(|a| a.split_whitespace());
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        let body = word.strip_prefix("--").ok_or_else(|| word.to_owned())?;
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, words.next()),
        };
        let (option, value) = find(name).zip(value).ok_or_else(|| word.to_owned())?;
        out.push((option, value.to_owned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{OsdAddrs, OsdId, Uuid};

    fn config() -> OsdConfig {
        OsdConfig::new(Uuid::default(), OsdId(0), OsdAddrs::default())
    }

    #[test]
    fn every_option_takes_its_own_value_and_changes_nothing_by_it() {
        for option in TABLE {
            let (before, mut after) = (config(), config());
            (option.set)(&mut after, &(option.get)(&before)).expect(option.name);
            assert_eq!(after, before, "{}", option.name);
            assert!((option.set)(&mut after, "many").is_err(), "{}", option.name);
            assert!((option.set)(&mut after, "-1").is_err(), "{}", option.name);
            assert_eq!(after, before, "{}", option.name);
        }
        assert!(TABLE.is_sorted_by_key(|o| o.name));
    }

    #[test]
    fn values_in_all_their_forms() {
        assert_eq!(number(" 4K", 0, u64::MAX), Ok(4096));
        assert!(number("99999999999G", 0, u64::MAX).is_err());
        assert!(number("", 0, 9).is_err() && number("10", 0, 9).is_err());
        assert!(fraction("NaN", 0.0, 1.0).is_err());
        assert_eq!(seconds("0.5", 0.0), Ok(Duration::from_millis(500)));
        assert!(seconds("1e300", 0.0).is_err());
    }

    #[test]
    fn injected_arguments() {
        let parse = |text: &[&str]| {
            let args: Vec<String> = text.iter().map(|s| (*s).to_owned()).collect();
            let found = arguments(&args)?;
            Ok(found.into_iter().map(|(o, v)| (o.name, v)).collect::<Vec<_>>())
        };
        let both = [("osd_max_pgls", "7".to_owned()), ("osd_heartbeat_grace", "9".to_owned())];
        assert_eq!(parse(&["--osd-max-pgls=7 --osd_heartbeat_grace", "9"]), Ok(both.to_vec()));
        assert_eq!(parse(&["--osd_max_pgls"]), Err("--osd_max_pgls".to_owned()));
        assert_eq!(parse(&["osd_max_pgls=7"]), Err("osd_max_pgls=7".to_owned()));
        assert_eq!(parse(&["--debug_nothing=7"]), Err("--debug_nothing=7".to_owned()));
    }
}
