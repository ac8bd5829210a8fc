//! CALL: what a class's method may do to the request it is part of, shown by Ceph's example class.

use seabed_cluster::Errno;
use seabed_messages::OpArgs;
use seabed_messages::op::{op_flag, request_flag};
use seabed_messages::{OpCode, OsdOp};

use super::*;

fn hello(method: &str, input: &str) -> OsdOp {
    OsdOp::call("hello", method, input.as_bytes())
}

fn read() -> OsdOp {
    OsdOp::extent(OpCode::Read, 0, 0, Bytes::new())
}

#[test]
fn the_declared_access_decides_what_a_request_is() {
    assert!(may_write(&request("o", vec![hello("record_hello", "")])));
    assert!(!may_write(&request("o", vec![hello("replay", "")])));
    for op in [hello("nothing", ""), OsdOp::call("none", "lock", b"")] {
        let message = request("o", vec![read(), op]);
        assert!(!may_write(&message));
        assert_eq!(check_calls(&message), Err(Errno::EOPNOTSUPP));
    }
    let mut short = hello("replay", "");
    short.indata.truncate(8);
    assert_eq!(check_calls(&request("o", vec![short])), Err(Errno::EINVAL));
    assert_eq!(check_calls(&request("o", vec![hello("replay", ""), read()])), Ok(()));
}

#[test]
fn a_method_that_reads_answers_with_its_output_and_needs_an_object() {
    let mut world = World::new();
    let (_, reply) = world.vector("o", vec![hello("say_hello", "Ann")]);
    assert_eq!((reply.result, reply.ops[0].1), (-2, 0), "there is no object");
    world.vector("o", vec![hello("record_hello", "Ann")]);
    let (outcome, reply) = world.vector("o", vec![hello("replay", "")]);
    let (op, rval) = &reply.ops[0];
    assert_eq!((reply.result, *rval, &op.indata[..]), (0, 0, &b"Hello, Ann!"[..]));
    assert!(outcome.effect.is_none() && !outcome.record_error);
    // Where an extent op has its length, the reply has the output's.
    let mut args = [0; 28];
    args[..3].copy_from_slice(&[5, 6, 0]);
    args[8] = 11;
    assert_eq!(op.args, OpArgs::Raw(args));
}

#[test]
fn a_call_writes_by_the_rules_of_ops() {
    let mut world = World::new();
    let (outcome, reply) = world.vector("o", vec![hello("record_hello", "")]);
    let effect = outcome.effect.unwrap();
    assert_eq!((reply.result, world.size("o")), (0, Some(13)));
    assert_eq!((effect.stats.num_objects, effect.stats.num_bytes), (1, 13));
    // The stat that found nothing counts, as in Ceph.
    assert_eq!((effect.stats.num_rd, effect.stats.num_wr), (1, 2));
    assert_eq!(effect.info.data_digest, seabed_denc::ceph_crc32c(u32::MAX, b"Hello, world!"));
    let said = OsdOp::xattr(OpCode::GetXattr, b"said_by", b"");
    let (_, reply) = world.vector("o", vec![said]);
    assert_eq!(reply.ops[0].0.indata, "client.4 -");
    world.limits.object_size = 5;
    let (outcome, reply) = world.vector("p", vec![hello("record_hello", "")]);
    assert_eq!((reply.result, reply.ops[0].1), (-27, -27));
    assert!(outcome.record_error && world.size("p").is_none());
}

#[test]
fn a_method_reads_what_was_there_before_the_request() {
    let mut world = World::new();
    world.vector("o", vec![OsdOp::extent(OpCode::WriteFull, 0, 3, "old")]);
    let ops = vec![OsdOp::extent(OpCode::WriteFull, 0, 3, "new"), hello("turn_it_to_11", "")];
    world.vector("o", ops);
    let (_, reply) = world.vector("o", vec![read()]);
    assert_eq!(reply.ops[0].0.indata, "OLD");
}

#[test]
fn a_method_that_fails_fails_the_request_and_nothing_of_it_stays() {
    let mut world = World::new();
    let ops = vec![OsdOp::extent(OpCode::WriteFull, 0, 3, "new"), hello("record_hello", "")];
    let (outcome, reply) = world.vector("o", ops.clone());
    assert_eq!((reply.result, reply.ops[0].1, reply.ops[1].1), (-17, 0, -17));
    assert!(outcome.record_error && world.size("o").is_none());
    let mut ops = ops;
    ops[1].flags = op_flag::FAILOK;
    let (_, reply) = world.vector("o", ops);
    assert_eq!((reply.result, reply.ops[1].1, world.size("o")), (0, -17, Some(3)));
}

#[test]
fn results_of_writes_are_told_to_those_who_ask() {
    let mut world = World::new();
    let ask = |input: &str, method: &str| {
        let mut message = request("o", vec![hello(method, input)]);
        message.flags = request_flag::RETURNVEC;
        message
    };
    let (_, reply) = world.vector("o", vec![hello("write_return_data", "")]);
    assert_eq!((reply.result, reply.ops[0].1), (0, 42));
    assert!(reply.ops[0].0.indata.is_empty());
    let (outcome, reply) = world.run(&ask("", "write_return_data"));
    assert_eq!((reply.result, reply.ops[0].1), (42, 42));
    assert_eq!(reply.ops[0].0.indata, "you might see this");
    assert_eq!(outcome.op_returns(), [(42, Bytes::from("you might see this"))]);
    let (outcome, reply) = world.run(&ask("in", "write_return_data"));
    assert_eq!((reply.result, reply.ops[0].1), (-22, -22));
    assert_eq!(reply.ops[0].0.indata, "too much input data!");
    assert_eq!(outcome.op_returns(), [(-22, Bytes::from("too much input data!"))]);
    let (outcome, reply) = world.run(&ask("", "write_too_much_return_data"));
    assert_eq!((reply.result, reply.ops[0].1), (-75, -75));
    assert!(outcome.effect.is_none() && reply.ops[0].0.indata.is_empty());
    // An error tells its data in any case.
    let (_, reply) = world.vector("o", vec![hello("write_return_data", "in")]);
    assert_eq!(reply.ops[0].0.indata, "too much input data!");
}

#[test]
fn a_method_that_does_not_keep_to_its_declaration_fails() {
    let mut world = World::new();
    world.vector("o", vec![hello("record_hello", "")]);
    for method in ["bad_reader", "bad_writer"] {
        let (outcome, reply) = world.vector("o", vec![hello(method, "x")]);
        assert_eq!(reply.result, Errno::EIO.wire(), "{method}");
        assert!(outcome.effect.is_none() && outcome.notes.len() == 1, "{method}");
    }
    assert_eq!(world.size("o"), Some(13));
}
