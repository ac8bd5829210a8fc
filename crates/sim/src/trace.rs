//! The trace: every event goes into the hash; with `--trace` each is one aligned line as well.

use std::fmt::{self, Write};

use seabed_cluster::Time;
use seabed_messages::{Message, Packet};

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    /// Events so far.
    pub(crate) events: u64,
    loud: bool,
    /// Lines, if somebody wants to read them.
    out: String,
}

impl Trace {
    pub(crate) fn new(loud: bool) -> Self {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, loud, out: String::new() }
    }

    pub(crate) fn is_loud(&self) -> bool {
        self.loud
    }

    /// Mixes numbers that tell events apart.
    pub(crate) fn mix(&mut self, numbers: &[u64]) {
        self.events += 1;
        for n in numbers {
            self.hash = (self.hash ^ n).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.hash ^= self.hash >> 29;
    }

    /// A line about something: time, who, what.
    pub(crate) fn line(&mut self, at: Time, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        if self.loud {
            let seconds = at.0 as f64 / 1e9;
            // Writing to a string does not fail.
            let _ = writeln!(self.out, "{seconds:>11.6} {who:<10} {what}");
            if self.out.len() > 1 << 16 {
                self.flush();
            }
        }
    }

    /// Prints what is buffered.
    pub(crate) fn flush(&mut self) {
        print!("{}", self.out);
        self.out.clear();
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

/// A message in one line.
pub(crate) fn summary(packet: &Packet) -> String {
    use Message as M;
    let name = packet.message.name();
    match &packet.message {
        M::PgQuery2(m) => format!("{name} {} {:?} since {}", m.pg.pg, m.query.kind, m.query.since),
        M::PgNotify2(m) => format!(
            "{name} {} lu {} les {} complete {}",
            m.pg.pg,
            m.notify.info.last_update,
            m.notify.info.last_epoch_started,
            m.notify.info.last_backfill.is_max()
        ),
        M::PgInfo2(m) => format!("{name} {} lu {}", m.pg.pg, m.info.last_update),
        M::PgLog(m) => format!(
            "{name} {} ({},{}] [{}] missing [{}]",
            m.info.pgid,
            m.log.tail,
            m.log.head,
            list(m.log.log.iter().map(|e| (text(&e.soid), e.version))),
            list(m.missing.items.iter().map(|(o, item)| (text(o), item.need))),
        ),
        M::OsdRepOp(m) => format!("{name} {} {}", m.pg.pg, m.version),
        M::OsdMap(m) => format!("{name} {:?}..{:?}", m.first(), m.last()),
        M::OsdOp(m) => format!("{name} tid {} {:?} {} e{}", packet.tid, m.object, m.pg.pg, m.epoch),
        M::OsdOpReply(m) => format!("{name} tid {} {:?} {}", packet.tid, m.object, m.result),
        M::PgBackfill(m) => {
            format!("{name} {} {:?} {}", m.pg, m.op, text(&m.last_backfill))
        }
        M::PgPush(m) => {
            format!("{name} {} {}", m.pg, list(m.pushes.iter().map(|p| (text(&p.soid), p.version))))
        }
        M::OsdPgTemp(m) => format!("{name} {:?}", m.pg_temp),
        M::MonCommand(m) => format!("{name} {:?}", m.command),
        M::MonCommandAck(m) => format!("{name} {} {}", m.result, m.status),
        _ => name.to_string(),
    }
}

fn text(object: &seabed_cluster::HObject) -> String {
    if object.is_max() {
        return "the end".into();
    }
    String::from_utf8_lossy(&object.name).into_owned()
}

fn list(of: impl Iterator<Item = (String, seabed_cluster::EVersion)>) -> String {
    of.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
}
