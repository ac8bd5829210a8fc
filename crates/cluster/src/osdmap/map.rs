//! One epoch of the map, and questions about its OSDs and pools.
//!
//! Invariants: every vector indexed by OSD has `max_osd` elements, `primary_affinity` either that
//! many or none; each pool has a name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use seabed_crush::CrushMap;
use seabed_denc::{DecodeError, Envelope};
use thiserror::Error;

use super::{IntervalSet, OsdAddrs, OsdInfo, OsdXInfo, Pool, flag};
use crate::{AddrKind, EntityAddr, Epoch, OsdId, PgId, PoolId, UTime, Uuid};

/// `OSDMap`.
#[derive(Debug, Clone, PartialEq)]
pub struct OsdMap {
    /// The cluster.
    pub fsid: Uuid,
    /// The number of this map.
    pub epoch: Epoch,
    /// When the first map was made.
    pub created: UTime,
    /// When this one was made.
    pub modified: UTime,
    /// The pools.
    pub pools: BTreeMap<PoolId, Pool>,
    /// Their names.
    pub pool_names: BTreeMap<PoolId, String>,
    /// The greatest pool id ever used; -1 before the first. On the wire 32 bits.
    pub pool_max: PoolId,
    /// [`flag::map`] bits.
    pub flags: u32,
    /// One more than the greatest OSD id that may exist.
    pub max_osd: i32,
    /// [`flag::osd`] bits of each OSD.
    pub osd_state: Vec<u32>,
    /// 16.16 fixed point: how much of its share each OSD takes ("reweight"); 0 is out.
    pub osd_weight: Vec<u32>,
    /// Addresses of each OSD.
    pub osd_addrs: Vec<OsdAddrs>,
    /// PGs that are served by others than CRUSH says, for the time being.
    pub pg_temp: BTreeMap<PgId, Vec<OsdId>>,
    /// PGs that another than the first OSD leads, for the time being.
    pub primary_temp: BTreeMap<PgId, OsdId>,
    /// 16.16 fixed point: how willing each OSD is to lead; `None` means all are.
    pub primary_affinity: Option<Vec<u32>>,
    /// Where what belongs.
    pub crush: CrushMap,
    /// Profiles of erasure coded pools.
    pub erasure_code_profiles: BTreeMap<String, BTreeMap<String, String>>,
    /// PGs placed by hand.
    pub pg_upmap: BTreeMap<PgId, Vec<OsdId>>,
    /// PGs some of whose OSDs are exchanged: from, to.
    pub pg_upmap_items: BTreeMap<PgId, Vec<(OsdId, OsdId)>>,
    /// PGs whose primary is chosen by hand (Reef).
    pub pg_upmap_primaries: BTreeMap<PgId, OsdId>,
    /// Counts changes of `crush`.
    pub crush_version: i32,
    /// Snapshots that were removed in this epoch.
    pub new_removed_snaps: BTreeMap<PoolId, IntervalSet>,
    /// Snapshots whose removal ended in this epoch.
    pub new_purged_snaps: BTreeMap<PoolId, IntervalSet>,
    /// Last time an OSD went up or down.
    pub last_up_change: UTime,
    /// Last time an OSD went in or out.
    pub last_in_change: UTime,
    /// Epochs of each OSD.
    pub osd_info: Vec<OsdInfo>,
    /// More of each OSD.
    pub osd_xinfo: Vec<OsdXInfo>,
    /// The id of each OSD's store.
    pub osd_uuid: Vec<Uuid>,
    /// Clients that may do nothing until then.
    pub blocklist: BTreeMap<EntityAddr, UTime>,
    /// Ranges of clients that may do nothing until then (Quincy).
    pub range_blocklist: BTreeMap<EntityAddr, UTime>,
    /// Epoch of the last snapshot of the whole cluster.
    pub cluster_snapshot_epoch: Epoch,
    /// Its name.
    pub cluster_snapshot: String,
    /// An OSD this full raises a warning.
    pub nearfull_ratio: f32,
    /// An OSD this full takes no writes.
    pub full_ratio: f32,
    /// An OSD this full takes no backfill.
    pub backfillfull_ratio: f32,
    /// Older clients are refused; a release number.
    pub require_min_compat_client: u8,
    /// Older OSDs are refused; a release number.
    pub require_osd_release: u8,
    /// Snapshots being removed.
    pub removed_snaps_queue: BTreeMap<PoolId, IntervalSet>,
    /// OSD state bits of CRUSH buckets.
    pub crush_node_flags: BTreeMap<i32, u32>,
    /// OSD state bits of device classes.
    pub device_class_flags: BTreeMap<i32, u32>,
    /// Clusters over two sites.
    pub stretch: StretchMode,
    /// Crimson OSDs may join (Reef).
    pub allow_crimson: bool,
    /// What the encoding had that the fields above do not show.
    pub codec: CodecState,
}

/// Fields of a cluster over two sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StretchMode {
    /// On.
    pub enabled: bool,
    /// How many sites.
    pub bucket_count: u32,
    /// How many sites are gone.
    pub degraded: u32,
    /// How many are coming back.
    pub recovering: u32,
    /// The CRUSH type of a site.
    pub bucket: i32,
}

/// Versions and unknown ends of a decoded map, so that it encodes to the same bytes. Versions are
/// 0 where the fields alone tell which form is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodecState {
    /// Version of the part for clients, or 0.
    pub client_version: u8,
    /// Version of the part for OSDs, or 0.
    pub osd_version: u8,
    /// Fields of newer releases in the part for clients.
    pub client_tail: Bytes,
    /// Fields of newer releases in the part for OSDs.
    pub osd_tail: Bytes,
}

impl CodecState {
    /// What is to be remembered of the envelopes found, where `natural` are the versions that the
    /// fields alone would have.
    pub(super) fn of(client: Envelope, osd: Envelope, natural: (u8, u8)) -> Self {
        let keep = |found: &Envelope, natural: u8| {
            let plain = found.version <= natural && found.tail.is_empty();
            if plain { 0 } else { found.version }
        };
        CodecState {
            client_version: keep(&client, natural.0),
            osd_version: keep(&osd, natural.1),
            client_tail: client.tail,
            osd_tail: osd.tail,
        }
    }
}

/// Why a change does not lead from this map to the next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MapError {
    /// The change belongs to another cluster.
    #[error("map of cluster {found}, not {expected}")]
    OtherCluster {
        /// Of this map.
        expected: Uuid,
        /// Of the change.
        found: Uuid,
    },
    /// The change does not follow this map.
    #[error("change leads to epoch {found}, not {expected}")]
    WrongEpoch {
        /// What would follow.
        expected: Epoch,
        /// Where the change leads.
        found: Epoch,
    },
    /// The change speaks of an OSD beyond `max_osd`.
    #[error("change of osd.{0}, which cannot exist")]
    NoSuchOsd(OsdId),
    /// More OSDs than are supported.
    #[error("max_osd {0} is out of range")]
    MaxOsd(i32),
    /// What the change carries cannot be read.
    #[error("map part: {0}")]
    Decode(#[from] DecodeError),
    /// The CRUSH map that the change carries cannot be read.
    #[error("crush map: {0}")]
    Crush(String),
    /// The result differs from the monitor's.
    #[error("full map has crc {found:#010x}, the monitor says {expected:#010x}")]
    Crc {
        /// As computed.
        found: u32,
        /// As the change says.
        expected: u32,
    },
}

/// Where a PG is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// Who should serve it; [`OsdId::NONE`] marks gaps in erasure coded pools.
    pub up: Vec<OsdId>,
    /// Who of them should lead.
    pub up_primary: Option<OsdId>,
    /// Who serves it now.
    pub acting: Vec<OsdId>,
    /// Who leads now.
    pub acting_primary: Option<OsdId>,
}

impl OsdMap {
    /// State bits; 0 for an OSD that cannot exist.
    pub fn state(&self, osd: OsdId) -> u32 {
        osd.index().and_then(|i| self.osd_state.get(i)).copied().unwrap_or(0)
    }

    /// True if the OSD was created.
    pub fn exists(&self, osd: OsdId) -> bool {
        self.state(osd) & flag::osd::EXISTS != 0
    }

    /// True if it runs.
    pub fn is_up(&self, osd: OsdId) -> bool {
        let both = flag::osd::EXISTS | flag::osd::UP;
        self.state(osd) & both == both
    }

    /// True if it does not run.
    pub fn is_down(&self, osd: OsdId) -> bool {
        !self.is_up(osd)
    }

    /// True if data belongs onto it.
    pub fn is_in(&self, osd: OsdId) -> bool {
        self.exists(osd) && self.weight(osd) != 0
    }

    /// True if no data belongs onto it.
    pub fn is_out(&self, osd: OsdId) -> bool {
        !self.is_in(osd)
    }

    /// The reweight, 16.16 fixed point; 0 for an OSD that cannot exist.
    pub fn weight(&self, osd: OsdId) -> u32 {
        osd.index().and_then(|i| self.osd_weight.get(i)).copied().unwrap_or(0)
    }

    /// Willingness to lead, 16.16 fixed point.
    pub fn affinity(&self, osd: OsdId) -> u32 {
        const DEFAULT: u32 = 0x1_0000;
        let Some(affinity) = &self.primary_affinity else { return DEFAULT };
        osd.index().and_then(|i| affinity.get(i)).copied().unwrap_or(DEFAULT)
    }

    /// Addresses of an OSD that exists.
    pub fn addrs(&self, osd: OsdId) -> Option<&OsdAddrs> {
        if self.exists(osd) { self.osd_addrs.get(osd.index()?) } else { None }
    }

    /// Epochs of an OSD; all zero for one that cannot exist.
    pub fn info(&self, osd: OsdId) -> OsdInfo {
        osd.index().and_then(|i| self.osd_info.get(i)).copied().unwrap_or_default()
    }

    /// When it last came up.
    pub fn up_from(&self, osd: OsdId) -> Epoch {
        self.info(osd).up_from
    }

    /// Until when it certainly was up.
    pub fn up_thru(&self, osd: OsdId) -> Epoch {
        self.info(osd).up_thru
    }

    /// The OSDs that exist, in order.
    pub fn osds(&self) -> impl Iterator<Item = OsdId> + '_ {
        (0..self.max_osd).map(OsdId).filter(|&id| self.exists(id))
    }

    /// The flags that hold: what the field says, and what the required release implies.
    pub fn effective_flags(&self) -> u32 {
        const LUMINOUS: u8 = 12;
        const NAUTILUS: u8 = 14;
        let mut flags = self.flags;
        if self.require_osd_release >= LUMINOUS {
            flags &= !flag::map::REQUIRE_OLD;
            flags |= flag::map::RECOVERY_DELETES;
        }
        if self.require_osd_release >= NAUTILUS {
            flags |= flag::map::PGLOG_HARDLIMIT;
        }
        flags
    }

    /// True if all bits of `flag` hold.
    pub fn has_flag(&self, flag: u32) -> bool {
        self.effective_flags() & flag == flag
    }

    /// The pool of that name.
    pub fn pool_by_name(&self, name: &str) -> Option<PoolId> {
        self.pool_names.iter().find(|(_, n)| *n == name).map(|(id, _)| *id)
    }

    /// How many OSDs exist.
    pub fn num_osds(&self) -> usize {
        self.osds().count()
    }

    /// How many of them are up.
    pub fn num_up_osds(&self) -> usize {
        self.osds().filter(|&o| self.is_up(o)).count()
    }

    /// How many of them are in.
    pub fn num_in_osds(&self) -> usize {
        self.osds().filter(|&o| self.is_in(o)).count()
    }

    /// True if the client at `addr` may do nothing: by its own entry, by one of its whole host
    /// (port and nonce 0), or by a range.
    pub fn is_blocklisted(&self, addr: &EntityAddr) -> bool {
        if self.blocklist.is_empty() && self.range_blocklist.is_empty() {
            return false;
        }
        // Entries are of any protocol.
        let mut entry = *addr;
        entry.kind = AddrKind::Any;
        let mut host = EntityAddr { nonce: 0, ..entry };
        if let Some(a) = &mut host.addr {
            a.set_port(0);
        }
        self.blocklist.contains_key(&entry)
            || self.blocklist.contains_key(&host)
            || self.range_blocklist.keys().any(|range| covers(range, addr))
    }
}

/// True if the address is in the range: the nonce of a range is the length of its prefix.
fn covers(range: &EntityAddr, addr: &EntityAddr) -> bool {
    let ip = |a: &EntityAddr| a.addr.map(|a| a.ip());
    let same_prefix = |a: u128, b: u128, width: u32| {
        let rest = width.saturating_sub(range.nonce);
        a.checked_shr(rest) == b.checked_shr(rest)
    };
    match (ip(range), ip(addr)) {
        (Some(IpAddr::V4(a)), Some(IpAddr::V4(b))) => {
            same_prefix(u32::from(a).into(), u32::from(b).into(), 32)
        }
        (Some(IpAddr::V6(a)), Some(IpAddr::V6(b))) => same_prefix(a.into(), b.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocklists() {
        let mut map = OsdMap::empty(Uuid::ZERO, UTime::ZERO);
        let addr = |text: &str| text.parse::<EntityAddr>().unwrap();
        let client = addr("v2:10.1.2.3:999/7");
        for (entry, hit) in [
            ("10.1.2.3:999/7", true),
            ("10.1.2.3:999/8", false),
            ("10.1.2.3:0/0", true),
            ("10.1.2.4:0/0", false),
        ] {
            map.blocklist = [(addr(entry), UTime::ZERO)].into_iter().collect();
            assert_eq!(map.is_blocklisted(&client), hit, "{entry}");
        }
        map.blocklist.clear();
        for (entry, hit) in [
            ("cidr:10.1.0.0:0/16", true),
            ("cidr:10.2.0.0:0/16", false),
            ("cidr:0.0.0.0:0/0", true),
            ("cidr:[::]:0/0", false),
        ] {
            map.range_blocklist = [(addr(entry), UTime::ZERO)].into_iter().collect();
            assert_eq!(map.is_blocklisted(&client), hit, "{entry}");
        }
    }
}
