//! Tags: numbered in order, each of a class, keys `tag_NUMBER`.
//!
//! Of each class the newest tag up to what every client has committed stays, and all behind it.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode, versioned};

use super::header::{NEXT_TAG_CLASS, NEXT_TAG_TID};
use super::{PAGE, client, decode_entry, read_key, remove_key, require_absent, write_key};
use crate::codec::input;
use crate::{Done, Object, Output};

const PREFIX: &[u8] = b"tag_";

/// Asks for a class of its own.
const CLASS_NEW: u64 = u64::MAX;

versioned! {
    pub struct Tag(1, 1) {
        tid: u64,
        tag_class: u64,
        data: Bytes,
    }
}

fn key(tid: u64) -> Bytes {
    format!("tag_{tid:016x}").into()
}

/// Gives the tags in order to `visit`, with their keys, until it breaks.
fn walk(
    object: &mut dyn Object,
    mut visit: impl FnMut(&mut dyn Object, Bytes, Tag) -> Result<ControlFlow<()>, Errno>,
) -> Result<(), Errno> {
    let mut after = Bytes::from_static(PREFIX);
    loop {
        let page = object.omap_vals(&after, PREFIX, PAGE)?;
        let Some((last, _)) = page.entries.last_key_value() else { return Ok(()) };
        after = last.clone();
        for (key, value) in page.entries {
            let tag: Tag = decode_entry(object, &key, value)?;
            if visit(object, key, tag)?.is_break() {
                return Ok(());
            }
        }
        if !page.more {
            return Ok(());
        }
    }
}

fn until(reached: bool) -> ControlFlow<()> {
    if reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The newest tag of each class, of those up to `limit` (itself included).
fn newest_by_class(object: &mut dyn Object, limit: u64) -> Result<BTreeMap<u64, u64>, Errno> {
    let mut newest = BTreeMap::new();
    walk(object, |_, _, tag| {
        newest.insert(tag.tag_class, tag.tid);
        Ok(until(tag.tid >= limit))
    })?;
    Ok(newest)
}

/// Removes the tags that no client needs any more, `leaving` not counted among them.
pub(super) fn expire(object: &mut dyn Object, leaving: Option<&[u8]>) -> Result<(), Errno> {
    let Some(limit) = client::oldest_tag_needed(object, leaving)? else { return Ok(()) };
    let newest = newest_by_class(object, limit)?;
    walk(object, |object, name, tag| {
        if name != key(tag.tid) {
            return Err(Errno::EINVAL);
        }
        if newest.get(&tag.tag_class).is_some_and(|newest| tag.tid < *newest) {
            remove_key(object, name)?;
        }
        Ok(until(tag.tid >= limit))
    })
}

pub(super) fn get_next_tid(object: &mut dyn Object, _: Bytes) -> Done {
    Ok(read_key::<u64>(object, NEXT_TAG_TID)?.to_bytes(0).into())
}

pub(super) fn get(object: &mut dyn Object, bytes: Bytes) -> Done {
    let tid: u64 = input(bytes)?;
    Ok(read_key::<Tag>(object, &key(tid))?.to_bytes(0).into())
}

/// The next tag; ESTALE for another number than the next.
pub(super) fn create(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (tid, mut tag_class, data): (u64, u64, Bytes) = input(bytes)?;
    require_absent(object, &key(tid))?;
    if read_key::<u64>(object, NEXT_TAG_TID)? != tid {
        return Err(Errno::ESTALE);
    }
    let next_class: u64 = read_key(object, NEXT_TAG_CLASS)?;
    if tag_class == CLASS_NEW {
        tag_class = next_class;
        write_key(object, NEXT_TAG_CLASS, &next_class.wrapping_add(1))?;
    } else if tag_class >= next_class {
        return Err(Errno::EINVAL);
    }
    expire(object, None)?;
    write_key(object, NEXT_TAG_TID, &tid.wrapping_add(1))?;
    write_key(object, &key(tid), &Tag { tid, tag_class, data, ..Tag::default() })?;
    Ok(Output::default())
}

/// Tags behind a number that a client still needs, of one class or of all.
pub(super) fn list(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (after, max, id, class): (u64, u64, Bytes, Option<u64>) = input(bytes)?;
    let committed = client::load(object, &id)?.commit_position.oldest_tag();
    let needed = match committed {
        Some(limit) if limit < u64::MAX => newest_by_class(object, limit)?,
        _ => BTreeMap::new(),
    };
    let mut tags = Vec::new();
    walk(object, |_, _, tag| {
        if after != 0 && tag.tid <= after {
            return Ok(until(false));
        }
        let from = needed.get(&tag.tag_class).copied().unwrap_or(0);
        if tag.tid >= from && class.is_none_or(|class| class == tag.tag_class) {
            tags.push(tag);
        }
        Ok(until(tags.len() as u64 >= max))
    })?;
    Ok(tags.to_bytes(0).into())
}
