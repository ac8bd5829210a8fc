//! The exclusive lock: taken before the first write, given up when another client asks.
//!
//! It is class `lock`'s on the header, as librbd has it: the cookie names the owner's watch, so
//! that everybody can see whether the owner lives. One without a watch is dead: its address is
//! blocklisted first, so that what it may still have in flight is refused, and then its lock
//! broken.

use std::time::Duration;

use seabed_classes::lock::{AssertOp, LockOp, SetCookieOp, UnlockOp};
use seabed_classes::rbd::wire::{BitVector, feature};
use seabed_cluster::{AddrKind, EntityAddr, Errno};
use seabed_denc::Encode;
use seabed_rados::Operation;

use crate::call::{get, lock, set};
use crate::error::{during, unless};
use crate::image::Inner;
use crate::notice::{ClientId, Notice, read_answers};
use crate::object_map::{FAST_DIFF_INVALID, INVALID, ObjectMap};
use crate::usage::{break_lock, owners};
use crate::{RbdError, names};

/// The name of the lock.
pub(crate) const NAME: &str = "rbd_lock";
/// Locks of librbd and the kernel carry it; a user's own (`rbd lock add`) another.
const TAG: &str = "internal";
pub(crate) const EXCLUSIVE: u8 = 1;
pub(crate) const SHARED: u8 = 2;
/// Before the owner's watch.
const COOKIE: &str = "auto ";
/// How long an owner that lives may take to give it up, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 12;
/// How long a handle of this process has to watch again, and how often it is looked at.
const RENEWAL: Duration = Duration::from_secs(1);
const RENEWALS: u32 = 5;

/// What the holder of the lock has.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The map, if the image has one; an update is stored while this is locked.
    pub map: tokio::sync::Mutex<Option<ObjectMap>>,
    /// The watch that the lock names; `None` for an image without locks.
    pub owner: Option<ClientId>,
}

fn cookie(handle: u64) -> String {
    format!("{COOKIE}{handle}")
}

impl Inner {
    pub(crate) async fn me(&self) -> Result<ClientId, RbdError> {
        let handle = self.watch_handle().await.ok_or_else(|| self.read_only())?;
        Ok(ClientId { gid: self.pool.cluster().id(), handle })
    }

    /// Takes the lock; the caller holds writers off. An image without the feature needs none.
    pub(crate) async fn take_lock(&self) -> Result<Held, RbdError> {
        let header = self.header().await?;
        if !header.has(feature::EXCLUSIVE_LOCK) {
            return Ok(Held::default());
        }
        let me = self.me().await?;
        let object = names::header(&self.id);
        let wanted = LockOp {
            name: NAME.into(),
            lock_type: EXCLUSIVE,
            cookie: cookie(me.handle).into(),
            tag: TAG.into(),
            ..LockOp::default()
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let released = self.signals.released.notified();
            match lock(&self.pool, &object, "lock", wanted.clone()).await {
                Ok(_) => break,
                Err(error) if error.errno() == Some(Errno::EEXIST) => break,
                Err(error) if error.errno() == Some(Errno::EBUSY) && attempt < ATTEMPTS => {}
                Err(error) if error.errno() == Some(Errno::EBUSY) => {
                    return Err(self.busy("its owner does not give the lock up".into()));
                }
                Err(error) => return Err(error),
            }
            self.want_from_owner(&object, me, attempt, released).await?;
        }
        // What another has changed while it had the lock must be seen.
        let header = self.refresh().await?;
        let map = match header.has(feature::OBJECT_MAP) {
            true => Some(self.load_map(header.layout.objects(header.size), header.flags).await?),
            false => None,
        };
        self.tell(Notice::Acquired(me)).await;
        Ok(Held { map: tokio::sync::Mutex::new(map), owner: Some(me) })
    }

    /// Asks the owner for the lock, or breaks it if the owner is dead.
    async fn want_from_owner(
        &self,
        object: &str,
        me: ClientId,
        attempt: u32,
        released: impl Future<Output = ()>,
    ) -> Result<(), RbdError> {
        let owners = owners(&self.pool, object).await?;
        let Some(owner) = owners.into_iter().next() else { return Ok(()) };
        if !owner.cookie.starts_with(COOKIE) {
            return Err(self.busy(format!("locked by {} ({})", owner.client, owner.cookie)));
        }
        let watchers = self.pool.watchers(object).await.map_err(during("watchers"))?;
        let lives = watchers.iter().any(|watcher| {
            same_client(&watcher.addr, &owner.addr) && cookie(watcher.cookie) == owner.cookie
        });
        if !lives {
            let client = owner.client;
            let cluster = self.pool.cluster();
            if same_client(&cluster.addr(), &owner.addr) {
                // Another handle of ours: dropped, or about to have its watch again. This process
                // lives and must not be shut out.
                if attempt < RENEWALS {
                    let _ = tokio::time::timeout(RENEWAL, released).await;
                    return Ok(());
                }
                return break_lock(&self.pool, object, &owner).await;
            }
            tracing::info!(image = self.name, owner = %client, "breaking the lock of the dead");
            cluster.blocklist(&owner.addr, None).await.map_err(during("blocklist"))?;
            return break_lock(&self.pool, object, &owner).await;
        }
        let payload = Notice::Request(me).to_bytes(0);
        let asked = self.pool.notify(object, payload, PATIENCE.as_secs() as u32).await;
        let asked = asked.map_err(during("asking for the lock"))?;
        match read_answers(asked.acks.into_iter().map(|(_, bytes)| bytes)) {
            Some(Err(errno)) => Err(self.busy(format!("its owner keeps the lock: {errno}"))),
            // Whoever gives it up says so; one who dies now is found dead the next time.
            Some(Ok(())) | None => {
                let _ = tokio::time::timeout(PATIENCE, released).await;
                Ok(())
            }
        }
    }

    /// Locks and reads the object map. What cannot be read is marked as not to be trusted.
    async fn load_map(&self, objects: u64, flags: u64) -> Result<ObjectMap, RbdError> {
        let object = names::object_map(&self.id, None);
        let wanted = LockOp { name: NAME.into(), lock_type: EXCLUSIVE, ..LockOp::default() };
        for _ in 0..ATTEMPTS {
            match lock(&self.pool, &object, "lock", wanted.clone()).await {
                Ok(_) => break,
                Err(error) if error.errno() == Some(Errno::EEXIST) => break,
                // Whoever had the image's lock before us had this one too, and is gone.
                Err(error) if error.errno() == Some(Errno::EBUSY) => {
                    for owner in owners(&self.pool, &object).await? {
                        break_lock(&self.pool, &object, &owner).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let loaded: Result<BitVector, RbdError> =
            get(&self.pool, &object, "object_map_load", ()).await;
        let (states, bad) = match loaded {
            Ok(states) => (states, false),
            Err(RbdError::Malformed(_)) => (BitVector::default(), true),
            Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EINVAL)) => {
                (BitVector::default(), true)
            }
            Err(error) => return Err(error),
        };
        let mut flags = flags;
        if (bad || states.len() != objects) && flags & INVALID == 0 {
            flags |= INVALID | FAST_DIFF_INVALID;
            let mask = INVALID | FAST_DIFF_INVALID;
            set(&self.pool, &names::header(&self.id), "set_flags", (flags, mask)).await?;
            tracing::warn!(image = self.name, "the object map does not fit and is not used");
        }
        Ok(ObjectMap::new(states, objects, flags))
    }

    /// Fails unless this client holds the lock of the header that the operation is on.
    pub(crate) fn assert_locked(&self, held: &Held) -> Operation {
        let Some(owner) = held.owner else { return Operation::new() };
        let input = AssertOp {
            name: NAME.into(),
            lock_type: EXCLUSIVE,
            cookie: cookie(owner.handle).into(),
            tag: TAG.into(),
            ..AssertOp::default()
        };
        Operation::new().exec("lock", "assert_locked", input.to_bytes(0))
    }

    /// Has the lock name the watch that there is now; the caller holds writers off.
    ///
    /// Errors: EBUSY or ENOENT if it is not held any more.
    pub(crate) async fn rename_lock(&self, held: &mut Held) -> Result<(), RbdError> {
        let Some(owner) = held.owner else { return Ok(()) };
        let me = self.me().await?;
        if owner == me {
            return Ok(());
        }
        let input = SetCookieOp {
            name: NAME.into(),
            lock_type: EXCLUSIVE,
            cookie: cookie(owner.handle).into(),
            tag: TAG.into(),
            new_cookie: cookie(me.handle).into(),
            ..SetCookieOp::default()
        };
        lock(&self.pool, &names::header(&self.id), "set_cookie", input).await?;
        held.owner = Some(me);
        self.tell(Notice::Acquired(me)).await;
        Ok(())
    }

    /// Gives the lock up; the caller holds writers off, and nothing is in flight.
    pub(crate) async fn give_lock_up(&self, held: &Held) -> Result<(), RbdError> {
        let Some(me) = held.owner else { return Ok(()) };
        if held.map.lock().await.is_some() {
            let object = names::object_map(&self.id, None);
            let input = UnlockOp { name: NAME.into(), ..UnlockOp::default() };
            let unlocked = lock(&self.pool, &object, "unlock", input).await.map(drop);
            unless(unlocked, Errno::ENOENT)?;
        }
        let cookie = cookie(me.handle).into();
        let input = UnlockOp { name: NAME.into(), cookie, ..UnlockOp::default() };
        let unlocked = lock(&self.pool, &names::header(&self.id), "unlock", input).await.map(drop);
        unless(unlocked, Errno::ENOENT)?;
        self.tell(Notice::Released(me)).await;
        Ok(())
    }

    /// Tells the other clients of the image. Nobody has to hear it: those who miss it look.
    pub(crate) async fn tell(&self, notice: Notice) {
        let told = self.pool.notify(names::header(&self.id), notice.to_bytes(0), 5).await;
        if let Err(error) = told {
            tracing::debug!(image = self.name, %error, ?notice, "not told");
        }
    }
}

/// Fails unless this client holds the lock of the object map that the operation is on.
pub(crate) fn assert_map_locked() -> Operation {
    let input = AssertOp { name: NAME.into(), lock_type: EXCLUSIVE, ..AssertOp::default() };
    Operation::new().exec("lock", "assert_locked", input.to_bytes(0))
}

/// The kind of an address is not kept with a lock.
fn same_client(one: &EntityAddr, other: &EntityAddr) -> bool {
    let bare = |addr: &EntityAddr| EntityAddr { kind: AddrKind::None, ..*addr };
    bare(one) == bare(other)
}
