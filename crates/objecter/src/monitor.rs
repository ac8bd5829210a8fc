//! Requests that wait for the monitor; asked again on every new session until they are answered.

use std::collections::BTreeMap;

use seabed_cluster::{Epoch, PoolId, PoolStat, SnapId, Uuid};
use seabed_denc::Bytes;
use seabed_messages::{
    MGetPoolStats, MMonCommand, MMonGetVersion, MMonSubscribe, MPoolOp, MStatfs, MStatfsReply,
    Message, Packet, Paxos, Subscription,
};

use crate::RequestId;

/// What can be asked of the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonRequest {
    /// A command in JSON, with its input.
    Command {
        /// The JSON text.
        text: String,
        /// Input data.
        input: Bytes,
    },
    /// The newest version of `osdmap` or `monmap`.
    Version {
        /// Which map.
        what: String,
    },
    /// Space of the whole cluster.
    Statfs,
    /// Statistics of pools, by name.
    PoolStats {
        /// Their names.
        pools: Vec<String>,
    },
    /// A change of a pool's snapshots.
    PoolOp {
        /// The pool.
        pool: PoolId,
        /// Of [`seabed_messages::pool_op`].
        op: u32,
        /// The snapshot that goes, if one does.
        snap: SnapId,
    },
}

/// The monitor's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonAnswer {
    /// Of a command: 0 or a negative errno, text for people, output.
    Command {
        /// 0 or a negative errno.
        code: i32,
        /// Text for people.
        text: String,
        /// Output.
        output: Bytes,
    },
    /// The newest and the oldest version kept.
    Version {
        /// Newest.
        newest: u64,
        /// Oldest kept.
        oldest: u64,
    },
    /// Space in KiB and the number of objects.
    Statfs(Box<MStatfsReply>),
    /// By pool name.
    PoolStats(BTreeMap<String, PoolStat>),
    /// Of a change of a pool.
    PoolOp {
        /// 0 or a negative errno.
        code: i32,
        /// The map that shows it.
        epoch: Epoch,
        /// The id of a snapshot that was made, encoded.
        data: Bytes,
    },
}

impl MonRequest {
    /// The message that asks under this number.
    pub(crate) fn packet(&self, id: RequestId, fsid: Uuid) -> Packet {
        let paxos = Paxos::default();
        let message: Message = match self {
            MonRequest::Command { text, input } => MMonCommand {
                paxos,
                fsid,
                command: vec![text.clone()],
                input: input.clone(),
                ..MMonCommand::default()
            }
            .into(),
            MonRequest::Version { what } => {
                MMonGetVersion { handle: id.0, what: what.clone(), ..MMonGetVersion::default() }
                    .into()
            }
            MonRequest::Statfs => MStatfs { paxos, fsid, pool: None, ..MStatfs::default() }.into(),
            MonRequest::PoolStats { pools } => {
                MGetPoolStats { paxos, fsid, pools: pools.clone(), ..MGetPoolStats::default() }
                    .into()
            }
            MonRequest::PoolOp { pool, op, snap } => MPoolOp {
                paxos,
                fsid,
                // Ids of pools have 32 bits where this message was laid out.
                pool: pool.0 as u32,
                op: *op,
                snap: *snap,
                ..MPoolOp::default()
            }
            .into(),
        };
        Packet::with_tid(id.0, message)
    }
}

/// The number and the answer, if `packet` is the answer to a request.
pub(crate) fn answer(packet: &Packet) -> Option<(RequestId, MonAnswer)> {
    let tid = RequestId(packet.tid);
    Some(match &packet.message {
        Message::MonCommandAck(m) => {
            let answer = MonAnswer::Command {
                code: m.result,
                text: m.status.clone(),
                output: m.output.clone(),
            };
            (tid, answer)
        }
        Message::MonGetVersionReply(m) => {
            (RequestId(m.handle), MonAnswer::Version { newest: m.newest, oldest: m.oldest })
        }
        Message::StatfsReply(m) => (tid, MonAnswer::Statfs(m.clone())),
        Message::PoolOpReply(m) => {
            let data = m.data.clone().unwrap_or_default();
            (tid, MonAnswer::PoolOp { code: m.code, epoch: m.epoch, data })
        }
        Message::GetPoolStatsReply(m) => (tid, MonAnswer::PoolStats(m.stats.clone())),
        _ => return None,
    })
}

/// Asks for all OSDMaps from `start` on, as they come.
pub(crate) fn subscribe(start: Epoch) -> Packet {
    let what = Subscription { start: u64::from(start.0), flags: 0 };
    let what = BTreeMap::from([("osdmap".to_owned(), what)]);
    MMonSubscribe { what, ..MMonSubscribe::default() }.into()
}
