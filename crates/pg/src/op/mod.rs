//! Execution of one client request on one object, as a pure function over the store.
//!
//! [`execute`] reads the object through the [`ObjectStore`](seabed_storage::ObjectStore) port and
//! answers with an [`OpOutcome`]: result, every op's return value and output and, if the request
//! changes the object, a [`WriteEffect`] that the PG turns into a log entry and a transaction for
//! all replicas. Nothing is kept between two calls, and nothing is submitted here: a request that
//! is executed twice against the same store and context gives the same outcome. [`execute_pg`]
//! answers requests about the PG itself: listings.
//!
//! What an op of a vector sees of the ops before it is what Ceph lets it see: existence, size and
//! the other fields of the object info as changed so far; data, attributes and omap as they were
//! before the request.
//!
//! Invariants: an outcome with a negative result carries no effect; the transaction of an effect
//! names no object but the request's and its clones; the attributes `_` and `snapset` of the head
//! in it are the encodings of `info` and `snapset` of the effect.

mod call;
mod context;
mod copied;
mod copy;
mod execution;
mod list;
mod mutation;
mod omap;
mod outcome;
mod read;
mod snap;
mod tmap;
mod watch;
mod write;
mod xattr;

pub use call::check_calls;
pub use context::{ObjectContext, OpEnv, OpLimits, ReqIds};
pub use copied::{Copied, CopySource};
pub(crate) use copy::REQIDS_TOLD;
pub use execution::{execute, may_write, writes};
pub use list::{execute_pg, execute_pg_with};
pub use outcome::{OpOutcome, OpReturn, WriteEffect, set_versions};
pub(crate) use snap::{Shown, clones_read, shown_to};

#[cfg(test)]
mod tests;
