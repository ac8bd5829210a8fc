//! The encoding of a full map: a part for clients, a part for OSDs, a checksum over both.
//!
//! Written: clients' form 9 and OSDs' form 9 (Nautilus to Quincy and every kernel that speaks
//! msgr2 read them), higher only when something in the map needs it and the peer knows it. An
//! OSD that applies changes must arrive at the same bytes, so the form is a function of the map
//! and the features alone.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use seabed_crush::CrushMap;
use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Reader, ceph_crc32c, decode_versioned_min,
    encode_bytes, encode_list, encode_versioned,
};

use super::map::{CodecState, StretchMode};
use super::{OsdAddrs, OsdInfo, OsdMap};
use crate::features::{SERVER_REEF, has};
use crate::{EntityAddrVec, Epoch, OsdId, PoolId, UTime, Uuid};

/// Oldest forms read: address vectors, 32-bit states.
const CLIENT_OLDEST: u8 = 7;
const OSD_OLDEST: u8 = 7;
/// Form written when nothing needs a higher one.
pub(super) const CLIENT_FORM: u8 = 9;
pub(super) const OSD_FORM: u8 = 9;
/// Newest forms all of whose fields are known.
const CLIENT_NEWEST: u8 = 10;
const OSD_NEWEST: u8 = 12;

pub(super) fn encode_f32(out: &mut BytesMut, x: f32) {
    out.put_u32_le(x.to_bits());
}

pub(super) fn decode_f32(r: &mut Reader) -> Result<f32, DecodeError> {
    Ok(f32::from_bits(u32::decode(r)?))
}

/// Writes a part with the tail that belongs to its version.
pub(super) fn encode_part(
    out: &mut BytesMut,
    version: u8,
    (tail_version, tail): (u8, &Bytes),
    body: impl FnOnce(&mut BytesMut),
) {
    encode_versioned(out, version, 1, |out| {
        body(out);
        if version == tail_version {
            out.put_slice(tail);
        }
    });
}

/// Opens the outer envelope of a map or a change. Returns its body and how long it is.
pub(super) fn open(r: &mut Reader, what: &'static str) -> Result<(Reader, usize), DecodeError> {
    const KNOWN: u8 = 8;
    const OLDEST: u8 = 7;
    let (version, compat) = (u8::decode(r)?, u8::decode(r)?);
    if compat > KNOWN {
        return Err(DecodeError::TooNew { what, compat, known: KNOWN });
    }
    if version < OLDEST {
        return Err(DecodeError::TooOld { what, version, oldest: OLDEST });
    }
    let len = r.count(what, 1)?;
    Ok((r.sub(len)?, len))
}

/// The version, compat and length in front of the body.
pub(super) const HEADER: usize = 6;

impl OsdMap {
    /// The whole map as a peer with `features` reads it, checksum included.
    pub fn encode_full(&self, features: Features) -> Bytes {
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 8, 7, |out| {
            let client = self.client_version(features);
            let tail = (self.codec.client_version, &self.codec.client_tail);
            encode_part(out, client, tail, |out| self.encode_client(out, features, client));
            let osd = self.osd_version();
            let tail = (self.codec.osd_version, &self.codec.osd_tail);
            encode_part(out, osd, tail, |out| self.encode_osd(out, features, osd));
            out.put_u32_le(0);
        });
        let at = out.len() - 4;
        let crc = ceph_crc32c(u32::MAX, &out[..at]);
        out[at..].copy_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    /// The checksum at the end of an encoded map.
    pub fn crc_of(full: &[u8]) -> u32 {
        full.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
    }

    /// The forms that the fields need: of the part for clients, of the part for OSDs.
    fn natural_versions(&self) -> (u8, u8) {
        let client = if self.pg_upmap_primaries.is_empty() { CLIENT_FORM } else { 10 };
        let osd = if self.allow_crimson {
            12
        } else if !self.range_blocklist.is_empty() {
            11
        } else if self.stretch.enabled {
            10
        } else {
            OSD_FORM
        };
        (client, osd)
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
        self.created.encode(out, features);
        self.modified.encode(out, features);
        self.pools.encode(out, features);
        self.pool_names.encode(out, features);
        // 32 bits here, and the monitor never comes near them.
        i32::try_from(self.pool_max.0).unwrap_or(i32::MAX).encode(out, features);
        self.flags.encode(out, features);
        self.max_osd.encode(out, features);
        self.osd_state.encode(out, features);
        self.osd_weight.encode(out, features);
        encode_list(out, features, self.osd_addrs.iter().map(|a| &a.client));
        self.pg_temp.encode(out, features);
        self.primary_temp.encode(out, features);
        encode_list(
            out,
            features,
            self.primary_affinity.iter().flatten().collect::<Vec<_>>().iter(),
        );
        encode_bytes(out, &self.crush.encode());
        self.erasure_code_profiles.encode(out, features);
        self.pg_upmap.encode(out, features);
        self.pg_upmap_items.encode(out, features);
        self.crush_version.encode(out, features);
        self.new_removed_snaps.encode(out, features);
        self.new_purged_snaps.encode(out, features);
        self.last_up_change.encode(out, features);
        self.last_in_change.encode(out, features);
        if version >= 10 {
            self.pg_upmap_primaries.encode(out, features);
        }
    }

    fn encode_osd(&self, out: &mut BytesMut, features: Features, version: u8) {
        encode_list(out, features, self.osd_addrs.iter().map(|a| &a.heartbeat_back));
        self.osd_info.encode(out, features);
        self.blocklist.encode(out, features);
        encode_list(out, features, self.osd_addrs.iter().map(|a| &a.cluster));
        self.cluster_snapshot_epoch.encode(out, features);
        self.cluster_snapshot.encode(out, features);
        self.osd_uuid.encode(out, features);
        self.osd_xinfo.encode(out, features);
        encode_list(out, features, self.osd_addrs.iter().map(|a| &a.heartbeat_front));
        encode_f32(out, self.nearfull_ratio);
        encode_f32(out, self.full_ratio);
        encode_f32(out, self.backfillfull_ratio);
        self.require_min_compat_client.encode(out, features);
        self.require_osd_release.encode(out, features);
        self.removed_snaps_queue.encode(out, features);
        self.crush_node_flags.encode(out, features);
        self.device_class_flags.encode(out, features);
        if version >= 10 {
            self.stretch.enabled.encode(out, features);
            self.stretch.bucket_count.encode(out, features);
            self.stretch.degraded.encode(out, features);
            self.stretch.recovering.encode(out, features);
            self.stretch.bucket.encode(out, features);
        }
        if version >= 11 {
            self.range_blocklist.encode(out, features);
        }
        if version >= 12 {
            self.allow_crimson.encode(out, features);
        }
    }

    /// Reads a whole map and checks its checksum.
    pub fn decode(bytes: Bytes) -> Result<OsdMap, DecodeError> {
        let mut r = Reader::new(bytes.clone());
        let (mut body, len) = open(&mut r, "OSDMap")?;
        r.finish()?;
        let mut map = OsdMap::blank();
        let ((), client) = decode_versioned_min(
            &mut body,
            "OSDMap client part",
            CLIENT_NEWEST,
            CLIENT_OLDEST,
            |r, v| map.decode_client(r, v),
        )?;
        let ((), osd) =
            decode_versioned_min(&mut body, "OSDMap osd part", OSD_NEWEST, OSD_OLDEST, |r, v| {
                map.decode_osd(r, v)
            })?;
        let at = HEADER + len - body.remaining();
        let expected = u32::decode(&mut body)?;
        let found = ceph_crc32c(ceph_crc32c(u32::MAX, &bytes[..at]), body.peek());
        if found != expected {
            return Err(DecodeError::Crc { what: "OSDMap", found, expected });
        }
        map.codec = CodecState::of(client, osd, map.natural_versions());
        map.check_sizes()?;
        Ok(map)
    }

    /// What decoding fills.
    pub(super) fn blank() -> OsdMap {
        OsdMap {
            fsid: Uuid::ZERO,
            epoch: Epoch(0),
            created: UTime::ZERO,
            modified: UTime::ZERO,
            pools: BTreeMap::new(),
            pool_names: BTreeMap::new(),
            pool_max: PoolId(-1),
            flags: 0,
            max_osd: 0,
            osd_state: Vec::new(),
            osd_weight: Vec::new(),
            osd_addrs: Vec::new(),
            pg_temp: BTreeMap::new(),
            primary_temp: BTreeMap::new(),
            primary_affinity: None,
            crush: CrushMap::default(),
            erasure_code_profiles: BTreeMap::new(),
            pg_upmap: BTreeMap::new(),
            pg_upmap_items: BTreeMap::new(),
            pg_upmap_primaries: BTreeMap::new(),
            crush_version: 1,
            new_removed_snaps: BTreeMap::new(),
            new_purged_snaps: BTreeMap::new(),
            last_up_change: UTime::ZERO,
            last_in_change: UTime::ZERO,
            osd_info: Vec::new(),
            osd_xinfo: Vec::new(),
            osd_uuid: Vec::new(),
            blocklist: BTreeMap::new(),
            range_blocklist: BTreeMap::new(),
            cluster_snapshot_epoch: Epoch(0),
            cluster_snapshot: String::new(),
            nearfull_ratio: 0.0,
            full_ratio: 0.0,
            backfillfull_ratio: 0.0,
            require_min_compat_client: 0,
            require_osd_release: 0,
            removed_snaps_queue: BTreeMap::new(),
            crush_node_flags: BTreeMap::new(),
            device_class_flags: BTreeMap::new(),
            stretch: StretchMode::default(),
            allow_crimson: false,
            codec: CodecState::default(),
        }
    }

    fn decode_client(&mut self, r: &mut Reader, version: u8) -> Result<(), DecodeError> {
        self.fsid = Uuid::decode(r)?;
        self.epoch = Epoch::decode(r)?;
        self.created = UTime::decode(r)?;
        self.modified = UTime::decode(r)?;
        self.pools = BTreeMap::decode(r)?;
        self.pool_names = BTreeMap::decode(r)?;
        self.pool_max = PoolId(i64::from(i32::decode(r)?));
        self.flags = u32::decode(r)?;
        self.max_osd = i32::decode(r)?;
        self.osd_state = Vec::decode(r)?;
        self.osd_weight = Vec::decode(r)?;
        let clients = Vec::<EntityAddrVec>::decode(r)?;
        let one = |client| OsdAddrs { client, ..OsdAddrs::default() };
        self.osd_addrs = clients.into_iter().map(one).collect();
        self.pg_temp = BTreeMap::decode(r)?;
        self.primary_temp = BTreeMap::decode(r)?;
        let affinity = Vec::<u32>::decode(r)?;
        self.primary_affinity = (!affinity.is_empty()).then_some(affinity);
        self.crush = CrushMap::decode(Bytes::decode(r)?)?;
        self.erasure_code_profiles = BTreeMap::decode(r)?;
        self.pg_upmap = BTreeMap::decode(r)?;
        self.pg_upmap_items = BTreeMap::decode(r)?;
        self.crush_version = i32::decode(r)?;
        self.new_removed_snaps = BTreeMap::decode(r)?;
        self.new_purged_snaps = BTreeMap::decode(r)?;
        if version >= 9 {
            self.last_up_change = UTime::decode(r)?;
            self.last_in_change = UTime::decode(r)?;
        }
        if version >= 10 {
            self.pg_upmap_primaries = BTreeMap::<_, OsdId>::decode(r)?;
        }
        Ok(())
    }

    fn decode_osd(&mut self, r: &mut Reader, version: u8) -> Result<(), DecodeError> {
        let backs = Vec::<EntityAddrVec>::decode(r)?;
        self.osd_info = Vec::<OsdInfo>::decode(r)?;
        self.blocklist = BTreeMap::decode(r)?;
        let clusters = Vec::<EntityAddrVec>::decode(r)?;
        self.cluster_snapshot_epoch = Epoch::decode(r)?;
        self.cluster_snapshot = String::decode(r)?;
        self.osd_uuid = Vec::decode(r)?;
        self.osd_xinfo = Vec::decode(r)?;
        let fronts = Vec::<EntityAddrVec>::decode(r)?;
        let n = self.osd_addrs.len();
        if [backs.len(), clusters.len(), fronts.len()] != [n; 3] {
            return Err(DecodeError::Invalid { what: "OSD address vectors", value: n as u64 });
        }
        let rest = backs.into_iter().zip(clusters).zip(fronts);
        for (addrs, ((back, cluster), front)) in self.osd_addrs.iter_mut().zip(rest) {
            (addrs.heartbeat_back, addrs.cluster, addrs.heartbeat_front) = (back, cluster, front);
        }
        self.nearfull_ratio = decode_f32(r)?;
        self.full_ratio = decode_f32(r)?;
        self.backfillfull_ratio = decode_f32(r)?;
        self.require_min_compat_client = u8::decode(r)?;
        self.require_osd_release = u8::decode(r)?;
        self.removed_snaps_queue = BTreeMap::decode(r)?;
        if version >= 8 {
            self.crush_node_flags = BTreeMap::decode(r)?;
        }
        if version >= 9 {
            self.device_class_flags = BTreeMap::decode(r)?;
        }
        if version >= 10 {
            self.stretch = StretchMode {
                enabled: bool::decode(r)?,
                bucket_count: u32::decode(r)?,
                degraded: u32::decode(r)?,
                recovering: u32::decode(r)?,
                bucket: i32::decode(r)?,
            };
        }
        if version >= 11 {
            self.range_blocklist = BTreeMap::decode(r)?;
        }
        if version >= 12 {
            self.allow_crimson = bool::decode(r)?;
        }
        Ok(())
    }

    /// Every vector by OSD has `max_osd` elements.
    fn check_sizes(&self) -> Result<(), DecodeError> {
        let n = usize::try_from(self.max_osd).unwrap_or(usize::MAX);
        let sizes = [
            self.osd_state.len(),
            self.osd_weight.len(),
            self.osd_addrs.len(),
            self.osd_info.len(),
            self.osd_xinfo.len(),
            self.osd_uuid.len(),
            self.primary_affinity.as_ref().map_or(n, Vec::len),
        ];
        match sizes.into_iter().find(|&size| size != n) {
            None => Ok(()),
            Some(size) => {
                Err(DecodeError::Invalid { what: "OSD vector length", value: size as u64 })
            }
        }
    }
}
