//! What an OSD is asked about itself (`ceph tell osd.0 …`, `ceph pg 1.0 query`): one table, from
//! which commands are found and described.
//!
//! Options set here hold until the process ends. Nothing else is changed by a command.

use bytes::Bytes;
use seabed_cluster::admin::{Command, Format, Refusal, describe_told, help_told, prefix};
use seabed_cluster::{Errno, Now, PgId, SpgId, options};
use seabed_messages::{MCommandReply, Message, Packet};
use seabed_pg::{Outbox, Peer, SessionId, Step};
use seabed_storage::ObjectStore;
use serde_json::{Value, json};

use crate::{Osd, pg_query};

/// Requests that one answer shows; it says how many there are.
const OPS_SHOWN: usize = 1000;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Descriptions,
    Help,
    Version,
    Status,
    PerfDump,
    OpsInFlight,
    PgQuery,
}

/// The commands beside those about options: signature, help.
const TABLE: &[(&str, &str, What)] = &[
    ("get_command_descriptions", "list the commands as JSON", What::Descriptions),
    ("help", "list the commands", What::Help),
    ("version", "show this OSD's version", What::Version),
    ("status", "show this OSD's state", What::Status),
    ("perf dump", "show counters", What::PerfDump),
    ("dump_ops_in_flight", "show requests that are not answered", What::OpsInFlight),
    ("pg pgid:CephPgid cmd:CephChoices=query", "show a placement group", What::PgQuery),
    ("query pgid:CephPgid", "show a placement group", What::PgQuery),
];

/// Signature and help of every command.
fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = TABLE.iter().map(|(sig, help, _)| (*sig, *help));
    own.chain(options::COMMANDS.iter().map(|(_, sig, help)| (*sig, *help)))
}

/// The answer, or what the client gets instead.
type Answer = Result<Value, Refusal>;

fn refused<T>(errno: Errno, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(errno, text))
}

impl Osd {
    /// Answers a command.
    pub(crate) fn command(
        &mut self,
        now: Now,
        session: SessionId,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let (tid, Message::Command(m)) = (packet.tid, &packet.message) else { return Ok(()) };
        let (answer, format) = match Command::parse(&m.command) {
            Ok(command) => (self.told(now, &command, store, out)?, command.format),
            Err(refusal) => (Err(refusal), Format::Plain),
        };
        let reply = match answer {
            Ok(value) => MCommandReply {
                output: Bytes::from(match format {
                    Format::Json => value.to_string(),
                    // People read it too.
                    _ => format!("{value:#}\n"),
                }),
                ..MCommandReply::default()
            },
            Err(Refusal { errno, text: status }) => {
                MCommandReply { result: errno.wire(), status, ..MCommandReply::default() }
            }
        };
        out.send(Peer::Client(session), Packet::with_tid(tid, reply));
        Ok(())
    }

    fn told(
        &mut self,
        now: Now,
        command: &Command,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Answer> {
        let me = format!("osd.{}", self.config.whoami);
        if let Some(answer) = self.options.layers.answer(&me, command) {
            self.options_changed(now, out);
            return Ok(answer);
        }
        let Some((.., what)) = TABLE.iter().find(|(sig, ..)| prefix(sig) == command.prefix) else {
            let known: Vec<String> = table().map(|(sig, _)| prefix(sig)).collect();
            let (wanted, known) = (&command.prefix, known.join(", "));
            let text = format!("command not known: '{wanted}'; an OSD can be told: {known}");
            return Ok(refused(Errno::EINVAL, text));
        };
        Ok(match what {
            What::Descriptions => Ok(describe_told(table())),
            What::Help => Ok(help_told(table())),
            What::Version => Ok(self.version()),
            What::Status => Ok(self.status()),
            What::PerfDump => Ok(self.counters(store)),
            What::OpsInFlight => Ok(self.ops_in_flight()),
            What::PgQuery => return self.pg_query(now, command, store, out),
        })
    }

    fn version(&self) -> Value {
        let text = |key: &str| self.config.metadata.get(key).cloned().unwrap_or_default();
        let whole = text("ceph_version");
        let kind = whole.rsplit(' ').next().unwrap_or_default().trim_matches(['(', ')']);
        json!({
            "version": text("ceph_version_short"),
            "release": text("ceph_release"),
            "release_type": kind,
        })
    }

    fn status(&self) -> Value {
        let block = &self.maps.superblock;
        json!({
            "cluster_fsid": block.cluster_fsid.to_string(),
            "osd_fsid": block.osd_fsid.to_string(),
            "whoami": self.config.whoami.0,
            "state": self.phase.name(),
            "oldest_map": self.maps.oldest().0,
            "newest_map": self.maps.newest().0,
            "num_pgs": self.pgs.len(),
        })
    }

    fn counters(&self, store: &dyn ObjectStore) -> Value {
        let space = store.statfs();
        let count = |f: fn(&seabed_pg::Pg) -> bool| self.pgs.values().filter(|pg| f(pg)).count();
        json!({
            "osd": {
                "op_wip": self.pgs.values().map(|pg| pg.requests().count()).sum::<usize>(),
                "numpg": self.pgs.len(),
                "numpg_primary": count(|pg| pg.is_primary()),
                "numpg_replica": count(|pg| pg.is_member() && !pg.is_primary()),
                "numpg_stray": count(|pg| !pg.is_member()),
                "numpg_removing": self.removing.len(),
                "heartbeat_to_peers": self.heartbeat.peers().count(),
                "map_epoch": self.epoch().0,
                "num_sessions": self.sessions.len(),
                "waiting_for_map": self.waiting_map.len(),
                "stat_bytes": space.total,
                "stat_bytes_used": space.total.saturating_sub(space.available),
                "stat_bytes_avail": space.available,
            },
        })
    }

    fn ops_in_flight(&self) -> Value {
        let all = self.pgs.values().flat_map(|pg| pg.requests().map(|r| (pg.id(), r)));
        let show = |(pg, (op, point)): (SpgId, (&seabed_pg::ClientOp, &str))| {
            let m = &op.message;
            let ops: Vec<&str> = m.ops.iter().map(|o| o.op.name()).collect();
            let object = String::from_utf8_lossy(&m.object);
            let ops = ops.join(",");
            let text = format!("osd_op({} {} {object} [{ops}] e{})", op.reqid, pg.pg, m.epoch.0);
            json!({
                "description": text,
                "type_data": {
                    "flag_point": point,
                    "client_info": {
                        "client": op.entity.to_string(),
                        "client_addr": op.addr.to_string(),
                        "tid": op.tid,
                    },
                },
            })
        };
        let count: usize = self.pgs.values().map(|pg| pg.requests().count()).sum();
        json!({"ops": all.take(OPS_SHOWN).map(show).collect::<Vec<_>>(), "num_ops": count})
    }

    fn pg_query(
        &mut self,
        now: Now,
        command: &Command,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Answer> {
        let text = match command.need("pgid") {
            Ok(text) => text,
            Err(_) => return Ok(refused(Errno::EINVAL, "no pgid specified")),
        };
        let Ok(id) = text.parse::<PgId>() else {
            return Ok(refused(Errno::EINVAL, format!("couldn't parse pgid '{text}'")));
        };
        let asked = command.list("cmd");
        if !asked.is_empty() && asked != ["query"] {
            return Ok(refused(Errno::EINVAL, "of a placement group only query is known"));
        }
        let found = self.with_pg(now, SpgId::replicated(id), store, out, |pg, env| {
            Ok(pg.is_primary().then(|| pg_query::query(pg, env)))
        })?;
        Ok(match found {
            Some(Some(value)) => Ok(value),
            // Its client asks whom a newer map names.
            Some(None) => refused(Errno::EAGAIN, format!("not primary for pgid {id}")),
            None => refused(Errno::ENOENT, format!("i don't have pgid {id}")),
        })
    }
}
