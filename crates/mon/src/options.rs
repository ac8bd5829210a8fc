//! Options: the few that the monitor acts on, and the names that `config set` knows.
//!
//! A value comes from the cluster's configuration (`mon.a` before `mon` before `global`), else
//! from what the monitor was started with, else from the table.

use std::collections::BTreeMap;

/// Name and default of each option that can be set.
pub const TABLE: &[(&str, &str)] = &[
    ("auth_client_required", "none"),
    ("auth_cluster_required", "none"),
    ("auth_service_required", "none"),
    ("bluestore_cache_size", "0"),
    ("client_mount_timeout", "300"),
    ("debug_mon", "1/5"),
    ("debug_ms", "0/0"),
    ("debug_osd", "1/5"),
    ("log_file", ""),
    ("mon_allow_pool_delete", "false"),
    ("mon_allow_pool_size_one", "false"),
    ("mon_host", ""),
    ("mon_max_pg_per_osd", "250"),
    ("mon_max_pool_pg_num", "65536"),
    ("mon_max_snap_prune_per_epoch", "100"),
    ("mon_min_osdmap_epochs", "500"),
    ("mon_osd_down_out_interval", "600"),
    ("mon_osd_down_out_subtree_limit", "rack"),
    ("mon_osd_full_ratio", "0.95"),
    ("mon_osd_backfillfull_ratio", "0.90"),
    ("mon_osd_nearfull_ratio", "0.85"),
    ("mon_osd_min_down_reporters", "2"),
    ("mon_osd_min_in_ratio", "0.75"),
    ("mon_osd_min_up_ratio", "0.3"),
    ("mon_osd_report_timeout", "900"),
    ("mon_osd_reporter_subtree_level", "host"),
    ("mon_pg_stuck_threshold", "60"),
    ("mon_warn_on_pool_no_app", "true"),
    ("ms_crc_data", "true"),
    ("osd_beacon_report_interval", "300"),
    ("osd_client_message_size_cap", "524288000"),
    ("osd_client_op_priority", "63"),
    ("osd_crush_chooseleaf_type", "1"),
    ("osd_deep_scrub_interval", "604800"),
    ("osd_heartbeat_grace", "20"),
    ("osd_heartbeat_interval", "6"),
    ("osd_max_backfills", "1"),
    ("osd_max_object_size", "134217728"),
    ("osd_max_pg_log_entries", "10000"),
    ("osd_min_pg_log_entries", "250"),
    ("osd_pool_default_min_size", "0"),
    ("osd_pool_default_pg_autoscale_mode", "off"),
    ("osd_pool_default_pg_num", "32"),
    ("osd_pool_default_pgp_num", "0"),
    ("osd_pool_default_size", "3"),
    ("osd_recovery_max_active", "0"),
    ("osd_recovery_op_priority", "3"),
    ("osd_recovery_sleep", "0"),
    ("osd_scrub_max_interval", "604800"),
    ("osd_scrub_min_interval", "86400"),
    ("rbd_cache", "true"),
    ("rbd_default_features", "61"),
    ("rbd_default_format", "2"),
    ("rbd_default_pool", "rbd"),
];

/// Options as they were set: (section, name) to value.
pub type Settings = BTreeMap<(String, String), String>;

/// True if `name` is in the table.
pub fn is_known(name: &str) -> bool {
    TABLE.iter().any(|(n, _)| *n == name)
}

/// The default of `name`.
pub fn default(name: &str) -> Option<&'static str> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, d)| *d)
}

/// One spelling for an option's name.
pub fn normal(name: &str) -> String {
    name.trim().replace([' ', '-'], "_")
}

/// The sections that apply to an entity, the strongest last: `global`, `osd`, `osd.1`.
pub fn sections(entity: &str) -> Vec<String> {
    let mut out = vec!["global".to_string()];
    if let Some((kind, id)) = entity.split_once('.') {
        out.push(kind.to_string());
        // `client.a.b` inherits from `client.a` as well.
        let mut at = 0;
        while let Some(dot) = id.get(at..).and_then(|rest| rest.find('.')) {
            at += dot;
            out.push(format!("{kind}.{}", &id[..at]));
            at += 1;
        }
        out.push(entity.to_string());
    } else if entity != "global" {
        out.push(entity.to_string());
    }
    out
}

/// All settings that apply to an entity, with the section each comes from.
pub fn effective(settings: &Settings, entity: &str) -> BTreeMap<String, (String, String)> {
    let mut out = BTreeMap::new();
    for section in sections(entity) {
        for ((who, name), value) in settings {
            if *who == section {
                out.insert(name.clone(), (section.clone(), value.clone()));
            }
        }
    }
    out
}

/// The monitor's own view of its options.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// As set in the cluster.
    pub settings: &'a Settings,
    /// As given at the start.
    pub started: &'a BTreeMap<String, String>,
    /// The monitor's name.
    pub mon: &'a str,
}

impl Options<'_> {
    /// The value as text.
    pub fn get(&self, name: &str) -> String {
        let keys = [format!("mon.{}", self.mon), "mon".into(), "global".into()];
        for who in keys {
            if let Some(v) = self.settings.get(&(who, name.to_string())) {
                return v.clone();
            }
        }
        match self.started.get(name) {
            Some(v) => v.clone(),
            None => default(name).unwrap_or_default().to_string(),
        }
    }

    /// The value as a number; the default where it is none.
    pub fn u64(&self, name: &str) -> u64 {
        let fallback = || default(name).and_then(|d| d.parse().ok()).unwrap_or(0);
        self.get(name).trim().parse().unwrap_or_else(|_| fallback())
    }

    /// The value as a fraction; the default where it is none.
    pub fn f64(&self, name: &str) -> f64 {
        let fallback = || default(name).and_then(|d| d.parse().ok()).unwrap_or(0.0);
        self.get(name).trim().parse().unwrap_or_else(|_| fallback())
    }

    /// The value as a switch.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.get(name).trim(), "true" | "1" | "yes" | "on")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_section_wins() {
        let mut s = Settings::new();
        s.insert(("global".into(), "a".into()), "1".into());
        s.insert(("osd".into(), "a".into()), "2".into());
        s.insert(("osd.3".into(), "b".into()), "3".into());
        let e = effective(&s, "osd.3");
        assert_eq!(e["a"], ("osd".to_string(), "2".to_string()));
        assert_eq!(e["b"].1, "3");
        assert_eq!(effective(&s, "client.admin")["a"].1, "1");
        assert_eq!(sections("client.a.b"), ["global", "client", "client.a", "client.a.b"]);
    }

    #[test]
    fn table_is_sorted_enough_to_find_twins() {
        let mut names: Vec<&str> = TABLE.iter().map(|(n, _)| *n).collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
