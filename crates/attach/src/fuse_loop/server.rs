//! The FUSE file system with one file: an image.
//!
//! The kernel remembers some answers for ever (FUSE: `ENOSYS` of FSYNC) and takes others for
//! success (the loop device: `EINVAL` of FSYNC, a short WRITE). So READ and WRITE answer the full
//! length or an error, FSYNC and FALLOCATE success or `EIO`. The kernel caches nothing: the file
//! is open for direct I/O, without a write-back cache.
//!
//! Requests that need the image are started in the runtime and answered from there. The thread
//! that takes requests waits for memory only, and all the others are answered by it: the device
//! can be looked at and taken away while the cluster is gone.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use linux_raw_sys::general::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE};
use tokio::runtime::Handle;

use super::memory::{Limits, Memory};
use super::volume::{Entry, Failed, Volume, clipped, within};
use crate::BlockImage;

const FILE: INodeNo = INodeNo(2);
/// Nothing changes but the size, and that the kernel hears by a truncation.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// The unit of discards on the loop device comes from here.
const BLOCK: u32 = 4096;

pub(crate) struct Server<I> {
    pub volume: Arc<Volume<I>>,
    pub limits: Limits,
    memory: Memory,
    runtime: Handle,
}

impl<I: BlockImage> Server<I> {
    pub(crate) fn new(volume: Arc<Volume<I>>, limits: Limits, runtime: Handle) -> Self {
        Server { volume, memory: Memory::new(&limits), limits, runtime }
    }

    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let file = match ino {
            INodeNo::ROOT => false,
            FILE => true,
            _ => return None,
        };
        let size = if file { self.volume.size() } else { 0 };
        let writable = if self.volume.read_only { 0 } else { 0o200 };
        Some(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if file { FileType::RegularFile } else { FileType::Directory },
            perm: if file { 0o400 | writable } else { 0o500 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    /// Runs what ends with an empty answer.
    fn answer<F>(&self, reply: ReplyEmpty, work: impl FnOnce(Entry<I>) -> F)
    where
        F: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        let Some(volume) = self.volume.enter() else { return reply.error(Errno::EIO) };
        let work = work(volume);
        self.runtime.spawn(async move {
            match work.await {
                Ok(()) => reply.ok(),
                Err(Failed) => reply.error(Errno::EIO),
            }
        });
    }
}

impl<I: BlockImage> Filesystem for Server<I> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let refused = |what: String| io::Error::new(io::ErrorKind::Unsupported, what);
        // Without it the kernel waits for one I/O of the loop device before it sends the next.
        config
            .add_capabilities(InitFlags::FUSE_ASYNC_DIO)
            .map_err(|_| refused("this kernel's FUSE has no asynchronous direct I/O".into()))?;
        let request = u32::try_from(self.limits.request).unwrap_or(u32::MAX);
        config
            .set_max_write(request)
            .map_err(|most| refused(format!("requests of {request} bytes, most {most}")))?;
        let requests = self.limits.large.saturating_add(self.limits.small).clamp(1, 1024);
        config
            .set_max_background(requests as u16)
            .map_err(|least| refused(format!("{requests} requests, least {least}")))?;
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == self.volume.name.as_str() => {
                reply.entry(&TTL, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// A truncation to the size that the image has is how the kernel is told of it: its answer
    /// is taken whatever I/O is under way, an attribute's is not.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let asks_for_more = mode.is_some() || uid.is_some() || gid.is_some();
        match self.attributes(ino) {
            Some(attributes) if !asks_for_more && size.is_none_or(|s| s == attributes.size) => {
                reply.attr(&TTL, &attributes);
            }
            _ => reply.error(Errno::EPERM),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if ino != FILE {
            return reply.error(Errno::EISDIR);
        }
        let flags = FopenFlags::FOPEN_DIRECT_IO
            | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
            | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(FileHandle(0), flags);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Of a file's closing; there is nothing that the kernel has cached.
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(volume) = self.volume.enter() else { return reply.error(Errno::EIO) };
        // What lies beyond the end is the end of the file.
        let range = clipped(offset, size.into(), self.volume.size());
        let Some(permit) = self.memory.read((range.end - range.start) as usize) else {
            tracing::error!(size, "the kernel reads more than was agreed on");
            return reply.error(Errno::EIO);
        };
        self.runtime.spawn(async move {
            match volume.read(range).await {
                Ok(bytes) => reply.data(&bytes),
                Err(Failed) => reply.error(Errno::EIO),
            }
            drop(permit);
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.volume.read_only {
            return reply.error(Errno::EROFS);
        }
        if within(offset, data.len() as u64, self.volume.size()).is_none() {
            return reply.error(Errno::EFBIG);
        }
        let Some(volume) = self.volume.enter() else { return reply.error(Errno::EIO) };
        let Some(data) = self.memory.copy(data) else {
            tracing::error!(size = data.len(), "the kernel writes more than was agreed on");
            return reply.error(Errno::EIO);
        };
        let written = data.len() as u32;
        self.runtime.spawn(async move {
            match volume.write(offset, data).await {
                Ok(()) => reply.written(written),
                Err(Failed) => reply.error(Errno::EIO),
            }
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.answer(reply, |volume| async move { volume.flush().await });
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if self.volume.read_only {
            return reply.error(Errno::EROFS);
        }
        let Some(range) = within(offset, length, self.volume.size()) else {
            return reply.error(Errno::EFBIG);
        };
        match mode.cast_unsigned() & !FALLOC_FL_KEEP_SIZE {
            FALLOC_FL_PUNCH_HOLE => {
                self.answer(reply, |volume| async move { volume.discard(range).await });
            }
            FALLOC_FL_ZERO_RANGE => {
                self.answer(reply, |volume| async move { volume.write_zeroes(range).await });
            }
            // Of a plain reservation, which loop devices do not ask for.
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = self.volume.size() / u64::from(BLOCK);
        reply.statfs(blocks, 0, 0, 2, 0, BLOCK, 255, BLOCK);
    }

    // There are none: ENOSYS is how the kernel hears that it need not ask again.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
}
