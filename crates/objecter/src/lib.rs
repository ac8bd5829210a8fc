//! The client's rule: which OSD an operation goes to, when it is sent again, and when it is over.
//!
//! [`Objecter`] knows the newest OSDMap it was given, every operation that is not answered, and the
//! requests that wait for the monitor. The door ([`Output`]) opens connections and moves bytes.
//!
//! Invariants: an operation is answered exactly once; it is sent again whenever the PG it aims at
//! may have lost it (new interval, new session), under the same tid, so that OSDs recognise the
//! repeat; operations on one object leave in the order of their submission; a cancelled operation
//! leaves nothing behind; time is an argument.

#![forbid(unsafe_code)]

mod backoff;
mod linger;
mod maps;
mod monitor;
mod objecter;
mod operation;
mod target;

#[cfg(test)]
mod tests;

pub use linger::{Notified, NotifyEnd, WatchEvent};
pub use monitor::{MonAnswer, MonRequest};
pub use objecter::{Config, Failure, Input, Objecter, Output, RequestId};
pub use operation::{OpReply, OpRequest, OpTarget};
