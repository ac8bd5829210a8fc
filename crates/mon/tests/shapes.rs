//! The JSON of commands has the fields of the reference, each of the same kind.
//!
//! `golden/shapes.txt` was made from a 16.2.15 cluster in the state that [`common::healthy`] is
//! in: three OSDs, a pool, some objects.

mod common;

use std::collections::BTreeSet;

use common::*;
use serde_json::Value;

/// Maps whose keys are names of things: the keys are no part of the shape.
const NAMED: &[&str] = &[
    "checks",
    "services",
    "always_on_modules",
    "class_bytes",
    "overall",
    "mon",
    "mgr",
    "osd",
    "mds",
    "client",
    "opts",
    "application_metadata",
    "options",
    "pool_statfs",
    "rbd",
    "active_change",
    "stats_by_class",
    "blocklist",
    "erasure_code_profiles",
    "crush_location",
];

/// Paths that depend on what goes on at the moment, or that we have nothing to say in.
fn ignored(path: &str) -> bool {
    [
        // Reports of modules that a real mgr has.
        ".available_modules",
        "_modules",
        // Only while something goes on.
        ".misplaced",
        ".degraded",
        "_per_sec",
        "_bytes_sec",
        ".io_sec",
        ".network_ping_times[]",
        ".avail_no_missing[]",
        ".blocked_by[]",
        ".object_location_counts[]",
        ".active_clients[]",
        ".op_queue_age_hist.histogram[]",
        ".inactive_pgs_ratio",
        ".unknown_pgs_ratio",
        ".mutes[]",
        ".incompat",
        ".previous_value",
        ".changes[]",
        "osd_blocked_by_infos[]",
        "missing_stats",
        "safe_to_destroy[",
        "active[",
        ".device_health_metrics",
        // Keys of metadata are the hosts' and daemons' own.
        ".rbd",
        // The monitors' features of the reference and ours are lists of the same kind.
        ".hb_peers[]",
        ".pg_temp[]",
    ]
    .iter()
    .any(|part| path.contains(part))
}

fn shape(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if NAMED.iter().any(|n| path.ends_with(&format!(".{n}"))) {
                out.insert(format!("{path}.*"));
                return;
            }
            out.insert(format!("{path}: object"));
            for (key, item) in map {
                shape(item, &format!("{path}.{key}"), out);
            }
        }
        Value::Array(items) => {
            out.insert(format!("{path}[]"));
            for item in items {
                shape(item, &format!("{path}[]"), out);
            }
        }
        Value::Bool(_) => drop(out.insert(format!("{path}: bool"))),
        Value::Number(_) => drop(out.insert(format!("{path}: number"))),
        Value::Null => drop(out.insert(format!("{path}: null"))),
        Value::String(_) => drop(out.insert(format!("{path}: str"))),
    }
}

#[test]
fn fields_are_those_of_the_reference() {
    let (mut w, c, osds) = healthy();
    for (i, s) in osds.iter().enumerate() {
        // A second report, so that the store's numbers have settled.
        w.report(*s, i as i32, 6);
    }
    w.ok(c, r#"{"prefix":"log","logtext":["hello"]}"#);
    w.ok(c, r#"{"prefix":"config set","who":"global","name":"osd_max_backfills","value":"2"}"#);
    w.ok(c, r#"{"prefix":"config-key set","key":"seabed/a","val":"b"}"#);
    let golden = include_str!("golden/shapes.txt");
    let mut wrong = String::new();
    let mut checked = 0;
    for section in golden.split("## ").skip(1) {
        let (command, lines) = section.split_once('\n').unwrap();
        let mut value: Value = serde_json::from_str(command).unwrap();
        value["format"] = "json".into();
        let text = value.to_string();
        let (_, status, data) = w.command(c, &text);
        let Ok(json) = serde_json::from_str::<Value>(&data) else {
            wrong.push_str(&format!("{command}: no JSON ({status})\n"));
            continue;
        };
        let mut ours = BTreeSet::new();
        shape(&json, "", &mut ours);
        let theirs: BTreeSet<String> = lines.lines().map(str::to_string).collect();
        for path in theirs.difference(&ours).filter(|p| !ignored(p)) {
            wrong.push_str(&format!("{command}: lacks {path}\n"));
        }
        for path in ours.difference(&theirs).filter(|p| !ignored(p)) {
            wrong.push_str(&format!("{command}: has {path}\n"));
        }
        checked += 1;
    }
    assert!(checked > 40);
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_command_of_the_table_is_answered() {
    let (mut w, c, _) = healthy();
    for entry in seabed_mon::command::table::entries() {
        let prefix = seabed_cluster::admin::prefix(entry.sig);
        for format in ["plain", "json", "json-pretty"] {
            // With arguments that fit many commands, and with none.
            for args in [
                "",
                concat!(
                    r#","pool":"rbd","id":0,"ids":["1"],"who":"osd.0","key":"size","pgid":"1.0""#,
                    r#","name":"default","object":"o","var":"size","val":"3","weight":0.5"#,
                    r#","type":"osd","root":"default","node":"default","class":"hdd""#,
                ),
            ] {
                if entry.writes() && !args.is_empty() {
                    continue;
                }
                let text = format!(r#"{{"prefix":"{prefix}","format":"{format}"{args}}}"#);
                let (code, status, data) = w.command(c, &text);
                assert!(!status.contains("command not known"), "{text}: {status}");
                if code == 0 && format != "plain" && !data.is_empty() && !entry.writes() {
                    let words = [
                        "osd getmap",
                        "osd getcrushmap",
                        "mon getmap",
                        "pg debug",
                        "crash stat",
                        "config get",
                        "config show",
                        "osd get-require-min-compat-client",
                        "config generate-minimal-conf",
                        "osd pool application get",
                        // Two lists one behind the other, as the reference has it.
                        "osd blocklist ls",
                        "osd blacklist ls",
                    ];
                    if !words.contains(&prefix.as_str()) {
                        serde_json::from_str::<Value>(&data)
                            .unwrap_or_else(|e| panic!("{text}: {e}: {data}"));
                    }
                }
            }
        }
    }
}

#[test]
fn unknown_commands_get_help() {
    let (mut w, c, _) = healthy();
    let (code, status, _) = w.command(c, r#"{"prefix":"osd pool lss"}"#);
    assert_eq!(code, -22);
    assert!(status.contains("command not known") && status.contains("osd pool ls"), "{status}");
    let (code, _, _) = w.command(c, "nonsense");
    assert_eq!(code, -22);
}
