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

    /// A Seabed cluster whose device files are allocated beforehand.
    pub(crate) fn seabed_preallocated(
        binary: &Path,
        dir: &Path,
        port: u16,
        device_bytes: u64,
    ) -> Result<Self> {
        let size = device_bytes.to_string();
        DevCluster::up(binary, dir, port, &["--osd-size", &size]).map(Self::Seabed)
    }

    /// A real Ceph cluster whose device files are allocated beforehand.
    pub(crate) fn ceph_preallocated(dir: &Path, port: u16, device_bytes: u64) -> Result<Self> {
        let config = format!(
            "bluestore_block_size = {device_bytes}\nbluestore_block_preallocate_file = true\n"
        );
        Oracle::start_with(dir, port, &config).map(Self::Ceph)
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

    /// The process of an OSD.
    pub(crate) fn pid(&self, osd: u16) -> Result<String> {
        let name = format!("osd.{osd}");
        match self {
            Self::Seabed(cluster) => cluster.pid(&name),
            Self::Ceph(cluster) => cluster.pid(&name),
        }
    }

    /// Kills an OSD with -9.
    pub(crate) fn kill(&self, osd: u16) -> Result<()> {
        process::run(Command::new("kill").args(["-9", &self.pid(osd)?]))
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
