//! Wall stamps, monotonic time, and the pair of them that every rule step is given.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

const NANOS: u32 = 1_000_000_000;

/// `utime_t`: seconds and nanoseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UTime {
    /// Seconds.
    pub sec: u32,
    /// Nanoseconds; below a thousand million unless a peer sent otherwise.
    pub nsec: u32,
}

impl UTime {
    /// The stamp that means "never".
    pub const ZERO: UTime = UTime { sec: 0, nsec: 0 };

    /// True for the stamp that means "never".
    pub fn is_zero(self) -> bool {
        self == UTime::ZERO
    }

    /// Seconds as a float, for reports.
    pub fn as_secs_f64(self) -> f64 {
        f64::from(self.sec) + f64::from(self.nsec) / f64::from(NANOS)
    }

    /// How much later `self` is; zero if it is not.
    pub fn saturating_sub(self, earlier: UTime) -> Duration {
        self.since_1970().saturating_sub(earlier.since_1970())
    }

    fn since_1970(self) -> Duration {
        Duration::from_secs(u64::from(self.sec)) + Duration::from_nanos(u64::from(self.nsec))
    }

    /// The time since 1970; ends in the year 2106.
    pub fn from_since_1970(d: Duration) -> UTime {
        match u32::try_from(d.as_secs()) {
            Ok(sec) => UTime { sec, nsec: d.subsec_nanos() },
            Err(_) => UTime { sec: u32::MAX, nsec: NANOS - 1 },
        }
    }
}

impl Add<Duration> for UTime {
    type Output = UTime;
    fn add(self, d: Duration) -> UTime {
        UTime::from_since_1970(self.since_1970().saturating_add(d))
    }
}

/// Days since 1970 to year, month and day of the Gregorian calendar.
fn civil(days: u32) -> (u32, u32, u32) {
    // Count from 1 March of year 0, so that the leap day is the last of a year; 146097 days are
    // 400 years.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u32::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// As Ceph prints it under UTC; small values are durations and print as seconds.
impl fmt::Display for UTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TEN_YEARS: u32 = 60 * 60 * 24 * 365 * 10;
        let usec = self.nsec / 1000;
        if self.sec < TEN_YEARS {
            return write!(f, "{}.{usec:06}", self.sec);
        }
        let (y, m, d) = civil(self.sec / 86_400);
        let s = self.sec % 86_400;
        let (h, min, s) = (s / 3600, s / 60 % 60, s % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{usec:06}+0000")
    }
}

impl Encode for UTime {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.sec.encode(out, features);
        self.nsec.encode(out, features);
    }
}

impl Decode for UTime {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(UTime { sec: u32::decode(r)?, nsec: u32::decode(r)? })
    }
}

/// Monotonic time in nanoseconds from a start that only the shell knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The start.
    pub const ZERO: Time = Time(0);

    /// How much later `self` is; zero if it is not.
    pub fn saturating_sub(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What time it is, given to every step of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For timers and time-outs.
    pub mono: Time,
    /// For stamps that are stored or shown.
    pub wall: UTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_ceph() {
        let t = UTime { sec: 1_618_225_903, nsec: 363_218_004 };
        assert_eq!(t.to_string(), "2021-04-12T11:11:43.363218+0000");
        assert_eq!(UTime { sec: 2, nsec: 0 }.to_string(), "2.000000");
        let leap = UTime { sec: 1_709_208_000, nsec: 0 };
        assert_eq!(leap.to_string(), "2024-02-29T12:00:00.000000+0000");
    }
}
