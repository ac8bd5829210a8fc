//! Authentication as the messenger's handshake carries it: methods, modes and the two parties.
//!
//! Built: method `none`, for both parties and towards both kinds of peer (a monitor, which gives
//! out global ids, and any other daemon, which believes them). Method `cephx` has its place in
//! [`ClientAuth`] and [`ServerAuth`]; until it is built a server refuses it with AUTH_BAD_METHOD
//! and a client told to use it says so. The same holds for the secure mode.
//!
//! Invariants: no clock, no random source: what must be fresh is an argument. Nothing here accepts
//! what it cannot verify, except where the method is `none` by configuration.

#![forbid(unsafe_code)]

mod client;
mod error;
mod name;
mod none;
mod server;

pub use client::{AuthRequest, ClientAuth, Towards};
pub use error::AuthError;
pub use name::AuthName;
pub use server::{BadMethod, ServerAuth, ServerStep};

use seabed_cluster::GlobalId;

/// Numbers of the methods on the wire.
pub mod method {
    /// No authentication: the peer is who it says.
    pub const NONE: u32 = 1;
    /// Shared keys and tickets.
    pub const CEPHX: u32 = 2;
}

/// How frames are protected once AUTH_DONE was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConMode {
    /// Checksums against accidents.
    Crc,
}

impl ConMode {
    /// The number on the wire.
    pub fn to_u32(self) -> u32 {
        match self {
            ConMode::Crc => 1,
        }
    }

    /// The mode of that number, if it is built. (2 is the secure mode.)
    pub fn from_u32(n: u32) -> Option<Self> {
        (n == 1).then_some(ConMode::Crc)
    }
}

/// What authentication established. Either side of a connection gets one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Who was authenticated: the client, on both sides.
    pub name: AuthName,
    /// The client's id in this cluster.
    pub global_id: GlobalId,
    /// How the frames behind AUTH_DONE are protected.
    pub mode: ConMode,
}

impl Authenticated {
    /// What AUTH_SIGNATURE carries. With a session key it is an HMAC over the handshake; without
    /// one, and method `none` has none, it is zeros on both sides.
    pub fn signature(&self) -> [u8; 32] {
        [0; 32]
    }
}
