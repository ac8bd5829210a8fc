//! What is mounted where; mounting and unmounting.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use super::program;
use crate::fault::Fault;

const LIST: &str = "/proc/self/mountinfo";

/// A line of the kernel's list of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// What of the file system is shown.
    pub root: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
    pub fstype: String,
}

/// All mounts of this mount namespace; later ones lie on top.
pub(super) fn all() -> Result<Vec<Mounted>, Fault> {
    let text = fs::read(LIST).map_err(|error| Fault::internal(format!("{LIST}: {error}")))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// What is mounted at a path, on top.
pub(super) fn at(target: &Path) -> Result<Option<Mounted>, Fault> {
    Ok(all()?.into_iter().rfind(|mount| mount.target == target))
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS [TAGS…] - FSTYPE SOURCE OPTIONS`
fn parse(line: &[u8]) -> Option<Mounted> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
    let numbers = text(fields.get(2)?)?;
    let (major, minor) = numbers.split_once(':')?;
    Some(Mounted {
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: path(fields.get(3)?),
        target: path(fields.get(4)?),
        read_only: text(fields.get(5)?)?.split(',').any(|option| option == "ro"),
        fstype: text(fields.get(dash + 1)?)?,
    })
}

/// White space and backslashes are written as three octal digits.
fn path(escaped: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal.filter(|_| byte == b'\\') {
            Some(value) => {
                out.push(value);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(out).into()
}

/// Mounts a device with options.
pub(super) async fn mount(
    device: &Path,
    target: &Path,
    fstype: &str,
    options: &[String],
) -> Result<(), Fault> {
    let mut arguments: Vec<OsString> = vec!["-t".into(), fstype.into()];
    if !options.is_empty() {
        arguments.extend(["-o".into(), options.join(",").into()]);
    }
    arguments.extend([device.into(), target.into()]);
    program::run("mount", &arguments).await.map(drop)
}

/// Shows a folder or a device's node at another place too.
pub(super) async fn bind(source: &Path, target: &Path, read_only: bool) -> Result<(), Fault> {
    let (source, target) = (source.to_owned(), target.to_owned());
    super::blocking(move || bind_now(&source, &target, read_only)).await
}

fn bind_now(source: &Path, target: &Path, read_only: bool) -> Result<(), Fault> {
    let failed = |error| Fault::internal(format!("bind mount at {}: {error}", target.display()));
    mount_bind(source, target).map_err(failed)?;
    if read_only
        && let Err(error) = mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")
    {
        take_away_now(target)?;
        return Err(failed(error));
    }
    Ok(())
}

/// Unmounts everything at a path; what was written is on its device then.
pub(super) async fn take_away(target: &Path) -> Result<(), Fault> {
    let target = target.to_owned();
    super::blocking(move || take_away_now(&target)).await
}

fn take_away_now(target: &Path) -> Result<(), Fault> {
    while at(target)?.is_some() {
        unmount(target, UnmountFlags::empty()).map_err(|error| {
            let target = target.display();
            let said = format!("unmount {target}: {error}");
            if error == rustix::io::Errno::BUSY {
                Fault::precondition(format!("{said}; end what uses it: fuser -m {target}"))
            } else {
                Fault::internal(said)
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = b"97 22 7:3 /sub /pods/a\\040b ro,noatime shared:7 - ext4 /dev/loop3 rw";
        let expected = Mounted {
            device: (7, 3),
            root: "/sub".into(),
            target: "/pods/a b".into(),
            read_only: true,
            fstype: "ext4".into(),
        };
        assert_eq!(parse(line), Some(expected));
        let node = b"98 22 0:5 /loop3 /pods/block rw,nosuid - devtmpfs udev rw";
        assert_eq!(parse(node).unwrap().root, Path::new("/loop3"));
        for bad in [&b""[..], b"1 2 3", b"1 2 7:x / / rw - ext4 x rw", b"1 2 7:1 / / rw ext4"] {
            assert_eq!(parse(bad), None);
        }
        assert_eq!(path(b"a\\"), Path::new("a\\"));
        assert_eq!(path(b"a\\0"), Path::new("a\\0"));
    }

    #[test]
    fn this_namespace_has_mounts() {
        assert!(at(Path::new("/proc")).unwrap().is_some());
        assert!(at(Path::new("/nowhere")).unwrap().is_none());
    }
}
