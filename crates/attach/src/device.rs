//! What an attached volume can do, whichever way it is attached.

use std::future::Future;
use std::path::Path;

use crate::{AttachError, Way};

/// An attached volume. Dropped without [`Device::detach`] it stays attached for as long as what
/// does its I/O lives: the kernel, or this process.
pub trait Device: Send + Sync {
    /// How it is attached.
    fn way(&self) -> Way;

    /// The block device's node.
    fn path(&self) -> &Path;

    /// Makes the device as large as its image is now, also while it is mounted. Returns the
    /// device's bytes.
    fn grow(&self) -> impl Future<Output = Result<u64, AttachError>> + Send;

    /// Takes the device away; a second time this does nothing.
    ///
    /// Errors: [`AttachError::Busy`] while it is mounted or held; nothing was changed then.
    fn detach(&self) -> impl Future<Output = Result<(), AttachError>> + Send;
}
