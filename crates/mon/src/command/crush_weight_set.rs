//! Weight-sets: other weights than the tree's, for one pool or for all without their own.

use seabed_cluster::{OsdMap, PoolId};
use seabed_crush::{CrushError, DEFAULT_CHOOSE_ARGS};
use serde_json::json;

use super::{Answer, Command, Format, Refusal, Reply, View};
use crate::draft::Draft;
use crate::service::crush_edit::{edit, fixed};

/// What a weight-set is called: its pool's name, or `(compat)`.
pub fn title(map: &OsdMap, key: i64) -> String {
    if key == DEFAULT_CHOOSE_ARGS {
        return "(compat)".to_string();
    }
    map.pool_names.get(&PoolId(key)).cloned().unwrap_or_else(|| key.to_string())
}

/// `osd crush weight-set ls|dump`.
pub fn read(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    if command.prefix.ends_with("dump") {
        return Ok(Reply::json(&map.crush.dump_choose_args(), command.format));
    }
    let names: Vec<String> = map.crush.choose_args.iter().map(|(key, _)| title(map, key)).collect();
    if command.format == Format::Plain {
        return Ok(Reply::text(names.iter().map(|n| format!("{n}\n")).collect::<String>()));
    }
    Ok(Reply::json(&json!(names), command.format))
}

/// Those that change something.
pub fn run(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let verb = command.prefix.trim_start_matches("osd crush weight-set ");
    let compat = verb.ends_with("-compat");
    let name = command.str("pool").unwrap_or_default();
    let pool = map.pool_by_name(&name);
    let key = match (compat, pool) {
        (true, _) => DEFAULT_CHOOSE_ARGS,
        (false, Some(id)) => id.0,
        (false, None) => return Err(Refusal::not_found(format!("pool '{name}' not found"))),
    };
    match verb.trim_end_matches("-compat") {
        "create" => {
            let mode = command.str("mode").unwrap_or_default();
            let positions = match mode.as_str() {
                "positional" => pool.and_then(|id| map.pools.get(&id)).map_or(1, |p| p.size),
                "flat" => 1,
                "" if compat => 1,
                _ => {
                    let text = format!("unrecognized weight-set mode '{mode}'");
                    return Err(Refusal::invalid(text));
                }
            };
            let positions = usize::try_from(positions).unwrap_or(1);
            let made = edit(draft, |c| Ok::<_, CrushError>(c.create_choose_args(key, positions)))?;
            Ok(match (made, compat) {
                (true, _) => Reply::default(),
                (false, true) => Reply::status("compat weight-set already created"),
                (false, false) => {
                    Reply::status(format!("weight-set for pool '{name}' already created"))
                }
            })
        }
        "rm" => {
            edit(draft, |c| Ok::<_, CrushError>(c.choose_args.remove(key)))?;
            Ok(Reply::default())
        }
        _ => {
            let positions = map.crush.choose_args_positions(key).ok_or_else(|| {
                Refusal::not_found(match compat {
                    true => "no backward-compatible weight-set".to_string(),
                    false => format!("no weight-set for pool '{name}'"),
                })
            })?;
            let item = command.need("item")?;
            let id = map.crush.item_id(&item);
            let id =
                id.ok_or_else(|| Refusal::not_found(format!("item '{item}' does not exist")))?;
            let weights = command.list("weight");
            let weights: Option<Vec<f64>> = weights.iter().map(|w| w.parse().ok()).collect();
            let weights = weights.filter(|w| w.iter().all(|w| w.is_finite() && *w >= 0.0));
            let weights = weights.ok_or_else(|| Refusal::invalid("weights must be numbers"))?;
            if weights.len() != positions {
                let text = format!("must specify exact {positions} weight values");
                return Err(Refusal::invalid(text));
            }
            let weights: Vec<u32> = weights.into_iter().map(fixed).collect();
            edit(draft, |c| c.adjust_choose_args(key, id, &weights))?;
            Ok(Reply::default())
        }
    }
}
