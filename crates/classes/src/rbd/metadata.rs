//! Names and values that users and librbd keep with an image or a pool: `metadata_<name>`.

use std::collections::BTreeMap;

use seabed_denc::Bytes;

use super::store::{answer, args, done, key, remove, scan};
use crate::{Done, Object};

const PREFIX: &str = "metadata_";

/// What 0 means as the longest answer.
const DEFAULT_MAX: u64 = 64;

pub(super) fn list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let max = if max == 0 { DEFAULT_MAX } else { max };
    let mut found = BTreeMap::new();
    scan(object, PREFIX, &after, |_, name, value| {
        found.insert(name, value);
        Ok((found.len() as u64) < max)
    })?;
    answer(&found)
}

pub(super) fn set(object: &mut dyn Object, input: Bytes) -> Done {
    let entries: BTreeMap<Bytes, Bytes> = args(input)?;
    let entries = entries.into_iter().map(|(name, value)| (key(PREFIX, &name).into(), value));
    object.omap_set(entries.collect())?;
    done()
}

pub(super) fn remove_one(object: &mut dyn Object, input: Bytes) -> Done {
    let name: Bytes = args(input)?;
    remove(object, key(PREFIX, &name))?;
    done()
}

pub(super) fn get(object: &mut dyn Object, input: Bytes) -> Done {
    let name: Bytes = args(input)?;
    let value = object.omap_val(&key(PREFIX, &name))?;
    answer(&value)
}
