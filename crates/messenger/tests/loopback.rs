//! Messengers on loopback: real sockets, both sides ours, with a proxy that breaks connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use seabed_cluster::{EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId};
use seabed_messages::{Header, RawMessage};
use seabed_messenger::{
    AuthName, CloseReason, Config, ConnId, Event, Messenger, Policies, Policy, Role, SendError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);

fn any() -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn config(kind: EntityType, num: i64) -> Config {
    let name = EntityName { kind, num };
    Config::new(name, AuthName::new(kind, num.to_string()), 7)
}

fn message(n: u64, bytes: usize) -> RawMessage {
    RawMessage {
        header: Header { kind: 41, tid: n, ..Header::default() },
        front: Bytes::from(n.to_le_bytes().to_vec()),
        middle: Bytes::new(),
        data: Bytes::from(vec![n as u8; bytes]),
    }
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(SOON, events.recv()).await.expect("an event in time").expect("the messenger lives")
}

async fn opened(events: &mut Receiver<Event>) -> ConnId {
    match next(events).await {
        Event::Opened { conn, .. } => conn,
        other => panic!("{other:?}"),
    }
}

async fn tid(events: &mut Receiver<Event>) -> u64 {
    loop {
        match next(events).await {
            Event::Message { message, .. } => return message.header.tid,
            Event::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_and_a_monitor_talk_until_the_client_leaves() {
    let ids = AtomicU64::new(4100);
    let mut c = config(EntityType::Mon, 0);
    c.nonce = 0;
    c.role = Role::Mon(Arc::new(move || GlobalId(ids.fetch_add(1, Ordering::Relaxed))));
    let (mon, mut mon_events) = Messenger::bind(c, any()).unwrap();
    let (client, mut events) = Messenger::bind(Config::client("admin", 99), None).unwrap();
    let conn = client.connect(&mon.addrs(), EntityType::Mon, Policy::to_mon());
    client.send(conn, message(1, 3_000_000)).unwrap();
    let Event::Opened { conn: at_mon, peer, incoming: true, resumed: false } =
        next(&mut mon_events).await
    else {
        panic!()
    };
    assert_eq!(peer.auth.name.to_string(), "client.admin");
    assert_eq!(peer.auth.global_id, GlobalId(4100));
    assert_eq!(peer.addrs.0[0].nonce, 99);
    match next(&mut mon_events).await {
        Event::Message { message: m, .. } => {
            assert_eq!((m.header.tid, m.data.len()), (1, 3_000_000));
            assert_eq!(m.data.as_ptr() as usize % 4096, 0, "aligned for direct I/O");
        }
        other => panic!("{other:?}"),
    }
    opened(&mut events).await;
    assert_eq!(client.global_id(), GlobalId(4100));
    mon.send(at_mon, message(2, 0)).unwrap();
    assert_eq!(tid(&mut events).await, 2);
    client.mark_down(conn);
    assert_eq!(client.send(conn, message(3, 0)), Err(SendError::NotConnected));
    match next(&mut mon_events).await {
        Event::Reset { conn, reason: CloseReason::Transport, .. } => assert_eq!(conn, at_mon),
        other => panic!("{other:?}"),
    }
    assert_eq!(mon.send(at_mon, message(3, 0)), Err(SendError::NotConnected));
}

/// Forwards to `to`, and cuts every connection after a while.
async fn breaking_proxy(to: SocketAddr, every: Duration) -> SocketAddr {
    let listener = TcpListener::bind(any().unwrap()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut n = 0u32;
        while let Ok((mut from, _)) = listener.accept().await {
            n += 1;
            let life = every * (1 + n % 5);
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(to).await else { return };
                let _ = timeout(life, tokio::io::copy_bidirectional(&mut from, &mut to)).await;
            });
        }
    });
    addr
}

fn announced(addr: SocketAddr) -> EntityAddrVec {
    EntityAddr::msgr2(addr, 7).into()
}

/// Two OSDs behind breaking proxies, both dialling: exactly once, in order, both ways.
#[tokio::test]
async fn lossless_sessions_survive_broken_connections() {
    const COUNT: u64 = 3000;
    let mut peers = Vec::new();
    let ports: Vec<SocketAddr> = {
        let held: Vec<_> =
            (0..2).map(|_| std::net::TcpListener::bind(any().unwrap()).unwrap()).collect();
        held.iter().map(|l| l.local_addr().unwrap()).collect()
    };
    for (id, listen) in ports.iter().enumerate() {
        let mut c = config(EntityType::Osd, id as i64);
        c.policies = Policies::all(Policy::lossless_peer());
        c.backoff_min = Duration::from_millis(5);
        let proxy = breaking_proxy(*listen, Duration::from_millis(15)).await;
        c.announce = Some(proxy);
        let (m, events) = Messenger::bind(c, Some(*listen)).unwrap();
        peers.push((m, events, announced(proxy)));
    }
    let (b, mut b_events, b_addrs) = peers.pop().unwrap();
    let (a, mut a_events, a_addrs) = peers.pop().unwrap();
    let to_b = a.connect(&b_addrs, EntityType::Osd, Policy::lossless_peer());
    let to_a = b.connect(&a_addrs, EntityType::Osd, Policy::lossless_peer());
    assert_eq!(a.connect(&b_addrs, EntityType::Osd, Policy::lossless_peer()), to_b);
    let speak = |m: Messenger, conn: ConnId| async move {
        for n in 1..=COUNT {
            m.send(conn, message(n, (n % 5) as usize * 3000)).unwrap();
            if n % 10 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let hear = |mut events: Receiver<Event>| async move {
        let (mut reopened, mut want) = (0, 1);
        while want <= COUNT {
            match timeout(SOON, events.recv()).await.expect("in time").expect("alive") {
                Event::Message { message, .. } => {
                    assert_eq!(message.header.tid, want);
                    want += 1;
                }
                Event::Opened { resumed, .. } => reopened += u32::from(resumed),
                Event::Unreachable { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        (reopened, events)
    };
    let (a_hears, b_hears, (), ()) = tokio::join!(
        hear(std::mem::replace(&mut a_events, tokio::sync::mpsc::channel(1).1)),
        hear(std::mem::replace(&mut b_events, tokio::sync::mpsc::channel(1).1)),
        speak(a.clone(), to_b),
        speak(b.clone(), to_a),
    );
    assert!(a_hears.0 + b_hears.0 >= 5, "{} {} resumed", a_hears.0, b_hears.0);
    for _ in 0..200 {
        if a.backlog_bytes(to_b) + b.backlog_bytes(to_a) == 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("not acknowledged: {} {}", a.backlog_bytes(to_b), b.backlog_bytes(to_a));
}

#[tokio::test]
async fn nobody_there_is_said_once_or_again_and_again() {
    let gone = {
        let held = std::net::TcpListener::bind(any().unwrap()).unwrap();
        announced(held.local_addr().unwrap())
    };
    let mut c = config(EntityType::Osd, 0);
    c.backoff_min = Duration::from_millis(10);
    let (m, mut events) = Messenger::bind(c, any()).unwrap();
    let lossy = m.connect(&gone, EntityType::Osd, Policy::lossy());
    match next(&mut events).await {
        Event::Unreachable { conn, refused: true, last: true, .. } => assert_eq!(conn, lossy),
        other => panic!("{other:?}"),
    }
    assert_eq!(m.send(lossy, message(1, 0)), Err(SendError::NotConnected));
    let lossless = m.connect(&gone, EntityType::Osd, Policy::lossless_peer());
    for _ in 0..3 {
        match next(&mut events).await {
            Event::Unreachable { conn, refused: true, last: false, .. } => {
                assert_eq!(conn, lossless);
            }
            other => panic!("{other:?}"),
        }
    }
    m.send(lossless, message(1, 0)).unwrap();
    m.mark_down(lossless);
    sleep(Duration::from_millis(100)).await;
    while let Ok(event) = events.try_recv() {
        assert!(matches!(event, Event::Unreachable { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn a_restarted_peer_is_noticed() {
    let server = |port: SocketAddr, nonce: u32| {
        let mut c = config(EntityType::Osd, 1);
        c.nonce = nonce;
        c.policies = Policies::all(Policy::lossless_peer());
        Messenger::bind(c, Some(port)).unwrap()
    };
    let (first, mut first_events) = server(any().unwrap(), 7);
    let port = first.local_addr().unwrap();
    let mut c = config(EntityType::Osd, 0);
    c.backoff_min = Duration::from_millis(10);
    let (m, mut events) = Messenger::bind(c, any()).unwrap();
    let conn = m.connect(&first.addrs(), EntityType::Osd, Policy::lossless_peer());
    m.send(conn, message(1, 0)).unwrap();
    assert_eq!(tid(&mut first_events).await, 1);
    opened(&mut events).await;
    first.shutdown();
    sleep(Duration::from_millis(50)).await;
    // The same address and nonce, another memory.
    let (_second, mut second_events) = server(port, 7);
    m.send(conn, message(2, 0)).unwrap();
    loop {
        match next(&mut events).await {
            Event::Forgotten { conn: c } => {
                assert_eq!(c, conn);
                break;
            }
            Event::Unreachable { last: false, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    m.send(conn, message(3, 0)).unwrap();
    assert_eq!(tid(&mut second_events).await, 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let mut c = config(EntityType::Osd, 1);
    c.limits.backlog_bytes_max = 4 << 20;
    let (osd, mut events) = Messenger::bind(c, any()).unwrap();
    let mut c = Config::client("slow", 5);
    c.events_max = 1;
    let (client, unread) = Messenger::bind(c, None).unwrap();
    client.connect(&osd.addrs(), EntityType::Osd, Policy::lossy());
    let conn = opened(&mut events).await;
    let mut sent = 0;
    loop {
        match osd.send(conn, message(sent, 1 << 20)) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => break,
            Err(other) => panic!("{other}"),
        }
        tokio::task::yield_now().await;
        assert!(sent < 100_000, "no brake");
    }
    match next(&mut events).await {
        Event::Reset { reason: CloseReason::SlowPeer, .. } => {}
        other => panic!("{other:?}"),
    }
    drop(unread);
}

#[tokio::test]
async fn received_bytes_are_throttled_until_their_guards_are_dropped() {
    for total in [false, true] {
        let mut c = config(EntityType::Osd, 1);
        let limit = Some(1 << 20);
        if total {
            c.total_bytes_max = limit
        } else {
            c.peer_bytes_max = limit
        }
        let (osd, mut events) = Messenger::bind(c, any()).unwrap();
        let (client, _client_events) = Messenger::bind(Config::client("eager", 5), None).unwrap();
        let conn = client.connect(&osd.addrs(), EntityType::Osd, Policy::lossy());
        for n in 0..20 {
            client.send(conn, message(n, 400 << 10)).unwrap();
        }
        // Larger than the limit: it comes in alone.
        client.send(conn, message(20, 3 << 20)).unwrap();
        opened(&mut events).await;
        let mut held = Vec::new();
        for n in 0..=20 {
            let event = loop {
                match timeout(Duration::from_millis(100), events.recv()).await {
                    Ok(event) => break event.unwrap(),
                    Err(_) => {
                        assert!(!held.is_empty(), "stuck with nothing held");
                        held.remove(0);
                    }
                }
            };
            let Event::Message { message, budget, .. } = event else { panic!("{event:?}") };
            assert_eq!(message.header.tid, n);
            held.push(budget);
            assert!(held.len() <= 2, "at most two of 400 KiB under 1 MiB");
        }
    }
}

#[tokio::test]
async fn noise_at_the_door_disturbs_nobody() {
    let (osd, mut events) = Messenger::bind(config(EntityType::Osd, 1), any()).unwrap();
    for noise in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"ceph v027", b"ceph v2\n\xff\xff", &[0; 4096]] {
        let mut s = TcpStream::connect(osd.local_addr().unwrap()).await.unwrap();
        s.write_all(noise).await.unwrap();
        let mut all = Vec::new();
        let _ = timeout(SOON, s.read_to_end(&mut all)).await.expect("closed in time");
    }
    let (client, _client_events) = Messenger::bind(Config::client("admin", 5), None).unwrap();
    let conn = client.connect(&osd.addrs(), EntityType::Osd, Policy::lossy());
    client.send(conn, message(1, 0)).unwrap();
    opened(&mut events).await;
    assert_eq!(tid(&mut events).await, 1);
}

/// A client that comes again before the server has noticed its end takes its former place.
#[tokio::test]
async fn a_returning_client_replaces_its_former_connection() {
    let (osd, mut events) = Messenger::bind(config(EntityType::Osd, 1), any()).unwrap();
    let (client, _client_events) = Messenger::bind(Config::client("admin", 5), None).unwrap();
    client.connect(&osd.addrs(), EntityType::Osd, Policy::lossy());
    let first = opened(&mut events).await;
    let again = client.connect(&osd.addrs(), EntityType::Osd, Policy::lossy());
    client.send(again, message(1, 0)).unwrap();
    match next(&mut events).await {
        Event::Reset { conn, reason: CloseReason::Replaced, .. } => assert_eq!(conn, first),
        other => panic!("{other:?}"),
    }
    assert_ne!(opened(&mut events).await, first);
    assert_eq!(tid(&mut events).await, 1);
}
