//! Debian of another release in a folder, to run its Ceph: made once by mmdebstrap, entered for
//! each command in a mount namespace of its own, so that nothing stays mounted whatever dies.
//!
//! The chroot shares /proc, /dev, /tmp and the network with the machine: programs in it reach a
//! cluster on loopback, and files below /tmp have the same path on both sides.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{machine, process, rocksdb};

const MIRROR: &str = "http://deb.debian.org/debian";

/// Ceph's daemons, clients and test programs, and what drives block devices.
const PACKAGES: &[&str] = &[
    "ceph-test",
    "ceph-mon",
    "ceph-osd",
    "ceph-mgr",
    "ceph-common",
    "ceph-base",
    "python3-rados",
    "python3-rbd",
    "rbd-fuse",
    "fio",
    "qemu-utils",
    "qemu-block-extra",
    "e2fsprogs",
    "procps",
];

/// Mounts live in the namespace alone; `exec` keeps the pid, so that killing it kills the program.
const ENTER: &str = "root=$1; shift
mount --rbind /dev \"$root/dev\" &&
mount --bind /proc \"$root/proc\" &&
mount --bind /tmp \"$root/tmp\" &&
exec chroot \"$root\" \"$@\"";

/// A release of Debian whose Ceph judges ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Ceph 18.2.
    Trixie,
    /// Ceph 20.2.
    Sid,
}

impl Suite {
    pub(crate) const ALL: [Self; 2] = [Self::Trixie, Self::Sid];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// What `cargo xtask test` calls its programs' run.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Trixie => "programs of trixie",
            Self::Sid => "programs of sid",
        }
    }

    /// The release with its Ceph.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Trixie => "Debian trixie, Ceph 18.2",
            Self::Sid => "Debian sid, Ceph 20.2",
        }
    }

    /// The release of Ceph that a new monitor there takes for granted.
    pub(crate) fn mon_release(self) -> &'static str {
        match self {
            Self::Trixie => "reef",
            Self::Sid => "tentacle",
        }
    }
}

/// A folder with a Debian in it.
#[derive(Clone, Debug)]
pub(crate) struct Chroot {
    root: PathBuf,
}

impl Chroot {
    /// The cached chroot of this suite; made if it is not there.
    pub(crate) fn of(suite: Suite) -> Result<Self> {
        if !machine::is_root()? {
            bail!("--suite needs root: mmdebstrap, mount and chroot do");
        }
        let folder = rocksdb::cache_dir()?.join("chroots");
        let root = folder.join(suite.name());
        if !root.exists() {
            make(suite, &root)?;
        }
        Ok(Self { root })
    }

    /// A command in there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"])
            .arg(&self.root)
            .arg(program);
        command
    }

    /// The names in its /usr/bin.
    pub(crate) fn programs(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("usr/bin"))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// True where the release has this program.
    pub(crate) fn has(&self, program: &str) -> bool {
        self.root.join("usr/bin").join(program).exists()
    }
}

/// Made beside and renamed: a half-made chroot is never taken for a whole one.
fn make(suite: Suite, root: &Path) -> Result<()> {
    machine::for_chroots()?;
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(root.parent().context("the chroot has no parent folder")?)?;
    println!("making {} once (about 4 minutes, 1 GB)", root.display());
    process::run(
        Command::new("mmdebstrap")
            .args(["--mode=root", "--variant=apt", "--quiet"])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            // A mirror may be a frozen one.
            .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg(suite.name())
            .arg(&partial)
            .arg(MIRROR),
    )
    .with_context(|| format!("no chroot of {} without {MIRROR}", suite.name()))?;
    fs::rename(&partial, root).context("renaming the chroot")
}

/// Where Ceph's programs run: on this machine, or in a chroot.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Here,
    Chroot(Chroot),
}

impl Host {
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Chroot(chroot) => chroot.command(program),
        }
    }
}
