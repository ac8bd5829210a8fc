//! Ops that read data or the object info.

use seabed_cluster::{Errno, object_flag};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader, ceph_crc32c};
use seabed_messages::{OpArgs, OsdOp};

use super::execution::{DONE, Done, Execution, Failure};

/// The arguments of an op on a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) truncate_size: u64,
    pub(super) truncate_seq: u32,
}

/// The extent of an op. CephFS marks "not truncated" by seq 1 and size all ones.
pub(super) fn extent(op: &OsdOp) -> Result<Extent, Failure> {
    let OpArgs::Extent { offset, length, truncate_size, truncate_seq } = op.args else {
        return Err(Errno::EINVAL.into());
    };
    let untruncated = truncate_seq == 1 && truncate_size == u64::MAX;
    let (truncate_size, truncate_seq) =
        if untruncated { (0, 0) } else { (truncate_size, truncate_seq) };
    Ok(Extent { offset, length, truncate_size, truncate_seq })
}

fn set_length(op: &mut OsdOp, new: u64) {
    if let OpArgs::Extent { length, .. } = &mut op.args {
        *length = new;
    }
}

/// Errors of the first 4095 are errno; a comparison's are below, by the offset of the difference.
const MISMATCH_BASE: i32 = -4095;

impl Execution<'_> {
    /// READ: length 0 is the whole object; what lies behind the end is cut off.
    pub(super) fn read(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        let range = extent(op)?;
        let data = self.read_range(range);
        set_length(answered, data.as_ref().map_or(0, |d| d.len() as u64));
        Ok((data?, 0))
    }

    /// The bytes of a range as READ gives them.
    pub(super) fn read_range(&mut self, range: Extent) -> Result<Bytes, Failure> {
        let mut size = self.info.size;
        let end = range.offset.saturating_add(range.length);
        if self.info.truncate_seq < range.truncate_seq && end > range.truncate_size {
            size = size.min(range.truncate_size);
        }
        let length = if range.length == 0 { size } else { range.length };
        let length = length.min(size.saturating_sub(range.offset));
        if length == 0 {
            self.count_read(0);
            return Ok(Bytes::new());
        }
        let read = self.store.read(self.coll, &self.object, range.offset, length);
        let data = read.map_err(|e| self.failed(&e))?;
        if range.offset == 0 {
            self.verify_whole(&data)?;
        }
        self.count_read(data.len());
        Ok(data)
    }

    /// The digest is checked when all of the object was read and the info is the stored one.
    fn verify_whole(&mut self, data: &[u8]) -> Result<(), Failure> {
        let info = &self.before.info;
        let whole = self.mutation.is_none() && data.len() as u64 == info.size;
        if !whole || !info.has(object_flag::DATA_DIGEST) {
            return Ok(());
        }
        let found = ceph_crc32c(u32::MAX, data);
        if found == info.data_digest {
            return Ok(());
        }
        let text = format!(
            "{:?}: data digest {found:#010x}, object info says {:#010x}",
            self.before.object, info.data_digest
        );
        self.notes.push((crate::Level::Error, text));
        Err(Errno::EIO.into())
    }

    /// The parts of a range that hold data, cut at the object's end.
    fn extents(&mut self, range: Extent) -> Result<Vec<(u64, u64)>, Failure> {
        if !self.before.is_stored() {
            return Err(Errno::ENOENT.into());
        }
        let found = self.store.extents(self.coll, &self.object, range.offset, range.length);
        found.map_err(|e| self.failed(&e))
    }

    /// SPARSE_READ: a map of the parts that hold data, and these parts. A truncation that the
    /// object has not seen yet counts, as in Ceph since 18 (16 refuses it).
    pub(super) fn sparse_read(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        let mut range = extent(op)?;
        let end = range.offset.saturating_add(range.length);
        if self.info.truncate_seq < range.truncate_seq && end > range.truncate_size {
            range.length = range.truncate_size.saturating_sub(range.offset);
        }
        let map = self.extents(range)?;
        let read = |&(offset, length): &(u64, u64)| {
            self.store.read(self.coll, &self.object, offset, length)
        };
        let pieces: Result<Vec<Bytes>, _> = map.iter().map(read).collect();
        let pieces = pieces.map_err(|e| self.failed(&e))?;
        let length = pieces.iter().map(Bytes::len).sum();
        // The bytes go where they leave from: each is copied once.
        let mut out = BytesMut::with_capacity(8 + map.len() * 16 + length);
        map.encode(&mut out, 0);
        (length as u32).encode(&mut out, 0);
        let data_at = out.len();
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        self.verify_whole(&out[data_at..])?;
        set_length(answered, length as u64);
        self.count_read(length);
        Ok((out.freeze(), 0))
    }

    /// MAPEXT: only the map.
    pub(super) fn map_extents(&mut self, op: &OsdOp) -> Done {
        let map = self.extents(extent(op)?)?;
        self.count_read(0);
        Ok((map.to_bytes(0), 0))
    }

    /// STAT: size and time of the last change.
    pub(super) fn stat(&mut self) -> Done {
        self.stats.num_rd += 1;
        self.require_object()?;
        let mut out = BytesMut::with_capacity(16);
        self.info.size.encode(&mut out, 0);
        self.info.mtime.encode(&mut out, 0);
        Ok((out.freeze(), 0))
    }

    /// ASSERT_VER: the object's version must be exactly this one.
    pub(super) fn assert_version(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Version { version, .. } = op.args else { return Err(Errno::EINVAL.into()) };
        self.stats.num_rd += 1;
        match version.cmp(&self.info.user_version) {
            _ if version == 0 => Err(Errno::EINVAL.into()),
            std::cmp::Ordering::Less => Err(Errno::ERANGE.into()),
            std::cmp::Ordering::Greater => Err(Errno::EOVERFLOW.into()),
            std::cmp::Ordering::Equal => DONE,
        }
    }

    /// ISDIRTY: always true outside cache tiers.
    pub(super) fn is_dirty(&mut self) -> Done {
        self.stats.num_rd += 1;
        Ok((self.info.has(object_flag::DIRTY).to_bytes(0), 0))
    }

    /// CMPEXT: the input must equal the data, which continues with zeros behind its end.
    pub(super) fn compare_extent(&mut self, op: &OsdOp) -> Done {
        let range = extent(op)?;
        if range.length != op.indata.len() as u64 {
            return Err(Errno::EINVAL.into());
        }
        let data = self.read_range(range)?;
        let theirs = op.indata.iter().enumerate();
        match theirs.map(|(i, b)| (i, *b != data.get(i).copied().unwrap_or(0))).find(|(_, d)| *d) {
            Some((i, _)) => Err(Failure(MISMATCH_BASE.saturating_sub_unsigned(i as u32))),
            None => DONE,
        }
    }

    /// CHECKSUM: count and values, one for each chunk; each starts from the value in the input.
    pub(super) fn checksum(&mut self, op: &OsdOp) -> Done {
        let OpArgs::Checksum { offset, length, chunk_size, kind } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        let chunk = u64::from(chunk_size);
        if kind > 2 || chunk != 0 && !length.is_multiple_of(chunk) {
            return Err(Errno::EINVAL.into());
        }
        let data = self.read_range(Extent { offset, length, truncate_size: 0, truncate_seq: 0 })?;
        if data.is_empty() {
            return Ok((0u32.to_bytes(0), 0));
        }
        let mut input = Reader::new(op.indata.clone());
        let start = match kind {
            1 => u64::decode(&mut input)?,
            _ => u32::decode(&mut input)?.into(),
        };
        let chunk = if chunk == 0 { data.len() } else { chunk_size as usize };
        if !data.len().is_multiple_of(chunk) {
            return Err(Errno::EINVAL.into());
        }
        let chunks = data.len() / chunk;
        let mut out = BytesMut::new();
        (chunks as u32).encode(&mut out, 0);
        for part in data.chunks_exact(chunk) {
            match kind {
                0 => xxhash_rust::xxh32::xxh32(part, start as u32).encode(&mut out, 0),
                1 => xxhash_rust::xxh64::xxh64(part, start).encode(&mut out, 0),
                _ => ceph_crc32c(start as u32, part).encode(&mut out, 0),
            }
        }
        Ok((out.freeze(), 0))
    }
}
