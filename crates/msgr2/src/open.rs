//! An open session on a connection: messages, acknowledgements, keepalives.
//!
//! Nothing here grows with what the peer sends: the answer to a flood of keepalives is the newest
//! one, acknowledgements are one number, and frames are only made while little waits to be sent.

use bytes::Buf;
use seabed_cluster::{Now, Time, UTime};
use seabed_messages::RawMessage;

use crate::control::{self, Control};
use crate::frame::assemble::segment;
use crate::frame::{Frame, Tag, decode_header};
use crate::phase::Out;
use crate::{CloseReason, Event, Limits, Policy, Session};

/// Messages are framed until so much waits for the socket: enough to fill it, little enough that
/// keepalive answers and acknowledgements are not stuck behind.
const TRANSMIT_LOW_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) session: Session,
    policy: Policy,
    /// The highest number of ours that the peer was told of by an ACK or a message.
    told: u64,
    /// A KEEPALIVE2 to be answered.
    answer: Option<UTime>,
    /// A KEEPALIVE2 to be sent.
    ask: Option<UTime>,
    asked_at: Time,
    heard_at: Time,
    said_at: Time,
}

impl Open {
    pub(crate) fn new(session: Session, policy: Policy, now: Now) -> Self {
        let told = session.in_seq();
        Open {
            session,
            policy,
            told,
            answer: None,
            ask: None,
            asked_at: now.mono,
            heard_at: now.mono,
            said_at: now.mono,
        }
    }

    pub(crate) fn heard(&mut self, now: Now) {
        self.heard_at = now.mono;
    }

    pub(crate) fn on_frame(&mut self, mut frame: Frame, out: &mut Out) -> Result<(), CloseReason> {
        if frame.tag == Tag::Message {
            let header = decode_header(&frame.segments[0]);
            self.session.acked(header.ack_seq)?;
            if self.session.received(header.seq)? {
                let [front, middle, data] = [1, 2, 3].map(|i| segment(&mut frame, i));
                let message = RawMessage { header, front, middle, data };
                out.events.push_back(Event::Message(message));
            }
            return Ok(());
        }
        match Control::from_frame(frame)? {
            Control::Keepalive2(k) => self.answer = Some(k.stamp),
            Control::Keepalive2Ack(k) => out.events.push_back(Event::KeepaliveAck(k.stamp)),
            Control::Ack(ack) => self.session.acked(ack.seq)?,
            other => return Err(CloseReason::Unexpected { tag: other.tag(), phase: "open" }),
        }
        Ok(())
    }

    /// True if [`Open::fill`] would make frames.
    pub(crate) fn wants_fill(&self) -> bool {
        let ack_due = !self.session.is_lossy() && self.told < self.session.in_seq();
        self.answer.is_some() || self.ask.is_some() || ack_due || self.session.has_queue()
    }

    /// Frames what may be sent now.
    pub(crate) fn fill(&mut self, now: Now, out: &mut Out) {
        if let Some(stamp) = self.answer.take() {
            out.send(control::Keepalive2Ack { stamp });
        }
        if let Some(stamp) = self.ask.take() {
            out.send(control::Keepalive2 { stamp });
        }
        while out.transmit.remaining() < TRANSMIT_LOW_BYTES
            && let Some((segments, sums)) = self.session.next_outgoing()
        {
            out.transmit.frame(Tag::Message, &segments, sums);
            self.told = self.session.in_seq();
        }
        if !self.session.is_lossy() && self.told < self.session.in_seq() {
            self.told = self.session.in_seq();
            out.send(control::Ack { seq: self.told });
        }
        if out.transmit.has_remaining() {
            self.said_at = now.mono;
        }
    }

    /// Asks the peer at once.
    pub(crate) fn ask_now(&mut self, now: Now) {
        self.ask = Some(now.wall);
        self.asked_at = now.mono;
    }

    pub(crate) fn next_timeout(&self, limits: &Limits) -> Time {
        let idle = self.heard_at.max(self.said_at) + limits.idle_timeout;
        match self.policy.keepalive {
            Some(k) => idle.min(self.asked_at + k.interval).min(self.heard_at + k.timeout),
            None => idle,
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Now, limits: &Limits) -> Result<(), CloseReason> {
        if let Some(k) = self.policy.keepalive {
            if now.mono >= self.heard_at + k.timeout {
                return Err(CloseReason::KeepaliveTimeout(k.timeout));
            }
            if now.mono >= self.asked_at + k.interval {
                self.ask_now(now);
            }
        }
        if now.mono >= self.heard_at.max(self.said_at) + limits.idle_timeout {
            return Err(CloseReason::IdleTimeout(limits.idle_timeout));
        }
        Ok(())
    }
}
