//! Class `log`: entries in order of time, in the omap, and the newest of them in its header.
//!
//! The key of an entry is its time, to microseconds, and which change of the PG wrote it.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, UTime};
use seabed_denc::{Bytes, Decode, Encode, Reader, versioned};

use crate::codec::{input, stored};
use crate::{Access, Class, Done, Level, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "log",
    methods: &[
        Method { name: "add", access: Access::RDWR, run: add },
        Method { name: "list", access: Access::RD, run: list },
        Method { name: "trim", access: Access::RDWR, run: trim },
        Method { name: "info", access: Access::RD, run: info },
    ],
};

/// What the keys of entries begin with.
const PREFIX: &[u8] = b"1_";

/// Entries of one listing.
const LIST_MAX: u64 = 1000;

versioned! {
    pub struct Entry(2, 1) {
        section: Bytes,
        name: Bytes,
        timestamp: UTime,
        data: Bytes,
        id: Bytes [since 2],
    }
}

versioned! {
    pub struct Header(1, 1) {
        max_marker: Bytes,
        max_time: UTime,
    }
}

versioned! {
    pub struct AddOp(2, 1) {
        entries: Vec<Entry>,
        monotonic_inc: bool [since 2] = true,
    }
}

versioned! {
    pub struct ListOp(1, 1) {
        from_time: UTime,
        marker: Bytes,
        to_time: UTime,
        max_entries: i32,
    }
}

versioned! {
    pub struct Listing(1, 1) {
        entries: Vec<Entry>,
        marker: Bytes,
        truncated: bool,
    }
}

versioned! {
    pub struct TrimOp(2, 1) {
        from_time: UTime,
        to_time: UTime,
        from_marker: Bytes [since 2],
        to_marker: Bytes [since 2],
    }
}

versioned! {
    pub struct InfoOp(1, 1) {}
}

versioned! {
    pub struct InfoReply(1, 1) {
        header: Header,
    }
}

/// What the keys of all entries of a microsecond begin with.
fn at(time: UTime) -> String {
    format!("1_{:010}.{:06}_", time.sec, time.nsec / 1000)
}

fn header(object: &mut dyn Object) -> Result<Header, Errno> {
    let bytes = object.omap_header()?;
    if bytes.is_empty() { Ok(Header::default()) } else { stored(object, b"header", bytes) }
}

fn add(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: AddOp = input(bytes)?;
    let mut header = header(object)?;
    for mut entry in op.entries {
        let mut time = entry.timestamp;
        if time > header.max_time {
            header.max_time = time;
        } else if op.monotonic_inc {
            time = header.max_time;
        }
        if entry.id.is_empty() {
            let change = format!("{}{}.{}", at(time), object.version(), object.position());
            entry.id = change.into();
        }
        if entry.id > header.max_marker {
            header.max_marker = entry.id.clone();
        }
        object.omap_set(BTreeMap::from([(entry.id.clone(), entry.to_bytes(0))]))?;
    }
    object.omap_set_header(header.to_bytes(0))?;
    Ok(Output::default())
}

/// From a time or behind a marker, up to a time if both times are given.
fn list(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: ListOp = input(bytes)?;
    let from = if op.marker.is_empty() { at(op.from_time).into() } else { op.marker };
    let until = (!op.from_time.is_zero() && op.to_time >= op.from_time).then(|| at(op.to_time));
    let max = match u64::try_from(op.max_entries) {
        Ok(max @ 1..=LIST_MAX) => max,
        _ => LIST_MAX,
    };
    let page = object.omap_vals(&from, PREFIX, max)?;
    let mut listing = Listing { truncated: page.more, ..Listing::default() };
    for (key, value) in page.entries {
        listing.marker = key.clone();
        // The entries of the last microsecond are not listed.
        if until
            .as_ref()
            .is_some_and(|until| &key[..key.len().min(until.len())] >= until.as_bytes())
        {
            listing.truncated = false;
            break;
        }
        match Entry::decode(&mut Reader::new(value)) {
            Ok(entry) => listing.entries.push(entry),
            Err(e) => object.log(Level::Error, format!("log entry {key:?}: {e}")),
        }
    }
    Ok(listing.to_bytes(0).into())
}

/// Removes a range, its end included; ENODATA when nothing is left in it.
fn trim(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: TrimOp = input(bytes)?;
    let from: Bytes =
        if op.from_marker.is_empty() { at(op.from_time).into() } else { op.from_marker };
    let end: Bytes = if op.to_marker.is_empty() {
        at(op.to_time + std::time::Duration::from_micros(1)).into()
    } else {
        [&op.to_marker[..], &[0]].concat().into()
    };
    let first = object.omap_keys(&from, 1)?.entries.pop_first().ok_or(Errno::ENODATA)?;
    if end < first {
        return Err(Errno::ENODATA);
    }
    object.omap_rm_range(&first, &end).map_err(|_| Errno::EINVAL)?;
    Ok(Output::default())
}

fn info(object: &mut dyn Object, bytes: Bytes) -> Done {
    input::<InfoOp>(bytes)?;
    let header = header(object)?;
    Ok(InfoReply { header, ..InfoReply::default() }.to_bytes(0).into())
}
