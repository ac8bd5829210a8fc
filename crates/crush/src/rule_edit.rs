//! Adding, renaming and removing rules.
//!
//! Invariant: a rule's id is its slot, and its `ruleset` the same number.

use crate::{CrushError, CrushMap, RULE_ERASURE, RULE_REPLICATED, Rule, Step};

/// Rules a map can have: ids are one byte in pools.
const RULES_MAX: usize = 256;

/// How a simple rule fills the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A failed choice shortens the result: for replicated pools.
    Firstn,
    /// A failed choice leaves a hole: for erasure-coded pools.
    Indep,
}

impl Mode {
    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "firstn" => Some(Self::Firstn),
            "indep" => Some(Self::Indep),
            _ => None,
        }
    }
}

impl Step {
    /// The item that a take step starts from.
    pub fn takes(&self) -> Option<i32> {
        match self.meaning() {
            Self::Take(item) => Some(item),
            _ => None,
        }
    }
}

impl CrushMap {
    /// Puts a rule into slot `id`, or the first free one, and names it.
    pub fn add_rule(
        &mut self,
        id: Option<u32>,
        name: &str,
        mut rule: Rule,
    ) -> Result<u32, CrushError> {
        if !crate::names::is_valid_name(name) {
            return Err(CrushError::invalid("rule name", name));
        }
        if self.rule_id(name).is_some() {
            return Err(CrushError::Exists { what: "rule", name: name.to_owned() });
        }
        let at = match id {
            Some(id) => id as usize,
            None => self.rules.iter().position(Option::is_none).unwrap_or(self.rules.len()),
        };
        if at >= RULES_MAX {
            return Err(CrushError::Range("rule id"));
        }
        if self.rules.len() <= at {
            self.rules.resize(at + 1, None);
        }
        if self.rules[at].is_some() {
            return Err(CrushError::Exists { what: "rule", name: at.to_string() });
        }
        rule.ruleset = at as u8;
        self.rules[at] = Some(rule);
        self.rule_names.insert(at as i32, name.to_owned());
        Ok(at as u32)
    }

    /// Adds a replicated rule: copies on different `failure_domain`s (a type name, "" or the
    /// devices' type for devices) below `root`, of one device class or any.
    pub fn add_simple_rule(
        &mut self,
        name: &str,
        root: &str,
        failure_domain: &str,
        class: Option<&str>,
    ) -> Result<u32, CrushError> {
        self.add_rule_of(name, root, failure_domain, class, Mode::Firstn, RULE_REPLICATED)
    }

    /// As [`CrushMap::add_simple_rule`] for an erasure-coded pool.
    pub fn add_erasure_rule(
        &mut self,
        name: &str,
        root: &str,
        failure_domain: &str,
        class: Option<&str>,
    ) -> Result<u32, CrushError> {
        self.add_rule_of(name, root, failure_domain, class, Mode::Indep, RULE_ERASURE)
    }

    /// The general form of [`CrushMap::add_simple_rule`].
    pub fn add_rule_of(
        &mut self,
        name: &str,
        root: &str,
        failure_domain: &str,
        class: Option<&str>,
        mode: Mode,
        kind: u8,
    ) -> Result<u32, CrushError> {
        let mut start = self.find_item(root)?;
        let kind_of_leaf = match failure_domain {
            "" => 0,
            name => self.type_id(name).ok_or_else(|| CrushError::not_found("type", name))?,
        };
        if let Some(class) = class.filter(|c| !c.is_empty()) {
            let id = self.class_id(class).ok_or_else(|| CrushError::not_found("class", class))?;
            let shadow = self.class_buckets.get(&start).and_then(|by| by.get(&id));
            let none = || CrushError::not_found("device of class", class);
            start = *shadow.ok_or_else(none)?;
        }
        let (num, kind_wanted) = (0, kind_of_leaf);
        let mut steps = Vec::new();
        if mode == Mode::Indep {
            steps.extend([Step::SetChooseleafTries(5), Step::SetChooseTries(100)]);
        }
        steps.push(Step::Take(start));
        steps.push(match (mode, kind_wanted) {
            (Mode::Firstn, 0) => Step::ChooseFirstn { num, kind: 0 },
            (Mode::Indep, 0) => Step::ChooseIndep { num, kind: 0 },
            (Mode::Firstn, kind) => Step::ChooseleafFirstn { num, kind },
            (Mode::Indep, kind) => Step::ChooseleafIndep { num, kind },
        });
        steps.push(Step::Emit);
        let (min_size, max_size) = if mode == Mode::Firstn { (1, 10) } else { (3, 20) };
        let rule = Rule { ruleset: 0, kind, min_size, max_size, steps };
        self.add_rule(None, name, rule)
    }

    /// Removes a rule; its slot becomes free.
    pub fn remove_rule(&mut self, name: &str) -> Result<(), CrushError> {
        let id = self.rule_id(name).ok_or_else(|| CrushError::not_found("rule", name))?;
        if let Some(place) = self.rules.get_mut(id as usize) {
            *place = None;
        }
        self.rule_names.remove(&(id as i32));
        self.rebuild_shadow_trees()
    }

    /// Renames a rule.
    pub fn rename_rule(&mut self, from: &str, to: &str) -> Result<(), CrushError> {
        let id = self.rule_id(from).ok_or_else(|| CrushError::not_found("rule", from))?;
        if !crate::names::is_valid_name(to) {
            return Err(CrushError::invalid("rule name", to));
        }
        if from != to && self.rule_id(to).is_some() {
            return Err(CrushError::Exists { what: "rule", name: to.to_owned() });
        }
        self.rule_names.insert(id as i32, to.to_owned());
        Ok(())
    }
}
