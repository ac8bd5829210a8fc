//! A session: what outlives a TCP connection between two peers.
//!
//! A lossless session numbers its messages, keeps each until the other side has acknowledged it,
//! and sends the rest again after a reconnect; the receiver drops what it already has. Together
//! that is exactly once and in order, as long as both sides keep their session. A lossy session
//! keeps nothing that has been framed: its owner starts again from its own state.
//!
//! Invariants: numbers of `sent` and then of `queue` increase; `bytes` is their sum; nothing is
//! dropped unless it was acknowledged, or the peer forgot the session (then the owner is told).

use std::collections::VecDeque;

use bytes::Bytes;
use seabed_messages::RawMessage;
use thiserror::Error;

use crate::frame::seal::Sums;
use crate::limits::message_cost;
use crate::{CloseReason, Limits, Peer};

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The backlog is at its limit. On a lossless session: wait for acknowledgements. On a lossy
    /// one the peer is too slow: close it.
    #[error("backlog full")]
    Full,
    /// A segment above the limit that every receiver has.
    #[error("message too large")]
    TooLarge,
    /// The connection is closed, or not yet open on the accepting side.
    #[error("not connected")]
    NotConnected,
}

/// A message on its way out, with the checksums of its payload once they were needed.
#[derive(Debug)]
struct Outgoing {
    message: RawMessage,
    /// 0 until it is framed for the first time in a session.
    seq: u64,
    sums: Option<Sums>,
}

impl Outgoing {
    fn cost(&self) -> usize {
        message_cost(&self.message)
    }
}

/// Session state of one side. It belongs to the connection while there is one
/// ([`crate::Connection::into_session`] gives it back) and to the owner between two.
#[derive(Debug)]
pub struct Session {
    lossy: bool,
    /// Chosen by the side that opened the session; 0 on lossy ones.
    client_cookie: u64,
    /// Chosen by the side that accepted it; 0 until the session was open once.
    server_cookie: u64,
    /// Counts reconnects.
    connect_seq: u64,
    /// The newest connection attempt of the peer's process that was seen.
    peer_global_seq: u64,
    in_seq: u64,
    out_seq: u64,
    queue: VecDeque<Outgoing>,
    sent: VecDeque<Outgoing>,
    bytes: usize,
    peer: Option<Peer>,
}

impl Session {
    /// A session that was never open. `cookie` names it (random, not 0; unused if lossy).
    pub fn new(lossy: bool, cookie: u64) -> Self {
        Session {
            lossy,
            client_cookie: if lossy { 0 } else { cookie },
            server_cookie: 0,
            connect_seq: 0,
            peer_global_seq: 0,
            in_seq: 0,
            out_seq: 0,
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            bytes: 0,
            peer: None,
        }
    }

    /// True if the session dies with its connection.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// True if the session was open once and can be resumed.
    pub fn is_established(&self) -> bool {
        self.server_cookie != 0
    }

    /// True if messages wait for a connection or an acknowledgement.
    pub fn has_backlog(&self) -> bool {
        !self.queue.is_empty() || !self.sent.is_empty()
    }

    /// Bytes held by messages not yet acknowledged (lossy: not yet framed).
    pub fn backlog_bytes(&self) -> usize {
        self.bytes
    }

    /// Messages held, as above.
    pub fn backlog_messages(&self) -> usize {
        self.queue.len() + self.sent.len()
    }

    /// The peer of the last connection, if there was one.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    pub(crate) fn set_peer(&mut self, peer: Peer) {
        self.peer = Some(peer);
    }

    pub(crate) fn client_cookie(&self) -> u64 {
        self.client_cookie
    }

    pub(crate) fn server_cookie(&self) -> u64 {
        self.server_cookie
    }

    pub(crate) fn connect_seq(&self) -> u64 {
        self.connect_seq
    }

    pub(crate) fn set_connect_seq(&mut self, seq: u64) {
        self.connect_seq = seq;
    }

    pub(crate) fn peer_global_seq(&self) -> u64 {
        self.peer_global_seq
    }

    pub(crate) fn set_peer_global_seq(&mut self, seq: u64) {
        self.peer_global_seq = self.peer_global_seq.max(seq);
    }

    pub(crate) fn in_seq(&self) -> u64 {
        self.in_seq
    }

    /// Takes a message. One alone is always taken, whatever its size within the segment limits.
    pub fn push(&mut self, message: RawMessage, limits: &Limits) -> Result<(), SendError> {
        if !limits.admits(&message) {
            return Err(SendError::TooLarge);
        }
        let outgoing = Outgoing { message, seq: 0, sums: None };
        let full = self.bytes.saturating_add(outgoing.cost()) > limits.backlog_bytes_max
            || self.backlog_messages() >= limits.backlog_messages_max;
        if full && self.has_backlog() {
            return Err(SendError::Full);
        }
        self.bytes += outgoing.cost();
        self.queue.push_back(outgoing);
        Ok(())
    }

    /// The next message to frame, numbered, with its checksums; `None` if there is none. A
    /// lossless session keeps it until it is acknowledged.
    pub(crate) fn next_outgoing(&mut self) -> Option<([Bytes; 4], Sums)> {
        let mut outgoing = self.queue.pop_front()?;
        if outgoing.seq == 0 {
            self.out_seq += 1;
            outgoing.seq = self.out_seq;
        }
        let m = &mut outgoing.message;
        m.header.seq = outgoing.seq;
        m.header.ack_seq = self.in_seq;
        let header = crate::frame::encode_header(&m.header);
        let segments = [header, m.front.clone(), m.middle.clone(), m.data.clone()];
        let sums = *outgoing.sums.get_or_insert_with(|| Sums::of(&segments));
        if self.lossy {
            self.bytes -= outgoing.cost();
        } else {
            self.sent.push_back(outgoing);
        }
        Some((segments, sums))
    }

    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The peer has everything up to `seq`.
    pub(crate) fn acked(&mut self, seq: u64) -> Result<(), CloseReason> {
        if self.lossy {
            // Nothing is kept; the kernel sends acknowledgements all the same.
            return Ok(());
        }
        if seq > self.out_seq {
            return Err(CloseReason::AckBeyondSent { acked: seq, sent: self.out_seq });
        }
        while self.sent.front().is_some_and(|o| o.seq <= seq) {
            let done = self.sent.pop_front().expect("front was there");
            self.bytes -= done.cost();
        }
        Ok(())
    }

    /// Judges the number of a message that arrived whole: `true` to deliver, `false` for one that
    /// was delivered before.
    pub(crate) fn received(&mut self, seq: u64) -> Result<bool, CloseReason> {
        let expected = self.in_seq + 1;
        if seq > expected {
            return Err(CloseReason::SequenceGap { expected, found: seq });
        }
        if seq < expected {
            return Ok(false);
        }
        self.in_seq = seq;
        Ok(true)
    }

    /// The connection is gone: what was framed and not acknowledged goes out again.
    pub(crate) fn disconnected(&mut self) {
        while let Some(outgoing) = self.sent.pop_back() {
            self.queue.push_front(outgoing);
        }
    }

    /// A new attempt to reconnect is about to be made.
    pub(crate) fn reconnecting(&mut self) {
        self.connect_seq += 1;
    }

    /// The peer goes on after its message `msg_seq` (which it has): the rest is sent again.
    pub(crate) fn resume(&mut self, msg_seq: u64) -> Result<(), CloseReason> {
        self.disconnected();
        if msg_seq > self.out_seq {
            return Err(CloseReason::AckBeyondSent { acked: msg_seq, sent: self.out_seq });
        }
        while self.queue.front().is_some_and(|o| o.seq != 0 && o.seq <= msg_seq) {
            let done = self.queue.pop_front().expect("front was there");
            self.bytes -= done.cost();
        }
        Ok(())
    }

    /// A session of its own begins on this connection: all that waits is numbered from 1.
    pub(crate) fn begin(&mut self, client_cookie: u64, server_cookie: u64) {
        self.disconnected();
        self.client_cookie = client_cookie;
        self.server_cookie = server_cookie;
        self.connect_seq = 0;
        self.in_seq = 0;
        self.out_seq = 0;
        for outgoing in &mut self.queue {
            outgoing.seq = 0;
        }
    }

    /// The other side decided that nothing outlives the connection.
    pub(crate) fn begin_lossy(&mut self) {
        self.lossy = true;
        self.begin(0, 0);
    }

    /// The peer has forgotten the session. In `full` it forgot what it had received, too: whether
    /// our messages arrived is unknown, so they are dropped and the owner is told to start anew.
    pub(crate) fn forget(&mut self, full: bool, fresh_cookie: u64) {
        self.disconnected();
        self.server_cookie = 0;
        self.connect_seq = 0;
        self.in_seq = 0;
        if full {
            self.queue.clear();
            self.bytes = 0;
            self.out_seq = 0;
            self.peer_global_seq = 0;
            self.client_cookie = if self.lossy { 0 } else { fresh_cookie };
        }
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let all = || self.sent.iter().chain(&self.queue);
        assert_eq!(self.bytes, all().map(Outgoing::cost).sum::<usize>());
        let numbered: Vec<u64> = all().map(|o| o.seq).take_while(|&s| s != 0).collect();
        assert!(numbered.windows(2).all(|w| w[1] == w[0] + 1), "{numbered:?}");
        assert!(all().skip(numbered.len()).all(|o| o.seq == 0));
        assert!(numbered.last().is_none_or(|&s| s == self.out_seq));
        assert!(!self.lossy || self.sent.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: usize) -> RawMessage {
        RawMessage { front: Bytes::from(vec![n as u8; n]), ..RawMessage::default() }
    }

    fn frame_all(s: &mut Session) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Some((segments, _)) = s.next_outgoing() {
            seqs.push(crate::frame::decode_header(&segments[0]).seq);
            s.check_invariants();
        }
        seqs
    }

    #[test]
    fn what_is_not_acknowledged_goes_out_again_under_its_number() {
        let limits = Limits::default();
        let mut s = Session::new(false, 7);
        s.begin(7, 8);
        for n in 0..5 {
            s.push(message(n), &limits).unwrap();
        }
        assert_eq!(frame_all(&mut s), [1, 2, 3, 4, 5]);
        s.acked(2).unwrap();
        s.push(message(9), &limits).unwrap();
        s.resume(3).unwrap();
        s.check_invariants();
        assert_eq!(frame_all(&mut s), [4, 5, 6]);
        assert!(matches!(s.acked(7), Err(CloseReason::AckBeyondSent { .. })));
        s.acked(6).unwrap();
        assert_eq!((s.backlog_bytes(), s.has_backlog()), (0, false));
    }

    #[test]
    fn a_lossy_session_keeps_nothing() {
        let mut s = Session::new(true, 7);
        s.push(message(3), &Limits::default()).unwrap();
        assert_eq!(frame_all(&mut s), [1]);
        assert_eq!((s.backlog_bytes(), s.client_cookie()), (0, 0));
        assert_eq!(s.acked(99), Ok(()));
    }

    #[test]
    fn the_backlog_is_bounded_but_one_message_always_fits() {
        let limits = Limits { backlog_bytes_max: 1000, ..Limits::default() };
        let mut s = Session::new(false, 7);
        s.push(message(5000), &limits).unwrap();
        assert_eq!(s.push(message(1), &limits), Err(SendError::Full));
        frame_all(&mut s);
        assert_eq!(s.push(message(1), &limits), Err(SendError::Full));
        s.acked(1).unwrap();
        s.push(message(1), &limits).unwrap();
        let limits = Limits { front_bytes_max: 10, ..Limits::default() };
        assert_eq!(s.push(message(11), &limits), Err(SendError::TooLarge));
    }

    #[test]
    fn numbers_are_strict() {
        let mut s = Session::new(false, 7);
        assert_eq!(s.received(1), Ok(true));
        assert_eq!(s.received(1), Ok(false));
        assert!(matches!(s.received(3), Err(CloseReason::SequenceGap { expected: 2, found: 3 })));
        assert_eq!(s.received(2), Ok(true));
    }

    #[test]
    fn forgetting() {
        let limits = Limits::default();
        let mut s = Session::new(false, 7);
        s.begin(7, 8);
        s.push(message(1), &limits).unwrap();
        assert_eq!(frame_all(&mut s), [1]);
        s.forget(false, 9);
        assert!(s.has_backlog() && !s.is_established());
        assert_eq!(s.client_cookie(), 7);
        s.forget(true, 9);
        assert!(!s.has_backlog());
        assert_eq!(s.client_cookie(), 9);
        s.check_invariants();
    }
}
