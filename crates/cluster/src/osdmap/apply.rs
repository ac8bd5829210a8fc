//! From one epoch to the next.
//!
//! The order of the steps is part of the protocol: everyone who applies a change must arrive at
//! the bytes that the monitor arrived at.

use bytes::Bytes;
use seabed_crush::CrushMap;
use seabed_denc::Features;

use super::{CodecState, Incremental, MapError, OsdAddrs, OsdInfo, OsdMap, OsdXInfo, flag};
use crate::{Epoch, OsdId, UTime, Uuid};

/// The number of OSDs a map may have: far above any cluster, and small enough that a broken
/// change cannot exhaust memory.
pub const MAX_OSD: i32 = 100_000;

const FULL_AFFINITY: u32 = 0x1_0000;

/// A release in a change: 0 and 0xff say "unchanged".
fn release(n: u8) -> Option<u8> {
    (n != 0 && n != 0xff).then_some(n)
}

/// Ceph counts the devices anew when it reads a CRUSH map, by items and names, whatever the map
/// says.
fn finalize(crush: &mut CrushMap) {
    let items = crush.iter_buckets().flat_map(|b| b.items.iter().copied());
    let last = items.chain(crush.item_names.keys().next_back().copied()).max();
    crush.max_devices = last.map_or(0, |n| n.saturating_add(1).max(0));
}

impl OsdMap {
    /// Makes this map the one that the change leads to. On error the map is unchanged or to be
    /// thrown away.
    pub fn apply(&mut self, inc: &Incremental) -> Result<(), MapError> {
        let expected = self.epoch.next();
        if inc.epoch != expected {
            return Err(MapError::WrongEpoch { expected, found: inc.epoch });
        }
        if inc.epoch == Epoch(1) {
            self.fsid = inc.fsid;
        } else if inc.fsid != self.fsid {
            return Err(MapError::OtherCluster { expected: self.fsid, found: inc.fsid });
        }
        if !inc.fullmap.is_empty() {
            *self = OsdMap::decode(inc.fullmap.clone())?;
            return Ok(());
        }
        self.epoch = inc.epoch;
        self.modified = inc.modified;
        if let Ok(flags) = u32::try_from(inc.new_flags) {
            self.flags = flags;
        }
        if inc.new_max_osd >= 0 {
            self.set_max_osd(inc.new_max_osd)?;
        }
        self.check_osds(inc)?;
        self.apply_pools(inc);
        self.apply_weights(inc);
        self.apply_states(inc);
        self.apply_up(inc);
        self.apply_temps(inc);
        self.apply_rest(inc);
        if !inc.crush.is_empty() {
            self.crush = CrushMap::decode(inc.crush.clone())?;
            finalize(&mut self.crush);
            self.crush_version = self.crush_version.saturating_add(1);
        }
        // It described fields that have changed in ways unknown here, and what is written next
        // depends on the fields alone.
        self.codec = CodecState::default();
        Ok(())
    }

    /// As [`OsdMap::apply`], and compares with the checksum the monitor computed. Gives the
    /// encoded full map, which an OSD stores.
    pub fn apply_checked(&mut self, inc: &Incremental) -> Result<Bytes, MapError> {
        self.apply(inc)?;
        let full = self.encode_full(inc.encode_features);
        let found = OsdMap::crc_of(&full);
        if found != inc.full_crc {
            return Err(MapError::Crc { found, expected: inc.full_crc });
        }
        Ok(full)
    }

    /// What the monitor does: the next map, encoded, and the change's checksum of it set.
    pub fn seal(
        &self,
        inc: &mut Incremental,
        features: Features,
    ) -> Result<(OsdMap, Bytes), MapError> {
        let mut next = self.clone();
        next.apply(inc)?;
        let full = next.encode_full(features);
        inc.encode_features = features;
        inc.full_crc = OsdMap::crc_of(&full);
        Ok((next, full))
    }

    /// Makes room for OSDs below `max_osd`, or forgets those from there on.
    pub fn set_max_osd(&mut self, max_osd: i32) -> Result<(), MapError> {
        let n = match usize::try_from(max_osd) {
            Ok(n) if max_osd <= MAX_OSD => n,
            _ => return Err(MapError::MaxOsd(max_osd)),
        };
        self.max_osd = max_osd;
        self.osd_state.resize(n, 0);
        self.osd_weight.resize(n, 0);
        self.osd_addrs.resize(n, OsdAddrs::default());
        self.osd_info.resize(n, OsdInfo::default());
        self.osd_xinfo.resize(n, OsdXInfo::default());
        self.osd_uuid.resize(n, Uuid::ZERO);
        if let Some(affinity) = &mut self.primary_affinity {
            affinity.resize(n, FULL_AFFINITY);
        }
        Ok(())
    }

    /// Every OSD that the change speaks of is one of this map.
    fn check_osds(&self, inc: &Incremental) -> Result<(), MapError> {
        let named = (inc.new_up_client.keys())
            .chain(inc.new_up_cluster.keys())
            .chain(inc.new_state.keys())
            .chain(inc.new_weight.keys())
            .chain(inc.new_primary_affinity.keys())
            .chain(inc.new_up_thru.keys())
            .chain(inc.new_last_clean_interval.keys())
            .chain(inc.new_lost.keys())
            .chain(inc.new_xinfo.keys())
            .chain(inc.new_uuid.keys());
        for &osd in named {
            if osd.0 < 0 || osd.0 >= self.max_osd {
                return Err(MapError::NoSuchOsd(osd));
            }
        }
        Ok(())
    }

    fn apply_pools(&mut self, inc: &Incremental) {
        if inc.new_pool_max.0 != -1 {
            self.pool_max = inc.new_pool_max;
        }
        for (&id, pool) in &inc.new_pools {
            let mut pool = pool.clone();
            pool.last_change = self.epoch;
            self.pools.insert(id, pool);
        }
        self.new_removed_snaps.clone_from(&inc.new_removed_snaps);
        self.new_purged_snaps.clone_from(&inc.new_purged_snaps);
        for (&pool, snaps) in &inc.new_removed_snaps {
            self.removed_snaps_queue.entry(pool).or_default().union(snaps);
        }
        for (pool, snaps) in &inc.new_purged_snaps {
            if let Some(queue) = self.removed_snaps_queue.get_mut(pool) {
                queue.subtract(snaps);
                if queue.is_empty() {
                    self.removed_snaps_queue.remove(pool);
                }
            }
        }
        if !inc.new_last_up_change.is_zero() {
            self.last_up_change = inc.new_last_up_change;
        }
        if !inc.new_last_in_change.is_zero() {
            self.last_in_change = inc.new_last_in_change;
        }
        for (&id, name) in &inc.new_pool_names {
            self.pool_names.insert(id, name.clone());
        }
        for id in &inc.old_pools {
            self.pools.remove(id);
            self.pool_names.remove(id);
        }
    }

    fn apply_weights(&mut self, inc: &Incremental) {
        for (osd, &weight) in &inc.new_weight {
            let Some(i) = osd.index() else { continue };
            self.osd_weight[i] = weight;
            if weight != 0 {
                // An OSD comes into being by its first weight.
                self.osd_state[i] |= flag::osd::EXISTS;
                self.osd_state[i] &= !(flag::osd::AUTOOUT | flag::osd::NEW);
                self.osd_xinfo[i].old_weight = 0;
            }
        }
        for (osd, &affinity) in &inc.new_primary_affinity {
            let Some(i) = osd.index() else { continue };
            let n = self.osd_state.len();
            let all = self.primary_affinity.get_or_insert_with(|| vec![FULL_AFFINITY; n]);
            all[i] = affinity;
        }
        for name in &inc.old_erasure_code_profiles {
            self.erasure_code_profiles.remove(name);
        }
        for (name, profile) in &inc.new_erasure_code_profiles {
            self.erasure_code_profiles.insert(name.clone(), profile.clone());
        }
    }

    fn apply_states(&mut self, inc: &Incremental) {
        for (osd, &bits) in &inc.new_state {
            let Some(i) = osd.index() else { continue };
            let bits = if bits == 0 { flag::osd::UP } else { bits };
            let going = self.osd_state[i] & bits;
            if going & flag::osd::UP != 0 {
                self.osd_info[i].down_at = self.epoch;
                self.osd_xinfo[i].down_stamp = self.modified;
            }
            if going & flag::osd::EXISTS != 0 {
                self.forget_osd(i);
            } else {
                self.osd_state[i] ^= bits;
            }
        }
    }

    /// Nothing of an OSD that goes for good remains.
    fn forget_osd(&mut self, i: usize) {
        self.osd_state[i] = 0;
        self.osd_uuid[i] = Uuid::ZERO;
        self.osd_info[i] = OsdInfo::default();
        self.osd_xinfo[i] = OsdXInfo::default();
        self.osd_addrs[i] = OsdAddrs::default();
        if let Some(affinity) = &mut self.primary_affinity {
            affinity[i] = FULL_AFFINITY;
        }
    }

    fn apply_up(&mut self, inc: &Incremental) {
        for (osd, client) in &inc.new_up_client {
            let Some(i) = osd.index() else { continue };
            self.osd_state[i] |= flag::osd::EXISTS | flag::osd::UP;
            let addrs = &mut self.osd_addrs[i];
            addrs.client = client.clone();
            addrs.heartbeat_back = inc.new_hb_back_up.get(osd).cloned().unwrap_or_default();
            addrs.heartbeat_front = inc.new_hb_front_up.get(osd).cloned().unwrap_or_default();
            self.osd_info[i].up_from = self.epoch;
        }
        for (osd, cluster) in &inc.new_up_cluster {
            let Some(i) = osd.index() else { continue };
            self.osd_addrs[i].cluster = cluster.clone();
        }
        for (osd, &epoch) in &inc.new_up_thru {
            let Some(i) = osd.index() else { continue };
            self.osd_info[i].up_thru = epoch;
        }
        for (osd, &(begin, end)) in &inc.new_last_clean_interval {
            let Some(i) = osd.index() else { continue };
            self.osd_info[i].last_clean_begin = begin;
            self.osd_info[i].last_clean_end = end;
        }
        for (osd, &epoch) in &inc.new_lost {
            let Some(i) = osd.index() else { continue };
            self.osd_info[i].lost_at = epoch;
        }
        for (osd, xinfo) in &inc.new_xinfo {
            let Some(i) = osd.index() else { continue };
            self.osd_xinfo[i] = xinfo.clone();
        }
        for (osd, &uuid) in &inc.new_uuid {
            let Some(i) = osd.index() else { continue };
            self.osd_uuid[i] = uuid;
        }
    }

    fn apply_temps(&mut self, inc: &Incremental) {
        for (&pg, osds) in &inc.new_pg_temp {
            if osds.is_empty() {
                self.pg_temp.remove(&pg);
            } else {
                self.pg_temp.insert(pg, osds.clone());
            }
        }
        for (&pg, &osd) in &inc.new_primary_temp {
            if osd == OsdId(-1) {
                self.primary_temp.remove(&pg);
            } else {
                self.primary_temp.insert(pg, osd);
            }
        }
        for (&pg, osds) in &inc.new_pg_upmap {
            self.pg_upmap.insert(pg, osds.clone());
        }
        for pg in &inc.old_pg_upmap {
            self.pg_upmap.remove(pg);
        }
        for (&pg, pairs) in &inc.new_pg_upmap_items {
            self.pg_upmap_items.insert(pg, pairs.clone());
        }
        for pg in &inc.old_pg_upmap_items {
            self.pg_upmap_items.remove(pg);
        }
        for (&pg, &osd) in &inc.new_pg_upmap_primary {
            self.pg_upmap_primaries.insert(pg, osd);
        }
        for pg in &inc.old_pg_upmap_primary {
            self.pg_upmap_primaries.remove(pg);
        }
    }

    fn apply_rest(&mut self, inc: &Incremental) {
        for (&addr, &until) in &inc.new_blocklist {
            // An entry that is there keeps its end, as in Ceph.
            self.blocklist.entry(addr).or_insert(until);
        }
        for addr in &inc.old_blocklist {
            self.blocklist.remove(addr);
        }
        for (&addr, &until) in &inc.new_range_blocklist {
            self.range_blocklist.entry(addr).or_insert(until);
        }
        for addr in &inc.old_range_blocklist {
            self.range_blocklist.remove(addr);
        }
        for (map, changes) in [
            (&mut self.crush_node_flags, &inc.new_crush_node_flags),
            (&mut self.device_class_flags, &inc.new_device_class_flags),
        ] {
            for (&id, &bits) in changes {
                if bits == 0 {
                    map.remove(&id);
                } else {
                    map.insert(id, bits);
                }
            }
        }
        let snapshot = !inc.cluster_snapshot.is_empty();
        self.cluster_snapshot_epoch = if snapshot { self.epoch } else { Epoch(0) };
        self.cluster_snapshot.clone_from(&inc.cluster_snapshot);
        for (ratio, new) in [
            (&mut self.nearfull_ratio, inc.new_nearfull_ratio),
            (&mut self.full_ratio, inc.new_full_ratio),
            (&mut self.backfillfull_ratio, inc.new_backfillfull_ratio),
        ] {
            if new >= 0.0 {
                *ratio = new;
            }
        }
        if let Some(n) = release(inc.new_require_min_compat_client) {
            self.require_min_compat_client = n;
        }
        if let Some(n) = release(inc.new_require_osd_release) {
            const LUMINOUS: u8 = 12;
            self.require_osd_release = n;
            if n >= LUMINOUS {
                self.flags &= !flag::map::REQUIRE_OLD;
                self.flags |= flag::map::RECOVERY_DELETES;
            }
        }
        if let Some(stretch) = inc.new_stretch {
            self.stretch = stretch;
        }
        if inc.mutate_allow_crimson == 1 {
            self.allow_crimson = true;
        }
    }

    /// Epoch 0: what the first change is applied to.
    pub fn empty(fsid: Uuid, created: UTime) -> OsdMap {
        OsdMap { fsid, created, modified: created, ..OsdMap::blank() }
    }

    /// Epoch 1 of a new cluster, as a 16.2 monitor makes it: no OSDs, no pools, usual ratios. The
    /// CRUSH map has at least a root and a rule (`CrushMap::new_default`).
    pub fn new_initial(fsid: Uuid, now: UTime, crush: CrushMap) -> OsdMap {
        const LUMINOUS: u8 = 12;
        const PACIFIC: u8 = 16;
        let profile =
            [("k", "2"), ("m", "2"), ("plugin", "jerasure"), ("technique", "reed_sol_van")];
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let profile = profile.into_iter().map(text).collect();
        OsdMap {
            epoch: Epoch(1),
            flags: flag::map::FRESH,
            nearfull_ratio: 0.85,
            full_ratio: 0.95,
            backfillfull_ratio: 0.9,
            require_min_compat_client: LUMINOUS,
            require_osd_release: PACIFIC,
            erasure_code_profiles: [("default".to_owned(), profile)].into_iter().collect(),
            crush,
            pool_max: crate::PoolId(0),
            ..OsdMap::empty(fsid, now)
        }
    }
}
