//! Health checks that somebody has silenced: until when, and whether for good.
//!
//! A mute ends with its time; one that is not sticky also when the check is no longer raised, or
//! counts more than it did when it was silenced.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::UTime;
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

use super::health::{Check, Checks};
use crate::command::Refusal;
use crate::command::text::span;

/// One mute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mute {
    /// When it ends; zero: not by time.
    pub until: UTime,
    /// Whether it stays when the check goes away or gets worse.
    pub sticky: bool,
    /// The check's summary when it was silenced.
    pub summary: String,
    /// What it counted then, or less since.
    pub count: u64,
}

/// All mutes, by code.
pub type Mutes = BTreeMap<String, Mute>;

impl Mute {
    /// A new one of a check, which is perhaps not raised.
    pub fn new(check: Option<&Check>, until: UTime, sticky: bool) -> Self {
        let (summary, count) =
            check.map_or_else(Default::default, |c| (c.summary.clone(), c.count));
        Self { until, sticky, summary, count }
    }

    /// The time that is left, for people: `59m`; `None` if it does not end by time.
    pub fn left(&self, wall: UTime) -> Option<String> {
        (!self.until.is_zero()).then(|| {
            let left = self.until.saturating_sub(wall).as_secs();
            span(Duration::from_secs(left))
        })
    }
}

/// What becomes of a mute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It ends; why.
    Ends(String),
    /// The check counts less than before.
    Counts(u64),
}

/// The mutes with which something is due.
pub fn due(mutes: &Mutes, checks: &Checks, wall: UTime) -> Vec<(String, Fate)> {
    let fate = |code: &String, mute: &Mute| {
        if !mute.until.is_zero() && wall >= mute.until {
            return Some(Fate::Ends("TTL expired".to_owned()));
        }
        if mute.sticky {
            return None;
        }
        match checks.get(code.as_str()) {
            None => Some(Fate::Ends("health alert cleared".to_owned())),
            Some(c) if c.count > mute.count => {
                Some(Fate::Ends(format!("count increased from {} to {}", mute.count, c.count)))
            }
            Some(c) if c.count < mute.count => Some(Fate::Counts(c.count)),
            Some(_) => None,
        }
    };
    mutes.iter().filter_map(|(code, m)| Some((code.clone(), fate(code, m)?))).collect()
}

/// Seconds of each unit, by its first letters.
const UNITS: [(&str, u64); 7] = [
    ("s", 1),
    ("mo", 30 * 86_400),
    ("m", 60),
    ("h", 3600),
    ("d", 86_400),
    ("w", 7 * 86_400),
    ("y", 365 * 86_400),
];
/// Whole words for them; what is shorter is one, too.
const WORDS: [&str; 13] = [
    "seconds", "secs", "months", "minutes", "mins", "hours", "hrs", "days", "weeks", "wks",
    "years", "yrs", "mo",
];

/// A time as people write it: `90`, `5m`, `1h 30m`.
pub fn parse_span(text: &str) -> Result<Duration, Refusal> {
    let bad = |why: &str| Refusal::invalid(format!("invalid duration: {text} ({why})"));
    let mut rest = text.trim();
    let mut seconds = 0u64;
    if rest.is_empty() {
        return Err(bad("expected digit"));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| bad("expected digit"))?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..letters];
        rest = rest[letters..].trim_start();
        let known = word.is_empty() || WORDS.iter().any(|w| w.starts_with(word));
        let unit = UNITS.iter().find(|(u, _)| known && (word.starts_with(u) || word.is_empty()));
        let (_, unit) = unit.ok_or_else(|| bad("unrecognized unit"))?;
        let part = number.checked_mul(*unit).and_then(|n| seconds.checked_add(n));
        // A mute of a hundred years is one for good.
        seconds = part.filter(|n| *n <= 100 * 365 * 86_400).ok_or_else(|| bad("too long"))?;
    }
    Ok(Duration::from_secs(seconds))
}

impl Encode for Mute {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.until.encode(out, features);
        self.sticky.encode(out, features);
        self.summary.encode(out, features);
        self.count.encode(out, features);
    }
}

impl Decode for Mute {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            until: UTime::decode(r)?,
            sticky: bool::decode(r)?,
            summary: String::decode(r)?,
            count: u64::decode(r)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::health::Severity;

    #[test]
    fn times_as_people_write_them() {
        let seconds = |text: &str| parse_span(text).map(|d| d.as_secs()).map_err(|e| e.text);
        for (text, wanted) in [
            ("90", 90),
            ("5s", 5),
            ("2m", 120),
            ("1mo", 30 * 86_400),
            ("1h 30min", 5400),
            ("1 day", 86_400),
            ("2weeks", 14 * 86_400),
            ("1y", 365 * 86_400),
        ] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        let refused = "invalid duration: bogus (expected digit)";
        assert_eq!(seconds("bogus").unwrap_err(), refused);
        for bad in ["", "5x", "5 hops", "-1", "h", "1000y", "99999999999999999999"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mutes_end() {
        let at = |sec| UTime { sec, nsec: 0 };
        let check = |count| Check {
            severity: Severity::Warn,
            summary: format!("{count} osds down"),
            count,
            detail: Vec::new(),
        };
        let raised = |count| Checks::from([("OSD_DOWN", check(count))]);
        let of = |mute| Mutes::from([("OSD_DOWN".to_owned(), mute)]);
        let ends = |fates: Vec<(String, Fate)>| match fates.as_slice() {
            [(_, Fate::Ends(why))] => why.clone(),
            other => panic!("{other:?}"),
        };
        let plain = of(Mute::new(Some(&check(2)), UTime::ZERO, false));
        assert!(due(&plain, &raised(2), at(9)).is_empty());
        assert_eq!(due(&plain, &raised(1), at(9)), [("OSD_DOWN".into(), Fate::Counts(1))]);
        assert_eq!(ends(due(&plain, &raised(3), at(9))), "count increased from 2 to 3");
        assert_eq!(ends(due(&plain, &Checks::new(), at(9))), "health alert cleared");
        let sticky = of(Mute::new(None, at(10), true));
        assert!(due(&sticky, &Checks::new(), at(9)).is_empty());
        assert!(due(&sticky, &raised(3), at(9)).is_empty());
        assert_eq!(ends(due(&sticky, &raised(3), at(10))), "TTL expired");
        assert_eq!(sticky["OSD_DOWN"].left(at(3)).as_deref(), Some("7s"));
        assert_eq!(plain["OSD_DOWN"].left(at(3)), None);
    }
}
