//! `pg_pool_t`: everything a map says about a pool, except its name.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::IntervalSet;
use crate::{EVersion, Epoch, PgId, PoolId, SnapId, Tail, UTime};

/// How a pool keeps its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum PoolKind {
    /// Copies.
    #[default]
    Replicated = 1,
    /// Data and parity shards.
    Erasure = 3,
}

/// How a cache tier works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
#[allow(missing_docs)] // The words are Ceph's own.
pub enum PoolCacheMode {
    #[default]
    None = 0,
    Writeback = 1,
    Forward = 2,
    ReadOnly = 3,
    ReadForward = 4,
    ReadProxy = 5,
    Proxy = 6,
}

impl PoolCacheMode {
    /// The word in commands and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            PoolCacheMode::None => "none",
            PoolCacheMode::Writeback => "writeback",
            PoolCacheMode::Forward => "forward",
            PoolCacheMode::ReadOnly => "readonly",
            PoolCacheMode::ReadForward => "readforward",
            PoolCacheMode::ReadProxy => "readproxy",
            PoolCacheMode::Proxy => "proxy",
        }
    }
}

/// A named snapshot of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolSnapInfo {
    /// Its number.
    pub snapid: SnapId,
    /// When it was taken.
    pub stamp: UTime,
    /// Its name.
    pub name: String,
}

/// How hit sets of a cache tier are kept; only carried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HitSetParams {
    /// 0 none, 1 explicit hash, 2 explicit object, 3 bloom.
    pub kind: u8,
    /// The parameters of that kind, as encoded.
    pub raw: Bytes,
}

/// The last merge of two PGs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PgMergeMeta {
    /// The PG that went.
    pub source_pgid: PgId,
    /// When both were ready.
    pub ready_epoch: Epoch,
    /// When the merged PG's last interval began.
    pub last_epoch_started: Epoch,
    /// When it was last clean.
    pub last_epoch_clean: Epoch,
    /// Where the source ended.
    pub source_version: EVersion,
    /// Where the target ended.
    pub target_version: EVersion,
}

/// The value of a pool option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptValue {
    /// Text.
    Str(String),
    /// A number.
    Int(i64),
    /// A fraction.
    Double(f64),
}

/// Pool options that are set, by number (see [`pool_opt`]).
pub type PoolOpts = BTreeMap<i32, OptValue>;

/// Numbers and names of pool options.
pub mod pool_opt {
    /// The least size of a chunk of compression and the like: every option in order of number.
    pub const NAMES: &[&str] = &[
        "scrub_min_interval",
        "scrub_max_interval",
        "deep_scrub_interval",
        "recovery_priority",
        "recovery_op_priority",
        "scrub_priority",
        "compression_mode",
        "compression_algorithm",
        "compression_required_ratio",
        "compression_max_blob_size",
        "compression_min_blob_size",
        "csum_type",
        "csum_max_block",
        "csum_min_block",
        "fingerprint_algorithm",
        "pg_num_min",
        "target_size_bytes",
        "target_size_ratio",
        "pg_autoscale_bias",
        "read_lease_interval",
        "dedup_tier",
        "dedup_chunk_algorithm",
        "dedup_cdc_chunk_size",
        "pg_num_max",
    ];

    /// The name of an option's number.
    pub fn name(key: i32) -> Option<&'static str> {
        usize::try_from(key).ok().and_then(|i| NAMES.get(i)).copied()
    }

    /// The number of an option's name.
    pub fn key(name: &str) -> Option<i32> {
        NAMES.iter().position(|n| *n == name).and_then(|i| i32::try_from(i).ok())
    }
}

/// Bits of [`Pool::flags`] and their names.
pub mod pool_flag {
    macro_rules! flags {
        ($($name:ident = $bit:literal, $text:literal;)*) => {
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $name: u64 = $bit;
            )*

            /// Every bit with its name, from the least.
            pub const ALL: &[(u64, &str)] = &[$(($name, $text)),*];
        };
    }
    flags! {
        HASHPSPOOL = 0x1, "hashpspool";
        FULL = 0x2, "full";
        EC_OVERWRITES = 0x4, "ec_overwrites";
        INCOMPLETE_CLONES = 0x8, "incomplete_clones";
        NODELETE = 0x10, "nodelete";
        NOPGCHANGE = 0x20, "nopgchange";
        NOSIZECHANGE = 0x40, "nosizechange";
        WRITE_FADVISE_DONTNEED = 0x80, "write_fadvise_dontneed";
        NOSCRUB = 0x100, "noscrub";
        NODEEP_SCRUB = 0x200, "nodeep-scrub";
        FULL_QUOTA = 0x400, "full_quota";
        NEARFULL = 0x800, "nearfull";
        BACKFILLFULL = 0x1000, "backfillfull";
        SELFMANAGED_SNAPS = 0x2000, "selfmanaged_snaps";
        POOL_SNAPS = 0x4000, "pool_snaps";
        CREATING = 0x8000, "creating";
        EIO = 0x1_0000, "eio";
        BULK = 0x2_0000, "bulk";
        CRIMSON = 0x4_0000, "crimson";
    }
}

/// `pg_pool_t`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Replicated or erasure coded.
    pub kind: PoolKind,
    /// How many copies or shards.
    pub size: u32,
    /// With fewer, nothing is written.
    pub min_size: u32,
    /// The CRUSH rule that places it.
    pub crush_rule: i32,
    /// 2 rjenkins, 1 linux.
    pub object_hash: u8,
    /// How many PGs.
    pub pg_num: u32,
    /// How many PGs differ in place.
    pub pgp_num: u32,
    /// Where `pg_num` is going.
    pub pg_num_target: u32,
    /// Where `pgp_num` is going.
    pub pgp_num_target: u32,
    /// What `pg_num` is about to become by a merge.
    pub pg_num_pending: u32,
    /// When it was last changed.
    pub last_change: Epoch,
    /// [`pool_flag`] bits.
    pub flags: u64,
    /// The newest snapshot.
    pub snap_seq: SnapId,
    /// When it was taken.
    pub snap_epoch: Epoch,
    /// Named snapshots of the whole pool.
    pub snaps: BTreeMap<SnapId, PoolSnapInfo>,
    /// Removed snapshots in self-managed mode: of old releases, and one that marks the mode.
    pub removed_snaps: IntervalSet,
    /// Once an owner.
    pub auid: u64,
    /// 0 is no limit.
    pub quota_max_bytes: u64,
    /// 0 is no limit.
    pub quota_max_objects: u64,
    /// Cache tiers of this pool.
    pub tiers: BTreeSet<u64>,
    /// The pool this is a tier of, or -1.
    pub tier_of: PoolId,
    /// How this tier works.
    pub cache_mode: PoolCacheMode,
    /// Where reads go, or -1.
    pub read_tier: PoolId,
    /// Where writes go, or -1.
    pub write_tier: PoolId,
    /// Once free text.
    pub properties: BTreeMap<String, String>,
    /// Of hit sets.
    pub hit_set_params: HitSetParams,
    /// Of hit sets.
    pub hit_set_period: u32,
    /// Of hit sets.
    pub hit_set_count: u32,
    /// Bytes of data in a stripe of an erasure coded pool.
    pub stripe_width: u32,
    /// Of a cache tier.
    pub target_max_bytes: u64,
    /// Of a cache tier.
    pub target_max_objects: u64,
    /// Of a cache tier; 10^6 is all of it.
    pub cache_target_dirty_ratio_micro: u32,
    /// Of a cache tier; 10^6 is all of it.
    pub cache_target_dirty_high_ratio_micro: u32,
    /// Of a cache tier; 10^6 is all of it.
    pub cache_target_full_ratio_micro: u32,
    /// Of a cache tier; seconds.
    pub cache_min_flush_age: u32,
    /// Of a cache tier; seconds.
    pub cache_min_evict_age: u32,
    /// Of an erasure coded pool.
    pub erasure_code_profile: String,
    /// From this epoch clients send everything again.
    pub last_force_op_resend: Epoch,
    /// The same for clients before Nautilus.
    pub last_force_op_resend_prenautilus: Epoch,
    /// The same for clients before Luminous.
    pub last_force_op_resend_preluminous: Epoch,
    /// Of a cache tier.
    pub min_read_recency_for_promote: i32,
    /// Of a cache tier.
    pub min_write_recency_for_promote: i32,
    /// To create directories ahead, once.
    pub expected_num_objects: u64,
    /// Of hit sets.
    pub use_gmt_hitset: bool,
    /// Reads of all shards at once.
    pub fast_read: bool,
    /// Of hit sets.
    pub hit_set_grade_decay_rate: i32,
    /// Of hit sets.
    pub hit_set_search_last_n: u32,
    /// Options that are set.
    pub opts: PoolOpts,
    /// Which applications use it, with their notes.
    pub application_metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// When it was made.
    pub create_time: UTime,
    /// 0 off, 1 warn, 2 on.
    pub pg_autoscale_mode: u8,
    /// The last merge.
    pub last_pg_merge_meta: PgMergeMeta,
    /// Of a pool over two sites.
    pub peering_crush_bucket_count: u32,
    /// Of a pool over two sites.
    pub peering_crush_bucket_target: u32,
    /// Of a pool over two sites.
    pub peering_crush_bucket_barrier: u32,
    /// Of a pool over two sites.
    pub peering_crush_mandatory_member: u32,
    /// Fields of newer releases.
    pub tail: Tail,
}

impl Default for Pool {
    /// What Ceph's own structure starts with; see [`Pool::new_replicated`] for a usable pool.
    fn default() -> Self {
        Pool {
            kind: PoolKind::Replicated,
            size: 0,
            min_size: 0,
            crush_rule: 0,
            object_hash: 0,
            pg_num: 0,
            pgp_num: 0,
            pg_num_target: 0,
            pgp_num_target: 0,
            pg_num_pending: 0,
            last_change: Epoch(0),
            flags: 0,
            snap_seq: SnapId(0),
            snap_epoch: Epoch(0),
            snaps: BTreeMap::new(),
            removed_snaps: IntervalSet::new(),
            auid: 0,
            quota_max_bytes: 0,
            quota_max_objects: 0,
            tiers: BTreeSet::new(),
            tier_of: PoolId(-1),
            cache_mode: PoolCacheMode::None,
            read_tier: PoolId(-1),
            write_tier: PoolId(-1),
            properties: BTreeMap::new(),
            hit_set_params: HitSetParams::default(),
            hit_set_period: 0,
            hit_set_count: 0,
            stripe_width: 0,
            target_max_bytes: 0,
            target_max_objects: 0,
            cache_target_dirty_ratio_micro: 0,
            cache_target_dirty_high_ratio_micro: 0,
            cache_target_full_ratio_micro: 0,
            cache_min_flush_age: 0,
            cache_min_evict_age: 0,
            erasure_code_profile: String::new(),
            last_force_op_resend: Epoch(0),
            last_force_op_resend_prenautilus: Epoch(0),
            last_force_op_resend_preluminous: Epoch(0),
            min_read_recency_for_promote: 0,
            min_write_recency_for_promote: 0,
            expected_num_objects: 0,
            use_gmt_hitset: true,
            fast_read: false,
            hit_set_grade_decay_rate: 0,
            hit_set_search_last_n: 0,
            opts: BTreeMap::new(),
            application_metadata: BTreeMap::new(),
            create_time: UTime::ZERO,
            pg_autoscale_mode: 1,
            last_pg_merge_meta: PgMergeMeta::default(),
            peering_crush_bucket_count: 0,
            peering_crush_bucket_target: 0,
            peering_crush_bucket_barrier: 0,
            peering_crush_mandatory_member: 0x7fff_ffff,
            tail: Tail::default(),
        }
    }
}

impl Pool {
    /// A replicated pool as `ceph osd pool create` of 16.2 makes it.
    pub fn new_replicated(
        size: u32,
        min_size: u32,
        crush_rule: i32,
        pg_num: u32,
        epoch: Epoch,
        now: UTime,
    ) -> Self {
        Pool {
            size,
            min_size,
            crush_rule,
            object_hash: 2,
            pg_num,
            pgp_num: pg_num,
            pg_num_target: pg_num,
            pgp_num_target: pg_num,
            pg_num_pending: pg_num,
            last_change: epoch,
            flags: pool_flag::HASHPSPOOL,
            create_time: now,
            cache_target_dirty_ratio_micro: 400_000,
            cache_target_dirty_high_ratio_micro: 600_000,
            cache_target_full_ratio_micro: 800_000,
            // "on", the default of 16.2's configuration.
            pg_autoscale_mode: 2,
            ..Pool::default()
        }
    }

    /// True if the bit is set.
    pub fn has_flag(&self, flag: u64) -> bool {
        self.flags & flag == flag
    }

    /// True if a missing OSD leaves no gap: copies move up, shards keep their position.
    pub fn can_shift_osds(&self) -> bool {
        self.kind == PoolKind::Replicated
    }

    /// True if objects have shards.
    pub fn is_erasure(&self) -> bool {
        self.kind == PoolKind::Erasure
    }

    /// True if the pool takes part in two-site peering.
    pub fn is_stretch(&self) -> bool {
        self.peering_crush_bucket_count != 0
    }

    /// True if snapshots are made by clients.
    pub fn is_unmanaged_snaps_mode(&self) -> bool {
        self.has_flag(pool_flag::SELFMANAGED_SNAPS)
    }

    /// True if snapshots are made of the whole pool.
    pub fn is_pool_snaps_mode(&self) -> bool {
        self.has_flag(pool_flag::POOL_SNAPS)
    }

    /// The epoch from which a client resends, by its features.
    pub fn force_op_resend(&self, features: seabed_denc::Features) -> Epoch {
        use crate::features::{RESEND_ON_SPLIT, SERVER_NAUTILUS, has};
        if !has(features, RESEND_ON_SPLIT) {
            self.last_force_op_resend_preluminous
        } else if !has(features, SERVER_NAUTILUS) {
            self.last_force_op_resend_prenautilus
        } else {
            self.last_force_op_resend
        }
    }

    /// The hash of an object's name in this pool.
    pub fn hash(&self, namespace: &[u8], key: &[u8]) -> u32 {
        let with = match self.object_hash {
            1 => crate::hash_linux,
            _ => crate::hash_rjenkins,
        };
        crate::object::hash_input(namespace, key, with)
    }
}
