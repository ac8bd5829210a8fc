//! Decoders, each tried on raw bytes.

use seabed_cluster::admin::Command;
use seabed_cluster::{Incremental, MonMap, OsdMap, feature};
use seabed_crush::CrushMap;
use seabed_denc::{Bytes, Decode, Encode};
use seabed_messages::{Header, Packet, RawMessage};
use seabed_storage::Transaction;

/// `u16 kind | u16 version | u16 compat | u32 front length | front | data`.
pub(crate) fn message(input: &[u8]) {
    let Some((head, rest)) = input.split_first_chunk::<10>() else { return };
    let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let front = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
    let (front, data) = rest.split_at(front.min(rest.len()));
    let header = Header {
        kind: word(0),
        version: word(2),
        compat_version: word(4),
        flags: 3,
        ..Header::default()
    };
    let raw = RawMessage {
        header,
        front: Bytes::copy_from_slice(front),
        middle: Bytes::new(),
        data: Bytes::copy_from_slice(data),
    };
    if let Ok(packet) = Packet::decode(raw) {
        packet.encode(feature::PACIFIC_ALL);
    }
}

/// The input of [`message`] for a real message.
pub(crate) fn message_input(
    kind: u16,
    version: u16,
    compat: u16,
    front: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut v = Vec::with_capacity(10 + front.len() + data.len());
    for word in [kind, version, compat] {
        v.extend_from_slice(&word.to_le_bytes());
    }
    let len = u32::try_from(front.len()).unwrap_or(u32::MAX);
    v.extend_from_slice(&len.to_le_bytes());
    v.extend_from_slice(front);
    v.extend_from_slice(data);
    v
}

pub(crate) fn osdmap(input: &[u8]) {
    if let Ok(map) = OsdMap::decode(Bytes::copy_from_slice(input)) {
        map.encode_full(feature::PACIFIC_ALL);
    }
}

pub(crate) fn incremental(input: &[u8]) {
    if let Ok(inc) = Incremental::decode(Bytes::copy_from_slice(input)) {
        let mut map = OsdMap::empty(inc.fsid, inc.modified);
        map.epoch.0 = inc.epoch.0.wrapping_sub(1);
        let _ = map.apply(&inc);
    }
}

pub(crate) fn monmap(input: &[u8]) {
    if let Ok(map) = MonMap::from_bytes(Bytes::copy_from_slice(input)) {
        map.to_bytes(feature::PACIFIC_ALL);
    }
}

/// Encoding again may give bytes that are refused: the format reads an empty name as the upper half
/// of a 64-bit length.
pub(crate) fn crush_map(input: &[u8]) {
    if let Ok(map) = CrushMap::decode(Bytes::copy_from_slice(input)) {
        map.encode();
        map.to_text();
    }
}

pub(crate) fn crush_text(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(map) = CrushMap::from_text(text)
    {
        map.encode();
    }
}

pub(crate) fn transaction(input: &[u8]) {
    if let Ok(tx) = Transaction::from_bytes(Bytes::copy_from_slice(input)) {
        tx.to_bytes(0);
    }
}

/// A command as text, and every kind of argument read from it.
pub(crate) fn mon_command(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(command) = Command::parse(&[text.to_owned()]) else { return };
    for name in ["pool", "ids", "id", "weight", "size", "var", "val", "objects", "who"] {
        command.str(name);
        let _ = command.int(name);
        let _ = command.float(name);
        command.flag(name);
        command.list(name);
        let _ = command.osd(name);
    }
}

/// Panics on inputs that a mutation of its seed reaches soon: two bytes together.
pub(crate) fn canary(input: &[u8]) {
    let dead = input.len() > 4 && input[2] == 0xff && input[3] != 0;
    assert!(!dead, "the canary is dead, as it should be");
}
