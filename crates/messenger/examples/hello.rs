//! Introduces itself to a monitor (auth `none`), asks for the monitor map and prints the answer.
//!
//! `cargo run -p seabed-messenger --example hello -- 127.0.0.1:40210`

use seabed_cluster::{EntityAddr, EntityType};
use seabed_messages::{Header, Packet, RawMessage};
use seabed_messenger::{Config, Event, Messenger, Policy};

/// CEPH_MSG_MON_GET_MAP
const MON_GET_MAP: u16 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:40210".to_owned());
    let addr = addr.parse().map_err(std::io::Error::other)?;
    let (messenger, mut events) = Messenger::bind(Config::client("admin", rand::random()), None)?;
    let mon = EntityAddr::msgr2(addr, 0).into();
    let conn = messenger.connect(&mon, EntityType::Mon, Policy::to_mon());
    let header = Header {
        kind: MON_GET_MAP,
        priority: 127,
        version: 1,
        compat_version: 1,
        flags: 3,
        ..Header::default()
    };
    let ask = RawMessage { header, ..RawMessage::default() };
    messenger.send(conn, ask).map_err(std::io::Error::other)?;
    while let Some(event) = events.recv().await {
        match event {
            Event::Message { message, .. } => {
                println!("{:?}", message.header);
                println!("{:?}", Packet::decode(message).map(|p| p.message));
                return Ok(());
            }
            Event::Reset { .. } | Event::Unreachable { .. } => {
                return Err(std::io::Error::other(format!("{event:?}")));
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
