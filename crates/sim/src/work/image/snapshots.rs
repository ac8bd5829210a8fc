//! Snapshots of the image, as block clients have them: the monitor gives the number, the writes
//! that follow name it; a snapshot that goes is left out of the writes first, and the monitor hears
//! of it when those that name it are answered.

use seabed_cluster::SnapId;
use seabed_denc::Decode;
use seabed_messages::pool_op;
use seabed_objecter::{MonAnswer, MonRequest, RequestId};

use crate::net::Node;
use crate::world::World;

/// Snapshots that live at once at most.
const LIVING_MAX: usize = 5;

impl World {
    /// The owner's turn.
    pub(super) fn keep_snapshots(&mut self, n: usize) {
        if self.image.holder != Some(self.who(n)) {
            // Somebody has taken over: the snapshots are theirs.
            return;
        }
        let living: Vec<SnapId> = self.image.model.living().collect();
        if self.closing {
            self.remove_doomed(n);
            return;
        }
        let made = self.clients[n].mind.making.is_none() && living.len() < LIVING_MAX;
        if made && self.work_chance.one_in(10) {
            let id = self.ask_pool(n, pool_op::CREATE_UNMANAGED_SNAP, SnapId(0));
            self.clients[n].mind.making = id;
        }
        if !living.is_empty() && self.work_chance.one_in(16) {
            let snap = self.work_chance.pick(&living);
            self.doom(n, snap);
        }
        self.remove_doomed(n);
    }

    fn doom(&mut self, n: usize, snap: SnapId) {
        let newest = self.clients[n].pending.keys().next_back().map_or(0, |id| id.0);
        self.image.model.doom(snap, newest);
    }

    /// At the end some snapshots go, and some stay.
    pub(crate) fn doom_every_other(&mut self) {
        let living: Vec<SnapId> = self.image.model.living().collect();
        for snap in living.into_iter().step_by(2) {
            self.image.model.doom(snap, u64::MAX);
        }
    }

    fn ask_pool(&mut self, n: usize, op: u32, snap: SnapId) -> Option<RequestId> {
        let pool = self.pool?;
        self.trace.line(self.now, Node::Client(n), format_args!("  pool op {op:#x} {}", snap.0));
        Some(self.ask_mon_as(n, MonRequest::PoolOp { pool, op, snap }))
    }

    /// What the monitor says of snapshots.
    pub(super) fn hear_of_snapshots(&mut self, n: usize) {
        let holds = self.image.holder == Some(self.who(n));
        let client = &mut self.clients[n];
        if let Some(id) = client.mind.making
            && let Some(answer) = client.answers.remove(&id)
        {
            client.mind.making = None;
            let given = match &answer {
                MonAnswer::PoolOp { code: 0, data, .. } => SnapId::from_bytes(data.clone()).ok(),
                _ => None,
            };
            match given {
                // An older one was asked for before somebody else had the image: it is left alone.
                Some(id) if self.image.model.is_newest(id) && holds => {
                    self.count("image: snapshots made");
                    self.image.model.take_snapshot(id);
                }
                Some(_) => {}
                None => self.fail(format!("client.{n}: no snapshot: {answer:?}")),
            }
        }
        let client = &mut self.clients[n];
        if let Some((id, snap)) = client.mind.removing
            && let Some(answer) = client.answers.remove(&id)
        {
            client.mind.removing = None;
            match answer {
                MonAnswer::PoolOp { code: 0, .. } => {
                    self.count("image: snapshots removed");
                    self.image.model.forget(snap);
                }
                answer => self.fail(format!("client.{n}: {} stays: {answer:?}", snap.0)),
            }
        }
    }

    fn remove_doomed(&mut self, n: usize) {
        if self.clients[n].mind.removing.is_some() {
            return;
        }
        let Some((snap, after)) = self.image.model.doomed() else { return };
        if self.clients[n].pending.keys().next().is_none_or(|id| id.0 > after) {
            let id = self.ask_pool(n, pool_op::DELETE_UNMANAGED_SNAP, snap);
            self.clients[n].mind.removing = id.map(|id| (id, snap));
        }
    }

    /// No snapshot is about to come or go.
    pub(in crate::work) fn snapshots_rest(&self) -> bool {
        self.image.model.doomed().is_none()
            && self.clients.iter().all(|c| c.mind.removing.is_none())
    }
}
