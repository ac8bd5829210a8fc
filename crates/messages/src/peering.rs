//! Peering: what a primary asks the other OSDs of a PG, what they say, activation, leases.
//!
//! ```text
//! pg_notify (80) v7: e; list<pg_notify_t>       (an empty answer of 16.2)
//! pg_log (83) v6: e; pg_info; pg_log; pg_missing; e query; past_intervals; s8 to; s8 from;
//!   bool [pg_lease]
//! pg_remove (84) v3: e; list<spg>               pg_notify2 (130): spg; pg_notify_t
//! pg_query2 (131): spg; pg_query_t
//! pg_info2 (132): spg; e sent; e min; pg_info; bool [pg_lease]; bool [pg_lease_ack]
//! pg_lease (133): e; spg; pg_lease              pg_lease_ack (134): e; spg; pg_lease_ack
//! ```

use seabed_cluster::{
    Epoch, PastIntervals, PgInfo, PgLease, PgLeaseAck, PgLog, PgMissing, PgNotify, PgQuery, SpgId,
};

use crate::declare::message;

message! {
    /// Old form of [`MPgNotify2`]; a 16.2 OSD without the PG answers a query with it.
    pub struct MPgNotify {
        epoch: Epoch,
        notifies: Vec<PgNotify>,
    }
}

message! {
    /// What the sender has of a PG: the answer to a query, or unasked to a new primary.
    pub struct MPgNotify2 {
        pg: SpgId,
        notify: PgNotify,
    }
}

message! {
    /// A primary's question.
    pub struct MPgQuery2 {
        pg: SpgId,
        query: PgQuery,
    }
}

message! {
    /// Info, log and missing: the answer to a query, or a primary's activation of a peer.
    pub struct MPgLog {
        epoch: Epoch,
        info: PgInfo,
        log: PgLog,
        missing: PgMissing,
        query_epoch: Epoch,
        past_intervals: PastIntervals,
        to: i8 = -1,
        from: i8 = -1,
        lease: Option<PgLease>,
    }
}

impl MPgLog {
    /// The PG at its receiver.
    pub fn pg(&self) -> SpgId {
        SpgId { pg: self.info.pgid, shard: self.to }
    }
}

message! {
    /// Activation of a peer that is up to date, its answer, and news of history and stats.
    pub struct MPgInfo2 {
        pg: SpgId,
        epoch_sent: Epoch,
        /// First epoch of the sender's interval.
        min_epoch: Epoch,
        info: PgInfo,
        lease: Option<PgLease>,
        lease_ack: Option<PgLeaseAck>,
    }
}

message! {
    /// The receiver is a stray and may delete these PGs.
    pub struct MPgRemove {
        epoch: Epoch,
        pgs: Vec<SpgId>,
    }
}

message! {
    /// A primary renews its lease.
    pub struct MPgLease {
        epoch: Epoch,
        pg: SpgId,
        lease: PgLease,
    }
}

message! {
    /// A peer agrees.
    pub struct MPgLeaseAck {
        epoch: Epoch,
        pg: SpgId,
        lease_ack: PgLeaseAck,
    }
}
