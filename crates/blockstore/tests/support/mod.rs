//! Random transactions, and comparing a block store with the model.

// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use seabed_blockstore::{BlockStore, MkfsOptions, mkfs};
use seabed_cluster::{Collection, GhObject, HObject, OsdId, PgId, PoolId, SnapId, SpgId, Uuid};
use seabed_storage::mem::{MemDevice, MemKv};
use seabed_storage::{BlockDevice, KeyValue, ObjectStore, StoreError, Transaction, TxOp};

pub type MemBlockStore = BlockStore<MemKv, MemDevice>;

pub const UUID: Uuid = Uuid([7; 16]);

/// splitmix64: the same numbers for the same seed, everywhere.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn bytes(&mut self, n: u64) -> Bytes {
        let first = self.next();
        (0..n).map(|i| (first.wrapping_add(i * i) >> 3) as u8).collect::<Vec<_>>().into()
    }
}

pub fn options() -> MkfsOptions {
    MkfsOptions { uuid: UUID, fsid: Uuid([8; 16]), osd: OsdId(0), force: false }
}

pub fn fresh(size: u64, manual: bool) -> MemBlockStore {
    let (mut kv, mut device) = (MemKv::new(), MemDevice::new(size));
    mkfs(&mut kv, &mut device, &options()).unwrap();
    if manual {
        let mut kv_manual = MemKv::manual();
        *kv_manual.pairs_mut() = kv.pairs().clone();
        kv = kv_manual;
        device.set_manual(true);
    }
    BlockStore::open(kv, device, Some(UUID)).unwrap()
}

pub fn pg(seed: u32) -> Collection {
    Collection::Pg(SpgId::replicated(PgId::new(PoolId(1), seed)))
}

/// One of a few objects, of PG 1.0 and its children.
pub fn object(n: u64) -> GhObject {
    HObject::new(PoolId(1), "", "", format!("object-{n}"), SnapId::HEAD).into()
}

/// What the generator needs to know to make transactions that are valid.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Bits of every collection, which are seeds 0 to 2^bits - 1.
    pub bits: u32,
    pub sizes: BTreeMap<GhObject, u64>,
}

pub const OBJECTS: u64 = 10;
const SIZE_MAX: u64 = 40_000;

impl Shape {
    fn home(&self, o: &GhObject) -> Collection {
        pg(o.hobj.hash & ((1 << self.bits) - 1))
    }

    fn neighbour(&self, r: &mut Random, c: &Collection) -> GhObject {
        loop {
            let o = object(r.below(OBJECTS));
            if self.home(&o) == *c {
                return o;
            }
        }
    }

    /// A random valid transaction.
    pub fn transaction(&mut self, r: &mut Random) -> Transaction {
        let mut tx = Transaction::new();
        for _ in 0..1 + r.below(4) {
            self.step(r, &mut tx);
        }
        if self.bits < 2 && r.below(40) == 0 {
            self.split(&mut tx);
        }
        tx
    }

    fn split(&mut self, tx: &mut Transaction) {
        let bits = self.bits + 1;
        for seed in 0..1 << self.bits {
            let rem = seed + (1 << self.bits);
            tx.make_collection(&pg(rem), bits);
            tx.push_collection(&pg(seed), TxOp::SplitCollection { bits, rem, to: pg(rem) });
        }
        self.bits = bits;
    }

    fn range(&self, r: &mut Random) -> (u64, u64) {
        match r.below(4) {
            0 => (r.below(8) * 4096, (1 + r.below(3)) * 4096),
            1 => (r.below(SIZE_MAX), 1 + r.below(100)),
            _ => (r.below(SIZE_MAX), 1 + r.below(20_000)),
        }
    }

    fn step(&mut self, r: &mut Random, tx: &mut Transaction) {
        let o = object(r.below(OBJECTS));
        let c = self.home(&o);
        let size = self.sizes.get(&o).copied();
        let name = |r: &mut Random| Bytes::from(format!("name-{}", r.below(6)));
        let kind = r.below(20);
        let mut grow = |o: &GhObject, end: u64| {
            let size = self.sizes.entry(o.clone()).or_default();
            *size = (*size).max(end);
        };
        match (kind, size) {
            (0, _) => {
                grow(&o, 0);
                tx.touch(&c, &o);
            }
            (1 | 2, _) => {
                let (offset, length) = self.range(r);
                self.sizes.entry(o.clone()).and_modify(|s| *s = (*s).max(offset + length));
                self.sizes.entry(o.clone()).or_insert(offset + length);
                tx.zero(&c, &o, offset, length);
            }
            (3, Some(_)) => {
                self.sizes.remove(&o);
                tx.remove(&c, &o);
            }
            (4, Some(_)) => {
                let size = r.below(SIZE_MAX);
                self.sizes.insert(o.clone(), size);
                tx.truncate(&c, &o, size);
            }
            (5, Some(_)) => {
                tx.set_attr(&c, &o, name(r), r.bytes(20));
            }
            (6, Some(_)) => {
                tx.rm_attr(&c, &o, name(r));
            }
            (7 | 8, Some(_)) => {
                let n = r.below(9);
                let keys = (0..n).map(|_| (name(r), r.bytes(12))).collect();
                tx.omap_set(&c, &o, keys);
            }
            (9, Some(_)) => {
                let keys = vec![name(r), name(r)];
                tx.omap_rm(&c, &o, keys);
            }
            (10, Some(_)) => {
                let (first, last) = (name(r), name(r));
                tx.omap_rm_range(&c, &o, first, last);
            }
            (11, Some(_)) => {
                if r.below(3) == 0 {
                    tx.omap_clear(&c, &o);
                } else {
                    tx.omap_set_header(&c, &o, r.bytes(5));
                }
            }
            (12 | 13, Some(size)) => {
                let to = self.neighbour(r, &c);
                if to != o {
                    self.sizes.insert(to.clone(), size);
                    tx.clone_object(&c, &o, &to);
                }
            }
            (14 | 15, Some(size)) if size > 0 => {
                let to = self.neighbour(r, &c);
                let offset = r.below(size);
                let length = 1 + r.below(size - offset);
                let to_offset = if r.below(3) == 0 { r.below(SIZE_MAX) } else { offset };
                let known = self.sizes.entry(to.clone()).or_default();
                *known = (*known).max(to_offset + length);
                tx.push(&c, &o, TxOp::CloneRange { to, offset, length, to_offset });
            }
            (16, Some(size)) => {
                let to = self.neighbour(r, &c);
                if !self.sizes.contains_key(&to) {
                    self.sizes.remove(&o);
                    self.sizes.insert(to.clone(), size);
                    tx.push(&c, &o, TxOp::MoveRename { to_collection: c, to });
                }
            }
            _ => {
                let (offset, length) = self.range(r);
                let size = self.sizes.entry(o.clone()).or_default();
                *size = (*size).max(offset + length);
                tx.write(&c, &o, offset, r.bytes(length));
            }
        }
    }
}

/// Everything that can be read of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub objects: BTreeMap<(Collection, GhObject), ObjectContent>,
    pub bits: BTreeMap<Collection, u32>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ObjectContent {
    pub data: Bytes,
    pub attrs: BTreeMap<Bytes, Bytes>,
    pub header: Bytes,
    pub omap: Vec<(Bytes, Bytes)>,
}

impl std::fmt::Debug for ObjectContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sum, len) = (crc32c::crc32c(&self.data), self.data.len());
        write!(f, "{len} bytes {sum:08x} {:?} {:?} {:?}", self.attrs, self.header, self.omap)
    }
}

pub fn content(store: &dyn ObjectStore) -> Content {
    let mut all = Content { objects: BTreeMap::new(), bits: BTreeMap::new() };
    for c in store.collections().unwrap() {
        all.bits.insert(c, store.collection_bits(&c).unwrap().unwrap());
        let mut start = GhObject::min();
        loop {
            // Small pages, so that going on is tested as well.
            let (page, next) = store.list(&c, &start, &GhObject::max(), 3).unwrap();
            for o in page {
                let object = object_content(store, &c, &o);
                assert!(all.objects.insert((c, o), object).is_none(), "listed twice");
            }
            if next.is_max() {
                break;
            }
            start = next;
        }
    }
    all
}

fn object_content(store: &dyn ObjectStore, c: &Collection, o: &GhObject) -> ObjectContent {
    let size = store.stat(c, o).unwrap().size;
    let data = store.read(c, o, 0, u64::MAX).unwrap();
    assert_eq!(data.len() as u64, size);
    let mut at = 0;
    for (offset, length) in store.extents(c, o, 0, u64::MAX).unwrap() {
        assert!(data[at as usize..offset as usize].iter().all(|&b| b == 0), "a hole with data");
        at = offset + length;
    }
    assert!(data[at as usize..].iter().all(|&b| b == 0), "a hole with data");
    let mut omap: Vec<(Bytes, Bytes)> = Vec::new();
    loop {
        let last = omap.last().map(|(k, _)| k.clone());
        let start = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (page, more) = store.omap_range(c, o, start, 2).unwrap();
        omap.extend(page);
        if !more {
            break;
        }
    }
    let attrs = store.get_attrs(c, o).unwrap();
    ObjectContent { data, attrs, header: store.omap_header(c, o).unwrap(), omap }
}

pub fn assert_clean<K: KeyValue, D: BlockDevice>(store: &BlockStore<K, D>) {
    let report = store.fsck(true).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

pub fn is_invalid(e: &StoreError) -> bool {
    matches!(e, StoreError::InvalidTransaction { .. })
}
