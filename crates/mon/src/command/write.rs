//! Commands that change something: decisions for the draft, and the answers that leave once they
//! are durable.

use seabed_denc::Bytes;

use super::{Answer, Command, Refusal, Reply, View, misc, osd_write, pg_read, pool_write};
use crate::draft::Draft;
use crate::map_log::Change;
use crate::options::{is_known, normal};

/// Values of the config-key store at most this long, and at most this many.
const KEY_VALUE_LEN_MAX: usize = 65_536;
const KEYS_MAX: usize = 100_000;

/// Runs a command of the table that is marked as writing.
pub fn run(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let prefix = command.prefix.as_str();
    match prefix {
        "health mute" => {
            let code = command.need("code")?;
            if !view.health().contains_key(code.as_str()) {
                let text = format!("health alert {code} is not currently raised");
                return Err(Refusal::not_found(text));
            }
            draft.change(Change::Mute { code, muted: true });
            Ok(Reply::default())
        }
        "health unmute" => {
            let codes: Vec<String> = match command.str("code") {
                Some(code) => vec![code],
                None => view.state.mutes.keys().cloned().collect(),
            };
            for code in codes.into_iter().filter(|c| view.state.mutes.contains_key(c)) {
                draft.change(Change::Mute { code, muted: false });
            }
            Ok(Reply::default())
        }
        "config set" | "config rm" => config(view, draft, command),
        "config-key set" | "config-key put" | "config-key rm" | "config-key del" => {
            keys(view, draft, command, input)
        }
        "pg scrub" | "pg deep-scrub" | "pg repair" => {
            pg_read::need_pg(view, command)?;
            Err(Refusal::new(seabed_cluster::Errno::EOPNOTSUPP, "scrubbing is not supported yet"))
        }
        _ if prefix.starts_with("auth ") => misc::auth(command),
        _ if prefix.starts_with("osd pool ") => pool_write::run(view, draft, command),
        _ if prefix.starts_with("osd ") => osd_write::run(view, draft, command, input),
        _ => Err(Refusal::invalid(format!("command '{prefix}' is not supported"))),
    }
}

fn config(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let who = command.need("who")?;
    let name = normal(&command.need("name")?);
    let section = who.split('.').next().unwrap_or("");
    let kinds = ["global", "mon", "mgr", "osd", "mds", "client"];
    if !kinds.contains(&section) || who.contains('/') {
        return Err(Refusal::invalid(format!("unrecognized config target '{who}'")));
    }
    if command.prefix == "config rm" {
        if view.state.settings.contains_key(&(who.clone(), name.clone())) {
            draft.change(Change::Config { who, name, value: None });
        }
        return Ok(Reply::default());
    }
    let value = command.need("value")?;
    if !is_known(&name) && !command.flag("force") {
        return Err(Refusal::invalid(format!("unrecognized config option '{name}'")));
    }
    if value.len() > KEY_VALUE_LEN_MAX {
        return Err(Refusal::invalid("the value is too long"));
    }
    draft.change(Change::Config { who, name, value: Some(value) });
    Ok(Reply::default())
}

fn keys(view: &View<'_>, draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let key = command.need("key")?;
    if command.prefix.ends_with("rm") || command.prefix.ends_with("del") {
        if view.state.keys.contains_key(&key) {
            draft.change(Change::Key { key, value: None });
        }
        return Ok(Reply::status("key deleted"));
    }
    let value = command.str("val").map_or_else(|| input.clone(), Bytes::from);
    if value.len() > KEY_VALUE_LEN_MAX || key.len() > KEY_VALUE_LEN_MAX {
        let text = format!("error: entry size limited to {KEY_VALUE_LEN_MAX} bytes");
        return Err(Refusal::new(seabed_cluster::Errno::EFBIG, text));
    }
    if view.state.keys.len() >= KEYS_MAX && !view.state.keys.contains_key(&key) {
        return Err(Refusal::new(seabed_cluster::Errno::ENOSPC, "too many keys"));
    }
    let text = format!("set {key}");
    draft.change(Change::Key { key, value: Some(value) });
    Ok(Reply::status(text))
}
