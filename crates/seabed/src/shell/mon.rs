//! `seabed mon`: the monitor rule between two listening messengers and RocksDB.
//!
//! Clients that look for the mgr are greeted at a port of their own, one above the monitor's,
//! because the greeting names the kind of daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use seabed_cluster::{EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId, Uuid};
use seabed_messages::Packet;
use seabed_messenger::{AuthName, Config, ConnId, Event, Messenger, Role};
use seabed_mon::map_log::EmbeddedLog;
use seabed_mon::{
    Input, Level, Mkfs, MonConfig, Monitor, Outbox, Output, Peer, SessionDoor, SessionId,
};
use seabed_rados::Conf;
use seabed_rocks::{Limits, RocksKv};
use tokio::sync::{Notify, mpsc};

use super::clock::Clock;
use super::{daemon, logging};

/// Arguments of `seabed mon`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The monitor's name.
    #[arg(long)]
    id: String,
    /// The cluster's configuration.
    #[arg(long)]
    conf: PathBuf,
    /// Prepare the monitor's folder (a new cluster) and end.
    #[arg(long)]
    mkfs: bool,
    /// With --mkfs: OSD ids from 0 that may boot without being announced.
    #[arg(long, default_value_t = 0, requires = "mkfs")]
    osds: u32,
    /// Run in a session of its own.
    #[arg(long)]
    detach: bool,
}

/// Bytes of received messages alive at a time, of one peer and of all.
const PEER_BYTES_MAX: usize = 64 << 20;
const TOTAL_BYTES_MAX: usize = 512 << 20;
/// Ids for clients are taken from the disk in blocks of this many.
const GLOBAL_ID_BLOCK: u64 = 10_000;
/// The first id, as in a fresh Ceph cluster.
const GLOBAL_ID_FIRST: u64 = 4_100;

/// Runs or prepares the monitor.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let conf = Conf::load(&arguments.conf)?;
    let setup = Setup::read(&conf, &arguments.id)?;
    if arguments.mkfs {
        return setup.mkfs(arguments.osds);
    }
    if arguments.detach {
        daemon::detach()?;
    }
    daemon::stop_on_panic();
    Shell::start(&setup)?.run(&conf, &setup).await
}

/// What the configuration says of this monitor.
struct Setup {
    entity: String,
    name: String,
    fsid: Uuid,
    addr: SocketAddr,
    folder: PathBuf,
    options: BTreeMap<String, String>,
}

impl Setup {
    fn read(conf: &Conf, id: &str) -> Result<Self> {
        let entity = format!("mon.{id}");
        let fsid = conf.get(&entity, "fsid").context("fsid is not set")?;
        let host = conf.get(&entity, "mon_host").context("mon_host is not set")?;
        Ok(Setup {
            name: id.to_owned(),
            fsid: fsid.parse().ok().with_context(|| format!("fsid {fsid:?} is no UUID"))?,
            addr: listen_addr(&host)?,
            folder: daemon::data_folder(conf, &entity)?,
            options: conf.options(&entity),
            entity,
        })
    }

    fn mon_addrs(&self) -> EntityAddrVec {
        EntityAddr::msgr2(self.addr, 0).into()
    }

    fn mgr_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), self.addr.port() + 1)
    }

    fn open(&self, waker: seabed_rocks::Waker) -> Result<EmbeddedLog<RocksKv>> {
        let folder = self.folder.join("store.db");
        let kv = RocksKv::open(&folder, Limits::default(), waker)?;
        Ok(EmbeddedLog::open(kv)?)
    }

    fn mkfs(&self, osds: u32) -> Result<()> {
        let ready = daemon::ready_file(&self.folder);
        if ready.exists() {
            bail!("{} holds a monitor already", self.folder.display());
        }
        let store = self.folder.join("store.db");
        if store.exists() {
            // A preparation that did not come to its end.
            std::fs::remove_dir_all(&store)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        let mut log = self.open(Arc::new(|| {}))?;
        let new = Mkfs {
            fsid: self.fsid,
            mon: self.name.clone(),
            mon_addrs: self.mon_addrs(),
            osds,
            options: self.options.clone(),
        };
        seabed_mon::mkfs(&mut log, &new, Clock::start().now().wall)?;
        daemon::write_whole(&ready, "mon\n")
    }
}

/// The one msgr2 address in `mon_host`.
fn listen_addr(text: &str) -> Result<SocketAddr> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut found = inner.split(',').filter_map(|a| a.trim().strip_prefix("v2:"));
    match (found.next(), found.next()) {
        (Some(addr), None) => {
            addr.parse().with_context(|| format!("mon_host {text:?}: {addr:?} is no address"))
        }
        _ => bail!("mon_host {text:?}: one monitor in the form [v2:IP:PORT] is what is built"),
    }
}

/// Gives out global ids, never one twice: the end of each block is on disk before its first id is
/// used.
struct GlobalIds {
    file: PathBuf,
    next: u64,
    end: u64,
}

impl GlobalIds {
    fn load(folder: &Path) -> Result<Self> {
        let file = folder.join("global_id");
        let next = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().with_context(|| file.display().to_string())?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => GLOBAL_ID_FIRST,
            Err(e) => return Err(e).with_context(|| file.display().to_string()),
        };
        Ok(GlobalIds { file, next, end: next })
    }

    fn take(&mut self) -> GlobalId {
        if self.next == self.end {
            let end = self.end + GLOBAL_ID_BLOCK;
            if let Err(error) = daemon::write_whole(&self.file, &format!("{end}\n")) {
                tracing::error!("no more client ids: {error:#}");
                std::process::abort();
            }
            self.end = end;
        }
        self.next += 1;
        GlobalId(self.next - 1)
    }
}

type Link = (Messenger, mpsc::Receiver<Event>);

struct Shell {
    mon: Link,
    mgr: Link,
    clock: Clock,
    logs: logging::Follower,
    wake: Arc<Notify>,
    log: EmbeddedLog<RocksKv>,
    monitor: Monitor,
    sessions: BTreeMap<(bool, ConnId), SessionId>,
    conns: BTreeMap<SessionId, (bool, ConnId, u64)>,
    next_session: u64,
}

impl Shell {
    fn start(setup: &Setup) -> Result<Self> {
        if !daemon::ready_file(&setup.folder).exists() {
            bail!("{} holds no monitor: prepare it with --mkfs", setup.folder.display());
        }
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let mut log = setup.open(Arc::new(move || waker.notify_one()))?.background();
        let clock = Clock::start();
        let config = MonConfig {
            name: setup.name.clone(),
            mgr_addrs: Some(EntityAddr::msgr2(setup.mgr_addr(), 0).into()),
            options: setup.options.clone(),
            version: daemon::version_text(),
            hostname: daemon::hostname(),
        };
        let monitor = Monitor::new(config, &mut log, clock.now())?;
        let ids = Mutex::new(GlobalIds::load(&setup.folder)?);
        let give = move || ids.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mon = listen(EntityType::Mon, &setup.name, setup.addr, Role::Mon(Arc::new(give)))?;
        let mgr = listen(EntityType::Mgr, &setup.name, setup.mgr_addr(), Role::Service)?;
        Ok(Shell {
            mon,
            mgr,
            clock,
            logs: logging::Follower::new(module_path!()),
            wake,
            log,
            monitor,
            sessions: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_session: 1,
        })
    }

    async fn run(mut self, conf: &Conf, setup: &Setup) -> Result<()> {
        let _pid = daemon::PidFile::write(conf, &setup.entity)?;
        tracing::info!(addr = %setup.addr, "{} serves", setup.entity);
        let mut stop = std::pin::pin!(daemon::told_to_stop());
        let mut out = Outbox::new();
        self.step(Input::Tick, &mut out)?;
        loop {
            let wake_at = self.monitor.wake_at(self.clock.now());
            let input = tokio::select! {
                result = &mut stop => return result,
                event = self.mon.1.recv() => self.input(false, event),
                event = self.mgr.1.recv() => self.input(true, event),
                () = self.wake.notified() => Some(Input::LogCommitted),
                () = self.clock.until(wake_at) => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.step(input, &mut out)?;
            }
        }
    }

    fn step(&mut self, input: Input, out: &mut Outbox) -> Result<()> {
        let result = self.monitor.step(self.clock.now(), input, &mut self.log, out);
        for output in out.drain() {
            match output {
                Output::Send(session, packet) => {
                    let Some(&(mgr, conn, features)) = self.conns.get(&session) else { continue };
                    let link = if mgr { &self.mgr.0 } else { &self.mon.0 };
                    if let Err(error) = link.send(conn, packet.encode(features)) {
                        tracing::debug!(%conn, %error, "not sent");
                    }
                }
                Output::Close(session, why) => {
                    tracing::info!(?session, "closed: {why}");
                    if let Some((mgr, conn, _)) = self.conns.remove(&session) {
                        self.sessions.remove(&(mgr, conn));
                        let link = if mgr { &self.mgr.0 } else { &self.mon.0 };
                        link.mark_down(conn);
                    }
                }
                Output::Log(level, text) => match level {
                    Level::Debug => tracing::debug!("{text}"),
                    Level::Info => tracing::info!("{text}"),
                    Level::Warn => tracing::warn!("{text}"),
                    Level::Error => tracing::error!("{text}"),
                },
            }
        }
        self.logs.follow(self.monitor.log_levels());
        Ok(result?)
    }

    fn input(&mut self, mgr: bool, event: Option<Event>) -> Option<Input> {
        let event = event?;
        let key = (mgr, event.conn());
        match event {
            Event::Opened { conn, peer, .. } => {
                let session = SessionId(self.next_session);
                self.next_session += 1;
                self.sessions.insert(key, session);
                self.conns.insert(session, (mgr, conn, peer.features));
                let door = if mgr { SessionDoor::Mgr } else { SessionDoor::Mon };
                let peer = Peer {
                    name: peer.name,
                    entity: peer.auth.name.to_string(),
                    addrs: peer.addrs,
                    features: peer.features,
                    global_id: peer.auth.global_id,
                    door,
                };
                Some(Input::SessionOpened { session, peer })
            }
            Event::Message { conn, message, .. } => {
                let session = *self.sessions.get(&key)?;
                match Packet::decode(message) {
                    Ok(packet) => Some(Input::Message { session, packet }),
                    Err(error) => {
                        tracing::warn!(%conn, %error, "a message was not understood");
                        let link = if mgr { &self.mgr.0 } else { &self.mon.0 };
                        link.mark_down(conn);
                        self.forget(key)
                    }
                }
            }
            Event::Forgotten { .. } | Event::Unreachable { .. } | Event::Reset { .. } => {
                self.forget(key)
            }
        }
    }

    fn forget(&mut self, key: (bool, ConnId)) -> Option<Input> {
        let session = self.sessions.remove(&key)?;
        self.conns.remove(&session);
        Some(Input::SessionClosed(session))
    }
}

fn listen(kind: EntityType, name: &str, addr: SocketAddr, role: Role) -> Result<Link> {
    let mut config = Config::new(EntityName { kind, num: 0 }, AuthName::new(kind, name), 0);
    config.role = role;
    config.peer_bytes_max = Some(PEER_BYTES_MAX);
    config.total_bytes_max = Some(TOTAL_BYTES_MAX);
    Messenger::bind(config, Some(addr)).with_context(|| format!("listening on {addr}"))
}
