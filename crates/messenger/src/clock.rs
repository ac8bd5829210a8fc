//! The one place of this crate that reads the clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seabed_cluster::{Now, Time, UTime};
use tokio::time::Instant;

/// Both clocks; the monotonic one counts from the messenger's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Time::ZERO + self.start.elapsed(), wall: UTime::from_since_1970(wall) }
    }

    pub(crate) fn instant(&self, at: Time) -> Instant {
        self.start + Duration::from_nanos(at.0)
    }
}
