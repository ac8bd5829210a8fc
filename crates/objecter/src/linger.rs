//! What lasts longer than one operation: watches, and notifies until their completion.
//!
//! ```text
//! watch:   WATCH ──reply──▶ held ──(interval or session lost)──▶ RECONNECT ──reply──▶ held
//!                             │ PING, while held, and its reply      │ refused
//!                             └──── refused, DISCONNECT ─────────────┴──▶ lost: told once,
//!                                                            and UNWATCH if the OSD may know it
//! notify:  NOTIFY ──reply──▶ accepted ──NOTIFY_COMPLETE──▶ told once
//!            ▲                  │ (interval or session lost)
//!            └──────────────────┘
//! ```
//!
//! Each step is an operation of its own, under a new tid: an OSD that recognises a repeat answers
//! it, but does not bind the watch to the session that it came on.
//!
//! Invariants: a watch or notify names itself to OSDs by the number of its [`RequestId`]; its end
//! is told once, and nothing after it.

use std::time::Duration;

use seabed_cluster::{Errno, Now, OsdId, OsdMap, Time};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, encode_bytes};
use seabed_messages::op::watch_op;
use seabed_messages::{MWatchNotify, NotifyResult, OpArgs, OpCode, OsdOp, watch_event};

use crate::objecter::{Objecter, Output, RequestId};
use crate::operation::{OpReply, OpRequest, OpTarget};
use crate::target::Target;

/// How often a watch says that it is alive.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// What a watch tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The object is watched from now on.
    Begun,
    /// Somebody notifies; the answer is [`Objecter::notify_ack`].
    Notify {
        /// Names the notify.
        id: u64,
        /// The client that notifies.
        notifier: u64,
        /// What it says.
        payload: Bytes,
    },
    /// The watch is over; whoever still wants to watch begins anew.
    Lost(Errno),
}

/// How a notify ended: who answered what, and who did not.
pub type Notified = Result<NotifyEnd, Errno>;

/// The end of a notify that was told to the watchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyEnd {
    /// Some did not answer in time.
    pub timed_out: bool,
    /// Client, cookie and answer of those who did.
    pub acks: Vec<((u64, u64), Bytes)>,
    /// Client and cookie of those who did not.
    pub missed: Vec<(u64, u64)>,
}

#[derive(Debug)]
enum Kind {
    Watch {
        timeout: u32,
        /// An OSD has confirmed it.
        begun: bool,
        ping_at: Option<Time>,
    },
    Notify {
        input: Bytes,
        /// As the OSD named it.
        id: Option<u64>,
    },
}

/// A watch or notify.
#[derive(Debug)]
pub(crate) struct Linger {
    kind: Kind,
    on: OpTarget,
    /// The operation that begins or renews it.
    step: Option<RequestId>,
    /// Where it is held, as of the reply.
    held: Option<(OsdId, Target)>,
}

/// Whom the end of an operation concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The caller.
    Caller,
    /// The watch or notify that it begins or renews.
    Step(RequestId),
    /// The watch that it keeps alive.
    Ping(RequestId),
}

impl Linger {
    fn op(&self, id: RequestId) -> OsdOp {
        match &self.kind {
            Kind::Watch { timeout, begun, .. } => {
                let what = if *begun { watch_op::RECONNECT } else { watch_op::WATCH };
                watch(id, what, *timeout)
            }
            Kind::Notify { input, .. } => {
                OsdOp::new(OpCode::Notify, OpArgs::Notify { cookie: id.0 }, input.clone())
            }
        }
    }
}

fn watch(id: RequestId, op: u8, timeout: u32) -> OsdOp {
    let args = OpArgs::Watch { cookie: id.0, version: 0, op, generation: 0, timeout };
    OsdOp::new(OpCode::Watch, args, Bytes::new())
}

impl Objecter {
    /// Watches an object. [`Output::Watch`] names the returned id, first with
    /// [`WatchEvent::Begun`], last with [`WatchEvent::Lost`]. A `timeout` of 0 is the OSD's choice.
    pub fn watch(
        &mut self,
        now: Now,
        on: OpTarget,
        timeout: u32,
        out: &mut Vec<Output>,
    ) -> RequestId {
        let kind = Kind::Watch { timeout, begun: false, ping_at: None };
        self.now = now;
        self.begin(Linger { kind, on, step: None, held: None }, out)
    }

    /// Tells an object's watchers; they have `timeout` seconds to answer. [`Output::Notified`]
    /// names the returned id.
    pub fn notify(
        &mut self,
        now: Now,
        on: OpTarget,
        timeout: u32,
        payload: &[u8],
        out: &mut Vec<Output>,
    ) -> RequestId {
        let mut input = BytesMut::new();
        1u32.encode(&mut input, 0);
        timeout.encode(&mut input, 0);
        encode_bytes(&mut input, payload);
        let kind = Kind::Notify { input: input.freeze(), id: None };
        self.now = now;
        self.begin(Linger { kind, on, step: None, held: None }, out)
    }

    /// Ends a watch; [`Output::Done`] names the returned id. `None` if it is over already.
    pub fn unwatch(&mut self, now: Now, id: RequestId, out: &mut Vec<Output>) -> Option<RequestId> {
        let linger = self.drop_linger(id)?;
        let ops = vec![watch(id, watch_op::UNWATCH, 0)];
        Some(self.submit(now, request(now, &linger.on, ops), out))
    }

    /// Answers a notify of a watch; [`Output::Done`] names the returned id. `None` if the watch is
    /// over.
    pub fn notify_ack(
        &mut self,
        now: Now,
        id: RequestId,
        notify: u64,
        reply: &[u8],
        out: &mut Vec<Output>,
    ) -> Option<RequestId> {
        let on = self.lingers.get(&id)?.on.clone();
        let mut input = BytesMut::new();
        notify.encode(&mut input, 0);
        id.0.encode(&mut input, 0);
        encode_bytes(&mut input, reply);
        let ops = vec![OsdOp::plain(OpCode::NotifyAck, input)];
        Some(self.submit(now, request(now, &on, ops), out))
    }

    /// Forgets a watch or notify without a word to its OSD.
    pub(crate) fn drop_linger(&mut self, id: RequestId) -> Option<Linger> {
        let linger = self.lingers.remove(&id)?;
        self.drop_owned(|owner| owner == Owner::Step(id) || owner == Owner::Ping(id));
        Some(linger)
    }

    fn begin(&mut self, linger: Linger, out: &mut Vec<Output>) -> RequestId {
        let id = self.fresh_id();
        self.lingers.insert(id, linger);
        self.next_step(id, out);
        id
    }

    /// Begins or renews, unless that is on its way.
    fn next_step(&mut self, id: RequestId, out: &mut Vec<Output>) {
        let Some(linger) = self.lingers.get_mut(&id) else { return };
        linger.held = None;
        match &mut linger.kind {
            Kind::Watch { ping_at, .. } => *ping_at = None,
            Kind::Notify { id, .. } => *id = None,
        }
        let request = request(self.now, &linger.on, vec![linger.op(id)]);
        let step = self.submit_owned(request, Owner::Step(id), out);
        if let Some(linger) = self.lingers.get_mut(&id) {
            linger.step = Some(step);
        }
    }

    /// An operation of a watch or notify would have to be sent again: a new one takes its place.
    pub(crate) fn replace_step(&mut self, owner: Owner, out: &mut Vec<Output>) {
        if let Owner::Step(id) = owner {
            self.next_step(id, out);
        }
    }

    /// In this map, is everything held where it was?
    pub(crate) fn lingers_see(&mut self, map: &OsdMap) {
        for linger in self.lingers.values_mut() {
            let Some((_, target)) = &linger.held else { continue };
            let probe = OpRequest::on(linger.on.clone());
            if Target::of(map, &probe).as_ref() != Ok(target) {
                linger.held = None;
            }
        }
    }

    /// The session with an OSD is over, and what it held with it.
    pub(crate) fn lingers_lose(&mut self, osd: OsdId) {
        for linger in self.lingers.values_mut() {
            if linger.held.as_ref().is_some_and(|(o, _)| *o == osd) {
                linger.held = None;
            }
        }
    }

    /// Nothing is known of what happened meanwhile.
    pub(crate) fn lingers_lose_all(&mut self) {
        self.lingers.values_mut().for_each(|linger| linger.held = None);
    }

    /// Renews what is not held and not about to be.
    pub(crate) fn renew_lingers(&mut self, out: &mut Vec<Output>) {
        let lost = self.lingers.iter().filter(|(_, l)| l.held.is_none() && l.step.is_none());
        for id in lost.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.drop_owned(|owner| owner == Owner::Ping(id));
            self.next_step(id, out);
        }
    }

    /// When a watch must say that it is alive.
    pub(crate) fn ping_at(&self) -> Option<Time> {
        let at = |linger: &Linger| match linger.kind {
            Kind::Watch { ping_at, .. } => ping_at,
            Kind::Notify { .. } => None,
        };
        self.lingers.values().filter_map(at).min()
    }

    /// Watches say that they are alive.
    pub(crate) fn ping_watches(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let mut due = Vec::new();
        for (id, linger) in &mut self.lingers {
            if let Kind::Watch { ping_at: Some(at), timeout, .. } = &mut linger.kind
                && *at <= now.mono
            {
                *at = now.mono + PING_INTERVAL;
                due.push((
                    *id,
                    request(now, &linger.on, vec![watch(*id, watch_op::PING, *timeout)]),
                ));
            }
        }
        for (id, request) in due {
            // One at a time is enough.
            if !self.owns(Owner::Ping(id)) {
                self.submit_owned(request, Owner::Ping(id), out);
            }
        }
    }

    /// An operation of a watch or notify is answered.
    pub(crate) fn step_done(
        &mut self,
        owner: Owner,
        by: Option<(OsdId, Target)>,
        result: Result<OpReply, Errno>,
        out: &mut Vec<Output>,
    ) {
        let (id, step) = match owner {
            Owner::Caller => return,
            Owner::Step(id) => (id, true),
            Owner::Ping(id) => (id, false),
        };
        let result = result.and_then(|reply| match Errno::from_wire(reply.result) {
            Some(error) => Err(error),
            None => Ok(reply),
        });
        let now = self.now.mono;
        let Some(linger) = self.lingers.get_mut(&id) else { return };
        match (&mut linger.kind, result) {
            (Kind::Watch { begun, ping_at, .. }, Ok(_)) => {
                if step {
                    (linger.step, linger.held) = (None, by);
                    *ping_at = Some(now + PING_INTERVAL);
                    if !std::mem::replace(begun, true) {
                        out.push(Output::Watch(id, WatchEvent::Begun));
                    }
                }
            }
            (Kind::Notify { id: name, .. }, Ok(reply)) => {
                (linger.step, linger.held) = (None, by);
                *name = reply.ops.first().and_then(|(_, o)| u64::from_bytes(o.clone()).ok());
            }
            (Kind::Watch { begun, .. }, Err(error)) => {
                // An OSD that has it still, unconnected, would name it to others as alive.
                let known = *begun && !matches!(error, Errno::ENOTCONN | Errno::ENOENT);
                match known {
                    true => drop(self.unwatch(self.now, id, out)),
                    false => drop(self.drop_linger(id)),
                }
                out.push(Output::Watch(id, WatchEvent::Lost(error)));
            }
            (Kind::Notify { .. }, Err(error)) => {
                self.drop_linger(id);
                out.push(Output::Notified(id, Err(error)));
            }
        }
    }

    /// An OSD speaks of a watch or notify.
    pub(crate) fn heard_watch(&mut self, m: &MWatchNotify, out: &mut Vec<Output>) {
        let id = RequestId(m.cookie);
        let Some(linger) = self.lingers.get(&id) else { return };
        match (&linger.kind, m.opcode) {
            (Kind::Watch { .. }, watch_event::NOTIFY) => {
                let payload = m.payload.clone();
                let event = WatchEvent::Notify { id: m.notify_id, notifier: m.notifier, payload };
                out.push(Output::Watch(id, event));
            }
            (Kind::Watch { .. }, watch_event::DISCONNECT) => {
                self.drop_linger(id);
                out.push(Output::Watch(id, WatchEvent::Lost(Errno::ENOTCONN)));
            }
            (Kind::Notify { id: name, .. }, watch_event::NOTIFY_COMPLETE) => {
                // That of an earlier attempt tells nothing of this one.
                if name.is_some_and(|name| name != m.notify_id) {
                    return;
                }
                self.drop_linger(id);
                out.push(Output::Notified(id, completion(m)));
            }
            _ => {}
        }
    }
}

fn completion(m: &MWatchNotify) -> Notified {
    let timed_out = match Errno::from_wire(m.return_code) {
        Some(error) if error != Errno::ETIMEDOUT => return Err(error),
        error => error.is_some(),
    };
    let result = NotifyResult::from_bytes(m.result.clone()).map_err(|_| Errno::EIO)?;
    Ok(NotifyEnd { timed_out, acks: result.acks, missed: result.missed })
}

fn request(now: Now, on: &OpTarget, ops: Vec<OsdOp>) -> OpRequest {
    OpRequest { ops, mtime: now.wall, ..OpRequest::on(on.clone()) }
}
