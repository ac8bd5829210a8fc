//! What changed in an image by whole objects, from its object maps: no object is asked.

use seabed_classes::rbd::wire::{BitVector, feature};
use seabed_cluster::SnapId;

use crate::call::get;
use crate::error::optional;
use crate::image::{Image, Inner};
use crate::object_map::{EXISTS, FAST_DIFF_INVALID, INVALID, NONEXISTENT};
use crate::{Extent, Header, RbdError, names};

impl Image {
    /// As [`Image::diff`], by whole objects: more than has changed may be told, never less. Only
    /// object maps are read. What a clone shows of its parent is not told.
    ///
    /// `None` if the image has no such maps, or they cannot be trusted.
    pub async fn diff_objects(&self, from: Option<&str>) -> Result<Option<Vec<Extent>>, RbdError> {
        let begin = match from {
            None => None,
            Some(name) => Some(self.snapshot(name).await?.id),
        };
        self.diff_objects_since(begin).await
    }

    pub(crate) async fn diff_objects_since(
        &self,
        begin: Option<SnapId>,
    ) -> Result<Option<Vec<Extent>>, RbdError> {
        let inner = &self.inner;
        let header = inner.header().await?;
        let end = inner.snap.unwrap_or(SnapId::HEAD);
        if begin.is_some_and(|begin| begin > end) {
            let what = inner.name.clone();
            return Err(RbdError::Invalid { what, reason: "it is newer than what is compared" });
        }
        if !header.has(feature::FAST_DIFF) {
            return Ok(None);
        }
        let (size, _) = header.at(inner.snap)?;
        // The map of the beginning, and all after it up to the end: each says what has changed
        // since the one before.
        let mut times: Vec<SnapId> = header.snapshots.iter().rev().map(|s| s.id).collect();
        times.push(SnapId::HEAD);
        times.retain(|time| match begin {
            None => *time == end,
            Some(begin) => begin <= *time && *time <= end,
        });
        let mut maps = Vec::with_capacity(times.len());
        for time in times {
            match inner.trusted_map(&header, time).await? {
                Some(map) => maps.push(map),
                None => return Ok(None),
            }
        }
        let mut extents: Vec<Extent> = Vec::new();
        for object in 0..header.layout.objects(size) {
            let Some(exists) = changed(&maps, begin.is_some(), object) else { continue };
            for piece in header.layout.of_object(object, 0, u64::MAX) {
                let length = size.saturating_sub(piece.offset).min(piece.length);
                if length > 0 {
                    extents.push(Extent { offset: piece.offset, length, exists });
                }
            }
        }
        extents.sort_unstable_by_key(|extent| extent.offset);
        Ok(Some(extents))
    }
}

/// Whether an object has changed over these maps, and if so whether it exists in the last.
/// `since`: the first map is what it is compared to; without it there is one map only.
fn changed(maps: &[BitVector], since: bool, object: u64) -> Option<bool> {
    let state = |map: &BitVector| match object < map.len() {
        true => map.get(object),
        false => NONEXISTENT,
    };
    let exists = |map| state(map) != NONEXISTENT;
    let now = exists(maps.last()?);
    if !since {
        return now.then_some(true);
    }
    let touched = maps
        .windows(2)
        .any(|pair| exists(&pair[0]) != exists(&pair[1]) || state(&pair[1]) == EXISTS);
    touched.then_some(now)
}

impl Inner {
    /// The object map of a snapshot or the head; `None` if it cannot be trusted.
    async fn trusted_map(
        &self,
        header: &Header,
        time: SnapId,
    ) -> Result<Option<BitVector>, RbdError> {
        let snapshot = header.snapshots.iter().find(|s| s.id == time);
        let (flags, size) = snapshot.map_or((header.flags, header.size), |s| (s.flags, s.size));
        if flags & (INVALID | FAST_DIFF_INVALID) != 0 {
            return Ok(None);
        }
        let object = names::object_map(&self.id, snapshot.map(|s| s.id.0));
        let map = optional(get::<BitVector>(&self.pool, &object, "object_map_load", ()).await)?;
        Ok(map.filter(|map| map.len() >= header.layout.objects(size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_map::{EXISTS_CLEAN, PENDING};

    fn map(states: &[u8]) -> BitVector {
        let mut map = BitVector::default();
        map.resize(states.len() as u64, NONEXISTENT);
        map.update(0..states.len() as u64, |i, _| Some(states[i as usize]));
        map
    }

    #[test]
    fn what_one_of_the_maps_says_has_changed() {
        let maps = [
            map(&[EXISTS, EXISTS, NONEXISTENT, EXISTS, EXISTS]),
            map(&[EXISTS_CLEAN, EXISTS, NONEXISTENT, EXISTS_CLEAN, EXISTS_CLEAN]),
            map(&[EXISTS_CLEAN, EXISTS_CLEAN, NONEXISTENT, NONEXISTENT, PENDING, EXISTS]),
        ];
        let all: Vec<Option<bool>> = (0..6).map(|object| changed(&maps, true, object)).collect();
        assert_eq!(all, [None, Some(true), None, Some(false), None, Some(true)]);
        let all: Vec<Option<bool>> =
            (0..6).map(|object| changed(&maps[2..], false, object)).collect();
        assert_eq!(all, [Some(true), Some(true), None, None, Some(true), Some(true)]);
    }
}
