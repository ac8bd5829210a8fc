//! The map as JSON, with the fields of `ceph osd crush dump`.

use serde_json::{Map, Value, json};

use crate::{Bucket, CrushMap, Rule, Step, Tunables};

/// JSON as Ceph prints it: four blanks a level.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    // A tree of plain values serialises into memory without failing.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    String::from_utf8_lossy(&out).into_owned()
}

impl CrushMap {
    /// The whole map: `ceph osd crush dump`.
    pub fn dump(&self) -> Value {
        let types: Vec<Value> =
            self.type_names.iter().map(|(id, name)| json!({"type_id": id, "name": name})).collect();
        let buckets: Vec<Value> = self.iter_buckets().map(|b| self.dump_bucket(b)).collect();
        json!({
            "devices": self.dump_devices(),
            "types": types,
            "buckets": buckets,
            "rules": self.dump_rules(),
            "tunables": self.dump_tunables(),
            "choose_args": self.dump_choose_args(),
        })
    }

    fn dump_devices(&self) -> Vec<Value> {
        let device = |id: i32| {
            let name = self.item_name(id).map_or_else(|| format!("device{id}"), str::to_owned);
            match self.item_class(id) {
                Some(class) => json!({"id": id, "name": name, "class": class}),
                None => json!({"id": id, "name": name}),
            }
        };
        // Ids far beyond the last name would only be fillers.
        let named = self.item_names.last_key_value().map_or(0, |(id, _)| id.saturating_add(1));
        let end = if self.max_devices <= 1 << 20 { self.max_devices } else { named };
        (0..end).map(device).collect()
    }

    fn dump_bucket(&self, bucket: &Bucket) -> Value {
        let items: Vec<Value> = bucket
            .items
            .iter()
            .zip(bucket.item_weights())
            .enumerate()
            .map(|(pos, (id, weight))| json!({"id": id, "weight": weight, "pos": pos}))
            .collect();
        let kind = i32::from(bucket.kind);
        let mut fields = Map::new();
        fields.insert("id".to_owned(), json!(bucket.id));
        if let Some(name) = self.item_name(bucket.id) {
            fields.insert("name".to_owned(), json!(name));
        }
        fields.insert("type_id".to_owned(), json!(kind));
        if let Some(name) = self.type_name(kind) {
            fields.insert("type_name".to_owned(), json!(name));
        }
        fields.insert("weight".to_owned(), json!(bucket.weight));
        fields.insert("alg".to_owned(), json!(bucket.alg().name()));
        let hash = if bucket.hash == 0 { "rjenkins1" } else { "unknown" };
        fields.insert("hash".to_owned(), json!(hash));
        fields.insert("items".to_owned(), Value::Array(items));
        Value::Object(fields)
    }

    /// All rules: `ceph osd crush rule dump`.
    pub fn dump_rules(&self) -> Value {
        let rules = (0..).zip(&self.rules);
        Value::Array(rules.filter_map(|(id, r)| Some(self.rule_json(id, r.as_ref()?))).collect())
    }

    /// One rule: `ceph osd crush rule dump NAME`.
    pub fn dump_rule(&self, id: u32) -> Option<Value> {
        Some(self.rule_json(id, self.rule(id)?))
    }

    fn rule_json(&self, id: u32, rule: &Rule) -> Value {
        let steps: Vec<Value> = rule.steps.iter().map(|s| self.step_json(s.meaning())).collect();
        json!({
            "rule_id": id,
            "rule_name": self.rule_name(id).unwrap_or(""),
            "ruleset": rule.ruleset,
            "type": rule.kind,
            "min_size": rule.min_size,
            "max_size": rule.max_size,
            "steps": steps,
        })
    }

    fn step_json(&self, step: Step) -> Value {
        let choose = |op: &str, num: i32, kind: i32| {
            let of = self.type_name(kind).unwrap_or("");
            json!({"op": op, "num": num, "type": of})
        };
        let set = |op: &str, num: i32| json!({"op": op, "num": num});
        match step {
            Step::Noop => json!({"op": "noop"}),
            Step::Emit => json!({"op": "emit"}),
            Step::Take(item) => {
                let name = self.item_name(item).unwrap_or("");
                json!({"op": "take", "item": item, "item_name": name})
            }
            Step::ChooseFirstn { num, kind } => choose("choose_firstn", num, kind),
            Step::ChooseIndep { num, kind } => choose("choose_indep", num, kind),
            Step::ChooseleafFirstn { num, kind } => choose("chooseleaf_firstn", num, kind),
            Step::ChooseleafIndep { num, kind } => choose("chooseleaf_indep", num, kind),
            Step::SetChooseTries(n) => set("set_choose_tries", n),
            Step::SetChooseleafTries(n) => set("set_chooseleaf_tries", n),
            Step::SetChooseLocalTries(n) => other(10, n, 0),
            Step::SetChooseLocalFallbackTries(n) => other(11, n, 0),
            Step::SetChooseleafVaryR(n) => other(12, n, 0),
            Step::SetChooseleafStable(n) => other(13, n, 0),
            Step::Unknown { op, arg1, arg2 } => other(op, arg1, arg2),
        }
    }

    /// The tunables with what Ceph derives from them: `ceph osd crush show-tunables`.
    pub fn dump_tunables(&self) -> Value {
        let t = &self.tunables;
        let any_straw2 = self.iter_buckets().any(|b| b.alg() == crate::BucketAlg::Straw2);
        let taken = |f: fn(&Step) -> bool| {
            self.rules.iter().flatten().flat_map(|r| &r.steps).any(|s| f(&s.meaning()))
        };
        let v2 = taken(|s| {
            matches!(
                s,
                Step::ChooseIndep { .. }
                    | Step::ChooseleafIndep { .. }
                    | Step::SetChooseTries(_)
                    | Step::SetChooseleafTries(_)
            )
        });
        let v3 = taken(|s| matches!(s, Step::SetChooseleafVaryR(_)));
        let v5 = taken(|s| matches!(s, Step::SetChooseleafStable(_)));
        let is = |p: Tunables| {
            let same = |p: &Tunables| Tunables { straw_calc_version: 0, ..*p };
            same(t) == same(&p)
        };
        let profile = profile_name(t);
        let legacy = Tunables::ARGONAUT;
        let tries = |t: &Tunables| {
            (t.choose_local_tries, t.choose_local_fallback_tries, t.choose_total_tries)
        };
        let uses_tunables = tries(t) != tries(&legacy);
        let (uses_2, uses_3) = (t.chooseleaf_descend_once != 0, t.chooseleaf_vary_r != 0);
        let uses_5 = t.chooseleaf_stable != 0;
        let minimum = if uses_5 || v5 {
            "jewel"
        } else if any_straw2 {
            "hammer"
        } else if uses_3 {
            "firefly"
        } else if uses_2 || uses_tunables {
            "bobtail"
        } else {
            "argonaut"
        };
        let flag = i32::from;
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
            "optimal_tunables": flag(is(Tunables::JEWEL)),
            "legacy_tunables": flag(is(Tunables::ARGONAUT)),
            "minimum_required_version": minimum,
            "require_feature_tunables": flag(uses_tunables),
            "require_feature_tunables2": flag(uses_2),
            "has_v2_rules": flag(v2),
            "require_feature_tunables3": flag(uses_3),
            "has_v3_rules": flag(v3),
            "has_v4_buckets": flag(any_straw2),
            "require_feature_tunables5": flag(uses_5),
            "has_v5_rules": flag(v5),
        })
    }

    /// Weight-sets and replaced ids by key.
    pub fn dump_choose_args(&self) -> Value {
        let mut all = Map::new();
        for (key, args) in self.choose_args.iter() {
            let mut list = Vec::new();
            for (index, arg) in args {
                let mut fields = Map::new();
                fields.insert("bucket_id".to_owned(), json!(-1 - i64::from(*index)));
                if !arg.weight_sets.is_empty() {
                    let decimal = |w: &u32| json!(f64::from(*w) / 65_536.0);
                    let sets = arg.weight_sets.iter();
                    let sets: Vec<Value> =
                        sets.map(|set| set.iter().map(decimal).collect()).collect();
                    fields.insert("weight_set".to_owned(), Value::Array(sets));
                }
                if !arg.ids.is_empty() {
                    fields.insert("ids".to_owned(), json!(arg.ids));
                }
                list.push(Value::Object(fields));
            }
            all.insert(key.to_string(), Value::Array(list));
        }
        Value::Object(all)
    }
}

fn other(op: u32, arg1: i32, arg2: i32) -> Value {
    json!({"opcode": op, "arg1": arg1, "arg2": arg2})
}

/// The profile that the tunables are, or "unknown".
fn profile_name(t: &Tunables) -> &'static str {
    // straw_calc_version changes no mapping and belongs to no profile.
    let same = |p: Tunables| Tunables { straw_calc_version: t.straw_calc_version, ..p } == *t;
    [
        ("jewel", Tunables::JEWEL),
        ("hammer", Tunables::HAMMER),
        ("firefly", Tunables::FIREFLY),
        ("bobtail", Tunables::BOBTAIL),
        ("argonaut", Tunables::ARGONAUT),
    ]
    .into_iter()
    .find(|(_, p)| same(*p))
    .map_or("unknown", |(name, _)| name)
}
