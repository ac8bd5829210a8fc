//! `seabed csi`: the processes of the CSI driver, and what a node can do.
//!
//! The names of verbs and flags are a contract with other people's scripts.

mod attachd;
mod doctor;
mod driver;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use seabed_attach::{Wanted, Way};
use seabed_csi::Services;

/// Verbs of `seabed csi`.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Serve the calls that concern the cluster: volumes and snapshots made, published, removed.
    Controller(driver::Arguments),
    /// Serve the calls that concern this node: volumes attached and mounted.
    Node(driver::Arguments),
    /// Serve both.
    All(driver::Arguments),
    /// Own this node's user-space block devices. Started by the node plugin where it is absent; in
    /// Kubernetes a workload of its own. Ends by itself when it holds nothing; told to end, with
    /// its last device.
    Attachd(attachd::Arguments),
    /// Say what this node can do, how it would attach a volume, and why not otherwise.
    Doctor(doctor::Arguments),
}

/// Where a node's processes meet, unless told.
pub(crate) const STATE_DIR: &str = "/var/lib/seabed/csi";

/// Runs one verb.
pub(crate) fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Controller(arguments) => driver::run(Services::Controller, arguments),
        Verb::Node(arguments) => driver::run(Services::Node, arguments),
        Verb::All(arguments) => driver::run(Services::All, arguments),
        Verb::Attachd(arguments) => attachd::run(arguments),
        Verb::Doctor(arguments) => crate::shell::run(doctor::run(arguments)),
    }
}

/// How volumes are to be attached.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Attach {
    /// The best way that works here.
    Auto,
    /// The kernel's own client.
    Krbd,
    /// A file in FUSE with a loop device on it.
    FuseLoop,
}

impl Attach {
    /// As the rule takes it.
    pub(crate) fn wanted(self) -> Wanted {
        match self {
            Attach::Auto => Wanted::Auto,
            Attach::Krbd => Wanted::Only(Way::KernelRbd),
            Attach::FuseLoop => Wanted::Only(Way::FuseLoop),
        }
    }
}

/// `unix:///PATH` or a path.
pub(crate) fn socket(endpoint: &str) -> Result<PathBuf> {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:"));
    let path = PathBuf::from(path.unwrap_or(endpoint));
    path.is_absolute().then_some(path).context("an endpoint is unix:///PATH")
}
