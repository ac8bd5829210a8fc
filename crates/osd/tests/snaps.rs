//! Snapshots under faults: what one shows stays as it was until it is removed; then its clones go,
//! on every copy, and the monitor hears of it. Whatever dies in between.

mod world;

use std::collections::BTreeSet;
use std::ops::Bound;

use seabed_cluster::{
    Collection, GhObject, HObject, IntervalSet, OsdId, PgId, PoolId, SnapId, SnapSet, SpgId,
    osdmap::flag, pg_state,
};
use seabed_denc::Decode;
use seabed_storage::ObjectStore;
use seabed_storage::mem::MemStore;

use world::World;

fn ready(mut world: World) -> World {
    (0..world.nodes.len()).for_each(|n| world.start(n));
    world.settle(60_000);
    world.client.quiet = false;
    world.client.images = 6;
    world
}

/// Takes a snapshot as soon as no image is being written; false if that takes too long.
fn snapshot(world: &mut World) -> bool {
    world.client.still = true;
    for _ in 0..100 {
        if world.client.images_rest() {
            world.client.snapshot();
            break;
        }
        world.run(100);
    }
    world.client.still = false;
    world.client.images_rest()
}

fn remove_one(world: &mut World) {
    let snaps: Vec<u64> = world.client.snaps.keys().copied().collect();
    if !snaps.is_empty() {
        let snap = snaps[world.random.below(snaps.len())];
        world.client.forget_snap(snap);
        world.mon.remove_snap(snap);
    }
}

/// Runs until every removed snapshot is purged.
fn settle_trimmed(world: &mut World) {
    for _ in 0..3000 {
        world.run(100);
        if world.client.is_idle()
            && world.is_clean()
            && world.mon.map.removed_snaps_queue.is_empty()
        {
            return;
        }
    }
    let map = &world.mon.map;
    world.fail(&format!("not trimmed: {:?}, {:?}", map.removed_snaps_queue, map.epoch));
}

fn finish(world: &mut World) {
    for n in 0..world.nodes.len() {
        if world.nodes[n].osd.is_none() {
            world.start(n);
        }
    }
    world.settle(300_000);
    settle_trimmed(world);
    let snaps: Vec<u64> = world.client.snaps.keys().copied().collect();
    for image in 0..world.client.images {
        let (image, now) = (format!("image{image}"), world.now);
        world.client.read(&image, now);
        snaps.iter().for_each(|snap| world.client.read_snap(*snap, &image, now));
    }
    world.settle(100_000);
    world.compare_copies();
    check_clones(world);
}

/// Every clone serves a snapshot that lives, heads and mappers agree with what lies there.
fn check_clones(world: &World) -> usize {
    let live: BTreeSet<SnapId> = world.client.snaps.keys().map(|s| SnapId(*s)).collect();
    let mut clones = 0;
    for (pool, spec) in &world.mon.map.pools {
        for seed in 0..spec.pg_num {
            let pg = PgId::new(*pool, seed);
            let Some(OsdId(n)) = world.mon.map.map_pg(pg).acting_primary else { continue };
            clones += check_pg(world, &world.nodes[n as usize].store, pg, &live);
        }
    }
    clones
}

fn check_pg(world: &World, store: &MemStore, pg: PgId, live: &BTreeSet<SnapId>) -> usize {
    let coll = Collection::Pg(SpgId::replicated(pg));
    let (objects, _) =
        store.list(&coll, &GhObject::min(), &GhObject::max(), 100_000).unwrap_or_default();
    let stored: BTreeSet<&HObject> = objects.iter().map(|o| &o.hobj).collect();
    let mut serving = BTreeSet::new();
    for o in objects.iter().filter(|o| o.hobj.is_head() && !o.is_pg_meta()) {
        let bytes = store.get_attr(&coll, o, b"snapset").unwrap();
        let set = SnapSet::from_bytes(bytes).unwrap();
        for id in &set.clones {
            let clone = o.hobj.with_snap(*id);
            if !stored.contains(&clone) {
                world.fail(&format!("{clone:?} is in a snapset and not there"));
            }
            for snap in &set.clone_snaps[id] {
                if !live.contains(snap) {
                    world.fail(&format!("{clone:?} serves {snap}, which is removed"));
                }
                serving.insert((*snap, clone.clone()));
            }
        }
    }
    let clones = stored.iter().filter(|o| !o.is_head() && o.pool == pg.pool).count();
    let named: BTreeSet<&HObject> = serving.iter().map(|(_, clone)| clone).collect();
    assert_eq!(clones, named.len(), "pg {pg}: clones that serve nothing");
    let meta = GhObject::pg_meta(SpgId::replicated(pg));
    let (keys, _) = store.omap_range(&coll, &meta, Bound::Included(b"SNA_"), 100_000).unwrap();
    let mapped = keys.iter().filter(|(key, _)| key.starts_with(b"SNA_")).count();
    assert_eq!(mapped, serving.len(), "pg {pg}: the mapper knows what serves");
    clones
}

#[test]
fn removed_snapshots_leave_nothing() {
    let mut world = ready(World::new(1, 3, 3, 2, 4));
    for _ in 0..5 {
        world.run(3000);
        assert!(snapshot(&mut world));
        world.run(3000);
    }
    world.settle(100_000);
    assert!(check_clones(&world) > 5, "writes under snapshots made clones");
    for _ in 0..3 {
        remove_one(&mut world);
    }
    settle_trimmed(&mut world);
    finish(&mut world);
    while !world.client.snaps.is_empty() {
        remove_one(&mut world);
        world.client.quiet = false;
        world.run(500);
    }
    finish(&mut world);
    assert_eq!(check_clones(&world), 0);
    assert!(world.client.snap_reads > 50, "{}", world.client.snap_reads);
}

#[test]
fn nobody_trims_while_it_is_forbidden() {
    let mut world = ready(World::new(2, 3, 3, 2, 2));
    world.run(2000);
    assert!(snapshot(&mut world));
    world.run(4000);
    world.settle(100_000);
    let flags = world.mon.map.flags | flag::map::NOSNAPTRIM;
    world.mon.change().new_flags = flags as i32;
    world.run(1000);
    let clones = check_clones(&world);
    let snap = *world.client.snaps.keys().next().unwrap();
    world.mon.remove_snap(snap);
    world.run(10_000);
    assert_eq!(check_clones(&world), clones);
    let stats: Vec<_> = world.mon.stats.values().collect();
    assert!(stats.iter().all(|s| s.snaptrimq_len == 1 && s.purged_snaps.is_empty()));
    assert!(stats.iter().all(|s| s.state() & (pg_state::SNAPTRIM | pg_state::SNAPTRIM_WAIT) == 0));
    world.client.forget_snap(snap);
    world.mon.change().new_flags = (flags & !flag::map::NOSNAPTRIM) as i32;
    finish(&mut world);
    assert_eq!(check_clones(&world), 0);
}

#[test]
fn clones_that_were_left_of_purged_snapshots_are_found() {
    let mut world = World::new(3, 3, 3, 2, 2);
    world.config.purged_look_interval = std::time::Duration::from_secs(5);
    let mut world = ready(world);
    world.run(2000);
    assert!(snapshot(&mut world));
    world.run(4000);
    world.settle(100_000);
    assert!(check_clones(&world) > 0);
    // It counts as purged, and nobody has trimmed it.
    let snap = *world.client.snaps.keys().next().unwrap();
    let mut purged = IntervalSet::new();
    purged.insert(snap, 1);
    world.mon.change().new_purged_snaps.insert(PoolId(1), purged);
    world.client.forget_snap(snap);
    world.run(20_000);
    finish(&mut world);
    assert_eq!(check_clones(&world), 0);
}

/// Snapshots come and go while machines do.
fn kills(seed: u64) -> World {
    let mut draw = world::Random::new(seed + 177);
    let osds = 3 + draw.below(2);
    let size = 2 + draw.below(2) as u32;
    let mut world = World::new(seed, osds, size, 1 + draw.below(size as usize) as u32, 3);
    world.config.pg.push_chunk = 24;
    world.config.pg.push_omap = 2;
    world.config.trimming_pgs = 1 + draw.below(2);
    if draw.one_in(2) {
        (world.config.pg.log_max, world.config.pg.log_min) = (6, 4);
        world.config.pg.backfill_scan = 3;
    }
    if draw.one_in(3) {
        world.config.pg.snap_trim_sleep = std::time::Duration::from_millis(300);
    }
    let mut world = ready(world);
    for _ in 0..14 {
        let n = world.random.below(osds);
        match world.random.below(5) {
            0 => drop(snapshot(&mut world)),
            1 => remove_one(&mut world),
            2 if world.random.one_in(3) => {
                for n in 0..osds {
                    world.kill(n);
                    world.mon.mark_down(n);
                }
                world.run(50);
                (0..osds).for_each(|n| world.start(n));
            }
            _ if world.nodes[n].osd.is_some() => {
                world.kill(n);
                let noticed = world.random.below(1500);
                world.run(noticed);
                world.mon.mark_down(n);
            }
            _ => world.start(n),
        }
        if world.alive().len() == osds && world.random.one_in(2) {
            snapshot(&mut world);
            remove_one(&mut world);
        }
        let steps = world.random.below(4000);
        world.run(steps);
    }
    finish(&mut world);
    world
}

#[test]
fn killed_while_clones_are_made_and_trimmed() {
    let var = |name| std::env::var(name).ok().and_then(|s| s.parse().ok());
    let first: u64 = var("SEED").unwrap_or(300);
    let (mut reads, mut snaps) = (0, 0);
    for seed in first..first + var("SEEDS").unwrap_or(8) {
        eprintln!("seed {seed}");
        let world = kills(seed);
        reads += world.client.snap_reads;
        snaps += world.client.snap_seq;
    }
    assert!(
        var("SEEDS").is_some() || snaps > 20 && reads > 500,
        "{snaps} snapshots, {reads} reads"
    );
}
