//! `seabed crush`: the options that change a map, and the table of `--tree`.

use std::fmt::Write;

use crate::cli_stop::Stop;
use crate::{CrushError, CrushMap, Mode, RULE_REPLICATED, weight_from_f32};

/// Type and bucket name of each `--loc`.
pub(crate) type Loc = Vec<(String, String)>;

/// A change that an option asks for.
pub(crate) enum Change {
    Item { update: bool, id: i32, weight: f32, name: String },
    RemoveItem(String),
    ReweightItem(String, f32),
    AddBucket(String, String),
    Move(String),
    Reweight,
    RebuildClassRoots,
    SimpleRule { name: String, root: String, kind: String, mode: Option<String> },
    RemoveRule(String),
}

/// Changes the map as the option asks.
pub(crate) fn apply(
    change: &Change,
    map: &mut CrushMap,
    locations: &Loc,
    class: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let loc: Vec<(&str, &str)> = locations.iter().map(|(k, n)| (k.as_str(), n.as_str())).collect();
    match change {
        Change::Item { update, id, weight, name } => {
            let weight = weight_from_f32(*weight);
            let below = |(_, bucket): &(&str, &str)| {
                map.item_id(bucket).is_some_and(|b| map.contains(b, *id))
            };
            if *update {
                map.update_item(*id, weight, name, &loc).map_err(failed)?;
            } else if loc.iter().any(below) {
                return Err(failed(CrushError::invalid("item", id)));
            } else {
                map.insert_item(*id, weight, name, &loc).map_err(failed)?;
            }
        }
        Change::RemoveItem(name) => {
            writeln!(out, "crushtool removing item {name}")?;
            let id = find(map, name)?;
            map.remove_item(id, false).map_err(failed)?;
        }
        Change::ReweightItem(name, weight) => {
            writeln!(
                out,
                "crushtool reweighting item {name} to {}",
                crate::tester::general(*weight)
            )?;
            let id = find(map, name)?;
            map.adjust_item_weight(id, weight_from_f32(*weight), true).map_err(failed)?;
        }
        Change::AddBucket(name, kind) => {
            map.create_bucket(name, kind).map_err(failed)?;
            if !loc.is_empty() {
                map.move_bucket(name, &loc).map_err(failed)?;
            }
        }
        Change::Move(name) => move_item(map, name, &loc)?,
        Change::Reweight => map.reweight().map_err(failed)?,
        Change::RebuildClassRoots => map.rebuild_shadow_trees().map_err(failed)?,
        Change::SimpleRule { name, root, kind, mode } => {
            let option = if mode.is_some() { "simple" } else { "replicated" };
            write!(out, "--create-{option}-rule: name={name} root={root} type={kind}")?;
            let shown = mode.as_ref().map(|m| format!(" mode={m}")).unwrap_or_default();
            writeln!(out, "{shown}")?;
            let said = |said: String| Stop { said, code: 1 };
            if map.rule_id(name).is_some() {
                return Err(said(format!("rule {name} already exists")));
            }
            if let Some(class) = class.filter(|c| map.class_id(c).is_none()) {
                return Err(said(format!("device class {class} does not exist")));
            }
            let mode = Mode::from_name(mode.as_deref().unwrap_or("firstn"));
            let mode = mode.ok_or_else(|| said("unknown mode".to_owned()))?;
            map.add_rule_of(name, root, kind, class, mode, RULE_REPLICATED)
                .map_err(|e| said(e.to_string()))?;
        }
        Change::RemoveRule(name) => {
            if map.rule_id(name).is_none() {
                return Err(Stop { said: format!("rule {name} does not exist"), code: 0 });
            }
            map.remove_rule(name).map_err(failed)?;
        }
    }
    Ok(())
}

fn move_item(map: &mut CrushMap, name: &str, loc: &[(&str, &str)]) -> Result<(), Stop> {
    let id = find(map, name)?;
    if id < 0 {
        return map.move_bucket(name, loc).map_err(failed);
    }
    map.create_or_move_item(id, 0, name, loc).map(drop).map_err(failed)
}

fn find(map: &CrushMap, name: &str) -> Result<i32, Stop> {
    let missing = format!(" name {name} dne\ncrushtool (2) No such file or directory");
    map.item_id(name).ok_or(Stop::errno(missing, 2))
}

fn failed(e: CrushError) -> Stop {
    let text = match e.errno() {
        2 => "No such file or directory",
        16 => "Device or resource busy",
        17 => "File exists",
        22 => "Invalid argument",
        34 => "Numerical result out of range",
        39 => "Directory not empty",
        _ => "Too many levels of symbolic links",
    };
    Stop::errno(format!("{e}\ncrushtool ({}) {text}", e.errno()), e.errno())
}

/// The table of `--tree`.
pub(crate) fn tree_table(map: &CrushMap) -> String {
    let mut rows = vec![["ID", "CLASS", "WEIGHT", "TYPE NAME"].map(str::to_owned)];
    for node in map.walk(true) {
        let indent = "    ".repeat(node.depth);
        let name = map.item_name(node.id).unwrap_or("");
        let label = match map.item_type(node.id).filter(|k| *k > 0) {
            Some(kind) => format!("{indent}{} {name}", map.type_name(kind).unwrap_or("")),
            None => format!("{indent}{name}"),
        };
        let class = map.item_class(node.id).unwrap_or("");
        let weight = match node.weight {
            0 => "0".to_owned(),
            w => format!("{:.5}", w as f32 / 65_536.0),
        };
        rows.push([node.id.to_string(), class.to_owned(), weight, label]);
    }
    let width = |c: usize| rows.iter().map(|r| r[c].len()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for (i, [id, class, weight, label]) in rows.iter().enumerate() {
        // Headings are on the left; of the values the numbers are on the right.
        let line = if i == 0 {
            format!("{id:<a$}  {class:<b$}  {weight:<c$}  {label:<d$}\n")
        } else {
            format!("{id:>a$}  {class:>b$}  {weight:>c$}  {label:<d$}\n")
        };
        text.push_str(&line);
    }
    text
}
