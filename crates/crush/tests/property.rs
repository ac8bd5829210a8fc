//! Maps made afresh: our text, bytes and mappings against the reference's tool at run time.
//!
//! Needs `crushtool` (Debian package ceph-base, 16.2.15); fails if it is missing.
//! `SEABED_CRUSH_CASES` sets the number of maps.

mod common;

use std::fmt::Write;

use common::{crushtool, first_difference, map_difference, without_tree_nodes};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seabed_crush::{CrushMap, Test};

const ALGS: [&str; 5] = ["straw2", "straw", "list", "tree", "uniform"];
const WEIGHTS: [&str; 8] =
    ["1.000", "0.000", "2.500", "0.001", "100.000", "0.333", "7.125", "1.000"];
const CLASSES: [&str; 3] = ["hdd", "ssd", "nvme"];
const TYPES: [&str; 4] = ["osd", "host", "rack", "root"];

/// A bucket: algorithm and the weights of its items, as indices of the tables above.
#[derive(Debug, Clone)]
struct Level {
    alg: usize,
    weights: Vec<usize>,
}

#[derive(Debug, Clone)]
struct RuleSpec {
    indep: bool,
    leaf: bool,
    num: i32,
    kind: usize,
    class: Option<usize>,
    sets: [Option<u8>; 6],
    second: Option<(bool, i32)>,
    twice: bool,
}

#[derive(Debug, Clone)]
struct Spec {
    tunables: [u8; 7],
    hosts: Vec<Level>,
    racks: Vec<Level>,
    root: Level,
    classes: Vec<Option<usize>>,
    with_classes: bool,
    rules: Vec<RuleSpec>,
    weight_sets: Option<Vec<u16>>,
    reweights: Vec<(u8, u8)>,
    num_rep: u8,
    x: u32,
}

fn level(max: usize) -> impl Strategy<Value = Level> {
    // straw2 as often as the others together.
    (0..10usize, prop::collection::vec(0..WEIGHTS.len(), 0..=max))
        .prop_map(|(alg, weights)| Level { alg: if alg < ALGS.len() { alg } else { 0 }, weights })
}

fn tunables() -> impl Strategy<Value = [u8; 7]> {
    prop_oneof![
        Just([0, 0, 50, 1, 1, 1, 1]),
        Just([0, 0, 50, 1, 1, 0, 1]),
        Just([0, 0, 50, 1, 0, 0, 0]),
        Just([2, 5, 19, 0, 0, 0, 0]),
        (0..4u8, 0..6u8, 1..60u8, 0..2u8, 0..4u8, 0..2u8, 0..2u8)
            .prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g]),
    ]
}

fn rule() -> impl Strategy<Value = RuleSpec> {
    let sets = [(); 6].map(|()| prop::option::weighted(0.15, 0..12u8));
    let class = prop::option::weighted(0.3, 0..CLASSES.len());
    let second = prop::option::weighted(0.3, (any::<bool>(), -1..4i32));
    let head = (any::<bool>(), any::<bool>(), -2..6i32, 0..3usize);
    (head, class, sets, second, prop::bool::weighted(0.2)).prop_map(
        |((indep, leaf, num, kind), class, sets, second, twice)| RuleSpec {
            indep,
            leaf,
            num,
            kind,
            class,
            sets,
            second,
            twice,
        },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    let tree = (
        prop::collection::vec(level(6), 1..8),
        prop::collection::vec(level(0), 1..4),
        level(0),
        prop::collection::vec(prop::option::weighted(0.8, 0..CLASSES.len()), 64),
        prop::bool::weighted(0.4),
    );
    let sets = prop::option::weighted(0.3, prop::collection::vec(any::<u16>(), 64));
    let run = (prop::collection::vec((0..40u8, 0..11u8), 0..6), 1..9u8, 0..1_000_000_000u32);
    (tunables(), tree, prop::collection::vec(rule(), 1..4), sets, run).prop_map(
        |(tunables, (hosts, racks, root, classes, with_classes), rules, weight_sets, run)| Spec {
            tunables,
            hosts,
            racks,
            root,
            classes,
            with_classes,
            rules,
            weight_sets,
            reweights: run.0,
            num_rep: run.1,
            x: run.2,
        },
    )
}

impl Spec {
    fn text(&self) -> String {
        let mut t = String::new();
        let names = [
            "choose_local_tries",
            "choose_local_fallback_tries",
            "choose_total_tries",
            "chooseleaf_descend_once",
            "chooseleaf_vary_r",
            "chooseleaf_stable",
            "straw_calc_version",
        ];
        for (name, value) in names.iter().zip(self.tunables) {
            writeln!(t, "tunable {name} {value}").unwrap();
        }
        let devices: usize = self.hosts.iter().map(|h| h.weights.len()).sum();
        for id in 0..devices {
            let class = self.classes[id % self.classes.len()].filter(|_| self.with_classes);
            let class = class.map(|c| format!(" class {}", CLASSES[c])).unwrap_or_default();
            writeln!(t, "device {id} osd.{id}{class}").unwrap();
        }
        for (id, name) in TYPES.iter().enumerate() {
            writeln!(t, "type {id} {name}").unwrap();
        }
        let mut next = 0;
        for (n, host) in self.hosts.iter().enumerate() {
            let items: Vec<String> = host
                .weights
                .iter()
                .map(|_| {
                    next += 1;
                    format!("osd.{}", next - 1)
                })
                .collect();
            bucket(&mut t, "host", &format!("host{n}"), host, &items);
        }
        for (n, rack) in self.racks.iter().enumerate() {
            let mine = (0..self.hosts.len()).filter(|h| h % self.racks.len() == n);
            let items: Vec<String> = mine.map(|h| format!("host{h}")).collect();
            inner(&mut t, "rack", &format!("rack{n}"), rack.alg, &items);
        }
        let items: Vec<String> = (0..self.racks.len()).map(|n| format!("rack{n}")).collect();
        inner(&mut t, "root", "default", self.root.alg, &items);
        for (id, rule) in self.rules.iter().enumerate() {
            self.rule_text(id, rule, &mut t);
        }
        t
    }

    fn rule_text(&self, id: usize, rule: &RuleSpec, t: &mut String) {
        let kind = if rule.indep { "erasure" } else { "replicated" };
        writeln!(t, "rule r{id} {{\n id {id}\n type {kind}\n min_size 1\n max_size 10").unwrap();
        let sets = [
            "set_choose_tries",
            "set_chooseleaf_tries",
            "set_choose_local_tries",
            "set_choose_local_fallback_tries",
            "set_chooseleaf_vary_r",
            "set_chooseleaf_stable",
        ];
        for (set, n) in sets.iter().zip(rule.sets) {
            if let Some(n) = n {
                writeln!(t, " step {set} {n}").unwrap();
            }
        }
        let mode = |indep: bool| if indep { "indep" } else { "firstn" };
        for _ in 0..1 + usize::from(rule.twice) {
            // Only what exists can be taken: a class needs a device that has it.
            let class = rule.class.filter(|c| self.with_classes && self.has_class(*c));
            let class = class.map(|c| format!(" class {}", CLASSES[c])).unwrap_or_default();
            writeln!(t, " step take default{class}").unwrap();
            let leaf = if rule.leaf { "chooseleaf" } else { "choose" };
            let (num, kind) = (rule.num, TYPES[rule.kind]);
            writeln!(t, " step {leaf} {} {num} type {kind}", mode(rule.indep)).unwrap();
            // The reference's tester writes where it should not for results that are buckets.
            let ends_in_buckets = !rule.leaf && rule.kind != 0;
            if let Some((indep, num)) = rule.second.or(ends_in_buckets.then_some((rule.indep, 1))) {
                writeln!(t, " step choose {} {num} type osd", mode(indep)).unwrap();
            }
            writeln!(t, " step emit").unwrap();
        }
        writeln!(t, "}}").unwrap();
    }

    fn has_class(&self, class: usize) -> bool {
        let devices: usize = self.hosts.iter().map(|h| h.weights.len()).sum();
        (0..devices).any(|id| self.classes[id % self.classes.len()] == Some(class))
    }

    /// A choose_args block for the straw2 buckets of a map.
    fn choose_args(&self, map: &CrushMap) -> String {
        let Some(numbers) = &self.weight_sets else { return String::new() };
        let mut numbers = numbers.iter().cycle();
        let mut t = String::from("choose_args 0 {\n");
        for bucket in map.iter_buckets().filter(|b| b.size() > 0) {
            let n = *numbers.next().unwrap();
            if n % 3 == 0 {
                continue;
            }
            writeln!(t, " {{\n bucket_id {}\n weight_set [", bucket.id).unwrap();
            for _ in 0..1 + n % 3 {
                t.push_str(" [");
                for _ in 0..bucket.size() {
                    write!(t, " {}.{}", numbers.next().unwrap() % 9, n % 10).unwrap();
                }
                t.push_str(" ]\n");
            }
            t.push_str(" ]\n");
            if n % 4 == 1 {
                let ids: Vec<String> =
                    bucket.items.iter().map(|i| (i * 3 - i32::from(n % 7)).to_string()).collect();
                writeln!(t, " ids [ {} ]", ids.join(" ")).unwrap();
            }
            t.push_str(" }\n");
        }
        t.push_str("}\n");
        t
    }
}

fn bucket(t: &mut String, kind: &str, name: &str, level: &Level, items: &[String]) {
    // The reference falls over uniform buckets without weight, and over empty ones.
    let alg = if items.is_empty() { "straw2" } else { ALGS[level.alg] };
    writeln!(t, "{kind} {name} {{\n alg {alg}\n hash 0").unwrap();
    for (item, weight) in items.iter().zip(&level.weights) {
        let weight = if alg == "uniform" { "1.500" } else { WEIGHTS[*weight] };
        writeln!(t, " item {item} weight {weight}").unwrap();
    }
    writeln!(t, "}}").unwrap();
}

/// A bucket of buckets, which weigh what they hold.
fn inner(t: &mut String, kind: &str, name: &str, alg: usize, items: &[String]) {
    let uniform = ALGS[alg] == "uniform";
    let alg = if items.is_empty() { "straw2" } else { ALGS[alg] };
    writeln!(t, "{kind} {name} {{\n alg {alg}\n hash 0").unwrap();
    for item in items {
        let weight = if uniform { " weight 3.000" } else { "" };
        writeln!(t, " item {item}{weight}").unwrap();
    }
    writeln!(t, "}}").unwrap();
}

/// The class lines of uniform buckets do not survive in the reference: then no class is taken.
fn uniform_with_classes(spec: &Spec) -> bool {
    let levels = spec.hosts.iter().chain(&spec.racks).chain([&spec.root]);
    spec.with_classes && levels.into_iter().any(|l| ALGS[l.alg] == "uniform")
}

fn check(spec: &Spec) -> Result<(), TestCaseError> {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut text = spec.text();
    let map =
        CrushMap::from_text(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
    text += &spec.choose_args(&map);
    let ours =
        CrushMap::from_text(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
    std::fs::write(path("text"), &text).expect("write");
    crushtool(&["-c", &path("text"), "-o", &path("map")])
        .map_err(|e| TestCaseError::fail(format!("the reference refuses: {e}\n{text}")))?;
    let theirs = std::fs::read(path("map")).expect("compiled");
    let (a, b) = (without_tree_nodes(ours.encode()), without_tree_nodes(theirs.clone().into()));
    prop_assert!(a == b, "{}\n{text}", map_difference(a, b));

    // Text and back, both ways.
    let written = crushtool(&["-d", &path("map")]).expect("decompiles");
    prop_assert!(ours.to_text() == written, "{}", first_difference(&ours.to_text(), &written));
    // The text leaves out weight-sets of buckets that do not heed them.
    let again = CrushMap::from_text(&written).expect("reads the reference's text");
    prop_assert_eq!(again.to_text(), written);

    // Mappings, on the reference's own bytes: its trees may hold nodes that ours do not.
    let map = CrushMap::decode(theirs.into()).expect("decodes");
    let x = (spec.x as i32, spec.x as i32 + 31);
    let num_rep = u32::from(spec.num_rep);
    let mut test = Test { x: Some(x), num_rep: Some((num_rep, num_rep)), ..Test::default() };
    test.mappings = true;
    let mut args: Vec<String> =
        ["-i", &path("map"), "--test", "--show-mappings"].into_iter().map(str::to_owned).collect();
    args.extend(["--min-x".into(), x.0.to_string(), "--max-x".into(), x.1.to_string()]);
    args.extend(["--num-rep".into(), num_rep.to_string()]);
    for (device, tenths) in &spec.reweights {
        let weight = f32::from(*tenths) / 10.0;
        args.extend(["--weight".into(), device.to_string(), weight.to_string()]);
        test.weights.insert(i32::from(*device), seabed_crush::weight_from_f32(weight));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let want = crushtool(&args).expect("maps");
    let mut got = String::new();
    test.run(&map, &mut got).expect("writes");
    prop_assert!(got == want, "{}\n{text}", first_difference(&got, &want));
    Ok(())
}

#[test]
fn fresh_maps_are_equal_in_text_bytes_and_mappings() {
    let cases = std::env::var("SEABED_CRUSH_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(64),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let strategy = spec().prop_filter("shadows of uniform buckets", |s| !uniform_with_classes(s));
    if let Err(e) = runner.run(&strategy, |spec| check(&spec)) {
        panic!("{e}");
    }
}
