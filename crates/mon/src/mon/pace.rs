//! How fast proposals may follow each other: at once while there are few, together when there are
//! many. Each proposal costs an interval; a quiet time saves up for a burst.
//!
//! Every epoch is work for every OSD and every client; but who changes one thing and waits for it
//! should not wait for others who might come.

use std::time::Duration;

use seabed_cluster::Time;

/// What a proposal costs.
const INTERVAL: Duration = Duration::from_millis(50);
/// What can be saved up.
const SAVED_MAX: Duration = Duration::from_secs(2);

/// The pace of proposals.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Until then all time is spent.
    spent: Time,
    /// Nothing is proposed before, whatever is saved.
    not_before: Time,
}

impl Pace {
    /// When the next proposal may be made.
    pub(super) fn next_at(&self) -> Time {
        let saved = u64::try_from(SAVED_MAX.as_nanos()).unwrap_or(u64::MAX);
        Time(self.spent.0.saturating_sub(saved)).max(self.not_before)
    }

    /// A proposal was made.
    pub(super) fn proposed(&mut self, now: Time) {
        self.spent = self.spent.max(now) + INTERVAL;
    }

    /// Nothing for a while: the log took nothing.
    pub(super) fn rest(&mut self, now: Time, time: Duration) {
        self.not_before = now + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    #[test]
    fn at_once_when_idle_and_at_a_pace_under_load() {
        let mut pace = Pace::default();
        let mut now = ms(60_000);
        let mut at_once = 0;
        while pace.next_at() <= now {
            pace.proposed(now);
            at_once += 1;
        }
        assert_eq!(at_once, 41);
        // From then on one in each interval, however many ask.
        let begin = now;
        for _ in 0..20 {
            now = now.max(pace.next_at());
            pace.proposed(now);
        }
        assert_eq!(now.saturating_sub(begin), 20 * INTERVAL);
        // A quiet second saves up for twenty.
        now += Duration::from_secs(1);
        let mut again = 0;
        while pace.next_at() <= now {
            pace.proposed(now);
            again += 1;
        }
        assert_eq!(again, 20);
        pace.rest(now, Duration::from_secs(1));
        assert_eq!(pace.next_at(), now + Duration::from_secs(1));
    }
}
