//! Erasure code profiles, which are kept and shown as data, and cache tiers: there are no pools of
//! either kind yet.

use std::collections::BTreeMap;

use seabed_cluster::Errno;

use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;
use crate::service::osd::pool::find;

/// Profiles at most, and parameters of one.
const PROFILES_MAX: usize = 1000;
const PARAMETERS_MAX: usize = 32;
/// Plugins that Ceph 16.2 has.
const PLUGINS: &[&str] = &["jerasure", "isa", "lrc", "shec", "clay"];
/// A profile that says nothing is this one.
const DEFAULT: [(&str, &str); 4] =
    [("k", "2"), ("m", "2"), ("plugin", "jerasure"), ("technique", "reed_sol_van")];
/// What every profile says in the end.
const COMMON: [(&str, &str); 3] =
    [("crush-device-class", ""), ("crush-failure-domain", "host"), ("crush-root", "default")];
/// The same for plugin `jerasure`.
const JERASURE: [(&str, &str); 5] = [
    ("jerasure-per-chunk-alignment", "false"),
    ("k", "7"),
    ("m", "3"),
    ("technique", "reed_sol_van"),
    ("w", "8"),
];

/// `osd erasure-code-profile set|rm`.
pub fn profile(draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("name")?;
    let map = draft.map_arc();
    let old = map.erasure_code_profiles.get(&name);
    if command.prefix.ends_with("rm") {
        if let Some((id, _)) = map.pools.iter().find(|(_, p)| p.erasure_code_profile == name) {
            let text = format!("pool {id} uses erasure code profile '{name}'");
            return Err(Refusal::new(Errno::EBUSY, text));
        }
        if old.is_none() {
            let text = format!("erasure-code-profile {name} does not exist");
            return Ok(Reply::status(text));
        }
        draft.inc().old_erasure_code_profiles.push(name);
        return Ok(Reply::default());
    }
    let new = normal(&command.list("profile"))?;
    match old {
        Some(old) if *old == new => {}
        Some(_) if !command.flag("force") => {
            let text = format!("erasure code profile {name} exists and says something else");
            return Err(Refusal::new(Errno::EPERM, text));
        }
        None if map.erasure_code_profiles.len() >= PROFILES_MAX => {
            return Err(Refusal::new(Errno::ENOSPC, "too many erasure code profiles"));
        }
        _ => {
            draft.inc().new_erasure_code_profiles.insert(name, new);
        }
    }
    Ok(Reply::default())
}

/// A profile as it is stored: what was said, and what follows where nothing was said.
fn normal(said: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let fill = |out: &mut BTreeMap<String, String>, pairs: &[(&str, &str)]| {
        for (k, v) in pairs {
            out.entry((*k).to_string()).or_insert_with(|| (*v).to_string());
        }
    };
    for word in said {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        if let Some(rest) = key.strip_prefix("ruleset-") {
            let text =
                format!("property '{key}' is no longer supported; try 'crush-{rest}' instead");
            return Err(Refusal::invalid(text));
        }
        if ["k", "m", "w", "l", "c", "d"].contains(&key) && value.parse::<u32>().is_err() {
            let text = format!("could not convert {key}={value} to int: a number is expected");
            return Err(Refusal::invalid(text));
        }
        out.insert(key.to_string(), value.to_string());
    }
    if out.len() > PARAMETERS_MAX {
        return Err(Refusal::invalid("too many parameters"));
    }
    if out.is_empty() {
        fill(&mut out, &DEFAULT);
    }
    fill(&mut out, &DEFAULT[2..3]);
    let plugin = out.get("plugin").cloned().unwrap_or_default();
    if !PLUGINS.contains(&plugin.as_str()) {
        let text = format!("there is no erasure code plugin '{plugin}'");
        return Err(Refusal::new(Errno::EIO, text));
    }
    fill(&mut out, &COMMON);
    if plugin == "jerasure" {
        fill(&mut out, &JERASURE);
    }
    Ok(out)
}

/// `osd tier …`: nothing is a tier, and nothing becomes one.
pub fn tier(draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    find(draft.map(), &name)?;
    let other = command.str("tierpool").or_else(|| command.str("overlaypool"));
    if let Some(other) = &other {
        find(draft.map(), other)?;
    }
    let other = other.unwrap_or_default();
    match command.prefix.as_str() {
        "osd tier rm" | "osd tier remove" => {
            let text = format!("pool '{other}' is now (or already was) not a tier of '{name}'");
            Ok(Reply::status(text))
        }
        "osd tier rm-overlay" | "osd tier remove-overlay" => {
            let text = format!("there is now (or already was) no overlay for '{name}'");
            Ok(Reply::status(text))
        }
        "osd tier set-overlay" => {
            Err(Refusal::invalid(format!("tier pool '{other}' is not a tier of '{name}'")))
        }
        "osd tier cache-mode" => Err(Refusal::invalid(format!("pool '{name}' is not a tier"))),
        _ => Err(Refusal::new(Errno::EOPNOTSUPP, "cache tiers are not supported")),
    }
}
