//! Addresses of daemons and clients, one or several at once.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use bytes::BufMut;
use seabed_denc::{
    BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_blob_with, encode_list,
    encode_versioned,
};

use crate::features::{MSG_ADDR2, has};

/// Which protocol an address speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u32)]
pub enum AddrKind {
    /// None: the blank address.
    #[default]
    None = 0,
    /// The first messenger.
    Legacy = 1,
    /// The second messenger.
    Msgr2 = 2,
    /// Whichever.
    Any = 3,
    /// A range of addresses; the nonce is the length of the prefix.
    Cidr = 4,
}

impl AddrKind {
    fn from_u32(n: u32) -> Result<Self, DecodeError> {
        Ok(match n {
            0 => AddrKind::None,
            1 => AddrKind::Legacy,
            2 => AddrKind::Msgr2,
            3 => AddrKind::Any,
            4 => AddrKind::Cidr,
            _ => return Err(DecodeError::Invalid { what: "address type", value: u64::from(n) }),
        })
    }

    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            AddrKind::None => "none",
            AddrKind::Legacy => "v1",
            AddrKind::Msgr2 => "v2",
            AddrKind::Any => "any",
            AddrKind::Cidr => "cidr",
        }
    }
}

/// `entity_addr_t`: where somebody can be reached, and (nonce) which life of his.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EntityAddr {
    /// Which protocol.
    pub kind: AddrKind,
    /// Tells one process at an address from the next.
    pub nonce: u32,
    /// Address and port; `None` is the blank address.
    pub addr: Option<SocketAddr>,
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// The socket address of the blank one, which is written with the length of the longest.
const BLANK: [u8; 28] = [0; 28];

/// The socket address as Linux lays it out, with `family` in the byte order wanted.
fn sockaddr(addr: Option<SocketAddr>, family: impl Fn(u16) -> [u8; 2]) -> ([u8; 28], usize) {
    let mut raw = BLANK;
    match addr {
        None => (raw, 28),
        Some(SocketAddr::V4(a)) => {
            raw[0..2].copy_from_slice(&family(AF_INET));
            raw[2..4].copy_from_slice(&a.port().to_be_bytes());
            raw[4..8].copy_from_slice(&a.ip().octets());
            (raw, 16)
        }
        Some(SocketAddr::V6(a)) => {
            raw[0..2].copy_from_slice(&family(AF_INET6));
            raw[2..4].copy_from_slice(&a.port().to_be_bytes());
            raw[4..8].copy_from_slice(&a.flowinfo().to_le_bytes());
            raw[8..24].copy_from_slice(&a.ip().octets());
            raw[24..28].copy_from_slice(&a.scope_id().to_le_bytes());
            (raw, 28)
        }
    }
}

fn decode_sockaddr(family: u16, r: &mut Reader) -> Result<Option<SocketAddr>, DecodeError> {
    match family {
        0 => Ok(None),
        AF_INET => {
            let port = u16::from_be_bytes(r.array()?);
            let ip = Ipv4Addr::from(r.array::<4>()?);
            Ok(Some(SocketAddr::new(IpAddr::V4(ip), port)))
        }
        AF_INET6 => {
            let port = u16::from_be_bytes(r.array()?);
            let flow = u32::decode(r)?;
            let ip = Ipv6Addr::from(r.array::<16>()?);
            let scope = u32::decode(r)?;
            Ok(Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope))))
        }
        _ => Err(DecodeError::Invalid { what: "address family", value: u64::from(family) }),
    }
}

impl EntityAddr {
    /// The address of a msgr2 server.
    pub const fn msgr2(addr: SocketAddr, nonce: u32) -> Self {
        EntityAddr { kind: AddrKind::Msgr2, nonce, addr: Some(addr) }
    }

    /// True for the address of nobody.
    pub fn is_blank(&self) -> bool {
        self.addr.is_none()
    }

    /// True if there is no IP or it is the unspecified one.
    pub fn is_blank_ip(&self) -> bool {
        self.addr.is_none_or(|a| a.ip().is_unspecified())
    }

    /// What Ceph compares: the memory of the struct.
    fn order_key(&self) -> ([u8; 4], [u8; 4], [u8; 28]) {
        let (raw, _) = sockaddr(self.addr, u16::to_le_bytes);
        ((self.kind as u32).to_le_bytes(), self.nonce.to_le_bytes(), raw)
    }

    /// IP and port.
    pub fn ip_text(&self) -> String {
        match self.addr {
            Some(a) => a.to_string(),
            None => "(unrecognized address family 0)".to_owned(),
        }
    }

    /// Address and nonce without the protocol, as old fields of JSON have it: `10.0.0.1:6800/42`.
    pub fn legacy_text(&self) -> String {
        format!("{}/{}", self.ip_text(), self.nonce)
    }
}

impl Ord for EntityAddr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order_key().cmp(&other.order_key())
    }
}

impl PartialOrd for EntityAddr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntityAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AddrKind::None => return f.write_str("-"),
            // Without a word: this is how blocklists name clients.
            AddrKind::Any => {}
            kind => write!(f, "{}:", kind.as_str())?,
        }
        write!(f, "{}/{}", self.ip_text(), self.nonce)
    }
}

/// Text that is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address")]
pub struct NotAddr;

/// `[v1:|v2:|any:]IP[:PORT][/NONCE]`; without a word, any protocol.
impl FromStr for EntityAddr {
    type Err = NotAddr;

    fn from_str(s: &str) -> Result<Self, NotAddr> {
        if s == "-" {
            return Ok(EntityAddr::default());
        }
        let (kind, rest) = [("v1:", AddrKind::Legacy), ("v2:", AddrKind::Msgr2)]
            .into_iter()
            .chain([("any:", AddrKind::Any), ("cidr:", AddrKind::Cidr)])
            .find_map(|(word, kind)| Some((kind, s.strip_prefix(word)?)))
            .unwrap_or((AddrKind::Any, s));
        let (addr, nonce) = match rest.rsplit_once('/') {
            Some((addr, nonce)) => (addr, nonce.parse().map_err(|_| NotAddr)?),
            None => (rest, 0),
        };
        let ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>();
        let addr = match addr.parse() {
            Ok(addr) => addr,
            Err(_) => SocketAddr::new(ip(addr).map_err(|_| NotAddr)?, 0),
        };
        Ok(EntityAddr { kind, nonce, addr: Some(addr) })
    }
}

/// The typed form, or the classic one for a peer without `MSG_ADDR2`.
impl Encode for EntityAddr {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        if !has(features, MSG_ADDR2) {
            out.put_u32_le(0);
            out.put_u32_le(self.nonce);
            let (raw, len) = sockaddr(self.addr, u16::to_be_bytes);
            out.put_slice(&raw[..len]);
            out.put_bytes(0, 128 - len);
            return;
        }
        out.put_u8(1);
        encode_versioned(out, 1, 1, |out| {
            out.put_u32_le(self.kind as u32);
            out.put_u32_le(self.nonce);
            let (raw, len) = sockaddr(self.addr, u16::to_le_bytes);
            out.put_u32_le(if len == 16 { 16 } else { 28 });
            out.put_slice(&raw[..len]);
        });
    }
}

impl EntityAddr {
    /// Behind the marker byte 0.
    fn decode_classic(r: &mut Reader) -> Result<Self, DecodeError> {
        r.array::<3>()?;
        let nonce = u32::decode(r)?;
        let mut storage = r.sub(128)?;
        let family = u16::from_be_bytes(storage.array()?);
        let addr = decode_sockaddr(family, &mut storage)?;
        let kind = if addr.is_some() { AddrKind::Legacy } else { AddrKind::None };
        Ok(EntityAddr { kind, nonce, addr })
    }

    /// Behind the marker byte 1.
    fn decode_typed(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| {
            let kind = AddrKind::from_u32(u32::decode(r)?)?;
            let nonce = u32::decode(r)?;
            let addr = decode_blob_with(r, |r| match r.is_empty() {
                true => Ok(None),
                false => decode_sockaddr(u16::decode(r)?, r),
            })?;
            Ok(EntityAddr { kind, nonce, addr })
        };
        Ok(seabed_denc::decode_versioned(r, "entity_addr_t", 1, body)?.0)
    }

    fn decode_marked(marker: u8, r: &mut Reader) -> Result<Self, DecodeError> {
        match marker {
            0 => EntityAddr::decode_classic(r),
            1 => EntityAddr::decode_typed(r),
            _ => Err(DecodeError::Invalid { what: "address marker", value: u64::from(marker) }),
        }
    }
}

impl Decode for EntityAddr {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let marker = u8::decode(r)?;
        EntityAddr::decode_marked(marker, r)
    }
}

/// `entity_addrvec_t`: every address of one being.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntityAddrVec(pub Vec<EntityAddr>);

impl From<EntityAddr> for EntityAddrVec {
    fn from(addr: EntityAddr) -> Self {
        EntityAddrVec(vec![addr])
    }
}

impl EntityAddrVec {
    /// The first of the kind.
    pub fn of_kind(&self, kind: AddrKind) -> Option<&EntityAddr> {
        self.0.iter().find(|a| a.kind == kind)
    }

    /// Where to dial with msgr2.
    pub fn msgr2(&self) -> Option<&EntityAddr> {
        self.of_kind(AddrKind::Msgr2)
    }

    /// The legacy address if there is one, else the first, else blank: what output that knows one
    /// address only shows.
    pub fn legacy_or_front(&self) -> EntityAddr {
        self.of_kind(AddrKind::Legacy).or(self.0.first()).copied().unwrap_or_default()
    }

    /// True if the address is among these.
    pub fn contains(&self, addr: &EntityAddr) -> bool {
        self.0.contains(addr)
    }

    /// True if it leads nowhere.
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(EntityAddr::is_blank)
    }
}

/// `[v2:…,v1:…]`, a single address alone, nothing for none.
impl fmt::Display for EntityAddrVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            [one] => fmt::Display::fmt(one, f),
            many => {
                f.write_str("[")?;
                for (i, a) in many.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{a}")?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Encode for EntityAddrVec {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        if has(features, MSG_ADDR2) {
            out.put_u8(2);
            encode_list(out, features, self.0.iter());
        } else {
            self.legacy_or_front().encode(out, features);
        }
    }
}

impl Decode for EntityAddrVec {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            2 => Ok(EntityAddrVec(Vec::decode(r)?)),
            marker => Ok(EntityAddr::decode_marked(marker, r)?.into()),
        }
    }
}
