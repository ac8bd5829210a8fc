//! The replicated state: what the entries of the map log add up to.
//!
//! Invariants: the state is a function of the entries alone (no clock, no session, no statistics
//! in it), so that a replay gives the same state; nothing changes it but [`State::apply`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use seabed_cluster::{Epoch, Incremental, MapError, MonMap, OsdId, OsdMap, UTime, Uuid};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned,
};
use thiserror::Error;

use crate::history::{MAP_FEATURES, MapHistory};
use crate::map_log::{Change, LogEntry, LogError, MapLog, Version};
use crate::options::Settings;
use crate::purged::PurgedSnaps;
use crate::service::mute::{Mute, Mutes};

/// Changes of options remembered for `config log`.
const CONFIG_LOG_MAX: usize = 100;
/// Entries read from the log at once.
const READ_MAX: usize = 256;

/// One remembered change of options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigChange {
    /// Counts changes.
    pub version: u64,
    /// When.
    pub stamp: UTime,
    /// Who.
    pub who: String,
    /// Section and option, the value before and after.
    pub changes: Vec<(String, Option<String>, Option<String>)>,
}

/// Why a log does not make a state.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StateError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A map does not follow from the one before.
    #[error("map log entry {version}: {source}")]
    Map {
        /// Which entry.
        version: u64,
        /// Why.
        source: MapError,
    },
    /// Something stored cannot be read.
    #[error("map log {what}: {source}")]
    Decode {
        /// What.
        what: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// The log is empty: the cluster was never made.
    #[error("the map log is empty: run mkfs first")]
    Empty,
}

/// The state.
#[derive(Debug, Clone)]
pub struct State {
    /// The newest entry in it.
    pub version: Version,
    /// The monitors.
    pub monmap: MonMap,
    /// The window of OSD maps.
    pub maps: MapHistory,
    /// Options set.
    pub settings: Settings,
    /// Counts changes of options; the version of the config that clients subscribe to.
    pub config_version: u64,
    /// Recent changes of options, the newest last.
    pub config_log: VecDeque<ConfigChange>,
    /// The config-key store.
    pub keys: BTreeMap<String, Bytes>,
    /// What OSDs said of themselves.
    pub osd_metadata: BTreeMap<OsdId, BTreeMap<String, String>>,
    /// Health checks that are muted.
    pub mutes: Mutes,
    /// Snapshots removed and trimmed everywhere.
    pub purged: PurgedSnaps,
}

impl State {
    /// The newest OSD map.
    pub fn osdmap(&self) -> &Arc<OsdMap> {
        self.maps.latest()
    }

    /// Reads the whole log.
    pub fn load(log: &mut dyn MapLog) -> Result<Self, StateError> {
        let committed = log.committed()?;
        let mut state = match log.snapshot()? {
            Some((version, bytes)) => {
                let mut state = Self::from_snapshot(bytes)?;
                state.version = version;
                state
            }
            None => {
                let first = log.read(Version(1), 1)?;
                let (version, entry) = first.first().ok_or(StateError::Empty)?;
                Self::first(*version, entry)?
            }
        };
        while state.version < committed {
            let entries = log.read(state.version.next(), READ_MAX)?;
            if entries.is_empty() {
                return Err(LogError::Missing(state.version.0 + 1).into());
            }
            for (version, entry) in &entries {
                state.apply(*version, entry)?;
            }
        }
        Ok(state)
    }

    /// The state after the first entry, which mkfs wrote: monitor map and first OSD map.
    fn first(version: Version, entry: &LogEntry) -> Result<Self, StateError> {
        let mut monmap = None;
        let mut osdmap = None;
        let mut rest = entry.clone();
        rest.changes.clear();
        for change in &entry.changes {
            match change {
                Change::MonMap(bytes) => monmap = Some(decode_monmap(bytes)?),
                Change::OsdMap { increment, .. } if osdmap.is_none() => {
                    osdmap = Some(first_map(version, increment)?);
                }
                other => rest.changes.push(other.clone()),
            }
        }
        let (Some(monmap), Some(osdmap)) = (monmap, osdmap) else {
            return Err(StateError::Empty);
        };
        let mut state = Self {
            version,
            monmap,
            maps: MapHistory::new(osdmap),
            settings: Settings::new(),
            config_version: 1,
            config_log: VecDeque::new(),
            keys: BTreeMap::new(),
            osd_metadata: BTreeMap::new(),
            mutes: Mutes::new(),
            purged: PurgedSnaps::default(),
        };
        state.apply(version, &rest)?;
        Ok(state)
    }

    /// Takes one committed entry.
    pub fn apply(&mut self, version: Version, entry: &LogEntry) -> Result<(), StateError> {
        let who = entry.provenance.first().map(|p| p.who.clone()).unwrap_or_default();
        let mut config = Vec::new();
        for change in &entry.changes {
            match change {
                Change::OsdMap { increment, .. } => {
                    self.maps
                        .push(increment.clone())
                        .map_err(|source| StateError::Map { version: version.0, source })?;
                    self.purged.follow(self.maps.latest());
                }
                Change::MonMap(bytes) => self.monmap = decode_monmap(bytes)?,
                Change::Config { who, name, value } => {
                    let key = (who.clone(), name.clone());
                    let old = match value {
                        Some(v) => self.settings.insert(key, v.clone()),
                        None => self.settings.remove(&key),
                    };
                    config.push((format!("{who}/{name}"), old, value.clone()));
                }
                Change::Key { key, value } => match value {
                    Some(v) => {
                        self.keys.insert(key.clone(), v.clone());
                    }
                    None => {
                        self.keys.remove(key);
                    }
                },
                Change::OsdMetadata { osd, metadata } if metadata.is_empty() => {
                    self.osd_metadata.remove(osd);
                }
                Change::OsdMetadata { osd, metadata } => {
                    self.osd_metadata.insert(*osd, metadata.clone());
                }
                Change::Mute { code, mute: Some(mute) } => {
                    self.mutes.insert(code.clone(), mute.clone());
                }
                Change::Mute { code, mute: None } => {
                    self.mutes.remove(code);
                }
            }
        }
        if !config.is_empty() {
            self.config_version += 1;
            self.config_log.push_back(ConfigChange {
                version: self.config_version,
                stamp: entry.stamp,
                who,
                changes: config,
            });
            while self.config_log.len() > CONFIG_LOG_MAX {
                self.config_log.pop_front();
            }
        }
        self.version = version;
        Ok(())
    }

    /// Lets go of maps before `epoch`.
    pub fn trim_maps(&mut self, epoch: Epoch) -> Result<(), MapError> {
        self.maps.trim(epoch)?;
        self.purged.join_before(self.maps.oldest());
        Ok(())
    }

    /// Everything, for [`MapLog::trim`].
    pub fn to_snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        let f: Features = MAP_FEATURES;
        encode_versioned(&mut out, 3, 3, |out| {
            self.monmap.to_bytes(f).encode(out, f);
            self.maps.base().encode_full(f).encode(out, f);
            let increments: Vec<Bytes> = self.maps.increments().cloned().collect();
            increments.encode(out, f);
            self.settings.encode(out, f);
            self.config_version.encode(out, f);
            let log: Vec<_> = self
                .config_log
                .iter()
                .map(|c| (c.version, c.stamp, c.who.clone(), c.changes.clone()))
                .collect();
            log.encode(out, f);
            self.keys.encode(out, f);
            self.osd_metadata.encode(out, f);
            self.mutes.encode(out, f);
            self.purged.encode(out, f);
        });
        out.freeze()
    }

    /// Reads what [`State::to_snapshot`] wrote.
    pub fn from_snapshot(bytes: Bytes) -> Result<Self, StateError> {
        let bad = |source| StateError::Decode { what: "snapshot", source };
        let mut r = Reader::new(bytes);
        let (state, _) = decode_versioned(&mut r, "monitor snapshot", 3, |r, v| {
            let monmap = MonMap::from_bytes(Bytes::decode(r)?)?;
            let base = Bytes::decode(r)?;
            let increments = Vec::<Bytes>::decode(r)?;
            let settings = Settings::decode(r)?;
            let config_version = u64::decode(r)?;
            let log = Vec::<ConfigRow>::decode(r)?;
            let keys = BTreeMap::decode(r)?;
            let osd_metadata = BTreeMap::decode(r)?;
            let mutes = if v >= 3 { Mutes::decode(r)? } else { plain_mutes(r)? };
            let purged = if v >= 2 { PurgedSnaps::decode(r)? } else { Default::default() };
            Ok((
                base,
                increments,
                Self {
                    version: Version(0),
                    monmap,
                    maps: MapHistory::new(OsdMap::empty(Uuid::ZERO, UTime::ZERO)),
                    settings,
                    config_version,
                    config_log: log
                        .into_iter()
                        .map(|(version, stamp, who, changes)| ConfigChange {
                            version,
                            stamp,
                            who,
                            changes,
                        })
                        .collect(),
                    keys,
                    osd_metadata,
                    mutes,
                    purged,
                },
            ))
        })
        .map_err(bad)?;
        let (base, increments, mut state) = state;
        let base = OsdMap::decode(base).map_err(bad)?;
        state.maps = MapHistory::restore(base, increments)
            .map_err(|source| StateError::Map { version: 0, source })?;
        Ok(state)
    }
}

/// A row of the stored config log.
type ConfigRow = (u64, UTime, String, Vec<(String, Option<String>, Option<String>)>);

/// Mutes as they were before they could end: codes alone, for good.
fn plain_mutes(r: &mut Reader) -> Result<Mutes, DecodeError> {
    let codes = BTreeMap::<String, ()>::decode(r)?.into_keys();
    Ok(codes.map(|code| (code, Mute { sticky: true, ..Mute::default() })).collect())
}

fn decode_monmap(bytes: &Bytes) -> Result<MonMap, StateError> {
    MonMap::from_bytes(bytes.clone())
        .map_err(|source| StateError::Decode { what: "monitor map", source })
}

/// The first increment carries a whole map.
fn first_map(version: Version, increment: &Bytes) -> Result<OsdMap, StateError> {
    let decoded = Incremental::decode(increment.clone())
        .map_err(|source| StateError::Decode { what: "first OSD map", source })?;
    let mut map = OsdMap::empty(decoded.fsid, decoded.modified);
    map.apply(&decoded).map_err(|source| StateError::Map { version: version.0, source })?;
    Ok(map)
}
