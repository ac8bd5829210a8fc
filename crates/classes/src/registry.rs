//! Which classes and methods there are.

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use crate::Object;

/// What a method does to its object, by its declaration: `CLS_METHOD_RD` and `CLS_METHOD_WR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// It reads: the request waits for the writes before it.
    pub read: bool,
    /// It may change the object: the request is logged and replicated.
    pub write: bool,
}

impl Access {
    /// Reads only.
    pub const RD: Access = Access { read: true, write: false };
    /// Writes only.
    pub const WR: Access = Access { read: false, write: true };
    /// Reads and writes.
    pub const RDWR: Access = Access { read: true, write: true };
}

/// What a method answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The op's return value; 0 but for few methods. A negative one fails the request.
    pub result: i32,
    /// The op's output.
    pub data: Bytes,
}

impl From<Bytes> for Output {
    fn from(data: Bytes) -> Self {
        Output { result: 0, data }
    }
}

/// Output, or the error that fails the request.
pub type Done = Result<Output, Errno>;

/// A method of a class.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it may do.
    pub access: Access,
    /// The function: object and input to output.
    pub run: fn(&mut dyn Object, Bytes) -> Done,
}

/// A class: a name and its methods.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Its methods.
    pub methods: &'static [Method],
}

/// Every class that this release has.
pub const CLASSES: &[Class] = &[
    crate::rbd::CLASS,
    crate::lock::CLASS,
    crate::cas::CLASS,
    crate::cmpomap::CLASS,
    crate::hello::CLASS,
    crate::journal::CLASS,
    crate::log::CLASS,
    crate::numops::CLASS,
    crate::refcount::CLASS,
    crate::sdk::CLASS,
    crate::version::CLASS,
];

/// The method, or what an OSD answers without it: EOPNOTSUPP, for an unknown class as for an
/// unknown method of a known one.
pub fn find(class: &[u8], method: &[u8]) -> Result<&'static Method, Errno> {
    let class = CLASSES.iter().find(|c| c.name.as_bytes() == class).ok_or(Errno::EOPNOTSUPP)?;
    class.methods.iter().find(|m| m.name.as_bytes() == method).ok_or(Errno::EOPNOTSUPP)
}
