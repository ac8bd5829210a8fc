//! The messenger protocol msgr2.1 of one connection: bytes in, bytes and messages out.
//!
//! Pure: no socket, no clock, no randomness. [`Connection`] is one TCP connection of either side;
//! [`Session`] is what outlives it; [`decide`] is what an acceptor answers when sessions meet. The
//! hand (crate `messenger`, or a test with two endpoints and a virtual clock) moves the bytes.
//!
//! Built: crc mode, authentication `none`, lossy and lossless sessions, reconnect and replay,
//! keepalive, limits. Secure mode and cephx have their places ([`frame`](self), crate `cephx`).
//!
//! Invariants: whatever the bytes, no panic and no allocation beyond [`Limits`]; a closed
//! connection says why; a message of a lossless session is delivered exactly once and in order
//! as long as both sides keep the session.

#![forbid(unsafe_code)]

mod accept;
mod banner;
mod connection;
mod control;
mod error;
mod frame;
mod limits;
mod open;
mod peer;
mod phase;
mod session;

pub use accept::{Link, Refusal, SessionRequest, Verdict, Wish, decide};
pub use connection::{Connection, Event};
pub use error::CloseReason;
pub use frame::Tag;
pub use frame::seal::Transmit;
pub use limits::{Limits, message_cost};
pub use peer::{Keepalive, Local, Peer, Policies, Policy, REQUIRED_OF_CLIENT};
pub use phase::client::Dial;
pub use phase::server::{Accept, Admission};
pub use session::{SendError, Session};

#[cfg(test)]
mod tests;
