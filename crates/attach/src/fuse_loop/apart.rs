//! Work on a FUSE file system by the process that serves it.
//!
//! A thread that waits for its own process's answer cannot be killed while it waits, and keeps the
//! process's open files: the connection's serving end stays open, so nobody ends the wait. Such
//! work is done by a thread with a table of files of its own, without the serving end in it: when
//! the process is killed, the end closes with the others, and the wait becomes an error.

use std::os::fd::RawFd;

use rustix::thread::UnshareFlags;

use crate::AttachError;
use crate::error::during;

/// Runs `work` without the serving end among the open files. Files that are open here cannot be
/// used there, nor the other way.
pub(super) fn apart<T: Send + 'static>(
    serving: RawFd,
    work: impl FnOnce() -> Result<T, AttachError> + Send + 'static,
) -> Result<T, AttachError> {
    let work = move || {
        // SAFETY: from here on this thread has a copy of the table of files, which no other
        // thread sees; the thread and the copy end together. What it opens it also closes.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }
            .map_err(during("unshare files"))?;
        // SAFETY: closed in the copy alone; its owner's is in the table of the others. Nothing
        // was opened in the copy yet, so this closes nothing of `work`.
        unsafe { rustix::io::close(serving) };
        work()
    };
    let thread = std::thread::Builder::new().name("attach-apart".into()).spawn(work);
    match thread.map_err(during("a thread"))?.join() {
        Ok(result) => result,
        Err(_) => Err(during("a thread")(std::io::Error::other("it panicked"))),
    }
}
