//! What the process holds, and whether it may end.
//!
//! One lock over both: a call that was let in keeps the process, and one that comes when it has
//! decided to end is told so and has changed nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seabed_proto::attachd::OpenRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::VolumeError;
use crate::volume::Slot;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// Told to end: takes no volume that it does not have.
    Leaving,
    Over,
}

#[derive(Debug)]
struct Held {
    slots: BTreeMap<String, Arc<Slot>>,
    calls: usize,
    life: Life,
    last_used: Instant,
}

/// All volumes.
#[derive(Debug)]
pub(crate) struct Table {
    held: Mutex<Held>,
    changed: Notify,
}

/// A call that is being answered; the process does not end before it.
#[derive(Debug)]
pub(crate) struct Call {
    table: Arc<Table>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut held = self.table.held();
        held.calls -= 1;
        held.last_used = Instant::now();
        drop(held);
        self.table.changed.notify_one();
    }
}

impl Table {
    pub(crate) fn new() -> Self {
        let held = Held {
            slots: BTreeMap::new(),
            calls: 0,
            life: Life::Serving,
            last_used: Instant::now(),
        };
        Table { held: Mutex::new(held), changed: Notify::new() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call in.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Call, VolumeError> {
        let mut held = self.held();
        if held.life == Life::Over {
            return Err(VolumeError::Ending);
        }
        held.calls += 1;
        Ok(Call { table: Arc::clone(self) })
    }

    /// The place of a volume that is to be opened.
    pub(crate) fn place(&self, words: &OpenRequest) -> Result<Arc<Slot>, VolumeError> {
        let mut held = self.held();
        match held.slots.get(&words.volume_id) {
            Some(slot) if slot.is_for(words) => return Ok(Arc::clone(slot)),
            Some(_) => return Err(VolumeError::OtherWords(words.volume_id.clone())),
            None => {}
        }
        if held.life != Life::Serving {
            return Err(VolumeError::Ending);
        }
        let slot = Arc::new(Slot::new(words.clone()));
        held.slots.insert(words.volume_id.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    pub(crate) fn get(&self, volume_id: &str) -> Option<Arc<Slot>> {
        self.held().slots.get(volume_id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.held().slots.values().cloned().collect()
    }

    /// Forgets a volume, if it is still this one.
    pub(crate) fn forget(&self, slot: &Arc<Slot>) {
        let mut held = self.held();
        let id = &slot.words().volume_id;
        if held.slots.get(id).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            held.slots.remove(id);
        }
        drop(held);
        self.changed.notify_one();
    }

    /// From here on no further volume is taken.
    pub(crate) fn leave(&self) {
        let mut held = self.held();
        if held.life == Life::Serving {
            held.life = Life::Leaving;
        }
        drop(held);
        self.changed.notify_one();
    }

    /// Returns when nothing is held and nobody has called for `grace`; told to leave, without any
    /// grace. From then on every call is refused.
    pub(crate) async fn over(&self, grace: Duration) {
        loop {
            let end_at = {
                let mut held = self.held();
                let free = held.slots.is_empty() && held.calls == 0;
                let grace = if held.life == Life::Serving { grace } else { Duration::ZERO };
                let end_at = free.then(|| held.last_used + grace);
                if end_at.is_some_and(|at| at <= Instant::now()) {
                    held.life = Life::Over;
                    return;
                }
                end_at
            };
            let sleep = async {
                match end_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn words(id: &str) -> OpenRequest {
        OpenRequest { volume_id: id.into(), image: "i".into(), ..OpenRequest::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_holds_nothing_and_nobody_calls() {
        let table = Arc::new(Table::new());
        let begun = Instant::now();
        let over = tokio::spawn({
            let table = Arc::clone(&table);
            async move { table.over(GRACE).await }
        });
        tokio::time::sleep(Duration::from_secs(9)).await;
        let call = table.enter().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!over.is_finished(), "a call is being answered");
        let slot = table.place(&words("v")).unwrap();
        drop(call);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!over.is_finished(), "a volume is held");
        drop(table.enter().unwrap());
        table.forget(&slot);
        over.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 9 + 60 + 60 + GRACE.as_secs());
        assert!(matches!(table.enter(), Err(VolumeError::Ending)));
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_leave_it_keeps_what_it_has_and_takes_nothing_new() {
        let table = Arc::new(Table::new());
        let slot = table.place(&words("v")).unwrap();
        table.leave();
        assert!(Arc::ptr_eq(&table.place(&words("v")).unwrap(), &slot));
        assert!(matches!(table.place(&words("w")), Err(VolumeError::Ending)));
        let mut over = Box::pin(table.over(GRACE));
        tokio::select! {
            () = &mut over => panic!("it holds a volume"),
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        table.forget(&slot);
        let begun = Instant::now();
        over.await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_volume_is_what_it_was_opened_as() {
        let table = Table::new();
        let first = table.place(&words("v")).unwrap();
        let other = OpenRequest { read_only: true, ..words("v") };
        assert!(matches!(table.place(&other), Err(VolumeError::OtherWords(_))));
        // Waiting for a fence changes nothing of the volume.
        let later = OpenRequest { fence_epoch: 7, ..words("v") };
        assert!(Arc::ptr_eq(&table.place(&later).unwrap(), &first));
        table.forget(&first);
        let second = table.place(&other).unwrap();
        // Whoever still has the first cannot take the second away.
        table.forget(&first);
        assert!(Arc::ptr_eq(&table.get("v").unwrap(), &second));
    }
}
