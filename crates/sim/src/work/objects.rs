//! Writes of values that are never used twice, and reads, by anybody on few objects.

use std::collections::BTreeMap;

use seabed_cluster::{ObjectLocator, PoolId};
use seabed_denc::{Bytes, Encode};
use seabed_messages::{OpCode, OsdOp};
use seabed_objecter::OpReply;

use super::{Ask, POOL};
use crate::check::Call;
use crate::net::Node;
use crate::world::World;

/// Keys of an object's omap.
const KEYS: u64 = 6;
/// Slots of an object that are written at an offset.
const SLOTS: u64 = 24;

/// The key of a number.
pub(crate) fn key(n: u8) -> Bytes {
    Bytes::from(format!("key{n}"))
}

/// The name of an object that is made to be copied, once.
fn source(value: u32) -> String {
    format!("source{value}")
}

/// The operations of a call.
fn ops(call: &Call, pool: PoolId) -> Vec<OsdOp> {
    let note = |value: &u32| OsdOp::xattr(OpCode::SetXattr, b"last", value.to_string().as_bytes());
    let omap = |key_number: &u8, value: &u32| {
        let pairs = BTreeMap::from([(key(*key_number), Bytes::from(value.to_string()))]);
        OsdOp::plain(OpCode::OmapSetVals, pairs.to_bytes(0))
    };
    match call {
        Call::WriteFull { value, slots } => {
            let data = Bytes::from(value.to_le_bytes().repeat(*slots as usize));
            let length = data.len() as u64;
            vec![OsdOp::extent(OpCode::WriteFull, 0, length, data), note(value)]
        }
        Call::Append { value } => {
            let data = Bytes::copy_from_slice(&value.to_le_bytes());
            vec![OsdOp::extent(OpCode::Append, 0, 4, data), note(value)]
        }
        Call::WriteAt { value, slot } => {
            let data = Bytes::copy_from_slice(&value.to_le_bytes());
            vec![OsdOp::extent(OpCode::Write, u64::from(*slot) * 4, 4, data), note(value)]
        }
        Call::SetKey { value, key } => vec![omap(key, value), note(value)],
        Call::Cut { value, key: number, slots } => {
            let mut keys = bytes::BytesMut::new();
            1u32.encode(&mut keys, 0);
            key(*number).encode(&mut keys, 0);
            let length = u64::from(*slots) * 4;
            vec![
                note(value),
                OsdOp::extent(OpCode::Truncate, length, 0, Bytes::new()),
                OsdOp::plain(OpCode::OmapRmKeys, keys.freeze()),
            ]
        }
        Call::ClearKeys { value } => {
            vec![note(value), OsdOp::plain(OpCode::OmapClear, Bytes::new())]
        }
        Call::Copy { value, .. } => {
            vec![OsdOp::copy_from(source(*value).as_bytes(), &ObjectLocator::new(pool), 0)]
        }
        Call::Delete => vec![OsdOp::plain(OpCode::Delete, Bytes::new())],
        Call::Read => {
            let mut all = bytes::BytesMut::new();
            Bytes::new().encode(&mut all, 0);
            1000u64.encode(&mut all, 0);
            Bytes::new().encode(&mut all, 0);
            vec![
                OsdOp::extent(OpCode::Read, 0, 0, Bytes::new()),
                OsdOp::xattr(OpCode::GetXattr, b"last", b""),
                OsdOp::plain(OpCode::OmapGetVals, all.freeze()),
            ]
        }
    }
}

impl World {
    fn draw_call(&mut self) -> Call {
        let value = self.history.fresh_value();
        let c = &mut self.work_chance;
        match c.below(26) {
            0..=4 => Call::Append { value },
            5..=7 => Call::WriteFull { value, slots: 1 + c.below(SLOTS) as u8 },
            8..=9 => Call::WriteAt { value, slot: c.below(SLOTS) as u8 },
            10..=11 => Call::SetKey { value, key: c.below(KEYS) as u8 },
            12 => Call::Delete,
            13 => Call::Cut { value, key: c.below(KEYS) as u8, slots: c.below(SLOTS) as u8 },
            14 => Call::ClearKeys { value },
            15..=16 => {
                let (key, slots) = (c.below(KEYS) as u8, c.below(SLOTS) as u8);
                Call::Copy { value, key, slots }
            }
            _ => Call::Read,
        }
    }

    /// A client begins an operation.
    fn submit(&mut self, n: usize, object: usize, call: Call) {
        // The first client has made the pool and tells the others of it.
        let map = self.clients[0].objecter.map();
        if map.is_none_or(|m| m.pool_by_name(POOL).is_none()) {
            return;
        }
        let Some(pool) = self.pool else { return };
        let tick = self.tick_of_history();
        let ops = ops(&call, pool);
        let op = self.history.begins(n, object, call, tick);
        self.ask(n, &format!("object{object}"), ops, Ask::Object(op));
    }

    /// A client's turn.
    pub(super) fn work_on_objects(&mut self, n: usize) {
        if self.clients[n].pending.len() < self.plan.depth {
            let object = self.work_chance.index(self.plan.objects);
            match self.draw_call() {
                Call::Copy { value, key, slots } => self.make_source(n, object, value, key, slots),
                call => self.submit(n, object, call),
            }
        }
    }

    /// What is to be copied is made first. Nobody changes it, so the model knows what the copy is.
    fn make_source(&mut self, n: usize, object: usize, value: u32, key: u8, slots: u8) {
        let Some(pool) = self.pool else { return };
        let parts = [Call::WriteFull { value, slots }, Call::SetKey { value, key }];
        let all = parts.iter().flat_map(|call| ops(call, pool)).collect();
        let copy = Call::Copy { value, key, slots };
        self.ask(n, &source(value), all, Ask::Source(object, copy));
    }

    /// The source of a copy is made.
    pub(super) fn source_is_made(
        &mut self,
        n: usize,
        object: usize,
        copy: Call,
        reply: &OpReply,
    ) -> Result<(), String> {
        if reply.result < 0 {
            return Err(format!("the source of {copy:?} is answered {}", reply.result));
        }
        self.count("copies");
        self.submit(n, object, copy);
        Ok(())
    }

    /// An operation of the history is answered.
    pub(super) fn object_is_answered(
        &mut self,
        n: usize,
        op: usize,
        reply: &OpReply,
    ) -> Result<(), String> {
        let tick = self.tick_of_history();
        let text = self.history.returned(op, tick, reply)?;
        self.trace.line(self.now, Node::Client(n), format_args!("  {text}"));
        Ok(())
    }

    /// Every client reads every object.
    pub(super) fn read_objects(&mut self) {
        for n in 0..self.plan.clients {
            for object in 0..self.plan.objects {
                self.submit(n, object, Call::Read);
            }
        }
    }
}
