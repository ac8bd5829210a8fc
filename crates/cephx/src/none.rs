//! Method `none`: the client says its name and, if it has one, its id.
//!
//! ```text
//! u8 form (10 towards a monitor, 1 towards others) | AuthName | u64 global_id (0 the first time)
//! ```

use seabed_cluster::GlobalId;
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader};

use crate::{AuthError, AuthName, Towards};

/// The payload of AUTH_REQUEST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) name: AuthName,
    pub(crate) global_id: GlobalId,
}

fn form(towards: Towards) -> u8 {
    match towards {
        Towards::Service => 1,
        Towards::Mon => 10,
    }
}

impl Payload {
    pub(crate) fn encode(&self, towards: Towards) -> Bytes {
        let mut out = BytesMut::new();
        form(towards).encode(&mut out, 0);
        self.name.encode(&mut out, 0);
        self.global_id.encode(&mut out, 0);
        out.freeze()
    }

    /// Bytes behind the known fields are for releases to come, and skipped.
    pub(crate) fn decode(payload: Bytes, towards: Towards) -> Result<Self, AuthError> {
        let mut r = Reader::new(payload);
        let found = u8::decode(&mut r)?;
        if found != form(towards) {
            return Err(AuthError::WrongForm(found));
        }
        Ok(Payload { name: AuthName::decode(&mut r)?, global_id: GlobalId::decode(&mut r)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::EntityType;

    /// Recorded from librados 16.2.15 towards its monitor.
    const RECORDED: &[u8] = b"\x0a\x08\0\0\0\x05\0\0\0admin\0\0\0\0\0\0\0\0";

    #[test]
    fn the_recorded_payload_reads_and_writes() {
        let p = Payload::decode(Bytes::from_static(RECORDED), Towards::Mon).unwrap();
        assert_eq!(p.name, AuthName::new(EntityType::Client, "admin"));
        assert_eq!(p.global_id, GlobalId(0));
        assert_eq!(p.encode(Towards::Mon), RECORDED);
    }

    #[test]
    fn the_other_form_and_every_cut_are_refused() {
        let whole = Bytes::from_static(RECORDED);
        let other = Payload::decode(whole.clone(), Towards::Service);
        assert_eq!(other, Err(AuthError::WrongForm(10)));
        for n in 0..whole.len() {
            let cut = Payload::decode(whole.slice(..n), Towards::Mon);
            assert!(matches!(cut, Err(AuthError::Decode(_))), "{n}");
        }
    }
}
