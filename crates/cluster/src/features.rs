//! Feature bits that peers exchange when they meet, and that decide the form of encodings.
//!
//! Bits were used again over the years, therefore a feature is its bit together with the bits that
//! mark its "incarnation": none for the first, 57 for the second, 57 and 28 for the third.

use seabed_denc::Features;

const INC2: u64 = 1 << 57;
const INC3: u64 = 1 << 57 | 1 << 28;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $(+ $inc:ident)?;)*) => {$(
        $(#[$doc])*
        pub const $name: u64 = 1 << $bit $(| $inc)?;
    )*};
}

features! {
    /// `SERVER_NAUTILUS`: address vectors in maps.
    SERVER_NAUTILUS = 2 + INC3;
    /// Subscriptions of the second form.
    SUBSCRIBE2 = 4;
    /// Reconnect carries a sequence number.
    RECONNECT_SEQ = 6;
    /// Object locators in ops.
    OBJECTLOCATOR = 8;
    /// 64-bit pool ids.
    PGID64 = 9;
    /// Incremental OSD maps by subscription.
    INCSUBOSDMAP = 10;
    /// The third form of a pool.
    PGPOOL3 = 11;
    /// Ops may ask for replies on commit alone.
    OSDREPLYMUX = 12;
    /// Versioned encodings between OSDs.
    OSDENC = 13;
    /// `SERVER_KRAKEN`.
    SERVER_KRAKEN = 14 + INC2;
    /// Versioned encodings between monitors.
    MONENC = 15;
    /// `SERVER_OCTOPUS`.
    SERVER_OCTOPUS = 16 + INC3;
    /// First set of CRUSH tunables.
    CRUSH_TUNABLES = 18;
    /// PG logs have a hard limit.
    OSD_PGLOG_HARDLIMIT = 19 + INC2;
    /// `SERVER_PACIFIC`.
    SERVER_PACIFIC = 20 + INC3;
    /// Clients resend when a PG splits.
    RESEND_ON_SPLIT = 21 + INC2;
    /// `SERVER_LUMINOUS`, also resend on split, backoffs, upmap and choose_args.
    SERVER_LUMINOUS = 21 + INC2;
    /// Object listings of the repaired form.
    OSD_FIXED_COLLECTION_LIST = 22 + INC2;
    /// Signed messages of the first messenger.
    MSG_AUTH = 23;
    /// Second set of CRUSH tunables.
    CRUSH_TUNABLES2 = 25;
    /// Pools are created with a known id.
    CREATEPOOLID = 26;
    /// `SERVER_MIMIC`.
    SERVER_MIMIC = 28 + INC2;
    /// Pools hashed with their id.
    OSDHASHPSPOOL = 30;
    /// `SERVER_REEF`.
    SERVER_REEF = 31 + INC3;
    /// Stretch clusters.
    STRETCH_MODE = 32 + INC3;
    /// `SERVER_QUINCY`.
    SERVER_QUINCY = 33 + INC3;
    /// Blocklists of address ranges.
    RANGE_BLOCKLIST = 34 + INC3;
    /// Cache tiers.
    OSD_CACHEPOOL = 35;
    /// Indep rules and per-rule tries.
    CRUSH_V2 = 36;
    /// MDS exports name their peer.
    EXPORT_PEER = 37;
    /// Multi-step-retry rules (Squid).
    CRUSH_MSR = 38 + INC2;
    /// OSD maps are encoded per feature.
    OSDMAP_ENC = 39;
    /// Third set of CRUSH tunables, and primary affinity.
    CRUSH_TUNABLES3 = 41;
    /// Keepalives that are answered.
    MSGR_KEEPALIVE2 = 42;
    /// Pools name the epoch from which to resend.
    OSD_POOLRESEND = 43;
    /// Advice flags in ops.
    OSD_FADVISE_FLAGS = 46;
    /// straw2 buckets.
    CRUSH_V4 = 48;
    /// `SERVER_SQUID`.
    SERVER_SQUID = 49 + INC2;
    /// `SERVER_TENTACLE`.
    SERVER_TENTACLE = 50 + INC2;
    /// Ops of the newer form.
    NEW_OSDOP_ENCODING = 56;
    /// Monitor keeps subscriptions without renewal; also `SERVER_JEWEL`.
    MON_STATEFUL_SUB = 57;
    /// `chooseleaf_stable`; also op replies of the newer form.
    CRUSH_TUNABLES5 = 58;
    /// Typed addresses and address vectors.
    MSG_ADDR2 = 59;
    /// Deletes are recovered, not done in peering.
    OSD_RECOVERY_DELETES = 60;
    /// cephx with challenge.
    CEPHX_V2 = 61;
}

/// What 16.2 clients and daemons alike announce.
pub const PACIFIC_ALL: u64 = 0x3f01_cfbd_fffd_ffff;

/// What a 16.2 OSD requires of another OSD.
pub const REQUIRED_OF_OSD: u64 = 0x2e01_0200_4204_6201;

/// True if every bit of `feature` is in `features`.
pub const fn has(features: Features, feature: u64) -> bool {
    features & feature == feature
}
