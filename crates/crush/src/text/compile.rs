//! Reading a map from text.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::Lexer;
use crate::{Bucket, BucketAlg, ChooseArg, ChooseArgs, CrushError, CrushMap, Rule, Step, Tunables};
use crate::{RULE_ERASURE, RULE_REPLICATED};

/// Largest weight of a device and of a bucket, 16.16 fixed point.
const DEVICE_WEIGHT_MAX: u32 = 100 << 16;
const BUCKET_WEIGHT_MAX: u32 = 65_535 << 16;

/// Largest explicit position in a bucket: each one below takes memory.
const POS_MAX: usize = 1 << 16;

/// Largest device id: programs have tables of that length.
const DEVICE_MAX: i32 = 1 << 24;

impl CrushMap {
    /// Reads the text form. What the text does not set is as in the first releases: a map without
    /// `tunable` lines has the profile "argonaut".
    pub fn from_text(text: &str) -> Result<Self, CrushError> {
        let mut lexer = Lexer::new(text);
        let map = Self { tunables: Tunables::ARGONAUT, ..Self::default() };
        let mut compiler = Compiler {
            map,
            shadows: BTreeMap::new(),
            used_ids: used_ids(text),
            next_id: -1,
            items: BTreeMap::new(),
            weights: BTreeMap::new(),
            classes_done: false,
        };
        compiler.run(&mut lexer)?;
        let mut map = compiler.map;
        let devices = map.iter_buckets().flat_map(|b| &b.items);
        let top = devices.copied().max().map_or(0, |id| id.saturating_add(1));
        map.max_devices = map.max_devices.max(top);
        Ok(map)
    }
}

/// Ids that the text gives to buckets, so that those without get others.
fn used_ids(text: &str) -> BTreeSet<i32> {
    let mut lexer = Lexer::new(text);
    let mut ids = BTreeSet::new();
    while !lexer.is_at_end() {
        if lexer.accept("id") {
            ids.extend(lexer.maybe_int::<i32>().filter(|id| *id < 0));
        } else {
            lexer.accept(lexer.peek());
        }
    }
    ids
}

struct Compiler {
    map: CrushMap,
    /// Shadow ids that the text gives.
    shadows: BTreeMap<i32, BTreeMap<i32, i32>>,
    used_ids: BTreeSet<i32>,
    /// Where the search for a free id goes on.
    next_id: i32,
    /// Devices and buckets so far.
    items: BTreeMap<String, i32>,
    /// Sum of the items' weights of each bucket so far.
    weights: BTreeMap<i32, u32>,
    classes_done: bool,
}

/// An `item` line.
struct Item {
    id: i32,
    weight: u32,
    pos: Option<usize>,
}

impl Compiler {
    fn run(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        loop {
            match lexer.peek() {
                "tunable" => self.tunable(lexer)?,
                "device" => self.device(lexer)?,
                "type" => self.bucket_type(lexer)?,
                _ => break,
            }
        }
        while !lexer.is_at_end() && lexer.peek() != "choose_args" {
            if lexer.peek() == "rule" { self.rule(lexer)? } else { self.bucket(lexer)? }
        }
        while !lexer.is_at_end() {
            self.choose_args(lexer)?;
        }
        Ok(())
    }

    fn tunable(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        lexer.expect("tunable")?;
        let name = lexer.name()?;
        let value: u32 = lexer.int()?;
        let t = &mut self.map.tunables;
        match name {
            "choose_local_tries" => t.choose_local_tries = value,
            "choose_local_fallback_tries" => t.choose_local_fallback_tries = value,
            "choose_total_tries" => t.choose_total_tries = value,
            "chooseleaf_descend_once" => t.chooseleaf_descend_once = value,
            // These are a byte each; more never had a meaning.
            "chooseleaf_vary_r" => t.chooseleaf_vary_r = value as u8,
            "chooseleaf_stable" => t.chooseleaf_stable = value as u8,
            "straw_calc_version" => t.straw_calc_version = value as u8,
            "allowed_bucket_algs" => t.allowed_bucket_algs = value,
            _ => return Err(lexer.error(format!("tunable {name} not recognized"))),
        }
        Ok(())
    }

    fn device(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        lexer.expect("device")?;
        let id: i32 = lexer.int()?;
        let name = lexer.name()?;
        if !(0..DEVICE_MAX).contains(&id) {
            return Err(lexer.error(format!("device id {id} out of range")));
        }
        if self.items.contains_key(name) {
            return Err(lexer.error(format!("item {name} defined twice")));
        }
        self.map.item_names.insert(id, name.to_owned());
        self.items.insert(name.to_owned(), id);
        self.map.max_devices = self.map.max_devices.max(id + 1);
        if lexer.accept("class") {
            let class = self.map.ensure_class(lexer.name()?)?;
            self.map.device_classes.insert(id, class);
        }
        Ok(())
    }

    fn bucket_type(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        lexer.expect("type")?;
        let id: u16 = lexer.int()?;
        self.map.type_names.insert(i32::from(id), lexer.name()?.to_owned());
        Ok(())
    }

    fn bucket(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        let kind_name = lexer.name()?;
        let name = lexer.name()?;
        let kind = self.map.type_id(kind_name).and_then(|k| u16::try_from(k).ok());
        let Some(kind) = kind else {
            return Err(lexer.error(format!("bucket type '{kind_name}' is not defined")));
        };
        if self.items.contains_key(name) {
            return Err(lexer.error(format!("bucket or device '{name}' is already defined")));
        }
        lexer.expect("{")?;
        let (id, classes) = self.bucket_ids(lexer, name)?;
        lexer.expect("alg")?;
        let alg = lexer.name()?;
        let Some(alg) = BucketAlg::from_name(alg) else {
            return Err(lexer.error(format!("unknown bucket alg '{alg}'")));
        };
        let mut hash = 0;
        while lexer.accept("hash") {
            // A number beyond a byte keeps its low byte, as the bucket has no more.
            hash = if lexer.accept("rjenkins1") { 0 } else { lexer.int::<i64>()? as u8 };
        }
        let items = self.bucket_items(lexer, name, alg)?;
        lexer.expect("}")?;
        let mut bucket = Bucket::new(alg, kind, &items, &self.map.tunables)?;
        bucket.hash = hash;
        let weight = bucket.weight;
        let id = match id {
            Some(id) => id,
            None => self.free_id(),
        };
        self.map.add_bucket(Some(id), bucket).map_err(|e| match e {
            CrushError::Exists { .. } => lexer.error(format!("Duplicate bucket id {id}")),
            e => e,
        })?;
        self.used_ids.insert(id);
        self.map.item_names.insert(id, name.to_owned());
        self.items.insert(name.to_owned(), id);
        self.weights.insert(id, weight);
        if !classes.is_empty() {
            self.shadows.insert(id, classes);
        }
        Ok(())
    }

    fn free_id(&mut self) -> i32 {
        while self.used_ids.contains(&self.next_id) {
            self.next_id = self.next_id.saturating_sub(1);
        }
        self.next_id
    }

    /// The `id` lines: the bucket's own and those of its shadows.
    fn bucket_ids(
        &mut self,
        lexer: &mut Lexer,
        name: &str,
    ) -> Result<(Option<i32>, BTreeMap<i32, i32>), CrushError> {
        let mut own = None;
        let mut shadows = BTreeMap::new();
        while lexer.accept("id") {
            let id: i32 = lexer.int()?;
            if id >= 0 {
                return Err(lexer.error(format!("bucket id {id} is not negative")));
            }
            if !lexer.accept("class") {
                own = Some(id);
                continue;
            }
            let class = lexer.name()?;
            let Some(class_id) = self.map.class_id(class) else {
                return Err(lexer.error(format!("unknown device class '{class}'")));
            };
            if shadows.insert(class_id, id).is_some() {
                let text = format!("duplicate device class {class} for bucket {name}");
                return Err(lexer.error(text));
            }
        }
        Ok((own, shadows))
    }

    /// The `item` lines, put into their positions. Positions between that no item has hold
    /// device 0 with no weight, as trees have where an item was removed.
    fn bucket_items(
        &self,
        lexer: &mut Lexer,
        name: &str,
        alg: BucketAlg,
    ) -> Result<Vec<(i32, u32)>, CrushError> {
        let mut items = Vec::new();
        let mut taken = BTreeSet::new();
        let mut uniform = None;
        while lexer.accept("item") {
            let item_name = lexer.name()?;
            let item = self.item(lexer, name, item_name)?;
            if let Some(pos) = item.pos.filter(|pos| !taken.insert(*pos) || *pos > POS_MAX) {
                let text = format!("item '{item_name}' in bucket '{name}' has explicit pos {pos}");
                return Err(lexer.error(text + ", which is occupied"));
            }
            let first = *uniform.get_or_insert(item.weight);
            if alg == BucketAlg::Uniform && first != item.weight {
                let (got, had) = (item.weight, first as f32 / 65_536.0);
                return Err(lexer.error(format!(
                    "item '{item_name}' in uniform bucket '{name}' has weight {got} but previous \
                     item(s) have weight {had}; uniform bucket items must all have identical \
                     weights."
                )));
            }
            items.push(item);
        }
        let size = items.len().max(taken.last().copied().unwrap_or(0));
        let mut list = vec![(0, 0); size];
        let mut next = 0;
        for item in items {
            let pos = item.pos.unwrap_or_else(|| {
                while taken.contains(&next) {
                    next += 1;
                }
                next += 1;
                next - 1
            });
            let Some(place) = list.get_mut(pos) else {
                let text = format!("item in bucket '{name}' has pos {pos} >= size {size}");
                return Err(lexer.error(text));
            };
            *place = (item.id, item.weight);
        }
        Ok(list)
    }

    fn item(&self, lexer: &mut Lexer, bucket: &str, name: &str) -> Result<Item, CrushError> {
        let Some(id) = self.items.get(name).copied() else {
            let text = format!("item '{name}' in bucket '{bucket}' is not defined");
            return Err(lexer.error(text));
        };
        let mut weight = self.weights.get(&id).copied().unwrap_or(0x1_0000);
        if lexer.accept("weight") {
            weight = lexer.weight()?;
            if id >= 0 && weight > DEVICE_WEIGHT_MAX {
                let max = DEVICE_WEIGHT_MAX >> 16;
                return Err(lexer.error(format!("device weight limited to {max}")));
            }
            if id < 0 && weight > BUCKET_WEIGHT_MAX {
                let max = BUCKET_WEIGHT_MAX >> 16;
                let text = format!("bucket weight limited to {max} to prevent overflow");
                return Err(lexer.error(text));
            }
        }
        let pos = if lexer.accept("pos") { Some(lexer.int()?) } else { None };
        Ok(Item { id, weight, pos })
    }

    fn rule(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        if !self.classes_done {
            self.classes_done = true;
            // As the reference: a bucket that cannot be copied ends the copying, not the reading.
            let _ = self.map.populate_classes(std::mem::take(&mut self.shadows), true);
        }
        lexer.expect("rule")?;
        let name = if lexer.peek() == "{" { "" } else { lexer.name()? };
        lexer.expect("{")?;
        if !lexer.accept("id") {
            lexer.expect("ruleset")?;
        }
        let id: u32 = lexer.int()?;
        lexer.expect("type")?;
        let kind = if lexer.accept("replicated") {
            RULE_REPLICATED
        } else {
            lexer.expect("erasure")?;
            RULE_ERASURE
        };
        lexer.expect("min_size")?;
        let min_size = lexer.int::<u32>()? as u8;
        lexer.expect("max_size")?;
        let max_size = lexer.int::<u32>()? as u8;
        let mut steps = Vec::new();
        while lexer.accept("step") {
            steps.push(self.step(lexer, name)?);
        }
        lexer.expect("}")?;
        let rule = Rule { ruleset: 0, kind, min_size, max_size, steps };
        if !name.is_empty() && self.map.rule_id(name).is_some() {
            return Err(lexer.error(format!("rule name '{name}' already defined")));
        }
        if self.map.rule(id).is_some() {
            return Err(lexer.error(format!("rule {id} already exists")));
        }
        // A rule without a name gets one for the moment.
        let named = if name.is_empty() { "-" } else { name };
        let added = self.map.add_rule(Some(id), named, rule);
        added.map_err(|_| lexer.error(format!("unable to add rule id {id} for rule '{name}'")))?;
        if name.is_empty() {
            self.map.rule_names.remove(&(id as i32));
        }
        Ok(())
    }

    fn step(&self, lexer: &mut Lexer, rule: &str) -> Result<Step, CrushError> {
        let what = lexer.name()?;
        Ok(match what {
            "take" => Step::Take(self.take(lexer, rule)?),
            "emit" => Step::Emit,
            "noop" => Step::Noop,
            "set_choose_tries" => Step::SetChooseTries(lexer.int()?),
            "set_chooseleaf_tries" => Step::SetChooseleafTries(lexer.int()?),
            "set_choose_local_tries" => Step::SetChooseLocalTries(lexer.int()?),
            "set_choose_local_fallback_tries" => Step::SetChooseLocalFallbackTries(lexer.int()?),
            "set_chooseleaf_vary_r" => Step::SetChooseleafVaryR(lexer.int()?),
            "set_chooseleaf_stable" => Step::SetChooseleafStable(lexer.int()?),
            "choose" | "chooseleaf" => {
                let mode = lexer.name()?;
                let num = lexer.int()?;
                lexer.expect("type")?;
                let name = lexer.name()?;
                let Some(kind) = self.map.type_id(name) else {
                    return Err(lexer.error(format!("in rule '{rule}' type '{name}' not defined")));
                };
                match (what, mode) {
                    ("choose", "firstn") => Step::ChooseFirstn { num, kind },
                    ("choose", "indep") => Step::ChooseIndep { num, kind },
                    ("chooseleaf", "firstn") => Step::ChooseleafFirstn { num, kind },
                    ("chooseleaf", "indep") => Step::ChooseleafIndep { num, kind },
                    _ => return Err(lexer.unexpected()),
                }
            }
            _ => return Err(lexer.unexpected()),
        })
    }

    fn take(&self, lexer: &mut Lexer, rule: &str) -> Result<i32, CrushError> {
        let name = lexer.name()?;
        let Some(item) = self.items.get(name).copied() else {
            return Err(lexer.error(format!("in rule '{rule}' item '{name}' not defined")));
        };
        if !lexer.accept("class") {
            return Ok(item);
        }
        let class = lexer.name()?;
        let Some(class_id) = self.map.class_id(class) else {
            return Err(lexer.error(format!("in rule '{rule}' class '{class}' not defined")));
        };
        let Some(shadows) = self.map.class_buckets.get(&item) else {
            let text = format!("in rule '{rule}' step take {name} has no class information");
            return Err(lexer.error(text));
        };
        shadows.get(&class_id).copied().ok_or_else(|| {
            lexer.error(format!(
                "in rule '{rule}' step take {name} no matching bucket for class {class}"
            ))
        })
    }

    fn choose_args(&mut self, lexer: &mut Lexer) -> Result<(), CrushError> {
        lexer.expect("choose_args")?;
        let key = lexer.int::<i128>()?;
        // What the writer made of -1 is the largest number, which reads as -1 again.
        let key = i64::from(key.clamp(i64::MIN.into(), i64::MAX.into()) as i32);
        if self.map.choose_args.get(key).is_some() {
            return Err(lexer.error(format!("{key} duplicated")));
        }
        lexer.expect("{")?;
        let mut args = ChooseArgs::new();
        while lexer.accept("{") {
            lexer.expect("bucket_id")?;
            let id: i32 = lexer.int()?;
            let size = self.map.bucket(id).map_or(0, Bucket::size);
            let Some(index) = crate::map::slot(id).filter(|_| self.map.bucket(id).is_some()) else {
                return Err(lexer.error(format!("bucket_id {id} does not exist")));
            };
            let mut arg = ChooseArg::default();
            if lexer.accept("weight_set") {
                arg.weight_sets = weight_sets(lexer, id, size)?;
            }
            if lexer.accept("ids") {
                lexer.expect("[")?;
                while let Some(n) = lexer.maybe_int() {
                    arg.ids.push(n);
                }
                lexer.expect("]")?;
                needs_exactly(lexer, id, size, arg.ids.len(), "ids")?;
            }
            lexer.expect("}")?;
            // Slots are below 2^18.
            args.insert(index as u32, arg);
        }
        lexer.expect("}")?;
        self.map.choose_args.insert(key, args);
        Ok(())
    }
}

fn weight_sets(lexer: &mut Lexer, id: i32, size: usize) -> Result<Vec<Vec<u32>>, CrushError> {
    let mut sets = Vec::new();
    lexer.expect("[")?;
    while lexer.accept("[") {
        let mut set = Vec::new();
        while let Some(w) = lexer.maybe_weight() {
            set.push(w);
        }
        lexer.expect("]")?;
        needs_exactly(lexer, id, size, set.len(), "weights")?;
        sets.push(set);
    }
    lexer.expect("]")?;
    Ok(sets)
}

fn needs_exactly(
    lexer: &Lexer,
    id: i32,
    size: usize,
    got: usize,
    what: &str,
) -> Result<(), CrushError> {
    if size == got {
        return Ok(());
    }
    Err(lexer.error(format!("{id} needs exactly {size} {what} but got {got}")))
}
