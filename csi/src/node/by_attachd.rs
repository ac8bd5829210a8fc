//! Volumes attached by the node's `seabed csi attachd`, a process of its own: the driver may end
//! or be replaced, and their I/O goes on.

use std::path::{Path, PathBuf};

use seabed_attachd::{Client, ClientError, Launcher};
use seabed_proto::attachd::OpenRequest;

use super::attacher::{Attached, Attacher, Opening};
use crate::fault::Fault;

/// It may be about to end, holding nothing, when it is called: so often it is started anew.
const ATTEMPTS: u32 = 5;

/// The node's `attachd`, started where it is absent.
#[derive(Debug)]
pub(crate) struct ByAttachd {
    launcher: Launcher,
}

impl ByAttachd {
    pub(crate) fn new(state: &Path, conf: &Path) -> Result<Self, Fault> {
        Ok(ByAttachd { launcher: Launcher::of_this_program(state, conf)? })
    }

    /// Calls it if it runs: otherwise it holds nothing.
    async fn if_running(&self) -> Result<Option<Client>, Fault> {
        match Client::connect(&self.launcher.state_dir).await {
            Ok(client) => Ok(Some(client)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[tonic::async_trait]
impl Attacher for ByAttachd {
    async fn open(&self, volume: &str, opening: &Opening) -> Result<String, Fault> {
        let words = OpenRequest {
            volume_id: volume.to_owned(),
            conf: String::new(),
            pool: opening.pool.clone(),
            namespace: opening.namespace.clone(),
            image: opening.image.clone(),
            snapshot: String::new(),
            read_only: opening.read_only,
            fence_epoch: opening.fence_epoch,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let client = self.launcher.ensure_running().await?;
            match client.open(words.clone()).await {
                Err(ClientError::Ending(_)) if attempt < ATTEMPTS => {}
                opened => return Ok(opened?.client_address),
            }
        }
    }

    async fn attach(&self, volume: &str) -> Result<PathBuf, Fault> {
        let client = self.launcher.ensure_running().await?;
        Ok(client.attach(volume).await?.device.into())
    }

    async fn grow(&self, volume: &str) -> Result<u64, Fault> {
        Ok(self.launcher.ensure_running().await?.grow(volume).await?)
    }

    async fn detach(&self, volume: &str, force: bool) -> Result<(), Fault> {
        match self.if_running().await? {
            None => Ok(()),
            Some(client) => match client.detach(volume, force).await {
                // It ends only when it holds nothing.
                Err(ClientError::Ending(_)) => Ok(()),
                result => Ok(result?),
            },
        }
    }

    async fn find(&self, volume: &str) -> Result<Option<Attached>, Fault> {
        let Some(client) = self.if_running().await? else { return Ok(None) };
        let all = client.list().await?;
        let found = all
            .into_iter()
            .find(|found| found.opened.as_ref().is_some_and(|opened| opened.volume_id == volume));
        Ok(found.map(|found| Attached {
            device: (!found.device.is_empty()).then(|| found.device.into()),
            failure: found.failure,
        }))
    }
}
