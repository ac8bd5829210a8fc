//! The CRUSH map: hierarchy, rules, names, classes, weight-sets, tunables; its binary encoding.
//!
//! Invariants: the bucket in slot *i* has id -1-*i*; every choose_args entry is as long as its
//! bucket; an encoding of this or a later release decodes and encodes to the same bytes (what a
//! later release appends is kept as `tail`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use seabed_denc::{Decode, DecodeError, Encode, Features, Reader};

use crate::{Bucket, Rule};

/// "No item for this position": a hole in the result of an indep rule.
pub const CRUSH_ITEM_NONE: i32 = 0x7fff_ffff;

const MAGIC: u32 = 0x0001_0000;

/// The knobs of the mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunables {
    /// Retries in the same bucket after a collision.
    pub choose_local_tries: u32,
    /// Retries in the same bucket by permutation.
    pub choose_local_fallback_tries: u32,
    /// Retries from the top.
    pub choose_total_tries: u32,
    /// 1: the descent to a leaf is tried once, a failure retries from the top.
    pub chooseleaf_descend_once: u32,
    /// Above 0: the descent to a leaf starts from the parent's trial number.
    pub chooseleaf_vary_r: u8,
    /// How straw lengths are computed: 0 or 1.
    pub straw_calc_version: u8,
    /// Which algorithms new buckets may have: a bit each.
    pub allowed_bucket_algs: u32,
    /// 1: the leaf chosen does not depend on the position.
    pub chooseleaf_stable: u8,
}

impl Tunables {
    const fn profile(n: [u32; 3], once: u32, vary_r: u8, stable: u8, calc: u8, algs: u32) -> Self {
        Self {
            choose_local_tries: n[0],
            choose_local_fallback_tries: n[1],
            choose_total_tries: n[2],
            chooseleaf_descend_once: once,
            chooseleaf_vary_r: vary_r,
            straw_calc_version: calc,
            allowed_bucket_algs: algs,
            chooseleaf_stable: stable,
        }
    }

    /// uniform, list, straw
    pub const LEGACY_ALGS: u32 = 0x16;
    /// uniform, list, straw, straw2
    pub const HAMMER_ALGS: u32 = 0x36;

    /// The profile "argonaut", also called "legacy".
    pub const ARGONAUT: Self = Self::profile([2, 5, 19], 0, 0, 0, 0, Self::LEGACY_ALGS);
    /// The profile "bobtail".
    pub const BOBTAIL: Self = Self::profile([0, 0, 50], 1, 0, 0, 0, Self::LEGACY_ALGS);
    /// The profile "firefly".
    pub const FIREFLY: Self = Self::profile([0, 0, 50], 1, 1, 0, 0, Self::LEGACY_ALGS);
    /// The profile "hammer".
    pub const HAMMER: Self = Self::profile([0, 0, 50], 1, 1, 0, 1, Self::HAMMER_ALGS);
    /// The profile "jewel", also called "default" and "optimal".
    pub const JEWEL: Self = Self::profile([0, 0, 50], 1, 1, 1, 1, Self::HAMMER_ALGS);
}

/// Replacement weights and ids of one straw2 bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChooseArg {
    /// Weights of the items, a list for each position of the result; the last serves the rest.
    pub weight_sets: Vec<Vec<u32>>,
    /// What to hash instead of the items' ids; empty: the ids.
    pub ids: Vec<i32>,
}

/// Replacement weights and ids, by bucket index (-1 - id).
pub type ChooseArgs = BTreeMap<u32, ChooseArg>;

/// Key of the choose_args that serve pools without their own.
pub const DEFAULT_CHOOSE_ARGS: i64 = -1;

/// All weight-sets of a map, by pool id or [`DEFAULT_CHOOSE_ARGS`].
///
/// Ceph keeps them sorted; an order found on decoding is kept, and new ones go where sorting puts
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChooseArgsTable(Vec<(i64, ChooseArgs)>);

impl ChooseArgsTable {
    /// The weight-set of exactly this key.
    pub fn get(&self, key: i64) -> Option<&ChooseArgs> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, args)| args)
    }

    /// The weight-set of exactly this key, to change.
    pub fn get_mut(&mut self, key: i64) -> Option<&mut ChooseArgs> {
        self.0.iter_mut().find(|(k, _)| *k == key).map(|(_, args)| args)
    }

    /// Sets a weight-set.
    pub fn insert(&mut self, key: i64, args: ChooseArgs) {
        match self.get_mut(key) {
            Some(old) => *old = args,
            None => {
                let at = self.0.iter().position(|(k, _)| *k > key).unwrap_or(self.0.len());
                self.0.insert(at, (key, args));
            }
        }
    }

    /// Removes a weight-set.
    pub fn remove(&mut self, key: i64) -> Option<ChooseArgs> {
        let at = self.0.iter().position(|(k, _)| *k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keys and weight-sets.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, &ChooseArgs)> {
        self.0.iter().map(|(k, args)| (*k, args))
    }

    /// Weight-sets, to change.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut ChooseArgs> {
        self.0.iter_mut().map(|(_, args)| args)
    }

    /// Puts them into Ceph's order.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|(key, _)| *key);
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A CRUSH map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrushMap {
    /// Slot *i* holds the bucket of id -1-*i*.
    pub buckets: Vec<Option<Bucket>>,
    /// Slot *i* holds rule *i*.
    pub rules: Vec<Option<Rule>>,
    /// All devices have ids below this.
    pub max_devices: i32,
    /// Names of the types; 0 is the devices'.
    pub type_names: BTreeMap<i32, String>,
    /// Names of devices and buckets.
    pub item_names: BTreeMap<i32, String>,
    /// Names of rules.
    pub rule_names: BTreeMap<i32, String>,
    /// The mapper's knobs.
    pub tunables: Tunables,
    /// Device class of each device that has one.
    pub device_classes: BTreeMap<i32, i32>,
    /// Names of the device classes.
    pub class_names: BTreeMap<i32, String>,
    /// The shadow of each bucket for each class.
    pub class_buckets: BTreeMap<i32, BTreeMap<i32, i32>>,
    /// Weight-sets by pool id, or [`DEFAULT_CHOOSE_ARGS`].
    pub choose_args: ChooseArgsTable,
    /// What a later release appended.
    pub tail: Bytes,
}

impl Default for CrushMap {
    /// An empty map with jewel's tunables.
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            rules: Vec::new(),
            max_devices: 0,
            type_names: BTreeMap::new(),
            item_names: BTreeMap::new(),
            rule_names: BTreeMap::new(),
            tunables: Tunables::JEWEL,
            device_classes: BTreeMap::new(),
            class_names: BTreeMap::new(),
            class_buckets: BTreeMap::new(),
            choose_args: ChooseArgsTable::default(),
            tail: Bytes::new(),
        }
    }
}

impl CrushMap {
    /// The bucket with this id.
    #[inline]
    pub fn bucket(&self, id: i32) -> Option<&Bucket> {
        self.buckets.get(slot(id)?)?.as_ref()
    }

    /// The bucket with this id, to change.
    pub fn bucket_mut(&mut self, id: i32) -> Option<&mut Bucket> {
        self.buckets.get_mut(slot(id)?)?.as_mut()
    }

    /// All buckets.
    pub fn iter_buckets(&self) -> impl DoubleEndedIterator<Item = &Bucket> {
        self.buckets.iter().flatten()
    }

    /// The rule with this id.
    pub fn rule(&self, id: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(id).ok()?)?.as_ref()
    }

    /// The weight-set for a pool: its own, else the default one, else none.
    pub fn choose_args_for(&self, pool: i64) -> Option<&ChooseArgs> {
        self.choose_args.get(pool).or_else(|| self.choose_args.get(DEFAULT_CHOOSE_ARGS))
    }

    /// Reads a map that fills `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        <Self as Decode>::from_bytes(bytes)
    }

    /// The map's bytes.
    pub fn encode(&self) -> Bytes {
        self.to_bytes(u64::MAX)
    }
}

/// Index of a bucket id.
#[inline]
pub(crate) fn slot(id: i32) -> Option<usize> {
    if id < 0 { usize::try_from(-1 - i64::from(id)).ok() } else { None }
}

impl Encode for CrushMap {
    fn encode(&self, out: &mut BytesMut, f: Features) {
        out.put_u32_le(MAGIC);
        // Both counts are far below 2^31: each slot takes memory.
        out.put_u32_le(u32::try_from(self.buckets.len()).unwrap_or(0));
        out.put_u32_le(u32::try_from(self.rules.len()).unwrap_or(0));
        out.put_i32_le(self.max_devices);
        for slot in &self.buckets {
            match slot {
                Some(bucket) => bucket.encode(out),
                None => out.put_u32_le(0),
            }
        }
        for slot in &self.rules {
            out.put_u32_le(u32::from(slot.is_some()));
            if let Some(rule) = slot {
                rule.encode(out);
            }
        }
        self.type_names.encode(out, f);
        self.item_names.encode(out, f);
        self.rule_names.encode(out, f);
        let t = &self.tunables;
        out.put_u32_le(t.choose_local_tries);
        out.put_u32_le(t.choose_local_fallback_tries);
        out.put_u32_le(t.choose_total_tries);
        out.put_u32_le(t.chooseleaf_descend_once);
        out.put_u8(t.chooseleaf_vary_r);
        out.put_u8(t.straw_calc_version);
        out.put_u32_le(t.allowed_bucket_algs);
        out.put_u8(t.chooseleaf_stable);
        self.device_classes.encode(out, f);
        self.class_names.encode(out, f);
        self.class_buckets.encode(out, f);
        encode_choose_args(&self.choose_args, out, f);
        out.put_slice(&self.tail);
    }
}

fn encode_choose_args(all: &ChooseArgsTable, out: &mut BytesMut, f: Features) {
    out.put_u32_le(u32::try_from(all.0.len()).unwrap_or(0));
    for (key, args) in all.iter() {
        out.put_i64_le(key);
        let used = || args.iter().filter(|(_, a)| !a.weight_sets.is_empty() || !a.ids.is_empty());
        out.put_u32_le(u32::try_from(used().count()).unwrap_or(0));
        for (index, arg) in used() {
            out.put_u32_le(*index);
            arg.weight_sets.encode(out, f);
            arg.ids.encode(out, f);
        }
    }
}

/// Takes the reader to its end: what is not known is the tail.
impl Decode for CrushMap {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let magic = u32::decode(r)?;
        if magic != MAGIC {
            return Err(DecodeError::Invalid { what: "crush magic", value: u64::from(magic) });
        }
        let (max_buckets, max_rules) = <(u32, u32)>::decode(r)?;
        let mut map = Self { max_devices: i32::decode(r)?, ..Self::default() };
        if map.max_devices < 0 {
            let value = u64::from(map.max_devices.unsigned_abs());
            return Err(DecodeError::Invalid { what: "crush max_devices", value });
        }
        // Older forms end early; what they lack has the values of their time.
        map.tunables = Tunables::ARGONAUT;
        map.decode_slots(r, max_buckets, max_rules)?;
        map.type_names = decode_names(r)?;
        map.item_names = decode_names(r)?;
        map.rule_names = decode_names(r)?;
        map.decode_tunables(r)?;
        if !r.is_empty() {
            map.device_classes = Decode::decode(r)?;
            map.class_names = Decode::decode(r)?;
            map.class_buckets = Decode::decode(r)?;
        }
        if !r.is_empty() {
            map.decode_choose_args(r)?;
        }
        map.tail = r.take_rest();
        Ok(map)
    }
}

impl CrushMap {
    fn decode_slots(&mut self, r: &mut Reader, b: u32, rules: u32) -> Result<(), DecodeError> {
        for (what, count) in [("crush buckets", b), ("crush rules", rules)] {
            if (count as usize).saturating_mul(4) > r.remaining() {
                let have = r.remaining();
                return Err(DecodeError::TooLong { what, count: u64::from(count), have });
            }
        }
        for index in 0..b as usize {
            let alg = u32::decode(r)?;
            let bucket = if alg == 0 { None } else { Some(Bucket::decode(r, alg)?) };
            if let Some(bucket) = bucket.as_ref().filter(|b| slot(b.id) != Some(index)) {
                let value = u64::from(bucket.id.unsigned_abs());
                return Err(DecodeError::Invalid { what: "crush bucket id", value });
            }
            self.buckets.push(bucket);
        }
        for _ in 0..rules {
            let present = u32::decode(r)? != 0;
            self.rules.push(if present { Some(Rule::decode(r)?) } else { None });
        }
        Ok(())
    }

    fn decode_tunables(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        let t = &mut self.tunables;
        if !r.is_empty() {
            t.choose_local_tries = u32::decode(r)?;
            t.choose_local_fallback_tries = u32::decode(r)?;
            t.choose_total_tries = u32::decode(r)?;
        }
        if !r.is_empty() {
            t.chooseleaf_descend_once = u32::decode(r)?;
        }
        if !r.is_empty() {
            t.chooseleaf_vary_r = u8::decode(r)?;
        }
        if !r.is_empty() {
            t.straw_calc_version = u8::decode(r)?;
        }
        if !r.is_empty() {
            t.allowed_bucket_algs = u32::decode(r)?;
        }
        if !r.is_empty() {
            t.chooseleaf_stable = u8::decode(r)?;
        }
        Ok(())
    }

    fn decode_choose_args(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        let invalid = |what, value: usize| DecodeError::Invalid { what, value: value as u64 };
        let mut keys = BTreeSet::new();
        for _ in 0..r.count("crush choose_args", 12)? {
            let key = i64::decode(r)?;
            let mut args = ChooseArgs::new();
            for _ in 0..r.count("crush choose_args buckets", 12)? {
                let index = u32::decode(r)?;
                let bucket = self.buckets.get(index as usize).and_then(Option::as_ref);
                let Some(size) = bucket.map(Bucket::size) else {
                    return Err(invalid("crush choose_args bucket", index as usize));
                };
                let arg = ChooseArg { weight_sets: Decode::decode(r)?, ids: Decode::decode(r)? };
                if let Some(set) = arg.weight_sets.iter().find(|s| s.len() != size) {
                    return Err(invalid("crush choose_args weights", set.len()));
                }
                if !arg.ids.is_empty() && arg.ids.len() != size {
                    return Err(invalid("crush choose_args ids", arg.ids.len()));
                }
                args.insert(index, arg);
            }
            if !keys.insert(key) {
                return Err(invalid("crush choose_args key, again", key as usize));
            }
            self.choose_args.0.push((key, args));
        }
        Ok(())
    }
}

/// A name map. A length of zero is followed by the length again: maps once had 64-bit lengths
/// behind 32-bit keys, and readers still accept them.
fn decode_names(r: &mut Reader) -> Result<BTreeMap<i32, String>, DecodeError> {
    let mut names = BTreeMap::new();
    for _ in 0..r.count("crush names", 8)? {
        let key = i32::decode(r)?;
        let mut len = r.count("crush name", 1)?;
        if len == 0 {
            len = r.count("crush name", 1)?;
        }
        let bytes = r.take(len)?;
        let name =
            std::str::from_utf8(&bytes).map_err(|_| DecodeError::NotUtf8 { what: "crush name" })?;
        names.insert(key, name.to_owned());
    }
    Ok(names)
}
