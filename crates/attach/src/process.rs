//! A process whose memory the kernel may want to write out through that very process.
//!
//! To free memory the kernel writes dirty pages to the device; the device's owner needs memory to
//! do that. An I/O flusher's allocations do not wait for such writes, and locked memory does not
//! have to be read back.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{configure_io_flusher_behavior, is_io_flusher};

use crate::AttachError;
use crate::error::during;

/// Makes this thread, and every thread it starts from now on, an I/O flusher. To be called by a
/// program's first thread, before it starts a runtime.
///
/// Errors: without the capability `CAP_SYS_RESOURCE`, or on a kernel before 5.6.
pub fn become_io_flusher() -> Result<(), AttachError> {
    configure_io_flusher_behavior(true)
        .map_err(during("PR_SET_IO_FLUSHER (needs CAP_SYS_RESOURCE and Linux 5.6)"))
}

/// True if this thread is an I/O flusher.
pub fn is_flusher() -> bool {
    is_io_flusher().unwrap_or(false)
}

/// Keeps in memory what this process has and will touch, so that no I/O of its device waits for
/// its own pages.
///
/// Errors: without the capability `CAP_IPC_LOCK`, or over `RLIMIT_MEMLOCK`.
pub fn lock_memory() -> Result<(), AttachError> {
    // On fault: reservations that are never touched (stacks, FUSE's buffer) cost nothing.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(during("mlockall (needs CAP_IPC_LOCK or a larger RLIMIT_MEMLOCK)"))
}
