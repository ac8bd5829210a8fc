//! `osd blocklist`: clients and ranges of addresses that are shut out for a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use seabed_cluster::{AddrKind, EntityAddr, Errno, UTime};
use serde_json::{Value, json};

use super::format::json as formatted;
use super::text::float_g;
use super::{Answer, Command, Format, Refusal, Reply, View};
use crate::draft::Draft;

/// Entries at most, ranges counted apart.
const ENTRIES_MAX: usize = 10_000;
/// For how long a client is shut out unless the command says otherwise.
const SECONDS: f64 = 3600.0;
/// More than a stamp can hold.
const SECONDS_MAX: f64 = u32::MAX as f64;

/// Every entry is let in again.
pub fn clear(draft: &mut Draft) -> Answer {
    let map = draft.map_arc();
    let inc = draft.inc();
    inc.old_blocklist.extend(map.blocklist.keys());
    inc.old_range_blocklist.extend(map.range_blocklist.keys());
    Ok(Reply::status(" removed all blocklist entries"))
}

/// `osd blocklist [range] add|rm ADDR [SECONDS]`.
pub fn change(draft: &mut Draft, command: &Command) -> Answer {
    let op = command.str("blocklistop").or_else(|| command.str("blacklistop"));
    let text = command.need("addr")?;
    let unreadable = || Refusal::invalid(format!("unable to parse address {text}"));
    let addr: EntityAddr = text.parse().map_err(|_| unreadable())?;
    let range = command.str("range").is_some();
    let addr = if range { as_range(&text, addr)? } else { as_client(addr) };
    let shown = shown(&addr);
    let map = draft.map_arc();
    let entries = if range { &map.range_blocklist } else { &map.blocklist };
    let known = entries.contains_key(&addr);
    if op.as_deref() == Some("rm") {
        if !known {
            return Ok(Reply::status(format!("{shown} isn't blocklisted")));
        }
        let inc = draft.inc();
        let old = if range { &mut inc.old_range_blocklist } else { &mut inc.old_blocklist };
        old.push(addr);
        return Ok(Reply::status(format!("un-blocklisting {shown}")));
    }
    if entries.len() >= ENTRIES_MAX && !known {
        return Err(Refusal::new(Errno::ENOSPC, "the blocklist is full"));
    }
    let seconds = command.float("expire")?.unwrap_or(SECONDS);
    let until = end(draft.now().wall, seconds);
    let inc = draft.inc();
    let new = if range { &mut inc.new_range_blocklist } else { &mut inc.new_blocklist };
    new.insert(addr, until);
    let text = format!("blocklisting {shown} until {until} ({} sec)", float_g(seconds, 6));
    Ok(Reply::status(text))
}

fn end(now: UTime, seconds: f64) -> UTime {
    now + Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
}

/// Entries are of any protocol.
fn as_client(addr: EntityAddr) -> EntityAddr {
    EntityAddr { kind: AddrKind::Any, ..addr }
}

/// An address without a port, and the length of the prefix in the nonce's place.
fn as_range(text: &str, addr: EntityAddr) -> Result<EntityAddr, Refusal> {
    let socket = addr.addr.filter(|a| a.port() == 0 && text.contains('/'));
    let Some(socket) = socket else {
        let read = EntityAddr { kind: AddrKind::Msgr2, ..addr };
        return Err(Refusal::invalid(format!(
            "You specified a range command, but {read} does not parse as a CIDR range"
        )));
    };
    let width = if matches!(socket.ip(), IpAddr::V4(_)) { 32 } else { 128 };
    if addr.nonce > width {
        return Err(Refusal::invalid("Too many bits in range for that protocol!"));
    }
    Ok(EntityAddr { kind: AddrKind::Cidr, ..addr })
}

/// As people see it: a range by its word.
fn shown(addr: &EntityAddr) -> String {
    if addr.kind == AddrKind::Cidr { addr.to_string() } else { addr.legacy_text() }
}

fn entries(key: &str, entries: &BTreeMap<EntityAddr, UTime>) -> Value {
    let one = |(addr, until): (&EntityAddr, &UTime)| {
        let (addr, until) = (addr.legacy_text(), until.to_string());
        json!({key: addr, "until": until})
    };
    entries.iter().map(one).collect()
}

/// `osd blocklist ls`. As JSON Ceph gives two lists, one behind the other.
pub fn list(view: &View<'_>, command: &Command) -> Answer {
    let map = view.map();
    let (clients, ranges) = (&map.blocklist, &map.range_blocklist);
    let status = format!("listed {} entries", clients.len() + ranges.len());
    if command.format == Format::Plain {
        let all = clients.iter().chain(ranges);
        let text: String = all.map(|(a, until)| format!("{} {until}\n", shown(a))).collect();
        return Ok(Reply::text(text).with_status(status));
    }
    let lists = [entries("addr", clients), entries("range", ranges)];
    let end = if command.format == Format::Json { "" } else { "\n" };
    let text: String = lists.iter().map(|list| formatted(list, command.format) + end).collect();
    Ok(Reply::text(text).with_status(status))
}
