//! Clusters under faults: whatever dies and comes back in whatever order, no acknowledged write is
//! lost, undone or done twice, and in the end every copy is the same.

mod world;

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
    let mut world = ready(1, 3, 3, 2, 8);
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

fn kills(seed: u64) {
    let mut world = ready(seed, 3, 3, 2, 4);
    world.client.count = 8;
    world.client.depth = 3;
    for _ in 0..10 {
        let n = world.random.below(3);
        if world.nodes[n].osd.is_some() {
            world.kill(n);
            let noticed = world.random.below(2000);
            world.run(noticed);
            world.mon.mark_down(n);
        } else {
            world.start(n);
        }
        let steps = world.random.below(4000);
        world.run(steps);
    }
    finish(&mut world);
}

#[test]
fn killed_and_restarted_in_any_order() {
    let first: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(100);
    let count: u64 = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    for seed in first..first + count {
        eprintln!("seed {seed}");
        kills(seed);
    }
}
