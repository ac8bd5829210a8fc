//! `seabed volume attach` and `detach`: an image as a block device of this node.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seabed_attach::krbd::{Kernel, KernelDevice, MapRequest, SYSFS};
use seabed_attach::{Device, IO_TIMEOUT, ImageFacts, StateFolder, Way, choose, node};
use seabed_attachd::{Client, ClientError, OpenRequest, ensure_running};
use seabed_rados::{Cluster, Conf};
use seabed_rbd::Image;

use super::place::ImageSpec;
use crate::output::say;
use crate::verbs::csi;

/// As whom the cluster is spoken to.
const ENTITY: &str = "client.admin";

/// Where this node keeps what is attached.
#[derive(clap::Args)]
pub(crate) struct Node {
    /// Where the owner of the node's devices is found, and started if need be.
    #[arg(long, default_value = csi::STATE_DIR)]
    state_dir: PathBuf,
}

/// Attaches an image, and prints its device. Attached already in the same way: prints that device.
pub(super) async fn attach(
    cluster: &Cluster,
    conf: &Path,
    image: &ImageSpec,
    read_only: bool,
    way: csi::Attach,
    node: &Node,
) -> Result<()> {
    let choice = choose(&node::survey()?, Some(facts(cluster, image).await?), way.wanted());
    let device = match choice.way {
        Some(Way::KernelRbd) => {
            let monitors = Conf::load(conf)?.monitors(ENTITY).await?;
            let request = MapRequest { monitors, read_only, ..request(image) };
            let state = StateFolder::open(&node.state_dir)?;
            tokio::task::spawn_blocking(move || map(&state, &request)).await??
        }
        Some(Way::FuseLoop) => {
            let client = ensure_running(&node.state_dir, conf).await?;
            let words = OpenRequest {
                volume_id: image.to_string(),
                conf: std::path::absolute(conf)?.display().to_string(),
                pool: image.pool().into(),
                namespace: image.namespace().into(),
                image: image.name().into(),
                snapshot: image.snapshot.clone().unwrap_or_default(),
                read_only,
                fence_epoch: 0,
            };
            client.open(words).await?;
            client.attach(&image.to_string()).await?.device.into()
        }
        _ => bail!("{image} cannot be attached here:\n{choice}"),
    };
    say!("{}", device.display());
    Ok(())
}

/// What the choice of the way depends on.
async fn facts(cluster: &Cluster, image: &ImageSpec) -> Result<ImageFacts> {
    let (images, name) = image.open_with_snapshot(cluster).await?;
    let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
    let header = opened.header().await?;
    let parents = opened.depth();
    Ok(ImageFacts { features: header.features, parents, snapshots: header.snapshots.len() })
}

fn request(image: &ImageSpec) -> MapRequest {
    MapRequest {
        monitors: Vec::new(),
        user: "admin".into(),
        secret: None,
        pool: image.pool().into(),
        namespace: image.namespace().into(),
        image: image.name().into(),
        snapshot: image.snapshot.clone(),
        read_only: false,
        io_timeout: IO_TIMEOUT,
    }
}

fn map(state: &StateFolder, request: &MapRequest) -> Result<PathBuf> {
    let kernel = Kernel::open()?;
    let device = match kernel.find_image(request)?.into_iter().next() {
        Some(found) => found,
        None => kernel.map(state, request)?,
    };
    Ok(device.path().to_owned())
}

/// Takes a device away, by its path or its image. The cluster is not asked.
pub(super) async fn detach(what: &str, force: bool, node: &Node) -> Result<()> {
    let device = what.starts_with('/').then(|| PathBuf::from(what));
    let image: Option<ImageSpec> = match device {
        Some(_) => None,
        None => Some(what.parse().map_err(anyhow::Error::msg)?),
    };
    if let Some(volume_id) = owned(&node.state_dir, what).await? {
        return Ok(Client::connect(&node.state_dir).await?.detach(&volume_id, force).await?);
    }
    let found = tokio::task::spawn_blocking(move || mapped(device.as_deref(), image)).await??;
    match &found[..] {
        [] => bail!("{what} is not attached here"),
        [device] if force => Ok(device.detach_by_force()?),
        [device] => Ok(device.detach().await?),
        more => {
            let paths: Vec<String> = more.iter().map(|d| d.path().display().to_string()).collect();
            bail!("{what} is attached as {}: say which", paths.join(", "))
        }
    }
}

/// The volume that the owner of the node's devices has by this name or device.
async fn owned(state_dir: &Path, what: &str) -> Result<Option<String>> {
    let client = match Client::connect(state_dir).await {
        Ok(client) => client,
        Err(ClientError::NotRunning { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let volumes = client.list().await?;
    let mut ids = volumes.into_iter().filter_map(|volume| {
        let id = volume.opened?.volume_id;
        (id == what || volume.device == what).then_some(id)
    });
    Ok(ids.next())
}

/// The kernel's own devices of that path or image.
fn mapped(device: Option<&Path>, image: Option<ImageSpec>) -> Result<Vec<KernelDevice>> {
    if !Path::new(SYSFS).exists() {
        return Ok(Vec::new());
    }
    let kernel = Kernel::open()?;
    if let Some(image) = image {
        return Ok(kernel.find_image(&request(&image))?);
    }
    let path = device.and_then(Path::to_str).unwrap_or_default();
    let id = path.strip_prefix("/dev/rbd").and_then(|id| id.parse().ok());
    let id = id.with_context(|| format!("{path} is no device of ours"))?;
    Ok(kernel.find(id)?.into_iter().collect())
}
