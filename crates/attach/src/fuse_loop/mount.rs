//! Mounting FUSE, the list of mounts, and connections to be aborted.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::AttachError;
use crate::error::{at, during};
use crate::state::already_gone;

/// As what the kernel lists our mounts.
pub(crate) const FSTYPE: &str = "fuse.seabed";

/// Mounts a FUSE file system, and returns the end that serves it.
pub(crate) fn mount_fuse(source: &str, target: &Path) -> Result<OwnedFd, AttachError> {
    let device = Path::new("/dev/fuse");
    let file = OpenOptions::new().read(true).write(true).open(device).map_err(at(device))?;
    // For root alone; others cannot even look at it.
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", file.as_raw_fd());
    let options = CString::new(options).map_err(during("options"))?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NOATIME;
    mount(source, target, FSTYPE, flags, Some(options.as_c_str()))
        .map_err(during(format!("mount FUSE at {}", target.display())))?;
    Ok(file.into())
}

/// Takes the topmost mount away from a folder; what still uses it keeps it until it is done.
pub(crate) fn unmount_lazily(target: &Path) -> Result<(), AttachError> {
    unmount(target, UnmountFlags::DETACH).map_err(during(format!("unmount {}", target.display())))
}

/// Ends a FUSE connection: all that waits for it gets an error.
pub(crate) fn abort(connection: u32) -> Result<(), AttachError> {
    let file = format!("/sys/fs/fuse/connections/{connection}/abort");
    match OpenOptions::new().write(true).open(&file) {
        Ok(mut abort) => std::io::Write::write_all(&mut abort, b"1").map_err(during(file)),
        Err(error) => already_gone(error).map_err(during(file)),
    }
}

/// Makes aborting possible, where the file system of FUSE's connections is not mounted.
pub(crate) fn need_connections() -> Result<(), AttachError> {
    let folder = Path::new("/sys/fs/fuse/connections");
    let is_there = mounts()?.iter().any(|mount| mount.target == folder);
    if is_there {
        return Ok(());
    }
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("fusectl", folder, "fusectl", flags, None).map_err(at(folder))
}

/// A line of the kernel's list of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Of the file system's device number; FUSE's name of the connection.
    pub minor: u32,
    pub target: PathBuf,
    pub fstype: String,
    pub source: String,
}

/// What is mounted in this mount namespace.
pub(crate) fn mounts() -> Result<Vec<Mounted>, AttachError> {
    let list = Path::new("/proc/self/mountinfo");
    Ok(fs::read_to_string(list).map_err(at(list))?.lines().filter_map(parse).collect())
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS [TAGS…] - FSTYPE SOURCE OPTIONS`
fn parse(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let minor = left.next()?.split_once(':')?.1.parse().ok()?;
    let target = unescaped(left.nth(1)?)?.into();
    let mut right = right.split(' ');
    let fstype = unescaped(right.next()?)?;
    let source = unescaped(right.next()?)?;
    Some(Mounted { minor, target, fstype, source })
}

/// White space and backslashes are written as three octal digits.
fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
        out.push(u8::from_str_radix(digits, 8).ok()?);
        rest = &rest[3..];
    }
    String::from_utf8(out).ok()
}

/// The file in a FUSE file system of ours, past the kernel's cache.
pub(crate) fn open_direct(path: &Path, read_only: bool) -> Result<File, AttachError> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(!read_only).custom_flags(flags);
    options.open(path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "97 22 0:53 / /state/at\\040tached/v rw,nosuid shared:7 master:1 \
                    - fuse.seabed seabed-0123-v rw,user_id=0";
        let mounted = Mounted {
            minor: 53,
            target: "/state/at tached/v".into(),
            fstype: "fuse.seabed".into(),
            source: "seabed-0123-v".into(),
        };
        assert_eq!(parse(line), Some(mounted));
        let untagged = "22 1 0:21 / /proc rw - proc proc rw";
        assert_eq!(parse(untagged).unwrap().target, Path::new("/proc"));
        for bad in ["", "1 2 3", "1 2 x:y / /a rw - b c", "1 2 0:1 / /a\\04 rw - b c"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_namespace_has_mounts() {
        assert!(mounts().unwrap().iter().any(|mount| mount.target == Path::new("/proc")));
    }
}
