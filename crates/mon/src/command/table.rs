//! The table of commands, from which the descriptions for the `ceph` tool are made.
//!
//! It is the text file beside this one, whose head explains the columns.

use seabed_cluster::Errno;
use seabed_cluster::admin::{describe, prefix};
use serde_json::Value;

use super::Refusal;

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The part of the monitor that answers.
    pub module: &'static str,
    /// The permission it needs: `r`, `rw`.
    pub perm: &'static str,
    /// Words and arguments.
    pub sig: &'static str,
    /// One sentence for `ceph --help`.
    pub help: &'static str,
}

impl Entry {
    /// True if it may change something.
    pub fn writes(&self) -> bool {
        self.perm.contains('w')
    }
}

/// Every command there is.
pub fn entries() -> impl Iterator<Item = Entry> {
    include_str!("commands.txt").lines().filter(|l| !l.starts_with('#')).filter_map(|line| {
        let mut fields = line.split(" ; ");
        Some(Entry {
            module: fields.next()?,
            perm: fields.next()?,
            sig: fields.next()?,
            help: fields.next()?,
        })
    })
}

/// The entry with that prefix.
pub fn find(wanted: &str) -> Option<Entry> {
    entries().find(|e| prefix(e.sig) == wanted)
}

/// What a client gets for a command that does not exist: `EINVAL` and what it may have meant.
pub fn unknown(wanted: &str) -> Refusal {
    let first = wanted.split(' ').next().unwrap_or("");
    let near: Vec<String> = entries()
        .map(|e| prefix(e.sig))
        .filter(|p| p.split(' ').next() == Some(first))
        .filter(|p| wanted.starts_with(p.as_str()) || p.starts_with(wanted))
        .take(8)
        .collect();
    let hint = if near.is_empty() {
        "'ceph --help' lists what this monitor knows".to_string()
    } else {
        format!("did you mean one of: {}", near.join(", "))
    };
    Refusal::new(Errno::EINVAL, format!("command not known: '{wanted}'; {hint}"))
}

/// The answer to `get_command_descriptions`.
pub fn descriptions() -> Value {
    describe(entries().skip(1).map(|e| (e.sig, e.help, e.module, e.perm)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_unique() {
        let mut seen: Vec<String> = entries().map(|e| prefix(e.sig)).collect();
        let n = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), n);
    }
}
