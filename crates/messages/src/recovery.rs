//! Recovery and backfill: reserve, push, pull, scan, progress, delete.
//!
//! ```text
//! pg_trim (86) v2: e; pg; ev trim_to; s8 shard
//! pg_scan (94) v2: u32 op; e; e query; pg; hobject begin; hobject end; osd from; s8 shard
//!   data of DIGEST: map<hobject, ev>
//! pg_backfill (95) v3: u32 op; e; e query; pg; hobject last_backfill; stat_collection; pg_stat; s8
//! pg_backfill_remove (96): spg; e; list<(hobject, ev)>
//! backfill_reserve (99) v5: pg; e query; u32 type; u32 priority; s8 shard; s64 primary;
//!   s64 shard bytes
//! pg_push (105) v4: pg; e; list<PushOp>; u64 cost; s8 shard; osd from; e min; bool is_repair
//! pg_pull (106) v3: pg; e; list<PullOp>; u64 cost; s8 shard; osd from; e min
//! pg_push_reply (107) v3: pg; e; list<PushReplyOp>; u64 cost; s8 shard; osd from; e min
//! pg_recovery_delete (118) v2: osd from; spg; e; e min; u64 cost; list<(hobject, ev)>
//! its reply (119) v2: pg; e; e min; list<(hobject, ev)>; s8 shard; osd from
//! recovery_reserve (150) v3: pg; e query; u32 type; s8 shard; u32 priority
//! ```
//!
//! Answers repeat the epochs of what they answer, else the asker takes them for late.

use std::collections::BTreeMap;

use seabed_cluster::{
    EVersion, Epoch, HObject, ObjectStatCollection, PgId, PgShard, PgStat, PullOp, PushOp,
    PushReplyOp, SpgId,
};
use seabed_denc::wire_enum;

use crate::declare::message;

message! {
    /// A replica without holes tells the primary how far its log may be trimmed.
    pub struct MPgTrim {
        epoch: Epoch,
        pg: PgId,
        trim_to: EVersion,
        shard: i8 = -1,
    }
}

wire_enum! {
    /// What a [`MPgScan`] is.
    #[derive(Default)]
    pub enum ScanOp: u32 {
        #[default]
        GetDigest = 1,
        Digest = 2,
    }
}

message! {
    /// Which objects, with which versions, lie in a range at a backfill target.
    pub struct MPgScan {
        op: ScanOp,
        epoch: Epoch,
        query_epoch: Epoch,
        pg: PgId,
        begin: HObject,
        end: HObject,
        from: PgShard,
        shard: i8 = -1,
    }
    data objects: Option<BTreeMap<HObject, EVersion>>;
}

wire_enum! {
    /// What a [`MPgBackfill`] is.
    #[derive(Default)]
    pub enum BackfillOp: u32 {
        #[default]
        Progress = 2,
        Finish = 3,
        FinishAck = 4,
    }
}

message! {
    /// How far a backfill has come.
    pub struct MPgBackfill {
        op: BackfillOp,
        epoch: Epoch,
        query_epoch: Epoch,
        pg: PgId,
        last_backfill: HObject,
        /// As in `stats`, for old readers.
        compat_stats: ObjectStatCollection,
        stats: PgStat,
        shard: i8 = -1,
    }
}

message! {
    /// Objects that a backfill target has and nobody else.
    pub struct MPgBackfillRemove {
        pg: SpgId,
        epoch: Epoch,
        objects: Vec<(HObject, EVersion)>,
    }
}

wire_enum! {
    /// What a [`MBackfillReserve`] is.
    #[derive(Default)]
    pub enum BackfillReserveOp: u32 {
        #[default]
        Request = 0,
        Grant = 1,
        RejectTooFull = 2,
        Release = 3,
        RevokeTooFull = 4,
        Revoke = 5,
    }
}

message! {
    /// Asks a backfill target for room.
    pub struct MBackfillReserve {
        pg: PgId,
        query_epoch: Epoch,
        op: BackfillReserveOp,
        /// All ones except in a request.
        priority: u32 = u32::MAX,
        shard: i8 = -1,
        primary_num_bytes: i64 [since 5],
        shard_num_bytes: i64 [since 5],
    }
}

wire_enum! {
    /// What a [`MRecoveryReserve`] is.
    #[derive(Default)]
    pub enum RecoveryReserveOp: u32 {
        #[default]
        Request = 0,
        Grant = 1,
        Release = 2,
        Revoke = 3,
    }
}

message! {
    /// Asks a peer whether recovery may begin.
    pub struct MRecoveryReserve {
        pg: PgId,
        query_epoch: Epoch,
        op: RecoveryReserveOp,
        shard: i8 = -1,
        /// 0 except in a request.
        priority: u32,
    }
}

message! {
    /// Objects, whole or in part.
    pub struct MPgPush {
        pg: PgId,
        epoch: Epoch,
        pushes: Vec<PushOp>,
        cost: u64,
        shard: i8 = -1,
        from: PgShard,
        min_epoch: Epoch [since 3],
        is_repair: bool [since 4],
    }
}

message! {
    /// Asks for objects.
    pub struct MPgPull {
        pg: PgId,
        epoch: Epoch,
        pulls: Vec<PullOp>,
        cost: u64,
        shard: i8 = -1,
        from: PgShard,
        min_epoch: Epoch [since 3],
    }
}

message! {
    /// Pushed objects are applied.
    pub struct MPgPushReply {
        pg: PgId,
        epoch: Epoch,
        replies: Vec<PushReplyOp>,
        cost: u64,
        shard: i8 = -1,
        from: PgShard,
        min_epoch: Epoch [since 3],
    }
}

message! {
    /// Objects that were deleted while the receiver was away.
    pub struct MPgRecoveryDelete {
        from: PgShard,
        pg: SpgId,
        epoch: Epoch,
        min_epoch: Epoch [since 2],
        cost: u64,
        objects: Vec<(HObject, EVersion)>,
    }
}

message! {
    /// They are gone, or never were there.
    pub struct MPgRecoveryDeleteReply {
        pg: PgId,
        epoch: Epoch,
        min_epoch: Epoch [since 2],
        objects: Vec<(HObject, EVersion)>,
        shard: i8 = -1,
        from: PgShard,
    }
}
