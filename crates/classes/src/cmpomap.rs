//! Class `cmpomap`: omap entries that are changed only if they compare as expected.
//!
//! The left side of a comparison is the input's value, the right one what is stored. As numbers,
//! values are encoded `u64`; an empty stored one is 0.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, Reader, versioned};

use crate::codec::input;
use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "cmpomap",
    methods: &[
        Method { name: "cmp_vals", access: Access::RD, run: cmp_vals },
        Method { name: "cmp_set_vals", access: Access::RDWR, run: cmp_set_vals },
        Method { name: "cmp_rm_keys", access: Access::RDWR, run: cmp_rm_keys },
    ],
};

versioned! {
    pub struct CompareOp(1, 1) {
        mode: u8,
        comparison: u8,
        values: BTreeMap<Bytes, Bytes>,
        /// What an absent entry is taken for.
        default_value: Option<Bytes>,
    }
}

versioned! {
    pub struct RemoveOp(1, 1) {
        mode: u8,
        comparison: u8,
        values: BTreeMap<Bytes, Bytes>,
    }
}

fn number(bytes: &Bytes) -> Option<u64> {
    u64::decode(&mut Reader::new(bytes.clone())).ok()
}

/// Whether `given <comparison> stored`. A stored value that is no number is EIO.
fn compare(mode: u8, comparison: u8, given: &Bytes, stored: &Bytes) -> Result<bool, Errno> {
    let order = match mode {
        1 => given.cmp(stored),
        2 => {
            let given = number(given).ok_or(Errno::EINVAL)?;
            let stored = if stored.is_empty() { 0 } else { number(stored).ok_or(Errno::EIO)? };
            given.cmp(&stored)
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(match comparison {
        1 => order == Ordering::Equal,
        2 => order != Ordering::Equal,
        3 => order == Ordering::Greater,
        4 => order != Ordering::Less,
        5 => order == Ordering::Less,
        6 => order != Ordering::Greater,
        _ => return Err(Errno::EINVAL),
    })
}

/// The same where what is stored decides nothing but the answer.
fn holds(mode: u8, comparison: u8, given: &Bytes, stored: &Bytes) -> Result<bool, Errno> {
    match compare(mode, comparison, given, stored) {
        Err(Errno::EIO) => Ok(false),
        answer => answer,
    }
}

fn present(
    object: &mut dyn Object,
    values: &BTreeMap<Bytes, Bytes>,
) -> Result<BTreeMap<Bytes, Bytes>, Errno> {
    object.omap_vals_by_keys(&values.keys().cloned().collect())
}

/// All must hold.
fn cmp_vals(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: CompareOp = input(bytes)?;
    let stored = present(object, &op.values)?;
    for (key, given) in &op.values {
        let stored = stored.get(key).or(op.default_value.as_ref()).ok_or(Errno::ECANCELED)?;
        if !compare(op.mode, op.comparison, given, stored)? {
            return Err(Errno::ECANCELED);
        }
    }
    Ok(Output::default())
}

/// Those that hold are set to the values compared with.
fn cmp_set_vals(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: CompareOp = input(bytes)?;
    let stored = present(object, &op.values)?;
    let mut set = BTreeMap::new();
    for (key, given) in op.values {
        let Some(stored) = stored.get(&key).or(op.default_value.as_ref()) else { continue };
        if holds(op.mode, op.comparison, &given, stored)? {
            set.insert(key, given);
        }
    }
    if !set.is_empty() {
        object.omap_set(set)?;
    }
    Ok(Output::default())
}

/// Those that hold are removed.
fn cmp_rm_keys(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: RemoveOp = input(bytes)?;
    let stored = present(object, &op.values)?;
    for (key, given) in &op.values {
        let Some(stored) = stored.get(key) else { continue };
        if holds(op.mode, op.comparison, given, stored)? {
            object.omap_rm(BTreeSet::from([key.clone()]))?;
        }
    }
    Ok(Output::default())
}
