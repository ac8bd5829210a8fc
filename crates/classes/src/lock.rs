//! Class `lock`: advisory locks on an object, each an attribute `lock.NAME`.
//!
//! A lock has lockers, all of one type, who agree on a tag. A locker is a client and a cookie; its
//! address is remembered for those who want to blocklist it, and its protocol is forgotten, since
//! a client does not speak the same one to every OSD. Expired lockers count as gone; they
//! disappear when the lock is next written.

// The macros that declare the wire's types make them `pub`.
#![allow(unreachable_pub)]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::{AddrKind, EntityAddr, EntityName, Errno, UTime};
use seabed_denc::{Bytes, Encode, versioned};

use crate::codec::{input, stored};
use crate::{Access, Class, Done, Level, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "lock",
    methods: &[
        Method { name: "lock", access: Access::RDWR, run: lock },
        Method { name: "unlock", access: Access::RDWR, run: unlock },
        Method { name: "break_lock", access: Access::RDWR, run: break_lock },
        Method { name: "get_info", access: Access::RD, run: get_info },
        Method { name: "list_locks", access: Access::RD, run: list_locks },
        Method { name: "assert_locked", access: Access::RD, run: assert_locked },
        Method { name: "set_cookie", access: Access::RDWR, run: set_cookie },
    ],
};

/// What the name of a lock's attribute begins with.
const PREFIX: &[u8] = b"lock.";

/// Types of locks.
const EXCLUSIVE: u8 = 1;
const SHARED: u8 = 2;
/// Exclusive, and the object goes with the lock.
const EPHEMERAL: u8 = 3;

/// Flags of a wish to lock.
const MAY_RENEW: u8 = 1;
const MUST_RENEW: u8 = 2;

versioned! {
    pub struct LockerId(1, 1) {
        locker: EntityName,
        cookie: Bytes,
    }
}

impl Ord for LockerId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.locker, &self.cookie).cmp(&(other.locker, &other.cookie))
    }
}

impl PartialOrd for LockerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

versioned! {
    pub struct LockerInfo(1, 1) {
        expiration: UTime,
        addr: EntityAddr,
        description: Bytes,
    }
}

versioned! {
    /// What is stored, and the output of `get_info`.
    pub struct LockInfo(1, 1) {
        lockers: BTreeMap<LockerId, LockerInfo>,
        lock_type: u8,
        tag: Bytes,
    }
}

versioned! {
    pub struct LockOp(1, 1) {
        name: Bytes,
        lock_type: u8,
        cookie: Bytes,
        tag: Bytes,
        description: Bytes,
        duration: UTime,
        flags: u8,
    }
}

versioned! {
    pub struct UnlockOp(1, 1) {
        name: Bytes,
        cookie: Bytes,
    }
}

versioned! {
    pub struct BreakOp(1, 1) {
        name: Bytes,
        locker: EntityName,
        cookie: Bytes,
    }
}

versioned! {
    pub struct InfoOp(1, 1) {
        name: Bytes,
    }
}

versioned! {
    pub struct AssertOp(1, 1) {
        name: Bytes,
        lock_type: u8,
        cookie: Bytes,
        tag: Bytes,
    }
}

versioned! {
    pub struct SetCookieOp(1, 1) {
        name: Bytes,
        lock_type: u8,
        cookie: Bytes,
        tag: Bytes,
        new_cookie: Bytes,
    }
}

versioned! {
    pub struct Locks(1, 1) {
        locks: Vec<Bytes>,
    }
}

/// The lock without those of its lockers that have expired; one that was never taken is empty.
fn load(object: &mut dyn Object, name: &[u8]) -> Result<LockInfo, Errno> {
    let attribute = [PREFIX, name].concat();
    let bytes = match object.get_xattr(&attribute) {
        Ok(bytes) => bytes,
        Err(Errno::ENODATA) => return Ok(LockInfo::default()),
        Err(e) => return Err(e),
    };
    let mut lock: LockInfo = stored(object, &attribute, bytes)?;
    let now = object.now();
    lock.lockers.retain(|_, info| info.expiration.is_zero() || info.expiration >= now);
    Ok(lock)
}

fn store(object: &mut dyn Object, name: &[u8], lock: &LockInfo) -> Done {
    let bytes = lock.to_bytes(object.features());
    object.set_xattr(&[PREFIX, name].concat(), bytes)?;
    Ok(Output::default())
}

/// What every lock that is named must be.
fn check(name: &[u8], lock_type: u8) -> Result<(), Errno> {
    let known = matches!(lock_type, EXCLUSIVE | SHARED | EPHEMERAL);
    if known && !name.is_empty() { Ok(()) } else { Err(Errno::EINVAL) }
}

fn busy(object: &mut dyn Object, why: &str) -> Errno {
    object.log(Level::Debug, format!("lock: {why}"));
    Errno::EBUSY
}

fn lock(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: LockOp = input(bytes)?;
    let (may_renew, must_renew) = (op.flags & MAY_RENEW != 0, op.flags & MUST_RENEW != 0);
    check(&op.name, op.lock_type)?;
    if may_renew && must_renew {
        return Err(Errno::EINVAL);
    }
    let mut lock = match load(object, &op.name) {
        Err(Errno::ENOENT) => LockInfo::default(),
        lock => lock?,
    };
    let (locker, addr) = object.caller();
    let id = LockerId { locker, cookie: op.cookie, ..LockerId::default() };
    if !lock.lockers.is_empty() && op.tag != lock.tag {
        return Err(busy(object, "another tag"));
    }
    match lock.lockers.remove(&id) {
        Some(_) if !may_renew && !must_renew => return Err(Errno::EEXIST),
        None if must_renew => return Err(Errno::ENOENT),
        _ => {}
    }
    let others = !lock.lockers.is_empty();
    if others && (op.lock_type != SHARED || lock.lock_type != SHARED) {
        return Err(busy(object, "others have it"));
    }
    let expiration = match op.duration.is_zero() {
        true => UTime::ZERO,
        false => object.now() + Duration::new(op.duration.sec.into(), op.duration.nsec),
    };
    let addr = EntityAddr { kind: AddrKind::Legacy, ..addr };
    let description = op.description;
    let info = LockerInfo { expiration, addr, description, ..LockerInfo::default() };
    lock.lockers.insert(id, info);
    (lock.lock_type, lock.tag) = (op.lock_type, op.tag);
    store(object, &op.name, &lock)
}

/// Removes a locker; with an ephemeral lock the object goes.
fn remove(object: &mut dyn Object, name: &[u8], id: &LockerId) -> Done {
    let mut lock = load(object, name)?;
    lock.lockers.remove(id).ok_or(Errno::ENOENT)?;
    if lock.lock_type == EPHEMERAL {
        object.remove()?;
        return Ok(Output::default());
    }
    store(object, name, &lock)
}

fn unlock(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: UnlockOp = input(bytes)?;
    let locker = object.caller().0;
    remove(object, &op.name, &LockerId { locker, cookie: op.cookie, ..LockerId::default() })
}

fn break_lock(object: &mut dyn Object, bytes: Bytes) -> Done {
    let BreakOp { name, locker, cookie, .. } = input(bytes)?;
    remove(object, &name, &LockerId { locker, cookie, ..LockerId::default() })
}

fn get_info(object: &mut dyn Object, bytes: Bytes) -> Done {
    let op: InfoOp = input(bytes)?;
    let lock = load(object, &op.name)?;
    Ok(lock.to_bytes(object.features()).into())
}

fn list_locks(object: &mut dyn Object, _: Bytes) -> Done {
    let names = object.get_xattrs()?.into_keys().filter(|name| name.starts_with(PREFIX));
    let locks = names.map(|name| name.slice(PREFIX.len()..)).collect();
    Ok(Locks { locks, ..Locks::default() }.to_bytes(0).into())
}

/// The lock, if the caller holds it in just this way.
fn held(object: &mut dyn Object, op: &AssertOp) -> Result<(LockInfo, LockerId), Errno> {
    check(&op.name, op.lock_type)?;
    let lock = load(object, &op.name)?;
    let locker = object.caller().0;
    let id = LockerId { locker, cookie: op.cookie.clone(), ..LockerId::default() };
    if lock.lock_type != op.lock_type || lock.tag != op.tag || !lock.lockers.contains_key(&id) {
        return Err(busy(object, "the caller does not hold it so"));
    }
    Ok((lock, id))
}

fn assert_locked(object: &mut dyn Object, bytes: Bytes) -> Done {
    held(object, &input(bytes)?)?;
    Ok(Output::default())
}

fn set_cookie(object: &mut dyn Object, bytes: Bytes) -> Done {
    let SetCookieOp { name, lock_type, cookie, tag, new_cookie, .. } = input(bytes)?;
    let op = AssertOp { name, lock_type, cookie, tag, ..AssertOp::default() };
    let (mut lock, id) = held(object, &op)?;
    let new = LockerId { cookie: new_cookie, ..id.clone() };
    if lock.lockers.contains_key(&new) {
        return Err(busy(object, "the new cookie is in use"));
    }
    let info = lock.lockers.remove(&id).ok_or(Errno::EBUSY)?;
    lock.lockers.insert(new, info);
    store(object, &op.name, &lock)
}
