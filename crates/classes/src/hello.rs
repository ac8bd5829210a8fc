//! Class `hello`: Ceph's example, which its own tests call to see how results come back.

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "hello",
    methods: &[
        Method { name: "say_hello", access: Access::RD, run: say_hello },
        Method { name: "record_hello", access: Access::WR, run: record_hello },
        Method { name: "write_return_data", access: Access::WR, run: write_return_data },
        Method {
            name: "write_too_much_return_data",
            access: Access::WR,
            run: write_too_much_return_data,
        },
        Method { name: "replay", access: Access::RD, run: replay },
        Method { name: "turn_it_to_11", access: Access::RDWR, run: turn_it_to_11 },
        Method { name: "bad_reader", access: Access::WR, run: bad_reader },
        Method { name: "bad_writer", access: Access::RD, run: bad_writer },
    ],
};

/// The longest name that is greeted.
const NAME_MAX: usize = 100;

/// What is read of a recorded greeting.
const RECORD_MAX: u64 = 1100;

fn greeting(name: &[u8]) -> Result<Bytes, Errno> {
    match name.len() {
        0 => Ok(Bytes::from_static(b"Hello, world!")),
        1..=NAME_MAX => Ok([b"Hello, ", name, b"!"].concat().into()),
        _ => Err(Errno::EINVAL),
    }
}

/// Notes the caller in an attribute.
fn sign(object: &mut dyn Object, attribute: &[u8]) -> Result<(), Errno> {
    let (name, addr) = object.caller();
    object.set_xattr(attribute, format!("{name} {addr}").into())
}

fn say_hello(_: &mut dyn Object, name: Bytes) -> Done {
    Ok(greeting(&name)?.into())
}

fn record_hello(object: &mut dyn Object, name: Bytes) -> Done {
    let text = greeting(&name)?;
    if object.stat().is_ok() {
        return Err(Errno::EEXIST);
    }
    object.write_full(text, 0)?;
    sign(object, b"said_by")?;
    Ok(Output::default())
}

/// Results of a write reach a client only if it asks for them, errors and their data always.
fn write_return_data(object: &mut dyn Object, input: Bytes) -> Done {
    object.set_xattr(b"foo", Bytes::from_static(b"bar"))?;
    if !input.is_empty() {
        let data = Bytes::from_static(b"too much input data!");
        return Ok(Output { result: Errno::EINVAL.wire(), data });
    }
    Ok(Output { result: 42, data: Bytes::from_static(b"you might see this") })
}

fn write_too_much_return_data(object: &mut dyn Object, input: Bytes) -> Done {
    object.set_xattr(b"foo", Bytes::from_static(b"bar"))?;
    if !input.is_empty() {
        return Err(Errno::EINVAL);
    }
    let data = b"you should not see this because it is toooo long. ".repeat(10);
    Ok(Output { result: 42, data: data.into() })
}

fn replay(object: &mut dyn Object, _: Bytes) -> Done {
    Ok(object.read(0, RECORD_MAX)?.into())
}

fn turn_it_to_11(object: &mut dyn Object, input: Bytes) -> Done {
    if !input.is_empty() {
        return Err(Errno::EINVAL);
    }
    let louder = object.read(0, RECORD_MAX)?.to_ascii_uppercase();
    object.write_full(louder.into(), 0)?;
    sign(object, b"amplified_by")?;
    Ok(Output::default())
}

/// Declared to write, it reads.
fn bad_reader(object: &mut dyn Object, _: Bytes) -> Done {
    Ok(object.read(0, 100)?.into())
}

/// Declared to read, it writes.
fn bad_writer(object: &mut dyn Object, input: Bytes) -> Done {
    object.write_full(input, 0)?;
    Ok(Output::default())
}
