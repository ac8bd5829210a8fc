//! Commands that change device classes.

use seabed_cluster::Errno;
use seabed_crush::CrushError;

use super::osd_read::id_args;
use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;
use crate::service::crush_edit::edit;

/// Runs one of them.
pub fn run(draft: &mut Draft, command: &Command) -> Answer {
    match command.prefix.as_str() {
        "osd crush set-device-class" => set(draft, command),
        "osd crush rm-device-class" => unset(draft, command),
        "osd crush class create" => {
            let class = command.need("class")?;
            if draft.map().crush.class_id(&class).is_some() {
                return Ok(Reply::status(format!("class '{class}' already exists")));
            }
            let id = edit(draft, |c| c.ensure_class(&class))?;
            Ok(Reply::status(format!("created class {class} with id {id} to crush map")))
        }
        "osd crush class rm" => {
            let class = command.need("class")?;
            Ok(match edit(draft, |c| c.remove_class(&class))? {
                Some(id) => {
                    Reply::status(format!("removed class {class} with id {id} from crush map"))
                }
                None => Reply::default(),
            })
        }
        _ => {
            let (from, to) = (command.need("srcname")?, command.need("dstname")?);
            let known = |name: &str| draft.map().crush.class_id(name).is_some();
            if !known(&from) && known(&to) {
                return Ok(Reply::status(format!("already renamed to '{to}'")));
            }
            let fail = |e: CrushError| {
                let refusal = Refusal::from(e);
                let text = format!("fail to rename '{from}' to '{to}' : {}", refusal.text);
                Refusal { text, ..refusal }
            };
            edit(draft, |c| c.rename_class(&from, &to)).map_err(fail)?;
            Ok(Reply::status(format!("rename class '{from}' to '{to}'")))
        }
    }
}

fn set(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let class = command.need("class")?;
    let mut text = String::new();
    let mut done = Vec::new();
    for osd in id_args(&map, &command.list("ids"))? {
        if !map.exists(osd) {
            text.push_str(&format!("osd.{osd} does not exist. "));
            continue;
        }
        let have = map.crush.item_class(osd.0).unwrap_or("");
        if !have.is_empty() && have != class {
            let text = format!(
                "osd.{osd} is of class '{have}' and cannot become '{class}'; remove the old class \
                 first"
            );
            return Err(Refusal::new(Errno::EBUSY, text));
        }
        done.push(osd);
    }
    edit(draft, |c| {
        for osd in &done {
            // Real OSDs set their class before they are in the tree: name the device first.
            if c.item_name(osd.0).is_none() {
                c.set_item_name(osd.0, &format!("osd.{osd}"))?;
            }
            c.set_device_class(osd.0, &class)?;
        }
        Ok::<(), CrushError>(())
    })?;
    let names: Vec<String> = done.iter().map(|o| o.to_string()).collect();
    Ok(Reply::status(format!("{text}set osd(s) {} to class '{class}'", names.join(","))))
}

fn unset(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let mut text = String::new();
    let mut done = Vec::new();
    for osd in id_args(&map, &command.list("ids"))? {
        if !map.exists(osd) {
            text.push_str(&format!("osd.{osd} does not exist. "));
        } else if map.crush.item_class(osd.0).is_none() {
            text.push_str(&format!("osd.{osd} belongs to no class, "));
        } else {
            done.push(osd);
        }
    }
    edit(draft, |c| {
        for osd in &done {
            c.remove_device_class(osd.0)?;
        }
        Ok::<(), CrushError>(())
    })?;
    let names: Vec<String> = done.iter().map(|o| o.to_string()).collect();
    Ok(Reply::status(format!("{text}done removing class of osd(s): {}", names.join(","))))
}
