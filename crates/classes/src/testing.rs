//! An object in memory: the port for tests, golden replays and fuzzing.
//!
//! As in the OSD, reads see the object as it was before the request (existence, size and time
//! excepted); [`MemoryObject::call`] is a request of one op, [`MemoryObject::vector`] one of many.
//! A failed request leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EntityAddr, EntityName, EntityType, Errno, SnapId, UTime};
use seabed_denc::Bytes;

use crate::{Access, Done, Level, Object, Output, Page, Stat, find};

/// What is stored of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The bytes.
    pub data: Vec<u8>,
    /// Attributes, by the names clients give them.
    pub xattrs: BTreeMap<Bytes, Bytes>,
    /// The omap header.
    pub header: Bytes,
    /// The omap.
    pub omap: BTreeMap<Bytes, Bytes>,
}

/// An object and the request that is running on it.
#[derive(Debug, Clone)]
pub struct MemoryObject {
    before: Option<Stored>,
    after: Option<Stored>,
    position: usize,
    unique: u64,
    version: u64,
    access: Access,
    /// Who calls.
    pub caller: (EntityName, EntityAddr),
    /// The OSD's wall time, and what a write leaves as the object's time.
    pub now: UTime,
    /// The caller's features.
    pub features: u64,
    /// The map's `require_osd_release`.
    pub require_osd_release: u8,
    /// `seq` of the snapset.
    pub snapset_seq: SnapId,
    /// `seq` of the request's snap context.
    pub snap_context_seq: SnapId,
    /// Who watches the object.
    pub watchers: Vec<(EntityName, EntityAddr)>,
    /// What was logged.
    pub lines: Vec<(Level, String)>,
}

impl Default for MemoryObject {
    fn default() -> Self {
        MemoryObject {
            before: None,
            after: None,
            position: 0,
            unique: 0,
            version: 0,
            access: Access::RDWR,
            caller: (EntityName { kind: EntityType::Client, num: 4100 }, EntityAddr::default()),
            now: UTime { sec: 1_700_000_000, nsec: 5 },
            features: u64::MAX,
            require_osd_release: 16,
            snapset_seq: SnapId(0),
            snap_context_seq: SnapId(0),
            watchers: Vec::new(),
            lines: Vec::new(),
        }
    }
}

impl MemoryObject {
    /// An object that exists and is empty.
    pub fn existing() -> Self {
        MemoryObject::with(Stored::default())
    }

    /// An object that exists and has this content.
    pub fn with(stored: Stored) -> Self {
        MemoryObject {
            before: Some(stored.clone()),
            after: Some(stored),
            ..MemoryObject::default()
        }
    }

    /// What is stored; `None` if there is no object.
    pub fn stored(&self) -> Option<&Stored> {
        self.before.as_ref()
    }

    /// Changes what is stored, as other ops of clients do; makes the object.
    pub fn edit(&mut self, change: impl FnOnce(&mut Stored)) {
        change(self.after.get_or_insert_default());
        self.before = self.after.clone();
    }

    /// Forgets the object.
    pub fn erase(&mut self) {
        (self.before, self.after) = (None, None);
    }

    /// A request of one call.
    pub fn call(&mut self, class: &str, method: &str, input: impl Into<Bytes>) -> Done {
        let mut done = self.vector([(class, method, input.into())]);
        done.pop().expect("one call, one answer")
    }

    /// A request of several calls: their answers up to the first error, which undoes all.
    pub fn vector<'a>(
        &mut self,
        calls: impl IntoIterator<Item = (&'a str, &'a str, Bytes)>,
    ) -> Vec<Done> {
        let mut answers = Vec::new();
        for (position, (class, method, input)) in calls.into_iter().enumerate() {
            self.position = position;
            let done = self.run(class, method, input);
            let failed = !matches!(&done, Ok(output) if output.result >= 0);
            answers.push(done);
            if failed {
                self.after = self.before.clone();
                return answers;
            }
        }
        if self.before != self.after {
            self.version += 1;
            self.before = self.after.clone();
        }
        answers
    }

    fn run(&mut self, class: &str, method: &str, input: Bytes) -> Result<Output, Errno> {
        let method = find(class.as_bytes(), method.as_bytes())?;
        // A request that cannot create its object is refused before its first op.
        if self.after.is_none() && !method.access.write {
            return Err(Errno::ENOENT);
        }
        self.access = method.access;
        (method.run)(self, input)
    }

    fn create_if_absent(&mut self) -> &mut Stored {
        assert!(self.access.write, "a method without write access changes its object");
        self.after.get_or_insert_default()
    }

    fn present(&mut self) -> Result<&mut Stored, Errno> {
        assert!(self.access.write, "a method without write access changes its object");
        self.after.as_mut().ok_or(Errno::ENOENT)
    }
}

fn index(n: u64) -> Result<usize, Errno> {
    // The OSD's own limit on objects keeps hostile offsets away from memory.
    if n > 128 << 20 { Err(Errno::EFBIG) } else { Ok(n as usize) }
}

fn page(
    omap: &BTreeMap<Bytes, Bytes>,
    after: &[u8],
    prefix: &[u8],
    max: u64,
) -> Page<BTreeMap<Bytes, Bytes>> {
    let from = if after >= prefix { after } else { prefix };
    let mut behind = omap
        .range(Bytes::copy_from_slice(from)..)
        .filter(|(key, _)| &key[..] > after)
        .take_while(|(key, _)| key.starts_with(prefix));
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let entries = behind.by_ref().take(max).map(|(k, v)| (k.clone(), v.clone())).collect();
    Page { entries, more: behind.next().is_some() }
}

impl Object for MemoryObject {
    fn caller(&self) -> (EntityName, EntityAddr) {
        self.caller
    }
    fn now(&self) -> UTime {
        self.now
    }
    fn features(&self) -> u64 {
        self.features
    }
    fn require_osd_release(&self) -> u8 {
        self.require_osd_release
    }
    fn position(&self) -> usize {
        self.position
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn snapset_seq(&self) -> SnapId {
        self.snapset_seq
    }
    fn snap_context_seq(&self) -> SnapId {
        self.snap_context_seq
    }
    fn watchers(&mut self) -> Result<Vec<(EntityName, EntityAddr)>, Errno> {
        self.after.as_ref().ok_or(Errno::ENOENT)?;
        Ok(self.watchers.clone())
    }
    fn unique(&mut self, bytes: &mut [u8; 16]) {
        self.unique += 1;
        bytes[..8].copy_from_slice(&self.unique.to_le_bytes());
    }
    fn log(&mut self, level: Level, text: String) {
        self.lines.push((level, text));
    }

    fn stat(&mut self) -> Result<Stat, Errno> {
        let stored = self.after.as_ref().ok_or(Errno::ENOENT)?;
        Ok(Stat { size: stored.data.len() as u64, mtime: self.now })
    }

    fn read(&mut self, offset: u64, length: u64) -> Result<Bytes, Errno> {
        let size = self.after.as_ref().map_or(0, |stored| stored.data.len());
        let old = self.before.as_ref().map_or(&[][..], |stored| &stored.data);
        let end = if length == 0 { u64::MAX } else { offset.saturating_add(length) };
        let clip = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(size.min(old.len()));
        Ok(Bytes::copy_from_slice(&old[clip(offset)..clip(end)]))
    }

    fn get_xattr(&mut self, name: &[u8]) -> Result<Bytes, Errno> {
        self.after.as_ref().ok_or(Errno::ENOENT)?;
        let old = self.before.as_ref().and_then(|stored| stored.xattrs.get(name));
        old.cloned().ok_or(Errno::ENODATA)
    }

    fn get_xattrs(&mut self) -> Result<BTreeMap<Bytes, Bytes>, Errno> {
        self.after.as_ref().ok_or(Errno::ENOENT)?;
        Ok(self.before.as_ref().map(|stored| stored.xattrs.clone()).unwrap_or_default())
    }

    fn omap_header(&mut self) -> Result<Bytes, Errno> {
        Ok(self.before.as_ref().map(|stored| stored.header.clone()).unwrap_or_default())
    }

    fn omap_keys(&mut self, after: &[u8], max: u64) -> Result<Page<BTreeSet<Bytes>>, Errno> {
        let Page { entries, more } = self.omap_vals(after, b"", max)?;
        Ok(Page { entries: entries.into_keys().collect(), more })
    }

    fn omap_vals(
        &mut self,
        after: &[u8],
        prefix: &[u8],
        max: u64,
    ) -> Result<Page<BTreeMap<Bytes, Bytes>>, Errno> {
        let old = self.before.as_ref().map(|stored| page(&stored.omap, after, prefix, max));
        Ok(old.unwrap_or_default())
    }

    fn omap_vals_by_keys(
        &mut self,
        keys: &BTreeSet<Bytes>,
    ) -> Result<BTreeMap<Bytes, Bytes>, Errno> {
        let Some(old) = &self.before else { return Ok(BTreeMap::new()) };
        let found = |key: &Bytes| old.omap.get(key).map(|value| (key.clone(), value.clone()));
        Ok(keys.iter().filter_map(found).collect())
    }

    fn create(&mut self, exclusive: bool) -> Result<(), Errno> {
        if exclusive && self.after.is_some() {
            return Err(Errno::EEXIST);
        }
        self.create_if_absent();
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Errno> {
        self.present()?;
        self.after = None;
        Ok(())
    }

    fn write(&mut self, offset: u64, data: Bytes, _: u32) -> Result<(), Errno> {
        let first = index(offset)?;
        let last = index(offset.saturating_add(data.len() as u64))?;
        let stored = self.create_if_absent();
        if !data.is_empty() {
            stored.data.resize(stored.data.len().max(last), 0);
            stored.data[first..last].copy_from_slice(&data);
        }
        Ok(())
    }

    fn write_full(&mut self, data: Bytes, _: u32) -> Result<(), Errno> {
        self.create_if_absent().data = data.to_vec();
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<(), Errno> {
        let size = index(size)?;
        if let Ok(stored) = self.present() {
            stored.data.resize(size, 0);
        }
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<(), Errno> {
        let Ok(stored) = self.present() else { return Ok(()) };
        let size = stored.data.len();
        let clip = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(size);
        stored.data[clip(offset)..clip(offset.saturating_add(length))].fill(0);
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: Bytes) -> Result<(), Errno> {
        self.create_if_absent().xattrs.insert(Bytes::copy_from_slice(name), value);
        Ok(())
    }

    fn rm_xattr(&mut self, name: &[u8]) -> Result<(), Errno> {
        self.present()?.xattrs.remove(name);
        Ok(())
    }

    fn omap_set(&mut self, entries: BTreeMap<Bytes, Bytes>) -> Result<(), Errno> {
        self.create_if_absent().omap.extend(entries);
        Ok(())
    }

    fn omap_set_header(&mut self, header: Bytes) -> Result<(), Errno> {
        self.create_if_absent().header = header;
        Ok(())
    }

    fn omap_rm(&mut self, keys: BTreeSet<Bytes>) -> Result<(), Errno> {
        self.present()?.omap.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    fn omap_rm_range(&mut self, first: &[u8], last: &[u8]) -> Result<(), Errno> {
        self.present()?.omap.retain(|key, _| &key[..] < first || &key[..] >= last);
        Ok(())
    }

    fn omap_clear(&mut self) -> Result<(), Errno> {
        let stored = self.present()?;
        stored.omap.clear();
        stored.header = Bytes::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn reads_see_what_was_before_the_request_but_size_and_existence() {
        let mut object = MemoryObject::default();
        object.omap_set(BTreeMap::from([(bytes("k"), bytes("v"))])).unwrap();
        object.write(2, bytes("ab"), 0).unwrap();
        assert_eq!(object.stat().unwrap().size, 4);
        assert_eq!(object.omap_val(b"k"), Err(Errno::ENOENT));
        assert_eq!(object.read(0, 0), Ok(Bytes::new()));
    }

    #[test]
    fn pages_go_on_behind_the_last_key_and_stay_in_the_prefix() {
        let mut object = MemoryObject::existing();
        for key in ["a", "p1", "p2", "p3", "q"] {
            object.edit(|stored| drop(stored.omap.insert(bytes(key), Bytes::new())));
        }
        let first = object.omap_vals(b"", b"p", 2).unwrap();
        assert_eq!(first.entries.into_keys().collect::<Vec<_>>(), ["p1", "p2"]);
        assert!(first.more);
        let last = object.omap_vals(b"p2", b"p", 2).unwrap();
        assert_eq!((last.entries.len(), last.more), (1, false));
        assert!(object.omap_vals(b"q", b"p", 2).unwrap().entries.is_empty());
    }

    #[test]
    fn unknown_methods_are_not_supported() {
        let done = MemoryObject::existing().call("no", "such", Bytes::new());
        assert_eq!(done, Err(Errno::EOPNOTSUPP));
    }
}
