//! Class `refcount`: an object lives as long as it has references, each by a tag.
//!
//! Invariants: a tag that was put is retired and puts nothing again; the object goes with its last
//! reference. An object that was never counted may have one implicit reference, of the empty tag.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode, versioned};

use crate::codec::{input, stored};
use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "refcount",
    methods: &[
        Method { name: "get", access: Access::RDWR, run: get },
        Method { name: "put", access: Access::RDWR, run: put },
        Method { name: "set", access: Access::RDWR, run: set },
        Method { name: "read", access: Access::RD, run: read },
    ],
};

const ATTRIBUTE: &[u8] = b"refcount";

versioned! {
    pub struct RefCount(2, 1) {
        refs: BTreeMap<Bytes, bool>,
        retired_refs: BTreeSet<Bytes> [since 2],
    }
}

versioned! {
    pub struct RefOp(1, 1) {
        tag: Bytes,
        implicit_ref: bool,
    }
}

versioned! {
    pub struct Refs(1, 1) {
        refs: Vec<Bytes>,
    }
}

versioned! {
    pub struct ReadOp(1, 1) {
        implicit_ref: bool,
    }
}

fn load(object: &mut dyn Object, implicit: bool) -> Result<RefCount, Errno> {
    match object.get_xattr(ATTRIBUTE) {
        Ok(bytes) => stored(object, ATTRIBUTE, bytes),
        Err(Errno::ENODATA) => {
            let refs = implicit.then(|| (Bytes::new(), true)).into_iter().collect();
            Ok(RefCount { refs, ..RefCount::default() })
        }
        Err(e) => Err(e),
    }
}

fn store(object: &mut dyn Object, count: &RefCount) -> Done {
    object.set_xattr(ATTRIBUTE, count.to_bytes(0))?;
    Ok(Output::default())
}

fn remove(object: &mut dyn Object) -> Done {
    object.remove()?;
    Ok(Output::default())
}

fn get(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: RefOp = input(bytes)?;
    let mut count = load(object, op.implicit_ref)?;
    count.refs.insert(op.tag, true);
    store(object, &count)
}

fn put(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: RefOp = input(bytes)?;
    let mut count = load(object, op.implicit_ref)?;
    if count.refs.is_empty() {
        return Err(Errno::EINVAL);
    }
    let own = count.refs.contains_key(&op.tag);
    let tag = if own || !op.implicit_ref { op.tag.clone() } else { Bytes::new() };
    if count.retired_refs.contains(&op.tag) || count.refs.remove(&tag).is_none() {
        return Ok(Output::default());
    }
    count.retired_refs.insert(op.tag);
    if count.refs.is_empty() { remove(object) } else { store(object, &count) }
}

fn set(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: Refs = input(bytes)?;
    if op.refs.is_empty() {
        return remove(object);
    }
    let refs = op.refs.into_iter().map(|tag| (tag, true)).collect();
    store(object, &RefCount { refs, ..RefCount::default() })
}

fn read(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: ReadOp = input(bytes)?;
    let refs = load(object, op.implicit_ref)?.refs.into_keys().collect();
    Ok(Refs { refs, ..Refs::default() }.to_bytes(0).into())
}
