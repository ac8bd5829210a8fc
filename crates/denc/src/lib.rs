//! Ceph's encoding ("denc"): how values become bytes and come back.
//!
//! Everything is little-endian; containers carry a `u32` count; versioned types wear an envelope
//! (`u8 version, u8 compat, u32 length`). Encoding appends to a caller's [`BytesMut`]; decoding
//! reads from a [`Reader`] that shares the received buffer and never allocates from a length it
//! has not checked against the bytes that are really there.
//!
//! Invariants: decoding never panics, whatever the bytes; a decoder consumes no byte outside its
//! envelope; an encoder's only input besides the value is the peer's feature bits.

#![forbid(unsafe_code)]

mod container;
mod crc;
mod declare;
mod error;
mod primitive;
mod reader;
mod versioned;

pub use bytes::{Bytes, BytesMut};
pub use container::{decode_blob_with, encode_blob_with, encode_bytes, encode_list, encode_str};
pub use crc::ceph_crc32c;
pub use declare::Kept;
pub use error::DecodeError;
pub use reader::Reader;
pub use versioned::{
    Envelope, decode_versioned, decode_versioned_min, encode_versioned, encode_versioned_with_tail,
};

/// A set of Ceph feature bits (`CEPH_FEATURE_*`): what the reader of an encoding understands.
pub type Features = u64;

/// A value that can be written in Ceph's encoding.
pub trait Encode {
    /// Appends the encoding to `out`, in the form that a peer with `features` reads.
    fn encode(&self, out: &mut BytesMut, features: Features);

    /// The encoding as a buffer of its own.
    fn to_bytes(&self, features: Features) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out, features);
        out.freeze()
    }
}

/// A value that can be read from Ceph's encoding.
pub trait Decode: Sized {
    /// Reads one value, advancing `r` exactly past it. On error the position of `r` is unspecified.
    fn decode(r: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads one value from a whole buffer and refuses bytes left over.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}
