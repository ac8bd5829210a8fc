//! The two clocks, as rules want them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use seabed_cluster::{Now, Time, UTime};

/// Monotonic time counts from when the clock was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(&self) -> Now {
        let mono = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Time(mono), wall: UTime::from_since_1970(wall) }
    }

    /// Sleeps until a rule wants to be called; for ever if it does not.
    pub(crate) async fn until(&self, time: Option<Time>) {
        match time {
            Some(t) => tokio::time::sleep_until((self.0 + Duration::from_nanos(t.0)).into()).await,
            None => std::future::pending().await,
        }
    }
}
