//! One request's way through its ops: dispatch, and what the object has become.

use std::collections::BTreeMap;

use seabed_cluster::{
    CleanRegions, Collection, Errno, GhObject, IntervalSet, LogOp, ObjectInfo, ObjectStatSum,
    PgLogEntry, ReqId, SnapId, SnapSet, UTime, object_flag,
};
use seabed_denc::{Bytes, DecodeError, Encode};
use seabed_messages::op::{op_flag, request_flag, watch_op};
use seabed_messages::{MOsdOp, OpArgs, OpCode, OsdOp};
use seabed_storage::{ObjectStore, StoreError, Transaction};

use super::call::call_writes;
use super::mutation::Mutation;
use super::outcome::Seen;
use super::snap::SnapContext;
use super::{CopySource, ObjectContext, OpEnv, OpOutcome, OpReturn, WriteEffect};
use crate::watch::WatchEffects;
use crate::{Level, WIRE};

/// What a write gets whose snapshots are older than those the object has met, if it asked to be
/// told (ORDERSNAP). On Linux the number is called ERESTART.
const EOLDSNAPC: Errno = Errno(85);

/// The largest number of clean ranges in a log entry, as Ceph has it; the smallest give way.
const CLEAN_RANGES_MAX: usize = 10;

/// Why an op failed: its return value, negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure(pub(super) i32);

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Failure(e.wire())
    }
}

/// Input that cannot be read is the client's mistake.
impl From<DecodeError> for Failure {
    fn from(_: DecodeError) -> Self {
        Errno::EINVAL.into()
    }
}

/// What an op returns: its output and its return value if that is not 0.
pub(super) type Done = Result<(Bytes, i32), Failure>;

/// No output, return value 0.
pub(super) const DONE: Done = Ok((Bytes::new(), 0));

/// The state of an execution between two ops.
pub(super) struct Execution<'a> {
    pub(super) env: &'a OpEnv<'a>,
    pub(super) store: &'a dyn ObjectStore,
    pub(super) coll: &'a Collection,
    pub(super) object: GhObject,
    pub(super) before: &'a ObjectContext,
    pub(super) request: &'a MOsdOp,
    /// The snapshots that a write must keep.
    pub(super) snapc: SnapContext<'a>,
    /// Whether the object exists for clients after the ops so far.
    pub(super) exists: bool,
    /// Its info after the ops so far.
    pub(super) info: ObjectInfo,
    pub(super) mutation: Option<Mutation>,
    pub(super) stats: ObjectStatSum,
    pub(super) clean: CleanRegions,
    /// Ranges of the data that changed, of an object with clones.
    pub(super) modified: IntervalSet,
    pub(super) notes: Vec<(Level, String)>,
    /// Ops begun before the present one, those that methods did by themselves among them.
    pub(super) processed: usize,
    /// How often a method asked for unique bytes.
    pub(super) drawn: u64,
    /// What becomes of watches, if anything.
    pub(super) watch: Option<Box<WatchEffects>>,
    /// The time of the change, if the client tells it.
    pub(super) mtime: Option<UTime>,
    /// The source that is needed to go on.
    pub(super) copy: Option<Box<CopySource>>,
    /// Requests that the log entry names besides its own.
    pub(super) extra_reqids: Vec<(ReqId, u64)>,
    pub(super) extra_reqid_return_codes: BTreeMap<u32, i32>,
}

/// Whether a request can change its object: decided by its ops, its flags are not to be trusted.
pub fn may_write(request: &MOsdOp) -> bool {
    request.ops.iter().any(writes)
}

/// Whether an op can change its object.
pub fn writes(op: &OsdOp) -> bool {
    match op.args {
        OpArgs::Watch { op: watch_op::PING, .. } => false,
        _ => op.op.is_write() || op.op == OpCode::Call && call_writes(op),
    }
}

/// Whether a request that only reads finds a whiteout: its snapshots, or watches to be confirmed.
fn sees_whiteouts(request: &MOsdOp) -> bool {
    request.snap == SnapId::DIR || request.ops.iter().any(|o| o.op == OpCode::Watch)
}

/// Ops that leave the version which clients see as it is.
fn is_hidden(op: &OsdOp) -> bool {
    op.op == OpCode::Watch || !op.op.is_write() && op.op != OpCode::Call
}

/// Ops whose success leaves the return value of the op before them: in Ceph they do not set it,
/// and clients see the 1 of a comparison that holds behind them.
fn keeps_result(code: OpCode) -> bool {
    matches!(
        code,
        OpCode::Stat
            | OpCode::AssertVer
            | OpCode::IsDirty
            | OpCode::ListWatchers
            | OpCode::ListSnaps
            | OpCode::OmapGetKeys
            | OpCode::OmapGetVals
            | OpCode::OmapGetHeader
            | OpCode::OmapGetValsByKeys
            | OpCode::OmapCmp
    )
}

/// Executes `request` on the object of `context`.
///
/// The caller has checked the request's names and sizes and that the object is here in its newest
/// version, and so is the clone that a ROLLBACK goes back to. `coll` is the PG's collection.
pub fn execute(
    env: &OpEnv<'_>,
    store: &dyn ObjectStore,
    coll: &Collection,
    context: &ObjectContext,
    request: &MOsdOp,
) -> OpOutcome {
    let writes = may_write(request);
    let mut x = Execution {
        env,
        store,
        coll,
        object: GhObject::from(context.object.clone()),
        before: context,
        request,
        snapc: if writes { SnapContext::of_write(env, request) } else { SnapContext::default() },
        exists: context.exists,
        info: context.info.clone(),
        mutation: None,
        stats: ObjectStatSum::default(),
        clean: CleanRegions::default(),
        modified: IntervalSet::new(),
        notes: Vec::new(),
        processed: 0,
        drawn: 0,
        watch: None,
        mtime: (request.mtime != UTime::default()).then_some(request.mtime),
        copy: None,
        extra_reqids: Vec::new(),
        extra_reqid_return_codes: BTreeMap::new(),
    };
    if let Some((error, seen)) = x.refusal(writes) {
        let refused = x.conclude(error.wire(), Vec::new());
        return OpOutcome { seen, record_error: false, ..refused };
    }
    let mut returns = Vec::with_capacity(request.ops.len());
    let mut result = 0;
    for op in &request.ops {
        let mut answered = OsdOp { indata: Bytes::new(), ..op.clone() };
        let done = x.run(op, &mut answered);
        let (out, rval) = match done {
            Ok((out, 0)) if keeps_result(op.op) => (out, result),
            Ok((out, rval)) => (out, rval),
            Err(Failure(rval)) => (Bytes::new(), rval),
        };
        returns.push(OpReturn { op: answered, rval, out });
        x.processed += 1;
        result = rval;
        if x.copy.is_some() {
            break;
        }
        if rval < 0 && op.flags & op_flag::FAILOK != 0 {
            result = 0;
        }
        if result < 0 {
            break;
        }
    }
    x.conclude(result, returns)
}

impl Execution<'_> {
    /// What is wrong with the request before any op is looked at. It leaves no trace in the log.
    fn refusal(&self, writes: bool) -> Option<(Errno, Seen)> {
        let of_snapdir = self.request.snap == SnapId::DIR;
        let ordered = self.request.flags & request_flag::ORDERSNAP != 0;
        if self.request.ops.iter().any(|o| (o.op == OpCode::ListSnaps) != of_snapdir) {
            Some((Errno::EINVAL, Seen::Nothing))
        } else if !(writes || self.exists || sees_whiteouts(self.request) && self.is_stored()) {
            Some((Errno::ENOENT, Seen::Nothing))
        } else if writes && ordered && self.snapc.seq < self.before.snapset.seq {
            Some((EOLDSNAPC, Seen::Nothing))
        } else if !self.snapc.is_valid() {
            Some((Errno::EINVAL, Seen::Object(self.before.info.user_version)))
        } else {
            None
        }
    }

    /// One op. `answered` is the op as the reply will show it.
    fn run(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        match op.op {
            OpCode::Read | OpCode::SyncRead => self.read(op, answered),
            OpCode::SparseRead => self.sparse_read(op, answered),
            OpCode::MapExt => self.map_extents(op),
            OpCode::Stat => self.stat(),
            OpCode::Checksum => self.checksum(op),
            OpCode::CmpExt => self.compare_extent(op),
            OpCode::AssertVer => self.assert_version(op),
            OpCode::IsDirty => self.is_dirty(),
            OpCode::ListWatchers => self.list_watchers(),
            OpCode::ListSnaps => self.list_snaps(),
            OpCode::GetXattr => self.get_xattr(op, answered),
            OpCode::GetXattrs => self.get_xattrs(),
            OpCode::CmpXattr => self.compare_xattr(op),
            OpCode::OmapGetKeys => self.omap_get_keys(op),
            OpCode::OmapGetVals => self.omap_get_vals(op),
            OpCode::OmapGetHeader => self.omap_get_header(),
            OpCode::OmapGetValsByKeys => self.omap_get_vals_by_keys(op),
            OpCode::OmapCmp => self.omap_compare(op),
            OpCode::Call => self.call(op, answered),
            OpCode::Write => self.write(op),
            OpCode::WriteFull => self.write_full(op),
            OpCode::Append => self.append(op),
            OpCode::WriteSame => self.write_same(op),
            OpCode::Zero => self.zero(op, answered),
            OpCode::Truncate => self.truncate(op),
            OpCode::Create => self.create(op),
            OpCode::Delete => self.delete(),
            OpCode::Rollback => self.rollback(op),
            OpCode::SetAllocHint => self.set_alloc_hint(op),
            OpCode::SetXattr => self.set_xattr(op),
            OpCode::RmXattr => self.rm_xattr(op),
            OpCode::OmapSetVals => self.omap_set_vals(op),
            OpCode::OmapSetHeader => self.omap_set_header(op),
            OpCode::OmapClear => self.omap_clear(),
            OpCode::OmapRmKeys => self.omap_rm_keys(op),
            OpCode::OmapRmKeyRange => self.omap_rm_key_range(op),
            OpCode::TmapGet => self.tmap_get(),
            OpCode::TmapPut => self.tmap_put(op),
            OpCode::TmapUp => self.tmap_update(op),
            OpCode::Watch => self.watch(op),
            OpCode::Notify => self.notify(op),
            OpCode::NotifyAck => self.notify_ack(op),
            OpCode::CopyGet => self.copy_get(op),
            OpCode::CopyFrom | OpCode::CopyFrom2 => self.copy_from(op),
            other => self.not_built(other),
        }
    }

    /// Known to Ceph and not to this release, or known to nobody: both answer the same.
    fn not_built(&mut self, code: OpCode) -> Done {
        match code {
            OpCode::Unknown(n) => {
                self.notes.push((Level::Debug, format!("unknown op {n:#06x}")));
            }
            known => self.note_not_built(known.name()),
        }
        Err(Errno::EOPNOTSUPP.into())
    }

    pub(super) fn note_not_built(&mut self, what: &str) {
        let object = &self.before.object;
        self.notes.push((Level::Debug, format!("{what} on {object:?}: not built")));
    }

    /// The changes, from now on to be made.
    pub(super) fn change(&mut self) -> &mut Mutation {
        self.mutation.get_or_insert_default()
    }

    /// Ops on the omap of an erasure-coded pool do not exist.
    pub(super) fn require_omap(&self) -> Result<(), Failure> {
        if self.env.pool.is_erasure() { Err(Errno::EOPNOTSUPP.into()) } else { Ok(()) }
    }

    pub(super) fn require_object(&self) -> Result<(), Failure> {
        if self.exists { Ok(()) } else { Err(Errno::ENOENT.into()) }
    }

    /// What the client gets when the store cannot answer.
    pub(super) fn failed(&mut self, e: &StoreError) -> Failure {
        match e {
            StoreError::NoObject(_) | StoreError::NoCollection(_) => Errno::ENOENT.into(),
            StoreError::NoAttribute => Errno::ENODATA.into(),
            other => {
                let object = &self.before.object;
                self.notes.push((Level::Error, format!("read of {object:?}: {other}")));
                Errno::EIO.into()
            }
        }
    }

    pub(super) fn count_read(&mut self, bytes: usize) {
        self.stats.num_rd += 1;
        self.stats.num_rd_kb += kib(bytes as u64);
    }

    pub(super) fn count_write(&mut self, bytes: u64) {
        self.stats.num_wr += 1;
        self.stats.num_wr_kb += kib(bytes);
    }

    /// Sets the size, and the PG's bytes with it.
    pub(super) fn resize(&mut self, size: u64) {
        self.stats.num_bytes += size as i64 - self.info.size as i64;
        self.info.size = size;
    }

    pub(super) fn dirty_data(&mut self, offset: u64, length: u64) {
        if length > 0 {
            self.clean.clean_offsets.erase(offset, length);
            if self.has_clones() {
                self.modified.insert(offset, length);
            }
        }
    }

    /// Whether the store has the object after the ops so far, be it as a whiteout.
    pub(super) fn is_stored(&self) -> bool {
        self.exists || self.info.is_whiteout()
    }

    fn conclude(mut self, result: i32, mut returns: Vec<OpReturn>) -> OpOutcome {
        for op in &self.request.ops[returns.len()..] {
            let op = OsdOp { indata: Bytes::new(), ..op.clone() };
            returns.push(OpReturn { op, rval: 0, out: Bytes::new() });
        }
        let returns_vector = self.request.flags & request_flag::RETURNVEC != 0;
        let mut outcome = OpOutcome {
            result,
            returns,
            effect: None,
            record_error: false,
            read_stats: ObjectStatSum::default(),
            watch: None,
            copy: self.copy.take(),
            notes: std::mem::take(&mut self.notes),
            seen: Seen::Object(self.before.info.user_version),
            returns_vector,
        };
        if outcome.copy.is_some() {
            return outcome;
        }
        if result < 0 || self.mutation.is_none() {
            outcome.record_error = may_write(self.request);
            if result >= 0 {
                outcome.read_stats = self.stats;
                outcome.watch = self.watch;
            }
            return outcome;
        }
        if returns_vector {
            // Nothing of this is remembered: sent again, it is carried out again, and fails again.
            let limit = self.env.limits.write_reply;
            for r in outcome.returns.iter_mut().filter(|r| r.out.len() > limit) {
                outcome.result = Errno::EOVERFLOW.wire();
                r.rval = outcome.result;
                r.out = Bytes::new();
            }
            if outcome.result < 0 {
                return outcome;
            }
        } else {
            outcome.result = 0;
        }
        outcome.watch = self.watch.take();
        outcome.effect = Some(self.effect(outcome.op_returns()));
        outcome
    }

    fn effect(mut self, op_returns: Vec<(i32, Bytes)>) -> WriteEffect {
        let mutation = self.mutation.take().unwrap_or_default();
        let (mut transaction, mut entries) = (Transaction::new(), Vec::with_capacity(1));
        let grows = self.stats.num_bytes > 0 || self.stats.num_objects > 0;
        self.count_flags();
        let snapset = self.make_writeable(&mut transaction, &mut entries);
        let mut version = self.env.version;
        version.version += entries.len() as u64;
        let user_version = if self.request.ops.iter().all(is_hidden) {
            self.info.user_version
        } else {
            (self.env.last_user_version.max(self.info.user_version) + 1).max(version.version)
        };
        let stored = self.is_stored();
        let mut attrs = Vec::new();
        if stored {
            let info = &mut self.info;
            info.set(object_flag::DIRTY, true);
            info.version = version;
            info.prior_version = self.before.info.version;
            info.last_reqid = self.env.reqid;
            info.user_version = user_version;
            if let Some(mtime) = self.mtime {
                info.mtime = mtime;
                info.local_mtime = self.env.now;
            }
            attrs.push(("_", info.to_bytes(WIRE)));
            attrs.push(("snapset", snapset.to_bytes(WIRE)));
        } else {
            self.info = ObjectInfo::new(self.before.object.clone());
        }
        trim_ranges(&mut self.clean);
        mutation.finish(&mut transaction, self.coll, &self.object, attrs);
        entries.push(PgLogEntry {
            op: if stored { LogOp::Modify } else { LogOp::Delete },
            soid: self.before.object.clone(),
            version,
            prior_version: self.before.info.version,
            reqid: self.env.reqid,
            mtime: self.mtime.unwrap_or_default(),
            user_version,
            extra_reqids: self.extra_reqids,
            extra_reqid_return_codes: self.extra_reqid_return_codes,
            clean_regions: self.clean,
            op_returns,
            ..PgLogEntry::default()
        });
        WriteEffect {
            transaction,
            entries,
            exists: self.exists,
            info: self.info,
            snapset: if stored { snapset } else { SnapSet::default() },
            user_version,
            stats: self.stats,
            grows,
        }
    }

    /// The counters that follow from the object's flags before and after.
    fn count_flags(&mut self) {
        let (before, stored) = (&self.before.info, self.is_stored());
        let change = |flag| i64::from(stored && self.info.has(flag)) - i64::from(before.has(flag));
        let omap = change(object_flag::OMAP);
        self.stats.num_objects_omap += omap;
        self.stats.num_objects_dirty +=
            i64::from(stored) - i64::from(before.has(object_flag::DIRTY));
    }
}

fn kib(bytes: u64) -> i64 {
    bytes.div_ceil(1024) as i64
}

fn trim_ranges(clean: &mut CleanRegions) {
    let ranges = &mut clean.clean_offsets;
    while ranges.iter().len() > CLEAN_RANGES_MAX {
        let Some((start, len)) = ranges.iter().min_by_key(|(_, len)| *len) else { return };
        ranges.erase(start, len);
    }
}
