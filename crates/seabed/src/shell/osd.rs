//! `seabed osd`: the OSD rule between its messengers and its store. One thread, one loop: events
//! in, one step each, messages out, the store polled.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seabed_messenger::Budget;
use seabed_osd::{Input, Level, Osd, OsdConfig, Outbox, Peer};
use seabed_rados::Conf;
use seabed_storage::ObjectStore;
use seabed_uring::Wake;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::clock::Clock;
use super::osd_links::{Links, PortRange};
use super::osd_store::{Setup, Store};
use super::{daemon, logging};

/// Arguments of `seabed osd`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The OSD's number.
    #[arg(long)]
    id: i32,
    /// The cluster's configuration.
    #[arg(long)]
    conf: PathBuf,
    /// Prepare the OSD's device and folder and end.
    #[arg(long)]
    mkfs: bool,
    /// With --mkfs: make a device file of so many bytes.
    #[arg(long, requires = "mkfs")]
    size: Option<u64>,
    /// With --size: do not preallocate it.
    #[arg(long, requires = "size")]
    sparse: bool,
    /// Run in a session of its own.
    #[arg(long)]
    detach: bool,
}

/// Inputs handled before the store and the sockets are looked at again.
const BURST: usize = 64;
/// Pause before a monitor that was lost is called again.
const MON_PAUSE: Duration = Duration::from_millis(250);
/// How long the monitor may take to mark down an OSD that was told to stop.
const LEAVE: Duration = Duration::from_secs(5);

/// Runs or prepares the OSD.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let conf = Conf::load(&arguments.conf)?;
    let setup = Setup::read(&conf, arguments.id)?;
    if arguments.mkfs {
        return setup.mkfs(arguments.size, arguments.sparse);
    }
    if arguments.detach {
        daemon::detach()?;
    }
    daemon::stop_on_panic();
    let shell = Shell::start(&conf, &setup)?;
    let _pid = daemon::PidFile::write(&conf, &setup.entity)?;
    tracing::info!("{} runs", setup.entity);
    shell.run().await
}

struct Shell {
    osd: Osd,
    store: Store,
    wake: AsyncFd<Wake>,
    links: Links,
    clock: Clock,
    logs: logging::Follower,
    mons: Vec<SocketAddr>,
    mon_next: usize,
    call_mon_at: Option<Instant>,
    /// Guards of messages whose transactions may not be durable yet, with the number of
    /// transactions that must be: a client is throttled by what the disk has taken, not by what we
    /// have read.
    budgets: VecDeque<(u64, Budget)>,
    committed: u64,
    map_epoch: u32,
    /// Told to stop: ends then, whether the monitor has answered or not.
    end_at: Option<Instant>,
    ended: bool,
}

impl Shell {
    fn start(conf: &Conf, setup: &Setup) -> Result<Self> {
        let wake = Wake::new()?;
        let mut store = setup.open(&wake)?;
        let entity = &setup.entity;
        let port = |name: &str, default| -> Result<u16> {
            let port = conf.number(entity, name)?.unwrap_or(default);
            u16::try_from(port).with_context(|| format!("{name} {port} is no port"))
        };
        let ports = PortRange {
            first: port("ms_bind_port_min", 6800)?,
            last: port("ms_bind_port_max", 7568)?,
        };
        let ip = conf.get(entity, "public_addr").map(|a| a.parse::<IpAddr>()).transpose()?;
        let links = Links::open(setup.id, ip, ports)?;
        let config = osd_config(conf, setup, &links, store.statfs().total);
        let clock = Clock::start();
        let mut out = Outbox::default();
        let osd = Osd::start(config, &mut store, clock.now(), &mut out)?;
        let mons = mon_addrs(&conf.get(entity, "mon_host").context("mon_host is not set")?)?;
        let mut shell = Shell {
            osd,
            store,
            wake: watch(wake)?,
            links,
            clock,
            logs: logging::Follower::new(module_path!()),
            mons,
            mon_next: 0,
            call_mon_at: Some(Instant::now()),
            budgets: VecDeque::new(),
            committed: 0,
            map_epoch: 0,
            end_at: None,
            ended: false,
        };
        shell.perform(out)?;
        Ok(shell)
    }

    async fn run(mut self) -> Result<()> {
        let mut stop = std::pin::pin!(daemon::told_to_stop());
        while !self.ended {
            let wake_at = self.osd.wake_at();
            tokio::select! {
                result = &mut stop, if self.end_at.is_none() => {
                    result?;
                    self.end_at = Some(Instant::now() + LEAVE);
                    self.step(Input::Stop)?;
                }
                () = at(self.end_at) => {
                    tracing::warn!("the monitor has not marked the OSD down: it ends all the same");
                    return Ok(());
                }
                event = self.links.events.recv() => {
                    let (line, event) = event.context("all messengers ended")?;
                    self.event(line, event)?;
                    self.burst()?;
                }
                guard = self.wake.readable() => {
                    let mut guard = guard?;
                    guard.get_inner().clear();
                    guard.clear_ready();
                }
                () = self.clock.until(wake_at) => self.step(Input::Tick)?,
                () = at(self.call_mon_at) => self.call_mon(),
            }
            self.poll_store()?;
        }
        Ok(())
    }

    /// Handles what is there already, up to a bound.
    fn burst(&mut self) -> Result<()> {
        for _ in 0..BURST {
            let Ok((line, event)) = self.links.events.try_recv() else { return Ok(()) };
            self.event(line, event)?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        line: super::osd_links::Line,
        event: seabed_messenger::Event,
    ) -> Result<()> {
        let (input, budget) = self.links.translate(line, event);
        let Some(input) = input else { return Ok(()) };
        match &input {
            Input::MonConnected => self.call_mon_at = None,
            Input::PeerReset { peer: Peer::Mon, .. } => {
                self.call_mon_at = Some(Instant::now() + MON_PAUSE);
            }
            _ => {}
        }
        self.step(input)?;
        if let Some(budget) = budget {
            let submitted = self.committed + self.store.in_flight() as u64;
            if submitted > self.committed {
                self.budgets.push_back((submitted, budget));
            }
        }
        Ok(())
    }

    fn call_mon(&mut self) {
        let addr = self.mons[self.mon_next % self.mons.len()];
        self.mon_next += 1;
        self.call_mon_at = None;
        self.links.call_mon(addr);
    }

    /// Tells the rule what became durable; a failed store stops the OSD.
    fn poll_store(&mut self) -> Result<()> {
        loop {
            let committed = self.store.committed().context("the store failed")?;
            if committed.is_empty() {
                return Ok(());
            }
            self.committed += committed.len() as u64;
            while self.budgets.front().is_some_and(|(n, _)| *n <= self.committed) {
                self.budgets.pop_front();
            }
            self.step(Input::Committed(committed))?;
        }
    }

    fn step(&mut self, input: Input) -> Result<()> {
        let mut out = Outbox::default();
        self.osd.step(self.clock.now(), input, &mut self.store, &mut out);
        self.perform(out)
    }

    fn perform(&mut self, out: Outbox) -> Result<()> {
        for (level, text) in out.lines {
            match level {
                Level::Debug => tracing::debug!("{text}"),
                Level::Info => tracing::info!("{text}"),
                Level::Warn => tracing::warn!("{text}"),
                Level::Error => tracing::error!("{text}"),
            }
        }
        self.logs.follow(self.osd.log_levels());
        let map = self.osd.map().cloned();
        if let Some(map) = map.as_deref().filter(|m| m.epoch.0 != self.map_epoch) {
            self.map_epoch = map.epoch.0;
            self.links.follow(map);
        }
        for (peer, packet) in out.sent {
            self.links.send(peer, &packet, map.as_deref());
        }
        for peer in out.closed {
            self.links.drop_peer(peer);
        }
        match out.stop {
            Some(reason) if self.end_at.is_some() => {
                tracing::info!("the OSD ends: {reason}");
                self.ended = true;
                Ok(())
            }
            Some(reason) => bail!("the OSD stops: {reason}"),
            None => Ok(()),
        }
    }
}

/// Registers the descriptor with the loop.
#[expect(deprecated, reason = "the value owns its descriptor; the replacement is an unsafe fn")]
fn watch(wake: Wake) -> std::io::Result<AsyncFd<Wake>> {
    AsyncFd::new(wake)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(t) => tokio::time::sleep_until(t).await,
        None => std::future::pending().await,
    }
}

fn osd_config(conf: &Conf, setup: &Setup, links: &Links, size: u64) -> OsdConfig {
    let mut config = OsdConfig::new(setup.fsid, setup.id, links.addrs());
    config.file = conf.options(&setup.entity);
    config.metadata = metadata(setup, links, size);
    config
}

/// What `ceph osd metadata` shows.
fn metadata(setup: &Setup, links: &Links, size: u64) -> BTreeMap<String, String> {
    let system = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let addrs = links.addrs();
    let entries = [
        ("front_addr", addrs.client.to_string()),
        ("back_addr", addrs.cluster.to_string()),
        ("hb_front_addr", addrs.heartbeat_front.to_string()),
        ("hb_back_addr", addrs.heartbeat_back.to_string()),
        ("default_device_class", if setup.rotational() { "hdd" } else { "ssd" }.into()),
        ("rotational", if setup.rotational() { "1" } else { "0" }.into()),
        // The monitor makes the CRUSH weight of it, under the name that Ceph's OSDs use.
        ("bluestore_bdev_size", size.to_string()),
        ("os", text(system.sysname())),
        ("hostname", daemon::hostname()),
        ("arch", text(system.machine())),
        ("kernel_version", text(system.release())),
        ("kernel_description", text(system.version())),
        ("cpu", cpus.to_string()),
        ("ceph_version", daemon::version_text()),
        ("ceph_version_short", "16.2.15".into()),
        ("ceph_release", "pacific".into()),
        ("osd_objectstore", "seabed".into()),
        ("osd_data", setup.folder.display().to_string()),
        ("seabed_device", setup.device.display().to_string()),
    ];
    entries.map(|(k, v)| (k.to_owned(), v)).into()
}

/// The msgr2 addresses in `mon_host`.
fn mon_addrs(text: &str) -> Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for part in text.split(|c: char| ",; []".contains(c)).filter(|p| !p.is_empty()) {
        match part.strip_prefix("v2:") {
            Some(addr) => found.push(addr.parse().with_context(|| format!("mon_host {part:?}"))?),
            None if part.starts_with("v1:") => {}
            None => bail!("mon_host {part:?}: the form v2:IP:PORT is wanted"),
        }
    }
    if found.is_empty() {
        bail!("mon_host {text:?} names no monitor");
    }
    Ok(found)
}
