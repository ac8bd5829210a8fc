//! Snapshots removed: which clones they still hold, and letting those go.
//!
//! ```text
//! removed (map) ─▶ queue ─▶ clones by the mapper ─▶ trimmed, logged, on every copy ─▶ purged
//! ```
//!
//! Invariants: the mapper names exactly the clones that lie here with the snapshots each serves,
//! and changes in the transactions that change the clones; a snapshot counts as purged only when
//! no copy has a clone for it, durably.

mod change;
mod keys;
mod mapper;
mod trim;

#[cfg(test)]
mod tests;

pub(crate) use keys::{KEYS_END, is_mapper_key};
pub(crate) use mapper::{Mapping, all_mappings};
pub(crate) use trim::Trim;
