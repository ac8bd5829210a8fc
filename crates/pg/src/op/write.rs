//! Ops that change data, or that the object exists.

use seabed_cluster::{Errno, object_flag};
use seabed_denc::{Bytes, BytesMut, ceph_crc32c};
use seabed_messages::op::op_flag;
use seabed_messages::{OpArgs, OpCode, OsdOp};
use seabed_storage::TxOp;

use super::execution::{DONE, Done, Execution, Failure};
use super::read::extent;

impl Execution<'_> {
    fn check_range(&self, offset: u64, length: u64) -> Result<(), Failure> {
        let max = self.env.limits.object_size;
        if offset >= max || length > max || offset + length > max {
            return Err(Errno::EFBIG.into());
        }
        Ok(())
    }

    /// Makes the object if it does not exist; a whiteout comes back.
    pub(super) fn make_object(&mut self) {
        if self.recreate_object() {
            self.change().create();
        } else {
            self.change().touch();
        }
    }

    /// Counts the object as existing from now on. True if it was not even stored.
    pub(super) fn recreate_object(&mut self) -> bool {
        if self.exists {
            return false;
        }
        self.exists = true;
        if self.info.is_whiteout() {
            self.info.set(object_flag::WHITEOUT, false);
            self.stats.num_whiteouts -= 1;
            return false;
        }
        self.stats.num_objects += 1;
        true
    }

    fn clear_data_digest(&mut self) {
        self.info.data_digest = u32::MAX;
        self.info.set(object_flag::DATA_DIGEST, false);
    }

    fn set_data_digest(&mut self, digest: u32) {
        self.info.data_digest = digest;
        self.info.set(object_flag::DATA_DIGEST, true);
    }

    /// WRITE.
    pub(super) fn write(&mut self, op: &OsdOp) -> Done {
        let range = extent(op)?;
        if range.length != op.indata.len() as u64 {
            return Err(Errno::EINVAL.into());
        }
        let mut data = op.indata.clone();
        let seq = self.info.truncate_seq;
        if seq > range.truncate_seq && seq != 0 && range.truncate_seq != 0 {
            // A write from before a truncation that has already come: only what was left counts.
            let room = self.info.size.saturating_sub(range.offset);
            data.truncate(usize::try_from(room).unwrap_or(usize::MAX).min(data.len()));
        }
        if range.truncate_seq > seq {
            self.truncate_first(range.truncate_size, range.truncate_seq);
        }
        self.check_range(range.offset, data.len() as u64)?;
        self.write_at(range.offset, data, op.flags)
    }

    /// A write that knows of a truncation which has not come yet.
    fn truncate_first(&mut self, size: u64, seq: u32) {
        if self.exists {
            self.change().truncate(size);
            if size != self.info.size {
                self.dirty_data(size.min(self.info.size), size.abs_diff(self.info.size));
                self.resize(size);
                self.clear_data_digest();
            }
        }
        self.info.truncate_seq = seq;
        self.info.truncate_size = size;
    }

    fn write_at(&mut self, offset: u64, data: Bytes, flags: u32) -> Done {
        self.make_object();
        let length = data.len() as u64;
        let size = self.info.size;
        if offset == 0 && length >= size {
            self.set_data_digest(ceph_crc32c(u32::MAX, &data));
        } else if offset == size && self.info.has(object_flag::DATA_DIGEST) {
            self.set_data_digest(ceph_crc32c(self.info.data_digest, &data));
        } else {
            self.clear_data_digest();
        }
        if length > 0 {
            self.change().write(offset, data, flags);
        } else if offset > size {
            self.change().truncate(offset);
        }
        self.dirty_data(offset, length);
        self.resize(size.max(offset + length));
        self.count_write(length);
        DONE
    }

    /// APPEND: a write at the end.
    pub(super) fn append(&mut self, op: &OsdOp) -> Done {
        let range = extent(op)?;
        if range.length != op.indata.len() as u64 {
            return Err(Errno::EINVAL.into());
        }
        let offset = self.info.size;
        self.check_range(offset, range.length)?;
        self.write_at(offset, op.indata.clone(), op.flags)
    }

    /// WRITEFULL: the data becomes exactly this; attributes and omap stay.
    pub(super) fn write_full(&mut self, op: &OsdOp) -> Done {
        let range = extent(op)?;
        if range.length != op.indata.len() as u64 {
            return Err(Errno::EINVAL.into());
        }
        self.check_range(0, range.length)?;
        let existed = self.exists;
        let size = self.info.size;
        self.make_object();
        if existed && range.length < size {
            self.change().truncate(range.length);
        }
        if range.length > 0 {
            self.change().write(0, op.indata.clone(), op.flags);
        }
        self.set_data_digest(ceph_crc32c(u32::MAX, &op.indata));
        self.dirty_data(0, range.length.max(size));
        self.resize(range.length);
        self.count_write(range.length);
        DONE
    }

    /// WRITESAME: the pattern over and over.
    pub(super) fn write_same(&mut self, op: &OsdOp) -> Done {
        let OpArgs::WriteSame { offset, length, data_length } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        if length == 0 {
            return DONE;
        }
        let pattern = &op.indata;
        if data_length == 0
            || data_length != pattern.len() as u64
            || !length.is_multiple_of(data_length)
        {
            return Err(Errno::EINVAL.into());
        }
        // Before the pattern is multiplied: a request of a few bytes must not cost gigabytes.
        self.check_range(offset, length)?;
        let mut data = BytesMut::with_capacity(length as usize);
        for _ in 0..length / data_length {
            data.extend_from_slice(pattern);
        }
        self.write_at(offset, data.freeze(), op.flags)
    }

    /// ZERO: nothing on an absent object; one that reaches the end becomes a truncation.
    pub(super) fn zero(&mut self, op: &OsdOp, answered: &mut OsdOp) -> Done {
        let range = extent(op)?;
        let max = self.env.limits.object_size;
        let (offset, length) = (range.offset, range.length);
        let in_bounds = offset < max && (1..=max).contains(&length);
        if self.exists && in_bounds && offset + length >= self.info.size {
            if offset >= self.info.size {
                return DONE;
            }
            answered.op = OpCode::Truncate;
            return self.truncate(op);
        }
        self.check_range(offset, length)?;
        if !self.exists || length == 0 {
            return DONE;
        }
        self.change().zero(offset, length);
        self.clear_data_digest();
        self.dirty_data(offset, length);
        self.stats.num_wr += 1;
        DONE
    }

    /// TRUNCATE, in either direction; nothing on an absent object.
    pub(super) fn truncate(&mut self, op: &OsdOp) -> Done {
        let range = extent(op)?;
        if !self.exists {
            return DONE;
        }
        self.check_range(range.offset, 0)?;
        if range.truncate_seq != 0 {
            if range.offset != range.truncate_size {
                return Err(Errno::EINVAL.into());
            }
            if range.truncate_seq <= self.info.truncate_seq {
                return DONE;
            }
            self.info.truncate_seq = range.truncate_seq;
            self.info.truncate_size = range.truncate_size;
        }
        let (size, new) = (self.info.size, range.offset);
        self.change().truncate(new);
        self.dirty_data(size.min(new), size.abs_diff(new));
        self.resize(new);
        self.stats.num_wr += 1;
        self.clear_data_digest();
        DONE
    }

    /// CREATE; with EXCL the object must not exist.
    pub(super) fn create(&mut self, op: &OsdOp) -> Done {
        if self.exists && op.flags & op_flag::EXCL != 0 {
            return Err(Errno::EEXIST.into());
        }
        self.make_object();
        DONE
    }

    /// DELETE. A head that has clones, or is to get one, leaves a whiteout.
    pub(super) fn delete(&mut self) -> Done {
        let keeps_snapset = !self.before.snapset.clones.is_empty() || self.meets_new_snaps();
        if !self.exists && (keeps_snapset || !self.is_stored()) {
            return Err(Errno::ENOENT.into());
        }
        self.end_watches();
        self.dirty_data(0, self.info.size);
        self.clean.clean_omap = false;
        self.resize(0);
        self.stats.num_wr += 1;
        self.clear_data_digest();
        self.info.omap_digest = u32::MAX;
        self.info.set(object_flag::OMAP_DIGEST, false);
        self.change().remove();
        let was_whiteout = self.info.is_whiteout();
        self.stats.num_whiteouts += i64::from(keeps_snapset) - i64::from(was_whiteout);
        self.info.set(object_flag::WHITEOUT, keeps_snapset);
        self.exists = false;
        if keeps_snapset {
            self.change().create();
        } else {
            self.stats.num_objects -= 1;
        }
        DONE
    }

    /// SETALLOCHINT: kept in the info; creates the object.
    pub(super) fn set_alloc_hint(&mut self, op: &OsdOp) -> Done {
        let OpArgs::AllocHint { expected_object_size, expected_write_size, flags } = op.args else {
            return Err(Errno::EINVAL.into());
        };
        self.make_object();
        self.info.expected_object_size = expected_object_size;
        self.info.expected_write_size = expected_write_size;
        self.info.alloc_hint_flags = flags;
        self.change().hint(TxOp::SetAllocHint { expected_object_size, expected_write_size, flags });
        DONE
    }
}
