//! The one error of decoding.

use thiserror::Error;

/// Why bytes are not the encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Fewer bytes than the type needs.
    #[error("need {need} more bytes, {have} left")]
    Short {
        /// Bytes wanted.
        need: usize,
        /// Bytes present.
        have: usize,
    },
    /// A count or length says more than the remaining bytes can hold.
    #[error("{what}: count {count} does not fit into {have} bytes")]
    TooLong {
        /// Which container.
        what: &'static str,
        /// The count that was read.
        count: u64,
        /// Bytes present.
        have: usize,
    },
    /// The sender says that older readers must not try.
    #[error("{what}: needs a reader of version {compat}, this one knows {known}")]
    TooNew {
        /// Which type.
        what: &'static str,
        /// The `compat` byte of the envelope.
        compat: u8,
        /// The newest version known here.
        known: u8,
    },
    /// An encoding older than what is supported.
    #[error("{what}: version {version} is too old, the oldest readable is {oldest}")]
    TooOld {
        /// Which type.
        what: &'static str,
        /// The version found.
        version: u8,
        /// The oldest version readable here.
        oldest: u8,
    },
    /// A value outside its domain.
    #[error("{what}: invalid value {value}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// What was found.
        value: u64,
    },
    /// Text that is not UTF-8 where text is required.
    #[error("{what}: not UTF-8")]
    NotUtf8 {
        /// Which field.
        what: &'static str,
    },
    /// Bytes left after a whole value.
    #[error("{left} bytes left over")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A checksum inside the encoding does not match.
    #[error("{what}: crc {found:#010x}, expected {expected:#010x}")]
    Crc {
        /// Which checksum.
        what: &'static str,
        /// As computed.
        found: u32,
        /// As carried.
        expected: u32,
    },
}
