//! Class `version`: a number of the object's own that its users count up, in an attribute.
//!
//! The tag tells one count from another that was begun later on the same object.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode, versioned};

use crate::codec::{input, stored};
use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "version",
    methods: &[
        Method { name: "set", access: Access::RDWR, run: set },
        Method { name: "inc", access: Access::RDWR, run: inc },
        Method { name: "inc_conds", access: Access::RDWR, run: inc },
        Method { name: "read", access: Access::RD, run: read },
        Method { name: "check_conds", access: Access::RD, run: check_conds },
    ],
};

const ATTRIBUTE: &[u8] = b"ceph.objclass.version";

/// Characters of a tag.
const TAG_LEN: usize = 24;

versioned! {
    pub struct ObjVersion(1, 1) {
        ver: u64,
        tag: Bytes,
    }
}

versioned! {
    pub struct Condition(1, 1) {
        version: ObjVersion,
        cond: u32,
    }
}

versioned! {
    /// Input of `set`, output of `read`.
    pub struct VersionOp(1, 1) {
        objv: ObjVersion,
    }
}

versioned! {
    pub struct ConditionsOp(1, 1) {
        objv: ObjVersion,
        conds: Vec<Condition>,
    }
}

impl Condition {
    /// Unknown conditions hold, as in Ceph.
    fn holds(&self, of: &ObjVersion) -> bool {
        let than = &self.version;
        match self.cond {
            1 => of.ver == than.ver && of.tag == than.tag,
            2 => of.ver > than.ver,
            3 => of.ver >= than.ver,
            4 => of.ver < than.ver,
            5 => of.ver <= than.ver,
            6 => of.tag == than.tag,
            7 => of.tag != than.tag,
            _ => true,
        }
    }
}

fn load(object: &mut dyn Object) -> Result<Option<ObjVersion>, Errno> {
    match object.get_xattr(ATTRIBUTE) {
        Ok(bytes) => stored(object, ATTRIBUTE, bytes).map(Some),
        Err(Errno::ENOENT | Errno::ENODATA) => Ok(None),
        Err(e) => Err(e),
    }
}

fn store(object: &mut dyn Object, version: &ObjVersion) -> Result<(), Errno> {
    object.set_xattr(ATTRIBUTE, version.to_bytes(0))
}

/// A tag that nobody else has.
fn new_tag(object: &mut dyn Object) -> Bytes {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut drawn = [[0; 16]; 2];
    drawn.iter_mut().for_each(|bytes| object.unique(bytes));
    let characters = drawn.iter().flatten().take(TAG_LEN);
    characters.map(|byte| ALPHABET[usize::from(byte & 63)]).collect()
}

fn set(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: VersionOp = input(bytes)?;
    store(object, &op.objv)?;
    Ok(Output::default())
}

fn check(conds: &[Condition], version: &ObjVersion) -> Result<(), Errno> {
    if conds.iter().all(|c| c.holds(version)) { Ok(()) } else { Err(Errno::ECANCELED) }
}

/// Counts up; an object without a version gets one first.
fn inc(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: ConditionsOp = input(bytes)?;
    let mut version = match load(object)? {
        Some(version) => version,
        None => {
            let first = ObjVersion { ver: 1, tag: new_tag(object), ..ObjVersion::default() };
            store(object, &first)?;
            first
        }
    };
    check(&op.conds, &version)?;
    version.ver = version.ver.wrapping_add(1);
    store(object, &version)?;
    Ok(Output::default())
}

fn read(object: &mut dyn Object, _: Bytes) -> Done {
    let objv = load(object)?.unwrap_or_default();
    Ok(VersionOp { objv, ..VersionOp::default() }.to_bytes(0).into())
}

fn check_conds(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: ConditionsOp = input(bytes)?;
    check(&op.conds, &load(object)?.unwrap_or_default())?;
    Ok(Output::default())
}
