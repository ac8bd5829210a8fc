//! The one gate that every request passes before it acts.
//!
//! With authentication method `none` everybody may do everything that a well-formed request can
//! ask for, except speak for somebody else: an OSD's messages must come from an OSD's session.

use seabed_cluster::{Errno, OsdId};

use crate::session::Session;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// A command by its prefix; `writes` if the table says it may change something.
    Command {
        /// The words.
        prefix: &'a str,
        /// It may change something.
        writes: bool,
    },
    /// A pool operation of librados.
    PoolOp(u32),
    /// Maps, options, statistics.
    Read,
    /// A message that an OSD sends of itself or of PGs it leads.
    OsdReport,
    /// Lines for the cluster log.
    ClusterLog,
}

/// Yes, or the error that the sender gets.
pub fn authorize(session: &Session, request: Request<'_>) -> Result<(), Errno> {
    match request {
        Request::OsdReport if osd_of(session).is_none() => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

/// The OSD at the other end.
pub fn osd_of(session: &Session) -> Option<OsdId> {
    if !session.is_osd() {
        return None;
    }
    i32::try_from(session.peer.name.num).ok().filter(|n| *n >= 0).map(OsdId)
}
