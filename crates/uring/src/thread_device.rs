//! The port on plain system calls and one thread: for kernels that refuse io_uring.

use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use seabed_storage::{BlockDevice, DeviceError, Io, IoCompletion, IoId, IoKind};

use crate::BLOCK_SIZE;
use crate::buffer::{AlignedBuffer, aligned};
use crate::file::DirectFile;

/// Called from the device's thread when an operation finished.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Operations that may wait; more make the owner wait.
const QUEUE_MAX: usize = 1024;

/// A device file or raw device behind a thread.
#[derive(Debug)]
pub struct ThreadDevice {
    file: DirectFile,
    queue: Option<SyncSender<(IoId, Io)>>,
    finished: Arc<Finished>,
    under_way: usize,
    next: u64,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has done, and the owner's waiting for it.
#[derive(Debug, Default)]
struct Finished {
    list: Mutex<Vec<IoCompletion>>,
    more: Condvar,
}

impl ThreadDevice {
    pub(crate) fn new(file: &DirectFile, waker: Waker) -> Result<Self, DeviceError> {
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let finished = Arc::new(Finished::default());
        let (theirs, target) = (Arc::clone(&finished), file.clone());
        let thread = std::thread::Builder::new()
            .name("device".into())
            .spawn(move || run(&target, &waiting, &theirs, &waker))
            .map_err(|e| failure(IoKind::Open, 0, 0, &e))?;
        let file = file.clone();
        Ok(Self { file, queue: Some(queue), finished, under_way: 0, next: 1, thread: Some(thread) })
    }
}

impl Drop for ThreadDevice {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

fn failure(kind: IoKind, offset: u64, length: u64, error: &std::io::Error) -> DeviceError {
    DeviceError { kind, offset, length, errno: error.raw_os_error(), reason: error.to_string() }
}

fn run(target: &DirectFile, waiting: &Receiver<(IoId, Io)>, finished: &Finished, waker: &Waker) {
    while let Ok((id, io)) = waiting.recv() {
        let result = perform(target, io);
        let done = IoCompletion { id, result };
        finished.list.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        finished.more.notify_one();
        waker();
    }
}

fn perform(target: &DirectFile, io: Io) -> Result<(), DeviceError> {
    match io {
        Io::Flush => target.file.sync_data().map_err(|e| failure(IoKind::Flush, 0, 0, &e)),
        Io::Write { offset, data } => {
            let data = aligned(data);
            let length = data.len() as u64;
            let written = target.file.write_all_at(&data, offset);
            written.map_err(|e| failure(IoKind::Write, offset, length, &e))
        }
    }
}

impl BlockDevice for ThreadDevice {
    fn block_size(&self) -> u32 {
        BLOCK_SIZE
    }

    fn size(&self) -> u64 {
        self.file.size
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        let id = IoId(self.next);
        self.next += 1;
        let sent = self.queue.as_ref().map(|q| q.send((id, io)));
        match sent {
            Some(Ok(())) => {
                self.under_way += 1;
                Ok(id)
            }
            _ => Err(DeviceError {
                kind: IoKind::Write,
                offset: 0,
                length: 0,
                errno: None,
                reason: "the device's thread has ended".into(),
            }),
        }
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        let mut list = self.finished.list.lock().unwrap_or_else(PoisonError::into_inner);
        let done = std::mem::take(&mut *list);
        self.under_way -= done.len();
        done
    }

    fn wait(&mut self) {
        let mut list = self.finished.list.lock().unwrap_or_else(PoisonError::into_inner);
        while list.is_empty() && self.under_way > 0 {
            list = self.finished.more.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        let size = usize::try_from(length).expect("a read fits memory");
        let mut buffer = AlignedBuffer::zeroed(size);
        let read = self.file.file.read_exact_at(buffer.as_mut(), offset);
        read.map_err(|e| failure(IoKind::Read, offset, length, &e))?;
        Ok(Bytes::from_owner(buffer))
    }
}
