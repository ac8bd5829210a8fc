//! The ports in memory, for tests and the simulator: deterministic, with crashes on demand.

mod apply;
mod data;
mod store;

pub use data::ByteMap;
pub use store::MemStore;
