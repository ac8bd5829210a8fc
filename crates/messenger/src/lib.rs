//! TCP for `msgr2` on tokio: listen, dial, throttle, reconnect. No decision about the protocol is
//! made here.
//!
//! A process has one [`Messenger`] per address it is known by (an OSD: public, cluster, two for
//! answering heartbeats, two for sending them). The handle is cheap to clone and none of its
//! methods waits; what happens comes out of one bounded channel of [`Event`]s. Everything runs on
//! the runtime that `bind` was called on, a current-thread one included.
//!
//! One task owns one session and, while there is one, its TCP connection. A lossy session ends
//! with its connection ([`Event::Reset`]); a lossless one is kept, dials again while something
//! waits to be sent, and replays. Incoming connections greet in a task of their own until it is
//! known whose they are, then they join the session's task or become one.
//!
//! Bounds: events (the reader of the channel is the brake: a connection whose event finds no room
//! reads no further), bytes of received messages alive ([`Budget`], per peer and in total; given
//! back when the guard is dropped), bytes waiting to be sent per session. If a lossless backlog is
//! full, [`Messenger::send`] refuses and nothing is lost; if a lossy one is, the peer does not
//! read: it is disconnected, with a line in the log.

#![forbid(unsafe_code)]

mod actor;
mod clock;
mod config;
mod event;
mod greet;
mod handle;
mod outbox;
mod throttle;
mod wire;

pub use config::{Config, Role};
pub use event::{ConnId, Event};
pub use handle::Messenger;
pub use throttle::Budget;

pub use seabed_cephx::{AuthName, Authenticated};
pub use seabed_msgr2::{CloseReason, Keepalive, Limits, Peer, Policies, Policy, SendError};
