//! Bytes of received messages alive at a time, per peer and in total.
//!
//! A connection asks before memory is given to a message, and reads nothing further while it
//! waits. A message larger than a whole limit counts as the limit: it comes in alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permission for a received message to exist. Dropping it lets the peer send more.
#[derive(Debug, Default)]
pub struct Budget {
    _peer: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

/// One limit.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    semaphore: Arc<Semaphore>,
    bytes_max: u32,
}

impl Throttle {
    pub(crate) fn new(bytes_max: usize) -> Self {
        // Semaphores count in u32 at a time; 4 GiB of messages in flight is a limit by itself.
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        Throttle { semaphore: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    async fn acquire(self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let n = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max);
        // The semaphore is never closed.
        self.semaphore.acquire_many_owned(n).await.ok()
    }
}

/// Waits for room under both limits, the peer's first: a peer at its own limit keeps nothing of
/// the total.
pub(crate) async fn acquire(
    peer: Option<Throttle>,
    total: Option<Throttle>,
    bytes: usize,
) -> Budget {
    let _peer = match peer {
        Some(throttle) => throttle.acquire(bytes).await,
        None => None,
    };
    let _total = match total {
        Some(throttle) => throttle.acquire(bytes).await,
        None => None,
    };
    Budget { _peer, _total }
}
