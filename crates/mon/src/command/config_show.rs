//! `config show`: the options of a daemon that runs, as the daemon itself tells them: what holds,
//! who set it, what that overrules, and what the monitor set in vain.

use std::collections::BTreeMap;

use seabed_cluster::options::{Report, Source, default, normal};
use serde_json::{Map, Value, json};

use super::misc::text_or;
use super::text::{Align, Table};
use super::{Answer, Command, Refusal, View};
use crate::options::target::is_section;

/// An option as it is shown: the sources that set it, the strongest last.
struct Row<'a> {
    name: &'a str,
    set: Vec<(&'static str, &'a str)>,
    ignored: bool,
}

impl<'a> Row<'a> {
    /// The value that holds, and its source.
    fn holds(&self) -> (&'static str, &'a str) {
        self.set.last().copied().unwrap_or_default()
    }

    fn overruled(&self) -> &[(&'static str, &'a str)] {
        self.set.split_last().map_or(&[], |(_, rest)| rest)
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        let (source, value) = self.holds();
        out.insert("name".into(), json!(self.name));
        out.insert("value".into(), json!(value));
        out.insert("source".into(), json!(source));
        if !self.overruled().is_empty() {
            let one = |(source, value): &(&str, &str)| json!({"source": source, "value": value});
            out.insert("overrides".into(), self.overruled().iter().map(one).collect());
        }
        if self.ignored {
            out.insert("ignores".into(), json!("mon"));
        }
        Value::Object(out)
    }

    fn cells(&self) -> [String; 5] {
        let (source, value) = self.holds();
        let overruled = self.overruled().iter().rev();
        let overruled: Vec<String> = overruled.map(|(s, v)| format!("{s}[{v}]")).collect();
        let ignored = if self.ignored { "mon" } else { "" };
        [self.name, value, source, &overruled.join(","), ignored].map(str::to_owned)
    }
}

/// `config show`, `config show-with-defaults`.
pub fn show(view: &View<'_>, command: &Command) -> Answer {
    let who = command.need("who")?;
    if !is_section(&who) || !who.contains('.') {
        return Err(Refusal::invalid("invalid daemon name: use <type>.<id>"));
    }
    let none = || Refusal::not_found(format!("no config state for daemon {who}"));
    let (report, defaults) = told(view, &who).ok_or_else(none)?;
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    if command.prefix.ends_with("with-defaults") || command.str("key").is_some() {
        for (name, value) in &defaults {
            let set = vec![(Source::Default.as_str(), value.as_str())];
            rows.insert(name, Row { name, set, ignored: false });
        }
    }
    for (name, set) in &report.values {
        let set = set.iter().map(|(source, v)| (Source::word(*source), v.as_str())).collect();
        let ignored = report.ignored.contains_key(name);
        rows.insert(name, Row { name, set, ignored });
    }
    if let Some(key) = command.str("key") {
        let key = normal(&key);
        // Of what the daemon does not tell, the default is known here.
        let value = rows.get(key.as_str()).map(|row| row.holds().1).or_else(|| default(&key));
        let value = value.ok_or_else(|| Refusal::not_found(""))?;
        return Ok(super::Reply::text(format!("{value}\n")));
    }
    text_or(
        command,
        || {
            let mut t = Table::new();
            for name in ["NAME", "VALUE", "SOURCE", "OVERRIDES", "IGNORES"] {
                t.plain(name, Align::Left);
            }
            for row in rows.values() {
                t.row(row.cells());
            }
            t.render()
        },
        || rows.values().map(Row::json).collect(),
    )
}

/// What a daemon told of its options, and of their defaults.
fn told(view: &View<'_>, who: &str) -> Option<(Report, BTreeMap<String, String>)> {
    if who.strip_prefix("mon.") == Some(&view.config.name) {
        return Some((view.options.0.report(), view.options.0.defaults()));
    }
    // The newest session is the daemon's present life.
    let mut of_it = view.sessions.iter().rev().filter(|s| s.peer.entity == who);
    of_it.find_map(|s| Some((s.config.clone()?, s.config_defaults.clone())))
}
