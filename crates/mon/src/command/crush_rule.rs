//! Commands that change CRUSH rules, and the tunables by which rules choose.

use seabed_cluster::Errno;
use seabed_crush::{CrushError, Mode, RULE_REPLICATED};

use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;
use crate::service::crush_edit::edit;

/// Runs one of them.
pub fn run(draft: &mut Draft, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "osd crush rule create-replicated" | "osd crush rule create-simple" => {
            create(draft, command)
        }
        "osd crush rule create-erasure" => create_erasure(draft, command),
        "osd crush rule rm" => remove(draft, command),
        "osd crush rule rename" => rename(draft, command),
        "osd crush set-tunable" => {
            let wanted = command.int("value")?.unwrap_or(-1);
            let version = u8::try_from(wanted).ok().filter(|n| *n <= 1);
            let version = version
                .ok_or_else(|| Refusal::invalid(format!("value must be 0 or 1; got {wanted}")))?;
            if command.need("tunable")? != "straw_calc_version" {
                return Err(Refusal::invalid("unrecognized tunable"));
            }
            edit(draft, |c| {
                c.tunables.straw_calc_version = version;
                Ok::<(), CrushError>(())
            })?;
            Ok(Reply::status(format!("adjusted tunable straw_calc_version to {version}")))
        }
        "osd crush tunables" => {
            let profile = command.need("profile")?;
            let tunables = draft.map().crush.tunables.with_profile(&profile);
            let tunables = tunables
                .ok_or_else(|| Refusal::invalid(format!("unrecognized profile '{profile}'")))?;
            edit(draft, |c| {
                c.tunables = tunables;
                Ok::<(), CrushError>(())
            })?;
            Ok(Reply::status(format!("adjusted tunables profile to {profile}")))
        }
        "osd crush set-all-straw-buckets-to-straw2" => {
            edit(draft, |c| c.straw_to_straw2())?;
            Ok(Reply::default())
        }
        prefix => Err(Refusal::invalid(format!("command '{prefix}' is not supported"))),
    }
}

fn create(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let crush = &map.crush;
    let (name, root, kind) = (command.need("name")?, command.need("root")?, command.need("type")?);
    if crush.rule_id(&name).is_some() {
        return Ok(Reply::status(format!("rule {name} already exists")));
    }
    if crush.item_id(&root).is_none() {
        return Err(Refusal::not_found(format!("root item {root} does not exist")));
    }
    if crush.type_id(&kind).is_none() {
        return Err(Refusal::invalid(format!("unknown type {kind}")));
    }
    let class = command.str("class").filter(|c| !c.is_empty());
    if let Some(class) = class.as_ref().filter(|c| crush.class_id(c).is_none()) {
        return Err(Refusal::invalid(format!("device class {class} does not exist")));
    }
    let word = command.str("mode").unwrap_or_else(|| "firstn".to_string());
    let mode =
        Mode::from_name(&word).ok_or_else(|| Refusal::invalid(format!("unknown mode {word}")))?;
    edit(draft, |c| c.add_rule_of(&name, &root, &kind, class.as_deref(), mode, RULE_REPLICATED))?;
    Ok(Reply::default())
}

/// A rule as an erasure code profile wants it; that no pool can use it yet is no reason not to
/// have it.
fn create_erasure(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let name = command.need("name")?;
    if map.crush.rule_id(&name).is_some() {
        return Ok(Reply::status(format!("rule {name} already exists")));
    }
    let profile = command.str("profile").filter(|p| !p.is_empty());
    let profile = profile.unwrap_or_else(|| "default".to_string());
    let unknown = || Refusal::invalid(format!("there is no erasure code profile '{profile}'"));
    let says = map.erasure_code_profiles.get(&profile).ok_or_else(unknown)?;
    let get = |key: &str, fallback: &str| {
        says.get(key).filter(|v| !v.is_empty()).map_or(fallback, String::as_str).to_string()
    };
    let number = |key: &str| says.get(key).and_then(|v| v.parse::<u8>().ok()).unwrap_or(0);
    let chunks = number("k").saturating_add(number("m"));
    let root = get("crush-root", "default");
    let domain = get("crush-failure-domain", "host");
    let class = says.get("crush-device-class").filter(|c| !c.is_empty());
    let id = edit(draft, |c| {
        let id = c.add_erasure_rule(&name, &root, &domain, class.map(String::as_str))?;
        let rule = usize::try_from(id).ok().and_then(|at| c.rules.get_mut(at));
        if let Some(rule) = rule.and_then(Option::as_mut) {
            rule.max_size = chunks.max(rule.min_size);
        }
        Ok::<u32, CrushError>(id)
    })?;
    Ok(Reply::status(format!("created rule {name} at {id}")))
}

fn remove(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let name = command.need("name")?;
    let Some(id) = map.crush.rule_id(&name) else {
        return Ok(Reply::status(format!("rule {name} does not exist")));
    };
    if map.pools.values().any(|p| u32::try_from(p.crush_rule) == Ok(id)) {
        let text = format!("crush rule {name} ({id}) is in use");
        return Err(Refusal::new(Errno::EBUSY, text));
    }
    edit(draft, |c| c.remove_rule(&name))?;
    Ok(Reply::default())
}

fn rename(draft: &mut Draft, command: &Command) -> Answer {
    let (from, to) = (command.need("srcname")?, command.need("dstname")?);
    let known = |name: &str| draft.map().crush.rule_id(name).is_some();
    if from == to {
        return Ok(Reply::status("destination rule name is equal to source rule name"));
    }
    match (known(&from), known(&to)) {
        (false, true) => Ok(Reply::status(format!("already renamed to '{to}'"))),
        (false, false) => {
            Err(Refusal::not_found(format!("source rule name '{from}' does not exist")))
        }
        (true, true) => {
            let text = format!("destination rule name '{to}' already exists");
            Err(Refusal::new(Errno::EEXIST, text))
        }
        (true, false) => {
            edit(draft, |c| c.rename_rule(&from, &to))?;
            Ok(Reply::default())
        }
    }
}
