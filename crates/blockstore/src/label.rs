//! The label: the first block of the device, which says what the device is.
//!
//! The drawing is in `docs/disk/label.md`. The checksum stands before everything it covers, so
//! that no field is believed before it.

use seabed_cluster::{OsdId, Uuid};
use thiserror::Error;

use crate::{BLOCK, RESERVED};

/// What the device begins with. The control characters break it in a transfer as text.
pub(crate) const MAGIC: &[u8; 16] = b"seabed osd\r\n\x1a\n\0\0";

/// The newest format known.
pub(crate) const FORMAT: u32 = 1;

/// Features without which a reader must not open the device.
const INCOMPAT_KNOWN: u64 = 0;
/// Features without which a reader must not write to it.
const RO_COMPAT_KNOWN: u64 = 0;

const CHECKSUM_AT: usize = MAGIC.len();
const FORMAT_AT: usize = CHECKSUM_AT + 4;
const COMPAT_AT: usize = FORMAT_AT + 4;
const RO_COMPAT_AT: usize = COMPAT_AT + 8;
const INCOMPAT_AT: usize = RO_COMPAT_AT + 8;
const UUID_AT: usize = INCOMPAT_AT + 8;
const FSID_AT: usize = UUID_AT + 16;
const OSD_AT: usize = FSID_AT + 16;
const BLOCK_AT: usize = OSD_AT + 4;
const SIZE_AT: usize = BLOCK_AT + 4;
const DATA_AT: usize = SIZE_AT + 8;
const SHARDS_AT: usize = DATA_AT + 8;
const END: usize = SHARDS_AT + 4;

const _: () = assert!(END == 108 && END as u64 <= BLOCK);

/// Why a device cannot be opened as an OSD's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelError {
    /// Nothing but zeros.
    #[error("the device is blank: make a store on it first (mkfs)")]
    Blank,
    /// Something else begins here.
    #[error("the device does not carry a Seabed label; it belongs to something else")]
    Foreign,
    /// The label is damaged.
    #[error("the label is damaged: checksum {found:#010x}, expected {expected:#010x}")]
    Damaged {
        /// As computed.
        found: u32,
        /// As stored.
        expected: u32,
    },
    /// Written by a later release.
    #[error("the label has format {found}, this release knows {known}")]
    TooNew {
        /// The format found.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Features of a later release.
    #[error("the device uses features this release does not know: {features:#x}")]
    UnknownFeatures {
        /// The unknown bits.
        features: u64,
    },
    /// Not the geometry this release uses.
    #[error("the label says blocks of {block} bytes, data from {data_start}, {shards} shards")]
    Geometry {
        /// Bytes of a block.
        block: u32,
        /// Where data begins.
        data_start: u64,
        /// How many shards.
        shards: u32,
    },
    /// The device shrank.
    #[error("the label says {label} bytes, the device has {device}")]
    Shrunk {
        /// As stored.
        label: u64,
        /// As found.
        device: u64,
    },
    /// Another OSD's device.
    #[error("the device is that of {found}, wanted {wanted}")]
    OtherOsd {
        /// Which OSD the label names.
        found: Uuid,
        /// Which was asked for.
        wanted: Uuid,
    },
}

/// What the label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The OSD's own id (osd fsid), made at mkfs.
    pub uuid: Uuid,
    /// The cluster.
    pub fsid: Uuid,
    /// The OSD's number.
    pub osd: OsdId,
    /// Bytes of the device at mkfs, whole blocks.
    pub size: u64,
}

impl Label {
    /// The first block of the device.
    pub(crate) fn to_block(&self) -> Vec<u8> {
        let mut b = vec![0u8; BLOCK as usize];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(FORMAT_AT, &FORMAT.to_le_bytes());
        put(COMPAT_AT, &0u64.to_le_bytes());
        put(RO_COMPAT_AT, &RO_COMPAT_KNOWN.to_le_bytes());
        put(INCOMPAT_AT, &INCOMPAT_KNOWN.to_le_bytes());
        put(UUID_AT, &self.uuid.0);
        put(FSID_AT, &self.fsid.0);
        put(OSD_AT, &self.osd.0.to_le_bytes());
        put(BLOCK_AT, &(BLOCK as u32).to_le_bytes());
        put(SIZE_AT, &self.size.to_le_bytes());
        put(DATA_AT, &RESERVED.to_le_bytes());
        put(SHARDS_AT, &1u32.to_le_bytes());
        let sum = crc32c::crc32c(&b[FORMAT_AT..]);
        b[CHECKSUM_AT..FORMAT_AT].copy_from_slice(&sum.to_le_bytes());
        b
    }

    /// Reads the first block of a device of `device` bytes.
    pub(crate) fn from_block(b: &[u8], device: u64) -> Result<Label, LabelError> {
        if b.iter().all(|&x| x == 0) {
            return Err(LabelError::Blank);
        }
        if b.len() != BLOCK as usize || &b[..MAGIC.len()] != MAGIC {
            return Err(LabelError::Foreign);
        }
        let expected = u32::from_le_bytes(array(b, CHECKSUM_AT));
        let found = crc32c::crc32c(&b[FORMAT_AT..]);
        if found != expected {
            return Err(LabelError::Damaged { found, expected });
        }
        let format = u32::from_le_bytes(array(b, FORMAT_AT));
        if format > FORMAT {
            return Err(LabelError::TooNew { found: format, known: FORMAT });
        }
        let incompat = u64::from_le_bytes(array(b, INCOMPAT_AT)) & !INCOMPAT_KNOWN;
        let ro_compat = u64::from_le_bytes(array(b, RO_COMPAT_AT)) & !RO_COMPAT_KNOWN;
        if incompat | ro_compat != 0 {
            return Err(LabelError::UnknownFeatures { features: incompat | ro_compat });
        }
        let block = u32::from_le_bytes(array(b, BLOCK_AT));
        let data_start = u64::from_le_bytes(array(b, DATA_AT));
        let shards = u32::from_le_bytes(array(b, SHARDS_AT));
        if u64::from(block) != BLOCK || data_start != RESERVED || shards != 1 {
            return Err(LabelError::Geometry { block, data_start, shards });
        }
        let size = u64::from_le_bytes(array(b, SIZE_AT));
        if size > device || size < RESERVED {
            return Err(LabelError::Shrunk { label: size, device });
        }
        Ok(Label {
            uuid: Uuid(array(b, UUID_AT)),
            fsid: Uuid(array(b, FSID_AT)),
            osd: OsdId(i32::from_le_bytes(array(b, OSD_AT))),
            size,
        })
    }
}

fn array<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    b[at..at + N].try_into().expect("a slice of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked() {
        let label =
            Label { uuid: Uuid([1; 16]), fsid: Uuid([2; 16]), osd: OsdId(3), size: 1 << 20 };
        let block = label.to_block();
        assert_eq!(Label::from_block(&block, 1 << 20), Ok(label));
        assert!(matches!(Label::from_block(&block, 4096), Err(LabelError::Shrunk { .. })));
        assert_eq!(Label::from_block(&[0; 4096], 9), Err(LabelError::Blank));
        assert_eq!(Label::from_block(&[1; 4096], 9), Err(LabelError::Foreign));
        for at in [FORMAT_AT, UUID_AT, END, 4095] {
            let mut bad = block.clone();
            bad[at] ^= 1;
            assert!(matches!(Label::from_block(&bad, 1 << 20), Err(LabelError::Damaged { .. })));
        }
        let mut newer = block;
        newer[INCOMPAT_AT] = 1;
        let sum = crc32c::crc32c(&newer[FORMAT_AT..]);
        newer[CHECKSUM_AT..FORMAT_AT].copy_from_slice(&sum.to_le_bytes());
        let error = Label::from_block(&newer, 1 << 20).unwrap_err();
        assert_eq!(error, LabelError::UnknownFeatures { features: 1 });
    }
}
