//! The clients of a journal, and how far each has come: keys `client_ID`.

#![allow(unreachable_pub)] // The macros that declare the wire's types make them `pub`.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Encode, versioned};

use super::{PAGE, decode_entry, header, read_key, remove_key, require_absent, tag, write_key};
use crate::codec::input;
use crate::{Done, Object, Output};

const PREFIX: &[u8] = b"client_";

/// A client that no longer holds back what may be removed.
const DISCONNECTED: u8 = 1;

versioned! {
    pub struct ObjectPosition(1, 1) {
        object_number: u64,
        tag_tid: u64,
        entry_tid: u64,
    }
}

versioned! {
    /// The newest entries committed, the newest first, one for each object of the set.
    pub struct ObjectSetPosition(1, 1) {
        object_positions: Vec<ObjectPosition>,
    }
}

impl ObjectSetPosition {
    /// The oldest tag of the entries.
    pub fn oldest_tag(&self) -> Option<u64> {
        self.object_positions.iter().map(|p| p.tag_tid).min()
    }
}

versioned! {
    pub struct Client(1, 1) {
        id: Bytes,
        data: Bytes,
        commit_position: ObjectSetPosition,
        state: u8,
    }
}

fn key(id: &[u8]) -> Bytes {
    [PREFIX, id].concat().into()
}

pub(super) fn load(object: &mut dyn Object, id: &[u8]) -> Result<Client, Errno> {
    read_key(object, &key(id))
}

fn store(object: &mut dyn Object, client: &Client) -> Done {
    write_key(object, &key(&client.id), client)?;
    Ok(Output::default())
}

/// Up to `max` clients behind the one with the id `after`, by id.
fn range(
    object: &mut dyn Object,
    after: &[u8],
    max: u64,
) -> Result<BTreeMap<Bytes, Client>, Errno> {
    let after = if after.is_empty() { Bytes::new() } else { key(after) };
    let page = object.omap_vals(&after, PREFIX, max)?;
    let mut clients = BTreeMap::new();
    for (key, value) in page.entries {
        let client: Client = decode_entry(object, &key, value)?;
        clients.entry(client.id.clone()).or_insert(client);
    }
    Ok(clients)
}

/// Where the client that is furthest behind has come to; nowhere if one has committed nothing.
fn least_position(object: &mut dyn Object) -> Result<ObjectSetPosition, Errno> {
    /// Clients looked at together: one without a position hides those behind it in its batch only.
    const BATCH: u64 = 256;
    let mut least = ObjectSetPosition::default();
    let mut place = None;
    let mut after = Bytes::new();
    loop {
        let batch = range(object, &after, BATCH)?;
        let (count, last) = (batch.len() as u64, batch.keys().next_back().cloned());
        for client in batch.into_values() {
            let Some(first) = client.commit_position.object_positions.first() else {
                least = ObjectSetPosition::default();
                break;
            };
            let here = (first.tag_tid, first.entry_tid);
            if place.is_none_or(|place| here < place) {
                place = Some(here);
                least = client.commit_position;
            }
        }
        match last {
            // Ids that do not follow their keys would lead round in a circle.
            Some(last) if count == BATCH && last > after => after = last,
            _ => return Ok(least),
        }
    }
}

/// The oldest tag that a connected client still needs, `skipped` excepted; `None` if one may need
/// any, or nobody has committed.
pub(super) fn oldest_tag_needed(
    object: &mut dyn Object,
    skipped: Option<&[u8]>,
) -> Result<Option<u64>, Errno> {
    let skipped = skipped.map(key);
    let mut oldest = None;
    let mut after = Bytes::new();
    loop {
        let page = object.omap_vals(&after, PREFIX, PAGE)?;
        let Some((last, _)) = page.entries.last_key_value() else { return Ok(oldest) };
        after = last.clone();
        for (key, value) in page.entries {
            if skipped.as_ref() == Some(&key) {
                continue;
            }
            let client: Client = decode_entry(object, &key, value)?;
            if client.state == DISCONNECTED {
                continue;
            }
            let Some(tag) = client.commit_position.oldest_tag() else { return Ok(None) };
            oldest = Some(oldest.map_or(tag, |o: u64| o.min(tag)));
        }
        if !page.more {
            return Ok(oldest);
        }
    }
}

pub(super) fn get(object: &mut dyn Object, bytes: Bytes) -> Done {
    let id: Bytes = input(bytes)?;
    Ok(load(object, &id)?.to_bytes(0).into())
}

/// A new client begins where the one furthest behind is.
pub(super) fn register(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (id, data): (Bytes, Bytes) = input(bytes)?;
    header::order(object)?;
    require_absent(object, &key(&id))?;
    let commit_position = least_position(object)?;
    store(object, &Client { id, data, commit_position, ..Client::default() })
}

pub(super) fn update_data(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (id, data): (Bytes, Bytes) = input(bytes)?;
    let client = load(object, &id)?;
    store(object, &Client { data, ..client })
}

pub(super) fn update_state(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (id, state): (Bytes, u8) = input(bytes)?;
    let client = load(object, &id)?;
    store(object, &Client { state, ..client })
}

pub(super) fn unregister(object: &mut dyn Object, bytes: Bytes) -> Done {
    let id: Bytes = input(bytes)?;
    object.omap_val(&key(&id))?;
    remove_key(object, key(&id))?;
    tag::expire(object, Some(&id))?;
    Ok(Output::default())
}

pub(super) fn commit(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (id, position): (Bytes, ObjectSetPosition) = input(bytes)?;
    if position.object_positions.len() > usize::from(header::splay_width(object)?) {
        return Err(Errno::EINVAL);
    }
    let client = load(object, &id)?;
    if client.commit_position == position {
        return Ok(Output::default());
    }
    store(object, &Client { commit_position: position, ..client })
}

pub(super) fn list(object: &mut dyn Object, bytes: Bytes) -> Done {
    let (after, max): (Bytes, u64) = input(bytes)?;
    let clients: Vec<Client> = range(object, &after, max)?.into_values().collect();
    Ok(clients.to_bytes(0).into())
}
