//! Names of authentication: `client.admin`, `osd.3`. Unlike an entity's name they hold text.

use std::fmt;

use seabed_cluster::EntityType;
use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

/// `EntityName`: kind and id.
///
/// ```text
/// u32 kind | u32 length, id
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthName {
    /// Which kind.
    pub kind: EntityType,
    /// What stands behind the dot.
    pub id: String,
}

impl AuthName {
    /// A name from its parts.
    pub fn new(kind: EntityType, id: impl Into<String>) -> Self {
        AuthName { kind, id: id.into() }
    }
}

impl fmt::Display for AuthName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.id)
    }
}

impl Encode for AuthName {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        u32::from(self.kind as u8).encode(out, features);
        self.id.encode(out, features);
    }
}

impl Decode for AuthName {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let kind = u32::decode(r)?;
        let kind = u8::try_from(kind)
            .map_err(|_| DecodeError::Invalid { what: "entity type", value: u64::from(kind) })?;
        Ok(AuthName { kind: kind.try_into()?, id: String::decode(r)? })
    }
}
