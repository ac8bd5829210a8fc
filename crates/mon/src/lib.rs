//! The monitor: one state machine without clock, socket or disk.
//!
//! Messages of sessions go in, messages go out; every change of a map passes the map log
//! ([`map_log`]) and is heard of only when it is durable there. What Ceph asks its mgr is
//! answered here as well.
//!
//! Invariants: the replicated state ([`state::State`]) is a function of the log; no reply that
//! states a change leaves before the change is committed; every command, pool operation and
//! daemon message passes [`authorize`](authorize::authorize) before it acts.

#![forbid(unsafe_code)]
// `json!` of the tables with the most fields.
#![recursion_limit = "512"]

pub mod authorize;
pub mod command;
mod draft;
pub mod history;
pub mod map_log;
mod mkfs;
mod mon;
pub mod options;
mod purged;
pub mod service;
pub mod session;
pub mod state;

pub use mkfs::{Mkfs, MkfsError, mkfs};
pub use mon::{Input, MonConfig, MonError, Monitor};
pub use session::{Level, Outbox, Output, Peer, SessionDoor, SessionId};
