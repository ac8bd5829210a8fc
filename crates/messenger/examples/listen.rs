//! Poses as a monitor as far as the handshake: prints what a stock client says to it.
//!
//! `cargo run -p seabed-messenger --example listen -- 127.0.0.1:40200`, then for instance
//! `ceph -m '[v2:127.0.0.1:40200]' --auth-client-required none -s`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seabed_cluster::{EntityName, EntityType, GlobalId};
use seabed_messages::Packet;
use seabed_messenger::{AuthName, Config, Event, Messenger, Role};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:40200".to_owned());
    let addr = addr.parse().map_err(std::io::Error::other)?;
    let ids = AtomicU64::new(4100);
    let mon = EntityName { kind: EntityType::Mon, num: 0 };
    let mut config = Config::new(mon, AuthName::new(EntityType::Mon, "a"), 0);
    config.role = Role::Mon(Arc::new(move || GlobalId(ids.fetch_add(1, Ordering::Relaxed))));
    let (messenger, mut events) = Messenger::bind(config, Some(addr))?;
    println!("listening on {}", messenger.addrs());
    while let Some(event) = events.recv().await {
        match event {
            Event::Message { conn, message, .. } => {
                println!("{conn}: {:?}", message.header);
                println!("{conn}: {:?}", Packet::decode(message).map(|p| p.message));
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
