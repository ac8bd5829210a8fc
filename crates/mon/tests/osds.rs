//! OSDs come up, fail, are marked out, ask for up_thru and pg_temp; pools are made and unmade.

mod common;

use std::time::Duration;

use common::*;
use seabed_cluster::osdmap::{flag, pool_flag};
use seabed_cluster::{Epoch, OsdId, PgId, PoolId, pg_state};
use seabed_messages::{
    MMonGetMap, MMonGetVersion, MOsdAlive, MOsdFailure, MOsdMarkMeDown, MOsdPgTemp, Message,
    Packet, Paxos,
};
use seabed_mon::map_log::{LogEntry, MapLog, MemoryLog, Version};
use seabed_mon::{Input, SessionId};

fn failure(w: &World, target: i32, flags: u8, seconds: i32) -> MOsdFailure {
    MOsdFailure {
        paxos: Paxos::at(u64::from(w.map().epoch.0)),
        fsid: FSID,
        target: OsdId(target),
        target_addrs: osd_addr(target, 0),
        epoch: w.map().epoch,
        flags,
        failed_for_seconds: seconds,
        ..MOsdFailure::default()
    }
}

#[test]
fn bootstrap_of_a_client() {
    let mut w = World::new(0);
    let c = w.client();
    w.send(c, MMonGetMap::default());
    w.subscribe(c, &[("config", 0, 0), ("monmap", 0, 0), ("mgrmap", 0, 0), ("osdmap", 0, 1)]);
    let kinds: Vec<u16> = w.take(c).iter().map(|p| p.message.kind()).collect();
    assert_eq!(kinds, [4, 62, 0x704, 4, 41]);
    let tid = w.send(c, MMonGetVersion { handle: 9, what: "osdmap".into(), ..Default::default() });
    let reply = w.take(c).pop().unwrap();
    assert_eq!(reply.tid, tid);
    let Message::MonGetVersionReply(r) = reply.message else { panic!() };
    assert_eq!((r.handle, r.newest, r.oldest), (9, 1, 1));
}

#[test]
fn boot_places_and_ups() {
    let (w, _, osds) = healthy();
    let map = w.map();
    assert_eq!(map.num_up_osds(), 3);
    assert_eq!(map.num_in_osds(), 3);
    assert_eq!(osds.len(), 3);
    let place = map.crush.location(1);
    assert_eq!(place[0], ("host".to_string(), "vm".to_string()));
    // 10 GiB are 0.0098 TiB.
    assert_eq!(map.crush.item_weight(1), Some((0.0098 * 65536.0) as u32));
    assert_eq!(map.crush.item_class(1), Some("hdd"));
    let mapping = map.map_pg(PgId::new(PoolId(1), 0));
    assert_eq!(mapping.up.len(), 3);
    // The pool is no longer being created once all its PGs were reported.
    assert!(!map.pools[&PoolId(1)].has_flag(pool_flag::CREATING));
}

#[test]
fn osds_follow_by_increments() {
    let mut w = World::new(3);
    let s = w.osd_session(0);
    w.subscribe(s, &[("osdmap", 1, 1)]);
    let mut map = None;
    follow(&mut map, &w.take(s));
    assert_eq!(map.as_ref().unwrap().epoch, Epoch(1));
    w.boot(s, 0);
    let c = w.client();
    w.ok(c, r#"{"prefix":"osd pool create","pool":"p","pg_num":4}"#);
    w.ok(c, r#"{"prefix":"osd set","key":"noout"}"#);
    follow(&mut map, &w.take(s));
    assert_eq!(map.as_ref(), Some(w.map()));
    // A client that is behind catches up the same way.
    w.subscribe(c, &[("osdmap", 0, 0)]);
    let mut of_client = None;
    follow(&mut of_client, &w.take(c));
    w.ok(c, r#"{"prefix":"osd unset","key":"noout"}"#);
    assert!(!w.map().has_flag(flag::map::NOOUT));
}

#[test]
fn refused_boots_change_nothing() {
    let mut w = World::new(1);
    let s = w.osd_session(7);
    w.boot(s, 7);
    assert_eq!(w.map().epoch, Epoch(1));
    let s = w.osd_session(0);
    let mut other = boot_message(0, Epoch(1));
    other.superblock.cluster_fsid = seabed_cluster::Uuid([9; 16]);
    w.send(s, other);
    w.pass(Duration::from_millis(60));
    assert_eq!(w.map().epoch, Epoch(1));
    // A client may not speak for an OSD.
    let c = w.client();
    w.send(c, boot_message(0, Epoch(1)));
    w.pass(Duration::from_millis(60));
    assert_eq!(w.map().epoch, Epoch(1));
}

#[test]
fn refused_connections_are_believed_at_once() {
    let (mut w, _, osds) = healthy();
    let report = failure(&w, 2, 3, 21);
    w.send(osds[0], report);
    w.pass(Duration::from_millis(60));
    assert!(w.map().is_down(OsdId(2)));
    assert!(w.map().is_in(OsdId(2)));
    let maps = w.take(osds[0]);
    assert!(maps.iter().any(|p| p.message.kind() == 41), "the reporter gets the map");
    // The OSD comes back under the same addresses and is up again, however often.
    for _ in 0..10 {
        w.boot(osds[2], 2);
        assert!(w.map().is_up(OsdId(2)));
        let report = failure(&w, 2, 3, 21);
        w.send(osds[1], report);
        w.pass(Duration::from_millis(60));
        assert!(w.map().is_down(OsdId(2)));
    }
}

#[test]
fn silence_needs_two_reporters_and_grace() {
    let (mut w, _, osds) = healthy();
    let report = failure(&w, 2, 1, 30);
    w.send(osds[0], report.clone());
    w.pass(Duration::from_millis(100));
    assert!(w.map().is_up(OsdId(2)), "one reporter of two possible is not enough");
    let mut young = report.clone();
    young.failed_for_seconds = 1;
    w.send(osds[0], young.clone());
    w.send(osds[1], young);
    w.pass(Duration::from_millis(100));
    assert!(w.map().is_up(OsdId(2)), "not silent for long enough");
    w.pass(Duration::from_secs(25));
    assert!(w.map().is_down(OsdId(2)), "the reports have become old enough");
}

#[test]
fn a_report_taken_back_does_not_count() {
    let (mut w, _, osds) = healthy();
    let report = failure(&w, 2, 1, 30);
    w.send(osds[0], report);
    let alive = failure(&w, 2, 0, 0);
    w.send(osds[0], alive);
    let report = failure(&w, 2, 1, 30);
    w.send(osds[1], report);
    w.pass(Duration::from_secs(60));
    assert!(w.map().is_up(OsdId(2)));
}

#[test]
fn down_long_enough_is_out_and_back_in_at_boot() {
    let (mut w, c, osds) = healthy();
    // Two of three would stay in, fewer than the option asks for: never out by itself.
    let report = failure(&w, 2, 3, 21);
    w.send(osds[0], report);
    w.pass(Duration::from_secs(700));
    assert!(w.map().is_in(OsdId(2)));
    w.ok(c, r#"{"prefix":"config set","who":"mon","name":"mon_osd_min_in_ratio","value":"0.5"}"#);
    w.pass(Duration::from_secs(20));
    assert!(w.map().is_out(OsdId(2)));
    assert!(w.map().state(OsdId(2)) & flag::osd::AUTOOUT != 0);
    w.boot(osds[2], 2);
    assert!(w.map().is_in(OsdId(2)));
    assert!(w.map().state(OsdId(2)) & flag::osd::AUTOOUT == 0);
}

#[test]
fn silent_osds_go_down_after_the_report_timeout() {
    let (mut w, _, osds) = healthy();
    let beacon = |w: &World| seabed_messages::MOsdBeacon {
        paxos: Paxos::at(u64::from(w.map().epoch.0)),
        report_interval: 300,
        ..Default::default()
    };
    for _ in 0..4 {
        w.pass(Duration::from_secs(300));
        for s in &osds[..2] {
            let b = beacon(&w);
            w.send(*s, b);
        }
    }
    assert!(w.map().is_down(OsdId(2)));
    assert!(w.map().is_up(OsdId(0)) && w.map().is_up(OsdId(1)));
}

#[test]
fn alive_and_pg_temp() {
    let (mut w, _, osds) = healthy();
    let epoch = w.map().epoch;
    let paxos = Paxos::at(u64::from(epoch.0));
    w.send(osds[0], MOsdAlive { paxos: paxos.clone(), want: epoch, ..Default::default() });
    w.pass(Duration::from_millis(60));
    assert_eq!(w.map().up_thru(OsdId(0)), epoch);
    let pg = PgId::new(PoolId(1), 3);
    let m = w.map().map_pg(pg);
    let primary = m.acting_primary.unwrap();
    let mut turned = m.up.clone();
    turned.rotate_left(1);
    let session = osds[primary.index().unwrap()];
    let wish = |acting: Vec<OsdId>| MOsdPgTemp {
        paxos: paxos.clone(),
        epoch,
        pg_temp: [(pg, acting)].into(),
        ..Default::default()
    };
    w.send(session, wish(turned.clone()));
    w.pass(Duration::from_millis(60));
    assert_eq!(w.map().map_pg(pg).acting, turned);
    // A member that goes down takes the mapping with it.
    let report = failure(&w, turned[1].0, 3, 21);
    let reporter = (0..3).find(|i| OsdId(*i) != turned[1]).unwrap();
    w.send(osds[reporter as usize], report);
    w.pass(Duration::from_millis(60));
    assert!(w.map().pg_temp.is_empty());
}

#[test]
fn mark_me_down_is_echoed_after_the_commit() {
    let (mut w, _, osds) = healthy();
    let message = MOsdMarkMeDown {
        fsid: FSID,
        target: OsdId(1),
        target_addrs: osd_addr(1, 0),
        epoch: w.map().epoch,
        request_ack: true,
        down_and_dead: true,
        ..Default::default()
    };
    w.send(osds[1], message);
    w.pass(Duration::from_millis(60));
    assert!(w.map().is_down(OsdId(1)));
    let echoed = w.take(osds[1]).into_iter().any(|p| match p.message {
        Message::OsdMarkMeDown(m) => !m.request_ack && !m.down_and_dead,
        _ => false,
    });
    assert!(echoed);
}

#[test]
fn nothing_is_heard_before_it_is_durable() {
    let mut w = made(Box::new(MemoryLog::new()), 3);
    drop(w);
    let mut log = MemoryLog::delayed();
    let new = seabed_mon::Mkfs {
        fsid: FSID,
        mon: "a".into(),
        mon_addrs: addr(21000, 0),
        osds: 3,
        options: config().options,
    };
    seabed_mon::mkfs(&mut log, &new, start().wall).unwrap();
    log.commit_all();
    let shared = std::rc::Rc::new(std::cell::RefCell::new(log));
    w = World::open(Box::new(Shared(shared.clone())), start());
    let c = w.client();
    w.subscribe(c, &[("osdmap", 2, 0)]);
    let command = vec![r#"{"prefix":"osd set","key":"noout"}"#.to_string()];
    let set = seabed_messages::MMonCommand { fsid: FSID, command, ..Default::default() };
    w.send(c, set);
    w.pass(Duration::from_secs(1));
    assert!(w.take(c).is_empty(), "neither map nor answer before the commit");
    shared.borrow_mut().commit_all();
    w.step(Input::LogCommitted);
    let kinds: Vec<u16> = w.take(c).iter().map(|p| p.message.kind()).collect();
    assert_eq!(kinds, [41, 51]);
}

/// A log that the test keeps a hand on.
struct Shared(std::rc::Rc<std::cell::RefCell<MemoryLog>>);

impl MapLog for Shared {
    fn append(
        &mut self,
        expected: Version,
        entry: &LogEntry,
    ) -> Result<seabed_mon::map_log::Append, seabed_mon::map_log::LogError> {
        self.0.borrow_mut().append(expected, entry)
    }
    fn committed(&mut self) -> Result<Version, seabed_mon::map_log::LogError> {
        self.0.borrow_mut().committed()
    }
    fn read(
        &self,
        from: Version,
        max: usize,
    ) -> Result<Vec<(Version, LogEntry)>, seabed_mon::map_log::LogError> {
        self.0.borrow().read(from, max)
    }
    fn snapshot(
        &self,
    ) -> Result<Option<(Version, seabed_denc::Bytes)>, seabed_mon::map_log::LogError> {
        self.0.borrow().snapshot()
    }
    fn trim(
        &mut self,
        version: Version,
        snapshot: seabed_denc::Bytes,
    ) -> Result<(), seabed_mon::map_log::LogError> {
        self.0.borrow_mut().trim(version, snapshot)
    }
}

#[test]
fn idle_monitors_sleep() {
    let mut w = World::new(3);
    assert_eq!(w.mon.wake_at(w.now), None);
    w.boot(SessionId(99), 0);
    let s = w.osd_session(0);
    w.boot(s, 0);
    // Only the report timeout is left to wait for.
    let at = w.mon.wake_at(w.now).unwrap();
    assert!(at.saturating_sub(w.now.mono) > Duration::from_secs(800));
}

#[test]
fn a_restart_gives_the_same_state() {
    let (mut w, c, _) = healthy();
    w.ok(c, r#"{"prefix":"config set","who":"global","name":"osd_max_backfills","value":"2"}"#);
    w.ok(c, r#"{"prefix":"config-key set","key":"a/b","val":"c"}"#);
    for i in 0..40 {
        let key = if i % 2 == 0 { "set" } else { "unset" };
        w.ok(c, &format!(r#"{{"prefix":"osd {key}","key":"noscrub"}}"#));
    }
    let before = w.mon.state().clone();
    let w = w.restart();
    let after = w.mon.state();
    assert_eq!(after.osdmap(), before.osdmap());
    assert_eq!(after.settings, before.settings);
    assert_eq!(after.keys, before.keys);
    assert_eq!(after.osd_metadata, before.osd_metadata);
    assert_eq!(after.version, before.version);
    assert_eq!(after.to_snapshot(), before.to_snapshot());
    let state = seabed_mon::state::State::from_snapshot(before.to_snapshot()).unwrap();
    assert_eq!(state.osdmap(), before.osdmap());
    assert_eq!(state.maps.oldest(), before.maps.oldest());
    assert_eq!(state.config_log, before.config_log);
}

#[test]
fn the_log_stays_short_and_the_window_is_kept() {
    let (mut w, c, osds) = healthy();
    for i in 0..1100 {
        let key = if i % 2 == 0 { "set" } else { "unset" };
        let command = vec![format!(r#"{{"prefix":"osd {key}","key":"noscrub"}}"#)];
        let m = seabed_messages::MMonCommand { fsid: FSID, command, ..Default::default() };
        w.send(c, m);
        w.pass(Duration::from_millis(51));
        w.take(c);
        if i % 300 == 0 {
            for (id, s) in osds.iter().enumerate() {
                w.report(*s, id as i32, pg_state::ACTIVE | pg_state::CLEAN);
            }
        }
    }
    let newest = w.map().epoch;
    assert!(newest.0 > 1000);
    let oldest = w.mon.state().maps.oldest();
    assert!(oldest > Epoch(1), "the window moved on");
    assert!(newest.0 - oldest.0 >= 500, "and kept what it must");
    // An OSD from long ago gets the oldest full map and all that followed.
    let s = w.osd_session(1);
    w.subscribe(s, &[("osdmap", 1, 1)]);
    let mut map = None;
    let packets = w.take(s);
    follow(&mut map, &packets);
    assert!(packets.len() > 10);
    assert_eq!(map.as_ref(), Some(w.map()));
    let before = w.mon.state().clone();
    let w = w.restart();
    assert_eq!(w.map(), &**before.osdmap());
    assert_eq!(w.mon.state().maps.oldest(), oldest);
}

#[test]
fn stale_after_the_primary_went() {
    let (mut w, c, osds) = healthy();
    for target in [1, 2] {
        let report = failure(&w, target, 3, 21);
        w.send(osds[0], report);
        w.pass(Duration::from_millis(60));
    }
    let text = w.ok(c, r#"{"prefix":"health","detail":"detail"}"#);
    assert!(text.contains("OSD_DOWN: 2 osds down"), "{text}");
    assert!(text.contains("osd.1 (root=default,host=vm) is down"), "{text}");
    assert!(text.contains("PG_AVAILABILITY"), "{text}");
}

#[test]
fn announced_osds_exist_and_come_in() {
    let mut w = World::new(0);
    let c = w.client();
    let new = r#"{"prefix":"osd new","uuid":"01010101-0101-0101-0101-010101010101"}"#;
    assert_eq!(w.ok(c, new), "0\n");
    assert_eq!(w.ok(c, new), "0\n", "the same store has the same id");
    let state = w.map().state(OsdId(0));
    assert_eq!(state, flag::osd::EXISTS | flag::osd::NEW);
    assert!(w.map().is_in(OsdId(0)));
    w.ok(c, r#"{"prefix":"osd crush set-device-class","class":"ssd","ids":["0"]}"#);
    let place = r#"{"prefix":"osd crush create-or-move","id":0,"weight":0.5,
        "args":["host=h","root=default"]}"#;
    w.ok(c, place);
    assert_eq!(w.map().crush.item_weight(0), Some(0x8000));
    let s = w.osd_session(0);
    let message = boot_message(0, w.map().epoch);
    w.send(s, message);
    w.pass(Duration::from_millis(60));
    assert_eq!(w.map().state(OsdId(0)), flag::osd::EXISTS | flag::osd::UP);
    // Where it was put by command it stays.
    assert_eq!(w.map().crush.item_weight(0), Some(0x8000));
    w.ok(c, r#"{"prefix":"osd out","ids":["0"]}"#);
    assert!(w.map().is_out(OsdId(0)));
    w.ok(c, r#"{"prefix":"osd in","ids":["osd.0"]}"#);
    assert_eq!(w.map().state(OsdId(0)), flag::osd::EXISTS | flag::osd::UP);
    assert_eq!(w.command(c, r#"{"prefix":"osd rm","ids":["0"]}"#).0, -16);
    w.ok(c, r#"{"prefix":"osd down","ids":["0"]}"#);
    let purge = r#"{"prefix":"osd purge","id":0,"yes_i_really_mean_it":true}"#;
    w.ok(c, purge);
    assert!(!w.map().exists(OsdId(0)));
    assert_eq!(w.map().crush.item_name(0), None);
}

#[test]
fn what_is_held_stays_where_it_is() {
    let (mut w, c, osds) = healthy();
    for (name, value) in [("mon_osd_down_out_interval", "10"), ("mon_osd_min_in_ratio", "0.1")] {
        let head = r#"{"prefix":"config set","who":"mon","#;
        w.ok(c, &format!(r#"{head}"name":"{name}","value":"{value}"}}"#));
    }
    w.ok(c, r#"{"prefix":"osd set-group","flags":"nodown","who":["hdd"]}"#);
    w.ok(c, r#"{"prefix":"osd set-group","flags":"noup","who":["vm"]}"#);
    w.ok(c, r#"{"prefix":"osd add-noin","ids":["2"]}"#);
    // Peers miss it, and are not believed.
    let failed = |w: &World| seabed_messages::MOsdFailure {
        fsid: FSID,
        target: OsdId(2),
        target_addrs: w.map().addrs(OsdId(2)).unwrap().client.clone(),
        flags: seabed_messages::failure_flag::FAILED | seabed_messages::failure_flag::IMMEDIATE,
        epoch: w.map().epoch,
        failed_for_seconds: 30,
        ..Default::default()
    };
    let report = failed(&w);
    w.send(osds[0], report);
    w.pass(Duration::from_secs(1));
    assert!(w.map().is_up(OsdId(2)));
    w.ok(c, r#"{"prefix":"osd unset-group","flags":"nodown","who":["hdd"]}"#);
    let report = failed(&w);
    w.send(osds[0], report);
    w.pass(Duration::from_secs(1));
    assert!(w.map().is_down(OsdId(2)));
    // It may not come back, then not in.
    w.boot(osds[2], 2);
    assert!(w.map().is_down(OsdId(2)));
    w.ok(c, r#"{"prefix":"osd unset-group","flags":"noup","who":["vm"]}"#);
    w.ok(c, r#"{"prefix":"osd set-group","flags":"noout","who":["default"]}"#);
    w.pass(Duration::from_secs(20));
    assert!(w.map().is_in(OsdId(2)), "nothing below that root goes out");
    w.ok(c, r#"{"prefix":"osd unset-group","flags":"noout","who":["default"]}"#);
    w.pass(Duration::from_secs(20));
    assert!(w.map().is_out(OsdId(2)));
    w.boot(osds[2], 2);
    assert!(w.map().is_up(OsdId(2)) && w.map().is_out(OsdId(2)));
    assert!(w.map().crush_node_flags.is_empty() && w.map().device_class_flags.is_empty());
}

#[test]
fn a_pg_peers_anew() {
    let (mut w, c, _) = healthy();
    let pg = PgId::new(PoolId(1), 0);
    let before = w.map().map_pg(pg).acting;
    w.ok(c, r#"{"prefix":"pg repeer","pgid":"1.0"}"#);
    let after = w.map().map_pg(pg).acting;
    assert_ne!(before, after);
    assert_eq!(before.iter().rev().copied().collect::<Vec<_>>(), after);
}

#[test]
fn an_osd_may_go_down_as_often_as_it_likes() {
    let (mut w, c, osds) = healthy();
    for _ in 0..50 {
        w.ok(c, r#"{"prefix":"osd down","ids":["1"]}"#);
        assert!(w.map().is_down(OsdId(1)));
        w.boot(osds[1], 1);
        assert!(w.map().is_up(OsdId(1)) && w.map().is_in(OsdId(1)));
    }
}

#[test]
fn with_nodown_an_osd_that_leaves_stays_up_in_the_map() {
    let (mut w, c, osds) = healthy();
    w.ok(c, r#"{"prefix":"osd set","key":"nodown"}"#);
    let leaving = MOsdMarkMeDown {
        fsid: FSID,
        target: OsdId(1),
        target_addrs: w.map().addrs(OsdId(1)).unwrap().client.clone(),
        epoch: w.map().epoch,
        request_ack: true,
        ..MOsdMarkMeDown::default()
    };
    w.take(osds[1]);
    w.send(osds[1], leaving);
    w.pass(Duration::from_millis(60));
    let answered = |p: &Packet| matches!(p.message, Message::OsdMarkMeDown(_));
    assert!(w.take(osds[1]).iter().any(answered), "it need not wait");
    assert!(w.map().is_up(OsdId(1)));
}
