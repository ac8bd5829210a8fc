//! Data objects: copies from the parent, and space given back.

use std::collections::BTreeMap;

use seabed_cluster::{Errno, SnapId};
use seabed_denc::Bytes;

use super::store::{args, done, optional};
use crate::{Done, Object};

pub(super) fn copyup(object: &mut dyn Object, input: Bytes) -> Done {
    if object.stat().is_err() {
        object.write(0, input, 0)?;
    }
    done()
}

pub(super) fn sparse_copyup(object: &mut dyn Object, input: Bytes) -> Done {
    let (extents, mut data): (BTreeMap<u64, u64>, Bytes) = args(input)?;
    if object.stat().is_ok() {
        return done();
    }
    if extents.is_empty() {
        object.create(true)?;
    }
    for (offset, length) in extents {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > data.len() {
            return Err(Errno::EINVAL);
        }
        object.write(offset, data.split_to(length), 0)?;
    }
    done()
}

/// Parts of `data` that are not zero, in steps of `step` bytes, next to each other as one.
fn extents(data: &Bytes, step: usize) -> Vec<(usize, Bytes)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for chunk in data.chunks(step) {
        if chunk.iter().any(|byte| *byte != 0) {
            match found.last_mut() {
                Some((_, end)) if *end == at => *end += chunk.len(),
                _ => found.push((at, at + chunk.len())),
            }
        }
        at += chunk.len();
    }
    found.into_iter().map(|(start, end)| (start, data.slice(start..end))).collect()
}

pub(super) fn sparsify(object: &mut dyn Object, input: Bytes) -> Done {
    let (step, remove_empty): (u64, bool) = args(input)?;
    object.stat()?;
    let data = object.read(0, 0)?;
    // A step of nothing would never end; one beyond the object is the object.
    let step = usize::try_from(step).unwrap_or(usize::MAX).min(data.len().max(1));
    if step == 0 {
        return Err(Errno::EINVAL);
    }
    let parts = extents(&data, step);
    if parts.is_empty() && remove_empty {
        object.remove()?;
    } else if parts.iter().map(|(_, part)| part.len()).sum::<usize>() < data.len() {
        object.truncate(0)?;
        for (offset, part) in parts {
            object.write(offset as u64, part, 0)?;
        }
    }
    done()
}

/// Refuses a write whose snap context is not as new as its sender needs it.
pub(super) fn assert_snapc_seq(object: &mut dyn Object, input: Bytes) -> Done {
    let (seq, state): (SnapId, u8) = args(input)?;
    // The snapset of a deleted object outlives it in its clones.
    let snapset_seq = object.snapset_seq();
    let fresh = optional(object.stat())?.is_none() && snapset_seq == SnapId(0);
    let newer = fresh || seq > snapset_seq;
    match (state, newer) {
        (0, true) | (1, false) => done(),
        (0, false) | (1, true) => Err(Errno::ERANGE),
        _ => Err(Errno::EOPNOTSUPP),
    }
}
