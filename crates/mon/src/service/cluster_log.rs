//! The cluster log: lines for people, from daemons and from the monitor itself.
//!
//! Kept in memory, the newest [`LINES_MAX`]; who changed what stands durably in the map log.

use std::collections::VecDeque;

use seabed_cluster::{EntityAddrVec, EntityName, EntityType, MonMap, UTime};
use seabed_messages::{AuthName, LogEntry as Line};
use serde_json::{Value, json};

use crate::map_log::{Door, LogEntry};
use crate::session::{Level, Peer};

/// Lines kept.
pub const LINES_MAX: usize = 2000;
/// Longest line kept; the rest of it is cut off.
const LINE_LEN_MAX: usize = 4096;

/// The log.
#[derive(Debug, Clone)]
pub struct ClusterLog {
    name: String,
    addrs: EntityAddrVec,
    lines: VecDeque<Line>,
    seq: u64,
    /// Lines taken since the start, those that were dropped too.
    taken: u64,
}

/// The tag of a priority.
fn tag(priority: u16) -> &'static str {
    match priority {
        0 => "[DBG]",
        1 => "[INF]",
        2 => "[SEC]",
        3 => "[WRN]",
        _ => "[ERR]",
    }
}

/// The priority of a word of `log last`.
pub fn priority(word: &str) -> Option<u16> {
    ["debug", "info", "sec", "warn", "error"]
        .iter()
        .position(|w| *w == word)
        .and_then(|i| u16::try_from(i).ok())
}

impl ClusterLog {
    /// An empty log of the monitor `name`.
    pub fn new(name: &str, monmap: &MonMap) -> Self {
        let addrs = monmap.mons.get(name).map(|m| m.addrs.clone()).unwrap_or_default();
        Self { name: name.to_string(), addrs, lines: VecDeque::new(), seq: 0, taken: 0 }
    }

    /// Takes a line of somebody else.
    pub fn push(&mut self, mut line: Line) {
        if line.text.len() > LINE_LEN_MAX {
            let mut end = LINE_LEN_MAX;
            while !line.text.is_char_boundary(end) {
                end -= 1;
            }
            line.text.truncate(end);
        }
        self.lines.push_back(line);
        self.taken += 1;
        while self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// Writes a line of the monitor's own.
    pub fn line(&mut self, stamp: UTime, channel: &str, level: Level, text: &str) {
        self.seq += 1;
        let priority = match level {
            Level::Debug => 0,
            Level::Info => 1,
            Level::Warn => 3,
            Level::Error => 4,
        };
        self.push(Line {
            name: AuthName { kind: EntityType::Mon as u32, id: self.name.clone() },
            rank: EntityName { kind: EntityType::Mon, num: 0 },
            addrs: self.addrs.clone(),
            stamp,
            seq: self.seq,
            priority,
            text: text.to_string(),
            channel: channel.to_string(),
            ..Line::default()
        });
    }

    /// Writes who changed what by command.
    pub fn audit(&mut self, stamp: UTime, entry: &LogEntry) {
        for cause in &entry.provenance {
            if matches!(cause.door, Door::Command | Door::PoolOp) {
                let text = format!("from='{}' cmd='{}': finished", cause.who, cause.cause);
                self.line(stamp, "audit", Level::Info, &text);
            }
        }
    }

    /// A line that somebody wanted to have in the log.
    pub fn said(&mut self, stamp: UTime, who: &Peer, text: &str) {
        let id = who.entity.split_once('.').map_or(who.entity.as_str(), |(_, id)| id);
        self.seq += 1;
        self.push(Line {
            name: AuthName { kind: who.name.kind as u32, id: id.to_string() },
            rank: who.name,
            addrs: who.addrs.clone(),
            stamp,
            seq: self.seq,
            priority: 1,
            text: text.to_string(),
            channel: "cluster".to_string(),
            ..Line::default()
        });
    }

    /// Lines kept now.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True without lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The log's version: every line is one more.
    pub fn version(&self) -> u64 {
        self.taken
    }

    /// The lines from version `start` on that are at least as important as `level`. Who starts at
    /// 0 gets the newest of them alone.
    pub fn since(&self, start: u64, level: u16) -> Vec<Line> {
        let fits = |l: &&Line| l.priority >= level;
        if start == 0 {
            return self.lines.iter().rev().find(fits).cloned().into_iter().collect();
        }
        let dropped = self.taken - self.lines.len() as u64;
        let skip = usize::try_from((start - 1).saturating_sub(dropped)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip).filter(fits).cloned().collect()
    }

    /// The last `num` lines of a channel (`*` for all) at least as important as `level`.
    pub fn last(&self, num: usize, level: u16, channel: &str) -> Vec<&Line> {
        let fits = |l: &&Line| l.priority >= level && (channel == "*" || l.channel == channel);
        let mut found: Vec<&Line> = self.lines.iter().rev().filter(fits).take(num).collect();
        found.reverse();
        found
    }
}

/// The name of who wrote a line.
fn author(line: &Line) -> String {
    let kind = u8::try_from(line.name.kind).ok().and_then(|k| EntityType::try_from(k).ok());
    format!("{}.{}", kind.unwrap_or_default().as_str(), line.name.id)
}

/// A line as `ceph log last` prints it.
pub fn to_text(line: &Line) -> String {
    format!(
        "{} {} ({}) {} : {} {} {}",
        line.stamp,
        author(line),
        line.rank,
        line.seq,
        line.channel,
        tag(line.priority),
        line.text
    )
}

/// A line as JSON.
pub fn to_json(line: &Line) -> Value {
    json!({
        "name": author(line),
        "rank": line.rank.to_string(),
        "addrs": line.addrs.dump(),
        "stamp": line.stamp.to_string(),
        "seq": line.seq,
        "channel": line.channel,
        "priority": tag(line.priority),
        "message": line.text,
    })
}
