//! Maps made afresh from a seed: every field that the tools show, every way of placement.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use seabed_cluster::osdmap::{OptValue, pool_flag};
use seabed_cluster::{
    AddrKind, EVersion, EntityAddr, EntityAddrVec, Epoch, IntervalSet, OsdId, OsdMap, PgId, Pool,
    PoolId, PoolKind, PoolSnapInfo, SnapId, UTime, Uuid,
};
use seabed_crush::{Bucket, BucketAlg, ChooseArg, CrushMap, Rule, Step, Tunables};
use seabed_denc::{Encode, encode_versioned};

/// splitmix64: small, and the same everywhere.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn u32(&mut self, n: u32) -> u32 {
        self.below(u64::from(n)) as u32
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn osd(&mut self, n: i32) -> OsdId {
        OsdId(self.below(n as u64) as i32)
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid(u128::from(self.next()).wrapping_mul(u128::from(self.next())).to_le_bytes())
    }

    pub(crate) fn time(&mut self) -> UTime {
        UTime { sec: 1_600_000_000 + self.u32(400_000_000), nsec: self.u32(1_000_000_000) }
    }

    pub(crate) fn addr(&mut self, kind: AddrKind) -> EntityAddr {
        let port = 1 + self.u32(65_000) as u16;
        let ip = if self.once_in(5) {
            Ipv6Addr::from(u128::from(self.next()) << 64 | u128::from(self.next())).into()
        } else {
            Ipv4Addr::from(self.next() as u32).into()
        };
        EntityAddr { kind, nonce: self.next() as u32, addr: Some(SocketAddr::new(ip, port)) }
    }

    pub(crate) fn addrs(&mut self) -> EntityAddrVec {
        let kinds: &[AddrKind] =
            self.pick(&[&[AddrKind::Msgr2, AddrKind::Legacy], &[AddrKind::Msgr2], &[][..]]);
        EntityAddrVec(kinds.iter().map(|&kind| self.addr(kind)).collect())
    }
}

const HOST: u16 = 1;
const ROOT: u16 = 10;

fn rule(kind: PoolKind, id: u32, root: i32, how: u64) -> Rule {
    let step = match (kind, how) {
        (PoolKind::Replicated, 0) => Step::ChooseleafFirstn { num: 0, kind: i32::from(HOST) },
        (PoolKind::Replicated, _) => Step::ChooseFirstn { num: 0, kind: 0 },
        (PoolKind::Erasure, 0) => Step::ChooseleafIndep { num: 0, kind: i32::from(HOST) },
        (PoolKind::Erasure, _) => Step::ChooseIndep { num: 0, kind: 0 },
    };
    let mut steps = vec![Step::Take(root), step, Step::Emit];
    if kind == PoolKind::Erasure {
        steps.insert(0, Step::SetChooseTries(100));
    }
    Rule { ruleset: id as u8, kind: kind as u8, min_size: 1, max_size: 10, steps }
}

pub(crate) fn crush(rng: &mut Rng, max_osd: i32) -> CrushMap {
    let mut map = CrushMap { max_devices: max_osd, ..CrushMap::default() };
    map.tunables =
        rng.pick(&[Tunables::JEWEL, Tunables::JEWEL, Tunables::HAMMER, Tunables::BOBTAIL]);
    for (id, name) in [(0, "osd"), (1, "host"), (10, "root")] {
        map.type_names.insert(id, name.into());
    }
    let algs = [BucketAlg::Straw2, BucketAlg::Straw2, BucketAlg::Straw, BucketAlg::List];
    let hosts = 1 + rng.below(7) as i32;
    let mut members: Vec<Vec<(i32, u32)>> = vec![Vec::new(); hosts as usize];
    for osd in 0..max_osd {
        map.item_names.insert(osd, format!("osd.{osd}"));
        let host = rng.below(hosts as u64) as usize;
        let weight = if rng.once_in(12) { 0 } else { 0x1000 + rng.u32(0x4_0000) };
        members[host].push((osd, weight));
    }
    let mut slots = vec![None];
    let mut tops = Vec::new();
    for (i, items) in members.iter().enumerate() {
        let alg = rng.pick(&algs);
        let mut bucket = Bucket::new(alg, HOST, items, &map.tunables).unwrap();
        bucket.id = -2 - i as i32;
        map.item_names.insert(bucket.id, format!("host{i}"));
        tops.push((bucket.id, bucket.weight));
        slots.push(Some(bucket));
    }
    let mut root = Bucket::new(BucketAlg::Straw2, ROOT, &tops, &map.tunables).unwrap();
    root.id = -1;
    map.item_names.insert(-1, "default".into());
    slots[0] = Some(root);
    map.buckets = slots;
    for id in 0..4u32 {
        let kind = if id < 2 { PoolKind::Replicated } else { PoolKind::Erasure };
        map.rules.push(Some(rule(kind, id, -1, u64::from(id % 2))));
        map.rule_names.insert(id as i32, format!("rule{id}"));
    }
    if rng.once_in(3) {
        let weights = tops.iter().map(|_| rng.u32(0x4_0000)).collect();
        let arg = ChooseArg { weight_sets: vec![weights], ids: Vec::new() };
        map.choose_args.insert(rng.pick(&[-1, 1, 2]), [(0, arg)].into_iter().collect());
    }
    map
}

pub(crate) fn pool(rng: &mut Rng) -> Pool {
    let kind = rng.pick(&[PoolKind::Replicated, PoolKind::Replicated, PoolKind::Erasure]);
    let erasure = kind == PoolKind::Erasure;
    let size = 1 + rng.u32(if erasure { 6 } else { 4 });
    let rule = rng.below(2) as i32 + if erasure { 2 } else { 0 };
    let pg_num = 1 + rng.u32(40);
    let mut p = Pool::new_replicated(size, size.div_ceil(2), rule, pg_num, Epoch(7), rng.time());
    p.kind = kind;
    p.pgp_num = 1 + rng.u32(pg_num);
    p.pgp_num_target = rng.pick(&[p.pgp_num, p.pgp_num, pg_num]);
    p.pg_num_target = rng.pick(&[pg_num, pg_num, 2 * pg_num]);
    p.pg_num_pending = rng.pick(&[pg_num, pg_num, pg_num.max(2) - 1]);
    p.object_hash = rng.pick(&[1, 2, 2]);
    p.pg_autoscale_mode = rng.u32(3) as u8;
    p.flags = if rng.once_in(3) { rng.next() & 0x2_ffff } else { pool_flag::HASHPSPOOL };
    p.last_change = Epoch(rng.u32(1000));
    if rng.once_in(3) {
        p.last_force_op_resend = Epoch(rng.u32(100));
        p.last_force_op_resend_prenautilus = Epoch(rng.u32(100));
        p.last_force_op_resend_preluminous = Epoch(rng.u32(100));
        p.quota_max_bytes = rng.below(1 << 40);
        p.quota_max_objects = rng.below(1000);
        p.fast_read = true;
        p.expected_num_objects = rng.below(3);
        p.auid = rng.below(3);
        p.last_pg_merge_meta.source_pgid = PgId::new(PoolId(3), 17);
        p.last_pg_merge_meta.source_version = EVersion::new(Epoch(4), 44);
    }
    if erasure {
        p.erasure_code_profile = "ec42".into();
        p.stripe_width = 4096 * size;
    }
    if rng.once_in(4) {
        p.tiers = [rng.below(9), 77].into_iter().collect();
        p.read_tier = PoolId(rng.below(5) as i64);
        p.write_tier = PoolId(rng.below(5) as i64);
        p.tier_of = PoolId(rng.below(5) as i64);
        p.min_read_recency_for_promote = 2;
        p.target_max_bytes = rng.below(1 << 30);
        let mut raw = bytes::BytesMut::new();
        encode_versioned(&mut raw, 1, 1, |out| {
            50_000u32.encode(out, 0);
            (7u64, 0u64).encode(out, 0);
        });
        p.hit_set_params.kind = 3;
        p.hit_set_params.raw = raw.freeze();
        p.hit_set_period = 3600;
    }
    let modes = pool_flag::POOL_SNAPS | pool_flag::SELFMANAGED_SNAPS;
    p.flags &= !modes;
    let snaps = rng.below(3);
    if snaps > 0 {
        p.flags |= pool_flag::POOL_SNAPS;
    } else if rng.once_in(3) {
        p.flags |= pool_flag::SELFMANAGED_SNAPS;
        p.removed_snaps.insert(10 + rng.below(100), 1 + rng.below(20));
        p.snap_seq = SnapId(200);
    }
    for snap in 0..snaps {
        let snapid = SnapId(snap + 9);
        let info = PoolSnapInfo { snapid, stamp: rng.time(), name: format!("snap {snap}") };
        p.snaps.insert(snapid, info);
        p.snap_seq = snapid;
    }
    if rng.once_in(2) {
        p.opts.insert(6, OptValue::Str("passive".into()));
        p.opts.insert(15, OptValue::Int(rng.below(64) as i64));
        p.opts.insert(17, OptValue::Double(rng.below(1000) as f64 / 997.0));
        p.opts.insert(23, OptValue::Int(64));
    }
    for app in ["rbd", "weird app"] {
        if rng.once_in(2) {
            let notes = [("key".to_owned(), "value".to_owned())];
            p.application_metadata.insert(app.into(), notes.into_iter().collect());
        }
    }
    p
}

fn osds(rng: &mut Rng, map: &mut OsdMap, max_osd: i32) {
    map.set_max_osd(max_osd).unwrap();
    for i in 0..max_osd as usize {
        if rng.once_in(10) {
            continue;
        }
        map.osd_state[i] = if rng.once_in(6) { 1 } else { 3 };
        if rng.once_in(5) {
            map.osd_state[i] |= rng.next() as u32 & 0x1ffc;
        }
        map.osd_weight[i] = match rng.below(6) {
            0 => 0,
            1 => rng.u32(0x1_0000),
            _ => 0x1_0000,
        };
        map.osd_uuid[i] = if rng.once_in(4) { Uuid::ZERO } else { rng.uuid() };
        let info = &mut map.osd_info[i];
        info.up_from = Epoch(rng.u32(99));
        info.up_thru = Epoch(rng.u32(99));
        info.down_at = Epoch(rng.u32(99));
        info.last_clean_end = Epoch(rng.u32(99));
        info.lost_at = Epoch(rng.u32(2));
        map.osd_xinfo[i].features = rng.next();
        map.osd_xinfo[i].down_stamp = rng.time();
        map.osd_xinfo[i].old_weight = rng.u32(0x1_0000);
        map.osd_xinfo[i].laggy_interval = rng.u32(100);
        let addrs = &mut map.osd_addrs[i];
        addrs.client = rng.addrs();
        addrs.cluster = rng.addrs();
        addrs.heartbeat_back = rng.addrs();
        addrs.heartbeat_front = rng.addrs();
    }
    if rng.once_in(2) {
        let pick = |_| rng.pick(&[0, 0x1_0000, 0x1_0000, 0x8000, 0x4e21]);
        map.primary_affinity = Some((0..max_osd).map(pick).collect());
    }
}

fn exceptions(rng: &mut Rng, map: &mut OsdMap, max_osd: i32) {
    let sizes: Vec<_> = map.pools.iter().map(|(&id, p)| (id, p.pg_num, p.size)).collect();
    for (id, pg_num, size) in sizes {
        for seed in 0..pg_num {
            let pg = PgId::new(id, seed);
            if rng.once_in(8) {
                let set = (0..size).map(|_| rng.osd(max_osd)).collect();
                map.pg_temp.insert(pg, set);
            }
            if rng.once_in(9) {
                map.primary_temp.insert(pg, rng.osd(max_osd));
            }
            if rng.once_in(9) {
                let set = (0..size).map(|_| rng.osd(max_osd)).collect();
                map.pg_upmap.insert(pg, set);
            }
            if rng.once_in(6) {
                let pairs = (0..1 + rng.below(3)).map(|_| (rng.osd(max_osd), rng.osd(max_osd)));
                let pairs = pairs.collect();
                map.pg_upmap_items.insert(pg, pairs);
            }
        }
    }
}

fn snaps(rng: &mut Rng) -> BTreeMap<PoolId, IntervalSet> {
    let mut set = IntervalSet::new();
    set.insert(rng.below(100), 1 + rng.below(30));
    set.insert(200, 5);
    [(PoolId(1), set)].into_iter().collect()
}

pub(crate) fn map(seed: u64) -> OsdMap {
    let rng = &mut Rng(seed);
    let mut map = OsdMap::empty(rng.uuid(), rng.time());
    map.epoch = Epoch(1 + rng.u32(1_000_000));
    map.modified = rng.time();
    map.flags = if rng.once_in(2) { 0x58_8000 } else { rng.next() as u32 & 0x7f_fffc };
    map.crush_version = rng.below(50) as i32;
    map.full_ratio = 0.95;
    map.backfillfull_ratio = rng.below(1000) as f32 / 999.0;
    map.nearfull_ratio = 0.85;
    map.require_min_compat_client = rng.u32(17) as u8;
    map.require_osd_release = rng.pick(&[16, 16, 15]);
    map.last_up_change = rng.time();
    map.last_in_change = rng.time();
    let max_osd = 1 + rng.below(20) as i32;
    map.crush = crush(rng, max_osd);
    osds(rng, &mut map, max_osd);
    for id in 1..=1 + rng.below(3) as i64 {
        map.pools.insert(PoolId(id), pool(rng));
        map.pool_names.insert(PoolId(id), format!("pool number {id}"));
        map.pool_max = PoolId(id);
    }
    exceptions(rng, &mut map, max_osd);
    if rng.once_in(2) {
        map.removed_snaps_queue = snaps(rng);
        map.new_removed_snaps = snaps(rng);
        map.new_purged_snaps = snaps(rng);
        // One: the tools print the order of a hash table.
        let addr = rng.addr(AddrKind::Any);
        map.blocklist.insert(addr, rng.time());
        map.crush_node_flags.insert(-1, 0x300);
        map.device_class_flags.insert(3, 0x100);
        map.cluster_snapshot = "backup".into();
        map.cluster_snapshot_epoch = map.epoch;
        let profile = [("k".to_owned(), "4".to_owned())].into_iter().collect();
        map.erasure_code_profiles.insert("ec42".into(), profile);
    }
    map
}

/// The map as a file.
pub(crate) fn encoded(map: &OsdMap) -> Bytes {
    map.encode_full(seabed_cluster::feature::PACIFIC_ALL)
}
