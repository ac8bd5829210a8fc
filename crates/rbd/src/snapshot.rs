//! Snapshots of an image: made, protected, rolled back to, removed.

use std::sync::Arc;

use seabed_classes::rbd::wire::{BitVector, SnapshotNamespace, feature};
use seabed_cluster::{Errno, SnapId};
use seabed_rados::Operation;

use crate::call::{get, rbd, set};
use crate::error::{during, optional, unless};
use crate::image::{Image, Inner};
use crate::lock::{Held, assert_map_locked};
use crate::notice::Notice;
use crate::object_map::{EXISTS, EXISTS_CLEAN, Update};
use crate::parallel::in_parallel;
use crate::remove::Progress;
use crate::{Header, RbdError, Snapshot, names};

/// `RBD_PROTECTION_STATUS_*`.
const UNPROTECTED: u8 = 0;
const UNPROTECTING: u8 = 1;
const PROTECTED: u8 = 2;
/// Ids that a newer one overtook are given up for another; so often.
const ATTEMPTS: u32 = 10;

impl Image {
    /// Makes a snapshot: what has been written before is in it.
    ///
    /// Errors: [`RbdError::Exists`].
    pub async fn create_snapshot(&self, name: &str) -> Result<SnapId, RbdError> {
        names::check(name)?;
        self.create_snapshot_in(name, SnapshotNamespace::User).await
    }

    /// Makes a snapshot of users, of a group or of a mirror.
    pub(crate) async fn create_snapshot_in(
        &self,
        name: &str,
        namespace: SnapshotNamespace,
    ) -> Result<SnapId, RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        let id = inner.make_snapshot(&held, name, &namespace).await?;
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(id)
    }

    /// Gives a snapshot another name.
    ///
    /// Errors: [`RbdError::Exists`].
    pub async fn rename_snapshot(&self, name: &str, new: &str) -> Result<(), RbdError> {
        let id = self.snapshot(name).await?.id;
        self.rename_snapshot_by_id(id, new).await
    }

    pub(crate) async fn rename_snapshot_by_id(
        &self,
        id: SnapId,
        new: &str,
    ) -> Result<(), RbdError> {
        names::check(new)?;
        let inner = &self.inner;
        let held = inner.alone().await?;
        let rename = rbd(inner.assert_locked(&held), "snapshot_rename", (id, new));
        let renamed = inner.pool.operate(names::header(&inner.id), rename).await.map(drop);
        match renamed.map_err(during("rename snapshot")) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {
                return Err(RbdError::Exists(format!("{}@{new}", inner.name)));
            }
            renamed => renamed?,
        }
        inner.refresh().await?;
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }

    /// Makes a snapshot one that clones of version 1 can be made of, which is not removed.
    pub async fn protect_snapshot(&self, name: &str) -> Result<(), RbdError> {
        let snapshot = self.snapshot(name).await?;
        if snapshot.protection == PROTECTED {
            return Err(self.inner.busy(format!("snapshot {name} is protected")));
        }
        self.set_protection(snapshot.id, PROTECTED).await
    }

    /// Takes protection away.
    ///
    /// Errors: [`RbdError::Busy`] while there are clones of version 1.
    pub async fn unprotect_snapshot(&self, name: &str) -> Result<(), RbdError> {
        let snapshot = self.snapshot(name).await?;
        if snapshot.protection == UNPROTECTED {
            let reason = "the snapshot is not protected";
            return Err(RbdError::Invalid { what: format!("{}@{name}", self.name()), reason });
        }
        // Who makes a clone meanwhile sees that it is going.
        self.set_protection(snapshot.id, UNPROTECTING).await?;
        let clones = self.inner.old_clones(snapshot.id).await;
        match clones {
            Ok(clones) if clones.is_empty() => self.set_protection(snapshot.id, UNPROTECTED).await,
            other => {
                self.set_protection(snapshot.id, PROTECTED).await?;
                let clones = other?.len();
                Err(self.inner.busy(format!("snapshot {name} has {clones} clones")))
            }
        }
    }

    /// Removes a snapshot. One that clones of version 2 still need goes to the trash, and is gone
    /// with the last of them.
    ///
    /// Errors: [`RbdError::Busy`] if it is protected.
    pub async fn remove_snapshot(&self, name: &str) -> Result<(), RbdError> {
        self.remove_snapshot_where(|s| s.namespace == SnapshotNamespace::User && s.name == name)
            .await?
            .ok_or_else(|| RbdError::NoSnapshot(format!("{}@{name}", self.name())))
    }

    /// Removes the first snapshot that is wanted; `None` if there is none.
    pub(crate) async fn remove_snapshot_where(
        &self,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Option<()>, RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        let header = inner.refresh().await?;
        let Some(snapshot) = header.snapshots.iter().find(|s| wanted(s)) else { return Ok(None) };
        inner.drop_snapshot(&held, snapshot).await?;
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(Some(()))
    }

    /// Makes the head what the snapshot is.
    pub async fn rollback(&self, name: &str, progress: Progress<'_>) -> Result<(), RbdError> {
        let inner = &self.inner;
        let held = inner.alone().await?;
        inner.refresh().await?;
        let snapshot = self.snapshot(name).await?;
        inner.roll_back(&held, &snapshot, progress).await?;
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }

    /// The snapshot of users by that name, as it is now.
    pub(crate) async fn snapshot(&self, name: &str) -> Result<Snapshot, RbdError> {
        let header = self.inner.header().await?;
        let found = header.snapshot(name).cloned();
        found.ok_or_else(|| RbdError::NoSnapshot(format!("{}@{name}", self.name())))
    }

    async fn set_protection(&self, id: SnapId, status: u8) -> Result<(), RbdError> {
        let inner = &self.inner;
        set(&inner.pool, &names::header(&inner.id), "set_protection_status", (id, status)).await?;
        inner.refresh().await?;
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}

impl Inner {
    /// Makes a snapshot while nobody writes; others are to be told.
    pub(crate) async fn make_snapshot(
        &self,
        held: &Held,
        name: &str,
        namespace: &SnapshotNamespace,
    ) -> Result<SnapId, RbdError> {
        let header = self.refresh().await?;
        let exists = || RbdError::Exists(format!("{}@{name}", self.name));
        if header.snapshots.iter().any(|s| s.name == name && s.namespace == *namespace) {
            return Err(exists());
        }
        let mut attempt = 0;
        let id = loop {
            attempt += 1;
            let id = self.data.create_snap_id().await.map_err(during("create snapshot"))?;
            let made = self.add_snapshot(held, &header, (name, namespace), id).await;
            let Err(error) = made else { break id };
            self.data.remove_snap_id(id).await.map_err(during("create snapshot"))?;
            match error.errno() {
                Some(Errno::ESTALE) if attempt < ATTEMPTS => {}
                Some(Errno::EEXIST) => return Err(exists()),
                _ => return Err(error),
            }
        };
        self.refresh().await?;
        Ok(id)
    }

    /// Removes a snapshot, or has it wait in the trash for its clones; others are to be told.
    async fn drop_snapshot(&self, held: &Held, snapshot: &Snapshot) -> Result<(), RbdError> {
        if snapshot.protection != UNPROTECTED {
            return Err(self.busy(format!("snapshot {} is protected", snapshot.name)));
        }
        // Out of sight first: what is stopped from here on is not seen half removed.
        let header = names::header(&self.id);
        set(&self.pool, &header, "snapshot_trash_add", snapshot.id).await?;
        let now = self.refresh().await?;
        let children = now.snapshots.iter().find(|s| s.id == snapshot.id).map(|s| s.child_count);
        if children == Some(0) {
            self.purge_snapshot(held, &now, snapshot.id).await?;
        }
        self.refresh().await.map(drop)
    }

    /// Makes the head what a snapshot is, while nobody writes; others are to be told.
    pub(crate) async fn roll_back(
        self: &Arc<Self>,
        held: &Held,
        snapshot: &Snapshot,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let mut header = self.refresh().await?;
        if header.parent.as_ref().map_or(0, |p| p.overlap)
            != snapshot.parent_overlap.unwrap_or_default()
        {
            return Err(RbdError::Unsupported {
                image: self.name.clone(),
                features: vec!["rollback over a change of what shows of the parent".into()],
            });
        }
        if header.size != snapshot.size {
            self.change_size(held, snapshot.size, &mut |_, _| {}).await?;
            header = self.refresh().await?;
        }
        let (seq, snaps) = header.snap_context();
        let pool = self.data.with_snap_context(seq, snaps);
        let all = header.layout.objects(header.size);
        // Until it is done nothing may rely on the map: it says that everything may exist.
        let mut map = held.map.lock().await;
        if let Some(map) = map.as_mut() {
            let update = Update { objects: 0..all, state: EXISTS, current: None };
            if all > 0 {
                self.store_update(map, update).await?;
            }
        }
        const BATCH: u64 = 256;
        let mut next = 0;
        while next < all {
            let end = (next + BATCH).min(all);
            let jobs = (next..end).map(|object| {
                let (pool, object) = (pool.clone(), names::data(&header.object_prefix, object));
                async move {
                    let back = Operation::new().rollback(snapshot.id);
                    let done = pool.operate(object, back).await.map(drop);
                    unless(done.map_err(during("rollback")), Errno::ENOENT)
                }
            });
            in_parallel(jobs).await?;
            next = end;
            progress(next, all);
        }
        if let Some(map) = map.as_mut() {
            self.restore_map(map, &header, snapshot.id).await?;
        }
        drop(map);
        self.refresh().await.map(drop)
    }

    /// The snapshot's object map, then the snapshot; then the head's map starts anew.
    async fn add_snapshot(
        &self,
        held: &Held,
        header: &Arc<Header>,
        (name, namespace): (&str, &SnapshotNamespace),
        id: SnapId,
    ) -> Result<(), RbdError> {
        let head = names::object_map(&self.id, None);
        let copy = names::object_map(&self.id, Some(id.0));
        let mut map = held.map.lock().await;
        if map.is_some() {
            match optional(self.pool.read(&head, 0, 0).await.map_err(during("object map")))? {
                Some(bytes) => {
                    self.pool.write_full(&copy, bytes).await.map_err(during("object map"))?;
                }
                None => tracing::warn!(image = self.name, "there is no object map to keep"),
            }
        }
        let input = (name, id, namespace.clone());
        let add = rbd(self.assert_locked(held), "snapshot_add", input);
        let added = self.pool.operate(names::header(&self.id), add).await;
        if let Err(error) = added.map_err(during("create snapshot")) {
            if map.is_some() {
                let gone = self.pool.remove(&copy).await.map_err(during("object map"));
                unless(gone, Errno::ENOENT)?;
            }
            return Err(error);
        }
        if let Some(map) = map.as_mut()
            && header.has(feature::FAST_DIFF)
        {
            let operation = rbd(assert_map_locked(), "object_map_snap_add", ());
            self.pool.operate(&head, operation).await.map_err(during("object map"))?;
            map.snapshot_made();
        }
        Ok(())
    }

    /// Removes a snapshot for good: its map into that of the next, its objects, its entry.
    pub(crate) async fn purge_snapshot(
        &self,
        held: &Held,
        header: &Arc<Header>,
        id: SnapId,
    ) -> Result<(), RbdError> {
        let own = names::object_map(&self.id, Some(id.0));
        if header.has(feature::FAST_DIFF) {
            let next = header.snapshots.iter().rev().map(|s| s.id).find(|other| *other > id);
            let mut map = held.map.lock().await;
            let loaded = get::<BitVector>(&self.pool, &own, "object_map_load", ()).await;
            if let (Some(states), Some(map)) = (optional(loaded)?, map.as_mut()) {
                let guard = if next.is_none() { assert_map_locked() } else { Operation::new() };
                let merge = rbd(guard, "object_map_snap_remove", states.clone());
                let into = names::object_map(&self.id, next.map(|next| next.0));
                let merged = self.pool.operate(into, merge).await.map(drop);
                unless(merged.map_err(during("object map")), Errno::ENOENT)?;
                if next.is_none() {
                    map.snapshot_removed(&states);
                }
            }
        }
        let gone = self.pool.remove(&own).await.map_err(during("object map"));
        unless(gone, Errno::ENOENT)?;
        self.data.remove_snap_id(id).await.map_err(during("remove snapshot"))?;
        let remove = rbd(self.assert_locked(held), "snapshot_remove", id);
        let removed = self.pool.operate(names::header(&self.id), remove).await.map(drop);
        unless(removed.map_err(during("remove snapshot")), Errno::ENOENT)
    }

    /// After a rollback the head has the snapshot's objects; all of them may have changed since.
    async fn restore_map(
        &self,
        map: &mut crate::object_map::ObjectMap,
        header: &Header,
        id: SnapId,
    ) -> Result<(), RbdError> {
        let own = names::object_map(&self.id, Some(id.0));
        let loaded = optional(get::<BitVector>(&self.pool, &own, "object_map_load", ()).await)?;
        let Some(mut states) = loaded else { return Ok(()) };
        states.resize(header.layout.objects(header.size), EXISTS);
        let all = 0..states.len();
        states.update(all, |_, old| (old == EXISTS_CLEAN).then_some(EXISTS));
        let save = rbd(assert_map_locked(), "object_map_save", states.clone());
        let head = names::object_map(&self.id, None);
        self.pool.operate(head, save).await.map_err(during("object map"))?;
        map.replace(states);
        Ok(())
    }
}
