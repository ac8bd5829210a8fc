//! NodePublishVolume and NodeUnpublishVolume: a staged volume shown to a pod.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use seabed_proto::csi::{
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse,
};

use super::mounts::{self, Mounted};
use super::staged::{self, Staged};
use super::{Context, device};
use crate::fault::Fault;
use crate::rules::capability::{Access, Capability};
use crate::rules::required;

pub(super) async fn publish(
    context: &Context,
    request: NodePublishVolumeRequest,
) -> Result<NodePublishVolumeResponse, Fault> {
    let id = required("volume_id", &request.volume_id)?;
    let target = PathBuf::from(required("target_path", &request.target_path)?);
    let capability = Capability::read(request.volume_capability.as_ref())?;
    let staging = required("staging_target_path", &request.staging_target_path)?;
    let not_staged =
        || Fault::precondition(format!("volume {id:?} is not staged; call NodeStageVolume first"));
    let staged = staged::load(&context.state, id)?.ok_or_else(not_staged)?;
    if staged.path != Path::new(staging) || !matches(&capability, &staged) {
        return Err(Fault::exists(format!(
            "volume {id:?} is staged at {} for something else",
            staged.path.display()
        )));
    }
    let attached = context.attacher.find(id).await?.and_then(|attached| attached.device);
    let device = attached.ok_or_else(not_staged)?;
    let read_only = request.readonly || capability.mode.read_only();
    if staged.filesystem.is_none() && read_only && !staged.read_only {
        return Err(Fault::precondition(
            "a raw block device is read-only as a whole: publish the volume with readonly already \
             in ControllerPublishVolume",
        ));
    }
    let shown = Shown::of(&staged, &device)?;
    if let Some(there) = mounts::at(&target)? {
        return repeated(&there, &shown, read_only || staged.read_only);
    }
    if capability.mode.single_target() {
        let mounted = mounts::all()?;
        let other = mounted.iter().find(|mount| shown.is_at(mount) && mount.target != staged.path);
        if let Some(other) = other {
            return Err(Fault::precondition(format!(
                "volume {id:?} has a single writer, at {}",
                other.target.display()
            )));
        }
    }
    make_target(&target, staged.filesystem.is_none())?;
    mounts::bind(&shown.source, &target, read_only).await?;
    Ok(NodePublishVolumeResponse {})
}

/// Is a volume that was staged like this good for what is asked?
fn matches(capability: &Capability, staged: &Staged) -> bool {
    let filesystem = match capability.access {
        Access::Block => None,
        Access::Mount { filesystem, .. } => Some(filesystem),
    };
    filesystem == staged.filesystem && capability.mode == staged.mode
}

/// What a pod is shown.
struct Shown {
    /// The staging folder, or the device's node.
    source: PathBuf,
    /// As the kernel's list of mounts has it: a file system's device, or a node's name in `/dev`.
    device: Option<(u32, u32)>,
    root: Option<PathBuf>,
}

impl Shown {
    fn of(staged: &Staged, device: &Path) -> Result<Self, Fault> {
        if staged.filesystem.is_none() {
            let root = device.strip_prefix("/dev").ok().map(|rest| Path::new("/").join(rest));
            return Ok(Shown { source: device.to_owned(), device: None, root });
        }
        let there =
            mounts::at(&staged.path)?.filter(|mount| Some(mount.device) == device::numbers(device));
        let Some(there) = there else {
            return Err(Fault::precondition(format!(
                "the volume is not mounted at {}; stage it again",
                staged.path.display()
            )));
        };
        Ok(Shown { source: staged.path.clone(), device: Some(there.device), root: None })
    }

    fn is_at(&self, mount: &Mounted) -> bool {
        match (&self.device, &self.root) {
            (Some(device), _) => mount.device == *device,
            (None, Some(root)) => mount.root == *root && mount.fstype == "devtmpfs",
            (None, None) => false,
        }
    }
}

/// Something is mounted at the target: the same, or another thing?
fn repeated(
    there: &Mounted,
    shown: &Shown,
    read_only: bool,
) -> Result<NodePublishVolumeResponse, Fault> {
    let target = there.target.display();
    if !shown.is_at(there) {
        return Err(Fault::precondition(format!("something else is mounted at {target}")));
    }
    // A device's node has no flag of its own.
    if shown.device.is_some() && there.read_only != read_only {
        return Err(Fault::exists(format!(
            "the volume is published at {target} with another readonly; unpublish it first"
        )));
    }
    Ok(NodePublishVolumeResponse {})
}

/// The file or folder that is mounted over.
fn make_target(target: &Path, file: bool) -> Result<(), Fault> {
    let failed = |error| Fault::internal(format!("{}: {error}", target.display()));
    if !file {
        return fs::create_dir_all(target).map_err(failed);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    File::options().write(true).create(true).truncate(false).open(target).map(drop).map_err(failed)
}

pub(super) async fn unpublish(
    _: &Context,
    request: NodeUnpublishVolumeRequest,
) -> Result<NodeUnpublishVolumeResponse, Fault> {
    required("volume_id", &request.volume_id)?;
    let target = Path::new(required("target_path", &request.target_path)?);
    mounts::take_away(target).await?;
    let removed = match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(target),
        Ok(_) => fs::remove_file(target),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Fault::internal(format!("{}: {error}", target.display())))
        }
        _ => Ok(NodeUnpublishVolumeResponse {}),
    }
}
