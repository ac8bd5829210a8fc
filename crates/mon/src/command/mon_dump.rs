//! The maps of monitors and of the mgr as JSON and as text.

use seabed_cluster::{MonMap, mon_feature, release_name};
use seabed_messages::MgrMap;
use serde_json::{Value, json};

/// Names of monitor feature bits.
pub fn mon_features(bits: u64) -> Vec<&'static str> {
    mon_feature::NAMES.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect()
}

/// A stamp as monitor maps show it.
fn stamp_z(t: seabed_cluster::UTime) -> String {
    t.to_string().replace("+0000", "Z")
}

/// `mon dump` as JSON, without the quorum.
pub fn monmap(m: &MonMap) -> Value {
    let mons: Vec<Value> = m
        .ranks
        .iter()
        .enumerate()
        .filter_map(|(rank, name)| {
            let info = m.mons.get(name)?;
            Some(json!({
                "rank": rank,
                "name": name,
                "public_addrs": info.addrs.dump(),
                "addr": info.addrs.legacy_text(),
                "public_addr": info.addrs.legacy_text(),
                "priority": info.priority,
                "weight": info.weight,
                "crush_location": "{}",
            }))
        })
        .collect();
    json!({
        "epoch": m.epoch.0,
        "fsid": m.fsid.to_string(),
        "modified": stamp_z(m.last_changed),
        "created": stamp_z(m.created),
        "min_mon_release": m.min_mon_release,
        "min_mon_release_name": release_name(m.min_mon_release),
        "election_strategy": m.election_strategy,
        "disallowed_leaders: ": "",
        "stretch_mode": m.stretch_mode,
        "tiebreaker_mon": m.tiebreaker_mon,
        "removed_ranks: ": "",
        "features": {
            "persistent": mon_features(m.persistent_features),
            "optional": mon_features(m.optional_features),
        },
        "mons": mons,
    })
}

/// `mon dump` as text.
pub fn monmap_text(m: &MonMap) -> String {
    let mut out = format!(
        "epoch {}\nfsid {}\nlast_changed {}\ncreated {}\nmin_mon_release {} ({})\n\
         election_strategy: {}\n",
        m.epoch,
        m.fsid,
        m.last_changed,
        m.created,
        m.min_mon_release,
        release_name(m.min_mon_release),
        m.election_strategy
    );
    for (rank, name) in m.ranks.iter().enumerate() {
        if let Some(info) = m.mons.get(name) {
            out.push_str(&format!("{rank}: {} mon.{name}\n", info.addrs));
        }
    }
    out
}

/// `mgr dump` as JSON.
pub fn mgrmap(m: &MgrMap) -> Value {
    json!({
        "epoch": m.epoch.0,
        "active_gid": m.active_gid,
        "active_name": m.active_name,
        "active_addrs": m.active_addrs.dump(),
        "active_addr": m.active_addrs.legacy_text(),
        "active_change": m.active_change.to_string(),
        "active_mgr_features": m.active_mgr_features,
        "available": m.available,
        "standbys": [],
        "modules": [],
        "available_modules": [],
        "services": {},
        "always_on_modules": {},
        "last_failure_osd_epoch": m.last_failure_osd_epoch.0,
        "active_clients": [],
    })
}
