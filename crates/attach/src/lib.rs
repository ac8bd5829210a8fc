//! A volume as a block device of this node.
//!
//! | way | what does the I/O | what is done here |
//! |---|---|---|
//! | kernel `rbd` ([`krbd`]) | the kernel's own client of Ceph | map, read back, unmap |
//! | `fuse-loop` ([`fuse_loop`]) | this process, by a [`BlockImage`] | FUSE's file, a loop device |
//! | `ublk`, `nbd` | not built | [`Way`] has their place |
//!
//! [`choose`] says which of them a node can do, which to take, and why not the others; [`node`]
//! looks at the node for it.
//!
//! Invariants: a device is only handed out after it was seen to be what was asked for (direct
//! I/O, blocks of 512 bytes, the size of the image); an I/O that failed or came back short is an
//! error to the kernel, never a success; every I/O ends within a declared time; what does not
//! carry the mark of the own [`StateFolder`] is never touched.

mod choose;
mod device;
mod error;
pub mod fuse_loop;
mod image;
pub mod krbd;
pub mod node;
pub mod process;
mod state;
mod sysfs;

use std::time::Duration;

pub use choose::{Choice, ImageFacts, KernelRbd, Needs, NodeFacts, Obstacle, Release, Verdict};
pub use choose::{Wanted, Way, choose};
pub use device::Device;
pub use error::AttachError;
pub use image::BlockImage;
pub use state::StateFolder;

/// Bytes of a logical block, whichever way a volume is attached: a file system made on one way
/// mounts on every other.
pub const LOGICAL_BLOCK: u32 = 512;

/// After this time an I/O is an error, unless another is declared: longer than an OSD's failover
/// takes (20 s until it is missed, then a new map and peering, with room).
pub const IO_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs what waits for the kernel where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AttachError> + Send + 'static,
) -> Result<T, AttachError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(error::during("a task of this process")(std::io::Error::other(error))),
    }
}
