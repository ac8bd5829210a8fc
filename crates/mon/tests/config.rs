//! Options: who hears of them, how they are taken back, where they come from.

mod common;

use std::collections::BTreeMap;

use common::*;
use seabed_cluster::options::{Layers, Source};
use seabed_denc::{Bytes, Encode};
use seabed_messages::{MMgrReport, Message};
use seabed_mon::SessionId;
use serde_json::{Value, json};

/// The options that a session was last sent.
fn told(w: &mut World, s: SessionId) -> Option<BTreeMap<String, String>> {
    let is_config = |m: Message| match m {
        Message::Config(m) => Some(m.options.clone()),
        _ => None,
    };
    w.take(s).into_iter().filter_map(|p| is_config(p.message)).next_back()
}

fn set(w: &mut World, c: SessionId, who: &str, name: &str, value: &str) {
    let json =
        format!(r#"{{"prefix":"config set","who":"{who}","name":"{name}","value":"{value}"}}"#);
    w.ok(c, &json);
}

#[test]
fn each_hears_what_is_for_it() {
    let (mut w, c, osds) = healthy();
    for s in osds {
        w.subscribe(s, &[("config", 0, 0)]);
        assert_eq!(told(&mut w, s), Some(BTreeMap::new()));
    }
    set(&mut w, c, "osd", "osd_max_backfills", "2");
    set(&mut w, c, "osd.1", "osd_max_backfills", "3");
    set(&mut w, c, "osd/class:ssd", "osd_recovery_sleep", "1");
    set(&mut w, c, "osd/host:vm", "debug_osd", "7");
    set(&mut w, c, "client", "rbd_cache", "no");
    let of = |w: &mut World, n: usize| told(w, osds[n]).unwrap();
    let (zero, one) = (of(&mut w, 0), of(&mut w, 1));
    let expected = |backfills: &str| {
        let pairs = [("debug_osd", "7/7"), ("osd_max_backfills", backfills)];
        pairs.map(|(k, v)| (k.to_string(), v.to_string())).into()
    };
    assert_eq!((zero, one), (expected("2"), expected("3")));
    w.ok(c, r#"{"prefix":"config rm","who":"osd.1","name":"osd max backfills"}"#);
    assert_eq!(of(&mut w, 1), expected("2"));
}

#[test]
fn changes_are_taken_back() {
    let (mut w, c, _) = healthy();
    set(&mut w, c, "global", "osd_max_backfills", "2");
    let version = w.mon.state().config_version;
    let before = w.mon.state().settings.clone();
    set(&mut w, c, "global", "osd_max_backfills", "3");
    set(&mut w, c, "osd/class:hdd", "debug_osd", "5");
    w.ok(c, r#"{"prefix":"config rm","who":"global","name":"osd_max_backfills"}"#);
    w.ok(c, &format!(r#"{{"prefix":"config reset","num":{version}}}"#));
    assert_eq!(w.mon.state().settings, before);
    // What was taken back can be had again.
    w.ok(c, &format!(r#"{{"prefix":"config reset","num":{}}}"#, version + 2));
    assert_eq!(w.mon.state().settings.len(), 2);
    assert_eq!(w.command(c, r#"{"prefix":"config reset","num":1000}"#).0, -22);
    // A restart knows the history as well.
    let mut w = w.restart();
    let c = w.client();
    w.ok(c, &format!(r#"{{"prefix":"config reset","num":{version}}}"#));
    assert_eq!(w.mon.state().settings, before);
}

#[test]
fn a_conf_file_is_taken_in() {
    let (mut w, c, _) = healthy();
    let conf = "[global]\nosd max backfills = 7\nnosuchoption = 3\nfsid = x\n\
                [osd.1]\nosd_recovery_sleep = 1 ; why\n# nothing\n";
    let (code, status, left) = w.command_with(c, r#"{"prefix":"config assimilate-conf"}"#, conf);
    assert_eq!((code, status.as_str()), (0, ""));
    assert_eq!(left, "\n[global]\n\tfsid = x\n\tnosuchoption = 3\n");
    let settings = &w.mon.state().settings;
    let get = |who: &str, name: &str| settings[&(who.to_string(), name.to_string())].clone();
    assert_eq!(get("global", "osd_max_backfills"), "7");
    assert_eq!(get("osd.1", "osd_recovery_sleep"), "1.000000");
    assert_eq!(settings.len(), 2);
    let (code, ..) = w.command_with(c, r#"{"prefix":"config assimilate-conf"}"#, "what is this");
    assert_eq!(code, -22);
}

#[test]
fn options_are_dumped_from_the_general_to_the_special() {
    let (mut w, c, _) = healthy();
    set(&mut w, c, "osd.0", "osd_max_backfills", "3");
    set(&mut w, c, "osd", "osd_max_backfills", "2");
    set(&mut w, c, "osd/class:hdd", "osd_max_backfills", "5");
    set(&mut w, c, "osd", "osd_memory_target", "4G");
    set(&mut w, c, "global", "debug_ms", "0/0");
    let wanted = "\
WHO        MASK       LEVEL     OPTION             VALUE       RO
global                advanced  debug_ms           0/0           
  osd      class:hdd  advanced  osd_max_backfills  5             
  osd                 advanced  osd_max_backfills  2             
  osd                 basic     osd_memory_target  4294967296    
    osd.0             advanced  osd_max_backfills  3             
";
    let text = w.ok(c, r#"{"prefix":"config dump"}"#);
    assert_eq!(text, wanted, "\n{text}");
}

#[test]
fn a_daemon_tells_what_holds_in_it_and_who_set_it() {
    let (mut w, c, [osd, ..]) = healthy();
    set(&mut w, c, "osd", "osd_max_write_size", "80");
    let values = told(&mut w, osd);
    assert!(values.is_none(), "it has not asked for it");
    let mut layers = Layers::new(|name| name.starts_with("osd_"));
    layers.follow_mon([("osd_max_write_size", "80"), ("osd_objectstore", "x")]);
    layers.set(Source::File, "osd_max_write_size", "60").unwrap();
    layers.set(Source::File, "osd_max_pgls", "7").unwrap();
    let mut report = layers.report();
    report.ignored.insert("osd_max_pgls".into(), "8".into());
    let config = report.to_bytes(0);
    w.send(osd, MMgrReport { config, ..MMgrReport::default() });
    let show = |w: &mut World, what: &str| w.ok(c, &format!(r#"{{"prefix":"config show"{what}}}"#));
    let plain = show(&mut w, r#","who":"osd.0""#);
    let rows: Vec<Vec<&str>> = plain.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["NAME", "VALUE", "SOURCE", "OVERRIDES", "IGNORES"],
            vec!["osd_max_pgls", "7", "file", "mon"],
            vec!["osd_max_write_size", "60", "file", "mon[80]"],
        ]
    );
    let rows: Value =
        serde_json::from_str(&show(&mut w, r#","who":"osd.0","format":"json""#)).unwrap();
    assert_eq!(rows[0]["ignores"], "mon");
    assert_eq!(rows[1]["overrides"], json!([{"source": "mon", "value": "80"}]));
    assert_eq!(show(&mut w, r#","who":"osd.0","key":"osd-max-pgls""#), "7\n");
    // Of a monitor the file goes before what was set, too; the process's own word before both.
    set(&mut w, c, "mon", "mon_allow_pool_delete", "false");
    set(&mut w, c, "mon.a", "mon_max_pg_per_osd", "300");
    let plain = show(&mut w, r#","who":"mon.a""#);
    assert!(plain.lines().any(|l| l.starts_with("mon_allow_pool_delete ") && l.contains("true")));
    assert!(plain.lines().any(|l| l.starts_with("mon_max_pg_per_osd ") && l.contains("300")));
    // What is unreadable changes nothing; who has gone has told nothing.
    let config = Bytes::from_static(b"\xff\xff\xff\xff");
    w.send(osd, MMgrReport { config, ..MMgrReport::default() });
    assert_eq!(show(&mut w, r#","who":"osd.0","key":"osd_max_pgls""#), "7\n");
    w.step(seabed_mon::Input::SessionClosed(osd));
    assert_eq!(w.command(c, r#"{"prefix":"config show","who":"osd.0"}"#).0, -2);
}
