//! File systems on devices: found, made, checked, mounted, grown.

use std::path::Path;

use super::{device, mounts, program};
use crate::fault::Fault;
use crate::rules::capability::Filesystem;

/// What `blkid` answers when it has looked and found nothing.
const BLKID_NOTHING: i32 = 2;
/// `e2fsck`: errors were corrected.
const FSCK_CORRECTED: i32 = 1;

/// How a device's file system is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub filesystem: Filesystem,
    pub read_only: bool,
    /// One may be made if there is none: why not, otherwise.
    pub may_make: Result<(), &'static str>,
    pub flags: &'a [String],
}

/// What is on a device, as `blkid` calls it.
async fn identify(path: &Path) -> Result<Option<String>, Fault> {
    let arguments = ["-p", "-s", "TYPE", "-o", "value"].map(std::ffi::OsStr::new);
    let answer = program::ask("blkid", &[&arguments[..], &[path.as_os_str()]].concat()).await?;
    match answer.code {
        0 => Ok(Some(answer.out.trim().to_owned()).filter(|found| !found.is_empty())),
        BLKID_NOTHING => Ok(None),
        code => Err(Fault::internal(format!(
            "blkid is not sure what is on {} ({code}): {}",
            path.display(),
            answer.words
        ))),
    }
}

/// Makes sure that the wanted file system is on a device: makes it where there is provably none,
/// checks it where it is. True: it was made.
pub(super) async fn ensure(path: &Path, wanted: &Wanted<'_>) -> Result<bool, Fault> {
    let shown = path.display();
    let name = wanted.filesystem.name();
    match identify(path).await? {
        Some(found) if found == name => {
            if !wanted.read_only {
                check(path, wanted.filesystem).await?;
            }
            return Ok(false);
        }
        Some(found) => {
            return Err(Fault::precondition(format!(
                "the volume carries {found}, not {name}: ask for {found}, or empty it (wipefs)"
            )));
        }
        None => {}
    }
    // What `blkid` knows nothing of may be somebody's all the same; and it takes a failed read for
    // nothing.
    let device = path.to_owned();
    if !super::blocking(move || device::is_blank(&device)).await? {
        return Err(Fault::precondition(format!(
            "the volume carries data that is no file system: use it as a raw block volume, or \
             empty it (wipefs) ({shown})"
        )));
    }
    if wanted.read_only {
        return Err(Fault::precondition("the volume is empty and to be read only: write it first"));
    }
    if let Err(reason) = wanted.may_make {
        return Err(Fault::precondition(format!(
            "the volume carries no file system, and none is made: {reason}"
        )));
    }
    make(path, wanted.filesystem).await?;
    Ok(true)
}

/// The device is new: its blocks are zero, and need neither be discarded nor zeroed.
async fn make(path: &Path, filesystem: Filesystem) -> Result<(), Fault> {
    tracing::info!(device = %path.display(), filesystem = filesystem.name(), "making");
    let (program, options): (_, &[&str]) = match filesystem {
        Filesystem::Ext4 => {
            ("mkfs.ext4", &["-q", "-m0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
        }
        Filesystem::Xfs => ("mkfs.xfs", &["-q", "-K"]),
    };
    let mut arguments: Vec<&std::ffi::OsStr> = options.iter().map(std::ffi::OsStr::new).collect();
    arguments.push(path.as_os_str());
    program::run(program, &arguments).await.map(drop)
}

/// Repairs what can be without asking. (xfs has its journal replayed by the mount.)
async fn check(path: &Path, filesystem: Filesystem) -> Result<(), Fault> {
    if filesystem != Filesystem::Ext4 {
        return Ok(());
    }
    let answer = program::ask("e2fsck", &["-p".as_ref(), path.as_os_str()]).await?;
    match answer.code {
        0 => Ok(()),
        FSCK_CORRECTED => {
            let device = path.display();
            tracing::warn!(%device, said = answer.words, "e2fsck corrected errors");
            Ok(())
        }
        code => Err(Fault::internal(format!(
            "e2fsck found what it does not repair unasked ({code}); run it by hand: {}",
            answer.words
        ))),
    }
}

/// Mounts a device that was made sure of.
pub(super) async fn mount(path: &Path, target: &Path, wanted: &Wanted<'_>) -> Result<(), Fault> {
    let mut options: Vec<String> = wanted.flags.to_vec();
    let mut add = |option: &str| options.push(option.to_owned());
    if wanted.filesystem == Filesystem::Xfs {
        // A clone has its source's id, and both may be mounted here.
        add("nouuid");
    }
    if wanted.read_only {
        add("ro");
        // Replaying the journal would be a write.
        add(match wanted.filesystem {
            Filesystem::Ext4 => "noload",
            Filesystem::Xfs => "norecovery",
        });
    }
    mounts::mount(path, target, wanted.filesystem.name(), &options).await
}

/// Makes a mounted file system as large as its device; one that is so already stays.
pub(super) async fn grow(path: &Path, target: &Path, fstype: &str) -> Result<(), Fault> {
    match fstype {
        "ext4" => program::run("resize2fs", &[path]).await.map(drop),
        "xfs" => program::run("xfs_growfs", &["-d".as_ref(), target.as_os_str()]).await.map(drop),
        other => Err(Fault::precondition(format!("file system {other} cannot be grown here"))),
    }
}
