//! Whom to fence when a node gives a volume up, or is said to.

use std::time::Duration;

use seabed_cluster::{AddrKind, EntityAddr};

/// How long a fence holds: five years, as ceph-csi's.
pub(crate) const FOR: Duration = Duration::from_secs(157_784_760);

/// Who has to do with a volume's image.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    /// The client that the node has written down, and not erased.
    pub recorded: Option<&'a str>,
    /// Watchers of the image and owners of its lock.
    pub present: &'a [EntityAddr],
    /// IP addresses of the node's clients.
    pub node: &'a [String],
    /// IP addresses of everybody else: other nodes, and this controller.
    pub others: &'a [String],
    /// Clients that other nodes have written down.
    pub theirs: &'a [&'a str],
}

/// The clients to fence. Never a whole host: nonce 0 would be one.
pub(crate) fn clients(seen: &Seen<'_>) -> Vec<EntityAddr> {
    let mut clients: Vec<EntityAddr> = seen.recorded.and_then(read).into_iter().collect();
    for addr in seen.present {
        let Some(text) = entry(addr) else { continue };
        let Some(ip) = addr.addr.map(|socket| socket.ip().to_string()) else { continue };
        // An address that others have too tells nothing of whose client it is.
        let the_nodes = seen.node.contains(&ip) && !seen.others.contains(&ip);
        if the_nodes && !seen.theirs.contains(&text.as_str()) {
            clients.extend(read(&text).filter(|client| !clients.contains(client)));
        }
    }
    clients
}

/// A client's address as a blocklist entry: `ADDRESS:PORT/NONCE`.
pub(crate) fn entry(addr: &EntityAddr) -> Option<String> {
    let is_instance = addr.addr.is_some() && addr.nonce != 0;
    is_instance.then(|| EntityAddr { kind: AddrKind::Any, ..*addr }.to_string())
}

/// The client that an entry names.
fn read(entry: &str) -> Option<EntityAddr> {
    let client: EntityAddr = entry.parse().ok()?;
    (client.addr.is_some() && client.nonce != 0).then_some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(socket: &str, nonce: u32) -> EntityAddr {
        EntityAddr { addr: Some(socket.parse().unwrap()), nonce, ..EntityAddr::default() }
    }

    fn shown(seen: &Seen<'_>) -> Vec<String> {
        clients(seen).iter().filter_map(entry).collect()
    }

    #[test]
    fn the_recorded_client_and_those_of_the_node_are_fenced() {
        let present = [
            addr("10.0.0.1:0", 7),
            addr("10.0.0.1:0", 0),
            addr("10.0.0.2:0", 8),
            addr("10.0.0.1:0", 9),
        ];
        let (node, others) = (["10.0.0.1".to_owned()], ["10.0.0.2".to_owned()]);
        let seen = Seen {
            recorded: Some("10.0.0.1:0/5"),
            present: &present,
            node: &node,
            others: &others,
            theirs: &["10.0.0.1:0/9"],
        };
        assert_eq!(shown(&seen), ["10.0.0.1:0/5", "10.0.0.1:0/7"]);
        // An address that is also another's: only what was written down.
        let seen = Seen { others: &node, ..seen };
        assert_eq!(shown(&seen), ["10.0.0.1:0/5"]);
    }

    #[test]
    fn never_a_whole_host() {
        let seen = Seen { recorded: Some("10.0.0.1:0/0"), ..Seen::default() };
        assert!(clients(&seen).is_empty());
        for bad in ["10.0.0.1", "10.0.0.1:0", "10.0.0.1:0/", "a:0/x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(read("[fe80::1]:0/4294967295").is_some());
    }
}
