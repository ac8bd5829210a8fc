//! The CRUSH tree as `osd tree`, `osd crush tree` and `osd df` show it.

use seabed_cluster::osdmap::flag;
use seabed_cluster::{OsdId, OsdMap};
use seabed_crush::{ChooseArgs, TreeNode};
use serde_json::{Map, Value, json};

use super::crush_weight_set;
use super::dump::fixed;
use super::text::{Align, Table, weight};

/// Which OSDs are shown.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of `up`, `down`, `in`, `out`, `destroyed`; empty shows all.
    pub states: Vec<String>,
    /// The bucket that the tree begins with; all roots without it.
    pub root: Option<i32>,
}

impl Filter {
    fn shows(&self, map: &OsdMap, osd: OsdId) -> bool {
        if self.states.is_empty() {
            return true;
        }
        self.states.iter().all(|s| match s.as_str() {
            "up" => map.is_up(osd),
            "down" => map.exists(osd) && map.is_down(osd),
            "in" => map.is_in(osd),
            "out" => map.exists(osd) && map.is_out(osd),
            "destroyed" => map.state(osd) & flag::osd::DESTROYED != 0,
            _ => true,
        })
    }
}

/// The rows: the tree, then OSDs that are not in it ("stray").
pub fn rows(map: &OsdMap, filter: &Filter, shadow: bool) -> (Vec<TreeNode>, Vec<OsdId>) {
    let walk = match filter.root {
        Some(root) => map.crush.walk_from(root),
        None => map.crush.walk(shadow),
    };
    let in_tree: Vec<i32> = walk.iter().map(|n| n.id).filter(|id| *id >= 0).collect();
    let nodes = walk
        .into_iter()
        .filter(|n| {
            if n.id >= 0 {
                return filter.shows(map, OsdId(n.id));
            }
            filter.states.is_empty()
                || map.crush.devices_below(n.id).iter().any(|o| filter.shows(map, OsdId(*o)))
        })
        .collect();
    let lost = |o: &OsdId| filter.root.is_none() && !in_tree.contains(&o.0);
    let stray = map.osds().filter(|o| lost(o) && filter.shows(map, *o)).collect();
    (nodes, stray)
}

/// The word for an OSD's state.
pub fn status(map: &OsdMap, osd: OsdId) -> &'static str {
    if !map.exists(osd) {
        "DNE"
    } else if map.state(osd) & flag::osd::DESTROYED != 0 {
        "destroyed"
    } else if map.is_up(osd) {
        "up"
    } else {
        "down"
    }
}

/// The fields that `osd tree`, `osd df` and `osd crush tree` share for a node.
pub fn node_head(map: &OsdMap, node: &TreeNode) -> Map<String, Value> {
    let crush = &map.crush;
    let kind = crush.item_type(node.id).unwrap_or(0);
    let mut out = Map::new();
    out.insert("id".into(), json!(node.id));
    if node.id >= 0
        && let Some(class) = crush.item_class(node.id)
    {
        out.insert("device_class".into(), json!(class));
    }
    let name = crush.item_name(node.id).map_or_else(|| format!("osd.{}", node.id), str::to_string);
    out.insert("name".into(), json!(name));
    out.insert("type".into(), json!(crush.type_name(kind).unwrap_or("osd")));
    out.insert("type_id".into(), json!(kind));
    if node.id >= 0 {
        out.insert("crush_weight".into(), fixed(node.weight));
        out.insert("depth".into(), json!(node.depth));
    }
    if node.parent.is_some() {
        out.insert("pool_weights".into(), pool_weights(map, node));
    }
    out
}

/// What a node weighs in each weight-set.
fn pool_weights(map: &OsdMap, node: &TreeNode) -> Value {
    let one = |(key, args): (i64, &ChooseArgs)| {
        let (bucket, at) =
            node.parent.and_then(|p| Some((p, map.crush.bucket(p)?.position(node.id)?)))?;
        let index = u32::try_from(-1 - i64::from(bucket)).ok()?;
        let sets = args.get(&index)?.weight_sets.iter();
        let weights: Vec<Value> = sets.filter_map(|set| set.get(at).copied().map(fixed)).collect();
        Some((crush_weight_set::title(map, key), Value::Array(weights)))
    };
    Value::Object(map.crush.choose_args.iter().filter_map(one).collect())
}

fn stray_head(map: &OsdMap, osd: OsdId) -> Map<String, Value> {
    let node = TreeNode { id: osd.0, parent: None, depth: 0, weight: 0, children: Vec::new() };
    node_head(map, &node)
}

/// `osd tree` as JSON.
pub fn to_json(map: &OsdMap, filter: &Filter) -> Value {
    let (nodes, stray) = rows(map, filter, false);
    let with_state = |mut head: Map<String, Value>, osd: OsdId| {
        head.insert("exists".into(), json!(u8::from(map.exists(osd))));
        head.insert("status".into(), json!(if map.is_up(osd) { "up" } else { "down" }));
        head.insert("reweight".into(), fixed(map.weight(osd)));
        head.insert("primary_affinity".into(), fixed(map.affinity(osd)));
        Value::Object(head)
    };
    let nodes: Vec<Value> = nodes
        .iter()
        .map(|n| {
            let mut head = node_head(map, n);
            if n.id >= 0 {
                return with_state(head, OsdId(n.id));
            }
            head.insert("children".into(), json!(n.children));
            Value::Object(head)
        })
        .collect();
    let stray: Vec<Value> = stray.into_iter().map(|o| with_state(stray_head(map, o), o)).collect();
    match filter.root {
        Some(_) => json!({"nodes": nodes}),
        None => json!({"nodes": nodes, "stray": stray}),
    }
}

/// `osd crush tree` as JSON.
pub fn crush_to_json(map: &OsdMap, shadow: bool) -> Value {
    let (nodes, stray) = rows(map, &Filter::default(), shadow);
    let nodes: Vec<Value> = nodes
        .iter()
        .map(|n| {
            let mut head = node_head(map, n);
            if n.id < 0 {
                head.insert("children".into(), json!(n.children));
            }
            Value::Object(head)
        })
        .collect();
    let _ = stray;
    json!({"nodes": nodes, "stray": []})
}

/// The name of a node with its indentation.
pub fn indented(map: &OsdMap, node: &TreeNode) -> String {
    let crush = &map.crush;
    let pad = "    ".repeat(node.depth);
    if node.id >= 0 {
        return format!("{pad}osd.{}", node.id);
    }
    let kind = crush.item_type(node.id).and_then(|k| crush.type_name(k)).unwrap_or("bucket");
    format!("{pad}{kind} {}", crush.item_name(node.id).unwrap_or(""))
}

/// `osd tree` as text.
pub fn to_text(map: &OsdMap, filter: &Filter) -> String {
    let (nodes, stray) = rows(map, filter, false);
    let mut t = Table::new();
    t.column("ID", Align::Left, Align::Right)
        .column("CLASS", Align::Left, Align::Right)
        .column("WEIGHT", Align::Left, Align::Right)
        .column("TYPE NAME", Align::Left, Align::Left)
        .column("STATUS", Align::Left, Align::Right)
        .column("REWEIGHT", Align::Left, Align::Right)
        .column("PRI-AFF", Align::Left, Align::Right);
    let osd_cells = |osd: OsdId| {
        let exists = map.exists(osd);
        let affinity = if exists { weight(map.affinity(osd)) } else { String::new() };
        let reweight = if exists { weight(map.weight(osd)) } else { "0".to_string() };
        [status(map, osd).to_string(), reweight, affinity]
    };
    for node in &nodes {
        let class = if node.id >= 0 { map.crush.item_class(node.id).unwrap_or("") } else { "" };
        let mut cells =
            vec![node.id.to_string(), class.to_string(), weight(node.weight), indented(map, node)];
        if node.id >= 0 {
            cells.extend(osd_cells(OsdId(node.id)));
        }
        t.row(cells);
    }
    for osd in stray {
        let mut cells = vec![osd.to_string(), String::new(), "0".to_string(), format!("osd.{osd}")];
        cells.extend(osd_cells(osd));
        t.row(cells);
    }
    t.render()
}

/// `osd crush tree` as text.
pub fn crush_to_text(map: &OsdMap, shadow: bool) -> String {
    let (nodes, _) = rows(map, &Filter::default(), shadow);
    let mut t = Table::new();
    t.column("ID", Align::Left, Align::Right).column("CLASS", Align::Left, Align::Right).column(
        "WEIGHT",
        Align::Left,
        Align::Right,
    );
    for (key, _) in map.crush.choose_args.iter() {
        t.column(&crush_weight_set::title(map, key), Align::Left, Align::Right);
    }
    t.column("TYPE NAME", Align::Left, Align::Left);
    for node in &nodes {
        let class = map.crush.item_class(node.id).unwrap_or("");
        let mut cells = vec![node.id.to_string(), class.to_string(), weight(node.weight)];
        for (key, _) in map.crush.choose_args.iter() {
            let w = node.parent.and_then(|p| map.crush.choose_args_weight(key, p, node.id));
            cells.push(w.map_or_else(String::new, weight));
        }
        cells.push(indented(map, node));
        t.row(cells);
    }
    t.render()
}
