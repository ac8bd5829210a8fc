//! An object that is to be copied: which one, and what of it has been gathered.
//!
//! The source is read piece by piece, by whoever can reach it; every piece after the first asserts
//! the version of the first, so that what is gathered is one state of the source. It is kept whole
//! until the copy is made of it in one transaction.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, ObjectLocator, ReqId, SnapId, UTime};
use seabed_denc::{Bytes, Decode, Reader, ceph_crc32c};
use seabed_messages::{CopyCursor, CopyData, OpArgs, OpCode, OsdOp, copy_flag};

/// Where a copy comes from, and how it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Pool, namespace and key.
    pub locator: ObjectLocator,
    /// Its name.
    pub object: Bytes,
    /// The head, or the snapshot at which it is copied.
    pub snap: SnapId,
    /// The version it must have; 0 for any.
    pub version: u64,
    /// Flags of the requests that read it.
    pub flags: u32,
    /// Flags of their COPY_GET.
    pub op_flags: u32,
}

/// What has been gathered of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// The version that its readers see: of the source asked for, or learnt from the first piece.
    pub user_version: u64,
    pub(crate) size: u64,
    pub(crate) mtime: UTime,
    pub(crate) attrs: BTreeMap<Bytes, Bytes>,
    /// By offset, each where the one before ends.
    pub(crate) data: Vec<(u64, Bytes)>,
    pub(crate) omap_header: Bytes,
    /// One map for each piece that had some.
    pub(crate) omap: Vec<BTreeMap<Bytes, Bytes>>,
    /// Of what was gathered, and checked against the source's own where it has them.
    pub(crate) data_digest: Option<u32>,
    pub(crate) omap_digest: Option<u32>,
    pub(crate) truncate_seq: u32,
    pub(crate) truncate_size: u64,
    pub(crate) reqids: Vec<(ReqId, u64)>,
    pub(crate) reqid_return_codes: BTreeMap<u32, i32>,
    cursor: CopyCursor,
    running: Digests,
    /// Bytes of attributes and omap.
    besides: u64,
}

/// Digests of what came so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digests {
    data: u32,
    omap: u32,
}

impl Default for Digests {
    fn default() -> Self {
        Digests { data: u32::MAX, omap: u32::MAX }
    }
}

impl Copied {
    /// Nothing yet, of this version (0: of any).
    pub fn of_version(user_version: u64) -> Self {
        Copied { user_version, ..Copied::default() }
    }

    /// True if a piece is here.
    pub fn is_begun(&self) -> bool {
        self.cursor.attr_complete
    }

    /// Bytes of its data once it is whole, and of whatever else is here already.
    pub fn weight(&self) -> u64 {
        self.size.saturating_add(self.besides)
    }

    /// The ops that read the next piece, of about `max` bytes.
    pub fn next_read(&self, source: &CopySource, max: u64) -> Vec<OsdOp> {
        let version = self.user_version;
        let same =
            OsdOp::new(OpCode::AssertVer, OpArgs::Version { unused: 0, version }, Bytes::new());
        let get = OsdOp::copy_get(&self.cursor, max).with_flags(source.op_flags);
        if version == 0 { vec![get] } else { vec![same, get] }
    }

    /// Takes the next piece, from a source of this version; true if it was the last. More than
    /// `max` bytes are too much for one write; a piece that does not follow the one before, or does
    /// not sum up to what the source says of itself, is damage.
    pub fn add(&mut self, piece: CopyData, user_version: u64, max: u64) -> Result<bool, Errno> {
        let before = std::mem::replace(&mut self.cursor, piece.cursor);
        if self.user_version == 0 {
            self.user_version = user_version;
        }
        (self.size, self.mtime) = (piece.size, piece.mtime);
        // Wider on the wire than anywhere else.
        self.truncate_seq = u32::try_from(piece.truncate_seq).map_err(|_| Errno::EIO)?;
        self.truncate_size = piece.truncate_size;
        let attrs: usize = piece.attrs.iter().map(|(k, v)| k.len() + v.len()).sum();
        let omap = piece.omap_header.len() + piece.omap_data.len();
        let besides = (attrs + omap) as u64;
        let end = before.data_offset.saturating_add(piece.data.len() as u64);
        // Whoever tells nothing must be at the end: else this would never be over.
        let on = besides > 0
            || !piece.data.is_empty()
            || !before.attr_complete
            || self.cursor.is_complete();
        if self.cursor.data_offset != end || end > piece.size || !self.cursor.attr_complete || !on {
            return Err(Errno::EIO);
        }
        self.besides += besides;
        if self.weight() > max {
            return Err(Errno::EMSGSIZE);
        }
        self.attrs.extend(piece.attrs);
        if !piece.data.is_empty() {
            self.running.data = ceph_crc32c(self.running.data, &piece.data);
            self.data.push((before.data_offset, piece.data));
        }
        self.add_omap(piece.omap_header, piece.omap_data)?;
        if !self.cursor.is_complete() {
            return Ok(false);
        }
        (self.reqids, self.reqid_return_codes) = (piece.reqids, piece.reqid_return_codes);
        let told = |flag, digest| (piece.flags & flag != 0).then_some(digest);
        self.data_digest = told(copy_flag::DATA_DIGEST, piece.data_digest);
        self.omap_digest = told(copy_flag::OMAP_DIGEST, piece.omap_digest);
        let right = self.data_digest.is_none_or(|d| d == self.running.data)
            && self.omap_digest.is_none_or(|d| d == self.running.omap)
            && self.cursor.data_offset == self.size;
        if right { Ok(true) } else { Err(Errno::EIO) }
    }

    fn add_omap(&mut self, header: Bytes, data: Bytes) -> Result<(), Errno> {
        if !header.is_empty() {
            self.running.omap = ceph_crc32c(self.running.omap, &header);
            self.omap_header = header;
        }
        if data.is_empty() {
            return Ok(());
        }
        let mut r = Reader::new(data.clone());
        let entries = BTreeMap::decode(&mut r).map_err(|_| Errno::EIO)?;
        // The digest goes over the entries without their count.
        self.running.omap = ceph_crc32c(self.running.omap, &data[size_of::<u32>()..]);
        self.omap.push(entries);
        Ok(())
    }

    /// Whether the source has an omap.
    pub(crate) fn has_omap(&self) -> bool {
        !self.omap_header.is_empty() || !self.omap.is_empty()
    }
}
