//! What can go wrong, to be matched on.

use seabed_cluster::Errno;
use seabed_rados::RadosError;
use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RbdError {
    /// The cluster refused or could not be asked.
    #[error("{what}: {source}")]
    Rados {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: RadosError,
    },
    /// There is no such image.
    #[error("no such image: {0}")]
    NoImage(String),
    /// The name is taken.
    #[error("{0} exists")]
    Exists(String),
    /// There is no such group.
    #[error("no such group: {0}")]
    NoGroup(String),
    /// The image has no such snapshot.
    #[error("no such snapshot: {0}")]
    NoSnapshot(String),
    /// A name or a number that cannot be used.
    #[error("{what}: {reason}")]
    Invalid {
        /// What was given.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The image has features that this crate does not keep; nothing was written.
    #[error("{image} has features that are not built here: {}", features.join(", "))]
    Unsupported {
        /// The image.
        image: String,
        /// Their names.
        features: Vec<String>,
    },
    /// The image was opened for reading, or at a snapshot.
    #[error("{0} is open for reading only")]
    ReadOnly(String),
    /// Somebody uses it.
    #[error("{what} is in use: {reason}")]
    Busy {
        /// What is used.
        what: String,
        /// By whom or what for.
        reason: String,
    },
    /// Beyond the end of the image.
    #[error("{offset}~{length} is not within the image's {size} bytes")]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// How many.
        length: u64,
        /// The image's size.
        size: u64,
    },
    /// What was compared is not what is there; from this byte on.
    #[error("differs at {offset}")]
    Mismatch {
        /// The first byte that differs.
        offset: u64,
    },
    /// The server's answer is not of the form that was asked for.
    #[error("{0}: the answer makes no sense")]
    Malformed(&'static str),
}

impl RbdError {
    /// Ceph's error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        Some(match self {
            RbdError::Rados { source, .. } => return source.errno(),
            RbdError::NoImage(_) | RbdError::NoGroup(_) | RbdError::NoSnapshot(_) => Errno::ENOENT,
            RbdError::Exists(_) => Errno::EEXIST,
            RbdError::Invalid { .. } | RbdError::OutOfRange { .. } => Errno::EINVAL,
            RbdError::Unsupported { .. } => Errno::ENOSYS,
            RbdError::ReadOnly(_) => Errno::EROFS,
            RbdError::Busy { .. } => Errno::EBUSY,
            RbdError::Mismatch { .. } => Errno::EILSEQ,
            RbdError::Malformed(_) => return None,
        })
    }

    /// True if something that was named does not exist.
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }
}

/// `map_err` for what was being done.
pub(crate) fn during(what: &'static str) -> impl Fn(RadosError) -> RbdError {
    move |source| RbdError::Rados { what, source }
}

/// `None` for what is not there.
pub(crate) fn optional<T>(result: Result<T, RbdError>) -> Result<Option<T>, RbdError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets one errno pass: what was to be done has been done before.
pub(crate) fn unless(result: Result<(), RbdError>, errno: Errno) -> Result<(), RbdError> {
    match result {
        Err(error) if error.errno() == Some(errno) => Ok(()),
        other => other,
    }
}
