//! The Controller service: checks what is asked, and hands it to the part that does it.

mod create;
mod delete;
mod expand;
mod image;
mod list;
mod publish;
mod snapshot;

use std::sync::Arc;

use seabed_proto::csi::controller_server::Controller;
use seabed_proto::csi::controller_service_capability::{Rpc, Type, rpc};
use seabed_proto::csi::*;
use seabed_rados::Pool;
use tonic::{Request, Response, Status};

pub(crate) use publish::FENCE_EPOCH;

use crate::call::{Calls, call};
use crate::fault::Fault;
use crate::link::Link;
use crate::rules::handle::{Place, VolumeHandle};
use crate::state::Directory;
use crate::state::record::{Volume as Record, volume_key};

/// What a controller's calls work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub link: Arc<Link>,
    /// Of volumes whose class names none; nodes register there.
    pub pool: String,
}

impl Context {
    /// The directory of a pool that may have none of our volumes, or not exist: then there is
    /// nothing to be found.
    async fn directory(&self, pool: &str) -> Result<Option<(Pool, Directory)>, Fault> {
        match self.link.cluster().await?.pool(pool).await {
            Ok(pool) => Ok(Some((pool.clone(), Directory::of(&pool)))),
            Err(seabed_rados::RadosError::NoPool(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A volume that must be there: its record, and its size. An image that exists without one is
    /// adopted: it gets none until it is published.
    async fn volume(&self, handle: &VolumeHandle) -> Result<(Pool, Directory, Record), Fault> {
        let missing = || Fault::not_found(format!("there is no volume {:?}", handle.to_string()));
        let (pool, directory) = self.directory(&handle.pool).await?.ok_or_else(missing)?;
        if let Some(found) = directory.get::<Record>(&volume_key(&handle.place)).await? {
            return Ok((pool, directory, found.value));
        }
        match image::size(&pool, &handle.place).await? {
            None => Err(missing()),
            Some(size) => Ok((pool, directory, Record { size, ..Record::default() })),
        }
    }
}

/// The service.
#[derive(Debug)]
pub(crate) struct ControllerService {
    context: Arc<Context>,
    calls: Calls,
}

impl ControllerService {
    pub(crate) fn new(link: Arc<Link>, pool: String) -> Self {
        let calls = Calls::new(Arc::clone(&link));
        ControllerService { context: Arc::new(Context { link, pool }), calls }
    }

    fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }
}

const CAPABILITIES: &[rpc::Type] = &[
    rpc::Type::CreateDeleteVolume,
    rpc::Type::PublishUnpublishVolume,
    rpc::Type::ListVolumes,
    rpc::Type::GetCapacity,
    rpc::Type::CreateDeleteSnapshot,
    rpc::Type::ListSnapshots,
    rpc::Type::CloneVolume,
    rpc::Type::PublishReadonly,
    rpc::Type::ExpandVolume,
    rpc::Type::ListVolumesPublishedNodes,
    rpc::Type::VolumeCondition,
    rpc::Type::GetVolume,
    rpc::Type::SingleNodeMultiWriter,
];

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        let about = |m: &CreateVolumeRequest| format!("volume name {:?}", m.name);
        call!(self.change("CreateVolume", about, request) => create::create)
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        let about = |m: &DeleteVolumeRequest| volume(&m.volume_id);
        call!(self.change("DeleteVolume", about, request) => delete::delete)
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Result<Response<ControllerPublishVolumeResponse>, Status> {
        let about = |m: &ControllerPublishVolumeRequest| volume(&m.volume_id);
        call!(self.change("ControllerPublishVolume", about, request) => publish::publish)
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<ControllerUnpublishVolumeResponse>, Status> {
        let about = |m: &ControllerUnpublishVolumeRequest| volume(&m.volume_id);
        call!(self.change("ControllerUnpublishVolume", about, request) => publish::unpublish)
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        let about = |m: &ValidateVolumeCapabilitiesRequest| volume(&m.volume_id);
        call!(self.look("ValidateVolumeCapabilities", about, request) => list::validate)
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let about = |_: &ListVolumesRequest| "volumes".to_owned();
        call!(self.look("ListVolumes", about, request) => list::volumes)
    }

    async fn get_capacity(
        &self,
        request: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        let about = |_: &GetCapacityRequest| "capacity".to_owned();
        call!(self.look("GetCapacity", about, request) => list::capacity)
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        let capability = |kind: &rpc::Type| ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: (*kind).into() })),
        };
        let capabilities = CAPABILITIES.iter().map(capability).collect();
        Ok(Response::new(ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let about = |m: &CreateSnapshotRequest| format!("snapshot name {:?}", m.name);
        call!(self.change("CreateSnapshot", about, request) => snapshot::create)
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        let about = |m: &DeleteSnapshotRequest| format!("snapshot {:?}", m.snapshot_id);
        call!(self.change("DeleteSnapshot", about, request) => snapshot::delete)
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let about = |_: &ListSnapshotsRequest| "snapshots".to_owned();
        call!(self.look("ListSnapshots", about, request) => snapshot::list)
    }

    async fn get_snapshot(
        &self,
        _: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        Err(Status::unimplemented("GetSnapshot is not offered; use ListSnapshots with the id"))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Result<Response<ControllerExpandVolumeResponse>, Status> {
        let about = |m: &ControllerExpandVolumeRequest| volume(&m.volume_id);
        call!(self.change("ControllerExpandVolume", about, request) => expand::expand)
    }

    async fn controller_get_volume(
        &self,
        request: Request<ControllerGetVolumeRequest>,
    ) -> Result<Response<ControllerGetVolumeResponse>, Status> {
        let about = |m: &ControllerGetVolumeRequest| volume(&m.volume_id);
        call!(self.look("ControllerGetVolume", about, request) => list::volume)
    }

    async fn controller_modify_volume(
        &self,
        _: Request<ControllerModifyVolumeRequest>,
    ) -> Result<Response<ControllerModifyVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerModifyVolume is not offered"))
    }
}

fn volume(id: &str) -> String {
    format!("volume {id:?}")
}

/// A volume as the orchestrator sees it. It can be used from everywhere: no topology.
fn shown(pool: &str, place: &Place, record: &Record) -> Volume {
    let handle = VolumeHandle { pool: pool.to_owned(), place: place.clone() };
    Volume {
        capacity_bytes: crate::rules::size::shown(record.size),
        volume_id: handle.to_string(),
        content_source: record.source.as_ref().map(create::shown_source),
        ..Volume::default()
    }
}
