//! What an OSD is asked about itself (`ceph tell osd.0 …`, `ceph pg 1.0 query`): one table, from
//! which commands are found and described.
//!
//! Options set here hold until the process ends. Nothing else is changed by a command.

use bytes::Bytes;
use seabed_cluster::{Errno, Now, PgId, SpgId};
use seabed_messages::{MCommand, MCommandReply, Message, Packet};
use seabed_pg::{Outbox, Peer, SessionId, Step};
use seabed_storage::ObjectStore;
use serde_json::{Map, Value, json};

use crate::{Osd, options, pg_query};

/// Longest command accepted: more than any tool sends, less than what would hurt.
const COMMAND_LEN_MAX: usize = 1 << 20;

/// Requests that one answer shows; it says how many there are.
const OPS_SHOWN: usize = 1000;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Descriptions,
    Version,
    Status,
    PerfDump,
    OpsInFlight,
    ConfigShow,
    ConfigGet,
    ConfigSet,
    InjectArgs,
    PgQuery,
}

/// The commands: words and arguments as in the monitor's table, permission, help.
const TABLE: &[(&str, &str, &str, What)] = &[
    ("get_command_descriptions", "r", "list the commands as JSON", What::Descriptions),
    ("version", "r", "show this OSD's version", What::Version),
    ("status", "r", "show this OSD's state", What::Status),
    ("perf dump", "r", "show counters", What::PerfDump),
    ("dump_ops_in_flight", "r", "show requests that are not answered", What::OpsInFlight),
    ("config show", "r", "show the options in force", What::ConfigShow),
    ("config get var:CephString", "r", "show an option", What::ConfigGet),
    (
        "config set var:CephString val:CephString*",
        "rw",
        "set an option until the process ends",
        What::ConfigSet,
    ),
    (
        "injectargs injected_args:CephString*",
        "rw",
        "set options until the process ends",
        What::InjectArgs,
    ),
    ("pg pgid:CephPgid cmd:CephChoices=query", "r", "show a placement group", What::PgQuery),
    ("query pgid:CephPgid", "r", "show a placement group", What::PgQuery),
];

/// The answer, or what the client gets instead.
type Answer = Result<Value, (Errno, String)>;

fn refused<T>(errno: Errno, text: impl Into<String>) -> Result<T, (Errno, String)> {
    Err((errno, text.into()))
}

/// The literal words of a signature.
fn prefix(signature: &str) -> String {
    let words: Vec<&str> = signature.split(' ').take_while(|w| !w.contains(':')).collect();
    words.join(" ")
}

/// A command as it arrives: a JSON object whose `prefix` says which, the rest being arguments.
struct Command(Map<String, Value>);

impl Command {
    /// By an old habit several strings may make one command together.
    fn parse(strings: &[String]) -> Result<Command, (Errno, String)> {
        if strings.iter().map(String::len).sum::<usize>() > COMMAND_LEN_MAX {
            return refused(Errno::E2BIG, "command is too long");
        }
        match serde_json::from_str(&strings.concat()) {
            Ok(Value::Object(args)) => Ok(Command(args)),
            Ok(_) => refused(Errno::EINVAL, "command is not a JSON object"),
            Err(e) => refused(Errno::EINVAL, format!("command is not JSON: {e}")),
        }
    }

    fn what(&self) -> Result<What, (Errno, String)> {
        let Some(Value::String(wanted)) = self.0.get("prefix") else {
            return refused(Errno::EINVAL, "command has no prefix");
        };
        let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
        match TABLE.iter().find(|(signature, ..)| prefix(signature) == wanted) {
            Some((_, _, _, what)) => Ok(*what),
            None => {
                let known: Vec<String> = TABLE.iter().map(|(s, ..)| prefix(s)).collect();
                let known = known.join(", ");
                let text = format!("command not known: '{wanted}'; an OSD can be told: {known}");
                refused(Errno::EINVAL, text)
            }
        }
    }

    fn need(&self, name: &str) -> Result<String, (Errno, String)> {
        let words = self.list(name);
        if words.is_empty() {
            return refused(Errno::EINVAL, format!("missing required parameter '{name}'"));
        }
        Ok(words.join(" "))
    }

    /// The strings of an argument: one or an array; numbers and booleans as text.
    fn list(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        };
        match self.0.get(name) {
            Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
            Some(one) => text(one).into_iter().collect(),
            None => Vec::new(),
        }
    }
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
        let answer = self.told(now, m, store, out)?;
        let reply = match answer {
            // People read it too.
            Ok(value) => MCommandReply {
                output: Bytes::from(format!("{value:#}\n")),
                ..MCommandReply::default()
            },
            Err((errno, status)) => {
                MCommandReply { result: errno.wire(), status, ..MCommandReply::default() }
            }
        };
        out.send(Peer::Client(session), Packet::with_tid(tid, reply));
        Ok(())
    }

    fn told(
        &mut self,
        now: Now,
        m: &MCommand,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Answer> {
        let command = match Command::parse(&m.command) {
            Ok(command) => command,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let what = match command.what() {
            Ok(what) => what,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match what {
            What::Descriptions => Ok(descriptions()),
            What::Version => Ok(self.version()),
            What::Status => Ok(self.status()),
            What::PerfDump => Ok(self.counters(store)),
            What::OpsInFlight => Ok(self.ops_in_flight()),
            What::ConfigShow => Ok(self.show_options()),
            What::ConfigGet => command.need("var").and_then(|name| self.show_option(&name)),
            What::ConfigSet => self.set_option(&command),
            What::InjectArgs => self.inject(&command.list("injected_args")),
            What::PgQuery => return self.pg_query(now, &command, store, out),
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

    fn show_options(&self) -> Value {
        let mut all = Map::new();
        all.insert("name".into(), json!(format!("osd.{}", self.config.whoami.0)));
        all.insert("cluster".into(), json!("ceph"));
        for option in options::TABLE {
            all.insert(option.name.into(), json!((option.get)(&self.config)));
        }
        Value::Object(all)
    }

    fn show_option(&self, name: &str) -> Answer {
        match options::find(name) {
            Some(option) => Ok(json!({option.name: (option.get)(&self.config)})),
            None => {
                let name = options::normal(name);
                refused(Errno::ENOENT, format!("error getting '{name}': no such option"))
            }
        }
    }

    fn set_option(&mut self, command: &Command) -> Answer {
        let (name, value) = (command.need("var")?, command.need("val")?);
        let failed = |why: &str| format!("error setting '{name}' to '{value}': {why}");
        let Some(option) = options::find(&name) else {
            return refused(Errno::ENOENT, failed("no such option"));
        };
        match (option.set)(&mut self.config, &value) {
            Ok(()) => Ok(json!({"success": ""})),
            Err(why) => refused(Errno::EINVAL, failed(&why)),
        }
    }

    /// All of the options or, if one is wrong, none.
    fn inject(&mut self, args: &[String]) -> Answer {
        let found = match options::arguments(args) {
            Ok(found) if !found.is_empty() => found,
            Ok(_) => return refused(Errno::EINVAL, "ignoring empty injectargs"),
            Err(word) => {
                return refused(Errno::EINVAL, format!("failed to parse arguments: {word}"));
            }
        };
        let mut config = self.config.clone();
        for (option, value) in found {
            if let Err(why) = (option.set)(&mut config, &value) {
                let name = option.name;
                let text = format!("error setting '{name}' to '{value}': {why}");
                return refused(Errno::EINVAL, text);
            }
        }
        self.config = config;
        Ok(json!({}))
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

/// The commands in the form that tools read.
fn descriptions() -> Value {
    let mut all = Map::new();
    for (i, (signature, perm, help, _)) in TABLE.iter().enumerate() {
        let sig: Vec<Value> = signature.split(' ').map(argument).collect();
        let entry = json!({"sig": sig, "help": help, "module": "osd", "perm": perm, "flags": 0});
        all.insert(format!("cmd{i:03}"), entry);
    }
    Value::Object(all)
}

/// A word of a signature: itself, or `name:type`, `name:type*` for several, `name:type=choices`.
fn argument(word: &str) -> Value {
    let Some((name, kind)) = word.split_once(':') else { return json!(word) };
    let (kind, choices) = kind.split_once('=').map_or((kind, None), |(k, c)| (k, Some(c)));
    let mut out = Map::new();
    out.insert("name".into(), json!(name));
    out.insert("type".into(), json!(kind.trim_end_matches('*')));
    if kind.ends_with('*') {
        out.insert("n".into(), json!("N"));
    }
    if let Some(choices) = choices {
        out.insert("strings".into(), json!(choices));
    }
    Value::Object(out)
}
