//! The ring and its table: from a number to the operation whose memory the kernel may touch.
//!
//! Invariant: an entry leaves the table only with its completion, or when the ring is drained at
//! the end.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use bytes::Bytes;
use io_uring::{IoUring, Probe, opcode, squeue, types};
use seabed_storage::{DeviceError, IoKind};

use crate::Wake;
use crate::buffer::AlignedBuffer;

/// Entries of the submission queue; more operations wait in memory.
const ENTRIES: u32 = 256;

/// An operation with everything the kernel reads or writes for it.
#[derive(Debug)]
pub(crate) enum Operation {
    Write { offset: u64, data: Bytes, done: usize },
    Read { offset: u64, buffer: AlignedBuffer },
    Flush,
}

impl Operation {
    fn kind(&self) -> (IoKind, u64, u64) {
        match self {
            Operation::Write { offset, data, .. } => (IoKind::Write, *offset, data.len() as u64),
            Operation::Read { offset, buffer } => (IoKind::Read, *offset, buffer.capacity() as u64),
            Operation::Flush => (IoKind::Flush, 0, 0),
        }
    }
}

/// A finished operation: its number, itself (for what it read), and how it ended.
pub(crate) type Finished = (u64, Operation, Result<(), DeviceError>);

/// See the module's head.
pub(crate) struct Ring {
    // Dropped before the table, and drained by `Drop` before either.
    ring: IoUring,
    table: Vec<Option<(u64, Operation)>>,
    free: Vec<usize>,
    waiting: VecDeque<usize>,
    in_kernel: usize,
    file: Arc<File>,
    wake: Wake,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_kernel", &self.in_kernel).finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring of its own for `file`; names the likely cause when the kernel refuses.
    pub(crate) fn new(file: Arc<File>, wake: Wake) -> Result<Self, String> {
        let ring = IoUring::new(ENTRIES).map_err(|e| refusal(&e))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|e| refusal(&e))?;
        for (code, name) in [
            (opcode::Read::CODE, "READ"),
            (opcode::Write::CODE, "WRITE"),
            (opcode::Fsync::CODE, "FSYNC"),
        ] {
            if !probe.is_supported(code) {
                return Err(format!("the kernel's io_uring lacks {name}"));
            }
        }
        ring.submitter().register_eventfd(wake.as_raw_fd()).map_err(|e| refusal(&e))?;
        Ok(Self {
            ring,
            table: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            in_kernel: 0,
            file,
            wake,
        })
    }

    /// Readable when completions arrived.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes the operation; it is handed to the kernel by the next [`Ring::push`].
    pub(crate) fn add(&mut self, number: u64, operation: Operation) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            self.table.len() - 1
        });
        self.table[slot] = Some((number, operation));
        self.waiting.push_back(slot);
    }

    /// Hands waiting operations to the kernel, as many as the queue takes.
    pub(crate) fn push(&mut self) -> Result<(), DeviceError> {
        while let Some(slot) = self.waiting.front().copied() {
            if self.in_kernel >= ENTRIES as usize {
                break;
            }
            let entry = self.entry(slot);
            // SAFETY: the entry points into the operation in `table[slot]` (heap memory that does
            // not move with the table) and to `self.file`; both stay until the completion is taken.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                break;
            }
            self.waiting.pop_front();
            self.in_kernel += 1;
        }
        self.enter(0)
    }

    fn entry(&mut self, slot: usize) -> squeue::Entry {
        let fd = types::Fd(self.file.as_raw_fd());
        let entry = match self.table[slot].as_mut().map(|(_, operation)| operation) {
            Some(Operation::Write { offset, data, done }) => {
                let rest = &data[*done..];
                opcode::Write::new(fd, rest.as_ptr(), length(rest))
                    .offset(*offset + *done as u64)
                    .build()
            }
            Some(Operation::Read { offset, buffer }) => {
                let room = buffer.spare();
                opcode::Read::new(fd, room.as_mut_ptr().cast(), length(room))
                    .offset(*offset)
                    .build()
            }
            Some(Operation::Flush) => {
                opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build()
            }
            None => unreachable!("a waiting slot holds an operation"),
        };
        entry.user_data(slot as u64)
    }

    fn enter(&mut self, want: usize) -> Result<(), DeviceError> {
        loop {
            match self.ring.submit_and_wait(want) {
                Ok(_) => return Ok(()),
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INTR.raw_os_error()) => {}
                // The completion queue is full, or the kernel is short of memory: completions must
                // be taken first, which every caller does next.
                Err(e)
                    if want == 0
                        && matches!(
                            e.kind(),
                            std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::WouldBlock
                        ) =>
                {
                    return Ok(());
                }
                Err(e) => {
                    return Err(DeviceError {
                        kind: IoKind::Write,
                        offset: 0,
                        length: 0,
                        errno: e.raw_os_error(),
                        reason: format!("io_uring_enter: {e}"),
                    });
                }
            }
        }
    }

    /// Waits for at least one completion.
    pub(crate) fn wait(&mut self) -> Result<(), DeviceError> {
        if self.in_kernel == 0 {
            return Ok(());
        }
        self.enter(1)
    }

    /// Takes the completions that are there; short writes go back to wait.
    pub(crate) fn take(&mut self, finished: &mut Vec<Finished>) {
        let done: Vec<(usize, i32)> = self
            .ring
            .completion()
            .map(|c| (usize::try_from(c.user_data()).unwrap_or(usize::MAX), c.result()))
            .collect();
        for (slot, result) in done {
            let Some((number, mut operation)) = self.table.get_mut(slot).and_then(Option::take)
            else {
                continue;
            };
            self.in_kernel -= 1;
            match verdict(&mut operation, result) {
                Some(end) => {
                    self.free.push(slot);
                    finished.push((number, operation, end));
                }
                None => {
                    self.table[slot] = Some((number, operation));
                    self.waiting.push_back(slot);
                }
            }
        }
    }

    /// Makes the event readable.
    pub(crate) fn signal(&self) {
        self.wake.wake();
    }

    /// Empties the event, so that the next completion signals again.
    pub(crate) fn clear_event(&self) {
        self.wake.clear();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut finished = Vec::new();
        while self.in_kernel > 0 {
            if self.enter(1).is_err() {
                // The kernel may still use the memory: better lost than given to somebody else.
                std::mem::forget(std::mem::take(&mut self.table));
                return;
            }
            self.take(&mut finished);
        }
    }
}

/// How an operation ended; `None`: a part is done, the rest must be handed in again.
fn verdict(operation: &mut Operation, result: i32) -> Option<Result<(), DeviceError>> {
    let (kind, offset, length) = operation.kind();
    let failed = |errno: Option<i32>, reason: String| {
        Some(Err(DeviceError { kind, offset, length, errno, reason }))
    };
    if result < 0 {
        let errno = rustix::io::Errno::from_raw_os_error(-result);
        if kind != IoKind::Flush && matches!(errno, rustix::io::Errno::INTR) {
            return None;
        }
        return failed(Some(-result), errno.to_string());
    }
    let moved = result.unsigned_abs() as usize;
    match operation {
        Operation::Flush => Some(Ok(())),
        Operation::Read { buffer, .. } if moved == buffer.capacity() => {
            // SAFETY: the kernel says that it has written as much.
            unsafe { buffer.advance(moved) };
            Some(Ok(()))
        }
        Operation::Read { .. } => failed(None, format!("short read of {moved} bytes")),
        Operation::Write { data, done, .. } => {
            *done += moved;
            if *done == data.len() {
                Some(Ok(()))
            } else if moved == 0 || !done.is_multiple_of(crate::BLOCK_SIZE as usize) {
                failed(None, format!("short write of {moved} bytes"))
            } else {
                None
            }
        }
    }
}

fn length<T>(bytes: &[T]) -> u32 {
    u32::try_from(bytes.len()).expect("one operation moves less than 4 GiB")
}

fn refusal(error: &std::io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(1) => "forbidden: seccomp, or sysctl kernel.io_uring_disabled",
        Some(12) => "no locked memory left: raise RLIMIT_MEMLOCK",
        Some(38) => "the kernel has none",
        Some(22) => "the kernel is too old",
        _ => "refused",
    };
    format!("{cause}: {error}")
}
