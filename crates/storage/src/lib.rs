//! The ports of storage: what rules ask of an object store, a key-value store and a block device.
//!
//! [`ObjectStore`] with its [`Transaction`] is what placement groups write to; [`KeyValue`] with
//! [`Batch`] and [`BlockDevice`] with [`Io`] are what the block store is built on. Each port has
//! an in-memory form for tests and the simulator ([`mem`]).
//!
//! Invariants: a transaction is all or nothing, also over a crash; transactions become durable in
//! the order of their submission; reads see every submitted transaction, durable or not; a
//! failed write or flush is reported once and the store is dead from then on, nothing is retried.

#![forbid(unsafe_code)]

mod block_device;
mod codec;
mod error;
mod key_value;
pub mod mem;
mod object_store;
mod transaction;

pub use block_device::{BlockDevice, DeviceError, Io, IoCompletion, IoId, IoKind};
pub use error::StoreError;
pub use key_value::{Batch, CommitId, KeyValue, KvError, KvOp, KvPairs};
pub use object_store::{ObjectStat, ObjectStore, OmapPage, Room, StatFs};
pub use transaction::{Transaction, TxEntry, TxId, TxOp};
