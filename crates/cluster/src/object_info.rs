//! `object_info_t`: what an OSD keeps of an object beside its data, under the attribute `_`.
//!
//! ```text
//! ENCODE(17,8) { hobject; object_locator; u32 0; ev version; ev prior_version; reqid; u64 size;
//!   utime mtime; head: reqid zero | clone: u32 0; u64 truncate_seq; u64 truncate_size; bool lost;
//!   map<name, watch> (as watchers, by client); ev (user_version, 0); bool uses_tmap;
//!   map<(u64 cookie, name), watch>; u32 flags; utime local_mtime; u32 data_digest;
//!   u32 omap_digest; u64 expected_object_size; u64 expected_write_size; u32 alloc_hint_flags;
//!   [flag MANIFEST: object_manifest_t] }
//! ```
//!
//! The manifest (tiering) is not interpreted: it stays with the tail.

use std::collections::BTreeMap;

use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Kept, Reader, encode_list, versioned,
};

use crate::{
    EVersion, EntityAddr, EntityName, Epoch, HObject, ObjectLocator, ReqId, SnapId, UTime,
};

versioned! {
    /// `watch_info_t` v4: one client's watch.
    pub struct WatchInfo(4, 3) {
        cookie: u64,
        timeout_seconds: u32,
        addr: EntityAddr [since 4],
    }
}

/// Bits of [`ObjectInfo::flags`].
#[allow(missing_docs)]
pub mod object_flag {
    pub const LOST: u32 = 1;
    pub const WHITEOUT: u32 = 2;
    pub const DIRTY: u32 = 4;
    pub const OMAP: u32 = 8;
    pub const DATA_DIGEST: u32 = 0x10;
    pub const OMAP_DIGEST: u32 = 0x20;
    pub const PINNED: u32 = 0x40;
    pub const MANIFEST: u32 = 0x80;
    pub const USES_TMAP: u32 = 0x100;
}

/// `object_info_t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Which object.
    pub soid: HObject,
    /// The PG's version of the last change.
    pub version: EVersion,
    /// The version before that.
    pub prior_version: EVersion,
    /// The request that last changed it.
    pub last_reqid: ReqId,
    /// Bytes of data.
    pub size: u64,
    /// The last change, by the client's clock.
    pub mtime: UTime,
    /// For CephFS: a number of 32 bits from the client, of 64 in the encoding.
    pub truncate_seq: u32,
    /// For CephFS.
    pub truncate_size: u64,
    /// The version that clients see.
    pub user_version: u64,
    /// Watches by cookie and client.
    pub watchers: BTreeMap<(u64, EntityName), WatchInfo>,
    /// [`object_flag`].
    pub flags: u32,
    /// The last change, by the primary's clock.
    pub local_mtime: UTime,
    /// CRC-32C of the data, all ones for unknown.
    pub data_digest: u32,
    /// CRC-32C of the omap, all ones for unknown.
    pub omap_digest: u32,
    /// A client's hint.
    pub expected_object_size: u64,
    /// A client's hint.
    pub expected_write_size: u64,
    /// A client's hint.
    pub alloc_hint_flags: u32,
    /// How it was written; holds the manifest of an object that has one.
    pub kept: Kept,
}

impl Default for ObjectInfo {
    fn default() -> Self {
        ObjectInfo {
            soid: HObject::default(),
            version: EVersion::default(),
            prior_version: EVersion::default(),
            last_reqid: ReqId::default(),
            size: 0,
            mtime: UTime::default(),
            truncate_seq: 0,
            truncate_size: 0,
            user_version: 0,
            watchers: BTreeMap::new(),
            flags: 0,
            local_mtime: UTime::default(),
            data_digest: u32::MAX,
            omap_digest: u32::MAX,
            expected_object_size: 0,
            expected_write_size: 0,
            alloc_hint_flags: 0,
            kept: Kept::default(),
        }
    }
}

impl ObjectInfo {
    /// The info of an object that has no versions yet.
    pub fn new(soid: HObject) -> Self {
        ObjectInfo { soid, ..Self::default() }
    }

    /// Whether `flag` of [`object_flag`] is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Sets or clears `flag` of [`object_flag`].
    pub fn set(&mut self, flag: u32, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// The head of an object with clones that was deleted: there, and not to be seen.
    pub fn is_whiteout(&self) -> bool {
        self.has(object_flag::WHITEOUT)
    }

    fn encode_body(&self, out: &mut BytesMut, features: Features) {
        self.soid.encode(out, features);
        let locator = ObjectLocator {
            pool: self.soid.pool,
            key: self.soid.key.clone(),
            namespace: self.soid.namespace.clone(),
            hash: -1,
        };
        locator.encode(out, features);
        0u32.encode(out, features);
        self.version.encode(out, features);
        self.prior_version.encode(out, features);
        self.last_reqid.encode(out, features);
        self.size.encode(out, features);
        self.mtime.encode(out, features);
        if self.soid.snap == SnapId::HEAD {
            ReqId::default().encode(out, features);
        } else {
            0u32.encode(out, features);
        }
        u64::from(self.truncate_seq).encode(out, features);
        self.truncate_size.encode(out, features);
        self.has(object_flag::LOST).encode(out, features);
        // Readers of old times know one watch a client: of several, the first.
        let mut by_client: BTreeMap<EntityName, &WatchInfo> = BTreeMap::new();
        for ((_, name), watch) in &self.watchers {
            by_client.entry(*name).or_insert(watch);
        }
        encode_list(out, features, by_client.iter().map(|(name, watch)| (*name, *watch)));
        EVersion::new(Epoch(0), self.user_version).encode(out, features);
        self.has(object_flag::USES_TMAP).encode(out, features);
        self.watchers.encode(out, features);
        self.flags.encode(out, features);
        self.local_mtime.encode(out, features);
        self.data_digest.encode(out, features);
        self.omap_digest.encode(out, features);
        self.expected_object_size.encode(out, features);
        self.expected_write_size.encode(out, features);
        self.alloc_hint_flags.encode(out, features);
    }

    fn decode_body(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut o = ObjectInfo::new(HObject::decode(r)?);
        ObjectLocator::decode(r)?;
        u32::decode(r)?;
        o.version = EVersion::decode(r)?;
        o.prior_version = EVersion::decode(r)?;
        o.last_reqid = ReqId::decode(r)?;
        o.size = u64::decode(r)?;
        o.mtime = UTime::decode(r)?;
        if o.soid.snap == SnapId::HEAD {
            ReqId::decode(r)?;
        } else {
            Vec::<SnapId>::decode(r)?;
        }
        let seq = u64::decode(r)?;
        o.truncate_seq = u32::try_from(seq)
            .map_err(|_| DecodeError::Invalid { what: "truncate_seq", value: seq })?;
        o.truncate_size = u64::decode(r)?;
        bool::decode(r)?;
        BTreeMap::<EntityName, WatchInfo>::decode(r)?;
        o.user_version = EVersion::decode(r)?.version;
        bool::decode(r)?;
        o.watchers = BTreeMap::decode(r)?;
        o.flags = u32::decode(r)?;
        o.local_mtime = UTime::decode(r)?;
        o.data_digest = u32::decode(r)?;
        o.omap_digest = u32::decode(r)?;
        o.expected_object_size = u64::decode(r)?;
        o.expected_write_size = u64::decode(r)?;
        o.alloc_hint_flags = u32::decode(r)?;
        Ok(o)
    }
}

/// The oldest form that has a client's hints, digests and flags.
const OLDEST: u8 = 16;

impl Encode for ObjectInfo {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.kept.encode(out, 17, 8, |out, _| self.encode_body(out, features));
    }
}

impl Decode for ObjectInfo {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, kept) = Kept::decode(r, "object_info_t", 17, 8, |r, version| {
            if version < OLDEST {
                return Err(DecodeError::TooOld { what: "object_info_t", version, oldest: OLDEST });
            }
            Self::decode_body(r)
        })?;
        Ok(ObjectInfo { kept, ..value })
    }
}
