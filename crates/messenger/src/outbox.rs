//! What the handle and a session's task share: messages on their way to the task, and wishes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use seabed_messages::RawMessage;
use seabed_msgr2::{Limits, SendError, message_cost};
use tokio::sync::{Notify, mpsc};

use crate::greet::Incoming;

/// A session as the handle sees it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<Outbox>,
    /// Wakes the task.
    pub(crate) notify: Notify,
    /// Connections of the same peer that are to join the session.
    pub(crate) incoming: mpsc::Sender<Incoming>,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<RawMessage>,
    queue_bytes: usize,
    /// What the task holds beside: session backlog and bytes for the socket.
    task_bytes: usize,
    task_messages: usize,
    lossy: bool,
    closed: bool,
    pub(crate) mark_down: bool,
    pub(crate) overflow: bool,
    pub(crate) keepalive: bool,
}

impl Shared {
    pub(crate) fn new(lossy: bool, incoming: mpsc::Sender<Incoming>) -> Self {
        let state = Mutex::new(Outbox { lossy, ..Outbox::default() });
        Shared { state, notify: Notify::new(), incoming }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Outbox> {
        // Nothing panics while holding it; a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn send(&self, message: RawMessage, limits: &Limits) -> Result<(), SendError> {
        let cost = message_cost(&message);
        let mut s = self.lock();
        if s.closed || s.mark_down || s.overflow {
            return Err(SendError::NotConnected);
        }
        if !limits.admits(&message) {
            return Err(SendError::TooLarge);
        }
        let bytes = s.queue_bytes + s.task_bytes;
        let messages = s.queue.len() + s.task_messages;
        let full =
            bytes + cost > limits.backlog_bytes_max || messages >= limits.backlog_messages_max;
        if full && messages > 0 {
            s.overflow = s.lossy;
            drop(s);
            self.notify.notify_one();
            return Err(SendError::Full);
        }
        s.queue_bytes += cost;
        s.queue.push_back(message);
        let first = s.queue.len() == 1;
        drop(s);
        if first {
            self.notify.notify_one();
        }
        Ok(())
    }

    /// Changes a wish and wakes the task.
    pub(crate) fn wish(&self, set: impl FnOnce(&mut Outbox)) {
        set(&mut self.lock());
        self.notify.notify_one();
    }
}

impl Outbox {
    /// Bytes not yet acknowledged (lossy: not yet written).
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.queue_bytes + self.task_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Hands all that waits to the task.
    pub(crate) fn take(&mut self) -> VecDeque<RawMessage> {
        self.queue_bytes = 0;
        std::mem::take(&mut self.queue)
    }

    /// What the task holds now.
    pub(crate) fn held_by_task(&mut self, bytes: usize, messages: usize) {
        self.task_bytes = bytes;
        self.task_messages = messages;
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.take();
    }

    pub(crate) fn set_lossy(&mut self, lossy: bool) {
        self.lossy = lossy;
    }
}
