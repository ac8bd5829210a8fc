//! Where an object's bytes are: for each block of the object a block of the device and its
//! checksum, kept in segments of 128 blocks so that a small write rewrites a small record.
//!
//! ```text
//! envelope 1, 1
//!   u32 count of runs
//!   a run: u8 first block in the segment · u8 length − 1 · u64 first block on the device
//!          u32 checksum, as often as the run is long
//! ```

use std::collections::BTreeMap;

use bytes::BufMut;
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};
use seabed_denc::{decode_versioned, encode_versioned};

use crate::BLOCK;

/// Blocks of an object in one segment.
pub(crate) const SEGMENT_BLOCKS: u64 = 128;

/// The largest object: what segment numbers of 32 bits reach, less a margin.
pub(crate) const OBJECT_SIZE_MAX: u64 = 1 << 50;

const _: () = assert!(OBJECT_SIZE_MAX / (SEGMENT_BLOCKS * BLOCK) <= u32::MAX as u64);

/// One block: where, and what it must sum up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) block: u64,
    pub(crate) checksum: u32,
}

/// The blocks of one segment, by their number in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) slots: BTreeMap<u8, Slot>,
}

/// Which segment, and where in it.
pub(crate) fn place(logical: u64) -> (u32, u8) {
    // Objects are limited to OBJECT_SIZE_MAX before they come here.
    ((logical / SEGMENT_BLOCKS) as u32, (logical % SEGMENT_BLOCKS) as u8)
}

impl Segment {
    /// Runs contiguous in the object and on the device.
    fn runs(&self) -> Vec<(u8, Vec<Slot>)> {
        let mut runs: Vec<(u8, Vec<Slot>)> = Vec::new();
        for (&index, &slot) in &self.slots {
            match runs.last_mut() {
                Some((first, run))
                    if usize::from(*first) + run.len() == usize::from(index)
                        && run[0].block + run.len() as u64 == slot.block =>
                {
                    run.push(slot);
                }
                _ => runs.push((index, vec![slot])),
            }
        }
        runs
    }

    /// The blocks on the device.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.slots.values().map(|s| s.block)
    }
}

impl Encode for Segment {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        encode_versioned(out, 1, 1, |out| {
            let runs = self.runs();
            out.put_u32_le(runs.len() as u32);
            for (first, run) in runs {
                out.put_u8(first);
                out.put_u8((run.len() - 1) as u8);
                out.put_u64_le(run[0].block);
                run.iter().for_each(|slot| out.put_u32_le(slot.checksum));
            }
        });
    }
}

impl Decode for Segment {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(decode_versioned(r, "extents", 1, |r, _| decode_runs(r))?.0)
    }
}

fn decode_runs(r: &mut Reader) -> Result<Segment, DecodeError> {
    let invalid = |value| DecodeError::Invalid { what: "extent run", value };
    let mut segment = Segment::default();
    // u8, u8, u64 and one checksum at least.
    for _ in 0..r.count("extents", 14)? {
        let first = u8::decode(r)?;
        let last = u64::from(first) + u64::from(u8::decode(r)?);
        let start = u64::decode(r)?;
        if last >= SEGMENT_BLOCKS || start.checked_add(SEGMENT_BLOCKS).is_none() {
            return Err(invalid(last));
        }
        for (n, index) in (first..=last as u8).enumerate() {
            let slot = Slot { block: start + n as u64, checksum: u32::decode(r)? };
            if segment.slots.insert(index, slot).is_some() {
                return Err(invalid(u64::from(index)));
            }
        }
    }
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_round_trip() {
        let mut segment = Segment::default();
        for (index, block) in [(0, 7), (1, 8), (2, 20), (5, 21), (127, 3)] {
            segment.slots.insert(index, Slot { block, checksum: block as u32 * 3 });
        }
        assert_eq!(segment.runs().len(), 4);
        let bytes = segment.to_bytes(0);
        assert_eq!(Segment::from_bytes(bytes.clone()), Ok(segment));
        for cut in 0..bytes.len() {
            assert!(Segment::from_bytes(bytes.slice(..cut)).is_err());
        }
    }
}
