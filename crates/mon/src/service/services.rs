//! Services: programs that are no daemons of Ceph and tell the mgr that they run (`rbd-mirror`, a
//! gateway, whatever calls `rados_service_register`).
//!
//! Known as long as their session lasts: each opens it again by itself when it breaks. Nothing of
//! it is durable, and there are bounds to what strangers may leave here.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::UTime;
use seabed_messages::{MMgrOpen, MMgrReport};
use serde_json::{Map, Value, json};

use crate::session::{Peer, SessionId};

/// Daemons of all services known at most.
const DAEMONS_MAX: usize = 4096;
/// Bytes of what one daemon may tell of itself.
const WORDS_MAX: usize = 64 << 10;
/// Names that are no services: Ceph's own daemons and clients.
const ENTITIES: [&str; 5] = ["osd", "client", "mon", "mds", "mgr"];
/// What daemons of a service are counted by: the word for it, and their metadata's key.
const GROUPS: [(&str, &str); 2] = [("host", "hostname"), ("zone", "zone_id")];

type Words = BTreeMap<String, String>;

/// One daemon of a service.
#[derive(Debug, Clone)]
struct Daemon {
    session: SessionId,
    gid: u64,
    addr: String,
    start_epoch: u64,
    start_stamp: UTime,
    status_stamp: UTime,
    metadata: Words,
    status: Words,
    task_status: Words,
}

/// All services.
#[derive(Debug, Clone, Default)]
pub struct Services {
    epoch: u64,
    modified: UTime,
    /// By service, then by daemon.
    services: BTreeMap<String, BTreeMap<String, Daemon>>,
}

fn fits(words: &Words) -> bool {
    words.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() <= WORDS_MAX
}

impl Services {
    /// A daemon opens its session; who is no service, or one too many, is not taken up.
    pub fn open(&mut self, session: SessionId, peer: &Peer, m: &MMgrOpen, now: UTime) {
        let Some(told) = &m.service else { return };
        let count: usize = self.services.values().map(BTreeMap::len).sum();
        if m.service_name.is_empty() || count >= DAEMONS_MAX {
            return;
        }
        if !fits(&told.metadata) || !fits(&told.status) {
            return;
        }
        self.changed(now);
        let daemon = Daemon {
            session,
            gid: peer.global_id.0,
            addr: peer.addrs.legacy_or_front().legacy_text(),
            start_epoch: self.epoch,
            start_stamp: now,
            status_stamp: now,
            metadata: told.metadata.clone(),
            status: told.status.clone(),
            task_status: Words::new(),
        };
        let service = self.services.entry(m.service_name.clone()).or_default();
        service.insert(m.daemon_name.clone(), daemon);
    }

    /// A daemon's report; of those that are no services nothing is kept.
    pub fn report(&mut self, session: SessionId, m: &MMgrReport, now: UTime) {
        let service = self.services.get_mut(&m.service_name);
        let daemon = service.and_then(|s| s.get_mut(&m.daemon_name));
        let Some(daemon) = daemon.filter(|d| d.session == session) else { return };
        if let Some(status) = m.daemon_status.as_ref().filter(|s| fits(s)) {
            daemon.status = status.clone();
            daemon.status_stamp = now;
        }
        if let Some(tasks) = m.task_status.as_ref().filter(|s| fits(s)) {
            daemon.task_status = tasks.clone();
            self.changed(now);
        }
    }

    /// A session ended: its daemons are gone.
    pub fn close(&mut self, session: SessionId, now: UTime) {
        let known = |d: &Daemon| d.session == session;
        if !self.services.values().flat_map(BTreeMap::values).any(known) {
            return;
        }
        for daemons in self.services.values_mut() {
            daemons.retain(|_, d| !known(d));
        }
        self.services.retain(|_, daemons| !daemons.is_empty());
        self.changed(now);
    }

    fn changed(&mut self, now: UTime) {
        self.epoch += 1;
        self.modified = now;
    }

    /// Name and summary of each service, for people.
    pub fn summaries(&self) -> impl Iterator<Item = (&str, String)> {
        let services = self.services.iter().filter(|(name, _)| !ENTITIES.contains(&name.as_str()));
        services.map(|(name, daemons)| (name.as_str(), summary(daemons)))
    }

    /// `service dump`, and a part of `status`.
    pub fn dump(&self) -> Value {
        let services: Map<String, Value> = self
            .services
            .iter()
            .map(|(name, daemons)| {
                let mut of = Map::from_iter([("summary".to_owned(), json!(""))]);
                of.extend(daemons.iter().map(|(id, d)| (id.clone(), d.dump())));
                (name.clone(), json!({ "daemons": of }))
            })
            .collect();
        json!({
            "epoch": self.epoch,
            "modified": self.modified.to_string(),
            "services": services,
        })
    }

    /// `service status`.
    pub fn status(&self) -> Value {
        let of = |daemons: &BTreeMap<String, Daemon>| -> Value {
            let statuses = daemons.iter().map(|(id, d)| {
                let stamp = d.status_stamp.to_string();
                let told = json!({
                    "status_stamp": stamp,
                    "last_beacon": stamp,
                    "status": d.status,
                });
                (id.clone(), told)
            });
            Value::Object(statuses.collect())
        };
        Value::Object(self.services.iter().map(|(name, d)| (name.clone(), of(d))).collect())
    }
}

impl Daemon {
    fn dump(&self) -> Value {
        json!({
            "start_epoch": self.start_epoch,
            "start_stamp": self.start_stamp.to_string(),
            "gid": self.gid,
            "addr": self.addr,
            "metadata": self.metadata,
            "task_status": self.task_status,
        })
    }
}

/// `16 portals active (1 hosts, 3 zones)`; the daemons may name their kind.
fn summary(daemons: &BTreeMap<String, Daemon>) -> String {
    let told = |d: &Daemon, key: &str| d.metadata.get(key).cloned();
    let kind = daemons.values().filter_map(|d| told(d, "daemon_type")).next_back();
    let kind = kind.unwrap_or_else(|| "daemon".to_owned());
    let plural = if daemons.len() > 1 { "s" } else { "" };
    let groups: Vec<String> = GROUPS
        .iter()
        .filter_map(|(word, key)| {
            let different: BTreeSet<String> =
                daemons.values().filter_map(|d| told(d, key)).collect();
            (!different.is_empty()).then(|| format!("{} {word}s", different.len()))
        })
        .collect();
    let mut text = format!("{} {kind}{plural} active", daemons.len());
    if !groups.is_empty() {
        text.push_str(&format!(" ({})", groups.join(", ")));
    }
    text
}
