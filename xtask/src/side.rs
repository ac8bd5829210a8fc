//! One cluster under test, Seabed or real Ceph: what a chore does to either in the same words.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{oracle::Oracle, process, test::DevCluster};

/// A running cluster; brought down when dropped.
pub(crate) enum Side {
    Seabed(DevCluster),
    Ceph(Oracle),
}

impl Side {
    /// A Seabed cluster on sparse device files.
    pub(crate) fn seabed(binary: &Path, dir: &Path, port: u16) -> Result<Self> {
        let flags = ["--osd-size", "4G", "--sparse"];
        DevCluster::up(binary, dir, port, &flags).map(Self::Seabed)
    }

    /// A real Ceph cluster.
    pub(crate) fn ceph(dir: &Path, port: u16) -> Result<Self> {
        Oracle::start(dir, port).map(Self::Ceph)
    }

    /// What it is called in transcripts.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Seabed(_) => "seabed",
            Self::Ceph(_) => "ceph",
        }
    }

    /// The path of its `ceph.conf`.
    pub(crate) fn conf(&self) -> PathBuf {
        match self {
            Self::Seabed(cluster) => cluster.conf(),
            Self::Ceph(cluster) => cluster.conf(),
        }
    }

    /// Kills an OSD with -9.
    pub(crate) fn kill(&self, osd: u16) -> Result<()> {
        let pid = match self {
            Self::Seabed(cluster) => cluster.pid(&format!("osd.{osd}"))?,
            Self::Ceph(cluster) => cluster.pid(&format!("osd.{osd}"))?,
        };
        process::run(Command::new("kill").args(["-9", &pid]))
    }

    /// Starts a killed OSD again.
    pub(crate) fn revive(&self, osd: u16) -> Result<()> {
        match self {
            Self::Seabed(cluster) => process::run(&mut cluster.dev("up")),
            Self::Ceph(cluster) => cluster.start_osd(&osd.to_string()),
        }
    }

    /// A stock program told of this cluster by the environment, which every one of them heeds.
    pub(crate) fn client(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env("CEPH_CONF", self.conf()).args(args);
        command
    }
}
