//! What clients asked and were told.

use std::collections::BTreeMap;

use seabed_denc::{Bytes, Decode, Reader};
use seabed_objecter::OpReply;

use super::linear;

/// What a client asks of an object. Values are never used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// All data becomes `slots` times the value.
    WriteFull { value: u32, slots: u8 },
    /// The value is put behind the data.
    Append { value: u32 },
    /// The value is put at a place.
    WriteAt { value: u32, slot: u8 },
    /// A key of the omap gets the value.
    SetKey { value: u32, key: u8 },
    /// A key of the omap goes, and the data is cut to some slots, or grows to them with zeros.
    Cut { value: u32, key: u8, slots: u8 },
    /// All of the omap goes.
    ClearKeys { value: u32 },
    /// The object becomes a copy of another, which was made for it: `slots` times the value, and
    /// the value as attribute and under the key.
    Copy { value: u32, key: u8, slots: u8 },
    /// The object goes.
    Delete,
    /// Data, attribute and omap are read.
    Read,
}

/// An object as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Seen {
    /// Data, as numbers.
    pub(crate) data: Vec<u32>,
    /// The attribute that every change sets.
    pub(crate) last: u32,
    /// The omap.
    pub(crate) omap: BTreeMap<u8, u32>,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done.
    Done,
    /// There is no such object.
    Absent,
    /// This is the object.
    Object(Seen),
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) call: Call,
    pub(crate) began: u64,
    /// When it returned, and what.
    pub(crate) ended: Option<(u64, Told)>,
}

/// Everything that clients asked, by object.
#[derive(Debug, Default)]
pub(crate) struct History {
    operations: Vec<(usize, Operation)>,
    last_value: u32,
}

impl History {
    pub(crate) fn fresh_value(&mut self) -> u32 {
        self.last_value += 1;
        self.last_value
    }

    pub(crate) fn begins(&mut self, client: usize, object: usize, call: Call, at: u64) -> usize {
        self.operations.push((object, Operation { client, call, began: at, ended: None }));
        self.operations.len() - 1
    }

    /// Notes an answer; tells it in words.
    pub(crate) fn returned(
        &mut self,
        op: usize,
        at: u64,
        reply: &OpReply,
    ) -> Result<String, String> {
        let (object, op) = &mut self.operations[op];
        let told = told(&op.call, reply).map_err(|why| {
            let (client, call) = (op.client, &op.call);
            format!("client.{client}: {call:?} of object{object} is answered {why}")
        })?;
        let text = format!("{told:?}");
        op.ended = Some((at, told));
        Ok(text)
    }

    /// The first object whose answers no order explains.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut by_object: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
        for (object, op) in &self.operations {
            by_object.entry(*object).or_default().push(op);
        }
        for (object, ops) in by_object {
            linear::check(&ops).map_err(|why| format!("object{object}: {why}"))?;
        }
        Ok(())
    }
}

fn told(call: &Call, reply: &OpReply) -> Result<Told, String> {
    const ENOENT: i32 = -2;
    match (call, reply.result) {
        (Call::Read | Call::Delete, ENOENT) => Ok(Told::Absent),
        (Call::Read, 0..) => seen(reply).map(Told::Object),
        (_, 0..) => Ok(Told::Done),
        (_, error) => Err(format!("{error}")),
    }
}

fn number(bytes: &[u8]) -> Result<u32, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    text.parse().map_err(|_| format!("with {text:?}, no number"))
}

fn seen(reply: &OpReply) -> Result<Seen, String> {
    let [(_, data), (_, last), (_, omap)] = &reply.ops[..] else {
        return Err(format!("with {} parts", reply.ops.len()));
    };
    if data.len() % 4 != 0 {
        return Err(format!("with {} bytes", data.len()));
    }
    let data = data.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    let mut r = Reader::new(omap.clone());
    let pairs = BTreeMap::<Bytes, Bytes>::decode(&mut r).map_err(|e| e.to_string())?;
    let mut omap = BTreeMap::new();
    for (key, value) in pairs {
        let key = key.strip_prefix(b"key").unwrap_or(b"?");
        omap.insert(number(key)? as u8, number(&value)?);
    }
    Ok(Seen { data, last: number(last)?, omap })
}
