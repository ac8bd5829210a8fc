//! What OSDs tell each other and the monitor about placement groups.
//!
//! The types are Ceph's, field by field (sheets 10 and 11); the tails of newer releases' forms are
//! kept. Layouts stand in front of each type as the list of its fields in wire order.

mod dump;
mod history;
mod info;
mod intervals;
mod lease;
mod log;
mod log_entry;
mod missing;
mod query;
mod recovery;
mod stat;

pub use history::PgHistory;
pub use info::{HitSetHistory, HitSetInfo, PgInfo};
pub use intervals::{PastIntervals, PgInterval, PgShard};
pub use lease::{PgLease, PgLeaseAck};
pub use log::PgLog;
pub use log_entry::{CleanRegions, LogOp, ObjectModDesc, PgLogDup, PgLogEntry};
pub use missing::{MissingItem, PgMissing};
pub use query::{PgNotify, PgQuery, QueryKind};
pub use recovery::{PullOp, PushOp, PushReplyOp, RecoveryInfo, RecoveryProgress};
pub use stat::{ObjectStatCollection, ObjectStatSum, PgStat, pg_state};
