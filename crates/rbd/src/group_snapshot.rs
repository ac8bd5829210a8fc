//! Snapshots of groups: one of each image, all of the same moment.
//!
//! The group's header has the record first, incomplete, then come the images' snapshots, then the
//! record is complete. One that was stopped between is listed as incomplete, and can be removed.

use seabed_classes::rbd::wire::{
    GroupImageSnapshotNamespace, GroupSnapshot, ImageSnapshotSpec, SnapshotNamespace, feature,
};
use seabed_cluster::{Errno, PoolId, SnapId};
use tokio::sync::RwLockMappedWriteGuard;

use crate::call::{get, set, text};
use crate::error::unless;
use crate::lock::Held;
use crate::notice::Notice;
use crate::remove::Progress;
use crate::{Groups, Image, Images, RbdError, Snapshot, names};

/// Entries asked for at a time.
const PAGE: u64 = 1024;
/// `GROUP_SNAPSHOT_STATE_*`.
const INCOMPLETE: u8 = 0;
const COMPLETE: u8 = 1;

/// A snapshot of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSnapshotInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// False if it was stopped while it was made.
    pub complete: bool,
    /// Which snapshot of which image: pool, image's id, snapshot.
    pub snapshots: Vec<(PoolId, String, SnapId)>,
}

impl Groups {
    /// The snapshots of a group.
    pub async fn snapshots(&self, name: &str) -> Result<Vec<GroupSnapshotInfo>, RbdError> {
        let id = self.id(name).await?;
        let all = self.records(&id).await?;
        Ok(all
            .into_iter()
            .map(|record| GroupSnapshotInfo {
                id: text(&record.id),
                name: text(&record.name),
                complete: record.state == COMPLETE,
                snapshots: record
                    .snaps
                    .iter()
                    .map(|s| (PoolId(s.pool), text(&s.image_id), s.snap_id))
                    .collect(),
            })
            .collect())
    }

    /// Makes a snapshot of all images of a group. All their exclusive locks are held meanwhile: it
    /// shows no write without those that were finished before it.
    ///
    /// Errors: [`RbdError::Invalid`] if an image has no exclusive lock; [`RbdError::Busy`] if its
    /// owner keeps one.
    pub async fn create_snapshot(&self, name: &str, snapshot: &str) -> Result<(), RbdError> {
        names::check(snapshot)?;
        let group = self.id(name).await?;
        let header = names::group(&group);
        let members = self.members(&group).await?;
        let spec = |pool, image_id, snap_id| ImageSnapshotSpec {
            pool,
            image_id,
            snap_id,
            ..ImageSnapshotSpec::default()
        };
        let to_come =
            members.iter().map(|m| spec(m.spec.pool_id, m.spec.image_id.clone(), SnapId(0)));
        let id = names::fresh_id(self.pool.cluster().id(), rand::random());
        let mut record = GroupSnapshot {
            id: id.clone().into(),
            name: snapshot.to_owned().into(),
            state: INCOMPLETE,
            snaps: to_come.collect(),
            ..GroupSnapshot::default()
        };
        match set(&self.pool, &header, "group_snap_set", record.clone()).await {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {
                return Err(RbdError::Exists(format!("{name}@{snapshot}")));
            }
            noted => noted?,
        }
        let of = members.iter().map(|m| (m.spec.pool_id, text(&m.spec.image_id)));
        let (images, opened) = self.open(of).await;
        let made = match opened {
            Ok(()) => self.snapshot_all(&group, &id, &images).await,
            Err(error) => Err(error),
        };
        let stored = match made {
            Ok(made) => {
                let made = images.iter().zip(made).map(|(image, snap)| {
                    let pool = image.inner.pool.id().0;
                    spec(pool, image.inner.id.clone().into(), snap)
                });
                record.snaps = made.collect();
                record.state = COMPLETE;
                set(&self.pool, &header, "group_snap_set", record).await
            }
            Err(error) => Err(error),
        };
        let undone = match &stored {
            Ok(()) => Ok(()),
            Err(_) => self.undo(&group, &id, &images).await,
        };
        let closed = close(images).await;
        stored.and(undone).and(closed)
    }

    /// Removes a snapshot of a group with those of its images.
    pub async fn remove_snapshot(&self, name: &str, snapshot: &str) -> Result<(), RbdError> {
        let group = self.id(name).await?;
        let record = self.record(name, &group, snapshot).await?;
        let of = record.snaps.iter().map(|s| (s.pool, text(&s.image_id)));
        // Of an image that is gone there is nothing to remove.
        let mut images = Vec::new();
        let mut removed = Ok(());
        for (pool, id) in of {
            match self.open_one(pool, &id).await {
                Ok(image) => images.push(image),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    removed = Err(error);
                    break;
                }
            }
        }
        if removed.is_ok() {
            removed = self.undo(&group, &text(&record.id), &images).await;
        }
        let closed = close(images).await;
        removed.and(closed)
    }

    /// Makes the images of a group what they were at a snapshot; all their locks are held
    /// meanwhile.
    ///
    /// Errors: [`RbdError::Invalid`] if the snapshot is not complete, or does not have all images.
    pub async fn rollback(
        &self,
        name: &str,
        snapshot: &str,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let group = self.id(name).await?;
        let record = self.record(name, &group, snapshot).await?;
        if record.state != COMPLETE {
            let what = format!("{name}@{snapshot}");
            return Err(RbdError::Invalid { what, reason: "the snapshot is not complete" });
        }
        let of = record.snaps.iter().map(|s| (s.pool, text(&s.image_id)));
        let (images, opened) = self.open(of).await;
        let namespace = self.namespace(&group, &text(&record.id));
        let rolled = match opened {
            Ok(()) => roll_back_all(&images, &namespace, progress).await,
            Err(error) => Err(error),
        };
        for image in &images {
            image.inner.tell(Notice::HeaderUpdate).await;
        }
        let closed = close(images).await;
        rolled.and(closed)
    }

    async fn record(
        &self,
        name: &str,
        group: &str,
        snapshot: &str,
    ) -> Result<GroupSnapshot, RbdError> {
        let all = self.records(group).await?;
        let found = all.into_iter().find(|record| record.name == snapshot.as_bytes());
        found.ok_or_else(|| RbdError::NoSnapshot(format!("{name}@{snapshot}")))
    }

    async fn records(&self, group: &str) -> Result<Vec<GroupSnapshot>, RbdError> {
        let mut all: Vec<GroupSnapshot> = Vec::new();
        loop {
            let after = all.last().cloned().unwrap_or_default();
            let page: Vec<GroupSnapshot> =
                get(&self.pool, &names::group(group), "group_snap_list", (after, PAGE)).await?;
            let more = page.len() as u64 >= PAGE;
            // A server that answers the same page for ever must not hold us.
            if page.first().is_some_and(|first| all.iter().any(|one| one.id == first.id)) {
                return Err(RbdError::Malformed("group_snap_list"));
            }
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    fn namespace(&self, group: &str, snapshot: &str) -> SnapshotNamespace {
        SnapshotNamespace::Group(GroupImageSnapshotNamespace {
            group_pool: self.pool.id().0,
            group_id: group.to_owned().into(),
            group_snapshot_id: snapshot.to_owned().into(),
        })
    }

    async fn open_one(&self, pool: i64, id: &str) -> Result<Image, RbdError> {
        Image::open_id(&Images::new(self.pool_of(pool).await?), id).await
    }

    /// Opens images, in an order that all clients keep; those that could be opened come back too
    /// when one could not.
    async fn open(
        &self,
        of: impl Iterator<Item = (i64, String)>,
    ) -> (Vec<Image>, Result<(), RbdError>) {
        let mut of: Vec<(i64, String)> = of.collect();
        of.sort();
        let mut images = Vec::with_capacity(of.len());
        for (pool, id) in of {
            match self.open_one(pool, &id).await {
                Ok(image) => images.push(image),
                Err(error) => return (images, Err(error)),
            }
        }
        (images, Ok(()))
    }

    /// Takes all locks, then makes all snapshots.
    async fn snapshot_all(
        &self,
        group: &str,
        id: &str,
        images: &[Image],
    ) -> Result<Vec<SnapId>, RbdError> {
        for image in images {
            if !image.header().await?.has(feature::EXCLUSIVE_LOCK) {
                let what = image.name().to_owned();
                let reason =
                    "without exclusive-lock it cannot be held still for a group's snapshot";
                return Err(RbdError::Invalid { what, reason });
            }
        }
        // Ceph's name for a part of a group's snapshot.
        let name = format!(".group.{:x}_{group}_{id}", self.pool.id().0);
        let namespace = self.namespace(group, id);
        let held = all_alone(images).await?;
        let mut made = Vec::with_capacity(images.len());
        for (image, held) in images.iter().zip(&held) {
            made.push(image.inner.make_snapshot(held, &name, &namespace).await?);
        }
        drop(held);
        for image in images {
            image.inner.tell(Notice::HeaderUpdate).await;
        }
        Ok(made)
    }

    /// Removes the images' snapshots, as far as there are any, then the record.
    async fn undo(&self, group: &str, id: &str, images: &[Image]) -> Result<(), RbdError> {
        let namespace = self.namespace(group, id);
        for image in images {
            image.remove_snapshot_where(|s| s.namespace == namespace).await?;
        }
        let removed = set(&self.pool, &names::group(group), "group_snap_remove", id).await;
        unless(removed, Errno::ENOENT)
    }
}

/// The locks of all images; nobody writes to any of them while they are held.
async fn all_alone(images: &[Image]) -> Result<Vec<RwLockMappedWriteGuard<'_, Held>>, RbdError> {
    let mut held = Vec::with_capacity(images.len());
    for image in images {
        held.push(image.inner.alone().await?);
    }
    Ok(held)
}

async fn roll_back_all(
    images: &[Image],
    namespace: &SnapshotNamespace,
    progress: Progress<'_>,
) -> Result<(), RbdError> {
    let held = all_alone(images).await?;
    let mut snapshots: Vec<Snapshot> = Vec::with_capacity(images.len());
    for image in images {
        let header = image.inner.refresh().await?;
        let found = header.snapshots.iter().find(|s| s.namespace == *namespace).cloned();
        let missing = || RbdError::Invalid {
            what: image.name().to_owned(),
            reason: "it has no part in the group's snapshot",
        };
        snapshots.push(found.ok_or_else(missing)?);
    }
    let all = images.len() as u64;
    for (at, (image, held)) in images.iter().zip(&held).enumerate() {
        image.inner.roll_back(held, &snapshots[at], &mut |_, _| {}).await?;
        progress(at as u64 + 1, all);
    }
    Ok(())
}

/// Closes all; the first error counts.
async fn close(images: Vec<Image>) -> Result<(), RbdError> {
    let mut closed = Ok(());
    for image in images {
        closed = closed.and(image.close().await);
    }
    closed
}
