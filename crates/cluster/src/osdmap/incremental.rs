//! What leads from one epoch to the next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{IntervalSet, OsdXInfo, Pool, StretchMode};
use crate::{EntityAddr, EntityAddrVec, Epoch, OsdId, PgId, PoolId, UTime, Uuid};

/// `OSDMap::Incremental`. An empty one changes nothing but the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Incremental {
    /// The cluster.
    pub fsid: Uuid,
    /// The epoch it leads to.
    pub epoch: Epoch,
    /// When it was made.
    pub modified: UTime,
    /// -1: unchanged.
    pub new_pool_max: PoolId,
    /// [`super::flag::map`] bits; -1: unchanged.
    pub new_flags: i32,
    /// A whole map that replaces everything, or empty.
    pub fullmap: Bytes,
    /// A new CRUSH map, or empty.
    pub crush: Bytes,
    /// -1: unchanged.
    pub new_max_osd: i32,
    /// New pools and new states of old ones.
    pub new_pools: BTreeMap<PoolId, Pool>,
    /// New names.
    pub new_pool_names: BTreeMap<PoolId, String>,
    /// Pools that go.
    pub old_pools: BTreeSet<PoolId>,
    /// OSDs that come up, with their addresses for clients.
    pub new_up_client: BTreeMap<OsdId, EntityAddrVec>,
    /// [`super::flag::osd`] bits to flip; 0 means the bit "up".
    pub new_state: BTreeMap<OsdId, u32>,
    /// Reweights.
    pub new_weight: BTreeMap<OsdId, u32>,
    /// Empty: goes.
    pub new_pg_temp: BTreeMap<PgId, Vec<OsdId>>,
    /// -1: goes.
    pub new_primary_temp: BTreeMap<PgId, OsdId>,
    /// Willingness to lead.
    pub new_primary_affinity: BTreeMap<OsdId, u32>,
    /// Profiles to set.
    pub new_erasure_code_profiles: BTreeMap<String, BTreeMap<String, String>>,
    /// Profiles that go.
    pub old_erasure_code_profiles: Vec<String>,
    /// PGs to place by hand.
    pub new_pg_upmap: BTreeMap<PgId, Vec<OsdId>>,
    /// PGs no longer placed by hand.
    pub old_pg_upmap: BTreeSet<PgId>,
    /// Exchanges to make.
    pub new_pg_upmap_items: BTreeMap<PgId, Vec<(OsdId, OsdId)>>,
    /// Exchanges to undo.
    pub old_pg_upmap_items: BTreeSet<PgId>,
    /// Primaries chosen by hand (Reef).
    pub new_pg_upmap_primary: BTreeMap<PgId, OsdId>,
    /// Primaries no longer chosen by hand (Reef).
    pub old_pg_upmap_primary: BTreeSet<PgId>,
    /// Snapshots whose removal begins.
    pub new_removed_snaps: BTreeMap<PoolId, IntervalSet>,
    /// Snapshots whose removal ended.
    pub new_purged_snaps: BTreeMap<PoolId, IntervalSet>,
    /// Zero: unchanged.
    pub new_last_up_change: UTime,
    /// Zero: unchanged.
    pub new_last_in_change: UTime,
    /// Addresses for heartbeats of OSDs that come up.
    pub new_hb_back_up: BTreeMap<OsdId, EntityAddrVec>,
    /// OSDs that were up until then.
    pub new_up_thru: BTreeMap<OsdId, Epoch>,
    /// Last interval that ended cleanly.
    pub new_last_clean_interval: BTreeMap<OsdId, (Epoch, Epoch)>,
    /// OSDs whose data is declared lost.
    pub new_lost: BTreeMap<OsdId, Epoch>,
    /// Clients to shut out.
    pub new_blocklist: BTreeMap<EntityAddr, UTime>,
    /// Clients to let in again.
    pub old_blocklist: Vec<EntityAddr>,
    /// Addresses for OSDs of OSDs that come up.
    pub new_up_cluster: BTreeMap<OsdId, EntityAddrVec>,
    /// A snapshot of the whole cluster, or empty.
    pub cluster_snapshot: String,
    /// Ids of stores.
    pub new_uuid: BTreeMap<OsdId, Uuid>,
    /// More of OSDs.
    pub new_xinfo: BTreeMap<OsdId, OsdXInfo>,
    /// Addresses for heartbeats of OSDs that come up.
    pub new_hb_front_up: BTreeMap<OsdId, EntityAddrVec>,
    /// Features the full map is encoded with when its checksum is taken.
    pub encode_features: u64,
    /// Negative: unchanged.
    pub new_nearfull_ratio: f32,
    /// Negative: unchanged.
    pub new_full_ratio: f32,
    /// Negative: unchanged.
    pub new_backfillfull_ratio: f32,
    /// A release; 0 or 0xff: unchanged.
    pub new_require_min_compat_client: u8,
    /// A release; 0 or 0xff: unchanged.
    pub new_require_osd_release: u8,
    /// 0 bits: goes.
    pub new_crush_node_flags: BTreeMap<i32, u32>,
    /// 0 bits: goes.
    pub new_device_class_flags: BTreeMap<i32, u32>,
    /// Two-site fields if they change.
    pub new_stretch: Option<StretchMode>,
    /// Ranges of clients to shut out (Quincy).
    pub new_range_blocklist: BTreeMap<EntityAddr, UTime>,
    /// Ranges of clients to let in again (Quincy).
    pub old_range_blocklist: Vec<EntityAddr>,
    /// Crimson OSDs may join (Reef).
    pub mutate_allow_crimson: u8,
    /// Of the resulting full map.
    pub full_crc: u32,
    /// What the encoding had that the fields above do not show.
    pub codec: super::CodecState,
}

impl Incremental {
    /// A change that leads to `epoch` and changes nothing else.
    pub fn new(fsid: Uuid, epoch: Epoch) -> Self {
        Incremental { fsid, epoch, ..Incremental::default() }
    }
}

impl Default for Incremental {
    fn default() -> Self {
        Incremental {
            fsid: Uuid::ZERO,
            epoch: Epoch(0),
            modified: UTime::ZERO,
            new_pool_max: PoolId(-1),
            new_flags: -1,
            fullmap: Bytes::new(),
            crush: Bytes::new(),
            new_max_osd: -1,
            new_pools: BTreeMap::new(),
            new_pool_names: BTreeMap::new(),
            old_pools: BTreeSet::new(),
            new_up_client: BTreeMap::new(),
            new_state: BTreeMap::new(),
            new_weight: BTreeMap::new(),
            new_pg_temp: BTreeMap::new(),
            new_primary_temp: BTreeMap::new(),
            new_primary_affinity: BTreeMap::new(),
            new_erasure_code_profiles: BTreeMap::new(),
            old_erasure_code_profiles: Vec::new(),
            new_pg_upmap: BTreeMap::new(),
            old_pg_upmap: BTreeSet::new(),
            new_pg_upmap_items: BTreeMap::new(),
            old_pg_upmap_items: BTreeSet::new(),
            new_pg_upmap_primary: BTreeMap::new(),
            old_pg_upmap_primary: BTreeSet::new(),
            new_removed_snaps: BTreeMap::new(),
            new_purged_snaps: BTreeMap::new(),
            new_last_up_change: UTime::ZERO,
            new_last_in_change: UTime::ZERO,
            new_hb_back_up: BTreeMap::new(),
            new_up_thru: BTreeMap::new(),
            new_last_clean_interval: BTreeMap::new(),
            new_lost: BTreeMap::new(),
            new_blocklist: BTreeMap::new(),
            old_blocklist: Vec::new(),
            new_up_cluster: BTreeMap::new(),
            cluster_snapshot: String::new(),
            new_uuid: BTreeMap::new(),
            new_xinfo: BTreeMap::new(),
            new_hb_front_up: BTreeMap::new(),
            encode_features: 0,
            new_nearfull_ratio: -1.0,
            new_full_ratio: -1.0,
            new_backfillfull_ratio: -1.0,
            new_require_min_compat_client: 0xff,
            new_require_osd_release: 0xff,
            new_crush_node_flags: BTreeMap::new(),
            new_device_class_flags: BTreeMap::new(),
            new_stretch: None,
            new_range_blocklist: BTreeMap::new(),
            old_range_blocklist: Vec::new(),
            mutate_allow_crimson: 0,
            full_crc: 0,
            codec: super::CodecState::default(),
        }
    }
}
