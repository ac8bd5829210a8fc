//! What clients of an image send, and how they read the answers.

use std::collections::BTreeMap;

use seabed_cluster::EntityName;
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Reader, decode_versioned, encode_bytes,
    encode_versioned,
};
use seabed_messages::{OpArgs, OpCode, OsdOp};
use seabed_objecter::OpReply;

use super::model::{Change, Content, Piece};

/// The lock of the image, and the key of an object's mark.
const LOCK: &[u8] = b"image";
const MARK: &[u8] = b"mark";
/// A lock for one.
const EXCLUSIVE: u8 = 1;

/// The ops of a change.
pub(super) fn change(change: &Change) -> Vec<OsdOp> {
    let bytes = |slots: usize| slots as u64 * 4;
    let data = |value: u32, slots: usize| Bytes::from(value.to_le_bytes().repeat(slots));
    let mark = |value: u32| {
        let pairs = BTreeMap::from([(Bytes::from_static(MARK), Bytes::from(value.to_string()))]);
        OsdOp::plain(OpCode::OmapSetVals, pairs.to_bytes(0))
    };
    let extent = |code, offset, length| OsdOp::extent(code, offset, length, Bytes::new());
    match *change {
        Change::Write { slot, slots, value } => {
            let data = data(value, slots);
            vec![OsdOp::extent(OpCode::Write, bytes(slot), bytes(slots), data), mark(value)]
        }
        Change::Full { slots, value } => {
            let data = data(value, slots);
            vec![OsdOp::extent(OpCode::WriteFull, 0, bytes(slots), data), mark(value)]
        }
        Change::Mark { value } => vec![mark(value)],
        Change::Zero { slot, slots } => vec![extent(OpCode::Zero, bytes(slot), bytes(slots))],
        Change::Cut { slots } => vec![extent(OpCode::Truncate, bytes(slots), 0)],
        Change::Delete => vec![OsdOp::plain(OpCode::Delete, Bytes::new())],
        Change::Rollback(snap) => {
            vec![OsdOp::new(OpCode::Rollback, OpArgs::Snap { snap }, Bytes::new())]
        }
    }
}

/// Reads data and mark.
pub(super) fn read() -> Vec<OsdOp> {
    let mut all = BytesMut::new();
    encode_bytes(&mut all, b"");
    10u64.encode(&mut all, 0);
    encode_bytes(&mut all, b"");
    vec![
        OsdOp::extent(OpCode::Read, 0, 0, Bytes::new()),
        OsdOp::plain(OpCode::OmapGetVals, all.freeze()),
    ]
}

/// What a read shows.
pub(super) fn content(reply: &OpReply) -> Result<Content, String> {
    const ENOENT: i32 = -2;
    if reply.result == ENOENT {
        return Ok(None);
    }
    let [(_, data), (_, omap)] = &reply.ops[..] else {
        return Err(format!("with {} parts", reply.ops.len()));
    };
    if reply.result < 0 || data.len() % 4 != 0 {
        return Err(format!("{} with {} bytes", reply.result, data.len()));
    }
    let data = data.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    // Behind the pairs it says whether there are more.
    let mut omap = Reader::new(omap.clone());
    let pairs = BTreeMap::<Bytes, Bytes>::decode(&mut omap).map_err(|e| e.to_string())?;
    let mark = match pairs.get(MARK) {
        Some(text) => {
            let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
            text.parse().map_err(|_| format!("with the mark {text:?}"))?
        }
        None => 0,
    };
    Ok(Some(Piece { data, mark }))
}

/// Locks the image for one.
pub(super) fn lock(cookie: &str) -> Vec<OsdOp> {
    let mut input = BytesMut::new();
    encode_versioned(&mut input, 1, 1, |out| {
        encode_bytes(out, LOCK);
        EXCLUSIVE.encode(out, 0);
        for text in [cookie, "", ""] {
            encode_bytes(out, text.as_bytes());
        }
        // For ever, without flags.
        0u64.encode(out, 0);
        0u8.encode(out, 0);
    });
    vec![OsdOp::call("lock", "lock", &input)]
}

/// Gives the lock back.
pub(super) fn unlock(cookie: &str) -> Vec<OsdOp> {
    let mut input = BytesMut::new();
    encode_versioned(&mut input, 1, 1, |out| {
        encode_bytes(out, LOCK);
        encode_bytes(out, cookie.as_bytes());
    });
    vec![OsdOp::call("lock", "unlock", &input)]
}

/// Takes the lock from somebody.
pub(super) fn break_lock(locker: &Locker) -> Vec<OsdOp> {
    let mut input = BytesMut::new();
    encode_versioned(&mut input, 1, 1, |out| {
        encode_bytes(out, LOCK);
        locker.entity.encode(out, 0);
        encode_bytes(out, &locker.cookie);
    });
    vec![OsdOp::call("lock", "break_lock", &input)]
}

/// Asks who has the lock.
pub(super) fn who_locks() -> Vec<OsdOp> {
    let mut input = BytesMut::new();
    encode_versioned(&mut input, 1, 1, |out| encode_bytes(out, LOCK));
    vec![OsdOp::call("lock", "get_info", &input)]
}

/// Who has the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locker {
    pub(super) entity: EntityName,
    /// Client and life, as text.
    pub(super) cookie: Bytes,
}

/// The first locker of an answer to [`who_locks`].
pub(super) fn locker(output: Bytes) -> Result<Option<Locker>, DecodeError> {
    let mut r = Reader::new(output);
    let (locker, _) = decode_versioned(&mut r, "lock info", 1, |r, _| {
        if u32::decode(r)? == 0 {
            return Ok(None);
        }
        let (locker, _) = decode_versioned(r, "locker", 1, |r, _| {
            Ok(Locker { entity: EntityName::decode(r)?, cookie: Bytes::decode(r)? })
        })?;
        Ok(Some(locker))
    })?;
    Ok(locker)
}
