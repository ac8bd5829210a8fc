//! The trash: images without a name, kept until a time.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_classes::rbd::wire::TrashImageSpec;
use seabed_cluster::{Errno, UTime};
use seabed_denc::Bytes;

use crate::call::{get, set, text};
use crate::error::{during, unless};
use crate::header::all_pages;
use crate::remove::{Progress, wall};
use crate::{Image, Images, RbdError, names};

/// `TRASH_IMAGE_STATE_*`.
const NORMAL: u8 = 0;
const MOVING: u8 = 1;
const RESTORING: u8 = 3;

/// An image in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// Its name before.
    pub name: String,
    /// When it was moved.
    pub since: UTime,
    /// Until when it is kept.
    pub until: UTime,
    /// Who moved it: 0 a user, 1 mirroring, 2 migration, 3 a removal that was not finished, 4 a
    /// user, with clones.
    pub source: u8,
}

impl Images {
    /// Moves an image to the trash, to be kept for some time; returns its id, which names it from
    /// then on. Snapshots and clones of it stay as they are.
    ///
    /// Errors: [`RbdError::Busy`] while another client has it open to write.
    pub async fn trash(&self, name: &str, keep: Duration) -> Result<String, RbdError> {
        let image = Image::open(self, name).await?;
        let moved = async {
            let held = image.inner.alone().await?;
            image.not_open_elsewhere().await?;
            let id = self.move_to_trash(name, keep).await?;
            drop(held);
            Ok(id)
        }
        .await;
        let closed = image.close().await;
        let id = moved?;
        closed?;
        Ok(id)
    }

    async fn move_to_trash(&self, name: &str, keep: Duration) -> Result<String, RbdError> {
        let id = self.id(name).await?;
        let now = wall(Duration::ZERO);
        let spec = TrashImageSpec {
            name: name.to_owned().into(),
            deletion_time: now,
            deferment_end_time: wall(keep),
            state: MOVING,
            ..TrashImageSpec::default()
        };
        // There already if an earlier call was stopped before the name went.
        let added = set(&self.pool, names::TRASH, "trash_add", (id.as_str(), spec)).await;
        unless(added, Errno::EEXIST)?;
        self.forget_name(name, &id).await?;
        set(&self.pool, names::TRASH, "trash_state_set", (id.as_str(), NORMAL, MOVING)).await?;
        Ok(id)
    }

    /// What is in the trash, by id.
    pub async fn trashed(&self) -> Result<BTreeMap<String, Trashed>, RbdError> {
        let all: BTreeMap<Bytes, TrashImageSpec> =
            all_pages(&self.pool, names::TRASH, "trash_list", Bytes::new()).await?;
        let shown = |spec: TrashImageSpec| Trashed {
            name: text(&spec.name),
            since: spec.deletion_time,
            until: spec.deferment_end_time,
            source: spec.source,
        };
        Ok(all.into_iter().map(|(id, spec)| (text(&id), shown(spec))).collect())
    }

    /// Gives an image its name back, or another.
    ///
    /// Errors: [`RbdError::Exists`] if the name is taken.
    pub async fn restore(&self, id: &str, name: Option<&str>) -> Result<(), RbdError> {
        let spec: TrashImageSpec = match get(&self.pool, names::TRASH, "trash_get", id).await {
            Err(error) if error.is_not_found() => return Err(RbdError::NoImage(id.to_owned())),
            spec => spec?,
        };
        let name = name.map_or_else(|| text(&spec.name), str::to_owned);
        names::check(&name)?;
        let restoring = (id, RESTORING, NORMAL);
        set(&self.pool, names::TRASH, "trash_state_set", restoring).await?;
        if let Err(error) = self.take_name(&name, id).await {
            let back = (id, NORMAL, RESTORING);
            set(&self.pool, names::TRASH, "trash_state_set", back).await?;
            return Err(error);
        }
        set(&self.pool, names::TRASH, "trash_remove", id).await
    }

    /// Removes an image from the trash for good.
    ///
    /// Errors: [`RbdError::Busy`] while it is to be kept, unless `early`.
    pub async fn remove_trashed(
        &self,
        id: &str,
        early: bool,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let spec: TrashImageSpec = match get(&self.pool, names::TRASH, "trash_get", id).await {
            Err(error) if error.is_not_found() => return Err(RbdError::NoImage(id.to_owned())),
            spec => spec?,
        };
        if !early && spec.deferment_end_time > wall(Duration::ZERO) {
            let reason = format!("it is kept until {}", spec.deferment_end_time);
            return Err(RbdError::Busy { what: text(&spec.name), reason });
        }
        self.remove_by_id(id, progress).await?;
        let forgotten = set(&self.pool, names::TRASH, "trash_remove", id).await;
        unless(forgotten, Errno::ENOENT)
    }

    /// Takes an image's name away.
    pub(crate) async fn forget_name(&self, name: &str, id: &str) -> Result<(), RbdError> {
        let pool = self.pool.when_full();
        let unlisted = set(&pool, names::DIRECTORY, "dir_remove_image", (name, id)).await;
        unless(unlisted, Errno::ENOENT)?;
        let gone = pool.remove(names::id_of(name)).await;
        unless(gone.map_err(during("name of an image")), Errno::ENOENT)
    }
}
