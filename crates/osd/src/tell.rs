//! What an OSD is asked about itself (`ceph tell osd.0 …`, `ceph pg 1.0 query`): one table, from
//! which commands are found and described.
//!
//! Options set here hold until the process ends. What a benchmark writes is taken away again.
//! Nothing else is changed by a command.

use seabed_cluster::admin::{Command, Format, Refusal, describe_told, help_told, prefix};
use seabed_cluster::{Errno, Now, PgId, SpgId, options};
use seabed_messages::{MCommandReply, Message, Packet};
use seabed_pg::{Outbox, Peer, SessionId, Step};
use seabed_storage::ObjectStore;
use serde_json::Value;

use crate::bench::Asker;
use crate::{Osd, pg_query};

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Descriptions,
    Help,
    Version,
    Status,
    PerfDump,
    PerfSchema,
    OpsInFlight,
    Blocklist,
    Bench,
    PgQuery,
}

/// The commands beside those about options: signature, help.
const TABLE: &[(&str, &str, What)] = &[
    ("get_command_descriptions", "list the commands as JSON", What::Descriptions),
    ("help", "list the commands", What::Help),
    ("version", "show this OSD's version", What::Version),
    ("status", "show this OSD's state", What::Status),
    ("perf dump [logger:CephString] [counter:CephString]", "show counters", What::PerfDump),
    ("perf schema", "say what counters mean", What::PerfSchema),
    ("dump_ops_in_flight", "show requests that are not answered", What::OpsInFlight),
    ("ops", "show requests that are not answered", What::OpsInFlight),
    ("dump_blocklist", "show clients that are shut out", What::Blocklist),
    (
        "bench [count:CephInt] [size:CephInt] [object_size:CephInt] [object_num:CephInt]",
        "write COUNT bytes (1G), SIZE at a time (4M), into new objects or OBJECT_NUM made before",
        What::Bench,
    ),
    ("pg pgid:CephPgid cmd:CephChoices=query", "show a placement group", What::PgQuery),
    ("query pgid:CephPgid", "show a placement group", What::PgQuery),
];

/// Signature and help of every command.
fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = TABLE.iter().map(|(sig, help, _)| (*sig, *help));
    own.chain(options::COMMANDS.iter().map(|(_, sig, help)| (*sig, *help)))
}

/// The answer, one value after the other, or what the client gets instead.
pub(crate) type Answer = Result<Vec<Value>, Refusal>;

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
            Ok(command) => {
                let asker = Asker { session, tid, format: command.format };
                (self.told(now, asker, &command, store, out)?, command.format)
            }
            Err(refusal) => (Some(Err(refusal)), Format::Plain),
        };
        if let Some(answer) = answer {
            self.answer(Asker { session, tid, format }, answer, out);
        }
        Ok(())
    }

    /// Sends an answer.
    pub(crate) fn answer(&self, to: Asker, answer: Answer, out: &mut Outbox) {
        let text = |value: &Value| match to.format {
            Format::Json => value.to_string(),
            // People read it too.
            _ => format!("{value:#}\n"),
        };
        let reply = match answer {
            Ok(values) => MCommandReply {
                output: values.iter().map(text).collect::<String>().into(),
                ..MCommandReply::default()
            },
            Err(Refusal { errno, text: status }) => {
                MCommandReply { result: errno.wire(), status, ..MCommandReply::default() }
            }
        };
        out.send(Peer::Client(to.session), Packet::with_tid(to.tid, reply));
    }

    /// The answer; `None`: it comes later.
    fn told(
        &mut self,
        now: Now,
        asker: Asker,
        command: &Command,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Option<Answer>> {
        let me = format!("osd.{}", self.config.whoami);
        if let Some(answer) = self.options.layers.answer(&me, command) {
            let of_it = |sig: &str| prefix(sig) == command.prefix;
            if options::COMMANDS.iter().any(|(perm, sig, _)| *perm == "rw" && of_it(sig)) {
                self.options_changed(now, out);
            }
            return Ok(Some(answer.map(|value| vec![value])));
        }
        let Some((.., what)) = TABLE.iter().find(|(sig, ..)| prefix(sig) == command.prefix) else {
            let known: Vec<String> = table().map(|(sig, _)| prefix(sig)).collect();
            let (wanted, known) = (&command.prefix, known.join(", "));
            let text = format!("command not known: '{wanted}'; an OSD can be told: {known}");
            return Ok(Some(refused(Errno::EINVAL, text)));
        };
        let one = |value| Ok(vec![value]);
        Ok(Some(match what {
            What::Descriptions => one(describe_told(table())),
            What::Help => one(help_told(table())),
            What::Version => one(self.version()),
            What::Status => one(self.status()),
            What::PerfDump => {
                let (logger, counter) = (command.str("logger"), command.str("counter"));
                one(self.counters(store, logger.as_deref(), counter.as_deref()))
            }
            What::PerfSchema => one(Osd::counter_schema()),
            What::OpsInFlight => one(self.ops_in_flight(now)),
            What::Blocklist => Ok(self.blocklist()),
            What::Bench => match self.begin_bench(now, asker, command, store, out)? {
                Ok(()) => return Ok(None),
                Err(refusal) => Err(refusal),
            },
            What::PgQuery => self.pg_query(now, command, store, out)?.map(|value| vec![value]),
        }))
    }

    fn pg_query(
        &mut self,
        now: Now,
        command: &Command,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Result<Value, Refusal>> {
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
