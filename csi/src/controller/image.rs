//! Images of volumes: made, cloned, removed.

use std::time::Duration;

use seabed_cluster::EntityAddr;
use seabed_rados::{Cluster, Pool};
use seabed_rbd::{CloneVersion, CreateOptions, Image, Images, RbdError};

use crate::fault::Fault;
use crate::rules::handle::Place;
use crate::state::record::{Draft, Origin};

/// What an image's metadata says whose it is.
const NAME: &str = "csi.seabed.io/name";

/// The images of a namespace.
pub(super) fn images(pool: &Pool, namespace: &str) -> Images {
    Images::new(pool.with_namespace(namespace.to_owned()))
}

/// An image's size; nothing if there is none.
pub(super) async fn size(pool: &Pool, place: &Place) -> Result<Option<u64>, Fault> {
    match Image::open_read(&images(pool, &place.namespace), &place.image, None).await {
        Ok(image) => Ok(Some(image.size().await?)),
        Err(RbdError::NoImage(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does something with an image, and closes it whatever comes of it: its lock is given back.
pub(super) async fn closing<T>(
    image: Image,
    work: impl AsyncFnOnce(&Image) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let result = work(&image).await;
    let closed = image.close().await;
    let value = result?;
    closed?;
    Ok(value)
}

/// The image that a clone is made of.
pub(super) async fn open_origin(cluster: &Cluster, origin: &Origin) -> Result<Image, Fault> {
    let pool = cluster.pool(&origin.pool).await?;
    Ok(Image::open_id(&images(&pool, &origin.namespace), &origin.image_id).await?)
}

/// Makes a draft's image, of nothing or of its origin, and has it say whose it is.
pub(super) async fn make(
    pool: &Pool,
    draft: &Draft,
    name: &str,
    size: u64,
    data_pool: Option<&Pool>,
) -> Result<(), Fault> {
    let images = images(pool, &draft.namespace);
    let options = CreateOptions { data_pool: data_pool.cloned(), ..CreateOptions::sized(size) };
    match &draft.origin {
        None => drop(images.create(&draft.image, &options).await?),
        Some(origin) => {
            let parent = open_origin(pool.cluster(), origin).await?;
            closing(parent, async |parent| {
                if origin.own {
                    parent.create_snapshot(&origin.snapshot).await?;
                }
                let version = CloneVersion::V2;
                let (snapshot, image) = (&origin.snapshot, &draft.image);
                images.clone_snapshot(parent, snapshot, image, version, &options).await?;
                if origin.own {
                    // Out of sight, and gone with the clone.
                    parent.remove_snapshot(&origin.snapshot).await?;
                }
                Ok(())
            })
            .await?;
        }
    }
    closing(Image::open(&images, &draft.image).await?, async |image| {
        image.set_metadata(NAME, name.to_owned()).await?;
        if image.size().await? < size {
            image.resize(size, &mut |_, _| {}).await?;
        }
        Ok(())
    })
    .await
}

/// Removes what an attempt left that was given up, however far it came.
pub(super) async fn unmake(pool: &Pool, draft: &Draft) -> Result<(), Fault> {
    let images = images(pool, &draft.namespace);
    if let Some(origin) = &draft.origin {
        forget_clone(pool, &images, draft, origin).await?;
    }
    match images.remove(&draft.image, &mut |_, _| {}).await {
        Ok(()) | Err(RbdError::NoImage(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has the origin forget a clone that was stopped while it was made, and what was made for it.
async fn forget_clone(
    pool: &Pool,
    images: &Images,
    draft: &Draft,
    origin: &Origin,
) -> Result<(), Fault> {
    let parent = match open_origin(pool.cluster(), origin).await {
        Err(fault) if fault.code == tonic::Code::NotFound => return Ok(()),
        parent => parent?,
    };
    closing(parent, async |parent| {
        images.forget_clone(&draft.image, parent, &origin.snapshot).await?;
        if origin.own {
            match parent.remove_snapshot(&origin.snapshot).await {
                Ok(()) | Err(RbdError::NoSnapshot(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })
    .await
}

/// Who has an image open, but for this process.
pub(super) async fn watchers(pool: &Pool, image: &Image) -> Result<Vec<EntityAddr>, Fault> {
    let me = pool.cluster().id();
    let mut watchers = image.watchers().await?;
    watchers.retain(|watcher| u64::try_from(watcher.client.num) != Ok(me));
    Ok(watchers.into_iter().map(|watcher| watcher.addr).collect())
}

/// What became of an image that is to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is gone.
    Wholly,
    /// Its name is free; it has this id in the trash until its snapshots and clones go.
    Later(String),
}

/// Removes an image, or hides it while snapshots or clones need it. `known`: its id, if an earlier
/// call knew it.
pub(super) async fn retire(pool: &Pool, place: &Place, known: Option<&str>) -> Result<Gone, Fault> {
    let images = images(pool, &place.namespace);
    let id = match images.id(&place.image).await {
        Ok(id) => id,
        Err(RbdError::NoImage(_)) => {
            return match known {
                None => Ok(Gone::Wholly),
                Some(id) => purge(&images, id).await,
            };
        }
        Err(error) => return Err(error.into()),
    };
    if has_snapshots(&images, &id).await? == Some(true) {
        images.trash(&place.image, Duration::ZERO).await?;
        return Ok(Gone::Later(id));
    }
    images.remove(&place.image, &mut |_, _| {}).await?;
    Ok(Gone::Wholly)
}

/// Removes an image from the trash, unless it is needed still.
async fn purge(images: &Images, id: &str) -> Result<Gone, Fault> {
    if has_snapshots(images, id).await? == Some(true) {
        return Ok(Gone::Later(id.to_owned()));
    }
    match images.remove_trashed(id, true, &mut |_, _| {}).await {
        Ok(()) | Err(RbdError::NoImage(_)) => Ok(Gone::Wholly),
        Err(error) => Err(error.into()),
    }
}

/// Nothing if the image has no header any more.
async fn has_snapshots(images: &Images, id: &str) -> Result<Option<bool>, Fault> {
    let image = match Image::open_id(images, id).await {
        Err(RbdError::Rados { source, .. }) if source.is_not_found() => return Ok(None),
        Err(RbdError::NoImage(_)) => return Ok(None),
        image => image?,
    };
    closing(image, async |image| Ok(Some(!image.header().await?.snapshots.is_empty()))).await
}
