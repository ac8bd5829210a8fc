//! Health checks that are silenced: shown as muted, heard again when their time is over or when
//! things get worse.

mod common;

use std::time::Duration;

use common::*;
use seabed_mon::SessionId;
use serde_json::Value;

fn health(w: &mut World, c: SessionId) -> Value {
    let text = w.ok(c, r#"{"prefix":"health","format":"json"}"#);
    serde_json::from_str(&text).unwrap()
}

fn set(w: &mut World, c: SessionId, key: &str, on: bool) {
    let word = if on { "set" } else { "unset" };
    w.ok(c, &format!(r#"{{"prefix":"osd {word}","key":"{key}"}}"#));
}

#[test]
fn a_mute_ends_with_its_time() {
    let (mut w, c, _) = healthy();
    set(&mut w, c, "noout", true);
    let bad = r#"{"prefix":"health mute","code":"OSDMAP_FLAGS","ttl":"soon"}"#;
    assert_eq!(w.command(c, bad).0, -22);
    w.ok(c, r#"{"prefix":"health mute","code":"OSDMAP_FLAGS","ttl":"1m"}"#);
    let shown = health(&mut w, c);
    assert_eq!(
        (&shown["status"], &shown["mutes"][0]["sticky"]),
        (&"HEALTH_OK".into(), &false.into())
    );
    assert!(shown["mutes"][0]["ttl"].is_string());
    let detail = w.ok(c, r#"{"prefix":"health","detail":"detail"}"#);
    assert!(detail.contains("\n(MUTED ttl 59s) [WRN] OSDMAP_FLAGS: "), "{detail}");
    let status = w.ok(c, r#"{"prefix":"status"}"#);
    assert!(status.contains("HEALTH_OK\n            (muted: OSDMAP_FLAGS("), "{status}");
    w.pass(Duration::from_secs(50));
    assert_eq!(health(&mut w, c)["status"], "HEALTH_OK");
    w.pass(Duration::from_secs(16));
    let shown = health(&mut w, c);
    assert_eq!(
        (&shown["status"], shown["mutes"].as_array().map(Vec::len)),
        (&"HEALTH_WARN".into(), Some(0))
    );
}

#[test]
fn what_gets_worse_is_heard_again_unless_it_is_to_stay_silent() {
    let (mut w, c, _) = healthy();
    set(&mut w, c, "noout", true);
    w.ok(c, r#"{"prefix":"health mute","code":"OSDMAP_FLAGS"}"#);
    set(&mut w, c, "noscrub", true);
    w.pass(Duration::from_secs(6));
    assert_eq!(health(&mut w, c)["status"], "HEALTH_WARN");
    w.ok(c, r#"{"prefix":"health mute","code":"OSDMAP_FLAGS","sticky":true}"#);
    set(&mut w, c, "nodeep-scrub", true);
    for key in ["noout", "noscrub", "nodeep-scrub"] {
        set(&mut w, c, key, false);
    }
    set(&mut w, c, "noout", true);
    w.pass(Duration::from_secs(60));
    assert_eq!(health(&mut w, c)["status"], "HEALTH_OK");
    // It outlives the monitor's process, and ends when told.
    let mut w = w.restart();
    let c = w.client();
    assert_eq!(health(&mut w, c)["mutes"][0]["sticky"], true);
    w.ok(c, r#"{"prefix":"health unmute","code":"OSDMAP_FLAGS"}"#);
    assert_eq!(health(&mut w, c)["mutes"], Value::Array(Vec::new()));
}

#[test]
fn what_is_not_raised_is_muted_for_good_or_not_at_all() {
    let (mut w, c, _) = healthy();
    let plain = r#"{"prefix":"health mute","code":"OSD_FOO"}"#;
    assert_eq!(w.command(c, plain).0, -2);
    w.ok(c, r#"{"prefix":"health mute","code":"OSD_FOO","sticky":true}"#);
    w.pass(Duration::from_secs(60));
    let line = w.ok(c, r#"{"prefix":"health"}"#);
    assert_eq!(line, "HEALTH_OK (muted: OSD_FOO)\n");
    w.ok(c, r#"{"prefix":"health unmute"}"#);
    assert_eq!(w.ok(c, r#"{"prefix":"health"}"#), "HEALTH_OK\n");
}
