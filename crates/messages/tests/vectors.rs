//! Everything that real daemons and clients said decodes, and encodes to the same bytes.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::Sample;
use seabed_cluster::feature;
use seabed_denc::DecodeError;
use seabed_messages::{Message, MessageError, Packet, RawMessage};

/// A data segment of 20 KB and more was left out by the recorder: zeros stand for it, as many as
/// the ops say.
fn with_data(mut raw: RawMessage) -> RawMessage {
    let mut len = 0;
    while let Err(MessageError::Malformed {
        source: DecodeError::Short { need, have: 0 }, ..
    }) = Packet::decode(RawMessage { data: vec![0; len].into(), ..raw.clone() })
    {
        len += need;
    }
    raw.data = vec![0; len].into();
    raw
}

/// What one sample lacks, or nothing.
fn check(sample: &Sample) -> Result<(), String> {
    let is_op = matches!(sample.raw.header.kind, 42 | 43);
    let left_out = is_op && sample.raw.data.is_empty();
    let raw = if left_out { with_data(sample.raw.clone()) } else { sample.raw.clone() };
    let packet = Packet::decode(raw.clone()).map_err(|e| e.to_string())?;
    if let Message::Unknown(_) = packet.message {
        return Err("unknown kind".into());
    }
    let again = packet.encode(feature::PACIFIC_ALL);
    if again == raw {
        return Ok(());
    }
    let mut why = Vec::new();
    if again.header != raw.header {
        why.push(format!("header {:?} for {:?}", again.header, raw.header));
    }
    let segments = [
        ("front", &again.front, &raw.front),
        ("middle", &again.middle, &raw.middle),
        ("data", &again.data, &raw.data),
    ];
    for (name, ours, theirs) in segments {
        if ours != theirs {
            let at = ours.iter().zip(theirs.iter()).take_while(|(a, b)| a == b).count();
            why.push(format!("{name} {}/{} bytes, differs at {at}", ours.len(), theirs.len()));
        }
    }
    Err(why.join("; "))
}

/// Checks all of a file, prints the counts by kind and returns (good, bad).
fn check_file(path: &Path, failures: &mut Vec<String>) -> usize {
    let mut by_kind: BTreeMap<(u16, &str), usize> = BTreeMap::new();
    let samples = common::read(path);
    for sample in &samples {
        match check(sample) {
            Ok(()) => {
                let kind = sample.raw.header.kind;
                *by_kind.entry((kind, seabed_messages::registry::name(kind))).or_default() += 1;
            }
            Err(why) => failures.push(format!("{}: {why}", sample.label)),
        }
    }
    let counts: Vec<String> = by_kind.iter().map(|((_, name), n)| format!("{name} {n}")).collect();
    println!("{}: {} messages: {}", path.display(), samples.len(), counts.join(", "));
    samples.len()
}

fn report(total: usize, failures: &[String]) {
    println!("{total} messages, {} not the same", failures.len());
    let shown: Vec<&String> = failures.iter().take(40).collect();
    assert!(failures.is_empty(), "{shown:#?}");
}

#[test]
fn every_recorded_message_comes_back_byte_for_byte() {
    let mut failures = Vec::new();
    let total = common::committed().iter().map(|path| check_file(path, &mut failures)).sum();
    report(total, &failures);
    // 545 of clients, 626 between OSDs and monitor or manager, and those between OSDs.
    assert!(total > 2000, "the recordings are incomplete: {total}");
}

/// Whole sessions lie beside the work tree and are not kept with the tests.
#[test]
fn every_message_of_whole_sessions_comes_back() {
    let dir = common::shared().join("sessions");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("skipped: no {}", dir.display());
        return;
    };
    let mut failures = Vec::new();
    let mut paths: Vec<_> = entries.map(|e| e.expect("entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "gz"));
    paths.sort();
    let total = paths.iter().map(|path| check_file(path, &mut failures)).sum();
    report(total, &failures);
}

/// Kinds whose inside is not looked into.
const OPAQUE: [&str; 2] = ["mgr_beacon", "service_map"];

/// A message of 16.2.15 is in our own form down to its last struct: no byte is merely kept.
#[test]
fn nothing_of_16_2_15_is_unknown() {
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    let mut total = 0;
    for sample in common::committed().iter().flat_map(|path| common::read(path)) {
        let name = seabed_messages::registry::name(sample.raw.header.kind);
        if OPAQUE.contains(&name) || !sample.release.is_empty() && sample.release != "16.2.15" {
            continue;
        }
        let Ok(packet) = Packet::decode(sample.raw.clone()) else { continue };
        total += 1;
        let text = format!("{:?}", packet.message);
        for mark in ["kept: v", "foreign: v"] {
            for (at, _) in text.match_indices(mark) {
                let form: String = text[at..].chars().take_while(|c| !",}".contains(*c)).collect();
                *unknown.entry(format!("{name} {form}")).or_default() += 1;
            }
        }
    }
    println!("{total} messages of 16.2.15, {} forms unknown", unknown.len());
    assert!(unknown.is_empty(), "{unknown:#?}");
}
