//! Changes made afresh: whoever applies one arrives where its maker arrived.

mod common;

use bytes::Bytes;
use common::maps::{Rng, crush, map, pool};
use proptest::prelude::*;
use seabed_cluster::osdmap::StretchMode;
use seabed_cluster::{
    AddrKind, Epoch, Incremental, IntervalSet, OsdId, OsdMap, PgId, PoolId, feature,
};

fn osd(rng: &mut Rng, n: i32) -> OsdId {
    OsdId(rng.below(n as u64) as i32)
}

fn pg(rng: &mut Rng, map: &OsdMap) -> PgId {
    let (&id, pool) = map.pools.iter().next().unwrap();
    PgId::new(id, rng.u32(pool.pg_num))
}

fn change_osds(rng: &mut Rng, map: &OsdMap, inc: &mut Incremental) {
    let n = map.max_osd;
    for _ in 0..rng.below(4) {
        let id = osd(rng, n);
        match rng.below(8) {
            0 => drop(inc.new_state.insert(id, 0)),
            1 => drop(inc.new_state.insert(id, 1 << rng.below(13))),
            2 => drop(inc.new_weight.insert(id, rng.u32(0x1_0001))),
            3 => drop(inc.new_up_thru.insert(id, map.epoch)),
            4 => drop(inc.new_primary_affinity.insert(id, rng.u32(0x1_0001))),
            5 => {
                inc.new_up_client.insert(id, rng.addrs());
                inc.new_up_cluster.insert(id, rng.addrs());
                inc.new_hb_back_up.insert(id, rng.addrs());
                inc.new_hb_front_up.insert(id, rng.addrs());
                inc.new_uuid.insert(id, rng.uuid());
                inc.new_last_clean_interval.insert(id, (Epoch(3), Epoch(9)));
            }
            6 => drop(inc.new_lost.insert(id, map.epoch)),
            _ => {
                let mut x = map.osd_xinfo[id.index().unwrap()].clone();
                x.laggy_interval += 1;
                inc.new_xinfo.insert(id, x);
            }
        }
    }
}

fn change_pools(rng: &mut Rng, map: &OsdMap, inc: &mut Incremental) {
    match rng.below(5) {
        0 => {
            inc.new_pool_max = PoolId(map.pool_max.0 + 1);
            inc.new_pools.insert(inc.new_pool_max, pool(rng));
            inc.new_pool_names.insert(inc.new_pool_max, "fresh".into());
        }
        1 => drop(inc.old_pools.insert(map.pool_max)),
        2 => {
            let mut set = IntervalSet::new();
            set.insert(rng.below(50), 3);
            inc.new_removed_snaps.insert(PoolId(1), set);
        }
        3 => {
            inc.new_purged_snaps.clone_from(&map.removed_snaps_queue);
        }
        _ => drop(inc.new_pool_names.insert(PoolId(1), "renamed".into())),
    }
}

fn change_pgs(rng: &mut Rng, map: &OsdMap, inc: &mut Incremental) {
    let n = map.max_osd;
    for _ in 0..rng.below(5) {
        let pg = pg(rng, map);
        match rng.below(9) {
            0 => drop(inc.new_pg_temp.insert(pg, Vec::new())),
            1 => drop(inc.new_pg_temp.insert(pg, vec![osd(rng, n)])),
            2 => drop(inc.new_primary_temp.insert(pg, OsdId(-1))),
            3 => drop(inc.new_primary_temp.insert(pg, osd(rng, n))),
            4 => drop(inc.new_pg_upmap.insert(pg, vec![osd(rng, n)])),
            5 => drop(inc.old_pg_upmap.insert(pg)),
            6 => drop(inc.new_pg_upmap_items.insert(pg, vec![(osd(rng, n), osd(rng, n))])),
            7 => drop(inc.old_pg_upmap_items.insert(pg)),
            _ => drop(inc.new_pg_upmap_primary.insert(pg, osd(rng, n))),
        }
    }
}

fn change_rest(rng: &mut Rng, map: &OsdMap, inc: &mut Incremental) {
    match rng.below(10) {
        0 => inc.new_flags = rng.next() as i32 & 0x7f_ffff,
        1 => inc.new_max_osd = map.max_osd + rng.below(4) as i32,
        2 => inc.crush = crush(rng, map.max_osd).encode(),
        3 => drop(inc.new_blocklist.insert(rng.addr(AddrKind::Any), rng.time())),
        4 => inc.old_blocklist.extend(map.blocklist.keys()),
        5 => inc.new_nearfull_ratio = 0.5,
        6 => inc.new_require_osd_release = 17,
        7 => inc.new_stretch = Some(StretchMode { enabled: true, ..StretchMode::default() }),
        8 => drop(inc.new_range_blocklist.insert(rng.addr(AddrKind::Cidr), rng.time())),
        _ => inc.cluster_snapshot = "now".into(),
    }
}

fn change(rng: &mut Rng, map: &OsdMap) -> Incremental {
    let mut inc = Incremental::new(map.fsid, map.epoch.next());
    inc.modified = rng.time();
    change_osds(rng, map, &mut inc);
    change_pools(rng, map, &mut inc);
    change_pgs(rng, map, &mut inc);
    change_rest(rng, map, &mut inc);
    inc
}

proptest! {
    #![proptest_config(common::cases(150))]

    #[test]
    fn maker_and_applier_agree(seed: u64) {
        let rng = &mut Rng(seed);
        let mut makers = map(rng.next());
        let mut appliers = OsdMap::decode(common::maps::encoded(&makers)).unwrap();
        for _ in 0..8 {
            let mut inc = change(rng, &makers);
            let features = feature::PACIFIC_ALL;
            let (next, full): (OsdMap, Bytes) = makers.seal(&mut inc, features).unwrap();
            let wire = inc.encode(feature::PACIFIC_ALL);
            let read = Incremental::decode(wire.clone()).unwrap();
            prop_assert!(read.encode(read.encode_features) == wire);
            prop_assert!(appliers.apply_checked(&read).unwrap() == full);
            prop_assert!(OsdMap::decode(full).unwrap() == appliers);
            makers = next;
            if makers.pools.is_empty() {
                break;
            }
        }
    }
}
