//! The one error of authentication.

use seabed_denc::DecodeError;
use thiserror::Error;

/// Why two parties do not come together. Names no secrets: it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// A payload that is not what the method prescribes.
    #[error("auth payload: {0}")]
    Decode(#[from] DecodeError),
    /// A payload of the form for another kind of daemon.
    #[error("auth payload of form {0}, made for another kind of daemon")]
    WrongForm(u8),
    /// The server refused method and modes of ours.
    #[error(
        "server refuses method {method} ({result}), allows methods {methods:?} modes {modes:?}"
    )]
    BadMethod {
        /// The method it refused.
        method: u32,
        /// A negative errno.
        result: i32,
        /// What it allows.
        methods: Vec<u32>,
        /// What it allows.
        modes: Vec<u32>,
    },
    /// A step that the method does not have.
    #[error("method {method} has no such step")]
    UnexpectedStep {
        /// Which method is under way.
        method: u32,
    },
    /// The server chose a mode that was not offered.
    #[error("server chose mode {0}, which was not offered")]
    ModeNotOffered(u32),
    /// The server gave no id.
    #[error("server gave no global id")]
    NoGlobalId,
    /// The client offered nothing that is allowed, more than once.
    #[error("client insists on a method or mode that is not allowed")]
    NothingAllowed,
}
