//! Bytes that are no message: cut at every length, or with bits turned over. Nothing may panic.

mod common;

use std::collections::BTreeMap;

use seabed_cluster::feature;
use seabed_denc::{Bytes, BytesMut};
use seabed_messages::{Packet, RawMessage};

/// A fixed walk over numbers, so that a failure can be repeated.
struct Walk(u64);

impl Walk {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

#[derive(Default)]
struct Counts {
    accepted: usize,
    refused: usize,
}

impl Counts {
    /// Decodes, and encodes what was accepted.
    fn try_one(&mut self, raw: RawMessage) {
        match Packet::decode(raw) {
            Ok(packet) => {
                packet.encode(feature::PACIFIC_ALL);
                self.accepted += 1;
            }
            Err(_) => self.refused += 1,
        }
    }
}

/// Samples of each kind and version: at most this many, the shortest first.
const PER_KIND: usize = 6;
/// Cut at every length up to here, then at some.
const EVERY_LENGTH: usize = 1500;

fn samples() -> Vec<RawMessage> {
    let mut by_kind: BTreeMap<(u16, u16), Vec<RawMessage>> = BTreeMap::new();
    for sample in common::committed().iter().flat_map(|path| common::read(path)) {
        let header = sample.raw.header;
        by_kind.entry((header.kind, header.version)).or_default().push(sample.raw);
    }
    for of_kind in by_kind.values_mut() {
        of_kind.sort_by_key(|raw| raw.front.len() + raw.data.len());
        let step = of_kind.len().div_ceil(PER_KIND).max(1);
        *of_kind = of_kind.iter().step_by(step).cloned().collect();
    }
    by_kind.into_values().flatten().collect()
}

fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |&n| n < EVERY_LENGTH || n % 997 == 0)
}

#[test]
fn truncated_at_every_length() {
    let mut counts = Counts::default();
    for raw in samples() {
        for n in cuts(raw.front.len()) {
            counts.try_one(RawMessage { front: raw.front.slice(..n), ..raw.clone() });
        }
        for n in cuts(raw.data.len()) {
            counts.try_one(RawMessage { data: raw.data.slice(..n), ..raw.clone() });
        }
    }
    println!("truncated: {} accepted, {} refused", counts.accepted, counts.refused);
    assert!(counts.refused > counts.accepted);
}

fn flip(bytes: &Bytes, walk: &mut Walk) -> Bytes {
    let mut out = BytesMut::from(&bytes[..]);
    for _ in 0..=walk.below(3) {
        let at = walk.below(out.len());
        out[at] = match walk.below(4) {
            0 => 0xff,
            1 => 0,
            2 => out[at] ^ 0x80,
            _ => out[at] ^ (1 << walk.below(8)),
        };
    }
    out.freeze()
}

#[test]
fn bits_turned_over() {
    let (mut counts, mut walk) = (Counts::default(), Walk(1));
    for raw in samples() {
        for _ in 0..200 {
            let mut bad = raw.clone();
            if !bad.front.is_empty() {
                bad.front = flip(&bad.front, &mut walk);
            }
            if !bad.data.is_empty() && bad.data.len() < 20_000 {
                bad.data = flip(&bad.data, &mut walk);
            }
            counts.try_one(bad);
        }
        for version in 0..20 {
            let mut bad = raw.clone();
            (bad.header.version, bad.header.compat_version) = (version, version / 2);
            counts.try_one(bad);
        }
    }
    println!("turned over: {} accepted, {} refused", counts.accepted, counts.refused);
    assert!(counts.refused > 0 && counts.accepted > 0);
}

/// A front of nothing but ones: every count and every length is the largest.
#[test]
fn absurd_lengths_allocate_nothing() {
    for row in seabed_messages::registry::ROWS {
        for (len, byte) in [(0, 0), (64, 0xff), (4096, 0xff), (4096, 0x01), (4096, 0x00)] {
            let mut raw = RawMessage { front: vec![byte; len].into(), ..RawMessage::default() };
            raw.header.kind = row.id;
            raw.header.version = row.version;
            raw.header.compat_version = row.compat;
            let _ = Packet::decode(raw);
        }
    }
}
