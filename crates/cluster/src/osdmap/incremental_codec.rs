//! The encoding of a change: parts as in a full map, the checksum of the change, and that of the
//! full map it leads to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes};
use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Reader, ceph_crc32c, decode_versioned_min,
    encode_versioned,
};

use super::map::{CodecState, StretchMode};
use super::map_codec::{HEADER, OSD_FORM, decode_f32, encode_f32, encode_part, open};
use super::{Incremental, OsdXInfo};
use crate::features::{SERVER_REEF, has};
use crate::{EntityAddr, Epoch, PoolId, UTime, Uuid};

/// Form of the clients' part that is written, and the oldest read.
const CLIENT_FORM: u8 = 8;
const CLIENT_OLDEST: u8 = 6;
/// Oldest form of the OSDs' part that is read.
const OSD_OLDEST: u8 = 6;
const CLIENT_NEWEST: u8 = 9;
const OSD_NEWEST: u8 = 12;
/// What an unset "allow crimson" is; only 1 ever changes anything.
const UNSET: u8 = 0;

impl Incremental {
    /// The change as a peer with `features` reads it, both checksums included; that of the full
    /// map is `full_crc`, which whoever makes the change computed.
    ///
    /// `features` also go into the change: an OSD encodes the full map with them to compare.
    pub fn encode(&self, features: Features) -> Bytes {
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 8, 7, |out| {
            let client = self.client_version(features);
            let tail = (self.codec.client_version, &self.codec.client_tail);
            encode_part(out, client, tail, |out| self.encode_client(out, features, client));
            let osd = self.osd_version();
            let tail = (self.codec.osd_version, &self.codec.osd_tail);
            encode_part(out, osd, tail, |out| self.encode_osd(out, features, osd));
            out.put_u32_le(0);
            out.put_u32_le(self.full_crc);
        });
        let at = out.len() - 8;
        let crc = ceph_crc32c(ceph_crc32c(u32::MAX, &out[..at]), &out[at + 4..]);
        out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    /// The forms that the fields need: of the part for clients, of the part for OSDs.
    fn natural_versions(&self) -> (u8, u8) {
        let primaries =
            !self.new_pg_upmap_primary.is_empty() || !self.old_pg_upmap_primary.is_empty();
        let ranges = !self.new_range_blocklist.is_empty() || !self.old_range_blocklist.is_empty();
        let osd = if self.mutate_allow_crimson != UNSET {
            12
        } else if ranges {
            11
        } else if self.new_stretch.is_some() {
            10
        } else {
            OSD_FORM
        };
        (if primaries { CLIENT_NEWEST } else { CLIENT_FORM }, osd)
    }

    fn client_version(&self, features: Features) -> u8 {
        if has(features, SERVER_REEF) {
            self.natural_versions().0.max(self.codec.client_version)
        } else {
            CLIENT_FORM
        }
    }

    fn osd_version(&self) -> u8 {
        self.natural_versions().1.max(self.codec.osd_version)
    }

    fn encode_client(&self, out: &mut BytesMut, features: Features, version: u8) {
        self.fsid.encode(out, features);
        self.epoch.encode(out, features);
        self.modified.encode(out, features);
        self.new_pool_max.encode(out, features);
        self.new_flags.encode(out, features);
        self.fullmap.encode(out, features);
        self.crush.encode(out, features);
        self.new_max_osd.encode(out, features);
        self.new_pools.encode(out, features);
        self.new_pool_names.encode(out, features);
        self.old_pools.encode(out, features);
        self.new_up_client.encode(out, features);
        self.new_state.encode(out, features);
        self.new_weight.encode(out, features);
        self.new_pg_temp.encode(out, features);
        self.new_primary_temp.encode(out, features);
        self.new_primary_affinity.encode(out, features);
        self.new_erasure_code_profiles.encode(out, features);
        self.old_erasure_code_profiles.encode(out, features);
        self.new_pg_upmap.encode(out, features);
        self.old_pg_upmap.encode(out, features);
        self.new_pg_upmap_items.encode(out, features);
        self.old_pg_upmap_items.encode(out, features);
        self.new_removed_snaps.encode(out, features);
        self.new_purged_snaps.encode(out, features);
        self.new_last_up_change.encode(out, features);
        self.new_last_in_change.encode(out, features);
        if version >= 9 {
            self.new_pg_upmap_primary.encode(out, features);
            self.old_pg_upmap_primary.encode(out, features);
        }
    }

    fn encode_osd(&self, out: &mut BytesMut, features: Features, version: u8) {
        self.new_hb_back_up.encode(out, features);
        self.new_up_thru.encode(out, features);
        self.new_last_clean_interval.encode(out, features);
        self.new_lost.encode(out, features);
        self.new_blocklist.encode(out, features);
        self.old_blocklist.encode(out, features);
        self.new_up_cluster.encode(out, features);
        self.cluster_snapshot.encode(out, features);
        self.new_uuid.encode(out, features);
        self.new_xinfo.encode(out, features);
        self.new_hb_front_up.encode(out, features);
        features.encode(out, features);
        encode_f32(out, self.new_nearfull_ratio);
        encode_f32(out, self.new_full_ratio);
        encode_f32(out, self.new_backfillfull_ratio);
        self.new_require_min_compat_client.encode(out, features);
        self.new_require_osd_release.encode(out, features);
        self.new_crush_node_flags.encode(out, features);
        self.new_device_class_flags.encode(out, features);
        if version >= 10 {
            let s = self.new_stretch.unwrap_or_default();
            self.new_stretch.is_some().encode(out, features);
            s.bucket_count.encode(out, features);
            s.degraded.encode(out, features);
            s.recovering.encode(out, features);
            s.bucket.encode(out, features);
            s.enabled.encode(out, features);
        }
        if version >= 11 {
            self.new_range_blocklist.encode(out, features);
            self.old_range_blocklist.encode(out, features);
        }
        if version >= 12 {
            self.mutate_allow_crimson.encode(out, features);
        }
    }

    /// Reads a change and checks its checksum.
    pub fn decode(bytes: Bytes) -> Result<Incremental, DecodeError> {
        const WHAT: &str = "OSDMap::Incremental";
        let mut r = Reader::new(bytes.clone());
        let (mut body, len) = open(&mut r, WHAT)?;
        r.finish()?;
        let mut inc = Incremental::default();
        let ((), client) =
            decode_versioned_min(&mut body, WHAT, CLIENT_NEWEST, CLIENT_OLDEST, |r, v| {
                inc.decode_client(r, v)
            })?;
        let ((), osd) = decode_versioned_min(&mut body, WHAT, OSD_NEWEST, OSD_OLDEST, |r, v| {
            inc.decode_osd(r, v)
        })?;
        let at = HEADER + len - body.remaining();
        let expected = u32::decode(&mut body)?;
        let found = ceph_crc32c(ceph_crc32c(u32::MAX, &bytes[..at]), body.peek());
        inc.full_crc = u32::decode(&mut body)?;
        if found != expected {
            return Err(DecodeError::Crc { what: WHAT, found, expected });
        }
        inc.codec = CodecState::of(client, osd, inc.natural_versions());
        Ok(inc)
    }

    fn decode_client(&mut self, r: &mut Reader, version: u8) -> Result<(), DecodeError> {
        self.fsid = Uuid::decode(r)?;
        self.epoch = Epoch::decode(r)?;
        self.modified = UTime::decode(r)?;
        self.new_pool_max = PoolId::decode(r)?;
        self.new_flags = i32::decode(r)?;
        self.fullmap = Bytes::decode(r)?;
        self.crush = Bytes::decode(r)?;
        self.new_max_osd = i32::decode(r)?;
        self.new_pools = BTreeMap::decode(r)?;
        self.new_pool_names = BTreeMap::decode(r)?;
        self.old_pools = BTreeSet::decode(r)?;
        self.new_up_client = BTreeMap::decode(r)?;
        self.new_state = BTreeMap::decode(r)?;
        self.new_weight = BTreeMap::decode(r)?;
        self.new_pg_temp = BTreeMap::decode(r)?;
        self.new_primary_temp = BTreeMap::decode(r)?;
        self.new_primary_affinity = BTreeMap::decode(r)?;
        self.new_erasure_code_profiles = BTreeMap::decode(r)?;
        self.old_erasure_code_profiles = Vec::decode(r)?;
        self.new_pg_upmap = BTreeMap::decode(r)?;
        self.old_pg_upmap = BTreeSet::decode(r)?;
        self.new_pg_upmap_items = BTreeMap::decode(r)?;
        self.old_pg_upmap_items = BTreeSet::decode(r)?;
        self.new_removed_snaps = BTreeMap::decode(r)?;
        self.new_purged_snaps = BTreeMap::decode(r)?;
        if version >= 8 {
            self.new_last_up_change = UTime::decode(r)?;
            self.new_last_in_change = UTime::decode(r)?;
        }
        if version >= 9 {
            self.new_pg_upmap_primary = BTreeMap::decode(r)?;
            self.old_pg_upmap_primary = BTreeSet::decode(r)?;
        }
        Ok(())
    }

    fn decode_osd(&mut self, r: &mut Reader, version: u8) -> Result<(), DecodeError> {
        self.new_hb_back_up = BTreeMap::decode(r)?;
        self.new_up_thru = BTreeMap::decode(r)?;
        self.new_last_clean_interval = BTreeMap::decode(r)?;
        self.new_lost = BTreeMap::decode(r)?;
        self.new_blocklist = BTreeMap::decode(r)?;
        self.old_blocklist = Vec::<EntityAddr>::decode(r)?;
        self.new_up_cluster = BTreeMap::decode(r)?;
        self.cluster_snapshot = String::decode(r)?;
        self.new_uuid = BTreeMap::decode(r)?;
        self.new_xinfo = BTreeMap::<_, OsdXInfo>::decode(r)?;
        self.new_hb_front_up = BTreeMap::decode(r)?;
        self.encode_features = u64::decode(r)?;
        self.new_nearfull_ratio = decode_f32(r)?;
        self.new_full_ratio = decode_f32(r)?;
        self.new_backfillfull_ratio = decode_f32(r)?;
        self.new_require_min_compat_client = u8::decode(r)?;
        self.new_require_osd_release = u8::decode(r)?;
        if version >= 8 {
            self.new_crush_node_flags = BTreeMap::decode(r)?;
        }
        if version >= 9 {
            self.new_device_class_flags = BTreeMap::decode(r)?;
        }
        if version >= 10 {
            let change = bool::decode(r)?;
            let mut s = StretchMode {
                bucket_count: u32::decode(r)?,
                degraded: u32::decode(r)?,
                recovering: u32::decode(r)?,
                bucket: i32::decode(r)?,
                enabled: false,
            };
            s.enabled = bool::decode(r)?;
            self.new_stretch = change.then_some(s);
        }
        if version >= 11 {
            self.new_range_blocklist = BTreeMap::decode(r)?;
            self.old_range_blocklist = Vec::decode(r)?;
        }
        if version >= 12 {
            self.mutate_allow_crimson = u8::decode(r)?;
        }
        Ok(())
    }
}
