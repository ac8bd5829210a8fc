//! The lock of a state folder: held by the process that serves it, for as long as it lives.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::ServeError;
use crate::error::file;

/// A held lock. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock(#[allow(dead_code, reason = "open is all it has to be")] File);

impl FolderLock {
    /// `None` while another process has it.
    pub(crate) fn take(state_dir: &Path) -> Result<Option<Self>, ServeError> {
        let path = state_dir.join("attachd.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let opened = options.open(&path).map_err(file(&path))?;
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FolderLock(opened))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(file(path)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::take(dir.path()).unwrap().unwrap();
        assert!(FolderLock::take(dir.path()).unwrap().is_none());
        drop(first);
        assert!(FolderLock::take(dir.path()).unwrap().is_some());
    }
}
