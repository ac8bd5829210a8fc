//! Options of a running OSD: each is a field of the configuration, and setting it changes what the
//! OSD does from the next input on. What is no field here, and no log of ours, is no option.

use std::time::Duration;

use seabed_cluster::options::{Layers, LogLevels, NotTaken, Source};
use seabed_cluster::{Now, Time};
use seabed_denc::Encode;
use seabed_messages::{MConfig, MMgrOpen, MMgrReport};
use seabed_pg::{Level, Outbox, Peer};

use crate::{Osd, OsdConfig, WIRE};

/// An option and its field; values are in the normal form of the table of options.
struct Bound {
    /// Ceph's name.
    name: &'static str,
    get: fn(&OsdConfig) -> String,
    set: fn(&mut OsdConfig, &str) -> Option<()>,
}

const MIB: u64 = 1 << 20;

/// An option whose field is a number.
macro_rules! number {
    ($name:literal, $($field:ident).+) => {
        Bound {
            name: $name,
            get: |c| c.$($field).+.to_string(),
            set: |c, v| {
                c.$($field).+ = v.parse().ok()?;
                Some(())
            },
        }
    };
}

/// An option whose field is a time.
macro_rules! time {
    ($name:literal, $($field:ident).+) => {
        Bound {
            name: $name,
            get: |c| c.$($field).+.as_secs_f64().to_string(),
            set: |c, v| {
                c.$($field).+ = Duration::try_from_secs_f64(v.parse().ok()?).ok()?;
                Some(())
            },
        }
    };
}

/// By name.
const BOUND: &[Bound] = &[
    number!("osd_backfill_scan_max", pg.backfill_scan),
    time!("osd_beacon_report_interval", beacon_interval),
    number!("osd_bench_duration", bench.seconds),
    number!("osd_bench_large_size_max_throughput", bench.large_throughput),
    number!("osd_bench_max_block_size", bench.block_max),
    number!("osd_bench_small_size_max_iops", bench.small_iops),
    number!("osd_client_watch_timeout", pg.limits.watch_timeout_seconds),
    number!("osd_copyfrom_max_chunk", copies.chunk),
    number!("osd_default_notify_timeout", pg.limits.notify_timeout_seconds),
    number!("osd_failsafe_full_ratio", failsafe_full_ratio),
    time!("osd_heartbeat_grace", heartbeat_grace),
    time!("osd_heartbeat_interval", heartbeat_interval),
    number!("osd_map_message_max", maps_sent),
    number!("osd_max_attr_name_len", pg.limits.attr_name),
    number!("osd_max_attr_size", pg.limits.attr_value),
    number!("osd_max_object_size", pg.limits.object_size),
    number!("osd_max_omap_bytes_per_request", pg.limits.omap_bytes),
    number!("osd_max_omap_entries_per_request", pg.limits.omap_entries),
    number!("osd_max_pg_log_entries", pg.log_max),
    number!("osd_max_pgls", pg.limits.list_entries),
    number!("osd_max_trimming_pgs", trimming_pgs),
    number!("osd_max_write_op_reply_len", pg.limits.write_reply),
    Bound {
        name: "osd_max_write_size",
        get: |c| (c.pg.write_max / MIB).to_string(),
        set: |c, v| {
            c.pg.write_max = v.parse::<u64>().ok()?.checked_mul(MIB)?;
            Some(())
        },
    },
    number!("osd_min_pg_log_entries", pg.log_min),
    time!("osd_mon_report_interval", stats_interval),
    number!("osd_pg_log_dups_tracked", pg.dups),
    number!("osd_pg_max_concurrent_snap_trims", pg.snap_trims),
    number!("osd_recovery_max_active", pg.recovery_active),
    number!("osd_recovery_max_chunk", pg.push_chunk),
    number!("osd_recovery_max_omap_entries_per_chunk", pg.push_omap),
    time!("osd_scrub_min_interval", purged_look_interval),
    time!("osd_snap_trim_sleep", pg.snap_trim_sleep),
];

/// Levels of logs that the caller keeps.
const DEBUG: [&str; 2] = ["debug_ms", "debug_osd"];

fn has(name: &str) -> bool {
    DEBUG.contains(&name) || BOUND.iter().any(|b| b.name == name)
}

/// What was set, and what holds where nothing was.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) layers: Layers,
    unset: OsdConfig,
    pub(crate) logs: LogLevels,
}

impl Options {
    /// The options of an OSD that starts with `config`; what is wrong with one of its conf file
    /// otherwise. What the table does not know belongs to others who read the same file.
    pub(crate) fn start(config: &OsdConfig) -> Result<Self, String> {
        let mut layers = Layers::new(has);
        for (name, value) in &config.file {
            if let Err(NotTaken::BadValue(why)) = layers.set(Source::File, name, value) {
                return Err(format!("{name} = {value}: {why}"));
            }
        }
        Ok(Self { layers, unset: config.clone(), logs: LogLevels::default() })
    }

    /// Makes the fields what was set.
    pub(crate) fn apply(&mut self, config: &mut OsdConfig) {
        for bound in BOUND {
            let set = self.layers.set_value(bound.name).and_then(|v| (bound.set)(config, v));
            let before = (bound.get)(&self.unset);
            if set.is_none() && before != (bound.get)(config) {
                // Back to what it was at the start; a field takes its own value.
                let _ = (bound.set)(config, &before);
            }
        }
        self.logs = self.layers.log_levels("debug_osd");
    }
}

impl Osd {
    /// How much is to be logged.
    pub fn log_levels(&self) -> LogLevels {
        self.options.logs
    }

    /// The monitor says what is set for this OSD, all of it.
    pub(crate) fn on_config(&mut self, now: Now, m: &MConfig, out: &mut Outbox) {
        let set = m.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.options.layers.follow_mon(set);
        for (name, value) in self.options.layers.ignored() {
            let text = format_args!("{name} = {value}, as the monitor has it, is not taken");
            self.log(out, Level::Debug, text);
        }
        self.options_changed(now, out);
    }

    /// What was set holds from here on, and the monitor hears of it.
    pub(crate) fn options_changed(&mut self, now: Now, out: &mut Outbox) {
        self.options.apply(&mut self.config);
        // Nothing waits longer than its new interval.
        let within = |at: &mut Option<Time>, interval| {
            *at = at.map(|at| at.min(now.mono + interval));
        };
        within(&mut self.report_at, self.config.stats_interval);
        within(&mut self.beacon_at, self.config.beacon_interval);
        if self.phase.is_active() {
            self.plan_look(now);
        }
        within(&mut self.heartbeat.next, self.config.heartbeat_interval);
        if self.mon_connected {
            let config = self.options.layers.report().to_bytes(WIRE);
            let daemon_name = self.config.whoami.to_string();
            let service_name = "osd".to_owned();
            let report = MMgrReport { daemon_name, service_name, config, ..MMgrReport::default() };
            out.send(Peer::Mon, report);
        }
    }

    /// Tells a monitor that is new to us of all options.
    pub(crate) fn introduce_options(&self, out: &mut Outbox) {
        let layers = &self.options.layers;
        let message = MMgrOpen {
            daemon_name: self.config.whoami.to_string(),
            service_name: "osd".to_owned(),
            config: layers.report().to_bytes(WIRE),
            config_defaults: layers.defaults().to_bytes(WIRE),
            ..MMgrOpen::default()
        };
        out.send(Peer::Mon, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::options::find;
    use seabed_cluster::{OsdAddrs, OsdId, Uuid};

    fn config() -> OsdConfig {
        OsdConfig::new(Uuid::default(), OsdId(0), OsdAddrs::default())
    }

    #[test]
    fn the_table_says_what_an_osd_does_unless_told() {
        assert!(BOUND.is_sorted_by_key(|b| b.name));
        for bound in BOUND {
            let known = find(bound.name).expect(bound.name);
            let own = known.normal(&(bound.get)(&config()));
            assert_eq!(own.as_deref(), Ok(known.default), "{}", bound.name);
        }
        assert!(DEBUG.iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn every_field_takes_what_the_table_lets_through() {
        for bound in BOUND {
            let known = find(bound.name).expect(bound.name);
            for bound_of_it in [known.least, known.most].into_iter().flatten() {
                let text = known.normal(&bound_of_it.to_string()).expect(bound.name);
                assert!((bound.set)(&mut config(), &text).is_some(), "{} {text}", bound.name);
            }
            assert!(known.least.is_some() && known.most.is_some(), "{}", bound.name);
            assert!((bound.set)(&mut config(), "many").is_none(), "{}", bound.name);
        }
    }

    #[test]
    fn what_is_taken_back_is_as_it_was_at_the_start() {
        let mut started = config();
        started.heartbeat_grace = Duration::from_millis(1500);
        started.file.insert("osd_max_pgls".into(), "7".into());
        started.file.insert("osd_data".into(), "/somewhere".into());
        let mut options = Options::start(&started).unwrap();
        let mut now = started.clone();
        options.apply(&mut now);
        assert_eq!(now.pg.limits.list_entries, 7);
        options.layers.follow_mon([("osd_heartbeat_grace", "9"), ("debug_osd", "20")]);
        options.apply(&mut now);
        assert_eq!(now.heartbeat_grace, Duration::from_secs(9));
        assert_eq!(options.logs, LogLevels { own: Some(20), messenger: None });
        options.layers.follow_mon([]);
        options.apply(&mut now);
        assert_eq!(now.heartbeat_grace, Duration::from_millis(1500));
        assert_eq!(options.logs, LogLevels::default());
        started.file.insert("osd_max_pgls".into(), "0".into());
        assert!(Options::start(&started).unwrap_err().contains("osd_max_pgls"));
    }
}
