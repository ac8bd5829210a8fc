//! Who stands at either end, and what is expected of the other.

use std::time::Duration;

use seabed_cephx::Authenticated;
use seabed_cluster::{EntityAddr, EntityAddrVec, EntityName, EntityType, feature};

/// This side, as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Kind (HELLO) and number (the gid of an ident: an OSD's id, a monitor's rank; a client
    /// towards OSDs puts its global id, before it has one -1).
    pub name: EntityName,
    /// Own addresses. A pure client has one of kind `Any`, port 0 and a random nonce; if its IP is
    /// unspecified, the one that the server saw is filled in.
    pub addrs: EntityAddrVec,
}

/// The peer, as authentication and its ident introduced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Kind from HELLO, number from the ident.
    pub name: EntityName,
    /// The dialling side's authentication (on the dialling side: one's own).
    pub auth: Authenticated,
    /// As it announced them.
    pub addrs: EntityAddrVec,
    /// What both sides support: decides the encoding of messages.
    pub features: u64,
}

/// When to ask whether a silent peer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// KEEPALIVE2 this long after the last.
    pub interval: Duration,
    /// Closed when nothing at all was heard for so long.
    pub timeout: Duration,
}

/// How sessions with one kind of peer behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The session dies with its connection.
    pub lossy: bool,
    /// Feature bits offered.
    pub supported: u64,
    /// Feature bits without which the peer is refused.
    pub required: u64,
    /// Asking a silent peer; `None` leaves that to the peer.
    pub keepalive: Option<Keepalive>,
}

/// What a monitor and an OSD of 16.2 require of clients (sheet 01 §5).
pub const REQUIRED_OF_CLIENT: u64 = feature::MSG_ADDR2;

impl Policy {
    /// Clients at a daemon, and a client at daemons: nothing outlives the connection.
    pub fn lossy() -> Self {
        Policy {
            lossy: true,
            supported: feature::PACIFIC_ALL,
            required: REQUIRED_OF_CLIENT,
            keepalive: None,
        }
    }

    /// A client at its monitor: it notices a dead one (mon_client_ping_interval and _timeout).
    pub fn to_mon() -> Self {
        let keepalive =
            Some(Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(30) });
        Policy { keepalive, ..Policy::lossy() }
    }

    /// A client at an OSD, as at its monitor: what a silent one does not take off its socket is let
    /// go of in time, also when no monitor is there to say that it is dead.
    pub fn to_osd() -> Self {
        Policy::to_mon()
    }

    /// OSD and OSD on the cluster network: sessions survive connections.
    pub fn lossless_peer() -> Self {
        Policy { lossy: false, required: feature::REQUIRED_OF_OSD, ..Policy::lossy() }
    }
}

/// Policies of an accepting side by kind of peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    by_kind: Vec<(EntityType, Policy)>,
    default: Option<Policy>,
}

impl Policies {
    /// The same for every kind.
    pub fn all(policy: Policy) -> Self {
        Policies { by_kind: Vec::new(), default: Some(policy) }
    }

    /// Another one for `kind`.
    pub fn with(mut self, kind: EntityType, policy: Policy) -> Self {
        self.by_kind.retain(|(k, _)| *k != kind);
        self.by_kind.push((kind, policy));
        self
    }

    /// The policy for `kind`; `None` if such peers are not served.
    pub fn of(&self, kind: EntityType) -> Option<&Policy> {
        self.by_kind.iter().find(|(k, _)| *k == kind).map(|(_, p)| p).or(self.default.as_ref())
    }
}

/// True if `addrs` name the address that was dialled. Someone who knows only IP and port (a
/// bootstrap address) dials nonce 0, which any nonce answers.
pub(crate) fn names_target(addrs: &EntityAddrVec, target: &EntityAddr) -> bool {
    addrs.0.iter().any(|a| {
        let same = a.addr == target.addr && a.kind == target.kind;
        same && (a.nonce == target.nonce || target.nonce == 0)
    })
}
