//! One request's way through its ops: dispatch, and what the object has become.

use seabed_cluster::{
    CleanRegions, Collection, Errno, GhObject, LogOp, ObjectInfo, ObjectStatSum, PgLogEntry,
    SnapId, SnapSet, object_flag,
};
use seabed_denc::{Bytes, DecodeError, Encode};
use seabed_messages::op::{op_flag, request_flag, watch_op};
use seabed_messages::{MOsdOp, OpArgs, OpCode, OsdOp};
use seabed_storage::{ObjectStore, StoreError};

use super::call::call_writes;
use super::mutation::Mutation;
use super::outcome::Seen;
use super::{ObjectContext, OpEnv, OpOutcome, OpReturn, WriteEffect};
use crate::watch::WatchEffects;
use crate::{Level, WIRE};

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
    /// Whether the object exists after the ops so far.
    pub(super) exists: bool,
    /// Its info after the ops so far.
    pub(super) info: ObjectInfo,
    pub(super) mutation: Option<Mutation>,
    pub(super) stats: ObjectStatSum,
    pub(super) clean: CleanRegions,
    pub(super) notes: Vec<(Level, String)>,
    /// Ops begun before the present one, those that methods did by themselves among them.
    pub(super) processed: usize,
    /// How often a method asked for unique bytes.
    pub(super) drawn: u64,
    /// What becomes of watches, if anything.
    pub(super) watch: Option<Box<WatchEffects>>,
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
/// version. `coll` is the PG's collection.
pub fn execute(
    env: &OpEnv<'_>,
    store: &dyn ObjectStore,
    coll: &Collection,
    context: &ObjectContext,
    request: &MOsdOp,
) -> OpOutcome {
    let mut x = Execution {
        env,
        store,
        coll,
        object: GhObject::from(context.object.clone()),
        before: context,
        request,
        exists: context.exists,
        info: context.info.clone(),
        mutation: None,
        stats: ObjectStatSum::default(),
        clean: CleanRegions::default(),
        notes: Vec::new(),
        processed: 0,
        drawn: 0,
        watch: None,
    };
    let writes = may_write(request);
    let listing = request.snap == SnapId::DIR;
    let seen = !context.snapset.clones.is_empty() && listing;
    if !writes && !context.exists && !seen {
        let nothing = x.conclude(Errno::ENOENT.wire(), Vec::new());
        return OpOutcome { seen: Seen::Nothing, ..nothing };
    }
    if request.snap != SnapId::HEAD && !listing {
        // A read of a snapshot. Without clones the head is what every snapshot shows, if it is
        // older than the snapshot; reads of clones come with snapshots.
        if request.snap <= context.snapset.seq {
            x.note_not_built("read of a snapshot");
            return x.conclude(Errno::ENOENT.wire(), Vec::new());
        }
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
            OpCode::SetAllocHint => self.set_alloc_hint(op),
            OpCode::SetXattr => self.set_xattr(op),
            OpCode::RmXattr => self.rm_xattr(op),
            OpCode::OmapSetVals => self.omap_set_vals(op),
            OpCode::OmapSetHeader => self.omap_set_header(op),
            OpCode::OmapClear => self.omap_clear(),
            OpCode::OmapRmKeys => self.omap_rm_keys(op),
            OpCode::OmapRmKeyRange => self.omap_rm_key_range(op),
            OpCode::Watch => self.watch(op),
            OpCode::Notify => self.notify(op),
            OpCode::NotifyAck => self.notify_ack(op),
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
        }
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
            notes: std::mem::take(&mut self.notes),
            seen: Seen::Object(self.before.info.user_version),
            returns_vector,
        };
        if result < 0 || self.mutation.is_none() {
            outcome.record_error = may_write(self.request);
            if result >= 0 {
                outcome.read_stats = self.stats;
                outcome.watch = self.watch;
            }
            return outcome;
        }
        if let Err(Failure(result)) = self.take_snap_context() {
            outcome.result = result;
            outcome.record_error = true;
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
        let snapset = self.new_snapset();
        let user_version = if self.request.ops.iter().all(is_hidden) {
            self.info.user_version
        } else {
            (self.env.last_user_version.max(self.info.user_version) + 1)
                .max(self.env.version.version)
        };
        self.count_flags();
        let mut attrs = Vec::new();
        if self.exists {
            let info = &mut self.info;
            info.set(object_flag::DIRTY, true);
            info.version = self.env.version;
            info.prior_version = self.before.info.version;
            info.last_reqid = self.env.reqid;
            info.user_version = user_version;
            if self.request.mtime != Default::default() {
                info.mtime = self.request.mtime;
                info.local_mtime = self.env.now;
            }
            attrs.push(("_", info.to_bytes(WIRE)));
            attrs.push(("snapset", snapset.to_bytes(WIRE)));
        } else {
            self.info = ObjectInfo::new(self.before.object.clone());
        }
        trim_ranges(&mut self.clean);
        let entry = PgLogEntry {
            op: if self.exists { LogOp::Modify } else { LogOp::Delete },
            soid: self.before.object.clone(),
            version: self.env.version,
            prior_version: self.before.info.version,
            reqid: self.env.reqid,
            mtime: self.request.mtime,
            user_version,
            clean_regions: self.clean,
            op_returns,
            ..PgLogEntry::default()
        };
        WriteEffect {
            transaction: mutation.finish(self.coll, &self.object, attrs),
            entries: vec![entry],
            exists: self.exists,
            info: self.info,
            snapset: if self.exists { snapset } else { SnapSet::default() },
            user_version,
            stats: self.stats,
        }
    }

    /// The counters that follow from the object's flags before and after.
    fn count_flags(&mut self) {
        let old = |flag| i64::from(self.before.exists && self.before.info.has(flag));
        let new = |flag| i64::from(self.exists && self.info.has(flag));
        self.stats.num_objects_dirty += i64::from(self.exists) - old(object_flag::DIRTY);
        self.stats.num_objects_omap += new(object_flag::OMAP) - old(object_flag::OMAP);
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
