//! Ids: one type each, so that two naked integers never stand side by side.

use std::fmt;
use std::str::FromStr;

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $int);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut BytesMut, features: Features) {
                self.0.encode(out, features);
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
                Ok($name(<$int>::decode(r)?))
            }
        }
    };
}

macro_rules! decimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Ok($name(s.parse()?))
            }
        }
    )*};
}

id! {
    /// The number of a map; each change of a map makes a new one.
    Epoch(u32)
}
id! {
    /// The number of an OSD.
    OsdId(i32)
}
id! {
    /// The number of a pool.
    PoolId(i64)
}
id! {
    /// What a monitor gives to each session of a client.
    GlobalId(u64)
}
id! {
    /// The number of a snapshot, or [`SnapId::HEAD`].
    SnapId(u64)
}
decimal!(Epoch, OsdId, PoolId, GlobalId);

impl Epoch {
    /// Before every map.
    pub const ZERO: Epoch = Epoch(0);

    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl OsdId {
    /// "No OSD at this position" (`CRUSH_ITEM_NONE`), in erasure coded sets only.
    pub const NONE: OsdId = OsdId(0x7fff_ffff);

    /// The index into the vectors of a map; `None` for negative numbers and [`OsdId::NONE`].
    pub fn index(self) -> Option<usize> {
        if self == OsdId::NONE { None } else { usize::try_from(self.0).ok() }
    }
}

impl SnapId {
    /// The writable object (`CEPH_NOSNAP`).
    pub const HEAD: SnapId = SnapId(u64::MAX - 1);
    /// The former object of a head that was deleted (`CEPH_SNAPDIR`).
    pub const DIR: SnapId = SnapId(u64::MAX);
}

/// As in object names: `head`, `snapdir`, or hexadecimal.
impl fmt::Display for SnapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SnapId::HEAD => f.write_str("head"),
            SnapId::DIR => f.write_str("snapdir"),
            SnapId(n) => write!(f, "{n:x}"),
        }
    }
}

/// 16 bytes that name a cluster or an OSD for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The id that nothing has.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// True for the id that nothing has.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a UUID of the usual form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct NotUuid;

impl FromStr for Uuid {
    type Err = NotUuid;

    fn from_str(s: &str) -> Result<Self, NotUuid> {
        let s = s.as_bytes();
        if s.len() != 36 || [8, 13, 18, 23].iter().any(|&i| s[i] != b'-') {
            return Err(NotUuid);
        }
        let digit = |b: u8| match (b as char).to_digit(16) {
            Some(d) => u8::try_from(d).map_err(|_| NotUuid),
            None => Err(NotUuid),
        };
        let digits: Vec<u8> = s.iter().copied().filter(|&b| b != b'-').collect();
        if digits.len() != 32 {
            return Err(NotUuid);
        }
        let mut out = [0; 16];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Uuid(out))
    }
}

impl Encode for Uuid {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.0.encode(out, features);
    }
}

impl Decode for Uuid {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Uuid(r.array()?))
    }
}

/// What kind of being speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum EntityType {
    /// Nobody: the name in a request id that was never set.
    #[default]
    Unknown = 0,
    /// Monitor.
    Mon = 1,
    /// Metadata server.
    Mds = 2,
    /// OSD.
    Osd = 4,
    /// Client.
    Client = 8,
    /// Manager.
    Mgr = 0x10,
    /// Authentication service.
    Auth = 0x20,
    /// Any kind.
    Any = 0xff,
}

impl EntityType {
    /// The word in names.
    pub fn as_str(self) -> &'static str {
        match self {
            EntityType::Mon => "mon",
            EntityType::Mds => "mds",
            EntityType::Osd => "osd",
            EntityType::Client => "client",
            EntityType::Mgr => "mgr",
            EntityType::Auth => "auth",
            EntityType::Any => "any",
            EntityType::Unknown => "unknown",
        }
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<u8> for EntityType {
    type Error = DecodeError;

    fn try_from(n: u8) -> Result<Self, DecodeError> {
        Ok(match n {
            0 => EntityType::Unknown,
            1 => EntityType::Mon,
            2 => EntityType::Mds,
            4 => EntityType::Osd,
            8 => EntityType::Client,
            0x10 => EntityType::Mgr,
            0x20 => EntityType::Auth,
            0xff => EntityType::Any,
            _ => return Err(DecodeError::Invalid { what: "entity type", value: u64::from(n) }),
        })
    }
}

impl Encode for EntityType {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        (*self as u8).encode(out, features);
    }
}

impl Decode for EntityType {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        u8::decode(r)?.try_into()
    }
}

/// `entity_name_t`: kind and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntityName {
    /// Which kind.
    pub kind: EntityType,
    /// Which of them; negative for one that has no number yet.
    pub num: i64,
}

impl EntityName {
    /// `osd.N`.
    pub fn osd(id: OsdId) -> Self {
        EntityName { kind: EntityType::Osd, num: i64::from(id.0) }
    }

    /// `mon.RANK`.
    pub fn mon(rank: i64) -> Self {
        EntityName { kind: EntityType::Mon, num: rank }
    }

    /// `client.N`.
    pub fn client(num: i64) -> Self {
        EntityName { kind: EntityType::Client, num }
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.num < 0 {
            write!(f, "{}.?", self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.num)
        }
    }
}

impl Encode for EntityName {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.kind.encode(out, features);
        self.num.encode(out, features);
    }
}

impl Decode for EntityName {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(EntityName { kind: EntityType::decode(r)?, num: i64::decode(r)? })
    }
}

/// `osd_reqid_t`: names one request of one client, across resends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReqId {
    /// Who asked.
    pub name: EntityName,
    /// Counts the client's requests.
    pub tid: u64,
    /// Which incarnation of the client.
    pub inc: i32,
}

impl fmt::Display for ReqId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:{}", self.name, self.inc, self.tid)
    }
}

impl Encode for ReqId {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        seabed_denc::encode_versioned(out, 2, 2, |out| {
            self.name.encode(out, features);
            self.tid.encode(out, features);
            self.inc.encode(out, features);
        });
    }
}

impl Decode for ReqId {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let body = |r: &mut Reader, _| {
            Ok(ReqId { name: EntityName::decode(r)?, tid: u64::decode(r)?, inc: i32::decode(r)? })
        };
        Ok(seabed_denc::decode_versioned(r, "osd_reqid_t", 2, body)?.0)
    }
}
