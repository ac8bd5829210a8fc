//! Clusters under faults: whatever dies and comes back in whatever order, no acknowledged write is
//! lost, undone or done twice, and in the end every copy is the same.

mod world;

use seabed_storage::ObjectStore;

use world::World;

fn ready(seed: u64, osds: usize, size: u32, min_size: u32, pg_num: u32) -> World {
    let mut world = World::new(seed, osds, size, min_size, pg_num);
    for n in 0..osds {
        world.start(n);
    }
    world.settle(60_000);
    world.client.quiet = false;
    world
}

fn finish(world: &mut World) {
    for n in 0..world.nodes.len() {
        if world.nodes[n].osd.is_none() {
            world.start(n);
        }
    }
    world.settle(300_000);
    let objects: Vec<String> = world.client.objects.keys().cloned().collect();
    for object in objects {
        let now = world.now;
        world.client.read(&object, now);
    }
    world.settle(100_000);
    world.compare_copies();
}

#[test]
fn a_new_pool_becomes_clean() {
    let world = ready(1, 3, 3, 2, 8);
    world.compare_copies();
}

#[test]
fn writes_are_read_back_from_every_copy() {
    let mut world = ready(2, 3, 3, 2, 4);
    world.client.count = 10;
    world.client.depth = 3;
    world.run(20_000);
    assert!(world.client.acks > 100, "{} acks", world.client.acks);
    finish(&mut world);
}

/// Gives every machine's disk another size; the machines are off.
fn resize_disks(world: &mut World, bytes: u64) {
    for node in &mut world.nodes {
        let store = std::mem::take(&mut node.store);
        node.store = store.with_capacity(bytes);
    }
}

#[test]
fn full_disks_take_nothing_more_and_lose_nothing() {
    let mut world = World::new(3, 3, 3, 2, 4);
    let large = world.nodes[0].store.statfs().total;
    (0..3).for_each(|n| world.start(n));
    world.settle(60_000);
    (0..3).for_each(|n| world.kill(n));
    let used = world.nodes.iter().map(|n| large - n.store.statfs().available).max().unwrap();
    // Room for some writes, and as much for those that are on their way when it is used up.
    let size = used + 60_000;
    world.config.failsafe_full_ratio = (used + 8_000) as f64 / size as f64;
    resize_disks(&mut world, size);
    (0..3).for_each(|n| world.start(n));
    world.client.quiet = false;
    (world.client.count, world.client.depth) = (40, 4);
    world.run(30_000);
    assert_eq!(world.alive().len(), 3, "a full disk stops nobody");
    assert!(world.seen.contains_key("no room"), "the disks never filled: {:?}", world.seen);
    (0..3).for_each(|n| world.kill(n));
    resize_disks(&mut world, large);
    (0..3).for_each(|n| world.start(n));
    finish(&mut world);
}

/// What varies from seed to seed.
fn kills(seed: u64, plant: impl Fn(&mut World)) -> World {
    let mut draw = world::Random::new(seed + 77);
    let osds = 3 + draw.below(3);
    let size = 2 + draw.below(2) as u32;
    let min_size = 1 + draw.below(size as usize) as u32;
    let mut world = World::new(seed, osds, size, min_size, 4);
    world.config.pg.push_chunk = 24;
    world.config.pg.push_omap = 2;
    if draw.one_in(2) {
        // So short that copies that were away must be filled.
        (world.config.pg.log_max, world.config.pg.log_min) = (6, 4);
        world.config.pg.backfill_scan = 3;
    }
    if draw.one_in(2) {
        world.config.pg.lease = std::time::Duration::from_secs(2);
    }
    plant(&mut world);
    for n in 0..osds {
        world.start(n);
    }
    world.settle(60_000);
    world.client.quiet = false;
    world.client.count = 5 + draw.below(10);
    world.client.depth = 1 + draw.below(4) as u32;
    for _ in 0..16 {
        let n = world.random.below(osds);
        match world.random.below(6) {
            0 => {
                let weight = if world.random.one_in(2) { 0 } else { 0x10000 };
                world.mon.set_weight(n, weight);
            }
            1 if world.nodes[n].osd.is_some() => {
                // It lives on and believes itself primary, while the others go on without it.
                world.cut.insert(n);
                let noticed = world.random.below(2000);
                world.run(noticed);
                world.mon.mark_down(n);
                let steps = world.random.below(6000);
                world.run(steps);
                world.cut.remove(&n);
            }
            2 if world.random.one_in(2) => {
                // The power goes.
                for n in 0..osds {
                    world.kill(n);
                }
                for n in 0..osds {
                    world.mon.mark_down(n);
                }
                world.run(50);
                for n in 0..osds {
                    if !world.random.one_in(4) {
                        world.start(n);
                    }
                }
            }
            _ if world.nodes[n].osd.is_some() => {
                world.kill(n);
                let noticed = world.random.below(2000);
                world.run(noticed);
                world.mon.mark_down(n);
            }
            _ => world.start(n),
        }
        let steps = world.random.below(4000);
        world.run(steps);
    }
    for n in 0..osds {
        world.mon.set_weight(n, 0x10000);
    }
    finish(&mut world);
    world
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let var = |name| std::env::var(name).ok().and_then(|s| s.parse().ok());
    let first: u64 = var("SEED").unwrap_or(100);
    first..first + var("SEEDS").unwrap_or(default)
}

#[test]
fn killed_and_restarted_in_any_order() {
    let mut seen = std::collections::BTreeMap::new();
    let (mut acks, mut reads) = (0, 0);
    for seed in seeds(12) {
        eprintln!("seed {seed}");
        let world = kills(seed, |_| {});
        for (what, n) in world.seen {
            *seen.entry(what).or_insert(0) += n;
        }
        acks += world.client.acks;
        reads += world.client.reads;
    }
    eprintln!("{acks} acknowledged, {reads} read, {seen:#?}");
}

/// Copies are filled, and while one is, others die.
fn refills(seed: u64, plant: impl Fn(&mut World)) -> World {
    let mut world = World::new(seed, 3, 2, 1, 2);
    (world.config.pg.log_max, world.config.pg.log_min) = (6, 4);
    world.config.pg.backfill_scan = 2;
    world.config.pg.recovery_active = 1;
    world.config.pg.lease = std::time::Duration::from_secs(1);
    plant(&mut world);
    (0..3).for_each(|n| world.start(n));
    world.settle(60_000);
    world.client.quiet = false;
    (world.client.count, world.client.depth) = (20, 2);
    world.run(6000);
    for _ in 0..6 {
        let away = world.random.below(3);
        world.kill(away);
        world.mon.mark_down(away);
        world.run(4000);
        world.start(away);
        let before = world.seen.get("pg_backfill").copied();
        for _ in 0..40 {
            world.run(50);
            if world.seen.get("pg_backfill").copied() > before {
                break;
            }
        }
        let other = (away + 1 + world.random.below(2)) % 3;
        world.kill(other);
        world.mon.mark_down(other);
        world.run(300);
        world.start(other);
        world.run(1500);
    }
    finish(&mut world);
    world
}

#[test]
fn a_copy_is_whole_only_when_it_is_filled() {
    let mut fillings = 0;
    for seed in seeds(4) {
        let world = refills(seed, |_| {});
        fillings += world.seen.get("pg_backfill").copied().unwrap_or_default();
    }
    assert!(fillings > 20, "{fillings} steps of filling");
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use seabed_pg::PlantedBug;

    use super::{kills, refills, seeds};

    fn by_kills(seed: u64, bug: PlantedBug) {
        kills(seed, |world| world.config.pg.planted = Some(bug));
    }

    /// The checkers are worth something only if they find these.
    fn is_found(bug: PlantedBug, run: impl Fn(u64, PlantedBug)) {
        for seed in seeds(40) {
            if catch_unwind(AssertUnwindSafe(|| run(seed, bug))).is_err() {
                return;
            }
        }
        panic!("{bug:?} was not found");
    }

    #[test]
    fn an_early_acknowledgement_is_found() {
        is_found(PlantedBug::AckBeforeCommit, by_kills);
    }

    #[test]
    fn an_incomplete_copy_taken_for_whole_is_found() {
        is_found(PlantedBug::IncompleteIsWhole, |seed, bug| {
            refills(seed, |world| world.config.pg.planted = Some(bug));
        });
    }

    #[test]
    fn a_skipped_log_entry_is_found() {
        is_found(PlantedBug::SkippedLogEntry, by_kills);
    }
}
