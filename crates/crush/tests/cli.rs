//! `seabed crush` against `crushtool`: the same arguments, the same lines and exit codes.
//!
//! Needs `crushtool` (Debian package ceph-base, 16.2.15); fails if it is missing.

mod common;

use std::collections::BTreeMap;

use common::{cases, first_difference, map_bytes, without_tree_nodes};
use seabed_crush::cli::{Files, run};

struct Disk;

impl Files for Disk {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, (i32, String)> {
        std::fs::read(path).map_err(|e| (e.raw_os_error().unwrap_or(5), strerror(&e)))
    }

    fn write(&mut self, path: &str, content: &[u8]) -> Result<(), (i32, String)> {
        std::fs::write(path, content).map_err(|e| (e.raw_os_error().unwrap_or(5), strerror(&e)))
    }
}

fn strerror(e: &std::io::Error) -> String {
    e.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

struct Ran {
    code: i32,
    out: String,
    err: String,
    /// The map written, if any.
    map: Option<Vec<u8>>,
}

/// Runs both with `{dir}` replaced; each starts without `{dir}/out`.
fn both(dir: &str, args: &str) -> (Ran, Ran) {
    let args: Vec<String> = args.split(' ').map(|a| a.replace("{dir}", dir)).collect();
    let target = format!("{dir}/out");
    let _ = std::fs::remove_file(&target);
    let (mut out, mut err) = (String::new(), String::new());
    let code = run(&args, &mut Disk, &mut out, &mut err);
    let ours = Ran { code, out, err, map: std::fs::read(&target).ok() };
    let _ = std::fs::remove_file(&target);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = common::run_crushtool(&args);
    let theirs = Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        map: std::fs::read(&target).ok(),
    };
    (ours, theirs)
}

fn compare(dir: &str, args: &str, what: &str) {
    let (ours, theirs) = both(dir, args);
    let said = format!("{what}: {args}\nours says {:?}\ntheirs {:.300}", ours.err, theirs.err);
    assert!(ours.out == theirs.out, "{said}\n{}", first_difference(&ours.out, &theirs.out));
    assert_eq!(ours.code, theirs.code, "{said}");
    match (ours.map, theirs.map) {
        (Some(a), Some(b)) => {
            let (a, b) = (without_tree_nodes(a.into()), without_tree_nodes(b.into()));
            assert!(a == b, "{said}\n{}", common::map_difference(a, b));
        }
        (a, b) => assert_eq!(a.is_some(), b.is_some(), "{said}"),
    }
}

#[test]
fn tests_print_the_same_lines() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let dir = dir.path().to_str().unwrap();
    let rounds = [
        "--show-mappings --min-x 0 --max-x 20 --num-rep 3",
        "--show-mappings --x 77 --rule 0",
        "--show-statistics --show-bad-mappings --min-x 5 --max-x 60 --num-rep 4 --weight 1 0.3",
        "--show-utilization --min-x 0 --max-x 300 --num-rep 3 --weight 0 0 --weight 2 0.7",
        "--show-utilization-all --min-x 0 --max-x 100 --num-rep 2 --min-rule 0 --max-rule 1",
        "--show-choose-tries --min-x 0 --max-x 100 --num-rep 5",
        "--show-mappings --show-statistics --min-x 0 --max-x 30 --num-rep 3 --pool-id 3",
        "--show-mappings --min-x 3 --max-x 9 --ruleset 1",
    ];
    for (n, case) in cases().iter().enumerate() {
        std::fs::write(format!("{dir}/map"), map_bytes(case)).expect("write");
        let options = rounds[n % rounds.len()];
        compare(dir, &format!("-i {{dir}}/map --test {options}"), &format!("map {n}"));
    }
}

#[test]
fn shows_are_the_same() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let dir = dir.path().to_str().unwrap();
    for (n, case) in cases().iter().enumerate().step_by(4) {
        std::fs::write(format!("{dir}/map"), map_bytes(case)).expect("write");
        for show in ["--tree", "--show-location 3", "--check", "--check 5", "-d {dir}/map"] {
            // Weight-sets are further columns there.
            let columns = case["text"].as_str().unwrap().contains("choose_args");
            if show != "--tree" || !columns {
                compare(dir, &format!("-i {{dir}}/map {show}"), &format!("map {n}"));
            }
        }
        let (ours, theirs) = both(dir, "-i {dir}/map --dump");
        let parse = |t: &str| serde_json::from_str::<serde_json::Value>(t).expect("json");
        let (mut a, mut b) = (parse(&ours.out), parse(&theirs.out));
        // Weights of weight-sets are printed with other digits.
        for v in [&mut a, &mut b] {
            v["choose_args"] = serde_json::Value::Null;
        }
        assert!(a == b, "map {n}: {}", first_difference(&format!("{a:#}"), &format!("{b:#}")));
    }
}

#[test]
fn new_maps_are_the_same() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let dir = dir.path().to_str().unwrap();
    for layers in [
        "5 host straw2 2 root straw2 0",
        "20 host straw2 4 rack straw 2 root list 0",
        "9 host uniform 3 root straw2 0",
        "3 root straw2 0",
        "5 node straw2 2",
        "5 node straw2",
        "5 node foo 2",
    ] {
        compare(dir, &format!("--build --num_osds {layers} -o {{dir}}/out"), "new");
    }
}

#[test]
fn wrong_arguments_are_told_alike() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let dir = dir.path().to_str().unwrap();
    std::fs::write(format!("{dir}/map"), map_bytes(&cases()[0])).expect("write");
    std::fs::write(format!("{dir}/text"), "type 0 osd\ntype 1 host\nhost a { alg foo }\n").unwrap();
    for args in [
        "-i {dir}/map",
        "-i {dir}/map --test",
        "-i {dir}/map --test --show-mappings --x",
        "-i {dir}/map --test --show-mappings --x a",
        "-i {dir}/map --set-choose-total-tries 33",
        "-d {dir}/none",
        "-c {dir}/none",
        "-d {dir}/text",
        "-c {dir}/text",
        "-i {dir}/map --remove-item nobody -o {dir}/out",
        "-i {dir}/map --remove-rule nobody -o {dir}/out",
        "-i {dir}/map --create-simple-rule r0 default host firstn -o {dir}/out",
    ] {
        let (ours, theirs) = both(dir, args);
        assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "{args}");
        let first = |t: &str| t.lines().next().unwrap_or_default().to_owned();
        assert_eq!(first(&ours.err), first(&theirs.err), "{args}");
    }
}

#[test]
fn changes_make_the_same_maps() {
    let dir = tempfile::Builder::new().prefix("crush-").tempdir().expect("temp dir");
    let dir = dir.path().to_str().unwrap();
    let mut compared: BTreeMap<&str, u32> = BTreeMap::new();
    for (n, case) in cases().iter().enumerate().step_by(8) {
        let text = case["text"].as_str().expect("text");
        // Uniform and tree buckets: the reference refuses to rebuild shadows of the former, and
        // fills nodes of the latter with what was in memory.
        let odd = text.contains("alg uniform") || text.contains("alg tree");
        // Real weight-sets have as many positions in every bucket; the reference mends others,
        // and fills empty ones.
        let mut map = seabed_crush::CrushMap::decode(map_bytes(case)).expect("decodes");
        map.drop_dead_choose_args();
        let mixed = map.choose_args.iter().any(|(_, args)| {
            let sizes = args.values().map(|a| a.weight_sets.len()).filter(|n| *n > 0);
            sizes.collect::<std::collections::BTreeSet<_>>().len() != 1
        });
        if odd || mixed {
            continue;
        }
        std::fs::write(format!("{dir}/map"), map_bytes(case)).expect("write");
        for change in [
            "--set-choose-total-tries 33 --set-chooseleaf-stable 0",
            "--add-item 300 1.5 osd.300 --loc host newhost --loc root default",
            "--add-item 300 1.5 osd.300 --loc host host0 --loc root default",
            "--update-item 3 1.25 osd.3 --loc host host0",
            "--remove-item osd.2",
            "--reweight-item osd.1 2.5",
            "--add-bucket b1 host --loc root default",
            "--add-bucket b2 host",
            "--reweight",
            "--rebuild-class-roots",
            "--create-simple-rule new default host firstn",
            "--create-simple-rule new default host indep",
            "--create-replicated-rule new default host --device-class ssd",
            "--remove-rule r0",
        ] {
            let old_sums = text.contains("alg list") || text.contains("choose_args");
            if change == "--reweight" && old_sums {
                continue; // the reference leaves wrong sums in list buckets and weight-sets
            }
            let args = format!("-i {{dir}}/map {change} -o {{dir}}/out");
            let (ours, theirs) = both(dir, &args);
            if theirs.code >= 124 && theirs.code <= 139 || theirs.code == -1 {
                continue; // it crashed
            }
            if theirs.code != 0 || theirs.map.is_none() {
                assert!(
                    ours.code != 0 || ours.map.is_none(),
                    "map {n}: {args}: {:.300}",
                    theirs.err
                );
                continue;
            }
            compare(dir, &args, &format!("map {n}"));
            *compared.entry(change).or_default() += 1;
        }
    }
    println!("{compared:#?}");
    assert_eq!(compared.len(), 14, "each change was compared: {compared:#?}");
}
