//! Who may change the image: the client that holds its lock. Who wants it and finds it taken shuts
//! the holder out, waits until its own map says so, breaks the lock and takes it; then it reads
//! every object, to see where the former owner stopped.
//!
//! ```text
//! Reader ─▶ Locking ──────────────────────────────────────────▶ Reading ─▶ Owner
//!   ▲          │ taken                                              ▲        │
//!   │          ▼                                                    │        ▼
//!   └─────── Asking ─▶ Fencing ─▶ Breaking ─▶ Locking ──────────────┘     Leaving ─▶ Reader
//! ```

use seabed_cluster::Errno;
use seabed_objecter::{MonAnswer, MonRequest, OpReply, RequestId};

use super::ops::Locker;
use super::{Any, Ask, HEADER, name, ops};
use crate::client_node::addr;
use crate::net::Node;
use crate::work::Who;
use crate::world::World;

/// Where a client is on its way to the image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It only reads.
    #[default]
    Reader,
    Locking,
    /// Who has the lock?
    Asking,
    /// The holder is being shut out.
    Fencing {
        locker: Locker,
        victim: Who,
        asked: RequestId,
    },
    Breaking,
    /// It has the lock, and reads so many objects first.
    Reading {
        left: usize,
    },
    Owner,
    /// It gives the lock back when nothing is on its way.
    Leaving,
}

fn cookie(who: Who) -> String {
    format!("{} {}", who.0, who.1)
}

fn read_cookie(cookie: &[u8]) -> Option<Who> {
    let (n, life) = std::str::from_utf8(cookie).ok()?.split_once(' ')?;
    Some((n.parse().ok()?, life.parse().ok()?))
}

impl World {
    /// A client of this life runs.
    fn lives(&self, (n, life): Who) -> bool {
        self.clients[n].life == life
    }

    /// Somebody owns the image who may.
    pub(in crate::work) fn is_owned(&self) -> bool {
        self.image.holder.is_some_and(|who| {
            let owns = self.clients[who.0].mind.stage == Stage::Owner;
            self.lives(who) && owns && !self.image.fenced.contains(&who)
        })
    }

    /// A client's next step to the image, or away from it.
    pub(super) fn own(&mut self, n: usize) {
        match &self.clients[n].mind.stage {
            Stage::Reader => {
                let wants =
                    if self.closing { !self.is_owned() } else { self.work_chance.one_in(20) };
                if wants {
                    self.begin(n, Stage::Locking, Ask::Lock, ops::lock(&cookie(self.who(n))));
                }
            }
            Stage::Fencing { .. } => self.watch_fence(n),
            Stage::Owner => self.rule(n),
            Stage::Leaving if self.clients[n].pending.is_empty() => {
                // From here on others may have it.
                let who = self.who(n);
                self.image.holder.take_if(|holder| *holder == who);
                self.begin(n, Stage::Leaving, Ask::Unlock, ops::unlock(&cookie(who)));
            }
            _ => {}
        }
    }

    fn begin(&mut self, n: usize, stage: Stage, what: Ask, ops: Vec<seabed_messages::OsdOp>) {
        self.clients[n].mind.stage = stage;
        self.ask(n, HEADER, ops, Any::Image(what));
    }

    /// The owner makes and removes snapshots, and leaves sometimes.
    fn rule(&mut self, n: usize) {
        self.keep_snapshots(n);
        if !self.closing && self.work_chance.one_in(150) {
            self.clients[n].mind.stage = Stage::Leaving;
        }
    }

    pub(super) fn lock_is_answered(&mut self, n: usize, result: i32) -> Result<(), String> {
        let who = self.who(n);
        if result == Errno::EBUSY.wire() {
            let dead = self.image.holder.is_none_or(|who| !self.lives(who));
            let takes = match self.closing {
                true => dead,
                false => self.work_chance.one_in(if dead { 2 } else { 12 }),
            };
            if takes {
                self.begin(n, Stage::Asking, Ask::WhoLocks, ops::who_locks());
            } else {
                self.clients[n].mind.stage = Stage::Reader;
            }
            return Ok(());
        }
        if result != 0 {
            return Err(format!("the lock is answered {result}"));
        }
        self.count("image: locks taken");
        if !self.image.fenced.contains(&who) {
            // An answer that is late for one that is shut out by now says nothing.
            if let Some(other) = self.image.holder.replace(who)
                && self.lives(other)
                && !self.image.fenced.contains(&other)
            {
                return Err(format!("{who:?} has the lock, and {other:?} has it too"));
            }
        }
        self.clients[n].mind.stage = Stage::Reading { left: self.image.objects };
        for object in 0..self.image.objects {
            let floor = self.image.model.floor(who, object);
            let what = Any::Image(Ask::FirstRead { object, floor });
            self.ask(n, &name(object), ops::read(), what);
        }
        Ok(())
    }

    /// One more object was read after the lock was taken.
    pub(super) fn object_is_owned(&mut self, n: usize) {
        if let Stage::Reading { left } = &mut self.clients[n].mind.stage {
            *left -= 1;
            if *left == 0 {
                self.clients[n].mind.stage = Stage::Owner;
                self.image.model.doom_again();
            }
        }
    }

    pub(super) fn unlock_is_answered(&mut self, n: usize, result: i32) -> Result<(), String> {
        self.clients[n].mind.stage = Stage::Reader;
        if result == 0 { Ok(()) } else { Err(format!("the end of the lock is answered {result}")) }
    }

    /// Who has the lock is shut out.
    pub(super) fn locker_is_known(&mut self, n: usize, reply: &OpReply) -> Result<(), String> {
        self.clients[n].mind.stage = Stage::Reader;
        let output = reply.ops.first().map(|(_, output)| output.clone()).unwrap_or_default();
        if reply.result == Errno::ENOENT.wire() {
            // It was given back meanwhile.
            return Ok(());
        }
        if reply.result != 0 {
            return Err(format!("who has the lock is answered {}", reply.result));
        }
        let locker = ops::locker(output).map_err(|e| e.to_string())?;
        let Some(locker) = locker else { return Ok(()) };
        let victim = read_cookie(&locker.cookie).ok_or("the lock has a cookie of nobody")?;
        self.image.accused.insert(victim);
        let addr = addr(victim.0, victim.1).legacy_text();
        let text = format!(r#"{{"prefix":"osd blocklist","blocklistop":"add","addr":"{addr}"}}"#);
        self.trace.line(self.now, Node::Client(n), format_args!("  asks {text}"));
        let asked = self.ask_mon_as(n, MonRequest::Command { text, input: Default::default() });
        self.clients[n].mind.stage = Stage::Fencing { locker, victim, asked };
        Ok(())
    }

    /// Once the client's own map shows the fence, every OSD it asks has it too.
    fn watch_fence(&mut self, n: usize) {
        let client = &self.clients[n];
        let Stage::Fencing { locker, victim, asked } = &client.mind.stage else { return };
        let (locker, victim) = (locker.clone(), *victim);
        if let Some(answer) = client.answers.get(asked)
            && !matches!(answer, MonAnswer::Command { code: 0, .. })
        {
            let why = format!("client.{n}: {victim:?} is not shut out: {answer:?}");
            return self.fail(why);
        }
        let shut_out = client.objecter.map().is_some_and(|m| {
            let addr = addr(victim.0, victim.1);
            m.is_blocklisted(&addr)
        });
        if shut_out {
            self.count("image: owners shut out");
            self.image.fenced.insert(victim);
            self.begin(n, Stage::Breaking, Ask::Break, ops::break_lock(&locker));
        }
    }

    pub(super) fn lock_is_broken(&mut self, n: usize, result: i32) -> Result<(), String> {
        if result != 0 && result != Errno::ENOENT.wire() {
            return Err(format!("the break of the lock is answered {result}"));
        }
        self.begin(n, Stage::Locking, Ask::Lock, ops::lock(&cookie(self.who(n))));
        Ok(())
    }
}
