//! The table of commands, from which the descriptions for the `ceph` tool are made.
//!
//! It is the text file beside this one, whose head explains the columns.

use seabed_cluster::Errno;
use serde_json::{Map, Value, json};

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

/// The literal words of a signature.
pub fn prefix(sig: &str) -> String {
    let words: Vec<&str> = sig.split(' ').take_while(|w| !w.contains(':')).collect();
    words.join(" ")
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

/// Signature, help, module and permission of each command in the form that tools read.
pub fn describe<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)>) -> Value {
    let mut all = Map::new();
    for (i, (sig, help, module, perm)) in rows.enumerate() {
        let sig: Vec<Value> = sig.split(' ').map(argument).collect();
        all.insert(
            format!("cmd{i:03}"),
            json!({"sig": sig, "help": help, "module": module, "perm": perm, "flags": 0}),
        );
    }
    Value::Object(all)
}

fn argument(word: &str) -> Value {
    let (body, optional) = match word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
        Some(inner) => (inner, true),
        None => (word, false),
    };
    let Some((name, kind)) = body.split_once(':') else { return json!(word) };
    let mut arg = Map::new();
    arg.insert("name".into(), json!(name));
    let (kind, choices) = match kind.split_once('=') {
        Some((k, c)) => (k, Some(c)),
        None => (kind, None),
    };
    let (kind, range) = match kind.split_once('<') {
        Some((k, r)) => (k, Some(r.trim_end_matches('>'))),
        None => (kind, None),
    };
    arg.insert("type".into(), json!(kind.trim_end_matches('*')));
    if kind.ends_with('*') {
        arg.insert("n".into(), json!("N"));
    }
    if optional {
        arg.insert("req".into(), json!(false));
    }
    if let Some(choices) = choices {
        arg.insert("strings".into(), json!(choices));
    }
    if let Some(range) = range {
        arg.insert("range".into(), json!(range));
    }
    Value::Object(arg)
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

    #[test]
    fn arguments_as_the_tool_expects() {
        assert_eq!(argument("osd"), json!("osd"));
        assert_eq!(
            argument("[num:CephInt<1>]"),
            json!({"name": "num", "type": "CephInt", "req": false, "range": "1"})
        );
        assert_eq!(
            argument("ids:CephString*"),
            json!({"name": "ids", "type": "CephString", "n": "N"})
        );
        assert_eq!(
            argument("[d:CephChoices*=a|b]"),
            json!({"name": "d", "type": "CephChoices", "n": "N", "req": false, "strings": "a|b"})
        );
        assert_eq!(prefix("osd pool ls [detail:CephChoices=detail]"), "osd pool ls");
    }
}
