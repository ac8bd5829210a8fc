//! The unknown end of a struct that a newer release wrote.

use bytes::Bytes;
use seabed_denc::{BytesMut, Envelope, encode_versioned_with_tail};

/// Kept so that what was received is passed on whole. Empty for what is made here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tail {
    /// The version of the struct it belongs to.
    pub version: u8,
    /// The bytes behind the fields known here.
    pub bytes: Bytes,
}

impl Tail {
    /// What decoding left, if the struct is of a newer version than `known`.
    pub(crate) fn of(envelope: Envelope, known: u8) -> Tail {
        if envelope.version <= known && envelope.tail.is_empty() {
            return Tail::default();
        }
        Tail { version: envelope.version, bytes: envelope.tail }
    }

    /// An envelope of the version that the tail needs, at least `version`.
    pub(crate) fn encode_around(
        &self,
        out: &mut BytesMut,
        version: u8,
        compat: u8,
        body: impl FnOnce(&mut BytesMut),
    ) {
        encode_versioned_with_tail(out, version.max(self.version), compat, &self.bytes, body);
    }
}
