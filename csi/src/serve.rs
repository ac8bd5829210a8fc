//! The driver's process: its socket, its services, its end.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seabed_attach::{Wanted, Way, choose, node as attach_node};
use seabed_proto::csi::controller_server::ControllerServer;
use seabed_proto::csi::identity_server::IdentityServer;
use seabed_proto::csi::node_server::NodeServer;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::controller::ControllerService;
use crate::identity::IdentityService;
use crate::link::Link;
use crate::node::{self, ByAttachd, NodeService};

/// Which services a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Services {
    /// Identity and Controller.
    Controller,
    /// Identity and Node.
    Node,
    /// All of them.
    All,
}

/// What a driver is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which services.
    pub services: Services,
    /// `unix:///PATH` or `unix:PATH`: where it is called.
    pub endpoint: String,
    /// The `ceph.conf` that names the cluster.
    pub conf: PathBuf,
    /// What this node is called; for the node service.
    pub node_id: Option<String>,
    /// How volumes are attached; for the node service.
    pub attach: Wanted,
    /// What must outlive the process; for the node service.
    pub state_dir: PathBuf,
    /// The pool of volumes whose class names none. Nodes register there, so it is the same for all
    /// processes of a driver.
    pub pool: String,
}

/// What keeps a driver from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// The socket.
    #[error("{path}: {source}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The node cannot be used.
    #[error("{0}")]
    Node(String),
    /// The server broke down.
    #[error("gRPC: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(options: Options) -> Result<(), ServeError> {
    let socket = socket(&options.endpoint)?;
    let link = Arc::new(Link::new(options.conf.clone()));
    let controller = matches!(options.services, Services::Controller | Services::All)
        .then(|| ControllerService::new(Arc::clone(&link), options.pool.clone()));
    let node = match options.services {
        Services::Controller => None,
        Services::Node | Services::All => Some(node(&options, &link).await?),
    };
    let identity = IdentityService { controller: controller.is_some() };
    let listener = listen(&socket)?;
    tracing::info!(endpoint = options.endpoint, services = ?options.services, "serving");
    Server::builder()
        .add_service(IdentityServer::new(identity))
        .add_optional_service(controller.map(ControllerServer::new))
        .add_optional_service(node.map(NodeServer::new))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), end())
        .await?;
    // Another process may have taken the place meanwhile; then the file is its.
    match fs::remove_file(&socket) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(ServeError::Socket { path: socket, source })
        }
        _ => Ok(()),
    }
}

async fn node(options: &Options, link: &Arc<Link>) -> Result<NodeService, ServeError> {
    let node_id = match options.node_id.as_deref() {
        Some(id) => crate::rules::name("--node-id", id),
        None => return Err(ServeError::Options("the node service needs --node-id".into())),
    };
    let node_id = node_id.map_err(|fault| ServeError::Options(fault.to_string()))?.to_owned();
    let survey = attach_node::survey().map_err(|error| ServeError::Node(error.to_string()))?;
    let choice = choose(&survey, None, options.attach);
    if choice.way != Some(Way::FuseLoop) {
        return Err(ServeError::Node(format!("no way to attach a volume here:\n{choice}")));
    }
    let attacher = ByAttachd::new(&options.state_dir, &options.conf)
        .map_err(|fault| ServeError::Node(fault.to_string()))?;
    let context = Arc::new(node::Context {
        link: Arc::clone(link),
        pool: options.pool.clone(),
        node_id,
        state: options.state_dir.clone(),
        attacher: Box::new(attacher),
    });
    tokio::spawn(node::register_at_start(Arc::clone(&context)));
    Ok(NodeService::new(context))
}

fn socket(endpoint: &str) -> Result<PathBuf, ServeError> {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:"));
    match path.filter(|path| !path.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(ServeError::Options(format!(
            "endpoint {endpoint:?}: unix:///PATH is wanted; CSI is spoken on a node, not over a \
             network"
        ))),
    }
}

/// Listens; a socket that a dead process left is taken away.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    let failed = |source| ServeError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(failed(std::io::Error::from(ErrorKind::AddrInUse)));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}

async fn end() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::error!(%error, "SIGTERM cannot be heard");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("ending");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(socket("unix:///run/csi.sock").unwrap(), Path::new("/run/csi.sock"));
        assert_eq!(socket("unix:/run/csi.sock").unwrap(), Path::new("/run/csi.sock"));
        for bad in ["", "unix://", "tcp://127.0.0.1:1", "/run/csi.sock"] {
            assert!(socket(bad).is_err(), "{bad}");
        }
    }
}
