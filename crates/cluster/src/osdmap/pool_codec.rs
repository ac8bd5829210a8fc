//! The encoding of a pool: form 29, or 30 when it takes part in two-site peering.
//!
//! Form 29 is what every peer from Nautilus on reads, and what newer peers are content with from
//! a server that announces no newer features. From newer servers, whatever follows form 29's
//! fields is kept as it is.

use std::collections::{BTreeMap, BTreeSet};

use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    decode_versioned_min, encode_versioned,
};

use super::{
    HitSetParams, IntervalSet, OptValue, PgMergeMeta, Pool, PoolCacheMode, PoolKind, PoolSnapInfo,
};
use crate::{EVersion, Epoch, PgId, PoolId, SnapId, Tail, UTime};

/// The form without and with two-site peering, and the oldest reader of both.
const FORM: u8 = 29;
const FORM_STRETCH: u8 = 30;
const COMPAT: u8 = 5;
/// 64 times what a monitor allows by default; whoever walks a pool's PGs comes to an end.
const PG_NUM_MAX: u32 = 1 << 22;

fn invalid(what: &'static str, value: u64) -> DecodeError {
    DecodeError::Invalid { what, value }
}

impl Encode for PoolSnapInfo {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 2, 2, |out| {
            self.snapid.encode(out, features);
            self.stamp.encode(out, features);
            self.name.encode(out, features);
        });
    }
}

impl Decode for PoolSnapInfo {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| {
            Ok(PoolSnapInfo {
                snapid: SnapId::decode(r)?,
                stamp: UTime::decode(r)?,
                name: String::decode(r)?,
            })
        };
        Ok(decode_versioned(r, "pool_snap_info_t", 2, body)?.0)
    }
}

impl Encode for HitSetParams {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.kind.encode(out, features);
            out.extend_from_slice(&self.raw);
        });
    }
}

impl Decode for HitSetParams {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body =
            |r: &mut Reader, _| Ok(HitSetParams { kind: u8::decode(r)?, raw: r.take_rest() });
        Ok(decode_versioned(r, "HitSet::Params", 1, body)?.0)
    }
}

impl Encode for PgMergeMeta {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.source_pgid.encode(out, features);
            self.ready_epoch.encode(out, features);
            self.last_epoch_started.encode(out, features);
            self.last_epoch_clean.encode(out, features);
            self.source_version.encode(out, features);
            self.target_version.encode(out, features);
        });
    }
}

impl Decode for PgMergeMeta {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| {
            Ok(PgMergeMeta {
                source_pgid: PgId::decode(r)?,
                ready_epoch: Epoch::decode(r)?,
                last_epoch_started: Epoch::decode(r)?,
                last_epoch_clean: Epoch::decode(r)?,
                source_version: EVersion::decode(r)?,
                target_version: EVersion::decode(r)?,
            })
        };
        Ok(decode_versioned(r, "pg_merge_meta_t", 1, body)?.0)
    }
}

/// The number of the value's type, then the value.
impl Encode for OptValue {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        match self {
            OptValue::Str(s) => (0i32, s).encode(out, features),
            OptValue::Int(n) => (1i32, n).encode(out, features),
            OptValue::Double(d) => (2i32, d).encode(out, features),
        }
    }
}

impl Decode for OptValue {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match u32::decode(r)? {
            0 => OptValue::Str(String::decode(r)?),
            1 => OptValue::Int(i64::decode(r)?),
            2 => OptValue::Double(f64::decode(r)?),
            n => return Err(invalid("pool option type", u64::from(n))),
        })
    }
}

impl Decode for PoolKind {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            1 => Ok(PoolKind::Replicated),
            3 => Ok(PoolKind::Erasure),
            n => Err(invalid("pool type", u64::from(n))),
        }
    }
}

impl Decode for PoolCacheMode {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => PoolCacheMode::None,
            1 => PoolCacheMode::Writeback,
            2 => PoolCacheMode::Forward,
            3 => PoolCacheMode::ReadOnly,
            4 => PoolCacheMode::ReadForward,
            5 => PoolCacheMode::ReadProxy,
            6 => PoolCacheMode::Proxy,
            n => return Err(invalid("cache mode", u64::from(n))),
        })
    }
}

/// Fields that are a byte on the wire; the commands that set them keep them in range.
fn byte(n: u32) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

impl Pool {
    fn encode_placement(&self, out: &mut BytesMut, features: Features) {
        (self.kind as u8).encode(out, features);
        byte(self.size).encode(out, features);
        u8::try_from(self.crush_rule).unwrap_or(u8::MAX).encode(out, features);
        self.object_hash.encode(out, features);
        self.pg_num.encode(out, features);
        self.pgp_num.encode(out, features);
        // Once numbers of local PGs.
        (0u32, 0u32).encode(out, features);
        self.last_change.encode(out, features);
        self.snap_seq.encode(out, features);
        self.snap_epoch.encode(out, features);
        self.snaps.encode(out, features);
        self.removed_snaps.encode(out, features);
        self.auid.encode(out, features);
        self.flags.encode(out, features);
        // Once a replay interval.
        0u32.encode(out, features);
        byte(self.min_size).encode(out, features);
        self.quota_max_bytes.encode(out, features);
        self.quota_max_objects.encode(out, features);
    }

    fn encode_tiering(&self, out: &mut BytesMut, features: Features) {
        self.tiers.encode(out, features);
        self.tier_of.encode(out, features);
        (self.cache_mode as u8).encode(out, features);
        self.read_tier.encode(out, features);
        self.write_tier.encode(out, features);
        self.properties.encode(out, features);
        self.hit_set_params.encode(out, features);
        self.hit_set_period.encode(out, features);
        self.hit_set_count.encode(out, features);
        self.stripe_width.encode(out, features);
        self.target_max_bytes.encode(out, features);
        self.target_max_objects.encode(out, features);
        self.cache_target_dirty_ratio_micro.encode(out, features);
        self.cache_target_full_ratio_micro.encode(out, features);
        self.cache_min_flush_age.encode(out, features);
        self.cache_min_evict_age.encode(out, features);
        self.erasure_code_profile.encode(out, features);
        self.last_force_op_resend_preluminous.encode(out, features);
        self.min_read_recency_for_promote.encode(out, features);
        self.expected_num_objects.encode(out, features);
        self.cache_target_dirty_high_ratio_micro.encode(out, features);
        self.min_write_recency_for_promote.encode(out, features);
        self.use_gmt_hitset.encode(out, features);
        self.fast_read.encode(out, features);
        self.hit_set_grade_decay_rate.encode(out, features);
        self.hit_set_search_last_n.encode(out, features);
    }

    fn encode_newer(&self, out: &mut BytesMut, features: Features, version: u8) {
        encode_versioned(out, 2, 1, |out| self.opts.encode(out, features));
        self.last_force_op_resend_prenautilus.encode(out, features);
        self.application_metadata.encode(out, features);
        self.create_time.encode(out, features);
        self.pg_num_target.encode(out, features);
        self.pgp_num_target.encode(out, features);
        self.pg_num_pending.encode(out, features);
        // Once epochs of the last merge.
        (0u32, 0u32).encode(out, features);
        self.last_force_op_resend.encode(out, features);
        self.pg_autoscale_mode.encode(out, features);
        self.last_pg_merge_meta.encode(out, features);
        if version == FORM_STRETCH {
            self.peering_crush_bucket_count.encode(out, features);
            self.peering_crush_bucket_target.encode(out, features);
            self.peering_crush_bucket_barrier.encode(out, features);
            self.peering_crush_mandatory_member.encode(out, features);
        }
    }

    fn decode_placement(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        self.kind = PoolKind::decode(r)?;
        self.size = u32::from(u8::decode(r)?);
        self.crush_rule = i32::from(u8::decode(r)?);
        self.object_hash = u8::decode(r)?;
        self.pg_num = u32::decode(r)?;
        self.pgp_num = u32::decode(r)?;
        <(u32, u32)>::decode(r)?;
        self.last_change = Epoch::decode(r)?;
        self.snap_seq = SnapId::decode(r)?;
        self.snap_epoch = Epoch::decode(r)?;
        self.snaps = BTreeMap::decode(r)?;
        self.removed_snaps = IntervalSet::decode(r)?;
        self.auid = u64::decode(r)?;
        self.flags = u64::decode(r)?;
        u32::decode(r)?;
        self.min_size = u32::from(u8::decode(r)?);
        self.quota_max_bytes = u64::decode(r)?;
        self.quota_max_objects = u64::decode(r)?;
        Ok(())
    }

    fn decode_tiering(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        self.tiers = BTreeSet::decode(r)?;
        self.tier_of = PoolId::decode(r)?;
        self.cache_mode = PoolCacheMode::decode(r)?;
        self.read_tier = PoolId::decode(r)?;
        self.write_tier = PoolId::decode(r)?;
        self.properties = BTreeMap::decode(r)?;
        self.hit_set_params = HitSetParams::decode(r)?;
        self.hit_set_period = u32::decode(r)?;
        self.hit_set_count = u32::decode(r)?;
        self.stripe_width = u32::decode(r)?;
        self.target_max_bytes = u64::decode(r)?;
        self.target_max_objects = u64::decode(r)?;
        self.cache_target_dirty_ratio_micro = u32::decode(r)?;
        self.cache_target_full_ratio_micro = u32::decode(r)?;
        self.cache_min_flush_age = u32::decode(r)?;
        self.cache_min_evict_age = u32::decode(r)?;
        self.erasure_code_profile = String::decode(r)?;
        self.last_force_op_resend_preluminous = Epoch::decode(r)?;
        self.min_read_recency_for_promote = i32::decode(r)?;
        self.expected_num_objects = u64::decode(r)?;
        self.cache_target_dirty_high_ratio_micro = u32::decode(r)?;
        self.min_write_recency_for_promote = i32::decode(r)?;
        self.use_gmt_hitset = bool::decode(r)?;
        self.fast_read = bool::decode(r)?;
        self.hit_set_grade_decay_rate = i32::decode(r)?;
        self.hit_set_search_last_n = u32::decode(r)?;
        Ok(())
    }

    fn decode_newer(&mut self, r: &mut Reader, version: u8) -> Result<(), DecodeError> {
        self.opts = decode_versioned(r, "pool_opts_t", 2, |r, _| BTreeMap::decode(r))?.0;
        self.last_force_op_resend_prenautilus = Epoch::decode(r)?;
        self.application_metadata = BTreeMap::decode(r)?;
        self.create_time = UTime::decode(r)?;
        self.pg_num_target = u32::decode(r)?;
        self.pgp_num_target = u32::decode(r)?;
        self.pg_num_pending = u32::decode(r)?;
        <(u32, u32)>::decode(r)?;
        self.last_force_op_resend = Epoch::decode(r)?;
        self.pg_autoscale_mode = u8::decode(r)?;
        self.last_pg_merge_meta = PgMergeMeta::decode(r)?;
        if version == FORM_STRETCH {
            self.peering_crush_bucket_count = u32::decode(r)?;
            self.peering_crush_bucket_target = u32::decode(r)?;
            self.peering_crush_bucket_barrier = u32::decode(r)?;
            self.peering_crush_mandatory_member = u32::decode(r)?;
        }
        Ok(())
    }
}

impl Encode for Pool {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        let version = if self.is_stretch() { FORM_STRETCH } else { FORM };
        self.tail.encode_around(out, version, COMPAT, |out| {
            self.encode_placement(out, features);
            self.encode_tiering(out, features);
            self.encode_newer(out, features, version.max(self.tail.version));
        });
    }
}

impl Decode for Pool {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, version| {
            let mut pool = Pool::default();
            pool.decode_placement(r)?;
            pool.decode_tiering(r)?;
            pool.decode_newer(r, version)?;
            Ok(pool)
        };
        let (mut pool, envelope) = decode_versioned_min(r, "pg_pool_t", FORM_STRETCH, FORM, body)?;
        for n in [pool.pg_num, pool.pgp_num] {
            if n == 0 || n > PG_NUM_MAX {
                return Err(invalid("pg_num", u64::from(n)));
            }
        }
        pool.tail = Tail::of(envelope, FORM_STRETCH);
        Ok(pool)
    }
}

#[cfg(test)]
mod tests {
    use seabed_denc::Bytes;

    use super::*;

    #[test]
    fn a_newer_form_is_kept_whole() {
        let mut pool = Pool { pg_num: 8, pgp_num: 8, ..Pool::default() };
        pool.tail = Tail { version: 32, bytes: Bytes::from_static(&[0, 4, 0, 0, 0, 1, 2, 3, 4]) };
        let bytes = pool.to_bytes(0);
        let again = Pool::from_bytes(bytes.clone()).unwrap();
        assert_eq!(again, pool);
        assert_eq!(again.to_bytes(0), bytes);
    }
}
