//! Watches in the life of a PG: what requests do to them, when their time is up, who is shut out.

use seabed_cluster::{
    EVersion, EntityName, HObject, LogOp, ObjectInfo, ObjectStatSum, PgLogEntry, ReqId,
};
use seabed_denc::Encode;
use seabed_storage::Transaction;

use super::Due;
use super::effects::{WatchEffects, Watcher};
use crate::client::target;
use crate::op::{self, ObjectContext};
use crate::replicate::{NewChange, Reply};
use crate::{Env, Level, Peer, Pg, SessionId, Step, WIRE};

impl Pg {
    /// Sends a reply. What its request does to watches follows a write, and goes before the reply
    /// of a request that only reads.
    pub(crate) fn answer(&mut self, env: &mut Env<'_>, reply: Reply) {
        let Reply { request, packet, watch } = reply;
        let to = Peer::Client(request.session);
        let Some(effects) = watch else { return env.out.send(to, packet) };
        let writes = op::may_write(&request.message);
        if !writes {
            let (object, packet) = (target(&request), packet);
            self.watch(env, &object, request.session, request.entity, *effects);
            return env.out.send(to, packet);
        }
        env.out.send(to, packet);
        self.watch(env, &target(&request), request.session, request.entity, *effects);
    }

    /// Carries out what a request of `session` does to the object's watches.
    fn watch(
        &mut self,
        env: &mut Env<'_>,
        object: &HObject,
        session: SessionId,
        client: EntityName,
        effects: WatchEffects,
    ) {
        let (now, out) = (env.now.mono, &mut *env.out);
        for (watcher, tell) in &effects.ends {
            self.watches.remove(out, object, watcher, *tell);
        }
        let home = (!effects.orphan).then_some(session);
        for connect in &effects.connects {
            let watcher = (connect.0.cookie, client);
            self.watches.connect(out, object, watcher, connect, home, now);
        }
        if effects.orphan {
            return;
        }
        for cookie in effects.pings {
            self.watches.ping(object, &(cookie, client), now);
        }
        for notify in effects.notifies {
            let number = client.num.cast_unsigned();
            self.watches.notify(out, object, notify, session, number, now);
        }
        for ack in &effects.acks {
            self.watches.ack(out, object, client, ack);
        }
    }

    /// A client's session ended: what it asked for is not carried out any more, unless it has
    /// begun, and its watches are disconnected.
    pub fn session_closed(&mut self, env: &mut Env<'_>, session: SessionId) -> Step {
        self.waiting.forget(session);
        self.backoffs.forget(session);
        self.watches.disconnect(session, env.now.mono);
        if let Some(active) = self.active_mut() {
            active.in_flight.orphan(session);
        }
        Ok(())
    }

    /// Ends notifies and watches whose time is up.
    pub(crate) fn watch_tick(&mut self, env: &mut Env<'_>) -> Step {
        while let Some(due) = self.watches.take_due(env.now.mono) {
            match due {
                Due::Notify(id) => self.watches.time_out(env.out, id),
                Due::Watch(object, watcher) => self.expel(env, &object, watcher)?,
            }
        }
        Ok(())
    }

    /// Learns of the watches in an object's info. True if that changed the info, because clients
    /// among them are shut out.
    pub(crate) fn meet_watchers(
        &mut self,
        env: &mut Env<'_>,
        object: &HObject,
        info: &ObjectInfo,
    ) -> Step<bool> {
        #[cfg(feature = "planted-bugs")]
        if env.config.planted == Some(crate::PlantedBug::WatchForgotten) {
            return Ok(false);
        }
        let new = self.watches.meet(object, &info.watchers, env.now.mono);
        if new { self.expel_blocklisted(env) } else { Ok(false) }
    }

    /// Ends the watches of clients that the map shuts out; true if there were any.
    pub(crate) fn expel_blocklisted(&mut self, env: &mut Env<'_>) -> Step<bool> {
        if self.watches.is_empty() {
            return Ok(false);
        }
        let map = env.map.clone();
        let hit = self.watches.from(|addr| map.is_blocklisted(addr));
        for (object, watcher) in &hit {
            self.expel(env, object, *watcher)?;
        }
        Ok(!hit.is_empty())
    }

    /// Ends the watches whose object can be written again.
    pub(crate) fn expel_overdue(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        for watcher in self.watches.take_overdue(object) {
            self.expel(env, object, watcher)?;
        }
        Ok(())
    }

    /// Removes a watch from its object's info, on every copy; it is gone when that is durable.
    fn expel(&mut self, env: &mut Env<'_>, object: &HObject, watcher: Watcher) -> Step {
        if self.missing.contains(object) || self.is_degraded(object) {
            self.watches.wait(object, watcher);
            return self.recover_now(env, object);
        }
        let context = match ObjectContext::load(env.store, &self.coll, object)? {
            Ok(context) => context,
            Err(error) => {
                let text = format_args!("{:?}: a watch cannot be ended: {error}", object.name);
                self.log_line(env, Level::Error, text);
                return Ok(());
            }
        };
        let mut info = context.info;
        if info.watchers.remove(&watcher).is_none() {
            // Whoever removed it is on its way to all copies.
            return Ok(());
        }
        let version = self.next_version();
        info.prior_version = info.version;
        info.version = version;
        let mut transaction = Transaction::new();
        transaction.set_attr(&self.coll, &self.gh(object), "_", info.to_bytes(WIRE));
        let entry = PgLogEntry {
            op: LogOp::Modify,
            soid: object.clone(),
            version,
            prior_version: info.prior_version,
            mtime: env.now.wall,
            ..PgLogEntry::default()
        };
        let text = format_args!("{:?}: ends the watch {watcher:?}", object.name);
        self.log_line(env, Level::Info, text);
        self.watches.expelling.push_back((version, object.clone(), watcher));
        let change = NewChange {
            object: object.clone(),
            reqid: ReqId::default(),
            entries: vec![entry],
            transaction: Some(transaction),
            stats: ObjectStatSum::default(),
            reply: None,
        };
        self.replicate(env, change)
    }

    /// The changes up to `version` are durable everywhere: watches that they removed are gone.
    pub(crate) fn finish_expelling(&mut self, env: &mut Env<'_>, version: EVersion) {
        while let Some((_, object, watcher)) =
            self.watches.expelling.pop_front_if(|(at, ..)| *at <= version)
        {
            self.watches.remove(env.out, &object, &watcher, true);
        }
    }
}
