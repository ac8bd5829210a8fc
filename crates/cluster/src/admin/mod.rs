//! Commands that people give to daemons (`ceph …`, `ceph tell …`): as they arrive, and the
//! signatures by which a daemon finds and describes its own.
//!
//! A command is a JSON object whose `prefix` says which, the rest being arguments.

mod signature;

use serde_json::{Map, Value};

pub use signature::{describe, describe_told, help_told, prefix};

use crate::{Errno, OsdId};

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Plain,
    /// JSON in one line.
    Json,
    /// JSON indented.
    JsonPretty,
}

/// Longest command accepted: more than any tool sends, less than what would hurt.
pub const COMMAND_LEN_MAX: usize = 1 << 20;

/// A parsed command.
#[derive(Debug, Clone)]
pub struct Command {
    /// The literal words.
    pub prefix: String,
    /// How to answer.
    pub format: Format,
    /// The text it was parsed from, for the audit.
    pub text: String,
    args: Map<String, Value>,
}

/// Why a command was refused, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it gets.
    pub errno: Errno,
    /// The text behind it.
    pub text: String,
}

impl Refusal {
    /// `EINVAL` with a text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { errno: Errno::EINVAL, text: text.into() }
    }

    /// `ENOENT` with a text.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { errno: Errno::ENOENT, text: text.into() }
    }

    /// Any error with a text.
    pub fn new(errno: Errno, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}

impl From<seabed_crush::CrushError> for Refusal {
    fn from(e: seabed_crush::CrushError) -> Self {
        Refusal::new(Errno(e.errno()), e.to_string())
    }
}

impl Command {
    /// Parses the strings of a command message: usually one JSON object, by an old habit several
    /// strings that together make it.
    pub fn parse(strings: &[String]) -> Result<Self, Refusal> {
        let text = strings.concat();
        if text.len() > COMMAND_LEN_MAX {
            return Err(Refusal::new(Errno::E2BIG, "command is too long"));
        }
        // Ceph reads the first value and looks no further: `rbd perf image iostat` sends more.
        let value = serde_json::Deserializer::from_str(&text)
            .into_iter::<Value>()
            .next()
            .transpose()
            .map_err(|e| Refusal::invalid(format!("command is not JSON: {e}")))?
            .unwrap_or_default();
        let Value::Object(args) = value else {
            return Err(Refusal::invalid("command is not a JSON object"));
        };
        let prefix = match args.get("prefix") {
            Some(Value::String(p)) => p.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => return Err(Refusal::invalid("command has no prefix")),
        };
        let format = match args.get("format").and_then(Value::as_str) {
            Some("json") => Format::Json,
            Some("json-pretty") => Format::JsonPretty,
            _ => Format::Plain,
        };
        Ok(Self { prefix, format, text, args })
    }

    /// The string argument of that name; numbers and booleans as text.
    pub fn str(&self, name: &str) -> Option<String> {
        match self.args.get(name)? {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }

    /// The string argument, or a refusal naming it.
    pub fn need(&self, name: &str) -> Result<String, Refusal> {
        self.str(name)
            .ok_or_else(|| Refusal::invalid(format!("missing required parameter '{name}'")))
    }

    /// The integer argument, if given.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.args.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| Refusal::invalid(format!("parameter '{name}' is not an integer")))
    }

    /// The number argument, or a refusal.
    pub fn need_float(&self, name: &str) -> Result<f64, Refusal> {
        let number = match self.args.get(name) {
            Some(Value::Number(n)) => n.as_f64(),
            Some(Value::String(s)) => s.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|f: &f64| f.is_finite())
            .ok_or_else(|| Refusal::invalid(format!("parameter '{name}' is not a number")))
    }

    /// The number argument, if given.
    pub fn float(&self, name: &str) -> Result<Option<f64>, Refusal> {
        if self.args.contains_key(name) { self.need_float(name).map(Some) } else { Ok(None) }
    }

    /// True if the flag is given: `true`, or the option's own spelling.
    pub fn flag(&self, name: &str) -> bool {
        match self.args.get(name) {
            Some(Value::Bool(b)) => *b,
            Some(Value::String(s)) => {
                s == "true" || s.trim_start_matches('-').replace('-', "_") == name
            }
            _ => false,
        }
    }

    /// The list argument: strings or numbers; a single value is a list of one.
    pub fn list(&self, name: &str) -> Vec<String> {
        let one = |v: &Value| match v {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        };
        match self.args.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(one).collect(),
            Some(v) => one(v).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The OSD argument: `3`, `"3"` or `"osd.3"`.
    pub fn osd(&self, name: &str) -> Result<Option<OsdId>, Refusal> {
        match self.str(name) {
            None => Ok(None),
            Some(text) => parse_osd(&text).map(Some).ok_or_else(|| {
                Refusal::invalid(format!("osd id '{text}' is not valid: expected N or osd.N"))
            }),
        }
    }

    /// The OSD argument, or a refusal.
    pub fn need_osd(&self, name: &str) -> Result<OsdId, Refusal> {
        self.osd(name)?
            .ok_or_else(|| Refusal::invalid(format!("missing required parameter '{name}'")))
    }
}

/// `3` or `osd.3`.
pub fn parse_osd(text: &str) -> Option<OsdId> {
    let digits = text.strip_prefix("osd.").unwrap_or(text);
    digits.parse::<i32>().ok().filter(|n| *n >= 0).map(OsdId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_forms() {
        let cmd = |s: &str| Command::parse(&[s.to_string()]);
        let c = cmd(r#"{"prefix": "osd out", "ids": ["0"]}"#).unwrap();
        assert_eq!(c.prefix, "osd out");
        assert_eq!(c.list("ids"), ["0"]);
        assert_eq!(c.format, Format::Plain);
        let c = cmd(r#"{"prefix":"osd metadata","id":0,"format":"json"}"#).unwrap();
        assert_eq!(c.osd("id").unwrap(), Some(OsdId(0)));
        assert_eq!(c.format, Format::Json);
        let c = cmd(r#"{"prefix":"osd pool rm","yes_i_really_really_mean_it": true}"#).unwrap();
        assert!(c.flag("yes_i_really_really_mean_it"));
        let c = cmd(r#"{"prefix":"x","yes_i_mean_it": "--yes-i-mean-it"}"#).unwrap();
        assert!(c.flag("yes_i_mean_it"));
        let c = cmd("{\"prefix\": \"rbd perf image stats\",\n \"format\": \"json\"}}").unwrap();
        assert_eq!(c.format, Format::Json);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "[]", "{", "{}", "{\"prefix\":1}", "\u{0}"] {
            assert_eq!(Command::parse(&[text.to_string()]).unwrap_err().errno, Errno::EINVAL);
        }
    }
}
