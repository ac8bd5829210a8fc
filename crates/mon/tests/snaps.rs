//! Snapshots: made, removed, trimmed by the OSDs and then told to all. The answers are those that
//! Ceph 16.2 gave to the same requests.

mod common;

use std::time::Duration;

use common::*;
use seabed_cluster::{Epoch, Errno, IntervalSet, PoolId, SnapId, osdmap::pool_flag, pg_state};
use seabed_denc::Decode;
use seabed_messages::{MMonGetPurgedSnaps, MMonGetPurgedSnapsReply, MPoolOp, Message, pool_op};
use seabed_mon::SessionId;

const POOL: PoolId = PoolId(1);

fn set(ranges: &[(u64, u64)]) -> IntervalSet {
    let mut set = IntervalSet::new();
    ranges.iter().for_each(|(start, len)| set.insert(*start, *len));
    set
}

/// A pool operation to its answer: the result, and the number it gave.
fn pool_op(w: &mut World, c: SessionId, op: u32, snap: u64, name: &str) -> (i32, Option<u64>) {
    let message = MPoolOp {
        fsid: FSID,
        pool: 1,
        op,
        snap: SnapId(snap),
        name: name.to_string(),
        ..MPoolOp::default()
    };
    let tid = w.send(c, message);
    w.pass(Duration::from_millis(60));
    let answer = w.take(c).into_iter().find(|p| p.tid == tid).expect("an answer");
    let Message::PoolOpReply(r) = answer.message else { panic!("{:?}", answer.message) };
    assert!(r.epoch <= w.map().epoch, "the epoch of an answer is one that exists");
    (r.code, r.data.map(|d| u64::from_bytes(d).unwrap()))
}

fn make(w: &mut World, c: SessionId) -> u64 {
    let (code, snap) = pool_op(w, c, pool_op::CREATE_UNMANAGED_SNAP, 0, "");
    assert_eq!(code, 0);
    snap.expect("a number")
}

fn remove(w: &mut World, c: SessionId, snap: u64) -> i32 {
    pool_op(w, c, pool_op::DELETE_UNMANAGED_SNAP, snap, "").0
}

/// All OSDs report that their PGs have no clone of `purged` left; PG `but` alone has.
fn report(w: &mut World, osds: &[SessionId; 3], purged: &IntervalSet, but: Option<u32>) {
    for (id, s) in osds.iter().enumerate() {
        w.report_with(*s, id as i32, pg_state::ACTIVE | pg_state::CLEAN, |pg, stat| {
            if Some(pg.seed) != but {
                stat.purged_snaps = purged.clone();
            }
        });
    }
}

#[test]
fn numbered_snapshots() {
    let (mut w, c, _) = healthy();
    assert_eq!(remove(&mut w, c, 1), Errno::EOPNOTSUPP.wire());
    assert_eq!([make(&mut w, c), make(&mut w, c), make(&mut w, c)], [2, 3, 4]);
    let pool = &w.map().pools[&POOL];
    assert!(pool.has_flag(pool_flag::SELFMANAGED_SNAPS));
    assert_eq!((pool.snap_seq, pool.snap_epoch), (SnapId(4), w.map().epoch));
    assert!(pool.removed_snaps.is_empty());
    // The other mode is closed.
    let einval = Errno::EINVAL.wire();
    assert_eq!(pool_op(&mut w, c, pool_op::CREATE_SNAP, 0, "q").0, einval);
    assert_eq!(pool_op(&mut w, c, pool_op::DELETE_SNAP, 0, "q").0, einval);
    for verb in ["mksnap", "rmsnap"] {
        let text = format!(r#"{{"prefix":"osd pool {verb}","pool":"rbd","snap":"y"}}"#);
        let (code, status, _) = w.command(c, &text);
        assert_eq!((code, status.as_str()), (einval, "pool rbd is in unmanaged snaps mode"));
    }
    assert_eq!(remove(&mut w, c, 2), 0);
    let epoch = w.map().epoch;
    assert_eq!(w.map().new_removed_snaps[&POOL], set(&[(2, 1)]));
    // Again, and the number that the removal took: nothing to do.
    assert_eq!([remove(&mut w, c, 2), remove(&mut w, c, 5)], [0, 0]);
    assert_eq!(w.map().epoch, epoch);
    assert_eq!(remove(&mut w, c, 99), Errno::ENOENT.wire());
    assert_eq!(remove(&mut w, c, 0), 0);
    assert_eq!(make(&mut w, c), 7);
    assert_eq!(w.map().removed_snaps_queue[&POOL], set(&[(0, 1), (2, 1)]));
    let plain = w.ok(c, r#"{"prefix":"osd pool ls","detail":"detail"}"#);
    assert!(plain.contains("\n\tremoved_snaps_queue [0~1,2~1]\n"), "{plain}");
}

#[test]
fn named_snapshots() {
    let (mut w, c, _) = healthy();
    let status = |w: &mut World, verb: &str, snap: &str| {
        let text = format!(r#"{{"prefix":"osd pool {verb}","pool":"rbd","snap":"{snap}"}}"#);
        let (code, status, _) = w.command(c, &text);
        assert_eq!(code, 0);
        status
    };
    assert_eq!(status(&mut w, "mksnap", "x"), "created pool rbd snap x");
    assert_eq!(status(&mut w, "mksnap", "x"), "pool rbd snap x already exists");
    assert_eq!(pool_op(&mut w, c, pool_op::CREATE_SNAP, 0, "x"), (0, None));
    assert_eq!(pool_op(&mut w, c, pool_op::CREATE_SNAP, 0, "y"), (0, None));
    let names: Vec<_> =
        w.map().pools[&POOL].snaps.values().map(|s| (s.snapid.0, s.name.clone())).collect();
    assert_eq!(names, [(1, "x".to_string()), (2, "y".to_string())]);
    let einval = Errno::EINVAL.wire();
    assert_eq!(pool_op(&mut w, c, pool_op::CREATE_UNMANAGED_SNAP, 0, "").0, einval);
    assert_eq!(remove(&mut w, c, 1), einval);
    assert_eq!(status(&mut w, "rmsnap", "no"), "pool rbd snap no does not exist");
    assert_eq!(pool_op(&mut w, c, pool_op::DELETE_SNAP, 0, "no").0, 0);
    assert_eq!(pool_op(&mut w, c, pool_op::DELETE_SNAP, 0, "x").0, 0);
    assert_eq!(status(&mut w, "rmsnap", "y"), "removed pool rbd snap y");
    let pool = &w.map().pools[&POOL];
    assert!(pool.snaps.is_empty() && pool.has_flag(pool_flag::POOL_SNAPS));
    assert_eq!(pool.snap_seq, SnapId(4));
    assert_eq!(w.map().removed_snaps_queue[&POOL], set(&[(1, 2)]));
}

#[test]
fn trimmed_everywhere_is_purged() {
    let (mut w, c, osds) = healthy();
    assert_eq!([(); 4].map(|()| make(&mut w, c)), [2, 3, 4, 5]);
    let made = w.map().epoch;
    assert_eq!([remove(&mut w, c, 2), remove(&mut w, c, 3)], [0, 0]);
    let removed = w.map().epoch;
    // One PG is not done with 3; nobody is asked for 9.
    report(&mut w, &osds, &set(&[(2, 2), (9, 1)]), None);
    let purge = w.map().epoch;
    assert_eq!(purge, removed.next());
    assert_eq!(w.map().new_purged_snaps[&POOL], set(&[(2, 2)]));
    assert!(w.map().removed_snaps_queue.is_empty());
    // PGs tell it until they have seen the map: nothing new.
    w.pass(Duration::from_secs(10));
    report(&mut w, &osds, &set(&[(2, 2)]), None);
    assert_eq!(w.map().epoch, purge);
    assert_eq!(remove(&mut w, c, 4), 0);
    report(&mut w, &osds, &set(&[(2, 3)]), Some(5));
    w.pass(Duration::from_secs(10));
    assert_eq!(w.map().removed_snaps_queue[&POOL], set(&[(4, 1)]));
    report(&mut w, &osds, &set(&[(4, 1)]), None);
    w.pass(Duration::from_secs(10));
    let second = w.map().epoch;
    assert_eq!(w.map().new_purged_snaps[&POOL], set(&[(4, 1)]));

    // A restart forgets nothing of it.
    let mut w = w.restart();
    let c = w.client();
    let epoch = w.map().epoch;
    assert_eq!([remove(&mut w, c, 2), remove(&mut w, c, 4)], [0, 0]);
    assert_eq!(w.map().epoch, epoch);
    let ask = |w: &mut World, start: Epoch, last: Epoch| -> MMonGetPurgedSnapsReply {
        let tid = w.send(c, MMonGetPurgedSnaps { start, last, ..Default::default() });
        let answer = w.take(c).pop().unwrap();
        assert_eq!(answer.tid, tid);
        let Message::MonGetPurgedSnapsReply(r) = answer.message else { panic!() };
        *r
    };
    let all = ask(&mut w, made, epoch);
    assert_eq!((all.start, all.last), (made, epoch));
    let told: Vec<_> = all.purged_snaps.iter().map(|(e, p)| (*e, p[&POOL].clone())).collect();
    assert_eq!(told, [(purge, set(&[(2, 2)])), (second, set(&[(4, 1)]))]);
    assert_eq!(ask(&mut w, purge.next(), epoch).purged_snaps.len(), 1);
    assert!(ask(&mut w, second.next(), epoch).purged_snaps.is_empty());
}

#[test]
fn one_epoch_purges_so_much_and_a_dead_pool_leaves_nothing() {
    let (mut w, c, osds) = healthy();
    w.ok(
        c,
        r#"{"prefix":"config set","who":"mon","name":"mon_max_snap_prune_per_epoch","value":"3"}"#,
    );
    assert_eq!([(); 6].map(|()| make(&mut w, c)), [2, 3, 4, 5, 6, 7]);
    (2..8).for_each(|snap| assert_eq!(remove(&mut w, c, snap), 0));
    report(&mut w, &osds, &set(&[(2, 6)]), None);
    assert_eq!(w.map().new_purged_snaps[&POOL], set(&[(2, 3)]));
    assert_eq!(w.map().removed_snaps_queue[&POOL], set(&[(5, 3)]));
    w.ok(
        c,
        r#"{"prefix":"osd pool rm","pool":"rbd","pool2":"rbd","yes_i_really_really_mean_it":true}"#,
    );
    assert!(w.map().removed_snaps_queue.is_empty());
    let bytes = w.mon.state().to_snapshot();
    let again = seabed_mon::state::State::from_snapshot(bytes.clone()).unwrap();
    assert_eq!(again.to_snapshot(), bytes);
}
