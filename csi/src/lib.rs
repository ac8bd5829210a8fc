//! The CSI driver `csi.seabed.io`: volumes and snapshots for container orchestrators.
//!
//! | part | what it does |
//! |---|---|
//! | `rules` | decides: names, capabilities, parameters, sizes, the next step of a create, fences |
//! | `state` | what is known of volumes, snapshots and nodes, in the cluster |
//! | `controller` | makes, lists, grows, publishes and removes volumes and snapshots |
//! | `node` | attaches, mounts, measures and grows volumes on one node |
//! | `call` | one gRPC call: who may run beside it, how long it may take, what is logged |
//!
//! Invariants: all state that outlives a call is in the cluster, or is a fact of the node that the
//! node can be asked for again, so a driver may be killed at any moment and another may go on;
//! every call may be repeated; nothing is removed that the driver did not make; a client of a
//! volume is written down in the cluster before its first I/O; secrets are never logged.

#![forbid(unsafe_code)]

mod call;
mod controller;
mod fault;
mod identity;
mod link;
mod node;
mod rules;
mod serve;
mod state;

pub use serve::{Options, Services, serve};

/// The driver's name.
pub const NAME: &str = "csi.seabed.io";
