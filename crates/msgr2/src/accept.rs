//! What an acceptor answers to a dialler who introduces himself or wants to resume, given the
//! session that it keeps of the same addresses, if any. Pure policy, one function.
//!
//! Two peers may dial each other at the same time: the connection of the one with the lower
//! address wins, and both sides come to the same verdict by themselves.

use seabed_cluster::{EntityAddr, EntityAddrVec};

use crate::Session;

/// What a dialler asked for, once authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// The dialler's addresses: the key under which sessions are kept.
    pub addrs: EntityAddrVec,
    /// Which of its process's connection attempts this is.
    pub global_seq: u64,
    /// Which kind of session.
    pub wish: Wish,
    /// Whether the policy for this kind of peer keeps sessions at all.
    pub lossy: bool,
}

/// The two openings of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// CLIENT_IDENT.
    Begin {
        /// The session's name on the dialler's side.
        client_cookie: u64,
    },
    /// SESSION_RECONNECT.
    Resume {
        /// The session's name on the side that once dialled.
        client_cookie: u64,
        /// The session's name on the side that once accepted.
        server_cookie: u64,
        /// Counts attempts to reconnect.
        connect_seq: u64,
        /// The last message that the dialler has.
        msg_seq: u64,
    },
}

/// What the kept session is doing at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It has no connection and none is being made.
    Standby,
    /// It is dialling this very peer, or waits to dial again.
    Dialling,
    /// It has an open connection.
    Open,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A new session. One that was kept, necessarily lossy, is over.
    Begin,
    /// The kept session goes on as a new one on this connection, with what waits in it; if
    /// `forget`, the peer has lost its side and what waits is dropped first.
    Adopt {
        /// Drop and tell the owner.
        forget: bool,
    },
    /// The kept session continues on this connection.
    Resume,
    /// No session on this connection for now.
    Refuse(Refusal),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// SESSION_RESET: unknown session (`full`), or one that was never open here.
    Reset {
        /// Forget everything.
        full: bool,
    },
    /// SESSION_RETRY with our connect_seq.
    Retry(u64),
    /// SESSION_RETRY_GLOBAL with the newest attempt known here.
    RetryGlobal(u64),
    /// WAIT: our own connection wins.
    Wait,
    /// Closed without a word: a leftover of an older attempt.
    Stale,
}

/// Decides. `mine` is the acceptor's own msgr2 address.
pub fn decide(
    kept: Option<(&Session, Link)>,
    request: &SessionRequest,
    mine: &EntityAddr,
) -> Verdict {
    let peer_is_lower = request.addrs.msgr2().or(request.addrs.0.first()) < Some(mine);
    match request.wish {
        Wish::Begin { client_cookie } => begin(kept, request, client_cookie, peer_is_lower),
        Wish::Resume { client_cookie, connect_seq, .. } => {
            resume(kept, request, client_cookie, connect_seq, peer_is_lower)
        }
    }
}

fn begin(
    kept: Option<(&Session, Link)>,
    request: &SessionRequest,
    client_cookie: u64,
    peer_is_lower: bool,
) -> Verdict {
    let Some((session, link)) = kept else {
        return Verdict::Begin;
    };
    if session.peer_global_seq() > request.global_seq {
        return Verdict::Refuse(Refusal::Stale);
    }
    if session.is_lossy() || request.lossy {
        return Verdict::Begin;
    }
    if session.is_established() && session.client_cookie() != client_cookie {
        return Verdict::Adopt { forget: true };
    }
    // The peer never saw our SERVER_IDENT, or nobody is dialling: nothing was delivered yet.
    let interrupted = session.is_established() && session.client_cookie() == client_cookie;
    if interrupted || link != Link::Dialling || peer_is_lower {
        Verdict::Adopt { forget: false }
    } else {
        Verdict::Refuse(Refusal::Wait)
    }
}

fn resume(
    kept: Option<(&Session, Link)>,
    request: &SessionRequest,
    client_cookie: u64,
    connect_seq: u64,
    peer_is_lower: bool,
) -> Verdict {
    let Some((session, link)) = kept.filter(|(s, _)| !s.is_lossy() && !request.lossy) else {
        return Verdict::Refuse(Refusal::Reset { full: true });
    };
    if session.client_cookie() != client_cookie {
        return Verdict::Refuse(Refusal::Reset { full: true });
    }
    if !session.is_established() {
        return Verdict::Refuse(Refusal::Reset { full: false });
    }
    if session.peer_global_seq() > request.global_seq {
        return Verdict::Refuse(Refusal::RetryGlobal(session.peer_global_seq()));
    }
    if session.connect_seq() > connect_seq {
        return Verdict::Refuse(Refusal::Retry(session.connect_seq()));
    }
    if session.connect_seq() == connect_seq && link == Link::Dialling && !peer_is_lower {
        return Verdict::Refuse(Refusal::Wait);
    }
    Verdict::Resume
}
