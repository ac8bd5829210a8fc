//! Rules of watch and notify ops, as 16.2.15 answers them.

use seabed_cluster::{EntityType, Errno};
use seabed_denc::{BytesMut, Encode, encode_bytes};
use seabed_messages::op::watch_op;
use seabed_messages::{OpArgs, OpCode};

use super::*;
use crate::watch::{NewNotify, NotifyAck, WatchEffects};

const ME: EntityName = EntityName { kind: EntityType::Client, num: 4 };

fn watch(cookie: u64, what: u8, timeout: u32) -> OsdOp {
    let args = OpArgs::Watch { cookie, version: 0, op: what, generation: 0, timeout };
    OsdOp::new(OpCode::Watch, args, Bytes::new())
}

fn input(parts: &[&dyn Fn(&mut BytesMut)]) -> Bytes {
    let mut out = BytesMut::new();
    parts.iter().for_each(|p| p(&mut out));
    out.freeze()
}

fn notify(timeout: u32, payload: &'static [u8]) -> OsdOp {
    let input = input(&[&|out| 1u32.encode(out, 0), &|out| timeout.encode(out, 0), &|out| {
        encode_bytes(out, payload)
    }]);
    OsdOp::new(OpCode::Notify, OpArgs::Notify { cookie: 5 }, input)
}

fn create() -> OsdOp {
    OsdOp::plain(OpCode::Create, Bytes::new())
}

fn effects(outcome: &OpOutcome) -> WatchEffects {
    outcome.watch.as_deref().cloned().unwrap_or_default()
}

#[test]
fn a_watch_is_written_into_the_info_and_hides_its_version() {
    let mut w = World::new();
    let (outcome, reply) = w.vector("o", vec![watch(1, watch_op::WATCH, 0)]);
    assert_eq!((reply.result, outcome.watch), (-2, None), "there is nothing to watch");
    w.vector("o", vec![create()]);
    let before = w.context(&request("o", vec![]).hobject()).info;
    let (outcome, reply) = w.vector("o", vec![watch(1, watch_op::WATCH, 0)]);
    assert_eq!(reply.result, 0);
    // c49 of the recorded sessions: v94'134 uv133.
    assert_eq!(reply.user_version, before.user_version);
    assert!(reply.replay_version.version > before.version.version);
    let info = outcome.effect.as_ref().unwrap().info.clone();
    assert_eq!(info.user_version, before.user_version);
    assert_eq!(info.watchers[&(1, ME)].timeout_seconds, 30);
    let [(connect, pings)] = &effects(&outcome).connects[..] else { panic!("one watch") };
    assert_eq!((connect.cookie, *pings), (1, true));

    // Again, and renewed: nothing changes, and the session gets the watch.
    for what in [watch_op::WATCH, watch_op::RECONNECT] {
        let (outcome, reply) = w.vector("o", vec![watch(1, what, 0)]);
        assert_eq!((reply.result, outcome.record_error), (0, true));
        assert_eq!((outcome.effect.is_none(), effects(&outcome).connects.len()), (true, 1));
    }
    let (outcome, _) = w.vector("o", vec![watch(2, watch_op::LEGACY_WATCH, 7)]);
    assert!(!effects(&outcome).connects[0].1, "clients of old times do not ping");
    assert_eq!(outcome.effect.unwrap().info.watchers[&(2, ME)].timeout_seconds, 7);
}

#[test]
fn only_what_is_watched_is_renewed_pinged_or_ended() {
    let mut w = World::new();
    w.vector("o", vec![create()]);
    for what in [watch_op::RECONNECT, watch_op::PING] {
        let (outcome, reply) = w.vector("o", vec![watch(1, what, 0)]);
        assert_eq!(reply.result, Errno::ENOTCONN.wire());
        assert_eq!((outcome.record_error, outcome.watch), (what == watch_op::RECONNECT, None));
    }
    let (outcome, reply) = w.vector("o", vec![watch(1, watch_op::UNWATCH, 0)]);
    assert_eq!((reply.result, outcome.effect, outcome.watch), (0, None, None));
    let (_, reply) = w.vector("o", vec![watch(1, 2, 0)]);
    assert_eq!(reply.result, Errno::EINVAL.wire());

    w.vector("o", vec![watch(1, watch_op::WATCH, 0)]);
    let (_, reply) = w.vector("o", vec![watch(1, watch_op::PING, 0)]);
    assert_eq!(reply.result, Errno::ETIMEDOUT.wire(), "it is not connected");
    w.connected = vec![1];
    let (outcome, reply) = w.vector("o", vec![watch(1, watch_op::PING, 0)]);
    assert_eq!((reply.result, outcome.record_error), (0, false));
    assert_eq!(effects(&outcome).pings, [1]);

    let (outcome, _) = w.vector("o", vec![watch(1, watch_op::UNWATCH, 0)]);
    assert_eq!(effects(&outcome).ends, [((1, ME), false)]);
    assert!(outcome.effect.unwrap().info.watchers.is_empty());
}

#[test]
fn a_delete_tells_the_watchers_and_a_failure_tells_nobody() {
    let mut w = World::new();
    w.vector("o", vec![create(), watch(1, watch_op::WATCH, 0), watch(2, watch_op::WATCH, 0)]);
    let refused = OsdOp::xattr(OpCode::GetXattr, b"absent", b"");
    let delete = OsdOp::plain(OpCode::Delete, Bytes::new());
    let (outcome, _) = w.vector("o", vec![watch(3, watch_op::WATCH, 0), refused]);
    assert_eq!((outcome.result, outcome.watch), (Errno::ENODATA.wire(), None));
    let (outcome, _) = w.vector("o", vec![delete]);
    assert_eq!(effects(&outcome).ends, [((1, ME), true), ((2, ME), true)]);
}

#[test]
fn watches_of_an_object_are_bounded() {
    let mut w = World::new();
    w.limits.watchers = 2;
    w.vector("o", vec![create(), watch(1, watch_op::WATCH, 0), watch(2, watch_op::WATCH, 0)]);
    let (_, reply) = w.vector("o", vec![watch(3, watch_op::WATCH, 0)]);
    assert_eq!(reply.result, Errno::ENOSPC.wire());
    let (_, reply) = w.vector("o", vec![watch(2, watch_op::WATCH, 0)]);
    assert_eq!(reply.result, 0);
}

#[test]
fn notifies_are_named_and_read_leniently() {
    let mut w = World::new();
    let (outcome, reply) = w.vector("o", vec![notify(3, b"x")]);
    assert_eq!((reply.result, outcome.watch), (-2, None));
    w.vector("o", vec![create()]);
    let broken = OsdOp::new(OpCode::Notify, OpArgs::Notify { cookie: 6 }, Bytes::from("?"));
    let (outcome, reply) = w.vector("o", vec![notify(3, b"hello"), notify(0, b""), broken]);
    let first = 1u64 << 32;
    for (n, (op, rval)) in reply.ops.iter().enumerate() {
        assert_eq!((op.indata.clone(), *rval), ((first + n as u64).to_bytes(0), 0));
    }
    let new = |n: u64, cookie, timeout_seconds, payload: &'static [u8]| NewNotify {
        id: first + n,
        cookie,
        version: 1,
        timeout_seconds,
        payload: Bytes::from_static(payload),
    };
    let wanted = [new(0, 5, 3, b"hello"), new(1, 5, 30, b""), new(2, 6, 30, b"")];
    assert_eq!(effects(&outcome).notifies, wanted);
    assert!(!outcome.record_error && outcome.effect.is_none());
}

#[test]
fn answers_name_notify_and_watch() {
    let mut w = World::new();
    w.vector("o", vec![create()]);
    let with_reply = input(&[&|out| 8u64.encode(out, 0), &|out| 9u64.encode(out, 0), &|out| {
        encode_bytes(out, b"ok")
    }]);
    let without = with_reply.slice(..16);
    let mut old = [0; 28];
    old[..8].copy_from_slice(&77u64.to_le_bytes());
    let op = |args, input| OsdOp::new(OpCode::NotifyAck, args, input);
    let ops = vec![
        op(OpArgs::None, with_reply.clone()),
        op(OpArgs::None, without),
        op(OpArgs::Raw(old), Bytes::new()),
        op(OpArgs::None, with_reply.slice(..19)),
    ];
    let (outcome, reply) = w.vector("o", ops);
    assert_eq!(reply.result, 0);
    let ack = |id, cookie, reply: &'static [u8]| NotifyAck {
        id,
        cookie,
        reply: Bytes::from_static(reply),
    };
    let wanted =
        [ack(8, Some(9), b"ok"), ack(8, Some(9), b""), ack(77, None, b""), ack(0, None, b"")];
    assert_eq!(effects(&outcome).acks, wanted);
}

#[test]
fn a_whiteout_can_be_watched() {
    let mut w = World::new();
    w.vector("o", vec![create()]);
    let mut delete = request("o", vec![OsdOp::plain(OpCode::Delete, Bytes::new())]);
    (delete.snap_seq, delete.snaps) = (SnapId(3), vec![SnapId(3)]);
    assert!(w.run(&delete).0.effect.unwrap().info.is_whiteout());
    let (outcome, reply) = w.vector("o", vec![watch(1, watch_op::WATCH, 0)]);
    assert_eq!(reply.result, 0);
    let effect = outcome.effect.unwrap();
    assert!(effect.info.is_whiteout() && effect.info.watchers.contains_key(&(1, ME)));
    w.connected = vec![1];
    assert_eq!(w.vector("o", vec![watch(1, watch_op::PING, 0)]).1.result, 0);
    assert_eq!(w.vector("o", vec![OsdOp::plain(OpCode::Stat, Bytes::new())]).1.result, -2);
    let (outcome, _) = w.vector("o", vec![create()]);
    assert!(outcome.effect.unwrap().info.watchers.contains_key(&(1, ME)), "it is the same object");
    assert_eq!(w.vector("o", vec![watch(1, watch_op::UNWATCH, 0)]).1.result, 0);
}
