//! The messages a PG sends to other OSDs, made in one place.
//!
//! What is not an answer names the epoch it is sent in as the oldest that the receiver may count
//! its interval from, not the beginning of ours: a copy that missed maps counts from a later one.

use seabed_cluster::{
    EVersion, Epoch, HObject, OsdId, PastIntervals, PgHistory, PgInfo, PgLease, PgLeaseAck, PgLog,
    PgMissing, PgNotify, PgQuery, PgShard, PgStat, PushOp, QueryKind, SpgId,
};
use seabed_messages::{
    BackfillOp, MPgBackfill, MPgInfo2, MPgLease, MPgLeaseAck, MPgLog, MPgNotify2, MPgPush,
    MPgQuery2, MPgRemove, MPgScan, Packet, ScanOp, priority,
};

/// A question of the primary.
pub(crate) fn query(
    pg: SpgId,
    kind: QueryKind,
    since: EVersion,
    history: &PgHistory,
    epoch: Epoch,
) -> Packet {
    let query =
        PgQuery { kind, since, history: history.clone(), epoch_sent: epoch, ..PgQuery::default() };
    MPgQuery2 { pg, query, ..MPgQuery2::default() }.into()
}

/// A copy announces itself.
pub(crate) fn notify(pg: SpgId, notify: PgNotify) -> Packet {
    MPgNotify2 { pg, notify, ..MPgNotify2::default() }.into()
}

/// An info, as activation, acknowledgement or news.
pub(crate) fn info(
    pg: SpgId,
    epoch_sent: Epoch,
    info: &PgInfo,
    lease: Option<PgLease>,
    lease_ack: Option<PgLeaseAck>,
) -> Packet {
    let (info, min_epoch) = (info.clone(), epoch_sent);
    MPgInfo2 { pg, epoch_sent, min_epoch, info, lease, lease_ack, ..MPgInfo2::default() }.into()
}

/// A log that activates a copy.
pub(crate) fn log(
    epoch: Epoch,
    query_epoch: Epoch,
    info: PgInfo,
    log: PgLog,
    past_intervals: PastIntervals,
    lease: PgLease,
) -> Packet {
    let lease = Some(lease);
    MPgLog { epoch, info, log, query_epoch, past_intervals, lease, ..MPgLog::default() }.into()
}

/// A log that answers a question.
pub(crate) fn log_answer(
    query_epoch: Epoch,
    info: PgInfo,
    log: PgLog,
    missing: PgMissing,
) -> Packet {
    let epoch = query_epoch;
    MPgLog { epoch, info, log, missing, query_epoch, ..MPgLog::default() }.into()
}

/// The PG is not wanted at the receiver any more.
pub(crate) fn remove(epoch: Epoch, pg: SpgId) -> Packet {
    MPgRemove { epoch, pgs: vec![pg], ..MPgRemove::default() }.into()
}

/// A new lease.
pub(crate) fn lease(epoch: Epoch, pg: SpgId, lease: PgLease) -> Packet {
    MPgLease { epoch, pg, lease, ..MPgLease::default() }.into()
}

/// A lease was heard of.
pub(crate) fn lease_ack(epoch: Epoch, pg: SpgId, lease_ack: PgLeaseAck) -> Packet {
    MPgLeaseAck { epoch, pg, lease_ack, ..MPgLeaseAck::default() }.into()
}

/// An object, or part of one.
pub(crate) fn push(pg: SpgId, epoch: Epoch, whoami: OsdId, push: PushOp, urgent: bool) -> Packet {
    let message = MPgPush {
        pg: pg.pg,
        epoch,
        cost: push.data.len() as u64 + 1000,
        pushes: vec![push],
        shard: pg.shard,
        from: PgShard::replicated(whoami),
        min_epoch: epoch,
        ..MPgPush::default()
    };
    let priority = if urgent { priority::HIGH } else { priority::RECOVERY };
    Packet::from(message).at_priority(priority)
}

/// What have you from here on?
pub(crate) fn scan(pg: SpgId, epoch: Epoch, whoami: OsdId, begin: HObject) -> Packet {
    MPgScan {
        op: ScanOp::GetDigest,
        epoch,
        query_epoch: epoch,
        pg: pg.pg,
        begin,
        end: HObject::min(),
        from: PgShard::replicated(whoami),
        shard: pg.shard,
        ..MPgScan::default()
    }
    .into()
}

/// How far a copy is filled.
pub(crate) fn backfill(
    pg: SpgId,
    op: BackfillOp,
    epoch: Epoch,
    query_epoch: Epoch,
    last_backfill: HObject,
    stats: PgStat,
) -> Packet {
    MPgBackfill {
        op,
        epoch,
        query_epoch,
        pg: pg.pg,
        last_backfill,
        compat_stats: stats.stats.clone(),
        stats,
        shard: pg.shard,
        ..MPgBackfill::default()
    }
    .into()
}
