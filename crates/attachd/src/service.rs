//! The calls of the interface.
//!
//! Each runs as a task of its own: a caller that goes away does not leave a volume half done.

use std::sync::Arc;

use seabed_attach::StateFolder;
use seabed_cluster::Epoch;
use seabed_proto::attachd::attachd_server::Attachd;
use seabed_proto::attachd::{
    AttachRequest, AttachResponse, DetachRequest, DetachResponse, GrowRequest, GrowResponse,
    ListRequest, ListResponse, OpenRequest, OpenResponse,
};
use tonic::{Request, Response, Status};

use crate::Options;
use crate::error::VolumeError;
use crate::table::Table;
use crate::volume::Slot;

/// Longest name of a volume that a caller may give.
const VOLUME_ID_MAX: usize = 256;

#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub table: Arc<Table>,
    pub state: StateFolder,
    pub options: Options,
}

impl Service {
    /// Runs a call to its end, whatever becomes of the caller.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, VolumeError>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let call = self.table.enter()?;
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(call);
            done
        });
        match task.await {
            Ok(Ok(answer)) => Ok(Response::new(answer)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "{what} refused");
                Err(error.into())
            }
            Err(error) => Err(Status::internal(format!("{what}: {error}"))),
        }
    }

    async fn open_volume(self, words: OpenRequest) -> Result<OpenResponse, VolumeError> {
        check(&words)?;
        loop {
            let slot = self.table.place(&words)?;
            // Detached between the two: it is placed anew.
            let Some(_step) = slot.step().await else { continue };
            return match slot.open(Epoch(words.fence_epoch)).await {
                Ok((client_address, size)) => Ok(OpenResponse { client_address, size }),
                Err(error) => {
                    slot.mark_gone();
                    self.table.forget(&slot);
                    Err(error)
                }
            };
        }
    }

    async fn attach_volume(self, volume_id: String) -> Result<AttachResponse, VolumeError> {
        let slot = self.opened(&volume_id)?;
        let Some(_step) = slot.step().await else { return Err(VolumeError::NotOpen(volume_id)) };
        let (device, size) = slot.attach(&self.state, &self.options).await?;
        Ok(AttachResponse { device: device.display().to_string(), size })
    }

    async fn detach_volume(self, request: DetachRequest) -> Result<DetachResponse, VolumeError> {
        let Some(slot) = self.table.get(&request.volume_id) else { return Ok(DetachResponse {}) };
        if request.force {
            slot.abort().await?;
        }
        if let Some(_step) = slot.step().await {
            slot.detach(request.force).await?;
            self.table.forget(&slot);
        }
        Ok(DetachResponse {})
    }

    async fn grow_volume(self, volume_id: String) -> Result<GrowResponse, VolumeError> {
        let slot = self.opened(&volume_id)?;
        let Some(_step) = slot.step().await else { return Err(VolumeError::NotOpen(volume_id)) };
        Ok(GrowResponse { size: slot.grow().await? })
    }

    fn opened(&self, volume_id: &str) -> Result<Arc<Slot>, VolumeError> {
        self.table.get(volume_id).ok_or_else(|| VolumeError::NotOpen(volume_id.to_owned()))
    }
}

fn check(words: &OpenRequest) -> Result<(), VolumeError> {
    for (what, word) in
        [("volume_id", &words.volume_id), ("pool", &words.pool), ("image", &words.image)]
    {
        if word.is_empty() {
            return Err(VolumeError::Invalid { what, reason: "missing" });
        }
    }
    if words.volume_id.len() > VOLUME_ID_MAX {
        let (what, reason) = ("volume_id", "longer than 256 bytes");
        return Err(VolumeError::Invalid { what, reason });
    }
    Ok(())
}

#[tonic::async_trait]
impl Attachd for Service {
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let mut words = request.into_inner();
        if words.conf.is_empty() {
            words.conf = self.options.conf.display().to_string();
        }
        self.run("open", self.clone().open_volume(words)).await
    }

    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        let volume_id = request.into_inner().volume_id;
        self.run("attach", self.clone().attach_volume(volume_id)).await
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        self.run("detach", self.clone().detach_volume(request.into_inner())).await
    }

    async fn grow(&self, request: Request<GrowRequest>) -> Result<Response<GrowResponse>, Status> {
        let volume_id = request.into_inner().volume_id;
        self.run("grow", self.clone().grow_volume(volume_id)).await
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let _call = self.table.enter()?;
        let volumes = self.table.all().iter().filter_map(|slot| slot.shown()).collect();
        Ok(Response::new(ListResponse { volumes }))
    }
}
