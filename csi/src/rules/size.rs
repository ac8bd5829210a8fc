//! How large a volume is made.

use seabed_proto::csi::CapacityRange;

use crate::fault::Fault;

/// When nobody says.
pub(crate) const DEFAULT: u64 = 1 << 30;
/// Sizes are of whole MiB.
pub(crate) const UNIT: u64 = 1 << 20;
/// As many objects of 4 MiB as an object map has room for.
pub(crate) const MAX: u64 = 256_000_000 << 22;

/// What is asked for: bytes at least, and at most (0: any).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub required: u64,
    pub limit: u64,
}

impl Range {
    pub(crate) fn read(asked: Option<&CapacityRange>) -> Result<Self, Fault> {
        let Some(asked) = asked else { return Ok(Range { required: 0, limit: 0 }) };
        let bytes = |field: &str, value: i64| {
            u64::try_from(value)
                .map_err(|_| Fault::invalid(format!("{field} is {value}, which is no size")))
        };
        let required = bytes("required_bytes", asked.required_bytes)?;
        let limit = bytes("limit_bytes", asked.limit_bytes)?;
        if limit != 0 && required > limit {
            return Err(Fault::invalid(format!(
                "required_bytes {required} is more than limit_bytes {limit}"
            )));
        }
        Ok(Range { required, limit })
    }

    /// Is a size that exists what is asked for?
    pub(crate) fn holds(self, size: u64) -> bool {
        size >= self.required && (self.limit == 0 || size <= self.limit)
    }

    /// The size of a new volume, of no fewer bytes than its source has.
    pub(crate) fn choose(self, source: Option<u64>) -> Result<u64, Fault> {
        let least = self.required.max(source.unwrap_or_default());
        let wanted = match least {
            0 if self.limit == 0 => DEFAULT,
            0 => DEFAULT.min(self.limit - self.limit % UNIT).max(UNIT),
            least => least.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX),
        };
        // A source's odd size is kept if there is no room for more.
        let chosen = if self.holds(wanted) { wanted } else { least };
        if chosen > MAX {
            return Err(Fault::out_of_range(format!("{chosen} bytes are more than {MAX}")));
        }
        if chosen == 0 || !self.holds(chosen) {
            let Range { required, limit } = self;
            return Err(Fault::out_of_range(format!(
                "no volume of whole MiB{} is within {required} and {limit} bytes",
                source.map_or(String::new(), |size| format!(" and of the source's {size} bytes"))
            )));
        }
        Ok(chosen)
    }
}

/// Bytes as CSI has them.
pub(crate) fn shown(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(required: i64, limit: i64) -> Range {
        let asked = CapacityRange { required_bytes: required, limit_bytes: limit };
        Range::read(Some(&asked)).unwrap()
    }

    #[test]
    fn sizes() {
        assert_eq!(Range::read(None).unwrap().choose(None).unwrap(), DEFAULT);
        assert_eq!(range(1, 0).choose(None).unwrap(), UNIT);
        assert_eq!(range(10 << 30, 0).choose(None).unwrap(), 10 << 30);
        assert_eq!(range(0, 64 << 20).choose(None).unwrap(), 64 << 20);
        // Not of whole MiB, but all that fits.
        assert_eq!(range(1_500_000, 1_600_000).choose(None).unwrap(), 1_500_000);
        assert!(range(0, 1).choose(None).is_err());
        assert!(range(i64::MAX, 0).choose(None).is_err());
        let asked = CapacityRange { required_bytes: -1, limit_bytes: 0 };
        assert!(Range::read(Some(&asked)).is_err());
        let asked = CapacityRange { required_bytes: 2, limit_bytes: 1 };
        assert!(Range::read(Some(&asked)).is_err());
    }

    #[test]
    fn a_source_is_never_cut() {
        assert_eq!(range(0, 0).choose(Some(5 << 30)).unwrap(), 5 << 30);
        assert_eq!(range(1 << 30, 0).choose(Some(5 << 30)).unwrap(), 5 << 30);
        assert_eq!(range(6 << 30, 0).choose(Some(5 << 30)).unwrap(), 6 << 30);
        assert!(range(1 << 30, 2 << 30).choose(Some(5 << 30)).is_err());
        assert_eq!(range(0, 1234).choose(Some(1234)).unwrap(), 1234);
    }

    #[test]
    fn what_exists_is_held_against_the_range() {
        assert!(range(1, 0).holds(2) && range(0, 0).holds(7) && range(2, 2).holds(2));
        assert!(!range(3, 0).holds(2) && !range(1, 1).holds(2));
    }
}
