//! The committer: one thread that writes and syncs whatever batches wait.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rocksdb::{DB, WriteBatch, WriteOptions};
use seabed_storage::{Batch, CommitId, KvError, KvOp};

/// Called from the committer thread when batches became durable or the store died.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Batches that may wait for the disk; more make the owner wait, which is the bound on memory.
const QUEUE_MAX: usize = 1024;
/// Batches joined into one write, so that no sync is held up by an endless stream.
const GROUP_MAX: usize = 256;

#[derive(Debug, Default)]
struct Progress {
    completed: u64,
    failure: Option<KvError>,
}

#[derive(Debug, Default)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// Owner's side; dropping it lets the thread finish what waits and ends it.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Option<SyncSender<Batch>>,
    submitted: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(db: Arc<DB>, waker: Waker) -> Result<Self, KvError> {
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("rocks-commit".into())
            .spawn(move || run(&db, &waiting, &theirs, &waker))
            .map_err(|e| KvError::Open(e.to_string()))?;
        Ok(Self { queue: Some(queue), submitted: 0, shared, thread: Some(thread) })
    }

    pub(crate) fn submit(&mut self, batch: Batch) -> Result<CommitId, KvError> {
        let queue = self.queue.as_ref().ok_or(KvError::Dead)?;
        if queue.send(batch).is_err() {
            // The thread ends early only after a failure, which it has left behind.
            return Err(self.failure().unwrap_or(KvError::Dead));
        }
        self.submitted += 1;
        Ok(CommitId(self.submitted))
    }

    pub(crate) fn completed(&self) -> Result<CommitId, KvError> {
        let progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match &progress.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(CommitId(progress.completed)),
        }
    }

    pub(crate) fn wait(&self, id: CommitId) -> Result<(), KvError> {
        let progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = self
            .shared
            .changed
            .wait_while(progress, |p| p.completed < id.0 && p.failure.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        progress.failure.clone().map_or(Ok(()), Err)
    }

    fn failure(&self) -> Option<KvError> {
        self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

fn run(db: &DB, waiting: &Receiver<Batch>, shared: &Shared, waker: &Waker) {
    let mut sync = WriteOptions::default();
    sync.set_sync(true);
    while let Ok(first) = waiting.recv() {
        let mut joined = WriteBatch::default();
        let mut count = 1;
        add(&mut joined, first);
        while count < GROUP_MAX
            && let Ok(next) = waiting.try_recv()
        {
            add(&mut joined, next);
            count += 1;
        }
        let result = db.write_opt(joined, &sync);
        let mut progress = shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => progress.completed += count as u64,
            Err(error) => progress.failure = Some(KvError::Write(error.to_string())),
        }
        drop(progress);
        shared.changed.notify_all();
        waker();
        if result.is_err() {
            return;
        }
    }
}

fn add(joined: &mut WriteBatch, batch: Batch) {
    for op in batch.ops {
        match op {
            KvOp::Put { key, value } => joined.put(key, value),
            KvOp::Delete { key } => joined.delete(key),
            KvOp::DeleteRange { from, to } if from < to => joined.delete_range(from, to),
            KvOp::DeleteRange { .. } => {}
        }
    }
}
