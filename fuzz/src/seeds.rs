//! Valid inputs, from the vectors committed with the crates' tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::msgr2;
use crate::targets::message_input;

/// Samples of one kind and version of message.
const PER_KIND: usize = 3;
/// Inputs longer than this are tried by the crates' own tests; here they only slow things down.
const SEED_BYTES_MAX: usize = 24 << 10;
const SEEDS_MAX: usize = 400;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(path)
}

fn lines(path: &str) -> Vec<Value> {
    let path = data(path);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect()
}

fn base64(value: &Value) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()
}

fn recorded_messages() -> impl Iterator<Item = Value> {
    ["osd-osd", "osd-mon", "messages"]
        .into_iter()
        .flat_map(|name| lines(&format!("messages/tests/data/{name}.jsonl.gz")))
        .filter(|line| line["type"].is_u64() && line["front"].is_string())
}

fn bounded(seeds: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = seeds.filter(|s| s.len() <= SEED_BYTES_MAX).collect();
    seeds.sort_by_key(Vec::len);
    let step = seeds.len().div_ceil(SEEDS_MAX).max(1);
    seeds.into_iter().step_by(step).collect()
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let mut by_kind: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    for line in recorded_messages() {
        let int = |name: &str| line[name].as_u64().unwrap_or(0);
        let word = |name: &str| u16::try_from(int(name)).unwrap_or(0);
        let segment = |name: &str| base64(&line[name]).unwrap_or_default();
        let (front, data) = (segment("front"), segment("data"));
        let of_kind = by_kind.entry((int("type"), int("ver"))).or_default();
        of_kind.push(message_input(word("type"), word("ver"), word("compat"), &front, &data));
    }
    for of_kind in by_kind.values_mut() {
        of_kind.sort_by_key(Vec::len);
        of_kind.dedup();
        let step = of_kind.len().div_ceil(PER_KIND).max(1);
        *of_kind = of_kind.iter().step_by(step).cloned().collect();
    }
    bounded(by_kind.into_values().flatten())
}

fn live(kind: &str) -> Vec<Vec<u8>> {
    let of_kind = |line: &Value| line["type"] == kind;
    let all = lines("cluster/tests/data/live.jsonl.gz");
    all.iter().filter(|l| of_kind(l)).filter_map(|l| base64(&l["bin"])).collect()
}

pub(crate) fn osdmaps() -> Vec<Vec<u8>> {
    let dumped = lines("cluster/tests/data/osdmap.jsonl.gz");
    let dumped = dumped.iter().filter_map(|l| base64(&l["osdmap"]));
    bounded(live("OSDMap").into_iter().chain(dumped))
}

/// The maps inside recorded OSD map messages.
pub(crate) fn incrementals() -> Vec<Vec<u8>> {
    const OSD_MAP: u64 = 41;
    let found = live("OSDMap::Incremental").into_iter();
    let sent = recorded_messages().filter(|l| l["type"] == OSD_MAP).flat_map(|l| {
        // fsid, then the map from epoch to incremental.
        let front = base64(&l["front"]).unwrap_or_default();
        let word = |at: usize| {
            let bytes = front.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        let mut found = Vec::new();
        let mut at = 20;
        for _ in 0..word(16).unwrap_or(0) {
            let Some(len) = word(at + 4) else { break };
            let Some(map) = front.get(at + 8..at + 8 + len) else { break };
            found.push(map.to_vec());
            at += 8 + len;
        }
        found
    });
    bounded(found.chain(sent))
}

pub(crate) fn monmaps() -> Vec<Vec<u8>> {
    const MON_MAP: u64 = 4;
    let sent = recorded_messages().filter(|l| l["type"] == MON_MAP);
    let sent = sent.filter_map(|l| Some(base64(&l["front"])?.get(4..)?.to_vec()));
    bounded(live("MonMap").into_iter().chain(sent))
}

fn crush(field: &str) -> Vec<Value> {
    lines("crush/tests/data/crush.jsonl.gz").iter().map(|l| l[field].clone()).collect()
}

pub(crate) fn crush_maps() -> Vec<Vec<u8>> {
    bounded(crush("map").iter().filter_map(base64))
}

pub(crate) fn crush_texts() -> Vec<Vec<u8>> {
    bounded(crush("text").iter().filter_map(|t| Some(t.as_str()?.as_bytes().to_vec())))
}

pub(crate) fn transactions() -> Vec<Vec<u8>> {
    const OSD_REPOP: u64 = 112;
    let sent = recorded_messages().filter(|l| l["type"] == OSD_REPOP);
    bounded(sent.filter_map(|l| base64(&l["data"])).filter(|d| d.first() == Some(&9)))
}

/// Object, class, method and input of every recorded call.
pub(crate) fn calls() -> Vec<(String, String, String, Vec<u8>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for line in lines("classes/tests/data/lock-journal.jsonl.gz") {
        for call in line["calls"].as_array().into_iter().flatten() {
            let name = text(&call["method"]);
            let (class, method) = name.split_once('.').unwrap_or_default();
            let input = base64(&call["in"]).unwrap_or_default();
            found.push((text(&line["oid"]), class.to_owned(), method.to_owned(), input));
        }
    }
    for line in lines("classes/tests/data/rbd.jsonl.gz") {
        for op in line["ops"].as_array().into_iter().flatten().filter(|op| op[0] == "call") {
            let input = base64(&op[2]).unwrap_or_default();
            found.push((text(&line["object"]), "rbd".to_owned(), text(&op[1]), input));
        }
    }
    found
}

/// Front and data of recorded requests to OSDs.
pub(crate) fn requests() -> Vec<(Vec<u8>, Vec<u8>)> {
    let recorded = lines("pg/tests/data/rados.jsonl.gz");
    let whole = recorded.iter().filter(|line| line["ver"] == 8 && line["data"].is_string());
    let parts = whole.filter_map(|line| Some((base64(&line["front"])?, base64(&line["data"])?)));
    parts.filter(|(_, data)| data.len() <= SEED_BYTES_MAX).collect()
}

/// Both sides of the recorded handshakes, as the scripts that the msgr2 targets play.
fn handshakes(from_dialler: bool) -> Vec<Vec<u8>> {
    let text = include_str!("../../crates/msgr2/src/tests/vectors/handshakes.txt");
    let mut scripts = Vec::new();
    let mut script = Vec::new();
    for line in text.lines().chain(["= end"]) {
        if line.starts_with('=') && !script.is_empty() {
            for mode in 0..4 {
                scripts.push([&[mode][..], &script].concat());
            }
            script.clear();
        }
        let words: Vec<&str> = line.split(' ').collect();
        if let [dir, tag, payload] = words[..]
            && dir == (if from_dialler { ">" } else { "<" })
        {
            script.extend(msgr2::item(tag_number(tag), &unhex(payload)));
        }
    }
    for script in &mut scripts {
        // What may follow once the session is open: two messages, ACK, keepalive and its answer.
        for seq in [1u8, 2] {
            let mut header = [0; 41];
            header[0] = seq;
            header[16] = 41;
            script.extend(msgr2::item(17, &[&header[..], &[seq; 20]].concat()));
        }
        script.extend(msgr2::item(20, &[0; 8]));
        script.extend(msgr2::item(18, &[1; 8]));
        script.extend(msgr2::item(19, &[1; 8]));
    }
    scripts
}

fn tag_number(name: &str) -> u8 {
    match name {
        "HELLO" => 1,
        "AUTH_REQUEST" => 2,
        "AUTH_DONE" => 6,
        "AUTH_SIGNATURE" => 7,
        "CLIENT_IDENT" => 8,
        "SERVER_IDENT" => 9,
        other => panic!("{other}"),
    }
}

fn unhex(s: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).map_or(0, |d| d as u8);
    s.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

pub(crate) fn to_server() -> Vec<Vec<u8>> {
    handshakes(true)
}

pub(crate) fn to_client() -> Vec<Vec<u8>> {
    handshakes(false)
}

pub(crate) fn mon_commands() -> Vec<Vec<u8>> {
    [
        r#"{"prefix": "status", "format": "json-pretty"}"#,
        r#"{"prefix": "osd pool create", "pool": "rbd", "pg_num": 32, "size": 3}"#,
        r#"{"prefix": "osd pool set", "pool": "rbd", "var": "min_size", "val": "2"}"#,
        r#"{"prefix": "osd out", "ids": ["1", "osd.2"]}"#,
        r#"{"prefix": "osd reweight", "id": 2, "weight": 0.5}"#,
        r#"{"prefix": "osd df", "output_method": "tree", "flag": true, "deep": [[{"a": 1e308}]]}"#,
    ]
    .map(|s| s.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn canary() -> Vec<Vec<u8>> {
    vec![vec![0; 8]]
}
