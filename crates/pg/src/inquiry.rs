//! What a PG tells to whoever asks about it (`tell`): nothing of it changes anything.

use seabed_cluster::{OsdId, PgInfo};

use crate::peering::Phase;
use crate::{ClientOp, Pg};

impl Pg {
    /// Clients' requests that are not answered, and how far each has come.
    pub fn requests(&self) -> impl Iterator<Item = (&ClientOp, &'static str)> {
        let on_their_way = self.active().map(|a| a.in_flight.unanswered());
        let written = on_their_way.into_iter().flatten().map(|op| (op, "waiting for sub ops"));
        self.waiting.requests().chain(written)
    }

    /// What this primary knows of other copies.
    pub fn peer_infos(&self) -> impl Iterator<Item = (OsdId, &PgInfo)> {
        self.primary().into_iter().flat_map(|p| &p.peers).map(|(osd, copy)| (*osd, &copy.info))
    }

    /// Copies that take part in every write.
    pub fn writers(&self) -> Vec<OsdId> {
        let others = self.active().into_iter().flat_map(|a| &a.targets).copied();
        let own = self.is_active().then_some(self.whoami);
        own.into_iter().chain(others).collect()
    }

    /// OSDs without whose word peering does not go on.
    pub fn peering_blocked_by(&self) -> Vec<OsdId> {
        match self.primary().map(|p| &p.phase) {
            Some(Phase::GetInfo { prior, asked }) => {
                prior.blocked_by.union(asked).copied().collect()
            }
            _ => Vec::new(),
        }
    }
}
