//! Another size for an image.

use std::sync::Arc;

use seabed_classes::rbd::wire::feature;
use seabed_cluster::Errno;
use seabed_rados::Operation;

use crate::call::set;
use crate::error::{during, unless};
use crate::image::{Image, Inner};
use crate::layout::{Layout, below};
use crate::lock::Held;
use crate::notice::Notice;
use crate::object_map::{self, EXISTS, NONEXISTENT, ObjectMap};
use crate::parallel::in_parallel;
use crate::remove::Progress;
use crate::{Header, RbdError, names};

/// Objects removed between two changes of the object map.
const BATCH: u64 = 256;

impl Image {
    /// Gives the image another size; what is cut off is gone from the head.
    ///
    /// Stopped while it shrinks, the image keeps its size, and part of what is cut off is zero.
    pub async fn resize(&self, size: u64, progress: Progress<'_>) -> Result<(), RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        inner.change_size(&held, size, progress).await?;
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}

impl Inner {
    /// Resizes while nobody writes; others are to be told.
    pub(crate) async fn change_size(
        self: &Arc<Self>,
        held: &Held,
        size: u64,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let header = self.header().await?;
        let objects = header.layout.objects(size);
        let mapped = header.has(feature::OBJECT_MAP);
        if mapped && objects > object_map::OBJECTS_MAX {
            let reason = "an object map has no room for so many objects";
            return Err(RbdError::Invalid { what: "size".into(), reason });
        }
        if size < header.size {
            self.before_cut(held, &header, size).await?;
        }
        let mut map = held.map.lock().await;
        if size < header.size {
            self.trim(&header, map.as_mut(), size, progress).await?;
        } else {
            self.resize_map(map.as_mut(), objects).await?;
        }
        set(&self.pool, &names::header(&self.id), "set_size", size).await?;
        self.mark_stale();
        if size < header.size {
            self.resize_map(map.as_mut(), objects).await?;
        }
        drop(map);
        self.refresh().await.map(drop)
    }

    async fn resize_map(&self, map: Option<&mut ObjectMap>, objects: u64) -> Result<(), RbdError> {
        let Some(map) = map else { return Ok(()) };
        let operation = crate::lock::assert_map_locked();
        let operation = crate::call::rbd(operation, "object_map_resize", (objects, NONEXISTENT));
        let object = names::object_map(&self.id, None);
        self.pool.operate(&object, operation).await.map_err(during("object map"))?;
        map.resize(objects);
        Ok(())
    }

    /// Gives objects that will be cut the parent's bytes, where there are snapshots: made later, of
    /// the little that the head will show of the parent, they would lack the rest in those. And
    /// says that what is there is about to differ from the last snapshot.
    async fn before_cut(
        self: &Arc<Self>,
        held: &Held,
        header: &Arc<Header>,
        size: u64,
    ) -> Result<(), RbdError> {
        let cut: Vec<u64> =
            cuts(&header.layout, header.size, size).into_iter().map(|(object, _)| object).collect();
        if header.parent.is_some() && !header.snapshots.is_empty() {
            self.copy_up(held, header, self.parent_image(), cut.iter().copied()).await?;
        }
        let there: Vec<u64> = match held.map.lock().await.as_ref() {
            Some(map) => cut.into_iter().filter(|object| map.may_exist(*object)).collect(),
            None => return Ok(()),
        };
        self.will_exist(held, &there, EXISTS).await.map(drop)
    }

    /// Removes what lies behind `size`.
    async fn trim(
        &self,
        header: &Arc<Header>,
        mut map: Option<&mut ObjectMap>,
        size: u64,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let layout = header.layout;
        let (seq, snaps) = header.snap_context();
        let pool = self.data.when_full().with_snap_context(seq, snaps);
        let (keep, all) = (layout.objects(size), layout.objects(header.size));
        let cuts = cuts(&layout, header.size, size);
        let jobs = cuts.into_iter().map(|(object, has)| {
            let (pool, object) = (pool.clone(), names::data(&header.object_prefix, object));
            async move {
                let cut = Operation::new().truncate(has);
                let done = pool.operate(object, cut).await.map(drop).map_err(during("trim"));
                unless(done, Errno::ENOENT)
            }
        });
        in_parallel(jobs).await?;
        let mut next = all;
        while next > keep {
            let first = next.saturating_sub(BATCH).max(keep);
            self.remove_objects(&pool, header, map.as_deref_mut(), first..next).await?;
            next = first;
            progress(all - next, all - keep);
        }
        Ok(())
    }

    /// Removes whole objects, and says so in the object map, before and after.
    pub(crate) async fn remove_objects(
        &self,
        pool: &seabed_rados::Pool,
        header: &Header,
        mut map: Option<&mut ObjectMap>,
        objects: impl IntoIterator<Item = u64>,
    ) -> Result<(), RbdError> {
        let there: Vec<u64> = objects
            .into_iter()
            .filter(|object| map.as_ref().is_none_or(|map| map.may_exist(*object)))
            .collect();
        if let Some(map) = map.as_deref_mut() {
            for object in &there {
                if let Some(update) = map.before_remove(*object) {
                    self.store_update(map, update).await?;
                }
            }
        }
        let jobs = there.iter().copied().map(|object| {
            let (pool, object) = (pool.clone(), names::data(&header.object_prefix, object));
            async move {
                let removed = pool.remove(object).await.map_err(during("remove"));
                unless(removed, Errno::ENOENT)
            }
        });
        in_parallel(jobs).await?;
        if let Some(map) = map {
            for object in there {
                self.store_update(map, ObjectMap::after_remove(object)).await?;
            }
        }
        Ok(())
    }
}

/// Objects of the last stripes that have bytes on both sides of the new end, and how many of them
/// stay.
fn cuts(layout: &Layout, before: u64, size: u64) -> Vec<(u64, u64)> {
    let keep = layout.objects(size);
    let last = keep.saturating_sub(layout.stripe_count())..keep;
    let cut = last.filter_map(|object| {
        let whole = layout.of_object(object, 0, u64::MAX);
        let had: u64 = below(whole.clone(), before).iter().map(|p| p.length).sum();
        let has: u64 = below(whole, size).iter().map(|p| p.length).sum();
        (has < had).then_some((object, has))
    });
    cut.collect()
}
