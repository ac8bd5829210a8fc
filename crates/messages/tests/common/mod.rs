//! Recorded messages: gzip-compressed JSON lines, one message each.

#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use flate2::read::GzDecoder;
use seabed_denc::Bytes;
use seabed_messages::{Header, RawMessage};
use serde_json::Value;

/// One line.
pub(crate) struct Sample {
    /// File, line, name and situation.
    pub(crate) label: String,
    /// The daemon's own rendering.
    pub(crate) text: String,
    /// Who spoke, where the recording says; 16.2.15 elsewhere.
    pub(crate) release: String,
    pub(crate) raw: RawMessage,
}

/// The recordings kept with the tests.
pub(crate) fn committed() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    ["osd-mon.jsonl.gz", "osd-osd.jsonl.gz", "messages.jsonl.gz"].map(|f| dir.join(f)).to_vec()
}

/// Where all recordings lie beside a work tree; not everywhere.
pub(crate) fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors")
}

fn bytes(line: &Value, name: &str) -> Bytes {
    let text = line[name].as_str().unwrap_or("");
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64").into()
}

/// The messages of one file, without those whose front the recorder left out.
pub(crate) fn read(path: &Path) -> Vec<Sample> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut samples = Vec::new();
    for (i, line) in BufReader::new(GzDecoder::new(file)).lines().enumerate() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        if let Some(sample) = sample(&line, format!("{file_name}:{}", i + 1)) {
            samples.push(sample);
        }
    }
    samples
}

fn sample(line: &Value, at: String) -> Option<Sample> {
    let kind = line["type"].as_u64()?;
    let int = |names: &[&str]| names.iter().find_map(|n| line[*n].as_u64()).unwrap_or(0);
    // Sessions give lengths as `front` and the bytes as `front64`; long ones are left out there.
    let lengths = line["front"].is_u64();
    if line.get("front").is_some_and(Value::is_null) {
        return None;
    }
    let segment = |name: &str| {
        let b = bytes(line, &if lengths { format!("{name}64") } else { name.to_string() });
        (!lengths || line[name].as_u64().unwrap_or(0) == b.len() as u64).then_some(b)
    };
    let header = Header {
        kind: kind as u16,
        tid: int(&["tid"]),
        priority: int(&["priority", "prio"]) as u16,
        version: int(&["ver"]) as u16,
        compat_version: int(&["compat"]) as u16,
        flags: 3,
        ..Header::default()
    };
    let (front, middle, data) = (segment("front")?, segment("middle")?, segment("data")?);
    let situation = line["situation"].as_str().or(line["ladder"].as_str()).unwrap_or("");
    Some(Sample {
        label: format!("{at} {} {situation}", line["name"].as_str().unwrap_or("?")),
        text: line["text"].as_str().unwrap_or("").to_string(),
        release: line["release"].as_str().unwrap_or("").to_string(),
        raw: RawMessage { header, front, middle, data },
    })
}
