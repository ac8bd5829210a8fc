//! Messages taken apart: what is answered at once, and what becomes work.

use seabed_cluster::{EntityType, Epoch, Errno, Now, PoolStat, feature};
use seabed_messages::{
    AuthName, MConfig, MGetPoolStats, MGetPoolStatsReply, MLogAck, MMgrConfigure, MMonGetOsdMap,
    MMonGetPurgedSnapsReply, MMonGetVersionReply, MMonSubscribe, MOsdMap, MPoolOpReply, MStatfs,
    MStatfsReply, Message, Packet,
};

use super::Monitor;
use super::propose::{Pending, ReplyForm, ReplyTo, Work};
use super::publish::log_level;
use crate::authorize::{Request, authorize};
use crate::command::{self, Command, Refusal, Reply, View};
use crate::history::MAP_FEATURES;
use crate::options::effective;
use crate::options::target::Place;
use crate::session::{Outbox, SUBSCRIPTIONS_MAX, SessionDoor, SessionId, Subscription};

/// How often an OSD is to report to the mgr, in seconds.
const REPORT_PERIOD: u32 = 5;

impl Monitor {
    pub(super) fn message(&mut self, now: Now, id: SessionId, packet: Packet, out: &mut Outbox) {
        let Packet { tid, message, .. } = packet;
        if !self.sessions.contains_key(&id) {
            return;
        }
        match message {
            Message::MonGetMap(_) => out.send(id, self.monmap_message()),
            Message::MonSubscribe(m) => self.subscribe(id, *m, out),
            Message::MonGetVersion(m) => {
                let (newest, oldest) = self.version_of(&m.what);
                let reply = MMonGetVersionReply {
                    handle: m.handle,
                    newest,
                    oldest,
                    ..MMonGetVersionReply::default()
                };
                out.send(id, Packet::with_tid(tid, reply));
            }
            Message::MonGetOsdMap(m) => self.get_osdmap(id, &m, out),
            Message::Statfs(m) => self.statfs(id, tid, &m, out),
            Message::GetPoolStats(m) => self.pool_stats(id, tid, &m, out),
            Message::GetConfig(m) => self.get_config(id, &m.name, out),
            Message::MonCommand(m) => {
                let reply = ReplyTo { session: id, tid, form: ReplyForm::Mon };
                self.command(now, reply, &m.command, m.input, out);
            }
            Message::Command(m) => {
                let reply = ReplyTo { session: id, tid, form: ReplyForm::Tell };
                match self.sessions[&id].peer.door {
                    SessionDoor::Mon => self.tell(now, reply, &m.command, out),
                    SessionDoor::Mgr => self.command(now, reply, &m.command, m.input, out),
                }
            }
            Message::MgrCommand(m) => {
                let reply = ReplyTo { session: id, tid, form: ReplyForm::Mgr };
                self.command(now, reply, &m.command, m.input, out);
            }
            Message::PoolOp(m) => self.pool_op(id, tid, m, out),
            Message::Log(m) => {
                let last = m.entries.last().map_or(0, |e| e.seq);
                for line in m.entries {
                    self.log.push(line);
                }
                let fsid = self.state.monmap.fsid;
                out.send(id, MLogAck { fsid, last, ..MLogAck::default() });
            }
            Message::MgrOpen(m) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.told_config(&m.config, Some(&m.config_defaults));
                    self.services.open(id, &session.peer, &m, now.wall);
                }
                let configure = MMgrConfigure {
                    period_seconds: REPORT_PERIOD,
                    threshold: REPORT_PERIOD,
                    ..MMgrConfigure::default()
                };
                out.send(id, configure);
            }
            Message::MgrClose(m) => {
                self.services.close(id, now.wall);
                out.send(id, *m);
            }
            Message::Ping(_) => self.pong(now, id, tid, out),
            Message::MgrReport(m) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.told_config(&m.config, None);
                }
                self.services.report(id, &m, now.wall);
            }
            Message::MonGetPurgedSnaps(m) => {
                let (last, purged_snaps) = self.state.purged.between(m.start, m.last);
                let reply = MMonGetPurgedSnapsReply {
                    start: m.start,
                    last,
                    purged_snaps,
                    ..MMonGetPurgedSnapsReply::default()
                };
                out.send(id, Packet::with_tid(tid, reply));
            }
            other => self.osd_message(now, id, tid, other, out),
        }
    }

    fn subscribe(&mut self, id: SessionId, m: MMonSubscribe, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !m.hostname.is_empty() {
            session.hostname = m.hostname;
        }
        for (name, sub) in m.what {
            if log_level(&name).is_some() {
                // A client follows the log at one level: the new one.
                session.subscriptions.retain(|other, _| log_level(other).is_none());
            }
            if session.subscriptions.len() >= SUBSCRIPTIONS_MAX
                && !session.subscriptions.contains_key(&name)
            {
                continue;
            }
            let sub = Subscription { start: sub.start, onetime: sub.once() };
            session.subscriptions.insert(name, sub);
        }
        self.serve(id, out);
        self.offer_creations(id, out);
    }

    fn version_of(&self, what: &str) -> (u64, u64) {
        match what {
            "osdmap" => {
                let maps = &self.state.maps;
                (u64::from(maps.newest().0), u64::from(maps.oldest().0))
            }
            "monmap" => (u64::from(self.state.monmap.epoch.0), 1),
            "mgrmap" => (u64::from(self.mgr_map().epoch.0), 1),
            "config" => (self.state.config_version, 1),
            "fsmap" | "mdsmap" => (1, 1),
            _ => (0, 0),
        }
    }

    fn get_osdmap(&mut self, id: SessionId, m: &MMonGetOsdMap, out: &mut Outbox) {
        let maps = &self.state.maps;
        let mut reply = MOsdMap {
            fsid: self.state.monmap.fsid,
            oldest: maps.oldest(),
            newest: maps.newest(),
            ..MOsdMap::default()
        };
        // Bounded as any message of maps is; the sender asks on.
        const MAPS_MAX: u32 = 40;
        let range = |first: Epoch, last: Epoch| {
            let first = first.max(maps.oldest()).0;
            first..=last.min(maps.newest()).0.min(first.saturating_add(MAPS_MAX))
        };
        if m.full_first > Epoch::ZERO {
            for epoch in range(m.full_first, m.full_last).map(Epoch) {
                if let Some(map) = maps.full(epoch) {
                    reply.full.insert(epoch, map.encode_full(MAP_FEATURES));
                }
            }
        }
        if m.inc_first > Epoch::ZERO {
            for epoch in range(m.inc_first, m.inc_last).map(Epoch) {
                if let Some(increment) = maps.increment(epoch) {
                    reply.incremental.insert(epoch, increment.clone());
                }
            }
        }
        out.send(id, reply);
    }

    fn statfs(&mut self, id: SessionId, tid: u64, m: &MStatfs, out: &mut Outbox) {
        let map = self.state.osdmap();
        let pool = m.pool.filter(|p| map.pools.contains_key(p));
        let usage = command::usage::cluster(map, &self.stats);
        let mut reply = MStatfsReply {
            fsid: self.state.monmap.fsid,
            version: self.stats.version,
            kb: usage.total / 1024,
            kb_used: usage.used_raw / 1024,
            kb_available: usage.available / 1024,
            objects: self.stats.total().sum.num_objects.unsigned_abs(),
            ..MStatfsReply::default()
        };
        if let Some(pool) = pool {
            let usage = command::usage::pool(map, &self.stats, pool);
            reply.kb = (usage.stored + usage.max_avail) / 1024;
            reply.kb_used = usage.stored / 1024;
            reply.kb_available = usage.max_avail / 1024;
            reply.objects = usage.objects;
        }
        out.send(id, Packet::with_tid(tid, reply));
    }

    fn pool_stats(&mut self, id: SessionId, tid: u64, m: &MGetPoolStats, out: &mut Outbox) {
        let map = self.state.osdmap();
        let mut reply = MGetPoolStatsReply {
            fsid: self.state.monmap.fsid,
            // Only if OSDs tell what they keep for each pool; else clients multiply by themselves.
            per_pool: self.stats.pool_stores.values().any(|s| s.allocated > 0),
            ..MGetPoolStatsReply::default()
        };
        for name in &m.pools {
            let Some(pool) = map.pool_by_name(name) else { continue };
            let sum = self.stats.pool(pool);
            let mut stat = PoolStat::default();
            stat.stats.sum = sum.sum;
            stat.log_size = sum.log_size;
            stat.ondisk_log_size = sum.ondisk_log_size;
            stat.up = sum.up;
            stat.acting = sum.acting;
            stat.store = sum.store;
            stat.num_store_stats = sum.num_store_stats;
            reply.stats.insert(name.clone(), stat);
        }
        out.send(id, Packet::with_tid(tid, reply));
    }

    fn get_config(&mut self, id: SessionId, name: &AuthName, out: &mut Outbox) {
        let kind = u8::try_from(name.kind).ok().and_then(|k| EntityType::try_from(k).ok());
        let entity = format!("{}.{}", kind.unwrap_or_default(), name.id);
        let options =
            effective(&self.state.settings, &entity, &Place::of(self.state.osdmap(), &entity));
        let options = options.into_iter().map(|(name, (_, value))| (name, value)).collect();
        out.send(id, MConfig { options, ..MConfig::default() });
    }

    fn command(
        &mut self,
        now: Now,
        reply: ReplyTo,
        strings: &[String],
        input: seabed_denc::Bytes,
        out: &mut Outbox,
    ) {
        match self.take_command(now, &reply, strings, input, out) {
            Ok(Some(answer)) => out.send(reply.session, reply.packet(answer)),
            Ok(None) => {}
            Err(refusal) => out.send(reply.session, reply.packet(refusal.into())),
        }
    }

    /// Answers a command, or queues it (`None`).
    fn take_command(
        &mut self,
        now: Now,
        reply: &ReplyTo,
        strings: &[String],
        input: seabed_denc::Bytes,
        out: &mut Outbox,
    ) -> Result<Option<Reply>, Refusal> {
        let command = Command::parse(strings)?;
        let entry = command::table::find(&command.prefix)
            .ok_or_else(|| command::table::unknown(&command.prefix))?;
        let session = &self.sessions[&reply.session];
        let request = Request::Command { prefix: &command.prefix, writes: entry.writes() };
        authorize(session, request).map_err(|e| Refusal::new(e, "access denied"))?;
        let who = session.peer.entity.clone();
        if command.prefix == "log" {
            let text = command.list("logtext").join(" ");
            self.log.said(now.wall, &session.peer, &text);
            return Ok(Some(Reply::default()));
        }
        if !entry.writes() {
            return command::read::run(&self.view(now), &command).map(Some);
        }
        let work = Work::Command { reply: reply.clone(), command: Box::new(command), input };
        self.enqueue(Pending { session: Some(reply.session), who, work }, out);
        Ok(None)
    }

    /// What commands look at.
    pub(super) fn view(&self, now: Now) -> View<'_> {
        View {
            state: &self.state,
            stats: &self.stats,
            log: &self.log,
            services: &self.services,
            config: &self.config,
            options: self.options(),
            sessions: self.sessions.values().collect(),
            mgr: self.mgr_map(),
            now,
            started: self.started,
            started_wall: self.started_wall,
        }
    }

    fn pool_op(
        &mut self,
        id: SessionId,
        tid: u64,
        op: Box<seabed_messages::MPoolOp>,
        out: &mut Outbox,
    ) {
        let session = &self.sessions[&id];
        if let Err(e) = authorize(session, Request::PoolOp(op.op)) {
            let packet = self.pool_op_reply(tid, Err(e), self.state.maps.newest());
            out.send(id, packet);
            return;
        }
        let who = session.peer.entity.clone();
        self.enqueue(Pending { session: Some(id), who, work: Work::PoolOp { tid, op } }, out);
    }

    /// The answer to a pool operation.
    pub(super) fn pool_op_reply(
        &self,
        tid: u64,
        result: Result<Option<seabed_denc::Bytes>, Errno>,
        epoch: Epoch,
    ) -> Packet {
        let (code, data) = match result {
            Ok(data) => (0, data),
            Err(e) => (e.wire(), None),
        };
        let reply = MPoolOpReply {
            fsid: self.state.monmap.fsid,
            code,
            epoch,
            data,
            ..MPoolOpReply::default()
        };
        Packet::with_tid(tid, reply)
    }

    /// True if the peer of a session understands what a 16.2 OSD must.
    pub(super) fn is_modern(features: u64) -> bool {
        features & feature::SERVER_NAUTILUS == feature::SERVER_NAUTILUS
    }
}
