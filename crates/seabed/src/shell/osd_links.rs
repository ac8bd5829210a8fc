//! Who is behind which connection: the OSD rule speaks of peers, messengers of sessions.
//!
//! An OSD has six messengers: public and cluster, two that answer heartbeats, two that send them.
//! The monitor is called from the public one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use seabed_cluster::{EntityAddrVec, EntityName, EntityType, OsdAddrs, OsdId, OsdMap, feature};
use seabed_messages::Packet;
use seabed_messenger::{AuthName, Config, ConnId, Event, Messenger, Policies, Policy};
use seabed_osd::{Input, Peer, SessionId};
use tokio::sync::mpsc;

/// One of the messengers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    Public,
    Cluster,
    BackServer,
    FrontServer,
    BackClient,
    FrontClient,
}

const LINES: [Line; 6] = [
    Line::Public,
    Line::Cluster,
    Line::BackServer,
    Line::FrontServer,
    Line::BackClient,
    Line::FrontClient,
];

/// Bytes of received messages alive at a time: of one client, and of all.
const CLIENT_BYTES_MAX: usize = 100 << 20;
const TOTAL_BYTES_MAX: usize = 500 << 20;

/// Ports to listen on, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// See the module's head.
pub(crate) struct Links {
    messengers: BTreeMap<Line, Messenger>,
    pub(crate) events: mpsc::Receiver<(Line, Event)>,
    by_peer: BTreeMap<Peer, (Line, ConnId, EntityAddrVec)>,
    by_conn: BTreeMap<(Line, ConnId), Peer>,
    features: BTreeMap<(Line, ConnId), u64>,
    next_session: u64,
}

impl Links {
    /// Listens on the first free ports of the range.
    pub(crate) fn open(id: OsdId, ip: Option<IpAddr>, ports: PortRange) -> Result<Self> {
        let (sender, events) = mpsc::channel(64);
        let mut messengers = BTreeMap::new();
        let mut port = ports.first;
        for line in LINES {
            let listening = !matches!(line, Line::BackClient | Line::FrontClient);
            let config = config(id, line);
            let (messenger, mut received) = if listening {
                let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                bind_in_range(&config, ip, &mut port, ports.last)?
            } else {
                Messenger::bind(config, None)?
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(event) = received.recv().await {
                    if sender.send((line, event)).await.is_err() {
                        return;
                    }
                }
            });
            messengers.insert(line, messenger);
        }
        Ok(Links {
            messengers,
            events,
            by_peer: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            features: BTreeMap::new(),
            next_session: 1,
        })
    }

    fn messenger(&self, line: Line) -> &Messenger {
        &self.messengers[&line]
    }

    /// Where this OSD listens, for the map.
    pub(crate) fn addrs(&self) -> OsdAddrs {
        OsdAddrs {
            client: self.messenger(Line::Public).addrs(),
            cluster: self.messenger(Line::Cluster).addrs(),
            heartbeat_back: self.messenger(Line::BackServer).addrs(),
            heartbeat_front: self.messenger(Line::FrontServer).addrs(),
        }
    }

    /// Calls a monitor; its session is [`Peer::Mon`] from then on.
    pub(crate) fn call_mon(&mut self, addr: SocketAddr) {
        self.drop_peer(Peer::Mon);
        let addrs = EntityAddrVec::from(seabed_cluster::EntityAddr::msgr2(addr, 0));
        self.dial(Peer::Mon, Line::Public, &addrs, EntityType::Mon, Policy::lossy());
    }

    fn dial(
        &mut self,
        peer: Peer,
        line: Line,
        addrs: &EntityAddrVec,
        kind: EntityType,
        policy: Policy,
    ) -> ConnId {
        let conn = self.messenger(line).connect(addrs, kind, policy);
        self.by_peer.insert(peer, (line, conn, addrs.clone()));
        self.by_conn.insert((line, conn), peer);
        conn
    }

    /// Ends the session with a peer, if there is one.
    pub(crate) fn drop_peer(&mut self, peer: Peer) {
        if let Some((line, conn, _)) = self.by_peer.remove(&peer) {
            self.by_conn.remove(&(line, conn));
            self.features.remove(&(line, conn));
            self.messenger(line).mark_down(conn);
        }
    }

    /// Sends to a peer, calling it by the map's addresses if need be. A peer that cannot be called
    /// now hears nothing: the rule repeats what matters when the map changes.
    pub(crate) fn send(&mut self, to: Peer, packet: &Packet, map: Option<&OsdMap>) {
        let Some((line, conn)) = self.reach(to, map) else { return };
        let features = self.features.get(&(line, conn)).copied().unwrap_or(feature::PACIFIC_ALL);
        if let Err(error) = self.messenger(line).send(conn, packet.encode(features)) {
            tracing::debug!(?to, %error, "not sent");
        }
    }

    fn reach(&mut self, to: Peer, map: Option<&OsdMap>) -> Option<(Line, ConnId)> {
        let called = match to {
            Peer::Mon | Peer::Client(_) | Peer::HeartbeatSession(_) => None,
            Peer::Osd(osd) => Some((osd, Line::Cluster)),
            Peer::OsdPublic(osd) => Some((osd, Line::Public)),
            Peer::HeartbeatBack(osd) => Some((osd, Line::BackClient)),
            Peer::HeartbeatFront(osd) => Some((osd, Line::FrontClient)),
        };
        let Some((osd, line)) = called else {
            return self.by_peer.get(&to).map(|(line, conn, _)| (*line, *conn));
        };
        let addrs = map.filter(|m| m.is_up(osd))?.addrs(osd)?;
        let (addrs, policy) = match line {
            Line::BackClient => (&addrs.heartbeat_back, Policy::lossy()),
            Line::FrontClient => (&addrs.heartbeat_front, Policy::lossy()),
            Line::Public => (&addrs.client, Policy::lossy()),
            _ => (&addrs.cluster, Policy::lossless_peer()),
        };
        if let Some((line, conn, known)) = self.by_peer.get(&to) {
            if known == addrs {
                return Some((*line, *conn));
            }
            // Another life of that OSD: nothing said to the old one concerns it.
            self.drop_peer(to);
        }
        let addrs = addrs.clone();
        Some((line, self.dial(to, line, &addrs, EntityType::Osd, policy)))
    }

    /// Ends sessions with OSDs that are down in the map or live elsewhere now.
    pub(crate) fn follow(&mut self, map: &OsdMap) {
        let gone: Vec<Peer> = self
            .by_peer
            .iter()
            .filter(|(peer, (_, _, known))| match peer {
                Peer::Osd(o) => stale(map, *o, known, |a| &a.cluster),
                Peer::OsdPublic(o) => stale(map, *o, known, |a| &a.client),
                Peer::HeartbeatBack(o) => stale(map, *o, known, |a| &a.heartbeat_back),
                Peer::HeartbeatFront(o) => stale(map, *o, known, |a| &a.heartbeat_front),
                _ => false,
            })
            .map(|(peer, _)| *peer)
            .collect();
        for peer in gone {
            self.drop_peer(peer);
        }
    }

    /// What an event means to the rule; the guard it may carry throttles its sender until dropped.
    pub(crate) fn translate(
        &mut self,
        line: Line,
        event: Event,
    ) -> (Option<Input>, Option<seabed_messenger::Budget>) {
        let key = (line, event.conn());
        match event {
            Event::Opened { conn, peer, .. } => {
                self.features.insert(key, peer.features);
                (self.opened(line, conn, &peer), None)
            }
            Event::Message { conn, message, budget } => {
                let Some(from) = self.by_conn.get(&key).copied() else { return (None, None) };
                match Packet::decode(message) {
                    Ok(packet) => (Some(Input::Message { from, packet }), Some(budget)),
                    Err(error) => {
                        tracing::warn!(%conn, ?from, %error, "a message was not understood");
                        self.messenger(line).mark_down(conn);
                        (self.lost(key, false), None)
                    }
                }
            }
            Event::Unreachable { refused, last, .. } => {
                let Some(peer) = self.by_conn.get(&key).copied() else { return (None, None) };
                if last {
                    return (self.lost(key, refused), None);
                }
                (Some(Input::PeerReset { peer, refused }), None)
            }
            Event::Reset { .. } => (self.lost(key, false), None),
            Event::Forgotten { .. } => {
                let peer = self.by_conn.get(&key).copied();
                (peer.map(|peer| Input::PeerReset { peer, refused: false }), None)
            }
        }
    }

    fn opened(&mut self, line: Line, conn: ConnId, peer: &seabed_messenger::Peer) -> Option<Input> {
        match self.by_conn.get(&(line, conn)) {
            Some(Peer::Mon) => return Some(Input::MonConnected),
            Some(_) => return None,
            None => {}
        }
        let known = match line {
            Line::Cluster => Peer::Osd(OsdId(i32::try_from(peer.name.num).ok()?)),
            Line::Public => Peer::Client(self.fresh_session()),
            _ => Peer::HeartbeatSession(self.fresh_session()),
        };
        if matches!(known, Peer::Osd(_)) {
            let other = self.by_peer.get(&known).is_some_and(|(_, c, _)| *c != conn);
            if other {
                self.drop_peer(known);
            }
        }
        self.by_conn.insert((line, conn), known);
        self.by_peer.insert(known, (line, conn, peer.addrs.clone()));
        let addr = peer.addrs.0.first().copied().unwrap_or_default();
        match known {
            Peer::Osd(_) => None,
            _ => Some(Input::SessionOpened { peer: known, entity: peer.name, addr }),
        }
    }

    fn fresh_session(&mut self) -> SessionId {
        self.next_session += 1;
        SessionId(self.next_session - 1)
    }

    fn lost(&mut self, key: (Line, ConnId), refused: bool) -> Option<Input> {
        self.features.remove(&key);
        let peer = self.by_conn.remove(&key)?;
        self.by_peer.remove(&peer);
        Some(match peer {
            Peer::Client(session) | Peer::HeartbeatSession(session) => {
                Input::SessionClosed(session)
            }
            peer => Input::PeerReset { peer, refused },
        })
    }
}

fn stale(
    map: &OsdMap,
    osd: OsdId,
    known: &EntityAddrVec,
    which: impl Fn(&OsdAddrs) -> &EntityAddrVec,
) -> bool {
    !map.is_up(osd) || map.addrs(osd).is_none_or(|a| which(a) != known)
}

fn config(id: OsdId, line: Line) -> Config {
    let name = EntityName { kind: EntityType::Osd, num: i64::from(id.0) };
    let auth = AuthName::new(EntityType::Osd, id.0.to_string());
    // The nonce tells this life of the OSD from earlier ones at the same address.
    let mut config = Config::new(name, auth, std::process::id());
    match line {
        Line::Public => {
            config.peer_bytes_max = Some(CLIENT_BYTES_MAX);
            config.total_bytes_max = Some(TOTAL_BYTES_MAX);
        }
        Line::Cluster => config.policies = Policies::all(Policy::lossless_peer()),
        _ => {}
    }
    config
}

fn bind_in_range(
    config: &Config,
    ip: IpAddr,
    port: &mut u16,
    last: u16,
) -> Result<(Messenger, mpsc::Receiver<Event>)> {
    loop {
        let bound = Messenger::bind(config.clone(), Some(SocketAddr::new(ip, *port)));
        let next = port.checked_add(1).filter(|p| *p <= last);
        match bound {
            Ok(link) => {
                *port = next.unwrap_or(last);
                return Ok(link);
            }
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && next.is_some() => {
                *port = next.unwrap_or(last);
            }
            Err(e) => return Err(e).with_context(|| format!("listening on {ip}:{port}")),
        }
    }
}
