//! `crushtool --test`: maps a range of inputs by each rule and prints what came out.
//!
//! Invariant: the lines are those of the reference's tool, character by character.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use crate::hash::hash2;
use crate::{CRUSH_ITEM_NONE, CrushMap, Step, Workspace};

/// Key of the weight-set that tests use, if there is one.
const CHOOSE_ARGS_KEY: i64 = 0;

/// What to test and to show.
#[derive(Debug, Clone, Default)]
pub struct Test {
    /// First and last rule; `None`: all.
    pub rules: Option<(u32, u32)>,
    /// Only rules of this ruleset.
    pub ruleset: Option<u8>,
    /// First and last input; `None`: 0 to 1023.
    pub x: Option<(i32, i32)>,
    /// Numbers of copies, from and to; `None`: from the rule's min_size to its max_size.
    pub num_rep: Option<(u32, u32)>,
    /// Hashes the inputs with a pool's id, as placement groups are.
    pub pool: Option<i64>,
    /// Reweights, 16.16 fixed point, by device; others are 1 where the map has the device.
    pub weights: BTreeMap<i32, u32>,
    /// `--show-mappings`
    pub mappings: bool,
    /// `--show-bad-mappings`
    pub bad_mappings: bool,
    /// `--show-statistics`
    pub statistics: bool,
    /// `--show-utilization`
    pub utilization: bool,
    /// `--show-utilization-all`
    pub utilization_all: bool,
    /// `--show-choose-tries`
    pub choose_tries: bool,
}

impl Test {
    /// True if nothing would be printed.
    pub fn is_silent(&self) -> bool {
        !(self.mappings
            || self.bad_mappings
            || self.statistics
            || self.utilization
            || self.utilization_all
            || self.choose_tries)
    }

    /// The devices' reweights as the test takes them.
    fn device_weights(&self, map: &CrushMap) -> Vec<u32> {
        let items: BTreeSet<i32> =
            map.iter_buckets().flat_map(|b| b.items.iter().copied()).collect();
        let present = |id: &i32| if items.contains(id) { 0x1_0000 } else { 0 };
        (0..map.max_devices)
            .map(|id| self.weights.get(&id).copied().unwrap_or_else(|| present(&id)))
            .collect()
    }

    /// What the test says on the error stream.
    pub fn notice(&self, map: &CrushMap) -> String {
        if self.is_silent() {
            return "WARNING: no output selected; use --output-csv or --show-X\n".to_owned();
        }
        if !self.utilization_all {
            return String::new();
        }
        let hex: Vec<String> = self.device_weights(map).iter().map(|w| format!("{w:x}")).collect();
        format!("devices weights (hex): [{}]\n", hex.join(","))
    }

    /// Runs the test on a map.
    pub fn run(&self, map: &CrushMap, out: &mut dyn Write) -> fmt::Result {
        let weights = self.device_weights(map);
        let mut workspace = Workspace::new();
        if self.choose_tries {
            workspace.count_tries(map);
        }
        let (first, last) = self.rules.unwrap_or((0, u32::MAX));
        for (id, rule) in (0..).zip(&map.rules).filter(|(id, _)| (first..=last).contains(id)) {
            let Some(rule) = rule else {
                if self.statistics {
                    writeln!(out, "rule {id} dne")?;
                }
                continue;
            };
            if self.ruleset.is_some_and(|set| set != rule.ruleset) {
                continue;
            }
            let sizes = (u32::from(rule.min_size), u32::from(rule.max_size));
            let (from, to) = self.num_rep.unwrap_or(sizes);
            if self.statistics {
                let (name, (x0, x1)) = (rule_label(map, id), self.inputs());
                writeln!(out, "rule {id} ({name}), x = {x0}..{x1}, numrep = {from}..{to}")?;
            }
            for num_rep in from..=to {
                self.run_one(map, id, num_rep, &weights, &mut workspace, out)?;
            }
        }
        for (tries, n) in workspace.tries().iter().enumerate() {
            // The reference counts up to one less than the limit.
            if tries < map.tunables.choose_total_tries as usize {
                writeln!(out, "{tries:2}: {n:9}")?;
            }
        }
        Ok(())
    }

    fn inputs(&self) -> (i32, i32) {
        self.x.unwrap_or((0, 1023))
    }

    /// One rule with one number of copies.
    fn run_one(
        &self,
        map: &CrushMap,
        rule: u32,
        num_rep: u32,
        weights: &[u32],
        workspace: &mut Workspace,
        out: &mut dyn Write,
    ) -> fmt::Result {
        // The reference sums up in 32 bits.
        let total = weights.iter().fold(0u32, |a, w| a.wrapping_add(*w)) as i32;
        if total == 0 {
            return Ok(());
        }
        let args = map.choose_args_for(CHOOSE_ARGS_KEY);
        let (x0, x1) = self.inputs();
        let mut stored = vec![0u64; weights.len()];
        let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
        let mut result = Vec::new();
        for x in x0..=x1 {
            let real = match self.pool {
                Some(pool) => hash2(x as u32, pool as u32),
                None => x as u32,
            };
            let n = num_rep as usize;
            map.do_rule_in(workspace, rule, real, n, weights, args, &mut result);
            if self.mappings {
                writeln!(out, "CRUSH rule {rule} x {x} {}", Listed(&result))?;
            }
            for device in &result {
                if let Some(n) = usize::try_from(*device).ok().and_then(|i| stored.get_mut(i)) {
                    *n += 1;
                }
            }
            *sizes.entry(result.len()).or_default() += 1;
            let bad = result.len() != n || result.contains(&CRUSH_ITEM_NONE);
            if self.bad_mappings && bad {
                let list = Listed(&result);
                writeln!(out, "bad mapping rule {rule} x {x} num_rep {num_rep} result {list}")?;
            }
        }
        if !self.statistics {
            return Ok(());
        }
        let objects = i64::from(x1) - i64::from(x0) + 1;
        let name = rule_label(map, rule);
        for (size, n) in sizes {
            write!(out, "rule {rule} ({name}) num_rep {num_rep} result size == {size}:")?;
            writeln!(out, "\t{n}/{objects}")?;
        }
        let most = i64::from(num_rep).min(most_affected(map, rule));
        let expected = (most * objects) as f32;
        for (device, (weight, n)) in weights.iter().zip(stored).enumerate() {
            let share = *weight as f32 / total as f32 * expected;
            if self.utilization && !(share > 0.0 && n > 0) {
                continue;
            }
            if self.utilization || self.utilization_all {
                let share = general(share);
                writeln!(out, "  device {device}:\t\t stored : {n}\t expected : {share}")?;
            }
        }
        Ok(())
    }
}

/// A result as `[1,2,3]`.
struct Listed<'a>(&'a [i32]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (i, device) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            write!(f, "{device}")?;
        }
        f.write_char(']')
    }
}

fn rule_label(map: &CrushMap, rule: u32) -> &str {
    map.rule_name(rule).unwrap_or("")
}

/// How many devices a rule can place at most, as the reference estimates it.
fn most_affected(map: &CrushMap, rule: u32) -> i64 {
    let mut wanted: BTreeMap<i32, i32> = BTreeMap::new();
    let mut kinds = Vec::new();
    for step in map.rule(rule).map(|r| r.steps.as_slice()).unwrap_or_default() {
        let (op, num, kind) = step.to_wire();
        if op >= 2 && step.meaning() != Step::Emit {
            kinds.push(kind);
            wanted.insert(kind, num);
        }
    }
    // A type that comes up twice counts twice.
    let mut have: BTreeMap<i32, i64> = BTreeMap::new();
    for kind in &kinds {
        let named = map.item_names.keys().filter(|id| **id < 0);
        let n = named.filter(|id| map.item_type(**id) == Some(*kind)).count();
        if n > 0 {
            *have.entry(*kind).or_default() += n as i64;
        }
    }
    for (kind, num) in wanted {
        if let Some(n) = have.get_mut(&kind).filter(|n| num > 0 && i64::from(num) < **n) {
            *n = i64::from(num);
        }
    }
    let top = i64::from(map.max_devices).max(map.buckets.len() as i64);
    have.into_values().filter(|n| *n > 0).fold(top, i64::min)
}

/// A number as C++ streams print it: six digits, no trailing zeros, an exponent if need be.
pub(crate) fn general(value: f32) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let scientific = format!("{:.5e}", value);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let digits = trim(digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let decimals = usize::try_from(5 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}")).to_owned()
}

fn trim(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn numbers_like_a_stream() {
        let shown = [0.0, 5.05, 0.0512821, 1234567.0, 100.0, 0.00001234, 999999.9].map(general);
        let want = ["0", "5.05", "0.0512821", "1.23457e+06", "100", "1.234e-05", "1e+06"];
        assert_eq!(shown, want);
    }
}
