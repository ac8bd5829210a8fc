//! The message header, segment 0 of a MESSAGE frame (`ceph_msg_header2`, 41 bytes packed).
//!
//! ```text
//! u64 seq | u64 tid | u16 type | u16 priority | u16 version
//! | u32 data_pre_padding_len | u16 data_off | u64 ack_seq | u8 flags
//! | u16 compat_version | u16 reserved
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use seabed_messages::Header;

pub(crate) const HEADER_BYTES: usize = 41;

pub(crate) fn encode_header(h: &Header) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    out.put_u64_le(h.seq);
    out.put_u64_le(h.tid);
    out.put_u16_le(h.kind);
    out.put_u16_le(h.priority);
    out.put_u16_le(h.version);
    out.put_u32_le(0);
    out.put_u16_le(h.data_off);
    out.put_u64_le(h.ack_seq);
    out.put_u8(h.flags);
    out.put_u16_le(h.compat_version);
    out.put_u16_le(0);
    out.freeze()
}

/// `bytes` holds exactly [`HEADER_BYTES`]: the limits have checked it. The padding tells where a
/// sender wished the data to lie; no receiver follows it.
pub(crate) fn decode_header(mut bytes: &[u8]) -> Header {
    let b = &mut bytes;
    let (seq, tid) = (b.get_u64_le(), b.get_u64_le());
    let (kind, priority, version) = (b.get_u16_le(), b.get_u16_le(), b.get_u16_le());
    b.advance(4);
    let (data_off, ack_seq, flags) = (b.get_u16_le(), b.get_u64_le(), b.get_u8());
    let compat_version = b.get_u16_le();
    Header { seq, tid, kind, priority, version, compat_version, data_off, ack_seq, flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let bytes: Vec<u8> = (1..=41).collect();
        let h = decode_header(&bytes);
        assert_eq!((h.seq, h.kind), (0x0807_0605_0403_0201, 0x1211));
        let again = encode_header(&h);
        assert_eq!(again.len(), HEADER_BYTES);
        assert_eq!(decode_header(&again), h);
    }
}
