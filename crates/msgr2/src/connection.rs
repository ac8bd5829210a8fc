//! One TCP connection, either side, from the banner to its end.
//!
//! How a hand drives it: read into [`Connection::space`], say [`Connection::received`], call
//! [`Connection::poll_event`] until it gives nothing, then write out [`Connection::transmit`];
//! call [`Connection::on_timeout`] when [`Connection::poll_timeout`] says so. After any of these,
//! and after [`Connection::send`], `transmit` and `poll_timeout` may have changed.
//!
//! Frames are parsed one at a time, by `poll_event`: what has been read but not asked for stays
//! bytes, so a flood of frames makes no queue.

use std::sync::Arc;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};
use seabed_cluster::{EntityAddrVec, Now, Time, UTime};
use seabed_messages::RawMessage;

use crate::accept::{Refusal, SessionRequest};
use crate::control::Control;
use crate::frame::seal::Transmit;
use crate::frame::{Incoming, Receiver, Tag};
use crate::open::Open;
use crate::phase::client::{Client, Dial};
use crate::phase::server::{Accept, Admission, Server};
use crate::phase::{Opened, Out, Step};
use crate::{CloseReason, Limits, Peer, SendError, Session, banner};

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A dialler wants in: answer with [`Connection::admit`] or [`Connection::refuse`]. Until then
    /// nothing more is read.
    SessionRequest(SessionRequest),
    /// The session is open.
    Ready {
        /// With whom.
        peer: Peer,
        /// As whom: this side's addresses, as it announced them.
        own: EntityAddrVec,
        /// True if it was open before and lost nothing.
        resumed: bool,
    },
    /// The peer has lost its side of the session; what waited to be sent is dropped.
    SessionForgotten,
    /// The process's connection counter must reach this number.
    GlobalSeq(u64),
    /// A message of so many bytes is announced and waits for [`Connection::grant`].
    Announced(usize),
    /// A message.
    Message(RawMessage),
    /// The answer to a keepalive, with the stamp of the question.
    KeepaliveAck(UTime),
    /// The connection is over. The last event.
    Closed(CloseReason),
}

/// A connection. See the module's text for how to drive it.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    receiver: Receiver,
    gated: bool,
    side: Side,
    out: Out,
    started_at: Time,
}

#[derive(Debug)]
enum Side {
    Client(Box<Client>),
    Server(Box<Server>),
    Open(Box<Open>),
    Closed { reason: CloseReason, session: Option<Box<Session>> },
}

impl Connection {
    /// A connection just dialled; `session` is new, or one to be resumed.
    pub fn dial(now: Now, dial: Dial, session: Session, limits: Arc<Limits>, gated: bool) -> Self {
        let side = Side::Client(Box::new(Client::new(dial, session)));
        Connection::new(now, side, limits, gated)
    }

    /// A connection just accepted. `gated`: messages wait for [`Connection::grant`] before memory
    /// is given to them.
    pub fn accept(now: Now, accept: Accept, limits: Arc<Limits>, gated: bool) -> Self {
        let side = Side::Server(Box::new(Server::new(accept)));
        Connection::new(now, side, limits, gated)
    }

    fn new(now: Now, side: Side, limits: Arc<Limits>, gated: bool) -> Self {
        let mut out = Out::default();
        out.transmit.raw(banner::encode);
        let receiver = Receiver::new();
        Connection { limits, receiver, gated, side, out, started_at: now.mono }
    }

    /// Where bytes from the peer go; `None` while none are wanted (closed, a verdict or a grant is
    /// due, or events are to be taken first).
    pub fn space(&mut self) -> Option<Limit<&mut BytesMut>> {
        let wanted = match &self.side {
            Side::Server(server) => !server.is_deciding(),
            Side::Client(_) | Side::Open(_) => true,
            Side::Closed { .. } => false,
        };
        if !wanted || self.receiver.is_gated() {
            return None;
        }
        Some(self.receiver.space()).filter(|space| space.limit() > 0)
    }

    /// Bytes were put into [`Connection::space`].
    pub fn received(&mut self, now: Now) {
        if let Side::Open(open) = &mut self.side {
            open.heard(now);
        }
    }

    /// [`Connection::space`] and [`Connection::received`] for bytes at hand. Returns how many were
    /// taken; take the events before offering the rest.
    pub fn handle_bytes(&mut self, now: Now, bytes: &[u8]) -> usize {
        let Some(mut space) = self.space() else {
            return 0;
        };
        let n = bytes.len().min(space.remaining_mut());
        space.put_slice(&bytes[..n]);
        self.received(now);
        n
    }

    /// The next event, parsing what has been received as far as needed.
    pub fn poll_event(&mut self, now: Now) -> Option<Event> {
        loop {
            if let Some(event) = self.out.events.pop_front() {
                return Some(event);
            }
            let incoming = match &self.side {
                Side::Closed { .. } => return None,
                Side::Server(server) if server.is_deciding() => return None,
                _ => self.receiver.next(&self.limits),
            };
            let done = match incoming {
                Ok(None) => return None,
                Ok(Some(incoming)) => self.on_incoming(now, incoming),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = done {
                self.close(reason);
            }
        }
    }

    fn on_incoming(&mut self, now: Now, incoming: Incoming) -> Result<(), CloseReason> {
        let frame = match incoming {
            Incoming::Banner => {
                match &mut self.side {
                    Side::Client(client) => client.on_banner(&mut self.out),
                    Side::Server(server) => server.on_banner(&mut self.out),
                    Side::Open(_) | Side::Closed { .. } => {}
                }
                return Ok(());
            }
            Incoming::Gate(bytes) => {
                self.check_message_is_due()?;
                if self.gated {
                    self.out.events.push_back(Event::Announced(bytes));
                } else {
                    self.receiver.grant();
                }
                return Ok(());
            }
            Incoming::Frame(frame) => frame,
        };
        let step = match &mut self.side {
            Side::Open(open) => return open.on_frame(frame, &mut self.out),
            Side::Client(client) => client.step(Control::from_frame(frame)?, &mut self.out),
            Side::Server(server) => server.step(Control::from_frame(frame)?, &mut self.out),
            Side::Closed { .. } => return Ok(()),
        };
        match step {
            Step::Next(()) => Ok(()),
            Step::Abort(reason) => Err(reason),
            Step::Done(opened) => {
                let over = Side::Closed { reason: CloseReason::Local, session: None };
                if let Side::Client(client) = std::mem::replace(&mut self.side, over) {
                    self.open(now, client.session, opened);
                }
                Ok(())
            }
        }
    }

    /// Nothing is allocated for a message before the session is open.
    fn check_message_is_due(&self) -> Result<(), CloseReason> {
        match &self.side {
            Side::Open(_) => Ok(()),
            _ => Err(CloseReason::Unexpected { tag: Tag::Message, phase: self.phase_name() }),
        }
    }

    fn open(&mut self, now: Now, session: Session, opened: Opened) {
        let Opened { peer, own, policy, resumed } = opened;
        self.side = Side::Open(Box::new(Open::new(session, policy, now)));
        self.out.events.push_back(Event::Ready { peer, own, resumed });
    }

    /// What a dialler that waits for a verdict asked for.
    pub fn request(&self) -> Option<&SessionRequest> {
        match &self.side {
            Side::Server(server) => server.request(),
            _ => None,
        }
    }

    /// Lets the waiting dialler in, with a new session or a kept one. If that fails, the
    /// connection is closed and keeps the session for [`Connection::into_session`].
    pub fn admit(&mut self, now: Now, mut session: Session, how: Admission) {
        let Side::Server(server) = &mut self.side else {
            self.side =
                Side::Closed { reason: CloseReason::Local, session: Some(Box::new(session)) };
            return;
        };
        match server.admit(&mut session, how, &mut self.out) {
            Ok(opened) => self.open(now, session, opened),
            Err(reason) => {
                self.close(reason);
                if let Side::Closed { session: kept, .. } = &mut self.side {
                    *kept = Some(Box::new(session));
                }
            }
        }
    }

    /// Sends the waiting dialler a refusal. It may ask again on the same connection.
    pub fn refuse(&mut self, refusal: Refusal) {
        if let Side::Server(server) = &mut self.side
            && let Err(reason) = server.refuse(refusal, &mut self.out)
        {
            self.close(reason);
        }
    }

    /// Lets the announced message in.
    pub fn grant(&mut self) {
        self.receiver.grant();
    }

    /// Queues a message. On the dialling side also before the session is open.
    pub fn send(&mut self, message: RawMessage) -> Result<(), SendError> {
        match &mut self.side {
            Side::Client(client) => client.session.push(message, &self.limits),
            Side::Open(open) => open.session.push(message, &self.limits),
            Side::Server(_) | Side::Closed { .. } => Err(SendError::NotConnected),
        }
    }

    /// Asks the peer for a sign of life now; [`Event::KeepaliveAck`] is the answer.
    pub fn keepalive(&mut self, now: Now) {
        if let Side::Open(open) = &mut self.side {
            open.ask_now(now);
        }
    }

    /// Bytes for the peer. A hand writes from it (vectored) and advances it. A closed connection
    /// may have last words here.
    pub fn transmit(&mut self, now: Now) -> &mut Transmit {
        if let Side::Open(open) = &mut self.side {
            open.fill(now, &mut self.out);
        }
        &mut self.out.transmit
    }

    /// When to call [`Connection::on_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.side {
            Side::Client(_) | Side::Server(_) => {
                Some(self.started_at + self.limits.handshake_timeout)
            }
            Side::Open(open) => Some(open.next_timeout(&self.limits)),
            Side::Closed { .. } => None,
        }
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now: Now) {
        let result = match &mut self.side {
            Side::Client(_) | Side::Server(_) => {
                let limit = self.limits.handshake_timeout;
                if now.mono >= self.started_at + limit {
                    Err(CloseReason::HandshakeTimeout(limit))
                } else {
                    Ok(())
                }
            }
            Side::Open(open) => open.on_timeout(now, &self.limits),
            Side::Closed { .. } => Ok(()),
        };
        if let Err(reason) = result {
            self.close(reason);
        }
    }

    /// Ends the connection (the transport failed, or the owner wishes it).
    pub fn close(&mut self, reason: CloseReason) {
        if matches!(self.side, Side::Closed { .. }) {
            return;
        }
        let closed = Side::Closed { reason: reason.clone(), session: None };
        let session = match std::mem::replace(&mut self.side, closed) {
            Side::Client(client) => Some(Box::new(client.session)),
            Side::Open(open) => Some(Box::new(open.session)),
            Side::Server(_) | Side::Closed { .. } => None,
        };
        self.side = Side::Closed { reason: reason.clone(), session };
        self.out.events.push_back(Event::Closed(reason));
    }

    /// Why the connection is closed, if it is.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.side {
            Side::Closed { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// True while the session is open.
    pub fn is_open(&self) -> bool {
        matches!(self.side, Side::Open(_))
    }

    /// Bytes framed and not yet written.
    pub fn transmit_bytes(&self) -> usize {
        self.out.transmit.remaining()
    }

    /// True if bytes or messages wait to be sent.
    pub fn wants_transmit(&self) -> bool {
        self.out.transmit.has_remaining()
            || matches!(&self.side, Side::Open(open) if open.wants_fill())
    }

    /// The session, if this connection has one.
    pub fn session(&self) -> Option<&Session> {
        match &self.side {
            Side::Client(client) => Some(&client.session),
            Side::Open(open) => Some(&open.session),
            Side::Closed { session, .. } => session.as_deref(),
            Side::Server(_) => None,
        }
    }

    /// The connection ends, its session remains: what was sent and not acknowledged waits again.
    pub fn into_session(mut self) -> Option<Session> {
        self.close(CloseReason::Local);
        let Side::Closed { session, .. } = self.side else {
            return None;
        };
        session.map(|mut session| {
            session.disconnected();
            *session
        })
    }

    /// The name of the present phase, for logs.
    pub fn phase_name(&self) -> &'static str {
        match &self.side {
            Side::Client(client) => client.phase_name(),
            Side::Server(server) => server.phase_name(),
            Side::Open(_) => "open",
            Side::Closed { .. } => "closed",
        }
    }
}
