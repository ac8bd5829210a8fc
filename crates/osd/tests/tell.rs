//! What an OSD tells of itself, and what it is told: `ceph tell osd.0 …`, `ceph pg 1.0 query`.

mod world;

use seabed_cluster::{Collection, GhObject, OsdId};
use seabed_denc::Bytes;
use seabed_messages::{MCommand, MConfig, Message, OpCode, OsdOp, Packet};
use seabed_osd::{Input, Peer, SessionId};
use seabed_storage::ObjectStore;
use serde_json::{Value, json};
use world::World;
use world::guests::Guests;

fn tell(g: &mut Guests, session: SessionId, command: &str) -> (i32, String, Value) {
    g.heard(session);
    let command = vec![command.to_owned()];
    g.say(session, Packet::with_tid(77, MCommand { command, ..MCommand::default() }));
    let packets = g.heard(session);
    let [Packet { tid: 77, message: Message::CommandReply(m), .. }] = &packets[..] else {
        panic!("{packets:?}");
    };
    (m.result, m.status.clone(), serde_json::from_slice(&m.output).unwrap_or_default())
}

fn ready() -> (Guests, SessionId) {
    let mut world = World::new(5, 2, 2, 1, 1);
    for (key, value) in [
        ("ceph_version", "ceph version 16.2.15 (seabed) pacific (stable)"),
        ("ceph_version_short", "16.2.15"),
        ("ceph_release", "pacific"),
    ] {
        world.config.metadata.insert(key.into(), value.into());
    }
    let mut g = Guests::with(world);
    let session = g.open(1);
    (g, session)
}

#[test]
fn of_itself() {
    let (mut g, s) = ready();
    let (_, _, version) = tell(&mut g, s, r#"{"prefix":"version"}"#);
    let wanted = json!({"version": "16.2.15", "release": "pacific", "release_type": "stable"});
    assert_eq!(version, wanted);
    let (_, _, status) = tell(&mut g, s, r#"{"prefix":"status"}"#);
    assert_eq!((&status["state"], &status["num_pgs"]), (&json!("active"), &json!(1)));
    assert_eq!(status["newest_map"], g.world.mon.map.epoch.0);
    let (_, _, perf) = tell(&mut g, s, r#"{"prefix":"perf dump"}"#);
    assert_eq!((&perf["osd"]["numpg_primary"], &perf["osd"]["op_wip"]), (&json!(1), &json!(0)));
    let one = r#"{"prefix":"perf dump","logger":"osd","counter":"numpg"}"#;
    assert_eq!(tell(&mut g, s, one).2, json!({"osd": {"numpg": 1}}));
    let none = r#"{"prefix":"perf dump","logger":"nosuch"}"#;
    assert_eq!(tell(&mut g, s, none).2, json!({}));
    let (_, _, schema) = tell(&mut g, s, r#"{"prefix":"perf schema"}"#);
    assert_eq!(schema["osd"]["stat_bytes"]["units"], "bytes");
    let names =
        |value: &Value| value["osd"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&schema), names(&perf));
    let (code, _, all) = tell(&mut g, s, r#"{"prefix":"get_command_descriptions"}"#);
    assert_eq!((code, &all["cmd002"]["sig"]), (0, &json!(["version"])));
    let (_, _, help) = tell(&mut g, s, r#"{"prefix":"help"}"#);
    assert_eq!(help.as_object().unwrap().len(), all.as_object().unwrap().len());
}

#[test]
fn what_is_no_command_is_refused() {
    let (mut g, s) = ready();
    for bad in ["asdfasdf", "", "[]", "{}", r#"{"prefix":7}"#, r#"{"prefix":"nosuch"}"#] {
        let (code, text, _) = tell(&mut g, s, bad);
        assert_eq!(code, -22, "{bad}");
        assert!(!text.is_empty(), "{bad}");
    }
    assert_eq!(tell(&mut g, s, &" ".repeat(2 << 20)).0, -7);
}

#[test]
fn a_placement_group_as_its_primary_sees_it() {
    let (mut g, s) = ready();
    let data = Bytes::from_static(b"data");
    g.ask(s, vec![OsdOp::extent(OpCode::WriteFull, 0, 4, data)]);
    let (code, _, pg) = tell(&mut g, s, r#"{"prefix":"pg","cmd":"query","pgid":"1.0"}"#);
    assert_eq!((code, &pg["state"]), (0, &json!("active+clean")));
    assert_eq!(pg["info"]["stats"]["stat_sum"]["num_objects"], 1);
    assert_eq!(pg["acting"][0], g.primary());
    assert_eq!(pg["info"]["stats"]["state"], pg["state"]);
    assert_eq!(pg["info"]["stats"]["acting_primary"], g.primary());
    assert_eq!(pg["peer_info"].as_array().unwrap().len(), 1);
    assert_eq!(pg["peer_info"][0]["last_update"], pg["info"]["last_update"]);
    assert_eq!(tell(&mut g, s, r#"{"prefix":"query","pgid":"1.0"}"#).2, pg);
    for (command, code) in [
        (r#"{"prefix":"pg","cmd":"query"}"#, -22),
        (r#"{"prefix":"pg","cmd":"query","pgid":"one"}"#, -22),
        (r#"{"prefix":"pg","cmd":"remove","pgid":"1.0"}"#, -22),
        (r#"{"prefix":"pg","cmd":"query","pgid":"1.7"}"#, -2),
    ] {
        assert_eq!(tell(&mut g, s, command).0, code, "{command}");
    }
    // Whoever holds a copy and does not lead sends the client on.
    let other = 1 - g.primary();
    let opened = Input::SessionOpened {
        peer: Peer::Client(s),
        entity: seabed_cluster::EntityName::client(1),
        addr: world::guests::address(1),
    };
    g.world.input(other, opened);
    let command = vec![r#"{"prefix":"query","pgid":"1.0"}"#.to_owned()];
    let packet = Packet::with_tid(1, MCommand { command, ..MCommand::default() });
    g.world.input(other, Input::Message { from: Peer::Client(s), packet });
    let Some(Packet { message: Message::CommandReply(m), .. }) = g.heard(s).pop() else {
        panic!("no answer");
    };
    assert_eq!(m.result, -11);
}

#[test]
fn options_hold_until_the_process_ends() {
    let (mut g, s) = ready();
    let set = r#"{"prefix":"config set","var":"osd-max-write-size","val":["4"]}"#;
    assert_eq!(tell(&mut g, s, set).0, 0);
    let (_, _, got) = tell(&mut g, s, r#"{"prefix":"config get","var":"osd_max_write_size"}"#);
    assert_eq!(got, json!({"osd_max_write_size": "4"}));
    let (_, _, shown) = tell(&mut g, s, r#"{"prefix":"config show"}"#);
    assert_eq!(shown["osd_max_write_size"], "4");
    // It is not only shown: a larger write is refused now.
    let data = Bytes::from(vec![0; 5 << 20]);
    let reply = g.ask(s, vec![OsdOp::extent(OpCode::Write, 0, 5 << 20, data.clone())]);
    assert_eq!(reply.result, -90);
    for (args, code) in [
        (r#"["--osd_max_write_size=8"]"#, 0),
        (r#"["--osd-max-write-size 90 --osd_nothing 2"]"#, -22),
        (r#"["--osd-max-write-size 90 --osd_max_pgls many"]"#, -22),
        ("[]", 0),
    ] {
        let json = format!(r#"{{"prefix":"injectargs","injected_args":{args}}}"#);
        assert_eq!(tell(&mut g, s, &json).0, code, "{args}");
    }
    let (_, _, shown) = tell(&mut g, s, r#"{"prefix":"config show"}"#);
    assert_eq!(shown["osd_max_write_size"], "8", "of a list with an error nothing is taken");
    let reply = g.ask(s, vec![OsdOp::extent(OpCode::Write, 0, 5 << 20, data)]);
    assert_eq!(reply.result, 0);
    for (command, code) in [
        (r#"{"prefix":"config set","var":"nosuch","val":["1"]}"#, -2),
        (r#"{"prefix":"config set","var":"osd_max_write_size","val":["1"]}"#, -22),
        (r#"{"prefix":"config set","var":"osd_max_write_size"}"#, -22),
        (r#"{"prefix":"config get","var":"nosuch"}"#, -2),
        (r#"{"prefix":"config get"}"#, -22),
    ] {
        assert_eq!(tell(&mut g, s, command).0, code, "{command}");
    }
}

#[test]
fn what_the_monitor_sets_holds_behind_the_file_and_what_was_told() {
    let mut world = World::new(5, 2, 2, 1, 1);
    world.config.file.insert("osd_max_pgls".into(), "7".into());
    let mut g = Guests::with(world);
    let s = g.open(1);
    let set = |g: &mut Guests, options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let packet = MConfig { options, ..MConfig::default() }.into();
        g.world.input(g.primary(), Input::Message { from: Peer::Mon, packet });
    };
    set(&mut g, &[("osd_max_write_size", "4"), ("osd_max_pgls", "8"), ("rbd_cache", "false")]);
    let (_, _, diff) = tell(&mut g, s, r#"{"prefix":"config diff"}"#);
    let of_both = json!({
        "osd_max_pgls": {"default": 1024, "mon": 8, "file": 7, "final": 7},
        "osd_max_write_size": {"default": "90", "mon": "4", "final": "4"},
    });
    assert_eq!(diff, json!({ "diff": of_both }));
    let data = Bytes::from(vec![0; 5 << 20]);
    let write = || vec![OsdOp::extent(OpCode::Write, 0, 5 << 20, data.clone())];
    assert_eq!(g.ask(s, write()).result, -90);
    let told = r#"{"prefix":"config set","var":"osd_max_write_size","val":["8"]}"#;
    assert_eq!(tell(&mut g, s, told).0, 0);
    assert_eq!(g.ask(s, write()).result, 0, "told goes before set");
    let untold = r#"{"prefix":"config unset","var":"osd_max_write_size"}"#;
    assert_eq!(tell(&mut g, s, untold).0, 0);
    assert_eq!(g.ask(s, write()).result, -90);
    // What is not in the monitor's word any more is taken back.
    set(&mut g, &[]);
    assert_eq!(g.ask(s, write()).result, 0);
    set(&mut g, &[("debug_osd", "20/20")]);
    let levels = g.world.nodes[g.primary()].osd.as_ref().unwrap().log_levels();
    assert_eq!(levels.own, Some(20));
}

#[test]
fn requests_that_are_not_answered_are_shown() {
    let (mut g, s) = ready();
    let other = 1 - g.primary();
    // The copy is silent: a write waits for it.
    g.world.kill(other);
    g.send(s, vec![OsdOp::extent(OpCode::WriteFull, 0, 4, Bytes::from_static(b"data"))]);
    let (_, _, ops) = tell(&mut g, s, r#"{"prefix":"dump_ops_in_flight"}"#);
    assert_eq!(ops["num_ops"], 1);
    assert_eq!(ops["ops"][0]["type_data"]["flag_point"], "waiting for sub ops");
    let text = ops["ops"][0]["description"].as_str().unwrap();
    assert!(text.contains("1.0 object [writefull]"), "{text}");
    assert_eq!(g.world.nodes[other].osd.as_ref().map(|o| o.whoami()), None::<OsdId>);
}

/// Objects of benchmarks that a node has.
fn of_benchmarks(g: &Guests, node: usize) -> usize {
    let store = &g.world.nodes[node].store;
    let all = store.list(&Collection::Meta, &GhObject::min(), &GhObject::max(), 10_000).unwrap().0;
    all.iter().filter(|o| o.hobj.name.starts_with(b"osd_bench")).count()
}

#[test]
fn a_benchmark_writes_and_takes_away_what_it_wrote() {
    let (mut g, s) = ready();
    let bench = |g: &mut Guests, args: &str| {
        g.heard(s);
        let command = vec![format!(r#"{{"prefix":"bench"{args}}}"#)];
        g.say(s, Packet::with_tid(9, MCommand { command, ..MCommand::default() }));
    };
    for args in [
        r#","count":409601,"size":4096"#,
        r#","count":40960,"size":4096,"object_size":8192,"object_num":3"#,
    ] {
        bench(&mut g, args);
        assert!(g.heard(s).is_empty() && of_benchmarks(&g, g.primary()) > 1);
        // Another waits for its turn, by being refused.
        assert_eq!(tell(&mut g, s, r#"{"prefix":"bench"}"#).0, -16);
        let mut heard = Vec::new();
        for _ in 0..200 {
            g.world.run(50);
            heard.extend(g.heard(s));
        }
        let [Packet { tid: 9, message: Message::CommandReply(m), .. }] = &heard[..] else {
            panic!("{heard:?}");
        };
        let told: Value = serde_json::from_slice(&m.output).unwrap();
        assert_eq!((m.result, &told["blocksize"]), (0, &json!(4096)));
        assert!(told["bytes_written"].as_u64().unwrap() >= 40960);
        assert!(told["elapsed_sec"].is_number() && told["iops"].is_number());
        assert_eq!(of_benchmarks(&g, g.primary()), 0);
    }
    // Who leaves, and an OSD that dies, leave nothing behind.
    bench(&mut g, r#","count":409600,"size":4096"#);
    g.close(s);
    g.world.run(5000);
    assert_eq!(of_benchmarks(&g, g.primary()), 0);
    let (mut g, s) = ready();
    let command = vec![r#"{"prefix":"bench","count":409600,"size":4096}"#.to_owned()];
    g.say(s, Packet::with_tid(9, MCommand { command, ..MCommand::default() }));
    let node = g.primary();
    while of_benchmarks(&g, node) < 5 {
        g.world.run(1);
    }
    g.world.kill(node);
    g.world.start(node);
    g.world.run(5000);
    assert_eq!(of_benchmarks(&g, node), 0);
}
