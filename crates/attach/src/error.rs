//! What can go wrong, to be matched on.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The kernel refused something.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// The refusal.
        source: io::Error,
    },
    /// This node lacks what is needed.
    #[error("{what}; {remedy}")]
    Missing {
        /// What is not there.
        what: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A name or a number that cannot be used.
    #[error("{what:?}: {reason}")]
    Invalid {
        /// What was given.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Somebody uses it.
    #[error("{what} is in use: {reason}")]
    Busy {
        /// What is used.
        what: String,
        /// By whom.
        reason: &'static str,
    },
    /// The device is there, but is not what was asked for; it was taken away again.
    #[error("{what}: {found}, not {wanted}")]
    NotAsAsked {
        /// The device.
        what: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The image has fewer bytes than its device.
    #[error("the image has shrunk from {device} to {image} bytes; its device is left as it was")]
    Shrunk {
        /// Bytes of the device.
        device: u64,
        /// Bytes of the image.
        image: u64,
    },
    /// The image answers with an error.
    #[error("image: {what}: {source}")]
    Image {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Something took longer than it may.
    #[error("{0} did not end in time")]
    TimedOut(String),
}

/// As [`AttachError::System`], for `map_err`.
pub(crate) fn during<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> AttachError {
    let what = what.into();
    move |error| AttachError::System { what, source: error.into() }
}

/// As [`during`], of a path.
pub(crate) fn at<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> AttachError {
    during(path.display().to_string())
}
