//! Class `rbd` over objects in memory: recorded sessions, rules, hostile input.

mod golden;
mod groups;
mod hostile;
mod image;
mod mirror;
mod objects;

use seabed_classes::testing::MemoryObject;
use seabed_cluster::{Errno, SnapId};
use seabed_denc::{Bytes, Decode, Encode, Reader};

const HEAD: SnapId = SnapId::HEAD;

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Calls, and decodes the answer.
fn ask<T: Decode>(object: &mut MemoryObject, method: &str, input: impl Encode) -> Result<T, Errno> {
    let output = object.call("rbd", method, input.to_bytes(0))?;
    Ok(T::decode(&mut Reader::new(output.data)).expect(method))
}

/// Calls a method without an answer.
fn tell(object: &mut MemoryObject, method: &str, input: impl Encode) -> Result<(), Errno> {
    ask(object, method, input)
}

/// The header of a new image.
fn image(size: u64, features: u64) -> MemoryObject {
    let mut object = MemoryObject::default();
    tell(&mut object, "create", ((size, 22u8, features), b("foo."), -1i64)).unwrap();
    object
}

fn features(object: &mut MemoryObject) -> u64 {
    ask::<(u64, u64)>(object, "get_features", (HEAD, true)).unwrap().0
}
