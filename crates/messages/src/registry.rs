//! Every message in one table: its id, versions, priority, direction, and where it is explained.
//!
//! Columns: id, Ceph's name, variant and struct, version written / compat written, oldest version
//! read, priority, who sends it, who takes it, chapter (the module that draws its layout).
//! `docs/wire/messages.md` is this table; a test fails when it is stale.

use seabed_denc::Features;

use crate::{
    Body, Header, Kind, MessageError, Parts, RawMessage, client_op::*, command::*, mgr::*,
    mon_client::*, osd_mon::*, peering::*, ping::*, priority, recovery::*, rep_op::*, scrub::*,
    watch::*,
};

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The id.
    pub id: u16,
    /// Ceph's name.
    pub name: &'static str,
    /// The struct here.
    pub type_name: &'static str,
    /// The version written, and the newest known.
    pub version: u16,
    /// The compat version written.
    pub compat: u16,
    /// The oldest version read.
    pub oldest: u16,
    /// The priority unless the sender says otherwise.
    pub priority: u16,
    /// Who sends it.
    pub from: &'static str,
    /// Who takes it.
    pub to: &'static str,
    /// The module that draws its layout.
    pub chapter: &'static str,
}

/// Ceph's name of a kind.
pub fn name(kind: u16) -> &'static str {
    ROWS.iter().find(|row| row.id == kind).map_or("unknown", |row| row.name)
}

/// Flags of the header as daemons send them.
const HEADER_FLAGS: u8 = 3;

macro_rules! registry {
    ($(
        $id:literal $name:literal $variant:ident($ty:ident) $version:literal / $compat:literal
        $oldest:literal $priority:ident $from:literal => $to:literal, $chapter:literal;
    )*) => {
        /// The table.
        pub const ROWS: &[Row] = &[$(
            Row {
                id: $id,
                name: $name,
                type_name: stringify!($ty),
                version: $version,
                compat: $compat,
                oldest: $oldest,
                priority: priority::$priority,
                from: $from,
                to: $to,
                chapter: $chapter,
            },
        )*];

        $(
            impl Kind for $ty {
                const NAME: &'static str = $name;
                const KIND: u16 = $id;
                const VERSION: u16 = $version;
                const COMPAT: u16 = $compat;
                const OLDEST: u16 = $oldest;
                const PRIORITY: u16 = priority::$priority;
            }

            impl From<$ty> for Message {
                fn from(message: $ty) -> Self {
                    Message::$variant(Box::new(message))
                }
            }
        )*

        /// A message. Its struct says what is in it; a kind without one stays as it came.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Message {
            $( $variant(Box<$ty>), )*
            /// A kind that has no struct here.
            Unknown(RawMessage),
        }

        impl Message {
            /// The id.
            pub fn kind(&self) -> u16 {
                match self {
                    $( Message::$variant(_) => $id, )*
                    Message::Unknown(raw) => raw.header.kind,
                }
            }

            /// Ceph's name of the kind.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Message::$variant(_) => $name, )*
                    Message::Unknown(_) => "unknown",
                }
            }

            /// From what a connection received. Tid and priority are not in a message: see
            /// [`crate::Packet`].
            pub fn decode(raw: RawMessage) -> Result<Message, MessageError> {
                match raw.header.kind {
                    $( $id => decode_as::<$ty>(raw).map(Message::from), )*
                    _ => Ok(Message::Unknown(raw)),
                }
            }

            /// To what a connection sends to a peer with `features`.
            pub fn encode(&self, features: Features) -> RawMessage {
                match self {
                    $( Message::$variant(message) => encode_as(&**message, features), )*
                    Message::Unknown(raw) => raw.clone(),
                }
            }
        }
    };
}

fn decode_as<M: Body>(raw: RawMessage) -> Result<M, MessageError> {
    let RawMessage { header, front, middle, data } = raw;
    let Header { kind, version, compat_version: compat, .. } = header;
    let name = M::NAME;
    // The kernel's client leaves the version of what it never saw a second one of at 0.
    let version = version.max(1);
    if compat > M::VERSION {
        return Err(MessageError::TooNew { kind, name, compat, known: M::VERSION });
    }
    if version < M::OLDEST {
        return Err(MessageError::TooOld { kind, name, version, oldest: M::OLDEST });
    }
    M::decode_parts(Parts { version, compat, front, middle, data })
        .map_err(|source| MessageError::Malformed { kind, name, source })
}

fn encode_as<M: Body>(message: &M, features: Features) -> RawMessage {
    let Parts { version, compat, front, middle, data } = message.encode_parts(features);
    let header = Header {
        kind: M::KIND,
        priority: M::PRIORITY,
        version,
        compat_version: compat,
        flags: HEADER_FLAGS,
        ..Header::default()
    };
    RawMessage { header, front, middle, data }
}

registry! {
    2 "ping" Ping(MPing) 2/1 1 DEFAULT "client" => "osd", "mon_client";
    4 "mon_map" MonMap(MMonMap) 1/1 1 HIGH "mon" => "all", "mon_client";
    5 "mon_get_map" MonGetMap(MMonGetMap) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    6 "mon_get_osdmap" MonGetOsdMap(MMonGetOsdMap) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    13 "statfs" Statfs(MStatfs) 2/1 1 DEFAULT "client" => "mon", "mon_client";
    14 "statfs_reply" StatfsReply(MStatfsReply) 1/1 1 HIGH "mon" => "client", "mon_client";
    15 "mon_subscribe" MonSubscribe(MMonSubscribe) 3/1 2 DEFAULT "all" => "mon", "mon_client";
    16 "mon_subscribe_ack" MonSubscribeAck(MMonSubscribeAck) 1/1 1 HIGH
        "mon" => "all", "mon_client";
    17 "auth" Auth(MAuth) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    18 "auth_reply" AuthReply(MAuthReply) 1/1 1 HIGH "mon" => "all", "mon_client";
    19 "mon_get_version" MonGetVersion(MMonGetVersion) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    20 "mon_get_version_reply" MonGetVersionReply(MMonGetVersionReply) 2/2 1 HIGH
        "mon" => "all", "mon_client";
    41 "osd_map" OsdMap(MOsdMap) 4/3 3 DEFAULT "mon, osd" => "all", "mon_client";
    42 "osd_op" OsdOp(MOsdOp) 8/3 8 CLIENT_OP "client, osd" => "osd", "client_op";
    43 "osd_op_reply" OsdOpReply(MOsdOpReply) 8/2 8 DEFAULT "osd" => "client, osd", "client_op";
    44 "watch_notify" WatchNotify(MWatchNotify) 3/1 1 DEFAULT "osd" => "client", "watch";
    48 "poolop_reply" PoolOpReply(MPoolOpReply) 1/1 1 HIGH "mon" => "client", "mon_client";
    49 "poolop" PoolOp(MPoolOp) 4/2 4 DEFAULT "client" => "mon", "mon_client";
    50 "mon_command" MonCommand(MMonCommand) 1/1 1 DEFAULT "all" => "mon", "command";
    51 "mon_command_ack" MonCommandAck(MMonCommandAck) 1/1 1 HIGH "mon" => "all", "command";
    52 "log" Log(MLog) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    53 "log_ack" LogAck(MLogAck) 1/1 1 HIGH "mon" => "all", "mon_client";
    58 "get_pool_stats" GetPoolStats(MGetPoolStats) 1/1 1 DEFAULT "client" => "mon", "mon_client";
    59 "get_pool_stats_reply" GetPoolStatsReply(MGetPoolStatsReply) 2/1 1 HIGH
        "mon" => "client", "mon_client";
    61 "osd_backoff" OsdBackoff(MOsdBackoff) 1/1 1 DEFAULT
        "osd, client" => "client, osd", "client_op";
    62 "config" Config(MConfig) 1/1 1 HIGH "mon" => "all", "mon_client";
    63 "get_config" GetConfig(MGetConfig) 1/1 1 DEFAULT "all" => "mon", "mon_client";
    70 "osd_ping" OsdPing(MOsdPing) 5/4 4 DEFAULT "osd" => "osd", "ping";
    71 "osd_boot" OsdBoot(MOsdBoot) 7/7 7 DEFAULT "osd" => "mon", "osd_mon";
    72 "osd_failure" OsdFailure(MOsdFailure) 4/4 4 DEFAULT "osd" => "mon", "osd_mon";
    73 "osd_alive" OsdAlive(MOsdAlive) 1/1 1 DEFAULT "osd" => "mon", "osd_mon";
    74 "osd_mark_me_down" OsdMarkMeDown(MOsdMarkMeDown) 4/3 3 DEFAULT
        "osd, mon" => "mon, osd", "osd_mon";
    75 "osd_full" OsdFull(MOsdFull) 1/1 1 DEFAULT "osd" => "mon", "osd_mon";
    76 "mon_get_purged_snaps" MonGetPurgedSnaps(MMonGetPurgedSnaps) 1/1 1 DEFAULT
        "osd" => "mon", "osd_mon";
    77 "mon_get_purged_snaps_reply" MonGetPurgedSnapsReply(MMonGetPurgedSnapsReply) 1/1 1 HIGH
        "mon" => "osd", "osd_mon";
    78 "osd_pgtemp" OsdPgTemp(MOsdPgTemp) 2/1 1 DEFAULT "osd" => "mon", "osd_mon";
    79 "osd_beacon" OsdBeacon(MOsdBeacon) 3/1 1 DEFAULT "osd" => "mon", "osd_mon";
    80 "pg_notify" PgNotify(MPgNotify) 7/6 7 HIGH "osd" => "osd", "peering";
    83 "pg_log" PgLog(MPgLog) 6/5 6 HIGH "osd" => "osd", "peering";
    84 "pg_remove" PgRemove(MPgRemove) 3/3 3 DEFAULT "osd" => "osd", "peering";
    86 "pg_trim" PgTrim(MPgTrim) 2/2 2 DEFAULT "osd" => "osd", "recovery";
    87 "pg_stats" PgStats(MPgStats) 2/1 1 DEFAULT "osd" => "mgr, mon", "mgr";
    92 "scrub_reserve" ScrubReserve(MScrubReserve) 1/1 1 DEFAULT "osd" => "osd", "scrub";
    93 "rep_scrub" RepScrub(MRepScrub) 9/6 6 DEFAULT "osd" => "osd", "scrub";
    94 "pg_scan" PgScan(MPgScan) 2/2 2 DEFAULT "osd" => "osd", "recovery";
    95 "pg_backfill" PgBackfill(MPgBackfill) 3/3 3 DEFAULT "osd" => "osd", "recovery";
    96 "pg_backfill_remove" PgBackfillRemove(MPgBackfillRemove) 1/1 1 DEFAULT
        "osd" => "osd", "recovery";
    97 "command" Command(MCommand) 1/1 1 DEFAULT "client, mgr" => "osd, mon", "command";
    98 "command_reply" CommandReply(MCommandReply) 1/1 1 DEFAULT
        "osd, mon" => "client, mgr", "command";
    99 "backfill_reserve" BackfillReserve(MBackfillReserve) 5/4 4 DEFAULT
        "osd" => "osd", "recovery";
    105 "pg_push" PgPush(MPgPush) 4/2 2 RECOVERY "osd" => "osd", "recovery";
    106 "pg_pull" PgPull(MPgPull) 3/2 2 RECOVERY "osd" => "osd", "recovery";
    107 "pg_push_reply" PgPushReply(MPgPushReply) 3/2 2 RECOVERY "osd" => "osd", "recovery";
    112 "osd_repop" OsdRepOp(MOsdRepOp) 3/1 2 DEFAULT "osd" => "osd", "rep_op";
    113 "osd_repop_reply" OsdRepOpReply(MOsdRepOpReply) 2/1 2 HIGH "osd" => "osd", "rep_op";
    114 "pg_update_log_missing" PgUpdateLogMissing(MPgUpdateLogMissing) 3/1 1 DEFAULT
        "osd" => "osd", "rep_op";
    115 "pg_update_log_missing_reply" PgUpdateLogMissingReply(MPgUpdateLogMissingReply) 3/1 1 HIGH
        "osd" => "osd", "rep_op";
    116 "osd_pg_created" OsdPgCreated(MOsdPgCreated) 1/1 1 DEFAULT "osd" => "mon", "osd_mon";
    117 "rep_scrubmap" RepScrubMap(MRepScrubMap) 2/1 1 DEFAULT "osd" => "osd", "scrub";
    118 "pg_recovery_delete" PgRecoveryDelete(MPgRecoveryDelete) 2/1 1 RECOVERY
        "osd" => "osd", "recovery";
    119 "pg_recovery_delete_reply" PgRecoveryDeleteReply(MPgRecoveryDeleteReply) 2/1 1 RECOVERY
        "osd" => "osd", "recovery";
    120 "pg_create2" OsdPgCreate2(MOsdPgCreate2) 2/1 1 HIGH "mon" => "osd", "osd_mon";
    121 "scrub2" OsdScrub2(MOsdScrub2) 1/1 1 DEFAULT "mgr" => "osd", "scrub";
    122 "pg_ready_to_merge" OsdPgReadyToMerge(MOsdPgReadyToMerge) 1/1 1 DEFAULT
        "osd" => "mon", "osd_mon";
    123 "osd_mark_me_dead" OsdMarkMeDead(MOsdMarkMeDead) 1/1 1 DEFAULT "osd" => "mon", "osd_mon";
    130 "pg_notify2" PgNotify2(MPgNotify2) 1/1 1 HIGH "osd" => "osd", "peering";
    131 "pg_query2" PgQuery2(MPgQuery2) 1/1 1 HIGH "osd" => "osd", "peering";
    132 "pg_info2" PgInfo2(MPgInfo2) 1/1 1 HIGH "osd" => "osd", "peering";
    133 "pg_lease" PgLease(MPgLease) 1/1 1 DEFAULT "osd" => "osd", "peering";
    134 "pg_lease_ack" PgLeaseAck(MPgLeaseAck) 1/1 1 DEFAULT "osd" => "osd", "peering";
    150 "recovery_reserve" RecoveryReserve(MRecoveryReserve) 3/2 2 DEFAULT
        "osd" => "osd", "recovery";
    0x700 "mgr_open" MgrOpen(MMgrOpen) 3/1 2 DEFAULT "osd, service" => "mgr", "mgr";
    0x701 "mgr_configure" MgrConfigure(MMgrConfigure) 4/1 4 DEFAULT
        "mgr" => "osd, service", "mgr";
    0x702 "mgr_report" MgrReport(MMgrReport) 9/1 8 DEFAULT "osd, service" => "mgr", "mgr";
    0x703 "mgr_beacon" MgrBeacon(MMgrBeacon) 11/8 1 DEFAULT "mgr" => "mon", "mgr";
    0x704 "mgr_map" MgrMap(MMgrMap) 1/1 1 HIGH "mon" => "all", "mgr";
    0x705 "mgr_digest" MgrDigest(MMgrDigest) 1/1 1 HIGH "mon" => "mgr", "mgr";
    0x706 "mon_mgr_report" MonMgrReport(MMonMgrReport) 3/1 1 DEFAULT "mgr" => "mon", "mgr";
    0x707 "service_map" ServiceMap(MServiceMap) 1/1 1 HIGH "mon" => "mgr", "mgr";
    0x708 "mgr_close" MgrClose(MMgrClose) 1/1 1 DEFAULT
        "osd, service, mgr" => "mgr, osd, service", "mgr";
    0x709 "mgr_command" MgrCommand(MMgrCommand) 1/1 1 DEFAULT "client" => "mgr, mon", "command";
    0x70a "mgr_command_reply" MgrCommandReply(MMgrCommandReply) 1/1 1 DEFAULT
        "mgr, mon" => "client", "command";
}
