//! An image: several objects, written by the one client that holds its lock, with snapshots that
//! come and go, read by all.

mod model;
mod ops;
mod owner;
mod snapshots;

use std::collections::BTreeSet;

use seabed_cluster::{Errno, SnapId};
use seabed_objecter::OpReply;

pub(crate) use owner::Stage;

use self::model::{Change, Model, SLOTS};
use super::{Ask as Any, Who};
use crate::plan::Plan;
use crate::world::World;

/// Objects of the image at most: many changes of few objects meet each other.
const OBJECTS_MAX: usize = 6;

/// The object that bears the lock and the watches.
pub(super) const HEADER: &str = "header";

/// The image as the judge knows it.
#[derive(Debug)]
pub(crate) struct Image {
    model: Model,
    objects: usize,
    /// Who was last given the lock, unless it was given back.
    holder: Option<Who>,
    /// Clients that somebody wished to be shut out, and those that a client saw shut out.
    accused: BTreeSet<Who>,
    fenced: BTreeSet<Who>,
    last_value: u32,
}

/// What a client waits for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A change: its number, and whether there was an object; or none of it may be done.
    Change {
        object: usize,
        change: Change,
        number: Option<(usize, bool)>,
    },
    /// A read, with the oldest content that it may show.
    Read {
        object: usize,
        floor: usize,
    },
    /// The first read after the former owner was shut out.
    FirstRead {
        object: usize,
        floor: usize,
    },
    /// A read at a snapshot, with the oldest content that it may show.
    ReadAt {
        object: usize,
        snap: SnapId,
        floor: usize,
    },
    /// Of the lock.
    Lock,
    Unlock,
    WhoLocks,
    Break,
}

impl Image {
    pub(crate) fn new(plan: &Plan) -> Image {
        let objects = plan.objects.min(OBJECTS_MAX);
        Image {
            model: Model::new(objects),
            objects,
            holder: None,
            accused: BTreeSet::new(),
            fenced: BTreeSet::new(),
            last_value: 0,
        }
    }

    /// Somebody wished that this client be shut out.
    pub(crate) fn is_accused(&self, who: Who) -> bool {
        self.accused.contains(&who)
    }

    /// Snapshots that writes keep.
    pub(crate) fn living(&self) -> BTreeSet<SnapId> {
        self.model.living().collect()
    }
}

fn name(object: usize) -> String {
    format!("image.{object}")
}

impl World {
    /// A client's turn.
    pub(super) fn work_on_image(&mut self, n: usize) {
        self.watch_and_ring(n);
        self.hear_of_snapshots(n);
        self.own(n);
        let client = &self.clients[n];
        let leaves = self.closing || client.mind.stage == Stage::Leaving;
        if leaves || client.pending.len() >= self.plan.depth {
            return;
        }
        match self.work_chance.below(12) {
            0 => self.count_on(n),
            1 => self.read_number(n),
            2..=3 => self.read_some(n),
            4 => self.read_some_at(n),
            _ if self.clients[n].mind.stage == Stage::Owner => self.change_some(n),
            _ => {}
        }
    }

    fn read_some(&mut self, n: usize) {
        let object = self.work_chance.index(self.image.objects);
        let floor = self.image.model.floor(self.who(n), object);
        self.ask(n, &name(object), ops::read(), Any::Image(Ask::Read { object, floor }));
    }

    fn read_some_at(&mut self, n: usize) {
        let living: Vec<SnapId> = self.image.model.living().collect();
        if !living.is_empty() {
            let object = self.work_chance.index(self.image.objects);
            let snap = self.work_chance.pick(&living);
            self.read_at(n, object, snap);
        }
    }

    fn read_at(&mut self, n: usize, object: usize, snap: SnapId) {
        let floor = self.image.model.floor(self.who(n), object);
        let what = Any::Image(Ask::ReadAt { object, snap, floor });
        self.ask_of(n, &name(object), ops::read(), snap, Default::default(), what);
    }

    fn draw_change(&mut self, object: usize) -> Change {
        self.image.last_value += 1;
        let value = self.image.last_value;
        let living: Vec<SnapId> = self.image.model.living().collect();
        let c = &mut self.work_chance;
        let slot = c.index(SLOTS);
        let slots = 1 + c.index(SLOTS - slot);
        match c.below(16) {
            0..=5 => Change::Write { slot, slots, value },
            6 => Change::Full { slots, value },
            7..=8 => Change::Zero { slot, slots },
            9 => Change::Cut { slots: slot },
            10 => Change::Mark { value },
            11..=12 => Change::Delete,
            _ if living.is_empty() => Change::Write { slot, slots, value },
            _ => {
                let snap = c.pick(&living);
                match self.image.model.shown(object, snap) {
                    Some(_) => Change::Rollback(snap),
                    None => Change::Delete,
                }
            }
        }
    }

    fn change_some(&mut self, n: usize) {
        let object = self.work_chance.index(self.image.objects);
        let change = self.draw_change(object);
        let context = self.image.model.context();
        let number = self.image.model.change(self.who(n), object, &change);
        let ops = ops::change(&change);
        let what = Any::Image(Ask::Change { object, change, number });
        self.ask_of(n, &name(object), ops, SnapId::HEAD, context, what);
    }

    /// Every client reads every object, now and at every snapshot, and the numbers.
    pub(super) fn read_image(&mut self) {
        let living = self.image.living();
        for n in 0..self.plan.clients {
            for object in 0..self.image.objects {
                let floor = self.image.model.floor(self.who(n), object);
                self.ask(n, &name(object), ops::read(), Any::Image(Ask::Read { object, floor }));
                for snap in &living {
                    self.read_at(n, object, *snap);
                }
            }
            self.read_numbers(n);
        }
    }

    pub(super) fn image_is_answered(
        &mut self,
        n: usize,
        what: Ask,
        reply: &OpReply,
    ) -> Result<(), String> {
        let who = self.who(n);
        match what {
            Ask::Change { object, change, number } => {
                let Some((number, existed)) = number else {
                    return Err(format!(
                        "{change:?} of image.{object} is answered {}, after another client has \
                         taken over",
                        reply.result
                    ));
                };
                let lacks = change == Change::Delete && !existed;
                let right = if lacks { Errno::ENOENT.wire() } else { 0 };
                if reply.result != right {
                    return Err(format!(
                        "{change:?} of image.{object} is answered {}",
                        reply.result
                    ));
                }
                self.count("image: changes");
                self.image.model.changed(who, object, number)
            }
            Ask::Read { object, floor } => {
                let content = ops::content(reply)?;
                self.image.model.seen(object, floor, &content)
            }
            Ask::ReadAt { object, snap, floor } => {
                let content = ops::content(reply)?;
                self.count("image: reads at snapshots");
                self.image.model.seen_at(object, snap, floor, &content)
            }
            Ask::FirstRead { object, floor } => {
                let content = ops::content(reply)?;
                // Who is shut out by now will hear of it.
                if !self.image.fenced.contains(&who) {
                    self.image.model.taken_over(who, object, floor, &content)?;
                    self.object_is_owned(n);
                }
                Ok(())
            }
            Ask::Lock => self.lock_is_answered(n, reply.result),
            Ask::Unlock => self.unlock_is_answered(n, reply.result),
            Ask::WhoLocks => self.locker_is_known(n, reply),
            Ask::Break => self.lock_is_broken(n, reply.result),
        }
    }
}
