//! The architecture, checked: levels and arrows between crates, file and line lengths, banned
//! words.
//!
//! The rules are those of `ARCHITECTURE.md`. Arrows point down; within a level only those listed
//! here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::process;

/// Arrows allowed between crates of the same level.
const SIDEWAYS: &[(&str, &str)] = &[
    ("seabed-crush", "seabed-denc"),
    ("seabed-messages", "seabed-cluster"),
    ("seabed-cephx", "seabed-cluster"),
    ("seabed-storage", "seabed-cluster"),
    ("seabed-osd", "seabed-pg"),
    ("seabed-osd", "seabed-objecter"),
    ("seabed-pg", "seabed-classes"),
    ("seabed", "seabed-rados"),
    ("seabed", "seabed-rbd"),
    ("seabed-rbd", "seabed-rados"),
    ("seabed", "seabed-attach"),
    ("seabed", "seabed-attachd"),
    ("seabed", "seabed-csi"),
    ("seabed-csi", "seabed-attach"),
    ("seabed-csi", "seabed-attachd"),
    ("seabed-csi", "seabed-rados"),
    ("seabed-csi", "seabed-rbd"),
    ("seabed-attachd", "seabed-attach"),
    ("seabed-attachd", "seabed-rados"),
    ("seabed-attachd", "seabed-rbd"),
];

/// Packages that only some of our crates may use: what they touch belongs to one place.
const FENCES: &[(&str, &[&str])] = &[
    (
        "tokio",
        &[
            "seabed-messenger",
            "seabed-rados",
            "seabed-rbd",
            "seabed-attach",
            "seabed-attachd",
            "seabed-csi",
            "seabed",
        ],
    ),
    ("io-uring", &["seabed-uring"]),
    ("rocksdb", &["seabed-rocks"]),
    ("fuser", &["seabed-attach"]),
    ("linux-raw-sys", &["seabed-attach"]),
    (
        "rand",
        &["seabed", "seabed-csi", "seabed-sim", "seabed-rados", "seabed-rbd", "seabed-messenger"],
    ),
];

/// Crates that may contain `unsafe`.
const UNSAFE: &[&str] = &["uring", "rocks", "attach"];

/// Words that hide a missing home or a missing decision.
const BANNED: &[&str] =
    &["todo!", "unimplemented!", "dbg!(", "FIXME", "XXX", "/root/", "/work/", "/home/"];

/// What rules must not touch: clocks, threads, files, sockets, the environment.
const IMPURE: &[&str] = &[
    "std::time::Instant",
    "SystemTime",
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "UdpSocket",
    "static mut",
];

const FILE_LINES_MAX: usize = 1000;
const LINE_COLUMNS_MAX: usize = 100;
const LEVEL_RULES_MAX: i64 = 2;

/// Reports every offence, not only the first.
pub(crate) fn run() -> Result<()> {
    let mut offences = Vec::new();
    arrows(&mut offences)?;
    for file in sources()? {
        source(&file, &mut offences)?;
    }
    if offences.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for offence in &offences {
        println!("{offence}");
    }
    bail!("tidy: {} offences", offences.len())
}

fn arrows(offences: &mut Vec<String>) -> Result<()> {
    let text = process::read(Command::new("cargo").args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut level = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        match package["metadata"]["arch"]["level"].as_i64() {
            Some(l) => drop(level.insert(name, l)),
            None => offences.push(format!("{name}: no [package.metadata.arch] level")),
        }
    }
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let on = dependency["name"].as_str().context("a dependency has no name")?;
            let normal = dependency["kind"].is_null();
            if let (Some(from), Some(to)) = (level.get(name), level.get(on)) {
                let sideways = SIDEWAYS.contains(&(name, on));
                if normal && *from <= LEVEL_RULES_MAX + 2 && from <= to && !sideways {
                    offences.push(format!("{name} (level {from}) must not use {on} (level {to})"));
                }
            }
            for (fenced, allowed) in FENCES {
                let outside = level.get(name).is_some_and(|l| *l <= LEVEL_RULES_MAX + 2);
                if normal && on == *fenced && outside && !allowed.contains(&name) {
                    offences.push(format!("{name} must not use the package {fenced}"));
                }
            }
        }
    }
    Ok(())
}

/// Rust files that git tracks or would track.
fn sources() -> Result<Vec<PathBuf>> {
    let list = process::read(Command::new("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
        "--",
        "*.rs",
    ]))?;
    Ok(list.lines().map(PathBuf::from).filter(|p| p.exists()).collect())
}

fn source(file: &Path, offences: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let shown = file.display();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        offences.push(format!("{shown}: {lines} lines, more than {FILE_LINES_MAX}"));
    }
    if !text.starts_with("//!") {
        offences.push(format!("{shown}: does not open with what it is (`//!`)"));
    }
    let test = file.iter().any(|part| part == "tests");
    let rule = !test && level_of(file).is_some_and(|level| level <= LEVEL_RULES_MAX);
    let is_tidy = file.ends_with("xtask/src/tidy.rs");
    for (index, line) in text.lines().enumerate() {
        let at = format!("{shown}:{}", index + 1);
        if line.chars().count() > LINE_COLUMNS_MAX {
            offences.push(format!("{at}: more than {LINE_COLUMNS_MAX} columns"));
        }
        if is_tidy {
            continue;
        }
        for word in BANNED.iter().filter(|w| line.contains(**w)) {
            offences.push(format!("{at}: `{word}`"));
        }
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("unbounded_channel") {
            offences.push(format!("{at}: an unbounded channel"));
        }
        if rule && (code.contains("async fn ") || code.contains(".await")) {
            offences.push(format!("{at}: async in a rule"));
        }
        for word in IMPURE.iter().filter(|w| rule && code.contains(**w)) {
            offences.push(format!("{at}: `{word}` in a rule"));
        }
        if code.contains("unsafe {") && !UNSAFE.iter().any(|c| in_crate(file, c)) {
            offences.push(format!("{at}: unsafe outside uring, rocks and attach"));
        }
    }
    if rule && file.ends_with("src/lib.rs") && !text.contains("#![forbid(unsafe_code)]") {
        offences.push(format!("{shown}: lacks #![forbid(unsafe_code)]"));
    }
    Ok(())
}

fn in_crate(file: &Path, name: &str) -> bool {
    file.starts_with(Path::new("crates").join(name))
}

/// The level of the crate that holds a source file under `src/`.
fn level_of(file: &Path) -> Option<i64> {
    let mut parts = file.iter();
    if parts.next()? != "crates" {
        return None;
    }
    let name = parts.next()?;
    if parts.next()? != "src" {
        return None;
    }
    let manifest = fs::read_to_string(Path::new("crates").join(name).join("Cargo.toml")).ok()?;
    toml::from_str::<toml::Value>(&manifest)
        .ok()?
        .get("package")?
        .get("metadata")?
        .get("arch")?
        .get("level")?
        .as_integer()
}
