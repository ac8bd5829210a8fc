//! COPY_GET and COPY_FROM: an object told piece by piece, and an object made of another.
//!
//! An execution cannot wait, and the source of a copy may be anywhere. So COPY_FROM is executed
//! twice: the first time it ends the execution with the source it needs; the caller gathers that,
//! and executes the request anew with it.

use std::collections::BTreeMap;
use std::ops::Bound;

use seabed_cluster::{Errno, HObject, ObjectLocator, SnapId, object_flag};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader};
use seabed_messages::op::request_flag;
use seabed_messages::{CopyCursor, CopyData, OpArgs, OpCode, OsdOp, copy_flag, copy_from_flag};
use seabed_storage::TxOp;

use super::copied::CopySource;
use super::execution::{DONE, Done, Execution, Failure};
use super::xattr::stored_name;

/// The most that one COPY_GET tells, whatever it asks for. Ceph's OSDs ask for 8 MiB.
const PIECE_MAX: u64 = 64 << 20;
/// Omap entries fetched from the store at once.
const PAGE: usize = 256;
/// Requests told of an object.
pub(crate) const REQIDS_TOLD: usize = 10;

/// Flags of COPY_FROM that its reads carry.
const READ_FLAGS: &[(u8, u32)] = &[
    (copy_from_flag::FLUSH, request_flag::FLUSH),
    (copy_from_flag::IGNORE_OVERLAY, request_flag::IGNORE_OVERLAY),
    (copy_from_flag::IGNORE_CACHE, request_flag::IGNORE_CACHE),
    (copy_from_flag::MAP_SNAP_CLONE, request_flag::MAP_SNAP_CLONE),
    (copy_from_flag::RWORDERED, request_flag::RWORDERED),
];

/// The input of a COPY_FROM.
struct From {
    source: CopySource,
    /// truncate_seq and truncate_size of the copy; `None`: the source's.
    truncate: Option<(u32, u64)>,
}

fn read_from(op: &OsdOp) -> Result<From, Failure> {
    let OpArgs::CopyFrom { snap, src_version, flags, src_fadvise_flags } = op.args else {
        return Err(Errno::EINVAL.into());
    };
    let second = op.op == OpCode::CopyFrom2;
    if second && flags & !copy_from_flag::ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut r = Reader::new(op.indata.clone());
    let (object, locator) = (Bytes::decode(&mut r)?, ObjectLocator::decode(&mut r)?);
    let truncate = if second && flags & copy_from_flag::TRUNCATE_SEQ != 0 {
        Some((u32::decode(&mut r)?, u64::decode(&mut r)?))
    } else {
        None
    };
    let read_flags = READ_FLAGS.iter().filter(|(flag, _)| flags & flag != 0);
    let source = CopySource {
        locator,
        object,
        snap,
        version: src_version,
        flags: read_flags.fold(0, |all, (_, flag)| all | flag),
        op_flags: src_fadvise_flags,
    };
    Ok(From { source, truncate })
}

impl CopySource {
    /// True if this is that very object at that very snapshot.
    fn is(&self, object: &HObject) -> bool {
        let locator = &self.locator;
        let key = if locator.key == self.object { &[][..] } else { &locator.key[..] };
        locator.pool == object.pool
            && locator.namespace == object.namespace
            && object.key == key
            && self.object == object.name
            && self.snap == object.snap
    }
}

impl Execution<'_> {
    /// COPY_FROM and COPY_FROM2: the object becomes what its source is, watches excepted.
    pub(super) fn copy_from(&mut self, op: &OsdOp) -> Done {
        let From { source, truncate } = read_from(op)?;
        if source.is(&self.before.object) {
            return Err(Errno::EINVAL.into());
        }
        // In Ceph a request with two of them never comes to its end.
        if self.request.ops.iter().filter(|o| is_copy_from(o)).count() > 1 {
            return Err(Errno::EINVAL.into());
        }
        let Some(copied) = self.env.copied else {
            self.copy = Some(Box::new(source));
            return Err(Errno::EINPROGRESS.into());
        };
        if copied.has_omap() {
            self.require_omap()?;
        }
        if self.is_stored() {
            self.change().remove();
        }
        self.recreate_object();
        let change = self.change();
        change.create();
        for (name, value) in &copied.attrs {
            change.set_attr(stored_name(name), Some(value.clone()));
        }
        for (offset, data) in &copied.data {
            change.write(*offset, data.clone(), op.flags);
        }
        if !copied.omap_header.is_empty() {
            change.omap_set_header(copied.omap_header.clone());
        }
        copied.omap.iter().for_each(|entries| change.omap(TxOp::OmapSetKeys(entries.clone())));

        if copied.has_omap() || self.info.has(object_flag::OMAP) {
            self.clean.clean_omap = false;
        }
        self.dirty_data(0, self.info.size.max(copied.size));
        self.resize(copied.size);
        let info = &mut self.info;
        info.user_version = copied.user_version;
        info.set(object_flag::OMAP, copied.has_omap());
        info.set(object_flag::DATA_DIGEST, copied.data_digest.is_some());
        info.data_digest = copied.data_digest.unwrap_or(u32::MAX);
        info.set(object_flag::OMAP_DIGEST, copied.omap_digest.is_some());
        info.omap_digest = copied.omap_digest.unwrap_or(u32::MAX);
        (info.truncate_seq, info.truncate_size) =
            truncate.unwrap_or((copied.truncate_seq, copied.truncate_size));
        info.mtime = copied.mtime;
        self.mtime = None;
        self.extra_reqids = copied.reqids.clone();
        self.extra_reqid_return_codes = copied.reqid_return_codes.clone();
        self.count_write(copied.size);
        DONE
    }

    /// COPY_GET: the object from the cursor on, as it was before the request.
    pub(super) fn copy_get(&mut self, op: &OsdOp) -> Done {
        let mut r = Reader::new(op.indata.clone());
        let (mut cursor, max) = (CopyCursor::decode(&mut r)?, u64::decode(&mut r)?);
        if !self.before.exists {
            return Err(Errno::ENOENT.into());
        }
        let info = &self.before.info;
        let digest = |flag, digest| if info.has(flag) { digest } else { u32::MAX };
        let mut piece = CopyData {
            size: info.size,
            mtime: info.mtime,
            data_digest: digest(object_flag::DATA_DIGEST, info.data_digest),
            omap_digest: digest(object_flag::OMAP_DIGEST, info.omap_digest),
            truncate_seq: info.truncate_seq.into(),
            truncate_size: info.truncate_size,
            ..CopyData::default()
        };
        for (flag, told) in [
            (object_flag::DATA_DIGEST, copy_flag::DATA_DIGEST),
            (object_flag::OMAP_DIGEST, copy_flag::OMAP_DIGEST),
        ] {
            piece.flags |= if info.has(flag) { told } else { 0 };
        }
        let set = &self.before.snapset;
        if self.before.object.snap < SnapId::HEAD {
            piece.snaps =
                set.clone_snaps.get(&self.before.object.snap).cloned().unwrap_or_default();
        } else {
            piece.snap_seq = set.seq;
        }
        if !cursor.attr_complete {
            piece.attrs = self.client_attrs()?;
            cursor.attr_complete = true;
        }
        let mut left = max.min(PIECE_MAX);
        if left > 0 && !cursor.data_complete {
            let length = left.min(info.size.saturating_sub(cursor.data_offset));
            if length > 0 {
                let offset = cursor.data_offset;
                let read = self.store.read(self.coll, &self.object, offset, length);
                piece.data = read.map_err(|e| self.failed(&e))?;
                if piece.data.len() as u64 != length {
                    return Err(Errno::EIO.into());
                }
            }
            left -= length;
            cursor.data_offset += length;
            cursor.data_complete = cursor.data_offset >= info.size;
        }
        if !info.has(object_flag::OMAP) {
            cursor.omap_complete = true;
        } else if left > 0 && !cursor.omap_complete {
            self.copy_omap(&mut piece, &mut cursor, left)?;
        }
        if cursor.is_complete() {
            piece.reqids = self.env.reqids.0.to_vec();
            piece.reqid_return_codes = self.env.reqids.1.clone();
        }
        piece.cursor = cursor;
        Ok((piece.to_bytes(crate::WIRE), 0))
    }

    /// Attributes that clients have set, by the names that they know.
    fn client_attrs(&mut self) -> Result<BTreeMap<Bytes, Bytes>, Failure> {
        let all = self.store.get_attrs(self.coll, &self.object).map_err(|e| self.failed(&e))?;
        let ours = all.into_iter().filter(|(name, _)| name.len() > 1 && name[0] == b'_');
        Ok(ours.map(|(name, value)| (name.slice(1..), value)).collect())
    }

    /// The header in front of the first entry, and entries of at least `left` bytes, or all.
    fn copy_omap(
        &mut self,
        piece: &mut CopyData,
        cursor: &mut CopyCursor,
        left: u64,
    ) -> Result<(), Failure> {
        if cursor.omap_offset.is_empty() {
            let header = self.store.omap_header(self.coll, &self.object);
            piece.omap_header = header.map_err(|e| self.failed(&e))?;
        }
        let (mut count, mut out) = (0u32, BytesMut::new());
        // The place of the count.
        count.encode(&mut out, 0);
        cursor.omap_complete = true;
        'all: loop {
            let after = Bound::Excluded(&cursor.omap_offset[..]);
            let start = if cursor.omap_offset.is_empty() { Bound::Unbounded } else { after };
            let got = self.store.omap_range(self.coll, &self.object, start, PAGE);
            let (entries, more) = got.map_err(|e| self.failed(&e))?;
            for (key, value) in entries {
                count += 1;
                key.encode(&mut out, 0);
                value.encode(&mut out, 0);
                cursor.omap_offset = key;
                if out.len() as u64 - 4 >= left {
                    cursor.omap_complete = false;
                    break 'all;
                }
            }
            if !more {
                break;
            }
        }
        if cursor.omap_complete {
            // Where the end was reached is of no interest to anybody.
            cursor.omap_offset = Bytes::new();
        }
        if count > 0 {
            out[..4].copy_from_slice(&count.to_le_bytes());
            piece.omap_data = out.freeze();
        }
        Ok(())
    }
}

/// Whether an op makes the object a copy of another.
fn is_copy_from(op: &OsdOp) -> bool {
    matches!(op.op, OpCode::CopyFrom | OpCode::CopyFrom2)
}
