//! Who attaches volumes on this node.
//!
//! A volume is opened first and attached afterwards: in between its client is written down in the
//! cluster, before its first I/O.

use std::path::PathBuf;

use crate::fault::Fault;

/// What is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub pool: String,
    pub namespace: String,
    pub image: String,
    pub read_only: bool,
    /// The map that its client must have.
    pub fence_epoch: u32,
}

/// A volume that is open, perhaps attached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attached {
    /// None while it is only open.
    pub device: Option<PathBuf>,
    /// Why its I/O fails; empty while it is well.
    pub failure: String,
}

/// The port: a volume's block device, made and taken away. Every call may be repeated.
#[tonic::async_trait]
pub(crate) trait Attacher: Send + Sync {
    /// Opens an image with a client of its own; answers the client's address, as a blocklist names
    /// it. No I/O on its data yet.
    async fn open(&self, volume: &str, opening: &Opening) -> Result<String, Fault>;

    /// Makes the block device of an opened volume.
    async fn attach(&self, volume: &str) -> Result<PathBuf, Fault>;

    /// Makes the device as large as the image is now; answers its bytes.
    async fn grow(&self, volume: &str) -> Result<u64, Fault>;

    /// Takes the device away and ends the client. `force`: gives up I/O that does not end.
    async fn detach(&self, volume: &str, force: bool) -> Result<(), Fault>;

    /// What there is of a volume.
    async fn find(&self, volume: &str) -> Result<Option<Attached>, Fault>;
}
