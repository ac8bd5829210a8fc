//! The dialling party.

use seabed_cluster::GlobalId;
use seabed_denc::Bytes;

use crate::none::Payload;
use crate::{AuthError, AuthName, Authenticated, ConMode, method};

/// Which kind of daemon is dialled; it decides the form of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// A monitor: it gives out ids.
    Mon,
    /// Any other daemon: it is shown what a monitor gave.
    Service,
}

/// What goes into AUTH_REQUEST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// The method tried.
    pub method: u32,
    /// Modes, the preferred one first.
    pub modes: Vec<u32>,
    /// The method's payload.
    pub payload: Bytes,
}

/// A client's side of authentication; method `none`. `cephx` becomes a second form of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    name: AuthName,
    global_id: GlobalId,
    towards: Towards,
}

impl ClientAuth {
    /// Without authentication. `global_id` is 0 until a monitor has given one.
    pub fn none(name: AuthName, global_id: GlobalId, towards: Towards) -> Self {
        ClientAuth { name, global_id, towards }
    }

    /// The opening request.
    pub fn request(&self) -> AuthRequest {
        let payload = Payload { name: self.name.clone(), global_id: self.global_id };
        AuthRequest {
            method: method::NONE,
            modes: vec![ConMode::Crc.to_u32()],
            payload: payload.encode(self.towards),
        }
    }

    /// The server wants another round (AUTH_REPLY_MORE): the answer to it.
    pub fn more(&mut self, _payload: Bytes) -> Result<Bytes, AuthError> {
        Err(AuthError::UnexpectedStep { method: method::NONE })
    }

    /// The server refuses (AUTH_BAD_METHOD): another request, or the end.
    pub fn refused(
        &mut self,
        method: u32,
        result: i32,
        methods: Vec<u32>,
        modes: Vec<u32>,
    ) -> Result<AuthRequest, AuthError> {
        Err(AuthError::BadMethod { method, result, methods, modes })
    }

    /// The server agrees (AUTH_DONE).
    pub fn done(
        self,
        global_id: GlobalId,
        mode: u32,
        _payload: Bytes,
    ) -> Result<Authenticated, AuthError> {
        let Some(mode) = ConMode::from_u32(mode) else {
            return Err(AuthError::ModeNotOffered(mode));
        };
        if global_id == GlobalId(0) && self.towards == Towards::Mon {
            return Err(AuthError::NoGlobalId);
        }
        Ok(Authenticated { name: self.name, global_id, mode })
    }
}
