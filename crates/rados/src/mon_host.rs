//! `mon_host`: where the monitors are.
//!
//! Forms: `[v2:IP:PORT,v1:IP:PORT]`, `v2:IP:PORT`, `IP:PORT`, `IP`, a host's name with or without
//! port, separated by commas, blanks or semicolons. Addresses of the first protocol are passed
//! over; a port that is left out is 3300.

use std::net::SocketAddr;

use crate::{Conf, RadosError};

const PORT: u16 = 3300;
const PORT_V1: u16 = 6789;

impl Conf {
    /// Where the monitors are that `entity` (`client.admin`) is told of, for the second messenger.
    ///
    /// Errors: none is named, or a name does not resolve.
    pub async fn monitors(&self, entity: &str) -> Result<Vec<SocketAddr>, RadosError> {
        resolve(&self.get(entity, "mon_host").unwrap_or_default()).await
    }
}

/// The msgr2 addresses, in order.
///
/// Errors: nothing usable in it, or a name that does not resolve.
async fn resolve(text: &str) -> Result<Vec<SocketAddr>, RadosError> {
    let mut found = Vec::new();
    for entry in entries(text) {
        let Some(entry) = msgr2_part(entry) else { continue };
        found.extend(lookup(entry).await.map_err(|_| wrong(text, "a name does not resolve"))?);
    }
    if found.is_empty() {
        return Err(wrong(text, "no msgr2 address in it"));
    }
    Ok(found)
}

fn wrong(text: &str, reason: &'static str) -> RadosError {
    RadosError::MonHost { text: text.to_owned(), reason }
}

/// Splits at separators, and takes the brackets of address vectors away (those of IPv6 stay).
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', ';', '\t'])
        .map(|e| {
            let e = if e.starts_with("[v") { &e[1..] } else { e };
            let opened = e.matches('[').count();
            if e.matches(']').count() > opened { &e[..e.len() - 1] } else { e }
        })
        .filter(|e| !e.is_empty())
}

/// The address of an entry that may be spoken to by msgr2.
fn msgr2_part(entry: &str) -> Option<&str> {
    if entry.starts_with("v1:") {
        return None;
    }
    // A nonce may follow a slash; monitors have none.
    let entry = entry.strip_prefix("v2:").unwrap_or(entry);
    Some(entry.split('/').next().unwrap_or(entry))
}

async fn lookup(entry: &str) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(addr) = entry.parse::<SocketAddr>() {
        // A bare address with the port of the first protocol cannot be ours.
        return Ok(if addr.port() == PORT_V1 { Vec::new() } else { vec![addr] });
    }
    if let Ok(ip) = entry.trim_matches(['[', ']']).parse() {
        return Ok(vec![SocketAddr::new(ip, PORT)]);
    }
    match entry.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => {
            Ok(tokio::net::lookup_host((host, port.parse().unwrap_or(PORT))).await?.collect())
        }
        _ => Ok(tokio::net::lookup_host((entry, PORT)).await?.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_usual_forms() {
        let cases = [
            ("[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]", vec!["127.0.0.1:3300"]),
            ("v2:10.0.0.1:40", vec!["10.0.0.1:40"]),
            ("10.0.0.1 10.0.0.2:5000", vec!["10.0.0.1:3300", "10.0.0.2:5000"]),
            ("[v2:[::1]:3300,v1:[::1]:6789],[v2:[::2]:3300]", vec!["[::1]:3300", "[::2]:3300"]),
            ("[::1]", vec!["[::1]:3300"]),
        ];
        for (text, expected) in cases {
            let expected: Vec<SocketAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(resolve(text).await.unwrap(), expected, "{text}");
        }
        assert!(resolve("").await.is_err());
        assert!(resolve("v1:127.0.0.1:6789").await.is_err());
    }
}
