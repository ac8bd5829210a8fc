//! The doors: what each kind of message is checked for before it reaches a PG.
//!
//! A message that was sent under a newer map waits for that map; one from an OSD that is not up in
//! our map is dropped; a client's request passes [`Osd::authorize`], and the blocklist in its PG.

use seabed_cluster::{Epoch, Errno, Now, OsdId, SpgId};
use seabed_messages::{MOsdOp, MOsdOpReply, Message, Packet};
use seabed_pg::{ClientOp, Env, Level, Outbox, Peer, Pg, SessionId, Step};
use seabed_storage::ObjectStore;

use crate::Osd;
use crate::osd::Session;

/// Requests that wait for a PG which this OSD will lead; more are dropped and sent again.
const WAITING_FOR_PG: usize = 1000;

impl Osd {
    pub(crate) fn message(
        &mut self,
        now: Now,
        from: Peer,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        match (&packet.message, from) {
            (Message::OsdMap(_), _) => self.on_maps(now, from, packet, store, out),
            (Message::OsdPing(m), _) => {
                self.ping(now, from, &m.clone(), out);
                Ok(())
            }
            (Message::MonGetVersionReply(m), Peer::Mon) => {
                self.version_told(now, m.newest, out);
                Ok(())
            }
            (Message::Config(m), Peer::Mon) => {
                self.on_config(now, m, out);
                Ok(())
            }
            (Message::MonGetPurgedSnapsReply(m), Peer::Mon) => self.on_purged(now, m, store, out),
            (Message::OsdPgCreate2(_), Peer::Mon) => self.on_pg_create(now, packet, store, out),
            (Message::OsdMarkMeDown(_), Peer::Mon) => {
                out.stop.get_or_insert_with(|| "marked down as asked".into());
                Ok(())
            }
            (Message::OsdOp(_), Peer::Client(id)) => {
                self.client_request(now, id, packet, store, out)
            }
            (Message::OsdBackoff(m), Peer::Client(id)) => {
                self.with_pg(now, m.pg, store, out, |pg, env| pg.on_backoff(env, id, m))?;
                Ok(())
            }
            (Message::Command(_), Peer::Client(id)) => self.command(now, id, packet, store, out),
            (Message::OsdOpReply(_) | Message::OsdBackoff(_), Peer::OsdPublic(osd)) => {
                self.fetches.heard(now, osd, packet);
                Ok(())
            }
            (_, Peer::Osd(osd)) => self.peer_message(now, osd, packet, store, out),
            _ => Ok(()),
        }
    }

    /// May this session do this? The one place where that is decided; without authentication,
    /// everybody may do everything.
    fn authorize(&self, _session: &Session, _op: &MOsdOp) -> bool {
        true
    }

    fn client_request(
        &mut self,
        now: Now,
        id: SessionId,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let from = Peer::Client(id);
        let (tid, Message::OsdOp(m)) = (packet.tid, &packet.message) else { return Ok(()) };
        let Some(map) = self.map.clone() else { return Ok(()) };
        if m.epoch > map.epoch {
            self.wait_for_map(now, from, packet, out);
            return Ok(());
        }
        let epoch = m.epoch;
        let newest = map.epoch;
        let sent = self.config.maps_sent;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.epoch = session.epoch.max(epoch);
        if session.epoch < newest {
            let maps = self.maps.message(store, session.epoch, sent)?;
            session.epoch = maps.last().unwrap_or(newest);
            out.send(from, maps);
        }
        let (entity, addr) = (session.entity, session.addr);
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        if !self.authorize(session, m) {
            let reply = MOsdOpReply::to(m, Errno::EPERM.wire(), newest);
            out.send(from, Packet::with_tid(tid, reply));
            return Ok(());
        }
        let pg = SpgId::replicated(m.pg.pg);
        if !self.pgs.contains_key(&pg) || !self.phase.is_active() {
            let mine = map.pools.contains_key(&pg.pg.pool)
                && map.map_pg(pg.pg).acting_primary == Some(self.config.whoami);
            if mine {
                let waiting = self.waiting_pg.entry(pg).or_default();
                if waiting.len() < WAITING_FOR_PG {
                    waiting.push((from, packet));
                }
            }
            return Ok(());
        }
        let Message::OsdOp(message) = packet.message else { return Ok(()) };
        let reqid = message.reqid_of(entity, tid);
        let op = ClientOp { session: id, entity, addr, tid, arrived: now, reqid, message };
        self.with_pg(now, pg, store, out, |pg, env| pg.client_op(env, op))?;
        Ok(())
    }

    /// Keeps a message until its map is known.
    fn wait_for_map(&mut self, now: Now, from: Peer, packet: Packet, out: &mut Outbox) {
        if self.waiting_map.len() >= self.config.waiting_max {
            self.log(out, Level::Error, format_args!("too many messages wait for a map"));
            return;
        }
        self.waiting_map.push_back((from, packet));
        // The first that waits asks for all.
        if self.mon_connected && self.waiting_map.len() == 1 {
            self.ask_for_maps(now, out);
        }
    }

    fn peer_message(
        &mut self,
        now: Now,
        from: OsdId,
        packet: Packet,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some((pg, epoch)) = address(&packet.message) else { return Ok(()) };
        let Some(map) = self.map.clone() else { return Ok(()) };
        self.peer_has(from, epoch);
        if epoch > map.epoch {
            self.wait_for_map(now, Peer::Osd(from), packet, out);
            return Ok(());
        }
        if !map.is_up(from) || epoch < map.up_from(from) || !self.phase.is_active() {
            return Ok(());
        }
        match &packet.message {
            Message::PgRemove(m) => {
                for pg in &m.pgs {
                    let may = self.pgs.get(pg).is_some_and(|p| p.may_remove(from, epoch));
                    if may {
                        self.begin_removal(*pg, store)?;
                    }
                }
                return Ok(());
            }
            Message::PgNotify(m) => {
                for notify in &m.notifies {
                    let pg = SpgId { pg: notify.info.pgid, shard: notify.to };
                    let notify = notify.clone();
                    self.ensure_for_notify(now, pg, &notify, store, out)?;
                    self.with_pg(now, pg, store, out, |pg, env| pg.on_notify(env, from, notify))?;
                }
                return Ok(());
            }
            Message::PgNotify2(m) => self.ensure_for_notify(now, pg, &m.notify, store, out)?,
            Message::PgLog(m) => self.ensure_for_log(now, pg, m, store, out)?,
            Message::PgQuery2(m) if !self.pgs.contains_key(&pg) => {
                self.answer_without(pg, from, &m.query, out);
                return Ok(());
            }
            _ => {}
        }
        self.with_pg(now, pg, store, out, |pg, env| deliver(pg, env, from, packet))?;
        Ok(())
    }
}

/// Which PG a message of an OSD is for, and the sender's epoch. For messages about several PGs the
/// PG is meaningless.
fn address(message: &Message) -> Option<(SpgId, Epoch)> {
    let spg = |pg, shard| SpgId { pg, shard };
    Some(match message {
        Message::PgNotify(m) => (SpgId::default(), m.epoch),
        Message::PgRemove(m) => (SpgId::default(), m.epoch),
        Message::PgNotify2(m) => (m.pg, m.notify.epoch_sent),
        Message::PgQuery2(m) => (m.pg, m.query.epoch_sent),
        Message::PgInfo2(m) => (m.pg, m.epoch_sent),
        Message::PgLog(m) => (m.pg(), m.epoch),
        Message::PgLease(m) => (m.pg, m.epoch),
        Message::PgLeaseAck(m) => (m.pg, m.epoch),
        Message::OsdRepOp(m) => (m.pg, m.epoch),
        Message::OsdRepOpReply(m) => (m.pg, m.epoch),
        Message::PgUpdateLogMissing(m) => (m.pg, m.epoch),
        Message::PgUpdateLogMissingReply(m) => (m.pg, m.epoch),
        Message::PgPush(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgPushReply(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgPull(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgRecoveryDelete(m) => (m.pg, m.epoch),
        Message::PgRecoveryDeleteReply(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgScan(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgBackfill(m) => (spg(m.pg, m.shard), m.epoch),
        Message::PgBackfillRemove(m) => (m.pg, m.epoch),
        Message::BackfillReserve(m) => (spg(m.pg, m.shard), m.query_epoch),
        Message::RecoveryReserve(m) => (spg(m.pg, m.shard), m.query_epoch),
        Message::PgTrim(m) => (spg(m.pg, m.shard), m.epoch),
        _ => return None,
    })
}

fn deliver(pg: &mut Pg, env: &mut Env<'_>, from: OsdId, packet: Packet) -> Step {
    let tid = packet.tid;
    match packet.message {
        Message::PgNotify2(m) => pg.on_notify(env, from, m.notify),
        Message::PgQuery2(m) => pg.on_query(env, from, m.query),
        Message::PgInfo2(m) => pg.on_info(env, from, m.min_epoch, m.info, m.lease, m.lease_ack),
        Message::PgLog(m) => pg.on_log(env, from, m.query_epoch, m.info, m.log, m.missing, m.lease),
        Message::PgLease(m) => pg.on_lease(env, from, m.epoch, &m.lease),
        Message::PgLeaseAck(m) => pg.on_lease_ack(env, from, m.epoch, &m.lease_ack),
        Message::OsdRepOp(m) => pg.on_rep_op(env, from, tid, *m),
        Message::OsdRepOpReply(m) => pg.on_rep_op_reply(env, from, tid, &m),
        Message::PgUpdateLogMissing(m) => pg.on_update_log(env, from, *m),
        Message::PgUpdateLogMissingReply(m) => pg.on_update_log_reply(env, from, &m),
        Message::PgPush(m) => pg.on_push(env, from, *m),
        Message::PgPushReply(m) => pg.on_push_reply(env, from, &m),
        Message::PgPull(m) => pg.on_pull(env, from, &m),
        Message::PgRecoveryDelete(m) => pg.on_recovery_delete(env, from, &m),
        Message::PgRecoveryDeleteReply(m) => pg.on_recovery_delete_reply(env, from, &m),
        Message::PgScan(m) => pg.on_scan(env, from, *m),
        Message::PgBackfill(m) => pg.on_backfill(env, from, *m),
        Message::PgBackfillRemove(m) => pg.on_backfill_remove(env, from, &m),
        Message::BackfillReserve(m) => pg.on_backfill_reserve(env, from, &m),
        Message::RecoveryReserve(m) => pg.on_recovery_reserve(env, from, &m),
        _ => Ok(()),
    }
}
