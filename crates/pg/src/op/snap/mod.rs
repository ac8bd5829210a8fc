//! Snapshots of an object: clones that keep what it was, made when it first changes afterwards.
//!
//! The head's `SnapSet` says which clones there are, which snapshots each of them shows, and which
//! ranges a clone shares with the next newer one, the newest with the head. A write names the
//! snapshots that exist ([`SnapContext`]); if there is one that the object has not met, the head is
//! cloned in the transaction of the write ([`make_writeable`]). A head that is deleted while it has
//! clones stays as a whiteout, because the `SnapSet` needs a place.
//!
//! Invariants: the clones of a `SnapSet` are ascending, and each has its size, its overlap and its
//! snapshots there; the overlap of the newest clone never reaches beyond the head's end.

mod context;
mod find;
mod list;
mod make_writeable;
mod rollback;

pub(super) use context::SnapContext;
pub(crate) use find::{Shown, clones_read, shown_to};
