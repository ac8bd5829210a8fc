//! Why a call fails: a gRPC code, and cause and remedy in words.
//!
//! A status carries no details: CSI wants them empty.

use seabed_attachd::ClientError;
use seabed_cluster::Errno;
use seabed_rados::RadosError;
use seabed_rbd::RbdError;
use tonic::{Code, Status};

/// A call's failure.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Fault {
    pub code: Code,
    /// The cluster has fenced this process's client.
    pub fenced: bool,
    message: String,
}

/// One constructor for each code that CSI gives a meaning.
macro_rules! constructors {
    ($($name:ident $code:ident)+) => {
        impl Fault {
            $(pub(crate) fn $name(message: impl Into<String>) -> Self {
                Fault { code: Code::$code, fenced: false, message: message.into() }
            })+
        }
    };
}

constructors! {
    invalid InvalidArgument
    not_found NotFound
    exists AlreadyExists
    precondition FailedPrecondition
    aborted Aborted
    out_of_range OutOfRange
    exhausted ResourceExhausted
    unavailable Unavailable
    late DeadlineExceeded
    internal Internal
}

impl Fault {
    /// The same, said of something.
    pub(crate) fn of(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        Status::new(fault.code, fault.message)
    }
}

impl From<RadosError> for Fault {
    fn from(error: RadosError) -> Self {
        let said = error.to_string();
        match &error {
            RadosError::NoPool(pool) => Fault::precondition(format!(
                "{said}; make it: ceph osd pool create {pool} && rbd pool init {pool}"
            )),
            RadosError::TimedOut(_) => Fault::unavailable(format!(
                "{said}; the cluster does not answer: look at `ceph -s` and the network"
            )),
            RadosError::Conf(_) | RadosError::MonHost { .. } | RadosError::AuthNotBuilt(_) => {
                Fault::precondition(format!("{said}; correct the driver's --conf"))
            }
            RadosError::ShutDown => Fault::unavailable(format!("{said}; call again")),
            _ => from_errno(error.errno(), said),
        }
    }
}

impl From<RbdError> for Fault {
    fn from(error: RbdError) -> Self {
        let said = error.to_string();
        match error {
            RbdError::Rados { what, source } => Fault::from(source).of(what),
            RbdError::NoImage(_) | RbdError::NoSnapshot(_) => Fault::not_found(said),
            RbdError::Exists(_) => Fault::exists(said),
            RbdError::Invalid { .. } => Fault::invalid(said),
            RbdError::Busy { .. } => {
                Fault::precondition(format!("{said}; unpublish it everywhere first"))
            }
            RbdError::Unsupported { .. } => Fault::precondition(format!(
                "{said}; take them away with `rbd feature disable` or use another image"
            )),
            _ => Fault::internal(said),
        }
    }
}

fn from_errno(errno: Option<Errno>, said: String) -> Fault {
    match errno {
        Some(Errno::ENOENT) => Fault::not_found(said),
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            Fault::exhausted(format!("{said}; add OSDs, raise the quota or delete volumes"))
        }
        Some(Errno::EBLOCKLISTED) => Fault {
            fenced: true,
            ..Fault::unavailable(format!(
                "{said}; this client was fenced and is given up: call again"
            ))
        },
        _ => Fault::internal(said),
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        let said = error.to_string();
        match error {
            ClientError::NotFound(_) => Fault::not_found(said),
            ClientError::OtherWords(_) => Fault::exists(said),
            ClientError::Busy(_) => Fault::precondition(said),
            ClientError::Ending(_) | ClientError::NotRunning { .. } => {
                Fault::unavailable(format!("{said}; call again"))
            }
            ClientError::TimedOut(_) => Fault::late(said),
            _ => Fault::internal(said),
        }
    }
}
