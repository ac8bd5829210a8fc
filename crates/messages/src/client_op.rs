//! Requests of clients to OSDs, their answers, and back-off.
//!
//! ```text
//! osd_op (42) v8, front:
//!   spg pg; u32 hash; e map_epoch; u32 flags; reqid; 3 u64 trace          (read for routing)
//!   u32 client_inc; utime mtime; object_locator; str object;
//!   u16 n, n × 38 B op; u64 snap; u64 snap_seq; list<u64> snaps; s32 retry; u64 features
//! data: the inputs of all ops one after the other
//!
//! osd_op_reply (43) v8, front:
//!   str object; pg; u64 flags; s32 result; ev bad_replay_version; e map_epoch; u32 n, n × 38 B op;
//!   s32 retry; n × s32 rval; ev replay_version; u64 user_version;
//!   bool redirect [ENCODE(1,1){ object_locator; str object; bl }]; 3 u64 trace
//! data: the outputs of all ops one after the other
//! ```
//!
//! librados and the kernel send the reqid all zero: the receiver derives it from the session, the
//! header's tid and `client_inc`. A v9 request (Squid) is sent only to who claims its feature.

use seabed_cluster::{EVersion, Epoch, HObject, ObjectLocator, PgId, ReqId, SnapId, SpgId, UTime};
use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, versioned};

use crate::declare::message;
use crate::op::{self, OsdOp};
use crate::{Body, Foreign, Kind, Parts, Trace};

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MOsdOp {
    /// To which PG.
    pub pg: SpgId,
    /// The object's full hash.
    pub hash: u32,
    /// The newest map of the sender.
    pub epoch: Epoch,
    /// Of [`op::request_flag`].
    pub flags: u32,
    /// Zero from clients: see [`MOsdOp::reqid_of`].
    pub reqid: ReqId,
    /// Unused.
    pub trace: Trace,
    /// Incarnation of the client.
    pub client_inc: i32,
    /// When, by the client's clock.
    pub mtime: UTime,
    /// Pool, namespace and key.
    pub locator: ObjectLocator,
    /// The name; empty for ops on the PG.
    pub object: Bytes,
    /// What to do, all or nothing.
    pub ops: Vec<OsdOp>,
    /// What to read.
    pub snap: SnapId,
    /// Snap context of a write.
    pub snap_seq: SnapId,
    /// Snap context of a write, newest first.
    pub snaps: Vec<SnapId>,
    /// Counts resends; the answer repeats it.
    pub retry_attempt: i32,
    /// The client's features.
    pub features: u64,
    /// The form it came in.
    pub foreign: Foreign,
}

impl Default for MOsdOp {
    fn default() -> Self {
        MOsdOp {
            pg: SpgId::default(),
            hash: 0,
            epoch: Epoch::default(),
            flags: 0,
            reqid: ReqId::default(),
            trace: Trace::default(),
            client_inc: 0,
            mtime: UTime::default(),
            locator: ObjectLocator::default(),
            object: Bytes::new(),
            ops: Vec::new(),
            snap: SnapId::HEAD,
            snap_seq: SnapId(0),
            snaps: Vec::new(),
            retry_attempt: 0,
            features: 0,
            foreign: Foreign::default(),
        }
    }
}

impl MOsdOp {
    /// The object that is meant. Its hash is the one that the sender computed.
    pub fn hobject(&self) -> HObject {
        let key = &self.locator.key;
        HObject {
            pool: self.locator.pool,
            hash: self.hash,
            namespace: self.locator.namespace.clone(),
            key: if *key == self.object { Bytes::new() } else { key.clone() },
            name: self.object.clone(),
            snap: self.snap,
            max: false,
        }
    }

    /// The request's name: the one inside, or the one that follows from who sent it and the tid.
    pub fn reqid_of(&self, sender: seabed_cluster::EntityName, tid: u64) -> ReqId {
        if self.reqid.tid == 0 {
            ReqId { name: sender, tid, inc: self.client_inc }
        } else {
            self.reqid
        }
    }
}

impl Body for MOsdOp {
    fn decode_parts(mut parts: Parts) -> Result<Self, DecodeError> {
        if parts.version > Self::VERSION {
            // Version 9 puts a field into the middle, so that nothing behind it is where it was.
            let value = u64::from(parts.version);
            return Err(DecodeError::Invalid { what: "osd_op version", value });
        }
        let mut front = Reader::new(std::mem::take(&mut parts.front));
        let r = &mut front;
        let mut m = MOsdOp {
            pg: SpgId::decode(r)?,
            hash: u32::decode(r)?,
            epoch: Epoch::decode(r)?,
            flags: u32::decode(r)?,
            reqid: ReqId::decode(r)?,
            trace: Trace::decode(r)?,
            client_inc: i32::decode(r)?,
            mtime: UTime::decode(r)?,
            locator: ObjectLocator::decode(r)?,
            object: Bytes::decode(r)?,
            ..MOsdOp::default()
        };
        let count = u16::decode(r)?;
        let ops = op::decode_ops(r, count.into())?;
        m.snap = SnapId::decode(r)?;
        m.snap_seq = SnapId::decode(r)?;
        m.snaps = Vec::decode(r)?;
        m.retry_attempt = i32::decode(r)?;
        m.features = u64::decode(r)?;
        let mut data = Reader::new(std::mem::take(&mut parts.data));
        m.ops = op::split_indata(ops, &mut data)?;
        data.finish()?;
        parts.front = front.take_rest();
        m.foreign = Foreign::new(parts, Self::VERSION, Self::COMPAT);
        Ok(m)
    }

    fn encode_parts(&self, features: Features) -> Parts {
        let mut out = BytesMut::with_capacity(256 + self.object.len() + 38 * self.ops.len());
        self.pg.encode(&mut out, features);
        self.hash.encode(&mut out, features);
        self.epoch.encode(&mut out, features);
        self.flags.encode(&mut out, features);
        self.reqid.encode(&mut out, features);
        self.trace.encode(&mut out, features);
        self.client_inc.encode(&mut out, features);
        self.mtime.encode(&mut out, features);
        self.locator.encode(&mut out, features);
        self.object.encode(&mut out, features);
        // Librados refuses longer vectors than a few tens; the wire has 16 bits.
        u16::try_from(self.ops.len()).expect("op count fits u16").encode(&mut out, features);
        op::encode_ops(&mut out, &self.ops);
        self.snap.encode(&mut out, features);
        self.snap_seq.encode(&mut out, features);
        self.snaps.encode(&mut out, features);
        self.retry_attempt.encode(&mut out, features);
        self.features.encode(&mut out, features);
        self.foreign.wrap::<Self>(out, Bytes::new(), op::join_indata(&self.ops))
    }
}

versioned! {
    /// `request_redirect_t` v1: ask for the object elsewhere.
    pub struct Redirect(1, 1) {
        locator: ObjectLocator,
        object: Bytes,
        /// Formerly instructions; empty.
        instructions: Bytes,
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MOsdOpReply {
    /// As in the request.
    pub object: Bytes,
    /// As in the request.
    pub pg: PgId,
    /// The request's, with [`op::request_flag::ACK`] and `ONDISK`.
    pub flags: u64,
    /// 0 or more, or a negative errno.
    pub result: i32,
    /// As `replay_version`.
    pub bad_replay_version: EVersion,
    /// The newest map of the sender.
    pub epoch: Epoch,
    /// The request's ops, with what each returned and its output in `indata`.
    pub ops: Vec<(OsdOp, i32)>,
    /// As in the request.
    pub retry_attempt: i32,
    /// The PG's version of the change.
    pub replay_version: EVersion,
    /// The object's version as clients see it.
    pub user_version: u64,
    /// Ask elsewhere.
    pub redirect: Option<Redirect>,
    /// Unused.
    pub trace: Trace,
    /// The form it came in.
    pub foreign: Foreign,
}

impl MOsdOpReply {
    /// An answer to `request` that says only `result`; no output.
    pub fn to(request: &MOsdOp, result: i32, epoch: Epoch) -> Self {
        let ops = request.ops.iter().map(|o| (OsdOp { indata: Bytes::new(), ..o.clone() }, 0));
        MOsdOpReply {
            object: request.object.clone(),
            pg: request.pg.pg,
            flags: u64::from(request.flags | op::request_flag::ACK | op::request_flag::ONDISK),
            result,
            epoch,
            ops: ops.collect(),
            retry_attempt: request.retry_attempt,
            ..Self::default()
        }
    }
}

impl Body for MOsdOpReply {
    fn decode_parts(mut parts: Parts) -> Result<Self, DecodeError> {
        let mut front = Reader::new(std::mem::take(&mut parts.front));
        let r = &mut front;
        let mut m = MOsdOpReply {
            object: Bytes::decode(r)?,
            pg: PgId::decode(r)?,
            flags: u64::decode(r)?,
            result: i32::decode(r)?,
            bad_replay_version: EVersion::decode(r)?,
            epoch: Epoch::decode(r)?,
            ..MOsdOpReply::default()
        };
        let count = r.count("ops", op::OP_BYTES)?;
        let ops = op::decode_ops(r, count)?;
        m.retry_attempt = i32::decode(r)?;
        let mut data = Reader::new(std::mem::take(&mut parts.data));
        for op in op::split_indata(ops, &mut data)? {
            m.ops.push((op, i32::decode(r)?));
        }
        data.finish()?;
        m.replay_version = EVersion::decode(r)?;
        m.user_version = u64::decode(r)?;
        m.redirect = Option::decode(r)?;
        m.trace = Trace::decode(r)?;
        parts.front = front.take_rest();
        m.foreign = Foreign::new(parts, Self::VERSION, Self::COMPAT);
        Ok(m)
    }

    fn encode_parts(&self, features: Features) -> Parts {
        let ops: Vec<OsdOp> = self.ops.iter().map(|(op, _)| op.clone()).collect();
        let mut out = BytesMut::with_capacity(160 + self.object.len() + 42 * ops.len());
        self.object.encode(&mut out, features);
        self.pg.encode(&mut out, features);
        self.flags.encode(&mut out, features);
        self.result.encode(&mut out, features);
        self.bad_replay_version.encode(&mut out, features);
        self.epoch.encode(&mut out, features);
        u32::try_from(ops.len()).expect("op count fits u32").encode(&mut out, features);
        op::encode_ops(&mut out, &ops);
        self.retry_attempt.encode(&mut out, features);
        for (_, rval) in &self.ops {
            rval.encode(&mut out, features);
        }
        self.replay_version.encode(&mut out, features);
        self.user_version.encode(&mut out, features);
        self.redirect.encode(&mut out, features);
        self.trace.encode(&mut out, features);
        self.foreign.wrap::<Self>(out, Bytes::new(), op::join_indata(&ops))
    }
}

/// What a back-off says ([`MOsdBackoff::op`]).
#[allow(missing_docs)]
pub mod backoff_op {
    pub const BLOCK: u8 = 1;
    pub const ACK_BLOCK: u8 = 2;
    pub const UNBLOCK: u8 = 3;
}

message! {
    /// osd_backoff: requests for a range of objects are to be held back.
    pub struct MOsdBackoff {
        pg: SpgId,
        epoch: Epoch,
        /// Of [`backoff_op`].
        op: u8,
        id: u64,
        begin: HObject,
        /// Exclusive.
        end: HObject,
    }
}
