//! What every client and daemon says to a monitor, and what it answers.
//!
//! ```text
//! mon_map (4): bl monmap              mon_get_map (5): empty          config (62): map<str, str>
//! mon_get_osdmap (6): paxos; e full_first, full_last, inc_first, inc_last
//! statfs (13) v2: paxos; fsid; bool [s64 pool] (v2)
//! statfs_reply (14): fsid; u64 version, kb, kb_used, kb_avail, objects   (56 bytes exactly)
//! mon_subscribe (15) v3: map<str, { u64 start; u8 flags }>; str host (v3)
//! mon_subscribe_ack (16): u32 interval; fsid      (only for peers without MON_STATEFUL_SUB)
//! auth (17): paxos; u32 protocol; bl; e monmap    auth_reply (18): u32; s32; u64 id; bl; str
//! mon_get_version (19): u64 handle; str what      its reply (20) v2: u64; u64 newest; u64 oldest
//! osd_map (41) v4: fsid; map<e, bl> increments; map<e, bl> full; e oldest; e newest;
//!   map<s64, interval_set> (v4)
//! poolop (49) v4: paxos; fsid; u32 pool; u32 op; u64 0; u64 snap; str name; u8 0; s16 rule
//! poolop_reply (48): paxos; fsid; s32 code; e epoch; bool [bl]
//! log (52): paxos; fsid; list<LogEntry>           log_ack (53): fsid; u64 last; str channel
//! get_pool_stats (58): paxos; fsid; list<str>
//! get_pool_stats_reply (59) v2: paxos; fsid; map<str, pool_stat>; bool
//! get_config (63): entity name; str host; str device class
//! ```

use std::collections::BTreeMap;

use seabed_cluster::{
    EntityAddrVec, EntityName, Epoch, IntervalSet, PoolId, PoolStat, SnapId, UTime, Uuid,
};
use seabed_denc::{Bytes, plain, versioned};

use crate::Paxos;
use crate::declare::message;

message! {
    /// Sent on sessions with watches, then says nothing. A monitor answers one with its state and
    /// the cluster's health as JSON, which the sender reads whatever the version.
    pub struct MPing {
        report: String [since 2],
    }
}

message! {
    /// The map of monitors, encoded.
    pub struct MMonMap {
        monmap: Bytes,
    }
}

message! {
    /// Asks for it.
    pub struct MMonGetMap {}
}

message! {
    /// Asks for OSD maps by epoch.
    pub struct MMonGetOsdMap {
        paxos: Paxos,
        full_first: Epoch,
        full_last: Epoch,
        inc_first: Epoch,
        inc_last: Epoch,
    }
}

message! {
    /// Asks how full the cluster or a pool is. The kernel sends version 1.
    pub struct MStatfs {
        paxos: Paxos,
        fsid: Uuid,
        pool: Option<PoolId> [since 2],
    }
}

message! {
    /// Its answer.
    pub struct MStatfsReply {
        fsid: Uuid,
        version: u64,
        kb: u64,
        kb_used: u64,
        kb_available: u64,
        objects: u64,
    }
}

plain! {
    /// From where on one map is wanted.
    pub struct Subscription {
        /// The first version wanted; 0 for the newest.
        start: u64,
        /// Bit 0: once.
        flags: u8,
    }
}

impl Subscription {
    /// The flag of a subscription that ends with its first answer.
    pub const ONETIME: u8 = 1;

    /// Whether it ends with its first answer.
    pub fn once(&self) -> bool {
        self.flags & Self::ONETIME != 0
    }
}

message! {
    /// What the sender wants to be told of.
    pub struct MMonSubscribe {
        what: BTreeMap<String, Subscription>,
        hostname: String [since 3],
    }
}

message! {
    /// Only for peers without MON_STATEFUL_SUB.
    pub struct MMonSubscribeAck {
        interval: u32,
        fsid: Uuid,
    }
}

message! {
    /// Renews tickets inside a session.
    pub struct MAuth {
        paxos: Paxos,
        protocol: u32,
        payload: Bytes,
        monmap_epoch: Epoch,
    }
}

message! {
    /// Its answer.
    pub struct MAuthReply {
        protocol: u32,
        /// Negative errno.
        result: i32,
        global_id: u64,
        payload: Bytes,
        status: String,
    }
}

message! {
    /// Asks for the version of a map.
    pub struct MMonGetVersion {
        handle: u64,
        /// `osdmap`, `mdsmap` or `monmap`.
        what: String,
    }
}

message! {
    /// Its answer, under the request's tid.
    pub struct MMonGetVersionReply {
        handle: u64,
        newest: u64,
        oldest: u64 [since 2],
    }
}

message! {
    /// OSD maps, from the monitor or from an OSD. No epoch between the first and the last may be
    /// left out.
    pub struct MOsdMap {
        fsid: Uuid,
        incremental: BTreeMap<Epoch, Bytes>,
        full: BTreeMap<Epoch, Bytes>,
        /// The oldest epoch the sender has.
        oldest: Epoch [since 2],
        /// The newest one.
        newest: Epoch [since 2],
        gap_removed_snaps: BTreeMap<PoolId, IntervalSet> [since 4],
    }
}

impl MOsdMap {
    /// The first epoch inside.
    pub fn first(&self) -> Option<Epoch> {
        let first = |m: &BTreeMap<Epoch, Bytes>| m.keys().next().copied();
        [first(&self.incremental), first(&self.full)].into_iter().flatten().min()
    }

    /// The last epoch inside.
    pub fn last(&self) -> Option<Epoch> {
        let last = |m: &BTreeMap<Epoch, Bytes>| m.keys().next_back().copied();
        [last(&self.incremental), last(&self.full)].into_iter().flatten().max()
    }
}

/// What a [`MPoolOp`] wants.
#[allow(missing_docs)]
pub mod pool_op {
    pub const CREATE: u32 = 0x01;
    pub const DELETE: u32 = 0x02;
    pub const AUID_CHANGE: u32 = 0x03;
    pub const CREATE_SNAP: u32 = 0x11;
    pub const DELETE_SNAP: u32 = 0x12;
    pub const CREATE_UNMANAGED_SNAP: u32 = 0x21;
    pub const DELETE_UNMANAGED_SNAP: u32 = 0x22;
}

message! {
    /// Pools and snapshots as librados makes them.
    pub struct MPoolOp {
        paxos: Paxos,
        fsid: Uuid,
        pool: u32,
        /// Of [`pool_op`].
        op: u32,
        /// Formerly an owner; 0.
        auid: u64,
        snap: SnapId,
        name: String,
        /// Formerly a rule of 8 bits; 0.
        pad: u8,
        crush_rule: i16,
    }
}

message! {
    /// Its answer: the epoch must be one that gets published.
    pub struct MPoolOpReply {
        paxos: Paxos,
        fsid: Uuid,
        /// Negative errno.
        code: i32,
        epoch: Epoch,
        /// Of CREATE_UNMANAGED_SNAP: the new snap's id, encoded.
        data: Option<Bytes>,
    }
}

plain! {
    /// `EntityName`: kind and text, as in keys and in the log.
    pub struct AuthName {
        kind: u32,
        id: String,
    }
}

versioned! {
    /// `LogEntry` v5: a line of the cluster log.
    pub struct LogEntry(5, 5) {
        name: AuthName,
        rank: EntityName,
        addrs: EntityAddrVec,
        stamp: UTime,
        seq: u64,
        /// 0 debug, 1 info, 2 security, 3 warning, 4 error.
        priority: u16,
        text: String,
        channel: String,
    }
}

message! {
    /// Lines for the cluster log, repeated until acknowledged.
    pub struct MLog {
        paxos: Paxos,
        fsid: Uuid,
        entries: Vec<LogEntry>,
    }
}

message! {
    /// Lines up to `last` are kept.
    pub struct MLogAck {
        fsid: Uuid,
        last: u64,
        channel: String,
    }
}

message! {
    /// Asks for the use of pools.
    pub struct MGetPoolStats {
        paxos: Paxos,
        fsid: Uuid,
        pools: Vec<String>,
    }
}

message! {
    /// Its answer.
    pub struct MGetPoolStatsReply {
        paxos: Paxos,
        fsid: Uuid,
        stats: BTreeMap<String, PoolStat>,
        /// OSDs report their use by pool.
        per_pool: bool [since 2],
    }
}

message! {
    /// The options set for the receiver. Clients wait for it: an empty one will do.
    pub struct MConfig {
        options: BTreeMap<String, String>,
    }
}

message! {
    /// Asks for it.
    pub struct MGetConfig {
        name: AuthName,
        host: String,
        device_class: String,
    }
}
