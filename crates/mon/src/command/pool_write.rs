//! Commands that change pools.

use std::collections::BTreeMap;

use seabed_cluster::Errno;

use super::{Answer, Command, Refusal, Reply, View};
use crate::draft::Draft;
use crate::service::osd::pool::{self, NewPool, change, find};
use crate::service::osd::snap;

/// Applications, and keys of one application, at most; and their longest texts. Ceph's bounds.
const APPS_MAX: usize = 4;
const APP_KEYS_MAX: usize = 64;
const APP_TEXT_MAX: usize = 128;

/// Runs one of `osd pool …` that change something.
pub fn run(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "osd pool create" => create(view, draft, command),
        "osd pool delete" | "osd pool rm" => delete(view, draft, command),
        "osd pool rename" => {
            let (from, to) = (command.need("srcpool")?, command.need("destpool")?);
            pool::rename(draft, &from, &to).map(Reply::status)
        }
        "osd pool set" => {
            let id = find(draft.map(), &command.need("pool")?)?;
            let (var, val) = (command.need("var")?, command.need("val")?);
            let sure = command.flag("yes_i_really_mean_it");
            pool::set(draft, &view.options, id, &var, &val, sure).map(Reply::status)
        }
        "osd pool set-quota" => quota(draft, command),
        "osd pool mksnap" | "osd pool rmsnap" => snapshot(draft, command),
        _ => application(draft, command),
    }
}

fn create(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    if command.str("pool_type").as_deref() == Some("erasure") {
        return Err(Refusal::new(
            Errno::EOPNOTSUPP,
            "erasure coded pools are not supported yet; make a replicated one",
        ));
    }
    // With the pool's type left out, an argument for a profile is the rule's name.
    let rule = command.str("rule").or_else(|| command.str("erasure_code_profile"));
    let new = NewPool {
        name: name.clone(),
        pg_num: command.int("pg_num")?,
        pgp_num: command.int("pgp_num")?,
        size: command.int("size")?,
        rule,
        autoscale: command.str("autoscale_mode"),
    };
    match pool::create(draft, &view.options, &new)? {
        Some(_) => Ok(Reply::status(format!("pool '{name}' created"))),
        None => Ok(Reply::status(format!("pool '{name}' already exists"))),
    }
}

fn delete(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    let Some(id) = draft.map().pool_by_name(&name) else {
        return Ok(Reply::status(format!("pool '{name}' does not exist")));
    };
    let sure = command.flag("yes_i_really_really_mean_it")
        || command.flag("yes_i_really_really_mean_it_not_faking");
    if command.str("pool2").as_deref() != Some(name.as_str()) || !sure {
        return Err(Refusal::new(
            Errno::EPERM,
            format!(
                "this destroys all data in pool {name} for good. To do it, give the pool's name \
                 twice, followed by --yes-i-really-really-mean-it."
            ),
        ));
    }
    pool::delete(draft, &view.options, id)?;
    Ok(Reply::status(format!("pool '{name}' removed")))
}

fn quota(draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    let id = find(draft.map(), &name)?;
    let (field, val) = (command.need("field")?, command.need("val")?);
    let n = scaled(&val).ok_or_else(|| Refusal::invalid(format!("error parsing value '{val}'")))?;
    match field.as_str() {
        "max_objects" => change(draft, id, |p| p.quota_max_objects = n),
        "max_bytes" => change(draft, id, |p| p.quota_max_bytes = n),
        _ => return Err(Refusal::invalid(format!("unrecognized field '{field}'"))),
    }
    Ok(Reply::status(format!("set-quota {field} = {n} for pool {name}")))
}

/// A number with an optional binary unit: `10`, `4K`, `1GiB`.
fn scaled(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: u64 = digits.trim().parse().ok()?;
    let unit = text[digits.len()..].trim_end_matches("iB").trim_end_matches('B');
    let shift = match unit {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return None,
    };
    n.checked_mul(1 << shift)
}

fn snapshot(draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    let snap = command.need("snap")?;
    let id = find(draft.map(), &name)?;
    let text = if command.prefix.ends_with("mksnap") {
        match snap::create_named(draft, id, &snap)? {
            true => format!("created pool {name} snap {snap}"),
            false => format!("pool {name} snap {snap} already exists"),
        }
    } else {
        match snap::remove_named(draft, id, &snap)? {
            true => format!("removed pool {name} snap {snap}"),
            false => format!("pool {name} snap {snap} does not exist"),
        }
    };
    Ok(Reply::status(text))
}

fn application(draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    let app = command.need("app")?;
    let id = find(draft.map(), &name)?;
    let apps = draft.map().pools[&id].application_metadata.clone();
    if app.is_empty() || app.len() > APP_TEXT_MAX {
        return Err(Refusal::invalid("application name must be 1 to 128 characters"));
    }
    let sure = command.flag("yes_i_really_mean_it");
    match command.prefix.as_str() {
        "osd pool application enable" => {
            if !apps.contains_key(&app) {
                if !apps.is_empty() && !sure {
                    return Err(Refusal::new(
                        Errno::EPERM,
                        format!(
                            "pool '{name}' has an application already; pass \
                             --yes-i-really-mean-it to add another"
                        ),
                    ));
                }
                if apps.len() >= APPS_MAX {
                    return Err(Refusal::invalid("too many applications on the pool"));
                }
                change(draft, id, |p| {
                    p.application_metadata.insert(app.clone(), BTreeMap::new());
                });
            }
            Ok(Reply::status(format!("enabled application '{app}' on pool '{name}'")))
        }
        "osd pool application disable" => {
            if !sure {
                return Err(Refusal::new(
                    Errno::EPERM,
                    "disabling an application may stop its clients; pass --yes-i-really-mean-it",
                ));
            }
            change(draft, id, |p| {
                p.application_metadata.remove(&app);
            });
            Ok(Reply::status(format!("disable application '{app}' on pool '{name}'")))
        }
        "osd pool application set" => {
            let (key, value) = (command.need("key")?, command.need("value")?);
            let notes = apps.get(&app).ok_or_else(|| {
                Refusal::not_found(format!("application '{app}' is not enabled on pool '{name}'"))
            })?;
            let full = notes.len() >= APP_KEYS_MAX && !notes.contains_key(&key);
            if full || key.len() > APP_TEXT_MAX || value.len() > APP_TEXT_MAX {
                return Err(Refusal::invalid("too many keys, or key or value too long"));
            }
            let text = format!("set application '{app}' key '{key}' to '{value}' on pool '{name}'");
            change(draft, id, |p| {
                p.application_metadata.entry(app).or_default().insert(key, value);
            });
            Ok(Reply::status(text))
        }
        _ => {
            let key = command.need("key")?;
            let text = format!("removed application '{app}' key '{key}' on pool '{name}'");
            change(draft, id, |p| {
                if let Some(notes) = p.application_metadata.get_mut(&app) {
                    notes.remove(&key);
                }
            });
            Ok(Reply::status(text))
        }
    }
}
