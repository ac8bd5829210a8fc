//! Who uses an image: watchers, owners of locks, clones; and how a lock is taken from its owner.

use std::collections::BTreeSet;

use seabed_classes::lock::{BreakOp, InfoOp, LockInfo, LockOp};
use seabed_classes::rbd::wire::ChildImageSpec;
use seabed_cluster::{EntityAddr, EntityName, Errno, PoolId, SnapId};
use seabed_denc::Bytes;
use seabed_rados::{Pool, Watcher};

use crate::call::{decode, get, lock, text};
use crate::error::{during, optional, unless};
use crate::image::{Image, Inner};
use crate::lock::{EXCLUSIVE, NAME, SHARED};
use crate::{RbdError, names};

/// A lock on an image, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOwner {
    /// The client.
    pub client: EntityName,
    /// Where it is.
    pub addr: EntityAddr,
    /// What it calls the lock: `auto N` with the number of its watch, or a user's own word.
    pub cookie: String,
    /// `internal` for the lock that clients take to write; of users who lock by hand, their own.
    pub tag: String,
    /// True if others may hold it too.
    pub shared: bool,
}

/// An image that was cloned from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Child {
    /// The snapshot.
    pub snapshot: SnapId,
    /// The clone's pool.
    pub pool: PoolId,
    /// The namespace in it.
    pub namespace: String,
    /// Its id.
    pub id: String,
}

impl Image {
    /// Everybody who watches the header: all that have the image open to write it.
    pub async fn watchers(&self) -> Result<Vec<Watcher>, RbdError> {
        let header = names::header(&self.inner.id);
        self.inner.pool.watchers(header).await.map_err(during("watchers"))
    }

    /// Fails with [`RbdError::Busy`] while another client, or another handle of this one, watches.
    pub(crate) async fn not_open_elsewhere(&self) -> Result<(), RbdError> {
        let me = self.inner.me().await?;
        let watchers = self.watchers().await?;
        let other = watchers
            .iter()
            .find(|w| u64::try_from(w.client.num) != Ok(me.gid) || w.cookie != me.handle);
        let Some(Watcher { client, addr, .. }) = other else { return Ok(()) };
        Err(self.inner.busy(format!("open by {client} at {addr}")))
    }

    /// Who holds the image's lock: the client that writes, or users who locked it by hand.
    pub async fn locks(&self) -> Result<Vec<LockOwner>, RbdError> {
        owners(&self.inner.pool, &names::header(&self.inner.id)).await
    }

    /// The addresses of those who hold the image's lock.
    pub async fn lock_owners(&self) -> Result<Vec<EntityAddr>, RbdError> {
        Ok(self.locks().await?.into_iter().map(|owner| owner.addr).collect())
    }

    /// Locks the image by hand: no client writes it until the lock is broken. `id` is a word for
    /// the lock; `shared` one for those who may hold it together.
    ///
    /// Errors: [`RbdError::Busy`] if it is locked.
    pub async fn lock_by_hand(&self, id: &str, shared: Option<&str>) -> Result<(), RbdError> {
        let wanted = LockOp {
            name: NAME.into(),
            lock_type: if shared.is_some() { SHARED } else { EXCLUSIVE },
            cookie: id.to_owned().into(),
            tag: shared.unwrap_or_default().to_owned().into(),
            ..LockOp::default()
        };
        let object = names::header(&self.inner.id);
        match lock(&self.inner.pool, &object, "lock", wanted).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.errno(), Some(Errno::EBUSY | Errno::EEXIST)) => {
                Err(self.inner.busy("it is locked".into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a lock from its owner. `fence`: first the cluster refuses whatever that client may
    /// still send; without it a client that lives goes on writing until it finds out.
    pub async fn break_lock(&self, owner: &LockOwner, fence: bool) -> Result<(), RbdError> {
        let inner = &self.inner;
        if fence {
            let cluster = inner.pool.cluster();
            cluster.blocklist(&owner.addr, None).await.map_err(during("blocklist"))?;
        }
        break_lock(&inner.pool, &names::header(&inner.id), owner).await
    }

    /// The clones of all snapshots, of both versions; those in the trash too.
    pub async fn children(&self) -> Result<Vec<Child>, RbdError> {
        let header = self.inner.header().await?;
        let mut all = Vec::new();
        for snapshot in &header.snapshots {
            all.extend(self.inner.children_of(snapshot.id).await?);
        }
        all.sort();
        Ok(all)
    }

    /// How many images a read may go through: 0 for one that is no clone. Clients have limits, the
    /// kernel's is 16; [`Image::flatten`] makes it 0.
    pub fn depth(&self) -> usize {
        let mut depth = 0;
        let mut next = self.parent();
        while let Some(parent) = next {
            depth += 1;
            next = parent.parent();
        }
        depth
    }
}

/// Who has the lock of an object of an image.
pub(crate) async fn owners(pool: &Pool, object: &str) -> Result<Vec<LockOwner>, RbdError> {
    let input = InfoOp { name: NAME.into(), ..InfoOp::default() };
    let info = optional(lock(pool, object, "get_info", input).await)?;
    let Some(info) = info.filter(|info| !info.is_empty()) else { return Ok(Vec::new()) };
    let LockInfo { lockers, lock_type, tag, .. } = decode("lock", info)?;
    let owner = lockers.into_iter().map(|(id, locker)| LockOwner {
        client: id.locker,
        addr: locker.addr,
        cookie: text(&id.cookie),
        tag: text(&tag),
        shared: lock_type == SHARED,
    });
    Ok(owner.collect())
}

/// Removes an owner's lock from an object, if it is there still.
pub(crate) async fn break_lock(
    pool: &Pool,
    object: &str,
    owner: &LockOwner,
) -> Result<(), RbdError> {
    let input = BreakOp {
        name: NAME.into(),
        locker: owner.client,
        cookie: owner.cookie.clone().into(),
        ..BreakOp::default()
    };
    let broken = lock(pool, object, "break_lock", input).await.map(drop);
    unless(broken, Errno::ENOENT)
}

impl Inner {
    /// The clones of one snapshot.
    pub(crate) async fn children_of(&self, snapshot: SnapId) -> Result<Vec<Child>, RbdError> {
        let header = names::header(&self.id);
        let listed: Result<BTreeSet<ChildImageSpec>, RbdError> =
            get(&self.pool, &header, "children_list", snapshot).await;
        let new = optional(listed)?.into_iter().flatten().map(|child| Child {
            snapshot,
            pool: PoolId(child.pool_id),
            namespace: text(&child.pool_namespace),
            id: text(&child.image_id),
        });
        let mut all: Vec<Child> = new.collect();
        all.extend(self.old_clones(snapshot).await?);
        Ok(all)
    }

    /// Clones of version 1, of all pools; they are in a namespace of the parent's name.
    pub(crate) async fn old_clones(&self, snapshot: SnapId) -> Result<Vec<Child>, RbdError> {
        let mut all = Vec::new();
        let cluster = self.pool.cluster();
        let key = (self.pool.id().0, self.id.as_str(), snapshot);
        for (id, _) in cluster.pools().await.map_err(during("clones"))? {
            let pool = match cluster.pool_by_id(id).await {
                // Removed meanwhile, with all that was in it.
                Err(error) if error.is_not_found() => continue,
                pool => pool.map_err(during("clones"))?,
            };
            let pool = pool.with_namespace(self.pool.namespace().clone());
            let found: Result<BTreeSet<Bytes>, RbdError> =
                get(&pool, names::CHILDREN, "get_children", key).await;
            all.extend(optional(found)?.into_iter().flatten().map(|child| Child {
                snapshot,
                pool: id,
                namespace: text(self.pool.namespace()),
                id: text(&child),
            }));
        }
        Ok(all)
    }
}
