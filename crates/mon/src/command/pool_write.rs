//! Commands that change pools.

use std::collections::BTreeMap;

use seabed_cluster::Errno;

use super::{Answer, Command, Refusal, Reply, View};
use crate::draft::Draft;
use crate::service::osd::pool::{self, NewPool, change, find};
use crate::service::osd::pool_var;
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
            let (var, val) = (command.need("var")?, command.str("val").unwrap_or_default());
            let sure = command.flag("yes_i_really_mean_it");
            pool_var::set(draft, &view.options, id, &var, &val, sure).map(Reply::status)
        }
        "osd pool set-quota" => quota(draft, command),
        "osd pool mksnap" | "osd pool rmsnap" => snapshot(draft, command),
        _ => application(draft, command),
    }
}

fn create(view: &View<'_>, draft: &mut Draft, command: &Command) -> Answer {
    let name = command.need("pool")?;
    match command.str("pool_type").as_deref() {
        None | Some("replicated") => {}
        Some(kind) if draft.map().pool_by_name(&name).is_some() => {
            return Err(Refusal::invalid(format!("pool '{name}' cannot change to type {kind}")));
        }
        Some("erasure") => {
            return Err(Refusal::new(
                Errno::EOPNOTSUPP,
                "erasure coded pools are not supported yet; make a replicated one",
            ));
        }
        Some(kind) => return Err(Refusal::invalid(format!("unknown pool type '{kind}'"))),
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
        bulk: command.flag("bulk"),
        options: ["pg_num_min", "pg_num_max", "target_size_bytes", "target_size_ratio"]
            .map(|name| (name, command.str(name)))
            .into(),
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
    let parse = |base: u64| {
        let unreadable = || Refusal::invalid(format!("error parsing value '{val}'"));
        seabed_cluster::options::scaled(&val, base).ok_or_else(unreadable)
    };
    let n = match field.as_str() {
        "max_objects" => {
            let n = parse(1000)?;
            change(draft, id, |p| p.quota_max_objects = n);
            n
        }
        "max_bytes" => {
            let n = parse(1024)?;
            change(draft, id, |p| p.quota_max_bytes = n);
            n
        }
        _ => {
            return Err(Refusal::invalid(format!(
                "unrecognized field '{field}'; should be 'max_bytes' or 'max_objects'"
            )));
        }
    };
    Ok(Reply::status(format!("set-quota {field} = {n} for pool {name}")))
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
    let app = command.str("app").unwrap_or_default();
    let id = find(draft.map(), &name)?;
    let apps = draft.map().pools[&id].application_metadata.clone();
    if app.is_empty() {
        return Err(Refusal::invalid("application name must be provided"));
    }
    if app.len() > APP_TEXT_MAX {
        return Err(Refusal::invalid("application name is longer than 128 characters"));
    }
    let sure = command.flag("yes_i_really_mean_it");
    let not_enabled = format!("application '{app}' is not enabled on pool '{name}'");
    match command.prefix.as_str() {
        "osd pool application enable" => {
            let text = format!("enabled application '{app}' on pool '{name}'");
            if apps.contains_key(&app) {
                return Ok(Reply::status(text));
            }
            if !apps.is_empty() && !sure {
                let text = format!(
                    "pool '{name}' has an application already; pass --yes-i-really-mean-it to \
                     add another"
                );
                return Err(Refusal::new(Errno::EPERM, text));
            }
            if apps.len() >= APPS_MAX {
                return Err(Refusal::invalid("too many applications on the pool"));
            }
            change(draft, id, |p| {
                p.application_metadata.insert(app, BTreeMap::new());
            });
            Ok(Reply::status(text))
        }
        "osd pool application disable" => {
            if !sure {
                let text =
                    "disabling an application may stop its clients; pass --yes-i-really-mean-it";
                return Err(Refusal::new(Errno::EPERM, text));
            }
            if !apps.contains_key(&app) {
                return Ok(Reply::status(not_enabled));
            }
            change(draft, id, |p| {
                p.application_metadata.remove(&app);
            });
            Ok(Reply::status(format!("disable application '{app}' on pool '{name}'")))
        }
        prefix => {
            let key = command.str("key").unwrap_or_default();
            if key.is_empty() {
                return Err(Refusal::invalid("key must be provided"));
            }
            let notes = apps.get(&app).ok_or_else(|| Refusal::not_found(not_enabled))?;
            if prefix == "osd pool application rm" {
                if !notes.contains_key(&key) {
                    let text = format!("application '{app}' on pool '{name}' does not have key");
                    return Ok(Reply::status(format!("{text} '{key}'")));
                }
                let text = format!("removed application '{app}' key '{key}' on pool '{name}'");
                change(draft, id, |p| {
                    p.application_metadata.entry(app).or_default().remove(&key);
                });
                return Ok(Reply::status(text));
            }
            let value = command.str("value").unwrap_or_default();
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
    }
}
