//! The accepting party.

use seabed_cluster::GlobalId;
use seabed_denc::Bytes;

use crate::none::Payload;
use crate::{AuthError, Authenticated, ConMode, Towards, method};

/// EOPNOTSUPP, what Ceph answers to a method or mode that is not allowed.
const NOT_SUPPORTED: i32 = -95;

/// What goes into AUTH_BAD_METHOD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMethod {
    /// The method refused.
    pub method: u32,
    /// A negative errno.
    pub result: i32,
    /// What is allowed.
    pub methods: Vec<u32>,
    /// What is allowed.
    pub modes: Vec<u32>,
}

/// The answer to a step of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerStep {
    /// Agreed: AUTH_DONE with this payload.
    Done(Authenticated, Bytes),
    /// Refused: the client may try something else.
    BadMethod(BadMethod),
}

/// A server's side of authentication; method `none`. `cephx` becomes a second form of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAuth {
    role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Mon { fresh: GlobalId },
    Service,
}

impl ServerAuth {
    /// A monitor without authentication. `fresh` is an id that no client has: it is given out if
    /// the client brings none.
    pub fn none_mon(fresh: GlobalId) -> Self {
        ServerAuth { role: Role::Mon { fresh } }
    }

    /// Any other daemon without authentication: it believes the id it is shown.
    pub fn none_service() -> Self {
        ServerAuth { role: Role::Service }
    }

    /// The client's request.
    pub fn request(
        &mut self,
        method: u32,
        modes: &[u32],
        payload: Bytes,
    ) -> Result<ServerStep, AuthError> {
        let mode = modes.iter().find_map(|&m| ConMode::from_u32(m));
        let (method::NONE, Some(mode)) = (method, mode) else {
            return Ok(ServerStep::BadMethod(BadMethod {
                method,
                result: NOT_SUPPORTED,
                methods: vec![method::NONE],
                modes: vec![ConMode::Crc.to_u32()],
            }));
        };
        let (towards, fresh) = match self.role {
            Role::Mon { fresh } => (Towards::Mon, fresh),
            Role::Service => (Towards::Service, GlobalId(0)),
        };
        let Payload { name, global_id } = Payload::decode(payload, towards)?;
        let global_id = if global_id == GlobalId(0) { fresh } else { global_id };
        Ok(ServerStep::Done(Authenticated { name, global_id, mode }, Bytes::new()))
    }

    /// The client's next round (AUTH_REQUEST_MORE).
    pub fn more(&mut self, _payload: Bytes) -> Result<ServerStep, AuthError> {
        Err(AuthError::UnexpectedStep { method: method::NONE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthName, ClientAuth};
    use seabed_cluster::EntityType;

    fn client(global_id: u64, towards: Towards) -> ClientAuth {
        let name = AuthName::new(EntityType::Client, "admin");
        ClientAuth::none(name, GlobalId(global_id), towards)
    }

    fn agree(client: ClientAuth, mut server: ServerAuth) -> (Authenticated, Authenticated) {
        let r = client.request();
        let step = server.request(r.method, &r.modes, r.payload).unwrap();
        let ServerStep::Done(theirs, payload) = step else { panic!("{step:?}") };
        let ours = client.done(theirs.global_id, theirs.mode.to_u32(), payload).unwrap();
        (ours, theirs)
    }

    #[test]
    fn a_monitor_gives_an_id_once_and_keeps_a_known_one() {
        let (ours, theirs) = agree(client(0, Towards::Mon), ServerAuth::none_mon(GlobalId(4100)));
        assert_eq!(ours, theirs);
        assert_eq!(ours.global_id, GlobalId(4100));
        let (ours, _) = agree(client(4100, Towards::Mon), ServerAuth::none_mon(GlobalId(4101)));
        assert_eq!(ours.global_id, GlobalId(4100));
        let (ours, _) = agree(client(4100, Towards::Service), ServerAuth::none_service());
        assert_eq!(ours.global_id, GlobalId(4100));
    }

    #[test]
    fn cephx_and_secure_are_refused_by_name() {
        let mut server = ServerAuth::none_service();
        for (method, modes) in [(method::CEPHX, vec![1]), (method::NONE, vec![2]), (1, vec![])] {
            let step = server.request(method, &modes, Bytes::new()).unwrap();
            let ServerStep::BadMethod(bad) = step else { panic!("{step:?}") };
            assert_eq!((bad.method, bad.result), (method, -95));
            assert_eq!((bad.methods, bad.modes), (vec![1], vec![1]));
        }
    }

    #[test]
    fn a_client_takes_no_mode_it_did_not_offer_and_no_missing_id() {
        let c = client(0, Towards::Mon);
        let secure = c.clone().done(GlobalId(1), 2, Bytes::new());
        assert_eq!(secure, Err(AuthError::ModeNotOffered(2)));
        assert_eq!(c.done(GlobalId(0), 1, Bytes::new()), Err(AuthError::NoGlobalId));
    }
}
