//! The handle, and what all tasks of a messenger share.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use seabed_cluster::{AddrKind, EntityAddr, EntityAddrVec, EntityType, GlobalId};
use seabed_messages::RawMessage;
use seabed_msgr2::{Limits, Local, Policies, Policy, SendError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::actor::{Actor, Target};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{ConnId, Event};
use crate::greet;
use crate::outbox::Shared;
use crate::throttle::Throttle;

/// The handle. Clones are the same messenger; it lives until [`Messenger::shutdown`] or the end of
/// its runtime.
#[derive(Debug, Clone)]
pub struct Messenger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    /// For connections: backlogs are bounded by the outbox, where the sender can be told.
    pub(crate) limits: Arc<Limits>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) clock: Clock,
    pub(crate) conns: DashMap<ConnId, Arc<Shared>>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) total: Option<Throttle>,
    sessions: Mutex<BTreeMap<EntityAddrVec, ConnId>>,
    identity: Mutex<Identity>,
    listener: Option<(SocketAddr, Mutex<Option<AbortHandle>>)>,
    next_conn: AtomicU64,
    global_seq: AtomicU64,
}

#[derive(Debug)]
struct Identity {
    local: Arc<Local>,
    global_id: GlobalId,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn local(&self) -> Arc<Local> {
        lock(&self.identity).local.clone()
    }

    pub(crate) fn global_id(&self) -> GlobalId {
        lock(&self.identity).global_id
    }

    /// A monitor has given an id; a client is known by it from now on.
    pub(crate) fn learn_global_id(&self, id: GlobalId) {
        let mut identity = lock(&self.identity);
        identity.global_id = id;
        if identity.local.name.kind == EntityType::Client {
            let mut local = Local::clone(&identity.local);
            local.name.num = i64::try_from(id.0).unwrap_or(-1);
            identity.local = Arc::new(local);
        }
    }

    /// What the first server saw of a pure client is what all others are told: one client has one
    /// address, by which it can be shut out everywhere.
    pub(crate) fn learn_addrs(&self, announced: EntityAddrVec) {
        let mut identity = lock(&self.identity);
        let unknown = identity.local.addrs.0.iter().any(EntityAddr::is_blank_ip);
        if self.listener.is_none() && unknown {
            identity.local = Arc::new(Local { addrs: announced, ..Local::clone(&identity.local) });
        }
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, BTreeMap<EntityAddrVec, ConnId>> {
        lock(&self.sessions)
    }

    pub(crate) fn is_crowded(&self) -> bool {
        self.conns.len() >= self.config.sessions_max
    }

    pub(crate) fn next_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn next_global_seq(&self) -> u64 {
        self.global_seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn raise_global_seq(&self, at_least: u64) {
        self.global_seq.fetch_max(at_least, Ordering::Relaxed);
    }

    /// A session leaves both tables.
    pub(crate) fn forget(&self, id: ConnId, addrs: &EntityAddrVec) {
        let mut sessions = self.sessions();
        if sessions.get(addrs) == Some(&id) {
            sessions.remove(addrs);
        }
        self.conns.remove(&id);
    }
}

fn listen_on(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

impl Messenger {
    /// Makes a messenger on the present runtime; with `listen`, one that can be called (port 0
    /// chooses one). Events come out of the receiver, which must be read: it is the brake.
    pub fn bind(
        config: Config,
        listen: Option<SocketAddr>,
    ) -> io::Result<(Messenger, mpsc::Receiver<Event>)> {
        let listening = listen.map(listen_on).transpose()?;
        let addr = match &listening {
            Some((_, addr)) => EntityAddr::msgr2(config.announce.unwrap_or(*addr), config.nonce),
            // The IP is filled in by what the first server sees.
            None => EntityAddr {
                kind: AddrKind::Any,
                nonce: config.nonce,
                addr: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            },
        };
        let (events, receiver) = mpsc::channel(config.events_max.max(1));
        let local = Arc::new(Local { name: config.name, addrs: addr.into() });
        let unbounded = Limits {
            backlog_bytes_max: usize::MAX,
            backlog_messages_max: usize::MAX,
            ..config.limits.clone()
        };
        let inner = Arc::new(Inner {
            limits: Arc::new(unbounded),
            policies: Arc::new(config.policies.clone()),
            clock: Clock::new(),
            conns: DashMap::new(),
            events,
            total: config.total_bytes_max.map(Throttle::new),
            sessions: Mutex::default(),
            identity: Mutex::new(Identity { local, global_id: GlobalId(0) }),
            listener: listening.as_ref().map(|(_, addr)| (*addr, Mutex::new(None))),
            next_conn: AtomicU64::new(1),
            global_seq: AtomicU64::new(0),
            config,
        });
        if let Some((listener, _)) = listening {
            let task = tokio::spawn(greet::listen(inner.clone(), listener));
            if let Some((_, handle)) = &inner.listener {
                *lock(handle) = Some(task.abort_handle());
            }
        }
        Ok((Messenger { inner }, receiver))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.listener.as_ref().map(|(addr, _)| *addr)
    }

    /// What it announces itself as, and what belongs into maps. A pure client's IP is unspecified
    /// until the first server has seen it.
    pub fn addrs(&self) -> EntityAddrVec {
        self.inner.local().addrs.clone()
    }

    /// The id that a monitor gave ([`GlobalId`] 0: none yet).
    pub fn global_id(&self) -> GlobalId {
        self.inner.global_id()
    }

    /// Shows services an id that a monitor gave to another messenger of this process.
    pub fn set_global_id(&self, id: GlobalId) {
        self.inner.learn_global_id(id);
    }

    /// Opens a session with a daemon of the kind at `addrs`. A lossless one that exists already is
    /// returned as it is. Messages may be sent at once; they wait for the connection.
    pub fn connect(&self, addrs: &EntityAddrVec, kind: EntityType, policy: Policy) -> ConnId {
        let target = Target { addrs: addrs.clone(), kind, policy };
        if target.policy.lossy {
            return Actor::dial(&self.inner, target).1;
        }
        let mut sessions = self.inner.sessions();
        if let Some(id) = sessions.get(addrs).filter(|id| self.inner.conns.contains_key(id)) {
            return *id;
        }
        let (addrs, id) = Actor::dial(&self.inner, target);
        sessions.insert(addrs, id);
        id
    }

    /// Sends a message, or says at once why not. `Full` on a lossless session: nothing is lost,
    /// try again when the peer has acknowledged some; on a lossy one the peer is disconnected.
    pub fn send(&self, conn: ConnId, message: RawMessage) -> Result<(), SendError> {
        let Some(shared) = self.inner.conns.get(&conn).map(|s| s.clone()) else {
            return Err(SendError::NotConnected);
        };
        let sent = shared.send(message, &self.inner.config.limits);
        if sent == Err(SendError::Full) {
            tracing::warn!(%conn, "backlog full");
        }
        sent
    }

    /// Bytes that wait to be acknowledged (lossless) or written (lossy).
    pub fn backlog_bytes(&self, conn: ConnId) -> usize {
        self.inner.conns.get(&conn).map_or(0, |s| s.lock().backlog_bytes())
    }

    /// Ends a session and forgets it, with all that waits in it. No event follows.
    pub fn mark_down(&self, conn: ConnId) {
        // Out of the tables at once: the next `connect` makes a new session.
        let mut sessions = self.inner.sessions();
        sessions.retain(|_, id| *id != conn);
        let gone = self.inner.conns.remove(&conn);
        drop(sessions);
        if let Some((_, shared)) = gone {
            shared.wish(|w| w.mark_down = true);
        }
    }

    /// Asks the peer for a sign of life now.
    pub fn keepalive(&self, conn: ConnId) {
        if let Some(shared) = self.inner.conns.get(&conn) {
            shared.wish(|w| w.keepalive = true);
        }
    }

    /// Stops listening and ends all sessions, without events.
    pub fn shutdown(&self) {
        if let Some((_, handle)) = &self.inner.listener
            && let Some(task) = lock(handle).take()
        {
            task.abort();
        }
        let all: Vec<ConnId> = self.inner.conns.iter().map(|e| *e.key()).collect();
        for conn in all {
            self.mark_down(conn);
        }
    }
}
