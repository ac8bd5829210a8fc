//! Mappings a second on a realistic map: 2,400 devices on 200 hosts in 20 racks, straw2, jewel.
//!
//! `cargo bench -p seabed-benches --bench crush`. The group `crush/crushtool` times the
//! reference's tool on the same map and inputs for comparison, its start and statistics included;
//! it is left out where `crushtool` is not installed.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seabed_crush::{CrushMap, Workspace};

const RACKS: i32 = 20;
const HOSTS: i32 = 10;
const DEVICES: i32 = 12;
/// Inputs of one run of the reference's tool: enough to make its start-up small.
const INPUTS: u32 = 100_000;

/// The map, its rules: 0 three copies by host, 1 six shards by host.
fn map() -> CrushMap {
    let mut map = CrushMap::new_default();
    let mut id = 0;
    for rack in 0..RACKS {
        for host in 0..HOSTS {
            for _ in 0..DEVICES {
                let (rack, host) = (format!("rack{rack}"), format!("host{rack}-{host}"));
                let location = [("root", "default"), ("rack", &rack), ("host", &host)];
                // Disks of 4 to 16 TB.
                let weight = 0x4_0000 * (1 + id as u32 % 4);
                map.insert_item(id, weight, &format!("osd.{id}"), &location).expect("inserts");
                id += 1;
            }
        }
    }
    map.add_erasure_rule("erasure", "default", "host", None).expect("adds a rule");
    map
}

fn mappings(c: &mut Criterion) {
    let map = map();
    let weights = vec![0x1_0000; map.max_devices as usize];
    let mut group = c.benchmark_group("crush/map");
    group.throughput(Throughput::Elements(1));
    for (name, rule, size) in [("replicated-3", 0, 3), ("erasure-6", 1, 6)] {
        let mut workspace = Workspace::new();
        let (mut out, mut x) = (Vec::new(), 0);
        group.bench_function(name, |b| {
            b.iter(|| {
                x += 1;
                map.do_rule_in(&mut workspace, rule, x, size, &weights, None, &mut out);
                black_box(&out);
            });
        });
    }
    group.finish();
}

fn codec(c: &mut Criterion) {
    let map = map();
    let bytes = map.encode();
    let mut group = c.benchmark_group("crush/codec");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode", |b| b.iter(|| CrushMap::decode(black_box(bytes.clone()))));
    group.bench_function("encode", |b| b.iter(|| black_box(&map).encode()));
    group.finish();
}

/// Time of one run of the reference's tool over [`INPUTS`] inputs.
fn reference_run(path: &str, rule: u32, size: usize) -> Option<Duration> {
    let (last, rule, size) = ((INPUTS - 1).to_string(), rule.to_string(), size.to_string());
    let started = Instant::now();
    let output = Command::new("crushtool")
        .args(["-i", path, "--test", "--show-statistics", "--min-x", "0", "--max-x", &last])
        .args(["--rule", &rule, "--num-rep", &size])
        .output();
    output.ok().filter(|o| o.status.success()).map(|_| started.elapsed())
}

fn reference(c: &mut Criterion) {
    let path = std::env::temp_dir().join(format!("crush-bench-{}", std::process::id()));
    std::fs::write(&path, map().encode()).expect("writes the map");
    let path = path.to_str().expect("path is text");
    if reference_run(path, 0, 1).is_none() {
        println!("crush/crushtool: not installed, left out");
    } else {
        let mut group = c.benchmark_group("crush/crushtool");
        group.throughput(Throughput::Elements(1)).sample_size(10);
        for (name, rule, size) in [("replicated-3", 0, 3), ("erasure-6", 1, 6)] {
            group.bench_function(name, |b| {
                b.iter_custom(|mappings| {
                    // One run serves any number: criterion gets the time of so many mappings.
                    let run = reference_run(path, rule, size).unwrap_or_default();
                    run.mul_f64(mappings as f64 / f64::from(INPUTS))
                });
            });
        }
        group.finish();
    }
    let _ = std::fs::remove_file(path);
}

criterion_group!(benches, mappings, codec, reference);
criterion_main!(benches);
