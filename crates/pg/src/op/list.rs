//! Listing the objects of a PG.
//!
//! A listing goes through a PG's heads in object order, a page a request. The cursor is the first
//! object not yet told; after the last one it is the PG's end, which is where the next PG (in the
//! order of reversed seeds) begins, and the result is 1. Whiteouts are listed: Ceph does so too.

use seabed_classes::AttributeIs;
use seabed_cluster::{Collection, Errno, GhObject, HObject, SnapId, SpgId};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader, encode_bytes, encode_versioned};
use seabed_messages::{MOsdOp, OpArgs, OpCode, OsdOp};
use seabed_storage::ObjectStore;

use super::execution::{Done, Failure};
use super::outcome::Seen;
use super::{OpEnv, OpOutcome, OpReturn};
use crate::{Level, WIRE};

/// The namespace that stands for all of them.
const ALL_NAMESPACES: &[u8] = b"\x01";
/// Where Ceph keeps its hit sets.
const HIT_SETS: &[u8] = b".ceph-internal";
/// Objects asked of the store at once.
const PAGE: usize = 256;

/// [`execute_pg_with`] for a PG in which nothing is missing.
pub fn execute_pg(
    env: &OpEnv<'_>,
    store: &dyn ObjectStore,
    pg: SpgId,
    request: &MOsdOp,
) -> OpOutcome {
    execute_pg_with(env, store, pg, &[], request)
}

/// Answers a request on the PG. `missing` are the objects that exist and are not here yet, in
/// order; they are listed with the others.
pub fn execute_pg_with(
    env: &OpEnv<'_>,
    store: &dyn ObjectStore,
    pg: SpgId,
    missing: &[HObject],
    request: &MOsdOp,
) -> OpOutcome {
    let listing = Listing { env, store, pg, missing, request };
    let mut outcome = OpOutcome {
        result: 0,
        returns: Vec::new(),
        effect: None,
        record_error: false,
        read_stats: Default::default(),
        watch: None,
        copy: None,
        notes: Vec::new(),
        seen: Seen::Listing,
        returns_vector: false,
    };
    for op in &request.ops {
        let answered = OsdOp { indata: Bytes::new(), ..op.clone() };
        let failed = outcome.result < 0;
        let (out, result) = match op.op {
            _ if failed => (Bytes::new(), outcome.result),
            OpCode::PgNls | OpCode::PgLs => {
                listing.run(op, None).unwrap_or_else(|Failure(e)| (Bytes::new(), e))
            }
            OpCode::PgNlsFilter | OpCode::PgLsFilter => {
                listing.filtered(op).unwrap_or_else(|Failure(e)| (Bytes::new(), e))
            }
            other => {
                let line = format!("{} on {pg}: not built", other.name());
                outcome.notes.push((Level::Debug, line));
                (Bytes::new(), Errno::EOPNOTSUPP.wire())
            }
        };
        outcome.result = result;
        // The result of a listing stands in the message alone.
        outcome.returns.push(OpReturn { op: answered, rval: 0, out });
    }
    outcome
}

struct Listing<'a> {
    env: &'a OpEnv<'a>,
    store: &'a dyn ObjectStore,
    pg: SpgId,
    missing: &'a [HObject],
    request: &'a MOsdOp,
}

impl Listing<'_> {
    /// In front of the cursor stand the names of a class and a method, which mean nothing, and the
    /// filter with its arguments.
    fn filtered(&self, op: &OsdOp) -> Done {
        let mut r = Reader::new(op.indata.clone());
        for _ in 0..2 {
            Bytes::decode(&mut r)?;
        }
        let filter = seabed_classes::read_filter(&mut r)?;
        let rest = OsdOp { indata: r.take_rest(), ..op.clone() };
        self.run(&rest, Some(&filter))
    }

    fn run(&self, op: &OsdOp, filter: Option<&AttributeIs>) -> Done {
        let OpArgs::List { count, .. } = op.args else { return Err(Errno::EINVAL.into()) };
        if self.request.snap != SnapId::HEAD {
            return Err(Errno::EINVAL.into());
        }
        let pg_num = self.env.pool.pg_num;
        let cursor = HObject::decode(&mut Reader::new(op.indata.clone()))?;
        let (start, end) = (self.pg.pg.object_start(), self.pg.pg.object_end(pg_num));
        let before = !cursor.is_min() && cursor < start;
        let behind = !cursor.is_max() && cursor >= end;
        if before || behind {
            return Err(Errno::EINVAL.into());
        }
        let max = count.min(self.env.limits.list_entries) as usize;
        let (found, next) = self.page(cursor.max(start), &end, max, filter)?;
        let result = i32::from(next.is_none());
        let handle = next.unwrap_or(end);
        Ok((encode_reply(op.op, &handle, &found), result))
    }

    /// At most `max` objects from `from` on, and the first one not among them.
    fn page(
        &self,
        from: HObject,
        end: &HObject,
        max: usize,
        filter: Option<&AttributeIs>,
    ) -> Result<(Vec<HObject>, Option<HObject>), Failure> {
        let coll = Collection::Pg(self.pg);
        let mut found = Vec::new();
        let mut at = from;
        loop {
            let (start, stop) = (GhObject::from(at.clone()), GhObject::from(end.clone()));
            let listed = self.store.list(&coll, &start, &stop, PAGE.min(max + 1));
            let (here, next) = listed.map_err(|_| Failure::from(Errno::EIO))?;
            let bound = if next >= stop { end.clone() } else { next.hobj };
            let mut all: Vec<HObject> = here
                .into_iter()
                .filter(|o| o.generation == GhObject::NO_GEN && !o.is_pg_meta())
                .map(|o| o.hobj)
                .collect();
            let first = self.missing.partition_point(|o| *o < at);
            all.extend(self.missing[first..].iter().take_while(|o| **o < bound).cloned());
            all.sort();
            all.dedup();
            for object in all {
                if !self.wanted(&object, filter) {
                    continue;
                }
                if found.len() >= max {
                    return Ok((found, Some(object)));
                }
                found.push(object);
            }
            if bound == *end {
                return Ok((found, None));
            }
            at = bound;
        }
    }

    fn wanted(&self, object: &HObject, filter: Option<&AttributeIs>) -> bool {
        let asked = &self.request.locator.namespace;
        object.is_head()
            && object.namespace != HIT_SETS
            && (asked == ALL_NAMESPACES || *asked == object.namespace)
            && filter.is_none_or(|f| self.passes(object, f))
    }

    fn passes(&self, object: &HObject, filter: &AttributeIs) -> bool {
        let coll = Collection::Pg(self.pg);
        let value = self.store.get_attr(&coll, &GhObject::from(object.clone()), &filter.attribute);
        value.is_ok_and(|v| v == filter.value)
    }
}

fn encode_reply(code: OpCode, handle: &HObject, found: &[HObject]) -> Bytes {
    let with_namespace = matches!(code, OpCode::PgNls | OpCode::PgNlsFilter);
    let mut out = BytesMut::new();
    encode_versioned(&mut out, 1, 1, |out| {
        handle.encode(out, WIRE);
        (found.len() as u32).encode(out, 0);
        for object in found {
            if with_namespace {
                encode_bytes(out, &object.namespace);
            }
            encode_bytes(out, &object.name);
            encode_bytes(out, &object.key);
        }
    });
    out.freeze()
}
