//! What can go wrong, to be matched on.

use seabed_cluster::Errno;
use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RadosError {
    /// The OSD or the monitor refused: Ceph's errno.
    #[error("{what}: {errno}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// There is no such pool.
    #[error("no such pool: {0}")]
    NoPool(String),
    /// The operation took longer than the client's limit.
    #[error("{0}: timed out")]
    TimedOut(&'static str),
    /// The configuration cannot be used.
    #[error("configuration: {0}")]
    Conf(#[from] crate::conf::ConfError),
    /// No monitor is named, or its address is not understood.
    #[error("mon_host {text:?}: {reason}")]
    MonHost {
        /// What the configuration says.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The configuration demands an authentication that is not built yet.
    #[error("auth_client_required is {0:?}: only `none` is built yet")]
    AuthNotBuilt(String),
    /// A socket could not be made.
    #[error("socket")]
    Socket(#[from] std::io::Error),
    /// The answer is not of the form that was asked for.
    #[error("{0}: the answer makes no sense")]
    Malformed(&'static str),
    /// The client was shut down.
    #[error("the client is shut down")]
    ShutDown,
}

impl RadosError {
    /// The errno, if it was a refusal; pools that do not exist count as ENOENT.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            RadosError::Refused { errno, .. } => Some(*errno),
            RadosError::NoPool(_) => Some(Errno::ENOENT),
            RadosError::TimedOut(_) => Some(Errno::ETIMEDOUT),
            _ => None,
        }
    }

    /// True for "no such object".
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }
}
