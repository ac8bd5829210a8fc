//! Single stations in the life of OSDs and PGs: what must wait waits, what must go goes.

mod world;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{Epoch, OsdId, PgId, PoolId, pg_state};
use world::World;

fn ready(seed: u64, osds: usize, size: u32, min_size: u32) -> World {
    let mut world = World::new(seed, osds, size, min_size, 2);
    world.config.pg.lease = std::time::Duration::from_secs(1);
    (0..osds).for_each(|n| world.start(n));
    world.settle(60_000);
    world
}

fn lose(world: &mut World, n: usize) {
    world.kill(n);
    world.mon.mark_down(n);
    world.run(1500);
}

/// Phases of a PG at those who lead it, and whether any of them serves.
fn phases(world: &World, n: usize) -> Vec<&'static str> {
    world.nodes[n]
        .osd
        .iter()
        .flat_map(|o| o.pgs())
        .filter(|p| p.is_primary())
        .map(|p| p.phase())
        .collect()
}

#[test]
fn below_min_size_nothing_is_acknowledged() {
    let mut world = ready(1, 3, 3, 2);
    lose(&mut world, 0);
    lose(&mut world, 1);
    let now = world.now;
    world.client.append("alone", now);
    world.run(6000);
    assert!(!world.client.is_idle() && world.client.acks == 0);
    world.start(1);
    world.settle_serving(60_000);
    assert_eq!(world.client.acks, 1);
}

#[test]
fn without_a_survivor_of_the_last_writers_the_pg_is_down() {
    let mut world = ready(2, 2, 2, 1);
    lose(&mut world, 0);
    let now = world.now;
    world.client.append("only on osd.1", now);
    world.settle_serving(60_000);
    lose(&mut world, 1);
    world.start(0);
    world.run(6000);
    assert_eq!(phases(&world, 0), ["down", "down"]);
    let now = world.now;
    world.client.read("only on osd.1", now);
    world.run(3000);
    assert!(!world.client.is_idle(), "osd.0 answered for what it cannot know");
    world.start(1);
    world.settle(60_000);
    world.compare_copies();
}

#[test]
fn what_the_operator_gives_up_is_not_waited_for() {
    let mut world = ready(3, 2, 2, 1);
    lose(&mut world, 0);
    let now = world.now;
    world.client.append("lost with osd.1", now);
    world.settle_serving(60_000);
    lose(&mut world, 1);
    world.start(0);
    world.run(4000);
    assert_eq!(phases(&world, 0), ["down", "down"]);
    let epoch = world.mon.map.epoch;
    world.mon.change().new_lost.insert(OsdId(1), Epoch(epoch.0));
    world.run(6000);
    assert_eq!(phases(&world, 0), ["active", "active"]);
}

#[test]
fn copies_that_nobody_needs_are_removed() {
    let mut world = ready(4, 4, 2, 1);
    world.client.quiet = false;
    world.client.count = 10;
    world.run(4000);
    for n in 0..4 {
        world.mon.set_weight(n, 0);
        world.run(1000);
        world.settle(100_000);
        world.run(4000);
        assert_eq!(world.collections(n), 0, "osd.{n} keeps PGs that moved away");
        world.mon.set_weight(n, 0x10000);
        world.run(1000);
        world.client.quiet = false;
    }
    world.settle(100_000);
    world.compare_copies();
}

#[test]
fn a_deleted_pool_leaves_nothing_behind() {
    let mut world = ready(5, 3, 3, 2);
    world.client.quiet = false;
    world.client.count = 10;
    world.run(4000);
    world.settle(100_000);
    world.mon.change().old_pools.insert(PoolId(1));
    world.run(6000);
    for n in 0..3 {
        assert_eq!(world.collections(n), 0);
    }
}

#[test]
fn a_pool_made_while_its_primary_dies_is_made_by_the_next() {
    let mut world = ready(6, 3, 2, 1);
    world.mon.add_pool(2, 2, 1, 8);
    let next = world.mon.preview();
    let leads = |n: usize| {
        (0..8).any(|s| next.map_pg(PgId::new(PoolId(2), s)).acting_primary == Some(OsdId(n as i32)))
    };
    let victim = (0..3).find(|n| leads(*n)).unwrap();
    world.kill(victim);
    world.run(200);
    world.mon.mark_down(victim);
    world.run(6000);
    for n in (0..3).filter(|n| *n != victim) {
        assert!(phases(&world, n).iter().all(|p| *p == "active"), "{:?}", phases(&world, n));
    }
    world.start(victim);
    world.settle(60_000);
}

#[test]
fn silence_is_reported() {
    let mut world = ready(7, 3, 3, 2);
    // Nobody carries heartbeats here: everybody is silent to everybody.
    let before = world.now;
    while world.now.0 < before.0 + 40_000_000_000 {
        world.run(100);
    }
    assert!(world.seen.get("osd_failure").is_some_and(|n| *n > 3));
}

#[test]
fn a_full_copy_is_not_filled() {
    let mut world = World::new(9, 3, 2, 1, 2);
    (world.config.pg.log_max, world.config.pg.log_min) = (6, 4);
    world.config.pg.lease = std::time::Duration::from_secs(1);
    (0..3).for_each(|n| world.start(n));
    world.settle(60_000);
    world.client.quiet = false;
    world.client.count = 10;
    lose(&mut world, 2);
    world.run(4000);
    let full = seabed_cluster::osdmap::flag::osd::BACKFILLFULL;
    world.mon.change().new_state.insert(OsdId(2), full);
    world.run(200);
    world.start(2);
    world.run(5000);
    let told = pg_state::BACKFILL_TOOFULL;
    assert!(world.mon.stats.values().any(|s| s.state() & told != 0));
    assert!(!world.seen.contains_key("pg_backfill"));
    world.mon.change().new_state.insert(OsdId(2), full);
    world.settle(100_000);
    assert!(world.seen.contains_key("pg_backfill"));
    world.compare_copies();
}

#[test]
fn with_norebalance_whole_copies_stay_where_they_are() {
    let mut world = World::new(11, 4, 2, 1, 2);
    (world.config.pg.log_max, world.config.pg.log_min) = (6, 4);
    world.config.pg.lease = std::time::Duration::from_secs(1);
    (0..4).for_each(|n| world.start(n));
    world.settle(60_000);
    world.client.quiet = false;
    world.client.count = 40;
    world.run(6000);
    world.client.quiet = true;
    let flags = |world: &mut World, bits: u32| {
        world.mon.change().new_flags = i32::try_from(bits).unwrap();
        world.run(500);
    };
    flags(&mut world, flag::map::NOREBALANCE);
    // Its copies are whole and only to be moved: that waits, and is told.
    let leaving = world.mon.map.map_pg(PgId::new(PoolId(1), 0)).acting[0];
    world.mon.set_weight(leaving.0 as usize, 0);
    world.run(6000);
    assert!(!world.seen.contains_key("pg_backfill"));
    let waits = pg_state::REMAPPED | pg_state::BACKFILL_WAIT;
    let told = |world: &World| world.mon.stats.values().any(|s| s.state() & waits == waits);
    assert!(told(&world));
    // Copies that are lost are made anew all the same.
    flags(&mut world, flag::map::NOREBALANCE | flag::map::NOBACKFILL);
    lose(&mut world, leaving.0 as usize);
    world.run(6000);
    assert!(!world.seen.contains_key("pg_backfill"));
    flags(&mut world, flag::map::NOREBALANCE);
    world.settle(100_000);
    assert!(world.seen.contains_key("pg_backfill"));
    world.compare_copies();
}

#[test]
fn states_are_told_in_the_bits_of_ceph() {
    let mut world = ready(8, 3, 3, 2);
    world.run(3000);
    let told = world.mon.stats.values().map(|s| s.state()).collect::<Vec<_>>();
    assert_eq!(told, vec![pg_state::ACTIVE | pg_state::CLEAN; 2]);
    lose(&mut world, 2);
    world.run(3000);
    // Nothing is degraded where there is nothing.
    let told = world.mon.stats.values().map(|s| s.state()).collect::<Vec<_>>();
    assert_eq!(told, vec![pg_state::ACTIVE | pg_state::UNDERSIZED; 2]);
    world.client.quiet = false;
    world.client.count = 10;
    world.run(6000);
    let wanted = pg_state::ACTIVE | pg_state::UNDERSIZED | pg_state::DEGRADED;
    assert!(world.mon.stats.values().any(|s| s.state() & wanted == wanted));
}
