//! Reading of test vectors: gzip-compressed JSON lines with base64 binaries.

#![allow(dead_code)]

pub(crate) mod maps;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use bytes::Bytes;
use serde_json::Value;

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the shared folder beside the repository, which is never part of it.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SEABED_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: {} is not here", path.display());
        return None;
    }
    Some(path)
}

pub(crate) fn lines(path: &Path) -> impl Iterator<Item = Value> + use<> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(file));
    reader.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

pub(crate) fn binary(v: &Value) -> Bytes {
    let text = v.as_str().expect("base64 text");
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64").into()
}

/// The same value with every number as a rounded float, so that 1 and 1.0 and the last of 17
/// digits make no difference.
pub(crate) fn plain_numbers(v: &Value) -> Value {
    match v {
        Value::Number(n) => {
            let x = n.as_f64().expect("a number");
            if x.fract() == 0.0 { x.into() } else { ((x * 1e9).round() / 1e9).into() }
        }
        Value::Array(all) => all.iter().map(plain_numbers).collect(),
        Value::Object(all) => all.iter().map(|(k, v)| (k.clone(), plain_numbers(v))).collect(),
        other => other.clone(),
    }
}

/// Seeds say all that a failure needs to be told by: nothing is written beside the tests.
pub(crate) fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
