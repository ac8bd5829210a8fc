//! Peering: how the acting OSDs of an interval agree on one history before anybody is served.
//!
//! ```text
//! Stray ──(log or info from the primary, durable)──▶ Replica
//!
//! Start ─▶ GetInfo ─▶ GetLog ─▶ GetMissing ─▶ WaitUpThru ─▶ Active
//!            │  ▲                  no log to get, nobody to ask: at once
//!            │  └── a peer went down, or the monitor was told of one
//!            ├─▶ (blocked: "down")   a past interval that may have written has no survivor up
//!            ├─▶ Incomplete          nobody has a complete copy of the newest history
//!            └─▶ WaitActing          others should act: pg_temp was asked for
//! ```
//!
//! Every change of the interval leads back to Start or Stray. A phase owns what is valid in it.

mod activate;
mod choose;
mod get_info;
mod get_log;
mod get_missing;
mod replica;
mod stray;

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{OsdId, PgInfo, Time};

use crate::interval::PriorSet;
use crate::log::Missing;
use crate::recovery::{Backfill, Recovery};
use crate::replicate::InFlight;

pub(crate) use choose::{ActingPlan, Choice, choose};

/// What this OSD is for the PG.
#[derive(Debug, Default)]
pub(crate) enum Role {
    /// Another leads (or nobody), and has not activated this copy in this interval.
    #[default]
    Stray,
    /// The primary activated this copy.
    Replica(Replica),
    /// This OSD leads.
    Primary(Box<Primary>),
}

/// An activated copy.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Who leads.
    pub(crate) primary: OsdId,
}

/// What the primary knows of a peer's copy in this interval.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerCopy {
    /// Its info, as it said and as we changed it since.
    pub(crate) info: PgInfo,
    /// What it lacks.
    pub(crate) missing: Missing,
    /// True if `missing` is known: it told its log, or cannot lack anything.
    pub(crate) judged: bool,
}

/// The state of a primary.
#[derive(Debug, Default)]
pub(crate) struct Primary {
    /// Copies of other OSDs.
    pub(crate) peers: BTreeMap<OsdId, PeerCopy>,
    /// How far peering is.
    pub(crate) phase: Phase,
    /// When unanswered questions are put again.
    pub(crate) again_at: Option<Time>,
}

/// The phases of a primary.
#[derive(Debug, Default)]
pub(crate) enum Phase {
    /// The map has not been acted upon.
    #[default]
    Start,
    /// Asking everybody who may know of writes.
    GetInfo {
        /// Whom to ask and whom to wait for.
        prior: PriorSet,
        /// Not answered yet.
        asked: BTreeSet<OsdId>,
    },
    /// Nobody has a complete copy of what was started last.
    Incomplete {
        /// As in `GetInfo`.
        prior: PriorSet,
    },
    /// Others should act; the monitor was asked.
    WaitActing {
        /// Whom it should name; nobody to drop `pg_temp`.
        want: Vec<OsdId>,
    },
    /// Fetching the authoritative log.
    GetLog {
        /// From whom.
        from: OsdId,
        /// What follows.
        plan: ActingPlan,
    },
    /// Fetching logs of acting copies that differ.
    GetMissing {
        /// Not answered yet.
        asked: BTreeSet<OsdId>,
        /// What follows.
        plan: ActingPlan,
    },
    /// The map must show that this primary was alive in this interval.
    WaitUpThru {
        /// What follows.
        plan: ActingPlan,
    },
    /// Peers are activated, or being so.
    Active(Box<Active>),
}

impl Phase {
    /// For traces and tables.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::GetInfo { prior, .. } if prior.is_blocked() => "down",
            Phase::GetInfo { .. } => "get-info",
            Phase::Incomplete { .. } => "incomplete",
            Phase::WaitActing { .. } => "wait-acting",
            Phase::GetLog { .. } => "get-log",
            Phase::GetMissing { .. } => "get-missing",
            Phase::WaitUpThru { .. } => "wait-up-thru",
            Phase::Active(a) if a.activated => "active",
            Phase::Active(_) => "activating",
        }
    }
}

/// A primary that has decided.
#[derive(Debug, Default)]
pub(crate) struct Active {
    /// Every copy acknowledged its activation.
    pub(crate) activated: bool,
    /// Our own activation is durable.
    pub(crate) durable: bool,
    /// Copies whose acknowledgement is missing.
    pub(crate) waiting: BTreeSet<OsdId>,
    /// Copies that take part in every write, besides our own: acting and backfill targets.
    pub(crate) targets: BTreeSet<OsdId>,
    /// Those of them that are being filled.
    pub(crate) backfills: BTreeMap<OsdId, Backfill>,
    /// Changes on their way, in order.
    pub(crate) in_flight: InFlight,
    /// The newest change that each copy has complete on disk.
    pub(crate) complete_ondisk: BTreeMap<OsdId, seabed_cluster::EVersion>,
    /// Objects on their way.
    pub(crate) recovery: Recovery,
    /// Everything is where it belongs.
    pub(crate) clean: bool,
    /// Clones of removed snapshots are let go.
    pub(crate) trim: crate::snap::Trim,
}

impl Active {
    /// True if writes may be made.
    pub(crate) fn is_serving(&self) -> bool {
        self.activated
    }
}
