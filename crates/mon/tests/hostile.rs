//! Whatever a peer sends, the monitor answers or ignores it, keeps its invariants and goes on.

mod common;

use common::*;
use seabed_cluster::admin::prefix;
use seabed_cluster::{Epoch, OsdId, PgId, PoolId, Uuid};
use seabed_messages::{
    MLog, MMonCommand, MMonGetOsdMap, MMonSubscribe, MOsdAlive, MOsdFailure, MOsdPgTemp, MPgStats,
    MPoolOp, MStatfs, Paxos, Subscription,
};
use seabed_mon::command::table::entries;
use serde_json::{Map, Value, json};

fn values() -> Vec<Value> {
    let long = "x".repeat(5000);
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(2_147_483_647),
        json!(2_147_483_648u64),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("rbd"),
        json!("osd.2147483647"),
        json!("1.0"),
        json!("1.ffffffff"),
        json!("-1.-1"),
        json!("default"),
        json!("127.0.0.1:0/1"),
        json!("[::]:99999/x"),
        json!("01010101-0101-0101-0101-010101010101"),
        json!("host=a root=default"),
        json!("=\u{0}="),
        json!(long),
        json!([]),
        json!(["0", "1", "2", "all", "*"]),
        json!([0, 1, 0, 1]),
        json!([[[]]]),
        json!({"a": {}}),
        json!("nan"),
        json!("99999999999999999999"),
    ]
}

#[test]
fn commands_with_any_argument() {
    let (mut w, c, _) = healthy();
    let values = values();
    let mut at = 0usize;
    for entry in entries() {
        let names: Vec<&str> = entry
            .sig
            .split(' ')
            .filter_map(|a| a.trim_start_matches('[').split_once(':'))
            .map(|(n, _)| n)
            .collect();
        for round in 0..values.len() {
            let mut command = Map::new();
            command.insert("prefix".into(), json!(prefix(entry.sig)));
            for (i, name) in names.iter().enumerate() {
                at += 1;
                command.insert(
                    (*name).into(),
                    values[(round + i * 7 + at / 97) % values.len()].clone(),
                );
            }
            command.insert("yes_i_really_mean_it".into(), json!(true));
            command.insert("yes_i_really_really_mean_it".into(), json!(true));
            let text = Value::Object(command).to_string();
            w.command(c, &text);
        }
    }
    w.mon.check_window().unwrap();
    let w = w.restart();
    w.mon.check_window().unwrap();
}

#[test]
fn messages_with_any_number() {
    let (mut w, c, osds) = healthy();
    let numbers = [0u32, 1, 5, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for n in numbers {
        for s in [c, osds[0]] {
            let paxos = Paxos::at(u64::from(n) << 16 | u64::from(n));
            let id = OsdId(n as i32);
            w.send(s, MOsdAlive { paxos: paxos.clone(), want: Epoch(n), ..Default::default() });
            let failure = MOsdFailure {
                fsid: FSID,
                target: id,
                epoch: Epoch(n),
                flags: n as u8,
                failed_for_seconds: n as i32,
                ..Default::default()
            };
            w.send(s, failure);
            let wish = MOsdPgTemp {
                paxos,
                pg_temp: [(PgId::new(PoolId(i64::from(n as i32)), n), vec![id; 3])].into(),
                forced: true,
                ..Default::default()
            };
            w.send(s, wish);
            let maps = MMonGetOsdMap {
                full_first: Epoch(1),
                full_last: Epoch(n),
                inc_first: Epoch(n),
                inc_last: Epoch(u32::MAX),
                ..Default::default()
            };
            w.send(s, maps);
            let mut boot = boot_message(0, Epoch(n));
            boot.superblock.whoami = id;
            boot.boot_epoch = Epoch(n);
            boot.superblock.mounted = Epoch(n);
            boot.superblock.clean_thru = Epoch(n);
            w.send(s, boot);
            w.send(s, MPgStats { fsid: FSID, ..Default::default() });
            w.send(s, MPgStats { fsid: Uuid([1; 16]), ..Default::default() });
            w.send(s, MStatfs { pool: Some(PoolId(i64::from(n))), ..Default::default() });
            w.send(s, MPoolOp { pool: n, op: n, ..Default::default() });
            w.send(s, MLog { entries: vec![Default::default(); 3], ..Default::default() });
            let what = (0..200)
                .map(|i| (format!("w{i}"), Subscription { start: u64::from(n), flags: 9 }))
                .chain([
                    ("osdmap".to_string(), Subscription { start: u64::MAX, flags: 0 }),
                    ("monmap".to_string(), Subscription { start: u64::from(n), flags: 1 }),
                ])
                .collect();
            w.send(s, MMonSubscribe { what, ..Default::default() });
            w.pass(std::time::Duration::from_millis(120));
        }
    }
    w.mon.check_window().unwrap();
}

#[test]
fn floods_are_bounded() {
    let (mut w, c, _) = healthy();
    for i in 0..6000 {
        let command = vec![format!(r#"{{"prefix":"config-key set","key":"k{i}","val":"v"}}"#)];
        w.send(c, MMonCommand { fsid: FSID, command, ..Default::default() });
    }
    w.pass(std::time::Duration::from_secs(2));
    let codes: Vec<i32> = w
        .take(c)
        .iter()
        .filter_map(|p| match &p.message {
            seabed_messages::Message::MonCommandAck(a) => Some(a.result),
            _ => None,
        })
        .collect();
    assert_eq!(codes.len(), 6000, "every command is answered");
    assert!(codes.contains(&0) && codes.iter().all(|c| [0, -11].contains(c)));
    // Many waited together, few entries were needed.
    assert!(w.mon.state().version.0 < 200);
}
