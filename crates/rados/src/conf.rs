//! `ceph.conf` as librados reads it: sections, names with blanks or dashes, comments, long lines.
//!
//! An option is looked up from the most specific section to the least: `[osd.3]`, `[osd]`,
//! `[global]`. Values keep their text; `$name`, `$type`, `$id`, `$cluster` and other options named
//! with a dollar are filled in on look-up. Unknown options are no error: the file belongs to other
//! programs too.

use std::collections::BTreeMap;

use thiserror::Error;

/// Why a `ceph.conf` cannot be used.
#[derive(Debug, Error)]
pub enum ConfError {
    /// A line that is neither a section, an option nor a comment.
    #[error("line {line}: expected `name = value` or `[section]`, found {text:?}")]
    Syntax {
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A value that is not of the option's kind.
    #[error("option {option}: {value:?} is not {wanted}")]
    Value {
        /// The option.
        option: String,
        /// What the file says.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// The file cannot be read.
    #[error("{path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A parsed file.
#[derive(Debug, Clone, Default)]
pub struct Conf {
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

/// How deep `$option` may refer to further options.
const EXPANSION_DEPTH_MAX: usize = 8;

impl Conf {
    /// Reads and parses a file.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfError::Read { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// Parses the text of a file. A later value of the same option in the same section wins.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let mut conf = Conf::default();
        let mut section = String::from("global");
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut line = strip_comment(line).trim().to_owned();
            while line.ends_with('\\') {
                line.pop();
                let Some((_, next)) = lines.next() else { break };
                line.push_str(strip_comment(next).trim());
            }
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.trim().to_owned();
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                return Err(ConfError::Syntax { line: number + 1, text: line });
            };
            let value = unquote(value.trim());
            conf.sections
                .entry(section.clone())
                .or_default()
                .insert(normal_name(name), value.to_owned());
        }
        Ok(conf)
    }

    /// The value of an option for the entity `kind.id` (`osd.3`, `client.admin`), filled in.
    pub fn get(&self, entity: &str, option: &str) -> Option<String> {
        self.lookup(entity, option, EXPANSION_DEPTH_MAX)
    }

    /// All options that hold for `entity`, by their normal names.
    pub fn options(&self, entity: &str) -> BTreeMap<String, String> {
        let kind = entity.split('.').next().unwrap_or(entity);
        let names = ["global", kind, entity]
            .into_iter()
            .filter_map(|s| self.sections.get(s))
            .flat_map(|options| options.keys());
        names.filter_map(|n| Some((n.clone(), self.get(entity, n)?))).collect()
    }

    /// As [`Conf::get`], parsed as an integer.
    pub fn number(&self, entity: &str, option: &str) -> Result<Option<u64>, ConfError> {
        self.parsed(entity, option, "a whole number")
    }

    /// As [`Conf::get`], parsed as a fraction.
    pub fn fraction(&self, entity: &str, option: &str) -> Result<Option<f64>, ConfError> {
        self.parsed(entity, option, "a number")
    }

    /// As [`Conf::get`], parsed as Ceph's booleans.
    pub fn flag(&self, entity: &str, option: &str) -> Result<Option<bool>, ConfError> {
        match self.get(entity, option) {
            None => Ok(None),
            Some(v) => match v.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(Some(true)),
                "false" | "no" | "off" | "0" => Ok(Some(false)),
                _ => Err(ConfError::Value {
                    option: option.to_owned(),
                    value: v,
                    wanted: "true or false",
                }),
            },
        }
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        entity: &str,
        option: &str,
        wanted: &'static str,
    ) -> Result<Option<T>, ConfError> {
        match self.get(entity, option) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(v) => Ok(Some(v)),
                Err(_) => Err(ConfError::Value { option: option.to_owned(), value, wanted }),
            },
        }
    }

    fn lookup(&self, entity: &str, option: &str, depth: usize) -> Option<String> {
        let kind = entity.split('.').next().unwrap_or(entity);
        let option = normal_name(option);
        let raw = [entity, kind, "global"]
            .iter()
            .find_map(|s| self.sections.get(*s).and_then(|o| o.get(&option)))?;
        Some(self.expand(entity, raw, depth))
    }

    fn expand(&self, entity: &str, raw: &str, depth: usize) -> String {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, used) = variable(after);
            let (kind, id) = entity.split_once('.').unwrap_or((entity, ""));
            let value = match name {
                "name" => Some(entity.to_owned()),
                "type" => Some(kind.to_owned()),
                "id" => Some(id.to_owned()),
                "cluster" => Some("ceph".to_owned()),
                "" => None,
                other if depth > 0 => self.lookup(entity, other, depth - 1),
                _ => None,
            };
            match value {
                Some(v) => out.push_str(&v),
                None => out.push_str(&rest[at..at + 1 + used]),
            }
            rest = &after[used..];
        }
        out.push_str(rest);
        out
    }
}

/// The name behind a dollar (braces or not) and the bytes it takes.
fn variable(after: &str) -> (&str, usize) {
    if let Some(body) = after.strip_prefix('{')
        && let Some(end) = body.find('}')
    {
        return (&body[..end], end + 2);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    (&after[..end], end)
}

/// Blanks and dashes in an option's name count as underscores.
fn normal_name(name: &str) -> String {
    name.split(|c: char| c.is_whitespace() || c == '-' || c == '_')
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join("_")
        .to_ascii_lowercase()
}

/// Cuts a comment; `#` and `;` inside double quotes belong to the value.
fn strip_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fsid = 1-2 ; the id
[global]
mon host = [v2:127.0.0.1:3300] # where
run-dir = /run/${cluster}
[osd]
osd data = $run_dir/$name
[osd.3]
osd_data = \"/a # b\"
debug = 1 \\
2
";

    #[test]
    fn sections_names_and_variables() {
        let conf = Conf::parse(TEXT).unwrap();
        assert_eq!(conf.get("client.admin", "fsid").as_deref(), Some("1-2"));
        assert_eq!(conf.get("osd.1", "mon_host").as_deref(), Some("[v2:127.0.0.1:3300]"));
        assert_eq!(conf.get("osd.1", "osd_data").as_deref(), Some("/run/ceph/osd.1"));
        assert_eq!(conf.get("osd.3", "osd data").as_deref(), Some("/a # b"));
        assert_eq!(conf.get("osd.3", "debug").as_deref(), Some("1 2"));
        assert_eq!(conf.get("mon.a", "osd_data"), None);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        assert!(matches!(Conf::parse("a = 1\nb"), Err(ConfError::Syntax { line: 2, .. })));
        let conf = Conf::parse("a = $b\nb = $a\nn = x").unwrap();
        assert!(conf.get("osd.0", "a").is_some());
        assert!(conf.number("osd.0", "n").is_err());
    }
}
