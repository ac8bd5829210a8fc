//! The preamble: 32 bytes that say what follows, under a checksum of their own.
//!
//! ```text
//! u8 tag | u8 segments 1..4 | 4 x { u32 length, u16 alignment } | u8 flags | u8 0 | u32 crc
//! ```
//! With more than one segment the last is not empty: trailing empty segments are not sent.

use seabed_denc::ceph_crc32c;

use crate::CloseReason;

pub(crate) const PREAMBLE_BYTES: usize = 32;
const CRC_AT: usize = PREAMBLE_BYTES - 4;
const FLAGS_AT: usize = 26;
/// What senders write; receivers need not follow it.
const ALIGNMENTS: [u16; 4] = [8, 8, 8, 4096];

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// What a frame is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Tag {
            $($(#[$doc])* $name = $value,)*
        }

        impl Tag {
            /// Every tag, in order of its number.
            pub const ALL: &'static [Tag] = &[$(Tag::$name,)*];

            /// The tag of that number.
            pub fn from_u8(value: u8) -> Option<Tag> {
                match value {
                    $($value => Some(Tag::$name),)*
                    _ => None,
                }
            }
        }
    };
}

tags! {
    /// Kind of the sender, and the receiver's address as the sender sees it.
    Hello = 1,
    /// Method, modes and the first payload.
    AuthRequest = 2,
    /// The method or mode is refused.
    AuthBadMethod = 3,
    /// Server's next payload.
    AuthReplyMore = 4,
    /// Client's next payload.
    AuthRequestMore = 5,
    /// Authentication succeeded.
    AuthDone = 6,
    /// Signature over all bytes of the handshake so far.
    AuthSignature = 7,
    /// A dialler without a session introduces itself.
    ClientIdent = 8,
    /// The acceptor introduces itself: the session is open.
    ServerIdent = 9,
    /// Feature bits are missing.
    IdentMissingFeatures = 10,
    /// A dialler resumes a session.
    SessionReconnect = 11,
    /// The acceptor does not know the session.
    SessionReset = 12,
    /// The reconnect's connect_seq is old.
    SessionRetry = 13,
    /// The reconnect's global_seq is old.
    SessionRetryGlobal = 14,
    /// The session goes on.
    SessionReconnectOk = 15,
    /// The acceptor's own connection wins the race.
    Wait = 16,
    /// A message.
    Message = 17,
    /// Are you there?
    Keepalive2 = 18,
    /// Yes.
    Keepalive2Ack = 19,
    /// Messages up to this number have arrived.
    Ack = 20,
    /// Offer of compression; not negotiated here.
    CompressionRequest = 21,
    /// Answer to it.
    CompressionDone = 22,
}

/// A frame's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) tag: Tag,
    /// 1..=4.
    pub(crate) segments: usize,
    /// Zero beyond `segments`.
    pub(crate) lengths: [u32; 4],
}

impl Preamble {
    /// The shape of a frame with segments of these lengths.
    pub(crate) fn new(tag: Tag, lengths: [u32; 4]) -> Self {
        let segments = lengths.iter().rposition(|&n| n > 0).map_or(1, |last| last + 1);
        Preamble { tag, segments, lengths }
    }

    /// True if an epilogue follows the segments.
    pub(crate) fn has_epilogue(&self) -> bool {
        self.segments > 1
    }

    /// Payload bytes of all segments together.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.lengths.iter().map(|&n| n as usize).sum()
    }

    pub(crate) fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let mut b = [0; PREAMBLE_BYTES];
        b[0] = self.tag as u8;
        b[1] = u8::try_from(self.segments).expect("at most four segments");
        for (i, (len, alignment)) in self.lengths.iter().zip(ALIGNMENTS).enumerate() {
            if i == self.segments {
                break;
            }
            let at = 2 + 6 * i;
            b[at..at + 4].copy_from_slice(&len.to_le_bytes());
            b[at + 4..at + 6].copy_from_slice(&alignment.to_le_bytes());
        }
        let crc = ceph_crc32c(0, &b[..CRC_AT]);
        b[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub(crate) fn decode(b: &[u8; PREAMBLE_BYTES]) -> Result<Self, CloseReason> {
        let expected = u32::from_le_bytes(b[CRC_AT..].try_into().expect("four bytes"));
        let found = ceph_crc32c(0, &b[..CRC_AT]);
        if found != expected {
            return Err(CloseReason::PreambleCrc { found, expected });
        }
        let tag = Tag::from_u8(b[0]).ok_or(CloseReason::UnknownTag(b[0]))?;
        let segments = usize::from(b[1]);
        if !(1..=4).contains(&segments) {
            return Err(CloseReason::Malformed("number of segments"));
        }
        if b[FLAGS_AT] != 0 {
            return Err(CloseReason::Malformed("compressed frame without negotiation"));
        }
        let mut lengths = [0; 4];
        for (i, len) in lengths.iter_mut().enumerate() {
            let at = 2 + 6 * i;
            *len = u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"));
            if i >= segments && *len != 0 {
                return Err(CloseReason::Malformed("length of an unused segment"));
            }
        }
        if segments > 1 && lengths[segments - 1] == 0 {
            return Err(CloseReason::Malformed("empty last segment"));
        }
        Ok(Preamble { tag, segments, lengths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_numbers_one_to_twenty_two() {
        for (i, &tag) in Tag::ALL.iter().enumerate() {
            assert_eq!(tag as usize, i + 1);
            assert_eq!(Tag::from_u8(tag as u8), Some(tag));
        }
        assert_eq!(Tag::from_u8(0), None);
        assert_eq!(Tag::from_u8(23), None);
    }

    #[test]
    fn round_trip_and_every_bit_flip_is_noticed() {
        for lengths in [[41, 0, 0, 0], [41, 7, 0, 0], [41, 0, 0, 9], [0, 0, 0, 0]] {
            let p = Preamble::new(Tag::Message, lengths);
            let b = p.encode();
            assert_eq!(Preamble::decode(&b), Ok(p));
            for bit in 0..PREAMBLE_BYTES * 8 {
                let mut bad = b;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(Preamble::decode(&bad).is_err(), "bit {bit}");
            }
        }
    }

    fn with_crc(mut b: [u8; PREAMBLE_BYTES]) -> Result<Preamble, CloseReason> {
        let crc = ceph_crc32c(0, &b[..CRC_AT]);
        b[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        Preamble::decode(&b)
    }

    #[test]
    fn contradictions_under_a_right_crc_are_refused() {
        let good = Preamble::new(Tag::Message, [41, 7, 0, 0]).encode();
        let change = |at: usize, value: u8| {
            let mut b = good;
            b[at] = value;
            with_crc(b)
        };
        assert_eq!(change(0, 0), Err(CloseReason::UnknownTag(0)));
        assert_eq!(change(0, 99), Err(CloseReason::UnknownTag(99)));
        assert!(matches!(change(1, 0), Err(CloseReason::Malformed(_))));
        assert!(matches!(change(1, 5), Err(CloseReason::Malformed(_))));
        assert!(matches!(change(1, 1), Err(CloseReason::Malformed(_))));
        assert!(matches!(change(1, 3), Err(CloseReason::Malformed(_))));
        assert!(matches!(change(FLAGS_AT, 1), Err(CloseReason::Malformed(_))));
    }
}
