//! The checksum of a block.

use bytes::Bytes;

use crate::BLOCK;

/// crc32c (Castagnoli, inverted at both ends) of a block.
pub(crate) fn checksum(block: &[u8]) -> u32 {
    crc32c::crc32c(block)
}

/// The checksums of pieces of whole blocks.
pub(crate) fn checksums(pieces: &[Bytes]) -> Vec<u32> {
    let blocks = pieces.iter().flat_map(|p| p.chunks(BLOCK as usize));
    blocks.map(checksum).collect()
}
