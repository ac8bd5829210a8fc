//! Commands that read the CRUSH map.

use seabed_cluster::OsdId;
use serde_json::{Value, json};

use super::osd_read::id_args;
use super::{Answer, Command, Format, Refusal, Reply, View, crush_weight_set, tree};

/// `osd crush …` that read.
pub fn run(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let crush = &map.crush;
    let plain = command.format == Format::Plain;
    let lines = |list: Vec<String>| {
        if plain {
            Ok(Reply::text(list.iter().map(|l| format!("{l}\n")).collect::<String>()))
        } else {
            Ok(Reply::json(&json!(list), command.format))
        }
    };
    match command.prefix.as_str() {
        "osd crush dump" => Ok(Reply::json(&crush.dump(), command.format)),
        "osd crush tree" => {
            let shadow = command.str("shadow").is_some();
            if plain {
                Ok(Reply::text(tree::crush_to_text(map, shadow)))
            } else {
                Ok(Reply::json(&tree::crush_to_json(map, shadow), command.format))
            }
        }
        "osd crush ls" => {
            let node = command.need("node")?;
            let id = crush
                .item_id(&node)
                .ok_or_else(|| Refusal::not_found(format!("node '{node}' does not exist")))?;
            let items = crush.bucket(id).map(|b| b.items.clone()).unwrap_or_else(|| vec![id]);
            lines(items.iter().filter_map(|i| crush.item_name(*i).map(str::to_string)).collect())
        }
        "osd crush rule ls" | "osd crush rule list" => {
            lines(crush.rule_names.values().cloned().collect())
        }
        "osd crush rule dump" => {
            let Some(name) = command.str("name") else {
                return Ok(Reply::json(&crush.dump_rules(), command.format));
            };
            let unknown = || Refusal::not_found(format!("unknown crush rule '{name}'"));
            let id = crush.rule_id(&name).ok_or_else(unknown)?;
            let rule = crush.dump_rule(id).ok_or_else(unknown)?;
            Ok(Reply::json(&rule, command.format))
        }
        "osd crush class ls" => {
            let names: Vec<&String> = crush.class_names.values().collect();
            Ok(Reply::json(&json!(names), command.format))
        }
        "osd crush class ls-osd" => {
            let class = command.need("class")?;
            let osds = crush.class_id(&class).map(|c| crush.devices_of_class(c));
            let osds = osds.unwrap_or_default();
            if plain {
                return Ok(Reply::text(osds.iter().map(|o| format!("{o}\n")).collect::<String>()));
            }
            Ok(Reply::json(&json!(osds), command.format))
        }
        "osd crush get-device-class" => {
            let mut osds = id_args(map, &command.list("ids"))?;
            osds.retain(|o| map.exists(*o));
            let class = |o: &OsdId| crush.item_class(o.0).unwrap_or("").to_string();
            if plain && osds.len() == 1 {
                return Ok(Reply::text(class(&osds[0]) + "\n"));
            }
            if plain {
                let text: String = osds.iter().map(|o| format!("osd.{o} {}\n", class(o))).collect();
                return Ok(Reply::text(text));
            }
            let list: Vec<Value> =
                osds.iter().map(|o| json!({"osd": o.0, "device_class": class(o)})).collect();
            Ok(Reply::json(&Value::Array(list), command.format))
        }
        "osd crush show-tunables" => Ok(Reply::json(&crush.dump_tunables(), command.format)),
        "osd crush get-tunable" => {
            let version = crush.tunables.straw_calc_version;
            if plain {
                return Ok(Reply::text(format!("{version}\n")));
            }
            Ok(Reply::json(&json!({"straw_calc_version": version}), command.format))
        }
        "osd crush rule ls-by-class" => {
            let class = command.need("class")?;
            let unknown = || format!("failed to get rules by class '{class}'");
            let id = crush.class_id(&class).ok_or_else(|| Refusal::not_found(unknown()))?;
            let rules = crush.rules_of_class(id);
            lines(rules.filter_map(|r| crush.rule_name(r).map(str::to_string)).collect())
        }
        _ => crush_weight_set::read(view, command),
    }
}
