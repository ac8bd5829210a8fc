//! Reservations: a primary asks before it recovers or fills. Room is granted while there is some.

use seabed_cluster::OsdId;
use seabed_messages::{BackfillReserveOp, MBackfillReserve, MRecoveryReserve, RecoveryReserveOp};

use super::is_too_full;
use crate::{Env, Peer, Pg, Step};

impl Pg {
    /// A primary wants to recover.
    pub fn on_recovery_reserve(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MRecoveryReserve,
    ) -> Step {
        if m.op == RecoveryReserveOp::Request && !self.is_stale(m.query_epoch) {
            let answer =
                MRecoveryReserve { op: RecoveryReserveOp::Grant, priority: 0, ..m.clone() };
            env.out.send(Peer::Osd(from), answer);
        }
        Ok(())
    }

    /// A primary wants to fill this copy.
    pub fn on_backfill_reserve(
        &mut self,
        env: &mut Env<'_>,
        from: OsdId,
        m: &MBackfillReserve,
    ) -> Step {
        if m.op == BackfillReserveOp::Request && !self.is_stale(m.query_epoch) {
            let full = is_too_full(env, self.whoami);
            let op = if full { BackfillReserveOp::RejectTooFull } else { BackfillReserveOp::Grant };
            let answer = MBackfillReserve { op, priority: u32::MAX, ..m.clone() };
            env.out.send(Peer::Osd(from), answer);
        }
        Ok(())
    }
}
