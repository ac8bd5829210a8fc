//! Frames: the unit of everything behind the banner.
//!
//! ```text
//! preamble (32) | seg0 | u32 crc(seg0) | seg1 | seg2 | seg3 | epilogue (13)
//! ```
//! This is the layout of crc mode. `preamble` describes the frame, [`assemble`] puts one together
//! from bytes cut anywhere, [`seal`] writes one. Secure mode is to become a second form of the last
//! two, chosen where AUTH_DONE names the mode.

pub(crate) mod assemble;
mod header;
mod preamble;
pub(crate) mod seal;

pub(crate) use assemble::{Incoming, Receiver};
pub(crate) use header::{HEADER_BYTES, decode_header, encode_header};
pub(crate) use preamble::{PREAMBLE_BYTES, Preamble};

pub use preamble::Tag;

use bytes::Bytes;

/// Seed of every segment's crc.
pub(crate) const SEGMENT_SEED: u32 = u32::MAX;
/// Late status (4 bits used) and three crcs; present if there are two segments or more.
pub(crate) const EPILOGUE_BYTES: usize = 13;
/// Late status: the frame is whole.
pub(crate) const LATE_COMPLETE: u8 = 0x0e;
/// Late status: the sender gave up while sending; the frame is to be ignored.
pub(crate) const LATE_ABORTED: u8 = 0x01;

/// A frame whose checksums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: Tag,
    pub(crate) segments: [Bytes; 4],
}
