//! The accepting side of the handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use seabed_cephx::{Authenticated, ServerAuth, ServerStep};
use seabed_cluster::{EntityAddr, EntityAddrVec, EntityName, EntityType};

use super::{Opened, Out, Step, next_round, unexpected};
use crate::accept::{Refusal, SessionRequest, Wish};
use crate::control::{self, Control, FLAG_LOSSY};
use crate::peer::names_target;
use crate::{CloseReason, Event, Local, Peer, Policies, Policy, Session};

/// Addresses in one ident; daemons have one per protocol and address family.
const ADDRS_MAX: usize = 16;

/// What an acceptor brings to one connection.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Who accepts.
    pub local: Arc<Local>,
    /// How sessions behave, by kind of peer.
    pub policies: Arc<Policies>,
    /// Where the connection comes from; the peer is told.
    pub peer_socket: SocketAddr,
    /// How to authenticate.
    pub auth: ServerAuth,
}

#[derive(Debug)]
pub(crate) struct Server {
    accept: Accept,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Banner,
    Hello,
    Auth { kind: EntityType, policy: Policy, rounds: u32 },
    Sign(Caller),
    Session { caller: Caller, rounds: u32 },
    Deciding(Deciding),
    Over,
}

/// A dialler who is authenticated.
#[derive(Debug)]
struct Caller {
    kind: EntityType,
    policy: Policy,
    auth: Authenticated,
}

/// A dialler who waits for a verdict.
#[derive(Debug)]
struct Deciding {
    caller: Caller,
    rounds: u32,
    request: SessionRequest,
    /// From CLIENT_IDENT; a reconnect does not repeat them.
    ident: Option<(EntityName, u64)>,
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Phase::Banner => "server banner",
            Phase::Hello => "server hello",
            Phase::Auth { .. } => "server auth",
            Phase::Sign { .. } => "server sign",
            Phase::Session { .. } => "server session",
            Phase::Deciding(_) => "server deciding",
            Phase::Over => "over",
        }
    }
}

type Next = Step<Phase>;

/// How the owner lets a dialler in.
#[derive(Debug)]
pub enum Admission {
    /// A session begins: a new one, or a kept one whose queue goes along. In `forget` the peer has
    /// lost its side of the kept one.
    Begin {
        /// Drop what waits and tell the owner.
        forget: bool,
        /// Random, not 0: the session's name on this side.
        server_cookie: u64,
        /// The next of this process's connection counter, drawn now: the peer recognises by it
        /// that its own older attempts are stale.
        global_seq: u64,
    },
    /// The kept session goes on.
    Resume,
}

impl Server {
    pub(crate) fn new(accept: Accept) -> Self {
        Server { accept, phase: Phase::Banner }
    }

    pub(crate) fn phase_name(&self) -> &'static str {
        self.phase.name()
    }

    pub(crate) fn is_deciding(&self) -> bool {
        matches!(self.phase, Phase::Deciding(_))
    }

    /// The request that waits for a verdict.
    pub(crate) fn request(&self) -> Option<&SessionRequest> {
        match &self.phase {
            Phase::Deciding(d) => Some(&d.request),
            _ => None,
        }
    }

    pub(crate) fn on_banner(&mut self, out: &mut Out) {
        let peer_addr = EntityAddr::msgr2(self.accept.peer_socket, 0);
        out.send(control::Hello { kind: self.accept.local.name.kind, peer_addr });
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
            (Phase::Hello, Control::Hello(hello)) => {
                match self.accept.policies.of(hello.kind).cloned() {
                    Some(policy) => Step::Next(Phase::Auth { kind: hello.kind, policy, rounds: 0 }),
                    None => CloseReason::WrongPeer.into(),
                }
            }
            (Phase::Auth { kind, policy, rounds }, control) => {
                self.authenticate(kind, policy, rounds, control, out)
            }
            (Phase::Sign(caller), Control::AuthSignature(s)) => {
                if s.signature != caller.auth.signature() {
                    return CloseReason::BadSignature.into();
                }
                Step::Next(Phase::Session { caller, rounds: 0 })
            }
            (Phase::Session { caller, rounds }, control) => {
                let Some(rounds) = next_round(rounds) else {
                    return CloseReason::TooManyRounds("session").into();
                };
                self.requested(caller, rounds, control, out)
            }
            (_, control) => unexpected(control.tag(), name),
        }
    }

    fn authenticate(
        &mut self,
        kind: EntityType,
        policy: Policy,
        rounds: u32,
        control: Control,
        out: &mut Out,
    ) -> Next {
        let Some(rounds) = next_round(rounds) else {
            return CloseReason::TooManyRounds("auth").into();
        };
        let auth = &mut self.accept.auth;
        let step = match control {
            Control::AuthRequest(r) => auth.request(r.method, &r.modes, r.payload),
            Control::AuthRequestMore(more) => auth.more(more.payload),
            other => return unexpected(other.tag(), "server auth"),
        };
        match step {
            Ok(ServerStep::Done(auth, payload)) => {
                let global_id = auth.global_id.0;
                out.send(control::AuthDone { global_id, mode: auth.mode.to_u32(), payload });
                out.send(control::AuthSignature { signature: auth.signature() });
                Step::Next(Phase::Sign(Caller { kind, policy, auth }))
            }
            Ok(ServerStep::BadMethod(b)) => {
                let seabed_cephx::BadMethod { method, result, methods, modes } = b;
                out.send(control::AuthBadMethod { method, result, methods, modes });
                Step::Next(Phase::Auth { kind, policy, rounds })
            }
            Err(e) => CloseReason::AuthRefused(e).into(),
        }
    }

    fn requested(&mut self, caller: Caller, rounds: u32, control: Control, out: &mut Out) -> Next {
        let lossy = caller.policy.lossy;
        let (request, ident) = match control {
            Control::ClientIdent(ident) => match self.check_ident(&caller, &ident, out) {
                Some(reason) => return reason.into(),
                None => {
                    let name = EntityName { kind: caller.kind, num: ident.gid };
                    let features = caller.policy.supported & ident.supported;
                    let wish = Wish::Begin { client_cookie: ident.cookie };
                    let global_seq = ident.global_seq;
                    let request = SessionRequest { addrs: ident.addrs, global_seq, wish, lossy };
                    (request, Some((name, features)))
                }
            },
            Control::SessionReconnect(r) => {
                if !is_addressable(&r.addrs) {
                    return CloseReason::WrongAddress.into();
                }
                let wish = Wish::Resume {
                    client_cookie: r.client_cookie,
                    server_cookie: r.server_cookie,
                    connect_seq: r.connect_seq,
                    msg_seq: r.msg_seq,
                };
                (SessionRequest { addrs: r.addrs, global_seq: r.global_seq, wish, lossy }, None)
            }
            other => return unexpected(other.tag(), "server session"),
        };
        out.events.push_back(Event::SessionRequest(request.clone()));
        Step::Next(Phase::Deciding(Deciding { caller, rounds, request, ident }))
    }

    fn check_ident(
        &self,
        caller: &Caller,
        ident: &control::ClientIdent,
        out: &mut Out,
    ) -> Option<CloseReason> {
        if !is_addressable(&ident.addrs) || !names_target(&self.accept.local.addrs, &ident.target) {
            return Some(CloseReason::WrongAddress);
        }
        // A lossless session needs a name; a lossy flag is the server's to decide.
        if !caller.policy.lossy && (ident.flags & FLAG_LOSSY != 0 || ident.cookie == 0) {
            return Some(CloseReason::BadSession);
        }
        let we_lack = ident.required & !caller.policy.supported;
        let it_lacks = caller.policy.required & !ident.supported;
        if we_lack | it_lacks == 0 {
            return None;
        }
        out.send(control::IdentMissingFeatures { features: we_lack | it_lacks });
        if we_lack != 0 {
            Some(CloseReason::WeLackFeatures(we_lack))
        } else {
            Some(CloseReason::PeerLacksFeatures(it_lacks))
        }
    }

    /// Answers a waiting dialler with a refusal; it may ask again.
    pub(crate) fn refuse(&mut self, refusal: Refusal, out: &mut Out) -> Result<(), CloseReason> {
        let Phase::Deciding(d) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(CloseReason::Local);
        };
        match refusal {
            Refusal::Reset { full } => out.send(control::SessionReset { full }),
            Refusal::Retry(connect_seq) => out.send(control::SessionRetry { connect_seq }),
            Refusal::RetryGlobal(global_seq) => {
                out.send(control::SessionRetryGlobal { global_seq })
            }
            Refusal::Wait => out.send(control::Wait {}),
            Refusal::Stale => return Err(CloseReason::Stale),
        }
        self.phase = Phase::Session { caller: d.caller, rounds: d.rounds };
        Ok(())
    }

    /// Lets a waiting dialler in with `session`.
    pub(crate) fn admit(
        &mut self,
        session: &mut Session,
        how: Admission,
        out: &mut Out,
    ) -> Result<Opened, CloseReason> {
        let Phase::Deciding(d) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(CloseReason::Local);
        };
        session.set_peer_global_seq(d.request.global_seq);
        match (how, d.request.wish, d.ident) {
            (Admission::Resume, Wish::Resume { connect_seq, msg_seq, .. }, _) => {
                let peer = session.peer().cloned().ok_or(CloseReason::BadSession)?;
                session.set_connect_seq(connect_seq);
                session.resume(msg_seq)?;
                out.send(control::SessionReconnectOk { msg_seq: session.in_seq() });
                let own = self.accept.local.addrs.clone();
                Ok(Opened { peer, own, policy: d.caller.policy, resumed: true })
            }
            (
                Admission::Begin { forget, server_cookie, global_seq },
                Wish::Begin { client_cookie },
                Some((name, features)),
            ) => {
                if forget {
                    session.forget(true, client_cookie);
                    session.set_peer_global_seq(d.request.global_seq);
                    out.events.push_back(Event::SessionForgotten);
                }
                let Caller { policy, auth, .. } = d.caller;
                let cookies = (!policy.lossy).then_some((client_cookie, server_cookie));
                match cookies {
                    Some((client_cookie, server_cookie)) => {
                        session.begin(client_cookie, server_cookie);
                    }
                    None => session.begin_lossy(),
                }
                let local = &self.accept.local;
                out.send(control::ServerIdent {
                    addrs: local.addrs.clone(),
                    gid: local.name.num,
                    global_seq,
                    supported: policy.supported,
                    required: policy.required,
                    flags: if policy.lossy { FLAG_LOSSY } else { 0 },
                    cookie: cookies.map_or(0, |(_, server_cookie)| server_cookie),
                });
                let peer = Peer { name, auth, addrs: d.request.addrs, features };
                session.set_peer(peer.clone());
                Ok(Opened { peer, own: local.addrs.clone(), policy, resumed: false })
            }
            _ => Err(CloseReason::BadSession),
        }
    }
}

/// A peer that can be told apart from others: sessions are kept under its addresses.
fn is_addressable(addrs: &EntityAddrVec) -> bool {
    addrs.0.len() <= ADDRS_MAX && addrs.0.first().is_some_and(|a| !a.is_blank_ip())
}
