//! Writing a map as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::{
    Bucket, BucketAlg, ChooseArg, ChooseArgs, CrushMap, RULE_ERASURE, RULE_REPLICATED, Rule,
};
use crate::{Step, Tunables};

/// Levels of the hierarchy that are followed to print items before their buckets.
const DEPTH_MAX: usize = 64;

impl CrushMap {
    /// The map's text form.
    pub fn to_text(&self) -> String {
        let mut out = String::from("# begin crush map\n");
        self.text_tunables(&mut out);
        out.push_str("\n# devices\n");
        for (id, name) in self.item_names.range(0..self.max_devices.max(0)) {
            line(&mut out, format_args!("device {id} {name}{}\n", self.class_suffix(*id)));
        }
        out.push_str("\n# types\n");
        if !self.type_names.is_empty() && !self.type_names.contains_key(&0) {
            out.push_str("type 0 osd\n");
        }
        for (id, name) in self.type_names.range(0..) {
            line(&mut out, format_args!("type {id} {name}\n"));
        }
        out.push_str("\n# buckets\n");
        let mut done = vec![false; self.buckets.len()];
        for bucket in self.iter_buckets() {
            self.text_bucket_tree(bucket, &mut done, 0, &mut out);
        }
        out.push_str("\n# rules\n");
        for (id, rule) in (0..).zip(&self.rules) {
            if let Some(rule) = rule {
                self.text_rule(id, rule, &mut out);
            }
        }
        self.text_choose_args(&mut out);
        out.push_str("\n# end crush map\n");
        out
    }

    fn class_suffix(&self, item: i32) -> String {
        self.item_class(item).map(|c| format!(" class {c}")).unwrap_or_default()
    }

    fn text_tunables(&self, out: &mut String) {
        let (t, legacy) = (&self.tunables, &Tunables::ARGONAUT);
        let all = |t: &Tunables| {
            [
                ("choose_local_tries", t.choose_local_tries),
                ("choose_local_fallback_tries", t.choose_local_fallback_tries),
                ("choose_total_tries", t.choose_total_tries),
                ("chooseleaf_descend_once", t.chooseleaf_descend_once),
                ("chooseleaf_vary_r", u32::from(t.chooseleaf_vary_r)),
                ("chooseleaf_stable", u32::from(t.chooseleaf_stable)),
                ("straw_calc_version", u32::from(t.straw_calc_version)),
                ("allowed_bucket_algs", t.allowed_bucket_algs),
            ]
        };
        for ((name, value), (_, default)) in all(t).into_iter().zip(all(legacy)) {
            if value != default {
                line(out, format_args!("tunable {name} {value}\n"));
            }
        }
    }

    fn item_label(&self, id: i32) -> String {
        match self.item_name(id) {
            Some(name) => name.to_owned(),
            None if id >= 0 => format!("device{id}"),
            None => format!("bucket{}", -1 - i64::from(id)),
        }
    }

    fn type_label(&self, kind: i32) -> String {
        match self.type_name(kind) {
            Some(name) => name.to_owned(),
            None if kind == 0 => "device".to_owned(),
            None => format!("type{kind}"),
        }
    }

    /// A bucket after the buckets in it.
    fn text_bucket_tree(&self, bucket: &Bucket, done: &mut [bool], depth: usize, out: &mut String) {
        let place = crate::map::slot(bucket.id).and_then(|at| done.get_mut(at));
        let Some(place) = place.filter(|done| !**done && depth < DEPTH_MAX) else { return };
        *place = true;
        for inner in bucket.items.iter().filter_map(|id| self.bucket(*id)) {
            self.text_bucket_tree(inner, done, depth + 1, out);
        }
        if !self.is_shadow(bucket.id) {
            self.text_bucket(bucket, out);
        }
    }

    fn text_bucket(&self, bucket: &Bucket, out: &mut String) {
        const KEEP: &str = "\t\t# do not change unnecessarily";
        let (id, alg, size) = (bucket.id, bucket.alg(), bucket.size());
        let kind = self.type_label(i32::from(bucket.kind));
        line(out, format_args!("{kind} {} {{\n\tid {id}{KEEP}\n", self.item_label(id)));
        for (class, shadow) in self.class_buckets.get(&id).into_iter().flatten() {
            let class = self.class_names.get(class).map_or("", String::as_str);
            line(out, format_args!("\tid {shadow} class {class}{KEEP}\n"));
        }
        line(out, format_args!("\t# weight {}\n\talg {}", fixed(bucket.weight), alg.name()));
        match alg {
            BucketAlg::Uniform => {
                line(out, format_args!("\t# do not change bucket size ({size}) unnecessarily"));
            }
            BucketAlg::List => {
                out.push_str("\t# add new items at the end; do not change order unnecessarily");
            }
            BucketAlg::Tree => {
                out.push_str("\t# do not change pos for existing items unnecessarily");
            }
            BucketAlg::Straw | BucketAlg::Straw2 => {}
        }
        let hash = if bucket.hash == 0 { "rjenkins1" } else { "unknown" };
        line(out, format_args!("\n\thash {}\t# {hash}\n", bucket.hash));
        let with_pos = matches!(alg, BucketAlg::Uniform | BucketAlg::Tree);
        for (at, item) in bucket.items.iter().enumerate() {
            let weight = fixed(bucket.item_weight(at));
            line(out, format_args!("\titem {} weight {weight}", self.item_label(*item)));
            if with_pos {
                line(out, format_args!(" pos {at}"));
            }
            out.push('\n');
        }
        out.push_str("}\n");
    }

    fn text_rule(&self, id: u32, rule: &Rule, out: &mut String) {
        let name = self.rule_name(id).unwrap_or("");
        line(out, format_args!("rule {name} {{\n\tid {id}\n"));
        if u32::from(rule.ruleset) != id {
            line(out, format_args!("\t# WARNING: ruleset {} != id {id};", rule.ruleset));
            out.push_str(" this will not recompile to the same map\n");
        }
        match rule.kind {
            RULE_REPLICATED => out.push_str("\ttype replicated\n"),
            RULE_ERASURE => out.push_str("\ttype erasure\n"),
            other => line(out, format_args!("\ttype {other}\n")),
        }
        line(out, format_args!("\tmin_size {}\n\tmax_size {}\n", rule.min_size, rule.max_size));
        for step in &rule.steps {
            self.text_step(step.meaning(), out);
        }
        out.push_str("}\n");
    }

    fn text_step(&self, step: Step, out: &mut String) {
        let mut choose = |how: &str, num: i32, kind: i32| {
            let kind = self.type_label(kind);
            line(out, format_args!("\tstep {how} {num} type {kind}\n"));
        };
        match step {
            Step::ChooseFirstn { num, kind } => return choose("choose firstn", num, kind),
            Step::ChooseIndep { num, kind } => return choose("choose indep", num, kind),
            Step::ChooseleafFirstn { num, kind } => return choose("chooseleaf firstn", num, kind),
            Step::ChooseleafIndep { num, kind } => return choose("chooseleaf indep", num, kind),
            _ => {}
        }
        let mut set = |what: &str, n: i32| line(out, format_args!("\tstep {what} {n}\n"));
        match step {
            Step::SetChooseTries(n) => set("set_choose_tries", n),
            Step::SetChooseleafTries(n) => set("set_chooseleaf_tries", n),
            Step::SetChooseLocalTries(n) => set("set_choose_local_tries", n),
            Step::SetChooseLocalFallbackTries(n) => set("set_choose_local_fallback_tries", n),
            Step::SetChooseleafVaryR(n) => set("set_chooseleaf_vary_r", n),
            Step::SetChooseleafStable(n) => set("set_chooseleaf_stable", n),
            Step::Take(item) => {
                let origin = self.shadow_origin(item);
                let (item, class) =
                    origin.map_or((item, None), |(item, class)| (item, Some(class)));
                let class = class.and_then(|c| self.class_names.get(&c));
                let class = class.map(|c| format!(" class {c}")).unwrap_or_default();
                line(out, format_args!("\tstep take {}{class}\n", self.item_label(item)));
            }
            Step::Emit => out.push_str("\tstep emit\n"),
            Step::Noop => out.push_str("\tstep noop\n"),
            _ => {}
        }
    }

    fn text_choose_args(&self, out: &mut String) {
        if self.choose_args.is_empty() {
            return;
        }
        out.push_str("\n# choose_args\n");
        let sorted: BTreeMap<i64, &ChooseArgs> = self.choose_args.iter().collect();
        for (key, args) in sorted {
            // The default's key, -1, is written as an unsigned number.
            line(out, format_args!("choose_args {} {{\n", key as u64));
            for (index, arg) in args {
                // Only straw2 heeds them; the reference forgets others when it reads a map.
                let bucket = self.buckets.get(*index as usize).and_then(Option::as_ref);
                if bucket.is_some_and(|b| b.alg() == BucketAlg::Straw2) {
                    text_choose_arg(-1 - i64::from(*index), arg, out);
                }
            }
            out.push_str("}\n");
        }
    }
}

fn text_choose_arg(bucket: i64, arg: &ChooseArg, out: &mut String) {
    if arg.weight_sets.is_empty() && arg.ids.is_empty() {
        return;
    }
    line(out, format_args!("  {{\n    bucket_id {bucket}\n"));
    if !arg.weight_sets.is_empty() {
        out.push_str("    weight_set [\n");
        for set in &arg.weight_sets {
            out.push_str("      [ ");
            set.iter().for_each(|w| line(out, format_args!("{} ", fixed(*w))));
            out.push_str("]\n");
        }
        out.push_str("    ]\n");
    }
    if !arg.ids.is_empty() {
        out.push_str("    ids [ ");
        arg.ids.iter().for_each(|id| line(out, format_args!("{id} ")));
        out.push_str("]\n");
    }
    out.push_str("  }\n");
}

/// 16.16 fixed point with three decimals; by way of a 32-bit float, as the reference does.
pub(crate) fn fixed(weight: u32) -> String {
    format!("{:.3}", weight as f32 / 65_536.0)
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}
