//! Commands that read options and the config-key store.

use seabed_cluster::options::{default, normal, table};
use serde_json::{Map, Value, json};

use super::misc::text_or;
use super::text::{Align, Table};
use super::{Answer, Command, Refusal, Reply, View};
use crate::options::target::{Place, Target, is_section};
use crate::options::{Settings, effective};

/// A setting as it is shown.
struct Row<'a> {
    target: Target<'a>,
    name: &'a str,
    value: &'a str,
}

impl Row<'_> {
    fn level(&self) -> &'static str {
        // An option that was forced in is one nobody knows.
        table::find(self.name).map_or("unknown", |o| o.level)
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("section".into(), json!(self.target.section));
        out.insert("name".into(), json!(self.name));
        out.insert("value".into(), json!(self.value));
        out.insert("level".into(), json!(self.level()));
        out.insert("can_update_at_runtime".into(), json!(true));
        out.insert("mask".into(), json!(self.target.mask()));
        if let Some((kind, name)) = self.target.location {
            out.insert("location_type".into(), json!(kind));
            out.insert("location_value".into(), json!(name));
        }
        if let Some(class) = self.target.class {
            out.insert("device_class".into(), json!(class));
        }
        Value::Object(out)
    }
}

/// All settings in the order in which they are shown.
fn rows(settings: &Settings) -> Vec<Row<'_>> {
    let mut out: Vec<Row<'_>> = Vec::new();
    for ((who, name), value) in settings {
        let Some(target) = Target::parse(who) else { continue };
        out.push(Row { target, name, value });
    }
    out.sort_by_cached_key(|r| {
        let (kind, section, plain, mask) = r.target.rank();
        (kind, section, r.name, plain, mask)
    });
    out
}

fn show_table<'a>(rows: impl Iterator<Item = &'a Row<'a>>, indent: bool) -> String {
    let mut t = Table::new();
    for name in ["WHO", "MASK", "LEVEL", "OPTION", "VALUE", "RO"] {
        t.plain(name, Align::Left);
    }
    for r in rows {
        let pad = if indent { "  ".repeat(r.target.depth()) } else { String::new() };
        t.row([
            pad + r.target.section,
            r.target.mask(),
            r.level().to_string(),
            r.name.to_string(),
            r.value.to_string(),
            String::new(),
        ]);
    }
    t.render()
}

/// `config …` that read.
pub fn config(view: &View<'_>, command: &Command) -> Answer {
    let settings = &view.state.settings;
    match command.prefix.as_str() {
        "config dump" => {
            let rows = rows(settings);
            text_or(
                command,
                || show_table(rows.iter(), true),
                || rows.iter().map(Row::json).collect(),
            )
        }
        "config ls" => {
            let names = table::TABLE.iter().map(|o| o.name);
            text_or(
                command,
                || names.clone().map(|n| format!("{n}\n")).collect(),
                || json!(names.clone().collect::<Vec<_>>()),
            )
        }
        "config help" => help(command),
        "config log" => config_log(view, command),
        "config generate-minimal-conf" => {
            let m = &view.state.monmap;
            let hosts: Vec<String> = m.mons.values().map(|i| i.addrs.to_string()).collect();
            Ok(Reply::text(format!(
                "# minimal ceph.conf for {}\n[global]\n\tfsid = {}\n\tmon_host = {}\n",
                m.fsid,
                m.fsid,
                hosts.join(" ")
            )))
        }
        "config show" | "config show-with-defaults" => super::config_show::show(view, command),
        _ => get(view, command),
    }
}

fn help(command: &Command) -> Answer {
    let key = normal(&command.need("key")?);
    let o = table::find(&key).ok_or_else(|| {
        Refusal::not_found(format!("configuration option '{key}' not recognized"))
    })?;
    text_or(
        command,
        || {
            let table::Known { name, help, level, default, .. } = o;
            let mut out = format!("{name} - {help}\n  ({}, {level})\n", o.type_word());
            out.push_str(&format!("  Default: {default}\n"));
            if !o.min().is_empty() {
                out.push_str(&format!("  Minimum: {}\n", o.min()));
            }
            out + "  Can update at runtime: true\n"
        },
        || o.help(),
    )
}

/// The options of an entity as set in the cluster.
fn get(view: &View<'_>, command: &Command) -> Answer {
    let who = command.need("who")?;
    if !is_section(&who) {
        return Err(Refusal::invalid(format!("unrecognized entity '{who}'")));
    }
    if let Some(key) = command.str("key") {
        return one_option(view, &who, &normal(&key));
    }
    let set = effective(&view.state.settings, &who, &Place::of(view.map(), &who));
    let rows: Vec<Row<'_>> = set
        .iter()
        .filter_map(|(name, (who, value))| Some(Row { target: Target::parse(who)?, name, value }))
        .collect();
    text_or(
        command,
        || show_table(rows.iter(), false),
        || {
            let row = |r: &Row<'_>| {
                let mut mask = Map::new();
                mask.extend(r.target.location.map(|(k, n)| (k.to_string(), json!(n))));
                mask.extend(r.target.class.map(|c| ("class".to_string(), json!(c))));
                let value = json!({
                    "value": r.value,
                    "section": r.target.section,
                    "mask": mask,
                    "can_update_at_runtime": true,
                });
                (r.name.to_string(), value)
            };
            Value::Object(rows.iter().map(row).collect())
        },
    )
}

fn one_option(view: &View<'_>, who: &str, key: &str) -> Answer {
    if key == "fsid" {
        return Ok(Reply::text(format!("{}\n", view.state.monmap.fsid)));
    }
    let place = Place::of(view.map(), who);
    if let Some((_, value)) = effective(&view.state.settings, who, &place).get(key) {
        return Ok(Reply::text(format!("{value}\n")));
    }
    let value =
        default(key).ok_or_else(|| Refusal::not_found(format!("unrecognized key '{key}'")))?;
    Ok(Reply::text(format!("{value}\n")))
}

fn config_log(view: &View<'_>, command: &Command) -> Answer {
    let num = command.int("num")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(10);
    let entries = view.state.config_log.iter().rev().take(num);
    text_or(
        command,
        || {
            let mut out = String::new();
            for e in entries.clone() {
                out.push_str(&format!("--- {} --- {} ---\n", e.version, e.stamp));
                for (name, old, new) in &e.changes {
                    for (sign, value) in [('-', old), ('+', new)] {
                        if let Some(value) = value {
                            out.push_str(&format!("{sign} {name} = {value}\n"));
                        }
                    }
                }
            }
            out
        },
        || {
            let rows = entries.clone().map(|e| {
                let changes: Vec<Value> = e
                    .changes
                    .iter()
                    .map(|(name, old, new)| {
                        let mut out = Map::new();
                        out.insert("name".into(), json!(name));
                        if let Some(old) = old {
                            out.insert("previous_value".into(), json!(old));
                        }
                        if let Some(new) = new {
                            out.insert("new_value".into(), json!(new));
                        }
                        Value::Object(out)
                    })
                    .collect();
                json!({
                    "version": e.version,
                    "timestamp": e.stamp.to_string(),
                    "name": "",
                    "changes": changes,
                })
            });
            Value::Array(rows.collect())
        },
    )
}

/// `config-key …` that read.
pub fn keys(view: &View<'_>, command: &Command) -> Answer {
    let keys = &view.state.keys;
    match command.prefix.as_str() {
        "config-key ls" | "config-key list" => {
            let names: Vec<&String> = keys.keys().collect();
            Ok(Reply::json(&json!(names), command.format))
        }
        "config-key dump" => {
            let start = command.str("key").unwrap_or_default();
            let all: Map<String, Value> = keys
                .iter()
                .filter(|(k, _)| k.starts_with(&start))
                .map(|(k, v)| {
                    let text = match std::str::from_utf8(v) {
                        Ok(t) if !t.contains(|c: char| c.is_control() && c != '\n') => {
                            t.to_string()
                        }
                        _ => format!("<<< binary blob of length {} >>>", v.len()),
                    };
                    (k.clone(), json!(text))
                })
                .collect();
            Ok(Reply::json(&Value::Object(all), command.format))
        }
        "config-key exists" => {
            let key = command.need("key")?;
            if keys.contains_key(&key) {
                Ok(Reply::status(format!("key '{key}' exists")))
            } else {
                Err(Refusal::not_found(format!("key '{key}' doesn't exist")))
            }
        }
        _ => {
            let key = command.need("key")?;
            match keys.get(&key) {
                Some(value) => Ok(Reply::data(value.clone())),
                None => Err(Refusal::not_found("")),
            }
        }
    }
}
