//! Clones: images that show a snapshot of another until they are written.

use std::sync::Arc;

use seabed_classes::rbd::wire::{ChildImageSpec, ParentImageSpec, feature, op_feature};
use seabed_cluster::Errno;
use seabed_denc::Bytes;
use seabed_rados::{Operation, Pool};

use crate::call::{rbd, set, text};
use crate::error::{during, optional, unless};
use crate::image::{Image, Inner};
use crate::lock::Held;
use crate::notice::Notice;
use crate::object_map::{EXISTS, EXISTS_CLEAN, NONEXISTENT};
use crate::parallel::in_parallel;
use crate::remove::Progress;
use crate::target::Target;
use crate::{CreateOptions, Header, Images, Parent, RbdError, Snapshot, SnapshotNamespace, names};

/// How the parent knows of its clones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneVersion {
    /// By a list in the clone's pool; the snapshot must be protected.
    V1,
    /// By its own header; the snapshot needs no protection. Clients must be of Ceph 13 or newer.
    V2,
}

impl Images {
    /// Makes an image here that is what a snapshot is. Size and sharing are the parent's.
    ///
    /// Errors: [`RbdError::Invalid`] for version 1 if the snapshot is not protected.
    pub async fn clone_snapshot(
        &self,
        parent: &Image,
        snapshot: &str,
        name: &str,
        version: CloneVersion,
        options: &CreateOptions,
    ) -> Result<(), RbdError> {
        let from = parent.snapshot(snapshot).await?;
        let source = &parent.inner;
        if version == CloneVersion::V1 && from.protection != 2 {
            let what = format!("{}@{snapshot}", source.name);
            return Err(RbdError::Invalid { what, reason: "the snapshot is not protected" });
        }
        let features = options.features | feature::LAYERING;
        let options = CreateOptions { size: from.size, features, ..options.clone() };
        let id = self.create(name, &options).await?;
        let header = names::header(&id);
        let spec = ParentImageSpec {
            pool_id: source.pool.id().0,
            pool_namespace: source.pool.namespace().clone(),
            image_id: source.id.clone().into(),
            snap_id: from.id,
            ..ParentImageSpec::default()
        };
        let attached = async {
            // The parent knows first: a clone that it does not know could lose its ground.
            match version {
                CloneVersion::V1 => {
                    let key = (spec.pool_id, spec.image_id.clone(), spec.snap_id);
                    set(&self.pool, names::CHILDREN, "add_child", (key, id.as_str())).await?;
                }
                CloneVersion::V2 => {
                    let child = child_spec(&self.pool, &id);
                    let input = (from.id, child);
                    let object = names::header(&source.id);
                    set(&source.pool, &object, "child_attach", input).await?;
                    let bit = op_feature::CLONE_CHILD;
                    set(&self.pool, &header, "op_features_set", (bit, bit)).await?;
                }
            }
            set(&self.pool, &header, "parent_attach", (spec.clone(), from.size)).await
        }
        .await;
        if let Err(error) = attached {
            // Without the parent's bytes it is no clone; what is left of it names what it is of.
            let undone = detach(self, &id, &spec).await;
            let removed = self.remove(name, &mut |_, _| {}).await;
            undone.and(removed)?;
            return Err(error);
        }
        source.mark_stale();
        source.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}

impl Images {
    /// Has a parent forget a clone of a name that was stopped while it was made, however far that
    /// came. The clone's own image stays, to be removed.
    pub async fn forget_clone(
        &self,
        name: &str,
        parent: &Image,
        snapshot: &str,
    ) -> Result<(), RbdError> {
        let id = match self.id(name).await {
            Err(RbdError::NoImage(_)) => return Ok(()),
            id => id?,
        };
        let snap_id = match parent.snapshot(snapshot).await {
            Err(RbdError::NoSnapshot(_)) => return Ok(()),
            snapshot => snapshot?.id,
        };
        let spec = ParentImageSpec {
            pool_id: parent.inner.pool.id().0,
            pool_namespace: parent.inner.pool.namespace().clone(),
            image_id: parent.inner.id.clone().into(),
            snap_id,
            ..ParentImageSpec::default()
        };
        detach(self, &id, &spec).await
    }
}

fn child_spec(pool: &Pool, id: &str) -> ChildImageSpec {
    ChildImageSpec {
        pool_id: pool.id().0,
        image_id: Bytes::copy_from_slice(id.as_bytes()),
        pool_namespace: pool.namespace().clone(),
        ..ChildImageSpec::default()
    }
}

/// Has the parent forget a clone, of either version; removes its snapshot if that was in the trash
/// for this clone only.
pub(crate) async fn detach(
    child: &Images,
    id: &str,
    spec: &ParentImageSpec,
) -> Result<(), RbdError> {
    let key = (spec.pool_id, spec.image_id.clone(), spec.snap_id);
    let old = set(&child.pool, names::CHILDREN, "remove_child", (key, id)).await;
    unless(old, Errno::ENOENT)?;
    let cluster = child.pool.cluster();
    let pool = cluster.pool_by_id(seabed_cluster::PoolId(spec.pool_id)).await;
    let pool = pool.map_err(during("parent"))?.with_namespace(spec.pool_namespace.clone());
    let parent = text(&spec.image_id);
    let input = (spec.snap_id, child_spec(&child.pool, id));
    let detached = set(&pool, &names::header(&parent), "child_detach", input).await;
    unless(detached, Errno::ENOENT)?;
    let images = Images::new(pool);
    Box::pin(images.purge_trashed(&parent, spec)).await
}

impl Images {
    /// Removes a snapshot that was only kept for clones.
    async fn purge_trashed(&self, id: &str, spec: &ParentImageSpec) -> Result<(), RbdError> {
        let header = optional(Header::read(&self.pool, id).await)?;
        let Some(header) = header else { return Ok(()) };
        let trashed = header.snapshots.iter().any(|s| {
            let trash = matches!(s.namespace, SnapshotNamespace::Trash(_));
            s.id == spec.snap_id && trash && s.child_count == 0
        });
        if !trashed {
            return Ok(());
        }
        let image = Image::open_id(self, id).await?;
        let purged = async {
            let held = image.inner.alone().await?;
            let header = image.inner.refresh().await?;
            image.inner.purge_snapshot(&held, &header, spec.snap_id).await?;
            drop(held);
            image.inner.tell(Notice::HeaderUpdate).await;
            Ok(())
        }
        .await;
        let closed = image.close().await;
        purged.and(closed)
    }
}

impl Image {
    /// Copies what the parent shows, and forgets the parent. The image is read and written
    /// meanwhile, by others too: the lock is held for some objects at a time.
    ///
    /// Stopped half way, the image is a clone still.
    pub async fn flatten(&self, progress: Progress<'_>) -> Result<(), RbdError> {
        const BATCH: u64 = 64;
        let inner = &self.inner;
        let mut next = 0;
        loop {
            let held = inner.writer().await?;
            let header = inner.header().await?;
            let all = header.layout.objects(inner.flattens(&header)?.overlap);
            if next >= all {
                break;
            }
            let end = (next + BATCH).min(all);
            inner.copy_up(&held, &header, self.parent(), next..end).await?;
            next = end;
            progress(next, all);
        }
        let held = inner.alone().await?;
        let header = inner.refresh().await?;
        let spec = inner.flattens(&header)?.spec.clone();
        let detached = set(&inner.pool, &names::header(&inner.id), "parent_detach", ()).await;
        unless(detached, Errno::ENOENT)?;
        let now = inner.refresh().await?;
        if now.parent.is_none() {
            let images = Images::new(inner.pool.clone());
            detach(&images, &inner.id, &spec).await?;
            inner.set_parent(None);
        }
        drop(held);
        inner.tell(Notice::HeaderUpdate).await;
        Ok(())
    }
}

impl Inner {
    /// The parent of an image that can be flattened.
    fn flattens<'a>(&self, header: &'a Header) -> Result<&'a Parent, RbdError> {
        let Some(parent) = &header.parent else {
            let what = self.name.clone();
            return Err(RbdError::Invalid { what, reason: "it is no clone" });
        };
        let more = |s: &Snapshot| s.parent_overlap.is_some_and(|o| o > parent.overlap);
        if header.snapshots.iter().any(more) {
            // Copied up, those bytes would be seen in the head too, which has lost them.
            return Err(RbdError::Unsupported {
                image: self.name.clone(),
                features: vec!["snapshots that show more of the parent than the head".into()],
            });
        }
        Ok(parent)
    }

    /// Copies objects of the parent that the image does not have.
    pub(crate) async fn copy_up(
        self: &Arc<Self>,
        held: &Held,
        header: &Arc<Header>,
        parent: Option<Image>,
        objects: impl IntoIterator<Item = u64>,
    ) -> Result<(), RbdError> {
        let target = Arc::new(Target::new(self, header, parent));
        let jobs = objects.into_iter().map(|object| {
            let target = Arc::clone(&target);
            async move { Ok(target.missing(object).await?.map(|bytes| (object, bytes))) }
        });
        let missing: Vec<(u64, Bytes)> = in_parallel(jobs).await?.into_iter().flatten().collect();
        let numbers: Vec<u64> = missing.iter().map(|(object, _)| *object).collect();
        // Snapshots have the copied object too: the head's is not changed since the last of them.
        let shared = header.has(feature::FAST_DIFF) && !header.snapshots.is_empty();
        self.will_exist(held, &numbers, if shared { EXISTS_CLEAN } else { EXISTS }).await?;
        self.will_copy_up(header, &numbers).await?;
        let jobs = missing.into_iter().map(|(object, bytes)| {
            let target = Arc::clone(&target);
            async move { target.copy_up(object, bytes).await }
        });
        in_parallel(jobs).await.map(drop)
    }

    /// Says in the maps of snapshots that they are about to have objects of the parent.
    pub(crate) async fn will_copy_up(
        &self,
        header: &Header,
        objects: &[u64],
    ) -> Result<(), RbdError> {
        if !header.has(feature::OBJECT_MAP) || objects.is_empty() {
            return Ok(());
        }
        let mut state = EXISTS;
        for snapshot in header.snapshots.iter().rev() {
            let Some(overlap) = snapshot.parent_overlap else { continue };
            let seen = header.layout.objects(overlap.min(snapshot.size));
            for object in objects.iter().filter(|object| **object < seen) {
                let input = (*object, *object + 1, state, Some(NONEXISTENT));
                let update = rbd(Operation::new(), "object_map_update", input);
                let map = names::object_map(&self.id, Some(snapshot.id.0));
                let done = self.pool.operate(map, update).await.map(drop);
                unless(done.map_err(during("object map")), Errno::ENOENT)?;
            }
            // It is the same object in the later ones.
            if header.has(feature::FAST_DIFF) {
                state = EXISTS_CLEAN;
            }
        }
        Ok(())
    }
}
