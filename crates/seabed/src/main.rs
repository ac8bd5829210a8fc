//! The one binary: daemons, the dev cluster and the administrator's verbs.

#![forbid(unsafe_code)]

mod dev;
mod output;
mod shell;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Object storage for those who stay in control of their data; speaks Ceph's protocol.
#[derive(Parser)]
#[command(name = "seabed", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a monitor.
    Mon(shell::mon::Arguments),
    /// Run an object storage daemon.
    Osd(shell::osd::Arguments),
    /// A whole cluster on this machine.
    Dev {
        #[command(subcommand)]
        verb: dev::Verb,
    },
    /// Store, read, list and remove objects.
    Object {
        #[command(subcommand)]
        verb: verbs::object::Verb,
    },
    /// Images: block devices of the cluster.
    Volume(verbs::volume::Arguments),
    /// Volumes for containers: the CSI driver's processes, and what a node can do.
    Csi {
        #[command(subcommand)]
        verb: verbs::csi::Verb,
    },
    /// Look into the store of an OSD that does not run.
    Store {
        #[command(subcommand)]
        verb: verbs::store::Verb,
    },
    /// Compile, decompile and test CRUSH maps, as crushtool does.
    Crush(verbs::tools::Tool),
    /// Print and test OSD maps, as osdmaptool does.
    Osdmap(verbs::tools::Tool),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Mon(arguments) => shell::run(shell::mon::run(arguments)),
        Verb::Osd(arguments) => shell::run(shell::osd::run(arguments)),
        Verb::Dev { verb } => shell::run(dev::run(verb)),
        Verb::Object { verb } => shell::run(verbs::object::run(verb)),
        Verb::Volume(arguments) => shell::run(verbs::volume::run(arguments)),
        Verb::Csi { verb } => verbs::csi::run(verb),
        Verb::Store { verb } => verbs::store::run(verb),
        Verb::Crush(tool) => return verbs::tools::crush(&tool),
        Verb::Osdmap(tool) => return verbs::tools::osdmap(&tool),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seabed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
