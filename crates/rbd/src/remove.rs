//! An image's end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seabed_classes::rbd::wire::{TrashImageSpec, op_feature};
use seabed_cluster::{Errno, UTime};

use crate::call::set;
use crate::error::{during, optional, unless};
use crate::image::{Access, Image};
use crate::parallel::in_parallel;
use crate::{Images, RbdError, names};

/// Hears how far something is: done, of all.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// `TRASH_IMAGE_SOURCE_REMOVING`.
const REMOVING: u8 = 3;
/// Objects removed between two reports.
const BATCH: u64 = 256;

impl Images {
    /// Removes an image with all its data. One that was stopped half way is removed by the next
    /// call: the name goes last.
    ///
    /// Errors: [`RbdError::Busy`] while somebody has it open, or it has snapshots or is a clone's
    /// parent.
    pub async fn remove(&self, name: &str, progress: Progress<'_>) -> Result<(), RbdError> {
        let id = self.id(name).await?;
        self.remove_by_id(&id, progress).await?;
        self.forget_name(name, &id).await?;
        unless(set(&self.pool, names::TRASH, "trash_remove", id.as_str()).await, Errno::ENOENT)
    }

    /// All of an image but its name.
    pub(crate) async fn remove_by_id(
        &self,
        id: &str,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let header = names::header(id);
        // Without a header a removal was stopped close to its end.
        if optional(self.pool.stat(&header).await.map_err(during("remove")))?.is_some() {
            self.remove_data(id, progress).await?;
        }
        let pool = self.pool.when_full();
        gone(pool.remove(names::object_map(id, None)).await)?;
        gone(pool.remove(&header).await)
    }

    async fn remove_data(&self, id: &str, progress: Progress<'_>) -> Result<(), RbdError> {
        let image = Image::open_id(self, id).await?;
        let removed = remove_open(self, &image, id, progress).await;
        let closed = image.close().await;
        removed.and(closed)
    }
}

async fn remove_open(
    images: &Images,
    image: &Image,
    id: &str,
    progress: Progress<'_>,
) -> Result<(), RbdError> {
    let inner = &image.inner;
    debug_assert!(inner.access == Access::Write);
    let header = inner.header().await?;
    if !header.snapshots.is_empty() {
        return Err(inner.busy(format!("it has {} snapshots", header.snapshots.len())));
    }
    if header.op_features & op_feature::GROUP != 0 {
        return Err(inner.busy("it is in a group".into()));
    }
    image.not_open_elsewhere().await?;
    let held = inner.alone().await?;
    let spec = TrashImageSpec {
        source: REMOVING,
        name: inner.name.clone().into(),
        deletion_time: wall(Duration::ZERO),
        deferment_end_time: wall(Duration::ZERO),
        ..TrashImageSpec::default()
    };
    let noted = set(&images.pool, names::TRASH, "trash_add", (id, spec)).await;
    unless(noted, Errno::EEXIST)?;
    let objects = header.layout.objects(header.size);
    let map = held.map.lock().await;
    if let Some(parent) = &header.parent {
        // What the parent knows of its clones goes with this one.
        crate::clone::detach(images, id, &parent.spec).await?;
    }
    let mut next = 0;
    while next < objects {
        let end = (next + BATCH).min(objects);
        let there = (next..end).filter(|o| map.as_ref().is_none_or(|map| map.may_exist(*o)));
        let jobs = there.map(|object| {
            let object = names::data(&header.object_prefix, object);
            let pool = inner.data.when_full();
            async move { gone(pool.remove(object).await) }
        });
        in_parallel(jobs).await?;
        next = end;
        progress(next, objects);
    }
    Ok(())
}

/// What is removed already is no error.
fn gone(result: Result<(), seabed_rados::RadosError>) -> Result<(), RbdError> {
    unless(result.map_err(during("remove")), Errno::ENOENT)
}

/// The wall's time, or some time after.
pub(crate) fn wall(after: Duration) -> UTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UTime::from_since_1970(since + after)
}
