//! Commands that change the CRUSH map.

use seabed_cluster::{Errno, OsdMap};
use seabed_crush::CrushMap;
use seabed_denc::Bytes;

use super::osd_read::{id_args, need_osd};
use super::text::float_g;
use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;
use crate::service::crush_edit::{borrowed, edit, fixed, parse_location};

/// `osd setcrushmap`.
pub fn set_crush(draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let map = draft.map_arc();
    let prior = command.int("prior_version")?;
    if prior.is_some_and(|p| p != i64::from(map.crush_version)) {
        let text = format!("crush map version is {}, not that", map.crush_version);
        return Err(Refusal::new(Errno::EPERM, text));
    }
    let crush = CrushMap::decode(input.clone())
        .map_err(|e| Refusal::invalid(format!("failed to parse crushmap: {e}")))?;
    for (id, pool) in &map.pools {
        let rule = u32::try_from(pool.crush_rule).ok().and_then(|r| crush.rule(r));
        if rule.is_none() {
            let text = format!("pool {id} uses rule {}, which is not in the map", pool.crush_rule);
            return Err(Refusal::invalid(text));
        }
    }
    draft.inc().crush = crush.encode();
    Ok(Reply::status((map.crush_version + 1).to_string()))
}

/// Runs one of `osd crush …` that change something.
pub fn run(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    match command.prefix.as_str() {
        "osd crush rule create-replicated" | "osd crush rule create-simple" => {
            let (name, root) = (command.need("name")?, command.need("root")?);
            let kind = command.need("type")?;
            if map.crush.rule_id(&name).is_some() {
                return Ok(Reply::status(format!("rule {name} already exists")));
            }
            if map.crush.item_id(&root).is_none() {
                return Err(Refusal::not_found(format!("root item {root} does not exist")));
            }
            let class = command.str("class");
            edit(draft, |c| c.add_simple_rule(&name, &root, &kind, class.as_deref()))?;
            Ok(Reply::default())
        }
        "osd crush rule rm" => {
            let name = command.need("name")?;
            let Some(id) = map.crush.rule_id(&name) else {
                return Ok(Reply::status(format!("rule {name} does not exist")));
            };
            let used = map.pools.values().any(|p| u32::try_from(p.crush_rule) == Ok(id));
            if used {
                let text = format!("crush rule {name} ({id}) is in use");
                return Err(Refusal::new(Errno::EBUSY, text));
            }
            edit(draft, |c| c.remove_rule(&name))?;
            Ok(Reply::default())
        }
        "osd crush rule rename" => {
            let (from, to) = (command.need("srcname")?, command.need("dstname")?);
            if from == to {
                return Ok(Reply::status("destination rule name is equal to source rule name"));
            }
            edit(draft, |c| c.rename_rule(&from, &to))?;
            Ok(Reply::default())
        }
        "osd crush set-device-class" | "osd crush rm-device-class" => {
            device_class(draft, &map, command)
        }
        "osd crush add-bucket" => {
            let (name, kind) = (command.need("name")?, command.need("type")?);
            let place = parse_location(&command.list("args"))?;
            edit(draft, |c| {
                if c.item_id(&name).is_none() {
                    c.create_bucket(&name, &kind)?;
                }
                if !place.is_empty() {
                    c.move_bucket(&name, &borrowed(&place))?;
                }
                Ok(())
            })?;
            Ok(Reply::status(format!("added bucket {name} type {kind} to crush map")))
        }
        "osd crush move" => {
            let name = command.need("name")?;
            let place = parse_location(&command.list("args"))?;
            edit(draft, |c| {
                let id = c.find_item(&name)?;
                if id >= 0 {
                    let weight = c.item_weight(id).unwrap_or(0);
                    return c.create_or_move_item(id, weight, &name, &borrowed(&place)).map(|_| ());
                }
                c.move_bucket(&name, &borrowed(&place))
            })?;
            Ok(Reply::status(format!("moved item '{name}' in crush map")))
        }
        "osd crush rm" | "osd crush remove" => {
            let name = command.need("name")?;
            let Some(id) = map.crush.item_id(&name) else {
                let text = format!("device '{name}' does not appear in the crush map");
                return Ok(Reply::status(text));
            };
            edit(draft, |c| c.remove_item(id, false))?;
            Ok(Reply::status(format!("removed item id {id} name '{name}' from crush map")))
        }
        "osd crush reweight" => {
            let name = command.need("name")?;
            let weight = command.need_float("weight")?;
            let id = map.crush.item_id(&name).ok_or_else(|| {
                Refusal::not_found(format!("device '{name}' does not appear in the crush map"))
            })?;
            edit(draft, |c| c.adjust_item_weight(id, fixed(weight), true))?;
            let shown = float_g(weight, 6);
            let text = format!("reweighted item id {id} name '{name}' to {shown} in crush map");
            Ok(Reply::status(text))
        }
        _ => place_device(draft, command),
    }
}

fn place_device(draft: &mut Draft, command: &Command) -> Answer {
    let osd = need_osd(draft.map(), command, "id")?;
    let weight = command.need_float("weight")?;
    if weight < 0.0 {
        return Err(Refusal::invalid("weight must not be negative"));
    }
    let place = parse_location(&command.list("args"))?;
    let (name, w) = (format!("osd.{osd}"), fixed(weight));
    let only_move = command.prefix == "osd crush create-or-move";
    edit(draft, |c| {
        if only_move {
            c.create_or_move_item(osd.0, w, &name, &borrowed(&place)).map(|_| ())
        } else {
            c.update_item(osd.0, w, &name, &borrowed(&place)).map(|_| ())
        }
    })?;
    let at: Vec<String> = place.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let shown = float_g(weight, 6);
    let text = if only_move {
        format!(
            "create-or-move updating item name '{name}' weight {shown} at location \
                 {{{}}} to crush map",
            at.join(",")
        )
    } else {
        format!(
            "set item id {osd} name '{name}' weight {shown} at location {{{}}}: no change \
                 beyond that",
            at.join(",")
        )
    };
    Ok(Reply::status(text))
}

fn device_class(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let osds = id_args(map, &command.list("ids"))?;
    let set = command.prefix == "osd crush set-device-class";
    let class = if set { command.need("class")? } else { String::new() };
    for osd in &osds {
        if !map.exists(*osd) {
            return Err(Refusal::not_found(format!("osd.{osd} does not exist")));
        }
        let have = map.crush.item_class(osd.0).unwrap_or("");
        if set && !have.is_empty() && have != class {
            let text = format!(
                "osd.{osd} has already bound to class '{have}', can not reset class to \
                 '{class}'; remove the old class first"
            );
            return Err(Refusal::new(Errno::EBUSY, text));
        }
    }
    edit(draft, |c| {
        for osd in &osds {
            if set {
                // Real OSDs set their class before they are in the tree: name the device first.
                if c.item_name(osd.0).is_none() {
                    c.set_item_name(osd.0, &format!("osd.{osd}"))?;
                }
                c.set_device_class(osd.0, &class)?;
            } else {
                c.remove_device_class(osd.0)?;
            }
        }
        Ok(())
    })?;
    let names: Vec<String> = osds.iter().map(|o| o.to_string()).collect();
    let names = names.join(",");
    Ok(Reply::status(if set {
        format!("set osd(s) {names} to class '{class}'")
    } else {
        format!("done removing class of osd(s): {names}")
    }))
}
