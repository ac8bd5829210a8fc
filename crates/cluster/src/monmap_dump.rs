//! The map of monitors as text (`ceph mon dump`, `monmaptool --print`) and JSON.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::monmap::{MonInfo, MonMap, mon_feature};
use crate::text::Commas;
use crate::{UTime, release_name};

/// Monitors that may not lead, though they are in the quorum.
const DISALLOW: u8 = 2;

/// JSON has these stamps with the letter for UTC.
fn zulu(t: UTime) -> String {
    let text = t.to_string();
    text.strip_suffix("+0000").map_or(text.clone(), |t| format!("{t}Z"))
}

fn feature_names(bits: u64) -> Vec<String> {
    let known = mon_feature::NAMES.iter().fold(0, |all, (bit, _)| all | bit);
    let named = mon_feature::NAMES.iter().filter(|(bit, _)| bits & bit != 0);
    let mut names: Vec<String> = named.map(|(_, name)| (*name).to_owned()).collect();
    if bits & !known != 0 {
        names.push("unknown".to_owned());
    }
    names
}

impl MonInfo {
    fn location(&self) -> String {
        let pairs = self.crush_location.iter().map(|(k, v)| format!("{k}={v}"));
        format!("{{{}}}", Commas(pairs.collect::<Vec<_>>()))
    }
}

impl MonMap {
    /// The fields of `ceph mon dump -f json`, except `quorum`, which is not part of the map.
    pub fn dump(&self) -> Value {
        let one = |(rank, info): (usize, &MonInfo)| {
            let addr = info.addrs.legacy_text();
            json!({
                "rank": rank,
                "name": info.name,
                "public_addrs": info.addrs.dump(),
                "addr": addr,
                "public_addr": addr,
                "priority": info.priority,
                "weight": info.weight,
                "crush_location": info.location(),
            })
        };
        let mons = self.ranks.iter().filter_map(|name| self.mons.get(name)).enumerate();
        json!({
            "epoch": self.epoch.0,
            "fsid": self.fsid.to_string(),
            "modified": zulu(self.last_changed),
            "created": zulu(self.created),
            "min_mon_release": self.min_mon_release,
            "min_mon_release_name": release_name(self.min_mon_release),
            "election_strategy": self.election_strategy,
            "disallowed_leaders: ": Commas(&self.disallowed_leaders).to_string(),
            "stretch_mode": self.stretch_mode,
            "tiebreaker_mon": self.tiebreaker_mon,
            "removed_ranks: ": Commas(&self.removed_ranks).to_string(),
            "features": {
                "persistent": feature_names(self.persistent_features),
                "optional": feature_names(self.optional_features),
            },
            "mons": mons.map(one).collect::<Vec<_>>(),
        })
    }

    /// What `ceph mon dump` shows.
    pub fn print(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_print(&mut out);
        out
    }

    fn write_print(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "epoch {}", self.epoch)?;
        writeln!(out, "fsid {}", self.fsid)?;
        writeln!(out, "last_changed {}", self.last_changed)?;
        writeln!(out, "created {}", self.created)?;
        let release = self.min_mon_release;
        writeln!(out, "min_mon_release {release} ({})", release_name(release))?;
        writeln!(out, "election_strategy: {}", self.election_strategy)?;
        if self.stretch_mode {
            writeln!(out, "stretch_mode_enabled 1")?;
            writeln!(out, "tiebreaker_mon {}", self.tiebreaker_mon)?;
        }
        if self.election_strategy == DISALLOW || !self.disallowed_leaders.is_empty() {
            writeln!(out, "disallowed_leaders {}", Commas(&self.disallowed_leaders))?;
        }
        for (rank, name) in self.ranks.iter().enumerate() {
            let Some(info) = self.mons.get(name) else { continue };
            write!(out, "{rank}: {} mon.{name}", info.addrs)?;
            if !info.crush_location.is_empty() {
                write!(out, "; crush_location {}", info.location())?;
            }
            out.push('\n');
        }
        Ok(())
    }
}
