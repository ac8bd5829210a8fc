//! Laws of logs: whatever two copies did since they agreed, afterwards they agree again.

use seabed_cluster::{
    EVersion, EntityName, Epoch, HObject, LogOp, PgInfo, PgLogEntry, PoolId, ReqId, SnapId,
};
use seabed_denc::Bytes;

use super::{Log, Missing, common_point, judge_peer, merge, rewind};

fn object(n: u64) -> HObject {
    let none = Bytes::new();
    HObject::new(PoolId(1), none.clone(), none, Bytes::from(format!("o{n}")), SnapId::HEAD)
}

/// A copy: its log, what it lacks, and the version of each object on its disk.
#[derive(Clone, Default)]
struct Copy {
    log: Log,
    missing: Missing,
    info: PgInfo,
    disk: std::collections::BTreeMap<HObject, EVersion>,
}

impl Copy {
    fn write(&mut self, epoch: u32, n: u64, op: LogOp) {
        let version = EVersion::new(Epoch(epoch), self.log.head().version + 1);
        let prior = self.disk.get(&object(n)).copied().unwrap_or_default();
        let reqid = ReqId { name: EntityName::client(1), tid: version.version, inc: epoch as i32 };
        self.log.append(PgLogEntry {
            op,
            soid: object(n),
            version,
            prior_version: prior,
            reqid,
            ..PgLogEntry::default()
        });
        self.info.last_update = version;
        if self.missing.is_empty() {
            self.info.last_complete = version;
        }
        match op {
            LogOp::Delete => drop(self.disk.remove(&object(n))),
            LogOp::Modify => drop(self.disk.insert(object(n), version)),
            _ => {}
        }
    }

    fn follow(&mut self, other: &Copy) {
        let wire = other.log.since(self.info.last_update);
        let undone = merge(&mut self.log, &mut self.missing, &mut self.info, &wire, &other.info);
        for object in undone {
            self.disk.remove(&object);
        }
    }

    /// What the disk would hold once everything missing has arrived from `other`.
    fn recovered(&self, other: &Copy) -> std::collections::BTreeMap<HObject, EVersion> {
        let mut disk = self.disk.clone();
        for (object, item) in self.missing.iter() {
            match other.disk.get(object) {
                Some(version) if !item.is_delete() => {
                    assert_eq!(*version, item.need, "{object:?}");
                    disk.insert(object.clone(), *version);
                }
                _ => drop(disk.remove(object)),
            }
        }
        disk
    }
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }
    fn act(&mut self, copy: &mut Copy, epoch: u32) {
        let n = self.below(6);
        let exists = copy.disk.contains_key(&object(n));
        let op = match self.below(6) {
            0 => LogOp::Error,
            1 | 2 if exists => LogOp::Delete,
            _ => LogOp::Modify,
        };
        copy.write(epoch, n, op);
    }
}

#[test]
fn a_divergent_copy_comes_back_to_the_authoritative_one() {
    for seed in 0..3000 {
        let mut draw = Draw(seed);
        let mut base = Copy::default();
        for _ in 0..draw.below(12) {
            draw.act(&mut base, 5);
        }
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        for _ in 0..draw.below(6) {
            draw.act(&mut ours, 6);
        }
        for _ in 0..draw.below(6) {
            draw.act(&mut theirs, 8);
        }
        // As the primary judges the copy before it tells it anything.
        let mut judged = ours.info.clone();
        let mut lacks = Missing::default();
        let told = ours.log.since(EVersion::new(Epoch(4), 0));
        judge_peer(&theirs.log, &mut judged, &told, &mut lacks);
        for entry in theirs.log.after(judged.last_update) {
            lacks.add_entry(entry);
        }
        ours.follow(&theirs);
        assert_eq!(ours.log.head(), theirs.log.head(), "seed {seed}");
        let versions = |log: &Log| log.entries().iter().map(|e| e.version).collect::<Vec<_>>();
        assert_eq!(versions(&ours.log), versions(&theirs.log), "seed {seed}");
        assert_eq!(ours.recovered(&theirs), theirs.disk, "seed {seed}");
        let names = |m: &Missing| m.iter().map(|(o, i)| (o.clone(), i.need)).collect::<Vec<_>>();
        assert_eq!(names(&ours.missing), names(&lacks), "seed {seed}");
    }
}

#[test]
fn rewinding_is_undoing() {
    for seed in 0..1000 {
        let mut draw = Draw(seed);
        let mut base = Copy::default();
        for _ in 0..draw.below(10) {
            draw.act(&mut base, 5);
        }
        let mut longer = base.clone();
        for _ in 0..draw.below(6) {
            draw.act(&mut longer, 6);
        }
        let to = base.log.head();
        for object in rewind(&mut longer.log, &mut longer.missing, &mut longer.info, to) {
            longer.disk.remove(&object);
        }
        assert_eq!(longer.info.last_update, to);
        assert_eq!(longer.recovered(&base), base.disk, "seed {seed}");
    }
}

#[test]
fn a_trimmed_request_is_still_known() {
    let mut copy = Copy::default();
    for n in 0..10 {
        copy.write(5, n, LogOp::Modify);
    }
    copy.log.trim(EVersion::new(Epoch(5), 6), 4);
    assert_eq!((copy.log.tail().version, copy.log.len(), copy.log.dups().len()), (6, 4, 4));
    let known = |tid| {
        let reqid = ReqId { name: EntityName::client(1), tid, inc: 5 };
        copy.log.known(&reqid).is_some()
    };
    assert!(!known(2) && known(3) && known(6) && known(10));
    let last = copy.log.last(2);
    assert_eq!((last.log.len(), last.dups.len(), last.tail.version), (2, 6, 8));
    let mut filled = Log::default();
    filled.replace(&last);
    assert!(filled.known(&ReqId { name: EntityName::client(1), tid: 7, inc: 5 }).is_some());
}

#[test]
fn logs_that_do_not_meet_have_no_common_point() {
    let mut copy = Copy::default();
    copy.write(5, 1, LogOp::Modify);
    let mut other = Copy::default();
    for n in 0..5 {
        other.write(7, n, LogOp::Modify);
    }
    other.log.trim(EVersion::new(Epoch(7), 3), 10);
    assert_eq!(common_point(&copy.log, &other.log.since(EVersion::ZERO)), None);
}
