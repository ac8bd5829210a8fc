//! Why a connection ends. One matchable list; nothing in it is only a string.

use std::time::Duration;

use seabed_denc::DecodeError;
use thiserror::Error;

use crate::frame::Tag;

/// Why a connection was closed. The first group is the peer's fault on the wire, the second a
/// refusal of the handshake, the third time, the fourth our own decision or the transport's end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The first bytes are not an msgr2 banner (a v1 peer, or something else entirely).
    #[error("the peer does not speak msgr2")]
    NotMsgr2,
    /// The banner announces more payload than any release sends.
    #[error("banner payload of {0} bytes")]
    BannerLength(u16),
    /// The preamble's checksum is wrong: nothing behind it can be trusted.
    #[error("preamble crc {found:#010x}, expected {expected:#010x}")]
    PreambleCrc {
        /// As computed.
        found: u32,
        /// As carried.
        expected: u32,
    },
    /// A segment's checksum is wrong.
    #[error("segment {segment} crc {found:#010x}, expected {expected:#010x}")]
    SegmentCrc {
        /// Which segment, 0..=3.
        segment: usize,
        /// As computed.
        found: u32,
        /// As carried.
        expected: u32,
    },
    /// A preamble whose fields contradict each other or the tag.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
    /// A tag that no release knows.
    #[error("unknown frame tag {0}")]
    UnknownTag(u8),
    /// A segment above the limit for its kind of frame and phase.
    #[error("{tag:?} segment {segment} of {len} bytes, limit {limit}")]
    TooLarge {
        /// The frame's tag.
        tag: Tag,
        /// Which segment.
        segment: usize,
        /// As announced.
        len: u32,
        /// The limit that holds.
        limit: u32,
    },
    /// A known frame at a point of the protocol where it may not come.
    #[error("{tag:?} while in phase {phase}")]
    Unexpected {
        /// The frame's tag.
        tag: Tag,
        /// The phase's name.
        phase: &'static str,
    },
    /// A control frame's payload does not decode.
    #[error("{tag:?}: {source}")]
    Decode {
        /// The frame's tag.
        tag: Tag,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A message number was skipped: something between was lost.
    #[error("message {found} where {expected} is due")]
    SequenceGap {
        /// What had to come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The peer acknowledges what was never sent.
    #[error("acknowledgement of {acked}, sent only up to {sent}")]
    AckBeyondSent {
        /// The acknowledged number.
        acked: u64,
        /// The last one sent.
        sent: u64,
    },
    /// More rounds of a handshake step than any honest peer needs.
    #[error("too many rounds of {0}")]
    TooManyRounds(&'static str),

    /// Banner features that one side requires and the other lacks.
    #[error("msgr2 features {0:#x} required, not supported")]
    BannerFeatures(u64),
    /// We do not allow what the peer offers, or it does not allow what we offer.
    #[error("authentication refused: {0}")]
    AuthRefused(#[from] seabed_cephx::AuthError),
    /// AUTH_SIGNATURE does not match.
    #[error("wrong authentication signature")]
    BadSignature,
    /// Connection feature bits that one side requires and the other lacks.
    #[error("features {0:#x} required of us, which we lack")]
    WeLackFeatures(u64),
    /// As above, the other way round.
    #[error("features {0:#x} required of the peer, which it lacks")]
    PeerLacksFeatures(u64),
    /// The peer is of another kind than the one dialled.
    #[error("another kind of peer than expected")]
    WrongPeer,
    /// The peer's identification does not name the address that was dialled, or names none.
    #[error("the peer's addresses do not contain the one dialled")]
    WrongAddress,
    /// A cookie that contradicts the lossy flag, or a flag that contradicts policy.
    #[error("session flags and cookie contradict each other")]
    BadSession,
    /// The peer has a newer connection of the same process than this one.
    #[error("stale connection attempt")]
    Stale,
    /// The peer asks us to wait: its own connection to us wins.
    #[error("the peer's own connection wins the race")]
    Wait,

    /// No session within the time.
    #[error("handshake not finished within {0:?}")]
    HandshakeTimeout(Duration),
    /// Nothing heard although keepalives were sent.
    #[error("nothing heard for {0:?}")]
    KeepaliveTimeout(Duration),
    /// Neither side had anything to say for long.
    #[error("idle for {0:?}")]
    IdleTimeout(Duration),

    /// The transport ended or failed (the hand says so).
    #[error("transport closed")]
    Transport,
    /// Closed by this side's owner.
    #[error("closed locally")]
    Local,
    /// The peer does not read what it is sent: the backlog of a lossy session is full.
    #[error("peer too slow: backlog full")]
    SlowPeer,
    /// A newer connection of the same peer took over.
    #[error("replaced by a newer connection")]
    Replaced,
}
