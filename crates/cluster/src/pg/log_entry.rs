//! `pg_log_entry_t`: one change of one object, or one request that ended in an error.
//!
//! ```text
//! ENCODE(14,4) { s32 op; hobject; ev version; ev prior_version (LOST_REVERT: reverting_to);
//!   reqid; utime mtime; [LOST_REVERT: ev prior_version]; bl snaps; u64 user_version;
//!   ObjectModDesc; list<(reqid, u64)> extra_reqids; [ERROR: s32 return_code];
//!   [extra_reqids not empty: map<u32, s32> (v12)]; ObjectCleanRegions (v13);
//!   [not ERROR: s32 return_code (v14)]; list<(s32, bl)> op_returns (v14) }
//! ```

use std::collections::BTreeMap;
use std::fmt;

use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Kept, Reader, decode_versioned_min,
    versioned, wire_enum,
};

use crate::{EVersion, HObject, IntervalSet, ReqId, SnapId, UTime};

wire_enum! {
    /// What an entry did to its object.
    pub enum LogOp: i32 {
        Modify = 1,
        Clone = 2,
        Delete = 3,
        /// Lost, and put back to an older version.
        LostRevert = 5,
        /// Lost, and given up.
        LostDelete = 6,
        LostMark = 7,
        Promote = 8,
        Clean = 9,
        /// A request that failed or changed nothing; it keeps its version and its result.
        Error = 10,
    }
}

impl LogOp {
    /// Entries after which the object does not exist.
    pub const fn is_delete(self) -> bool {
        matches!(self, LogOp::Delete | LogOp::LostDelete)
    }
}

/// `ObjectModDesc`: how to undo a change locally; erasure-coded pools only, empty elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectModDesc {
    /// The change can be undone without other copies.
    pub can_local_rollback: bool,
    /// Nothing more is to be added.
    pub rollback_info_completed: bool,
    /// The recorded steps, opaque.
    pub steps: Bytes,
    /// How it was written: the version says which steps may occur.
    pub kept: Kept,
}

impl Encode for ObjectModDesc {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.kept.encode(out, 1, 1, |out, _| {
            self.can_local_rollback.encode(out, features);
            self.rollback_info_completed.encode(out, features);
            self.steps.encode(out, features);
        });
    }
}

impl Decode for ObjectModDesc {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, envelope) = decode_versioned_min(r, "ObjectModDesc", 2, 1, |r, _| {
            Ok(ObjectModDesc {
                can_local_rollback: bool::decode(r)?,
                rollback_info_completed: bool::decode(r)?,
                steps: Bytes::decode(r)?,
                kept: Kept::default(),
            })
        })?;
        Ok(ObjectModDesc { kept: Kept::new(envelope, 1, 1), ..value })
    }
}

versioned! {
    /// `ObjectCleanRegions` v1: what a change left as it was, so that recovery need not copy it.
    pub struct CleanRegions(1, 1) {
        /// Byte ranges that did not change.
        clean_offsets: IntervalSet = everything(),
        /// The omap did not change.
        clean_omap: bool = true,
        /// The object did not exist before.
        new_object: bool,
    }
}

fn everything() -> IntervalSet {
    let mut all = IntervalSet::new();
    all.insert(0, u64::MAX);
    all
}

impl CleanRegions {
    /// Nothing is clean: the whole object must be copied.
    pub fn dirty() -> Self {
        CleanRegions { clean_offsets: IntervalSet::default(), clean_omap: false, ..Self::default() }
    }
}

/// One entry of a PG's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgLogEntry {
    /// What was done.
    pub op: LogOp,
    /// To which object.
    pub soid: HObject,
    /// The PG's version by this entry.
    pub version: EVersion,
    /// The object's version before, zero if it did not exist.
    pub prior_version: EVersion,
    /// The version that a [`LogOp::LostRevert`] went back to.
    pub reverting_to: EVersion,
    /// The request that caused it.
    pub reqid: ReqId,
    /// When, by the client's clock.
    pub mtime: UTime,
    /// Clones: an encoded list of snap ids, or empty.
    pub snaps: Bytes,
    /// The version that clients see.
    pub user_version: u64,
    /// How to undo it locally.
    pub mod_desc: ObjectModDesc,
    /// Requests of a cache tier that this entry also answers.
    pub extra_reqids: Vec<(ReqId, u64)>,
    /// Results of those, by position.
    pub extra_reqid_return_codes: BTreeMap<u32, i32>,
    /// What the change left alone.
    pub clean_regions: CleanRegions,
    /// What the request returned.
    pub return_code: i32,
    /// What each op returned, for requests that asked for it.
    pub op_returns: Vec<(i32, Bytes)>,
    /// How it was written.
    pub kept: Kept,
}

impl Default for PgLogEntry {
    fn default() -> Self {
        PgLogEntry {
            op: LogOp::Modify,
            soid: HObject::default(),
            version: EVersion::default(),
            prior_version: EVersion::default(),
            reverting_to: EVersion::default(),
            reqid: ReqId::default(),
            mtime: UTime::default(),
            snaps: Bytes::new(),
            user_version: 0,
            mod_desc: ObjectModDesc::default(),
            extra_reqids: Vec::new(),
            extra_reqid_return_codes: BTreeMap::new(),
            clean_regions: CleanRegions::default(),
            return_code: 0,
            op_returns: Vec::new(),
            kept: Kept::default(),
        }
    }
}

impl PgLogEntry {
    /// The clone's snaps; empty where there are none.
    pub fn snap_ids(&self) -> Result<Vec<SnapId>, DecodeError> {
        if self.snaps.is_empty() { Ok(Vec::new()) } else { Vec::from_bytes(self.snaps.clone()) }
    }

    /// The encoded form of a clone's snaps.
    pub fn encode_snaps(snaps: &[SnapId]) -> Bytes {
        snaps.to_vec().to_bytes(0)
    }

    /// True if the object does not exist after this entry.
    pub fn is_delete(&self) -> bool {
        self.op.is_delete()
    }

    /// True if the entry records a failed or empty request and no change.
    pub fn is_error(&self) -> bool {
        self.op == LogOp::Error
    }
}

impl fmt::Display for PgLogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {:?}", self.version, self.prior_version, self.op)
    }
}

impl Encode for PgLogEntry {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.kept.encode(out, 14, 4, |out, version| {
            let revert = self.op == LogOp::LostRevert;
            self.op.encode(out, features);
            self.soid.encode(out, features);
            self.version.encode(out, features);
            if revert { self.reverting_to } else { self.prior_version }.encode(out, features);
            self.reqid.encode(out, features);
            self.mtime.encode(out, features);
            if revert {
                self.prior_version.encode(out, features);
            }
            self.snaps.encode(out, features);
            self.user_version.encode(out, features);
            self.mod_desc.encode(out, features);
            self.extra_reqids.encode(out, features);
            if self.is_error() {
                self.return_code.encode(out, features);
            }
            if version >= 12 && !self.extra_reqids.is_empty() {
                self.extra_reqid_return_codes.encode(out, features);
            }
            if version >= 13 {
                self.clean_regions.encode(out, features);
            }
            if version >= 14 {
                if !self.is_error() {
                    self.return_code.encode(out, features);
                }
                self.op_returns.encode(out, features);
            }
        });
    }
}

/// The oldest form that names what is wanted here (Luminous).
const OLDEST: u8 = 11;

impl Decode for PgLogEntry {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (value, kept) = Kept::decode(r, "pg_log_entry_t", 14, 4, |r, version| {
            if version < OLDEST {
                return Err(DecodeError::TooOld {
                    what: "pg_log_entry_t",
                    version,
                    oldest: OLDEST,
                });
            }
            decode_entry(r, version)
        })?;
        Ok(PgLogEntry { kept, ..value })
    }
}

fn decode_entry(r: &mut Reader, version: u8) -> Result<PgLogEntry, DecodeError> {
    let mut e = PgLogEntry {
        op: LogOp::decode(r)?,
        soid: HObject::decode(r)?,
        version: EVersion::decode(r)?,
        prior_version: EVersion::decode(r)?,
        reqid: ReqId::decode(r)?,
        mtime: UTime::decode(r)?,
        // An older sender does not say: then nothing is known to be clean.
        clean_regions: CleanRegions::dirty(),
        ..PgLogEntry::default()
    };
    if e.op == LogOp::LostRevert {
        e.reverting_to = e.prior_version;
        e.prior_version = EVersion::decode(r)?;
    }
    e.snaps = Bytes::decode(r)?;
    e.user_version = u64::decode(r)?;
    e.mod_desc = ObjectModDesc::decode(r)?;
    e.extra_reqids = Vec::decode(r)?;
    if e.is_error() {
        e.return_code = i32::decode(r)?;
    }
    if version >= 12 && !e.extra_reqids.is_empty() {
        e.extra_reqid_return_codes = BTreeMap::decode(r)?;
    }
    if version >= 13 {
        e.clean_regions = CleanRegions::decode(r)?;
    }
    if version >= 14 {
        if !e.is_error() {
            e.return_code = i32::decode(r)?;
        }
        e.op_returns = Vec::decode(r)?;
    }
    Ok(e)
}

versioned! {
    /// `pg_log_dup_t` v2: what remains of a trimmed entry, so that a request sent again is known.
    pub struct PgLogDup(2, 1) {
        reqid: ReqId,
        version: EVersion,
        user_version: u64,
        return_code: i32,
        op_returns: Vec<(i32, Bytes)> [since 2],
    }
}

impl From<&PgLogEntry> for PgLogDup {
    fn from(e: &PgLogEntry) -> Self {
        PgLogDup {
            reqid: e.reqid,
            version: e.version,
            user_version: e.user_version,
            return_code: e.return_code,
            op_returns: e.op_returns.clone(),
            kept: Kept::default(),
        }
    }
}
