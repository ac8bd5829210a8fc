//! The versioned envelope: `u8 version, u8 compat, u32 length, body`.
//!
//! A reader skips what it does not know at the end of the body and refuses a body whose `compat`
//! is newer than it is. Types that must be re-encoded without loss keep the skipped end: they
//! decode with [`Envelope`] in hand and store `tail`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Decode, DecodeError, Reader};

/// What an envelope said, and what the body's reader did not consume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// `struct_v`.
    pub version: u8,
    /// `struct_compat`.
    pub compat: u8,
    /// Bytes at the end of the body that this release does not know.
    pub tail: Bytes,
}

/// Writes an envelope around whatever `body` appends.
pub fn encode_versioned(
    out: &mut BytesMut,
    version: u8,
    compat: u8,
    body: impl FnOnce(&mut BytesMut),
) {
    out.put_u8(version);
    out.put_u8(compat);
    crate::encode_blob_with(out, body);
}

/// As [`encode_versioned`], with `tail` (kept from a newer release's encoding) behind the body.
pub fn encode_versioned_with_tail(
    out: &mut BytesMut,
    version: u8,
    compat: u8,
    tail: &[u8],
    body: impl FnOnce(&mut BytesMut),
) {
    encode_versioned(out, version, compat, |out| {
        body(out);
        out.put_slice(tail);
    });
}

/// Reads an envelope; `body` gets a reader over exactly the body and the version found.
/// Returns the value and the envelope, whose `tail` is what `body` left.
///
/// Errors: [`DecodeError::TooNew`] if `compat` is above `known`.
pub fn decode_versioned<T>(
    r: &mut Reader,
    what: &'static str,
    known: u8,
    body: impl FnOnce(&mut Reader, u8) -> Result<T, DecodeError>,
) -> Result<(T, Envelope), DecodeError> {
    decode_versioned_min(r, what, known, 0, body)
}

/// As [`decode_versioned`], and refuses versions below `oldest`.
pub fn decode_versioned_min<T>(
    r: &mut Reader,
    what: &'static str,
    known: u8,
    oldest: u8,
    body: impl FnOnce(&mut Reader, u8) -> Result<T, DecodeError>,
) -> Result<(T, Envelope), DecodeError> {
    let version = u8::decode(r)?;
    let compat = u8::decode(r)?;
    if compat > known {
        return Err(DecodeError::TooNew { what, compat, known });
    }
    if version < oldest {
        return Err(DecodeError::TooOld { what, version, oldest });
    }
    let n = r.count(what, 1)?;
    let mut sub = r.sub(n)?;
    let value = body(&mut sub, version)?;
    Ok((value, Envelope { version, compat, tail: sub.take_rest() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encode;

    #[test]
    fn the_tail_is_skipped_and_kept() {
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 3, 1, |out| {
            7u32.encode(out, 0);
            out.put_slice(b"new");
        });
        out.put_u8(9);
        let mut r = Reader::new(out.freeze());
        let (v, env) = decode_versioned(&mut r, "t", 2, |r, v| {
            assert_eq!(v, 3);
            u32::decode(r)
        })
        .unwrap();
        assert_eq!((v, env.version, &env.tail[..]), (7, 3, &b"new"[..]));
        assert_eq!(u8::decode(&mut r), Ok(9));
    }

    #[test]
    fn a_newer_compat_is_refused() {
        let mut out = BytesMut::new();
        encode_versioned(&mut out, 9, 8, |_| {});
        let mut r = Reader::new(out.freeze());
        assert!(matches!(
            decode_versioned(&mut r, "t", 7, |_, _| Ok(())),
            Err(DecodeError::TooNew { compat: 8, known: 7, .. })
        ));
    }
}
