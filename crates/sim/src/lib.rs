//! The simulator: the production monitor, OSDs, PGs and objecter in one thread, under faults, from
//! one seed.
//!
//! ```text
//!        Plan(seed) ── sizes, times, what goes wrong
//!            │
//!         World ── event heap, virtual time
//!          ├── net      connections, delays, partitions, resets
//!          ├── mon_node, osd_node, client_node   the rules with their disks
//!          ├── faults   what goes wrong, and its end
//!          ├── work/*   what clients do, and the models beside it
//!          └── check/*  what must hold
//! ```
//!
//! Invariants: a seed is a run, the same in every process; nothing here reads a clock; a correct
//! cluster survives every plan, so a red seed is a bug of the cluster (or of the simulator).

#![forbid(unsafe_code)]

mod chance;
mod check;
mod client_node;
mod faults;
mod mon_node;
mod net;
mod osd_node;
mod plan;
mod run;
mod trace;
mod work;
mod world;

pub use plan::Plan;
pub use run::{Bug, Report, run, run_many};
pub use work::Work;
