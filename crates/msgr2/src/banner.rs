//! The banner: the first bytes either side sends, without waiting for the other's.
//!
//! ```text
//! "ceph v2\n" (8) | u16 payload length = 16 | u64 supported | u64 required
//! ```
//! A longer payload is tolerated and skipped. Feature bit 0 is revision 1 of the protocol
//! (msgr2.1); bit 1, compression, is not offered: with it on both sides another round would follow.

use bytes::{BufMut, BytesMut};

use crate::CloseReason;

const MAGIC: &[u8; 8] = b"ceph v2\n";
/// Bit 0: msgr2.1 framing, the only one spoken here.
pub(crate) const REVISION_1: u64 = 1;
/// No release sends more than 16; the slack is for features to come.
const PAYLOAD_BYTES_MAX: u16 = 256;
const PREFIX_BYTES: usize = MAGIC.len() + 2;
const PAYLOAD_BYTES_MIN: usize = 16;

/// Appends our banner. Revision 1 is required: every client since 14.2.11 has it.
pub(crate) fn encode(out: &mut BytesMut) {
    out.put_slice(MAGIC);
    out.put_u16_le(16);
    out.put_u64_le(REVISION_1);
    out.put_u64_le(REVISION_1);
}

/// Parses a banner at the start of `bytes`: its length, or `None` while it is incomplete. Refuses
/// at the first byte that differs.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<usize>, CloseReason> {
    let n = bytes.len().min(MAGIC.len());
    if bytes[..n] != MAGIC[..n] {
        return Err(CloseReason::NotMsgr2);
    }
    let Some(&[lo, hi]) = bytes.get(MAGIC.len()..PREFIX_BYTES) else {
        return Ok(None);
    };
    let len = u16::from_le_bytes([lo, hi]);
    if usize::from(len) < PAYLOAD_BYTES_MIN || len > PAYLOAD_BYTES_MAX {
        return Err(CloseReason::BannerLength(len));
    }
    let end = PREFIX_BYTES + usize::from(len);
    if bytes.len() < end {
        return Ok(None);
    }
    let word = |at: usize| {
        let bytes = bytes[PREFIX_BYTES + at..][..8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (supported, required) = (word(0), word(8));
    if required & !REVISION_1 != 0 {
        return Err(CloseReason::BannerFeatures(required & !REVISION_1));
    }
    if supported & REVISION_1 == 0 {
        return Err(CloseReason::BannerFeatures(REVISION_1));
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(supported: u64, required: u64) -> BytesMut {
        let mut b = BytesMut::new();
        encode(&mut b);
        b[10..18].copy_from_slice(&supported.to_le_bytes());
        b[18..26].copy_from_slice(&required.to_le_bytes());
        b
    }

    #[test]
    fn every_prefix_is_incomplete_and_the_whole_is_read() {
        let b = banner(1, 1);
        for n in 0..b.len() {
            assert_eq!(parse(&b[..n]), Ok(None));
        }
        assert_eq!(parse(&b), Ok(Some(26)));
        // Reef: compression supported, nothing required; Pacific: revision 1 only.
        assert_eq!(parse(&banner(3, 0)), Ok(Some(26)));
        assert_eq!(parse(&banner(1, 0)), Ok(Some(26)));
    }

    #[test]
    fn strangers_are_refused_at_once() {
        assert_eq!(parse(b"GET / HTTP"), Err(CloseReason::NotMsgr2));
        assert_eq!(parse(b"ceph v027"), Err(CloseReason::NotMsgr2));
        assert_eq!(parse(b"c"), Ok(None));
        assert_eq!(parse(&banner(0, 0)), Err(CloseReason::BannerFeatures(1)));
        assert_eq!(parse(&banner(7, 6)), Err(CloseReason::BannerFeatures(6)));
    }

    #[test]
    fn payload_lengths_are_bounded() {
        let mut b = banner(1, 0);
        b[8..10].copy_from_slice(&15u16.to_le_bytes());
        assert_eq!(parse(&b), Err(CloseReason::BannerLength(15)));
        b[8..10].copy_from_slice(&257u16.to_le_bytes());
        assert_eq!(parse(&b), Err(CloseReason::BannerLength(257)));
        b[8..10].copy_from_slice(&18u16.to_le_bytes());
        assert_eq!(parse(&b), Ok(None));
        b.put_u16_le(0);
        assert_eq!(parse(&b), Ok(Some(28)));
    }
}
