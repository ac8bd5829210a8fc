//! Commands and pool operations inside a proposal.

use seabed_cluster::{Errno, PoolId};
use seabed_denc::{Bytes, Encode};
use seabed_messages::{MPoolOp, pool_op};

use super::propose::{After, ReplyTo};
use super::{MonError, Monitor};
use crate::command::{self, Command, Refusal};
use crate::draft::Draft;
use crate::map_log::{Door, Provenance};
use crate::service::osd::pool::{self, NewPool};
use crate::service::osd::snap;
use crate::session::SessionId;

impl Monitor {
    /// A command sees all decided before it and has an epoch of its own; one that is refused
    /// leaves nothing behind.
    pub(super) fn decide_command(
        &mut self,
        draft: &mut Draft,
        who: &str,
        reply: &ReplyTo,
        command: &Command,
        input: &Bytes,
        afters: &mut Vec<After>,
    ) -> Result<(), MonError> {
        let mark = draft.mark()?;
        let view = self.view(draft.now());
        let answer = match command::write::run(&view, draft, command, input) {
            Ok(answer) => {
                if draft.changed_since(&mark) {
                    let cause = command.text.clone();
                    draft.because(Provenance::new(who, Door::Command, cause));
                }
                match draft.close() {
                    Ok(()) => answer,
                    Err(e) => {
                        // What it wanted cannot be: that is the sender's fault, not ours.
                        draft.back_to(mark);
                        Refusal::invalid(e.to_string()).into()
                    }
                }
            }
            Err(refusal) => {
                draft.back_to(mark);
                refusal.into()
            }
        };
        afters.push(After::Send(reply.session, reply.packet(answer)));
        Ok(())
    }

    pub(super) fn decide_pool_op(
        &mut self,
        draft: &mut Draft,
        session: Option<SessionId>,
        who: &str,
        tid: u64,
        op: &MPoolOp,
        afters: &mut Vec<After>,
    ) -> Result<(), MonError> {
        let mark = draft.mark()?;
        let result = self.pool_op_change(draft, op);
        let result = match result {
            Ok(data) => {
                if draft.changed_since(&mark) {
                    let cause = format!("pool op {:#x} on pool {}", op.op, op.pool);
                    draft.because(Provenance::new(who, Door::PoolOp, cause));
                }
                draft.close()?;
                Ok(data)
            }
            Err(refusal) => {
                draft.back_to(mark);
                Err(refusal.errno)
            }
        };
        if let Some(session) = session {
            let epoch = draft.map().epoch;
            afters.push(After::Send(session, self.pool_op_reply(tid, result, epoch)));
        }
        Ok(())
    }

    fn pool_op_change(&self, draft: &mut Draft, op: &MPoolOp) -> Result<Option<Bytes>, Refusal> {
        let id = PoolId(i64::from(op.pool));
        if op.op == pool_op::CREATE {
            let new = NewPool { name: op.name.clone(), ..NewPool::default() };
            return match pool::create(draft, &self.options(), &new)? {
                Some(_) => Ok(None),
                None => Err(Refusal::new(Errno::EEXIST, "exists")),
            };
        }
        if !draft.map().pools.contains_key(&id) {
            return Err(Refusal::not_found("no such pool"));
        }
        match op.op {
            pool_op::DELETE => pool::delete(draft, &self.options(), id).map(|()| None),
            // Asked again, these change nothing and are no mistake.
            pool_op::CREATE_SNAP => snap::create_named(draft, id, &op.name).map(|_| None),
            pool_op::DELETE_SNAP => snap::remove_named(draft, id, &op.name).map(|_| None),
            pool_op::CREATE_UNMANAGED_SNAP => {
                snap::create_numbered(draft, id).map(|given| Some(given.to_bytes(0)))
            }
            pool_op::DELETE_UNMANAGED_SNAP => {
                snap::remove_numbered(draft, &self.state.purged, id, op.snap).map(|()| None)
            }
            _ => Err(Refusal::invalid("unknown pool operation")),
        }
    }
}
