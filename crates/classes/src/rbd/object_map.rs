//! The object map: which data objects of an image exist, in a [`BitVector`] that is the data.

use std::ops::Range;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, Encode, Reader, ceph_crc32c};

use super::bit_vector::{BLOCK, BitVector, HEADER_LENGTH, Header, block_crcs};
use super::store::{args, done, optional};
use crate::{Done, Level, Object};

/// Bounds memory: an image of a petabyte at 4 MiB.
const MAX_OBJECTS: u64 = 256_000_000;

/// `OBJECT_EXISTS`.
const EXISTS: u8 = 1;
/// `OBJECT_EXISTS_CLEAN`: unchanged since the last snapshot.
const EXISTS_CLEAN: u8 = 3;

/// `CEPH_OSD_OP_FLAG_FADVISE_WILLNEED`.
const WILLNEED: u32 = 0x10;

/// The whole map; ENOENT if there is no object or it is empty.
fn read(object: &mut dyn Object) -> Result<BitVector, Errno> {
    let size = object.stat()?.size;
    if size == 0 {
        return Err(Errno::ENOENT);
    }
    let stored = object.read(0, size)?;
    args(stored)
}

fn write(object: &mut dyn Object, map: &BitVector) -> Done {
    object.write_full(map.encode(true), 0)?;
    done()
}

pub(super) fn load(object: &mut dyn Object, _: Bytes) -> Done {
    Ok(read(object)?.encode(false).into())
}

pub(super) fn save(object: &mut dyn Object, input: Bytes) -> Done {
    let map: BitVector = args(input)?;
    write(object, &map)
}

pub(super) fn resize(object: &mut dyn Object, input: Bytes) -> Done {
    let (count, state): (u64, u8) = args(input)?;
    if count > MAX_OBJECTS {
        return Err(Errno::EINVAL);
    }
    let mut map = optional(read(object))?.unwrap_or_default();
    if (count..map.len()).any(|index| map.get(index) != state) {
        return Err(Errno::ESTALE);
    }
    map.resize(count, state);
    write(object, &map)
}

/// The stored blocks that hold some elements.
struct Part {
    header: Header,
    blocks: Range<u64>,
}

impl Part {
    /// The object is written only around the elements that change, so only that is read.
    fn open(object: &mut dyn Object, elements: &Range<u64>) -> Result<Self, Errno> {
        let raw: Bytes = args(object.read(0, HEADER_LENGTH)?)?;
        let header: Header = args(raw.clone())?;
        let stored = object.read(header.footer_at(), 4)?;
        if stored != ceph_crc32c(0, &raw).to_bytes(0) {
            object.log(Level::Error, "rbd: crc of an object map's header is wrong".into());
        }
        if elements.is_empty() || elements.end > header.size {
            return Err(Errno::ERANGE);
        }
        let per_block = BLOCK as u64 * 4;
        let blocks = elements.start / per_block..elements.end.div_ceil(per_block);
        Ok(Part { header, blocks })
    }

    /// Where the blocks are in the object.
    fn at(&self) -> u64 {
        HEADER_LENGTH + self.blocks.start * BLOCK as u64
    }

    fn read(&self, object: &mut dyn Object) -> Result<BitVector, Errno> {
        let end = (self.blocks.end * BLOCK as u64).min(self.header.data_length());
        let length = end - self.blocks.start * BLOCK as u64;
        let data = object.read(self.at(), length)?;
        let count = self.blocks.end - self.blocks.start;
        let mut crcs = Reader::new(object.read(self.header.crc_at(self.blocks.start), 4 * count)?);
        if data.len() as u64 != length
            || block_crcs(&data).any(|crc| u32::decode(&mut crcs) != Ok(crc))
        {
            return Err(Errno::EINVAL);
        }
        Ok(BitVector::from_data(data.to_vec()))
    }

    fn write(&self, object: &mut dyn Object, part: &BitVector) -> Result<(), Errno> {
        object.write(self.at(), Bytes::copy_from_slice(part.data()), WILLNEED)?;
        let crcs = block_crcs(part.data()).flat_map(u32::to_le_bytes).collect();
        object.write(self.header.crc_at(self.blocks.start), crcs, WILLNEED)
    }
}

pub(super) fn update(object: &mut dyn Object, input: Bytes) -> Done {
    let (start, end, state, current): (u64, u64, u8, Option<u8>) = args(input)?;
    object.stat()?;
    let part = Part::open(object, &(start..end))?;
    let mut states = part.read(object)?;
    let first = part.blocks.start * BLOCK as u64 * 4;
    let updated = states.update(start - first..end - first, |_, old| {
        let wanted = current
            .is_none_or(|current| old == current || current == EXISTS && old == EXISTS_CLEAN);
        (wanted && old != state).then_some(state)
    });
    if updated {
        part.write(object, &states)?;
    }
    done()
}

pub(super) fn snap_add(object: &mut dyn Object, _: Bytes) -> Done {
    let mut map = read(object)?;
    if map.update(0..map.len(), |_, old| (old == EXISTS).then_some(EXISTS_CLEAN)) {
        return write(object, &map);
    }
    done()
}

pub(super) fn snap_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let of_snapshot: BitVector = args(input)?;
    let mut map = read(object)?;
    let updated = map.update(0..map.len(), |index, old| {
        let changed = index >= of_snapshot.len() || of_snapshot.get(index) == EXISTS;
        (old == EXISTS_CLEAN && changed).then_some(EXISTS)
    });
    if updated {
        return write(object, &map);
    }
    done()
}
