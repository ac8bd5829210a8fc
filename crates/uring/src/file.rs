//! Making and opening device files: preallocated, O_DIRECT, one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use seabed_storage::{DeviceError, IoKind};

use crate::BLOCK_SIZE;

/// How long a device's former owner may take to end its operations: some seconds, for a slow disk.
const LOCK_TRIES: u32 = 300;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// An opened device file and its size.
#[derive(Debug, Clone)]
pub(crate) struct DirectFile {
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
}

pub(crate) fn open_error(path: &Path, error: &std::io::Error, hint: &str) -> DeviceError {
    DeviceError {
        kind: IoKind::Open,
        offset: 0,
        length: 0,
        errno: error.raw_os_error(),
        reason: format!("{}: {error}{hint}", path.display()),
    }
}

fn refusal(path: &Path, reason: impl std::fmt::Display) -> DeviceError {
    let reason = format!("{}: {reason}", path.display());
    DeviceError { kind: IoKind::Open, offset: 0, length: 0, errno: None, reason }
}

/// Opens with O_DIRECT and takes the exclusive lock.
pub(crate) fn open_direct(path: &Path) -> Result<DirectFile, DeviceError> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).expect("an open flag fits i32");
    let mut file =
        OpenOptions::new().read(true).write(true).custom_flags(direct).open(path).map_err(|e| {
            let hint = match e.raw_os_error() {
                Some(22) => " (the file system has no O_DIRECT)",
                _ => "",
            };
            open_error(path, &e, hint)
        })?;
    lock(path, &file)?;
    let size = file.seek(SeekFrom::End(0)).map_err(|e| open_error(path, &e, ""))?;
    let kind = file.metadata().map_err(|e| open_error(path, &e, ""))?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(refusal(path, "neither a file nor a block device"));
    }
    // A raw device may end in a part of a block, which is left unused.
    let size = size - size % u64::from(BLOCK_SIZE);
    if size == 0 {
        return Err(refusal(path, "smaller than one block"));
    }
    Ok(DirectFile { file: Arc::new(file), size })
}

/// Takes the exclusive lock, waiting a while for one that is just being let go.
///
/// A killed process's lock lives on until the kernel has ended the last operation of its ring. That
/// is what makes it safe to open the device then: no write of the dead process arrives later, on a
/// block that has been given away.
fn lock(path: &Path, file: &File) -> Result<(), DeviceError> {
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(e) => return Err(open_error(path, &e.into(), " (lock)")),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    let busy = rustix::io::Errno::WOULDBLOCK;
    Err(open_error(path, &busy.into(), " (does another process use it?)"))
}

/// Makes a device file of `size` bytes, preallocated unless `sparse`. An existing file is refused.
pub fn create(path: &Path, size: u64, sparse: bool) -> Result<(), DeviceError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|e| open_error(path, &e, ""))?;
    let made = if sparse {
        file.set_len(size).map_err(|e| open_error(path, &e, ""))
    } else {
        preallocate(path, &file, size)
    };
    let made = made.and_then(|()| file.sync_all().map_err(|e| open_error(path, &e, "")));
    if made.is_err() {
        // What was just made and cannot be used is removed; the first error is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    made
}

/// Gives a file all its blocks, so that no later write can run out of room.
pub fn preallocate(path: &Path, file: &File, size: u64) -> Result<(), DeviceError> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size).map_err(|e| {
        let hint = match e {
            rustix::io::Errno::NOSPC => " (no room to preallocate the device)",
            rustix::io::Errno::OPNOTSUPP => " (the file system cannot preallocate)",
            _ => "",
        };
        open_error(path, &e.into(), hint)
    })
}
