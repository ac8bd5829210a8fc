//! Commands that set flags: of the map, and those that hold single OSDs, buckets or classes.

use seabed_cluster::OsdMap;
use seabed_cluster::admin::parse_osd;

use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;
use crate::service::osd::hold;
use crate::service::osd::pool::map_flag;

/// `osd set|unset`, `osd pause|unpause`.
pub fn of_map(draft: &mut Draft, command: &Command) -> Answer {
    let (key, on) = match command.prefix.as_str() {
        "osd pause" => ("pause".to_string(), true),
        "osd unpause" => ("pause".to_string(), false),
        prefix => (command.str("key").unwrap_or_default(), prefix == "osd set"),
    };
    let unknown = || Refusal::invalid(format!("unrecognized flag '{key}'"));
    let bits = map_flag(&key).ok_or_else(unknown)?;
    if !on && key == "pglog_hardlimit" {
        return Err(unknown());
    }
    let flags = draft.map().flags;
    let new = if on { flags | bits } else { flags & !bits };
    if new != flags {
        draft.inc().new_flags = i32::try_from(new).unwrap_or(-1);
    }
    let shown = if key == "pause" { "pauserd,pausewr" } else { key.as_str() };
    Ok(Reply::status(format!("{shown} is {}", if on { "set" } else { "unset" })))
}

/// `osd set-group|unset-group`, `osd add-noout …`, `osd rm-noout …`.
pub fn of_group(draft: &mut Draft, command: &Command) -> Answer {
    let prefix = command.prefix.as_str();
    let words = prefix.strip_prefix("osd add-").or_else(|| prefix.strip_prefix("osd rm-"));
    let (words, who) = match words {
        Some(word) => (word.to_string(), command.list("ids")),
        None => (command.str("flags").unwrap_or_default(), command.list("who")),
    };
    let on = prefix.starts_with("osd add-") || prefix == "osd set-group";
    let mut bits = 0;
    for word in words.split(',') {
        let known = hold::WORDS.iter().find(|(w, ..)| *w == word);
        let all = "noup,nodown,noin,noout";
        bits |= known.map(|(_, bit, _)| *bit).ok_or_else(|| {
            Refusal::invalid(format!("unrecognized flag '{word}', must be one of {{{all}}}"))
        })?;
    }
    if who.is_empty() {
        return Err(Refusal::invalid("must specify at least one or more targets to set/unset"));
    }
    let map = draft.map_arc();
    let mut text = String::new();
    for target in who {
        match target_of(&map, &target)? {
            Target::Osds(osds) => {
                for osd in osds {
                    if !map.exists(osd) {
                        text.push_str(&format!("osd.{osd} does not exist. "));
                        continue;
                    }
                    let state = map.state(osd);
                    // An increment names the bits that flip.
                    let flips = if on { bits & !state } else { bits & state };
                    if flips != 0 {
                        *draft.inc().new_state.entry(osd).or_insert(0) |= flips;
                    }
                }
            }
            Target::Bucket(id) => {
                let old = map.crush_node_flags.get(&id).copied().unwrap_or(0);
                let new = draft.inc().new_crush_node_flags.entry(id).or_insert(old);
                *new = if on { *new | bits } else { *new & !bits };
            }
            Target::Class(id) => {
                let old = map.device_class_flags.get(&id).copied().unwrap_or(0);
                let new = draft.inc().new_device_class_flags.entry(id).or_insert(old);
                *new = if on { *new | bits } else { *new & !bits };
            }
        }
    }
    Ok(Reply::status(text))
}

/// What a word of a group names.
enum Target {
    Osds(Vec<seabed_cluster::OsdId>),
    Bucket(i32),
    Class(i32),
}

fn target_of(map: &OsdMap, word: &str) -> Result<Target, Refusal> {
    if matches!(word, "any" | "all" | "*") {
        return Ok(Target::Osds(map.osds().collect()));
    }
    if let Some(osd) = parse_osd(word) {
        return Ok(Target::Osds(vec![osd]));
    }
    if let Some(id) = map.crush.item_id(word).filter(|id| *id < 0) {
        return Ok(Target::Bucket(id));
    }
    map.crush.class_id(word).map(Target::Class).ok_or_else(|| {
        let what = "unable to parse osd id or crush node or device class";
        Refusal::invalid(format!("{what}: \"{word}\". "))
    })
}
