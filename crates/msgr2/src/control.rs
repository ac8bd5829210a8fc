//! Control frames: everything in segment 0, plain fields without an envelope.
//!
//! A decoder leaves bytes behind the known fields alone (a later release may have added them) and
//! bounds every list by the frame, which the limits bound.

use seabed_cluster::{EntityAddr, EntityAddrVec, EntityType, UTime, feature};
use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Reader};

use crate::CloseReason;
use crate::frame::{Frame, Tag};

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub(crate) struct $name {
                $($(#[$fdoc])* pub(crate) $field: $type,)*
            }

            impl $name {
                fn encode(&self, out: &mut BytesMut) {
                    let _ = &out; // not used by a payload without fields
                    $(self.$field.encode(out, feature::MSG_ADDR2);)*
                }

                fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
                    let _ = &r;
                    Ok($name { $($field: Decode::decode(r)?,)* })
                }
            }
        )*

        /// A control frame, decoded. Compression is never negotiated, so its frames are not here.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) enum Control {
            $($name($name),)*
        }

        impl Control {
            pub(crate) fn tag(&self) -> Tag {
                match self {
                    $(Control::$name(_) => Tag::$name,)*
                }
            }

            pub(crate) fn payload(&self) -> Bytes {
                let mut out = BytesMut::new();
                match self {
                    $(Control::$name(p) => p.encode(&mut out),)*
                }
                out.freeze()
            }

            /// `None` for tags that are no control frame known here.
            fn decode(tag: Tag, r: &mut Reader) -> Option<Result<Control, DecodeError>> {
                Some(match tag {
                    $(Tag::$name => $name::decode(r).map(Control::$name),)*
                    Tag::Message | Tag::CompressionRequest | Tag::CompressionDone => return None,
                })
            }
        }

        $(
            impl From<$name> for Control {
                fn from(p: $name) -> Control {
                    Control::$name(p)
                }
            }
        )*
    };
}

payloads! {
    /// Kind of the sender; the receiver's address as the sender sees it.
    Hello { kind: EntityType, peer_addr: EntityAddr, }
    AuthRequest { method: u32, modes: Vec<u32>, payload: Bytes, }
    AuthBadMethod { method: u32, result: i32, methods: Vec<u32>, modes: Vec<u32>, }
    AuthReplyMore { payload: Bytes, }
    AuthRequestMore { payload: Bytes, }
    AuthDone { global_id: u64, mode: u32, payload: Bytes, }
    AuthSignature { signature: [u8; 32], }
    ClientIdent {
        addrs: EntityAddrVec,
        target: EntityAddr,
        gid: i64,
        global_seq: u64,
        supported: u64,
        required: u64,
        flags: u64,
        cookie: u64,
    }
    ServerIdent {
        addrs: EntityAddrVec,
        gid: i64,
        global_seq: u64,
        supported: u64,
        required: u64,
        flags: u64,
        cookie: u64,
    }
    IdentMissingFeatures { features: u64, }
    SessionReconnect {
        addrs: EntityAddrVec,
        client_cookie: u64,
        server_cookie: u64,
        global_seq: u64,
        connect_seq: u64,
        /// The last message the sender has received.
        msg_seq: u64,
    }
    SessionReset { full: bool, }
    SessionRetry { connect_seq: u64, }
    SessionRetryGlobal { global_seq: u64, }
    SessionReconnectOk { msg_seq: u64, }
    Wait {}
    Keepalive2 { stamp: UTime, }
    Keepalive2Ack { stamp: UTime, }
    Ack { seq: u64, }
}

/// Bit 0 of the flags of both idents.
pub(crate) const FLAG_LOSSY: u64 = 1;

impl Control {
    /// Decodes a frame that is not a message.
    pub(crate) fn from_frame(frame: Frame) -> Result<Control, CloseReason> {
        let [payload, ..] = frame.segments;
        match Control::decode(frame.tag, &mut Reader::new(payload)) {
            Some(Ok(control)) => Ok(control),
            Some(Err(source)) => Err(CloseReason::Decode { tag: frame.tag, source }),
            None => Err(CloseReason::Unexpected { tag: frame.tag, phase: "no compression" }),
        }
    }
}
