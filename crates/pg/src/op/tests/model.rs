//! Random vectors against a model: an object is a string, two maps and a header.
//!
//! The model knows only single ops and applies them one by one; that a vector is all or nothing,
//! and that the store's content, the info and the statistics agree afterwards, is checked here.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seabed_cluster::object_flag;
use seabed_denc::{Encode, ceph_crc32c};
use seabed_messages::{OpArgs, OpCode};
use seabed_storage::TxOp;

use super::*;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Model {
    pub(super) data: Vec<u8>,
    attrs: BTreeMap<Bytes, Bytes>,
    omap: BTreeMap<Bytes, Bytes>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(usize, Vec<u8>),
    WriteFull(Vec<u8>),
    Append(Vec<u8>),
    Truncate(usize),
    Zero(usize, usize),
    Create(bool),
    Delete,
    SetXattr(u8, Vec<u8>),
    RmXattr(u8),
    OmapSet(u8, Vec<u8>),
    OmapRm(u8),
    OmapClear,
    WriteSame(usize, u8, usize),
    Hint,
}

fn key(n: u8) -> Bytes {
    Bytes::from(format!("k{n}"))
}

impl Step {
    pub(super) fn op(&self) -> OsdOp {
        let data = |code, offset: usize, data: &Vec<u8>| {
            OsdOp::extent(code, offset as u64, data.len() as u64, data.clone())
        };
        match self {
            Step::Write(offset, bytes) => data(OpCode::Write, *offset, bytes),
            Step::WriteFull(bytes) => data(OpCode::WriteFull, 0, bytes),
            Step::Append(bytes) => data(OpCode::Append, 0, bytes),
            Step::Truncate(size) => OsdOp::extent(OpCode::Truncate, *size as u64, 0, ""),
            Step::Zero(at, n) => OsdOp::extent(OpCode::Zero, *at as u64, *n as u64, ""),
            Step::Create(excl) => {
                OsdOp::plain(OpCode::Create, Bytes::new()).with_flags(u32::from(*excl))
            }
            Step::Delete => OsdOp::plain(OpCode::Delete, Bytes::new()),
            Step::SetXattr(k, value) => OsdOp::xattr(OpCode::SetXattr, &key(*k), value),
            Step::RmXattr(k) => OsdOp::xattr(OpCode::RmXattr, &key(*k), b""),
            Step::OmapSet(k, value) => {
                let map = BTreeMap::from([(key(*k), Bytes::from(value.clone()))]);
                OsdOp::plain(OpCode::OmapSetVals, map.to_bytes(0))
            }
            Step::OmapRm(k) => OsdOp::plain(OpCode::OmapRmKeys, vec![key(*k)].to_bytes(0)),
            Step::OmapClear => OsdOp::plain(OpCode::OmapClear, Bytes::new()),
            Step::WriteSame(at, byte, n) => {
                let args =
                    OpArgs::WriteSame { offset: *at as u64, length: *n as u64, data_length: 1 };
                OsdOp::new(OpCode::WriteSame, args, Bytes::from(vec![*byte]))
            }
            Step::Hint => {
                let args =
                    OpArgs::AllocHint { expected_object_size: 9, expected_write_size: 8, flags: 7 };
                OsdOp::new(OpCode::SetAllocHint, args, Bytes::new())
            }
        }
    }

    pub(super) fn apply(&self, object: &mut Option<Model>) -> Result<(), i32> {
        let put = |m: &mut Model, at: usize, bytes: &[u8]| {
            if m.data.len() < at + bytes.len() {
                m.data.resize(at + bytes.len(), 0);
            }
            m.data[at..at + bytes.len()].copy_from_slice(bytes);
        };
        match self {
            Step::Create(true) if object.is_some() => return Err(-17),
            Step::Create(_) | Step::Hint => drop(object.get_or_insert_default()),
            Step::Delete => drop(object.take().ok_or(-2)?),
            Step::Write(at, bytes) => {
                let m = object.get_or_insert_default();
                put(m, *at, bytes);
            }
            Step::WriteFull(bytes) => object.get_or_insert_default().data = bytes.clone(),
            Step::Append(bytes) => object.get_or_insert_default().data.extend(bytes),
            Step::WriteSame(_, _, 0) => {}
            Step::WriteSame(at, byte, n) => {
                put(object.get_or_insert_default(), *at, &vec![*byte; *n]);
            }
            Step::SetXattr(k, v) => {
                let m = object.get_or_insert_default();
                m.attrs.insert(key(*k), Bytes::from(v.clone()));
            }
            Step::OmapSet(k, v) => {
                let m = object.get_or_insert_default();
                m.omap.insert(key(*k), Bytes::from(v.clone()));
            }
            Step::RmXattr(k) => drop(object.as_mut().ok_or(-2)?.attrs.remove(&key(*k))),
            Step::OmapRm(k) => drop(object.as_mut().ok_or(-2)?.omap.remove(&key(*k))),
            Step::OmapClear => object.as_mut().ok_or(-2)?.omap.clear(),
            Step::Truncate(size) => {
                if let Some(m) = object {
                    m.data.resize(*size, 0);
                }
            }
            Step::Zero(at, n) => {
                if let Some(m) = object {
                    let size = m.data.len();
                    let (from, to) = ((*at).min(size), (at + n).min(size));
                    m.data[from..to].fill(0);
                    if *n > 0 && at + n >= size && *at < size {
                        m.data.truncate(*at);
                    }
                }
            }
        }
        Ok(())
    }
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..24);
    let at = || 0usize..64;
    prop_oneof![
        (at(), bytes()).prop_map(|(at, mut b)| {
            b.push(1);
            Step::Write(at, b)
        }),
        bytes().prop_map(Step::WriteFull),
        bytes().prop_map(Step::Append),
        at().prop_map(Step::Truncate),
        (at(), 0usize..40).prop_map(|(at, n)| Step::Zero(at, n)),
        any::<bool>().prop_map(Step::Create),
        Just(Step::Delete),
        (0u8..4, bytes()).prop_map(|(k, b)| Step::SetXattr(k, b)),
        (0u8..4).prop_map(Step::RmXattr),
        (0u8..4, bytes()).prop_map(|(k, b)| Step::OmapSet(k, b)),
        (0u8..4).prop_map(Step::OmapRm),
        Just(Step::OmapClear),
        (at(), any::<u8>(), 0usize..30).prop_map(|(at, b, n)| Step::WriteSame(at, b, n)),
        Just(Step::Hint),
    ]
}

/// The object as the store has it.
pub(super) fn stored(world: &World, object: &HObject) -> Option<Model> {
    let o = GhObject::from(object.clone());
    let attrs = world.store.get_attrs(&world.coll, &o).ok()?;
    let data = world.store.read(&world.coll, &o, 0, u64::MAX >> 1).unwrap();
    let start = std::ops::Bound::Unbounded;
    let (omap, _) = world.store.omap_range(&world.coll, &o, start, 1000).unwrap();
    let attrs = attrs.into_iter().filter(|(k, _)| k.len() > 1 && k[0] == b'_');
    Some(Model {
        data: data.to_vec(),
        attrs: attrs.map(|(k, v)| (k.slice(1..), v)).collect(),
        omap: omap.into_iter().collect(),
    })
}

fn check_info(world: &World, name: &str, model: &Model) {
    let info = world.context(&request(name, vec![]).hobject()).info;
    assert_eq!(info.size, model.data.len() as u64);
    if info.has(object_flag::DATA_DIGEST) {
        assert_eq!(info.data_digest, ceph_crc32c(u32::MAX, &model.data));
    }
    assert!(model.omap.is_empty() || info.has(object_flag::OMAP));
}

/// The ranges that the transaction writes are none of the clean ones.
fn check_clean(outcome: &OpOutcome) {
    let Some(effect) = &outcome.effect else { return };
    let clean = &effect.entries.last().unwrap().clean_regions;
    for entry in &effect.transaction.ops {
        let (at, end) = match &entry.op {
            TxOp::Write { offset, data } => (*offset, offset + data.len() as u64),
            TxOp::Zero { offset, length } => (*offset, offset + length),
            op => {
                let omap =
                    matches!(op, TxOp::OmapSetKeys(_) | TxOp::OmapRmKeys(_) | TxOp::OmapClear);
                assert!(!omap || !clean.clean_omap);
                continue;
            }
        };
        let touches = |(start, len): (u64, u64)| start < end && at < start + len;
        assert!(!clean.clean_offsets.iter().any(touches));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn vectors_do_what_single_ops_do(
        vectors in proptest::collection::vec(
            (0u8..3, proptest::collection::vec(steps(), 1..6)), 1..25)
    ) {
        let mut world = World::new();
        let mut models: BTreeMap<String, Option<Model>> = BTreeMap::new();
        for (object, vector) in vectors {
            let name = format!("object{object}");
            let model = models.entry(name.clone()).or_default();
            let mut next = model.clone();
            let wanted = vector.iter().try_for_each(|s| s.apply(&mut next)).err().unwrap_or(0);
            let (outcome, reply) = world.vector(&name, vector.iter().map(Step::op).collect());
            prop_assert_eq!(reply.result, wanted);
            if wanted == 0 {
                *model = next;
            } else {
                prop_assert!(outcome.effect.is_none() && outcome.record_error);
            }
            check_clean(&outcome);
            prop_assert_eq!(&stored(&world, &request(&name, vec![]).hobject()), &*model);
            if let Some(model) = model {
                check_info(&world, &name, model);
            }
        }
        let existing: Vec<&Model> = models.values().flatten().collect();
        let bytes: usize = existing.iter().map(|m| m.data.len()).sum();
        prop_assert_eq!(world.stats.num_bytes, bytes as i64);
        prop_assert_eq!(world.stats.num_objects, existing.len() as i64);
        prop_assert_eq!(world.stats.num_objects_dirty, existing.len() as i64);
    }
}
