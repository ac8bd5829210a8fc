//! Services register with the mgr, are shown, and are gone with their sessions.

mod common;

use std::collections::BTreeMap;

use common::*;
use seabed_messages::{MMgrOpen, MMgrReport, Message, ServiceDaemon};
use seabed_mon::{Input, SessionId};
use serde_json::Value;

fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn register(w: &mut World, service: &str, daemon: &str, metadata: &[(&str, &str)]) -> SessionId {
    let session = w.client();
    let told = ServiceDaemon { metadata: words(metadata), status: words(&[("s", "starting")]) };
    w.send(
        session,
        MMgrOpen {
            daemon_name: daemon.to_owned(),
            service_name: service.to_owned(),
            service: Some(told),
            ..MMgrOpen::default()
        },
    );
    let answers = w.take(session);
    assert!(answers.iter().any(|p| matches!(p.message, Message::MgrConfigure(_))));
    session
}

fn json(w: &mut World, prefix: &str) -> Value {
    let c = w.client();
    let text = w.ok(c, &format!(r#"{{"prefix":"{prefix}","format":"json"}}"#));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_service_is_shown_until_its_session_ends() {
    let mut w = World::new(1);
    let portal = |host: &'static str, zone: &'static str| {
        [("daemon_type", "portal"), ("hostname", host), ("zone_id", zone)]
    };
    let one = register(&mut w, "laundry", "a", &portal("h1", "z1"));
    let two = register(&mut w, "laundry", "b", &portal("h1", "z2"));
    let c = w.client();
    let status = w.ok(c, r#"{"prefix":"status"}"#);
    assert!(status.contains("    laundry: 2 portals active (1 hosts, 2 zones)\n"), "{status}");
    assert!(status.contains("    mon:     1 daemons"), "{status}");
    let dump = json(&mut w, "service dump");
    assert_eq!(dump["services"]["laundry"]["daemons"]["b"]["metadata"]["zone_id"], "z2");

    let report = MMgrReport {
        daemon_name: "a".to_owned(),
        service_name: "laundry".to_owned(),
        daemon_status: Some(words(&[("s", "running")])),
        ..MMgrReport::default()
    };
    // Another session speaks for itself alone.
    w.send(two, report.clone());
    assert_eq!(json(&mut w, "service status")["laundry"]["a"]["status"]["s"], "starting");
    w.send(one, report);
    assert_eq!(json(&mut w, "service status")["laundry"]["a"]["status"]["s"], "running");

    w.step(Input::SessionClosed(one));
    let c = w.client();
    assert!(w.ok(c, r#"{"prefix":"status"}"#).contains("laundry: 1 portal active (1 hosts, 1 z"));
    w.step(Input::SessionClosed(two));
    assert_eq!(json(&mut w, "service dump")["services"], serde_json::json!({}));
}

#[test]
fn too_much_is_not_kept_and_daemons_of_ceph_are_no_services() {
    let mut w = World::new(1);
    let long = "x".repeat(100_000);
    register(&mut w, "laundry", "a", &[("k", &long)]);
    register(&mut w, "", "osd.0", &[]);
    assert_eq!(json(&mut w, "service dump")["services"], serde_json::json!({}));
}
