//! DeleteVolume, and what follows when the last user of a hidden image goes.
//!
//! The name is freed and the volume taken out of sight in one step; then the image is removed, or
//! kept in the trash for as long as snapshots or clones need it.

use seabed_proto::csi::{DeleteVolumeRequest, DeleteVolumeResponse};
use seabed_rados::Pool;
use seabed_rbd::{Image, RbdError};

use super::{Context, image};
use crate::fault::Fault;
use crate::rules::handle::{Place, VolumeHandle};
use crate::rules::required;
use crate::state::record::{self, Name, Trash, Volume, name_key, trash_key, volume_key};
use crate::state::{Change, Directory, Entry};

const ATTEMPTS: u32 = 10;
/// Hidden images that one call looks at.
const SWEEP: usize = 64;

pub(super) async fn delete(
    context: &Context,
    request: DeleteVolumeRequest,
) -> Result<DeleteVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    // What cannot be a volume of ours is not there, which is what is wanted.
    let Some(handle) = VolumeHandle::parse(id) else { return Ok(DeleteVolumeResponse {}) };
    let Some((pool, directory)) = context.directory(&handle.pool).await? else {
        return Ok(DeleteVolumeResponse {});
    };
    for _ in 0..ATTEMPTS {
        let Some(entry) = directory.get::<Volume>(&volume_key(&handle.place)).await? else {
            return gone(&pool, &directory, &handle).await;
        };
        if hide(&pool, &directory, &handle, &entry).await? {
            finish(&pool, &directory, &handle.place).await?;
            sweep(&pool, &directory).await?;
            return Ok(DeleteVolumeResponse {});
        }
    }
    Err(Fault::aborted(format!("others keep changing volume {id:?}; call again")))
}

/// There is no such volume: it was deleted, perhaps not to the end, or never was ours.
async fn gone(
    pool: &Pool,
    directory: &Directory,
    handle: &VolumeHandle,
) -> Result<DeleteVolumeResponse, Fault> {
    if directory.get::<Trash>(&trash_key(&handle.place)).await?.is_some() {
        finish(pool, directory, &handle.place).await?;
        sweep(pool, directory).await?;
    } else if image::size(pool, &handle.place).await?.is_some() {
        return Err(not_ours(handle));
    }
    Ok(DeleteVolumeResponse {})
}

fn not_ours(handle: &VolumeHandle) -> Fault {
    Fault::precondition(format!(
        "image {handle} was not made by this driver; remove it yourself: seabed volume rm {handle}"
    ))
}

/// Takes the volume out of sight and frees its name. False: its record changed meanwhile.
async fn hide(
    pool: &Pool,
    directory: &Directory,
    handle: &VolumeHandle,
    entry: &Entry<Volume>,
) -> Result<bool, Fault> {
    let place = &handle.place;
    let Some(name) = &entry.value.name else { return Err(not_ours(handle)) };
    if let Some(node) = entry.value.nodes.keys().next() {
        return Err(Fault::precondition(format!(
            "volume {handle} is published to node {node:?}; unpublish it first"
        )));
    }
    in_use(pool, place).await?;
    let mut changes = vec![
        Change::remove(volume_key(place), entry),
        Change::make(trash_key(place), &Trash::default())?,
    ];
    if let Some(named) = directory.get::<Name>(&name_key(name)).await?
        && named.value
            == (Name::Ready { namespace: place.namespace.clone(), image: place.image.clone() })
    {
        changes.push(Change::remove(name_key(name), &named));
    }
    directory.change(&changes).await
}

/// Refuses an image that somebody has open.
async fn in_use(pool: &Pool, place: &Place) -> Result<(), Fault> {
    let images = image::images(pool, &place.namespace);
    let opened = match Image::open_read(&images, &place.image, None).await {
        Err(RbdError::NoImage(_)) => return Ok(()),
        opened => opened?,
    };
    match image::watchers(pool, &opened).await?.first() {
        None => Ok(()),
        Some(addr) => Err(Fault::precondition(format!(
            "image {place} is open at {addr}; close it there first"
        ))),
    }
}

/// Removes a hidden image, or keeps it where it is needed.
async fn finish(pool: &Pool, directory: &Directory, place: &Place) -> Result<(), Fault> {
    let key = trash_key(place);
    let Some(mut entry) = directory.get::<Trash>(&key).await? else { return Ok(()) };
    if entry.value.image_id.is_none() {
        // Written down before the name goes: afterwards only the id finds the image.
        let images = image::images(pool, &place.namespace);
        let image_id = match images.id(&place.image).await {
            Ok(id) => Some(id),
            Err(RbdError::NoImage(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let change = Change::replace(key.clone(), &entry, &Trash { image_id })?;
        let changed = directory.change(&[change]).await?;
        match directory.get::<Trash>(&key).await? {
            Some(now) if changed => entry = now,
            _ => return Err(Fault::aborted("another controller removes it too; call again")),
        }
    }
    match image::retire(pool, place, entry.value.image_id.as_deref()).await? {
        image::Gone::Later(_) => Ok(()),
        // If another was faster it is gone as well.
        image::Gone::Wholly => directory.change(&[Change::remove(key, &entry)]).await.map(drop),
    }
}

/// Removes hidden images that nothing needs any more.
pub(super) async fn sweep(pool: &Pool, directory: &Directory) -> Result<(), Fault> {
    let (hidden, _) = directory.list::<Trash>(record::TRASH, "", SWEEP).await?;
    for (place, _) in hidden {
        let Some(place) = Place::parse(&place) else { continue };
        // What fails here is another call's matter, and tried again by the next.
        if let Err(fault) = finish(pool, directory, &place).await {
            tracing::warn!(%place, %fault, "a deleted volume's image stays for now");
        }
    }
    Ok(())
}
