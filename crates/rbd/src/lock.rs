//! The exclusive lock: taken before the first write, given up when another client asks.
//!
//! It is class `lock`'s on the header, as librbd has it: the cookie names the owner's watch, so
//! that everybody can see whether the owner lives. One without a watch is dead: its address is
//! blocklisted first, so that what it may still have in flight is refused, and then its lock
//! broken.

use std::time::Duration;

use seabed_classes::lock::{
    AssertOp, BreakOp, InfoOp, LockInfo, LockOp, LockerId, LockerInfo, UnlockOp,
};
use seabed_classes::rbd::wire::{BitVector, feature};
use seabed_cluster::{AddrKind, EntityAddr, Errno};
use seabed_denc::{Bytes, Encode};
use seabed_rados::{Operation, Pool};

use crate::call::{decode, get, lock, set};
use crate::error::{during, optional, unless};
use crate::image::Inner;
use crate::notice::{ClientId, Notice, read_answers};
use crate::object_map::{FAST_DIFF_INVALID, INVALID, ObjectMap};
use crate::{RbdError, call, names};

/// The name of the lock.
const NAME: &str = "rbd_lock";
/// Locks of librbd and the kernel carry it; a user's own (`rbd lock add`) another.
const TAG: &str = "internal";
const EXCLUSIVE: u8 = 1;
/// Before the owner's watch.
const COOKIE: &str = "auto ";
/// How long an owner that lives may take to give it up, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 12;

/// What the holder of the lock has.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The map, if the image has one; an update is stored while this is locked.
    pub map: tokio::sync::Mutex<Option<ObjectMap>>,
}

fn cookie(handle: u64) -> String {
    format!("{COOKIE}{handle}")
}

impl Inner {
    fn me(&self) -> Result<ClientId, RbdError> {
        let handle = self.watch_handle().ok_or_else(|| self.read_only())?;
        Ok(ClientId { gid: self.pool.cluster().id(), handle })
    }

    /// Takes the lock; the caller holds writers off. An image without the feature needs none.
    pub(crate) async fn take_lock(&self) -> Result<Held, RbdError> {
        let header = self.header().await?;
        if !header.has(feature::EXCLUSIVE_LOCK) {
            return Ok(Held::default());
        }
        let me = self.me()?;
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
            self.want_from_owner(&object, me, released).await?;
        }
        // What another has changed while it had the lock must be seen.
        let header = self.refresh().await?;
        let map = match header.has(feature::OBJECT_MAP) {
            true => Some(self.load_map(header.layout.objects(header.size), header.flags).await?),
            false => None,
        };
        self.tell(Notice::Acquired(me)).await;
        Ok(Held { map: tokio::sync::Mutex::new(map) })
    }

    /// Asks the owner for the lock, or breaks it if the owner is dead.
    async fn want_from_owner(
        &self,
        object: &str,
        me: ClientId,
        released: impl Future<Output = ()>,
    ) -> Result<(), RbdError> {
        let Some((id, owner)) = self.owner(&self.pool, object).await? else { return Ok(()) };
        if !id.cookie.starts_with(COOKIE.as_bytes()) {
            let who = format!("locked by {} ({})", id.locker, call::text(&id.cookie));
            return Err(self.busy(who));
        }
        let watchers = self.pool.watchers(object).await.map_err(during("watchers"))?;
        let lives = watchers.iter().any(|watcher| {
            same_client(&watcher.addr, &owner.addr)
                && cookie(watcher.cookie).as_bytes() == &id.cookie[..]
        });
        if !lives {
            tracing::info!(image = self.name, owner = %id.locker, "breaking the lock of the dead");
            self.fence(&owner.addr).await?;
            return self.break_lock(object, &id).await;
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

    async fn owner(
        &self,
        pool: &Pool,
        object: &str,
    ) -> Result<Option<(LockerId, LockerInfo)>, RbdError> {
        let input = InfoOp { name: NAME.into(), ..InfoOp::default() };
        let info = optional(lock(pool, object, "get_info", input).await)?.unwrap_or_default();
        if info.is_empty() {
            return Ok(None);
        }
        let info: LockInfo = decode("lock", info)?;
        Ok(info.lockers.into_iter().next())
    }

    async fn break_lock(&self, object: &str, id: &LockerId) -> Result<(), RbdError> {
        let input = BreakOp {
            name: NAME.into(),
            locker: id.locker,
            cookie: id.cookie.clone(),
            ..BreakOp::default()
        };
        let broken = lock(&self.pool, object, "break_lock", input).await.map(drop);
        unless(broken, Errno::ENOENT)
    }

    /// Has the cluster refuse what a client may still send.
    async fn fence(&self, addr: &EntityAddr) -> Result<(), RbdError> {
        let Some(socket) = addr.addr else { return Ok(()) };
        let command = format!(
            r#"{{"prefix":"osd blocklist","blocklistop":"add","addr":"{socket}/{}"}}"#,
            addr.nonce
        );
        let cluster = self.pool.cluster();
        let reply =
            cluster.mon_command(&command, Bytes::new()).await.map_err(during("blocklist"))?;
        if let Some(errno) = Errno::from_wire(reply.code) {
            return Err(self.busy(format!("its owner cannot be fenced: {errno} {}", reply.text)));
        }
        cluster.wait_for_latest_map().await.map(drop).map_err(during("blocklist"))
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
                    if let Some((id, _)) = self.owner(&self.pool, &object).await? {
                        self.break_lock(&object, &id).await?;
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
    pub(crate) fn assert_locked(&self) -> Result<Operation, RbdError> {
        if !self.known_header().has(feature::EXCLUSIVE_LOCK) {
            return Ok(Operation::new());
        }
        let input = AssertOp {
            name: NAME.into(),
            lock_type: EXCLUSIVE,
            cookie: cookie(self.me()?.handle).into(),
            tag: TAG.into(),
            ..AssertOp::default()
        };
        Ok(Operation::new().exec("lock", "assert_locked", input.to_bytes(0)))
    }

    /// Gives the lock up; the caller holds writers off, and nothing is in flight.
    pub(crate) async fn give_lock_up(&self) -> Result<(), RbdError> {
        let header = self.known_header();
        if !header.has(feature::EXCLUSIVE_LOCK) {
            return Ok(());
        }
        let me = self.me()?;
        if header.has(feature::OBJECT_MAP) {
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
