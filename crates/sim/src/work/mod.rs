//! What clients do. A plan has one of two kinds of work, each with a model beside it:
//!
//! - `objects`: anybody changes any object in any way; an order of all that was done is searched
//!   (`check`).
//! - `image`: one client at a time changes an image with snapshots (`image`), while all read it,
//!   watch it and notify each other (`bell`), and add to numbers (`tally`).

mod bell;
mod image;
mod objects;
mod tally;

use std::time::Duration;

use seabed_cluster::{Errno, ObjectLocator, SnapId};
use seabed_denc::Bytes;
use seabed_messages::OsdOp;
use seabed_objecter::{OpReply, OpRequest, OpTarget, RequestId};

pub(crate) use bell::Bell;
pub(crate) use image::{Image, Stage};
pub(crate) use tally::Tally;

use crate::check::Call;
use crate::net::Node;
use crate::world::{Event, World};

/// The pool of all clients.
pub(crate) const POOL: &str = "sim";

/// A client in one of its lives.
pub(crate) type Who = (usize, u32);

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Anything on few objects.
    Objects,
    /// An image with snapshots.
    Image,
}

impl Work {
    /// All of it.
    pub const ALL: [Work; 2] = [Work::Objects, Work::Image];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Work::Objects => "objects",
            Work::Image => "image",
        }
    }
}

/// What a client waits for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// An operation of the history.
    Object(usize),
    /// The source of a copy, for an object.
    Source(usize, Call),
    /// Something about the image.
    Image(image::Ask),
    /// Something about a number.
    Tally(tally::Ask),
    /// The end of an answer to a notify.
    Heard,
}

/// What a client has on its mind, beside operations on their way.
#[derive(Debug, Default)]
pub(crate) struct Mind {
    /// About the image.
    pub(crate) stage: Stage,
    /// The snapshot it is having made.
    pub(crate) making: Option<RequestId>,
    /// The snapshot it is having removed.
    pub(crate) removing: Option<(RequestId, SnapId)>,
    /// Its watch, by its number in the bell's list.
    pub(crate) watch: Option<usize>,
    /// Its notify, and the place of that in the bell's list.
    pub(crate) ringing: Option<(RequestId, usize)>,
}

impl World {
    /// A client in its present life.
    pub(crate) fn who(&self, n: usize) -> Who {
        (n, self.clients[n].life)
    }

    /// A client's turn.
    pub(crate) fn work(&mut self, n: usize) {
        if !self.working {
            return;
        }
        let pause = self.work_chance.between(0, self.plan.think * 2);
        self.later(Duration::from_millis(pause + 1), Event::Work(n));
        match self.plan.work {
            Work::Objects => self.work_on_objects(n),
            Work::Image => self.work_on_image(n),
        }
    }

    fn target(&self, name: &str) -> Option<OpTarget> {
        let locator = ObjectLocator::new(self.pool?);
        Some(OpTarget::Object { locator, name: Bytes::from(name.to_string()) })
    }

    /// A client asks for something of an object.
    fn ask(&mut self, n: usize, name: &str, ops: Vec<OsdOp>, what: Ask) -> Option<RequestId> {
        self.ask_of(n, name, ops, SnapId::HEAD, (SnapId(0), Vec::new()), what)
    }

    /// The same, at a snapshot or with a snap context.
    fn ask_of(
        &mut self,
        n: usize,
        name: &str,
        ops: Vec<OsdOp>,
        snap: SnapId,
        snap_context: (SnapId, Vec<SnapId>),
        what: Ask,
    ) -> Option<RequestId> {
        let OpTarget::Object { locator, name } = self.target(name)? else { return None };
        let now = self.clock();
        let request = OpRequest::on_object(locator, name.clone(), ops, now.wall);
        let request = OpRequest { snap, snap_context, ..request };
        let mut out = Vec::new();
        let id = self.clients[n].objecter.submit(now, request, &mut out);
        if self.trace.is_loud() {
            let name = String::from_utf8_lossy(&name).into_owned();
            self.trace.line(self.now, Node::Client(n), format_args!("  {id:?} {name} {what:?}"));
        }
        self.clients[n].pending.insert(id, what);
        self.client_performs(n, out);
        Some(id)
    }

    /// What a client asked for is answered. The answer in words, or what is wrong with it.
    pub(crate) fn answered(&mut self, n: usize, what: Ask, reply: &OpReply) -> Result<(), String> {
        if reply.result == Errno::EBLOCKLISTED.wire() && self.plan.work == Work::Image {
            return self.is_shut_out(n);
        }
        match what {
            Ask::Object(op) => self.object_is_answered(n, op, reply),
            Ask::Source(object, copy) => self.source_is_made(n, object, copy, reply),
            Ask::Image(what) => self.image_is_answered(n, what, reply),
            Ask::Tally(what) => self.tally.answered(what, reply),
            Ask::Heard if reply.result == 0 => Ok(()),
            Ask::Heard => Err(format!("an answer to a notify is answered {}", reply.result)),
        }
    }

    /// A client learns that it is shut out. It ends, and begins anew under another address.
    fn is_shut_out(&mut self, n: usize) -> Result<(), String> {
        if !self.image.is_accused(self.who(n)) {
            return Err("it is shut out, and nobody wished it".into());
        }
        self.count("clients that found themselves shut out");
        self.kill_client(n);
        Ok(())
    }

    /// No client waits for anything.
    pub(crate) fn clients_are_content(&self) -> bool {
        self.clients.iter().all(|c| c.pending.is_empty() && c.mind.ringing.is_none())
    }

    /// What keeps the image from being at rest; `None` if nothing does.
    pub(crate) fn unclosed(&self) -> Option<String> {
        if !self.is_owned() {
            Some("nobody owns the image".into())
        } else if !self.snapshots_rest() {
            Some("snapshots are being removed".into())
        } else if !self.clients_are_content() {
            Some("clients wait for answers".into())
        } else {
            self.untrimmed().or_else(|| self.unwatched())
        }
    }

    /// Every client reads everything.
    pub(crate) fn read_all(&mut self) {
        match self.plan.work {
            Work::Objects => self.read_objects(),
            Work::Image => self.read_image(),
        }
    }
}
