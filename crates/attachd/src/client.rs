//! How it is called.

use std::path::{Path, PathBuf};
use std::time::Duration;

use seabed_proto::attachd::attachd_client::AttachdClient;
use seabed_proto::attachd::{
    AttachRequest, AttachResponse, DetachRequest, GrowRequest, ListRequest, OpenRequest,
    OpenResponse, Volume,
};
use thiserror::Error;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// A process that lives takes a connection at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const LIST_WITHIN: Duration = Duration::from_secs(10);
/// Above what the server gives itself: its words are better than a time-out.
const STEP_WITHIN: Duration = Duration::from_secs(300);

/// What a caller can be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("no attachd at {socket}: {reason}")]
    NotRunning {
        /// Where.
        socket: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It was started, and does not serve.
    #[error("attachd does not start: {0}")]
    NotStarted(String),
    /// It is about to end, or has ended: nothing was done; [`crate::ensure_running`], call again.
    #[error("attachd: {0}")]
    Ending(String),
    /// The image, its pool or snapshot is not there; or the volume is not open.
    #[error("attachd: {0}")]
    NotFound(String),
    /// The volume is open in other words.
    #[error("attachd: {0}")]
    OtherWords(String),
    /// Mounted or held; nothing was changed.
    #[error("attachd: {0}")]
    Busy(String),
    /// The request makes no sense.
    #[error("attachd: {0}")]
    Invalid(String),
    /// It took longer than it may. It may still come to its end: call again.
    #[error("attachd: {0}")]
    TimedOut(String),
    /// Anything else.
    #[error("attachd: {message} ({code:?})")]
    Failed {
        /// The code of the answer.
        code: Code,
        /// Its words.
        message: String,
    },
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unavailable => ClientError::Ending(message),
            Code::NotFound => ClientError::NotFound(message),
            Code::AlreadyExists => ClientError::OtherWords(message),
            Code::FailedPrecondition => ClientError::Busy(message),
            Code::InvalidArgument => ClientError::Invalid(message),
            Code::DeadlineExceeded => ClientError::TimedOut(message),
            code => ClientError::Failed { code, message },
        }
    }
}

/// A connection to the process of a state folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: AttachdClient<Channel>,
}

impl Client {
    /// Calls the process of a state folder.
    ///
    /// Errors: [`ClientError::NotRunning`].
    pub async fn connect(state_dir: &Path) -> Result<Self, ClientError> {
        Self::connect_to(&crate::socket_path(state_dir)).await
    }

    /// As [`Client::connect`], by its socket.
    pub async fn connect_to(socket: &Path) -> Result<Self, ClientError> {
        let not_running = |reason: String| {
            let socket = socket.to_owned();
            ClientError::NotRunning { socket, reason }
        };
        let Some(path) = socket.to_str() else {
            return Err(ClientError::Invalid(format!("{}: not UTF-8", socket.display())));
        };
        let endpoint = Endpoint::from_shared(format!("unix://{path}"))
            .map_err(|error| ClientError::Invalid(format!("{path}: {error}")))?;
        match tokio::time::timeout(CONNECT_WITHIN, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Client { inner: AttachdClient::new(channel) }),
            Ok(Err(error)) => Err(not_running(chain(&error))),
            Err(_) => Err(not_running("no answer".into())),
        }
    }

    /// Opens an image with a client of its own; answers that client's address, to be written down
    /// before [`Client::attach`].
    pub async fn open(&self, words: OpenRequest) -> Result<OpenResponse, ClientError> {
        within("open", STEP_WITHIN, self.inner.clone().open(words)).await
    }

    /// Makes the block device of an opened volume.
    pub async fn attach(&self, volume_id: &str) -> Result<AttachResponse, ClientError> {
        let request = AttachRequest { volume_id: volume_id.into() };
        within("attach", STEP_WITHIN, self.inner.clone().attach(request)).await
    }

    /// Takes a volume away; by force, whoever uses it and whatever becomes of its I/O.
    pub async fn detach(&self, volume_id: &str, force: bool) -> Result<(), ClientError> {
        let request = DetachRequest { volume_id: volume_id.into(), force };
        within("detach", STEP_WITHIN, self.inner.clone().detach(request)).await.map(drop)
    }

    /// Makes a volume's device as large as its image is now; answers its bytes.
    pub async fn grow(&self, volume_id: &str) -> Result<u64, ClientError> {
        let request = GrowRequest { volume_id: volume_id.into() };
        Ok(within("grow", STEP_WITHIN, self.inner.clone().grow(request)).await?.size)
    }

    /// All volumes that are open or attached.
    pub async fn list(&self) -> Result<Vec<Volume>, ClientError> {
        let request = ListRequest {};
        Ok(within("list", LIST_WITHIN, self.inner.clone().list(request)).await?.volumes)
    }
}

async fn within<T>(
    what: &str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(ClientError::TimedOut(format!("{what} has no answer in {limit:?}"))),
    }
}

/// An error with its causes: tonic's own words say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
