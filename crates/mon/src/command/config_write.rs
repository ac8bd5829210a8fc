//! Commands that change options and the config-key store.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::Errno;
use seabed_cluster::options::{normal, table};
use seabed_denc::Bytes;

use super::{Answer, Command, Refusal, Reply, View};
use crate::draft::Draft;
use crate::map_log::Change;
use crate::options::Settings;
use crate::options::target::Target;

/// Values of the config-key store at most this long, and at most this many.
const KEY_VALUE_LEN_MAX: usize = 65_536;
const KEYS_MAX: usize = 100_000;
/// Settings at most: each is sent to every daemon and client that it is for.
const SETTINGS_MAX: usize = 10_000;

/// Runs one of them.
pub fn run(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    match command.prefix.as_str() {
        "config set" => set(view, draft, command),
        "config rm" => remove(view, draft, command),
        "config reset" => reset(view, draft, command),
        "config assimilate-conf" => assimilate(view, draft, input),
        _ => keys(view, draft, command, input),
    }
}

/// Whom a setting is for, in its one spelling.
fn target(who: &str) -> Result<String, Refusal> {
    let unknown = || Refusal::invalid(format!("unrecognized config target '{who}'"));
    let target = Target::parse(who).ok_or_else(unknown)?;
    let mask = target.mask();
    let slash = if mask.is_empty() { "" } else { "/" };
    Ok(format!("{}{slash}{mask}", target.section))
}

/// A value that the option takes, in its one form.
fn value_of(name: &str, value: &str, force: bool) -> Result<String, Refusal> {
    if table::is_for_file(name) {
        let text = format!("{name} is special and cannot be stored by the mon");
        return Err(Refusal::invalid(text));
    }
    if value.len() > KEY_VALUE_LEN_MAX {
        return Err(Refusal::invalid("the value is too long"));
    }
    match table::find(name) {
        Some(option) => option
            .normal(value)
            .map_err(|why| Refusal::invalid(format!("error parsing value: {why}"))),
        None if force => Ok(value.to_string()),
        None => Err(Refusal::invalid(format!("unrecognized config option '{name}'"))),
    }
}

fn set(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let name = normal(&command.need("name")?);
    let who = target(&command.need("who")?)?;
    let value = value_of(&name, &command.need("value")?, command.flag("force"))?;
    let key = (who, name);
    if view.state.settings.len() >= SETTINGS_MAX && !view.state.settings.contains_key(&key) {
        return Err(Refusal::new(Errno::ENOSPC, "too many settings"));
    }
    if view.state.settings.get(&key) != Some(&value) {
        let (who, name) = key;
        draft.change(Change::Config { who, name, value: Some(value) });
    }
    Ok(Reply::default())
}

fn remove(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let name = normal(&command.need("name")?);
    let who = target(&command.need("who")?)?;
    if view.state.settings.contains_key(&(who.clone(), name.clone())) {
        draft.change(Change::Config { who, name, value: None });
    }
    Ok(Reply::default())
}

/// Takes back every change after the one named.
fn reset(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let state = view.state;
    let wanted = command.int("num")?.and_then(|n| u64::try_from(n).ok());
    let oldest = state.config_log.front().map_or(state.config_version, |c| c.version - 1);
    let reach = oldest..=state.config_version;
    let wanted = wanted.filter(|n| reach.contains(n)).ok_or_else(|| {
        Refusal::invalid(format!(
            "changes can be taken back to one of {} to {}; see 'ceph config log'",
            reach.start(),
            reach.end()
        ))
    })?;
    let mut before: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    for change in state.config_log.iter().rev().take_while(|c| c.version > wanted) {
        for (name, old, _) in &change.changes {
            before.insert(name, old);
        }
    }
    for (path, value) in before {
        let Some((who, name)) = path.rsplit_once('/') else { continue };
        let (who, name) = (who.to_string(), name.to_string());
        if state.settings.get(&(who.clone(), name.clone())) != value.as_ref() {
            draft.change(Change::Config { who, name, value: value.clone() });
        }
    }
    Ok(Reply::default())
}

/// Takes what can be set from a conf file; the answer is a conf file of the rest.
fn assimilate(view: &View<'_>, draft: &mut Draft, input: &Bytes) -> Answer {
    let text =
        std::str::from_utf8(input).map_err(|_| Refusal::invalid("the conf file is not UTF-8"))?;
    let mut section = "global".to_string();
    let mut taken = Settings::new();
    let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.trim().to_string();
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(Refusal::invalid(format!("line '{line}' is not of the form name = value")));
        };
        let (name, value) = (normal(name), value.trim());
        match (target(&section), value_of(&name, value, false)) {
            (Ok(who), Ok(value)) => {
                taken.insert((who, name), value);
            }
            _ => {
                left.entry(section.clone()).or_default().insert(format!("\t{name} = {value}\n"));
            }
        }
    }
    if view.state.settings.len() + taken.len() > SETTINGS_MAX {
        return Err(Refusal::new(Errno::ENOSPC, "too many settings"));
    }
    for ((who, name), value) in taken {
        if view.state.settings.get(&(who.clone(), name.clone())) != Some(&value) {
            draft.change(Change::Config { who, name, value: Some(value) });
        }
    }
    let blocks = left.iter().map(|(section, lines)| {
        let lines: String = lines.iter().map(String::as_str).collect();
        format!("\n[{section}]\n{lines}")
    });
    Ok(Reply::text(blocks.collect::<String>()))
}

fn keys(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let key = command.str("key").ok_or_else(|| Refusal::invalid("must specify a key"))?;
    if command.prefix.ends_with("rm") || command.prefix.ends_with("del") {
        if view.state.keys.contains_key(&key) {
            draft.change(Change::Key { key, value: None });
        }
        return Ok(Reply::status("key deleted"));
    }
    let value = command.str("val").map_or_else(|| input.clone(), Bytes::from);
    if value.len() > KEY_VALUE_LEN_MAX || key.len() > KEY_VALUE_LEN_MAX {
        let text = format!("error: entry size limited to {KEY_VALUE_LEN_MAX} bytes");
        return Err(Refusal::new(Errno::EFBIG, text));
    }
    if view.state.keys.len() >= KEYS_MAX && !view.state.keys.contains_key(&key) {
        return Err(Refusal::new(Errno::ENOSPC, "too many keys"));
    }
    let text = format!("set {key}");
    draft.change(Change::Key { key, value: Some(value) });
    Ok(Reply::status(text))
}
