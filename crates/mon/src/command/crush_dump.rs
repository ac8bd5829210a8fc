//! The CRUSH map as JSON.

use seabed_crush::{CrushMap, Rule, Step, Tunables};
use serde_json::{Map, Value, json};

/// One rule.
pub fn rule(crush: &CrushMap, id: u32, r: &Rule) -> Value {
    let steps: Vec<Value> = r.steps.iter().map(|s| step(crush, *s)).collect();
    json!({
        "rule_id": id,
        "rule_name": crush.rule_name(id).unwrap_or(""),
        "ruleset": r.ruleset,
        "type": r.kind,
        "min_size": r.min_size,
        "max_size": r.max_size,
        "steps": steps,
    })
}

fn step(crush: &CrushMap, step: Step) -> Value {
    let choose = |op: &str, num: i32, kind: i32| {
        let of = crush.type_name(kind).unwrap_or("");
        json!({"op": op, "num": num, "type": of})
    };
    let set = |op: &str, num: i32| json!({"op": op, "num": num});
    match step.meaning() {
        Step::Take(item) => {
            json!({"op": "take", "item": item, "item_name": crush.item_name(item).unwrap_or("")})
        }
        Step::Emit => json!({"op": "emit"}),
        Step::Noop => json!({"op": "noop"}),
        Step::ChooseFirstn { num, kind } => choose("choose_firstn", num, kind),
        Step::ChooseIndep { num, kind } => choose("choose_indep", num, kind),
        Step::ChooseleafFirstn { num, kind } => choose("chooseleaf_firstn", num, kind),
        Step::ChooseleafIndep { num, kind } => choose("chooseleaf_indep", num, kind),
        Step::SetChooseTries(n) => set("set_choose_tries", n),
        Step::SetChooseleafTries(n) => set("set_chooseleaf_tries", n),
        Step::SetChooseLocalTries(n) => set("set_choose_local_tries", n),
        Step::SetChooseLocalFallbackTries(n) => set("set_choose_local_fallback_tries", n),
        Step::SetChooseleafVaryR(n) => set("set_chooseleaf_vary_r", n),
        Step::SetChooseleafStable(n) => set("set_chooseleaf_stable", n),
        Step::Unknown { op, arg1, arg2 } => json!({"opcode": op, "arg1": arg1, "arg2": arg2}),
    }
}

/// All rules.
pub fn rules(crush: &CrushMap) -> Value {
    let all = (0u32..).zip(&crush.rules).filter_map(|(id, r)| Some(rule(crush, id, r.as_ref()?)));
    Value::Array(all.collect())
}

/// The tunables with what follows from them.
pub fn tunables(t: &Tunables) -> Value {
    let profile = match *t {
        t if t == Tunables::JEWEL => "jewel",
        t if t == Tunables::HAMMER => "hammer",
        t if t == Tunables::FIREFLY => "firefly",
        t if t == Tunables::BOBTAIL => "bobtail",
        t if t == Tunables::ARGONAUT => "argonaut",
        _ => "unknown",
    };
    let needs = |yes: bool| u8::from(yes);
    let old = t.choose_local_tries != 2
        || t.choose_local_fallback_tries != 5
        || t.choose_total_tries != 19;
    json!({
        "choose_local_tries": t.choose_local_tries,
        "choose_local_fallback_tries": t.choose_local_fallback_tries,
        "choose_total_tries": t.choose_total_tries,
        "chooseleaf_descend_once": t.chooseleaf_descend_once,
        "chooseleaf_vary_r": t.chooseleaf_vary_r,
        "chooseleaf_stable": t.chooseleaf_stable,
        "straw_calc_version": t.straw_calc_version,
        "allowed_bucket_algs": t.allowed_bucket_algs,
        "profile": profile,
        "optimal_tunables": needs(*t == Tunables::JEWEL),
        "legacy_tunables": needs(*t == Tunables::ARGONAUT),
        "minimum_required_version": profile,
        "require_feature_tunables": needs(old),
        "require_feature_tunables2": needs(t.chooseleaf_descend_once != 0),
        "has_v2_rules": 0,
        "require_feature_tunables3": needs(t.chooseleaf_vary_r != 0),
        "has_v3_rules": 0,
        "has_v4_buckets": 1,
        "require_feature_tunables5": needs(t.chooseleaf_stable != 0),
        "has_v5_rules": 0,
    })
}

/// `osd crush dump`.
pub fn whole(crush: &CrushMap) -> Value {
    let devices: Vec<Value> = crush
        .item_names
        .range(0..)
        .map(|(id, name)| {
            let mut out = Map::new();
            out.insert("id".into(), json!(id));
            out.insert("name".into(), json!(name));
            if let Some(class) = crush.item_class(*id) {
                out.insert("class".into(), json!(class));
            }
            Value::Object(out)
        })
        .collect();
    let types: Vec<Value> =
        crush.type_names.iter().map(|(id, n)| json!({"type_id": id, "name": n})).collect();
    let buckets: Vec<Value> = crush
        .iter_buckets()
        .map(|b| {
            let kind = i32::from(b.kind);
            let items: Vec<Value> = b
                .items
                .iter()
                .zip(b.item_weights())
                .enumerate()
                .map(|(pos, (id, weight))| json!({"id": id, "weight": weight, "pos": pos}))
                .collect();
            json!({
                "id": b.id,
                "name": crush.item_name(b.id).unwrap_or(""),
                "type_id": kind,
                "type_name": crush.type_name(kind).unwrap_or(""),
                "weight": b.weight,
                "alg": b.alg().name(),
                "hash": "rjenkins1",
                "items": items,
            })
        })
        .collect();
    json!({
        "devices": devices,
        "types": types,
        "buckets": buckets,
        "rules": rules(crush),
        "tunables": tunables(&crush.tunables),
        "choose_args": {},
    })
}
