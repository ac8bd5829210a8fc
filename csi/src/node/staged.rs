//! For what volumes were staged: a small file each in the state folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::rules::capability::{Filesystem, Mode};

/// Where the files are.
const FOLDER: &str = "staged";

/// For what a volume was staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// What the kernel knew then it knows no more after a reboot.
    pub boot_id: String,
    /// Where.
    pub path: PathBuf,
    /// None: a raw block device.
    pub filesystem: Option<Filesystem>,
    pub mode: Mode,
    pub read_only: bool,
    /// The client that does its I/O.
    pub client: String,
}

/// A handle as a file's name.
fn file_name(volume: &str) -> String {
    let mut name = String::new();
    for byte in volume.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

fn path(state: &Path, volume: &str) -> PathBuf {
    state.join(FOLDER).join(file_name(volume))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Fault {
    let path = path.display().to_string();
    move |error| Fault::internal(format!("{path}: {error}"))
}

/// What was written of a volume.
pub(super) fn load(state: &Path, volume: &str) -> Result<Option<Staged>, Fault> {
    let path = path(state, volume);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path)(error)),
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|error| Fault::internal(format!("{}: {error}", path.display())))
}

/// Writes it, whole or not at all.
pub(super) fn store(state: &Path, volume: &str, staged: &Staged) -> Result<(), Fault> {
    let path = path(state, volume);
    let folder = state.join(FOLDER);
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let fresh = path.with_extension("new");
    let text = serde_json::to_vec(staged)
        .map_err(|error| Fault::internal(format!("{}: {error}", path.display())))?;
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, &path))
        .and_then(|()| File::open(&folder)?.sync_all());
    written.map_err(failed(&path))
}

/// Forgets a volume.
pub(super) fn remove(state: &Path, volume: &str) -> Result<(), Fault> {
    let path = path(state, volume);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let staged = Staged {
            boot_id: "b".into(),
            path: "/staging".into(),
            filesystem: Some(Filesystem::Xfs),
            mode: Mode::SingleNodeWriter,
            read_only: false,
            client: "1.2.3.4:0/5".into(),
        };
        assert_eq!(load(dir.path(), "rbd/a").unwrap(), None);
        store(dir.path(), "rbd/a", &staged).unwrap();
        assert_eq!(load(dir.path(), "rbd/a").unwrap(), Some(staged.clone()));
        assert_eq!(load(dir.path(), "rbd_a").unwrap(), None);
        store(dir.path(), "rbd/a", &Staged { filesystem: None, ..staged }).unwrap();
        remove(dir.path(), "rbd/a").unwrap();
        remove(dir.path(), "rbd/a").unwrap();
        assert_eq!(load(dir.path(), "rbd/a").unwrap(), None);
    }

    #[test]
    fn handles_do_not_collide() {
        assert_eq!(file_name("rbd/csi-vol-1"), "rbd%2fcsi-vol-1");
        assert_ne!(file_name("a/b.c"), file_name("a.b/c"));
    }
}
