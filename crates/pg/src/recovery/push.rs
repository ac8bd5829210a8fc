//! Sending an object, whole or in parts, and taking one in.

use std::ops::Bound;

use seabed_cluster::{
    EVersion, HObject, IntervalSet, ObjectInfo, OsdId, PgShard, PushOp, PushReplyOp, RecoveryInfo,
    RecoveryProgress, SnapSet,
};
use seabed_denc::{Bytes, BytesMut, Decode};
use seabed_messages::{MPgPush, MPgPushReply, Packet};
use seabed_storage::{StoreError, Transaction, TxOp};

use crate::{Env, Level, Peer, Pg, Step, wire};

/// The object's version as its attribute tells; zero for one that has not arrived whole.
pub(super) fn object_version(info: Option<&Bytes>) -> EVersion {
    info.and_then(|b| ObjectInfo::from_bytes(b.clone()).ok()).map(|i| i.version).unwrap_or_default()
}

/// What reading an object to send it gave.
pub(super) enum Built {
    /// Its next part.
    Push(Box<PushOp>),
    /// It does not exist here.
    Absent,
    /// The disk returns other bytes than were written.
    Unreadable,
}

impl Pg {
    /// The next part of an object that lies here.
    pub(super) fn build_push(
        &self,
        env: &Env<'_>,
        object: &HObject,
        before: RecoveryProgress,
    ) -> Step<Built> {
        match self.read_push(env, object, before) {
            Ok(Some(push)) => Ok(Built::Push(Box::new(push))),
            Ok(None) => Ok(Built::Absent),
            Err(StoreError::ChecksumMismatch { .. }) => Ok(Built::Unreadable),
            Err(e) => Err(e),
        }
    }

    fn read_push(
        &self,
        env: &Env<'_>,
        object: &HObject,
        before: RecoveryProgress,
    ) -> Step<Option<PushOp>> {
        let (coll, gh) = (&self.coll, self.gh(object));
        let size = match env.store.stat(coll, &gh) {
            Ok(stat) => stat.size,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let attrs = env.store.get_attrs(coll, &gh)?;
        let info = attrs.get(&b"_"[..]).and_then(|b| ObjectInfo::from_bytes(b.clone()).ok());
        let Some(info) = info else { return Ok(None) };
        let version = info.version;
        let mut push = PushOp { soid: object.clone(), version, ..PushOp::default() };
        let mut after = RecoveryProgress { first: false, ..before.clone() };
        let (from, chunk) = (before.data_recovered_to, env.config.push_chunk);
        let mut data = BytesMut::new();
        let until = size.min(from.saturating_add(chunk));
        if !before.data_complete && until > from {
            for (offset, length) in env.store.extents(coll, &gh, from, until - from)? {
                data.extend_from_slice(&env.store.read(coll, &gh, offset, length)?);
                push.data_included.insert(offset, length);
            }
        }
        push.data = data.freeze();
        after.data_recovered_to = until;
        after.data_complete = until >= size;
        if before.first {
            push.attrs = attrs;
            push.omap_header = env.store.omap_header(coll, &gh)?;
        }
        if !before.omap_complete {
            let start = match (before.first, &before.omap_recovered_to) {
                (true, _) => Bound::Unbounded,
                (false, key) if key.is_empty() => Bound::Unbounded,
                (false, key) => Bound::Excluded(&key[..]),
            };
            let (page, more) = env.store.omap_range(coll, &gh, start, env.config.push_omap)?;
            if let Some((key, _)) = page.last() {
                after.omap_recovered_to = key.clone();
            }
            push.omap_entries = page.into_iter().collect();
            after.omap_complete = !more;
        }
        let mut copy_subset = IntervalSet::new();
        copy_subset.insert(0, size);
        // A copy that is asked by its primary repeats the snapset it was told.
        let snapset = match object.is_head() || !self.is_primary() {
            true => SnapSet::default(),
            false => self.snapset_here(env, &object.head())?.unwrap_or_default(),
        };
        push.recovery_info = RecoveryInfo {
            soid: object.clone(),
            version,
            size,
            object_info: info,
            snapset,
            copy_subset,
            ..RecoveryInfo::default()
        };
        push.before = before;
        push.after = after;
        Ok(Some(push))
    }

    pub(super) fn send_push(&self, env: &mut Env<'_>, to: OsdId, push: PushOp) {
        let urgent = self.wanted_objects().any(|o| *o == push.soid);
        let packet = wire::push(self.id, self.epoch, self.whoami, push, urgent);
        env.out.send(Peer::Osd(to), packet);
    }

    /// Sends the next part of an object that a copy lacks.
    pub(super) fn push_part(
        &mut self,
        env: &mut Env<'_>,
        to: OsdId,
        object: &HObject,
        before: RecoveryProgress,
    ) -> Step {
        let Built::Push(push) = self.build_push(env, object, before)? else {
            let text = format_args!("object {:?} cannot be read here", object.name);
            self.log_line(env, Level::Error, text);
            if let Some(active) = self.active_mut() {
                active.recovery.active.remove(object);
                active.recovery.unfound.insert(object.clone());
            }
            return Ok(());
        };
        if let Some(active) = self.active_mut() {
            let way = active.recovery.active.entry(object.clone()).or_default();
            way.pushes.insert(to, push.after.clone());
        }
        self.send_push(env, to, *push);
        Ok(())
    }

    /// Objects, or parts, arrive.
    pub fn on_push(&mut self, env: &mut Env<'_>, from: OsdId, m: MPgPush) -> Step {
        if self.is_stale(m.min_epoch) {
            return Ok(());
        }
        if self.is_primary() {
            for push in &m.pushes {
                self.pulled(env, from, push)?;
            }
            return Ok(());
        }
        if !self.follows(from) {
            return Ok(());
        }
        let mut tx = Transaction::new();
        let mut replies = Vec::new();
        for push in &m.pushes {
            if self.missing.get(&push.soid).is_some_and(|i| i.need > push.version) {
                continue;
            }
            if self.apply_push(&mut tx, push) {
                if !push.soid.is_head() {
                    self.map_arrived(env, &mut tx, &push.soid, &push.recovery_info.snapset)?;
                }
                self.arrived(&push.soid, push.version);
            }
            replies.push(PushReplyOp { soid: push.soid.clone(), ..PushReplyOp::default() });
        }
        let tx = self.submit_arrival(env, tx)?;
        let reply = MPgPushReply {
            pg: m.pg,
            epoch: m.epoch,
            replies,
            shard: m.shard,
            from: PgShard::replicated(self.whoami),
            min_epoch: m.min_epoch,
            ..MPgPushReply::default()
        };
        self.send_after(tx, from, Packet::from(reply));
        Ok(())
    }

    /// Writes what a push brings; true if the object is whole with it.
    pub(super) fn apply_push(&mut self, tx: &mut Transaction, push: &PushOp) -> bool {
        let (coll, gh) = (self.coll, self.gh(&push.soid));
        let info = &push.recovery_info;
        let whole = push.after.data_complete && push.after.omap_complete;
        let attrs = if push.before.first {
            self.missing.forget_have(&push.soid);
            if info.object_exist {
                tx.touch(&coll, &gh);
                tx.push(&coll, &gh, TxOp::RmAttrs);
                if !push.before.omap_complete {
                    tx.omap_clear(&coll, &gh);
                }
            } else {
                tx.remove(&coll, &gh);
                tx.touch(&coll, &gh);
            }
            tx.truncate(&coll, &gh, info.size);
            if !push.omap_header.is_empty() {
                tx.omap_set_header(&coll, &gh, push.omap_header.clone());
            }
            push.attrs.clone()
        } else {
            self.incoming.attrs.remove(&push.soid).unwrap_or_default()
        };
        let mut at = 0;
        for (offset, length) in push.data_included.iter() {
            let end = (at + length as usize).min(push.data.len());
            tx.write(&coll, &gh, offset, push.data.slice(at..end));
            at = end;
        }
        if !push.omap_entries.is_empty() {
            tx.omap_set(&coll, &gh, push.omap_entries.clone());
        }
        if !whole {
            self.incoming.attrs.insert(push.soid.clone(), attrs);
            return false;
        }
        for (clone, ranges) in &info.clone_subset {
            for (offset, length) in ranges.iter() {
                let to = gh.clone();
                let op = TxOp::CloneRange { to, offset, length, to_offset: offset };
                tx.push(&coll, &self.gh(clone), op);
            }
        }
        tx.set_attrs(&coll, &gh, attrs);
        true
    }

    /// A copy has what we pushed.
    pub fn on_push_reply(&mut self, env: &mut Env<'_>, from: OsdId, m: &MPgPushReply) -> Step {
        if self.is_stale(m.min_epoch) {
            return Ok(());
        }
        for reply in &m.replies {
            self.pushed(env, from, &reply.soid)?;
        }
        Ok(())
    }

    fn pushed(&mut self, env: &mut Env<'_>, from: OsdId, object: &HObject) -> Step {
        let way = self.active_mut().and_then(|a| a.recovery.active.get_mut(object));
        let Some(way) = way else { return self.backfilled(env, from, object) };
        let Some(progress) = way.pushes.remove(&from) else {
            return self.backfilled(env, from, object);
        };
        if !(progress.data_complete && progress.omap_complete) {
            return self.push_part(env, from, object, progress);
        }
        if let Some(copy) = self.primary_mut().and_then(|p| p.peers.get_mut(&from)) {
            copy.missing.remove(object);
        }
        self.way_done(env, object)
    }

    /// Ends an object's way if nothing is left of it.
    pub(super) fn way_done(&mut self, env: &mut Env<'_>, object: &HObject) -> Step {
        let way = self.active().and_then(|a| a.recovery.active.get(object));
        match way {
            Some(w) if w.pushes.is_empty() && w.deletes.is_empty() => self.object_done(env, object),
            _ => Ok(()),
        }
    }
}
