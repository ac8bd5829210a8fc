//! What the machine must have, and how it gets it: Debian packages by apt-get as root, or a clear
//! list of what is missing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Needed to build: bindgen (for RocksDB) loads libclang and reads its headers; RocksDB is C++.
const BUILD: &[&str] = &["libclang-dev", "g++", "make"];

/// Needed to compare with Ceph: its daemons, its clients and their bindings; openssl makes data.
const INTEROP: &[&str] = &[
    "ceph-base",
    "ceph-mon",
    "ceph-osd",
    "ceph-mgr",
    "ceph-common",
    "python3-rados",
    "openssl",
    "procps",
    "fio",
    "jq",
    "python3-rbd",
    "qemu-block-extra",
    "qemu-utils",
    "rbd-fuse",
];

/// Needed for the kernel's client: a machine to run it in, and what its initramfs is made of. The
/// kernel itself is fetched, not installed.
const GUEST: &[&str] = &["binutils", "busybox-static", "cpio", "e2fsprogs", "qemu-system-x86"];

/// Needed to make, check and grow file systems on attached volumes.
const VOLUMES: &[&str] = &["e2fsprogs", "xfsprogs", "mount", "util-linux"];

/// Needed to make a chroot of another release.
const CHROOTS: &[&str] = &["mmdebstrap", "debian-archive-keyring"];

/// Makes sure that the workspace can be built.
pub(crate) fn for_building() -> Result<()> {
    ensure(BUILD)
}

/// Makes sure that the interop and golden tests can run.
pub(crate) fn for_testing() -> Result<()> {
    ensure(&[BUILD, INTEROP, GUEST, VOLUMES].concat())
}

/// Makes sure that volumes can be mounted.
pub(crate) fn for_volumes() -> Result<()> {
    ensure(&[BUILD, VOLUMES].concat())
}

/// Makes sure that chroots can be made.
pub(crate) fn for_chroots() -> Result<()> {
    ensure(CHROOTS)
}

/// True for who may do everything on this machine.
pub(crate) fn is_root() -> Result<bool> {
    Ok(process::read(Command::new("id").arg("-u"))?.trim() == "0")
}

/// True if apt-get could install a package.
pub(crate) fn available(package: &str) -> bool {
    process::read(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|said| said.contains("Candidate:") && !said.contains("Candidate: (none)"))
}

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    ensure(packages)
}

fn installed(package: &str) -> bool {
    process::output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]))
        .is_ok_and(|o| o.status.success() && o.stdout == b"installed")
}

fn ensure(packages: &[&str]) -> Result<()> {
    if !process::exists("dpkg-query") || !process::exists("apt-get") {
        bail!(
            "this is no Debian system: cargo xtask installs what it needs only there. \
             Install the counterparts of these Debian packages yourself and call the programs \
             directly: {}",
            packages.join(" ")
        );
    }
    let missing: Vec<&str> = packages.iter().copied().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!("missing Debian packages; run: sudo apt-get install {}", missing.join(" "));
    }
    println!("installing Debian packages: {}", missing.join(" "));
    let apt = || {
        let mut c = Command::new("apt-get");
        c.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "Dpkg::Use-Pty=0"]);
        c
    };
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "-y", "--no-install-recommends"]).args(&missing))
}
