//! What can go wrong on the server's side, and how a caller hears of it.

use std::path::PathBuf;

use seabed_attach::AttachError;
use seabed_rados::RadosError;
use seabed_rbd::RbdError;
use thiserror::Error;
use tonic::Status;

/// Why the process cannot do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another one runs on this state folder, and answers.
    #[error("another attachd runs on {0}")]
    Running(PathBuf),
    /// Another one holds the state folder's lock, and does not answer.
    #[error("another process holds {0} and does not answer; look at it, and end it if it is stuck")]
    Stuck(PathBuf),
    /// A file or socket of the state folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The node refuses something.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The server of the socket failed.
    #[error("serving: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// As [`ServeError::File`], for `map_err`.
pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ServeError {
    let path = path.into();
    move |source| ServeError::File { path, source }
}

/// Why a call is refused.
#[derive(Debug, Error)]
pub(crate) enum VolumeError {
    #[error("volume {0:?} is not open here")]
    NotOpen(String),
    #[error("volume {0:?} is open here, and was asked for in other words; detach it first")]
    OtherWords(String),
    #[error("{what}: {reason}")]
    Invalid { what: &'static str, reason: &'static str },
    #[error("this attachd is about to end; call again, it is started anew")]
    Ending,
    #[error("{0} did not end in time; is the cluster reachable?")]
    TimedOut(&'static str),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Rbd(#[from] RbdError),
    #[error("cluster: {0}")]
    Rados(#[from] RadosError),
    #[error("{conf}: {source}")]
    Conf { conf: String, source: seabed_rados::conf::ConfError },
}

impl From<VolumeError> for Status {
    fn from(error: VolumeError) -> Self {
        let text = error.to_string();
        match error {
            VolumeError::NotOpen(_) => Status::not_found(text),
            VolumeError::OtherWords(_) => Status::already_exists(text),
            VolumeError::Invalid { .. } | VolumeError::Conf { .. } => {
                Status::invalid_argument(text)
            }
            VolumeError::Ending => Status::unavailable(text),
            VolumeError::TimedOut(_) => Status::deadline_exceeded(text),
            VolumeError::Attach(error) => match error {
                AttachError::Busy { .. } | AttachError::Missing { .. } => {
                    Status::failed_precondition(text)
                }
                AttachError::Invalid { .. } => Status::invalid_argument(text),
                AttachError::Shrunk { .. } => Status::out_of_range(text),
                AttachError::TimedOut(_) => Status::deadline_exceeded(text),
                _ => Status::internal(text),
            },
            VolumeError::Rbd(error) => match error {
                RbdError::NoImage(_) | RbdError::NoSnapshot(_) => Status::not_found(text),
                RbdError::Busy { .. } | RbdError::Unsupported { .. } => {
                    Status::failed_precondition(text)
                }
                RbdError::Invalid { .. } => Status::invalid_argument(text),
                RbdError::Rados { source, .. } => of_cluster(&source, text),
                _ => Status::internal(text),
            },
            VolumeError::Rados(source) => of_cluster(&source, text),
        }
    }
}

fn of_cluster(error: &RadosError, text: String) -> Status {
    match error {
        RadosError::NoPool(_) => Status::not_found(text),
        RadosError::TimedOut(_) => Status::deadline_exceeded(text),
        RadosError::Conf(_) | RadosError::MonHost { .. } | RadosError::AuthNotBuilt(_) => {
            Status::invalid_argument(text)
        }
        _ => Status::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_caller_can_tell_what_happened() {
        let busy = AttachError::Busy { what: "/dev/loop7".into(), reason: "mounted" };
        for (error, code) in [
            (VolumeError::NotOpen("v".into()), Code::NotFound),
            (VolumeError::OtherWords("v".into()), Code::AlreadyExists),
            (VolumeError::Ending, Code::Unavailable),
            (VolumeError::Attach(busy), Code::FailedPrecondition),
            (VolumeError::Rbd(RbdError::NoImage("i".into())), Code::NotFound),
            (VolumeError::Rados(RadosError::NoPool("p".into())), Code::NotFound),
            (VolumeError::Rados(RadosError::TimedOut("read")), Code::DeadlineExceeded),
            (VolumeError::Rados(RadosError::ShutDown), Code::Internal),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status}");
            assert!(status.details().is_empty() && !status.message().is_empty());
        }
    }
}
