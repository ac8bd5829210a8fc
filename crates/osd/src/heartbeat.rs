//! Heartbeats: peers that share PGs ping each other; who is silent too long is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seabed_cluster::{Epoch, Now, OsdId, OsdMap, Span, Time};
use seabed_messages::{MOsdFailure, MOsdPing, Paxos, failure_flag, ping_op};
use seabed_pg::{Outbox, Peer};

use crate::Osd;

/// Peers on either side in the order of ids, so that nobody is without any.
const NEIGHBOURS: usize = 2;

/// What is known of a peer's liveness.
#[derive(Debug, Clone, Copy)]
struct Pinged {
    up_from: Epoch,
    back: Time,
    front: Time,
    reported: bool,
}

/// Everybody pinged.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    peers: BTreeMap<OsdId, Pinged>,
    pub(crate) next: Option<Time>,
}

impl Heartbeat {
    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.next
    }

    pub(crate) fn forget(&mut self) {
        *self = Heartbeat::default();
    }

    /// A new monitor does not know what the old one was told.
    pub(crate) fn report_again(&mut self) {
        for peer in self.peers.values_mut() {
            peer.reported = false;
        }
    }

    /// Who is pinged.
    pub(crate) fn peers(&self) -> impl Iterator<Item = OsdId> + '_ {
        self.peers.keys().copied()
    }
}

fn span(t: Time) -> Span {
    Span::from_nanos(i64::try_from(t.0).unwrap_or(i64::MAX))
}

impl Osd {
    /// Chooses whom to ping by a new map.
    pub(crate) fn choose_heartbeat_peers(&mut self, now: Now) {
        let Some(map) = self.map.clone() else { return };
        if !self.phase.is_active() {
            return;
        }
        let me = self.config.whoami;
        let mut wanted: BTreeSet<OsdId> =
            self.pgs.values().flat_map(|pg| pg.heartbeat_peers().collect::<Vec<_>>()).collect();
        let up: Vec<OsdId> = map.osds().filter(|o| map.is_up(*o)).collect();
        if let Some(at) = up.iter().position(|o| *o == me) {
            for step in 1..=NEIGHBOURS.min(up.len().saturating_sub(1)) {
                wanted.insert(up[(at + step) % up.len()]);
                wanted.insert(up[(at + up.len() - step) % up.len()]);
            }
        }
        wanted.retain(|o| *o != me && map.is_up(*o));
        let peers = &mut self.heartbeat.peers;
        peers.retain(|o, p| wanted.contains(o) && p.up_from == map.up_from(*o));
        for osd in wanted {
            peers.entry(osd).or_insert(Pinged {
                up_from: map.up_from(osd),
                back: now.mono,
                front: now.mono,
                reported: false,
            });
        }
        self.heartbeat.next.get_or_insert(now.mono);
    }

    pub(crate) fn heartbeat_tick(&mut self, now: Now, out: &mut Outbox) {
        if !self.phase.is_active() || self.heartbeat.next.is_none_or(|at| now.mono < at) {
            return;
        }
        self.heartbeat.next = Some(now.mono + self.config.heartbeat_interval);
        let Some(map) = self.map.clone() else { return };
        let ping = MOsdPing {
            fsid: self.config.fsid,
            map_epoch: map.epoch,
            op: ping_op::PING,
            ping_stamp: now.wall,
            up_from: map.up_from(self.config.whoami),
            mono_ping_stamp: span(now.mono),
            mono_send_stamp: span(now.mono),
            ..MOsdPing::default()
        };
        let grace = self.config.heartbeat_grace;
        let mut failed = Vec::new();
        for (osd, peer) in &mut self.heartbeat.peers {
            out.send(Peer::HeartbeatBack(*osd), ping.clone());
            out.send(Peer::HeartbeatFront(*osd), ping.clone());
            let silent = now.mono.saturating_sub(peer.back.min(peer.front));
            if silent > grace {
                peer.reported = true;
                failed.push((*osd, silent));
            }
        }
        for (osd, silent) in failed {
            self.report_failure(&map, osd, failure_flag::FAILED, silent, out);
        }
    }

    fn report_failure(
        &self,
        map: &OsdMap,
        target: OsdId,
        flags: u8,
        silent: Duration,
        out: &mut Outbox,
    ) {
        let Some(addrs) = map.addrs(target) else { return };
        let message = MOsdFailure {
            paxos: Paxos::at(map.epoch.0.into()),
            fsid: self.config.fsid,
            target,
            target_addrs: addrs.client.clone(),
            epoch: map.epoch,
            flags,
            failed_for_seconds: i32::try_from(silent.as_secs()).unwrap_or(i32::MAX),
            ..MOsdFailure::default()
        };
        out.send(Peer::Mon, message);
    }

    /// A ping or an answer.
    pub(crate) fn ping(&mut self, now: Now, from: Peer, m: &MOsdPing, out: &mut Outbox) {
        let Some(map) = self.map.clone() else { return };
        if m.fsid != self.config.fsid {
            return;
        }
        match (m.op, from) {
            (ping_op::PING, Peer::HeartbeatSession(id)) => {
                let Some(session) = self.sessions.get(&id) else { return };
                let who = OsdId(session.entity.num as i32);
                let answer = MOsdPing {
                    fsid: m.fsid,
                    map_epoch: map.epoch,
                    op: ping_op::PING_REPLY,
                    ping_stamp: m.ping_stamp,
                    up_from: map.up_from(self.config.whoami),
                    mono_ping_stamp: m.mono_ping_stamp,
                    mono_send_stamp: span(now.mono),
                    ..MOsdPing::default()
                };
                out.send(from, answer.clone());
                if map.is_down(who) && m.map_epoch < map.epoch {
                    out.send(from, MOsdPing { op: ping_op::YOU_DIED, ..answer });
                }
                self.peer_has(who, m.map_epoch);
                if m.map_epoch < map.epoch && map.is_up(who) {
                    self.show_soon(who);
                }
            }
            (ping_op::PING_REPLY, Peer::HeartbeatBack(who) | Peer::HeartbeatFront(who)) => {
                let mut well = false;
                if let Some(peer) = self.heartbeat.peers.get_mut(&who) {
                    // The stamp is our own clock's: what it answers, not when it arrived.
                    let stamp = u64::try_from(m.mono_ping_stamp.nanos()).unwrap_or(0);
                    let heard = Time(stamp.min(now.mono.0));
                    match from {
                        Peer::HeartbeatBack(_) => peer.back = peer.back.max(heard),
                        _ => peer.front = peer.front.max(heard),
                    }
                    let silent = now.mono.saturating_sub(peer.back.min(peer.front));
                    well = peer.reported && silent <= self.config.heartbeat_grace;
                    if well {
                        peer.reported = false;
                    }
                }
                if well {
                    self.report_failure(&map, who, 0, Duration::ZERO, out);
                }
                self.peer_has(who, m.map_epoch);
                if m.map_epoch > map.epoch {
                    self.ask_for_maps(now, out);
                }
            }
            (ping_op::YOU_DIED, _) => self.ask_for_maps(now, out),
            _ => {}
        }
    }

    /// Nobody listens where a peer's heartbeat server should be: its process is gone.
    pub(crate) fn peer_reset(&mut self, peer: Peer, refused: bool, out: &mut Outbox) {
        let (Peer::HeartbeatBack(osd) | Peer::HeartbeatFront(osd)) = peer else { return };
        let Some(map) = self.map.clone() else { return };
        let known = self.heartbeat.peers.get_mut(&osd);
        if let Some(pinged) = known.filter(|p| refused && !p.reported) {
            pinged.reported = true;
            let grace = self.config.heartbeat_grace + Duration::from_secs(1);
            let flags = failure_flag::FAILED | failure_flag::IMMEDIATE;
            if map.is_up(osd) && self.phase.is_active() {
                self.report_failure(&map, osd, flags, grace, out);
            }
        }
    }
}
