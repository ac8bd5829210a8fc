//! Who subscribes to the cluster log hears of its lines as they come (`ceph -w`).

mod common;

use common::*;
use seabed_messages::Message;
use seabed_mon::SessionId;

/// The texts of the lines a session was sent, message by message.
fn told(w: &mut World, session: SessionId) -> Vec<Vec<String>> {
    let logs = w.take(session).into_iter().filter_map(|p| match p.message {
        Message::Log(m) => Some(m.entries.into_iter().map(|e| e.text).collect()),
        _ => None,
    });
    logs.collect()
}

fn write(w: &mut World, text: &str) {
    let writer = w.client();
    w.ok(writer, &format!(r#"{{"prefix":"log","logtext":["{text}"]}}"#));
}

#[test]
fn lines_come_as_they_are_written() {
    let mut w = World::new(1);
    write(&mut w, "first");
    write(&mut w, "second");
    let all = w.client();
    w.subscribe(all, &[("log-info", 0, 0)]);
    assert_eq!(told(&mut w, all), [["second"]], "who starts at 0 hears of the newest line");
    write(&mut w, "third");
    assert_eq!(told(&mut w, all), [["third"]]);

    let errors = w.client();
    w.subscribe(errors, &[("log-error", 1, 0)]);
    assert_eq!(told(&mut w, errors), [[""; 0]], "no line matters as much");
    let once = w.client();
    w.subscribe(once, &[("log-debug", 2, 1)]);
    assert_eq!(told(&mut w, once), [["second", "third"]]);
    write(&mut w, "fourth");
    assert_eq!(told(&mut w, all), [["fourth"]]);
    assert_eq!(told(&mut w, once), [[""; 0]; 0], "a subscription for once has ended");
}

#[test]
fn the_newest_level_counts() {
    let mut w = World::new(1);
    let c = w.client();
    w.subscribe(c, &[("log-info", 0, 0)]);
    w.subscribe(c, &[("log-error", 0, 0)]);
    w.take(c);
    write(&mut w, "not told");
    assert_eq!(told(&mut w, c), [[""; 0]]);
    w.subscribe(c, &[("log-info", 0, 0)]);
    w.take(c);
    write(&mut w, "told");
    assert_eq!(told(&mut w, c), [["told"]], "one message: the client skips a version it knows");
}

#[test]
fn unknown_levels_are_ignored() {
    let mut w = World::new(1);
    let c = w.client();
    w.subscribe(c, &[("log-loud", 0, 0), ("log-", 0, 0)]);
    write(&mut w, "a line");
    assert!(told(&mut w, c).is_empty());
}
