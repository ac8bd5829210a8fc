//! Placement groups: the replicated state machine at the heart of an OSD.
//!
//! A [`Pg`] is one OSD's copy of one placement group. It is told of maps, messages, commits and
//! time, and answers with messages and transactions; it has no clock, thread or socket. Who may
//! serve is decided by peering (`peering`), what was done is remembered by the log (`log`), writes
//! go out by `replicate`, and copies that are behind catch up by `recovery`.
//!
//! Invariants: a write is acknowledged when every acting copy has it durable, never before; a log
//! entry and its change of an object travel in one transaction; nothing of a former interval is
//! answered in a later one; a copy that is not complete is neither served from nor counted.

#![forbid(unsafe_code)]

mod audit;
mod backoff;
mod client;
mod copying;
mod disk;
mod env;
mod inquiry;
mod interval;
mod invariants;
mod lease;
mod log;
pub mod op;
mod outbox;
mod peering;
mod pg;
mod recovery;
mod replicate;
mod snap;
mod stats;
#[cfg(test)]
mod tests;
pub mod watch;
mod wire;

pub use audit::audit;
pub use client::ClientOp;
pub use disk::{destroy, forget};
#[cfg(feature = "planted-bugs")]
pub use env::PlantedBug;
pub use env::{Env, Ids, PgConfig, Step};
pub use interval::{Membership, PriorSet, add_interval, maybe_wrote};
pub use invariants::check;
pub use log::{Known, Log, Missing};
pub use outbox::{FetchId, Level, Outbox, Peer, Request, SessionId};
pub use pg::Pg;

/// The form in which PGs write to disk and to each other: Pacific's.
pub(crate) const WIRE: seabed_denc::Features = seabed_cluster::feature::PACIFIC_ALL;
