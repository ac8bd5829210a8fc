//! Ceph's encoding of a transaction, version 9, as it travels in `osd_repop`.
//!
//! ```text
//! envelope 9, 9
//!   u32 len, data      the arguments of the operations, one behind the other
//!   u32 len, ops       72 bytes an operation, packed
//!   map<coll, u32>     the collections and their numbers, given in order of first use
//!   map<ghobject, u32> the objects and theirs
//!   u64 count of operations
//!   u32 length, u32 offset in the object, u32 position in `data` of the largest write
//!   u32 fadvise flags
//! one operation:
//!   u32 op, cid, oid · u64 off, len · u32 dest_cid, dest_oid · u64 dest_off · u32 hint
//!   u64 expected_object_size, expected_write_size · u32 split_bits, split_rem
//! ```
//!
//! Invariant: what a real OSD sends decodes and re-encodes to the same bytes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use seabed_cluster::{Collection, GhObject};
use seabed_denc::{
    Decode, DecodeError, Encode, Features, Reader, decode_versioned_min, encode_bytes,
    encode_versioned,
};

use crate::transaction::{Transaction, TxEntry, TxOp};

const VERSION: u8 = 9;
const OP_BYTES: usize = 72;

const NOP: u32 = 0;
const CREATE: u32 = 7;
const TOUCH: u32 = 9;
const WRITE: u32 = 10;
const ZERO: u32 = 11;
const TRUNCATE: u32 = 12;
const REMOVE: u32 = 13;
const SETATTR: u32 = 14;
const SETATTRS: u32 = 15;
const RMATTR: u32 = 16;
const CLONE: u32 = 17;
const MKCOLL: u32 = 20;
const RMCOLL: u32 = 21;
const RMATTRS: u32 = 28;
const CLONERANGE2: u32 = 30;
const OMAP_CLEAR: u32 = 31;
const OMAP_SETKEYS: u32 = 32;
const OMAP_RMKEYS: u32 = 33;
const OMAP_SETHEADER: u32 = 34;
const SPLIT2: u32 = 36;
const OMAP_RMKEYRANGE: u32 = 37;
const MOVE_RENAME: u32 = 38;
const SETALLOCHINT: u32 = 39;
const COLL_HINT: u32 = 40;
const TRY_RENAME: u32 = 41;
const COLL_SET_BITS: u32 = 42;
const MERGE: u32 = 43;

/// The fixed part of an operation.
#[derive(Default)]
struct RawOp {
    op: u32,
    cid: u32,
    oid: u32,
    off: u64,
    len: u64,
    dest_cid: u32,
    dest_oid: u32,
    dest_off: u64,
    hint: u32,
    expected_object_size: u64,
    expected_write_size: u64,
    split_bits: u32,
    split_rem: u32,
}

impl RawOp {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32_le(self.op);
        out.put_u32_le(self.cid);
        out.put_u32_le(self.oid);
        out.put_u64_le(self.off);
        out.put_u64_le(self.len);
        out.put_u32_le(self.dest_cid);
        out.put_u32_le(self.dest_oid);
        out.put_u64_le(self.dest_off);
        out.put_u32_le(self.hint);
        out.put_u64_le(self.expected_object_size);
        out.put_u64_le(self.expected_write_size);
        out.put_u32_le(self.split_bits);
        out.put_u32_le(self.split_rem);
    }

    fn get(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(RawOp {
            op: u32::decode(r)?,
            cid: u32::decode(r)?,
            oid: u32::decode(r)?,
            off: u64::decode(r)?,
            len: u64::decode(r)?,
            dest_cid: u32::decode(r)?,
            dest_oid: u32::decode(r)?,
            dest_off: u64::decode(r)?,
            hint: u32::decode(r)?,
            expected_object_size: u64::decode(r)?,
            expected_write_size: u64::decode(r)?,
            split_bits: u32::decode(r)?,
            split_rem: u32::decode(r)?,
        })
    }
}

/// The tables of names, numbered by first use.
#[derive(Default)]
struct Tables {
    collections: BTreeMap<Collection, u32>,
    objects: BTreeMap<GhObject, u32>,
}

fn number<K: Ord + Clone>(table: &mut BTreeMap<K, u32>, key: &K) -> u32 {
    let next = table.len() as u32;
    *table.entry(key.clone()).or_insert(next)
}

#[derive(Default)]
struct Largest {
    len: u32,
    off: u32,
    off_in_data: u32,
}

impl Encode for Transaction {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        let mut data = BytesMut::new();
        let mut ops = BytesMut::with_capacity(self.ops.len() * OP_BYTES);
        let mut tables = Tables::default();
        let mut largest = Largest::default();
        for entry in &self.ops {
            if let TxOp::Write { offset, data: bytes } = &entry.op
                && bytes.len() as u64 > u64::from(largest.len)
            {
                largest = Largest {
                    len: bytes.len() as u32,
                    off: *offset as u32,
                    off_in_data: data.len() as u32 + 4,
                };
            }
            encode_op(entry, &mut tables, &mut data, features).put(&mut ops);
        }
        encode_versioned(out, VERSION, VERSION, |out| {
            encode_bytes(out, &data);
            encode_bytes(out, &ops);
            tables.collections.encode(out, features);
            tables.objects.encode(out, features);
            out.put_u64_le(self.ops.len() as u64);
            out.put_u32_le(largest.len);
            out.put_u32_le(largest.off);
            out.put_u32_le(largest.off_in_data);
            out.put_u32_le(self.fadvise_flags);
        });
    }
}

fn encode_op(entry: &TxEntry, t: &mut Tables, data: &mut BytesMut, features: Features) -> RawOp {
    let mut raw = RawOp { op: code(&entry.op), ..RawOp::default() };
    if entry.op != TxOp::Nop {
        raw.cid = number(&mut t.collections, &entry.collection);
    }
    if let Some(object) = &entry.object {
        raw.oid = number(&mut t.objects, object);
    }
    match &entry.op {
        TxOp::Nop
        | TxOp::Touch
        | TxOp::Create
        | TxOp::Remove
        | TxOp::RmAttrs
        | TxOp::OmapClear
        | TxOp::RemoveCollection => {}
        TxOp::Write { offset, data: bytes } => {
            (raw.off, raw.len) = (*offset, bytes.len() as u64);
            encode_bytes(data, bytes);
        }
        TxOp::Zero { offset, length } => (raw.off, raw.len) = (*offset, *length),
        TxOp::Truncate { size } => raw.off = *size,
        TxOp::SetAttr { name, value } => {
            encode_bytes(data, name);
            encode_bytes(data, value);
        }
        TxOp::SetAttrs(map) | TxOp::OmapSetKeys(map) => map.encode(data, features),
        TxOp::RmAttr { name } => encode_bytes(data, name),
        TxOp::Clone { to } | TxOp::TryRename { to } => {
            raw.dest_oid = number(&mut t.objects, to);
        }
        TxOp::CloneRange { to, offset, length, to_offset } => {
            raw.dest_oid = number(&mut t.objects, to);
            (raw.off, raw.len, raw.dest_off) = (*offset, *length, *to_offset);
        }
        TxOp::OmapRmKeys(keys) => keys.encode(data, features),
        TxOp::OmapRmKeyRange { first, last } => {
            encode_bytes(data, first);
            encode_bytes(data, last);
        }
        TxOp::OmapSetHeader(header) => encode_bytes(data, header),
        TxOp::SetAllocHint { expected_object_size, expected_write_size, flags } => {
            raw.expected_object_size = *expected_object_size;
            raw.expected_write_size = *expected_write_size;
            raw.hint = *flags;
        }
        TxOp::MakeCollection { bits } | TxOp::SetCollectionBits { bits } => raw.split_bits = *bits,
        TxOp::SplitCollection { bits, rem, to } => {
            (raw.split_bits, raw.split_rem) = (*bits, *rem);
            raw.dest_cid = number(&mut t.collections, to);
        }
        TxOp::MergeCollection { bits, to } => {
            raw.split_bits = *bits;
            raw.dest_cid = number(&mut t.collections, to);
        }
        TxOp::CollectionHint { kind, hint } => {
            raw.hint = *kind;
            encode_bytes(data, hint);
        }
        TxOp::MoveRename { to_collection, to } => {
            raw.dest_cid = number(&mut t.collections, to_collection);
            raw.dest_oid = number(&mut t.objects, to);
        }
    }
    raw
}

fn code(op: &TxOp) -> u32 {
    match op {
        TxOp::Nop => NOP,
        TxOp::Touch => TOUCH,
        TxOp::Create => CREATE,
        TxOp::Write { .. } => WRITE,
        TxOp::Zero { .. } => ZERO,
        TxOp::Truncate { .. } => TRUNCATE,
        TxOp::Remove => REMOVE,
        TxOp::SetAttr { .. } => SETATTR,
        TxOp::SetAttrs(_) => SETATTRS,
        TxOp::RmAttr { .. } => RMATTR,
        TxOp::RmAttrs => RMATTRS,
        TxOp::Clone { .. } => CLONE,
        TxOp::CloneRange { .. } => CLONERANGE2,
        TxOp::OmapClear => OMAP_CLEAR,
        TxOp::OmapSetKeys(_) => OMAP_SETKEYS,
        TxOp::OmapRmKeys(_) => OMAP_RMKEYS,
        TxOp::OmapRmKeyRange { .. } => OMAP_RMKEYRANGE,
        TxOp::OmapSetHeader(_) => OMAP_SETHEADER,
        TxOp::SetAllocHint { .. } => SETALLOCHINT,
        TxOp::MakeCollection { .. } => MKCOLL,
        TxOp::RemoveCollection => RMCOLL,
        TxOp::SplitCollection { .. } => SPLIT2,
        TxOp::SetCollectionBits { .. } => COLL_SET_BITS,
        TxOp::MergeCollection { .. } => MERGE,
        TxOp::CollectionHint { .. } => COLL_HINT,
        TxOp::MoveRename { .. } => MOVE_RENAME,
        TxOp::TryRename { .. } => TRY_RENAME,
    }
}

/// Names by their number.
struct Names<K>(BTreeMap<u32, K>);

impl<K: Decode + Ord + Clone> Names<K> {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let table: BTreeMap<K, u32> = Decode::decode(r)?;
        Ok(Names(table.into_iter().map(|(k, n)| (n, k)).collect()))
    }

    fn get(&self, what: &'static str, n: u32) -> Result<K, DecodeError> {
        self.0.get(&n).cloned().ok_or(DecodeError::Invalid { what, value: u64::from(n) })
    }
}

impl Decode for Transaction {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| decode_body(r);
        let (tx, _) = decode_versioned_min(r, "transaction", VERSION, VERSION, body)?;
        Ok(tx)
    }
}

fn decode_body(r: &mut Reader) -> Result<Transaction, DecodeError> {
    let mut data = Reader::new(Bytes::decode(r)?);
    let mut ops = Reader::new(Bytes::decode(r)?);
    let collections = Names::decode(r)?;
    let objects = Names::decode(r)?;
    let count = u64::decode(r)?;
    let _largest: [u8; 12] = r.array()?;
    let fadvise_flags = u32::decode(r)?;
    r.finish()?;
    if count.checked_mul(OP_BYTES as u64) != Some(ops.remaining() as u64) {
        return Err(DecodeError::Invalid { what: "transaction op count", value: count });
    }
    let mut tx = Transaction { ops: Vec::new(), fadvise_flags };
    while !ops.is_empty() {
        let raw = RawOp::get(&mut ops)?;
        tx.ops.push(decode_op(&raw, &collections, &objects, &mut data)?);
    }
    data.finish()?;
    Ok(tx)
}

fn decode_op(
    raw: &RawOp,
    collections: &Names<Collection>,
    objects: &Names<GhObject>,
    d: &mut Reader,
) -> Result<TxEntry, DecodeError> {
    let dest = || objects.get("transaction dest_oid", raw.dest_oid);
    let dest_collection = || collections.get("transaction dest_cid", raw.dest_cid);
    let op = match raw.op {
        NOP => TxOp::Nop,
        TOUCH => TxOp::Touch,
        CREATE => TxOp::Create,
        WRITE => {
            let data = Bytes::decode(d)?;
            if data.len() as u64 != raw.len {
                return Err(DecodeError::Invalid { what: "write length", value: raw.len });
            }
            TxOp::Write { offset: raw.off, data }
        }
        ZERO => TxOp::Zero { offset: raw.off, length: raw.len },
        TRUNCATE => TxOp::Truncate { size: raw.off },
        REMOVE => TxOp::Remove,
        SETATTR => TxOp::SetAttr { name: Bytes::decode(d)?, value: Bytes::decode(d)? },
        SETATTRS => TxOp::SetAttrs(Decode::decode(d)?),
        RMATTR => TxOp::RmAttr { name: Bytes::decode(d)? },
        RMATTRS => TxOp::RmAttrs,
        CLONE => TxOp::Clone { to: dest()? },
        CLONERANGE2 => TxOp::CloneRange {
            to: dest()?,
            offset: raw.off,
            length: raw.len,
            to_offset: raw.dest_off,
        },
        OMAP_CLEAR => TxOp::OmapClear,
        OMAP_SETKEYS => TxOp::OmapSetKeys(Decode::decode(d)?),
        OMAP_RMKEYS => TxOp::OmapRmKeys(Decode::decode(d)?),
        OMAP_RMKEYRANGE => {
            TxOp::OmapRmKeyRange { first: Bytes::decode(d)?, last: Bytes::decode(d)? }
        }
        OMAP_SETHEADER => TxOp::OmapSetHeader(Bytes::decode(d)?),
        SETALLOCHINT => TxOp::SetAllocHint {
            expected_object_size: raw.expected_object_size,
            expected_write_size: raw.expected_write_size,
            flags: raw.hint,
        },
        MKCOLL => TxOp::MakeCollection { bits: raw.split_bits },
        RMCOLL => TxOp::RemoveCollection,
        SPLIT2 => TxOp::SplitCollection {
            bits: raw.split_bits,
            rem: raw.split_rem,
            to: dest_collection()?,
        },
        COLL_SET_BITS => TxOp::SetCollectionBits { bits: raw.split_bits },
        MERGE => TxOp::MergeCollection { bits: raw.split_bits, to: dest_collection()? },
        COLL_HINT => TxOp::CollectionHint { kind: raw.hint, hint: Bytes::decode(d)? },
        MOVE_RENAME => TxOp::MoveRename { to_collection: dest_collection()?, to: dest()? },
        TRY_RENAME => TxOp::TryRename { to: dest()? },
        other => {
            return Err(DecodeError::Invalid { what: "transaction op", value: u64::from(other) });
        }
    };
    let collection = match &op {
        TxOp::Nop => Collection::Meta,
        _ => collections.get("transaction cid", raw.cid)?,
    };
    let object =
        if op.is_collection_op() { None } else { Some(objects.get("transaction oid", raw.oid)?) };
    Ok(TxEntry { collection, object, op })
}
