//! Tests of op execution: a world of one PG on a store in memory, and what is expected of it.

mod calls;
mod copy;
mod golden;
mod model;
mod recorded;
mod rules;
mod sessions;
mod snap_golden;
mod snap_model;
mod snap_rules;
mod tmap;
mod watch;

use seabed_cluster::{
    Collection, EVersion, EntityAddr, EntityName, Epoch, GhObject, HObject, IntervalSet,
    ObjectInfo, ObjectLocator, ObjectStatSum, PgId, Pool, PoolId, ReqId, SnapId, SpgId, UTime,
};
use seabed_denc::{Bytes, BytesMut, Decode};
use seabed_messages::{MOsdOp, MOsdOpReply, OsdOp};
use seabed_storage::mem::MemStore;
use seabed_storage::{ObjectStore, Transaction};

use super::*;

const POOL: PoolId = PoolId(1);
static NONE: IntervalSet = IntervalSet::new();

/// One PG, whose copy is this store alone.
struct World {
    store: MemStore,
    pool: Pool,
    pg: SpgId,
    coll: Collection,
    version: u64,
    user_version: u64,
    stats: ObjectStatSum,
    limits: OpLimits,
    now: UTime,
    connected: Vec<u64>,
    copied: Option<Copied>,
    reqids: ReqIds,
    removed_snaps: IntervalSet,
    caller: (EntityName, EntityAddr),
}

impl World {
    fn new() -> Self {
        let pg = SpgId::replicated(PgId::new(POOL, 0));
        let coll = Collection::Pg(pg);
        let mut store = MemStore::automatic();
        let mut tx = Transaction::new();
        tx.make_collection(&coll, 0);
        store.submit(tx).unwrap();
        let pool = Pool::new_replicated(3, 2, 0, 1, Epoch(1), UTime::default());
        World {
            store,
            pool,
            pg,
            coll,
            version: 0,
            user_version: 0,
            stats: ObjectStatSum::default(),
            limits: OpLimits::default(),
            now: UTime { sec: 7, nsec: 7 },
            connected: Vec::new(),
            copied: None,
            reqids: ReqIds::default(),
            removed_snaps: IntervalSet::new(),
            caller: (EntityName::client(4), EntityAddr::default()),
        }
    }

    fn context(&self, object: &HObject) -> ObjectContext {
        ObjectContext::load(&self.store, &self.coll, object).unwrap().unwrap()
    }

    fn env(&self) -> OpEnv<'_> {
        OpEnv {
            now: self.now,
            pool: &self.pool,
            removed_snaps: Some(&self.removed_snaps),
            purged_snaps: &NONE,
            version: EVersion::new(Epoch(1), self.version + 1),
            last_user_version: self.user_version,
            reqid: ReqId { name: EntityName::client(4), tid: self.version + 1, inc: 0 },
            caller: self.caller,
            require_osd_release: 16,
            connected: &self.connected,
            copied: self.copied.as_ref(),
            reqids: &self.reqids,
            next_notify: 1 << 32,
            limits: &self.limits,
        }
    }

    fn execute(&self, request: &MOsdOp) -> OpOutcome {
        let head = self.context(&request.hobject().head());
        let shown = shown_to(request, &head, Some(&self.removed_snaps));
        let context = head.shown(&self.store, &self.coll, shown).unwrap().unwrap();
        execute(&self.env(), &self.store, &self.coll, &context, request)
    }

    /// Executes and applies; the versions go on as a PG's do.
    fn run(&mut self, request: &MOsdOp) -> (OpOutcome, MOsdOpReply) {
        let outcome = self.execute(request);
        let version = EVersion::new(Epoch(1), self.version + 1);
        let last = (EVersion::new(Epoch(1), self.version), self.user_version);
        let mut reply = MOsdOpReply::to(request, 0, Epoch(1));
        outcome.fill(&mut reply, version, last);
        match &outcome.effect {
            Some(effect) => {
                assert_eq!(effect.entries[0].version, version);
                self.version = effect.version().version;
                self.user_version = effect.user_version;
                self.stats.add(&effect.stats);
                self.store.submit(effect.transaction.clone()).unwrap();
                let object = request.hobject();
                let next = ObjectContext::after(object.clone(), effect);
                assert_eq!(next, self.context(&object), "the context follows from the effect");
            }
            None if outcome.record_error => self.version += 1,
            None => self.stats.add(&outcome.read_stats),
        }
        (outcome, reply)
    }

    fn vector(&mut self, name: &str, ops: Vec<OsdOp>) -> (OpOutcome, MOsdOpReply) {
        self.run(&request(name, ops))
    }

    fn size(&self, name: &str) -> Option<u64> {
        let o = GhObject::from(request(name, vec![]).hobject());
        self.store.stat(&self.coll, &o).ok().map(|s| s.size)
    }
}

/// A request in the PG, by an object's name.
fn request(name: &str, ops: Vec<OsdOp>) -> MOsdOp {
    let name = Bytes::copy_from_slice(name.as_bytes());
    let object = HObject::new(POOL, Bytes::new(), Bytes::new(), name.clone(), SnapId::HEAD);
    MOsdOp {
        pg: SpgId::replicated(PgId::new(POOL, 0)),
        hash: object.hash,
        locator: ObjectLocator::new(POOL),
        object: name,
        ops,
        ..MOsdOp::default()
    }
}
