//! The Node service: volumes attached, mounted, measured and grown on this node.
//!
//! What is attached and mounted the node itself is asked, every time. The state folder only keeps
//! what the kernel does not know: for what a volume was staged.

mod attacher;
mod by_attachd;
mod device;
mod filesystem;
mod mounts;
mod program;
mod publish;
mod register;
mod stage;
mod staged;
mod stats;

use std::path::PathBuf;
use std::sync::Arc;

use seabed_proto::csi::node_server::Node;
use seabed_proto::csi::node_service_capability::{Rpc, Type, rpc};
use seabed_proto::csi::*;
use tonic::{Request, Response, Status};

pub(crate) use attacher::Attacher;
pub(crate) use by_attachd::ByAttachd;

use crate::call::{Calls, call};
use crate::fault::Fault;
use crate::link::Link;

/// The key of the topology segment that every node has: itself.
const TOPOLOGY: &str = "topology.csi.seabed.io/node";

/// What a node's calls work with.
pub(crate) struct Context {
    pub link: Arc<Link>,
    /// Where nodes register.
    pub pool: String,
    pub node_id: String,
    pub state: PathBuf,
    pub attacher: Box<dyn Attacher>,
}

/// The service.
pub(crate) struct NodeService {
    context: Arc<Context>,
    calls: Calls,
}

impl NodeService {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let calls = Calls::new(Arc::clone(&context.link));
        NodeService { context, calls }
    }

    fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }
}

/// Runs what waits for the kernel, which may wait for a device, where waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::internal(format!("a task of the driver: {error}"))),
    }
}

/// Registers the node until it has worked: a controller publishes to registered nodes only.
pub(crate) async fn register_at_start(context: Arc<Context>) {
    register::until_done(&context).await;
}

const CAPABILITIES: &[rpc::Type] = &[
    rpc::Type::StageUnstageVolume,
    rpc::Type::GetVolumeStats,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::SingleNodeMultiWriter,
];

fn volume(id: &str) -> String {
    format!("volume {id:?}")
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let about = |m: &NodeStageVolumeRequest| volume(&m.volume_id);
        call!(self.change("NodeStageVolume", about, request) => stage::stage)
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        let about = |m: &NodeUnstageVolumeRequest| volume(&m.volume_id);
        call!(self.change("NodeUnstageVolume", about, request) => stage::unstage)
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let about = |m: &NodePublishVolumeRequest| volume(&m.volume_id);
        call!(self.change("NodePublishVolume", about, request) => publish::publish)
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let about = |m: &NodeUnpublishVolumeRequest| volume(&m.volume_id);
        call!(self.change("NodeUnpublishVolume", about, request) => publish::unpublish)
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let about = |m: &NodeGetVolumeStatsRequest| volume(&m.volume_id);
        call!(self.look("NodeGetVolumeStats", about, request) => stats::stats)
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let about = |m: &NodeExpandVolumeRequest| volume(&m.volume_id);
        call!(self.change("NodeExpandVolume", about, request) => stats::expand)
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let capability = |kind: &rpc::Type| NodeServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: (*kind).into() })),
        };
        let capabilities = CAPABILITIES.iter().map(capability).collect();
        Ok(Response::new(NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(
        &self,
        request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let about = |_: &NodeGetInfoRequest| "node".to_owned();
        call!(self.look("NodeGetInfo", about, request) => info)
    }
}

async fn info(context: &Context, _: NodeGetInfoRequest) -> Result<NodeGetInfoResponse, Fault> {
    register::register(context).await?;
    let segments = [(TOPOLOGY.to_owned(), context.node_id.clone())].into();
    Ok(NodeGetInfoResponse {
        node_id: context.node_id.clone(),
        max_volumes_per_node: 0,
        accessible_topology: Some(Topology { segments }),
    })
}
