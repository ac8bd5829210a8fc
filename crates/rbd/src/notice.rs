//! What clients that share an image tell each other, by notifies on its header: librbd's words.
//!
//! ```text
//! envelope(7, 1) { u32 kind | by kind: the client, and more }
//! answer: envelope(1, 1) { i32 0 or negative errno }
//! ```
//!
//! Layouts are those of recorded sessions of Ceph 16.2 (`c05`, `c13`).

// The macros that declare the wire's types make them `pub`.
#![allow(unreachable_pub)]

use seabed_cluster::Errno;
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned, plain,
};

plain! {
    /// A client, and its watch on the header.
    #[derive(Copy)]
    pub struct ClientId {
        gid: u64,
        handle: u64,
    }
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// This client has the lock now.
    Acquired(ClientId),
    /// This client has it no more.
    Released(ClientId),
    /// This client wants it; who has it answers, and gives it up.
    Request(ClientId),
    /// The header has changed.
    HeaderUpdate,
    /// Asks the lock's owner to do something, by librbd's number. What is not done here is
    /// refused, and the asker takes the lock and does it itself.
    Other(u32),
}

const ACQUIRED: u32 = 0;
const RELEASED: u32 = 1;
const REQUEST: u32 = 2;
const HEADER_UPDATE: u32 = 3;

impl Notice {
    /// True if the owner of the lock must answer.
    pub(crate) fn is_request(&self) -> bool {
        // 4 and 5 are progress and end of what was asked for; 18 and 19 ask every client to hold
        // still around a snapshot.
        matches!(self, Notice::Other(kind) if !matches!(kind, 4 | 5 | 18 | 19))
            || matches!(self, Notice::Request(_))
    }
}

impl Encode for Notice {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 7, 1, |out| match self {
            Notice::Acquired(client) => (ACQUIRED, *client).encode(out, features),
            Notice::Released(client) => (RELEASED, *client).encode(out, features),
            // Not by force: an owner that must not lose it says no.
            Notice::Request(client) => (REQUEST, *client, false).encode(out, features),
            Notice::HeaderUpdate => HEADER_UPDATE.encode(out, features),
            Notice::Other(kind) => kind.encode(out, features),
        });
    }
}

impl Decode for Notice {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (notice, _) = decode_versioned(r, "NotifyMessage", 7, |r, _| {
            Ok(match u32::decode(r)? {
                ACQUIRED => Notice::Acquired(Decode::decode(r)?),
                RELEASED => Notice::Released(Decode::decode(r)?),
                REQUEST => Notice::Request(Decode::decode(r)?),
                HEADER_UPDATE => Notice::HeaderUpdate,
                kind => Notice::Other(kind),
            })
        })?;
        Ok(notice)
    }
}

/// The answer of one who must answer.
pub(crate) fn answer(result: Result<(), Errno>) -> Bytes {
    let code = result.map_or_else(Errno::wire, |()| 0);
    let mut out = BytesMut::new();
    encode_versioned(&mut out, 1, 1, |out| code.encode(out, 0));
    out.freeze()
}

/// The answer that a notify got: `None` if nobody had to.
pub(crate) fn read_answers(answers: impl IntoIterator<Item = Bytes>) -> Option<Result<(), Errno>> {
    answers.into_iter().find_map(|bytes| {
        let code = |r: &mut Reader, _| i32::decode(r);
        let (code, _) =
            decode_versioned(&mut Reader::new(bytes), "ResponseMessage", 1, code).ok()?;
        Some(Errno::from_wire(code).map_or(Ok(()), Err))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn words_are_those_of_librbd() {
        // c05 of the recorded sessions.
        let client = ClientId { gid: 0x1271, handle: 0x7f71_9800_5ff0 };
        let acquired = Notice::Acquired(client).to_bytes(0);
        assert_eq!(
            hex(&acquired),
            "0701140000000000000071120000000000\
                                    00f05f0098717f0000"
                .replace(' ', "")
        );
        assert_eq!(Notice::from_bytes(acquired), Ok(Notice::Acquired(client)));
        assert_eq!(hex(&Notice::HeaderUpdate.to_bytes(0)), "07010400000003000000");
        assert_eq!(hex(&answer(Ok(()))), "01010400000000000000");
        assert_eq!(
            read_answers([Bytes::new(), answer(Err(Errno::EROFS))]),
            Some(Err(Errno::EROFS))
        );
        assert_eq!(read_answers([Bytes::new()]), None);
    }

    #[test]
    fn what_is_not_known_is_no_error() {
        let quiesce = Notice::Other(18);
        let mut bytes = quiesce.to_bytes(0).to_vec();
        bytes[2] += 3;
        bytes.extend_from_slice(b"abc");
        assert_eq!(Notice::from_bytes(bytes.into()), Ok(quiesce.clone()));
        assert!(!quiesce.is_request() && Notice::Other(8).is_request());
        assert!(Notice::from_bytes(Bytes::from_static(b"\x07\x01\x02\0\0\0ab")).is_err());
    }
}
