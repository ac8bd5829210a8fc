//! Commands that read options and the config-key store.

use serde_json::{Map, Value, json};

use super::misc::text_or;
use super::text::{Align, Table};
use super::{Answer, Command, Refusal, Reply, View};
use crate::options::{self, effective, normal};

/// Options that take effect without a restart: all that are here.
fn config_row(who: &str, name: &str, value: &str) -> Value {
    json!({
        "section": who,
        "name": name,
        "value": value,
        "level": "advanced",
        "can_update_at_runtime": true,
        "mask": "",
    })
}

fn config_table(rows: impl Iterator<Item = (String, String, String)>) -> String {
    let mut t = Table::new();
    for name in ["WHO", "MASK", "LEVEL", "OPTION", "VALUE", "RO"] {
        t.plain(name, Align::Left);
    }
    for (who, name, value) in rows {
        t.row([who, String::new(), "advanced".into(), name, value, String::new()]);
    }
    t.render()
}

/// `config …` that read.
pub fn config(view: &View<'_>, command: &Command) -> Answer {
    let settings = &view.state.settings;
    match command.prefix.as_str() {
        "config dump" => text_or(
            command,
            || config_table(settings.iter().map(|((w, n), v)| (w.clone(), n.clone(), v.clone()))),
            || settings.iter().map(|((w, n), v)| config_row(w, n, v)).collect(),
        ),
        "config ls" => {
            let names = options::TABLE.iter().map(|(n, _)| *n);
            text_or(
                command,
                || names.clone().map(|n| format!("{n}\n")).collect(),
                || json!(names.clone().collect::<Vec<_>>()),
            )
        }
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
        "config show" => {
            let who = command.need("who")?;
            let set = effective(settings, &who);
            if let Some(key) = command.str("key") {
                return one_option(view, &who, &key);
            }
            text_or(
                command,
                || {
                    let mut t = Table::new();
                    for name in ["NAME", "VALUE", "SOURCE"] {
                        t.plain(name, Align::Left);
                    }
                    for (name, (_, value)) in &set {
                        t.row([name.clone(), value.clone(), "mon".into()]);
                    }
                    t.render()
                },
                || {
                    let row = |(n, (_, v)): (&String, &(String, String))| {
                        let source = "mon";
                        json!({"name": n, "value": v, "source": source})
                    };
                    set.iter().map(row).collect()
                },
            )
        }
        _ => {
            let who = command.need("who")?;
            if let Some(key) = command.str("key") {
                return one_option(view, &who, &key);
            }
            let set = effective(settings, &who);
            text_or(
                command,
                || config_table(set.iter().map(|(n, (w, v))| (w.clone(), n.clone(), v.clone()))),
                || {
                    let row = |(n, (w, v)): (&String, &(String, String))| {
                        let value = json!({
                            "value": v,
                            "section": w,
                            "mask": {},
                            "can_update_at_runtime": true,
                        });
                        (n.clone(), value)
                    };
                    Value::Object(set.iter().map(row).collect())
                },
            )
        }
    }
}

fn one_option(view: &View<'_>, who: &str, key: &str) -> Answer {
    let key = normal(key);
    if key == "fsid" {
        return Ok(Reply::text(format!("{}\n", view.state.monmap.fsid)));
    }
    if let Some((_, value)) = effective(&view.state.settings, who).get(&key) {
        return Ok(Reply::text(format!("{value}\n")));
    }
    let started = who.starts_with("mon").then(|| view.config.options.get(&key)).flatten();
    let value = started.map(String::as_str).or_else(|| options::default(&key));
    let value = value.ok_or_else(|| Refusal::not_found(format!("unrecognized key '{key}'")))?;
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
