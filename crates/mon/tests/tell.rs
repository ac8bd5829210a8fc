//! What the monitor tells of itself: `ceph tell mon.a …`, pings, the log as it is written.

mod common;

use common::*;
use seabed_messages::{MCommand, MPing, Message};
use seabed_mon::SessionId;
use serde_json::Value;

fn tell(w: &mut World, c: SessionId, json: &str) -> (i32, String, Value) {
    w.take(c);
    let command = vec![json.to_string()];
    w.send(c, MCommand { fsid: FSID, command, ..Default::default() });
    for packet in w.take(c) {
        if let Message::CommandReply(m) = packet.message {
            let value = serde_json::from_slice(&m.output).unwrap_or_default();
            return (m.result, m.status.clone(), value);
        }
    }
    panic!("no answer to {json}");
}

#[test]
fn of_itself() {
    let (mut w, c, _) = healthy();
    let (_, _, version) = tell(&mut w, c, r#"{"prefix":"version"}"#);
    assert_eq!(version["version"], "16.2.15");
    assert_eq!(
        (&version["release"], &version["release_type"]),
        (&"pacific".into(), &"stable".into())
    );
    let (_, _, status) = tell(&mut w, c, r#"{"prefix":"mon_status"}"#);
    assert_eq!(status["state"], "leader");
    let (_, _, sessions) = tell(&mut w, c, r#"{"prefix":"sessions"}"#);
    assert_eq!(sessions.as_array().unwrap().len(), 4);
    let (_, _, perf) = tell(&mut w, c, r#"{"prefix":"perf dump"}"#);
    assert_eq!(perf["cluster"]["num_osd_up"], 3);
    assert_eq!(perf["cluster"]["num_pg_active_clean"], 8);
    let (_, _, all) = tell(&mut w, c, r#"{"prefix":"get_command_descriptions"}"#);
    assert!(all.as_object().unwrap().len() > 8);
    // The cluster's commands are another table.
    assert_eq!(tell(&mut w, c, r#"{"prefix":"osd dump"}"#).0, -22);
    assert_eq!(tell(&mut w, c, r#"{"prefix":"nosuch"}"#).0, -22);
}

#[test]
fn options_hold_until_the_process_ends() {
    let (mut w, c, _) = healthy();
    let delete = concat!(
        r#"{"prefix":"osd pool rm","pool":"rbd","pool2":"rbd","#,
        r#""yes_i_really_really_mean_it":true}"#
    );
    let set = r#"{"prefix":"config set","var":"mon_allow_pool_delete","val":["false"]}"#;
    assert_eq!(tell(&mut w, c, set).0, 0);
    assert_eq!(w.command(c, delete).0, -1);
    let get = r#"{"prefix":"config get","var":"mon_allow_pool_delete"}"#;
    assert_eq!(tell(&mut w, c, get).2["mon_allow_pool_delete"], "false");
    for (args, code) in [
        (r#"["--mon_max_pg_per_osd=300"]"#, 0),
        (r#"["--mon-max-pg-per-osd 301 --debug_mon 2"]"#, 0),
        (r#"["--nosuch=1"]"#, -22),
        (r#"["--mon_max_pg_per_osd"]"#, -22),
        (r#"["--mon_max_pg_per_osd=many"]"#, -22),
        (r#"["mon_max_pg_per_osd=1"]"#, -22),
    ] {
        let json = format!(r#"{{"prefix":"injectargs","injected_args":{args}}}"#);
        assert_eq!(tell(&mut w, c, &json).0, code, "{args}");
    }
    let (_, _, show) = tell(&mut w, c, r#"{"prefix":"config show"}"#);
    assert_eq!((&show["mon_max_pg_per_osd"], &show["debug_mon"]), (&"301".into(), &"2/2".into()));
    let unset = r#"{"prefix":"config unset","var":"mon_allow_pool_delete"}"#;
    assert_eq!(tell(&mut w, c, unset).0, 0);
    assert_eq!(w.command(c, delete).0, 0);
    let none = r#"{"prefix":"config set","var":"nosuch","val":["1"]}"#;
    assert_eq!(tell(&mut w, c, none).0, -2);
    let mut w = w.restart();
    let c = w.client();
    let (_, _, show) = tell(&mut w, c, r#"{"prefix":"config show"}"#);
    assert_eq!(show["mon_max_pg_per_osd"], "250");
}

#[test]
fn pings_are_answered_with_the_state() {
    let (mut w, c, _) = healthy();
    w.take(c);
    w.send(c, MPing::default());
    let packets = w.take(c);
    let Some(Message::Ping(pong)) = packets.first().map(|p| &p.message) else {
        panic!("no answer: {packets:?}");
    };
    let value: Value = serde_json::from_str(&pong.report).unwrap();
    assert_eq!(value["mon_status"]["name"], "a");
    assert_eq!(value["health"]["status"], "HEALTH_OK");
}

/// Texts of the lines that a session was sent.
fn lines(w: &mut World, c: SessionId) -> Vec<String> {
    let mut out = Vec::new();
    for packet in w.take(c) {
        if let Message::Log(m) = packet.message {
            assert!(m.paxos.version > 0);
            out.extend(m.entries.iter().map(|e| e.text.clone()));
        }
    }
    out
}

#[test]
fn the_log_is_told_as_it_is_written() {
    let (mut w, c, _) = healthy();
    let watcher = w.client();
    w.subscribe(watcher, &[("log-info", 0, 0)]);
    assert_eq!(lines(&mut w, watcher).len(), 1, "the newest line, for a start");
    w.ok(c, r#"{"prefix":"log","logtext":["one","two"]}"#);
    assert_eq!(lines(&mut w, watcher), ["one two"]);
    w.ok(c, r#"{"prefix":"log","logtext":["three"]}"#);
    assert_eq!(lines(&mut w, watcher), ["three"]);
    // Who wants errors alone hears nothing of it; who is gone neither.
    let errors = w.client();
    w.subscribe(errors, &[("log-error", 1, 0)]);
    w.ok(c, r#"{"prefix":"log","logtext":["four"]}"#);
    assert!(lines(&mut w, errors).is_empty());
    assert_eq!(lines(&mut w, watcher), ["four"]);
    let last = w.ok(c, r#"{"prefix":"log last","num":1,"format":"json"}"#);
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last[0]["name"], &last[0]["message"]), (&"client.admin".into(), &"four".into()));
}
