//! The handshake, client and server side by side. Phases are values that a step consumes:
//!
//! ```text
//! client   Banner > Hello > Auth > Sign > Session > (open)
//! server   Banner > Hello > Auth > Sign > Session > Deciding > (open)
//!                                           ^_________| refused, may ask again
//! ```
//! Everything up to and including AUTH_DONE is in crc mode; the mode that AUTH_DONE names holds
//! from the frame behind it, AUTH_SIGNATURE, on.

pub(crate) mod client;
pub(crate) mod server;

use std::collections::VecDeque;

use seabed_cluster::EntityAddrVec;

use crate::control::Control;
use crate::frame::Tag;
use crate::frame::seal::Transmit;
use crate::{CloseReason, Event, Peer, Policy};

/// Rounds of one step (refused methods, payload exchanges, retries) before a peer is taken for
/// broken. Honest ones need three.
const ROUNDS_MAX: u32 = 8;

/// Where a step puts what it produces.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) transmit: Transmit,
    pub(crate) events: VecDeque<Event>,
}

impl Out {
    pub(crate) fn send(&mut self, control: impl Into<Control>) {
        let control = control.into();
        self.transmit.control(control.tag(), control.payload());
    }
}

/// An open session.
#[derive(Debug)]
pub(crate) struct Opened {
    /// With whom.
    pub(crate) peer: Peer,
    /// What this side announced itself as.
    pub(crate) own: EntityAddrVec,
    /// How it behaves.
    pub(crate) policy: Policy,
    /// True if it was open before.
    pub(crate) resumed: bool,
}

/// What a step leads to.
#[derive(Debug)]
pub(crate) enum Step<P> {
    /// The handshake goes on.
    Next(P),
    /// The session is open.
    Done(Opened),
    /// The connection is over.
    Abort(CloseReason),
}

impl<P> From<CloseReason> for Step<P> {
    fn from(reason: CloseReason) -> Self {
        Step::Abort(reason)
    }
}

fn unexpected<P>(tag: Tag, phase: &'static str) -> Step<P> {
    Step::Abort(CloseReason::Unexpected { tag, phase })
}

/// `None` if the count of rounds is used up.
fn next_round(rounds: u32) -> Option<u32> {
    (rounds < ROUNDS_MAX).then_some(rounds + 1)
}
