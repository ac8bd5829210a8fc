//! NodeStageVolume and NodeUnstageVolume: the volume attached, and its file system mounted once.

use std::path::{Path, PathBuf};

use seabed_proto::csi::{
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse,
};

use tonic::Code;

use super::attacher::Opening;
use super::filesystem::{self, Wanted};
use super::staged::{self, Staged};
use super::{Context, device, mounts, register};
use crate::controller::FENCE_EPOCH;
use crate::fault::Fault;
use crate::rules::capability::{Access, Capability, Filesystem};
use crate::rules::handle::VolumeHandle;
use crate::rules::required;
use crate::state::Directory;
use crate::state::record::{Publication, Volume, volume_key};

pub(super) async fn stage(
    context: &Context,
    request: NodeStageVolumeRequest,
) -> Result<NodeStageVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let path = Path::new(required("staging_target_path", &request.staging_target_path)?);
    let capability = Capability::read(request.volume_capability.as_ref())?;
    let fence = fence_epoch(&request)?;
    let handle = VolumeHandle::of_existing(id)?;
    let directory = Directory::of(&context.link.pool(&handle.pool).await?);
    let (volume, publication) = published(context, &directory, &handle).await?;
    let wanted = Staged {
        boot_id: register::boot_id()?,
        path: path.to_owned(),
        filesystem: match &capability.access {
            Access::Block => None,
            Access::Mount { filesystem, .. } => Some(*filesystem),
        },
        mode: capability.mode,
        read_only: publication.read_only || capability.mode.read_only(),
        client: String::new(),
    };
    compare(context, id, &wanted)?;
    let opening = Opening {
        pool: handle.pool.clone(),
        namespace: handle.place.namespace.clone(),
        image: handle.place.image.clone(),
        read_only: wanted.read_only,
        fence_epoch: fence.max(volume.fence),
    };
    let client = open(context, id, &opening, &publication, path).await?;
    note_client(&directory, context, &handle, &client).await?;
    staged::store(&context.state, id, &Staged { client, ..wanted.clone() })?;
    let device = context.attacher.attach(id).await?;
    if let Access::Mount { filesystem, flags } = &capability.access {
        let may_make = may_make(&volume);
        let wanted =
            Wanted { filesystem: *filesystem, read_only: wanted.read_only, may_make, flags };
        mount(&directory, &handle, &device, path, &wanted).await?;
    }
    Ok(NodeStageVolumeResponse {})
}

/// Opens the volume; answers its client. What an earlier call has opened is kept while its client
/// is written down, and taken away if that was fenced, or never written down.
async fn open(
    context: &Context,
    id: &str,
    opening: &Opening,
    publication: &Publication,
    path: &Path,
) -> Result<String, Fault> {
    if let Some(staged) = staged::load(&context.state, id)?
        && publication.client.as_ref() == Some(&staged.client)
        && context.attacher.find(id).await?.is_some()
    {
        return Ok(staged.client);
    }
    match context.attacher.open(id, opening).await {
        Err(fault) if fault.code == Code::AlreadyExists => {
            tracing::warn!(%fault, "what is left of an earlier client is taken away");
            mounts::take_away(path).await?;
            detach(context, id).await?;
            context.attacher.open(id, opening).await
        }
        result => result,
    }
}

fn fence_epoch(request: &NodeStageVolumeRequest) -> Result<u32, Fault> {
    match request.publish_context.get(FENCE_EPOCH) {
        None => Ok(0),
        Some(epoch) => epoch.parse().map_err(|_| {
            Fault::invalid(format!("publish_context: {FENCE_EPOCH} is {epoch:?}, no epoch"))
        }),
    }
}

/// The volume, which must be published to this node.
async fn published(
    context: &Context,
    directory: &Directory,
    handle: &VolumeHandle,
) -> Result<(Volume, Publication), Fault> {
    let found = directory.get::<Volume>(&volume_key(&handle.place)).await?;
    let missing = || Fault::not_found(format!("there is no volume {:?}", handle.to_string()));
    let volume = found.ok_or_else(missing)?.value;
    match volume.nodes.get(&context.node_id).cloned() {
        Some(publication) => Ok((volume, publication)),
        None => Err(Fault::precondition(format!(
            "volume {handle} is not published to node {:?}; call ControllerPublishVolume first",
            context.node_id
        ))),
    }
}

/// Refuses to stage a volume for something else than it is staged for.
fn compare(context: &Context, id: &str, wanted: &Staged) -> Result<(), Fault> {
    let Some(there) = staged::load(&context.state, id)? else { return Ok(()) };
    if there.boot_id != wanted.boot_id {
        return Ok(());
    }
    let same = Staged { client: there.client.clone(), ..wanted.clone() };
    if there == same {
        return Ok(());
    }
    Err(Fault::exists(format!(
        "volume {id:?} is staged at {} for something else; unstage it first",
        there.path.display()
    )))
}

/// Writes the client down in the cluster, so that a fence finds it.
async fn note_client(
    directory: &Directory,
    context: &Context,
    handle: &VolumeHandle,
    client: &str,
) -> Result<(), Fault> {
    let node = &context.node_id;
    let gone =
        || Fault::precondition(format!("volume {handle} was unpublished from {node:?} meanwhile"));
    directory
        .update::<Volume>(&volume_key(&handle.place), |known| {
            let mut volume = known.ok_or_else(gone)?.clone();
            let publication = volume.nodes.get_mut(node).ok_or_else(gone)?;
            if publication.client.as_deref() == Some(client) {
                return Ok(None);
            }
            publication.client = Some(client.to_owned());
            Ok(Some(volume))
        })
        .await
        .map(drop)
}

/// May a file system be made on the volume? Why not, otherwise.
fn may_make(volume: &Volume) -> Result<(), &'static str> {
    if volume.formatted.is_some() {
        return Err("one was made on it before, and is lost; restore a snapshot");
    }
    if volume.source.is_some() {
        return Err("its content is to be its source's");
    }
    if volume.name.is_none() {
        return Err("its image was not made by this driver; make one yourself");
    }
    Ok(())
}

async fn mount(
    directory: &Directory,
    handle: &VolumeHandle,
    path: &Path,
    target: &Path,
    wanted: &Wanted<'_>,
) -> Result<(), Fault> {
    if let Some(there) = mounts::at(target)? {
        if Some(there.device) == device::numbers(path) {
            // The last call was stopped behind the mount.
            return grow(path, target, wanted).await;
        }
        return Err(Fault::precondition(format!(
            "something else is mounted at {}; unmount it",
            target.display()
        )));
    }
    std::fs::create_dir_all(target)
        .map_err(|error| Fault::internal(format!("{}: {error}", target.display())))?;
    if filesystem::ensure(path, wanted).await? {
        note_formatted(directory, handle, wanted.filesystem).await?;
    }
    filesystem::mount(path, target, wanted).await?;
    grow(path, target, wanted).await
}

async fn grow(path: &Path, target: &Path, wanted: &Wanted<'_>) -> Result<(), Fault> {
    if wanted.read_only {
        return Ok(());
    }
    filesystem::grow(path, target, wanted.filesystem.name()).await
}

/// From now on an empty volume is a lost file system.
async fn note_formatted(
    directory: &Directory,
    handle: &VolumeHandle,
    filesystem: Filesystem,
) -> Result<(), Fault> {
    directory
        .update::<Volume>(&volume_key(&handle.place), |known| {
            Ok(known.map(|volume| Volume { formatted: Some(filesystem), ..volume.clone() }))
        })
        .await
        .map(drop)
}

pub(super) async fn unstage(
    context: &Context,
    request: NodeUnstageVolumeRequest,
) -> Result<NodeUnstageVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let path = PathBuf::from(required("staging_target_path", &request.staging_target_path)?);
    if let Some(staged) = staged::load(&context.state, id)?
        && staged.path != path
    {
        // It was staged elsewhere; whatever is here, it is not the volume's.
        tracing::warn!(at = %staged.path.display(), "staged elsewhere");
    }
    mounts::take_away(&path).await?;
    detach(context, id).await?;
    erase_client(context, id).await?;
    staged::remove(&context.state, id)?;
    Ok(NodeUnstageVolumeResponse {})
}

/// Takes the device away. A client that is fenced cannot flush any more: it is given up.
async fn detach(context: &Context, id: &str) -> Result<(), Fault> {
    match context.attacher.detach(id, false).await {
        Err(fault) if fault.code != Code::FailedPrecondition && is_fenced(context, id).await? => {
            tracing::warn!(%fault, "the volume was fenced: its device is given up");
            context.attacher.detach(id, true).await
        }
        result => result,
    }
}

/// Was the volume taken from this node?
async fn is_fenced(context: &Context, id: &str) -> Result<bool, Fault> {
    let Some(staged) = staged::load(&context.state, id)? else { return Ok(false) };
    let Some(handle) = VolumeHandle::parse(id) else { return Ok(false) };
    let directory = Directory::of(&context.link.pool(&handle.pool).await?);
    let volume = directory.get::<Volume>(&volume_key(&handle.place)).await?;
    let publication = volume.as_ref().and_then(|v| v.value.nodes.get(&context.node_id));
    Ok(publication.and_then(|known| known.client.as_ref()) != Some(&staged.client))
}

/// After a clean detach nothing is left to be fenced.
async fn erase_client(context: &Context, id: &str) -> Result<(), Fault> {
    let Some(staged) = staged::load(&context.state, id)? else { return Ok(()) };
    let Some(handle) = VolumeHandle::parse(id) else { return Ok(()) };
    let directory = Directory::of(&context.link.pool(&handle.pool).await?);
    directory
        .update::<Volume>(&volume_key(&handle.place), |known| {
            let Some(mut volume) = known.cloned() else { return Ok(None) };
            let Some(publication) = volume.nodes.get_mut(&context.node_id) else {
                return Ok(None);
            };
            if publication.client.as_deref() != Some(&staged.client) {
                return Ok(None);
            }
            publication.client = None;
            Ok(Some(volume))
        })
        .await
        .map(drop)
}
