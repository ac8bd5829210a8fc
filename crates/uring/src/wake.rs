//! The eventfd that tells an event loop of completions.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// A descriptor that becomes readable when there may be news.
///
/// The ring and any thread may raise it; the loop that waits for it must first [`clear`] it and
/// then ask for the news, in this order: news that come in between raise it again.
///
/// [`clear`]: Wake::clear
#[derive(Debug, Clone)]
pub struct Wake {
    fd: Arc<OwnedFd>,
}

impl Wake {
    /// A descriptor not yet readable.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Wake { fd: Arc::new(fd) })
    }

    /// Makes it readable.
    pub fn wake(&self) {
        // The only refusal is a counter at its limit: then it is readable already.
        let _ = rustix::io::write(&*self.fd, &1u64.to_ne_bytes());
    }

    /// A function that makes it readable, for threads.
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let wake = self.clone();
        Arc::new(move || wake.wake())
    }

    /// Makes it unreadable until the next news.
    pub fn clear(&self) {
        let mut counter = [0u8; 8];
        // Refused when nothing was raised, which is as good.
        let _ = rustix::io::read(&*self.fd, &mut counter);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (*self.fd).as_fd()
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn readable(wake: &Wake) -> bool {
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        poll(&mut fds, Some(&Default::default())).unwrap() == 1
    }

    #[test]
    fn news_are_kept_until_cleared() {
        let wake = Wake::new().unwrap();
        assert!(!readable(&wake));
        wake.wake();
        wake.clone().wake();
        assert!(readable(&wake));
        wake.clear();
        assert!(!readable(&wake));
        wake.clear();
    }
}
