//! Making a cluster: the first entry of the map log.

use std::collections::BTreeMap;

use seabed_cluster::options::Layers;
use seabed_cluster::osdmap::flag;
use seabed_cluster::{
    EntityAddrVec, Epoch, Incremental, MapError, MonMap, OsdMap, UTime, Uuid, mon_feature,
};
use seabed_crush::{CrushMap, Step};
use seabed_denc::Encode;
use thiserror::Error;

use crate::history::MAP_FEATURES;
use crate::map_log::{Append, Change, Door, LogEntry, LogError, MapLog, Provenance, Version};
use crate::options::{self, Options};

/// Releases in a new map: OSDs of 16.2 and newer, clients of mimic and newer (so that librbd
/// makes clones that need no protection).
const RELEASE_PACIFIC: u8 = 16;
const RELEASE_MIMIC: u8 = 13;

/// What a new cluster starts with.
#[derive(Debug, Clone)]
pub struct Mkfs {
    /// The cluster's id.
    pub fsid: Uuid,
    /// The monitor's name.
    pub mon: String,
    /// Where it listens.
    pub mon_addrs: EntityAddrVec,
    /// OSD ids from 0 that may boot without being announced by `osd new`.
    pub osds: u32,
    /// Options given at the start (a ceph.conf).
    pub options: BTreeMap<String, String>,
}

/// Why a cluster was not made.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MkfsError {
    /// There is one already.
    #[error("the map log is not empty: a cluster lives here")]
    NotEmpty,
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An option given at the start is wrong.
    #[error("option {0}")]
    Option(String),
    /// The first map could not be made.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Writes the first entry.
pub fn mkfs(log: &mut dyn MapLog, new: &Mkfs, now: UTime) -> Result<(), MkfsError> {
    if log.committed()? != Version(0) {
        return Err(MkfsError::NotEmpty);
    }
    let layers = options::started(&new.options).map_err(MkfsError::Option)?;
    let mut monmap = MonMap {
        fsid: new.fsid,
        epoch: Epoch(1),
        last_changed: now,
        created: now,
        persistent_features: mon_feature::PACIFIC_ALL,
        min_mon_release: RELEASE_PACIFIC,
        election_strategy: 1,
        ..MonMap::default()
    };
    monmap.add(&new.mon, new.mon_addrs.clone());
    let entry = LogEntry {
        stamp: now,
        provenance: vec![Provenance::new(format!("mon.{}", new.mon), Door::Mkfs, "mkfs")],
        changes: vec![
            Change::MonMap(monmap.to_bytes(MAP_FEATURES)),
            Change::OsdMap {
                epoch: Epoch(1),
                increment: first_map(new, &layers, now)?.encode(MAP_FEATURES),
            },
        ],
    };
    match log.append(Version(0), &entry)? {
        Append::Submitted(_) => Ok(()),
        Append::Conflict(_) | Append::Unavailable => Err(MkfsError::NotEmpty),
    }
}

/// The increment to epoch 1: a whole map, as Ceph makes it.
fn first_map(new: &Mkfs, layers: &Layers, now: UTime) -> Result<Incremental, MapError> {
    let options = Options(layers);
    let mut map = OsdMap::empty(new.fsid, now);
    map.epoch = Epoch(1);
    map.flags = flag::map::FRESH;
    map.crush = first_crush(&options);
    map.set_max_osd(i32::try_from(new.osds).unwrap_or(i32::MAX))?;
    map.require_osd_release = RELEASE_PACIFIC;
    map.require_min_compat_client = RELEASE_MIMIC;
    map.full_ratio = options.f64("mon_osd_full_ratio") as f32;
    map.backfillfull_ratio = options.f64("mon_osd_backfillfull_ratio") as f32;
    map.nearfull_ratio = options.f64("mon_osd_nearfull_ratio") as f32;
    let profile = [("k", "2"), ("m", "2"), ("plugin", "jerasure"), ("technique", "reed_sol_van")];
    let profile = profile.map(|(k, v)| (k.to_string(), v.to_string()));
    map.erasure_code_profiles.insert("default".to_string(), profile.into());
    let mut inc = Incremental::new(new.fsid, Epoch(1));
    inc.modified = now;
    inc.fullmap = map.encode_full(MAP_FEATURES);
    inc.encode_features = MAP_FEATURES;
    inc.full_crc = OsdMap::crc_of(&inc.fullmap);
    Ok(inc)
}

/// The usual types, an empty root, and a rule over the failure domain that the option names.
fn first_crush(options: &Options<'_>) -> CrushMap {
    let mut crush = CrushMap::new_default();
    let kind = i32::try_from(options.u64("osd_crush_chooseleaf_type")).unwrap_or(1);
    if let Some(rule) = crush.rules.first_mut().and_then(Option::as_mut) {
        for step in &mut rule.steps {
            if matches!(step, Step::ChooseleafFirstn { .. }) {
                *step = match kind {
                    0 => Step::ChooseFirstn { num: 0, kind: 0 },
                    kind => Step::ChooseleafFirstn { num: 0, kind },
                };
            }
        }
    }
    crush
}
