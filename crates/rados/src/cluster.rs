//! The handle of a cluster: connect, ask the monitor, open pools.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seabed_cluster::{EntityAddr, Epoch, Errno, OsdMap, PoolId, PoolStat, SnapId, Uuid, feature};
use seabed_denc::Bytes;
use seabed_messages::MStatfsReply;
use seabed_messenger::{Config as WireConfig, Messenger};
use seabed_objecter::{
    Config, Failure, MonAnswer, MonRequest, NotifyEnd, Objecter, OpReply, OpRequest, OpTarget,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::conf::Conf;
use crate::driver::{Cancelled, Command, Driver};
use crate::watch::{EVENTS_MAX, end_of};
use crate::{Pool, RadosError, Watch};

/// Bytes of input that may be in flight (Ceph's objecter_inflight_op_bytes).
const BYTES_MAX: u32 = 100 << 20;
/// Operations that may be in flight (Ceph's objecter_inflight_ops).
const OPS_MAX: usize = 1024;
/// How long a new client waits for its first map (Ceph's client_mount_timeout).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);

/// The monitor's answer to a command.
#[derive(Debug, Clone)]
pub struct CommandReply {
    /// 0 or a negative errno.
    pub code: i32,
    /// Text for people.
    pub text: String,
    /// Output.
    pub data: Bytes,
}

/// A connected client. Clones are the same client; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    commands: mpsc::Sender<Command>,
    cancelled: Arc<Cancelled>,
    map: watch::Receiver<Option<Arc<OsdMap>>>,
    bytes: Arc<Semaphore>,
    next_ticket: AtomicU64,
    messenger: Messenger,
}

/// Tells the driver when its caller is dropped before the answer came.
struct Ticket<'a> {
    number: u64,
    cancelled: &'a Cancelled,
    answered: bool,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.cancelled.add(self.number);
        }
    }
}

impl Cluster {
    /// Connects as `client.admin` and returns once the first OSDMap is here.
    ///
    /// Errors: the configuration names no monitor or an authentication that is not built yet; no
    /// monitor answers within Ceph's `client_mount_timeout`.
    pub async fn connect(conf: &Conf) -> Result<Self, RadosError> {
        Self::connect_as(conf, "admin").await
    }

    /// As [`Cluster::connect`], as `client.ID`.
    pub async fn connect_as(conf: &Conf, id: &str) -> Result<Self, RadosError> {
        let entity = format!("client.{id}");
        let auth = conf.get(&entity, "auth_client_required").unwrap_or_else(|| "cephx".into());
        if !auth.split([',', ' ', ';']).any(|method| method == "none") {
            return Err(RadosError::AuthNotBuilt(auth));
        }
        let mons = conf.monitors(&entity).await?;
        let timeout = conf.number(&entity, "rados_osd_op_timeout")?.filter(|s| *s > 0);
        let config = Config {
            fsid: Uuid::default(),
            incarnation: 0,
            features: feature::PACIFIC_ALL,
            op_timeout: timeout.map(Duration::from_secs),
        };
        // Of this client alone: another one of this process is not shut out with it. Never 0, which
        // in a blocklist means the whole host.
        let nonce = rand::random_range(1..=u32::MAX);
        let wire = Messenger::bind(WireConfig::client(id, nonce), None)?;
        let (commands, queue) = mpsc::channel(OPS_MAX);
        let (map_sender, map) = watch::channel(None);
        let cancelled = Arc::new(Cancelled::default());
        let theirs = Arc::clone(&cancelled);
        let driver = Driver::new(Objecter::new(config), wire, queue, theirs, map_sender, mons);
        let messenger = driver.messenger.clone();
        tokio::spawn(driver.run());
        let bytes = Arc::new(Semaphore::new(BYTES_MAX as usize));
        let next_ticket = AtomicU64::new(1);
        let inner = Inner { commands, cancelled, map, bytes, next_ticket, messenger };
        let cluster = Cluster { inner: Arc::new(inner) };
        let limit = conf.number(&entity, "client_mount_timeout")?;
        let limit = limit.map_or(CONNECT_TIMEOUT, Duration::from_secs);
        match tokio::time::timeout(limit, cluster.map()).await {
            Ok(map) => map.map(|_| cluster),
            Err(_) => Err(RadosError::TimedOut("connecting to a monitor")),
        }
    }

    /// The newest OSDMap this client knows.
    pub async fn map(&self) -> Result<Arc<OsdMap>, RadosError> {
        let mut map = self.inner.map.clone();
        let known = map.wait_for(Option::is_some).await.map_err(|_| RadosError::ShutDown)?;
        known.clone().ok_or(RadosError::ShutDown)
    }

    /// Waits until the map is at least as new as the monitor's is now.
    pub async fn wait_for_latest_map(&self) -> Result<Arc<OsdMap>, RadosError> {
        let request = MonRequest::Version { what: "osdmap".into() };
        let MonAnswer::Version { newest, .. } = self.ask(request).await? else {
            return Err(RadosError::Malformed("get_version"));
        };
        let mut map = self.inner.map.clone();
        let known = map
            .wait_for(|m| m.as_ref().is_some_and(|m| u64::from(m.epoch.0) >= newest))
            .await
            .map_err(|_| RadosError::ShutDown)?;
        known.clone().ok_or(RadosError::ShutDown)
    }

    /// Waits until the map is at least of this epoch.
    pub async fn wait_for_map(&self, epoch: Epoch) -> Result<Arc<OsdMap>, RadosError> {
        let mut map = self.inner.map.clone();
        let known = map
            .wait_for(|m| m.as_ref().is_some_and(|m| m.epoch >= epoch))
            .await
            .map_err(|_| RadosError::ShutDown)?;
        known.clone().ok_or(RadosError::ShutDown)
    }

    /// Opens a pool by name.
    ///
    /// Errors: [`RadosError::NoPool`] if the monitor's newest map has none of that name.
    pub async fn pool(&self, name: &str) -> Result<Pool, RadosError> {
        let known = self.map().await?.pool_by_name(name);
        let id = match known {
            Some(id) => Some(id),
            None => self.wait_for_latest_map().await?.pool_by_name(name),
        };
        let id = id.ok_or_else(|| RadosError::NoPool(name.to_owned()))?;
        Ok(Pool::new(self.clone(), id, name))
    }

    /// Opens a pool by id.
    ///
    /// Errors: [`RadosError::NoPool`] if the monitor's newest map has none of that id.
    pub async fn pool_by_id(&self, id: PoolId) -> Result<Pool, RadosError> {
        let named = |map: Arc<OsdMap>| map.pool_names.get(&id).cloned();
        let name = match named(self.map().await?) {
            Some(name) => Some(name),
            None => named(self.wait_for_latest_map().await?),
        };
        let name = name.ok_or_else(|| RadosError::NoPool(id.0.to_string()))?;
        Ok(Pool::new(self.clone(), id, &name))
    }

    /// Names and ids of all pools.
    pub async fn pools(&self) -> Result<Vec<(PoolId, String)>, RadosError> {
        let map = self.map().await?;
        Ok(map.pool_names.iter().map(|(id, name)| (*id, name.clone())).collect())
    }

    /// Sends a command in JSON to the monitor. What it answers is returned, refusals included.
    pub async fn mon_command(&self, json: &str, input: Bytes) -> Result<CommandReply, RadosError> {
        let request = MonRequest::Command { text: json.to_owned(), input };
        match self.ask(request).await? {
            MonAnswer::Command { code, text, output } => {
                Ok(CommandReply { code, text, data: output })
            }
            _ => Err(RadosError::Malformed("mon_command")),
        }
    }

    /// Changes a pool's snapshots, and waits for the map that shows it.
    pub(crate) async fn pool_op(
        &self,
        what: &'static str,
        pool: PoolId,
        op: u32,
        snap: SnapId,
    ) -> Result<Bytes, RadosError> {
        let request = MonRequest::PoolOp { pool, op, snap };
        let MonAnswer::PoolOp { code, epoch, data } = self.ask(request).await? else {
            return Err(RadosError::Malformed(what));
        };
        if let Some(errno) = Errno::from_wire(code) {
            return Err(RadosError::Refused { what, errno });
        }
        self.wait_for_map(epoch).await?;
        Ok(data)
    }

    /// The number that the cluster knows this client by (`client.N`).
    pub fn id(&self) -> u64 {
        self.inner.messenger.global_id().0
    }

    /// This client's address, as every server knows it and a blocklist names it: `IP:0/NONCE`, with
    /// a nonce that no other client has and that is never 0.
    pub fn addr(&self) -> EntityAddr {
        self.inner.messenger.addrs().0.first().copied().unwrap_or_default()
    }

    /// Space of the whole cluster.
    pub async fn statfs(&self) -> Result<MStatfsReply, RadosError> {
        match self.ask(MonRequest::Statfs).await? {
            MonAnswer::Statfs(reply) => Ok(*reply),
            _ => Err(RadosError::Malformed("statfs")),
        }
    }

    /// Statistics of a pool.
    pub async fn pool_stat(&self, name: &str) -> Result<PoolStat, RadosError> {
        match self.ask(MonRequest::PoolStats { pools: vec![name.to_owned()] }).await? {
            MonAnswer::PoolStats(mut stats) => {
                stats.remove(name).ok_or_else(|| RadosError::NoPool(name.to_owned()))
            }
            _ => Err(RadosError::Malformed("pool stats")),
        }
    }

    /// Closes all sessions. Requests in flight end with [`RadosError::ShutDown`].
    pub async fn shutdown(&self) {
        // Nobody listening means that it is shut down already.
        let _ = self.inner.commands.send(Command::Shutdown).await;
    }

    fn ticket(&self) -> Ticket<'_> {
        let number = self.inner.next_ticket.fetch_add(1, Ordering::Relaxed);
        Ticket { number, cancelled: &self.inner.cancelled, answered: false }
    }

    async fn ask(&self, request: MonRequest) -> Result<MonAnswer, RadosError> {
        let (answer, receiver) = oneshot::channel();
        let mut ticket = self.ticket();
        let command = Command::Ask { ticket: ticket.number, request, answer };
        self.inner.commands.send(command).await.map_err(|_| RadosError::ShutDown)?;
        let answer = receiver.await.map_err(|_| RadosError::ShutDown)?;
        ticket.answered = true;
        Ok(answer)
    }

    async fn send(&self, command: Command) -> Result<(), RadosError> {
        self.inner.commands.send(command).await.map_err(|_| RadosError::ShutDown)
    }

    /// Watches an object.
    pub(crate) async fn watch(&self, on: OpTarget) -> Result<Watch, RadosError> {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let ticket = self.inner.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut watch = Watch::new(self.clone(), ticket, receiver);
        self.send(Command::Watch { ticket, on, events }).await?;
        watch.begun().await?;
        Ok(watch)
    }

    /// Ends what a ticket names, soon.
    pub(crate) fn forget(&self, ticket: u64) {
        self.inner.cancelled.add(ticket);
    }

    pub(crate) async fn unwatch(&self, watch: u64) -> Result<(), RadosError> {
        self.step_of("unwatch", |ticket, answer| Command::Unwatch { ticket, watch, answer }).await
    }

    pub(crate) async fn notify_ack(
        &self,
        watch: u64,
        notify: u64,
        reply: Bytes,
    ) -> Result<(), RadosError> {
        let command = |ticket, answer| Command::NotifyAck { ticket, watch, notify, reply, answer };
        self.step_of("notify_ack", command).await
    }

    /// An operation that belongs to a watch; ENOTCONN if that is over.
    async fn step_of(
        &self,
        what: &'static str,
        command: impl FnOnce(u64, oneshot::Sender<Result<OpReply, Failure>>) -> Command,
    ) -> Result<(), RadosError> {
        let (answer, receiver) = oneshot::channel();
        let mut ticket = self.ticket();
        self.send(command(ticket.number, answer)).await?;
        let result = receiver.await;
        ticket.answered = true;
        let errno = match result {
            Ok(Ok(reply)) => Errno::from_wire(reply.result),
            Ok(Err(failure)) => Some(failure.errno()),
            Err(_) => Some(Errno::ENOTCONN),
        };
        errno.map_or(Ok(()), |errno| Err(RadosError::Refused { what, errno }))
    }

    /// Tells an object's watchers and waits for their answers.
    pub(crate) async fn notify(
        &self,
        on: OpTarget,
        timeout: u32,
        payload: Bytes,
    ) -> Result<NotifyEnd, RadosError> {
        let (answer, receiver) = oneshot::channel();
        let mut ticket = self.ticket();
        let number = ticket.number;
        self.send(Command::Notify { ticket: number, on, timeout, payload, answer }).await?;
        let result = receiver.await.map_err(|_| RadosError::ShutDown)?;
        ticket.answered = true;
        end_of(result)
    }

    /// Runs an operation; waits while too many bytes are in flight.
    pub(crate) async fn operate(
        &self,
        what: &'static str,
        request: OpRequest,
    ) -> Result<OpReply, RadosError> {
        let cost = u32::try_from(request.input_bytes()).unwrap_or(BYTES_MAX).clamp(1, BYTES_MAX);
        let permit = self.inner.bytes.acquire_many(cost).await.map_err(|_| RadosError::ShutDown)?;
        let (answer, receiver) = oneshot::channel();
        let mut ticket = self.ticket();
        let command = Command::Op { ticket: ticket.number, request: Box::new(request), answer };
        self.inner.commands.send(command).await.map_err(|_| RadosError::ShutDown)?;
        let result = receiver.await.map_err(|_| RadosError::ShutDown)?;
        ticket.answered = true;
        drop(permit);
        match result {
            Ok(reply) => Ok(reply),
            Err(Failure::NoPool) => Err(RadosError::Refused { what, errno: Errno::ENOENT }),
            Err(Failure::TimedOut) => Err(RadosError::TimedOut(what)),
        }
    }
}
