//! ControllerPublishVolume, and ControllerUnpublishVolume with its fence.
//!
//! Publishing writes down that a node may use the volume. The node writes down its client before
//! that client's first I/O and erases it after a clean detach. So what is still written down when
//! the volume is unpublished may have I/O in flight: it is blocklisted before the call returns,
//! and the epoch of that map is what the next client must have.

use std::collections::BTreeMap;

use seabed_cluster::EntityAddr;
use seabed_proto::csi::{
    ControllerPublishVolumeRequest, ControllerPublishVolumeResponse,
    ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse,
};
use seabed_rados::Pool;
use seabed_rbd::{Image, RbdError};

use super::{Context, image};
use crate::fault::Fault;
use crate::rules::capability::Capability;
use crate::rules::fence::{self, Seen};
use crate::rules::handle::{Place, VolumeHandle};
use crate::rules::{name, publish as rule, required};
use crate::state::record::{NODES, Node, Volume, node_key, volume_key};
use crate::state::{Change, Directory};

/// The map that the node's client must have before it opens the image.
pub(crate) const FENCE_EPOCH: &str = "csi.seabed.io/fence-epoch";

pub(super) async fn publish(
    context: &Context,
    request: ControllerPublishVolumeRequest,
) -> Result<ControllerPublishVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let node = name("node_id", &request.node_id)?;
    let capability = Capability::read(request.volume_capability.as_ref())?;
    let handle = VolumeHandle::of_existing(id)?;
    let (_, directory, found) = context.volume(&handle).await?;
    let nodes = Directory::of(&context.link.pool(&context.pool).await?);
    if nodes.get::<Node>(&node_key(node)).await?.is_none() {
        return Err(Fault::not_found(format!(
            "node {node:?} has not registered; is `seabed csi node` running there?"
        )));
    }
    let key = volume_key(&handle.place);
    let published = directory.update::<Volume>(&key, |known| {
        // An image that was not made here is adopted by being published.
        let mut volume = match known {
            Some(volume) => volume.clone(),
            None if found.name.is_none() => found.clone(),
            None => return Err(Fault::not_found(format!("there is no volume {id:?}"))),
        };
        let planned = rule::plan(&volume, node, &capability, request.readonly)?;
        Ok(planned.map(|publication| {
            volume.nodes.insert(node.to_owned(), publication);
            volume
        }))
    });
    let fence = published.await?.map_or(0, |volume| volume.fence);
    let publish_context = BTreeMap::from([(FENCE_EPOCH.to_owned(), fence.to_string())]);
    Ok(ControllerPublishVolumeResponse { publish_context })
}

pub(super) async fn unpublish(
    context: &Context,
    request: ControllerUnpublishVolumeRequest,
) -> Result<ControllerUnpublishVolumeResponse, Fault> {
    let done = Ok(ControllerUnpublishVolumeResponse {});
    let id = required("volume_id", &request.volume_id)?;
    let Some(handle) = VolumeHandle::parse(id) else { return done };
    let Some((pool, directory)) = context.directory(&handle.pool).await? else { return done };
    let key = volume_key(&handle.place);
    let Some(entry) = directory.get::<Volume>(&key).await? else { return done };
    // Without a node: from all.
    let all = entry
        .value
        .nodes
        .keys()
        .filter(|node| request.node_id.is_empty() || **node == request.node_id);
    for node in all {
        fence_off(context, &pool, &directory, &handle.place, node).await?;
    }
    done
}

/// Fences what a node may still have in flight, and forgets that it may use the volume.
async fn fence_off(
    context: &Context,
    pool: &Pool,
    directory: &Directory,
    place: &Place,
    node: &str,
) -> Result<(), Fault> {
    let key = volume_key(place);
    loop {
        let Some(entry) = directory.get::<Volume>(&key).await? else { return Ok(()) };
        let Some(publication) = entry.value.nodes.get(node) else { return Ok(()) };
        let mut volume = entry.value.clone();
        let recorded = publication.client.as_deref();
        for client in targets(context, pool, &entry.value, place, node, recorded).await? {
            tracing::warn!(node, %client, "fenced");
            let epoch = pool.cluster().blocklist(&client, Some(fence::FOR)).await?;
            volume.fence = volume.fence.max(epoch.0);
        }
        volume.nodes.remove(node);
        // A client that was written down since is not fenced yet: look again.
        let change = Change::replace(key.clone(), &entry, &volume)?;
        if directory.change(&[change]).await? {
            return Ok(());
        }
    }
}

/// Whom to fence.
async fn targets(
    context: &Context,
    pool: &Pool,
    volume: &Volume,
    place: &Place,
    node: &str,
    recorded: Option<&str>,
) -> Result<Vec<EntityAddr>, Fault> {
    let nodes = Directory::of(&context.link.pool(&context.pool).await?);
    let (all, _) = nodes.list::<Node>(NODES, "", usize::MAX).await?;
    let mut own = Vec::new();
    let mut others = Vec::new();
    for (name, record) in all {
        if name == node { &mut own } else { &mut others }.extend(record.addresses);
    }
    others.extend(pool.cluster().addr().addr.map(|socket| socket.ip().to_string()));
    let images = image::images(pool, &place.namespace);
    let mut present: Vec<EntityAddr> = Vec::new();
    match Image::open_read(&images, &place.image, None).await {
        Ok(opened) => {
            present = image::watchers(pool, &opened).await?;
            present.extend(opened.lock_owners().await?);
        }
        // Gone already: nothing can be written to it.
        Err(RbdError::NoImage(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let theirs: Vec<&str> = volume
        .nodes
        .iter()
        .filter(|(name, _)| name.as_str() != node)
        .filter_map(|(_, publication)| publication.client.as_deref())
        .collect();
    let seen = Seen { recorded, present: &present, node: &own, others: &others, theirs: &theirs };
    Ok(fence::clients(&seen))
}
