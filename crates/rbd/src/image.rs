//! An open image.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock as Lock};

use seabed_cluster::SnapId;
use seabed_rados::Pool;
use tokio::sync::{Notify, RwLock, RwLockReadGuard};

use crate::error::during;
use crate::lock::Held;
use crate::owner::Asked;
use crate::watcher::Watcher;
use crate::{Header, Images, ParentImageSpec, RbdError, call, feature, names};

/// What an image is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be read only.
    Read,
    /// To be read and written: its header is watched, and the exclusive lock taken before the
    /// first write.
    Write,
}

/// An open image. Clones are the same one.
///
/// [`Image::close`] gives the lock back; dropped without it, the image stays locked until another
/// client finds that nobody watches any more.
#[derive(Debug, Clone)]
pub struct Image {
    pub(crate) inner: Arc<Inner>,
}

/// What is heard of others.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Somebody has given the lock up.
    pub released: Notify,
}

/// How it is about the watch on the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watching {
    /// It has this number.
    As(u64),
    /// It is being made anew.
    Lost,
    /// There is none.
    Over,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Of the header.
    pub pool: Pool,
    /// Of the data.
    pub data: Pool,
    pub name: String,
    pub id: String,
    pub access: Access,
    /// What is read, if not the head.
    pub snap: Option<SnapId>,
    header: Lock<Arc<Header>>,
    stale: AtomicBool,
    /// Read by those that write, for as long as they do; written by those that take the lock, give
    /// it up, or want nobody to write.
    writer: RwLock<Option<Held>>,
    holds: AtomicBool,
    /// Nothing takes the lock any more.
    closed: AtomicBool,
    /// What others have asked for.
    pub asked: Mutex<Asked>,
    watch: tokio::sync::watch::Sender<Watching>,
    watcher: Lock<Option<Watcher>>,
    pub signals: Signals,
    /// What it was cloned from.
    pub parent: Lock<Option<Image>>,
}

impl Image {
    /// Opens an image to read and write it.
    ///
    /// Errors: [`RbdError::NoImage`]; [`RbdError::Unsupported`] if it has features that are not
    /// built here.
    pub async fn open(images: &Images, name: &str) -> Result<Self, RbdError> {
        Self::open_as(images, name, Access::Write, None).await
    }

    /// Opens an image, or a snapshot of it, to read it.
    pub async fn open_read(
        images: &Images,
        name: &str,
        snapshot: Option<&str>,
    ) -> Result<Self, RbdError> {
        Self::open_as(images, name, Access::Read, snapshot).await
    }

    async fn open_as(
        images: &Images,
        name: &str,
        access: Access,
        snapshot: Option<&str>,
    ) -> Result<Self, RbdError> {
        let id = images.id(name).await?;
        let header = Header::read(&images.pool, &id).await?;
        let snap = match snapshot {
            None => None,
            Some(wanted) => match header.snapshot(wanted) {
                Some(found) => Some(found.id),
                None => return Err(RbdError::NoSnapshot(format!("{name}@{wanted}"))),
            },
        };
        Self::open_header(images, name.to_owned(), header, access, snap).await
    }

    /// Opens an image by its id, to read and write it; it may be in the trash.
    ///
    /// Errors: as [`Image::open`], ENOENT instead of [`RbdError::NoImage`].
    pub async fn open_id(images: &Images, id: &str) -> Result<Self, RbdError> {
        Self::open_id_as(images, id, Access::Write, None).await
    }

    /// Opens an image, or a snapshot of it, by ids, to read it. Snapshots of groups and those in
    /// the trash can be read so too.
    pub async fn open_id_read(
        images: &Images,
        id: &str,
        snapshot: Option<SnapId>,
    ) -> Result<Self, RbdError> {
        Self::open_id_as(images, id, Access::Read, snapshot).await
    }

    async fn open_id_as(
        images: &Images,
        id: &str,
        access: Access,
        snapshot: Option<SnapId>,
    ) -> Result<Self, RbdError> {
        let header = Header::read(&images.pool, id).await?;
        header.at(snapshot)?;
        // In the trash it has no name.
        let name = crate::error::optional(images.name(id).await)?;
        let name = name.unwrap_or_else(|| id.to_owned());
        Self::open_header(images, name, header, access, snapshot).await
    }

    async fn open_header(
        images: &Images,
        name: String,
        header: Header,
        access: Access,
        snap: Option<SnapId>,
    ) -> Result<Self, RbdError> {
        feature::check(&name, header.features, access == Access::Write)?;
        let pool = images.pool.clone();
        let data = match header.data_pool {
            None => pool.clone(),
            Some(id) => {
                let data = pool.cluster().pool_by_id(id).await.map_err(during("data pool"))?;
                data.with_namespace(pool.namespace().clone())
            }
        };
        let parent = match &header.parent {
            Some(parent) => Some(Box::pin(Self::open_parent(&pool, &parent.spec)).await?),
            None => None,
        };
        let inner = Arc::new(Inner {
            pool,
            data,
            name,
            id: header.id.clone(),
            access,
            snap,
            header: Lock::new(Arc::new(header)),
            stale: AtomicBool::new(false),
            writer: RwLock::default(),
            holds: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            asked: Mutex::default(),
            watch: tokio::sync::watch::Sender::new(Watching::Over),
            watcher: Lock::default(),
            signals: Signals::default(),
            parent: Lock::new(parent),
        });
        if access == Access::Write {
            let watch = inner.pool.watch(names::header(&inner.id)).await;
            let watcher = Watcher::start(&inner, watch.map_err(during("watch"))?);
            *inner.watcher.write().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
        }
        Ok(Image { inner })
    }

    async fn open_parent(child: &Pool, spec: &ParentImageSpec) -> Result<Self, RbdError> {
        let id = seabed_cluster::PoolId(spec.pool_id);
        let pool = child.cluster().pool_by_id(id).await.map_err(during("parent"))?;
        let images = Images::new(pool.with_namespace(spec.pool_namespace.clone()));
        Self::open_id_read(&images, &call::text(&spec.image_id), Some(spec.snap_id)).await
    }

    /// Its name when it was opened.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its id, which it keeps under every name and in the trash.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Its header, as new as notices of other clients make it.
    pub async fn header(&self) -> Result<Arc<Header>, RbdError> {
        self.inner.header().await
    }

    /// Bytes that can be read: of the head, or of the snapshot that is open.
    pub async fn size(&self) -> Result<u64, RbdError> {
        Ok(self.inner.header().await?.at(self.inner.snap)?.0)
    }

    /// As [`Image::size`], asked of the cluster now.
    pub async fn current_size(&self) -> Result<u64, RbdError> {
        Ok(self.inner.refresh().await?.at(self.inner.snap)?.0)
    }

    /// What it was cloned from, open at that snapshot.
    pub fn parent(&self) -> Option<Image> {
        self.inner.parent_image()
    }

    /// Takes the exclusive lock now, instead of at the first write.
    pub async fn lock(&self) -> Result<(), RbdError> {
        self.inner.writer().await.map(drop)
    }

    /// Waits for writes, gives the lock back, and ends the watch.
    pub async fn close(self) -> Result<(), RbdError> {
        self.inner.closed.store(true, Ordering::Release);
        let released = self.inner.release_lock().await;
        let watcher = self.inner.watcher.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.end().await;
        }
        released
    }
}

impl Inner {
    /// The header, read again if somebody has changed it.
    pub(crate) async fn header(&self) -> Result<Arc<Header>, RbdError> {
        if self.stale.load(Ordering::Acquire) {
            self.refresh().await
        } else {
            Ok(self.known_header())
        }
    }

    pub(crate) fn known_header(&self) -> Arc<Header> {
        Arc::clone(&self.header.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn refresh(&self) -> Result<Arc<Header>, RbdError> {
        // A change that comes while this reads makes it stale again.
        self.stale.store(false, Ordering::Release);
        let fresh = match Header::read(&self.pool, &self.id).await {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                self.mark_stale();
                return Err(error);
            }
        };
        feature::check(&self.name, fresh.features, self.access == Access::Write)?;
        *self.header.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    pub(crate) fn parent_image(&self) -> Option<Image> {
        self.parent.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_parent(&self, parent: Option<Image>) {
        *self.parent.write().unwrap_or_else(PoisonError::into_inner) = parent;
    }

    pub(crate) fn mark_stale(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// The number of the watch; waits while it is being made anew. `None` if there is none.
    pub(crate) async fn watch_handle(&self) -> Option<u64> {
        let mut watch = self.watch.subscribe();
        // An error says that the sender is gone, which is ours.
        let known = watch.wait_for(|watching| *watching != Watching::Lost).await.ok()?;
        match *known {
            Watching::As(handle) => Some(handle),
            Watching::Lost | Watching::Over => None,
        }
    }

    pub(crate) fn set_watching(&self, watching: Watching) {
        self.watch.send_replace(watching);
    }

    pub(crate) fn holds_lock(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    pub(crate) fn read_only(&self) -> RbdError {
        RbdError::ReadOnly(self.name.clone())
    }

    pub(crate) fn busy(&self, reason: String) -> RbdError {
        RbdError::Busy { what: self.name.clone(), reason }
    }

    /// The right to write, for as long as it is held; takes the exclusive lock if need be.
    pub(crate) async fn writer(&self) -> Result<RwLockReadGuard<'_, Held>, RbdError> {
        self.may_write()?;
        loop {
            let held = self.writer.read().await;
            if let Ok(held) = RwLockReadGuard::try_map(held, Option::as_ref) {
                return Ok(held);
            }
            let mut writer = self.writer.write().await;
            self.fill(&mut writer).await?;
        }
    }

    /// Takes the lock if it is not held.
    async fn fill(&self, writer: &mut Option<Held>) -> Result<(), RbdError> {
        // Looked at behind the guard: who closes takes that once more.
        if self.closed.load(Ordering::Acquire) {
            return Err(self.busy("it is being closed".into()));
        }
        if writer.is_none() {
            *writer = Some(self.take_lock().await?);
            self.holds.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn may_write(&self) -> Result<(), RbdError> {
        match self.access == Access::Write && self.snap.is_none() {
            true => Ok(()),
            false => Err(self.read_only()),
        }
    }

    /// The lock, with nobody else writing.
    pub(crate) async fn alone(
        &self,
    ) -> Result<tokio::sync::RwLockMappedWriteGuard<'_, Held>, RbdError> {
        self.may_write()?;
        let mut writer = self.writer.write().await;
        self.fill(&mut writer).await?;
        tokio::sync::RwLockWriteGuard::try_map(writer, Option::as_mut).map_err(|_| self.read_only())
    }

    /// Waits for writes and gives the lock up, if it is held.
    pub(crate) async fn release_lock(&self) -> Result<(), RbdError> {
        let mut writer = self.writer.write().await;
        let Some(held) = writer.take() else { return Ok(()) };
        self.holds.store(false, Ordering::Release);
        self.give_lock_up(&held).await
    }

    /// After a lost watch the lock names one that is gone, and would be broken: it gets the new
    /// one's name, if it is this client's still.
    pub(crate) async fn renew_lock(&self) {
        let mut writer = self.writer.write().await;
        let Some(held) = writer.as_mut() else { return };
        if let Err(error) = self.rename_lock(held).await {
            tracing::warn!(image = self.name, %error, "the lock is lost with its watch");
            *writer = None;
            self.holds.store(false, Ordering::Release);
        }
    }
}
