//! An image of the cluster as what is attached.

use bytes::Bytes;
use seabed_attach::BlockImage;
use seabed_rbd::{Image, RbdError};

/// An image of the cluster, for [`seabed_attach`].
///
/// A call that is dropped sends nothing more: its parts are polled by the call itself. What it has
/// sent is cancelled if it did not leave yet; what has left is in the hands of the OSD, which takes
/// a client's operations on an object in the order they were sent, so the next call's comes after.
#[derive(Debug, Clone)]
pub struct AttachedImage(pub Image);

impl BlockImage for AttachedImage {
    type Error = RbdError;

    async fn size(&self) -> Result<u64, RbdError> {
        self.0.current_size().await
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, RbdError> {
        self.0.read(offset, length).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<(), RbdError> {
        self.0.write(offset, data).await
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), RbdError> {
        self.0.discard(offset, length).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), RbdError> {
        self.0.write_zeroes(offset, length).await
    }

    async fn flush(&self) -> Result<(), RbdError> {
        self.0.flush().await
    }
}
