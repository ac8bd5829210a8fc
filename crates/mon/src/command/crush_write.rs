//! Commands that change the CRUSH tree.

use seabed_cluster::{Errno, OsdMap};
use seabed_crush::CrushMap;
use seabed_denc::Bytes;

use super::text::float_g;
use super::{Answer, Command, Refusal, Reply, crush_class, crush_rule, crush_weight_set};
use crate::draft::Draft;
use crate::service::crush_edit::{borrowed, edit, fixed, parse_location};

/// `osd setcrushmap`, and `osd crush set` without arguments.
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
pub fn run(draft: &mut Draft, command: &Command, input: &Bytes) -> Answer {
    let map = draft.map_arc();
    match command.prefix.as_str() {
        "osd crush set" if command.str("id").is_none() => set_crush(draft, command, input),
        "osd crush set" | "osd crush add" | "osd crush create-or-move" => {
            place_device(draft, &map, command)
        }
        "osd crush add-bucket" => add_bucket(draft, &map, command),
        "osd crush move" => move_item(draft, &map, command),
        "osd crush link" => link(draft, &map, command),
        "osd crush rm" | "osd crush remove" | "osd crush unlink" => remove(draft, &map, command),
        "osd crush swap-bucket" => swap(draft, &map, command),
        "osd crush rename-bucket" => rename(draft, &map, command),
        "osd crush reweight" | "osd crush reweight-subtree" => reweight(draft, &map, command),
        "osd crush reweight-all" => {
            edit(draft, |c| c.reweight())?;
            Ok(Reply::status("reweighted crush hierarchy"))
        }
        prefix if prefix.starts_with("osd crush weight-set") => {
            crush_weight_set::run(draft, command)
        }
        prefix if prefix.contains("class") => crush_class::run(draft, command),
        _ => crush_rule::run(draft, command),
    }
}

/// A place as these commands show it, in the order of the types' names.
fn shown(place: &[(String, String)]) -> String {
    let mut pairs: Vec<String> = place.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.sort();
    format!("{{{}}}", pairs.join(","))
}

fn no_item(name: &str) -> Refusal {
    Refusal::not_found(format!("item {name} does not exist"))
}

/// True if the item is in the bucket that is nearest to it of those named.
fn is_at(crush: &CrushMap, item: i32, place: &[(String, String)]) -> bool {
    let nearest =
        |(kind, name): &(String, String)| Some((crush.type_id(kind)?, crush.item_id(name)?));
    let nearest = place.iter().filter_map(nearest).min();
    nearest.is_some_and(|(_, id)| crush.bucket(id).is_some_and(|b| b.items.contains(&item)))
}

fn place_device(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let verb = command.prefix.trim_start_matches("osd crush ");
    let osd = command.need_osd("id")?;
    if !map.exists(osd) {
        let text = format!("osd.{osd} does not exist. Create it before updating the crush map");
        return Err(Refusal::not_found(text));
    }
    let weight = command.need_float("weight")?;
    if weight < 0.0 {
        return Err(Refusal::invalid("weight must not be negative"));
    }
    let place = parse_location(&command.list("args"))?;
    if place.is_empty() {
        return Err(Refusal::invalid("a place is needed: type=name …"));
    }
    let (name, w) = (format!("osd.{osd}"), fixed(weight));
    let changed = edit(draft, |c| {
        if verb == "create-or-move" {
            c.create_or_move_item(osd.0, w, &name, &borrowed(&place))
        } else {
            c.update_item(osd.0, w, &name, &borrowed(&place))
        }
    })?;
    let what =
        format!("item name '{name}' weight {} at location {}", float_g(weight, 6), shown(&place));
    Ok(Reply::status(match (verb, changed) {
        ("create-or-move", true) => format!("create-or-move updating {what} to crush map"),
        ("create-or-move", false) => format!("create-or-move updated {what} to crush map"),
        (_, true) => {
            format!("set {} to crush map", what.replacen("item", &format!("item id {osd}"), 1))
        }
        (_, false) => {
            format!("set {}: no change", what.replacen("item", &format!("item id {osd}"), 1))
        }
    }))
}

fn add_bucket(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let (name, kind) = (command.need("name")?, command.need("type")?);
    // Words that are no type=name are not heeded here.
    let words: Vec<String> =
        command.list("args").into_iter().filter(|word| word.contains('=')).collect();
    let place = parse_location(&words)?;
    if map.crush.item_id(&name).is_some() {
        return Ok(Reply::status(format!("bucket '{name}' already exists")));
    }
    if map.crush.type_id(&kind).is_none() {
        return Err(Refusal::invalid(format!("type '{kind}' does not exist")));
    }
    if !seabed_crush::is_valid_name(&name) {
        return Err(Refusal::invalid(format!("error setting bucket name to '{name}'")));
    }
    edit(draft, |c| {
        c.create_bucket(&name, &kind)?;
        if place.is_empty() { Ok(()) } else { c.move_bucket(&name, &borrowed(&place)) }
    })?;
    let at = if place.is_empty() {
        "to crush map".to_string()
    } else {
        format!("to location {}", shown(&place))
    };
    Ok(Reply::status(format!("added bucket {name} type {kind} {at}")))
}

fn move_item(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let name = command.need("name")?;
    let place = parse_location(&command.list("args"))?;
    let id = map.crush.item_id(&name).ok_or_else(|| no_item(&name))?;
    let what = format!("item id {id} name '{name}' to location {} in crush map", shown(&place));
    if is_at(&map.crush, id, &place) {
        return Ok(Reply::status(format!("no need to move {what}")));
    }
    edit(draft, |c| {
        if id >= 0 {
            let weight = c.item_weight(id).unwrap_or(0);
            return c.create_or_move_item(id, weight, &name, &borrowed(&place)).map(|_| ());
        }
        c.move_bucket(&name, &borrowed(&place))
    })?;
    Ok(Reply::status(format!("moved {what}")))
}

fn link(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let name = command.need("name")?;
    let place = parse_location(&command.list("args"))?;
    let id = map.crush.item_id(&name).ok_or_else(|| no_item(&name))?;
    let what = format!("item id {id} name '{name}' to location {}", shown(&place));
    if is_at(&map.crush, id, &place) {
        return Ok(Reply::status(format!("no need to move {what} in crush map")));
    }
    // A bucket that is below the place already would be below it twice.
    let under = |(_, name): &(String, String)| {
        map.crush.item_id(name).is_some_and(|top| map.crush.contains(top, id))
    };
    if place.iter().any(under) {
        return Err(Refusal::invalid(format!("cannot link {what}")));
    }
    edit(draft, |c| c.link_bucket(&name, &borrowed(&place)))?;
    Ok(Reply::status(format!("linked {what} in crush map")))
}

fn remove(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let name = command.need("name")?;
    let crush = &map.crush;
    let Some(id) = crush.item_id(&name) else {
        let text = format!("device '{name}' does not appear in the crush map");
        return Ok(Reply::status(text));
    };
    let unlink = command.prefix.ends_with("unlink");
    match command.str("ancestor") {
        None => edit(draft, |c| c.remove_item(id, unlink))?,
        Some(ancestor) => {
            let top = crush.item_id(&ancestor).ok_or_else(|| no_item(&ancestor))?;
            if !crush.buckets_below(top).iter().any(|b| holds(crush, *b, id)) {
                return Ok(Reply::status(format!("item {id} does not appear in that position")));
            }
            edit(draft, |c| c.remove_item_under(id, top, unlink))?;
        }
    }
    Ok(Reply::status(format!("removed item id {id} name '{name}' from crush map")))
}

fn holds(crush: &CrushMap, bucket: i32, item: i32) -> bool {
    crush.bucket(bucket).is_some_and(|b| b.items.contains(&item))
}

fn swap(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let (source, dest) = (command.need("source")?, command.need("dest")?);
    let bucket = |what: &str, name: &str| {
        let id = map.crush.item_id(name).filter(|id| *id < 0);
        id.ok_or_else(|| Refusal::not_found(format!("{what} item {name} does not exist")))
    };
    let from = bucket("source", &source)?;
    bucket("dest", &dest)?;
    if map.crush.parent(from).is_some() && !command.flag("yes_i_really_mean_it") {
        let text = format!("source item {source} is in the tree; pass --yes-i-really-mean-it");
        return Err(Refusal::new(Errno::EPERM, text));
    }
    edit(draft, |c| c.swap_buckets(&source, &dest))?;
    Ok(Reply::status(format!("swapped bucket of {source} to {dest}")))
}

fn rename(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let (from, to) = (command.need("srcname")?, command.need("dstname")?);
    let known = |name: &str| map.crush.item_id(name).is_some();
    match (known(&from), known(&to)) {
        (false, true) => {
            let text =
                format!("srcname = '{from}' does not exist and dstname = '{to}' already exists");
            Ok(Reply::status(text))
        }
        (false, false) => Err(Refusal::not_found(format!("srcname = '{from}' does not exist"))),
        (true, true) => {
            Err(Refusal::new(Errno::EEXIST, format!("dstname = '{to}' already exists")))
        }
        (true, false) => {
            edit(draft, |c| c.rename_bucket(&from, &to))?;
            Ok(Reply::status(format!("renamed bucket {from} into {to}")))
        }
    }
}

fn reweight(draft: &mut Draft, map: &OsdMap, command: &Command) -> Answer {
    let name = command.need("name")?;
    let weight = command.need_float("weight")?;
    let subtree = command.prefix.ends_with("subtree");
    let id = map.crush.item_id(&name).ok_or_else(|| {
        Refusal::not_found(format!("device '{name}' does not appear in the crush map"))
    })?;
    if subtree != (id < 0) {
        let what = if subtree { "subtree" } else { "leaf" };
        return Err(Refusal::invalid(format!("device '{name}' is not a {what} in the crush map")));
    }
    if weight < 0.0 {
        return Err(Refusal::invalid("weight must not be negative"));
    }
    edit(draft, |c| {
        if subtree {
            c.adjust_subtree_weight(id, fixed(weight)).map(|_| ())
        } else {
            c.adjust_item_weight(id, fixed(weight), true)
        }
    })?;
    let what = if subtree { "subtree" } else { "item" };
    let weight = float_g(weight, 6);
    Ok(Reply::status(format!("reweighted {what} id {id} name '{name}' to {weight} in crush map")))
}
