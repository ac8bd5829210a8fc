//! The ports in memory, for tests and the simulator: deterministic, with crashes on demand.

mod apply;
mod data;
mod device;
mod faulty;
mod kv;
mod store;

pub use data::ByteMap;
pub use device::MemDevice;
pub use faulty::{Fault, FaultyDevice};
pub use kv::MemKv;
pub use store::MemStore;
