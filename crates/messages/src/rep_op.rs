//! Replication: a primary's writes and log entries, and what a replica owes for them.
//!
//! ```text
//! osd_repop (112) v3: e; e min; 3 u64 trace; reqid; spg; hobject; u8 acks_wanted; ev version;
//!   bl { list<pg_log_entry> }; pg_stat; ev pg_trim_to; hobject new_temp; hobject discard_temp;
//!   osd from; bool [hit_set_history]; ev min_last_complete_ondisk
//! data: a Transaction. Between OSDs of 20.2 its envelope is the middle segment and the data are
//!   the bulk bytes; that form is not looked into.
//! osd_repop_reply (113) v2: e; e min; 3 u64; reqid; spg; u8 ack_type; s32 result; ev; osd from
//! pg_update_log_missing (114) v3: e; spg; s8 from; u64 rep_tid; list<pg_log_entry>; e min;
//!   ev pg_trim_to; ev roll_forward_to
//! its reply (115) v3: e; spg; s8 from; u64 rep_tid; e min; ev last_complete_ondisk
//! ```

use seabed_cluster::{
    EVersion, Epoch, HObject, HitSetHistory, PgLogEntry, PgShard, PgStat, ReqId, SpgId,
};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_blob_with,
    encode_blob_with,
};

use crate::Trace;
use crate::declare::message;

/// What a replica is asked for, and says it has done.
#[allow(missing_docs)]
pub mod ack {
    pub const ACK: u8 = 1;
    pub const ONDISK: u8 = 4;
}

/// Log entries with the length of all of them in front.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogBlob(pub Vec<PgLogEntry>);

impl Encode for LogBlob {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_blob_with(out, |out| self.0.encode(out, features));
    }
}

impl Decode for LogBlob {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        decode_blob_with(r, |r| {
            let entries = Vec::decode(r)?;
            r.finish()?;
            Ok(LogBlob(entries))
        })
    }
}

message! {
    /// A write for a replica: what to do to the store, and the log entries that say so.
    pub struct MOsdRepOp {
        epoch: Epoch,
        /// First epoch of the sender's interval.
        min_epoch: Epoch,
        trace: Trace,
        reqid: ReqId,
        pg: SpgId,
        object: HObject,
        /// Of [`ack`], both.
        acks_wanted: u8 = ack::ACK | ack::ONDISK,
        /// The last entry's.
        version: EVersion,
        log: LogBlob,
        stats: PgStat,
        pg_trim_to: EVersion,
        new_temp: HObject,
        discard_temp: HObject,
        from: PgShard,
        hit_set: Option<HitSetHistory>,
        min_last_complete_ondisk: EVersion [since 3],
    }
    middle middle;
    data transaction: Bytes;
}

message! {
    /// The replica has it on disk; under the tid of the request.
    pub struct MOsdRepOpReply {
        /// As in the request.
        epoch: Epoch,
        /// As in the request.
        min_epoch: Epoch,
        trace: Trace,
        reqid: ReqId,
        pg: SpgId,
        ack_type: u8 = ack::ONDISK,
        result: i32,
        last_complete_ondisk: EVersion,
        from: PgShard,
    }
}

message! {
    /// Log entries without a change of data: errors, lost marks.
    pub struct MPgUpdateLogMissing {
        epoch: Epoch,
        pg: SpgId,
        from: i8 = -1,
        rep_tid: u64,
        entries: Vec<PgLogEntry>,
        min_epoch: Epoch [since 2],
        pg_trim_to: EVersion [since 3],
        pg_roll_forward_to: EVersion [since 3],
    }
}

message! {
    /// The replica has them on disk.
    pub struct MPgUpdateLogMissingReply {
        epoch: Epoch,
        pg: SpgId,
        from: i8 = -1,
        rep_tid: u64,
        min_epoch: Epoch [since 2],
        last_complete_ondisk: EVersion [since 3],
    }
}
