//! Class `cas`: chunks of deduplicated data, which live as long as objects refer to them.
//!
//! The references are one attribute of the chunk; [`refs`] is its forms.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

mod refs;

use seabed_cluster::{Errno, HObject};
use seabed_denc::{Bytes, Encode, versioned};

use crate::codec::{input, stored};
use crate::{Access, Class, Done, Method, Object, Output};
use refs::ChunkRefs;

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "cas",
    methods: &[
        Method { name: "chunk_create_or_get_ref", access: Access::RDWR, run: create_or_get_ref },
        Method { name: "chunk_get_ref", access: Access::RDWR, run: get_ref },
        Method { name: "chunk_put_ref", access: Access::RDWR, run: put_ref },
        Method { name: "references_chunk", access: Access::RD, run: references_chunk },
    ],
};

const ATTRIBUTE: &[u8] = b"chunk_refs";

/// The chunk exists and has other data.
const ENOMSG: Errno = Errno(42);
/// There is no such reference.
const ENOLINK: Errno = Errno(67);

/// Compare the data with that of a chunk that exists.
const VERIFY: u64 = 1;

versioned! {
    pub struct CreateOp(1, 1) {
        source: HObject = HObject::min(),
        flags: u64,
        data: Bytes,
    }
}

versioned! {
    pub struct RefOp(1, 1) {
        source: HObject = HObject::min(),
    }
}

fn load(object: &mut dyn Object) -> Result<ChunkRefs, Errno> {
    match object.get_xattr(ATTRIBUTE) {
        Ok(bytes) => stored(object, ATTRIBUTE, bytes),
        Err(Errno::ENODATA) => Ok(ChunkRefs::default()),
        Err(e) => Err(e),
    }
}

fn store(object: &mut dyn Object, refs: &ChunkRefs) -> Done {
    object.set_xattr(ATTRIBUTE, refs.to_bytes(0))?;
    Ok(Output::default())
}

fn create_or_get_ref(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: CreateOp = input(bytes)?;
    let mut refs = match load(object) {
        Err(Errno::ENOENT) => {
            object.write_full(op.data, 0)?;
            ChunkRefs::default()
        }
        refs => {
            let refs = refs?;
            if op.flags & VERIFY != 0 && object.read(0, 0)? != op.data {
                return Err(ENOMSG);
            }
            refs
        }
    };
    refs.get(op.source);
    store(object, &refs)
}

fn get_ref(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: RefOp = input(bytes)?;
    let mut refs = load(object)?;
    refs.get(op.source);
    store(object, &refs)
}

fn put_ref(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: RefOp = input(bytes)?;
    let mut refs = load(object)?;
    if !refs.put(&op.source) {
        return Err(ENOLINK);
    }
    if refs.is_empty() {
        object.remove()?;
        return Ok(Output::default());
    }
    store(object, &refs)
}

/// Whether the object's manifest names a chunk: objects have no manifests here.
fn references_chunk(_: &mut dyn Object, bytes: Bytes) -> Done {
    input::<Bytes>(bytes)?;
    Err(ENOLINK)
}
