//! What one OSD tells another of an object that is copied: input and output of COPY_GET.

use std::collections::BTreeMap;

use seabed_cluster::{ObjectLocator, ReqId, SnapId, UTime};
use seabed_denc::{Bytes, BytesMut, Encode, encode_bytes, versioned};

use crate::{OpArgs, OpCode, OsdOp};

versioned! {
    /// `object_copy_cursor_t`: how far an object has been told. Attributes come first and at once,
    /// then data, then the omap.
    pub struct CopyCursor(1, 1) {
        attr_complete: bool,
        /// Where the data goes on.
        data_offset: u64,
        data_complete: bool,
        /// The last key told.
        omap_offset: Bytes,
        omap_complete: bool,
    }
}

impl CopyCursor {
    /// True if there is nothing more to tell.
    pub fn is_complete(&self) -> bool {
        self.attr_complete && self.data_complete && self.omap_complete
    }
}

versioned! {
    /// `object_copy_data_t`: a piece of an object, and what it is as a whole.
    pub struct CopyData(8, 5) {
        /// Of the whole object.
        size: u64,
        mtime: UTime,
        /// Clients' attributes, by the names that clients know.
        attrs: BTreeMap<Bytes, Bytes>,
        data: Bytes,
        /// An encoded map of keys to values, or nothing.
        omap_data: Bytes,
        /// Behind this piece.
        cursor: CopyCursor,
        omap_header: Bytes,
        /// Of a clone: the snapshots it shows.
        snaps: Vec<SnapId>,
        /// Of a head: the newest snapshot it has met.
        snap_seq: SnapId,
        /// Of [`copy_flag`].
        flags: u32,
        data_digest: u32 = u32::MAX,
        omap_digest: u32 = u32::MAX,
        /// In the last piece: requests that changed the object last, with the versions they made.
        reqids: Vec<(ReqId, u64)> [since 6],
        truncate_seq: u64 [since 7],
        truncate_size: u64 [since 7],
        /// Those of them that failed, by position.
        reqid_return_codes: BTreeMap<u32, i32> [since 8],
    }
}

/// Flags of [`CopyData`].
pub mod copy_flag {
    /// `data_digest` holds.
    pub const DATA_DIGEST: u32 = 1;
    /// `omap_digest` holds.
    pub const OMAP_DIGEST: u32 = 2;
}

/// Flags of COPY_FROM, which the source's read is sent with, and of COPY_FROM2.
#[allow(missing_docs)]
pub mod copy_from_flag {
    pub const FLUSH: u8 = 1;
    pub const IGNORE_OVERLAY: u8 = 2;
    pub const IGNORE_CACHE: u8 = 4;
    pub const MAP_SNAP_CLONE: u8 = 8;
    pub const RWORDERED: u8 = 16;
    /// The input ends with the copy's own truncate_seq and truncate_size.
    pub const TRUNCATE_SEQ: u8 = 32;
    /// Every one of them.
    pub const ALL: u8 = 63;
}

impl OsdOp {
    /// COPY_FROM: the object becomes what `source` is; it must have that version, if not 0.
    pub fn copy_from(source: &[u8], locator: &ObjectLocator, src_version: u64) -> Self {
        let mut input = BytesMut::new();
        encode_bytes(&mut input, source);
        locator.encode(&mut input, 0);
        let args =
            OpArgs::CopyFrom { snap: SnapId::HEAD, src_version, flags: 0, src_fadvise_flags: 0 };
        Self::new(OpCode::CopyFrom, args, input.freeze())
    }

    /// COPY_GET: what follows `cursor`, at most about `max` bytes.
    pub fn copy_get(cursor: &CopyCursor, max: u64) -> Self {
        let mut input = BytesMut::new();
        cursor.encode(&mut input, 0);
        max.encode(&mut input, 0);
        Self::new(OpCode::CopyGet, OpArgs::CopyGet { max }, input.freeze())
    }
}
