//! What a messenger is told when it is made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seabed_cephx::AuthName;
use seabed_cluster::{EntityName, EntityType, GlobalId};
use seabed_msgr2::{Limits, Policies, Policy};

/// What callers are given on authentication.
#[derive(Clone)]
pub enum Role {
    /// A monitor: a caller without an id gets the one that this function returns. It must never
    /// return the same id twice, across restarts neither.
    Mon(Arc<dyn Fn() -> GlobalId + Send + Sync>),
    /// Any other daemon.
    Service,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Mon(_) => "Mon",
            Role::Service => "Service",
        })
    }
}

/// What a messenger is told when it is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// Kind, and the number that idents carry: an OSD's id, a monitor's rank, -1 for a client.
    pub name: EntityName,
    /// The name shown for authentication.
    pub auth_name: AuthName,
    /// Tells this life of the process from others at the same address. 0 for monitors: clients
    /// dial them by address alone.
    pub nonce: u32,
    /// Announced instead of the address listened on (bound to all interfaces, or forwarded).
    pub announce: Option<SocketAddr>,
    /// How sessions of callers behave, by their kind.
    pub policies: Policies,
    /// What callers are given.
    pub role: Role,
    /// Bounds of each connection.
    pub limits: Limits,
    /// Bytes of received messages alive at a time, of one peer; `None`: not throttled.
    pub peer_bytes_max: Option<usize>,
    /// The same of all peers together.
    pub total_bytes_max: Option<usize>,
    /// Events that wait for the owner.
    pub events_max: usize,
    /// Sessions at a time; callers above it are turned away.
    pub sessions_max: usize,
    /// First pause between two attempts to dial (ms_initial_backoff); doubles each time.
    pub backoff_min: Duration,
    /// Longest pause. Ceph waits up to 15 s; a daemon that is back should be found sooner.
    pub backoff_max: Duration,
}

impl Config {
    /// A daemon: callers have lossy sessions, not throttled. Change the fields that differ.
    pub fn new(name: EntityName, auth_name: AuthName, nonce: u32) -> Self {
        Config {
            name,
            auth_name,
            nonce,
            announce: None,
            policies: Policies::all(Policy::lossy()),
            role: Role::Service,
            limits: Limits::default(),
            peer_bytes_max: None,
            total_bytes_max: None,
            events_max: 1024,
            sessions_max: 16 << 10,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
        }
    }

    /// A client named `client.ID`, which is not called by anybody.
    pub fn client(id: &str, nonce: u32) -> Self {
        let name = EntityName { kind: EntityType::Client, num: -1 };
        Config::new(name, AuthName::new(EntityType::Client, id), nonce)
    }
}
