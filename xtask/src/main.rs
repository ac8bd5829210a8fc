//! `cargo xtask …`: the project's chores, each a file of its own.
//!
//! Nothing here is part of the product. Every step that needs something from the machine installs
//! it (as root on Debian) or says what is missing and stops: nothing is skipped in silence.

mod chroot;
mod compare;
mod csi;
mod demo;
mod faults;
mod filesystem;
mod images;
mod interop;
mod kernel;
mod machine;
mod migration;
mod oracle;
mod process;
mod rocksdb;
mod side;
mod steps;
mod suite;
mod talk;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Seabed's chores")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build, start a cluster on loopback, store and read data, kill an OSD, show what happened.
    Demo(demo::Args),
    /// Everything CI checks.
    Test(test::Args),
    /// Check levels, arrows, file sizes and words.
    Tidy,
    /// Run the deterministic cluster simulator.
    Sim(test::SimArgs),
    /// Drive stock Ceph clients against Seabed and against real Ceph, and compare.
    Interop(interop::Args),
    /// Run kubernetes-csi's own tests over the CSI driver and a running cluster.
    Csi(csi::Args),
    /// Measure Seabed and real Ceph side by side; writes docs/performance.md.
    Compare(compare::Args),
    /// Kill OSDs under stock clients and check every replica.
    Faults(faults::Args),
    /// Random operations on images beside a model of them, while OSDs are killed.
    Images(images::Args),
    /// Start or stop a real Ceph cluster on loopback, to ask it questions.
    Oracle(oracle::Args),
}

fn main() -> Result<()> {
    std::env::set_current_dir(process::repo_root())?;
    match Args::parse().verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Tidy => tidy::run(),
        Verb::Sim(args) => test::sim(&args),
        Verb::Interop(args) => interop::run(&args),
        Verb::Csi(args) => csi::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Faults(args) => faults::run(&args),
        Verb::Images(args) => images::run(&args),
        Verb::Oracle(args) => oracle::run(&args),
    }
}
