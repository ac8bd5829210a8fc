//! `MonMap`: the monitors and where they are.

use std::collections::{BTreeMap, BTreeSet};

use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned, encode_versioned,
};

use crate::{EntityAddrVec, Epoch, Tail, UTime, Uuid};

/// Bits of [`MonMap::persistent_features`].
pub mod mon_feature {
    /// Every feature a 16.2 monitor makes persistent (kraken, luminous, mimic, osdmap-prune,
    /// nautilus, octopus, pacific, elector-pinging).
    pub const PACIFIC_ALL: u64 = 0xff;

    /// Bits and names.
    pub const NAMES: &[(u64, &str)] = &[
        (1 << 0, "kraken"),
        (1 << 1, "luminous"),
        (1 << 2, "mimic"),
        (1 << 3, "osdmap-prune"),
        (1 << 4, "nautilus"),
        (1 << 5, "octopus"),
        (1 << 6, "pacific"),
        (1 << 7, "elector-pinging"),
        (1 << 8, "quincy"),
        (1 << 9, "reef"),
    ];
}

/// One monitor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonInfo {
    /// Its name.
    pub name: String,
    /// Where it listens; nonces are 0.
    pub addrs: EntityAddrVec,
    /// Clients take lower numbers first.
    pub priority: u16,
    /// Clients take greater weights more often.
    pub weight: u16,
    /// Its site.
    pub crush_location: BTreeMap<String, String>,
    /// Fields of newer releases.
    pub tail: Tail,
}

/// The map of monitors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonMap {
    /// The cluster.
    pub fsid: Uuid,
    /// The number of this map.
    pub epoch: Epoch,
    /// When it was last changed.
    pub last_changed: UTime,
    /// When the first was made.
    pub created: UTime,
    /// [`mon_feature`] bits that are required from now on.
    pub persistent_features: u64,
    /// [`mon_feature`] bits that are on.
    pub optional_features: u64,
    /// The monitors by name.
    pub mons: BTreeMap<String, MonInfo>,
    /// Names in the order of ranks.
    pub ranks: Vec<String>,
    /// Older monitors are refused; a release number.
    pub min_mon_release: u8,
    /// Ranks that went.
    pub removed_ranks: BTreeSet<u32>,
    /// 1 classic, 2 disallow, 3 connectivity.
    pub election_strategy: u8,
    /// Monitors that must not lead.
    pub disallowed_leaders: BTreeSet<String>,
    /// Two sites.
    pub stretch_mode: bool,
    /// The monitor between the sites.
    pub tiebreaker_mon: String,
    /// Monitors of a lost site.
    pub stretch_marked_down: BTreeSet<String>,
    /// Fields of newer releases.
    pub tail: Tail,
}

impl MonMap {
    /// The rank of a name.
    pub fn rank_of(&self, name: &str) -> Option<usize> {
        self.ranks.iter().position(|n| n == name)
    }

    /// The monitor of a rank.
    pub fn by_rank(&self, rank: usize) -> Option<&MonInfo> {
        self.mons.get(self.ranks.get(rank)?)
    }

    /// Adds a monitor at the last rank, or changes its addresses.
    pub fn add(&mut self, name: &str, addrs: EntityAddrVec) {
        let mut info = self.mons.remove(name).unwrap_or_default();
        info.name = name.to_owned();
        info.addrs = addrs;
        self.mons.insert(name.to_owned(), info);
        if self.rank_of(name).is_none() {
            self.ranks.push(name.to_owned());
        }
    }
}

impl Encode for MonInfo {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.tail.encode_around(out, 5, 1, |out| {
            self.name.encode(out, features);
            self.addrs.encode(out, features);
            self.priority.encode(out, features);
            self.weight.encode(out, features);
            self.crush_location.encode(out, features);
        });
    }
}

impl Decode for MonInfo {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (mut info, envelope) = decode_versioned(r, "mon_info_t", 5, |r, v| {
            let mut info = MonInfo {
                name: String::decode(r)?,
                addrs: EntityAddrVec::decode(r)?,
                ..MonInfo::default()
            };
            if v >= 2 {
                info.priority = u16::decode(r)?;
            }
            if v >= 4 {
                info.weight = u16::decode(r)?;
            }
            if v >= 5 {
                info.crush_location = BTreeMap::decode(r)?;
            }
            Ok(info)
        })?;
        info.tail = Tail::of(envelope, 5);
        Ok(info)
    }
}

fn encode_feature_set(out: &mut BytesMut, features: Features, set: u64) {
    encode_versioned(out, 1, 1, |out| set.encode(out, features));
}

fn decode_feature_set(r: &mut Reader) -> Result<u64, DecodeError> {
    Ok(decode_versioned(r, "mon_feature_t", 1, |r, _| u64::decode(r))?.0)
}

impl Encode for MonMap {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.tail.encode_around(out, 9, 6, |out| {
            self.fsid.encode(out, features);
            self.epoch.encode(out, features);
            self.last_changed.encode(out, features);
            self.created.encode(out, features);
            encode_feature_set(out, features, self.persistent_features);
            encode_feature_set(out, features, self.optional_features);
            self.mons.encode(out, features);
            self.ranks.encode(out, features);
            self.min_mon_release.encode(out, features);
            self.removed_ranks.encode(out, features);
            self.election_strategy.encode(out, features);
            self.disallowed_leaders.encode(out, features);
            self.stretch_mode.encode(out, features);
            self.tiebreaker_mon.encode(out, features);
            self.stretch_marked_down.encode(out, features);
        });
    }
}

impl Decode for MonMap {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, v| {
            let mut m = MonMap {
                fsid: Uuid::decode(r)?,
                epoch: Epoch::decode(r)?,
                last_changed: UTime::decode(r)?,
                created: UTime::decode(r)?,
                persistent_features: decode_feature_set(r)?,
                optional_features: decode_feature_set(r)?,
                mons: BTreeMap::decode(r)?,
                ranks: Vec::decode(r)?,
                election_strategy: 1,
                ..MonMap::default()
            };
            if v >= 7 {
                m.min_mon_release = u8::decode(r)?;
            }
            if v >= 8 {
                m.removed_ranks = BTreeSet::decode(r)?;
                m.election_strategy = u8::decode(r)?;
                m.disallowed_leaders = BTreeSet::decode(r)?;
            }
            if v >= 9 {
                m.stretch_mode = bool::decode(r)?;
                m.tiebreaker_mon = String::decode(r)?;
                m.stretch_marked_down = BTreeSet::decode(r)?;
            }
            Ok(m)
        };
        // Form 6 is the first with ranks and address vectors; all monitors since Nautilus write it.
        let (mut m, envelope) = seabed_denc::decode_versioned_min(r, "MonMap", 9, 6, body)?;
        m.tail = Tail::of(envelope, 9);
        Ok(m)
    }
}
