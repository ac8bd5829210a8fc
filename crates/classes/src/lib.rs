//! Object classes: methods that clients call on an object and that run inside the OSD.
//!
//! A [`Method`] is a pure function over an [`Object`]: it reads what the object was before the
//! request, and its changes become part of the request's one transaction, or of nothing if it
//! fails. Which classes exist is one table, [`CLASSES`]; layouts of what they store and of their
//! inputs and outputs are Ceph's, byte for byte.
//!
//! Invariants: a method never panics, whatever its input; it knows nothing but its input and its
//! object; a method without [`Access::write`] changes nothing.

#![forbid(unsafe_code)]

mod cas;
mod cmpomap;
mod codec;
mod filter;
mod hello;
mod journal;
pub mod lock;
mod log;
mod numops;
mod object;
pub mod rbd;
mod refcount;
mod registry;
mod sdk;
pub mod testing;
mod version;

pub use filter::{AttributeIs, read_filter};
pub use object::{Level, Object, Page, Stat};
pub use registry::{Access, CLASSES, Class, Done, Method, Output, find};
