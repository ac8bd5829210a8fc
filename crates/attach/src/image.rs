//! The port for what is attached.

use std::future::Future;

use bytes::Bytes;

/// An image as a user-space device needs it: an array of bytes, far away.
///
/// Calls come many at a time. A call that is dropped before it ends (its time is up) must not
/// change the image after the next call has begun, and must let go of the bytes it was given.
pub trait BlockImage: Send + Sync + 'static {
    /// Why something failed; said in logs, the kernel hears `EIO`.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Bytes the image has now; asked of the cluster, not of a cache.
    fn size(&self) -> impl Future<Output = Result<u64, Self::Error>> + Send;

    /// Exactly `length` bytes.
    fn read(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Bytes, Self::Error>> + Send;

    /// Writes all of `data`.
    fn write(
        &self,
        offset: u64,
        data: Bytes,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Gives the range back. All of it reads as zeroes afterwards, also where it covers only a
    /// part of an object: the kernel uses the same request to zero a range as to discard it.
    fn discard(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The range reads as zeroes afterwards.
    fn write_zeroes(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Every write that has ended is durable when this ends.
    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
