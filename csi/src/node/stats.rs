//! NodeGetVolumeStats and NodeExpandVolume.

use std::path::Path;

use seabed_proto::csi::volume_usage::Unit;
use seabed_proto::csi::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, VolumeCondition, VolumeUsage,
};

use super::{Context, device, filesystem, mounts, staged};
use crate::fault::Fault;
use crate::rules::required;
use crate::rules::size::{Range, shown};

pub(super) async fn stats(
    context: &Context,
    request: NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let path = Path::new(required("volume_path", &request.volume_path)?);
    let staged = here(context, id, path)?;
    let attached = context.attacher.find(id).await?;
    let failure = match &attached {
        None => "the volume is not attached; stage it again".to_owned(),
        Some(attached) => attached.failure.clone(),
    };
    let volume_condition =
        Some(VolumeCondition { abnormal: !failure.is_empty(), message: failure });
    let (path, is_block) = (path.to_owned(), staged.filesystem.is_none());
    let usage = super::blocking(move || {
        if is_block {
            let total = shown(device::size(&path)?);
            return Ok(vec![VolumeUsage { total, unit: Unit::Bytes.into(), ..Default::default() }]);
        }
        used(&path)
    })
    .await?;
    Ok(NodeGetVolumeStatsResponse { usage, volume_condition })
}

/// The volume must be staged, and something mounted at the path.
fn here(context: &Context, id: &str, path: &Path) -> Result<staged::Staged, Fault> {
    let missing = || Fault::not_found(format!("volume {id:?} is not at {}", path.display()));
    let staged = staged::load(&context.state, id)?.ok_or_else(missing)?;
    mounts::at(path)?.ok_or_else(missing)?;
    Ok(staged)
}

fn used(path: &Path) -> Result<Vec<VolumeUsage>, Fault> {
    let found = rustix::fs::statvfs(path)
        .map_err(|error| Fault::internal(format!("{}: {error}", path.display())))?;
    let bytes = |blocks: u64| shown(blocks.saturating_mul(found.f_frsize));
    Ok(vec![
        VolumeUsage {
            available: bytes(found.f_bavail),
            total: bytes(found.f_blocks),
            used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            unit: Unit::Bytes.into(),
        },
        VolumeUsage {
            available: shown(found.f_favail),
            total: shown(found.f_files),
            used: shown(found.f_files.saturating_sub(found.f_ffree)),
            unit: Unit::Inodes.into(),
        },
    ])
}

pub(super) async fn expand(
    context: &Context,
    request: NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let path = Path::new(required("volume_path", &request.volume_path)?);
    let range = Range::read(request.capacity_range.as_ref())?;
    let staged = here(context, id, path)?;
    let size = context.attacher.grow(id).await?;
    if size < range.required {
        return Err(Fault::precondition(format!(
            "the volume has {size} bytes, fewer than {}; call ControllerExpandVolume first",
            range.required
        )));
    }
    if let Some(filesystem) = staged.filesystem.filter(|_| !staged.read_only) {
        let found = context.attacher.find(id).await?.and_then(|attached| attached.device);
        let device = found.ok_or_else(|| Fault::precondition("the volume is not attached"))?;
        filesystem::grow(&device, path, filesystem.name()).await?;
    }
    Ok(NodeExpandVolumeResponse { capacity_bytes: shown(size) })
}
