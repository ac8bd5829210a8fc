//! The state is a function of the log: whatever was done, a restart gives the same, by the
//! in-memory log and by the one in a key-value store; and whoever follows the maps has the same
//! map at every moment.

mod common;

use std::time::Duration;

use common::*;
use seabed_cluster::{OsdId, pg_state};
use seabed_messages::{MOsdAlive, MOsdFailure, MOsdMarkMeDown, MPoolOp, Paxos, pool_op};
use seabed_mon::SessionId;
use seabed_mon::map_log::{EmbeddedLog, MapLog, MemoryLog};
use seabed_mon::service::mute::Mute;
use seabed_storage::mem::MemKv;

/// A small generator, so that a failing seed says all.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn act(w: &mut World, c: SessionId, osds: &[SessionId], dice: &mut Dice) {
    let id = dice.roll(3) as i32;
    let session = osds[id as usize];
    let other = osds[(id as usize + 1) % 3];
    let name = format!("p{}", dice.roll(4));
    let word = ["noout", "noscrub", "nodown", "noup"][dice.roll(4) as usize];
    let epoch = w.map().epoch;
    let paxos = Paxos::at(u64::from(epoch.0));
    let command = match dice.roll(18) {
        0 => format!(r#"{{"prefix":"osd pool create","pool":"{name}","pg_num":4}}"#),
        1 => format!(
            r#"{{"prefix":"osd pool rm","pool":"{name}","pool2":"{name}",
            "yes_i_really_really_mean_it":true}}"#
        ),
        2 => format!(r#"{{"prefix":"osd set","key":"{word}"}}"#),
        3 => format!(r#"{{"prefix":"osd unset","key":"{word}"}}"#),
        4 => format!(r#"{{"prefix":"osd out","ids":["{id}"]}}"#),
        5 => format!(r#"{{"prefix":"osd in","ids":["{id}"]}}"#),
        6 => format!(r#"{{"prefix":"osd down","ids":["{id}"]}}"#),
        7 => format!(r#"{{"prefix":"osd reweight","id":{id},"weight":0.5}}"#),
        8 => format!(r#"{{"prefix":"osd crush reweight","name":"osd.{id}","weight":2}}"#),
        9 => format!(r#"{{"prefix":"osd pool set","pool":"{name}","var":"size","val":"2"}}"#),
        10 => {
            r#"{"prefix":"config set","who":"osd","name":"osd_max_backfills","value":"3"}"#.into()
        }
        11 => r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"127.0.0.1:0/7"}"#.into(),
        12 => {
            w.boot(session, id);
            return;
        }
        13 => {
            let m = MOsdFailure {
                paxos,
                fsid: FSID,
                target: OsdId(id),
                target_addrs: osd_addr(id, 0),
                epoch,
                flags: 3,
                ..MOsdFailure::default()
            };
            w.send(other, m);
            return;
        }
        14 => {
            w.send(session, MOsdAlive { paxos, want: epoch, ..Default::default() });
            return;
        }
        15 => {
            let m = MOsdMarkMeDown {
                fsid: FSID,
                target: OsdId(id),
                target_addrs: osd_addr(id, 0),
                epoch,
                ..Default::default()
            };
            w.send(session, m);
            return;
        }
        16 => {
            w.report(session, id, pg_state::ACTIVE | pg_state::CLEAN);
            return;
        }
        _ => {
            let m = MPoolOp {
                fsid: FSID,
                pool: 1,
                op: pool_op::CREATE_UNMANAGED_SNAP,
                ..Default::default()
            };
            w.send(c, m);
            return;
        }
    };
    w.command(c, &command);
}

fn run(seed: u64, log: Box<dyn MapLog>) {
    let mut w = made(log, 3);
    let mut dice = Dice(seed);
    let mut follower = None;
    for round in 0..4 {
        let c = w.client();
        let osds: Vec<SessionId> = (0..3).map(|i| w.osd_session(i)).collect();
        let watcher = w.client();
        w.subscribe(watcher, &[("osdmap", if round == 0 { 1 } else { 0 }, 0)]);
        for _ in 0..40 {
            act(&mut w, c, &osds, &mut dice);
            w.pass(Duration::from_millis(dice.roll(120)));
            follow(&mut follower, &w.take(watcher));
        }
        w.pass(Duration::from_secs(1));
        follow(&mut follower, &w.take(watcher));
        assert_eq!(follower.as_ref(), Some(w.map()), "seed {seed}");
        w.mon.check_window().unwrap();
        let before = w.mon.state().to_snapshot();
        let version = w.mon.state().version;
        w = w.restart();
        assert_eq!(w.mon.state().version, version, "seed {seed}");
        assert_eq!(w.mon.state().to_snapshot(), before, "seed {seed}");
    }
}

#[test]
fn restarts_change_nothing() {
    for seed in 0..25 {
        run(seed, Box::new(MemoryLog::new()));
    }
}

#[test]
fn nor_do_they_with_the_embedded_log() {
    for seed in 100..108 {
        run(seed, Box::new(EmbeddedLog::open(MemKv::new()).unwrap()));
    }
}

#[test]
fn the_embedded_log_keeps_its_order() {
    use seabed_mon::map_log::{Append, Change, Door, LogEntry, Provenance, Version};
    let entry = |n: u8| LogEntry {
        stamp: start().wall,
        provenance: vec![Provenance::new("client.admin", Door::Command, "x".repeat(2000))],
        changes: vec![Change::Mute { code: format!("C{n}"), mute: Some(Mute::default()) }],
    };
    let mut log = EmbeddedLog::open(MemKv::new()).unwrap();
    assert_eq!(log.append(Version(0), &entry(1)).unwrap(), Append::Submitted(Version(1)));
    assert_eq!(log.append(Version(0), &entry(2)).unwrap(), Append::Conflict(Version(1)));
    for n in 2..=9 {
        log.append(Version(u64::from(n) - 1), &entry(n)).unwrap();
    }
    assert_eq!(log.committed().unwrap(), Version(9));
    let read = log.read(Version(3), 4).unwrap();
    let versions: Vec<u64> = read.iter().map(|(v, _)| v.0).collect();
    assert_eq!(versions, [3, 4, 5, 6]);
    assert_eq!(read[0].1, entry(3));
    assert!(read[0].1.provenance[0].cause.len() <= Provenance::CAUSE_LEN_MAX);
    log.trim(Version(5), "snap".into()).unwrap();
    assert!(log.read(Version(5), 1).is_err());
    assert_eq!(log.read(Version(6), 10).unwrap().len(), 4);
    assert_eq!(log.snapshot().unwrap(), Some((Version(5), "snap".into())));
}
