//! The dialling side of the handshake.

use std::sync::Arc;

use seabed_cephx::{AuthRequest, Authenticated, ClientAuth};
use seabed_cluster::{AddrKind, EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId};

use super::{Opened, Out, Step, next_round, unexpected};
use crate::control::{self, Control, FLAG_LOSSY};
use crate::peer::names_target;
use crate::{CloseReason, Event, Local, Peer, Policy, Session};

/// What a dialler brings to one connection.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Who dials.
    pub local: Arc<Local>,
    /// How sessions with such a peer behave.
    pub policy: Policy,
    /// The address dialled, as the map or the configuration has it.
    pub target: EntityAddr,
    /// The kind of daemon that must answer.
    pub expect: EntityType,
    /// How to authenticate.
    pub auth: ClientAuth,
    /// From a counter of the process that only grows; one per connection attempt.
    pub global_seq: u64,
    /// Random, not 0: the session's name if the peer has forgotten the former one.
    pub fresh_cookie: u64,
}

/// The state of the handshake, and what it needs beside.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) session: Session,
    dial: Dial,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Banner,
    Hello,
    Auth { auth: ClientAuth, own_addrs: EntityAddrVec, rounds: u32 },
    Sign { auth: Authenticated, own_addrs: EntityAddrVec },
    Session(Opening),
    Over,
}

/// The last phase: authenticated, the session is being agreed on.
#[derive(Debug)]
struct Opening {
    auth: Authenticated,
    own_addrs: EntityAddrVec,
    resuming: bool,
    rounds: u32,
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Phase::Banner => "client banner",
            Phase::Hello => "client hello",
            Phase::Auth { .. } => "client auth",
            Phase::Sign { .. } => "client sign",
            Phase::Session(_) => "client session",
            Phase::Over => "over",
        }
    }
}

/// A step without its result written back.
type Next = Step<Phase>;

impl Client {
    pub(crate) fn new(dial: Dial, mut session: Session) -> Self {
        session.disconnected();
        if session.is_established() {
            session.reconnecting();
        }
        Client { session, dial, phase: Phase::Banner }
    }

    pub(crate) fn phase_name(&self) -> &'static str {
        self.phase.name()
    }

    pub(crate) fn on_banner(&mut self, out: &mut Out) {
        let kind = self.dial.local.name.kind;
        out.send(control::Hello { kind, peer_addr: self.dial.target });
        self.phase = Phase::Hello;
    }

    pub(crate) fn step(&mut self, control: Control, out: &mut Out) -> Step<()> {
        match self.advance(control, out) {
            Step::Next(phase) => {
                self.phase = phase;
                Step::Next(())
            }
            Step::Done(opened) => Step::Done(opened),
            Step::Abort(reason) => Step::Abort(reason),
        }
    }

    fn advance(&mut self, control: Control, out: &mut Out) -> Next {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let name = phase.name();
        match (phase, control) {
            (Phase::Hello, Control::Hello(hello)) => self.hello(hello, out),
            (Phase::Auth { auth, own_addrs, rounds }, control) => {
                authenticate(auth, own_addrs, rounds, control, out)
            }
            (Phase::Sign { auth, own_addrs }, Control::AuthSignature(s)) => {
                if s.signature != auth.signature() {
                    return CloseReason::BadSignature.into();
                }
                self.introduce(Opening { auth, own_addrs, resuming: false, rounds: 0 }, out)
            }
            (Phase::Session(opening), control) => self.open(opening, control, out),
            (_, control) => unexpected(control.tag(), name),
        }
    }

    fn hello(&mut self, hello: control::Hello, out: &mut Out) -> Next {
        if hello.kind != self.dial.expect {
            return CloseReason::WrongPeer.into();
        }
        let own_addrs = with_seen_ip(&self.dial.local.addrs, &hello.peer_addr);
        let auth = self.dial.auth.clone();
        send_request(auth.request(), out);
        Step::Next(Phase::Auth { auth, own_addrs, rounds: 0 })
    }

    /// SESSION_RECONNECT if there is a session to go on with, else CLIENT_IDENT.
    fn introduce(&mut self, opening: Opening, out: &mut Out) -> Next {
        let s = &self.session;
        let resuming = s.is_established();
        if resuming {
            out.send(control::SessionReconnect {
                addrs: opening.own_addrs.clone(),
                client_cookie: s.client_cookie(),
                server_cookie: s.server_cookie(),
                global_seq: self.dial.global_seq,
                connect_seq: s.connect_seq(),
                msg_seq: s.in_seq(),
            });
        } else {
            out.send(control::ClientIdent {
                addrs: opening.own_addrs.clone(),
                target: self.dial.target,
                gid: self.dial.local.name.num,
                global_seq: self.dial.global_seq,
                supported: self.dial.policy.supported,
                required: self.dial.policy.required,
                flags: if s.is_lossy() { FLAG_LOSSY } else { 0 },
                cookie: s.client_cookie(),
            });
        }
        Step::Next(Phase::Session(Opening { resuming, ..opening }))
    }

    fn again(&mut self, opening: Opening, out: &mut Out) -> Next {
        let Some(rounds) = next_round(opening.rounds) else {
            return CloseReason::TooManyRounds("session").into();
        };
        self.introduce(Opening { rounds, ..opening }, out)
    }

    fn open(&mut self, opening: Opening, control: Control, out: &mut Out) -> Next {
        match (opening.resuming, control) {
            (_, Control::Wait(_)) => CloseReason::Wait.into(),
            (_, Control::IdentMissingFeatures(m)) => CloseReason::WeLackFeatures(m.features).into(),
            (false, Control::ServerIdent(ident)) => self.identified(opening, ident),
            (true, Control::SessionReconnectOk(ok)) => {
                if let Err(reason) = self.session.resume(ok.msg_seq) {
                    return reason.into();
                }
                match self.session.peer() {
                    Some(peer) => {
                        let (peer, policy) = (peer.clone(), self.dial.policy.clone());
                        let own = opening.own_addrs;
                        Step::Done(Opened { peer, own, policy, resumed: true })
                    }
                    None => CloseReason::BadSession.into(),
                }
            }
            (true, Control::SessionReset(reset)) => {
                self.session.forget(reset.full, self.dial.fresh_cookie);
                if reset.full {
                    out.events.push_back(Event::SessionForgotten);
                }
                self.again(opening, out)
            }
            (true, Control::SessionRetry(retry)) => {
                self.session.set_connect_seq(retry.connect_seq.saturating_add(1));
                self.again(opening, out)
            }
            (true, Control::SessionRetryGlobal(retry)) => {
                self.dial.global_seq = retry.global_seq.saturating_add(1);
                out.events.push_back(Event::GlobalSeq(self.dial.global_seq));
                self.again(opening, out)
            }
            (_, control) => unexpected(control.tag(), "client session"),
        }
    }

    fn identified(&mut self, opening: Opening, ident: control::ServerIdent) -> Next {
        let policy = &self.dial.policy;
        if !names_target(&ident.addrs, &self.dial.target) {
            return CloseReason::WrongAddress.into();
        }
        let missing = ident.required & !policy.supported;
        if missing != 0 {
            return CloseReason::WeLackFeatures(missing).into();
        }
        let missing = policy.required & !ident.supported;
        if missing != 0 {
            return CloseReason::PeerLacksFeatures(missing).into();
        }
        // The server has the last word on whether a session is kept.
        match (self.session.is_lossy(), ident.flags & FLAG_LOSSY != 0, ident.cookie) {
            (_, true, 0) => self.session.begin_lossy(),
            (false, false, cookie) if cookie != 0 => {
                let mine = self.session.client_cookie();
                self.session.begin(mine, cookie);
            }
            _ => return CloseReason::BadSession.into(),
        }
        self.session.set_peer_global_seq(ident.global_seq);
        let peer = Peer {
            name: EntityName { kind: self.dial.expect, num: ident.gid },
            auth: opening.auth,
            addrs: ident.addrs,
            features: policy.supported & ident.supported,
        };
        self.session.set_peer(peer.clone());
        let (own, policy) = (opening.own_addrs, policy.clone());
        Step::Done(Opened { peer, own, policy, resumed: false })
    }
}

fn send_request(request: AuthRequest, out: &mut Out) {
    let AuthRequest { method, modes, payload } = request;
    out.send(control::AuthRequest { method, modes, payload });
}

fn authenticate(
    mut auth: ClientAuth,
    own_addrs: EntityAddrVec,
    rounds: u32,
    control: Control,
    out: &mut Out,
) -> Next {
    let Some(rounds) = next_round(rounds) else {
        return CloseReason::TooManyRounds("auth").into();
    };
    match control {
        Control::AuthReplyMore(more) => match auth.more(more.payload) {
            Ok(payload) => out.send(control::AuthRequestMore { payload }),
            Err(e) => return CloseReason::AuthRefused(e).into(),
        },
        Control::AuthBadMethod(b) => match auth.refused(b.method, b.result, b.methods, b.modes) {
            Ok(request) => send_request(request, out),
            Err(e) => return CloseReason::AuthRefused(e).into(),
        },
        Control::AuthDone(done) => {
            return match auth.done(GlobalId(done.global_id), done.mode, done.payload) {
                Ok(auth) => {
                    out.send(control::AuthSignature { signature: auth.signature() });
                    Step::Next(Phase::Sign { auth, own_addrs })
                }
                Err(e) => CloseReason::AuthRefused(e).into(),
            };
        }
        other => return unexpected::<Phase>(other.tag(), "client auth"),
    }
    Step::Next(Phase::Auth { auth, own_addrs, rounds })
}

/// Own addresses, with the IP that the server sees where one's own is unknown.
fn with_seen_ip(own: &EntityAddrVec, seen: &EntityAddr) -> EntityAddrVec {
    let fill = |a: &EntityAddr| match seen.addr {
        Some(seen) if a.is_blank_ip() => {
            let mut addr = seen;
            addr.set_port(a.addr.map_or(0, |a| a.port()));
            let kind = if a.kind == AddrKind::None { AddrKind::Any } else { a.kind };
            EntityAddr { kind, nonce: a.nonce, addr: Some(addr) }
        }
        _ => *a,
    };
    EntityAddrVec(own.0.iter().map(fill).collect())
}
