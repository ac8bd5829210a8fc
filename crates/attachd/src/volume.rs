//! One volume's life: opened by a client of its own, attached, grown, detached.
//!
//! Steps of one volume come one after another; looking at it waits for none of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seabed_attach::fuse_loop::{self, Condition, FuseLoop};
use seabed_attach::{Device, StateFolder};
use seabed_cluster::Epoch;
use seabed_proto::attachd::{OpenRequest, Volume};
use seabed_rados::{Cluster, Conf};
use seabed_rbd::{Image, Images};
use sha2::{Digest, Sha256};
use tokio::sync::MutexGuard as StepGuard;

use crate::error::VolumeError;
use crate::{AttachedImage, Options};

/// How long connecting and opening may take: what calls it repeats.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// How long giving an image's lock and watch back may take: the cluster takes them back by itself
/// from a client that is gone.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// An open image, with its client.
#[derive(Debug, Clone)]
struct Opened {
    cluster: Cluster,
    image: AttachedImage,
    address: String,
    size: u64,
}

#[derive(Debug, Default)]
struct Known {
    opened: Option<Opened>,
    device: Option<Arc<FuseLoop<AttachedImage>>>,
    /// Bytes of the device, once there is one.
    size: u64,
    /// Not in the table any more.
    gone: bool,
}

/// The place of a volume.
#[derive(Debug)]
pub(crate) struct Slot {
    words: OpenRequest,
    step: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

impl Slot {
    pub(crate) fn new(words: OpenRequest) -> Self {
        Slot { words, step: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    pub(crate) fn words(&self) -> &OpenRequest {
        &self.words
    }

    /// Was it asked for in these words? Waiting for a fence is no part of what it is.
    pub(crate) fn is_for(&self, words: &OpenRequest) -> bool {
        OpenRequest { fence_epoch: 0, ..self.words.clone() }
            == OpenRequest { fence_epoch: 0, ..words.clone() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to the next step; `None` if the volume is gone.
    pub(crate) async fn step(&self) -> Option<StepGuard<'_, ()>> {
        let step = self.step.lock().await;
        (!self.known().gone).then_some(step)
    }

    /// To be called within a step, before the table forgets it.
    pub(crate) fn mark_gone(&self) {
        self.known().gone = true;
    }

    /// Opens the image, and says its client's address and its size. Within a step.
    pub(crate) async fn open(&self, fence: Epoch) -> Result<(String, u64), VolumeError> {
        let known = self.known().opened.clone();
        if let Some(opened) = known {
            return Ok((opened.address, opened.size));
        }
        let conf = Conf::load(self.words.conf.as_ref())
            .map_err(|source| VolumeError::Conf { conf: self.words.conf.clone(), source })?;
        let connected = tokio::time::timeout(OPEN_WITHIN, Cluster::connect(&conf)).await;
        let cluster = connected.map_err(|_| VolumeError::TimedOut("connecting"))??;
        let opening = tokio::time::timeout(OPEN_WITHIN, self.open_on(&cluster, fence)).await;
        match opening.unwrap_or(Err(VolumeError::TimedOut("opening the image"))) {
            Ok(opened) => {
                let answer = (opened.address.clone(), opened.size);
                self.known().opened = Some(opened);
                Ok(answer)
            }
            Err(error) => {
                cluster.shutdown().await;
                Err(error)
            }
        }
    }

    async fn open_on(&self, cluster: &Cluster, fence: Epoch) -> Result<Opened, VolumeError> {
        // OSDs take no operation from a client whose map is newer than theirs: what the last
        // holder may still send them is refused before anything of this one is done.
        cluster.wait_for_map(fence).await?;
        let words = &self.words;
        let pool = cluster.pool(&words.pool).await?.with_namespace(words.namespace.clone());
        let images = Images::new(pool);
        let snapshot = Some(words.snapshot.as_str()).filter(|name| !name.is_empty());
        let image = if words.read_only || snapshot.is_some() {
            Image::open_read(&images, &words.image, snapshot).await?
        } else {
            Image::open(&images, &words.image).await?
        };
        let size = image.current_size().await?;
        let (cluster, image) = (cluster.clone(), AttachedImage(image));
        let address = cluster.addr().to_string();
        Ok(Opened { cluster, image, address, size })
    }

    /// Makes the device. Within a step.
    pub(crate) async fn attach(
        &self,
        state: &StateFolder,
        options: &Options,
    ) -> Result<(PathBuf, u64), VolumeError> {
        let opened = {
            let known = self.known();
            if let Some(device) = &known.device {
                return Ok((device.path().to_owned(), known.size));
            }
            known.opened.clone()
        };
        let not_open = || VolumeError::NotOpen(self.words.volume_id.clone());
        let opened = opened.ok_or_else(not_open)?;
        let how = fuse_loop::Options {
            read_only: self.words.read_only || !self.words.snapshot.is_empty(),
            io_timeout: options.io_timeout,
            limits: options.limits,
        };
        let name = file_name(&self.words.volume_id);
        let device = FuseLoop::attach(state, &name, opened.image, how).await?;
        let (path, size) = (device.path().to_owned(), device.size());
        tracing::info!(volume = self.words.volume_id, device = %path.display(), size, "attached");
        let mut known = self.known();
        known.device = Some(Arc::new(device));
        known.size = size;
        Ok((path, size))
    }

    /// Ends what a device waits for, so that the step that waits ends too. Not within a step.
    pub(crate) async fn abort(&self) -> Result<(), VolumeError> {
        let device = self.known().device.clone();
        if let Some(device) = device {
            device.detach_by_force().await?;
        }
        Ok(())
    }

    /// Takes the device away and closes the image; the volume is gone then. Within a step.
    pub(crate) async fn detach(&self, force: bool) -> Result<(), VolumeError> {
        let (device, opened) = {
            let known = self.known();
            (known.device.clone(), known.opened.clone())
        };
        if let Some(device) = device {
            if force {
                device.detach_by_force().await?;
            } else {
                device.detach().await?;
            }
            self.known().device = None;
        }
        if let Some(Opened { cluster, image: AttachedImage(image), .. }) = opened {
            // All that was written is durable. A client that cannot say goodbye ends without.
            let volume = &self.words.volume_id;
            match tokio::time::timeout(CLOSE_WITHIN, image.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(volume, %error, "not closed cleanly"),
                Err(_) => tracing::warn!(volume, "not closed in time"),
            }
            cluster.shutdown().await;
        }
        let mut known = self.known();
        known.opened = None;
        known.gone = true;
        tracing::info!(volume = self.words.volume_id, force, "detached");
        Ok(())
    }

    /// Makes the device as large as the image. Within a step.
    pub(crate) async fn grow(&self) -> Result<u64, VolumeError> {
        let Some(device) = self.known().device.clone() else {
            return Err(VolumeError::NotOpen(self.words.volume_id.clone()));
        };
        let size = device.grow().await?;
        self.known().size = size;
        Ok(size)
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.known().device.is_some()
    }

    /// What a list shows; `None` while it is being opened.
    pub(crate) fn shown(&self) -> Option<Volume> {
        let known = self.known();
        let opened = known.opened.as_ref()?;
        let (device, failure) = match &known.device {
            None => (String::new(), String::new()),
            Some(device) => {
                let failure = match device.condition() {
                    Condition::Working => String::new(),
                    Condition::Failing { reason } => reason,
                };
                (device.path().display().to_string(), failure)
            }
        };
        Some(Volume {
            opened: Some(self.words.clone()),
            client_address: opened.address.clone(),
            size: if device.is_empty() { opened.size } else { known.size },
            device,
            failure,
        })
    }
}

/// A volume's name in the state folder: its own where that can be a file's name, else a digest.
pub(crate) fn file_name(volume_id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_digest = volume_id.starts_with(DIGEST);
    let fits = !volume_id.is_empty() && volume_id.len() <= 128 && !volume_id.starts_with('.');
    if fits && !is_digest && volume_id.bytes().all(plain) {
        return volume_id.to_owned();
    }
    let digest = Sha256::digest(volume_id);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{DIGEST}{hex}")
}

const DIGEST: &str = "sha256-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_differ() {
        assert_eq!(file_name("0001-0009-pvc_1.x"), "0001-0009-pvc_1.x");
        let odd = ["", ".", "a/b", "a b", &"x".repeat(129), "é", "sha256-00"];
        let names: Vec<String> = odd.iter().map(|id| file_name(id)).collect();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.len(), DIGEST.len() + 64);
            assert!(!names[..index].contains(name));
            // No volume can be called so that it meets another's digest.
            assert_ne!(file_name(name), *name);
        }
    }
}
