//! The process: takes its state folder, heals it, serves, and ends when it holds nothing.
//!
//! The lock is held from before the socket is made until after it is gone, so a successor never
//! loses its socket to a predecessor, and heals only what nobody serves.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seabed_attach::fuse_loop::{self, Limits};
use seabed_attach::{AttachError, IO_TIMEOUT, StateFolder, process};
use seabed_proto::attachd::attachd_server::AttachdServer;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server as GrpcServer;

use crate::error::file;
use crate::lock::FolderLock;
use crate::service::Service;
use crate::table::Table;
use crate::{Client, ServeError};

/// Without a volume or a call for so long, it ends.
pub const GRACE: Duration = Duration::from_secs(15);
/// How long a predecessor that is ending is waited for.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// How long callers that do not hang up are waited for, when it ends.
const GOODBYE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// How it serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its socket and lock are, and what its devices carry the mark of.
    pub state_dir: PathBuf,
    /// The cluster of callers that name none.
    pub conf: PathBuf,
    /// The socket, if it is not to be in the state folder.
    pub socket: Option<PathBuf>,
    /// After this time an I/O is an error.
    pub io_timeout: Duration,
    /// Memory for the I/O of each device.
    pub limits: Limits,
    /// Without a volume or a call for so long, it ends.
    pub grace: Duration,
}

impl Options {
    /// The usual ones.
    pub fn new(state_dir: impl Into<PathBuf>, conf: impl Into<PathBuf>) -> Self {
        Options {
            state_dir: state_dir.into(),
            conf: conf.into(),
            socket: None,
            io_timeout: IO_TIMEOUT,
            limits: Limits::default(),
            grace: GRACE,
        }
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| crate::socket_path(&self.state_dir))
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Server {
    options: Options,
    state: StateFolder,
    lock: FolderLock,
}

impl Server {
    /// Makes this process one that may own devices. To be called by its first thread, before it
    /// starts a runtime: what is set here is inherited by the threads that follow.
    ///
    /// What is returned could not be had. It serves without: it may deadlock then when the node is
    /// short of memory, which is to be said to people.
    pub fn prepare_process() -> Vec<AttachError> {
        let all = [process::become_io_flusher(), process::lock_memory()];
        all.into_iter().filter_map(Result::err).collect()
    }

    /// Takes the state folder, and heals what a predecessor left in it.
    ///
    /// Errors: [`ServeError::Running`] if one lives there.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        let state = StateFolder::open(&options.state_dir)?;
        let lock = Self::take(&options).await?;
        let healing = state.clone();
        let healed = tokio::task::spawn_blocking(move || fuse_loop::heal_dead(&healing)).await;
        for healed in
            healed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?
        {
            tracing::warn!(?healed, "a device of a dead attachd");
        }
        Ok(Server { options, state, lock })
    }

    async fn take(options: &Options) -> Result<FolderLock, ServeError> {
        let deadline = Instant::now() + PREDECESSOR;
        loop {
            if let Some(lock) = FolderLock::take(&options.state_dir)? {
                return Ok(lock);
            }
            // One that lives answers; one that ends lets go.
            if let Ok(client) = Client::connect_to(&options.socket()).await
                && client.list().await.is_ok()
            {
                return Err(ServeError::Running(options.state_dir.clone()));
            }
            if Instant::now() > deadline {
                return Err(ServeError::Stuck(options.state_dir.join("attachd.lock")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Serves until nothing is held and nobody calls. Told to end (SIGTERM, SIGINT), it closes
    /// what has no device, and ends with the last device: never before, whoever may use it.
    pub async fn run(self) -> Result<(), ServeError> {
        let Server { options, state, lock } = self;
        let socket = options.socket();
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file(socket)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&socket).map_err(file(&socket))?;
        std::fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(file(&socket))?;
        let table = Arc::new(Table::new());
        let grace = options.grace;
        tracing::info!(socket = %socket.display(), "serving");
        let service = Service { table: Arc::clone(&table), state, options };
        let stop = tokio::spawn(leave_when_told(service.clone())).abort_handle();
        let (said, hear) = tokio::sync::oneshot::channel();
        let serving = GrpcServer::builder()
            .add_service(AttachdServer::new(service))
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async {
                table.over(grace).await;
                // Nobody hears it only if serving has failed.
                let _ = said.send(());
            });
        let late = async {
            match hear.await {
                Ok(()) => tokio::time::sleep(GOODBYE).await,
                Err(_) => std::future::pending().await,
            }
        };
        let served = tokio::select! {
            served = serving => served,
            () = late => Ok(()),
        };
        stop.abort();
        std::fs::remove_file(&socket).map_err(file(&socket))?;
        drop(lock);
        tracing::info!("nothing is held: the end");
        Ok(served?)
    }
}

async fn leave_when_told(service: Service) -> Result<(), ServeError> {
    let listen = |kind: SignalKind| signal(kind).map_err(file("signal"));
    let mut terminate: Signal = listen(SignalKind::terminate())?;
    let mut interrupt: Signal = listen(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service.table.leave();
        for slot in service.table.all() {
            // A step under way may be attaching it.
            if let Some(_step) = slot.step().await
                && !slot.is_attached()
                && slot.detach(false).await.is_ok()
            {
                service.table.forget(&slot);
            }
        }
        let left = service.table.all();
        let volumes: Vec<&str> = left.iter().map(|slot| slot.words().volume_id.as_str()).collect();
        if !volumes.is_empty() {
            tracing::warn!(?volumes, "told to end: these are attached; it ends with the last");
        }
    }
}
