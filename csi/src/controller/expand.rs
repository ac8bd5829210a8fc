//! ControllerExpandVolume: the image grows, also while it is used.

use seabed_proto::csi::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};
use seabed_rbd::{Image, RbdError};

use super::{Context, image};
use crate::fault::Fault;
use crate::rules::capability::Capability;
use crate::rules::handle::VolumeHandle;
use crate::rules::required;
use crate::rules::size::{Range, shown};
use crate::state::record::{Volume, volume_key};

pub(super) async fn expand(
    context: &Context,
    request: ControllerExpandVolumeRequest,
) -> Result<ControllerExpandVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    if request.capacity_range.is_none() {
        return Err(Fault::invalid("capacity_range is missing"));
    }
    let range = Range::read(request.capacity_range.as_ref())?;
    if let Some(capability) = &request.volume_capability {
        Capability::read(Some(capability))?;
    }
    let handle = VolumeHandle::of_existing(id)?;
    let (pool, directory, _) = context.volume(&handle).await?;
    let images = image::images(&pool, &handle.place.namespace);
    let opened = match Image::open(&images, &handle.place.image).await {
        Err(RbdError::NoImage(_)) => {
            return Err(Fault::not_found(format!("there is no volume {id:?}")));
        }
        opened => opened?,
    };
    let size = image::closing(opened, async |image| {
        let now = image.size().await?;
        let wanted = range.choose(Some(now))?;
        if wanted > now {
            image.resize(wanted, &mut |_, _| {}).await?;
        }
        Ok(wanted)
    })
    .await?;
    directory
        .update::<Volume>(&volume_key(&handle.place), |known| {
            Ok(known.filter(|v| v.size != size).map(|v| Volume { size, ..v.clone() }))
        })
        .await?;
    // A raw device grows on its node as well.
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: shown(size),
        node_expansion_required: true,
    })
}
