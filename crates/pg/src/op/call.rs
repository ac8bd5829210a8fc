//! CALL: a method of an object class, run over this execution.
//!
//! What a method reads and changes goes through the functions of the ops of the same name, so that
//! limits, statistics, digests and snapshots are the ops' own. Whether a call writes is decided by
//! its method's declaration, never by the message's flags, and a method that does what it did not
//! declare fails the request.

use std::collections::{BTreeMap, BTreeSet};

use seabed_classes::{Access, Level as ClassLevel, Object, Page, Stat};
use seabed_cluster::{EntityAddr, EntityName, Errno, SnapId, UTime, WatchInfo};
use seabed_denc::{Bytes, BytesMut, Encode};
use seabed_messages::op::op_flag;
use seabed_messages::{MOsdOp, OpArgs, OpCode, OsdOp};
use xxhash_rust::xxh64::xxh64;

use super::execution::{Done, Execution, Failure};
use super::omap::Wanted;
use super::read::Extent;
use crate::Level;

/// The methods of a request's calls must exist: known before anything else about it is looked at.
pub fn check_calls(request: &MOsdOp) -> Result<(), Errno> {
    for op in request.ops.iter().filter(|o| o.op == OpCode::Call) {
        let (class, method, _) = op.call_parts().ok_or(Errno::EINVAL)?;
        seabed_classes::find(&class, &method)?;
    }
    Ok(())
}

/// Whether a CALL may change its object. One that names no method changes nothing.
pub(super) fn call_writes(op: &OsdOp) -> bool {
    let method = op.call_parts().and_then(|(c, m, _)| seabed_classes::find(&c, &m).ok());
    method.is_some_and(|m| m.access.write)
}

/// The reply tells the length of a call's output where an extent has its own.
fn set_output_length(answered: &mut OsdOp, length: usize) {
    let mut args = answered.args.to_array();
    args[8..16].copy_from_slice(&(length as u64).to_le_bytes());
    answered.args = OpArgs::from_array(OpCode::Call, args);
}

impl Execution<'_> {
    /// CALL.
    pub(super) fn call(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        let (class, name, input) = op.call_parts().ok_or(Errno::EINVAL)?;
        let method = seabed_classes::find(&class, &name)?;
        let mut called = Called { access: method.access, strayed: false, x: self };
        let done = (method.run)(&mut called, input);
        if called.strayed {
            let what = String::from_utf8_lossy(&class);
            let text = format!("{what}.{}: does what it is not declared to do", method.name);
            self.notes.push((Level::Error, text));
            return Err(Errno::EIO.into());
        }
        let output = done?;
        set_output_length(answered, output.data.len());
        Ok((output.data, output.result))
    }
}

/// An object as a method sees it.
struct Called<'c, 'a> {
    x: &'c mut Execution<'a>,
    access: Access,
    /// The method has tried something outside its declared access.
    strayed: bool,
}

impl<'a> Called<'_, 'a> {
    /// For a function of an op that reads.
    fn reading<T>(
        &mut self,
        f: impl FnOnce(&mut Execution<'a>) -> Result<T, Failure>,
    ) -> Result<T, Errno> {
        self.x.processed += 1;
        self.strayed |= !self.access.read;
        if self.strayed {
            return Err(Errno::EIO);
        }
        f(self.x).map_err(|e| Errno(-e.0))
    }

    /// For a function of an op that writes.
    fn writing(&mut self, f: impl FnOnce(&mut Execution<'a>) -> Done) -> Result<(), Errno> {
        self.x.processed += 1;
        self.strayed |= !self.access.write;
        if self.strayed {
            return Err(Errno::EIO);
        }
        f(self.x).map(drop).map_err(|e| Errno(-e.0))
    }
}

impl Object for Called<'_, '_> {
    fn caller(&self) -> (EntityName, EntityAddr) {
        self.x.env.caller
    }

    fn now(&self) -> UTime {
        self.x.env.now
    }

    fn features(&self) -> u64 {
        self.x.request.features
    }

    fn require_osd_release(&self) -> u8 {
        self.x.env.require_osd_release
    }

    fn position(&self) -> usize {
        self.x.processed
    }

    fn version(&self) -> u64 {
        self.x.env.last_user_version
    }

    fn snapset_seq(&self) -> SnapId {
        self.x.before.snapset.seq
    }

    fn snap_context_seq(&self) -> SnapId {
        self.x.snapc.seq
    }

    fn watchers(&mut self) -> Result<Vec<(EntityName, EntityAddr)>, Errno> {
        let watcher = |((_, name), watch): (&(u64, EntityName), &WatchInfo)| (*name, watch.addr);
        self.reading(|x| Ok(x.info.watchers.iter().map(watcher).collect()))
    }

    fn unique(&mut self, bytes: &mut [u8; 16]) {
        let env = self.x.env;
        let mut seed = BytesMut::new();
        env.reqid.encode(&mut seed, crate::WIRE);
        env.now.encode(&mut seed, crate::WIRE);
        env.version.encode(&mut seed, crate::WIRE);
        self.x.drawn += 1;
        for (i, half) in bytes.chunks_exact_mut(8).enumerate() {
            half.copy_from_slice(&xxh64(&seed, self.x.drawn * 2 + i as u64).to_le_bytes());
        }
    }

    fn log(&mut self, level: ClassLevel, text: String) {
        let level = match level {
            ClassLevel::Debug => Level::Debug,
            ClassLevel::Error => Level::Error,
        };
        self.x.notes.push((level, format!("{:?}: {text}", self.x.before.object)));
    }

    /// Needs no declaration: not every method that asks whether there is an object reads it.
    fn stat(&mut self) -> Result<Stat, Errno> {
        self.x.processed += 1;
        self.x.stat().map_err(|e| Errno(-e.0))?;
        Ok(Stat { size: self.x.info.size, mtime: self.x.info.mtime })
    }

    fn read(&mut self, offset: u64, length: u64) -> Result<Bytes, Errno> {
        let range = Extent { offset, length, truncate_size: 0, truncate_seq: 0 };
        self.reading(|x| x.read_range(range))
    }

    fn get_xattr(&mut self, name: &[u8]) -> Result<Bytes, Errno> {
        self.reading(|x| x.attr(name))
    }

    fn get_xattrs(&mut self) -> Result<BTreeMap<Bytes, Bytes>, Errno> {
        self.reading(|x| {
            let attrs = x.attrs()?;
            x.count_read(4 + attrs.iter().map(entry_len).sum::<usize>());
            Ok(attrs)
        })
    }

    fn omap_header(&mut self) -> Result<Bytes, Errno> {
        self.reading(|x| Ok(x.omap_get_header()?.0))
    }

    fn omap_keys(&mut self, after: &[u8], max: u64) -> Result<Page<BTreeSet<Bytes>>, Errno> {
        let wanted = Wanted { after: Bytes::copy_from_slice(after), max, prefix: Bytes::new() };
        self.reading(|x| {
            let (mut keys, mut bytes) = (BTreeSet::new(), 0);
            let more = x.omap_each(&wanted, |key, _| {
                bytes += 4 + key.len();
                keys.insert(key);
                bytes
            })?;
            x.count_read(5 + bytes);
            Ok(Page { entries: keys, more })
        })
    }

    fn omap_vals(
        &mut self,
        after: &[u8],
        prefix: &[u8],
        max: u64,
    ) -> Result<Page<BTreeMap<Bytes, Bytes>>, Errno> {
        let (after, prefix) = (Bytes::copy_from_slice(after), Bytes::copy_from_slice(prefix));
        let wanted = Wanted { after, max, prefix };
        self.reading(|x| {
            let (mut entries, mut bytes) = (BTreeMap::new(), 0);
            let more = x.omap_each(&wanted, |key, value| {
                bytes += entry_len((&key, &value));
                entries.insert(key, value);
                bytes
            })?;
            x.count_read(5 + bytes);
            Ok(Page { entries, more })
        })
    }

    fn omap_vals_by_keys(
        &mut self,
        keys: &BTreeSet<Bytes>,
    ) -> Result<BTreeMap<Bytes, Bytes>, Errno> {
        let keys: Vec<Bytes> = keys.iter().cloned().collect();
        self.reading(|x| {
            let found = x.omap_values(&keys)?;
            x.count_read(4 + found.iter().map(entry_len).sum::<usize>());
            Ok(found)
        })
    }

    fn create(&mut self, exclusive: bool) -> Result<(), Errno> {
        let flags = if exclusive { op_flag::EXCL } else { 0 };
        let op = OsdOp::plain(OpCode::Create, Bytes::new()).with_flags(flags);
        self.writing(|x| x.create(&op))
    }

    fn remove(&mut self) -> Result<(), Errno> {
        self.writing(Execution::delete)
    }

    fn write(&mut self, offset: u64, data: Bytes, fadvise: u32) -> Result<(), Errno> {
        let length = data.len() as u64;
        let op = OsdOp::extent(OpCode::Write, offset, length, data).with_flags(fadvise);
        self.writing(|x| x.write(&op))
    }

    fn write_full(&mut self, data: Bytes, fadvise: u32) -> Result<(), Errno> {
        let length = data.len() as u64;
        let op = OsdOp::extent(OpCode::WriteFull, 0, length, data).with_flags(fadvise);
        self.writing(|x| x.write_full(&op))
    }

    fn truncate(&mut self, size: u64) -> Result<(), Errno> {
        let op = OsdOp::extent(OpCode::Truncate, size, 0, Bytes::new());
        self.writing(|x| x.truncate(&op))
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<(), Errno> {
        let op = OsdOp::extent(OpCode::Zero, offset, length, Bytes::new());
        self.writing(|x| x.zero(&op, &mut op.clone()))
    }

    fn set_xattr(&mut self, name: &[u8], value: Bytes) -> Result<(), Errno> {
        let op = OsdOp::xattr(OpCode::SetXattr, name, &value);
        self.writing(|x| x.set_xattr(&op))
    }

    fn rm_xattr(&mut self, name: &[u8]) -> Result<(), Errno> {
        let op = OsdOp::xattr(OpCode::RmXattr, name, &[]);
        self.writing(|x| x.rm_xattr(&op))
    }

    fn omap_set(&mut self, entries: BTreeMap<Bytes, Bytes>) -> Result<(), Errno> {
        self.writing(|x| {
            x.require_omap()?;
            let bytes = 4 + entries.iter().map(entry_len).sum::<usize>();
            x.omap_put(entries, bytes)
        })
    }

    fn omap_set_header(&mut self, header: Bytes) -> Result<(), Errno> {
        let op = OsdOp::plain(OpCode::OmapSetHeader, header);
        self.writing(|x| x.omap_set_header(&op))
    }

    fn omap_rm(&mut self, keys: BTreeSet<Bytes>) -> Result<(), Errno> {
        self.writing(|x| {
            x.require_omap()?;
            x.require_object()?;
            x.omap_drop(keys)
        })
    }

    fn omap_rm_range(&mut self, first: &[u8], last: &[u8]) -> Result<(), Errno> {
        let (first, last) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(last));
        self.writing(|x| {
            x.require_omap()?;
            x.require_object()?;
            x.omap_drop_range(first, last)
        })
    }

    fn omap_clear(&mut self) -> Result<(), Errno> {
        self.writing(Execution::omap_clear)
    }
}

/// The length of an entry of an encoded map.
fn entry_len((key, value): (&Bytes, &Bytes)) -> usize {
    8 + key.len() + value.len()
}
