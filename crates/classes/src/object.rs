//! The port to the object that a method is called on.
//!
//! The PG implements it over a request in execution; tests implement it in memory. All reads see
//! the object as it was before the request (existence, size and time excepted), as in Ceph.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EntityAddr, EntityName, Errno, SnapId, UTime};
use seabed_denc::Bytes;

/// Weight of a line for the OSD's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ordinary steps.
    Debug,
    /// The stored state is not what the class wrote.
    Error,
}

/// Size in bytes and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Set by the client that wrote last.
    pub mtime: UTime,
}

/// A part of the omap, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: T,
    /// More follow.
    pub more: bool,
}

/// An object, as a method sees and changes it. Errors are those of the op of the same name.
pub trait Object {
    /// Who calls: its name and the address of its session.
    fn caller(&self) -> (EntityName, EntityAddr);
    /// Wall time of the OSD.
    fn now(&self) -> UTime;
    /// What the calling client understands.
    fn features(&self) -> u64;
    /// `require_osd_release` of the map, as a number (Pacific is 16).
    fn require_osd_release(&self) -> u8;
    /// How many ops of the request were begun before, those that methods did among them: with
    /// [`version`](Object::version) a name that grows and comes once.
    fn position(&self) -> usize;
    /// `user_version` of the PG's last change.
    fn version(&self) -> u64;
    /// `seq` of the object's snapset; 0 if there is none.
    fn snapset_seq(&self) -> SnapId;
    /// The newest snapshot of the request's snap context.
    fn snap_context_seq(&self) -> SnapId;
    /// Who watches the object.
    fn watchers(&mut self) -> Result<Vec<(EntityName, EntityAddr)>, Errno>;
    /// Fills with bytes that no other call gets; for names, not for keys.
    fn unique(&mut self, bytes: &mut [u8; 16]);
    /// A line for the OSD's log.
    fn log(&mut self, level: Level, text: String);

    /// ENOENT if there is no object.
    fn stat(&mut self) -> Result<Stat, Errno>;
    /// Up to `length` bytes (0: all) from `offset`; what lies behind the end is cut off.
    fn read(&mut self, offset: u64, length: u64) -> Result<Bytes, Errno>;
    /// ENODATA if there is no such attribute, ENOENT if there is no object.
    fn get_xattr(&mut self, name: &[u8]) -> Result<Bytes, Errno>;
    /// All attributes, by the names clients give them.
    fn get_xattrs(&mut self) -> Result<BTreeMap<Bytes, Bytes>, Errno>;
    /// The omap header; empty if there is none.
    fn omap_header(&mut self) -> Result<Bytes, Errno>;
    /// Keys behind `after`, at most `max`.
    fn omap_keys(&mut self, after: &[u8], max: u64) -> Result<Page<BTreeSet<Bytes>>, Errno>;
    /// Entries behind `after` whose key begins with `prefix`, at most `max`.
    fn omap_vals(
        &mut self,
        after: &[u8],
        prefix: &[u8],
        max: u64,
    ) -> Result<Page<BTreeMap<Bytes, Bytes>>, Errno>;
    /// Those of the keys that exist.
    fn omap_vals_by_keys(
        &mut self,
        keys: &BTreeSet<Bytes>,
    ) -> Result<BTreeMap<Bytes, Bytes>, Errno>;
    /// The value of one key; ENOENT if it does not exist.
    fn omap_val(&mut self, key: &[u8]) -> Result<Bytes, Errno> {
        let key = Bytes::copy_from_slice(key);
        let mut found = self.omap_vals_by_keys(&BTreeSet::from([key.clone()]))?;
        found.remove(&key).ok_or(Errno::ENOENT)
    }

    /// EEXIST if `exclusive` and the object exists.
    fn create(&mut self, exclusive: bool) -> Result<(), Errno>;
    /// ENOENT if there is no object.
    fn remove(&mut self) -> Result<(), Errno>;
    /// Writes a range; creates the object. `fadvise` are op flags.
    fn write(&mut self, offset: u64, data: Bytes, fadvise: u32) -> Result<(), Errno>;
    /// The data becomes exactly this.
    fn write_full(&mut self, data: Bytes, fadvise: u32) -> Result<(), Errno>;
    /// Cuts or extends.
    fn truncate(&mut self, size: u64) -> Result<(), Errno>;
    /// Zeroes a range of an existing object.
    fn zero(&mut self, offset: u64, length: u64) -> Result<(), Errno>;
    /// Sets an attribute; creates the object.
    fn set_xattr(&mut self, name: &[u8], value: Bytes) -> Result<(), Errno>;
    /// Removes an attribute.
    fn rm_xattr(&mut self, name: &[u8]) -> Result<(), Errno>;
    /// Sets entries; creates the object.
    fn omap_set(&mut self, entries: BTreeMap<Bytes, Bytes>) -> Result<(), Errno>;
    /// Sets the header; creates the object.
    fn omap_set_header(&mut self, header: Bytes) -> Result<(), Errno>;
    /// Removes entries.
    fn omap_rm(&mut self, keys: BTreeSet<Bytes>) -> Result<(), Errno>;
    /// Removes entries from `first` to `last`, `last` excluded.
    fn omap_rm_range(&mut self, first: &[u8], last: &[u8]) -> Result<(), Errno>;
    /// Removes entries and header.
    fn omap_clear(&mut self) -> Result<(), Errno>;
}
