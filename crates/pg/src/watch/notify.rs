//! One notify from its start to its completion.

use std::collections::BTreeSet;

use seabed_cluster::{Errno, HObject, Time};
use seabed_denc::{Bytes, Encode};
use seabed_messages::{MWatchNotify, NotifyResult, watch_event};

use super::effects::{NewNotify, Watcher};
use crate::SessionId;

/// A notify whose completion has not been sent.
#[derive(Debug)]
pub(super) struct Notify {
    pub(super) what: NewNotify,
    pub(super) object: HObject,
    /// Who is told of the completion.
    pub(super) notifier: SessionId,
    /// The notifier's number, which watchers see.
    client: u64,
    pub(super) expires: Time,
    /// Watchers that have not answered.
    pub(super) waiting: BTreeSet<Watcher>,
    acks: Vec<((u64, u64), Bytes)>,
}

/// A watcher as clients know it: number and cookie.
fn shown(watcher: &Watcher) -> (u64, u64) {
    (watcher.1.num.cast_unsigned(), watcher.0)
}

impl Notify {
    pub(super) fn new(
        what: NewNotify,
        object: HObject,
        notifier: SessionId,
        client: u64,
        expires: Time,
    ) -> Self {
        let (waiting, acks) = (BTreeSet::new(), Vec::new());
        Notify { what, object, notifier, client, expires, waiting, acks }
    }

    /// Bytes kept for it.
    pub(super) fn weight(&self) -> usize {
        self.what.payload.len() + self.acks.iter().map(|(_, reply)| reply.len()).sum::<usize>()
    }

    /// Notes a watcher's answer.
    pub(super) fn ack(&mut self, watcher: &Watcher, reply: Bytes) {
        self.acks.push((shown(watcher), reply));
    }

    /// What a watcher is told.
    pub(super) fn event(&self, cookie: u64) -> MWatchNotify {
        MWatchNotify {
            opcode: watch_event::NOTIFY,
            cookie,
            version: self.what.version,
            notify_id: self.what.id,
            payload: self.what.payload.clone(),
            notifier: self.client,
            ..MWatchNotify::default()
        }
    }

    /// What the notifier is told at the end; who has not answered has missed it.
    pub(super) fn completion(mut self, timed_out: bool) -> MWatchNotify {
        self.acks.sort_by_key(|(watcher, _)| *watcher);
        let missed = self.waiting.iter().map(shown).collect();
        MWatchNotify {
            opcode: watch_event::NOTIFY_COMPLETE,
            cookie: self.what.cookie,
            version: self.what.version,
            notify_id: self.what.id,
            return_code: if timed_out { Errno::ETIMEDOUT.wire() } else { 0 },
            notifier: self.client,
            result: NotifyResult { acks: self.acks, missed }.to_bytes(0),
            ..MWatchNotify::default()
        }
    }
}
