//! A signed duration (`signedspan`): `s32 seconds, s32 nanoseconds`, both negative below zero.

use std::fmt;
use std::time::Duration;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

/// A duration or a point on some daemon's own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Seconds.
    pub sec: i32,
    /// Nanoseconds, of the same sign.
    pub nsec: i32,
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span { sec: 0, nsec: 0 };

    /// From nanoseconds; saturates at what 32-bit seconds hold.
    pub fn from_nanos(nanos: i64) -> Span {
        let sec = (nanos / 1_000_000_000).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        // Both casts hold: clamped above, and a remainder is below a thousand million.
        Span { sec: sec as i32, nsec: (nanos % 1_000_000_000) as i32 }
    }

    /// In nanoseconds.
    pub fn nanos(self) -> i64 {
        i64::from(self.sec) * 1_000_000_000 + i64::from(self.nsec)
    }

    /// The duration, or zero if negative.
    pub fn duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos()).unwrap_or(0))
    }
}

impl From<Duration> for Span {
    fn from(d: Duration) -> Self {
        Span::from_nanos(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos();
        let sign = if nanos < 0 { "-" } else { "" };
        let abs = nanos.unsigned_abs();
        write!(f, "{sign}{}.{:09}s", abs / 1_000_000_000, abs % 1_000_000_000)
    }
}

impl Encode for Span {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.sec.encode(out, features);
        self.nsec.encode(out, features);
    }
}

impl Decode for Span {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Span { sec: i32::decode(r)?, nsec: i32::decode(r)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_go_together() {
        let s = Span::from_nanos(-1_500_000_000);
        assert_eq!((s.sec, s.nsec, s.nanos()), (-1, -500_000_000, -1_500_000_000));
        assert_eq!(s.duration(), Duration::ZERO);
        assert_eq!(Span::from(Duration::from_millis(2500)).to_string(), "2.500000000s");
    }
}
