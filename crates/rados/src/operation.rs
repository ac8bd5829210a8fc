//! Compound operations: several ops on one object, all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::SnapId;
use seabed_denc::{Bytes, BytesMut, Encode};
use seabed_messages::{OpArgs, OpCode, OsdOp, op::op_flag};

/// Ops to be executed together, in order. Reads and writes may not be mixed.
///
/// ```
/// # use seabed_rados::Operation;
/// let op = Operation::new().create(true).write_full("hello").set_xattr("colour", "green");
/// assert_eq!(op.len(), 3);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Operation {
    pub(crate) ops: Vec<OsdOp>,
}

impl Operation {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many ops it has.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True without any op.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds any op.
    pub fn op(mut self, op: OsdOp) -> Self {
        self.ops.push(op);
        self
    }

    /// Creates the object; an existing one is an error if `exclusive`.
    pub fn create(self, exclusive: bool) -> Self {
        let flags = if exclusive { op_flag::EXCL } else { 0 };
        self.op(OsdOp::plain(OpCode::Create, Bytes::new()).with_flags(flags))
    }

    /// Fails unless the object has this version, which an earlier answer told
    /// ([`crate::OpReply::user_version`]): with ERANGE if it has been changed since.
    pub fn assert_version(self, version: u64) -> Self {
        let args = OpArgs::Version { unused: 0, version };
        self.op(OsdOp::new(OpCode::AssertVer, args, Bytes::new()))
    }

    /// Fails with ECANCELED unless an attribute has this value; one that is not there is empty.
    pub fn compare_xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        /// `CEPH_OSD_CMPXATTR_OP_EQ`, `CEPH_OSD_CMPXATTR_MODE_STRING`.
        const EQUAL_BYTES: (u8, u8) = (1, 1);
        let mut op = OsdOp::xattr(OpCode::CmpXattr, name.as_ref(), value.as_ref());
        if let OpArgs::Xattr { cmp_op, cmp_mode, .. } = &mut op.args {
            (*cmp_op, *cmp_mode) = EQUAL_BYTES;
        }
        self.op(op)
    }

    /// Fails with ENOENT if the object does not exist; its size and mtime come back.
    pub fn stat(self) -> Self {
        self.op(OsdOp::plain(OpCode::Stat, Bytes::new()))
    }

    /// Writes at an offset.
    pub fn write(self, offset: u64, data: impl Into<Bytes>) -> Self {
        self.data(OpCode::Write, offset, data.into())
    }

    /// Replaces all data.
    pub fn write_full(self, data: impl Into<Bytes>) -> Self {
        self.data(OpCode::WriteFull, 0, data.into())
    }

    /// Writes at the end.
    pub fn append(self, data: impl Into<Bytes>) -> Self {
        self.data(OpCode::Append, 0, data.into())
    }

    /// Fails at the first byte that differs from `data`.
    pub fn compare(self, offset: u64, data: impl Into<Bytes>) -> Self {
        self.data(OpCode::CmpExt, offset, data.into())
    }

    fn data(self, code: OpCode, offset: u64, data: Bytes) -> Self {
        self.op(OsdOp::extent(code, offset, data.len() as u64, data))
    }

    /// Cuts or grows to `size`.
    pub fn truncate(self, size: u64) -> Self {
        self.op(OsdOp::extent(OpCode::Truncate, size, 0, Bytes::new()))
    }

    /// Zeroes a range. An empty range is left out: OSDs of some releases do not survive one.
    pub fn zero(self, offset: u64, length: u64) -> Self {
        if length == 0 {
            return self;
        }
        self.op(OsdOp::extent(OpCode::Zero, offset, length, Bytes::new()))
    }

    /// Removes the object.
    pub fn remove(self) -> Self {
        self.op(OsdOp::plain(OpCode::Delete, Bytes::new()))
    }

    /// Reads a range; `length` 0: to the end.
    pub fn read(self, offset: u64, length: u64) -> Self {
        self.op(OsdOp::extent(OpCode::Read, offset, length, Bytes::new()))
    }

    /// Reads the parts of a range that are there: a map of extents, and their bytes.
    pub fn sparse_read(self, offset: u64, length: u64) -> Self {
        self.op(OsdOp::extent(OpCode::SparseRead, offset, length, Bytes::new()))
    }

    /// Runs a method of an object class.
    pub fn exec(self, class: &str, method: &str, input: impl AsRef<[u8]>) -> Self {
        self.op(OsdOp::call(class, method, input.as_ref()))
    }

    /// Makes the object what it was at a snapshot.
    pub fn rollback(self, snap: SnapId) -> Self {
        self.op(OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap }, Bytes::new()))
    }

    /// Lists the object's clones; read of [`SnapId::DIR`] only.
    pub fn list_snaps(self) -> Self {
        self.op(OsdOp::plain(OpCode::ListSnaps, Bytes::new()))
    }

    /// Sets an attribute.
    pub fn set_xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.op(OsdOp::xattr(OpCode::SetXattr, name.as_ref(), value.as_ref()))
    }

    /// Removes an attribute.
    pub fn rm_xattr(self, name: impl AsRef<[u8]>) -> Self {
        self.op(OsdOp::xattr(OpCode::RmXattr, name.as_ref(), &[]))
    }

    /// Reads an attribute.
    pub fn get_xattr(self, name: impl AsRef<[u8]>) -> Self {
        self.op(OsdOp::xattr(OpCode::GetXattr, name.as_ref(), &[]))
    }

    /// Reads all attributes: a map.
    pub fn get_xattrs(self) -> Self {
        self.op(OsdOp::plain(OpCode::GetXattrs, Bytes::new()))
    }

    /// Sets omap values.
    pub fn omap_set(self, values: &BTreeMap<Bytes, Bytes>) -> Self {
        self.op(OsdOp::plain(OpCode::OmapSetVals, values.to_bytes(0)))
    }

    /// Removes omap keys.
    pub fn omap_rm(self, keys: &BTreeSet<Bytes>) -> Self {
        self.op(OsdOp::plain(OpCode::OmapRmKeys, keys.to_bytes(0)))
    }

    /// Removes all omap keys.
    pub fn omap_clear(self) -> Self {
        self.op(OsdOp::plain(OpCode::OmapClear, Bytes::new()))
    }

    /// Sets the omap header.
    pub fn omap_set_header(self, header: impl Into<Bytes>) -> Self {
        self.op(OsdOp::plain(OpCode::OmapSetHeader, header.into()))
    }

    /// Reads the omap header.
    pub fn omap_get_header(self) -> Self {
        self.op(OsdOp::plain(OpCode::OmapGetHeader, Bytes::new()))
    }

    /// Reads at most `max` omap values behind the key `after` whose keys begin with `prefix`.
    pub fn omap_get(self, after: &[u8], max: u64, prefix: &[u8]) -> Self {
        let mut input = BytesMut::new();
        seabed_denc::encode_bytes(&mut input, after);
        max.encode(&mut input, 0);
        seabed_denc::encode_bytes(&mut input, prefix);
        self.op(OsdOp::plain(OpCode::OmapGetVals, input.freeze()))
    }

    /// Reads the omap values of keys: a map of those that are there.
    pub fn omap_get_keys(self, keys: &BTreeSet<Bytes>) -> Self {
        self.op(OsdOp::plain(OpCode::OmapGetValsByKeys, keys.to_bytes(0)))
    }

    /// Reads at most `max` omap keys behind the key `after`.
    pub fn omap_keys(self, after: &[u8], max: u64) -> Self {
        let mut input = BytesMut::new();
        seabed_denc::encode_bytes(&mut input, after);
        max.encode(&mut input, 0);
        self.op(OsdOp::plain(OpCode::OmapGetKeys, input.freeze()))
    }

    /// Fails with ECANCELED unless the omap has exactly these values; a key that is not there
    /// counts as an empty value. The object must exist.
    pub fn omap_compare(self, values: &BTreeMap<Bytes, Bytes>) -> Self {
        /// `CEPH_OSD_CMPXATTR_OP_EQ`.
        const EQUAL: i32 = 1;
        let wanted: BTreeMap<&Bytes, (&Bytes, i32)> =
            values.iter().map(|(key, value)| (key, (value, EQUAL))).collect();
        self.op(OsdOp::plain(OpCode::OmapCmp, wanted.to_bytes(0)))
    }

    /// Tells how large the object will be and how large its writes.
    pub fn alloc_hint(self, object: u64, write: u64) -> Self {
        let args = OpArgs::AllocHint {
            expected_object_size: object,
            expected_write_size: write,
            flags: 0,
        };
        // A store that does not know hints must not fail the rest.
        self.op(OsdOp::new(OpCode::SetAllocHint, args, Bytes::new()).with_flags(op_flag::FAILOK))
    }
}
