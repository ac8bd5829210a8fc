//! OSD to monitor and back: coming up, staying up, going down, placement requests.
//!
//! All but pg_create2 begin with paxos, whose version is the sender's newest map:
//!
//! ```text
//! osd_boot (71) v7: superblock; addrs hb_back; addrs cluster; e boot_epoch; addrs hb_front;
//!   map<str, str> metadata; u64 features
//! osd_failure (72) v4: fsid; s32 target; addrs; e epoch; u8 flags; s32 failed_for
//! osd_alive (73): e want                        osd_full (75): e epoch; u32 state
//! osd_mark_me_down (74) v4: fsid; s32 target; addrs; e epoch; bool request_ack; bool dead (v4)
//! mon_get_purged_snaps (76): e start; e last    reply (77): e; e; map<e, map<s64, interval_set>>
//! osd_pgtemp (78) v2: e epoch; map<pg, list<s32>>; bool forced (v2)
//! osd_beacon (79) v3: list<pg>; e min_last_epoch_clean; utime (v2); s32 report_interval (v3)
//! osd_pg_created (116): pg                      osd_mark_me_dead (123): fsid; s32 target; e epoch
//! pg_ready_to_merge (122): pg; ev source; ev target; e les; e lec; bool ready
//! pg_create2 (120) v2: e epoch; map<spg, { e created; utime stamp }>;
//!   map<spg, { pg_history; past_intervals }> (v2)
//! ```

use std::collections::BTreeMap;

use seabed_cluster::{
    EVersion, EntityAddrVec, Epoch, IntervalSet, OsdId, OsdSuperblock, PastIntervals, PgHistory,
    PgId, PoolId, SpgId, UTime, Uuid,
};
use seabed_denc::plain;

use crate::Paxos;
use crate::declare::message;

message! {
    /// The sender is here and wants to be up. Its public addresses are those of the session.
    pub struct MOsdBoot {
        paxos: Paxos,
        superblock: OsdSuperblock,
        heartbeat_back: EntityAddrVec,
        cluster: EntityAddrVec,
        /// 0, or the epoch in which this process was first up.
        boot_epoch: Epoch,
        heartbeat_front: EntityAddrVec,
        metadata: BTreeMap<String, String>,
        features: u64,
    }
}

message! {
    /// The sender lives, and is the primary of `pgs`.
    pub struct MOsdBeacon {
        paxos: Paxos,
        pgs: Vec<PgId>,
        min_last_epoch_clean: Epoch,
        last_purged_snaps_scrub: UTime [since 2],
        /// Seconds between beacons.
        report_interval: i32 [since 3],
    }
}

/// What a [`MOsdFailure`] says.
#[allow(missing_docs)]
pub mod failure_flag {
    /// Not set: alive again.
    pub const FAILED: u8 = 1;
    /// The peer refused a connection.
    pub const IMMEDIATE: u8 = 2;
}

message! {
    /// Another OSD does not answer, or answers again.
    pub struct MOsdFailure {
        paxos: Paxos,
        fsid: Uuid,
        target: OsdId,
        /// Its client addresses, exactly as in the map.
        target_addrs: EntityAddrVec,
        epoch: Epoch,
        /// Of [`failure_flag`].
        flags: u8,
        failed_for_seconds: i32,
    }
}

message! {
    /// Asks that up_thru be raised to the sender's newest map.
    pub struct MOsdAlive {
        paxos: Paxos,
        want: Epoch,
    }
}

message! {
    /// The sender stops; the monitor sends it back once it is so.
    pub struct MOsdMarkMeDown {
        paxos: Paxos,
        fsid: Uuid,
        target: OsdId,
        target_addrs: EntityAddrVec,
        epoch: Epoch,
        request_ack: bool,
        down_and_dead: bool [since 4],
    }
}

message! {
    /// A sender that is down vouches that its former life serves no reads.
    pub struct MOsdMarkMeDead {
        paxos: Paxos,
        fsid: Uuid,
        target: OsdId,
        epoch: Epoch,
    }
}

message! {
    /// The sender's fullness does not agree with the map.
    pub struct MOsdFull {
        paxos: Paxos,
        epoch: Epoch,
        /// One of the state bits FULL, NEARFULL, BACKFILLFULL, or 0.
        state: u32,
    }
}

message! {
    /// Asks that PGs be served by other OSDs for a while; an empty list takes it back.
    pub struct MOsdPgTemp {
        paxos: Paxos,
        epoch: Epoch,
        pg_temp: BTreeMap<PgId, Vec<OsdId>>,
        forced: bool [since 2],
    }
}

message! {
    /// A new PG is active for the first time.
    pub struct MOsdPgCreated {
        paxos: Paxos,
        pg: PgId,
    }
}

message! {
    /// Both halves of a merge are quiet.
    pub struct MOsdPgReadyToMerge {
        paxos: Paxos,
        pg: PgId,
        source_version: EVersion,
        target_version: EVersion,
        last_epoch_started: Epoch,
        last_epoch_clean: Epoch,
        ready: bool,
    }
}

message! {
    /// Asks for the snaps purged in the epochs after `start`.
    pub struct MMonGetPurgedSnaps {
        paxos: Paxos,
        start: Epoch,
        last: Epoch,
    }
}

message! {
    /// Its answer; `last` may be less than asked for.
    pub struct MMonGetPurgedSnapsReply {
        paxos: Paxos,
        start: Epoch,
        last: Epoch,
        purged_snaps: BTreeMap<Epoch, BTreeMap<PoolId, IntervalSet>>,
    }
}

plain! {
    /// When a PG's pool was created.
    pub struct PgCreation {
        created: Epoch,
        created_stamp: UTime,
    }
}

plain! {
    /// What a PG is created with.
    pub struct PgCreationHistory {
        history: PgHistory,
        past_intervals: PastIntervals,
    }
}

message! {
    /// The receiver is to create PGs once it has the map.
    pub struct MOsdPgCreate2 {
        epoch: Epoch,
        pgs: BTreeMap<SpgId, PgCreation>,
        histories: BTreeMap<SpgId, PgCreationHistory> [since 2],
    }
}
