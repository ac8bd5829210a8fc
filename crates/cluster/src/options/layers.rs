//! The values of a daemon's options, by who set them: the strongest holds.
//!
//! Invariants: only options that the daemon has are in it, their values in normal form; what the
//! monitor set and the daemon cannot take is remembered as ignored.

use std::collections::BTreeMap;

use super::table::{Known, TABLE};
use super::{find, normal};

/// Who set a value, the weakest first; the numbers are Ceph's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody.
    Default = 0,
    /// The monitor (`ceph config set`).
    Mon = 1,
    /// The conf file.
    File = 2,
    /// The process was told (`ceph tell … config set`).
    Override = 5,
}

/// Ceph's words for the places that values come from, by number.
const WORDS: [&str; 7] = ["default", "mon", "file", "env", "cmdline", "override", "final"];

impl Source {
    /// Ceph's word for it.
    pub fn as_str(self) -> &'static str {
        WORDS[self as usize]
    }

    /// Ceph's word for a number of the wire.
    pub fn word(number: i32) -> &'static str {
        usize::try_from(number).ok().and_then(|n| WORDS.get(n)).unwrap_or(&"unknown")
    }
}

/// Values by name, then by source.
pub(super) type Values = BTreeMap<&'static str, BTreeMap<Source, String>>;

/// Why a value is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The daemon has no such option.
    NoOption,
    /// The option takes no such value.
    BadValue(String),
}

/// What was set in a daemon, and by whom.
#[derive(Debug, Clone)]
pub struct Layers {
    has: fn(&str) -> bool,
    pub(super) values: Values,
    pub(super) ignored: BTreeMap<String, String>,
}

impl Layers {
    /// Nothing set; `has` says by name which options of the table the daemon has.
    pub fn new(has: fn(&str) -> bool) -> Self {
        Self { has, values: Values::new(), ignored: BTreeMap::new() }
    }

    /// The options that the daemon has.
    pub fn all(&self) -> impl Iterator<Item = &'static Known> {
        let has = self.has;
        TABLE.iter().filter(move |o| has(o.name))
    }

    /// The option of that name, in any spelling, if the daemon has it.
    pub fn find(&self, name: &str) -> Option<&'static Known> {
        find(&normal(name)).filter(|o| (self.has)(o.name))
    }

    /// Sets a value.
    pub fn set(&mut self, source: Source, name: &str, value: &str) -> Result<(), NotTaken> {
        let known = self.find(name).ok_or(NotTaken::NoOption)?;
        let value = known.normal(value).map_err(NotTaken::BadValue)?;
        self.values.entry(known.name).or_default().insert(source, value);
        Ok(())
    }

    /// Takes a value back.
    pub fn unset(&mut self, source: Source, name: &str) {
        let Some(known) = self.find(name) else { return };
        if let Some(of) = self.values.get_mut(known.name) {
            of.remove(&source);
            if of.is_empty() {
                self.values.remove(known.name);
            }
        }
    }

    /// What the monitor sets, in place of all it set before.
    pub fn follow_mon<'a>(&mut self, set: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for of in self.values.values_mut() {
            of.remove(&Source::Mon);
        }
        self.values.retain(|_, of| !of.is_empty());
        self.ignored.clear();
        for (name, value) in set {
            if self.set(Source::Mon, name, value).is_err() {
                self.ignored.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// What the monitor set and this daemon does not take.
    pub fn ignored(&self) -> &BTreeMap<String, String> {
        &self.ignored
    }

    /// The value that somebody set.
    pub fn set_value(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(|of| of.last_key_value()).map(|(_, v)| v.as_str())
    }

    /// The value that holds: one that was set, else the default; empty where there is no such
    /// option.
    pub fn value(&self, name: &str) -> &str {
        self.set_value(name).or_else(|| super::default(name)).unwrap_or_default()
    }
}

/// How much is to be logged, on Ceph's scale of 0 to 20; `None` where nobody has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogLevels {
    /// Of the daemon itself.
    pub own: Option<u16>,
    /// Of its messenger (`debug_ms`).
    pub messenger: Option<u16>,
}

impl Layers {
    /// How much is to be logged by a daemon whose own option is `own` (`debug_osd`).
    pub fn log_levels(&self, own: &str) -> LogLevels {
        let level = |name| self.set_value(name)?.split('/').next()?.parse().ok();
        LogLevels { own: level(own), messenger: level("debug_ms") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_source_holds() {
        let mut l = Layers::new(|name| name.starts_with("osd_"));
        let name = "osd_max_write_size";
        assert_eq!(l.value(name), "90");
        l.follow_mon([(name, "80"), ("rbd_cache", "false"), ("osd_max_pgls", "many")]);
        assert_eq!(l.value(name), "80");
        let ignored: Vec<&str> = l.ignored().keys().map(String::as_str).collect();
        assert_eq!(ignored, ["osd_max_pgls", "rbd_cache"]);
        l.set(Source::Override, name, "70").unwrap();
        l.set(Source::File, "osd-max-write-size", "60").unwrap();
        assert_eq!(l.value(name), "70");
        l.unset(Source::Override, name);
        assert_eq!(l.value(name), "60", "the file before the monitor");
        l.unset(Source::File, name);
        l.follow_mon([]);
        assert_eq!((l.set_value(name), l.value(name)), (None, "90"));
        assert!(l.ignored().is_empty());
        assert_eq!(l.set(Source::File, "rbd_cache", "true"), Err(NotTaken::NoOption));
        assert!(matches!(l.set(Source::File, name, "1"), Err(NotTaken::BadValue(_))));
    }
}
