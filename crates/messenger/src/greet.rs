//! Incoming connections until it is known whose they are.

use std::sync::Arc;
use std::time::Duration;

use seabed_cephx::ServerAuth;
use seabed_msgr2::{Accept, Connection, Event as ConnEvent, Verdict, decide};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::actor::Actor;
use crate::config::Role;
use crate::handle::Inner;
use crate::wire::Wire;

/// Callers that have not introduced themselves yet. Each may hold a handshake's worth of memory
/// for the handshake's time; further ones wait in the listen queue.
const GREETING_MAX: usize = 256;
/// After an error of accept that is not about one caller (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A caller who waits for a verdict.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) wire: Wire,
}

/// Accepts until the messenger shuts down.
pub(crate) async fn listen(inner: Arc<Inner>, listener: TcpListener) {
    let greeting = Arc::new(Semaphore::new(GREETING_MAX));
    loop {
        let Ok(permit) = greeting.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let inner = inner.clone();
                tokio::spawn(async move {
                    if let Some(wire) = begin(&inner, stream) {
                        greet(inner, wire).await;
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn begin(inner: &Inner, stream: TcpStream) -> Option<Wire> {
    let peer_socket = stream.peer_addr().ok()?;
    if inner.is_crowded() {
        tracing::warn!(peer = %peer_socket, "turned away: too many sessions");
        return None;
    }
    let auth = match &inner.config.role {
        Role::Mon(next_id) => ServerAuth::none_mon(next_id()),
        Role::Service => ServerAuth::none_service(),
    };
    let policies = inner.policies.clone();
    let accept = Accept { local: inner.local(), policies, peer_socket, auth };
    let now = inner.clock.now();
    let conn = Connection::accept(now, accept, inner.limits.clone(), true);
    Some(Wire::new(stream, conn, inner.clock))
}

/// Goes on greeting a caller that was refused, or whose session ended meanwhile.
pub(crate) fn greet_again(inner: Arc<Inner>, wire: Wire) {
    tokio::spawn(greet(inner, wire));
}

async fn greet(inner: Arc<Inner>, mut wire: Wire) {
    loop {
        while wire.conn.request().is_none() {
            match wire.conn.poll_event(inner.clock.now()) {
                Some(ConnEvent::Closed(reason)) => {
                    wire.write();
                    let peer = wire.stream.peer_addr().ok();
                    tracing::debug!(?peer, %reason, "caller did not get in");
                    return;
                }
                Some(_) => {}
                None if wire.read() => {}
                None => {
                    wire.write();
                    if wire.conn.close_reason().is_none() {
                        wire.ready(true).await;
                    }
                }
            }
        }
        match place(&inner, wire).await {
            Some(refused) => wire = refused,
            None => return,
        }
    }
}

/// Joins the caller to the session of its addresses, or makes one. Gives it back if it was
/// refused and may ask again.
async fn place(inner: &Arc<Inner>, mut wire: Wire) -> Option<Wire> {
    loop {
        let request = wire.conn.request()?.clone();
        let kept = {
            let mut sessions = inner.sessions();
            match sessions.get(&request.addrs).and_then(|id| inner.conns.get(id)) {
                Some(shared) => shared.incoming.clone(),
                None => {
                    let mine = inner.local().addrs.0.first().copied().unwrap_or_default();
                    let verdict = decide(None, &request, &mine);
                    if let Verdict::Refuse(refusal) = verdict {
                        wire.conn.refuse(refusal);
                        return Some(wire);
                    }
                    let actor = Actor::of_caller(inner, &request);
                    sessions.insert(request.addrs, actor.id());
                    drop(sessions);
                    actor.spawn_accepted(wire, verdict);
                    return None;
                }
            }
        };
        match kept.send(Incoming { wire }).await {
            Ok(()) => return None,
            // Its task has just ended, and has left the table.
            Err(back) => wire = back.0.wire,
        }
        tokio::task::yield_now().await;
    }
}
