//! `pg_query_t` and `pg_notify_t`: the question a primary asks, and the first answer.

use seabed_denc::{versioned, wire_enum};

use super::{PastIntervals, PgHistory, PgInfo};
use crate::{EVersion, Epoch};

wire_enum! {
    /// What is asked for.
    #[derive(Default)]
    pub enum QueryKind: i32 {
        #[default]
        Info = 0,
        /// Info, log after `since`, missing.
        Log = 1,
        Missing = 4,
        /// As `Log`, the whole of it.
        FullLog = 5,
    }
}

versioned! {
    /// `pg_query_t` v3.
    pub struct PgQuery(3, 3) {
        kind: QueryKind,
        since: EVersion,
        history: PgHistory,
        epoch_sent: Epoch,
        /// Shards; -1 for replicated pools.
        to: i8 = -1,
        from: i8 = -1,
    }
}

versioned! {
    /// `pg_notify_t` v3.
    pub struct PgNotify(3, 2) {
        /// Epoch of the query this answers; an unsolicited one carries its own epoch twice.
        query_epoch: Epoch,
        epoch_sent: Epoch,
        info: PgInfo,
        /// Shards; -1 for replicated pools.
        to: i8 = -1,
        from: i8 = -1,
        past_intervals: PastIntervals,
    }
}
