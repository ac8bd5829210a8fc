//! Object maps compared with the objects that are there, and made anew from them.

use std::sync::Arc;

use seabed_classes::rbd::wire::{BitVector, feature};
use seabed_cluster::SnapId;
use seabed_rados::{Operation, Pool};

use crate::call::{get, rbd, set};
use crate::error::{during, optional};
use crate::extents::History;
use crate::image::{Image, Inner};
use crate::lock::assert_map_locked;
use crate::notice::Notice;
use crate::object_map::{EXISTS, EXISTS_CLEAN, FAST_DIFF_INVALID, INVALID, NONEXISTENT};
use crate::parallel::each_in_parallel;
use crate::remove::Progress;
use crate::{Header, RbdError, names};

/// What a check of an image's object maps has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapCheck {
    /// Objects that are there though a map says that they are not. (The other way round is only
    /// work in vain.)
    pub wrong: u64,
    /// Maps that are missing, of another length than their image, or marked as not to be trusted.
    pub bad: u64,
}

impl Image {
    /// Compares the object maps of the image and of its snapshots with its objects. Nobody writes
    /// meanwhile. Maps that are wrong are marked, and not trusted by anybody until they are
    /// rebuilt.
    ///
    /// Errors: [`RbdError::Invalid`] if it has none.
    pub async fn check_object_map(&self, progress: Progress<'_>) -> Result<MapCheck, RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        let header = inner.refresh().await?;
        inner.needs_map(&header)?;
        let mut found = MapCheck::default();
        for (snap, states) in inner.look(&header, progress).await? {
            let object = names::object_map(&inner.id, snap.map(|snap| snap.0));
            let stored = get::<BitVector>(&inner.pool, &object, "object_map_load", ()).await;
            let stored = match stored {
                Err(RbdError::Malformed(_)) => None,
                stored => optional(stored)?,
            };
            let wrong = match stored {
                Some(stored) if stored.len() == states.len() => (0..states.len())
                    .filter(|i| states.get(*i) != NONEXISTENT && stored.get(*i) == NONEXISTENT)
                    .count() as u64,
                _ => {
                    found.bad += 1;
                    inner.flag(snap, INVALID | FAST_DIFF_INVALID).await?;
                    continue;
                }
            };
            found.wrong += wrong;
            if wrong > 0 {
                inner.flag(snap, INVALID | FAST_DIFF_INVALID).await?;
            } else if inner.flags(&header, snap) & INVALID != 0 {
                found.bad += 1;
            }
        }
        inner.refresh().await?;
        drop(held);
        if found != MapCheck::default() {
            // What this client knows of the map is not to be trusted either.
            inner.release_lock().await?;
            inner.tell(Notice::HeaderUpdate).await;
        }
        Ok(found)
    }

    /// Makes the object maps of the image and of its snapshots anew. Nobody writes meanwhile.
    ///
    /// Errors: [`RbdError::Invalid`] if it has none.
    pub async fn rebuild_object_map(&self, progress: Progress<'_>) -> Result<(), RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        let header = inner.refresh().await?;
        inner.needs_map(&header)?;
        for (snap, states) in inner.look(&header, progress).await? {
            let guard = if snap.is_none() { assert_map_locked() } else { Operation::new() };
            let save = rbd(guard, "object_map_save", states);
            let object = names::object_map(&inner.id, snap.map(|snap| snap.0));
            inner.pool.operate(object, save).await.map_err(during("object map"))?;
            inner.flag(snap, 0).await?;
        }
        inner.refresh().await?;
        drop(held);
        // It is read again by whoever writes next.
        inner.release_lock().await?;
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}

impl Inner {
    fn needs_map(&self, header: &Header) -> Result<(), RbdError> {
        match header.has(feature::OBJECT_MAP) {
            true => Ok(()),
            false => {
                let what = self.name.clone();
                Err(RbdError::Invalid { what, reason: "it has no object map" })
            }
        }
    }

    fn flags(&self, header: &Header, snap: Option<SnapId>) -> u64 {
        let of = |snap| header.snapshots.iter().find(|s| s.id == snap).map_or(0, |s| s.flags);
        snap.map_or(header.flags, of)
    }

    /// Says whether the map of the head or of a snapshot can be trusted.
    async fn flag(&self, snap: Option<SnapId>, flags: u64) -> Result<(), RbdError> {
        let mask = INVALID | FAST_DIFF_INVALID;
        let input = (flags, mask, snap.unwrap_or(SnapId::HEAD));
        set(&self.pool, &names::header(&self.id), "set_flags", input).await
    }

    /// The maps as the objects say that they must be: of the snapshots, oldest first, and the head.
    async fn look(
        &self,
        header: &Arc<Header>,
        progress: Progress<'_>,
    ) -> Result<Vec<(Option<SnapId>, BitVector)>, RbdError> {
        let mut times: Vec<(Option<SnapId>, u64)> =
            header.snapshots.iter().rev().map(|s| (Some(s.id), s.size)).collect();
        times.push((None, header.size));
        let mut maps: Vec<(Option<SnapId>, BitVector)> = Vec::with_capacity(times.len());
        for (snap, size) in &times {
            let mut states = BitVector::default();
            states.resize(header.layout.objects(*size), NONEXISTENT);
            maps.push((*snap, states));
        }
        let all = maps.iter().map(|(_, states)| states.len()).max().unwrap_or_default();
        let fast = header.has(feature::FAST_DIFF);
        let pool = self.data.at_snap(SnapId::DIR);
        let jobs = (0..all).map(|object| {
            let (pool, name) = (pool.clone(), names::data(&header.object_prefix, object));
            async move { history(&pool, &name).await }
        });
        let mut seen = 0;
        each_in_parallel(jobs, |index, history| {
            let object = index as u64;
            let mut before = None;
            for (snap, states) in &mut maps {
                let time = snap.unwrap_or(SnapId::HEAD);
                if let Some(state) = state(&history, before, time, fast)
                    && object < states.len()
                {
                    states.update(object..object + 1, |_, _| Some(state));
                }
                before = Some(time);
            }
            seen += 1;
            progress(seen, all);
        })
        .await?;
        Ok(maps)
    }
}

/// What a map says of an object at one time, if it is there.
fn state(history: &History, before: Option<SnapId>, time: SnapId, fast: bool) -> Option<u8> {
    if !history.exists(time) {
        return None;
    }
    let same = |before| history.exists(before) && history.changes(Some(before), time).is_empty();
    let clean = fast && before.is_some_and(same);
    Some(if clean { EXISTS_CLEAN } else { EXISTS })
}

/// All contents of an object.
pub(crate) async fn history(pool: &Pool, object: &str) -> Result<History, RbdError> {
    match pool.operate(object, Operation::new().list_snaps()).await {
        Ok(reply) => {
            let output = reply.ops.into_iter().next().map(|(_, output)| output);
            History::read(output.unwrap_or_default()).map_err(|_| RbdError::Malformed("list_snaps"))
        }
        Err(error) if error.is_not_found() => Ok(History::default()),
        Err(error) => Err(during("list_snaps")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extents::Version;

    #[test]
    fn what_has_not_changed_since_the_last_snapshot_is_clean() {
        let clone = Version { id: SnapId(2), snaps: vec![SnapId(2)], overlap: vec![], size: 8 };
        let head = Version { id: SnapId::HEAD, snaps: vec![], overlap: vec![], size: 8 };
        let history = History { versions: vec![clone, head], seq: SnapId(2) };
        let of = |before: Option<u64>, time| state(&history, before.map(SnapId), time, true);
        assert_eq!(of(None, SnapId(2)), Some(EXISTS));
        assert_eq!(of(Some(2), SnapId(3)), Some(EXISTS));
        assert_eq!(of(Some(3), SnapId::HEAD), Some(EXISTS_CLEAN));
        assert_eq!(of(None, SnapId(1)), None);
        assert_eq!(state(&history, Some(SnapId(3)), SnapId::HEAD, false), Some(EXISTS));
    }
}
