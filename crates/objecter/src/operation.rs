//! An operation as the caller asks for it, and its answer.

use seabed_cluster::{ObjectLocator, PgId, SnapId, UTime};
use seabed_denc::Bytes;
use seabed_messages::{OsdOp, op::request_flag};

/// What an operation aims at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpTarget {
    /// An object.
    Object {
        /// Pool, namespace and key.
        locator: ObjectLocator,
        /// Its name.
        name: Bytes,
    },
    /// A PG as such (listings).
    Pg {
        /// Which.
        pg: PgId,
        /// The namespace asked for.
        namespace: Bytes,
    },
}

impl OpTarget {
    /// The pool.
    pub fn pool(&self) -> seabed_cluster::PoolId {
        match self {
            OpTarget::Object { locator, .. } => locator.pool,
            OpTarget::Pg { pg, .. } => pg.pool,
        }
    }
}

/// An operation: all of `ops` or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpRequest {
    /// What it aims at.
    pub target: OpTarget,
    /// What to do.
    pub ops: Vec<OsdOp>,
    /// Further bits of [`request_flag`]; READ, WRITE, ONDISK and PGOP are set by the objecter.
    pub flags: u32,
    /// What to read; [`SnapId::HEAD`] for the object itself.
    pub snap: SnapId,
    /// Snap context of a write: its newest snapshot, and all, newest first.
    pub snap_context: (SnapId, Vec<SnapId>),
    /// The caller's wall time, stored as the object's mtime.
    pub mtime: UTime,
}

impl OpRequest {
    /// An operation without ops, on the head, without snapshots.
    pub(crate) fn on(target: OpTarget) -> Self {
        OpRequest {
            target,
            ops: Vec::new(),
            flags: 0,
            snap: SnapId::HEAD,
            snap_context: (SnapId(0), Vec::new()),
            mtime: UTime::ZERO,
        }
    }

    /// An operation on an object's head, without snapshots.
    pub fn on_object(locator: ObjectLocator, name: Bytes, ops: Vec<OsdOp>, mtime: UTime) -> Self {
        OpRequest { ops, mtime, ..OpRequest::on(OpTarget::Object { locator, name }) }
    }

    /// True if any op changes the object.
    pub fn is_write(&self) -> bool {
        self.ops.iter().any(|op| op.op.is_write())
    }

    /// The flags as they go on the wire for attempt number `attempt` (0 the first).
    pub(crate) fn wire_flags(&self, attempt: i32) -> u32 {
        let direction = if self.is_write() { request_flag::WRITE } else { request_flag::READ };
        let group = match self.target {
            OpTarget::Pg { .. } => request_flag::PGOP,
            OpTarget::Object { .. } => 0,
        };
        let again = if attempt > 0 { request_flag::RETRY } else { 0 };
        self.flags
            | direction
            | group
            | again
            | request_flag::ONDISK
            | request_flag::KNOWN_IF_REDIRECTED
            | request_flag::SUPPORTSPOOLEIO
    }

    /// Bytes of input, for limits on what is in flight.
    pub fn input_bytes(&self) -> usize {
        self.ops.iter().map(|op| op.indata.len()).sum()
    }
}

/// The answer of an OSD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpReply {
    /// 0 or more, or a negative errno.
    pub result: i32,
    /// Per op: its own result, and its output.
    pub ops: Vec<(i32, Bytes)>,
    /// The object's version after it.
    pub user_version: u64,
}
