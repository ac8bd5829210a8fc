//! Images of format 1: the header is the object's data, with the snapshots behind it.
//!
//! 112 bytes of header, then id and size of each snapshot, newest first, then their names, each
//! with a zero byte behind it.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, BytesMut, Encode};

use super::store::{args, done, find};
use crate::{Done, Object};

/// `rbd_obj_header_ondisk` without the snapshots.
const LENGTH: usize = 112;
const IMAGE_SIZE: usize = 80;
const SNAP_SEQ: usize = 88;
const SNAP_COUNT: usize = 96;
const SNAP_NAMES_LEN: usize = 104;
/// Id and size of a snapshot.
const RECORD: usize = 16;

/// A snapshot of a format 1 image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LegacySnapshot {
    id: u64,
    image_size: u64,
    name: Bytes,
}

/// The header of a format 1 image.
#[derive(Debug, Clone)]
pub(super) struct Header {
    fixed: [u8; LENGTH],
    snap_seq: u64,
    pub snapshots: Vec<LegacySnapshot>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A name ends at its first zero byte.
fn c_string(name: &Bytes) -> Bytes {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.slice(..end)
}

impl Header {
    /// EINVAL if there is no header of format 1; EIO if it does not hold what it says.
    pub(super) fn read(object: &mut dyn Object) -> Result<Self, Errno> {
        let head = object.read(0, LENGTH as u64)?;
        let fixed: [u8; LENGTH] = head[..].try_into().map_err(|_| Errno::EINVAL)?;
        let count = u32_at(&fixed, SNAP_COUNT).ok_or(Errno::EIO)?;
        let names = u64_at(&fixed, SNAP_NAMES_LEN).ok_or(Errno::EIO)?;
        let records = u64::from(count) * RECORD as u64;
        let tail = match records.saturating_add(names) {
            // Reading no bytes would mean reading all.
            0 => Bytes::new(),
            length => object.read(LENGTH as u64, length)?,
        };
        Header::parse(fixed, count, tail).ok_or(Errno::EIO)
    }

    fn parse(fixed: [u8; LENGTH], count: u32, tail: Bytes) -> Option<Self> {
        let mut names = tail.slice((count as usize).checked_mul(RECORD)?.min(tail.len())..);
        let mut snapshots = Vec::new();
        for i in 0..count as usize {
            let name = c_string(&names);
            // The zero byte must be there.
            names = names.slice(name.len()..);
            names = if names.is_empty() { return None } else { names.slice(1..) };
            let id = u64_at(&tail, i * RECORD)?;
            let image_size = u64_at(&tail, i * RECORD + 8)?;
            snapshots.push(LegacySnapshot { id, image_size, name });
        }
        let snap_seq = u64_at(&fixed, SNAP_SEQ)?;
        Some(Header { fixed, snap_seq, snapshots })
    }

    fn image_size(&self) -> u64 {
        u64_at(&self.fixed, IMAGE_SIZE).unwrap_or_default()
    }

    fn write(mut self, object: &mut dyn Object) -> Done {
        let names: u64 = self.snapshots.iter().map(|s| s.name.len() as u64 + 1).sum();
        let count = u32::try_from(self.snapshots.len()).map_err(|_| Errno::EDQUOT)?;
        self.fixed[SNAP_SEQ..][..8].copy_from_slice(&self.snap_seq.to_le_bytes());
        self.fixed[SNAP_COUNT..][..4].copy_from_slice(&count.to_le_bytes());
        self.fixed[SNAP_NAMES_LEN..][..8].copy_from_slice(&names.to_le_bytes());
        let mut out = BytesMut::from(&self.fixed[..]);
        for snapshot in &self.snapshots {
            (snapshot.id, snapshot.image_size).encode(&mut out, 0);
        }
        for snapshot in &self.snapshots {
            out.extend_from_slice(&snapshot.name);
            out.extend_from_slice(&[0]);
        }
        object.write_full(out.freeze(), 0)?;
        done()
    }

    fn position(&self, name: &Bytes) -> Option<usize> {
        self.snapshots.iter().position(|snapshot| snapshot.name == *name)
    }
}

pub(super) fn snap_list(object: &mut dyn Object, _: Bytes) -> Done {
    let header = Header::read(object)?;
    let mut out = BytesMut::new();
    (header.snap_seq, header.snapshots.len() as u32).encode(&mut out, 0);
    for snapshot in header.snapshots {
        (snapshot.id, snapshot.image_size, snapshot.name).encode(&mut out, 0);
    }
    Ok(out.freeze().into())
}

pub(super) fn snap_add(object: &mut dyn Object, input: Bytes) -> Done {
    let mut header = Header::read(object)?;
    let (name, id): (Bytes, u64) = args(input)?;
    let name = c_string(&name);
    if header.snap_seq > id {
        return Err(Errno::ESTALE);
    }
    let limit: u64 = find(object, "snap_limit")?.unwrap_or(u64::MAX);
    if header.snapshots.len() as u64 >= limit {
        return Err(Errno::EDQUOT);
    }
    if header.position(&name).is_some() {
        return Err(Errno::EEXIST);
    }
    let image_size = header.image_size();
    header.snap_seq = id;
    header.snapshots.insert(0, LegacySnapshot { id, image_size, name });
    header.write(object)
}

pub(super) fn snap_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let mut header = Header::read(object)?;
    let name: Bytes = args(input)?;
    let at = header.position(&c_string(&name)).ok_or(Errno::ENOENT)?;
    header.snapshots.remove(at);
    header.write(object)
}

pub(super) fn snap_rename(object: &mut dyn Object, input: Bytes) -> Done {
    let mut header = Header::read(object)?;
    let (id, name): (u64, Bytes) = args(input)?;
    let name = c_string(&name);
    if header.position(&name).is_some() {
        return Err(Errno::EEXIST);
    }
    let snapshot = header.snapshots.iter_mut().find(|snapshot| snapshot.id == id);
    snapshot.ok_or(Errno::ENOENT)?.name = name;
    header.write(object)
}
