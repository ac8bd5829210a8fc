//! Numbers to which clients add one by class `numops`: each addition is done once, however often
//! it was sent.

use std::collections::BTreeMap;

use seabed_denc::{Bytes, BytesMut, Decode, Encode, encode_bytes};
use seabed_messages::{OpCode, OsdOp};
use seabed_objecter::OpReply;

use super::Ask as Any;
use crate::world::World;

/// How many numbers, each in an object of its own.
const NUMBERS: usize = 2;
const KEY: &[u8] = b"count";

#[derive(Debug, Default, Clone, Copy)]
struct Number {
    /// Additions that were asked for.
    asked: u64,
    /// The least that it is: additions that were answered, and what was read.
    least: u64,
    answered: u64,
}

/// The numbers as the judge knows them.
#[derive(Debug, Default)]
pub(crate) struct Tally([Number; NUMBERS]);

/// What a client waits for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// An addition to this number.
    Add(usize),
    /// The number, and the least that it may be.
    Read(usize, u64),
}

fn name(number: usize) -> String {
    format!("number.{number}")
}

impl Tally {
    /// An addition or a reading is answered.
    pub(super) fn answered(&mut self, what: Ask, reply: &OpReply) -> Result<(), String> {
        match what {
            Ask::Add(_) if reply.result != 0 => {
                Err(format!("an addition is answered {}", reply.result))
            }
            Ask::Add(number) => {
                let number = &mut self.0[number];
                number.answered += 1;
                number.least = number.least.max(number.answered);
                Ok(())
            }
            Ask::Read(number, least) => {
                let value = value(reply)?;
                let known = &mut self.0[number];
                if value < least || value > known.asked {
                    return Err(format!(
                        "{} is {value}; at least {least} were added and at most {}",
                        name(number),
                        known.asked
                    ));
                }
                known.least = known.least.max(value);
                Ok(())
            }
        }
    }
}

fn value(reply: &OpReply) -> Result<u64, String> {
    const ENOENT: i32 = -2;
    if reply.result == ENOENT {
        return Ok(0);
    }
    let output = reply.ops.first().map(|(_, output)| output.clone()).unwrap_or_default();
    let pairs = BTreeMap::<Bytes, Bytes>::from_bytes(output).map_err(|e| e.to_string())?;
    let Some(text) = pairs.get(KEY) else { return Err("a number is not there".into()) };
    let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
    text.parse().map_err(|_| format!("a number is {text:?}"))
}

impl World {
    /// A client adds one.
    pub(super) fn count_on(&mut self, n: usize) {
        let number = self.work_chance.index(NUMBERS);
        self.tally.0[number].asked += 1;
        let mut input = BytesMut::new();
        encode_bytes(&mut input, KEY);
        encode_bytes(&mut input, b"1");
        let ops = vec![OsdOp::call("numops", "add", &input)];
        self.ask(n, &name(number), ops, Any::Tally(Ask::Add(number)));
    }

    /// A client reads one of the numbers.
    pub(super) fn read_number(&mut self, n: usize) {
        let number = self.work_chance.index(NUMBERS);
        self.read_the_number(n, number);
    }

    /// A client reads all numbers.
    pub(super) fn read_numbers(&mut self, n: usize) {
        (0..NUMBERS).for_each(|number| self.read_the_number(n, number));
    }

    fn read_the_number(&mut self, n: usize, number: usize) {
        let mut keys = BytesMut::new();
        vec![Bytes::from_static(KEY)].encode(&mut keys, 0);
        let ops = vec![OsdOp::plain(OpCode::OmapGetValsByKeys, keys.freeze())];
        let least = self.tally.0[number].least;
        self.ask(n, &name(number), ops, Any::Tally(Ask::Read(number, least)));
    }
}
