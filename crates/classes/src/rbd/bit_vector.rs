//! `BitVector<2>`: one of four states for each data object of an image, with checksums.
//!
//! Stored: `u32` length of the header, header, two bits per element (the first of a byte in its
//! highest bits), `u32` length of the footer, and the footer: CRC of the header, number of blocks,
//! CRC of each block of 4096 bytes. Without checksums the footer is empty.

use std::ops::Range;

use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, ceph_crc32c, decode_blob_with,
    decode_versioned, encode_blob_with, encode_versioned,
};

/// Bytes that one checksum covers.
pub(super) const BLOCK: usize = 4096;
/// Elements in a byte.
const PER_BYTE: u64 = 4;

/// How many elements there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub size: u64,
}

impl Encode for Header {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| self.size.encode(out, features));
    }
}

impl Decode for Header {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (size, _) = decode_versioned(r, "object map header", 1, |r, _| u64::decode(r))?;
        Ok(Header { size })
    }
}

/// `u32` length and [`Header`].
pub(super) const HEADER_LENGTH: u64 = 18;

impl Header {
    /// Bytes of the elements.
    pub(super) fn data_length(&self) -> u64 {
        self.size.div_ceil(PER_BYTE)
    }

    /// Where the footer begins: behind its own length.
    pub(super) fn footer_at(&self) -> u64 {
        HEADER_LENGTH + self.data_length() + 4
    }

    /// Where the checksum of a block stands.
    pub(super) fn crc_at(&self, block: u64) -> u64 {
        self.footer_at() + 8 + 4 * block
    }
}

/// Checksums of the blocks.
pub(super) fn block_crcs(data: &[u8]) -> impl Iterator<Item = u32> {
    data.chunks(BLOCK).map(|block| ceph_crc32c(0, block))
}

/// Elements at two bits each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitVector {
    size: u64,
    data: Vec<u8>,
}

/// Where in its byte an element is.
fn shift(index: u64) -> u32 {
    6 - 2 * (index % PER_BYTE) as u32
}

impl BitVector {
    /// A part of a vector: `data` begins with element 0 of this one.
    pub(super) fn from_data(data: Vec<u8>) -> Self {
        BitVector { size: data.len() as u64 * PER_BYTE, data }
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// True without any element.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The element; the index is below [`BitVector::len`].
    pub fn get(&self, index: u64) -> u8 {
        self.data[(index / PER_BYTE) as usize] >> shift(index) & 3
    }

    /// Sets an element; the index is below [`BitVector::len`].
    pub fn set(&mut self, index: u64, state: u8) {
        let byte = &mut self.data[(index / PER_BYTE) as usize];
        *byte = *byte & !(3 << shift(index)) | (state & 3) << shift(index);
    }

    /// Sets elements to what `change` makes of them, `None` being no change. True if any changed.
    pub fn update(
        &mut self,
        range: Range<u64>,
        mut change: impl FnMut(u64, u8) -> Option<u8>,
    ) -> bool {
        let mut updated = false;
        for index in range {
            if let Some(state) = change(index, self.get(index)) {
                self.set(index, state);
                updated = true;
            }
        }
        updated
    }

    /// Cuts, or extends with `state`.
    pub fn resize(&mut self, size: u64, state: u8) {
        let before = std::mem::replace(&mut self.size, size);
        let mut at = before.min(size);
        self.data.truncate(size.div_ceil(PER_BYTE) as usize);
        // Single elements up to a whole byte, then whole bytes, whose unused end is zero.
        while at < size && !at.is_multiple_of(PER_BYTE) {
            self.set(at, state);
            at += 1;
        }
        if at < size {
            self.data.resize((size / PER_BYTE) as usize, 0x55 * (state & 3));
            self.data.resize(size.div_ceil(PER_BYTE) as usize, 0);
            for index in size / PER_BYTE * PER_BYTE..size {
                self.set(index, state);
            }
        }
    }

    /// The encoding; `checked`: with checksums.
    pub fn encode(&self, checked: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(self.data.len() + 64);
        let header = Header { size: self.size }.to_bytes(0);
        header.encode(&mut out, 0);
        out.extend_from_slice(&self.data);
        encode_blob_with(&mut out, |out| {
            if checked {
                ceph_crc32c(0, &header).encode(out, 0);
                block_crcs(&self.data).collect::<Vec<u32>>().encode(out, 0);
            }
        });
        out.freeze()
    }
}

/// Footers' contents.
#[derive(Debug)]
struct Footer(Option<(u32, Vec<u32>)>);

impl Decode for Footer {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        decode_blob_with(r, |r| {
            Ok(Footer(if r.is_empty() { None } else { Some(Decode::decode(r)?) }))
        })
    }
}

fn check(what: &'static str, found: u32, expected: u32) -> Result<(), DecodeError> {
    if found == expected { Ok(()) } else { Err(DecodeError::Crc { what, found, expected }) }
}

impl Decode for BitVector {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let raw = Bytes::decode(r)?;
        let header = Header::decode(&mut Reader::new(raw.clone()))?;
        let length = usize::try_from(header.data_length()).unwrap_or(usize::MAX);
        let data = r.take(length)?;
        if let Footer(Some((header_crc, crcs))) = Footer::decode(r)? {
            check("object map header", ceph_crc32c(0, &raw), header_crc)?;
            let blocks = length.div_ceil(BLOCK);
            if crcs.len() != blocks {
                return Err(DecodeError::Short { need: blocks, have: crcs.len() });
            }
            for (found, expected) in block_crcs(&data).zip(crcs) {
                check("object map block", found, expected)?;
            }
        }
        Ok(BitVector { size: header.size, data: data.to_vec() })
    }
}

/// With checksums.
impl Encode for BitVector {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        out.extend_from_slice(&BitVector::encode(self, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen existing objects, as Ceph stores them.
    const EXISTING: &str = "0e0000000101080000001000000000000000555555550c000000e6b3c16e01000000\
                            47bed391";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn is_stored_as_ceph_stores_it() {
        let mut vector = BitVector::default();
        vector.resize(16, 1);
        let bytes = vector.to_bytes(0);
        assert_eq!(hex(&bytes), EXISTING);
        assert_eq!(BitVector::from_bytes(bytes), Ok(vector));
    }

    #[test]
    fn resizing_by_bytes_equals_resizing_one_by_one() {
        for (before, after) in [(0, 0), (0, 3), (3, 5), (5, 4), (2, 4), (1, 21), (9, 16), (4, 19)] {
            let mut vector = BitVector::default();
            vector.resize(before, 2);
            vector.resize(after, 3);
            let want = (0..after).map(|i| if i < before { 2 } else { 3 });
            assert!((0..after).map(|i| vector.get(i)).eq(want), "{before} to {after}");
            assert_eq!(vector.data.len() as u64, after.div_ceil(4));
        }
    }

    #[test]
    fn a_changed_bit_is_found() {
        let mut vector = BitVector::default();
        vector.resize(40_000, 1);
        let bytes = vector.to_bytes(0);
        for at in [10, 20, 5000, bytes.len() - 1] {
            let mut bad = bytes.to_vec();
            bad[at] ^= 4;
            assert!(BitVector::from_bytes(bad.into()).is_err(), "byte {at}");
        }
    }
}
