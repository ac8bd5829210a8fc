//! Ceph's messages: what daemons and clients say to each other, as types and as bytes.
//!
//! A connection hands up a [`RawMessage`]; [`Packet::decode`] makes it typed; a rule answers with
//! packets, which [`Packet::encode`] turns back. [`registry`] lists every kind in one table. A
//! module a family; each opens with the layouts of its messages.
//!
//! Invariants: no clock, no I/O; decoding never panics and allocates no more than the bytes it
//! got warrant; a message that was decoded is encoded to the same bytes, including what a newer
//! release put behind the fields known here.

#![forbid(unsafe_code)]

mod client_op;
mod command;
mod common;
mod copy;
mod declare;
mod mgr;
mod mon_client;
pub mod op;
mod osd_mon;
mod packet;
mod peering;
mod ping;
mod recovery;
pub mod registry;
mod rep_op;
mod scrub;
mod watch;

pub use client_op::*;
pub use command::*;
pub use common::{Paxos, Trace};
pub use copy::{CopyCursor, CopyData, copy_flag, copy_from_flag};
pub use declare::{Body, Foreign, Kind, Opaque, Parts, Segment};
pub use mgr::*;
pub use mon_client::*;
pub use op::{OpArgs, OpCode, OsdOp};
pub use osd_mon::*;
pub use packet::{Header, MessageError, Packet, RawMessage, priority};
pub use peering::*;
pub use ping::{MOsdPing, PING_PADDING, ping_op};
pub use recovery::*;
pub use registry::Message;
pub use rep_op::*;
pub use scrub::*;
pub use watch::*;
