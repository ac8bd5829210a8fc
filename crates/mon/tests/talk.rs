//! Whole conversations with the monitor of ceph 16.2.15, recorded: the same words get the same
//! answers here. `xtask/interop/mon_talk.py` records them and has them again with two clusters.
//!
//! A line `> prefix {arguments} <input` is said; `= code status` and lines behind `|` are the
//! answer. Behind `?` instead of `>` the code alone must be equal: the words are ours, or tell of
//! what only one of the two has. What differs between clusters is masked by a word in capitals.

mod common;

use common::*;
use serde_json::{Map, Value};

/// Words that stand for what differs between clusters.
const MASKS: &[&str] = &["TIME", "UUID", "ADDR", "HOST", "NUM"];

/// True if `text` is `pattern` with something in each masked place.
fn fits(pattern: &str, text: &str) -> bool {
    let next = MASKS.iter().filter_map(|m| pattern.find(m).map(|at| (at, m.len()))).min();
    let Some((at, len)) = next else { return pattern == text };
    let Some(rest) = text.strip_prefix(&pattern[..at]) else { return false };
    let longest = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-+:./_".contains(c));
    // The shortest that fits: what follows a mask begins where its kind of character may go on.
    let ends = 1..=longest.unwrap_or(rest.len());
    ends.into_iter().any(|end| fits(&pattern[at + len..], &rest[end..]))
}

/// One question with the answer recorded.
#[derive(Default)]
struct Turn {
    line: String,
    strict: bool,
    command: String,
    input: String,
    head: String,
    output: Vec<String>,
}

fn turns(text: &str) -> Vec<Turn> {
    let mut out: Vec<Turn> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("> ").or_else(|| line.strip_prefix("? ")) {
            let (said, input) = said.split_once(" <").unwrap_or((said, ""));
            let (prefix, args) = said.split_once(" {").unwrap_or((said, "}"));
            let mut command = Map::from_iter([("prefix".to_string(), Value::from(prefix))]);
            let args: Map<String, Value> = serde_json::from_str(&format!("{{{args}")).unwrap();
            command.extend(args);
            out.push(Turn {
                line: line.to_string(),
                strict: line.starts_with('>'),
                command: Value::Object(command).to_string().replace("HOST", "vm"),
                input: input.replace("\\n", "\n"),
                ..Turn::default()
            });
        } else if let (Some(turn), Some(head)) = (out.last_mut(), line.strip_prefix("= ")) {
            turn.head = head.to_string();
        } else if let (Some(turn), Some(part)) = (out.last_mut(), line.strip_prefix('|')) {
            turn.output.push(part.to_string());
        }
    }
    out
}

/// Has a recorded conversation with a healthy cluster of three OSDs.
fn has(text: &str) {
    let (mut w, c, _) = healthy();
    let mut wrong = String::new();
    let all = turns(text);
    assert!(all.len() > 10);
    for turn in all {
        let (code, status, data) = w.command_with(c, &turn.command, &turn.input);
        let status = status.replace('\n', "\\n");
        let head = format!("{code} {status}");
        let mut output: Vec<&str> = data.lines().collect();
        while output.last() == Some(&"") {
            output.pop();
        }
        let same = if turn.strict {
            fits(turn.head.trim_end(), head.trim_end())
                && turn.output.len() == output.len()
                && turn.output.iter().zip(&output).all(|(p, t)| fits(p, t))
        } else {
            turn.head.split(' ').next() == head.split(' ').next()
        };
        if !same {
            wrong.push_str(&format!("{}\n- {}\n+ {head}\n", turn.line, turn.head));
            for (i, line) in turn.output.iter().enumerate() {
                if output.get(i).is_none_or(|t| !fits(line, t)) {
                    wrong.push_str(&format!("-|{line}\n"));
                }
            }
            for (i, line) in output.iter().enumerate() {
                if turn.output.get(i).is_none_or(|p| !fits(p, line)) {
                    wrong.push_str(&format!("+|{line}\n"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn about_pools() {
    has(include_str!("golden/talk/pool.txt"));
}

#[test]
fn about_crush() {
    has(include_str!("golden/talk/crush.txt"));
}

#[test]
fn about_osds() {
    has(include_str!("golden/talk/osd.txt"));
}

#[test]
fn masks() {
    assert!(fits("osd eNUM at TIME", "osd e12 at 2026-11-24T16:24:37.123456+0000"));
    assert!(fits("{\"id\":NUM}", "{\"id\":7}") && fits("a HOST.", "a vm."));
    assert!(!fits("eNUM x", "e12 y") && !fits("NUM", "") && !fits("NUM", "1 2"));
}

#[test]
fn about_options() {
    has(include_str!("golden/talk/config.txt"));
}

#[test]
fn about_the_rest() {
    has(include_str!("golden/talk/misc.txt"));
}
