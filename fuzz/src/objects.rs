//! What clients do to objects: calls of class methods, and whole requests.

use seabed_classes::testing::{MemoryObject, Stored};
use seabed_cluster::{
    Collection, EVersion, EntityAddr, EntityName, Epoch, HObject, IntervalSet, PgId, Pool, PoolId,
    ReqId, SnapId, SpgId, UTime,
};
use seabed_denc::Bytes;
use seabed_messages::{Body, MOsdOp, MOsdOpReply, OpCode, OsdOp, Parts};
use seabed_pg::op::{OpEnv, OpLimits, ReqIds, check_calls, execute};
use seabed_storage::mem::MemStore;
use seabed_storage::{ObjectStore, Transaction};

use crate::seeds;

/// Steps of one input; longer scripts find nothing that shorter ones do not.
const STEPS: usize = 16;

/// A script of calls on one object: `u8 class | u8 method | u16 length | input`, again and again.
/// The first call's input is also what lies in the object before.
pub(crate) fn class_call(input: &[u8]) {
    let mut object = MemoryObject::existing();
    let mut rest = input;
    for step in 0..STEPS {
        let Some(([class, method, low, high], after)) = rest.split_first_chunk::<4>() else {
            return;
        };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let classes = seabed_classes::CLASSES;
        let class = &classes[usize::from(*class) % classes.len()];
        let method = &class.methods[usize::from(*method) % class.methods.len()];
        // These two of Ceph's examples break their declaration on purpose.
        if method.name.starts_with("bad_") {
            continue;
        }
        if step == 0 {
            object.edit(|stored| *stored = Stored { data: bytes.to_vec(), ..Stored::default() });
        }
        let _ = object.call(class.name, method.name, Bytes::copy_from_slice(bytes));
    }
}

/// The recorded calls of all classes, each object's as one script.
pub(crate) fn recorded_calls() -> Vec<Vec<u8>> {
    let position = |class: &str, method: &str| {
        let c = seabed_classes::CLASSES.iter().position(|c| c.name == class)?;
        let m = seabed_classes::CLASSES[c].methods.iter().position(|m| m.name == method)?;
        Some([u8::try_from(c).ok()?, u8::try_from(m).ok()?])
    };
    let mut scripts: std::collections::BTreeMap<String, Vec<u8>> = Default::default();
    for (object, class, method, input) in seeds::calls() {
        let (Some(at), Ok(length)) = (position(&class, &method), u16::try_from(input.len())) else {
            continue;
        };
        let script = scripts.entry(object).or_default();
        script.extend_from_slice(&at);
        script.extend_from_slice(&length.to_le_bytes());
        script.extend_from_slice(&input);
    }
    scripts.into_values().collect()
}

/// A request as it comes, carried out on an object that has something of everything: `u32 length
/// of the front | front | data`.
pub(crate) fn osd_op(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return };
    let (front, data) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
    let parts = Parts {
        version: 8,
        compat: 3,
        front: Bytes::copy_from_slice(front),
        middle: Bytes::new(),
        data: Bytes::copy_from_slice(data),
    };
    let Ok(message) = MOsdOp::decode_parts(parts) else { return };
    if message.ops.iter().any(|o| o.op.is_pg()) || check_calls(&message).is_err() {
        return;
    }
    // The PG refuses what is not its own before anything is carried out: the pool is the request's.
    if message.locator.pool < PoolId(0) {
        return;
    }
    let mut world = World::new(&message);
    // Twice: the second time on what the first has made of the object.
    for version in [2, 3] {
        world.carry_out(&message, version);
    }
}

/// One PG on a store in memory.
struct World {
    store: MemStore,
    coll: Collection,
    pool: Pool,
    object: HObject,
    limits: OpLimits,
}

impl World {
    fn new(message: &MOsdOp) -> World {
        let coll = Collection::Pg(SpgId::replicated(PgId::new(message.locator.pool, 0)));
        let mut store = MemStore::automatic();
        let mut tx = Transaction::new();
        tx.make_collection(&coll, 0);
        store.submit(tx).expect("a collection");
        let object = HObject { snap: SnapId::HEAD, ..message.hobject() };
        let pool = Pool::new_replicated(3, 2, 0, 1, Epoch(1), UTime::default());
        // Small, so that no input can ask for much memory.
        let limits = OpLimits { object_size: 1 << 20, ..OpLimits::default() };
        let mut world = World { store, coll, pool, object, limits };
        let entries =
            std::collections::BTreeMap::from([(Bytes::from("key"), Bytes::from("value"))]);
        let mut out = seabed_denc::BytesMut::new();
        seabed_denc::Encode::encode(&entries, &mut out, 0);
        let ops = vec![
            OsdOp::extent(OpCode::WriteFull, 0, 10, "0123456789"),
            OsdOp::xattr(OpCode::SetXattr, b"name", b"value"),
            OsdOp::plain(OpCode::OmapSetVals, out.freeze()),
        ];
        world.carry_out(&MOsdOp { ops, snap: SnapId::HEAD, ..message.clone() }, 1);
        world
    }

    fn carry_out(&mut self, message: &MOsdOp, version: u64) {
        let loaded = seabed_pg::op::ObjectContext::load(&self.store, &self.coll, &self.object);
        let Ok(Ok(context)) = loaded else { panic!("the object cannot be read: {loaded:?}") };
        let none = IntervalSet::new();
        let reqids = ReqIds::default();
        let env = OpEnv {
            now: UTime { sec: 1, nsec: 0 },
            pool: &self.pool,
            removed_snaps: None,
            purged_snaps: &none,
            version: EVersion::new(Epoch(1), version * 2),
            last_user_version: version,
            reqid: ReqId { name: EntityName::client(1), tid: version, inc: 0 },
            caller: (EntityName::client(1), EntityAddr::default()),
            require_osd_release: 16,
            connected: &[],
            next_notify: 1 << 32,
            limits: &self.limits,
            copied: None,
            reqids: &reqids,
        };
        let outcome = execute(&env, &self.store, &self.coll, &context, message);
        let mut reply = MOsdOpReply::to(message, outcome.result, Epoch(1));
        outcome.fill(&mut reply, env.version, (EVersion::ZERO, 0));
        if let Some(effect) = outcome.effect {
            assert!(outcome.result >= 0, "an error that changes something");
            self.store.submit(effect.transaction).expect("what an execution writes can be written");
        }
    }
}

/// Requests of the stock clients.
pub(crate) fn recorded_requests() -> Vec<Vec<u8>> {
    let input = |(front, data): (Vec<u8>, Vec<u8>)| {
        let length = u32::try_from(front.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &front, &data].concat()
    };
    seeds::requests().into_iter().map(input).collect()
}
