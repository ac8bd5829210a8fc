//! What clients that share an image tell each other, by notifies on its header: librbd's words.
//!
//! ```text
//! envelope(7, 1) { u32 kind | by kind: the client, and more }
//! answer: envelope(1, 1) { i32 0 or negative errno }
//! ```
//!
//! Layouts are those of recorded sessions of Ceph 16.2 (`c05`, `c13`), and of what its clients
//! asked of each other when they were recorded for this.

// The macros that declare the wire's types make them `pub`.
#![allow(unreachable_pub)]

use seabed_classes::rbd::wire::SnapshotNamespace;
use seabed_cluster::{Errno, SnapId};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned, plain,
};

plain! {
    /// A client, and its watch on the header.
    #[derive(Copy, PartialOrd, Ord)]
    pub struct ClientId {
        gid: u64,
        handle: u64,
    }
}

plain! {
    /// Names what one client asks of another.
    #[derive(Copy, PartialOrd, Ord)]
    pub struct AsyncId {
        client: ClientId,
        number: u64,
    }
}

/// What a client asks of the lock's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    CreateSnapshot { name: String, namespace: SnapshotNamespace },
    RemoveSnapshot { name: String, namespace: SnapshotNamespace },
    RenameSnapshot { id: SnapId, name: String },
    ProtectSnapshot { name: String },
    UnprotectSnapshot { name: String },
    Resize { size: u64, shrink: bool },
    Flatten,
    RebuildObjectMap,
    Rename { name: String },
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
    /// So much of what was asked for is done, of all.
    Progress(AsyncId, u64, u64),
    /// What was asked for is done, or has failed: 0 or a negative errno.
    Complete(AsyncId, i32),
    /// Asks the lock's owner to do something.
    Ask(AsyncId, Request),
    /// Another word, by librbd's number. What is not done here is refused, and the asker takes the
    /// lock and does it itself.
    Other(u32),
}

const ACQUIRED: u32 = 0;
const RELEASED: u32 = 1;
const REQUEST: u32 = 2;
const HEADER_UPDATE: u32 = 3;
const PROGRESS: u32 = 4;
const COMPLETE: u32 = 5;
const FLATTEN: u32 = 6;
const RESIZE: u32 = 7;
const SNAP_CREATE: u32 = 8;
const SNAP_REMOVE: u32 = 9;
const REBUILD_OBJECT_MAP: u32 = 10;
const SNAP_RENAME: u32 = 11;
const SNAP_PROTECT: u32 = 12;
const SNAP_UNPROTECT: u32 = 13;
const RENAME: u32 = 14;
/// These two ask every client to hold still around a snapshot.
const QUIESCE: u32 = 18;
const UNQUIESCE: u32 = 19;

impl Notice {
    /// True if this is that client's own word, as far as the word names who said it.
    pub(crate) fn is_from(&self, client: ClientId) -> bool {
        match self {
            Notice::Acquired(who) | Notice::Released(who) | Notice::Request(who) => *who == client,
            Notice::Ask(id, _) => id.client == client,
            Notice::HeaderUpdate
            | Notice::Progress(..)
            | Notice::Complete(..)
            | Notice::Other(_) => false,
        }
    }

    /// True if the owner of the lock must answer.
    pub(crate) fn is_request(&self) -> bool {
        match self {
            Notice::Other(kind) => !matches!(*kind, QUIESCE | UNQUIESCE),
            Notice::Request(_) | Notice::Ask(..) => true,
            _ => false,
        }
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
            Notice::Progress(id, done, all) => (PROGRESS, *id, *done, *all).encode(out, features),
            Notice::Complete(id, result) => (COMPLETE, *id, *result).encode(out, features),
            Notice::Ask(id, request) => encode_request(out, features, id, request),
            Notice::Other(kind) => kind.encode(out, features),
        });
    }
}

fn encode_request(out: &mut BytesMut, features: Features, id: &AsyncId, request: &Request) {
    let user = SnapshotNamespace::User;
    match request {
        Request::CreateSnapshot { name, namespace } => {
            (SNAP_CREATE, name.as_str(), namespace.clone()).encode(out, features);
            // Behind the id: flags, none of them set.
            (*id, 0u64).encode(out, features);
        }
        Request::RemoveSnapshot { name, namespace } => {
            (SNAP_REMOVE, name.as_str(), namespace.clone()).encode(out, features);
            id.encode(out, features);
        }
        Request::RenameSnapshot { id: snap, name } => {
            (SNAP_RENAME, *snap, name.as_str(), user).encode(out, features);
            id.encode(out, features);
        }
        Request::ProtectSnapshot { name } => {
            (SNAP_PROTECT, name.as_str(), user, *id).encode(out, features);
        }
        Request::UnprotectSnapshot { name } => {
            (SNAP_UNPROTECT, name.as_str(), user, *id).encode(out, features);
        }
        Request::Resize { size, shrink } => {
            (RESIZE, *size, *id, *shrink).encode(out, features);
        }
        Request::Flatten => (FLATTEN, *id).encode(out, features),
        Request::RebuildObjectMap => (REBUILD_OBJECT_MAP, *id).encode(out, features),
        Request::Rename { name } => (RENAME, name.as_str(), *id).encode(out, features),
    }
}

/// Reads what is asked for; `None` for what is not done here. (Clients of Ceph 15 and before do
/// not number what they ask about snapshots: they wait for the answer itself.)
fn decode_request(r: &mut Reader, kind: u32) -> Result<Option<Notice>, DecodeError> {
    let name = |r: &mut Reader| Ok(String::from_utf8_lossy(&Bytes::decode(r)?).into_owned());
    let snapshot = |r: &mut Reader| Ok((name(r)?, SnapshotNamespace::decode(r)?));
    let request = match kind {
        FLATTEN => Request::Flatten,
        REBUILD_OBJECT_MAP => Request::RebuildObjectMap,
        RESIZE => {
            let (size, id) = (u64::decode(r)?, AsyncId::decode(r)?);
            let shrink = r.is_empty() || bool::decode(r)?;
            return Ok(Some(Notice::Ask(id, Request::Resize { size, shrink })));
        }
        SNAP_CREATE => {
            let (name, namespace) = snapshot(r)?;
            Request::CreateSnapshot { name, namespace }
        }
        SNAP_REMOVE => {
            let (name, namespace) = snapshot(r)?;
            Request::RemoveSnapshot { name, namespace }
        }
        SNAP_RENAME => {
            let (id, (name, _)) = (SnapId::decode(r)?, snapshot(r)?);
            Request::RenameSnapshot { id, name }
        }
        SNAP_PROTECT => Request::ProtectSnapshot { name: snapshot(r)?.0 },
        SNAP_UNPROTECT => Request::UnprotectSnapshot { name: snapshot(r)?.0 },
        RENAME => Request::Rename { name: name(r)? },
        _ => return Ok(None),
    };
    if r.is_empty() {
        return Ok(None);
    }
    Ok(Some(Notice::Ask(AsyncId::decode(r)?, request)))
}

impl Decode for Notice {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (notice, _) = decode_versioned(r, "NotifyMessage", 7, |r, version| {
            Ok(match u32::decode(r)? {
                ACQUIRED => Notice::Acquired(Decode::decode(r)?),
                RELEASED => Notice::Released(Decode::decode(r)?),
                REQUEST => Notice::Request(Decode::decode(r)?),
                HEADER_UPDATE => Notice::HeaderUpdate,
                PROGRESS => {
                    Notice::Progress(Decode::decode(r)?, Decode::decode(r)?, Decode::decode(r)?)
                }
                COMPLETE => Notice::Complete(Decode::decode(r)?, Decode::decode(r)?),
                // Before version 6 a snapshot had no namespace there.
                kind if version < 6 => Notice::Other(kind),
                kind => decode_request(r, kind)?.unwrap_or(Notice::Other(kind)),
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
    fn what_is_asked_of_the_owner_is_read_as_recorded() {
        let id = |gid, handle| AsyncId { client: ClientId { gid, handle }, number: 1 };
        let user = SnapshotNamespace::User;
        let recorded = [
            (
                "07013400000008000000020000007331010104000000000000006710000000000000902301b83d7f\
                 000001000000000000000000000000000000",
                id(0x1067, 0x7f3d_b801_2390),
                Request::CreateSnapshot { name: "s1".into(), namespace: user },
            ),
            (
                "0701250000000700000000000005000000006f1000000000000030dd0404827f0000010000000000\
                 000000",
                id(0x106f, 0x7f82_0404_dd30),
                Request::Resize { size: 80 << 20, shrink: false },
            ),
            (
                "07011c0000000a000000731000000000000000dd0450087f00000100000000000000",
                id(0x1073, 0x7f08_5004_dd00),
                Request::RebuildObjectMap,
            ),
            (
                "07011c00000006000000751000000000000030e104e0117f00000100000000000000",
                id(0x1075, 0x7f11_e004_e130),
                Request::Flatten,
            ),
            (
                "0701220000000e0000000200000077647910000000000000808d01d4957f00000100000000000000",
                id(0x1079, 0x7f95_d401_8d80),
                Request::Rename { name: "wd".into() },
            ),
        ];
        for (text, id, request) in recorded {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
            let notice = Notice::Ask(id, request);
            assert_eq!(Notice::from_bytes(bytes.clone().into()), Ok(notice.clone()));
            assert_eq!(hex(&notice.to_bytes(0)), text);
        }
        let done = Notice::Complete(id(0x1067, 0x7f3d_b801_2390), 0);
        let text = "070120000000050000006710000000000000902301b83d7f0000010000000000000000000000";
        assert_eq!(hex(&done.to_bytes(0)), text);
        let all = Notice::Progress(id(0x1075, 0x7f11_e004_e130), 1, 16);
        let text = "07012c00000004000000751000000000000030e104e0117f000001000000000000000100000000\
                    0000001000000000000000";
        assert_eq!(hex(&all.to_bytes(0)), text);
    }

    #[test]
    fn handles_of_one_process_are_two_clients() {
        let [one, other] = [1, 2].map(|handle| ClientId { gid: 7, handle });
        let asked = AsyncId { client: other, number: 1 };
        for notice in [
            Notice::Acquired(other),
            Notice::Released(other),
            Notice::Request(other),
            Notice::Ask(asked, Request::Flatten),
        ] {
            assert!(notice.is_from(other) && !notice.is_from(one), "{notice:?}");
        }
        assert!(!Notice::HeaderUpdate.is_from(one), "one handle hears what the other changed");
    }

    #[test]
    fn what_is_not_known_is_no_error() {
        let quiesce = Notice::Other(18);
        let mut bytes = quiesce.to_bytes(0).to_vec();
        bytes[2] += 3;
        bytes.extend_from_slice(b"abc");
        assert_eq!(Notice::from_bytes(bytes.into()), Ok(quiesce.clone()));
        assert!(!quiesce.is_request() && Notice::Other(16).is_request());
        assert!(Notice::from_bytes(Bytes::from_static(b"\x07\x01\x02\0\0\0ab")).is_err());
    }
}
