//! `pg_log_t` as it crosses the wire: a run of entries, and the dups before it.

use seabed_denc::versioned;

use super::{PgLogDup, PgLogEntry};
use crate::EVersion;

versioned! {
    /// `pg_log_t` v7: the entries in `(tail, head]`.
    pub struct PgLog(7, 3) {
        /// Version of the newest entry.
        head: EVersion,
        /// Version before the oldest entry.
        tail: EVersion,
        /// Oldest first.
        log: Vec<PgLogEntry>,
        /// Up to where entries can be undone; `head` for replicated pools.
        can_rollback_to: EVersion,
        rollback_info_trimmed_to: EVersion,
        dups: Vec<PgLogDup> [since 7],
    }
}
