//! Copies that wait for their source: a request with a COPY_FROM is kept, and with it everything
//! behind it on its object, while the OSD gathers what it is copied from.
//!
//! ```text
//! request ──▶ executed: names its source ──▶ waits ──(gathered)──▶ executed again, with it
//!                                              │ └──(failed)─────▶ the error is the answer
//!                                              └──(interval ends)▶ taken up in the next one
//! ```
//!
//! Two copies may need each other's object. So what an OSD reads for a copy passes those that wait:
//! it is shown the object as it still is. Nobody's order is hurt: that OSD's reads are of no
//! client's sequence.
//!
//! Invariants: an object has at most one copy, and it is the oldest request that waits for it; a
//! source that is asked for is taken or given up, once; one that nobody waits for is ignored.

use std::collections::{BTreeMap, VecDeque};

use seabed_cluster::{EntityType, Errno, HObject};

use crate::op::{self, Copied, CopySource, ReqIds};
use crate::{ClientOp, Env, FetchId, Pg, Request, SessionId, Step};

/// A copy, and what waits behind it.
#[derive(Debug)]
struct Copying {
    fetch: FetchId,
    request: ClientOp,
    behind: VecDeque<ClientOp>,
}

/// Copies whose source is being gathered, by the object they make.
#[derive(Debug, Default)]
pub(crate) struct Copies(BTreeMap<HObject, Copying>);

impl Copies {
    /// Puts a request behind the copy of its object; gives it back if there is none.
    pub(crate) fn push(&mut self, object: &HObject, op: ClientOp) -> Option<ClientOp> {
        match self.0.get_mut(object) {
            Some(copying) => {
                copying.behind.push_back(op);
                None
            }
            None => Some(op),
        }
    }

    /// Forgets a session's requests, but for those whose source is on its way: they come to their
    /// end as if they had been carried out before the session ended.
    pub(crate) fn forget(&mut self, session: SessionId) {
        for copying in self.0.values_mut() {
            copying.behind.retain(|op| op.session != session);
        }
    }

    /// Everything that waits.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &ClientOp> {
        self.0.values().flat_map(|c| std::iter::once(&c.request).chain(&c.behind))
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(|c| 1 + c.behind.len()).sum()
    }

    /// Gives up every source. The requests, those of one object in order.
    pub(crate) fn give_up(&mut self, env: &mut Env<'_>) -> VecDeque<ClientOp> {
        let mut all = VecDeque::new();
        for (_, copying) in std::mem::take(&mut self.0) {
            env.out.request(Request::StopFetch(copying.fetch));
            all.push_back(copying.request);
            all.extend(copying.behind);
        }
        all
    }
}

/// True for what an OSD reads because somebody copies it.
pub(crate) fn is_fetch(op: &ClientOp) -> bool {
    op.entity.kind == EntityType::Osd && !op::may_write(&op.message)
}

impl Pg {
    /// A request needs its source before it can go on.
    pub(crate) fn wait_for_source(
        &mut self,
        env: &mut Env<'_>,
        object: HObject,
        request: ClientOp,
        source: Box<CopySource>,
    ) {
        let fetch = env.ids.next_fetch();
        env.out.request(Request::Fetch(self.id, fetch, source));
        self.waiting.copies.0.insert(object, Copying { fetch, request, behind: VecDeque::new() });
    }

    /// A source was gathered, or could not be.
    pub fn fetched(
        &mut self,
        env: &mut Env<'_>,
        fetch: FetchId,
        result: Result<Box<Copied>, Errno>,
    ) -> Step {
        let waiting = &mut self.waiting.copies.0;
        let Some(object) = waiting.iter().find(|(_, c)| c.fetch == fetch).map(|(o, _)| o.clone())
        else {
            return Ok(());
        };
        let Some(Copying { request, behind, .. }) = waiting.remove(&object) else { return Ok(()) };
        if !self.is_readable(env.now.mono) {
            // Nothing is said now that another primary could know better.
            let newer = std::mem::take(&mut self.waiting.active);
            self.waiting.active = std::iter::once(request).chain(behind).chain(newer).collect();
            return Ok(());
        }
        match result {
            Ok(copied) => self.serve_with(env, request, Some(&copied))?,
            Err(error) => self.reply_error(env, request, error)?,
        }
        for op in behind {
            self.serve(env, op)?;
        }
        Ok(())
    }

    /// The requests that changed an object last, for whoever copies it.
    pub(crate) fn reqids_of(&self, object: &HObject) -> ReqIds {
        let mut found = ReqIds::default();
        for entry in self.log.entries().iter().rev().filter(|e| e.soid == *object) {
            if entry.reqid != seabed_cluster::ReqId::default() {
                if entry.op == seabed_cluster::LogOp::Error {
                    found.1.insert(found.0.len() as u32, entry.return_code);
                }
                found.0.push((entry.reqid, entry.user_version));
            }
            found.0.extend_from_slice(&entry.extra_reqids);
            if found.0.len() >= op::REQIDS_TOLD {
                found.0.truncate(op::REQIDS_TOLD);
                break;
            }
        }
        found
    }
}
